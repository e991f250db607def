//! Encoders that never validate: what a test wants to send, it can send.

/// The version a test client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1 (level 4).
    V311,
    /// MQTT 5.0 (level 5).
    V5,
}

impl Version {
    /// Both versions, for tests that hold in each.
    pub const BOTH: [Self; 2] = [Self::V311, Self::V5];

    /// The protocol level byte.
    #[must_use]
    pub fn level(self) -> u8 {
        match self {
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }
}

/// The will of a CONNECT.
#[derive(Clone, Debug)]
pub struct Will<'a> {
    /// Topic as sent, before any publish prefix.
    pub topic: &'a str,
    /// Payload bytes.
    pub payload: &'a [u8],
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the will is retained.
    pub retain: bool,
    /// Will delay in seconds (5.0 only).
    pub delay_s: Option<u32>,
}

impl<'a> Will<'a> {
    /// A will of QoS 0, not retained, without delay.
    #[must_use]
    pub fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self { topic, payload, qos: 0, retain: false, delay_s: None }
    }
}

/// A variable byte integer.
#[must_use]
pub fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (value % 128).to_le_bytes()[0];
        value /= 128;
        if value == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

/// A string or binary field with its two-byte length.
#[must_use]
pub fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let length = u16::try_from(bytes.len()).expect("a field holds at most 65535 bytes");
    [&length.to_be_bytes(), bytes].concat()
}

/// A whole packet from its first byte and its body.
#[must_use]
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first][..], &varint(body.len()), body].concat()
}

/// The property block: length and bytes in 5.0, nothing in 3.1.1.
#[must_use]
pub fn properties(version: Version, raw: &[u8]) -> Vec<u8> {
    match version {
        Version::V311 => Vec::new(),
        Version::V5 => [&varint(raw.len())[..], raw].concat(),
    }
}

/// Everything a CONNECT holds.
#[derive(Clone, Debug)]
pub struct Connect<'a> {
    /// Protocol version.
    pub version: Version,
    /// Client identifier, may be empty.
    pub client_id: &'a str,
    /// User name; `None` leaves it out, `Some("")` sends an empty one.
    pub username: Option<&'a str>,
    /// Password; `None` leaves it out, `Some(b"")` sends an empty one.
    pub password: Option<&'a [u8]>,
    /// Clean session or clean start.
    pub clean_start: bool,
    /// Keep-alive in seconds.
    pub keep_alive_s: u16,
    /// The will, if any.
    pub will: Option<Will<'a>>,
    /// Raw CONNECT properties (5.0 only).
    pub properties: &'a [u8],
}

/// CONNECT.
#[must_use]
pub fn connect(connect: &Connect<'_>) -> Vec<u8> {
    let mut flags = if connect.clean_start { 0x02 } else { 0 };
    let mut tail = field(connect.client_id);
    if let Some(will) = &connect.will {
        flags |= 0x04 | will.qos << 3 | if will.retain { 0x20 } else { 0 };
        let delay = will.delay_s.map_or(Vec::new(), |s| [&[0x18][..], &s.to_be_bytes()].concat());
        tail.extend(properties(connect.version, &delay));
        tail.extend(field(will.topic));
        tail.extend(field(will.payload));
    }
    if let Some(name) = connect.username {
        flags |= 0x80;
        tail.extend(field(name));
    }
    if let Some(password) = connect.password {
        flags |= 0x40;
        tail.extend(field(password));
    }
    let mut body = field("MQTT");
    body.extend([connect.version.level(), flags]);
    body.extend(connect.keep_alive_s.to_be_bytes());
    body.extend(properties(connect.version, connect.properties));
    body.extend(tail);
    packet(0x10, &body)
}

/// Everything a PUBLISH holds.
#[derive(Clone, Debug)]
pub struct Publish<'a> {
    /// Topic as sent.
    pub topic: &'a str,
    /// Payload bytes.
    pub payload: &'a [u8],
    /// 0, 1 or 2.
    pub qos: u8,
    /// Retain flag.
    pub retain: bool,
    /// DUP flag.
    pub dup: bool,
    /// Packet id, sent when `qos` is not 0.
    pub packet_id: u16,
    /// Raw properties (5.0 only).
    pub properties: &'a [u8],
}

impl<'a> Publish<'a> {
    /// A message of QoS 0 that is not retained.
    #[must_use]
    pub fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self { topic, payload, qos: 0, retain: false, dup: false, packet_id: 1, properties: &[] }
    }

    /// The same with another QoS and packet id.
    #[must_use]
    pub fn qos(self, qos: u8, packet_id: u16) -> Self {
        Self { qos, packet_id, ..self }
    }

    /// The same, retained.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }
}

/// PUBLISH.
#[must_use]
pub fn publish(version: Version, publish: &Publish<'_>) -> Vec<u8> {
    let flags = u8::from(publish.dup) << 3 | publish.qos << 1 | u8::from(publish.retain);
    let mut body = field(publish.topic);
    if publish.qos > 0 {
        body.extend(publish.packet_id.to_be_bytes());
    }
    body.extend(properties(version, publish.properties));
    body.extend(publish.payload);
    packet(0x30 | flags, &body)
}

/// SUBSCRIBE: filters with their options byte.
#[must_use]
pub fn subscribe(version: Version, packet_id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(properties(version, &[]));
    for (filter, options) in filters {
        body.extend(field(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// UNSUBSCRIBE.
#[must_use]
pub fn unsubscribe(version: Version, packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(properties(version, &[]));
    for filter in filters {
        body.extend(field(filter));
    }
    packet(0xA2, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP by its first byte (`0x40`, `0x50`, `0x62`, `0x70`), with success.
#[must_use]
pub fn acknowledge(first: u8, packet_id: u16) -> Vec<u8> {
    packet(first, &packet_id.to_be_bytes())
}

/// DISCONNECT with the normal reason.
#[must_use]
pub fn disconnect() -> Vec<u8> {
    packet(0xE0, &[])
}

/// PINGREQ.
#[must_use]
pub fn ping() -> Vec<u8> {
    packet(0xC0, &[])
}
