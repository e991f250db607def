//! What is allowed and what is not, case by case; where a flaw of another broker taught the rule,
//! the test carries its number.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use access::{
    Decision, Denial, Effect, Operation, Owner, Policy, PolicyChange, PublishPrefix, Request,
    Rights, RoleName, UserId,
};
use common::{ANNA, anna, permission, permissions, rights, rights_as, role};
use topic::{SubscriptionFilter, TopicError, TopicName};

#[derive(Debug, PartialEq)]
enum Answer {
    Granted,
    Filtered,
    NoRule,
    Denied,
    Dollar,
    Invalid,
}
use Answer::{Denied, Dollar, Filtered, Granted, Invalid, NoRule};

fn answer<T>(outcome: Result<T, Denial>) -> Answer {
    match outcome {
        Ok(_) => Granted,
        Err(Denial::NoRule) => NoRule,
        Err(Denial::DenyRule(_)) => Denied,
        Err(Denial::DollarTopic) => Dollar,
        Err(Denial::InvalidTopic(_)) => Invalid,
        Err(Denial::Gone | Denial::Lapsed(_)) => panic!("rights are of a user who is there"),
    }
}

fn ask(rights: &Rights, request: &str) -> Answer {
    let (operation, resource) = request.split_once(' ').unwrap();
    match operation {
        "publish" => answer(rights.permit_publish(resource)),
        "resolved" => answer(rights.permit_resolved(&TopicName::parse(resource).unwrap())),
        "deliver" => answer(rights.permit_delivery(&TopicName::parse(resource).unwrap())),
        "get" => answer(rights.permit_http(Operation::Read, resource)),
        "post" => answer(rights.permit_http(Operation::Write, resource)),
        "both" => answer(rights.permit_http(Operation::ReadWrite, resource)),
        "subscribe" => {
            match rights.permit_subscribe(&SubscriptionFilter::parse(resource).unwrap()) {
                Ok(permit) if permit.is_filtered() => Filtered,
                other => answer(other),
            }
        }
        _ => panic!("unknown request {request:?}"),
    }
}

/// By these rules, and by the same in the opposite order, and by the same spread over roles.
fn check(rules: &[&str], requests: &[(&str, Answer)]) {
    let reversed: Vec<_> = rules.iter().rev().copied().collect();
    let numbers: Vec<_> = (1..).take(rules.len()).collect();
    let spread =
        numbers.iter().zip(rules).map(|(number, rule)| role(*number, permissions(&[rule])));
    let by_roles = Policy::compile([anna(&numbers, Vec::new())], spread);
    for (request, expected) in requests {
        let case = format!("{request} by {rules:?}");
        assert_eq!(&ask(&rights(rules), request), expected, "{case}");
        assert_eq!(&ask(&rights(&reversed), request), expected, "{case} reversed");
        let spread = by_roles.rights(ANNA, "c1").unwrap();
        assert_eq!(&ask(&spread, request), expected, "{case} spread over roles");
    }
}

#[test]
fn rule_24_no_rule_means_no_right() {
    check(
        &[],
        &[
            ("publish a", NoRule),
            ("resolved a", NoRule),
            ("subscribe a", NoRule),
            ("deliver a", NoRule),
            ("get /", NoRule),
            ("post /a", NoRule),
        ],
    );
}

#[test]
fn an_operation_grants_itself_only_and_read_write_both() {
    check(
        &["allow read a"],
        &[("publish a", NoRule), ("subscribe a", Granted), ("deliver a", Granted)],
    );
    check(
        &["allow write a"],
        &[("publish a", Granted), ("subscribe a", NoRule), ("deliver a", NoRule)],
    );
    check(
        &["allow readWrite a"],
        &[("publish a", Granted), ("subscribe a", Granted), ("deliver a", Granted)],
    );
    check(
        &["allow readWrite a", "deny read a"],
        &[("publish a", Granted), ("subscribe a", Denied)],
    );
    check(
        &["allow readWrite a", "deny readWrite a"],
        &[("publish a", Denied), ("deliver a", Denied)],
    );
}

