//! Opening a log that may be damaged.
//!
//! A group that was cut off in the middle is what a crash leaves; the engine below drops it by itself, and so it does
//! with whatever follows an entry it cannot make sense of. How much that was is measured here. If a group reads well but its
//! checksum is wrong, nothing opens any more: then the log is put aside as it is, and a copy is cut off before the
//! damage.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{Damage, Open};
use crate::StoreError;

pub(super) fn open(directory: &Path) -> Result<(Open, Damage), StoreError> {
    let unusable = |source| StoreError::Directory { path: directory.to_path_buf(), source };
    finish_replacing(directory).map_err(unusable)?;
    let before = used_bytes(directory).map_err(unusable)?;
    match attempt(directory) {
        Ok(open) => {
            let bytes_cut = bytes_cut(&before).map_err(unusable)?;
            Ok((open, Damage { bytes_cut, put_aside: None }))
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
            Ok((open, Damage { bytes_cut: before.saturating_sub(kept), put_aside: Some(aside) }))
        }
    }
}

/// Opens the log. What is damaged must not bring the server down, whatever the engine below makes of it.
fn attempt(directory: &Path) -> Result<Open, fjall::Error> {
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

/// Where a log is made that is to replace the one in this directory.
pub(super) fn rebuilt(directory: &Path) -> PathBuf {
    directory.with_extension("rebuilt")
}

/// Puts the log aside and the rebuilt one, which nobody has open, in its place. A crash in between is made good by
/// the next start: at no time is there a moment at which an empty log would be taken for the whole.
pub(super) fn replace(directory: &Path) -> std::io::Result<PathBuf> {
    let aside = put_aside(directory)?;
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
    let mut journals = Vec::new();
    let files = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(journals),
        files => files?,
    };
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let used = last_used_byte(&mut File::open(&path)?)?;
            journals.push((path, used));
        }
    }
    let number = |path: &Path| -> u64 {
        path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).unwrap_or(0)
    };
    journals.sort_by_key(|(path, _)| number(path));
    Ok(journals)
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
