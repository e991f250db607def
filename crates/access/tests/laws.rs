//! Laws of the decision and of the policy, on random rules.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use access::{
    CompiledUser, Context, Decision, Denial, Effect, Operation, Permission, Policy, PolicyChange,
    Request, Rights, Role, RoleId, User, UserId, UserName,
};
use common::{ANNA, anna, permission, permissions, role};
use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use std::collections::BTreeMap;
use topic::{Bindings, SubscriptionFilter, TopicName};
use uuid::Uuid;

fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "", "+", "$x", "${username}", "${clientId}", "anna", "c1"])
}

fn rule() -> impl Strategy<Value = String> {
    let resource = (vec(level(), 0..4), any::<bool>())
        .prop_map(|(mut levels, is_open)| {
            levels.extend(is_open.then_some("#"));
            levels.join("/")
        })
        .prop_filter("empty", |text| !text.is_empty());
    let effect = prop_oneof![2 => Just("allow"), 1 => Just("deny")];
    let operation =
        prop::sample::select(vec!["read", "write", "readWrite", "http:read", "http:readWrite"]);
    (effect, operation, resource)
        .prop_map(|(effect, operation, resource)| format!("{effect} {operation} {resource}"))
}

fn rules() -> impl Strategy<Value = Vec<Permission>> {
    vec(rule(), 0..6).prop_map(|rules| {
        rules.iter().enumerate().map(|(number, rule)| permission(number, rule)).collect()
    })
}

fn topic() -> impl Strategy<Value = TopicName> {
    let level = prop::sample::select(vec!["a", "b", "", "$x", "anna", "c1", "z"]);
    vec(level, 1..5).prop_filter_map("empty", |levels| TopicName::parse(&levels.join("/")).ok())
}

fn filter() -> impl Strategy<Value = SubscriptionFilter> {
    let level = prop::sample::select(vec!["a", "b", "", "$x", "anna", "c1", "+", "+", "z"]);
    (vec(level, 0..4), any::<bool>(), any::<bool>()).prop_filter_map(
        "no filter",
        |(mut levels, is_open, is_shared)| {
            levels.extend(is_open.then_some("#"));
            let share = if is_shared { "$share/g/" } else { "" };
            SubscriptionFilter::parse(&format!("{share}{}", levels.join("/"))).ok()
        },
    )
}

/// One question of each kind about one topic and one filter.
#[derive(Clone, Debug)]
struct Questions {
    topic: TopicName,
    filter: SubscriptionFilter,
}

fn questions() -> impl Strategy<Value = Questions> {
    (topic(), filter()).prop_map(|(topic, filter)| Questions { topic, filter })
}

impl Questions {
    /// The outcomes of all permits: allowed or not, and whether filtered.
    fn outcomes(&self, rights: &Rights) -> Vec<Result<bool, Denial>> {
        vec![
            rights.permit_publish(self.topic.as_str()).map(|_| false),
            rights.permit_resolved(&self.topic).map(|_| false),
            rights.permit_delivery(&self.topic).map(|()| false),
            rights.permit_subscribe(&self.filter).map(|permit| permit.is_filtered()),
            rights.permit_http(Operation::Read, self.topic.as_str()).map(|_| false),
            rights.permit_http(Operation::Write, self.topic.as_str()).map(|_| false),
            rights.permit_http(Operation::ReadWrite, self.topic.as_str()).map(|_| false),
        ]
    }

    fn requests(&self) -> Vec<Request<'_>> {
        let http = |operation| Request::Http { operation, path: self.topic.as_str() };
        vec![
            Request::Publish(self.topic.as_str()),
            Request::PublishResolved(&self.topic),
            Request::Deliver(&self.topic),
            Request::Subscribe(&self.filter),
            http(Operation::Read),
            http(Operation::Write),
            http(Operation::ReadWrite),
        ]
    }

    fn answers(&self, rights: &Rights) -> Vec<Option<bool>> {
        self.outcomes(rights).into_iter().map(Result::ok).collect()
    }
}

