//! The text of one level as a node keeps it: in place while it is short, as nearly all are.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};

/// One literal level. 24 bytes, of which 22 hold text.
#[derive(Clone)]
pub(super) enum LevelKey {
    Inline { length: u8, bytes: [u8; INLINE_BYTES_MAX] },
    Heap(Box<[u8]>),
}

impl LevelKey {
    pub(super) fn new(level: &str) -> Self {
        let source = level.as_bytes();
        let mut bytes = [0; INLINE_BYTES_MAX];
        match (bytes.get_mut(..source.len()), u8::try_from(source.len())) {
            (Some(target), Ok(length)) => {
                target.copy_from_slice(source);
                LevelKey::Inline { length, bytes }
            }
            _ => LevelKey::Heap(source.into()),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            LevelKey::Inline { length, bytes } => {
                bytes.get(..usize::from(*length)).unwrap_or_default()
            }
            LevelKey::Heap(bytes) => bytes,
        }
    }
}

impl PartialEq for LevelKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for LevelKey {}

impl Hash for LevelKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for LevelKey {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for LevelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.as_bytes()).fmt(f)
    }
}

const INLINE_BYTES_MAX: usize = 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_of_any_length_keeps_its_text_in_24_bytes() {
        assert_eq!(size_of::<LevelKey>(), 24);
        for length in [0, 1, 21, 22, 23, 255, 256, 65_535] {
            let text = "x".repeat(length);
            assert_eq!(LevelKey::new(&text).as_bytes(), text.as_bytes());
        }
    }
}
