//! WebSocket framing: however the bytes of a client are cut, the stream, the answers and the refusal are the same, and
//! what is written never exceeds what was read.

#[allow(dead_code, reason = "the server's half that writes frames is not driven here")]
#[path = "../../crates/server/src/serve/transport/frames.rs"]
mod code;

use code::Decoder;

/// The first byte says how to cut the rest.
pub fn run(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let portion = usize::from(*cut).max(1);
    let (whole, in_portions) = (decoded(bytes, bytes.len().max(1)), decoded(bytes, portion));
    assert_eq!(whole.refused, in_portions.refused);
    assert_eq!(whole.is_closed, in_portions.is_closed);
    // Up to a refusal the same came out; a refused call gives nothing, however much was in it.
    if whole.refused.is_none() {
        assert_eq!(whole.stream, in_portions.stream);
        assert_eq!(whole.replies, in_portions.replies);
    }
}

struct Decoded {
    stream: Vec<u8>,
    replies: Vec<u8>,
    refused: Option<u16>,
    is_closed: bool,
}

fn decoded(bytes: &[u8], portion: usize) -> Decoded {
    let (mut decoder, mut stream, mut replies) = (Decoder::default(), Vec::new(), Vec::new());
    let mut refused = None;
    for part in bytes.chunks(portion) {
        let mut part = part.to_vec();
        match decoder.decode(&mut part, &mut replies) {
            Ok(filled) => stream.extend_from_slice(&part[..filled]),
            Err(violation) => {
                refused = Some(violation.code);
                break;
            }
        }
    }
    let is_closed = refused.is_none() && decoder.is_closed();
    Decoded { stream, replies, refused, is_closed }
}