#[test]
fn a_context_grants_nothing_in_the_other() {
    check(&["allow readWrite #"], &[("get /a", NoRule), ("post /a", NoRule)]);
    check(&["allow http:readWrite #"], &[("publish a", NoRule), ("subscribe a", NoRule)]);
}

#[test]
fn http_goes_by_the_same_rules() {
    check(
        &[
            "allow http:read /api/#",
            "allow http:write api/users/+/password",
            "deny http:readWrite /api/audit",
        ],
        &[
            ("get /api", Granted),
            ("get /api/users", Granted),
            ("get api/users", Granted),
            ("get /api/audit", Denied),
            ("post /api/users", NoRule),
            ("post /api/users/7/password", Granted),
            ("both /api/users/7/password", Granted),
            ("both /api/users", NoRule),
            ("get /metrics", NoRule),
            ("get /api/%61udit", Denied),
        ],
    );
}

#[test]
fn a_filter_is_granted_when_one_allow_covers_it_whole() {
    check(
        &["allow read plant/#", "allow read line/+"],
        &[
            ("subscribe plant/+/temp", Granted),
            ("subscribe plant", Granted),
            ("subscribe plant/#", Granted),
            ("subscribe line/+", Granted),
            ("subscribe line/#", NoRule),
            ("subscribe line/+/x", NoRule),
            ("subscribe #", NoRule),
            ("subscribe +/x", NoRule),
        ],
    );
}

#[test]
fn two_allows_that_only_together_cover_a_filter_do_not_grant_it() {
    check(
        &["allow read a/#", "allow read +/b"],
        &[("subscribe +/+", NoRule), ("subscribe a/b", Granted)],
    );
}

#[test]
fn a_deny_that_covers_refuses_and_one_that_overlaps_filters() {
    check(
        &["allow read #", "deny read secret/#", "deny read +/key"],
        &[
            ("subscribe secret/#", Denied),
            ("subscribe secret/+/x", Denied),
            ("subscribe secret", Denied),
            ("subscribe a/key", Denied),
            ("subscribe #", Filtered),
            ("subscribe +/x", Filtered),
            ("subscribe +", Filtered),
            ("subscribe a/#", Filtered),
            ("subscribe a/+/c", Granted),
            ("subscribe a/b", Granted),
            ("deliver secret/a", Denied),
            ("deliver a/key", Denied),
            ("deliver a/b", Granted),
        ],
    );
}

#[test]
fn a_deny_of_everything_refuses_everything() {
    check(
        &["allow readWrite #", "allow read $SYS/#", "deny read #"],
        &[
            ("subscribe a", Denied),
            ("subscribe #", Denied),
            ("deliver a/b", Denied),
            ("publish a", Granted),
        ],
    );
    // `#` does not reach `$`-topics, as a deny no more than as an allow.
    check(&["allow read $SYS/#", "deny read #"], &[("subscribe $SYS/a", Granted)]);
    check(
        &["allow read $SYS/#", "deny read $SYS/b"],
        &[("subscribe $SYS/#", Filtered), ("deliver $SYS/b", Denied)],
    );
}

#[test]
fn rule_11_nobody_publishes_to_a_dollar_topic() {
    for rules in [
        &["allow readWrite #"][..],
        &["allow write $SYS/#"],
        &["allow write +/a", "allow write $SYS/a"],
    ] {
        check(
            rules,
            &[("publish $SYS/a", Dollar), ("resolved $SYS/a", Dollar), ("publish $x", Dollar)],
        );
    }
}

#[test]
fn only_a_rule_that_names_a_dollar_topic_reads_it() {
    check(
        &["allow read #", "allow read +/#", "allow read ${clientId}/#"],
        &[("subscribe $SYS/#", NoRule), ("subscribe $SYS/a", NoRule), ("deliver $SYS/a", NoRule)],
    );
    check(
        &["allow read $SYS/#"],
        &[("subscribe $SYS/#", Granted), ("deliver $SYS/a/b", Granted), ("subscribe #", NoRule)],
    );
    assert_eq!(ask(&rights_as(&["allow read ${clientId}/#"], "$SYS"), "subscribe $SYS/#"), NoRule);
}

