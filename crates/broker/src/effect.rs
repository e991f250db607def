//! What the engine asks of its surroundings, in the order in which it must happen.

use crate::fetch::Fetch;
use crate::identity::{ConnectionId, ShardId};
use crate::record::Record;
use crate::report::Report;
use crate::shard_message::ShardMessage;

/// One thing to do. Effects come out in order.
#[derive(Debug)]
pub enum Effect {
    /// Make this durable, all records up to the next `Commit` at once or none of them. Output that
    /// relies on it is held back by the engine.
    Persist(Record),
    /// All records since the last one belong together under this number, larger than those before.
    /// Call [`crate::Engine::committed`] with it when they are durable, and hand nothing of what comes
    /// after it to other shards before the records are handed on.
    Commit(u64),
    /// The connection has bytes to write: [`crate::Engine::output`]. One a round and connection.
    Flush(ConnectionId),
    /// Write what `output` still has, then close the socket and call [`crate::Engine::detach`].
    Close(ConnectionId),
    /// Read no more from this connection and do not call `receive` until `Resume`: a receiver of
    /// its messages is behind.
    Pause(ConnectionId),
    /// Call `receive` with what was left over, then read again.
    Resume(ConnectionId),
    /// Hand this to another shard, in order and without loss.
    Forward(ShardId, ShardMessage),
    /// Read this from what is durable, and call [`crate::Engine::fetched`] with the answer.
    Fetch(Box<Fetch>),
    /// Something an operator may want to know.
    Report(Report),
}
