//! The 3.1.1 half.

use super::super::{Fields, Pairs, Read, ours};
use super::code;
use bytes::BytesMut;
use mqtt::{Packet, ProtocolVersion};
use rumqttc::mqttbytes::{Error, v4};

pub(super) fn read(input: &[u8]) -> Result<Option<Read>, String> {
    let packet = match v4::Packet::read(&mut BytesMut::from(input), usize::MAX) {
        Ok(packet) => packet,
        Err(Error::InsufficientBytes(_)) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut target = BytesMut::new();
    let written = packet.write(&mut target, usize::MAX);
    let written = written.map(|_| target.to_vec()).map_err(|it| it.to_string());
    Ok(Some(Read { fields: fields(&packet), written }))
}

fn fields(packet: &v4::Packet) -> Fields {
    use v4::Packet as P;
    match packet {
        P::Connect(it) => connect(it),
        P::ConnAck(it) => {
            let nothing = Packet::ConnAck(Box::default());
            ours::fields(&nothing, ProtocolVersion::V311)
                .with("session", it.session_present)
                .with("code", it.code as u8)
        }
        P::Publish(it) => publish(it),
        P::PubAck(it) => ack("puback", it.pkid),
        P::PubRec(it) => ack("pubrec", it.pkid),
        P::PubRel(it) => ack("pubrel", it.pkid),
        P::PubComp(it) => ack("pubcomp", it.pkid),
        P::Subscribe(it) => {
            let filters: Vec<(String, u8, (bool, bool), u8)> = it
                .filters
                .iter()
                .map(|filter| (filter.path.clone(), filter.qos as u8, (false, false), 0))
                .collect();
            Fields::new("subscribe")
                .with("id", it.pkid)
                .with("identifier", None::<u32>)
                .with("filters", filters)
                .with("user", Pairs::new())
        }
        P::SubAck(it) => {
            let reasons = it.return_codes.iter().map(|it| code(&format!("{it:?}")));
            several("suback", it.pkid, reasons.collect())
        }
        P::Unsubscribe(it) => Fields::new("unsubscribe")
            .with("id", it.pkid)
            .with("filters", &it.topics)
            .with("user", Pairs::new()),
        P::UnsubAck(it) => several("unsuback", it.pkid, Vec::new()),
        P::PingReq => Fields::new("pingreq"),
        P::PingResp => Fields::new("pingresp"),
        P::Disconnect => {
            let nothing = Packet::Disconnect(mqtt::Disconnect::default());
            ours::fields(&nothing, ProtocolVersion::V311)
        }
    }
}

fn ack(kind: &str, id: u16) -> Fields {
    Fields::new(kind)
        .with("id", id)
        .with("code", 0)
        .with("reason", None::<&str>)
        .with("user", Pairs::new())
}

fn several(kind: &str, id: u16, reasons: Vec<u8>) -> Fields {
    Fields::new(kind)
        .with("id", id)
        .with("reasons", reasons)
        .with("reason", None::<&str>)
        .with("user", Pairs::new())
}

fn without_properties(fields: Fields) -> Fields {
    fields
        .with("format", false)
        .with("content", None::<&str>)
        .with("response", None::<&str>)
        .with("correlation", None::<&[u8]>)
        .with("message user", Pairs::new())
}

fn publish(it: &v4::Publish) -> Fields {
    without_properties(Fields::new("publish"))
        .with("dup", it.dup)
        .with("qos", it.qos as u8)
        .with("retain", it.retain)
        .with("topic", &it.topic)
        .with("id", it.pkid)
        .with("payload", it.payload.to_vec())
        .with("alias", None::<u16>)
        .with("expiry", None::<u32>)
        .with("identifiers", Vec::<u32>::new())
}

fn connect(it: &v4::Connect) -> Fields {
    let nothing = mqtt::Connect::new(ProtocolVersion::V311, "");
    let login = it.login.as_ref();
    let fields = ours::fields(&Packet::Connect(Box::new(nothing)), ProtocolVersion::V311)
        .with("clean", it.clean_session)
        .with("keep alive", it.keep_alive)
        .with("client", &it.client_id)
        .with("username", login.map(|it| &it.username))
        .with("password", login.map(|it| it.password.as_bytes()));
    let Some(will) = &it.last_will else { return fields };
    without_properties(fields)
        .with("will topic", &will.topic)
        .with("will payload", will.message.to_vec())
        .with("will qos", will.qos as u8)
        .with("will retain", will.retain)
        .with("will delay", 0)
        .with("will expiry", None::<u32>)
}