#[test]
fn rule_01_a_client_id_with_wildcards_or_separators_matches_nothing() {
    let rules = ["allow readWrite c/${clientId}", "allow readWrite d/${clientId}/#"];
    for client_id in ["#", "+", "a/b", "a/#", "+/+", "a\0", "", "/"] {
        let rights = rights_as(&rules, client_id);
        for topic in ["c", "c/a", "c/a/b", "d/a", "d//", "d/a/b/c", "c/", "d/"] {
            for operation in ["publish", "subscribe", "deliver"] {
                assert_eq!(
                    ask(&rights, &format!("{operation} {topic}")),
                    NoRule,
                    "{client_id:?} {topic}"
                );
            }
        }
        for filter in ["c/+", "c/#", "d/#", "#", "d/+/#", "+/+", "c/+/#"] {
            assert_eq!(
                ask(&rights, &format!("subscribe {filter}")),
                NoRule,
                "{client_id:?} {filter}"
            );
        }
    }
    assert_eq!(ask(&rights_as(&rules, "m-1"), "publish c/m-1"), Granted);
}

#[test]
fn rule_01_a_hostile_client_id_does_not_widen_what_a_deny_leaves() {
    let rules = ["allow read c/#", "deny read c/${clientId}/secret"];
    let rights = rights_as(&rules, "#");
    assert_eq!(ask(&rights, "subscribe c/a"), Granted);
    assert_eq!(ask(&rights, "subscribe d/a"), NoRule);
    assert_eq!(ask(&rights_as(&rules, "m"), "subscribe c/m/secret"), Denied);
    assert_eq!(ask(&rights_as(&rules, "m"), "subscribe c/+/secret"), Filtered);
}

#[test]
fn rule_02_a_client_id_is_never_read_as_an_expression() {
    let rules = ["allow readWrite c/${clientId}"];
    for client_id in [".*", "a|b", "[ab]", "a?", "^", "(a)", "\\w", "${username}", "%61"] {
        for topic in ["c/a", "c/b", "c/anna", "c/"] {
            assert_eq!(
                ask(&rights_as(&rules, client_id), &format!("publish {topic}")),
                NoRule,
                "{client_id}"
            );
        }
        assert_eq!(ask(&rights_as(&rules, client_id), &format!("publish c/{client_id}")), Granted);
    }
}

#[test]
fn rule_05_names_and_values_are_compared_byte_by_byte() {
    let policy = Policy::compile([anna(&[], permissions(&["allow read u/${username}"]))], []);
    assert!(policy.user_by_name("anna").is_some());
    for name in ["Anna", "ANNA", "anna ", "ann", "annaa", ""] {
        assert!(policy.user_by_name(name).is_none(), "{name:?}");
    }
    check(
        &["allow read u/${username}"],
        &[("subscribe u/anna", Granted), ("subscribe u/Anna", NoRule)],
    );
    check(&["allow read Plant"], &[("subscribe Plant", Granted), ("subscribe plant", NoRule)]);
}

#[test]
fn rule_08_a_rule_takes_the_proven_user_whatever_the_client_id_says() {
    let rules = ["allow read u/${username}/#"];
    for client_id in ["bert", "anna", "admin"] {
        assert_eq!(ask(&rights_as(&rules, client_id), "subscribe u/anna/x"), Granted);
        assert_eq!(ask(&rights_as(&rules, client_id), "subscribe u/bert/x"), NoRule);
    }
}

#[test]
fn rule_15_a_share_neither_widens_nor_overrides() {
    check(
        &["allow read a/#", "deny read a/secret/#"],
        &[
            ("subscribe $share/g/a/b", Granted),
            ("subscribe $share/g/a/#", Filtered),
            ("subscribe $share/g/a/secret/x", Denied),
            ("subscribe $share/g/b", NoRule),
            ("subscribe $share/a/#", NoRule),
            ("subscribe $share/g//a/b", NoRule),
        ],
    );
}

