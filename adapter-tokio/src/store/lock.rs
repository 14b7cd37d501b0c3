//! Opening the file: whose it is, what it is, and who else has it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, TableError, TableHandle};

use super::schema::{CHECKPOINTS, DRAFT_VALUES, DRAFTS, FORMAT, KV, META, NAMES, OUTCOMES, REFERENCES, RUNS, STATE, USAGE, VALUES, VIGIES};
use crate::{OpenError, StoreError};

/// The first bytes of every redb file (redb, `docs/design.md`, "Super-header").
const REDB_MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";

/// Opens or creates the file, without writing to one that is not ours.
pub(super) fn open_file(path: &Path) -> Result<Database, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory).map_err(io)?;
    }
    if has_content(path)? {
        // Looking is done read-only: opening for writing changes the file. A store that crashed cannot be looked at; it is repaired first.
        match ReadOnlyDatabase::open(path) {
            Ok(database) => _ = is_ours(&database, path)?,
            Err(DatabaseError::RepairAborted) => {}
            Err(error) => return Err(open_error(error, path)),
        }
    }
    let database = Database::create(path).map_err(|error| open_error(error, path))?;
    if !is_ours(&database, path)? {
        create_tables(&database)?;
    }
    Ok(database)
}

fn open_error(error: DatabaseError, path: &Path) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Busy { path: path.to_owned(), pid: PidFile::owner(path) },
        DatabaseError::UpgradeRequired(version) => {
            OpenError::Foreign { path: path.to_owned(), reason: format!("it is a redb file of the old format {version}") }
        }
        DatabaseError::Storage(redb::StorageError::Io(source)) => OpenError::Io { path: path.to_owned(), source },
        other => OpenError::Store(StoreError(other.to_string())),
    }
}

/// Whether there is a file with something in it. Refuses one that is no redb file.
fn has_content(path: &Path) -> Result<bool, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io(error)),
    };
    let mut start = Vec::new();
    file.by_ref().take(REDB_MAGIC.len() as u64).read_to_end(&mut start).map_err(io)?;
    if start.is_empty() || start == REDB_MAGIC {
        return Ok(!start.is_empty());
    }
    Err(OpenError::Foreign { path: path.to_owned(), reason: "it is some other kind of file".to_owned() })
}

/// Whether the database is a store of ours that this version reads; false when it is empty. Anything else is refused.
fn is_ours(database: &impl ReadableDatabase, path: &Path) -> Result<bool, OpenError> {
    let path = || path.to_owned();
    let read = database.begin_read().map_err(StoreError::from)?;
    let found = match read.open_table(META) {
        Ok(meta) => meta.get("format").map_err(StoreError::from)?.map(|format| format.value()),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(OpenError::Foreign { path: path(), reason: error.to_string() }),
    };
    match found {
        Some(FORMAT) => return Ok(true),
        Some(found) => return Err(OpenError::Format { path: path(), found, known: FORMAT }),
        None => {}
    }
    if let Some(table) = read.list_tables().map_err(StoreError::from)?.next() {
        let reason = format!("it is another program's database (it has a table `{}`)", table.name());
        return Err(OpenError::Foreign { path: path(), reason });
    }
    Ok(false)
}

/// All tables exist from the start, so that readers never meet an absent one.
pub(super) fn create_tables(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.open_table(VIGIES)?;
    transaction.open_table(NAMES)?;
    transaction.open_table(CHECKPOINTS)?;
    transaction.open_table(KV)?;
    transaction.open_table(STATE)?;
    transaction.open_table(RUNS)?;
    transaction.open_table(OUTCOMES)?;
    transaction.open_table(VALUES)?;
    transaction.open_table(REFERENCES)?;
    transaction.open_table(DRAFTS)?;
    transaction.open_table(DRAFT_VALUES)?;
    transaction.open_table(USAGE)?;
    Ok(transaction.commit()?)
}

/// A file beside the store that tells others who has it. Only a hint for error messages: the lock is redb's.
pub(super) struct PidFile(PathBuf);

impl PidFile {
    pub(super) fn write(store: &Path) -> Self {
        let path = Self::path(store);
        // Without the hint the error message is poorer, nothing else.
        let _ = fs::write(&path, std::process::id().to_string());
        Self(path)
    }

    fn owner(store: &Path) -> Option<u32> {
        fs::read_to_string(Self::path(store)).ok()?.trim().parse().ok()
    }

    fn path(store: &Path) -> PathBuf {
        let mut path = store.to_owned().into_os_string();
        path.push(".pid");
        path.into()
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A stale hint is overwritten by the next owner.
        let _ = fs::remove_file(&self.0);
    }
}
