//! Files that a command writes: never half, never over another file unless told to, keys for the owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// Leave it and fail.
    Keep,
    /// Replace it.
    Replace,
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Only its owner: there is a private key in it.
    Owner,
    /// Everybody, as far as the umask lets them.
    Everybody,
}

/// A file that is held and still empty. The place is taken before anything is asked of the server, so that no key gets
/// lost for want of a place; dropped without [`Draft::write`], it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    /// Where the content goes first: `path` itself, or a new file beside the one to be replaced.
    written: PathBuf,
    file: File,
    is_done: bool,
}

impl Draft {
    pub(super) fn new(
        path: PathBuf,
        readers: Readers,
        existing: Existing,
    ) -> Result<Draft, Failure> {
        let written = match existing {
            Existing::Keep => path.clone(),
            Existing::Replace => beside(&path),
        };
        let mode = match readers {
            Readers::Owner => 0o600,
            Readers::Everybody => 0o644,
        };
        // Exclusive: neither somebody else's file nor a link to one is written to.
        let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(&written);
        match made {
            Ok(file) => Ok(Draft { path, written, file, is_done: false }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(exists(&written)),
            Err(error) => Err(Failure::File { action: "write", path: written, error }),
        }
    }

    /// Writes the content and lets the file appear under its name.
    pub(super) fn write(mut self, content: &[u8]) -> Result<PathBuf, Failure> {
        let written = self.file.write_all(content).and_then(|()| self.file.sync_all());
        let placed = written.and_then(|()| {
            if self.written == self.path { Ok(()) } else { fs::rename(&self.written, &self.path) }
        });
        placed.map_err(|error| Failure::File {
            action: "write",
            path: self.path.clone(),
            error,
        })?;
        self.is_done = true;
        Ok(self.path.clone())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_done {
            // What cannot be removed is an empty file; the reason for the end is more worth telling.
            drop(fs::remove_file(&self.written));
        }
    }
}

/// Makes a directory with those above it, unless it is there.
pub(super) fn make_directory(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| Failure::File {
        action: "make the directory",
        path: path.to_owned(),
        error,
    })
}

/// A file that is to have this content, such as `ca.crt`, which several users' files have in common: none to be written
/// where it has it already.
pub(super) fn shared(
    path: PathBuf,
    content: &str,
    existing: Existing,
) -> Result<Option<Draft>, Failure> {
    match fs::read(&path) {
        Ok(present) if present == content.as_bytes() => Ok(None),
        _ => Draft::new(path, Readers::Everybody, existing).map(Some),
    }
}

fn exists(path: &Path) -> Failure {
    Failure::Missing(format!("`{}` exists already: `--force` replaces it", path.display()))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", uuid::Uuid::new_v4().simple()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_key_is_its_owners_from_the_first_moment() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bob.key");
        for existing in [Existing::Keep, Existing::Replace] {
            let draft = Draft::new(path.clone(), Readers::Owner, existing).unwrap();
            assert_eq!(mode(&draft.written), 0o600, "{existing:?}");
            draft.write(b"key").unwrap();
            assert_eq!((mode(&path), fs::read(&path).unwrap().as_slice()), (0o600, &b"key"[..]));
        }
        assert_eq!(names(directory.path()), ["bob.key"]);
    }

    #[test]
    fn another_file_is_replaced_only_if_that_was_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bob.key");
        fs::write(&path, "old").unwrap();
        let refused = Draft::new(path.clone(), Readers::Owner, Existing::Keep).unwrap_err();
        assert!(refused.to_string().contains("--force"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        let draft = Draft::new(path.clone(), Readers::Owner, Existing::Replace).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old", "until the new one is whole");
        draft.write(b"new").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("new", 0o600));
    }

    #[test]
    fn a_link_is_neither_followed_nor_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("bob.key"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        Draft::new(link.clone(), Readers::Owner, Existing::Keep).unwrap_err();
        Draft::new(link, Readers::Owner, Existing::Replace).unwrap().write(b"key").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        for existing in [Existing::Keep, Existing::Replace] {
            drop(Draft::new(directory.path().join("bob.key"), Readers::Owner, existing).unwrap());
        }
        assert!(names(directory.path()).is_empty());
    }
}
