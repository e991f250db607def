//! Reads the data types of the wire (MQTT 5.0 section 1.5) from the body of one packet.

use crate::{PacketId, ProtocolError};

/// What is left of a packet's body. Every read past the end is an error, never a panic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Reader<'a> {
        Reader { rest: body }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ProtocolError> {
        let (&byte, rest) = self.rest.split_first().ok_or(TOO_SHORT)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(crate) fn two_bytes(&mut self) -> Result<u16, ProtocolError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(TOO_SHORT)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    pub(crate) fn four_bytes(&mut self) -> Result<u32, ProtocolError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(TOO_SHORT)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    /// A variable byte integer.
    pub(crate) fn varint(&mut self) -> Result<u32, ProtocolError> {
        match varint(self.rest)? {
            Some((value, length)) => {
                self.rest = self.rest.get(length..).ok_or(TOO_SHORT)?;
                Ok(value)
            }
            None => Err(TOO_SHORT),
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], ProtocolError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(TOO_SHORT)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8], ProtocolError> {
        let length = self.two_bytes()?;
        self.take(usize::from(length))
    }

    /// Skips `expected` behind its two-byte length, if that comes next.
    pub(crate) fn skip_binary(&mut self, expected: &[u8]) -> bool {
        let Some((length, rest)) = self.rest.split_first_chunk::<2>() else { return false };
        if usize::from(u16::from_be_bytes(*length)) != expected.len() {
            return false;
        }
        match rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, ProtocolError> {
        let text = self.topic_text()?;
        // [MQTT-1.5.4-2] U+0000 makes the packet malformed.
        if text.as_bytes().contains(&0) {
            return Err(ProtocolError::malformed("text holds U+0000"));
        }
        Ok(text)
    }

    /// Text that `topic` is going to parse, which refuses U+0000 itself: looked for once, not
    /// twice.
    pub(crate) fn topic_text(&mut self) -> Result<&'a str, ProtocolError> {
        // [MQTT-1.5.4-1] Ill-formed UTF-8, surrogates among it, makes the packet malformed.
        std::str::from_utf8(self.binary()?)
            .map_err(|_| ProtocolError::malformed("text is not UTF-8"))
    }

    /// [MQTT-2.2.1-3], [MQTT-2.2.1-4] An identifier is never 0.
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, ProtocolError> {
        PacketId::new(self.two_bytes()?).ok_or(ProtocolError::protocol("packet identifier is 0"))
    }

    /// All that is left.
    pub(crate) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A packet ends where its content does.
    pub(crate) fn finish(&self) -> Result<(), ProtocolError> {
        match self.rest {
            [] => Ok(()),
            _ => Err(ProtocolError::malformed("packet is longer than its content")),
        }
    }
}

/// The variable byte integer `input` begins with and its length; `None` if more bytes are needed.
pub(crate) fn varint(input: &[u8]) -> Result<Option<(u32, usize)>, ProtocolError> {
    let mut value = 0;
    for (index, &byte) in input.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            // [MQTT-1.5.5-1] The fewest bytes that can hold the value.
            if byte == 0 && index > 0 {
                return Err(ProtocolError::malformed("length is not in its shortest form"));
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if input.len() >= VARINT_BYTES_MAX {
        return Err(ProtocolError::malformed("length has more than four bytes"));
    }
    Ok(None)
}

const VARINT_BYTES_MAX: usize = 4;
const TOO_SHORT: ProtocolError = ProtocolError::malformed("packet is shorter than its content");

#[cfg(test)]
mod tests {
    use super::{Reader, varint};
    use crate::ReasonCode;

    fn check(input: &[u8], expected: Result<Option<(u32, usize)>, ReasonCode>) {
        assert_eq!(varint(input).map_err(|e| e.reason), expected, "{input:02x?}");
    }

    // Shows 5.0: [MQTT-1.5.5-1].
    #[test]
    fn lengths_take_one_to_four_bytes() {
        check(&[0x00], Ok(Some((0, 1))));
        check(&[0x7F, 0xFF], Ok(Some((127, 1))));
        check(&[0x80, 0x01], Ok(Some((128, 2))));
        check(&[0xFF, 0xFF, 0xFF, 0x7F], Ok(Some((268_435_455, 4))));
    }

    #[test]
    fn a_length_that_goes_on_is_incomplete_until_the_fourth_byte() {
        check(&[], Ok(None));
        check(&[0xFF, 0xFF, 0xFF], Ok(None));
        check(&[0xFF, 0xFF, 0xFF, 0xFF], Err(ReasonCode::MalformedPacket));
        check(&[0xFF, 0xFF, 0xFF, 0xFF, 0x01], Err(ReasonCode::MalformedPacket));
    }

    // Shows 5.0: [MQTT-1.5.5-1].
    #[test]
    fn a_length_in_more_bytes_than_it_needs_is_refused() {
        check(&[0x80, 0x00], Err(ReasonCode::MalformedPacket));
        check(&[0xFF, 0x80, 0x00], Err(ReasonCode::MalformedPacket));
    }

    // Shows 3.1.1: [MQTT-1.5.3-3]; 5.0: [MQTT-1.5.4-3].
    #[test]
    fn text_keeps_its_byte_order_mark_and_its_control_characters() {
        // [MQTT-1.5.4-3] U+FEFF is never skipped; control characters are allowed, if discouraged.
        let mut reader = Reader::new(b"\x00\x05\xEF\xBB\xBFa\x01");
        assert_eq!(reader.text(), Ok("\u{FEFF}a\u{1}"));
        assert_eq!(reader.finish(), Ok(()));
    }
}
