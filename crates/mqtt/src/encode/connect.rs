//! CONNECT.

use super::{properties, put_some, put_user_properties};
use crate::packet::{Connect, ConnectProperties, Will, WillProperties};
use crate::property::Property as P;
use crate::writer::{put_binary, put_text, put_two_bytes};

pub(super) fn body(connect: &Connect, out: &mut Vec<u8>) {
    let (name, level) = connect.version.name_and_level();
    put_text(name, out);
    out.extend_from_slice(&[level, flags(connect)]);
    put_two_bytes(connect.keep_alive_s, out);
    let is_v5 = connect.version.is_v5();
    if is_v5 {
        properties(out, |out| put(&connect.properties, out));
    }
    put_text(&connect.client_id, out);
    if let Some(will) = &connect.will {
        if is_v5 {
            properties(out, |out| put_will(&will.properties, out));
        }
        put_text(will.topic.as_str(), out);
        put_binary(&will.payload, out);
    }
    if let Some(username) = &connect.username {
        put_text(username, out);
    }
    if let Some(password) = &connect.password {
        put_binary(password, out);
    }
}

fn flags(connect: &Connect) -> u8 {
    let bit = |position: u8, is_set: bool| u8::from(is_set) << position;
    let will = connect
        .will
        .as_ref()
        .map_or(0, |will: &Will| bit(2, true) | (will.qos.bits() << 3) | bit(5, will.retain));
    bit(1, connect.clean_start)
        | will
        | bit(6, connect.password.is_some())
        | bit(7, connect.username.is_some())
}

fn put(it: &ConnectProperties, out: &mut Vec<u8>) {
    put_some(it.session_expiry_interval_s.map(P::SessionExpiryInterval), out);
    put_some(it.receive_maximum.map(P::ReceiveMaximum), out);
    put_some(it.maximum_packet_size.map(P::MaximumPacketSize), out);
    put_some(it.topic_alias_maximum.map(P::TopicAliasMaximum), out);
    put_some(it.request_response_information.map(P::RequestResponseInformation), out);
    put_some(it.request_problem_information.map(P::RequestProblemInformation), out);
    put_user_properties(&it.user_properties, out);
    put_some(it.authentication_method.as_deref().map(P::AuthenticationMethod), out);
    put_some(it.authentication_data.as_deref().map(P::AuthenticationData), out);
}

fn put_will(it: &WillProperties, out: &mut Vec<u8>) {
    if it.delay_s != 0 {
        P::WillDelayInterval(it.delay_s).put(out);
    }
    put_some(it.message_expiry_interval_s.map(P::MessageExpiryInterval), out);
    out.extend_from_slice(&it.forwardable);
}
