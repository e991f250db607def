//! Packets in, bytes out: appended to the caller's buffer, in the form a version knows.
//!
//! What a version does not know (properties, reason codes) is left out. Answers are written in
//! their shortest form: no reason code if it is success, no properties if there are none.

mod ack;
mod connack;
mod connect;
mod publish;
mod subscribe;

pub use publish::{PACKET_SIZE_MAX, encode_publish, publish_size};

use crate::fixed_header::Kind;
use crate::packet::{Ack, AckProperties, Auth, Disconnect, Packet, UserProperties};
use crate::property::Property;
use crate::writer::{VARINT_MAX, insert_length};
use crate::{ProtocolVersion, ReasonCode};

/// Appends `packet` to `out` as `version` writes it; a CONNECT as its own version does.
///
/// Text and binary data are cut at 65,535 bytes, which is all the wire can say; nothing is written
/// of a packet larger than [`PACKET_SIZE_MAX`] nor of what a version has no packet for (AUTH before
/// 5.0). A maximum packet size of the peer is for the caller to keep.
pub fn encode(packet: &Packet<'_>, version: ProtocolVersion, out: &mut Vec<u8>) {
    match packet {
        Packet::Publish(publish) => publish::encode_received(publish, version, out),
        Packet::Connect(connect) => {
            framed(Kind::Connect, out, |out| connect::body(connect, out));
        }
        Packet::ConnAck(connack) => {
            framed(Kind::ConnAck, out, |out| connack::body(connack, version, out));
        }
        Packet::PubAck(ack) => put_ack(Kind::PubAck, ack, version, out),
        Packet::PubRec(ack) => put_ack(Kind::PubRec, ack, version, out),
        Packet::PubRel(ack) => put_ack(Kind::PubRel, ack, version, out),
        Packet::PubComp(ack) => put_ack(Kind::PubComp, ack, version, out),
        Packet::Subscribe(subscribe) => {
            framed(Kind::Subscribe, out, |out| subscribe::body(subscribe, version, out));
        }
        Packet::SubAck(suback) => {
            framed(Kind::SubAck, out, |out| subscribe::ack_body(suback, version, out));
        }
        Packet::Unsubscribe(unsubscribe) => {
            framed(Kind::Unsubscribe, out, |out| {
                subscribe::unsubscribe_body(unsubscribe, version, out);
            });
        }
        Packet::UnsubAck(unsuback) => {
            framed(Kind::UnsubAck, out, |out| {
                subscribe::unsubscribe_ack_body(unsuback, version, out);
            });
        }
        Packet::PingReq => framed(Kind::PingReq, out, |_| {}),
        Packet::PingResp => framed(Kind::PingResp, out, |_| {}),
        Packet::Disconnect(disconnect) => {
            framed(Kind::Disconnect, out, |out| disconnect_body(disconnect, version, out));
        }
        Packet::Auth(auth) if version.is_v5() => {
            framed(Kind::Auth, out, |out| auth_body(auth, out))
        }
        Packet::Auth(_) => {}
    }
}

/// Most answers are an identifier and nothing else: there is one for each message.
fn put_ack(kind: Kind, ack: &Ack, version: ProtocolVersion, out: &mut Vec<u8>) {
    if version.is_v5()
        && (ack.reason != ReasonCode::Success || ack.properties != AckProperties::default())
    {
        return framed(kind, out, |out| ack::body(ack, version, out));
    }
    let [high, low] = ack.packet_id.get().to_be_bytes();
    out.extend_from_slice(&[kind.first_byte(), 2, high, low]);
}

/// Fixed header and body; the length is put in when the body is known.
fn framed(kind: Kind, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.push(kind.first_byte());
    body(out);
    if out.len().saturating_sub(start + 1) > VARINT_MAX {
        return out.truncate(start);
    }
    insert_length(start + 1, out);
}

/// The length of the properties and the properties that `put` writes.
fn properties(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put(out);
    insert_length(start, out);
}

fn put_some(property: Option<Property<'_>>, out: &mut Vec<u8>) {
    if let Some(property) = property {
        property.put(out);
    }
}

fn put_user_properties(pairs: &UserProperties, out: &mut Vec<u8>) {
    for (name, value) in pairs {
        Property::User(name, value).put(out);
    }
}

fn disconnect_body(disconnect: &Disconnect, version: ProtocolVersion, out: &mut Vec<u8>) {
    if !version.is_v5() {
        return;
    }
    let start = out.len();
    out.push(disconnect.reason.value());
    let it = &disconnect.properties;
    properties(out, |out| {
        put_some(it.session_expiry_interval_s.map(Property::SessionExpiryInterval), out);
        put_some(it.reason_string.as_deref().map(Property::ReasonString), out);
        put_user_properties(&it.user_properties, out);
        put_some(it.server_reference.as_deref().map(Property::ServerReference), out);
    });
    // A code is always followed by a length, which 3.14.2.2.1 leaves open: rumqttc 0.25, for one,
    // waits for more after a DISCONNECT of one byte and never tells its user why it was cut off.
    if disconnect.reason == ReasonCode::Success {
        shorten(start, disconnect.reason, out);
    }
}

fn auth_body(auth: &Auth, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(auth.reason.value());
    properties(out, |out| {
        put_some(auth.authentication_method.as_deref().map(Property::AuthenticationMethod), out);
        put_some(auth.authentication_data.as_deref().map(Property::AuthenticationData), out);
        put_some(auth.reason_string.as_deref().map(Property::ReasonString), out);
        put_user_properties(&auth.user_properties, out);
    });
    // 3.15.2.1: only success may be left out, and only with the length.
    if auth.reason == ReasonCode::Success {
        shorten(start, auth.reason, out);
    }
}

/// Takes away what may be left out of reason code and empty properties, which begin at `start`.
fn shorten(start: usize, reason: ReasonCode, out: &mut Vec<u8>) {
    let has_properties = out.len() != start + 2;
    if !has_properties {
        out.truncate(if reason == ReasonCode::Success { start } else { start + 1 });
    }
}
