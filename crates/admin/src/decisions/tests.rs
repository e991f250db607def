//! What is kept of refusals, and who pushes out whom.

use access::{UserId, UserName};
use serde_json::json;
use uuid::Uuid;

use super::book::{Book, IDS_PER_RECORD_MAX, Wanted};
use super::record::{Class, DecisionId, DecisionOrigin, Record, RefusedRequest};
use crate::caller::Caller;
use crate::decision_model::{DecisionView, DeedModel, RefusalFilter, RefusalView};
use crate::error::AdminError;
use crate::model::{EffectModel, PageRequest};
use crate::refused_logins::RefusedLogin;
use crate::settings::RefusalSettings;
use crate::tests::{House, cheap};

/// How many are kept where nothing else is configured.
fn bounds() -> RefusalSettings {
    RefusalSettings::default()
}

fn id(number: u64) -> DecisionId {
    DecisionId { run: 1, origin: DecisionOrigin::Shard(0), number }
}

fn request(number: u64, (user, client_id): (&str, &str), topic: &str) -> RefusedRequest {
    RefusedRequest {
        decision: id(number),
        user_id: UserId(Uuid::from_u128(user.bytes().map(u128::from).sum())),
        user: UserName::parse(user).unwrap(),
        client_id: client_id.into(),
        address: "192.0.2.1:4711".parse().unwrap(),
        listener: "mqtt".into(),
        deed: DeedModel::Publish,
        resource: Some(topic.into()),
        reason: "no permission allows it".to_owned(),
        because: None,
        count: 1,
        at_ms: number,
        is_at_login: false,
    }
}

fn proven(number: u64, client: (&str, &str), topic: &str) -> Record {
    Record::of_request(request(number, client, topic))
}

fn login(number: u64, class: Class, user: &str, client_id: &str) -> Record {
    let ids = vec![DecisionId { origin: DecisionOrigin::Login, ..id(number) }];
    let deed = DeedModel::Login;
    let user = user.to_owned();
    let base = proven(number, ("ann", client_id), "");
    Record { ids, class, user, user_id: None, deed, resource: None, ..base }
}

fn count(book: &Book, user: &str) -> usize {
    book.list(&Wanted { user: Some(user), ..Wanted::default() }).len()
}

#[test]
fn the_same_refusal_again_is_counted_and_the_last_names_of_it_are_found() {
    let mut book = Book::default();
    for number in 1..=20 {
        book.note(proven(number, ("ann", "c1"), "no"));
    }
    book.note(Record { count: 980, ..proven(20, ("ann", "c1"), "no") });
    let all = book.list(&Wanted::default());
    assert_eq!(all.len(), 1);
    let record = all[0];
    assert_eq!((record.count, record.first_ms, record.last_ms), (1_000, 1, 20));
    assert_eq!(record.ids.len(), IDS_PER_RECORD_MAX);
    let found = (1..=20).filter(|number| book.find(id(*number)).is_some());
    assert_eq!(found.collect::<Vec<_>>(), (13..=20).collect::<Vec<_>>());
}

#[test]
fn a_flood_of_one_client_pushes_out_its_own_refusals_and_nobody_elses() {
    let mut book = Book::default();
    book.note(proven(1, ("ann", "other"), "no"));
    book.note(proven(2, ("bob", "c1"), "no"));
    for number in 10..2_000 {
        book.note(proven(number, ("ann", "c1"), &format!("no/{number}")));
    }
    assert!(book.find(id(1)).is_some() && book.find(id(2)).is_some());
    let of_client = Wanted { user: Some("ann"), client_id: Some("c1"), ..Wanted::default() };
    let kept: Vec<u64> = book.list(&of_client).iter().map(|it| it.ids[0].number).collect();
    let newest: Vec<u64> = (0..bounds().per_client_max as u64).map(|back| 1_999 - back).collect();
    assert_eq!(kept, newest, "the last ones, the newest first");
}

#[test]
fn one_user_with_any_number_of_clients_pushes_out_nobody_else() {
    let mut book = Book::default();
    book.note(proven(1, ("bob", "c1"), "no"));
    for number in 10..2_000 {
        book.note(proven(number, ("ann", &format!("c{number}")), "no"));
    }
    assert!(book.find(id(1)).is_some());
    assert_eq!(count(&book, "ann"), bounds().per_user_max);
}

