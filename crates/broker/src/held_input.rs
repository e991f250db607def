//! What a client sends while it is held back: its acknowledgements are taken at once, for somebody may wait for them, perhaps
//! the client itself; everything else waits in its order.
//!
//! Without that, clients that publish to each other, or one that publishes to itself, would hold each other back until
//! patience is over: the acknowledgements that make room lie behind messages that wait for it.

use mqtt::{DecodeError, PlainAck, Timestamp};

use crate::engine::Engine;
use crate::identity::ConnectionId;
use crate::memory::Memory;

/// Input of a connection that is held back, in the order in which it came, without the acknowledgements.
#[derive(Debug, Default)]
pub struct HeldInput {
    bytes: Vec<u8>,
    /// What is before it is used up.
    start: usize,
    /// Where the first packet begins that was not looked at, for it is not whole.
    unseen: usize,
    /// Something has come since it was looked at.
    is_longer: bool,
}

impl HeldInput {
    /// Begins with what was left over when the connection was held.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> HeldInput {
        HeldInput { bytes, start: 0, unseen: 0, is_longer: false }
    }

    /// Puts what came next behind it.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.is_longer |= !bytes.is_empty();
    }

    /// What waits: what [`Engine::receive`] is to be given next.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// So much of it is used up.
    pub fn advance(&mut self, used: usize) {
        self.start = self.start.saturating_add(used).min(self.bytes.len());
        self.unseen = self.unseen.max(self.start);
        // Each byte is moved a bounded number of times, however small the steps are.
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.unseen -= self.start;
            self.start = 0;
        }
    }

    /// What is left, when there is no whole packet among it any more.
    #[must_use]
    pub fn into_rest(mut self) -> Vec<u8> {
        self.bytes.drain(..self.start);
        self.bytes.shrink_to_fit();
        self.bytes
    }
}

impl Engine {
    /// Whether a receiver is behind, or something else holds this connection back: it is between [`crate::Effect::Pause`] and
    /// [`crate::Effect::Resume`].
    #[must_use]
    pub fn is_held_back(&self, id: ConnectionId) -> bool {
        self.shard.sessions.online(id).is_some_and(|(_, connection)| connection.holds > 0)
    }

    /// Whether this connection, of which so many bytes are held back, is to be read on, for [`Engine::receive_held`]: it
    /// owes acknowledgements, and there is room.
    #[must_use]
    pub fn may_hold(&self, id: ConnectionId, bytes: usize) -> bool {
        let hub = &self.shard.hub;
        let session = self.shard.sessions.online(id).map(|(session, _)| session);
        session.is_some_and(|it| !it.outbound.is_empty())
            && bytes < hub.limits().held_input_bytes_max
            && hub.memory() == Memory::Ample
    }

    /// Looks through what has come from a connection that is held back: takes acknowledgements of deliveries and PINGREQ,
    /// and leaves everything else in `input`.
    pub fn receive_held(&mut self, id: ConnectionId, input: &mut HeldInput, now: Timestamp) {
        self.take_policy(now);
        let Some(session) = self.shard.sessions.online_mut(id) else { return };
        let Some(connection) = session.connection.as_mut() else { return };
        let version = connection.version;
        if std::mem::take(&mut input.is_longer)
            && let Some(pressure) = connection.pressure.as_mut()
        {
            // What those wait for who are held back for it may be on its way behind this.
            pressure.has_sent = true;
        }
        let records = self.shard.round.records();
        let (mut from, mut to) = (input.unseen, input.unseen);
        let (mut packets, before) = (0, input.bytes.len());
        while let Some(length) = whole_packet(input.bytes.get(from..).unwrap_or_default()) {
            let end = from.saturating_add(length);
            let packet = input.bytes.get(from..end).unwrap_or_default();
            if is_taken_early(packet) {
                if let Err(error) = self.receive_early(id, packet, version, now) {
                    self.end_by_protocol(id, error.reason, error.detail, now);
                }
                packets += 1;
                if self.shard.sessions.online(id).is_none() {
                    return;
                }
            } else {
                input.bytes.copy_within(from..end, to);
                to = to.saturating_add(length);
            }
            from = end;
        }
        if from > to {
            input.bytes.copy_within(from.., to);
            input.bytes.truncate(before.saturating_sub(from.saturating_sub(to)));
        }
        input.unseen = to;
        self.count_early(id, packets, from.saturating_sub(to), records, now);
    }

    fn receive_early(
        &mut self,
        id: ConnectionId,
        packet: &[u8],
        version: mqtt::ProtocolVersion,
        now: Timestamp,
    ) -> Result<(), DecodeError> {
        if let Some(ack) = PlainAck::read(packet) {
            self.receive_plain_ack(id, ack, now);
            return Ok(());
        }
        self.receive_other_bytes(id, packet, version, now).map(drop)
    }

    fn count_early(
        &mut self,
        id: ConnectionId,
        packets: u64,
        bytes: usize,
        records: u64,
        now: Timestamp,
    ) {
        let Some(session) = self.shard.sessions.online_mut(id) else { return };
        let Some(connection) = session.connection.as_mut() else { return };
        if packets > 0 {
            connection.keep_alive.received(now);
        }
        if self.shard.round.records() != records {
            connection.owes_until = self.shard.round.commit();
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        connection.traffic.bytes_in += bytes;
        self.shard.round.counters.bytes_in += bytes;
        self.shard.round.counters.packets_in += packets;
    }
}

/// The length of the whole packet that this begins with. What makes no sense is not whole: it is judged when its turn comes.
fn whole_packet(input: &[u8]) -> Option<usize> {
    mqtt::announced_length(input).filter(|length| *length <= input.len())
}

/// Whether this packet has no part in the order of what its client publishes and subscribes: PUBACK, PUBREC and PUBCOMP,
/// which are about deliveries, and PINGREQ. PUBREL is about a message that the client has published.
fn is_taken_early(packet: &[u8]) -> bool {
    matches!(packet.first().map(|first| first >> 4), Some(4 | 5 | 7 | 12))
}
