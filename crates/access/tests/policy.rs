//! Policies: what a change changes, what it leaves, and when a proof ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use access::{
    AuthMethod, Authenticated, CONNECTWARE_ADMIN, CompiledUser, Context, DEFAULT_ROLES, Effect,
    Grant, GrantTypes, Lapse, MINIMUM_ACCESS, Operation, PermissionId, Policy, PolicyChange, Proof,
    ProvenMethods, Role, RoleId, RoleName, SecondPassword, User, UserId, UserName,
};
use std::num::NonZeroU32;
use std::sync::Arc;

use common::{ANNA, anna, permissions, role};
use topic::{SubscriptionFilter, TopicName};
use uuid::Uuid;

fn proof(method: AuthMethod) -> Proof {
    Proof { methods: ProvenMethods::from(method), credential_epoch: 7 }
}

fn check_standing(change: impl Fn(&mut User), expected: Result<(), Lapse>) {
    let before = Policy::compile([anna(&[], Vec::new())], []);
    let user = before.user(ANNA).unwrap();
    let authenticated = Authenticated::prove(user, proof(AuthMethod::Password)).unwrap();
    assert_eq!(before.standing(&authenticated), Ok(()));
    let mut user = anna(&[], Vec::new());
    change(&mut user);
    let after = before.apply([PolicyChange::PutUser(user)]);
    assert_eq!(after.standing(&authenticated), expected);
    let proven_anew = Authenticated::prove(after.user(ANNA).unwrap(), proof(AuthMethod::Password));
    assert_eq!(
        proven_anew.map(|_| ()).is_ok(),
        expected.is_ok() || expected == Err(Lapse::UserRemoved)
    );
}

#[test]
fn a_proof_stands_while_nothing_about_it_changes() {
    check_standing(|_| {}, Ok(()));
    check_standing(|user| user.permissions = permissions(&["allow read #"]), Ok(()));
    check_standing(|user| user.roles.push(RoleId(Uuid::from_u128(5))), Ok(()));
}

#[test]
fn a_proof_lapses_with_the_secret_the_user_and_the_grant_type() {
    check_standing(|user| user.credential_epoch += 1, Err(Lapse::CredentialsChanged));
    check_standing(|user| user.enabled = false, Err(Lapse::UserDisabled));
    check_standing(|user| user.grants = GrantTypes::CERTIFICATE, Err(Lapse::GrantsUnsatisfied));
    check_standing(|user| user.grants = GrantTypes::default(), Err(Lapse::GrantsUnsatisfied));
    check_standing(
        |user| {
            user.grants = [
                Grant { method: AuthMethod::Certificate, is_required: true },
                Grant { method: AuthMethod::Password, is_required: false },
            ]
            .into_iter()
            .collect();
        },
        Err(Lapse::GrantsUnsatisfied),
    );
    check_standing(|user| user.name = UserName::parse("bert").unwrap(), Err(Lapse::UserRemoved));
}

#[test]
fn a_proof_lapses_with_the_removal_of_the_user() {
    let policy = Policy::compile([anna(&[], Vec::new())], []);
    let user = policy.user(ANNA).unwrap();
    let authenticated = Authenticated::prove(user, proof(AuthMethod::Password)).unwrap();
    let removed = policy.apply([PolicyChange::RemoveUser(ANNA)]);
    assert_eq!(removed.standing(&authenticated), Err(Lapse::UserRemoved));
    // One that comes later with the same name is somebody else.
    let mut namesake = anna(&[], Vec::new());
    namesake.id = UserId(Uuid::from_u128(99));
    let again = removed.apply([PolicyChange::PutUser(namesake)]);
    assert_eq!(again.standing(&authenticated), Err(Lapse::UserRemoved));
}

