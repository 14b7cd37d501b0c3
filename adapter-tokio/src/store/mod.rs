//! The store: one redb file, one thread that writes.
//!
//! Writers hand the thread jobs. It runs all that wait in one transaction and commits once (group commit), then tells each that its
//! work is durable. No executor thread ever waits for a disk: reads go to tokio's blocking threads.

mod lock;
pub(crate) mod read;
mod schema;
mod write;

use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use tokio::sync::oneshot;

pub(crate) use schema::{VigyRow, id_of};
pub(crate) use write::{Committed, NewVigy, Registration, Retention, Saved};
pub(crate) use write::{delete, outcomes_row, register, set_enabled, settle};

use crate::{OpenError, StoreError};

/// Jobs that one transaction takes at most.
const GROUP: usize = 1024;

/// How long to wait between two attempts to get a busy store.
const LOCK_POLL: Duration = Duration::from_millis(50);

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
store_error_from!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError);

type Job = Box<dyn FnOnce(&WriteTransaction) -> Result<Reply, StoreError> + Send>;

/// Tells a job's caller how it ended, once the transaction has.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The open store. Closed when it is dropped, or by [`Store::close`].
pub(crate) struct Store {
    database: Arc<Database>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _pid: Option<lock::PidFile>,
}

impl Store {
    /// Opens or creates the store at `path`, waiting up to `wait` while another process has it.
    pub(crate) async fn open(path: &Path, wait: Duration) -> Result<Self, OpenError> {
        let until = Instant::now() + wait;
        loop {
            let owned = path.to_owned();
            let opened = blocking(move || lock::open_file(&owned).map(|database| (database, lock::PidFile::write(&owned)))).await?;
            match opened {
                Err(OpenError::Busy { .. }) if Instant::now() < until => tokio::time::sleep(LOCK_POLL).await,
                Err(error) => return Err(error),
                Ok((database, pid)) => return Self::start(database, Some(pid)),
            }
        }
    }

    /// A store in memory.
    pub(crate) fn in_memory() -> Result<Self, OpenError> {
        let database = Database::builder().create_with_backend(redb::backends::InMemoryBackend::new());
        let database = database.map_err(|error| StoreError(error.to_string()))?;
        lock::create_tables(&database)?;
        Self::start(database, None)
    }

    fn start(database: Database, pid: Option<lock::PidFile>) -> Result<Self, OpenError> {
        let database = Arc::new(database);
        let (jobs, queue) = mpsc::channel();
        let writing = database.clone();
        let thread = std::thread::Builder::new().name("vigy-store".to_owned());
        let writer = thread.spawn(move || write_all(&writing, &queue)).map_err(|error| StoreError(error.to_string()))?;
        Ok(Self { database, jobs: Mutex::new(Some(jobs)), writer: Mutex::new(Some(writer)), _pid: pid })
    }

    /// Runs `job` in the next transaction and returns when it is durable. When the job fails, so does the whole transaction.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&WriteTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let value = job(transaction);
            let failed = value.as_ref().err().cloned();
            // The caller may be gone; the work is done all the same.
            let reply: Reply = Box::new(move |outcome| drop(done.send(outcome.and(value))));
            match failed {
                None => Ok(reply),
                Some(error) => {
                    reply(Err(error.clone()));
                    Err(error)
                }
            }
        });
        let closed = || StoreError("it is closed".to_owned());
        // A poisoned lock guards an Option that is whole in any case.
        let sent = match &*self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(jobs) => jobs.send(job).map_err(|_| closed()),
            None => Err(closed()),
        };
        sent?;
        result.await.map_err(|_| closed())?
    }

    /// Runs `read` on a snapshot.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.database.clone();
        blocking(move || read(&database.begin_read()?)).await?
    }

    /// Finishes the jobs that wait and ends the writer. Later writes fail.
    pub(crate) async fn close(&self) {
        let jobs = self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        drop(jobs);
        let writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // The writer does not panic; if it did, there is nothing left to finish.
            let _ = blocking(move || writer.join()).await;
        }
    }
}

/// Runs what waits for a disk on tokio's blocking threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| StoreError(format!("its thread ended: {error}")))
}

/// The writer's loop: takes what waits, commits it as one, answers.
fn write_all(database: &Database, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let jobs = std::iter::once(first).chain(queue.try_iter().take(GROUP - 1));
        let mut replies = Vec::new();
        let committed = write_group(database, jobs, &mut replies);
        for reply in replies {
            reply(committed.clone());
        }
    }
}

fn write_group(database: &Database, jobs: impl Iterator<Item = Job>, replies: &mut Vec<Reply>) -> Result<(), StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    let mut failed = None;
    for job in jobs {
        // After a failure the rest still learn how their group ended.
        match job(&transaction) {
            Ok(reply) => replies.push(reply),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => {
            transaction.abort()?;
            Err(error)
        }
        None => Ok(transaction.commit()?),
    }
}