fn rights(own: Vec<Permission>, by_role: &[Vec<Permission>]) -> Rights {
    let roles: Vec<Role> =
        (1..).zip(by_role).map(|(number, rules)| role(number, rules.clone())).collect();
    let numbers: Vec<u128> = (1..).take(roles.len()).collect();
    Policy::compile([anna(&numbers, own)], roles).rights(ANNA, "c1").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn adding_a_deny_never_allows_anything(
        own in rules(), by_role in rules(), deny in rule(), asked in questions(),
    ) {
        let before = asked.answers(&rights(own.clone(), std::slice::from_ref(&by_role)));
        let mut deny = permission(99, &deny);
        deny.effect = Effect::Deny;
        let denied = |rules: &Vec<Permission>| [rules.clone(), vec![deny.clone()]].concat();
        for (own, by_role) in [(denied(&own), by_role.clone()), (own.clone(), denied(&by_role))] {
            let after = asked.answers(&rights(own, &[by_role]));
            for (before, after) in before.iter().zip(after) {
                prop_assert!(before.is_some() || after.is_none());
                let took_a_filter_off = *before == Some(true) && after == Some(false);
                prop_assert!(!took_a_filter_off);
            }
        }
    }

    #[test]
    fn adding_an_allow_never_refuses_anything(
        own in rules(), allow in rule(), asked in questions(),
    ) {
        let before = asked.answers(&rights(own.clone(), &[]));
        let mut allow = permission(99, &allow);
        allow.effect = Effect::Allow;
        let after = asked.answers(&rights([own, vec![allow]].concat(), &[]));
        for (before, after) in before.into_iter().zip(after) {
            prop_assert!(before.is_none() || after == before);
        }
    }

    #[test]
    fn order_of_permissions_and_roles_never_matters(
        own in rules(), by_role in vec(rules(), 0..4), seed in any::<prop::sample::Index>(),
        asked in questions(),
    ) {
        let expected = asked.answers(&rights(own.clone(), &by_role));
        let (mut turned, mut turned_roles) = (own.clone(), by_role.clone());
        turned.rotate_left(seed.index(own.len().max(1)).min(own.len()));
        turned.reverse();
        turned_roles.reverse();
        turned_roles.iter_mut().for_each(|rules| rules.reverse());
        prop_assert_eq!(&asked.answers(&rights(turned, &turned_roles)), &expected);
        // Nor whose rules they are.
        let all = [own, by_role.concat()].concat();
        prop_assert_eq!(&asked.answers(&rights(all.clone(), &[])), &expected);
        prop_assert_eq!(&asked.answers(&rights(Vec::new(), &[all])), &expected);
    }

    #[test]
    fn an_explanation_says_what_the_permit_says(
        own in rules(), by_role in rules(), asked in questions(),
    ) {
        let rights = rights(own, &[by_role]);
        for (outcome, request) in asked.outcomes(&rights).into_iter().zip(asked.requests()) {
            let explanation = rights.explain(request);
            prop_assert_eq!(outcome.is_ok(), explanation.decision == Decision::Allow);
            prop_assert_eq!(outcome.as_ref().err(), explanation.denial.as_ref());
            prop_assert_eq!(outcome == Ok(true), explanation.is_filtered);
            let has = |effect| explanation.because.iter().any(|it| it.effect == effect);
            let reasons = (has(Effect::Allow), has(Effect::Deny));
            match outcome {
                Ok(is_filtered) => prop_assert_eq!(reasons, (true, is_filtered)),
                Err(Denial::DenyRule(_)) => prop_assert_eq!(reasons, (false, true)),
                Err(_) => prop_assert_eq!(reasons, (false, false)),
            }
        }
    }

    #[test]
    fn the_compiled_rules_decide_as_a_list_of_them_would(
        own in rules(), by_role in vec(rules(), 0..3), asked in questions(),
    ) {
        let all = [own.clone(), by_role.concat()].concat();
        let rights = rights(own, &by_role);
        let bindings = Bindings { username: Some("anna"), client_id: Some("c1") };
        let (topic, filter) = (&asked.topic, &asked.filter.filter);
        let has = |effect, action, is_in: &dyn Fn(&Permission) -> bool| {
            all.iter().any(|it| {
                it.context == Context::Mqtt && it.effect == effect
                    && [action, Operation::ReadWrite].contains(&it.operation) && is_in(it)
            })
        };
        let matches = |it: &Permission| it.resource.pattern().matches(topic, &bindings);
        let covers = |it: &Permission| it.resource.pattern().covers(filter, &bindings);
        let overlaps = |it: &Permission| it.resource.pattern().overlaps(filter, &bindings);
        let may = |action| {
            has(Effect::Allow, action, &matches) && !has(Effect::Deny, action, &matches)
        };
        let may_write = may(Operation::Write) && !topic.is_dollar();
        prop_assert_eq!(rights.permit_resolved(topic).is_ok(), may_write);
        prop_assert_eq!(rights.permit_delivery(topic).is_ok(), may(Operation::Read));
        let may_subscribe = has(Effect::Allow, Operation::Read, &covers)
            && !has(Effect::Deny, Operation::Read, &covers);
        let is_filtered = has(Effect::Deny, Operation::Read, &overlaps);
        let answer = rights.permit_subscribe(&asked.filter).map(|it| it.is_filtered()).ok();
        prop_assert_eq!(answer, may_subscribe.then_some(is_filtered));
    }

    #[test]
    fn what_a_subscription_without_filtering_brings_may_be_read(
        own in rules(), asked in questions(),
    ) {
        let rights = rights(own, &[]);
        if let Ok(permit) = rights.permit_subscribe(&asked.filter)
            && asked.filter.filter.matches(&asked.topic)
            && !permit.is_filtered()
        {
            prop_assert_eq!(rights.permit_delivery(&asked.topic), Ok(()));
        }
    }

    #[test]
    fn rule_01_no_client_id_gives_more_than_a_plus_in_its_place(
        client_id in any::<String>(), asked in questions(),
    ) {
        let of = |rules: &[&str]| {
            Policy::compile([anna(&[], permissions(rules))], []).rights(ANNA, client_id.as_str()).unwrap()
        };
        let bound = of(&["allow readWrite a/${clientId}/#", "allow readWrite ${clientId}"]);
        let wild = of(&["allow readWrite a/+/#", "allow readWrite +"]);
        for (bound, wild) in asked.answers(&bound).into_iter().zip(asked.answers(&wild)) {
            prop_assert!(bound.is_none() || wild.is_some());
        }
    }
}