#[test]
fn failed_logins_push_out_nothing_of_what_proven_clients_were_refused() {
    let mut book = Book::default();
    book.note(proven(1, ("bob", "c1"), "no"));
    book.note(login(2, Class::Claimed, "bob", "c1"));
    for number in 10..5_000 {
        book.note(login(number, Class::Unknown, &format!("nobody-{number}"), "c1"));
        book.note(login(number + 100_000, Class::Claimed, "ann", &format!("c{number}")));
    }
    let of_bob = Wanted { user: Some("bob"), ..Wanted::default() };
    assert_eq!(book.list(&of_bob).len(), 2);
    assert_eq!(count(&book, "ann"), bounds().logins_per_user_max);
    assert_eq!(
        book.list(&Wanted::default()).len(),
        2 + bounds().logins_per_user_max + bounds().unknown_logins_max
    );
    for number in 0..100 {
        let reason = format!("reason {number}");
        book.note(Record { reason, ..login(200_000 + number, Class::Claimed, "cat", "c1") });
    }
    assert_eq!(count(&book, "cat"), bounds().logins_per_client_max);
}

#[test]
fn all_places_of_a_class_are_bounded_and_the_oldest_goes() {
    let check = |class: Class, max: usize| {
        let mut book = Book::default();
        let max = u64::try_from(max).unwrap();
        for number in 1..=max + 10 {
            let record = proven(number, (&format!("user-{number}"), "c1"), "no");
            book.note(Record { class, ..record });
        }
        assert_eq!(book.list(&Wanted::default()).len() as u64, max);
        assert!(book.find(id(10)).is_none() && book.find(id(11)).is_some(), "{class:?}");
    };
    check(Class::Proven, bounds().clients_max);
    check(Class::Claimed, bounds().logins_max);
    check(Class::Unknown, bounds().unknown_logins_max);
}

#[test]
fn what_is_written_and_read_again_is_the_same_book() {
    let mut book = Book::default();
    let mut disk = std::collections::BTreeMap::new();
    let mut rows_written = 0;
    for number in 1..500 {
        book.note(proven(number, ("ann", "c1"), &format!("no/{}", number % 40)));
        book.note(login(number, Class::Unknown, "nobody", "c1"));
        if number % 7 == 0 {
            for row in book.take_unwritten(16) {
                rows_written += 1;
                match row.record {
                    Some(text) => drop(disk.insert(row.number, text)),
                    None => drop(disk.remove(&row.number)),
                }
            }
        }
    }
    for row in book.take_unwritten(usize::MAX) {
        match row.record {
            Some(text) => drop(disk.insert(row.number, text)),
            None => drop(disk.remove(&row.number)),
        }
    }
    assert!(book.take_unwritten(usize::MAX).is_empty() && rows_written > 100);
    let rows =
        disk.into_iter().map(|(number, text)| (number, serde_json::from_str(&text).unwrap()));
    let mut again = Book::restore(rows.collect(), bounds());
    let texts = |book: &Book| {
        let mut all: Vec<_> =
            book.list(&Wanted::default()).into_iter().map(|it| format!("{it:?}")).collect();
        all.sort();
        all
    };
    assert_eq!(texts(&again), texts(&book));
    assert!(again.take_unwritten(usize::MAX).is_empty(), "nothing is to be written again");
    again.note(proven(9_999, ("ann", "c2"), "no"));
    assert_eq!(again.take_unwritten(usize::MAX).len(), 1, "and numbers go on");
}

async fn list(house: &House, user: &str) -> Vec<RefusalView> {
    let filter = RefusalFilter { user: Some(user.to_owned()), ..RefusalFilter::default() };
    let page = PageRequest::default();
    house.admin.list_refusals(&Caller::LocalOwner, &filter, page).await.unwrap().items
}

async fn explain(house: &House, decision: &str) -> Result<DecisionView, AdminError> {
    house.admin.explain_decision(&Caller::LocalOwner, decision).await
}