#[test]
fn a_proof_by_a_second_password_lapses_with_that_one_and_a_proof_by_the_first_does_not() {
    let with = |second: Option<(u32, u64)>| {
        let second = second.map(|(serial, ends_at_ms)| SecondPassword {
            serial: NonZeroU32::new(serial).unwrap(),
            ends_at_ms,
        });
        Arc::new(CompiledUser::with_second_password(anna(&[], Vec::new()), second))
    };
    let policy = Policy::empty().apply([PolicyChange::PutCompiled(with(Some((4, 100))))]);
    let user = policy.user(ANNA).unwrap();
    let password = proof(AuthMethod::Password);
    let by_first = Authenticated::prove(user, password).unwrap();
    let serial = |number: u32| NonZeroU32::new(number).unwrap();
    let by_second = Authenticated::prove_by_second(user, password, serial(4)).unwrap();
    let by_another = Authenticated::prove_by_second(user, password, serial(3));
    assert_eq!(by_another.unwrap_err(), Lapse::CredentialsChanged);
    let check = |second, expected, ends_at_ms| {
        let next = policy.apply([PolicyChange::PutCompiled(with(second))]);
        assert_eq!(next.standing(&by_first), Ok(()), "{second:?}");
        assert_eq!(next.proof_ends_at_ms(&by_first), None, "{second:?}");
        assert_eq!(next.standing(&by_second), expected, "{second:?}");
        assert_eq!(next.proof_ends_at_ms(&by_second), ends_at_ms, "{second:?}");
    };
    check(Some((4, 100)), Ok(()), Some(100));
    check(Some((4, 50)), Ok(()), Some(50));
    check(Some((5, 100)), Err(Lapse::CredentialsChanged), None);
    check(None, Err(Lapse::CredentialsChanged), None);
}

#[test]
fn nobody_is_proven_by_an_old_secret_a_wrong_method_or_nothing() {
    let policy = Policy::compile([anna(&[], Vec::new())], []);
    let user = policy.user(ANNA).unwrap();
    let old = Proof { credential_epoch: 6, ..proof(AuthMethod::Password) };
    assert_eq!(Authenticated::prove(user, old).unwrap_err(), Lapse::CredentialsChanged);
    let wrong = proof(AuthMethod::Certificate);
    assert_eq!(Authenticated::prove(user, wrong).unwrap_err(), Lapse::GrantsUnsatisfied);
    let nothing = Proof { methods: ProvenMethods::default(), credential_epoch: 7 };
    assert_eq!(Authenticated::prove(user, nothing).unwrap_err(), Lapse::GrantsUnsatisfied);
}

#[test]
fn a_change_makes_a_new_policy_and_leaves_the_old_one_as_it_was() {
    let old = Policy::compile([anna(&[], permissions(&["allow read a"]))], []);
    let new = old.apply([PolicyChange::RemoveUser(ANNA)]);
    assert_eq!((Policy::empty().generation(), old.generation(), new.generation()), (0, 1, 2));
    assert!(old.rights(ANNA, "c1").is_some() && old.user_by_name("anna").is_some());
    assert!(new.rights(ANNA, "c1").is_none() && new.user_by_name("anna").is_none());
    assert_eq!((old.user_count(), new.user_count()), (1, 0));
}

#[test]
fn a_name_means_one_user() {
    let mut namesake = anna(&[], Vec::new());
    namesake.id = UserId(Uuid::from_u128(2));
    let policy = Policy::compile([anna(&[], Vec::new()), namesake], []);
    assert_eq!(policy.user_count(), 1);
    assert!(policy.user(ANNA).is_none());
    assert_eq!(policy.user_by_name("anna").unwrap().id(), UserId(Uuid::from_u128(2)));
}

#[test]
fn two_users_can_change_names_in_one_step() {
    let named = |id, name: &str| User {
        id: UserId(Uuid::from_u128(id)),
        name: UserName::parse(name).unwrap(),
        ..anna(&[], Vec::new())
    };
    let before = Policy::compile([named(1, "anna"), named(2, "bert")], []);
    let after = before.apply([named(1, "bert"), named(2, "anna")].map(PolicyChange::PutUser));
    for (name, id) in [("anna", 2), ("bert", 1)] {
        let id = UserId(Uuid::from_u128(id));
        assert_eq!(after.user_by_name(name).unwrap().id(), id);
        assert_eq!(after.user(id).unwrap().name().as_str(), name);
    }
}

