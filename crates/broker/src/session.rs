//! One session: what MQTT keeps for a (user, client id), online or not.

use std::sync::Arc;

use access::{AuthMethod, Authenticated, ProvenMethods, Rights};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::{Inbound, Outbound, ProtocolVersion, SubscribeOptions, Timestamp};
use topic::SubscriptionFilter;

use crate::client_view::{ClientView, SubscriptionView};
use crate::connection::Connection;
use crate::held_will::HeldWill;
use crate::identity::{ClientName, SessionIdentity};
use crate::limits::{Limits, Persistence};
use crate::message::Delivery;
use crate::queue::Queue;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) identity: Arc<SessionIdentity>,
    pub(crate) client: Arc<ClientName>,
    /// `None`: it was read from disk, and nobody has proven anything since.
    pub(crate) proof: Option<Authenticated>,
    /// How its last client had proven itself, perhaps to an earlier run of the broker.
    pub(crate) methods: ProvenMethods,
    /// `None`: the user is disabled, and has no rights.
    pub(crate) rights: Option<Rights>,
    pub(crate) version: ProtocolVersion,
    pub(crate) clean_start: bool,
    /// Seconds the session outlives its connection; `u32::MAX`: for ever.
    pub(crate) expiry_s: u32,
    pub(crate) connected_at: Timestamp,
    pub(crate) disconnected_at: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) will: Option<HeldWill>,
    pub(crate) will_due: Option<Timestamp>,
    pub(crate) subscriptions: HashMap<SubscriptionFilter, Subscription, FixedState>,
    pub(crate) outbound: Outbound<Delivery>,
    pub(crate) inbound: Inbound,
    pub(crate) queue: Queue,
    pub(crate) next_sequence: u64,
    /// Whether a record of it was written.
    pub(crate) is_recorded: bool,
    /// The queue has overflowed since the client was last here, and that was reported.
    pub(crate) is_overflow_reported: bool,
    pub(crate) connection: Option<Box<Connection>>,
}

/// One subscription as the session knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subscription {
    pub(crate) options: SubscribeOptions,
    pub(crate) identifier: Option<u32>,
    pub(crate) is_filtered: bool,
}

impl Session {
    /// Whether what the session holds must survive a restart, or is recorded because the disk has messages
    /// of its queue that nobody else has.
    pub(crate) fn is_durable(&self, limits: &Limits) -> bool {
        limits.persistence == Persistence::On && (self.expiry_s > 0 || self.queue.is_spilled())
    }

    /// Gives back the memory that messages have left behind. What was kept for the next one is taken anew by it.
    pub(crate) fn give_back(&mut self) {
        self.outbound.give_back();
        self.inbound.give_back();
        self.queue.give_back();
        if let Some(connection) = self.connection.as_deref_mut() {
            connection.permits.clear();
        }
    }

    pub(crate) fn view(&self) -> ClientView {
        ClientView {
            user: self.client.user,
            user_name: self.client.user_name.clone(),
            client_id: Arc::clone(&self.client.client_id),
            address: self.client.peer.address,
            listener: Arc::clone(&self.client.peer.listener),
            security: self.client.peer.security.clone(),
            connected: self.connection.is_some(),
            auth_methods: auth_methods(self.methods),
            version: self.version,
            clean_start: self.clean_start,
            session_expiry_s: self.expiry_s,
            subscriptions: self.subscription_views(),
            queued: self.queue.len(),
            in_flight: self.outbound.len(),
            connected_at: self.connected_at,
            disconnected_at: self.disconnected_at,
            traffic: self.connection.as_ref().map(|c| c.traffic).unwrap_or_default(),
        }
    }

    fn subscription_views(&self) -> Vec<SubscriptionView> {
        let mut views: Vec<_> = self
            .subscriptions
            .iter()
            .map(|(filter, subscription)| SubscriptionView {
                filter: filter.to_string(),
                qos: subscription.options.qos,
                is_filtered: subscription.is_filtered,
            })
            .collect();
        views.sort_by(|a, b| a.filter.cmp(&b.filter));
        views
    }
}

fn auth_methods(proven: ProvenMethods) -> Vec<AuthMethod> {
    let all = [AuthMethod::Password, AuthMethod::Certificate];
    all.into_iter().filter(|method| proven.contains(*method)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Connection, Session};
    use crate::identity::{ClientName, SessionIdentity};

    #[test]
    fn an_idle_connection_takes_little_memory() {
        // An allocation takes 8 bytes more, in steps of 16. The last two are counted, which takes 16.
        assert!(size_of::<Session>() <= 424, "{}", size_of::<Session>());
        assert!(size_of::<Connection>() <= 376, "{}", size_of::<Connection>());
        assert!(size_of::<SessionIdentity>() <= 56, "{}", size_of::<SessionIdentity>());
        assert!(size_of::<ClientName>() <= 112, "{}", size_of::<ClientName>());
    }
}
