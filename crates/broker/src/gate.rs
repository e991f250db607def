//! The publish gate and the deliver gate: every path to a message leads through one of these.

use std::sync::Arc;

use access::{Denial, Policy, PublishPermit, Rights, SubscribePermit};
use topic::{SubscriptionFilter, TopicName};

use crate::identity::SessionKey;
use crate::message::Message;

/// The publish gate for a topic as a client sent it: alias resolved, publish prefix still to add.
pub(crate) fn publish(rights: &Rights, as_sent: &str) -> Result<PublishPermit, Denial> {
    rights.permit_publish(as_sent)
}

/// The publish gate for a message retained earlier: its writer must still be allowed to write it. What
/// the broker says of itself has no writer to judge, and nobody else can write on those topics.
pub(crate) fn retained_writer(policy: &Policy, message: &Message) -> Result<(), Denial> {
    if message.topic().is_dollar() {
        return Ok(());
    }
    let writer = message.writer();
    let rights = policy.rights(writer.user, Arc::clone(&writer.client_id)).ok_or_else(gone)?;
    rights.permit_resolved(message.topic()).map(|_| ())
}

/// The subscribe gate.
pub(crate) fn subscription(
    rights: &Rights,
    filter: &SubscriptionFilter,
) -> Result<SubscribePermit, Denial> {
    rights.permit_subscribe(filter)
}

/// The deliver gate: may this session read this topic?
pub(crate) fn delivery(rights: &Rights, topic: &TopicName) -> Result<(), Denial> {
    rights.permit_delivery(topic)
}

/// The deliver gate for a session of any shard.
pub(crate) fn delivery_to(
    policy: &Policy,
    key: &SessionKey,
    topic: &TopicName,
) -> Result<(), Denial> {
    let rights = policy.rights(key.user, Arc::clone(&key.client_id)).ok_or_else(gone)?;
    delivery(&rights, topic)
}

pub(crate) fn gone() -> Denial {
    Denial::Gone
}