fn change() -> impl Strategy<Value = PolicyChange> {
    prop_oneof![
        2 => user().prop_map(PolicyChange::PutUser),
        1 => user().prop_map(|user| PolicyChange::PutCompiled(CompiledUser::new(user).into())),
        1 => (1..6_u128).prop_map(|id| PolicyChange::RemoveUser(UserId(Uuid::from_u128(id)))),
        2 => (1..5_u128, rules()).prop_map(|(id, rules)| PolicyChange::PutRole(role(id, rules))),
        1 => (1..5_u128).prop_map(|id| PolicyChange::RemoveRole(RoleId(Uuid::from_u128(id)))),
    ]
}

fn user() -> impl Strategy<Value = User> {
    let user = (1..6_u128, 1..6_u128, vec(1..5_u128, 0..3), rules(), prop::bool::weighted(0.8));
    user.prop_map(|(id, name, roles, rules, enabled)| User {
        id: UserId(Uuid::from_u128(id)),
        name: UserName::parse(&format!("user-{name}")).unwrap(),
        enabled,
        ..anna(&roles, rules)
    })
}

/// The same, kept as plain lists.
#[derive(Default)]
struct Store {
    users: BTreeMap<UserId, User>,
    roles: BTreeMap<RoleId, Role>,
}

impl Store {
    fn apply(&mut self, change: PolicyChange) {
        match change {
            PolicyChange::PutUser(user) => self.put(user),
            PolicyChange::PutCompiled(user) => self.put(user.user().clone()),
            PolicyChange::RemoveUser(id) => drop(self.users.remove(&id)),
            PolicyChange::PutRole(role) => drop(self.roles.insert(role.id, role)),
            PolicyChange::RemoveRole(id) => drop(self.roles.remove(&id)),
        }
    }

