//! Statements of the standards, one after another, as conversations in bytes or in packets.
//!
//! `Shows` lines are read by `cargo xtask tidy`: docs/conformance.md lists each statement with the tests that show it.

mod endings;
mod exchange;
mod messages;
mod properties;
mod sessions;

use crate::world::{C, V5, V311, World};
use mqtt::ProtocolVersion;

pub(super) const BOTH: [ProtocolVersion; 2] = [V311, V5];

/// Hex digits, with `'text'` between them.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    let mut result = Vec::new();
    for (index, part) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            result.extend(part.as_bytes());
            continue;
        }
        let digits: Vec<char> = part.chars().filter(|it| !it.is_whitespace()).collect();
        for pair in digits.chunks(2) {
            let pair: String = pair.iter().collect();
            assert_eq!(pair.len(), 2, "half a byte in {text}");
            result.push(u8::from_str_radix(&pair, 16).expect("hex digits"));
        }
    }
    result
}

/// What is waiting to be written to the client, which takes it now.
pub(super) fn output(world: &mut World, client: C) -> Vec<u8> {
    let shard = world.shard_of(client);
    let id = world.clients[client].id;
    let output = world.engines[shard].output(id).to_vec();
    let now = world.now;
    world.engines[shard].advance_output(id, output.len(), now);
    output
}

/// The client says these bytes and hears exactly those.
pub(super) fn says(world: &mut World, client: C, said: &str, heard: &str) {
    world.clients[client].reads = false;
    world.send_bytes(client, &bytes(said));
    let output = output(world, client);
    assert_eq!(output, bytes(heard), "{said}: {output:02x?} and not {heard}");
}

/// A client that is spoken with in bytes; its CONNACK is taken.
pub(super) fn raw(world: &mut World, user: &str, client_id: &str, version: ProtocolVersion) -> C {
    let client = world.connect(user, client_id, version);
    world.clients[client].reads = false;
    output(world, client);
    client
}
