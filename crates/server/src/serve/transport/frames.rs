//! WebSocket frames (RFC 6455) as a carrier of one stream of bytes, without I/O.
//!
//! [MQTT-6.0.0-1], [MQTT-6.0.0-2]: MQTT counts bytes, not frames or messages. So nothing is ever put together: the payload
//! of binary frames is unmasked where it lies and passed on as it comes, and however long a peer says that a frame or a
//! message is, it costs no memory. What an MQTT packet may be is bounded behind it, as on every transport.

/// Reads the frames of a client.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    /// A data message has begun and its last frame has not come.
    is_in_message: bool,
}

/// What a client may not do: the code for the close frame, and words for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(super) struct Violation {
    pub(super) code: u16,
    pub(super) detail: &'static str,
}

#[derive(Debug)]
enum State {
    /// So many bytes of a frame's header are there.
    Header(Header),
    /// Payload that is part of the stream.
    Data(Payload),
    /// Payload of a control frame, which is short.
    Control(Control, Payload, Vec<u8>),
    /// The client has sent its close frame: what follows counts for nothing.
    Closed,
}

#[derive(Debug, Default, Clone, Copy)]
struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    length: usize,
}

/// Payload that is still to come.
#[derive(Debug, Clone, Copy)]
struct Payload {
    left: u64,
    /// Rotated so that its first byte is the next one's.
    mask: [u8; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    Close,
    Ping,
    Pong,
}

impl Default for State {
    fn default() -> Self {
        Self::Header(Header::default())
    }
}

impl Decoder {
    /// Turns what was received into the stream's bytes, at the beginning of the same buffer, and returns how many
    /// they are. Answers to control frames are put behind `replies`.
    pub(super) fn decode(
        &mut self,
        bytes: &mut [u8],
        replies: &mut Vec<u8>,
    ) -> Result<usize, Violation> {
        let (mut at, mut filled) = (0, 0);
        while at < bytes.len() {
            match &mut self.state {
                State::Closed => break,
                State::Header(header) => {
                    let next = bytes.get(at).copied().unwrap_or_default();
                    at += 1;
                    if let Some(frame) = header.push(next)? {
                        self.begin(frame, replies)?;
                    }
                }
                State::Data(payload) => {
                    let count = payload.count(bytes.len().saturating_sub(at));
                    if at != filled {
                        bytes.copy_within(at..at.saturating_add(count), filled);
                    }
                    let stream = bytes.get_mut(filled..filled.saturating_add(count));
                    payload.unmask(stream.unwrap_or_default());
                    at += count;
                    filled += count;
                    if payload.left == 0 {
                        self.state = State::default();
                    }
                }
                State::Control(_, payload, content) => {
                    let count = payload.count(bytes.len().saturating_sub(at));
                    let part = bytes.get_mut(at..at.saturating_add(count)).unwrap_or_default();
                    payload.unmask(part);
                    content.extend_from_slice(part);
                    at += count;
                    if payload.left == 0 {
                        self.end_control(replies)?;
                    }
                }
            }
        }
        Ok(filled)
    }

    /// Whether the client has closed.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn begin(&mut self, frame: Frame, replies: &mut Vec<u8>) -> Result<(), Violation> {
        let payload = Payload { left: frame.length, mask: frame.mask };
        match frame.kind {
            Kind::Binary if self.is_in_message => {
                return Err(protocol_error("a new message begins inside another"));
            }
            Kind::Continuation if !self.is_in_message => {
                return Err(protocol_error("a continuation of no message"));
            }
            Kind::Binary | Kind::Continuation => {
                self.is_in_message = !frame.is_final;
                self.state = State::Data(payload);
            }
            Kind::Control(control) => {
                self.state = State::Control(control, payload, Vec::new());
            }
        }
        if frame.length == 0 {
            match self.state {
                State::Control(..) => self.end_control(replies)?,
                State::Header(_) | State::Data(_) | State::Closed => self.state = State::default(),
            }
        }
        Ok(())
    }

    fn end_control(&mut self, replies: &mut Vec<u8>) -> Result<(), Violation> {
        let State::Control(control, _, content) = std::mem::take(&mut self.state) else {
            return Ok(());
        };
        match control {
            // RFC 6455 5.5.3: of many pings only the latest needs an answer, so one that finds many waiting may be dropped.
            Control::Ping if replies.len() < REPLIES_BYTES_MAX => {
                replies.extend_from_slice(header(OPCODE_PONG, content.len()).as_slice());
                replies.extend_from_slice(&content);
            }
            Control::Ping | Control::Pong => {}
            Control::Close => {
                let code = close_code(&content)?;
                self.state = State::Closed;
                replies.extend_from_slice(&close(code));
            }
        }
        Ok(())
    }
}

struct Frame {
    kind: Kind,
    is_final: bool,
    length: u64,
    mask: [u8; 4],
}

enum Kind {
    Continuation,
    Binary,
    Control(Control),
}

