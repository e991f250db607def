//! A sequence of packets and mishaps through the machines of one connection, each beside a plain
//! model.

use crate::input::Input;
use mqtt::{
    AckError, Arrival, DecodeLimits, Decoded, Inbound, InboundAliases, KeepAlive, Outbound,
    OutboundAliases, OutgoingPublish, Packet, PacketId, ProtocolVersion, Qos, ReasonCode, Received,
    Resend, Timestamp, decode, encode_publish,
};
use std::collections::{BTreeMap, BTreeSet};
use topic::TopicName;

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.below(4) {
        0 => receiver(input),
        1 => sender(input),
        2 => aliases(input),
        _ => silence(input),
    }
}

fn packet_id(input: &mut Input<'_>) -> PacketId {
    // Few of them, so that they meet.
    PacketId::new(1 + u16::from(input.byte() % 8)).unwrap_or(PacketId::MIN)
}

/// `Inbound`: exactly once, and never more open than granted.
fn receiver(mut input: Input<'_>) {
    let mut maximum = 1 + u16::from(input.byte() % 4);
    let mut inbound = Inbound::new(maximum);
    let (mut unreleased, mut open) = (BTreeSet::new(), BTreeSet::new());
    while !input.is_empty() {
        let operation = input.below(6);
        let id = packet_id(&mut input);
        match operation {
            0 | 1 => {
                let qos = if operation == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
                let is_full = open.len() >= usize::from(maximum) && !open.contains(&id);
                let was_unreleased = unreleased.contains(&id);
                match inbound.begin(qos, id) {
                    Ok(Arrival::InUse) => {
                        assert!(was_unreleased && qos == Qos::AtLeastOnce);
                    }
                    Ok(arrival) => {
                        assert!(!is_full && (!was_unreleased || qos == Qos::ExactlyOnce));
                        assert_eq!(arrival == Arrival::Repeated, was_unreleased);
                        open.insert(id);
                        if qos == Qos::ExactlyOnce {
                            unreleased.insert(id);
                        }
                    }
                    Err(error) => {
                        assert!(is_full && error.reason == ReasonCode::ReceiveMaximumExceeded);
                    }
                }
            }
            2 => {
                inbound.acked(id);
                open.remove(&id);
            }
            3 => {
                inbound.refused(id);
                open.remove(&id);
                unreleased.remove(&id);
            }
            4 => {
                open.remove(&id);
                assert_eq!(inbound.release(id), unreleased.remove(&id));
            }
            _ => {
                maximum = 1 + u16::from(input.byte() % 4);
                inbound.reconnected(maximum);
                open.clear();
            }
        }
        assert_eq!(inbound.open_count(), open.len());
        assert!(inbound.unreleased().eq(unreleased.iter().copied()));
    }
}

/// What the model knows of an exchange.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Sent {
    number: u32,
    qos: Qos,
    is_released: bool,
    is_withdrawn: bool,
    /// Its PUBLISH went out on this connection.
    is_counted: bool,
}

/// `Outbound`: windows kept, no identifier twice, nothing lost, order kept.
fn sender(mut input: Input<'_>) {
    let mut window = 1 + u16::from(input.byte() % 5);
    let mut outbound: Outbound<u32> = Outbound::new(window);
    let mut model: BTreeMap<PacketId, Sent> = BTreeMap::new();
    let mut number = 0;
    while !input.is_empty() {
        match input.below(8) {
            0 | 1 => {
                let qos = if input.byte() & 1 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
                number += 1;
                let counted = model.values().filter(|sent| sent.is_counted).count();
                match outbound.send(qos, number) {
                    Ok(id) => {
                        assert!(counted < usize::from(window));
                        let sent = Sent {
                            number,
                            qos,
                            is_released: false,
                            is_withdrawn: false,
                            is_counted: true,
                        };
                        assert_eq!(model.insert(id, sent), None, "identifier {id} is in use");
                    }
                    Err(back) => assert!(back == number && !outbound.has_room()),
                }
            }
            2 => {
                let id = any_of(&model, &mut input);
                puback(&mut outbound, &mut model, id);
            }
            3 => {
                let id = any_of(&model, &mut input);
                pubrec(&mut outbound, &mut model, id, input.byte() & 1 == 0);
            }
            4 => {
                let id = any_of(&model, &mut input);
                let is_awaited = model.get(&id).is_some_and(|sent| sent.is_released);
                assert_eq!(outbound.pubcomp(id).is_ok(), is_awaited);
                if is_awaited {
                    model.remove(&id);
                }
            }
            5 => {
                window = 1 + u16::from(input.byte() % 5);
                reconnect(&mut outbound, &mut model, window);
            }
            6 => resend(&mut outbound, &mut model, window),
            _ => withdraw(&mut outbound, &mut model, u32::from(input.byte() % 3)),
        }
        assert_eq!(outbound.len(), model.len());
        assert!(outbound.iter().all(|(id, _, _)| model.contains_key(&id)));
    }
}

