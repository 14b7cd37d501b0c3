//! Rows in a redb file.

use std::ops::Range;
use std::sync::Arc;

use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition, WriteTransaction};

use super::{Changes, Direction, Engine, Snapshot, Visit};
use crate::StoreError;
use crate::store::migrate;

/// The one table.
pub(in crate::store) const TABLE: &str = "vigy.rows";
pub(in crate::store) const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(TABLE);

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        Self(error.to_string())
    }
}

macro_rules! store_error_from {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self(error.to_string())
            }
        }
    )*};
}
store_error_from!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError, redb::DatabaseError);

/// An [`Engine`] on redb: one table of bytes in one file. Commits are synced, in two phases and with quick repair, so that a file whose
/// process died opens at once.
pub struct RedbEngine(Database);

impl RedbEngine {
    /// The rows of a database, which may be empty. One that a store of format 2 is in is taken over: its rows become rows of this format.
    ///
    /// # Errors
    /// The medium's own.
    pub fn new(database: Database) -> Result<Self, StoreError> {
        if migrate::format_of(&database)? == Some(migrate::FORMAT) {
            migrate::from_format_2(&database)?;
        }
        let absent = match database.begin_read()?.open_table(ROWS) {
            Ok(_) => false,
            Err(redb::TableError::TableDoesNotExist(_)) => true,
            Err(error) => return Err(error.into()),
        };
        if absent {
            // Readers never meet an absent table.
            let transaction = begin(&database)?;
            transaction.open_table(ROWS)?;
            transaction.commit()?;
        }
        Ok(Self(database))
    }
}

/// Starts a transaction whose commit is durable, and cheap to open after a crash.
pub(in crate::store) fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// The rows as a reader of the database sees them; nothing when it has never had any.
pub(in crate::store) fn rows_of(database: &impl ReadableDatabase) -> Result<Option<Rows>, redb::Error> {
    match database.begin_read()?.open_table(ROWS) {
        Ok(rows) => Ok(Some(Rows(rows))),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Engine for RedbEngine {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(Arc::new(Rows(self.0.begin_read()?.open_table(ROWS)?)))
    }

    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let transaction = begin(&self.0)?;
        let mut rows = transaction.open_table(ROWS)?;
        for Range { start, end } in changes.ranges() {
            rows.retain_in(start.as_slice()..end.as_slice(), |_, _| false)?;
        }
        for (key, value) in changes.entries() {
            match value {
                Some(value) => _ = rows.insert(key, value)?,
                None => _ = rows.remove(key)?,
            }
        }
        drop(rows);
        Ok(transaction.commit()?)
    }
}

/// The table of one read transaction, which lives as long as this does.
pub(in crate::store) struct Rows(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Snapshot for Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key)?.map(|value| value.value().to_vec()))
    }

    fn scan(&self, range: Range<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut rows = self.0.range::<&[u8]>(range)?;
        while let Some(row) = match direction {
            Direction::Forward => rows.next(),
            Direction::Backward => rows.next_back(),
        } {
            let (key, value) = row?;
            if visit(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }
}
