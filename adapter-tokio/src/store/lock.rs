//! Opening the file: whose it is, what it is, and who else has it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, TableHandle};

use super::engine::{self, Changes, Engine, Snapshot};
use super::migrate;
use super::schema::{FORMAT, META_FORMAT, META_SECRET, meta};
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
            Ok(database) => _ = look(&database, path)?,
            Err(DatabaseError::RepairAborted) => {}
            Err(error) => return Err(open_error(error, path)),
        }
    }
    let database = Database::create(path).map_err(|error| open_error(error, path))?;
    if look(&database, path)? == Found::Format2 {
        migrate::from_format_2(&database)?;
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

/// What a database holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Nothing,
    Format2,
    Ours,
}

/// What a database holds. Anything but a store that this version reads, or nothing at all, is refused.
fn look(database: &impl ReadableDatabase, path: &Path) -> Result<Found, OpenError> {
    let foreign = |reason: String| OpenError::Foreign { path: path.to_owned(), reason };
    let found = match engine::rows_of(database).map_err(|error| foreign(error.to_string()))? {
        Some(rows) => format_of(&rows)?,
        None => None,
    };
    let found = match found {
        Some(found) => Some(found),
        None => migrate::format_of(database).map_err(|error| foreign(error.to_string()))?,
    };
    match found {
        Some(FORMAT) => return Ok(Found::Ours),
        Some(migrate::FORMAT) => return Ok(Found::Format2),
        Some(found) => return Err(OpenError::Format { path: path.to_owned(), found, known: FORMAT }),
        None => {}
    }
    let read = database.begin_read().map_err(StoreError::from)?;
    let tables = read.list_tables().map_err(StoreError::from)?;
    match tables.map(|table| table.name().to_owned()).find(|name| name != engine::TABLE) {
        Some(name) => Err(foreign(format!("it is another program's database (it has a table `{name}`)"))),
        None => Ok(Found::Nothing),
    }
}

/// The format that rows are in; nothing when there are none.
fn format_of(rows: &dyn Snapshot) -> Result<Option<u32>, StoreError> {
    let format = rows.get(&meta(META_FORMAT))?;
    format.map(|format| format.try_into().map(u32::from_be_bytes).map_err(|_| StoreError("its format is damaged".to_owned()))).transpose()
}

/// Makes a store of an engine that keeps nothing yet: its format, and a secret of its own.
pub(super) fn begin(engine: &dyn Engine) -> Result<(), StoreError> {
    if format_of(&*engine.snapshot()?)?.is_some() {
        return Ok(());
    }
    let mut changes = Changes::default();
    for (key, value) in facts()? {
        changes.set(key, Some(value));
    }
    engine.commit(&changes)
}

/// The facts about a new store.
pub(super) fn facts() -> Result<[(Vec<u8>, Vec<u8>); 2], StoreError> {
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).map_err(|error| StoreError(format!("the system gives no randomness: {error}")))?;
    Ok([(meta(META_FORMAT), FORMAT.to_be_bytes().to_vec()), (meta(META_SECRET), secret)])
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