fn of_alice(house: &House, topic: &str) -> RefusedRequest {
    let policy = house.admin.policy().load();
    let user = policy.user_by_name("alice").unwrap();
    RefusedRequest {
        decision: DecisionId { run: house.admin.run(), ..id(1) },
        user_id: user.id(),
        ..request(1, ("alice", "press-7"), topic)
    }
}

fn refuse(house: &House, username: &str) -> String {
    let refused = RefusedLogin {
        username: Some(username),
        client_id: Some("c1"),
        address: "192.0.2.1:5000",
        listener: "mqtt",
        reason: "wrong password",
    };
    house.admin.record_refused_login(refused).to_string()
}

#[tokio::test]
async fn a_decision_is_explained_as_it_was_and_as_it_would_be_now() {
    let house = House::with_alice().await;
    house.admin.refusal_sink().hand_over(vec![of_alice(&house, "plant/1")]);
    let shown = list(&house, "alice").await;
    assert_eq!(shown[0].id, "1-0-1");
    let view = explain(&house, "1-0-1").await.unwrap();
    let now = view.now.unwrap();
    assert_eq!((view.decision, now.decision), (EffectModel::Deny, EffectModel::Deny));
    house.patch("alice", r#"{"permissions":[{"operation":"write","resource":"plant/#"}]}"#).await;
    let view = explain(&house, "1-0-1").await.unwrap();
    assert_eq!(view.refusal.reason, "no permission allows it", "as it was");
    let now = view.now.unwrap();
    assert_eq!((now.decision, now.because.len()), (EffectModel::Allow, 1));
    house.patch("alice", r#"{"enabled":false}"#).await;
    let view = explain(&house, "1-0-1").await.unwrap();
    assert_eq!(view.now.unwrap().reason, "the user is gone or disabled");
}

#[tokio::test]
async fn an_unknown_decision_is_not_found_and_what_is_no_name_is_said_to_be_none() {
    let house = House::with_alice().await;
    for decision in ["1-0-1", "1-login-1", "7-0-1"] {
        let error = explain(&house, decision).await.unwrap_err();
        assert!(matches!(error, AdminError::NotFound { .. }), "{error}");
        assert_eq!(error.to_string(), format!("no record of decision `{decision}`"));
    }
    for text in ["", "0-1", "x", "1-0-1; DROP"] {
        let error = explain(&house, text).await.unwrap_err();
        assert!(
            matches!(&error, AdminError::Invalid { field, .. } if field == "decision"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_refused_login_is_explained_to_the_administrator_with_its_reason() {
    let house = House::with_alice().await;
    let decision = refuse(&house, "alice");
    assert_eq!(decision, "1-login-1");
    let view = explain(&house, &decision).await.unwrap();
    assert_eq!((view.refusal.reason.as_str(), view.now.is_none()), ("wrong password", true));
    assert!(view.now_reason.starts_with("the user may log in by password now"));
    house.patch("alice", r#"{"enabled":false}"#).await;
    assert_eq!(explain(&house, &decision).await.unwrap().now_reason, "the user is disabled now");
    let decision = refuse(&house, "nobody");
    let view = explain(&house, &decision).await.unwrap();
    assert_eq!(view.now_reason, "there is no such user now");
}

#[tokio::test]
async fn each_refused_login_has_a_name_of_its_own_whether_the_user_exists_or_not() {
    let house = House::with_alice().await;
    let names: Vec<_> =
        ["alice", "nobody", "alice", "nobody"].map(|user| refuse(&house, user)).into();
    assert_eq!(names, ["1-login-1", "1-login-2", "1-login-3", "1-login-4"]);
    let shown = list(&house, "nobody").await;
    assert_eq!((shown.len(), shown[0].count), (1, 2));
    for name in names {
        assert!(explain(&house, &name).await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn refusals_are_there_after_a_restart_and_the_next_run_has_names_of_its_own() {
    let house = House::with_alice().await;
    house.admin.refusal_sink().hand_over(vec![of_alice(&house, "plant/1")]);
    refuse(&house, "nobody");
    let before = (list(&house, "alice").await, list(&house, "nobody").await);
    assert_eq!((before.0.len(), before.1.len()), (1, 1));
    house.admin.write_refusals().await.unwrap();
    let house = house.restart(cheap()).await;
    assert_eq!((list(&house, "alice").await, list(&house, "nobody").await), before);
    assert_eq!(refuse(&house, "nobody"), "2-login-1");
    assert!(explain(&house, "1-0-1").await.is_ok() && explain(&house, "2-0-1").await.is_err());
}

#[tokio::test]
async fn a_user_of_the_same_name_is_not_shown_what_another_was_refused() {
    let house = House::with_alice().await;
    house.admin.refusal_sink().hand_over(vec![of_alice(&house, "plant/1")]);
    assert_eq!(list(&house, "alice").await.len(), 1);
    house.admin.remove_user(&Caller::LocalOwner, "alice", None).await.unwrap();
    house.add("alice", "alice-password").await;
    assert!(list(&house, "alice").await.is_empty());
    let now = explain(&house, "1-0-1").await.unwrap().now.unwrap();
    assert_eq!(now.reason, "the user is gone or disabled", "it was another alice");
}

#[tokio::test]
async fn a_topic_too_long_to_be_kept_is_not_asked_again() {
    let house = House::with_alice().await;
    house.admin.refusal_sink().hand_over(vec![of_alice(&house, &"x".repeat(60_000))]);
    let view = explain(&house, "1-0-1").await.unwrap();
    assert!(view.refusal.resource.unwrap().len() < 520 && view.now.is_none());
    assert_eq!(view.now_reason, "only the beginning of what was asked is kept");
}

#[tokio::test]
async fn a_full_queue_loses_what_comes_and_holds_nobody_up() {
    let house = House::with_alice().await;
    let sink = house.admin.refusal_sink();
    // Nobody takes from the queue meanwhile: this test's runtime has one thread.
    for number in 0..10_000 {
        let topic = format!("plant/{number}");
        sink.hand_over(vec![of_alice(&house, &topic)]);
    }
    assert_eq!(list(&house, "alice").await.len(), bounds().per_client_max);
}

#[tokio::test]
async fn a_connection_refused_to_a_proven_user_is_in_the_audit_log_too() {
    let house = House::with_alice().await;
    let refused = RefusedRequest {
        deed: DeedModel::Will,
        is_at_login: true,
        ..of_alice(&house, "plant/will")
    };
    house.admin.refusal_sink().hand_over(vec![refused]);
    let filter = crate::audit_model::AuditFilter {
        chain: Some(crate::audit_model::AuditChainModel::Refusals),
        ..Default::default()
    };
    let caller = Caller::LocalOwner;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let page = PageRequest::default();
        let log = house.admin.list_audit(&caller, &filter, page).await.unwrap();
        if let [record] = log.items.as_slice() {
            assert_eq!(
                (record.user.as_str(), &record.details["clientId"]),
                ("alice", &json!("press-7"))
            );
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{log:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[test]
fn as_many_are_kept_as_the_configuration_says_and_no_more_after_a_restart() {
    let refuse = |book: &mut Book| {
        for number in 1..=9 {
            book.note(proven(number, ("ann", &format!("c{}", number % 3)), &number.to_string()));
            book.note(login(100 + number, Class::Claimed, "ann", "c1"));
            book.note(login(200 + number, Class::Unknown, &format!("nobody-{number}"), "c1"));
        }
    };
    let few = RefusalSettings {
        per_client_max: 2,
        per_user_max: 5,
        logins_per_client_max: 1,
        unknown_logins_max: 4,
        ..bounds()
    };
    let mut book = Book::restore(Vec::new(), few);
    refuse(&mut book);
    let held = |book: &Book, class| {
        book.list(&Wanted::default()).iter().filter(|it| it.class == class).count()
    };
    let all =
        |book: &Book| [Class::Proven, Class::Claimed, Class::Unknown].map(|it| held(book, it));
    assert_eq!(all(&book), [5, 1, 4]);
    let mut book = Book::default();
    refuse(&mut book);
    let rows = book.list(&Wanted::default()).into_iter().cloned();
    let rows: Vec<_> = (1..).zip(rows).collect();
    assert_eq!(all(&Book::restore(rows, few)), [5, 1, 4]);
}
