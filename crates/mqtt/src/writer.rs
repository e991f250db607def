//! Writes the data types of the wire (MQTT 5.0 section 1.5).

/// Largest value of a variable byte integer, and so the most bytes after a fixed header.
pub(crate) const VARINT_MAX: usize = 268_435_455;

pub(crate) fn put_two_bytes(value: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_four_bytes(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// `value` is at most [`VARINT_MAX`].
pub(crate) fn put_varint(value: usize, out: &mut Vec<u8>) {
    let (bytes, length) = varint_bytes(value);
    out.extend(bytes.into_iter().take(length));
}

/// Bytes that `value` takes as a variable byte integer.
pub(crate) fn varint_size(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Bytes behind a two-byte length; what does not fit into 65,535 is cut.
pub(crate) fn put_binary(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    put_two_bytes(length, out);
    out.extend_from_slice(bytes.get(..usize::from(length)).unwrap_or(bytes));
}

/// Text behind a two-byte length; what does not fit into 65,535 bytes is cut between two
/// characters.
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    let end = text.floor_char_boundary(usize::from(u16::MAX));
    put_binary(text.get(..end).unwrap_or_default().as_bytes(), out);
}

/// Puts the length of all that follows `start` in front of it.
pub(crate) fn insert_length(start: usize, out: &mut Vec<u8>) {
    let (bytes, length) = varint_bytes(out.len().saturating_sub(start));
    out.splice(start..start, bytes.into_iter().take(length));
}

fn varint_bytes(value: usize) -> ([u8; 4], usize) {
    let size = varint_size(value);
    let mut rest = value;
    let mut bytes = [0; 4];
    for (index, byte) in bytes.iter_mut().enumerate().take(size) {
        let more = if index + 1 < size { 0x80 } else { 0 };
        *byte = u8::try_from(rest & 0x7F).unwrap_or(0) | more;
        rest >>= 7;
    }
    (bytes, size)
}

#[cfg(test)]
mod tests {
    use super::{VARINT_MAX, insert_length, put_text, put_varint, varint_size};
    use crate::reader::{Reader, varint};

    // Shows 5.0: [MQTT-1.5.5-1].
    #[test]
    fn what_is_written_is_read_back_at_every_border() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, VARINT_MAX] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(out.len(), varint_size(value), "{value}");
            let (read, length) = varint(&out).unwrap().unwrap();
            assert_eq!((read as usize, length), (value, out.len()));
        }
    }

    #[test]
    fn a_length_goes_in_front_of_what_it_counts() {
        let mut out = vec![7, 1, 2, 3];
        insert_length(1, &mut out);
        assert_eq!(out, [7, 3, 1, 2, 3]);
    }

    #[test]
    fn text_too_long_for_the_wire_is_cut_between_characters() {
        let mut out = Vec::new();
        put_text(&"é".repeat(40_000), &mut out);
        assert_eq!(Reader::new(&out).text().map(str::len), Ok(65_534));
    }
}