#[test]
fn rule_16_no_namespace_is_exempt() {
    let requests: Vec<_> = ["$SYS/x", "$internal/x", "$queue/x", "/x", "//", "_x", "admin/x"]
        .iter()
        .flat_map(|topic| [format!("subscribe {topic}"), format!("deliver {topic}")])
        .collect();
    for request in &requests {
        check(&["allow readWrite other/#"], &[(request, NoRule)]);
    }
}

#[test]
fn rule_17_the_permit_owns_the_topic_that_was_judged() {
    let mut user = anna(&[], permissions(&["allow write topicA/#", "allow write some/values"]));
    user.publish_prefix = Some(PublishPrefix::parse("topicA/").unwrap());
    let rights = Policy::compile([user], []).rights(ANNA, "c1").unwrap();
    let permit = rights.permit_publish("some/values").unwrap();
    assert_eq!(permit.topic().as_str(), "topicA/some/values");
    let resolved =
        rights.permit_resolved(&TopicName::parse("topicA/some/values").unwrap()).unwrap();
    assert_eq!(resolved.topic().as_str(), "topicA/some/values");
    assert_eq!(ask(&rights, "resolved other"), NoRule);
}

#[test]
fn rule_12_what_does_not_begin_with_the_writers_prefix_it_could_not_have_written() {
    let mut user = anna(&[], permissions(&["allow write #"]));
    user.publish_prefix = Some(PublishPrefix::parse("topicA/").unwrap());
    let rights = Policy::compile([user], []).rights(ANNA, "c1").unwrap();
    for (topic, expected) in
        [("topicA/x", Granted), ("topicA/", NoRule), ("topicB/x", NoRule), ("x", NoRule)]
    {
        assert_eq!(ask(&rights, &format!("resolved {topic}")), expected, "{topic}");
        let topic = TopicName::parse(topic).unwrap();
        let explained = rights.explain(Request::PublishResolved(&topic)).decision;
        assert_eq!(explained == Decision::Allow, expected == Granted, "{topic}");
    }
}

#[test]
fn a_prefix_is_put_before_the_topic_as_plain_text() {
    for (prefix, sent, rule, expected) in [
        ("a", "b/c", "allow write ab/c", Granted),
        ("a/", "/b", "allow write a//b", Granted),
        ("a/", "b", "allow write b", NoRule),
        ("a/", "$SYS/x", "allow write a/$SYS/x", Granted),
        ("a/", "", "allow write #", Invalid),
        ("a/", "+", "allow write #", Invalid),
        ("a/", "b\0", "allow write #", Invalid),
    ] {
        let mut user = anna(&[], permissions(&[rule]));
        user.publish_prefix = Some(PublishPrefix::parse(prefix).unwrap());
        let rights = Policy::compile([user], []).rights(ANNA, "c1").unwrap();
        assert_eq!(ask(&rights, &format!("publish {sent}")), expected, "{prefix} {sent} {rule}");
    }
}

#[test]
fn rule_18_each_filter_has_its_own_answer() {
    check(
        &["allow read a/#"],
        &[
            ("subscribe a/b", Granted),
            ("subscribe b", NoRule),
            ("subscribe a/c", Granted),
            ("subscribe #", NoRule),
        ],
    );
}

#[test]
fn rule_23_a_deny_beats_every_allow_wherever_either_stands() {
    // `check` tries both orders, own and by roles.
    check(&["allow write #", "deny write a/+"], &[("publish a/b", Denied), ("publish a", Granted)]);
    check(&["deny write a/+", "allow write a/b"], &[("publish a/b", Denied)]);
    check(&["allow write a/b", "allow write a/b", "deny write a/b"], &[("publish a/b", Denied)]);
}