/// Mostly an identifier in use.
fn any_of(model: &BTreeMap<PacketId, Sent>, input: &mut Input<'_>) -> PacketId {
    if input.byte() < 16 {
        return packet_id(input);
    }
    let chosen = model.keys().nth(input.below(model.len().max(1)));
    chosen.copied().unwrap_or(PacketId::MIN)
}

fn puback(outbound: &mut Outbound<u32>, model: &mut BTreeMap<PacketId, Sent>, id: PacketId) {
    match (outbound.puback(id), model.get(&id).copied()) {
        (Ok(message), Some(sent)) => {
            assert_eq!(sent.qos, Qos::AtLeastOnce);
            assert_eq!(message, (!sent.is_withdrawn).then_some(sent.number));
            model.remove(&id);
        }
        (Err(AckError::Unknown), None) => {}
        (Err(AckError::WrongStage), Some(sent)) => assert_eq!(sent.qos, Qos::ExactlyOnce),
        other => panic!("{other:?}"),
    }
}

fn pubrec(
    outbound: &mut Outbound<u32>,
    model: &mut BTreeMap<PacketId, Sent>,
    id: PacketId,
    is_good: bool,
) {
    let reason = if is_good { ReasonCode::Success } else { ReasonCode::QuotaExceeded };
    match (outbound.pubrec(id, reason), model.get_mut(&id)) {
        (Ok(Received::Release(message)), Some(sent)) => {
            assert!(is_good && !sent.is_released && sent.qos == Qos::ExactlyOnce);
            assert_eq!(message, (!sent.is_withdrawn).then_some(sent.number));
            sent.is_released = true;
        }
        (Ok(Received::ReleaseAgain), Some(sent)) => assert!(is_good && sent.is_released),
        (Ok(Received::Refused(_)), Some(sent)) => {
            assert!(!is_good && sent.qos == Qos::ExactlyOnce);
            model.remove(&id);
        }
        (Err(AckError::Unknown), None) => {}
        (Err(AckError::WrongStage), Some(sent)) => assert_eq!(sent.qos, Qos::AtLeastOnce),
        other => panic!("{other:?}"),
    }
}

/// Withdrawn QoS 1 ends at a reconnect; withdrawn QoS 2 goes on with PUBREL.
fn reconnect(outbound: &mut Outbound<u32>, model: &mut BTreeMap<PacketId, Sent>, window: u16) {
    outbound.reconnected(window);
    model.retain(|_, sent| !(sent.is_withdrawn && sent.qos == Qos::AtLeastOnce));
    for sent in model.values_mut() {
        sent.is_counted = false;
        sent.is_released |= sent.is_withdrawn;
    }
}

