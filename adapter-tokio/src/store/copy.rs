//! Copies of a store: backups, and what is made of them.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use redb::{Database, ReadOnlyDatabase};
use vigy_core::record::Bytes;
use vigy_core::{Incarnation, Timestamp, Unfinished};

use super::engine::{self, Changes, Direction, Engine, Snapshot};
use super::lock;
use super::read::standings;
use super::schema::{self, EVERYTHING, Part, RunRow, Space, decode, encode};
use super::transaction::Log;
use crate::{OpenError, StoreError};

/// A copy that was not made. The file it should have become is not there.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is a file of that name, and it stays.
    #[error("{path} is there already: choose another file", path = .0.display())]
    Exists(PathBuf),
    /// The file to copy cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system refused.
    #[error("cannot write {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a file under another name, and gives it its own when it is whole: nobody ever finds half a copy.
pub(super) fn whole(path: &Path, make: impl FnOnce(&Path) -> Result<(), CopyError>) -> Result<(), CopyError> {
    let io = |source| CopyError::Io { path: path.to_owned(), source };
    if fs::exists(path).map_err(io)? {
        return Err(CopyError::Exists(path.to_owned()));
    }
    let mut partial = path.to_owned().into_os_string();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    // What an earlier attempt left.
    let _ = fs::remove_file(&partial);
    let made = make(&partial).and_then(|()| {
        // A link fails where a file is; a rename, for file systems without links, would replace it.
        match fs::hard_link(&partial, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(CopyError::Exists(path.to_owned())),
            Err(_) => fs::rename(&partial, path).map_err(io)?,
            Ok(()) => {}
        }
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        fs::File::open(directory.unwrap_or_else(|| Path::new("."))).and_then(|directory| directory.sync_all()).map_err(io)
    });
    let _ = fs::remove_file(&partial);
    made
}

/// Writes all rows of a snapshot into a new file.
pub(super) fn backup(rows: &dyn Snapshot, path: &Path) -> Result<(), CopyError> {
    whole(path, |partial| {
        let failed = |error: redb::Error| CopyError::Store(error.into());
        let database = Database::create(partial).map_err(|error| failed(error.into()))?;
        let transaction = engine::begin(&database)?;
        let mut copy = transaction.open_table(engine::ROWS).map_err(|error| failed(error.into()))?;
        let mut copied = Ok(());
        rows.scan(EVERYTHING, Direction::Forward, &mut |key, value| match copy.insert(key, value) {
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                copied = Err(failed(error.into()));
                ControlFlow::Break(())
            }
        })?;
        drop(copy);
        copied?;
        transaction.commit().map_err(|error| failed(error.into()))
    })
}

/// How many numbers the log of a restored store leaves out for each millisecond since 1970. Then its first ones still are integers in JSON.
const EVENT_NUMBERS_PER_MS: u64 = 1000;

/// Makes a new store of a backup. Its vigies live again: kv, history, dead letters and declarations are as they were, and each has a new
/// incarnation, so that no key of the first life comes back. What was in flight when the backup was made is not taken up: the first life
/// went on with it. The event log begins anew, at a number that the first life did not come to (unless it told a million events a second):
/// a listener that comes back with a number of the first life's log is told that this is another.
///
/// # Errors
/// [`CopyError`]: nothing is overwritten.
pub fn restore(backup: &Path, path: &Path, now: Timestamp, mut mint: impl FnMut() -> Incarnation) -> Result<(), CopyError> {
    whole(path, |partial| {
        let io = |source| CopyError::Io { path: partial.to_owned(), source };
        // Held while it is copied: nobody writes to it.
        let held = ReadOnlyDatabase::open(backup).map_err(|error| lock::open_error(error, backup))?;
        fs::copy(backup, partial).map_err(io)?;
        drop(held);
        let store = lock::open_file(partial)?;
        let rows = store.snapshot()?;
        let mut changes = new_lives(&*rows, &mut mint)?;
        changes.remove_range(schema::space(Space::Event));
        let begins = Log::of(&*rows)?.last.max(now.0.saturating_mul(EVENT_NUMBERS_PER_MS));
        changes.set(schema::meta(schema::META_LOG), Some(begins.to_be_bytes().to_vec()));
        Ok(store.commit(&changes)?)
    })
}

/// A settlement without a line: the data bytes of an empty list.
const NO_OUTCOMES: [u8; 2] = [7, 0];

fn new_lives(rows: &dyn Snapshot, mint: &mut dyn FnMut() -> Incarnation) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    let mut lives = Vec::new();
    standings(rows, |id, standing| lives.push((id, standing)))?;
    for (id, mut standing) in lives {
        let checkpoint = &mut standing.checkpoint;
        match checkpoint.unfinished {
            Unfinished::Nothing => {}
            Unfinished::Evaluation => {
                changes.remove_range(schema::part(id, Part::Draft).start..schema::part(id, Part::DraftValue).end);
            }
            Unfinished::Actions => {
                let key = schema::run(id, checkpoint.ticks);
                if let Some(before) = rows.get(&key)? {
                    let run: RunRow<'_> = decode(&before)?;
                    let row = RunRow { ended_at: Some(run.at), outcomes: Bytes(&NO_OUTCOMES), ..run }.encoded()?;
                    standing.bytes = standing.bytes.saturating_sub(before.len() as u64) + row.len() as u64;
                    changes.set(key, Some(row));
                }
            }
        }
        standing.checkpoint.incarnation = mint();
        standing.checkpoint.unfinished = Unfinished::Nothing;
        changes.set(schema::standing(id), Some(encode(&standing)?));
    }
    Ok(changes)
}
