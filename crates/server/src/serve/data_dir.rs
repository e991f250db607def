//! The data directory: the owner's alone, and one server's at a time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::ServeError;

/// A data directory that belongs to this process until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it is missing, and takes it.
    ///
    /// # Errors
    /// It cannot be made, read or written, or another server has it.
    pub(crate) fn open(path: &Path) -> Result<Self, ServeError> {
        let refuse = |reason: String| ServeError::DataDir { path: path.to_owned(), reason };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| refuse(describe(&error)))?;
        let metadata = std::fs::metadata(path).map_err(|error| refuse(describe(&error)))?;
        if metadata.permissions().mode() & 0o002 != 0 {
            return Err(refuse(format!(
                "everybody may write to it (mode {:o}); make it the owner's alone: chmod 700",
                metadata.permissions().mode() & 0o777
            )));
        }
        let own = rustix::process::geteuid().as_raw();
        if metadata.uid() != own && own != 0 {
            return Err(refuse(format!("it belongs to user id {}, not {own}", metadata.uid())));
        }
        std::fs::read_dir(path).map_err(|error| refuse(describe(&error)))?;
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The lock is the kernel's: it ends with the process, so that a killed server leaves nothing to clean up.
/// The process id in the file is for people only.
fn lock(directory: &Path) -> Result<File, ServeError> {
    let refuse = |error: io::Error| ServeError::DataDir {
        path: directory.to_owned(),
        reason: format!("cannot lock it: {}", describe(&error)),
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(directory.join(LOCK_FILE))
        .map_err(refuse)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let pid = match Read::by_ref(&mut file).take(32).read_to_string(&mut text) {
                Ok(_) => text.trim().parse().ok(),
                Err(_) => None,
            };
            return Err(ServeError::InUse { path: directory.to_owned(), pid });
        }
        Err(errno) => return Err(refuse(errno.into())),
    }
    file.set_len(0).map_err(refuse)?;
    writeln!(file, "{}", std::process::id()).map_err(refuse)?;
    Ok(file)
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            "it is not a directory".to_owned()
        }
        _ => error.to_string(),
    }
}

const LOCK_FILE: &str = "lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_is_the_owners_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let data_dir = DataDir::open(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(data_dir.path()), 0o700);
        assert_eq!(mode(&path.join(LOCK_FILE)), 0o600);
    }

    #[test]
    fn a_directory_in_use_is_refused_until_it_is_let_go() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDir::open(directory.path()).unwrap();
        let refused = DataDir::open(directory.path()).unwrap_err();
        let pid = std::process::id();
        assert!(matches!(refused, ServeError::InUse { pid: Some(other), .. } if other == pid));
        assert!(refused.to_string().contains(&pid.to_string()));
        drop(first);
        DataDir::open(directory.path()).unwrap();
    }

    #[test]
    fn what_cannot_be_a_data_directory_is_refused_in_one_line() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let open = parent.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        let check = |path: &Path, reason: &str| {
            let text = DataDir::open(path).unwrap_err().to_string();
            assert!(text.contains(reason) && !text.contains('\n'), "{text}");
        };
        check(&file, "it is not a directory");
        check(&file.join("below"), "it is not a directory");
        check(&open, "everybody may write to it");
    }
}