#[test]
fn rule_29_what_cannot_be_judged_is_refused() {
    let deep = "a/".repeat(256);
    let long = "a".repeat(65_536);
    for topic in ["", "a/+", "#", "a\0", deep.as_str(), long.as_str()] {
        assert_eq!(answer(rights(&["allow write #"]).permit_publish(topic)), Invalid);
        let path = format!("/{topic}");
        if topic.len() > 100 {
            assert_eq!(
                answer(rights(&["allow http:write #"]).permit_http(Operation::Write, &path)),
                Invalid
            );
        }
    }
    let mut user = anna(&[], permissions(&["allow write #"]));
    user.publish_prefix = Some(PublishPrefix::parse("prefix/").unwrap());
    let rights = Policy::compile([user], []).rights(ANNA, "c1").unwrap();
    let fits = "a".repeat(65_535);
    let denial = rights.permit_publish(&fits).unwrap_err();
    assert_eq!(denial, Denial::InvalidTopic(TopicError::TooLong { bytes: 65_542 }));
}

#[test]
fn rule_29_a_role_that_is_not_there_brings_nothing() {
    let policy =
        Policy::compile([anna(&[1], Vec::new())], [role(1, permissions(&["allow read #"]))]);
    assert_eq!(ask(&policy.rights(ANNA, "c1").unwrap(), "subscribe a"), Granted);
    let policy = policy.apply([PolicyChange::RemoveRole(role(1, Vec::new()).id)]);
    assert_eq!(ask(&policy.rights(ANNA, "c1").unwrap(), "subscribe a"), NoRule);
}

#[test]
fn a_user_who_is_gone_or_disabled_has_no_rights() {
    let policy = Policy::compile([anna(&[], permissions(&["allow read #"]))], []);
    assert!(policy.rights(ANNA, "c1").is_some());
    assert!(policy.rights(UserId(uuid::Uuid::from_u128(2)), "c1").is_none());
    let disabled = access::User { enabled: false, ..anna(&[], permissions(&["allow read #"])) };
    assert!(policy.apply([PolicyChange::PutUser(disabled)]).rights(ANNA, "c1").is_none());
    assert!(policy.apply([PolicyChange::RemoveUser(ANNA)]).rights(ANNA, "c1").is_none());
}

#[test]
fn an_explanation_names_the_rules_and_whose_they_are() {
    let user = anna(&[1, 2], vec![permission(10, "allow read a/#")]);
    let roles = [
        role(1, vec![permission(11, "allow readWrite a/+"), permission(12, "allow read b")]),
        role(2, vec![permission(13, "deny read a/secret"), permission(14, "deny write a/b")]),
    ];
    let rights = Policy::compile([user], roles).rights(ANNA, "c1").unwrap();
    for (request, expected) in [
        (
            "a/+",
            vec![
                "user `anna`: allow read `a/#`",
                "role `role-1`: allow readWrite `a/+`",
                "role `role-2`: deny read `a/secret`",
            ],
        ),
        ("a/secret", vec!["role `role-2`: deny read `a/secret`"]),
        ("b", vec!["role `role-1`: allow read `b`"]),
        ("c", vec![]),
    ] {
        let filter = SubscriptionFilter::parse(request).unwrap();
        let explanation = rights.explain(Request::Subscribe(&filter));
        let because: Vec<_> = explanation.because.iter().map(ToString::to_string).collect();
        assert_eq!(because, expected, "{request}");
        assert_eq!(explanation.resource, request);
    }
    let explanation = rights.explain(Request::Publish("a/b"));
    assert_eq!(
        explanation.denial.unwrap().to_string(),
        "denied by role `role-2`: deny write `a/b`"
    );
    let owners: Vec<_> = explanation.because.iter().map(|it| (it.effect, &it.owner)).collect();
    let role = Owner::Role(RoleName::parse("role-2").unwrap());
    assert_eq!(owners, [(Effect::Deny, &role)]);
}

#[test]
fn a_rule_for_both_actions_is_named_once() {
    let explanation = rights(&["allow http:readWrite /api/#"])
        .explain(Request::Http { operation: Operation::ReadWrite, path: "/api/x" });
    assert_eq!(explanation.because.len(), 1);
}

#[test]
fn any_allowed_path_is_an_http_permission_and_a_denied_one_is_not() {
    for (rules, expected) in [
        (&[][..], false),
        (&["allow readWrite #"], false),
        (&["deny http:read #"], false),
        (&["allow http:read /x"], true),
    ] {
        assert_eq!(rights(rules).has_http_permission(), expected, "{rules:?}");
    }
}
