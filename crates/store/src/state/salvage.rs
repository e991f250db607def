//! Opening a log that may be damaged.
//!
//! A group that was cut off in the middle is what a crash leaves; the engine below drops it by itself, and so it does
//! with whatever follows an entry it cannot make sense of. How much that was is measured here. If a group reads well but its
//! checksum is wrong, nothing opens any more: then the log is put aside as it is, and a copy is cut off before the
//! damage.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Damage, Open};
use crate::StoreError;

pub(super) fn open(directory: &Path) -> Result<(Open, Damage), StoreError> {
    let unusable = |source| StoreError::Directory { path: directory.to_path_buf(), source };
    finish_replacing(directory).map_err(unusable)?;
    let before = used_bytes(directory).map_err(unusable)?;
    let is_new = fs::read_dir(directory).map_or(true, |mut files| files.next().is_none());
    let missing = if is_new { Vec::new() } else { missing(directory) };
    replace_missing(directory, &missing)?;
    match attempt(directory) {
        Ok(open) => {
            let bytes_cut = bytes_cut(&before).map_err(unusable)?;
            Ok((open, Damage { bytes_cut, put_aside: None, missing }))
        }
        Err(fjall::Error::Locked) => Err(StoreError::InUse { path: directory.to_path_buf() }),
        Err(fjall::Error::Io(error)) if !is_damage(error.kind()) => Err(unusable(error)),
        Err(error) => {
            let before: u64 = before.iter().map(|(_, used)| used).sum();
            let corrupt = |source: fjall::Error| {
                let reason = format!("{error}; what is whole cannot be copied: {source}");
                StoreError::Corrupt { path: directory.to_path_buf(), reason }
            };
            let (copy, kept) = recover(directory, &rebuilt(directory)).map_err(corrupt)?;
            drop(copy);
            let aside = replace(directory).map_err(unusable)?;
            let open = Open::at(directory).map_err(corrupt)?;
            Ok((open, Damage { bytes_cut: before.saturating_sub(kept), put_aside: aside, missing }))
        }
    }
}

/// Puts in what the log can do without, and the engine below cannot.
fn replace_missing(directory: &Path, missing: &[&str]) -> Result<(), StoreError> {
    let unusable = |source| StoreError::Directory { path: directory.to_path_buf(), source };
    if missing.contains(&VERSION) {
        // It would be taken for a new one.
        fs::write(directory.join(VERSION), VERSION_BYTES).map_err(unusable)?;
    }
    if missing.contains(&LOCK) {
        File::create_new(directory.join(LOCK)).map_err(unusable)?;
    }
    if missing.contains(&JOURNAL) {
        // A new one of its own would begin to count at 0, below what the tables have.
        File::create_new(directory.join("0.jnl")).map_err(unusable)?;
    }
    match fs::read(directory.join(VERSION)) {
        Ok(found) if found.starts_with(b"FJL") && found != VERSION_BYTES => {
            let reason = "its file `version` is of another version of countersign, or damaged: use that version, or, if \
                          there never was one, remove the file";
            let path = directory.to_path_buf();
            Err(StoreError::Corrupt { path, reason: reason.to_owned() })
        }
        _ => Ok(()),
    }
}

/// A keyspace that does not know its tables any more would be taken for an empty one, and come back later.
fn has_lost_tables(directory: &Path) -> bool {
    let keyspaces = fs::read_dir(directory.join(KEYSPACES)).into_iter().flatten().flatten();
    keyspaces.map(|entry| entry.path()).any(|path| {
        let files = fs::read_dir(&path).into_iter().flatten().flatten();
        let has_version = files.map(|file| file.file_name()).any(|name| {
            name.to_str().is_some_and(|name| {
                name.strip_prefix('v').is_some_and(|number| number.parse::<u64>().is_ok())
            })
        });
        has_version && !path.join("current").exists()
    })
}

/// Opens the log. What is damaged must not bring the server down, whatever the engine below makes of it.
pub(super) fn attempt(directory: &Path) -> Result<Open, fjall::Error> {
    if has_lost_tables(directory) {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidData).into());
    }
    std::panic::catch_unwind(|| Open::at(directory))
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::InvalidData).into()))
}

fn is_damage(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    matches!(kind, UnexpectedEof | InvalidData | InvalidInput | NotFound)
}

/// Bytes of the journals that were more than their files have now.
fn bytes_cut(before: &[(PathBuf, u64)]) -> std::io::Result<u64> {
    let mut cut: u64 = 0;
    for (path, used) in before {
        // A journal whose content is in tables already is deleted.
        if let Ok(file) = fs::metadata(path) {
            cut = cut.saturating_add(used.saturating_sub(file.len()));
        }
    }
    Ok(cut)
}

/// What every log has and this one has not. What cannot be looked at now, for want of file descriptors say, is not known to
/// be gone.
pub(super) fn missing(directory: &Path) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for name in [LOCK, KEYSPACES] {
        if directory.join(name).try_exists().is_ok_and(|is_there| !is_there) {
            missing.push(name);
        }
    }
    let has_version = match fs::read(directory.join(VERSION)) {
        Ok(found) => found.starts_with(b"FJL"),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    if !has_version {
        missing.push(VERSION);
    }
    if journals(directory).is_ok_and(|journals| journals.is_empty()) {
        missing.push(JOURNAL);
    }
    missing
}

