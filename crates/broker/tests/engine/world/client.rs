//! What a client does with a packet it gets.

use mqtt::{Ack, DecodeLimits, Decoded, Packet, ReasonCode};

use super::{Client, Q1};

impl Client {
    pub(super) fn take(&mut self, packet: Packet<'_>, answers: &mut Vec<u8>) {
        let mut answer = |packet: Packet<'_>| mqtt::encode(&packet, self.version, answers);
        let ok = |id| Ack::new(id, ReasonCode::Success);
        match packet {
            Packet::Publish(publish) => {
                let topic = match publish.properties.topic_alias() {
                    Some(alias) if publish.topic.is_empty() => {
                        let known = self.aliases.iter().rev().find(|(it, _)| *it == alias);
                        known.expect("an alias that was set").1.clone()
                    }
                    Some(alias) => {
                        self.aliases.push((alias, publish.topic.to_owned()));
                        publish.topic.to_owned()
                    }
                    None => publish.topic.to_owned(),
                };
                let ids: Vec<_> = publish.properties.subscription_identifiers().collect();
                let mut text = format!("{topic} q{}", publish.qos.bits());
                text += if publish.retain { " r" } else { "" };
                text += if publish.dup { " d" } else { "" };
                if !ids.is_empty() {
                    text += &format!(" {ids:?}");
                }
                if let Some(seconds) = publish.properties.message_expiry_interval_s() {
                    text += &format!(" {seconds}s");
                }
                text += &format!(": {}", String::from_utf8_lossy(publish.payload));
                self.messages.push(text);
                match publish.packet_id {
                    Some(id) if self.acks && publish.qos == Q1 => answer(Packet::PubAck(ok(id))),
                    Some(id) if self.acks => answer(Packet::PubRec(ok(id))),
                    _ => {}
                }
            }
            other => {
                match &other {
                    Packet::PubRec(ack) if self.acks && !ack.reason.is_error() => {
                        answer(Packet::PubRel(ok(ack.packet_id)));
                    }
                    Packet::PubRel(ack) if self.acks => answer(Packet::PubComp(ok(ack.packet_id))),
                    _ => {}
                }
                // Everything but PUBLISH owns what it holds; a detour through bytes shows it.
                let mut bytes = Vec::new();
                mqtt::encode(&other, self.version, &mut bytes);
                let leaked: &'static [u8] = bytes.leak();
                match mqtt::decode(leaked, self.version, &DecodeLimits::default()) {
                    Ok(Decoded::Packet { packet, .. }) => self.packets.push(packet),
                    failed => panic!("{failed:?}"),
                }
            }
        }
    }
}
