//! One subscribing client: acknowledges, and sees to it that nothing is missing, repeated or out of order.

use mqtt::{Ack, Decoded, Packet, PacketId, ProtocolVersion, Publish, Qos, ReasonCode};

use super::BenchError;
use super::dialog::decode;
use super::histogram::Histogram;
use super::payload::Stamp;
use super::poller::Poller;
use super::wire::Wire;

#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) wire: Wire,
    version: ProtocolVersion,
    /// The sequence last seen of each publisher.
    last: Vec<u32>,
}

/// What all subscribers have seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) delivered: u64,
    /// Messages that came after a later one of the same publisher, or a second time.
    pub(super) out_of_order: u64,
    pub(super) last_ns: u64,
    pub(super) latency: Histogram,
}

impl Subscriber {
    pub(super) fn new(wire: Wire, version: ProtocolVersion, publishers: usize) -> Subscriber {
        Subscriber { wire, version, last: vec![0; publishers] }
    }

    /// Takes in messages; `credit` is told the publisher of each.
    pub(super) fn receive(
        &mut self,
        now: impl Fn() -> u64,
        seen: &mut Seen,
        mut credit: impl FnMut(usize),
        poller: &Poller,
    ) -> Result<(), BenchError> {
        let Subscriber { wire, version, last } = self;
        let version = *version;
        wire.read(|input, out| {
            let now_ns = now();
            let mut used = 0;
            while let Decoded::Packet { packet, length } =
                decode(input.get(used..).unwrap_or_default(), version)?
            {
                used += length;
                match packet {
                    Packet::Publish(publish) => {
                        if let Some(stamp) = Stamp::read(publish.payload) {
                            credit(seen.note(stamp, now_ns, last));
                        }
                        acknowledge(&publish, version, out);
                    }
                    Packet::PubRel(ack) => {
                        let done = Ack::new(ack.packet_id, ReasonCode::Success);
                        mqtt::encode(&Packet::PubComp(done), version, out);
                    }
                    _ => {}
                }
            }
            Ok(used)
        })?;
        self.wire.flush(poller)
    }
}

impl Seen {
    pub(super) fn new() -> Seen {
        Seen { delivered: 0, out_of_order: 0, last_ns: 0, latency: Histogram::new() }
    }

    /// Counts messages that the broker has acknowledged, where nobody receives them.
    pub(super) fn acknowledged(&mut self, count: u64, now_ns: u64) {
        if count > 0 {
            self.delivered += count;
            self.last_ns = now_ns;
        }
    }

    /// Counts a message and returns its publisher.
    fn note(&mut self, stamp: Stamp, now_ns: u64, last: &mut [u32]) -> usize {
        self.delivered += 1;
        self.last_ns = now_ns;
        self.latency.record(now_ns.saturating_sub(stamp.sent_ns));
        let publisher = usize::try_from(stamp.publisher).unwrap_or(usize::MAX);
        if let Some(last) = last.get_mut(publisher) {
            if stamp.sequence > *last {
                *last = stamp.sequence;
            } else {
                self.out_of_order += 1;
            }
        }
        publisher
    }
}

fn acknowledge(publish: &Publish<'_>, version: ProtocolVersion, out: &mut Vec<u8>) {
    let Some(packet_id) = publish.packet_id else { return };
    match publish.qos {
        Qos::AtMostOnce => {}
        Qos::AtLeastOnce => put_puback(packet_id, out),
        Qos::ExactlyOnce => {
            mqtt::encode(&Packet::PubRec(Ack::new(packet_id, ReasonCode::Success)), version, out);
        }
    }
}

/// The shortest form, which both versions share.
fn put_puback(packet_id: PacketId, out: &mut Vec<u8>) {
    let [high, low] = packet_id.get().to_be_bytes();
    out.extend_from_slice(&[0x40, 2, high, low]);
}

#[cfg(test)]
mod tests {
    use super::{Seen, Stamp};

    #[test]
    fn a_message_that_comes_late_or_twice_is_noticed_and_a_gap_is_not_an_order() {
        let (mut seen, mut last) = (Seen::new(), [0, 0]);
        for (publisher, sequence) in [(0, 1), (1, 1), (0, 3), (0, 2), (1, 2), (1, 2)] {
            seen.note(Stamp { sent_ns: 0, publisher, sequence }, 5, &mut last);
        }
        assert_eq!((seen.delivered, seen.out_of_order), (6, 2));
    }
}
