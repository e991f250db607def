//! What was read of a packet whose end is still to come.
//!
//! All connections of a shard read into one scratch buffer, always behind its first [`READ_BYTES_MAX`] bytes, so that what was
//! left over can be put in front of what was read: the few bytes are copied, not the many. Only of a connection that is held
//! back more than that is kept: see [`HeldInput`].

use broker::HeldInput;

/// What is left over. Empty and without memory for most connections.
#[derive(Debug)]
pub(crate) enum Remainder {
    /// The beginning of an incomplete packet, or what was read last, up to where the connection was held back.
    Read(Vec<u8>),
    /// What was read while the connection was held back.
    Held(Box<HeldInput>),
}

impl Default for Remainder {
    fn default() -> Self {
        Self::Read(Vec::new())
    }
}

impl Remainder {
    /// Begins with these bytes.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self::Read(bytes)
    }

    /// Whether nothing is left over.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that are left over.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Read(rest) => rest.len(),
            Self::Held(held) => held.bytes().len(),
        }
    }

    /// Whether there is more than one turn's worth, which comes before anything that is still to be read.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }

    /// The connection is held back: puts the `length` bytes that were read into `scratch` behind what is left over, and
    /// has `look` take out what need not wait.
    pub(crate) fn hold(
        &mut self,
        scratch: &[u8],
        length: usize,
        look: impl FnOnce(&mut HeldInput),
    ) {
        let mut held = match std::mem::take(self) {
            Self::Read(rest) => Box::new(HeldInput::new(rest)),
            Self::Held(held) => held,
        };
        held.extend(read(scratch, length));
        look(&mut held);
        *self = Self::Held(held);
    }

    /// Gives `receive` what is left over and the `length` bytes that were read into `scratch`, and keeps what it does
    /// not use.
    pub(crate) fn feed(
        &mut self,
        scratch: &mut [u8],
        length: usize,
        receive: impl FnMut(&[u8]) -> usize,
    ) {
        match self {
            Self::Read(rest) => feed_read(rest, scratch, length, receive),
            Self::Held(held) => {
                held.extend(read(scratch, length));
                if feed_held(held, receive) {
                    *self = Self::Read(std::mem::take(&mut **held).into_rest());
                }
            }
        }
    }
}

/// What was read last.
fn read(scratch: &[u8], length: usize) -> &[u8] {
    scratch.get(READ_BYTES_MAX..READ_BYTES_MAX.saturating_add(length)).unwrap_or_default()
}

/// One turn's worth of what was held back. Says whether that was the last.
fn feed_held(held: &mut HeldInput, mut receive: impl FnMut(&[u8]) -> usize) -> bool {
    let all = held.bytes();
    let turn = all.get(..READ_BYTES_MAX).unwrap_or(all);
    let mut used = receive(turn);
    if used == 0 && turn.len() < all.len() {
        // One large packet.
        used = receive(all);
    }
    let is_last = used == 0 || turn.len() == all.len();
    held.advance(used);
    is_last
}

fn feed_read(
    rest: &mut Vec<u8>,
    scratch: &mut [u8],
    length: usize,
    receive: impl FnOnce(&[u8]) -> usize,
) {
    let start = READ_BYTES_MAX.checked_sub(rest.len());
    let end = READ_BYTES_MAX.saturating_add(length);
    if let Some(start) = start
        && let Some(front) = scratch.get_mut(start..READ_BYTES_MAX)
    {
        front.copy_from_slice(rest);
        let input = scratch.get(start..end).unwrap_or_default();
        let left = input.get(receive(input)..).unwrap_or_default();
        if left.is_empty() {
            *rest = Vec::new();
        } else {
            rest.clear();
            rest.extend_from_slice(left);
        }
        return;
    }
    // One large packet in progress.
    rest.extend_from_slice(read(scratch, length));
    let used = receive(rest);
    if used >= rest.len() {
        *rest = Vec::new();
    } else if used > 0 {
        rest.drain(..used);
        rest.shrink_to(READ_BYTES_MAX);
    }
}

/// Bytes that one connection may read before the others have their turn.
pub(crate) const READ_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds packets of these lengths in reads of these lengths, and checks that each comes out whole and in order.
    #[track_caller]
    fn check(packets: &[usize], reads: &[usize]) {
        let mut stream = Vec::new();
        for (index, length) in packets.iter().enumerate() {
            stream.extend(u32::try_from(*length).unwrap().to_be_bytes());
            stream.extend(vec![u8::try_from(index % 251).unwrap(); *length]);
        }
        let mut scratch = vec![0xEE; READ_BYTES_MAX * 2];
        let (mut remainder, mut seen) = (Remainder::default(), Vec::new());
        let mut reads = reads.iter().cycle();
        let mut input = stream.as_slice();
        while !input.is_empty() {
            let length = (*reads.next().unwrap()).min(input.len());
            scratch[READ_BYTES_MAX..READ_BYTES_MAX + length].copy_from_slice(&input[..length]);
            input = &input[length..];
            remainder.feed(&mut scratch, length, |input| {
                let mut used = 0;
                while let Some(header) = input.get(used..used + 4) {
                    let length = u32::from_be_bytes(header.try_into().unwrap()) as usize;
                    let Some(body) = input.get(used + 4..used + 4 + length) else { break };
                    assert!(body.iter().all(|byte| usize::from(*byte) == seen.len() % 251));
                    seen.push(length);
                    used += 4 + length;
                }
                used
            });
        }
        assert_eq!(seen, packets);
        assert!(remainder.is_empty());
        let Remainder::Read(rest) = remainder else { panic!("nothing was held") };
        assert_eq!(rest.capacity(), 0, "nothing left over, but memory kept");
    }

    #[test]
    fn packets_come_out_whole_however_they_are_cut() {
        check(&[1, 2, 3, 100, 0, 5], &[1]);
        check(&[1, 2, 3, 100, 0, 5], &[3, 1, 7]);
        check(&[50; 5000], &[READ_BYTES_MAX]);
        check(&[999; 1000], &[READ_BYTES_MAX, 1, 5000]);
    }

    #[test]
    fn a_packet_larger_than_a_read_comes_out_whole() {
        check(&[READ_BYTES_MAX - 4, 10], &[READ_BYTES_MAX]);
        check(&[READ_BYTES_MAX * 5, 10, READ_BYTES_MAX * 3], &[READ_BYTES_MAX]);
        check(&[READ_BYTES_MAX * 5, 10, READ_BYTES_MAX * 3], &[1000, READ_BYTES_MAX]);
    }

    #[test]
    fn what_is_not_used_is_offered_again_without_new_bytes() {
        let mut scratch = vec![0; READ_BYTES_MAX * 2];
        let mut remainder = Remainder::new(vec![7; 10]);
        remainder.feed(&mut scratch, 0, |input| {
            assert_eq!(input, [7; 10]);
            4
        });
        remainder.feed(&mut scratch, 0, |input| {
            assert_eq!(input, [7; 6]);
            6
        });
        assert!(remainder.is_empty());
    }
}
