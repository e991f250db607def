//! A forecast of a change of rights says what the change then does, whatever the rights and the change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{PolicyChange, User};
use broker::{ClientLoss, PolicyMoved, Progress, SessionKey};
use mqtt::{Packet, ReasonCode};
use proptest::prelude::*;

use crate::world::{C, Q0, Q1, Q2, V5, V311, World, lasting, limits, prefixed, user, with_will};

/// What is foreseen of each client, by its id.
fn forecast(world: &mut World, change: &PolicyChange) -> BTreeMap<String, ClientLoss> {
    let base = world.policy.load_full();
    let next = Arc::new(base.apply([change.clone()]));
    let now = world.now;
    let mut all = BTreeMap::new();
    for engine in &mut world.engines {
        let mut forecast = engine.forecast(base.generation(), Arc::clone(&next));
        while engine.forecast_more(&mut forecast, 1, now).unwrap() == Progress::More {}
        assert!(forecast.are_publishers_complete);
        let named = |(key, loss): (SessionKey, ClientLoss)| (key.client_id.to_string(), loss);
        all.extend(forecast.into_clients().into_iter().map(named));
    }
    all
}

fn put(user: User) -> PolicyChange {
    PolicyChange::PutUser(user)
}

fn texts<T: ToString>(all: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    all.into_iter().map(|it| it.to_string()).collect()
}

#[test]
fn each_kind_of_loss_is_foreseen_by_client_and_nothing_is_changed() {
    for version in [V311, V5] {
        let mut world = World::open(2);
        let ann = world.connect_with("ann", with_will(lasting(version, "c1"), "b/will", 0));
        for filter in ["a/#", "b/#", "$share/g/b/+"] {
            world.subscribe(ann, filter, Q1);
        }
        world.publish(ann, "a/1", Q0, "x");
        world.publish(ann, "b/1", Q0, "x");
        world.set_acks(ann, false);
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "b/2", Q1, "x");
        let change = put(user("ann", &["allow readWrite a/#", "deny read a/no", "allow write c"]));
        let before = (world.view("c1").unwrap().subscriptions, world.reports.len());
        let all = forecast(&mut world, &change);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["c1"], "nobody else");
        let loss = &all["c1"];
        let session = loss.session.as_ref().unwrap();
        assert_eq!(
            texts(session.subscriptions.iter().map(|it| &it.filter)),
            texts(["b/#", "$share/g/b/+"])
        );
        assert!(session.subscriptions.iter().all(|it| it.denial.is_some()));
        assert_eq!(texts(&session.narrowed), texts(["a/#"]));
        assert_eq!(session.will.as_ref().unwrap().0.as_str(), "b/will");
        assert!(session.messages >= 1 && loss.is_connected && !session.session_ends);
        assert_eq!((session.connection, loss.are_publishes_complete), (None, true));
        assert_eq!(texts(loss.publishes.iter().map(|it| &it.topic)), texts(["b/1"]));
        assert_eq!(loss.publishes[0].seen_at, world.now);
        assert_eq!((world.view("c1").unwrap().subscriptions, world.reports.len()), before);
    }
}

#[test]
fn publishers_are_known_for_a_day_after_they_have_gone() {
    let mut world = World::open(1);
    let lost = |world: &mut World| {
        let all = forecast(world, &put(user("ann", &[])));
        all.get("c1").map(|loss| texts(loss.publishes.iter().map(|it| &it.topic)))
    };
    let ann = world.connect("ann", "c1", V311);
    world.publish(ann, "a", Q0, "x");
    world.disconnect(ann);
    assert_eq!(lost(&mut world), Some(texts(["a"])), "without connection and session");
    world.wait_s(24 * 3600);
    assert_eq!(lost(&mut world), Some(texts(["a"])));
    world.wait_s(2 * 3600);
    assert_eq!(lost(&mut world), None);
    assert_eq!(world.engines[0].next_timeout(), None, "and there is nothing left to forget");
}

#[test]
fn a_publisher_that_goes_on_with_a_remembered_permit_is_noted_again_each_hour() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V311);
    let mut last = world.now;
    for _ in 0..60 {
        world.publish(ann, "a", Q0, "x");
        last = world.now;
        world.wait_s(1800);
    }
    let all = forecast(&mut world, &put(user("ann", &[])));
    let seen_at = all["c1"].publishes[0].seen_at;
    assert!(last.since(seen_at) <= 3_600_000, "{last:?} {seen_at:?}");
}