/// Writes the journals again, byte for byte as they read, and waits until they are on the disk.
pub(super) fn refresh(directory: &Path) -> std::io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    for (path, used) in used_bytes(directory)? {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut at = 0;
        while at < used {
            let length = usize::try_from(used - at).unwrap_or(usize::MAX).min(BLOCK_BYTES);
            let Some(part) = block.get_mut(..length) else { break };
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(part)?;
            file.seek(SeekFrom::Start(at))?;
            file.write_all(part)?;
            at = at.saturating_add(u64::try_from(length).unwrap_or(used));
        }
        file.sync_all()?;
    }
    Ok(())
}

/// Where a log is made that is to replace the one in this directory.
pub(super) fn rebuilt(directory: &Path) -> PathBuf {
    directory.with_extension("rebuilt")
}

/// Puts the log aside and the rebuilt one, which nobody has open, in its place. A crash in between is made good by
/// the next start: at no time is there a moment at which an empty log would be taken for the whole.
pub(super) fn replace(directory: &Path) -> std::io::Result<Option<PathBuf>> {
    let aside = if directory.try_exists()? { Some(put_aside(directory)?) } else { None };
    fs::rename(rebuilt(directory), directory)?;
    sync_parent(directory)?;
    Ok(aside)
}

/// Goes on where a crash has interrupted [`replace`], or throws away what was not complete.
fn finish_replacing(directory: &Path) -> std::io::Result<()> {
    let rebuilt = rebuilt(directory);
    if !rebuilt.try_exists()? {
        return Ok(());
    }
    if directory.try_exists()? {
        return fs::remove_dir_all(rebuilt);
    }
    fs::rename(rebuilt, directory)?;
    sync_parent(directory)
}

fn sync_parent(directory: &Path) -> std::io::Result<()> {
    directory.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

fn put_aside(directory: &Path) -> std::io::Result<PathBuf> {
    for number in 1..u32::MAX {
        let aside = directory.with_extension(format!("damaged-{number}"));
        if !aside.try_exists()? {
            fs::rename(directory, &aside)?;
            return Ok(aside);
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// The longest beginning of the last journal with which a copy opens. Gives the bytes of it that were kept.
fn recover(aside: &Path, directory: &Path) -> Result<(Open, u64), fjall::Error> {
    let journals = used_bytes(aside)?;
    let (last, used) = journals.last().cloned().unwrap_or_default();
    let (mut good, mut bad) = (0, used);
    let attempt_with = |length: u64| -> Result<Open, fjall::Error> {
        if directory.try_exists()? {
            fs::remove_dir_all(directory)?;
        }
        copy(aside, directory)?;
        if let Some(name) = last.file_name() {
            OpenOptions::new().write(true).open(directory.join(name))?.set_len(length)?;
        }
        attempt(directory)
    };
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        match attempt_with(middle) {
            Ok(_) => good = middle,
            Err(_) => bad = middle,
        }
    }
    match attempt_with(good) {
        Ok(open) => Ok((open, good)),
        Err(_) => {
            // The tables themselves are damaged: nothing of it can be used.
            fs::remove_dir_all(directory)?;
            Ok((Open::at(directory)?, 0))
        }
    }
}

/// The journals, oldest first, each with its bytes up to the last that is not zero: the rest is reserved room.
fn used_bytes(directory: &Path) -> std::io::Result<Vec<(PathBuf, u64)>> {
    let with_length = |path: PathBuf| {
        let used = last_used_byte(&mut File::open(&path)?)?;
        Ok((path, used))
    };
    journals(directory)?.into_iter().map(with_length).collect()
}

/// The journals, oldest first.
pub(super) fn journals(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    let files = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(journals),
        files => files?,
    };
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            journals.push(path);
        }
    }
    journals.sort_by_key(|path| number(path).unwrap_or(0));
    Ok(journals)
}

/// The number of a journal.
pub(super) fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn last_used_byte(file: &mut File) -> std::io::Result<u64> {
    let mut end = file.metadata()?.len();
    let (mut block, zeros) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    while end > 0 {
        let length = usize::try_from(end).unwrap_or(usize::MAX).min(BLOCK_BYTES);
        let start = end - u64::try_from(length).unwrap_or(end);
        let Some(part) = block.get_mut(..length) else { return Ok(end) };
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        // Most of it is reserved room: comparing memory is far faster than looking at each byte.
        if zeros.get(..length) != Some(&*part)
            && let Some(last) = part.iter().rposition(|byte| *byte != 0)
        {
            return Ok(start + u64::try_from(last).unwrap_or(0) + 1);
        }
        end = start;
    }
    Ok(0)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

const BLOCK_BYTES: usize = 64 << 10;
/// What the engine below knows its own directories by, and where it keeps tables.
const VERSION: &str = "version";
const LOCK: &str = "lock";
pub(super) const KEYSPACES: &str = "keyspaces";
const JOURNAL: &str = "the journal";
const VERSION_BYTES: &[u8] = b"FJL\x03";
