//! Opening the file: whose it is, what it is, and who else has it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, TableHandle};

use super::copy::{CopyError, whole};
use super::engine::{self, Changes, Engine, RedbEngine, Snapshot};
use super::migrate;
use super::schema::{FORMAT, META_FORMAT, META_SECRET, meta};
use crate::{OpenError, StoreError};

/// The first bytes of every redb file (redb, `docs/design.md`, "Super-header").
const REDB_MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";

/// Opens or creates the file, without writing to one that is not ours.
pub(super) fn open_file(path: &Path) -> Result<RedbEngine, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory).map_err(io)?;
    }
    match content(path)? {
        // Made whole before it has its name: a crash leaves no file that is half a store.
        Content::Absent => match whole(path, |partial| Ok(begin(&create(partial)?)?)) {
            Ok(()) | Err(CopyError::Exists(_)) => {}
            Err(CopyError::Open(error)) => return Err(error),
            Err(CopyError::Store(error)) => return Err(error.into()),
            Err(CopyError::Io { source, .. }) => return Err(io(source)),
        },
        Content::Empty => {}
        // Looking is done read-only: opening for writing changes the file. A store that crashed cannot be looked at; it is repaired first.
        Content::Redb => match ReadOnlyDatabase::open(path) {
            Ok(database) => look(&database, path)?,
            Err(DatabaseError::RepairAborted) => {}
            Err(error) => return Err(open_error(error, path)),
        },
    }
    create(path)
}

/// Opens a file for writing, which may be absent or empty.
fn create(path: &Path) -> Result<RedbEngine, OpenError> {
    let database = Database::create(path).map_err(|error| open_error(error, path))?;
    look(&database, path)?;
    let path = path.to_owned();
    // What is not there any more is not made anew: that would be another store.
    Ok(RedbEngine::new(database)?.reopens(move || Database::open(&path)))
}

pub(super) fn open_error(error: DatabaseError, path: &Path) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Busy { path: path.to_owned(), pid: PidFile::owner(path) },
        DatabaseError::UpgradeRequired(version) => {
            OpenError::Foreign { path: path.to_owned(), reason: format!("it is a redb file of the old format {version}") }
        }
        DatabaseError::Storage(redb::StorageError::Io(source)) => OpenError::Io { path: path.to_owned(), source },
        other => OpenError::Store(StoreError(other.to_string())),
    }
}

/// What a file looks like from its first bytes.
enum Content {
    Absent,
    Empty,
    Redb,
}

/// What a file looks like. Refuses one that is no redb file.
fn content(path: &Path) -> Result<Content, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Absent),
        Err(error) => return Err(io(error)),
    };
    let mut start = Vec::new();
    file.by_ref().take(REDB_MAGIC.len() as u64).read_to_end(&mut start).map_err(io)?;
    match &start[..] {
        [] => Ok(Content::Empty),
        start if start == REDB_MAGIC => Ok(Content::Redb),
        _ => Err(OpenError::Foreign { path: path.to_owned(), reason: "it is some other kind of file".to_owned() }),
    }
}

/// Refuses a database that holds anything but a store that this version reads, or nothing at all.
fn look(database: &impl ReadableDatabase, path: &Path) -> Result<(), OpenError> {
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
        Some(FORMAT | migrate::FORMAT) => return Ok(()),
        Some(found) => return Err(OpenError::Format { path: path.to_owned(), found, known: FORMAT }),
        None => {}
    }
    let read = database.begin_read().map_err(StoreError::from)?;
    let tables = read.list_tables().map_err(StoreError::from)?;
    match tables.map(|table| table.name().to_owned()).find(|name| name != engine::TABLE) {
        Some(name) => Err(foreign(format!("it is another program's database (it has a table `{name}`)"))),
        None => Ok(()),
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
    engine.commit(&facts()?)
}

/// The facts about a new store.
pub(super) fn facts() -> Result<Changes, StoreError> {
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).map_err(|error| StoreError(format!("the system gives no randomness: {error}")))?;
    let mut facts = Changes::default();
    facts.set(meta(META_FORMAT), Some(FORMAT.to_be_bytes().to_vec()));
    facts.set(meta(META_SECRET), Some(secret));
    Ok(facts)
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
