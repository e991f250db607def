//! PUBACK, PUBREC, PUBREL, PUBCOMP, and the properties all answers share.

use super::{properties, put_some, put_user_properties, shorten};
use crate::ProtocolVersion;
use crate::packet::{Ack, AckProperties};
use crate::property::Property;
use crate::writer::put_two_bytes;

pub(super) fn body(ack: &Ack, version: ProtocolVersion, out: &mut Vec<u8>) {
    put_two_bytes(ack.packet_id.get(), out);
    if !version.is_v5() {
        return;
    }
    let start = out.len();
    out.push(ack.reason.value());
    ack_properties(&ack.properties, out);
    shorten(start, ack.reason, out);
}

pub(super) fn ack_properties(it: &AckProperties, out: &mut Vec<u8>) {
    properties(out, |out| {
        put_some(it.reason_string.as_deref().map(Property::ReasonString), out);
        put_user_properties(&it.user_properties, out);
    });
}
