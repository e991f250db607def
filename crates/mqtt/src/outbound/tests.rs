//! Each rule of the sender's side, told as a story of packets.

use super::{AckError, Outbound, Received, Resend, Stage};
use crate::{PacketId, Qos, ReasonCode};
use Qos::{AtLeastOnce, ExactlyOnce};

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

/// An outbound that has sent these: `"1a"` is message `a` with QoS 1.
fn sent(window: u16, messages: &[&'static str]) -> Outbound<&'static str> {
    let mut outbound = Outbound::new(window);
    for message in messages {
        let qos = if message.starts_with('1') { AtLeastOnce } else { ExactlyOnce };
        outbound.send(qos, *message).unwrap();
    }
    outbound
}

/// All that is sent again, as text: `dup 1 1a`, `rel 2`.
fn resent(outbound: &mut Outbound<&'static str>) -> Vec<String> {
    let mut result = Vec::new();
    while let Some(resend) = outbound.resend() {
        result.push(match resend {
            Resend::Publish(id, qos, message) => {
                assert_eq!(message.starts_with('1'), qos == AtLeastOnce);
                format!("dup {id} {message}")
            }
            Resend::PubRel(id) => format!("rel {id}"),
        });
    }
    result
}

// Shows 3.1.1: [MQTT-2.3.1-4], [MQTT-4.3.2-1], [MQTT-4.3.3-1]; 5.0: [MQTT-2.2.1-4], [MQTT-4.3.2-1],
// [MQTT-4.3.3-1].
#[test]
fn identifiers_are_given_in_order_and_not_while_in_use() {
    let mut outbound = sent(65_535, &["1a", "1b", "1c"]);
    assert_eq!(outbound.iter().map(|it| it.0.get()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(outbound.puback(id(2)), Ok(Some("1b")));
    for expected in (4..=65_535).chain([2]) {
        assert_eq!(outbound.send(AtLeastOnce, "1x"), Ok(id(expected)));
    }
    assert_eq!(outbound.send(AtLeastOnce, "1x"), Err("1x"));
    assert_eq!(outbound.len(), 65_535);
}

// Shows 5.0: [MQTT-3.3.4-9], [MQTT-4.9.0-2].
#[test]
fn no_more_is_sent_than_the_client_takes() {
    let mut outbound = sent(2, &["1a", "2b"]);
    assert_eq!(outbound.send(AtLeastOnce, "1c"), Err("1c"));
    assert_eq!(outbound.pubrec(id(2), ReasonCode::Success), Ok(Received::Release(Some("2b"))));
    assert!(!outbound.has_room(), "PUBREC alone does not make room");
    assert_eq!(outbound.pubcomp(id(2)), Ok(()));
    assert_eq!(outbound.send(AtLeastOnce, "1c"), Ok(id(3)));
    assert_eq!(outbound.puback(id(1)), Ok(Some("1a")));
    assert!(outbound.has_room());
}

// Shows 5.0: [MQTT-4.4.0-2].
#[test]
fn a_pubrec_with_an_error_ends_the_exchange_and_frees_identifier_and_room() {
    let mut outbound = sent(1, &["2a"]);
    let refused = outbound.pubrec(id(1), ReasonCode::QuotaExceeded);
    assert_eq!(refused, Ok(Received::Refused(Some("2a"))));
    assert!(outbound.is_empty() && outbound.has_room());
    assert_eq!(outbound.pubcomp(id(1)), Err(AckError::Unknown));
}

#[test]
fn a_pubrec_that_says_nobody_subscribes_is_no_error() {
    let mut outbound = sent(1, &["2a"]);
    let received = outbound.pubrec(id(1), ReasonCode::NoMatchingSubscribers);
    assert_eq!(received, Ok(Received::Release(Some("2a"))));
}

#[test]
fn a_repeated_pubrec_is_answered_again() {
    let mut outbound = sent(1, &["2a"]);
    assert_eq!(outbound.pubrec(id(1), ReasonCode::Success), Ok(Received::Release(Some("2a"))));
    assert_eq!(outbound.pubrec(id(1), ReasonCode::Success), Ok(Received::ReleaseAgain));
    assert_eq!(outbound.pubcomp(id(1)), Ok(()));
    assert_eq!(outbound.pubrec(id(1), ReasonCode::Success), Err(AckError::Unknown));
}

#[test]
fn acknowledgements_of_the_wrong_kind_change_nothing() {
    let mut outbound = sent(5, &["1a", "2b", "2c"]);
    outbound.pubrec(id(3), ReasonCode::Success).unwrap();
    let before: Vec<_> = outbound.iter().map(|(id, stage, _)| (id, stage)).collect();
    assert_eq!(outbound.pubrec(id(1), ReasonCode::Success), Err(AckError::WrongStage));
    assert_eq!(outbound.pubcomp(id(1)), Err(AckError::WrongStage));
    assert_eq!(outbound.puback(id(2)), Err(AckError::WrongStage));
    assert_eq!(outbound.pubcomp(id(2)), Err(AckError::WrongStage));
    assert_eq!(outbound.puback(id(3)), Err(AckError::WrongStage));
    assert_eq!(outbound.puback(id(9)), Err(AckError::Unknown));
    assert_eq!(before, outbound.iter().map(|(id, stage, _)| (id, stage)).collect::<Vec<_>>());
    assert_eq!(AckError::Unknown.reason().value(), 0x92);
    assert_eq!(AckError::WrongStage.reason().value(), 0x82);
}

#[test]
fn after_a_reconnect_all_unacknowledged_goes_out_again_in_order() {
    let mut outbound = sent(10, &["1a", "2b", "2c", "1d", "2e"]);
    outbound.pubrec(id(5), ReasonCode::Success).unwrap();
    outbound.pubrec(id(2), ReasonCode::Success).unwrap();
    outbound.puback(id(4)).unwrap();
    outbound.reconnected(10);
    assert_eq!(resent(&mut outbound), ["dup 1 1a", "dup 3 2c", "rel 5", "rel 2"]);
    assert_eq!(resent(&mut outbound), [""; 0], "only once a connection");
    outbound.reconnected(10);
    assert_eq!(resent(&mut outbound), ["dup 1 1a", "dup 3 2c", "rel 5", "rel 2"]);
}

// Shows 5.0: [MQTT-3.3.4-9], [MQTT-4.9.0-1].
#[test]
fn what_is_sent_again_goes_before_what_is_new_and_keeps_to_the_new_window() {
    let mut outbound = sent(10, &["1a", "1b", "1c"]);
    outbound.reconnected(2);
    assert_eq!(resent(&mut outbound), ["dup 1 1a", "dup 2 1b"]);
    assert_eq!(outbound.send(AtLeastOnce, "1d"), Err("1d"));
    outbound.puback(id(1)).unwrap();
    assert_eq!(outbound.send(AtLeastOnce, "1d"), Err("1d"), "1c is still to be sent");
    assert_eq!(resent(&mut outbound), ["dup 3 1c"]);
    assert!(!outbound.has_room());
    outbound.puback(id(3)).unwrap();
    assert_eq!(outbound.send(AtLeastOnce, "1d"), Ok(id(4)));
}

#[test]
fn a_release_sent_again_takes_no_room() {
    let mut outbound = sent(10, &["2a"]);
    outbound.pubrec(id(1), ReasonCode::Success).unwrap();
    outbound.reconnected(1);
    assert_eq!(resent(&mut outbound), ["rel 1"]);
    assert_eq!(outbound.send(AtLeastOnce, "1b"), Ok(id(2)));
    assert_eq!(outbound.pubcomp(id(1)), Ok(()));
    assert_eq!(outbound.send(AtLeastOnce, "1c"), Err("1c"), "1b still takes the room");
}

// Shows 3.1.1: [MQTT-2.3.1-4]; 5.0: [MQTT-2.2.1-4].
#[test]
fn what_was_withdrawn_keeps_its_identifier_until_acknowledged() {
    let mut outbound = sent(2, &["1secret", "2secret"]);
    assert_eq!(outbound.remove_where(|message| message.contains("secret")), ["1secret", "2secret"]);
    assert!(!outbound.has_room());
    assert_eq!(outbound.puback(id(1)), Ok(None));
    assert_eq!(outbound.pubrec(id(2), ReasonCode::Success), Ok(Received::Release(None)));
    assert_eq!(outbound.pubcomp(id(2)), Ok(()));
}

#[test]
fn what_was_withdrawn_is_not_sent_again() {
    for withdraw_first in [true, false] {
        let mut outbound = sent(9, &["1a", "1secret", "2secret", "2b"]);
        if withdraw_first {
            outbound.remove_where(|message| message.contains("secret"));
            outbound.reconnected(9);
        } else {
            outbound.reconnected(9);
            outbound.remove_where(|message| message.contains("secret"));
        }
        assert_eq!(resent(&mut outbound), ["dup 1 1a", "rel 3", "dup 4 2b"]);
        assert_eq!(outbound.puback(id(2)), Err(AckError::Unknown));
        assert_eq!(outbound.pubcomp(id(3)), Ok(()), "the peer may hold its identifier");
    }
}

#[test]
fn a_session_read_from_disk_goes_on_where_it_was() {
    let mut outbound = Outbound::new(0);
    outbound.restore(id(7), Stage::PubRec, Some("2a"));
    outbound.restore(id(3), Stage::PubComp, None);
    outbound.restore(id(3), Stage::PubAck, Some("1x"));
    outbound.reconnected(5);
    assert_eq!(resent(&mut outbound), ["dup 7 2a", "rel 3"]);
    assert_eq!(outbound.send(AtLeastOnce, "1b"), Ok(id(4)));
}
