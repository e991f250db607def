//! What a start reads, entry by entry.

use broker::{Image, Limits, Record};

use crate::bundles::Bundles;
use crate::bytes::Input;
use crate::messages::{MessageKey, Messages};
use crate::record::{self, MARK, SESSION, VERSION, read_name};

/// Takes in one entry of a log. To be given all of them, in the order of their keys. Says whether it was understood: what is not is left
/// out, and stays where it is.
///
/// Of a long queue only the head is taken into memory, and of the rest where it lies.
#[must_use]
pub fn load(
    (key, value): (&[u8], &[u8]),
    image: &mut Image,
    limits: &Limits,
    bundles: &mut Bundles,
) -> bool {
    let taken = match MessageKey::read(key) {
        Some(key) => load_messages(key, value, image, limits, bundles),
        None => load_mark(key, value, bundles)
            .or_else(|| record::read(key, value).map(|record| image.take(record))),
    };
    taken.is_some()
}

fn load_messages(
    key: MessageKey<'_>,
    value: &[u8],
    image: &mut Image,
    limits: &Limits,
    bundles: &mut Bundles,
) -> Option<()> {
    let MessageKey { prefix, first, count, .. } = key;
    let messages = Messages::of(key, value)?;
    let gone = count.map_or(0, |count| bundles.load(prefix, first, count));
    for (sequence, content) in messages.iter() {
        let session = messages.session();
        if gone >> (sequence - first) & 1 == 1 {
            // No other message may get its place as long as the bundle is there.
            image.reserve(session.clone(), sequence);
        } else if image.wants(session, sequence, limits) {
            let (key, delivery) = (session.clone(), content.delivery());
            image.take(Record::QueuedPut { key, sequence, delivery });
        } else {
            image.take_behind(session.clone(), sequence, content.size());
        }
    }
    Some(())
}

fn load_mark(key: &[u8], value: &[u8], bundles: &mut Bundles) -> Option<()> {
    let (mut rest, mut value) = (Input(key), Input(value));
    (rest.byte()? == SESSION).then_some(())?;
    read_name(&mut rest)?;
    let length = key.len() - rest.0.len();
    (rest.byte()? == MARK && value.byte()? == VERSION).then_some(())?;
    let (first, gone) = (rest.u64()?, value.u64()?);
    (rest.0.is_empty() && value.0.is_empty()).then_some(())?;
    bundles.load_mark(key.get(..length)?, first, gone);
    Some(())
}
