//! One publishing client: fills its buffer with as many messages as its limits allow.

use mqtt::{Ack, Decoded, Packet, PacketId, ProtocolVersion, Qos, ReasonCode};

use super::BenchError;
use super::dialog::decode;
use super::payload::{Stamp, Template};
use super::poller::Poller;
use super::wire::Wire;

#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) wire: Wire,
    number: u32,
    version: ProtocolVersion,
    template: Template,
    qos: Qos,
    limits: FlowLimits,
    /// Subscribers of its topic.
    receivers: u64,
    next_id: PacketId,
    /// QoS 1 and 2 exchanges not yet over.
    open: u64,
    sent: u32,
    delivered: u64,
    forgiven: u64,
    refused: u64,
    /// QoS 1 and 2 messages that the broker has taken over.
    acknowledged: u64,
    /// It stands in the list of those that may have something to send.
    pub(super) is_queued: bool,
}

/// How far a publisher may run ahead.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlowLimits {
    /// QoS 1 and 2 messages that the broker has not acknowledged.
    pub(super) window: u64,
    /// Messages that not all subscribers have received, if that is limited.
    pub(super) in_transit: Option<u64>,
}

impl Publisher {
    pub(super) fn new(
        wire: Wire,
        number: u32,
        version: ProtocolVersion,
        (template, qos): (Template, Qos),
        limits: FlowLimits,
        receivers: u64,
    ) -> Publisher {
        Publisher {
            wire,
            number,
            version,
            template,
            qos,
            limits,
            receivers,
            next_id: PacketId::MIN,
            open: 0,
            sent: 0,
            delivered: 0,
            forgiven: 0,
            refused: 0,
            acknowledged: 0,
            is_queued: false,
        }
    }

    /// Sends at most `count` messages, as far as its limits allow. Returns how many, and whether it could send more
    /// at once.
    pub(super) fn send(
        &mut self,
        count: u64,
        now_ns: u64,
        poller: &Poller,
    ) -> Result<(u64, bool), BenchError> {
        let bytes = u64::try_from(self.wire.room() / self.template.len().max(1)).unwrap_or(0);
        let allowed = self.allowed().min(count);
        let count = allowed.min(bytes);
        for _ in 0..count {
            self.sent = self.sent.wrapping_add(1);
            let stamp = Stamp { sent_ns: now_ns, publisher: self.number, sequence: self.sent };
            self.template.put(self.next_id, stamp, self.wire.output());
            self.next_id = self.next_id.next();
        }
        if self.qos > Qos::AtMostOnce {
            self.open += count;
        }
        self.wire.flush(poller)?;
        Ok((count, allowed > count && self.wire.room() > 0))
    }

    /// Takes in acknowledgements.
    pub(super) fn receive(&mut self, poller: &Poller) -> Result<(), BenchError> {
        let Publisher { wire, version, open, refused, acknowledged, .. } = self;
        let version = *version;
        wire.read(|input, out| {
            let mut used = 0;
            while let Decoded::Packet { packet, length } =
                decode(input.get(used..).unwrap_or_default(), version)?
            {
                used += length;
                match packet {
                    Packet::PubAck(ack) => {
                        *open = open.saturating_sub(1);
                        let is_refused = ack.reason.is_error();
                        *refused += u64::from(is_refused);
                        *acknowledged += u64::from(!is_refused);
                    }
                    Packet::PubRec(ack) if ack.reason.is_error() => {
                        *open = open.saturating_sub(1);
                        *refused += 1;
                    }
                    Packet::PubRec(ack) => {
                        let release = Ack::new(ack.packet_id, ReasonCode::Success);
                        mqtt::encode(&Packet::PubRel(release), version, out);
                    }
                    Packet::PubComp(_) => {
                        *open = open.saturating_sub(1);
                        *acknowledged += 1;
                    }
                    _ => {}
                }
            }
            Ok(used)
        })?;
        self.wire.flush(poller)
    }

    /// One subscriber has received one of its messages.
    pub(super) fn delivered(&mut self) {
        self.delivered += 1;
    }

    /// What was acknowledged counts as delivered, since nobody is there to receive it. Returns how much is new.
    pub(super) fn deliver_acknowledged(&mut self) -> u64 {
        let new = self.acknowledged.saturating_sub(self.delivered);
        self.delivered += new;
        new
    }

    /// What is on its way now counts as lost, so that it does not hold the publisher back for ever.
    pub(super) fn forgive(&mut self) {
        self.forgiven = (self.expected()).saturating_sub(self.delivered);
    }

    pub(super) fn sent(&self) -> u64 {
        u64::from(self.sent)
    }

    /// Deliveries that its messages must come to.
    pub(super) fn expected(&self) -> u64 {
        self.sent() * self.receivers
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Messages that its limits allow now.
    fn allowed(&self) -> u64 {
        if self.wire.is_lost {
            return 0;
        }
        let by_window = match self.qos {
            Qos::AtMostOnce => u64::MAX,
            Qos::AtLeastOnce | Qos::ExactlyOnce => self.limits.window.saturating_sub(self.open),
        };
        let by_transit = self.limits.in_transit.map_or(u64::MAX, |most| {
            let on_way = self.expected().saturating_sub(self.delivered + self.forgiven);
            most.saturating_sub(on_way.div_ceil(self.receivers.max(1)))
        });
        by_window.min(by_transit)
    }
}
