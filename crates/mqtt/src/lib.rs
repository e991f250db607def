//! MQTT 3.1, 3.1.1 and 5.0 on the wire: codec and the state of one connection, without I/O.
//!
//! Two halves. The codec turns bytes into [`Packet`]s and back, in both directions, as strictly as
//! the standard is written. The rules of a connection are small machines fed by the caller:
//! [`KeepAlive`], [`InboundAliases`], [`OutboundAliases`], [`Inbound`], [`Outbound`].
//!
//! Invariant: nothing here reads a clock, a socket or a random number, and nothing a peer sends
//! makes it panic.

mod decode;
mod encode;
mod error;
mod fixed_header;
mod from_client;
mod id_map;
mod inbound;
mod inbound_aliases;
mod keep_alive;
mod outbound;
mod outbound_aliases;
mod packet;
mod packet_id;
mod plain_ack;
mod property;
mod publish_properties;
mod qos;
mod reader;
mod reason;
mod secret;
mod timestamp;
mod topic_error;
mod version;
mod writer;

pub use decode::{
    DecodeLimits, Decoded, announced_length, decode, decode_connect, decode_publish, is_publish,
};
pub use encode::{PACKET_SIZE_MAX, encode, encode_publish, publish_size};
pub use error::{DecodeError, ProtocolError};
pub use inbound::{Arrival, Inbound};
pub use inbound_aliases::{InboundAliases, ResolvedTopic};
pub use keep_alive::KeepAlive;
pub use outbound::{AckError, Outbound, Received, Resend, Stage};
pub use outbound_aliases::{AliasedTopic, OutboundAliases};
pub use packet::{
    Ack, AckProperties, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect,
    DisconnectProperties, OutgoingPublish, Packet, Publish, RequestedFilter, RetainHandling,
    SubAck, Subscribe, SubscribeOptions, UnsubAck, Unsubscribe, UserProperties, Will,
    WillProperties,
};
pub use packet_id::PacketId;
pub use plain_ack::PlainAck;
pub use publish_properties::PublishProperties;
pub use qos::Qos;
pub use reason::ReasonCode;
pub use secret::Secret;
pub use timestamp::Timestamp;
pub use version::ProtocolVersion;
