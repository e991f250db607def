//! Files on disk: whole or not at all, and private ones never readable by others, not even for an instant.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::PkiError;

/// Who may read a file that is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Everybody, less what the process's umask takes away.
    Everybody,
    /// The owner only (0600).
    Owner,
}

/// The whole file, or `None` if there is none. Bounded, as a watched file may be anything.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, PkiError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PkiError::io("read", path)(error)),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(PkiError::io("read", path))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(PkiError::unusable(
            path,
            format!("larger than {FILE_BYTES_MAX} bytes"),
            "put a smaller file there",
        ));
    }
    Ok(Some(bytes))
}

/// Replaces the file with these bytes: readers see the old or the new, and the new survives a power cut.
pub(crate) fn replace(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), PkiError> {
    // A link (as mounts of secrets use them) stays a link; what it points to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = temporary_name(&target)?;
    let written = write_new(&temporary, bytes, readers)
        .and_then(|()| fs::rename(&temporary, &target))
        .and_then(|()| sync_directory(&target));
    written.map_err(|error| {
        // The first error is what counts; a left-over is swept at the next start.
        drop(fs::remove_file(&temporary));
        PkiError::io("write", path)(error)
    })
}

/// Creates a file that must not exist yet.
pub(crate) fn create(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), PkiError> {
    write_new(path, bytes, readers)
        .and_then(|()| sync_directory(path))
        .map_err(PkiError::io("create", path))
}

/// Gives a file its final name, which must not be taken.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), PkiError> {
    fs::rename(from, to).and_then(|()| sync_directory(to)).map_err(PkiError::io("write", to))
}

/// Removes a file; it is no error if there is none.
pub(crate) fn remove(path: &Path) -> Result<(), PkiError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(PkiError::io("remove", path)(error)),
    }
}

/// Makes the directory, others may list it: keys inside are protected by their own mode.
pub(crate) fn make_directory(path: &Path) -> Result<(), PkiError> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(PkiError::io("create", path))
}

/// Removes what a crash between write and rename has left.
pub(crate) fn sweep(directory: &Path) -> Result<(), PkiError> {
    let entries = fs::read_dir(directory).map_err(PkiError::io("read", directory))?;
    for entry in entries {
        let entry = entry.map_err(PkiError::io("read", directory))?;
        let name = entry.file_name();
        let is_ours = name
            .to_str()
            .is_some_and(|name| name.starts_with('.') && name.ends_with(TEMPORARY_SUFFIX));
        if is_ours {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Whether group or others may do anything with the file.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::Everybody => 0o644,
        Readers::Owner => 0o600,
    };
    // The mode is given to open(2) itself, so there is no moment at which a key has a wider one.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn temporary_name(path: &Path) -> Result<PathBuf, PkiError> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|error| PkiError::crypto("draw a random file name", error))?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file");
    let number = u64::from_be_bytes(random);
    Ok(path.with_file_name(format!(".{name}.{number:016x}{TEMPORARY_SUFFIX}")))
}

const TEMPORARY_SUFFIX: &str = ".countersign-new";
/// 64 MiB: a revocation list of a million entries fits.
const FILE_BYTES_MAX: u64 = 64 << 20;