fn resend(outbound: &mut Outbound<u32>, model: &mut BTreeMap<PacketId, Sent>, window: u16) {
    let mut last = 0;
    while let Some(resend) = outbound.resend() {
        match resend {
            Resend::Publish(id, qos, &message) => {
                let sent = model.get_mut(&id).expect("an exchange");
                assert!(!sent.is_counted && !sent.is_withdrawn && !sent.is_released);
                assert_eq!((sent.number, sent.qos), (message, qos));
                assert!(message > last, "out of order");
                last = message;
                sent.is_counted = true;
            }
            Resend::PubRel(id) => assert!(model[&id].is_released),
        }
    }
    let counted = model.values().filter(|sent| sent.is_counted).count();
    assert!(counted <= usize::from(window));
    assert!(!outbound.is_resend_due() || counted == usize::from(window));
    // Whatever was not sent on this connection is released or still waits.
    let is_waiting = model.values().any(|sent| !sent.is_counted && !sent.is_released);
    assert!(!is_waiting || outbound.is_resend_due(), "lost");
}

fn withdraw(outbound: &mut Outbound<u32>, model: &mut BTreeMap<PacketId, Sent>, modulus: u32) {
    let removed = outbound.remove_where(|number| number % 3 == modulus);
    assert!(removed.iter().all(|number| number % 3 == modulus));
    let hit = |sent: &Sent| sent.number % 3 == modulus && !sent.is_released && !sent.is_withdrawn;
    assert_eq!(removed.len(), model.values().filter(|sent| hit(sent)).count());
    model.retain(|_, sent| sent.is_counted || !hit(sent) || sent.qos == Qos::ExactlyOnce);
    for sent in model.values_mut().filter(|sent| hit(sent)) {
        sent.is_withdrawn = true;
        sent.is_released |= !sent.is_counted;
    }
}

/// Aliases given out by one side mean the same to the other, over the wire.
fn aliases(mut input: Input<'_>) {
    let maximum = u16::from(input.byte() % 5);
    let mut outbound = OutboundAliases::new(maximum);
    let mut inbound: InboundAliases<u32> = InboundAliases::new(maximum);
    while !input.is_empty() {
        let topic = format!("t/{}", input.byte() % 12);
        let name = TopicName::parse(&topic).expect("a topic name");
        let aliased = outbound.assign(&name);
        let outgoing = OutgoingPublish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: aliased.topic,
            topic_alias: aliased.alias,
            packet_id: None,
            message_expiry_interval_s: None,
            subscription_identifiers: &[],
            forwardable: &[],
            payload: b"x",
        };
        let mut bytes = Vec::new();
        encode_publish(&outgoing, ProtocolVersion::V5, &mut bytes);
        let decoded = decode(&bytes, ProtocolVersion::V5, &DecodeLimits::default());
        let Ok(Decoded::Packet { packet: Packet::Publish(publish), .. }) = decoded else {
            panic!("{decoded:?}");
        };
        let resolved = inbound.resolve(&publish).expect("within the maximum");
        assert_eq!(resolved.topic, topic);
        if let Some(cached) = resolved.cached {
            let mark = topic.len() as u32 * 1000 + u32::from(topic.as_bytes()[topic.len() - 1]);
            assert!(*cached == 0 || *cached == mark, "kept from another topic");
            *cached = mark;
        }
        if input.byte() == 0xFF {
            inbound.clear_cached();
        }
    }
}

/// `KeepAlive`: due exactly after one and a half intervals of silence.
fn silence(mut input: Input<'_>) {
    let (requested_s, server_s_max) = (input.two_bytes(), input.two_bytes());
    let mut now = Timestamp(u64::from(input.two_bytes()));
    let mut keep_alive = KeepAlive::new(requested_s, server_s_max, ProtocolVersion::V5, now);
    let mut heard = now;
    let interval_s = keep_alive.interval_s();
    assert!(server_s_max == 0 || (interval_s != 0 && interval_s <= server_s_max));
    assert!(requested_s == 0 || interval_s <= requested_s);
    while !input.is_empty() {
        now = now.plus_ms(u64::from(input.two_bytes()) * 64);
        let is_due = interval_s != 0 && now.since(heard) >= u64::from(interval_s) * 1500;
        assert_eq!(keep_alive.is_due(now), is_due);
        if input.byte() & 1 == 0 {
            keep_alive.received(now);
            heard = now;
        }
    }
}
