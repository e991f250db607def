//! The bytes that wait to be written to one connection: whole frames after each other, the first of
//! which may be written in part.
//!
//! The buffer is borrowed from the shard's pool while there is something in it, so that an idle
//! connection holds none.

use std::collections::VecDeque;

use mqtt::PacketId;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    buffer: Vec<u8>,
    /// Bytes before this are written.
    written: usize,
    /// Start of a frame, at or before `written`.
    boundary: usize,
    /// What may not be written yet.
    holds: VecDeque<Hold>,
}

/// From `start` on, which is where a frame begins, all waits for a commit.
#[derive(Debug, Clone, Copy)]
struct Hold {
    commit: u64,
    start: usize,
}

/// A PUBLISH that waits in an outbox, as far as its fate depends on it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WaitingPublish<'a> {
    /// Empty if a topic alias stands for it.
    pub(crate) topic: &'a [u8],
    /// `None` for QoS 0.
    pub(crate) packet_id: Option<PacketId>,
    /// The client may have got it before.
    pub(crate) dup: bool,
    /// Bytes of the whole frame.
    pub(crate) length: usize,
}

/// Buffers that no outbox uses at the moment.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    buffers: Vec<Vec<u8>>,
}

impl BufferPool {
    fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < POOL_BUFFERS_MAX && buffer.capacity() <= POOL_BUFFER_BYTES_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

impl Outbox {
    /// What is to be written now.
    pub(crate) fn bytes(&self) -> &[u8] {
        let end = self.held().map_or(self.buffer.len(), |hold| hold.start);
        self.buffer.get(self.written..end).unwrap_or_default()
    }

    /// Holds back what is appended from now on until this commit.
    pub(crate) fn hold(&mut self, commit: u64) {
        let start = self.buffer.len();
        if self.holds.back().is_none_or(|last| last.commit < commit) {
            self.holds.push_back(Hold { commit, start });
        }
    }

    /// Lets go of what waited for this commit or an earlier one.
    pub(crate) fn release(&mut self, commit: u64) {
        while self.holds.front().is_some_and(|hold| hold.commit <= commit) {
            self.holds.pop_front();
        }
        if self.holds.is_empty() {
            // Idle connections hold no memory for it.
            self.holds = VecDeque::new();
        }
    }

    /// Takes back what is held.
    pub(crate) fn cut_held(&mut self) {
        if let Some(hold) = self.held() {
            self.buffer.truncate(hold.start.max(self.written));
            self.holds.clear();
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        !self.holds.is_empty()
    }

    fn held(&self) -> Option<Hold> {
        self.holds.front().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.buffer.len().saturating_sub(self.written)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where whole frames are to be appended.
    pub(crate) fn writer(&mut self, pool: &mut BufferPool) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            self.buffer = pool.take();
        } else if self.written > COMPACT_BYTES && self.written > self.buffer.len() / 2 {
            self.compact();
        }
        &mut self.buffer
    }

    pub(crate) fn advance(&mut self, bytes: usize, pool: &mut BufferPool) {
        self.written = self.written.saturating_add(bytes).min(self.buffer.len());
        if self.written == self.buffer.len() {
            self.boundary = 0;
            self.written = 0;
            for hold in &mut self.holds {
                hold.start = 0;
            }
            pool.give(std::mem::take(&mut self.buffer));
        }
    }

    /// Takes out of the frames not yet begun those PUBLISH that `keep` does not want.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&WaitingPublish<'_>) -> bool) {
        let mut read = self.first_unwritten_frame();
        let first = read;
        let mut write = read;
        while let Some(length) = self.buffer.get(read..).and_then(frame_length) {
            let end = read + length;
            let is_kept =
                self.buffer.get(read..end).and_then(waiting_publish).is_none_or(|p| keep(&p));
            if is_kept {
                if write != read {
                    self.buffer.copy_within(read..end, write);
                }
                write += length;
            }
            read = end;
        }
        if write != read {
            self.buffer.copy_within(read.., write);
            self.buffer.truncate(self.buffer.len() - (read - write));
            // Frames have moved: what is left waits for the last commit that any of it waited for.
            if let Some(last) = self.holds.back().copied() {
                self.holds.clear();
                self.holds.push_back(Hold { start: first, ..last });
            }
        }
    }

