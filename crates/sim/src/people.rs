//! Who there is and what they may do, for the engine and for the judge.

use access::{
    Context, Effect, GrantTypes, Operation, Permission, PermissionId, PublishBudget, PublishPrefix,
    Resource, User, UserId, UserName,
};
use testkit::judge::{Rights, Rule};
use uuid::Uuid;

use crate::choices::Choices;

pub(crate) const TOPICS: [&str; 6] = ["a", "a/b", "a/c", "b", "b/b", "c/a/b"];
pub(crate) const FILTERS: [&str; 12] = [
    "#",
    "a/#",
    "+/b",
    "a/b",
    "b",
    "+",
    "a",
    "b/#",
    "$share/g/a/#",
    "$share/g/b",
    "$share/h/#",
    "$share/g/+/b",
];
const RULES: [&str; 10] =
    ["+rw #", "+r #", "+w #", "+r a/#", "+w a/#", "-r a/b", "-w b/#", "+rw b/#", "-rw +/c", "-r b"];
const PREFIXES: [&str; 4] = ["", "", "b/", "c/"];
/// The last one may do everything all the time.
pub(crate) const PEOPLE: usize = 4;
pub(crate) const ROOT: usize = PEOPLE - 1;

/// Everything is allowed.
pub(crate) fn all_rights() -> Rights {
    Rights { is_enabled: true, exists: true, prefix: String::new(), rules: vec![rule("+rw #")] }
}

/// Some rights, mostly wide ones.
pub(crate) fn draw(choices: &mut Choices) -> Rights {
    let mut rules = vec![rule(choices.pick(&RULES))];
    for _ in 0..choices.below(3) {
        rules.push(rule(choices.pick(&RULES)));
    }
    if choices.chance(3, 4) {
        rules.push(rule("+rw #"));
    }
    let prefix = choices.pick(&PREFIXES).to_owned();
    Rights { is_enabled: !choices.chance(1, 10), exists: true, prefix, rules }
}

fn rule(text: &str) -> Rule {
    let (head, filter) = text.split_once(' ').expect("a rule is two words");
    Rule {
        is_allow: head.starts_with('+'),
        reads: head.contains('r'),
        writes: head.contains('w'),
        filter: filter.to_owned(),
    }
}

pub(crate) fn user_id(person: usize) -> UserId {
    UserId(Uuid::from_u128(number(person) + 1))
}

pub(crate) fn user_name(person: usize) -> String {
    format!("person-{person}")
}

/// The same for the engine.
pub(crate) fn user(person: usize, rights: &Rights, epoch: u64) -> User {
    let permission = |(at, rule): (usize, &Rule)| Permission {
        id: PermissionId(Uuid::from_u128(number(person) * 1000 + number(at) + 1)),
        resource: Resource::parse(&rule.filter, Context::Mqtt).expect("a filter of this file"),
        operation: match (rule.reads, rule.writes) {
            (true, true) => Operation::ReadWrite,
            (true, false) => Operation::Read,
            _ => Operation::Write,
        },
        context: Context::Mqtt,
        effect: if rule.is_allow { Effect::Allow } else { Effect::Deny },
    };
    User {
        id: user_id(person),
        name: UserName::parse(&user_name(person)).expect("a name of this file"),
        grants: GrantTypes::PASSWORD,
        publish_prefix: (!rights.prefix.is_empty())
            .then(|| PublishPrefix::parse(&rights.prefix).expect("a prefix of this file")),
        roles: access::RoleIds::new(),
        permissions: rights.rules.iter().enumerate().map(permission).collect(),
        enabled: rights.is_enabled,
        publish_budget: PublishBudget::default(),
        credential_epoch: epoch,
    }
}

fn number(value: usize) -> u128 {
    u128::try_from(value).expect("fits")
}
