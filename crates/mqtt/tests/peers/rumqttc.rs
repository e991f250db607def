//! `rumqttc` with its `mqttbytes`: MQTT 3.1.1 and 5.0, a client's codec.

#[path = "rumqttc_v4.rs"]
mod v4;
#[path = "rumqttc_v5.rs"]
mod v5;

use super::Read;
use mqtt::{Disconnect, Packet, ProtocolVersion, Secret};

pub fn read(input: &[u8], version: ProtocolVersion) -> Result<Option<Read>, String> {
    if version.is_v5() { v5::read(input) } else { v4::read(input) }
}

/// Valid packets that this peer refuses or cannot say.
pub fn unable(packet: &Packet<'_>) -> Option<&'static str> {
    match packet {
        Packet::Connect(it) if it.username.is_some() != it.password.is_some() => {
            Some("knows user name and password only together")
        }
        Packet::Connect(it) if it.username.as_deref() == Some("") => {
            Some("takes an empty user name for an absent one")
        }
        Packet::Connect(it) if it.password.as_deref() == Some(b"") => {
            Some("takes an empty password for an absent one")
        }
        Packet::Connect(it) => {
            let is_text = |password: &Secret| std::str::from_utf8(password).is_ok();
            let is_text = it.password.as_ref().is_none_or(is_text);
            (!is_text).then_some("knows only passwords that are text")
        }
        Packet::Disconnect(it) if *it == Disconnect::default() => {
            Some("refuses a DISCONNECT of 5.0 without a body")
        }
        Packet::Auth(_) => Some("writes AUTH and reads none"),
        _ => None,
    }
}

/// The value of a reason code by its name, as most of this peer's enums have no values of their
/// own.
fn code(name: &str) -> u8 {
    let known = match name {
        "Success(AtLeastOnce)" => "GrantedQos1",
        "Success(ExactlyOnce)" => "GrantedQos2",
        "Success(AtMostOnce)" => "Success",
        "Unspecified" | "Failure" => "UnspecifiedError",
        "ImplementationSpecific" => "ImplementationSpecificError",
        "PkidInUse" => "PacketIdentifierInUse",
        "SubscriptionIdNotSupported" => "SubscriptionIdentifiersNotSupported",
        "BadUserNamePassword" => "BadUserNameOrPassword",
        "QoSNotSupported" => "QosNotSupported",
        other => other,
    };
    let found = mqtt::ReasonCode::ALL.iter().find(|it| format!("{it:?}") == known);
    found.unwrap_or_else(|| panic!("unknown reason code {name}")).value()
}
