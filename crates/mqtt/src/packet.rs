//! The packets, one type for all versions: what a version does not know stays empty.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod subscribe;
mod unsubscribe;

pub use ack::{Ack, AckProperties};
pub use auth::Auth;
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties, Will, WillProperties};
pub use disconnect::{Disconnect, DisconnectProperties};
pub use publish::{OutgoingPublish, Publish};
pub use subscribe::{RequestedFilter, RetainHandling, SubAck, Subscribe, SubscribeOptions};
pub use unsubscribe::{UnsubAck, Unsubscribe};

/// Name and value pairs, in the order given; names may repeat.
pub type UserProperties = Vec<(String, String)>;

/// One control packet. Only PUBLISH borrows from the input: it is the hot path and decoded without
/// allocating; the rest own what they hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
    /// The client's first packet.
    Connect(Box<Connect>),
    /// The server's answer to it.
    ConnAck(Box<ConnAck>),
    /// A message.
    Publish(Publish<'a>),
    /// QoS 1: done.
    PubAck(Ack),
    /// QoS 2: received.
    PubRec(Ack),
    /// QoS 2: released.
    PubRel(Ack),
    /// QoS 2: done.
    PubComp(Ack),
    /// Wishes for messages.
    Subscribe(Subscribe),
    /// What became of each.
    SubAck(SubAck),
    /// Wishes for no more messages.
    Unsubscribe(Unsubscribe),
    /// What became of each.
    UnsubAck(UnsubAck),
    /// Sign of life.
    PingReq,
    /// Answer to it.
    PingResp,
    /// End of the connection.
    Disconnect(Disconnect),
    /// Step of an enhanced authentication (5.0).
    Auth(Auth),
}
