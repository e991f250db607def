//! Whether somebody may give a right away: only what it has itself.
//!
//! A permission is given to somebody else, with another name and other client ids, so a placeholder in it counts as any
//! level. What cannot be told apart for certain is not covered.

use std::ops::ControlFlow;

use topic::{Bindings, Level, Pattern, TopicFilter};

use crate::permission::Action;
use crate::rules::Rules;
use crate::{Context, Effect, Permission, PublishPrefix, Rights};

/// Somebody who gives rights away, and can give no more than it has.
#[derive(Debug)]
pub struct Grantor<'r> {
    rights: &'r Rights,
    /// Denies by client id. Somebody who gives rights away has none at that moment, and any when it connects.
    client_denies: Vec<(Context, Action, TopicFilter)>,
}

/// What else holds for whoever is given a right.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recipient<'a> {
    /// Denies that hold for the recipient too: what the grantor may not do need not be withheld twice.
    pub denies: &'a [&'a Permission],
    /// What is put before each topic the recipient publishes to.
    pub publish_prefix: Option<&'a PublishPrefix>,
}

impl Rights {
    /// These rights, as the bound of what their holder may give away.
    #[must_use]
    pub fn grantor(&self) -> Grantor<'_> {
        let mut client_denies = Vec::new();
        for permission in self.rule_sets().flat_map(Rules::permissions) {
            let pattern = permission.resource.pattern();
            let is_of_client = pattern.levels().any(|level| level == Level::ClientId);
            if permission.effect == Effect::Deny
                && is_of_client
                && let Some(filter) = widen(pattern, Some(self.user_name().as_str()))
            {
                let of = |action: &Action| (permission.context, *action, filter.clone());
                client_denies.extend(permission.operation.actions().iter().map(of));
            }
        }
        Grantor { rights: self, client_denies }
    }
}

impl Grantor<'_> {
    /// True if the grantor may do all that the permission would allow the recipient. A deny takes away, so it is covered
    /// always.
    #[must_use]
    pub fn covers(&self, permission: &Permission, recipient: &Recipient<'_>) -> bool {
        if permission.effect == Effect::Deny {
            return true;
        }
        let Some(filter) = widen(permission.resource.pattern(), None) else { return false };
        let mut actions = permission.operation.actions().iter();
        actions.all(|action| self.covers_action(permission.context, *action, &filter, recipient))
    }

    fn covers_action(
        &self,
        context: Context,
        action: Action,
        filter: &TopicFilter,
        recipient: &Recipient<'_>,
    ) -> bool {
        if (context, action) == (Context::Mqtt, Action::Write) {
            // Nobody publishes to a `$`-topic, so a rule that allows it allows nothing.
            if filter.is_dollar() {
                return true;
            }
            if !self.is_within_prefix(filter, recipient) {
                return false;
            }
        }
        self.allows(context, action, filter)
            && !self.withholds((context, action), filter, recipient.denies)
    }

    /// A grantor with a prefix publishes below it only, and so must whoever it gives a right to publish.
    fn is_within_prefix(&self, filter: &TopicFilter, recipient: &Recipient<'_>) -> bool {
        let Some(own) = self.rights.publish_prefix() else { return true };
        let theirs = recipient.publish_prefix;
        theirs.is_some_and(|theirs| theirs.as_str().starts_with(own.as_str()))
            || literal_head(filter).starts_with(own.as_str())
    }

    fn allows(&self, context: Context, action: Action, filter: &TopicFilter) -> bool {
        self.rights.rule_sets().any(|rules| {
            let tree = rules.tree(context, Effect::Allow, action);
            let found = tree.visit_covering(filter, &self.bindings(), |_| ControlFlow::Break(()));
            found.is_break()
        })
    }

    /// Whether the grantor is denied a part of the filter that is not denied to the recipient as well.
    fn withholds(
        &self,
        (context, action): (Context, Action),
        filter: &TopicFilter,
        denies: &[&Permission],
    ) -> bool {
        let is_kept = |denied: &TopicFilter| {
            denies.iter().any(|deny| {
                deny.context == context
                    && deny.effect == Effect::Deny
                    && deny.operation.actions().contains(&action)
                    && deny.resource.pattern().covers(denied, &Bindings::NONE)
            })
        };
        let mut of_client = self.client_denies.iter();
        if of_client.any(|(its_context, its_action, denied)| {
            (*its_context, *its_action) == (context, action)
                && denied.overlaps(filter)
                && !is_kept(denied)
        }) {
            return true;
        }
        let name = Some(self.rights.user_name().as_str());
        self.rights.rule_sets().any(|rules| {
            let tree = rules.tree(context, Effect::Deny, action);
            let found = tree.visit_overlapping(filter, &self.bindings(), |places| {
                let mut denies = places.iter().filter_map(|place| rules.permissions().get(*place));
                let is_withheld = denies.any(|deny| {
                    widen(deny.resource.pattern(), name).is_none_or(|denied| !is_kept(&denied))
                });
                if is_withheld { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            found.is_break()
        })
    }

    fn bindings(&self) -> Bindings<'_> {
        Bindings { username: Some(self.rights.user_name().as_str()), client_id: None }
    }
}

/// The pattern for anybody: each placeholder takes any level, or the user name if that is given.
fn widen(pattern: &Pattern, username: Option<&str>) -> Option<TopicFilter> {
    let mut text = String::with_capacity(pattern.as_str().len());
    for (depth, level) in pattern.levels().enumerate() {
        if depth > 0 {
            text.push('/');
        }
        text.push_str(match level {
            Level::Literal(literal) => literal,
            Level::Plus | Level::ClientId => "+",
            Level::Username => username.unwrap_or("+"),
            Level::Hash => "#",
        });
    }
    TopicFilter::parse(&text).ok()
}

/// What every name of the filter begins with.
fn literal_head(filter: &TopicFilter) -> String {
    let mut head = String::new();
    for (depth, level) in filter.levels().enumerate() {
        match level {
            // `a/#` takes in `a` itself.
            Level::Hash => return head,
            Level::Plus | Level::Username | Level::ClientId => {
                if depth > 0 {
                    head.push('/');
                }
                return head;
            }
            Level::Literal(text) => {
                if depth > 0 {
                    head.push('/');
                }
                head.push_str(text);
            }
        }
    }
    head
}