#[test]
fn a_changed_prefix_is_foreseen_by_the_topics_as_they_are_sent() {
    let mut world = World::new(1);
    world.put(prefixed("ann", "x/", &["allow write x/#"]));
    let ann = world.connect("ann", "c1", V311);
    world.publish(ann, "a", Q0, "x");
    let all = forecast(&mut world, &put(prefixed("ann", "y/", &["allow write x/#"])));
    assert_eq!(texts(all["c1"].publishes.iter().map(|it| &it.topic)), texts(["a"]));
    assert!(forecast(&mut world, &put(prefixed("ann", "x/y/", &["allow write x/#"]))).is_empty());
}

#[test]
fn what_was_refused_before_is_not_lost_by_the_change() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V311);
    world.publish(ann, "a", Q0, "x");
    world.user("ann", &[]);
    assert!(
        forecast(&mut world, &PolicyChange::RemoveUser(user("ann", &[]).id))["c1"]
            .publishes
            .is_empty()
    );
}

#[test]
fn a_forecast_of_a_policy_that_has_changed_meanwhile_is_none() {
    let mut world = World::open(1);
    world.connect("ann", "c1", V311);
    let base = world.policy.load_full();
    let next = Arc::new(base.apply([put(user("ann", &[]))]));
    let mut forecast = world.engines[0].forecast(base.generation(), next);
    world.change_silently(user("bob", &[]));
    let now = world.now;
    assert_eq!(world.engines[0].forecast_more(&mut forecast, 100, now), Err(PolicyMoved));
}

const NAMES: [&str; 3] = ["ann", "bob", "cat"];
const TOPICS: [&str; 6] = ["a", "a/b", "a/c", "b", "b/b", "x/a"];
const FILTERS: [&str; 7] = ["#", "a/#", "+/b", "a/b", "b", "$share/g/a/#", "x/#"];
const RULES: [&str; 8] = [
    "allow readWrite #",
    "allow read a/#",
    "allow write a/#",
    "deny read a/b",
    "deny write b/#",
    "allow readWrite b/#",
    "deny readWrite +/c",
    "allow readWrite ${clientId}/#",
];

#[derive(Debug, Clone)]
struct Scene {
    rules: Vec<Vec<usize>>,
    clients: Vec<ClientScene>,
    sent: Vec<usize>,
    target: usize,
    change: Deed,
}

/// User, lasting or not, topic of the will, filters, topics published, online at the end.
type ClientScene = (usize, bool, Option<usize>, Vec<usize>, Vec<usize>, bool);

#[derive(Debug, Clone)]
enum Deed {
    Rules(Vec<usize>),
    Prefix(Vec<usize>),
    Disable,
    NewPassword,
    Remove,
}

fn rules() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..RULES.len(), 0..4)
}

fn scene() -> impl Strategy<Value = Scene> {
    let client = (
        0..3usize,
        any::<bool>(),
        prop::option::of(0..TOPICS.len()),
        prop::collection::vec(0..FILTERS.len(), 0..5),
        prop::collection::vec(0..TOPICS.len(), 0..5),
        any::<bool>(),
    );
    let deed = prop_oneof![
        5 => rules().prop_map(Deed::Rules),
        1 => rules().prop_map(Deed::Prefix),
        1 => Just(Deed::Disable),
        1 => Just(Deed::NewPassword),
        1 => Just(Deed::Remove),
    ];
    (
        prop::collection::vec(rules(), 3),
        prop::collection::vec(client, 1..7),
        prop::collection::vec(0..TOPICS.len(), 0..6),
        0..3usize,
        deed,
    )
        .prop_map(|(rules, clients, sent, target, change)| Scene {
            rules,
            clients,
            sent,
            target,
            change,
        })
}

fn texts_of(rules: &[usize]) -> Vec<&'static str> {
    rules.iter().map(|rule| RULES[*rule]).collect()
}

fn deed(scene: &Scene) -> PolicyChange {
    let name = NAMES[scene.target];
    let present = user(name, &texts_of(&scene.rules[scene.target]));
    match &scene.change {
        Deed::Rules(rules) => put(user(name, &texts_of(rules))),
        Deed::Prefix(rules) => put(prefixed(name, "x/", &texts_of(rules))),
        Deed::Disable => put(User { enabled: false, ..present }),
        Deed::NewPassword => put(User { credential_epoch: 2, ..present }),
        Deed::Remove => PolicyChange::RemoveUser(present.id),
    }
}

