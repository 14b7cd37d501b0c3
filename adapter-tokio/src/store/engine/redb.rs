//! Rows in a redb file.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, DatabaseError, ReadOnlyTable, ReadableDatabase, TableDefinition, WriteTransaction};

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
store_error_from!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError, DatabaseError);

/// An [`Engine`] on redb: one table of bytes in one file. Commits are synced, in two phases and with quick repair, so that a file whose
/// process died opens at once.
///
/// After an error of the medium redb refuses everything until the file is opened anew. An engine that [knows how](RedbEngine::reopens)
/// does that by itself, when it is asked for a snapshot or a commit next.
pub struct RedbEngine {
    /// Nothing while it cannot be opened anew.
    database: RwLock<Option<Database>>,
    open: Option<Box<Open>>,
    /// Whether the medium failed since the database was opened.
    failed: Arc<AtomicBool>,
}

type Open = dyn Fn() -> Result<Database, DatabaseError> + Send + Sync;

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
        Ok(Self { database: RwLock::new(Some(database)), open: None, failed: Arc::default() })
    }

    /// How to open the same file anew, after an error of the medium. The database before is closed by then.
    #[must_use]
    pub fn reopens(mut self, open: impl Fn() -> Result<Database, DatabaseError> + Send + Sync + 'static) -> Self {
        self.open = Some(Box::new(open));
        self
    }

    /// Uses the database, opened anew if the medium has failed.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(open) = self.open.as_ref().filter(|_| self.failed.load(Ordering::SeqCst)) {
            // An Option is whole whoever panicked.
            let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
            // Somebody else may have done it meanwhile.
            if self.failed.load(Ordering::SeqCst) {
                // The file has one owner: first it is let go.
                *database = None;
                *database = Some(open().map_err(|error| StoreError(format!("it cannot be opened again after an error: {error}")))?);
                self.failed.store(false, Ordering::SeqCst);
                tracing::warn!("the store was opened again, after an error");
            }
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let done = work(database.as_ref().ok_or_else(|| StoreError("it could not be opened again after an error".to_owned()))?);
        if done.is_err() {
            self.failed.store(true, Ordering::SeqCst);
        }
        done
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
        Ok(rows) => Ok(Some(Rows { rows, failed: Arc::default() })),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Engine for RedbEngine {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        let rows = self.with(|database| Ok(database.begin_read()?.open_table(ROWS)?))?;
        Ok(Arc::new(Rows { rows, failed: self.failed.clone() }))
    }

    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        self.with(|database| {
            let transaction = begin(database)?;
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
        })
    }
}

/// The table of one read transaction, which lives as long as this does.
pub(in crate::store) struct Rows {
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
    /// The engine's.
    failed: Arc<AtomicBool>,
}

impl Rows {
    /// Notes that the medium has failed. A snapshot from before that was noted already says nothing new.
    fn noted(&self, error: redb::StorageError) -> StoreError {
        if !matches!(error, redb::StorageError::DatabaseClosed) {
            self.failed.store(true, Ordering::SeqCst);
        }
        error.into()
    }
}

impl Snapshot for Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows.get(key).map_err(|error| self.noted(error))?.map(|value| value.value().to_vec()))
    }

    fn scan(&self, range: Range<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut rows = self.rows.range::<&[u8]>(range).map_err(|error| self.noted(error))?;
        while let Some(row) = match direction {
            Direction::Forward => rows.next(),
            Direction::Backward => rows.next_back(),
        } {
            let (key, value) = row.map_err(|error| self.noted(error))?;
            if visit(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }
}
