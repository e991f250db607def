//! How many changes were confirmed, noted in the lock file: outside of the database, which cannot know what it has lost.
//!
//! The note is one line of fixed length, written in place: it needs no room on a full disk, and is there as a whole or as
//! it was. One that cannot be read is as good as none.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The note in this file, if there is one.
pub(crate) fn read(file: &File) -> io::Result<Option<u64>> {
    let mut line = [0; LENGTH];
    match file.read_exact_at(&mut line, 0) {
        Ok(()) => Ok(std::str::from_utf8(&line).ok().and_then(|line| line.trim_end().parse().ok())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts the note there, on the disk.
pub(crate) fn write(file: &File, changes: u64) -> io::Result<()> {
    file.write_all_at(format!("{changes:020}\n").as_bytes(), 0)?;
    file.sync_data()
}

/// Twenty digits and the line's end.
const LENGTH: usize = 21;
