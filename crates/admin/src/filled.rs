//! How full those books are that peers write in: for metrics, and for the log when one has little room left.

use crate::admin::Admin;
use crate::decisions::record::Class;
use crate::settings::{RefusalSettings, RegistrySettings};

/// What is used of their bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The bounds of the client registry.
    pub registry: RegistrySettings,
    /// Requests that wait for a decision, by MQTT or by REST, whichever are more.
    pub registry_pending: usize,
    /// Those of the source that has most.
    pub registry_pending_of_a_source: usize,
    /// How many refusals may be kept.
    pub refusals: RefusalSettings,
    /// Those that are kept of clients that have logged in.
    pub refusals_of_clients: usize,
    /// Of logins under names that users have.
    pub refused_logins: usize,
    /// Of logins under other names.
    pub refused_unknown_logins: usize,
}

impl Admin {
    /// How full they are. It costs the same however full they are, but for the sources of requests that wait.
    #[must_use]
    pub fn filled(&self) -> Filled {
        let settings = &self.shared.settings;
        let (pending, of_a_source) = self.shared.directory.read().registry.most_pending();
        let count = |class| self.shared.decisions.count_of(class);
        Filled {
            registry: settings.registry,
            registry_pending: pending,
            registry_pending_of_a_source: of_a_source,
            refusals: settings.refusals,
            refusals_of_clients: count(Class::Proven),
            refused_logins: count(Class::Claimed),
            refused_unknown_logins: count(Class::Unknown),
        }
    }
}

/// Says that a change leaves little room below a limit on what one user or role has, or none.
pub(crate) fn tell_near(limit: &'static str, before: usize, used: usize, max: usize) {
    let is_near = used.saturating_mul(5) >= max.saturating_mul(4);
    if is_near && used > before {
        tracing::warn!(limit, used, max, "a limit is nearly reached");
    }
}