    /// Drops the oldest QoS 0 messages until `bytes` are freed, if there are so many. Returns how
    /// many were dropped. With topic aliases a frame that carries its topic may be what defines the
    /// alias for later ones, so only those without topic go.
    pub(crate) fn drop_oldest(&mut self, bytes: usize, has_aliases: bool) -> u64 {
        let mut freed = 0;
        let mut dropped = 0;
        self.retain(|publish| {
            let defines_alias = has_aliases && !publish.topic.is_empty();
            if freed >= bytes || publish.packet_id.is_some() || defines_alias {
                return true;
            }
            freed += publish.length;
            dropped += 1;
            false
        });
        dropped
    }

    /// Lets go of the room that is not in use.
    pub(crate) fn shrink(&mut self) {
        self.compact();
        self.buffer.shrink_to_fit();
    }

    fn first_unwritten_frame(&mut self) -> usize {
        while self.boundary < self.written {
            let Some(length) = self.buffer.get(self.boundary..).and_then(frame_length) else {
                break;
            };
            if self.boundary + length > self.written {
                // Begun: it cannot be taken back.
                return self.boundary + length;
            }
            self.boundary += length;
        }
        self.boundary
    }

    fn compact(&mut self) {
        self.first_unwritten_frame();
        self.buffer.drain(..self.boundary);
        self.written -= self.boundary;
        for hold in &mut self.holds {
            hold.start -= self.boundary;
        }
        self.boundary = 0;
    }
}

/// Length of the frame that begins here. The engine itself wrote it, so it is whole.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let (remaining, header) = remaining_length(bytes)?;
    Some(header + remaining)
}

fn remaining_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut remaining = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        remaining |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((remaining, index + 2));
        }
    }
    None
}

fn waiting_publish(frame: &[u8]) -> Option<WaitingPublish<'_>> {
    let first = *frame.first()?;
    if first >> 4 != PUBLISH {
        return None;
    }
    let (_, header) = remaining_length(frame)?;
    let body = frame.get(header..)?;
    let (length, rest) = body.split_first_chunk::<2>()?;
    let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let packet_id = if first & 0b110 == 0 {
        None
    } else {
        let (id, _) = rest.split_first_chunk::<2>()?;
        PacketId::new(u16::from_be_bytes(*id))
    };
    Some(WaitingPublish { topic, packet_id, dup: first & 0b1000 != 0, length: frame.len() })
}