    fn put(&mut self, user: User) {
        self.users.retain(|_, other| other.name != user.name);
        self.users.insert(user.id, user);
    }

    fn compile(&self) -> Policy {
        Policy::compile(self.users.values().cloned(), self.roles.values().cloned())
    }
}

/// All that can be seen of a policy.
fn view(policy: &Policy, asked: &[Questions]) -> Vec<String> {
    let mut lines = vec![format!("{} users", policy.user_count())];
    lines.extend(policy.users().map(|user| {
        let by_id = policy.user(user.id()).map(|it| it.name().clone());
        let by_name = policy.user_by_name(user.name().as_str()).map(|it| it.id());
        let rights = policy.rights(user.id(), "c1");
        let explanations: Vec<_> = rights
            .iter()
            .flat_map(|rights| {
                asked.iter().flat_map(|it| it.requests()).map(|request| rights.explain(request))
            })
            .collect();
        format!("{:?} {by_id:?} {by_name:?} {:?} {explanations:?}", user.id(), user.roles())
    }));
    lines.extend(
        policy
            .roles()
            .map(|role| format!("{:?} {:?} {:?}", role.id(), role.name(), role.permissions())),
    );
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_policy_is_the_one_compiled_from_scratch(
        steps in vec(vec(change(), 0..4), 1..12), asked in vec(questions(), 1..4),
    ) {
        let mut store = Store::default();
        let mut policy = store.compile();
        for (number, changes) in (2..).zip(steps) {
            let before = view(&policy, &asked);
            let next = policy.apply(changes.clone());
            changes.into_iter().for_each(|change| store.apply(change));
            prop_assert_eq!(view(&next, &asked), view(&store.compile(), &asked));
            prop_assert_eq!(view(&policy, &asked), before, "the old policy changed");
            prop_assert_eq!(next.generation(), number);
            policy = next;
        }
    }

    #[test]
    fn one_step_of_many_changes_is_many_steps_of_one(
        changes in vec(change(), 0..12), asked in questions(),
    ) {
        let at_once = Policy::empty().apply(changes.clone());
        let step = |policy: Policy, change| policy.apply([change]);
        let one_by_one = changes.into_iter().fold(Policy::empty(), step);
        let asked = [asked];
        prop_assert_eq!(view(&at_once, &asked), view(&one_by_one, &asked));
    }

    #[test]
    fn names_are_found_among_many(numbers in hash_map(0..50_000_u32, any::<bool>(), 0..400)) {
        let user = |number: u32| User {
            id: UserId(Uuid::from_u128(u128::from(number))),
            name: UserName::parse(&format!("user-{number}")).unwrap(),
            ..anna(&[], Vec::new())
        };
        let all = Policy::compile(numbers.keys().map(|number| user(*number)), []);
        let removed = numbers.iter().filter(|(_, is_kept)| !**is_kept);
        let kept = all.apply(removed.map(|(number, _)| PolicyChange::RemoveUser(user(*number).id)));
        for (number, is_kept) in &numbers {
            let name = format!("user-{number}");
            prop_assert_eq!(all.user_by_name(&name).map(|it| it.id()), Some(user(*number).id));
            prop_assert_eq!(kept.user_by_name(&name).is_some(), *is_kept);
            prop_assert_eq!(kept.user(user(*number).id).is_some(), *is_kept);
        }
        prop_assert_eq!(kept.user_count(), numbers.values().filter(|it| **it).count());
    }
}