impl Header {
    /// Takes the next byte; gives the frame when the header is complete.
    fn push(&mut self, byte: u8) -> Result<Option<Frame>, Violation> {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
        let [first, second, ..] = self.bytes;
        match self.length {
            // Refused as early as can be.
            1 => kind(first).map(|_| None),
            2 if second & MASKED == 0 => Err(protocol_error("a client's frame is not masked")),
            length if length < self.wanted() => Ok(None),
            _ => self.parse().map(Some),
        }
    }

    fn wanted(&self) -> usize {
        let [_, second, ..] = self.bytes;
        match second & !MASKED {
            126 => 8,
            127 => 14,
            _ => 6,
        }
    }

    fn parse(&self) -> Result<Frame, Violation> {
        let [first, second, a, b, c, d, e, f, g, h, i, j, k, l] = self.bytes;
        let (length, mask) = match second & !MASKED {
            126 => (u64::from(u16::from_be_bytes([a, b])), [c, d, e, f]),
            127 => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), [i, j, k, l]),
            short => (u64::from(short), [a, b, c, d]),
        };
        let (kind, is_final) = (kind(first)?, first & FINAL != 0);
        if length > LENGTH_MAX {
            return Err(protocol_error("a length beyond 63 bits"));
        }
        if matches!(kind, Kind::Control(_)) && (!is_final || length > CONTROL_BYTES_MAX) {
            return Err(protocol_error("a control frame is fragmented or too long"));
        }
        Ok(Frame { kind, is_final, length, mask })
    }
}

fn kind(first: u8) -> Result<Kind, Violation> {
    if first & RESERVED != 0 {
        return Err(protocol_error("a reserved bit is set, and no extension was agreed"));
    }
    match first & 0x0f {
        0x0 => Ok(Kind::Continuation),
        // [MQTT-6.0.0-1] Anything but binary closes the connection.
        0x1 => Err(Violation { code: CLOSE_UNSUPPORTED, detail: "a text frame" }),
        0x2 => Ok(Kind::Binary),
        0x8 => Ok(Kind::Control(Control::Close)),
        0x9 => Ok(Kind::Control(Control::Ping)),
        0xa => Ok(Kind::Control(Control::Pong)),
        _ => Err(protocol_error("an unknown opcode")),
    }
}

impl Payload {
    fn count(&self, there: usize) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX).min(there)
    }

    fn unmask(&mut self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.mask;
        let mask = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ mask).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.mask.iter().cycle()) {
            *byte ^= key;
        }
        self.mask.rotate_left(rest.len() % 4);
        self.left = self.left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }
}

/// The header of a frame of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutgoingHeader {
    bytes: [u8; 10],
    length: usize,
}

impl OutgoingHeader {
    /// The header of a whole binary message of so many bytes.
    pub(super) fn binary(payload: usize) -> Self {
        header(OPCODE_BINARY, payload)
    }

    /// Its bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn header(opcode: u8, payload: usize) -> OutgoingHeader {
    let first = FINAL | opcode;
    match (u8::try_from(payload), u16::try_from(payload)) {
        (Ok(short), _) if short < 126 => {
            OutgoingHeader { bytes: [first, short, 0, 0, 0, 0, 0, 0, 0, 0], length: 2 }
        }
        (_, Ok(middle)) => {
            let [a, b] = middle.to_be_bytes();
            OutgoingHeader { bytes: [first, 126, a, b, 0, 0, 0, 0, 0, 0], length: 4 }
        }
        (_, Err(_)) => {
            let long = u64::try_from(payload).unwrap_or(LENGTH_MAX).to_be_bytes();
            let [a, b, c, d, e, f, g, h] = long;
            OutgoingHeader { bytes: [first, 127, a, b, c, d, e, f, g, h], length: 10 }
        }
    }
}

/// A close frame.
pub(super) fn close(code: u16) -> [u8; 4] {
    let [a, b] = code.to_be_bytes();
    [FINAL | OPCODE_CLOSE, 2, a, b]
}

/// The code to answer a close frame with.
fn close_code(content: &[u8]) -> Result<u16, Violation> {
    match content {
        [] => Ok(CLOSE_NORMAL),
        [_] => Err(protocol_error("a close frame with half a code")),
        [a, b, reason @ ..] => match u16::from_be_bytes([*a, *b]) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) if str::from_utf8(reason).is_ok() => {
                Ok(code)
            }
            _ => Err(protocol_error("a close frame with a bad code or reason")),
        },
    }
}

fn protocol_error(detail: &'static str) -> Violation {
    Violation { code: CLOSE_PROTOCOL_ERROR, detail }
}

/// All is said.
pub(super) const CLOSE_NORMAL: u16 = 1000;
const CLOSE_PROTOCOL_ERROR: u16 = 1002;
const CLOSE_UNSUPPORTED: u16 = 1003;
const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const OPCODE_BINARY: u8 = 0x2;
const OPCODE_CLOSE: u8 = 0x8;
const OPCODE_PONG: u8 = 0xa;
/// Two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;
const CONTROL_BYTES_MAX: u64 = 125;
const LENGTH_MAX: u64 = u64::MAX >> 1;
/// Answers that may wait when one more is asked for.
const REPLIES_BYTES_MAX: usize = 1024;

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