const PUBLISH: u8 = 3;
/// Written bytes that are left in front before they are moved away.
const COMPACT_BYTES: usize = 32 << 10;
const POOL_BUFFERS_MAX: usize = 64;
const POOL_BUFFER_BYTES_MAX: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use mqtt::{OutgoingPublish, PacketId, ProtocolVersion, Qos};

    use super::{BufferPool, Outbox};

    fn outbox(frames: &[(&str, Qos)]) -> Outbox {
        let mut outbox = Outbox::default();
        for (topic, qos) in frames {
            push(&mut outbox, topic, *qos);
        }
        outbox
    }

    fn push(outbox: &mut Outbox, topic: &str, qos: Qos) {
        let publish = OutgoingPublish {
            dup: false,
            qos,
            retain: false,
            topic,
            topic_alias: None,
            packet_id: PacketId::new(7).filter(|_| qos > Qos::AtMostOnce),
            message_expiry_interval_s: None,
            subscription_identifiers: &[],
            forwardable: &[],
            payload: &[9; 200],
        };
        mqtt::encode_publish(
            &publish,
            ProtocolVersion::V311,
            outbox.writer(&mut BufferPool::default()),
        );
    }

    fn topics(outbox: &mut Outbox) -> Vec<String> {
        let mut seen = Vec::new();
        outbox.retain(|publish| {
            seen.push(String::from_utf8_lossy(publish.topic).into_owned());
            true
        });
        seen
    }

    fn check(frames: &[(&str, Qos)], written: usize, drop_bytes: usize, left: &[&str]) {
        let mut outbox = outbox(frames);
        outbox.advance(written, &mut BufferPool::default());
        let length = outbox.len();
        let dropped = outbox.drop_oldest(drop_bytes, false);
        assert_eq!(topics(&mut outbox), left);
        let frame = 200 + 2 + 1 + 3;
        assert_eq!(outbox.len(), length - usize::try_from(dropped).unwrap() * frame);
    }

    const Q0: Qos = Qos::AtMostOnce;
    const Q1: Qos = Qos::AtLeastOnce;

    #[test]
    fn the_oldest_qos_0_messages_are_dropped_first() {
        check(&[("a", Q0), ("b", Q0), ("c", Q0)], 0, 1, &["b", "c"]);
        check(&[("a", Q0), ("b", Q0), ("c", Q0)], 0, 300, &["c"]);
    }

    #[test]
    fn a_frame_that_was_begun_is_never_dropped() {
        check(&[("a", Q0), ("b", Q0), ("c", Q0)], 10, 1, &["c"]);
    }

    #[test]
    fn qos_1_messages_stay() {
        check(&[("a", Q1), ("b", Q0), ("c", Q1)], 0, 10_000, &["a", "c"]);
    }

    #[test]
    fn an_empty_outbox_holds_no_buffer() {
        let mut outbox = outbox(&[("a", Q0)]);
        let mut pool = BufferPool::default();
        outbox.advance(outbox.len(), &mut pool);
        assert!(outbox.is_empty());
        assert_eq!(outbox.buffer.capacity(), 0);
        assert_eq!(pool.buffers.len(), 1);
    }

    #[test]
    fn what_is_written_is_moved_away_under_steady_load() {
        let mut outbox = outbox(&[("a", Q0)]);
        for _ in 0..10_000 {
            push(&mut outbox, "b", Q0);
            outbox.advance(206, &mut BufferPool::default());
        }
        assert!(outbox.buffer.capacity() < 300_000, "{}", outbox.buffer.capacity());
        assert_eq!(topics(&mut outbox), ["b"]);
    }

    #[test]
    fn what_is_held_is_not_written_and_what_was_there_before_is() {
        let mut outbox = outbox(&[("a", Q0)]);
        outbox.hold(1);
        push(&mut outbox, "b", Q0);
        outbox.hold(1);
        push(&mut outbox, "c", Q0);
        outbox.hold(2);
        push(&mut outbox, "d", Q0);
        assert_eq!(outbox.bytes().len(), 206);
        outbox.advance(100, &mut BufferPool::default());
        assert_eq!(outbox.bytes().len(), 106);
        outbox.release(1);
        assert_eq!(outbox.bytes().len(), 106 + 2 * 206);
        outbox.release(2);
        assert_eq!(outbox.bytes().len(), outbox.len());
        assert!(!outbox.is_held());
    }

    #[test]
    fn after_frames_were_dropped_nothing_that_was_held_gets_out_early() {
        let mut outbox = outbox(&[("a", Q0), ("b", Q0)]);
        outbox.hold(1);
        push(&mut outbox, "c", Q0);
        outbox.hold(2);
        push(&mut outbox, "d", Q0);
        outbox.drop_oldest(1, false);
        outbox.release(1);
        assert_eq!(outbox.bytes(), [0; 0]);
        outbox.release(2);
        assert_eq!(outbox.bytes().len(), 3 * 206);
    }

    #[test]
    fn a_hold_on_an_empty_outbox_holds_what_comes() {
        let mut outbox = outbox(&[("a", Q0)]);
        outbox.hold(1);
        outbox.advance(206, &mut BufferPool::default());
        push(&mut outbox, "b", Q0);
        assert_eq!(outbox.bytes(), [0; 0]);
        outbox.cut_held();
        assert!(outbox.is_empty() && !outbox.is_held());
    }
}
