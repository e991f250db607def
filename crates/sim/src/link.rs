//! One network connection: two streams of bytes, each as slow as it likes.

use std::collections::VecDeque;

use broker::{ConnectionId, HeldInput};
use testkit::judge::{Hello, Taken};

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: usize,
    pub(crate) shard: usize,
    /// What its CONNECT says; taken when that has arrived.
    pub(crate) hello: Option<Hello>,
    pub(crate) id: Option<ConnectionId>,
    /// Bytes on their way to the broker.
    pub(crate) up: VecDeque<u8>,
    /// Bytes the broker has read and not used.
    pub(crate) unused: HeldInput,
    /// What the bytes after CONNECT say, each with its end in the stream.
    pub(crate) marks: VecDeque<(u64, Taken)>,
    pub(crate) sent: u64,
    pub(crate) used: u64,
    /// Bytes on their way to the client.
    pub(crate) down: VecDeque<u8>,
    /// Bytes that the network takes before the client reads.
    pub(crate) room: usize,
    /// The engine wants to be asked for output.
    pub(crate) is_dirty: bool,
    pub(crate) is_paused: bool,
    /// What was left over is to be looked at again.
    pub(crate) is_resumed: bool,
    /// The engine has ended it.
    pub(crate) is_closing: bool,
    /// The broker's side is gone.
    pub(crate) is_closed: bool,
    /// The client has closed its side, and the bytes before that arrive.
    pub(crate) is_left: bool,
    /// The client is gone without a word.
    pub(crate) is_dead: bool,
    /// The client does not read at the moment.
    pub(crate) is_stuck: bool,
    /// Nonsense was sent.
    pub(crate) is_wild: bool,
}

impl Link {
    pub(crate) fn new(client: usize, shard: usize, hello: Hello, room: usize) -> Self {
        Self {
            client,
            shard,
            hello: Some(hello),
            id: None,
            up: VecDeque::new(),
            unused: HeldInput::default(),
            marks: VecDeque::new(),
            sent: 0,
            used: 0,
            down: VecDeque::new(),
            room,
            is_dirty: false,
            is_paused: false,
            is_resumed: false,
            is_closing: false,
            is_closed: false,
            is_left: false,
            is_dead: false,
            is_stuck: false,
            is_wild: false,
        }
    }

    /// The broker has something to read, or to look at again; only for acknowledgements if it is paused.
    pub(crate) fn has_input(&self) -> bool {
        let is_open = !self.is_closed && !self.is_closing;
        is_open
            && (!self.is_paused || !self.up.is_empty())
            && (!self.up.is_empty() || self.is_left || self.is_resumed)
    }

    /// The broker has something to write, and the network takes it.
    pub(crate) fn has_output(&self) -> bool {
        self.is_dirty && self.down.len() < self.room
    }

    /// The client has something to read.
    pub(crate) fn is_readable(&self) -> bool {
        !self.is_stuck && !self.is_dead && (!self.down.is_empty() || self.is_closed)
    }

    /// Puts bytes on their way to the broker.
    pub(crate) fn send(&mut self, bytes: &[u8], taken: Option<Taken>) {
        self.sent += u64::try_from(bytes.len()).expect("fits");
        self.up.extend(bytes);
        if let Some(taken) = taken {
            self.marks.push_back((self.sent, taken));
        }
    }

    /// The packets that were taken out of what waited, given all of that: they are no part of the stream any more.
    pub(crate) fn taken_early(&mut self, waited: &[u8]) -> Vec<Taken> {
        let (mut taken, mut read, mut kept) = (Vec::new(), 0, self.used);
        let packet = |at: usize| {
            let length = mqtt::announced_length(waited.get(at..)?)?;
            waited.get(at..at + length)
        };
        while let Some(packet) = packet(read) {
            read += packet.len();
            let length = u64::try_from(packet.len()).expect("fits");
            let end = kept + length;
            // PUBACK, PUBREC, PUBCOMP and PINGREQ.
            if !matches!(packet[0] >> 4, 4 | 5 | 7 | 12) {
                kept = end;
                continue;
            }
            let index = self.marks.iter().position(|(mark, _)| *mark == end);
            taken.extend(index.and_then(|it| self.marks.remove(it)).map(|(_, it)| it));
            for (mark, _) in self.marks.iter_mut().filter(|(mark, _)| *mark > end) {
                *mark -= length;
            }
            self.sent -= length;
        }
        taken
    }

    /// The packets that end within the bytes used so far.
    pub(crate) fn arrived(&mut self) -> Vec<Taken> {
        let count = self.marks.iter().take_while(|(end, _)| *end <= self.used).count();
        self.marks.drain(..count).map(|(_, taken)| taken).collect()
    }
}
