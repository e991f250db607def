//! Opening the store: its files, its lock and its schema.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::audit::AuditChain;
use crate::confirmed;
use crate::error::StoreError;

/// The store of one data directory. Clones share it; the lock is let go with the last one.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: SqlitePool,
    /// Sees what is committed, and writes nothing.
    pub(crate) readers: SqlitePool,
    pub(crate) file: Arc<Path>,
    /// Held until the store is closed, or nobody has it any more.
    lock: Arc<File>,
}

impl Store {
    /// Opens the store in a data directory. Both are made if they are not there, readable by the owner only.
    ///
    /// # Errors
    /// If the directory cannot be used, another process uses it, the file is no database or one of a newer version.
    pub async fn open(data_dir: &Path) -> Result<Store, StoreError> {
        let file = data_dir.join(FILE_NAME);
        let lock = prepare_files(data_dir, &file)?;
        let pool = SqlitePoolOptions::new()
            // One connection: changes are made one after the other anyway, and reads happen at start only.
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(connect_options(&file))
            .await
            .map_err(|error| StoreError::from_database(&file, "open", error))?;
        let readers = SqlitePoolOptions::new().max_connections(READERS_MAX).connect_lazy_with(
            connect_options(&file).create_if_missing(false).pragma("query_only", "ON"),
        );
        let store = Store { pool, readers, file: file.into(), lock: Arc::new(lock) };
        store.check_integrity().await?;
        store.migrate().await?;
        store.check_age().await?;
        Ok(store)
    }

    /// Ends the use of the file, for all who have the store; what was confirmed is on disk with or without this.
    pub async fn close(&self) {
        self.readers.close().await;
        self.pool.close().await;
        if let Err(error) = self.lock.unlock() {
            // It ends with the process at the latest.
            tracing::debug!(%error, "the data directory stays locked");
        }
    }

    /// The database file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Finds a damaged file at start, and not when a user first needs the damaged page.
    async fn check_integrity(&self) -> Result<(), StoreError> {
        let verdict = sqlx::query_scalar::<_, String>("PRAGMA quick_check(1)")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.error("read", error))?;
        if verdict == "ok" { Ok(()) } else { Err(self.corrupt(verdict)) }
    }

    /// Finds a file that is whole and older than it was: a write-ahead log that is lost or damaged takes the last changes
    /// with it without a trace, and one of them may have taken a right away.
    async fn check_age(&self) -> Result<(), StoreError> {
        let lock = self.file.with_file_name(LOCK_NAME);
        let failed = |source| StoreError::Directory { path: lock.clone(), source };
        let confirmed = confirmed::read(&self.lock).map_err(failed)?;
        let found = self.last_change().await?;
        if let Some(confirmed) = confirmed.filter(|confirmed| *confirmed > found) {
            let path = self.file.to_path_buf();
            return Err(StoreError::Older { path, found, confirmed, lock });
        }
        self.note_confirmed(found).await;
        Ok(())
    }

    async fn last_change(&self) -> Result<u64, StoreError> {
        let sql = "SELECT seq FROM audit_heads WHERE chain = $1";
        let seq = sqlx::query_scalar::<_, i64>(sql)
            .bind(AuditChain::Changes.number())
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.error("read", error))?;
        Ok(u64::try_from(seq).unwrap_or_default())
    }

    /// Notes outside of the database how far it is, so that a start can tell whether it is all there.
    pub(crate) async fn note_confirmed(&self, change: u64) {
        let lock = Arc::clone(&self.lock);
        let written = tokio::task::spawn_blocking(move || confirmed::write(&lock, change)).await;
        if let Err(error) = written.map_err(std::io::Error::other).flatten() {
            tracing::warn!(
                %error,
                "how many changes were made is not noted: should the database lose the last ones, that is not found"
            );
        }
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let migrator = Migrator::with_migrations(migrations());
        let known = migrator.iter().map(|migration| migration.version).max().unwrap_or_default();
        let error = match migrator.run(&self.pool).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error {
            MigrateError::VersionMissing(found) | MigrateError::VersionTooNew(found, _) => {
                let path = self.file.to_path_buf();
                Err(StoreError::Newer { path, found, known })
            }
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                Err(self.error("open", error))
            }
            other => Err(self.corrupt(other.to_string())),
        }
    }

    pub(crate) fn error(&self, doing: &'static str, source: sqlx::Error) -> StoreError {
        StoreError::from_database(&self.file, doing, source)
    }

    /// The error that the file's content breaks a rule, for those who know more of the content than the store.
    pub fn corrupt(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Corrupt { path: self.file.to_path_buf(), reason: reason.into() }
    }
}

/// Makes directory and file readable by the owner only, and takes the lock.
///
/// The lock is on a file of its own: SQLite's locks on the database would be lost when a second handle of it is closed.
fn prepare_files(data_dir: &Path, file: &Path) -> Result<File, StoreError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| StoreError::Directory { path, source }
    };
    if !data_dir.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed(data_dir))?;
    }
    let is_gone = !std::fs::metadata(file).is_ok_and(|it| it.len() > 0);
    let open = |path: &Path| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    };
    let lock_file: PathBuf = data_dir.join(LOCK_NAME);
    let lock = open(&lock_file).map_err(failed(&lock_file))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::InUse { path: data_dir.to_path_buf() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(&lock_file)(source)),
    }
    if is_gone && confirmed::read(&lock).map_err(failed(&lock_file))?.is_some() {
        // It would be a first start: no users, no denials, and a new administrator.
        return Err(StoreError::Lost { path: file.to_path_buf(), lock: lock_file });
    }
    // SQLite gives its -wal and -shm files the mode of the database.
    let made = open(file).map_err(failed(file))?;
    made.set_permissions(Permissions::from_mode(0o600)).map_err(failed(file))?;
    Ok(lock)
}

fn connect_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A change that was confirmed must survive a loss of power: in WAL mode only FULL syncs each commit.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        // What was removed, a password hash above all, is not left in free pages.
        .pragma("secure_delete", "ON")
        .row_buffer_size(1024)
        .thread_name(|number| format!("store-{number}"))
}

fn migrations() -> Vec<Migration> {
    let migration = |version, description: &'static str, sql: &'static str| {
        let sql = sql.into_sql_str();
        Migration::new(version, description.into(), MigrationType::Simple, sql, false)
    };
    let first = include_str!("../migrations/0001_users_roles_permissions.sql");
    vec![
        migration(1, "users roles permissions", first),
        migration(2, "certificates", include_str!("../migrations/0002_certificates.sql")),
        migration(3, "tokens", include_str!("../migrations/0003_tokens.sql")),
        migration(4, "audit", include_str!("../migrations/0004_audit.sql")),
        migration(5, "registry", include_str!("../migrations/0005_registry.sql")),
        migration(6, "password uses", include_str!("../migrations/0006_password_uses.sql")),
        migration(7, "refusals", include_str!("../migrations/0007_refusals.sql")),
        migration(8, "publish budgets", include_str!("../migrations/0008_publish_budgets.sql")),
    ]
}

const FILE_NAME: &str = "countersign.db";
const LOCK_NAME: &str = "countersign.lock";

/// Connections that only read.
const READERS_MAX: u32 = 2;

/// Only a backup tool can be in the way, and not for long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
