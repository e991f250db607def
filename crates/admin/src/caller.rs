//! Who asks for an administrative call.

use std::fmt;

/// Who asks. Every call that changes or shows something takes one, so that none can forget who it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever may open the admin socket: the owner of the data directory, who could edit its files just as well.
    LocalOwner,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::LocalOwner => f.write_str("local owner"),
        }
    }
}
