//! Two published codecs, and what they and ours make of a packet in one form that can be compared.

#![allow(unreachable_pub, reason = "a module of one test binary")]

pub mod ours;
pub mod rmqtt;
pub mod rumqttc;

use mqtt::{Packet, ProtocolVersion};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A packet as names and values; what is absent has its default.
#[derive(Debug, PartialEq, Eq)]
pub struct Fields(BTreeMap<&'static str, String>);

impl Fields {
    pub fn new(kind: &str) -> Fields {
        Fields(BTreeMap::new()).with("kind", kind)
    }

    pub fn with(mut self, name: &'static str, value: impl Debug) -> Fields {
        self.0.insert(name, format!("{value:?}"));
        self
    }
}

/// Name and value pairs.
pub type Pairs = Vec<(String, String)>;

/// What a peer made of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted(Fields),
    Refused,
    Incomplete,
    Panicked,
}

pub struct Peer {
    pub name: &'static str,
    /// Decodes; gives the packet and what the peer writes of it. `Ok(None)`: incomplete.
    read: fn(&[u8], ProtocolVersion) -> Result<Option<Read>, String>,
    /// Why the peer is not asked about this packet, if it is not.
    pub unable: fn(&Packet<'_>) -> Option<&'static str>,
}

pub struct Read {
    pub fields: Fields,
    pub written: Result<Vec<u8>, String>,
}

pub const PEERS: [Peer; 2] = [
    Peer { name: "rmqtt-codec", read: rmqtt::read, unable: rmqtt::unable },
    Peer { name: "rumqttc", read: rumqttc::read, unable: rumqttc::unable },
];

impl Peer {
    /// Decodes and writes again; both must work.
    #[track_caller]
    pub fn read(&self, input: &[u8], version: ProtocolVersion) -> Read {
        match (self.read)(input, version) {
            Ok(Some(read)) => read,
            Ok(None) => panic!("{} wants more than {version} {input:02X?}", self.name),
            Err(error) => panic!("{} refuses {version} {input:02X?}: {error}", self.name),
        }
    }

    /// Decodes, surviving the peer's panics.
    pub fn judge(&self, input: &[u8], version: ProtocolVersion) -> Verdict {
        match catch_unwind(AssertUnwindSafe(|| (self.read)(input, version))) {
            Ok(Ok(Some(read))) => Verdict::Accepted(read.fields),
            Ok(Ok(None)) => Verdict::Incomplete,
            Ok(Err(_)) => Verdict::Refused,
            Err(_) => Verdict::Panicked,
        }
    }
}

impl Fields {
    /// The value as text.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}
