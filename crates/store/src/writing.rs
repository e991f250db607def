//! The connection that writes, as long as nothing has failed on it.
//!
//! When SQLite cannot write, it may have rolled a transaction back by itself, or have left it open, and the driver's count
//! of what is open is wrong from then on: later changes would become parts of a transaction that nobody ever commits, and be
//! confirmed. So a connection on which anything was not brought to a good end is closed, which rolls back whatever was open.

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Sqlite, Transaction};

/// A connection that is closed when it is dropped, unless it is given back as good.
pub(crate) struct Writing(Option<PoolConnection<Sqlite>>);

impl Writing {
    pub(crate) fn on(connection: PoolConnection<Sqlite>) -> Self {
        Self(Some(connection))
    }

    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
        match &mut self.0 {
            Some(connection) => connection.begin().await,
            None => Err(sqlx::Error::PoolClosed),
        }
    }

    /// All went well: the next may have it.
    pub(crate) fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}
