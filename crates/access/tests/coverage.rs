//! What somebody may give away: nothing that it does not have.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use access::{Permission, Policy, PublishPrefix, Recipient, Rights, User, UserId, UserName};
use common::{ANNA, anna, permissions};
use topic::TopicName;
use uuid::Uuid;

fn rights(user: User) -> Rights {
    let id = user.id;
    Policy::compile([user], []).rights(id, "any").unwrap()
}

fn one(rule: &str) -> Permission {
    permissions(&[rule]).pop().unwrap()
}

fn check(own: &[&str], given: &str, is_covered: bool) {
    let rights = rights(anna(&[], permissions(own)));
    let covers = rights.grantor().covers(&one(given), &Recipient::default());
    assert_eq!(covers, is_covered, "{own:?} gives {given}");
}

#[test]
fn what_is_given_must_be_covered_for_each_action() {
    check(&["allow readWrite plant/#"], "allow read plant/+/temp", true);
    check(&["allow readWrite plant/#"], "allow readWrite plant/#", true);
    check(&["allow read plant/#"], "allow readWrite plant/a", false);
    check(&["allow read plant/#", "allow write plant/a"], "allow readWrite plant/a", true);
    check(&["allow readWrite plant/+"], "allow read plant/#", false);
    check(&[], "allow read a", false);
    check(&["allow readWrite a"], "allow read b", false);
}

#[test]
fn a_deny_may_be_given_always() {
    check(&[], "deny readWrite #", true);
    check(&["deny readWrite #"], "deny read a", true);
}

#[test]
fn what_is_denied_in_part_is_not_given_whole() {
    let own = ["allow readWrite plant/#", "deny write plant/secret/#"];
    check(&own, "allow write plant/#", false);
    check(&own, "allow write plant/+/a", false);
    check(&own, "allow write plant/secret/a", false);
    check(&own, "allow write plant/open/#", true);
    check(&own, "allow read plant/#", true);
    check(&["allow readWrite #", "deny write ${clientId}/#"], "allow write a", false);
    check(&["allow readWrite #", "deny write ${username}/#"], "allow write anna/a", false);
    check(&["allow readWrite #", "deny write ${username}/#"], "allow write other/a", true);
}

#[test]
fn a_deny_that_goes_along_keeps_what_the_grantor_may_not_do() {
    let rights =
        rights(anna(&[], permissions(&["allow read plant/#", "deny read plant/secret/#"])));
    let check = |denies: &[&str], is_covered: bool| {
        let denies = permissions(denies);
        let denies: Vec<&Permission> = denies.iter().collect();
        let recipient = Recipient { denies: &denies, publish_prefix: None };
        let covers = rights.grantor().covers(&one("allow read plant/#"), &recipient);
        assert_eq!(covers, is_covered, "{denies:?}");
    };
    check(&["deny read plant/secret/#"], true);
    check(&["deny readWrite plant/#"], true);
    check(&["deny write plant/secret/#"], false);
    check(&["deny read plant/secret/+"], false);
    check(&["deny read plant/${username}/#"], false);
}

#[test]
fn a_placeholder_is_given_to_anybody() {
    check(&["allow read dev/${username}/#"], "allow read dev/${username}/#", false);
    check(&["allow read dev/+/#"], "allow read dev/${username}/#", true);
    check(&["allow read dev/+"], "allow read dev/${clientId}", true);
    check(&["allow read dev/${username}"], "allow read dev/anna", true);
    check(&["allow read dev/${clientId}"], "allow read dev/any", false);
}

#[test]
fn reserved_topics_are_given_only_by_who_may_read_them() {
    check(&["allow readWrite #"], "allow read $SYS/#", false);
    check(&["allow readWrite #", "allow read $SYS/#"], "allow read $SYS/#", true);
    // It allows nothing, whoever has it.
    check(&[], "allow write $SYS/#", true);
}

#[test]
fn who_publishes_below_a_prefix_gives_no_more() {
    let own = User {
        publish_prefix: Some(PublishPrefix::parse("site/a").unwrap()),
        ..anna(&[], permissions(&["allow readWrite #"]))
    };
    let rights = rights(own);
    let check = |given: &str, theirs: Option<&str>, is_covered: bool| {
        let theirs = theirs.map(|text| PublishPrefix::parse(text).unwrap());
        let recipient = Recipient { denies: &[], publish_prefix: theirs.as_ref() };
        assert_eq!(rights.grantor().covers(&one(given), &recipient), is_covered, "{given}");
    };
    check("allow read #", None, true);
    check("allow write #", None, false);
    check("allow write #", Some("site/"), false);
    check("allow write #", Some("site/a"), true);
    check("allow write #", Some("site/a/b/"), true);
    check("allow write site/a/#", None, true);
    check("allow write site/ab", None, true);
    check("allow write site/#", None, false);
    check("allow write site/+", None, false);
    check("allow write site/b", None, false);
}

/// The law behind all of it, on every pair of small rule books.
#[test]
fn whoever_is_given_something_can_do_nothing_that_the_giver_cannot() {
    let patterns =
        ["#", "+", "a", "a/#", "a/+", "+/b", "a/b", "+/#", "${username}/b", "$s/#", "/a"];
    let names = ["a", "b", "a/b", "b/b", "a/b/c", "$s", "$s/a", "bert/b", "anna/b", "/a", "a/"];
    let bert = UserId(Uuid::from_u128(77));
    let mut covered = 0;
    for allow in patterns {
        for deny in patterns {
            for given in patterns {
                let rules = [format!("allow read {allow}"), format!("deny read {deny}")];
                let own: Vec<&str> = rules.iter().map(String::as_str).collect();
                let giver = rights(anna(&[], permissions(&own)));
                let given = one(&format!("allow read {given}"));
                if !giver.grantor().covers(&given, &Recipient::default()) {
                    continue;
                }
                covered += 1;
                let name = UserName::parse("bert").unwrap();
                let taker = User { id: bert, name, ..anna(&[], vec![given.clone()]) };
                let taker = rights(taker);
                for topic in names {
                    let topic = TopicName::parse(topic).unwrap();
                    if taker.permit_delivery(&topic).is_ok() {
                        assert_eq!(
                            giver.permit_delivery(&topic),
                            Ok(()),
                            "{own:?} {given:?} {topic}"
                        );
                    }
                }
            }
        }
    }
    assert!(covered > 100, "{covered}");
    assert_eq!(ANNA, rights(anna(&[], Vec::new())).user_id());
}
