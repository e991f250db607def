//! The one decision. Permits and explanations both come from here, so they cannot differ.

use crate::permission::Action;
use crate::rules::{Places, Rules};
use crate::{CompiledRole, CompiledUser, Context, Effect, Permission};
use std::ops::ControlFlow;
use std::sync::Arc;
use topic::{Bindings, TopicFilter, TopicName};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'q> {
    pub(crate) context: Context,
    pub(crate) action: Action,
    pub(crate) subject: Subject<'q>,
}

/// What it is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'q> {
    Name(&'q TopicName),
    Filter(&'q TopicFilter),
}

/// The answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict<'r> {
    /// Allowed. A filter that is not wholly free of denies is allowed, and what it delivers is
    /// judged message by message.
    Allowed { is_filtered: bool },
    /// A deny takes in all of it.
    Denied(Witness<'r>),
    /// Nothing allows it.
    NoRule,
    /// Nobody publishes to a `$`-topic, whatever the rules.
    Reserved,
}

/// A rule that had a part in the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Witness<'r> {
    pub(crate) holder: Holder<'r>,
    pub(crate) permission: &'r Permission,
}

/// Whose rule it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holder<'r> {
    User(&'r CompiledUser),
    Role(&'r CompiledRole),
}

/// Whose rules are asked, and who is asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rulebook<'r> {
    pub(crate) user: &'r CompiledUser,
    pub(crate) roles: &'r [Arc<CompiledRole>],
    pub(crate) bindings: Bindings<'r>,
}

/// How far the caller wants to know. The answer is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thoroughness {
    /// The first rule that settles it is enough.
    FirstRule,
    /// All rules that settle it are wanted.
    EveryRule,
}

/// Decides, and shows `witness` the rules that did: the denies if it is denied; else the allows,
/// and the denies that take a part of the filter away.
pub(crate) fn decide<'r>(
    rulebook: &Rulebook<'r>,
    question: Question<'_>,
    thoroughness: Thoroughness,
    witness: &mut dyn FnMut(Witness<'r>),
) -> Verdict<'r> {
    if question.is_reserved() {
        return Verdict::Reserved;
    }
    let mut first = |effect, extent| {
        let mut found = None;
        let flow = rulebook.search(question, effect, extent, &mut |rule| {
            witness(rule);
            match thoroughness {
                Thoroughness::FirstRule => return ControlFlow::Break(rule),
                Thoroughness::EveryRule => found.get_or_insert(rule),
            };
            ControlFlow::Continue(())
        });
        flow.break_value().or(found)
    };
    if let Some(rule) = first(Effect::Deny, Extent::Whole) {
        return Verdict::Denied(rule);
    }
    if first(Effect::Allow, Extent::Whole).is_none() {
        return Verdict::NoRule;
    }
    let is_filtered = match question.subject {
        Subject::Filter(_) => first(Effect::Deny, Extent::Part).is_some(),
        Subject::Name(_) => false,
    };
    Verdict::Allowed { is_filtered }
}

impl Question<'_> {
    fn is_reserved(&self) -> bool {
        match (self.context, self.action, self.subject) {
            (Context::Mqtt, Action::Write, Subject::Name(name)) => name.is_dollar(),
            (Context::Mqtt, Action::Write, Subject::Filter(filter)) => filter.is_dollar(),
            (Context::Mqtt, Action::Read, _) | (Context::Http, _, _) => false,
        }
    }
}

/// How much of the subject a rule has to take in.
#[derive(Clone, Copy, Debug)]
enum Extent {
    Whole,
    Part,
}

impl<'r> Rulebook<'r> {
    /// Shows `found` each rule of this effect that takes in as much of the subject: own rules
    /// first, then role by role.
    fn search(
        &self,
        question: Question<'_>,
        effect: Effect,
        extent: Extent,
        found: &mut dyn FnMut(Witness<'r>) -> ControlFlow<Witness<'r>>,
    ) -> ControlFlow<Witness<'r>> {
        let own = self.user.rules().map(|rules| (Holder::User(self.user), rules));
        let by_role =
            self.roles.iter().filter_map(|role| Some((Holder::Role(role), role.rules()?)));
        for (holder, rules) in own.into_iter().chain(by_role) {
            self.search_in(rules, question, (effect, extent), &mut |permission| {
                found(Witness { holder, permission })
            })?;
        }
        ControlFlow::Continue(())
    }

    fn search_in(
        &self,
        rules: Rules<'r>,
        question: Question<'_>,
        (effect, extent): (Effect, Extent),
        found: &mut dyn FnMut(&'r Permission) -> ControlFlow<Witness<'r>>,
    ) -> ControlFlow<Witness<'r>> {
        let tree = rules.tree(question.context, effect, question.action);
        let hit = |places: &Places| {
            let mut permissions = places.iter().filter_map(|place| rules.permissions().get(*place));
            permissions.try_for_each(&mut *found)
        };
        match (question.subject, extent) {
            (Subject::Name(name), _) => tree.visit_matching(name.as_str(), &self.bindings, hit),
            (Subject::Filter(filter), Extent::Whole) => {
                tree.visit_covering(filter, &self.bindings, hit)
            }
            (Subject::Filter(filter), Extent::Part) => {
                tree.visit_overlapping(filter, &self.bindings, hit)
            }
        }
    }
}