fn check_current(change: PolicyChange, is_current: bool) {
    let roles = [role(1, permissions(&["allow read a"])), role(2, Vec::new())];
    let policy = Policy::compile([anna(&[1], Vec::new())], roles);
    let rights = policy.rights(ANNA, "c1").unwrap();
    assert!(rights.are_current_in(&policy));
    let case = format!("{change:?}");
    assert_eq!(rights.are_current_in(&policy.apply([change])), is_current, "{case}");
}

#[test]
fn rights_are_current_until_something_about_them_changes() {
    let mut bert = anna(&[1], Vec::new());
    (bert.id, bert.name) = (UserId(Uuid::from_u128(2)), UserName::parse("bert").unwrap());
    check_current(PolicyChange::PutUser(bert), true);
    check_current(PolicyChange::PutRole(role(2, permissions(&["allow read b"]))), true);
    check_current(PolicyChange::RemoveUser(UserId(Uuid::from_u128(3))), true);
    check_current(PolicyChange::PutUser(anna(&[1, 2], Vec::new())), false);
    check_current(PolicyChange::RemoveUser(ANNA), false);
    check_current(PolicyChange::PutRole(role(1, Vec::new())), false);
    check_current(PolicyChange::RemoveRole(role(1, Vec::new()).id), false);
}

fn default_rights(name: &str) -> access::Rights {
    let default = DEFAULT_ROLES.iter().find(|role| role.name == name).unwrap();
    let permissions = default.permissions(|| PermissionId(Uuid::nil())).unwrap();
    assert!(permissions.iter().all(|it| it.effect == Effect::Allow));
    let id = RoleId(Uuid::from_u128(1));
    let role = Role {
        id,
        name: RoleName::parse(name).unwrap(),
        permissions,
        publish_budget: access::PublishBudget::default(),
    };
    Policy::compile([anna(&[1], Vec::new())], [role]).rights(ANNA, "c1").unwrap()
}

fn check_default(name: &str, mqtt_topic: &str, is_read: bool, is_written: bool) {
    let rights = default_rights(name);
    let filter = SubscriptionFilter::parse(mqtt_topic).unwrap();
    assert_eq!(rights.permit_subscribe(&filter).is_ok(), is_read, "{name} reads {mqtt_topic}");
    if TopicName::parse(mqtt_topic).is_ok() {
        let is_ok = rights.permit_publish(mqtt_topic).is_ok();
        assert_eq!(is_ok, is_written, "{name} writes {mqtt_topic}");
    }
}

#[test]
fn the_administrator_may_do_everything_but_publish_to_dollar_topics() {
    check_default(CONNECTWARE_ADMIN, "a/b", true, true);
    check_default(CONNECTWARE_ADMIN, "#", true, true);
    check_default(CONNECTWARE_ADMIN, "$SYS/a", true, false);
    check_default(CONNECTWARE_ADMIN, "$SYS/#", true, false);
    check_default(CONNECTWARE_ADMIN, "$other/#", false, false);
    let rights = default_rights(CONNECTWARE_ADMIN);
    for path in ["/", "/api/users", "/metrics", "/$x"] {
        assert!(rights.permit_http(Operation::ReadWrite, path).is_ok(), "{path}");
    }
}

#[test]
fn minimum_access_is_a_log_in_and_nothing_more() {
    let rights = default_rights(MINIMUM_ACCESS);
    assert!(rights.has_http_permission());
    assert!(rights.permit_http(Operation::Write, "/api/login").is_ok());
    for path in ["/api/users", "/api/users/anna", "/api/roles", "/api/clients", "/metrics", "/api"]
    {
        assert!(rights.permit_http(Operation::Read, path).is_err(), "{path}");
        assert!(rights.permit_http(Operation::Write, path).is_err(), "{path}");
    }
    check_default(MINIMUM_ACCESS, "a", false, false);
    let default = DEFAULT_ROLES.iter().find(|role| role.name == MINIMUM_ACCESS).unwrap();
    assert!(default.permissions.iter().all(|it| it.context == Context::Http));
}