/// The world before the change, and a handle for each client.
fn build(scene: &Scene) -> (World, Vec<Option<C>>) {
    let mut world = World::with(2, limits());
    for (name, rules) in NAMES.iter().zip(&scene.rules) {
        world.user(name, &texts_of(rules));
    }
    world.user("eve", &["allow readWrite #"]);
    let mut handles = Vec::new();
    for (number, (who, is_lasting, will, filters, topics, _)) in scene.clients.iter().enumerate() {
        let version = if number % 2 == 0 { V5 } else { V311 };
        let mut connect = lasting(version, &format!("c{number}"));
        connect.clean_start = !is_lasting;
        if !is_lasting {
            connect.properties.session_expiry_interval_s = None;
        }
        if let Some(will) = will {
            connect = with_will(connect, TOPICS[*will], 0);
        }
        let Ok(client) = world.try_connect(NAMES[*who], connect) else {
            handles.push(None);
            continue;
        };
        for filter in filters {
            world.subscribe(client, FILTERS[*filter], Q2);
        }
        for topic in topics {
            world.publish(client, TOPICS[*topic], Q1, "x");
        }
        // From here on messages stay in flight or in the queue.
        world.set_acks(client, false);
        handles.push(Some(client));
    }
    for (handle, (.., is_online)) in handles.iter().zip(&scene.clients) {
        if let (Some(client), false) = (handle, is_online) {
            world.lose(*client);
        }
    }
    let eve = world.connect("eve", "eve", V5);
    for topic in &scene.sent {
        world.publish(eve, TOPICS[*topic], Q1, "x");
    }
    (world, handles)
}

/// What a session has: subscriptions, those that are filtered, whether it is connected, messages held.
type Held = (BTreeSet<String>, BTreeSet<String>, bool, u64);

fn held(world: &World, client_id: &str) -> Option<Held> {
    let view = world.view(client_id)?;
    let all = texts(view.subscriptions.iter().map(|it| &it.filter));
    let filtered =
        texts(view.subscriptions.iter().filter(|it| it.is_filtered).map(|it| &it.filter));
    Some((all, filtered, view.connected, u64::try_from(view.queued).unwrap()))
}

fn judge_session(before: &Held, after: Option<&Held>, loss: Option<&ClientLoss>) {
    let session = loss.and_then(|loss| loss.session.clone()).unwrap_or_default();
    let lost = texts(session.subscriptions.iter().map(|it| &it.filter));
    assert_eq!(session.session_ends, after.is_none(), "the session ends");
    let Some((all, filtered, is_connected, queued)) = after else {
        assert_eq!(lost, before.0, "all subscriptions end with their session");
        return;
    };
    assert_eq!(lost, before.0.difference(all).cloned().collect(), "subscriptions that end");
    let narrowed = filtered.difference(&before.1).cloned().collect();
    assert_eq!(texts(&session.narrowed), narrowed, "subscriptions that are narrowed");
    assert_eq!(session.connection.is_some(), before.2 && !is_connected, "the connection ends");
    // A will that is sent may add to what waits.
    assert!(before.3.saturating_sub(*queued) <= session.messages, "messages that are dropped");
}

fn withheld(world: &World) -> u64 {
    world.engines.iter().map(|engine| engine.counters().withheld).sum()
}

