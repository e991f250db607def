//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK.

use super::ack::ack_properties;
use super::{properties, put_some, put_user_properties};
use crate::packet::{RetainHandling, SubAck, Subscribe, SubscribeOptions, UnsubAck, Unsubscribe};
use crate::property::Property;
use crate::writer::{put_text, put_two_bytes};
use crate::{ProtocolVersion, ReasonCode};

pub(super) fn body(subscribe: &Subscribe, version: ProtocolVersion, out: &mut Vec<u8>) {
    put_two_bytes(subscribe.packet_id.get(), out);
    if version.is_v5() {
        properties(out, |out| {
            let identifier = subscribe.subscription_identifier;
            put_some(identifier.map(Property::SubscriptionIdentifier), out);
            put_user_properties(&subscribe.user_properties, out);
        });
    }
    for (filter, options) in &subscribe.filters {
        put_text(&filter.to_string(), out);
        out.push(options_byte(*options, version));
    }
}

pub(super) fn ack_body(suback: &SubAck, version: ProtocolVersion, out: &mut Vec<u8>) {
    put_two_bytes(suback.packet_id.get(), out);
    if version.is_v5() {
        ack_properties(&suback.properties, out);
        return out.extend(suback.reasons.iter().map(|reason| reason.value()));
    }
    // 3.1.1 knows one failure; 3.1 knows none, but a client that is told nothing would wait for
    // ever.
    out.extend(suback.reasons.iter().map(|reason| match reason.is_error() {
        true => ReasonCode::UnspecifiedError.value(),
        false => reason.value(),
    }));
}

pub(super) fn unsubscribe_body(
    unsubscribe: &Unsubscribe,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) {
    put_two_bytes(unsubscribe.packet_id.get(), out);
    if version.is_v5() {
        properties(out, |out| put_user_properties(&unsubscribe.user_properties, out));
    }
    for filter in &unsubscribe.filters {
        put_text(&filter.to_string(), out);
    }
}

pub(super) fn unsubscribe_ack_body(
    unsuback: &UnsubAck,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) {
    put_two_bytes(unsuback.packet_id.get(), out);
    if version.is_v5() {
        ack_properties(&unsuback.properties, out);
        out.extend(unsuback.reasons.iter().map(|reason| reason.value()));
    }
}

fn options_byte(options: SubscribeOptions, version: ProtocolVersion) -> u8 {
    if !version.is_v5() {
        return options.qos.bits();
    }
    let retain_handling = match options.retain_handling {
        RetainHandling::Always => 0,
        RetainHandling::IfNew => 1,
        RetainHandling::Never => 2,
    };
    options.qos.bits()
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | retain_handling << 4
}