/// Topics that each client with a connection may publish to, as its own packets show.
fn may_publish(world: &mut World, client: C) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for topic in TOPICS {
        let before: u64 =
            world.engines.iter().map(|it| it.counters().refused_publishes.denied).sum();
        world.publish(client, topic, Q0, "probe");
        let after: u64 =
            world.engines.iter().map(|it| it.counters().refused_publishes.denied).sum();
        if after == before {
            allowed.insert(topic.to_owned());
        }
    }
    allowed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_foreseen_is_what_then_happens(scene in scene()) {
        let (mut world, handles) = build(&scene);
        let change = deed(&scene);
        let foreseen = forecast(&mut world, &change);
        let ids: Vec<String> = (0..scene.clients.len()).map(|number| format!("c{number}")).collect();
        let before: Vec<_> = ids.iter().map(|id| held(&world, id)).collect();
        let withheld_before = withheld(&world);
        world.reports.clear();
        world.change(change.clone());
        let mut messages = 0;
        let mut ends = false;
        for ((id, before), handle) in ids.iter().zip(&before).zip(&handles) {
            let loss = foreseen.get(id);
            let Some(before) = before else {
                prop_assert!(loss.is_none_or(|loss| loss.session.is_none()), "no session: {id}");
                continue;
            };
            judge_session(before, held(&world, id).as_ref(), loss);
            let session = loss.and_then(|loss| loss.session.clone()).unwrap_or_default();
            ends |= session.session_ends;
            messages += session.messages;
            let wills = world.reports.iter().filter(|report| matches!(report,
                broker::Report::Refused(it) if it.action == broker::RefusedAction::Will
                    && *it.client.client_id == **id));
            prop_assert_eq!(wills.count(), usize::from(session.will.is_some()), "will of {}", id);
            if let Some(client) = handle.filter(|client| world.is_open(*client)) {
                let number = ids.iter().position(|it| it == id).unwrap();
                let published = texts(scene.clients[number].4.iter().map(|topic| TOPICS[*topic]));
                let lost = loss.map(|it| texts(it.publishes.iter().map(|it| &it.topic)));
                let lost = lost.unwrap_or_default();
                let allowed = may_publish(&mut world, client);
                prop_assert!(lost.is_subset(&published) && lost.is_disjoint(&allowed), "{id}");
                let could = could_publish(&scene, number);
                let expected: BTreeSet<_> = published.intersection(&could)
                    .filter(|topic| !allowed.contains(*topic)).cloned().collect();
                prop_assert_eq!(lost, expected, "publishes of {}", id);
            }
        }
        // A session that ends takes its messages along without withholding each.
        if !ends {
            prop_assert_eq!(withheld(&world) - withheld_before, messages);
        }
    }
}

/// Topics that the client could publish to before the change.
fn could_publish(scene: &Scene, number: usize) -> BTreeSet<String> {
    let who = scene.clients[number].0;
    let policy = access::Policy::compile([user(NAMES[who], &texts_of(&scene.rules[who]))], []);
    let rights = policy.rights(user(NAMES[who], &[]).id, format!("c{number}")).unwrap();
    texts(TOPICS.iter().filter(|topic| rights.permit_publish(topic).is_ok()))
}

#[test]
fn the_scenes_are_such_that_something_is_at_stake() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V5);
    world.subscribe(ann, "a/#", Q1);
    let all = forecast(&mut world, &put(User { enabled: false, ..user("ann", &[]) }));
    let session = all["c1"].session.as_ref().unwrap();
    assert!(session.session_ends && session.connection.is_some());
    world.put(User { enabled: false, ..user("ann", &[]) });
    let Some(Packet::Disconnect(told)) = world.packets(ann).pop() else { panic!("no DISCONNECT") };
    assert_eq!(told.reason, ReasonCode::NotAuthorized);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the time it takes is what is measured")]
fn ten_thousand_sessions_are_looked_at_in_slices_that_hold_nobody_up() {
    let mut world = World::open(1);
    for number in 0..10_000 {
        let name = ["ann", "bob"][number % 2];
        let client = world.resume(name, &format!("c{number}"), V311);
        world.subscribe(client, &format!("a/{number}/#"), Q1);
        world.publish(client, &format!("b/{number}"), Q0, "x");
        world.clients.clear();
    }
    let base = world.policy.load_full();
    let next = Arc::new(base.apply([put(user("ann", &["allow read a/+/b"]))]));
    let now = world.now;
    let (mut slices, mut longest) = (0, Duration::ZERO);
    let begun = Instant::now();
    let mut forecast = world.engines[0].forecast(base.generation(), next);
    let taken = begun.elapsed();
    loop {
        let begun = Instant::now();
        let progress = world.engines[0].forecast_more(&mut forecast, 256, now).unwrap();
        longest = longest.max(begun.elapsed());
        slices += 1;
        if progress == Progress::Done {
            break;
        }
    }
    let whole = begun.elapsed();
    println!("begun in {taken:?}, {slices} slices, the longest {longest:?}, in all {whole:?}");
    // The longest depends on who else has the machine; the rest does not.
    assert!(slices > 100 && whole / slices < Duration::from_millis(20), "{slices} {whole:?}");
    assert!(whole < Duration::from_secs(5), "{whole:?}");
    let clients = forecast.into_clients();
    assert_eq!(clients.len(), 5_000);
    let is_whole = |loss: &ClientLoss| {
        let lost = loss.session.as_ref().map(|it| it.subscriptions.len());
        (lost, loss.publishes.len()) == (Some(1), 1)
    };
    assert!(clients.iter().all(|(_, loss)| is_whole(loss)));
}
