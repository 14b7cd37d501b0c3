//! The store: one ordered map of bytes behind a port, one thread that writes.
//!
//! Writers hand the thread jobs. It runs all that wait over one snapshot, commits their changes as one (group commit), then tells each
//! that its work is durable; a job that fails fails alone. No executor thread ever waits for a disk: a snapshot of the last commit is
//! always there, and what reads much goes to tokio's blocking threads.

mod check;
mod copy;
pub mod engine;
mod export;
mod lock;
mod migrate;
pub(crate) mod read;
mod schedule;
mod schema;
#[cfg(test)]
mod tests;
mod transaction;
mod write;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

pub use check::{Finding, Problem};
pub use copy::{CopyError, restore};
pub use export::Exported;
pub(crate) use schedule::take_up;
pub(crate) use schema::id_of;
pub use schema::{DeadLetter, Happened, Happening};
pub(crate) use transaction::Transaction;
pub(crate) use write::{Committed, NewVigy, Registration, Retention, Saved, Settles};
pub(crate) use write::{delete, discard, register, rollback, set_enabled};

use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Mutex, RwLock, mpsc, sleep, spawn_blocking};
use crate::{OpenError, StoreError};
use engine::{Engine, MemoryEngine, Snapshot};
use transaction::Log;

/// Jobs that one commit takes at most, and bytes of changes after which it takes no more.
const GROUP: usize = 4096;
const GROUP_BYTES: usize = 16 << 20;

/// A writer that is busy, with so many jobs in a commit, waits before the next one for as long as the last one took: the larger the group,
/// the less each job costs. At most 20 ms.
const BUSY: usize = 32;
const MAX_REST: Duration = Duration::from_millis(20);

/// How long to wait between two attempts to get a busy store.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// Is given the transaction, or why there is none.
type Job = Box<dyn FnOnce(Result<&mut Transaction, &StoreError>) -> Reply + Send>;

/// Tells a job's caller how it ended, once the commit has.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The rows of the last commit, swapped by the writer.
type Newest = Arc<RwLock<Arc<dyn Snapshot>>>;

/// An open store, without a runtime: to look after it. A runtime has its own. Closed when it is dropped, or by [`Store::close`].
pub struct Store {
    newest: Newest,
    last_event: watch::Receiver<u64>,
    log_begins: u64,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _pid: Option<lock::PidFile>,
}

impl Store {
    /// Opens or creates the store at `path`, waiting up to `wait` while another process has it.
    ///
    /// # Errors
    /// [`OpenError`]; then the file is as it was.
    pub async fn open(path: &Path, wait: Duration) -> Result<Self, OpenError> {
        let until = Instant::now() + wait;
        loop {
            let owned = path.to_owned();
            let open = move || {
                let engine = lock::open_file(&owned)?;
                Self::start(Arc::new(engine), Some(lock::PidFile::write(&owned)))
            };
            match blocking(open).await? {
                Err(OpenError::Busy { .. }) if Instant::now() < until => sleep(LOCK_POLL).await,
                opened => return opened,
            }
        }
    }

    /// A store in memory.
    ///
    /// # Errors
    /// [`OpenError`], when there is no thread for it.
    pub fn in_memory() -> Result<Self, OpenError> {
        Self::over(Arc::new(MemoryEngine::new()))
    }

    /// The store that an engine keeps; a new one when it keeps nothing yet. The engine MUST be nobody else's.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn over(engine: Arc<dyn Engine>) -> Result<Self, OpenError> {
        Self::start(engine, None)
    }

    fn start(engine: Arc<dyn Engine>, pid: Option<lock::PidFile>) -> Result<Self, OpenError> {
        lock::begin(&*engine)?;
        let mut writer = Writer::new(engine.clone())?;
        let (newest, last_event) = (writer.newest.clone(), writer.last_event.subscribe());
        let log_begins = Log::begins(&*engine.snapshot()?)?;
        let (jobs, queue) = mpsc::channel();
        let thread = thread::Builder::new().name("vigy-store".to_owned());
        let running = thread.spawn(move || {
            let mut rest = None;
            while let Ok(first) = queue.recv() {
                rest.into_iter().for_each(thread::sleep);
                let began = Instant::now();
                let jobs = writer.group(std::iter::once(first).chain(queue.try_iter()));
                rest = (BUSY..GROUP).contains(&jobs).then(|| began.elapsed().min(MAX_REST));
            }
        });
        let running = running.map_err(|error| StoreError(error.to_string()))?;
        Ok(Self { newest, last_event, log_begins, jobs: Mutex::new(Some(jobs)), writer: Mutex::new(Some(running)), _pid: pid })
    }

    /// Does `job` in the next commit and returns when that is durable. A job that fails changes nothing, and fails alone; when the commit
    /// fails, so do all of its jobs.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Transaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.begin(job)?.durable().await
    }

    /// Hands the writer `job` for the next commit, as [`Store::write`] does, and returns at once.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Transaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let value = transaction.map_err(StoreError::clone).and_then(|transaction| transaction.run(job));
            // The caller may be gone; the work is done all the same.
            Box::new(move |outcome| drop(done.send(value.and_then(|value| outcome.map(|()| value)))))
        });
        // A poisoned lock guards an Option that is whole in any case.
        match &*self.jobs.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(jobs) => jobs.send(job).map_err(|_| closed())?,
            None => return Err(closed()),
        }
        Ok(Pending(result))
    }

    /// The rows of the last commit. Cheap; reading them may wait for a disk.
    pub(crate) fn snapshot(&self) -> Arc<dyn Snapshot> {
        // The snapshot is swapped whole, whoever panicked.
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of the newest event that is durable, now and from now on. Snapshots taken after it changed have that event.
    pub(crate) fn last_event(&self) -> watch::Receiver<u64> {
        self.last_event.clone()
    }

    /// The number before the first event of the log. Smaller numbers, but for 0, are another log's.
    pub(crate) const fn log_begins(&self) -> u64 {
        self.log_begins
    }

    /// Runs `read` on a snapshot, on a thread that may wait.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Snapshot) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let snapshot = self.snapshot();
        blocking(move || read(&*snapshot)).await?.inspect_err(|_| self.look_again())
    }

    /// After an error: the medium may be well again, and then the rows are read anew.
    pub(crate) fn look_again(&self) {
        // An empty job. When the store is closed, there is nothing to look at.
        drop(self.begin(|_| Ok(())));
    }

    /// Walks over every row and holds it against the others. Empty when the store is whole.
    ///
    /// # Errors
    /// [`StoreError`], when the medium fails; damage is a finding.
    pub async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        self.read(check::check).await
    }

    /// Copies the store as it is now into a new file, which is a store itself, while others go on writing.
    ///
    /// # Errors
    /// [`CopyError`]: nothing is overwritten.
    pub async fn backup(&self, path: &Path) -> Result<(), CopyError> {
        let (snapshot, path) = (self.snapshot(), path.to_owned());
        blocking(move || copy::backup(&*snapshot, &path)).await?
    }

    /// Shows everything there is, one thing after the other, until `visit` breaks: vigies by name, each with its declarations, state, runs
    /// and dead letters, then the event log.
    ///
    /// # Errors
    /// [`StoreError`], for a row that does not decode among others.
    pub async fn export(&self, visit: impl FnMut(Exported) -> ControlFlow<()> + Send + 'static) -> Result<(), StoreError> {
        self.read(move |rows| export::export(rows, visit)).await
    }

    /// Finishes the jobs that wait, ends the writer, and lets the file go. Later writes fail.
    pub async fn close(&self) {
        if let Some(writer) = self.end() {
            // The writer does not panic; if it did, there is nothing left to finish.
            let _ = blocking(move || writer.join()).await;
        }
    }

    /// Takes no more jobs.
    fn end(&self) -> Option<JoinHandle<()>> {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Store {
    /// Waits for the commit under way, so that whoever opens the store next gets it.
    fn drop(&mut self) {
        if let Some(writer) = self.end() {
            let _ = writer.join();
        }
    }
}

/// A job that the writer has.
pub(crate) struct Pending<T>(oneshot::Receiver<Result<T, StoreError>>);

impl<T> Pending<T> {
    /// What came of the job, as soon as that is durable.
    pub(crate) async fn durable(self) -> Result<T, StoreError> {
        self.0.await.map_err(|_| closed())?
    }
}

fn closed() -> StoreError {
    StoreError("it is closed".to_owned())
}

/// Runs what waits for a disk on tokio's blocking threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    spawn_blocking(work).await.map_err(|error| StoreError(format!("its thread ended: {error}")))
}

/// Commits groups of jobs.
struct Writer {
    engine: Arc<dyn Engine>,
    newest: Newest,
    /// Nothing after a commit that failed: the medium did not say what became of it.
    log: Option<Log>,
    last_event: watch::Sender<u64>,
}

impl Writer {
    fn new(engine: Arc<dyn Engine>) -> Result<Self, StoreError> {
        let rows = engine.snapshot()?;
        let last_event = watch::Sender::new(Log::of(&*rows)?.last);
        Ok(Self { engine, newest: Arc::new(RwLock::new(rows)), log: None, last_event })
    }

    /// Does as many of the jobs as one commit takes, commits, answers. Tells how many that were.
    fn group(&mut self, jobs: impl Iterator<Item = Job>) -> usize {
        let mut replies = Vec::new();
        let committed = self.commit(jobs, &mut replies);
        if committed.is_err() {
            // Readers get what there is now, and with it whatever the commit that failed has left.
            _ = self.show(None);
        }
        let count = replies.len();
        for reply in replies {
            reply(committed.clone());
        }
        count
    }

    fn commit(&mut self, jobs: impl Iterator<Item = Job>, replies: &mut Vec<Reply>) -> Result<(), StoreError> {
        let begun = self.engine.snapshot().and_then(|rows| {
            let log = self.log.take().map_or_else(|| Log::of(&*rows), Ok)?;
            Ok(Transaction::new(rows, log))
        });
        let mut transaction = match begun {
            Ok(transaction) => transaction,
            Err(error) => {
                replies.extend(jobs.map(|job| job(Err(&error))));
                return Err(error);
            }
        };
        for job in jobs.take(GROUP) {
            replies.push(job(Ok(&mut transaction)));
            if transaction.bytes() >= GROUP_BYTES {
                break;
            }
        }
        let log = transaction.commit(&*self.engine)?;
        self.log = Some(log);
        if let Err(error) = self.show(Some(log)) {
            // What is committed is committed. Readers see it, and hear of its events, after the next commit.
            tracing::error!(%error, "could not read what was committed");
        }
        Ok(())
    }

    /// Shows readers the rows as they are now, whose log ends there, if that is known.
    fn show(&mut self, log: Option<Log>) -> Result<(), StoreError> {
        let rows = self.engine.snapshot()?;
        let log = log.map_or_else(|| Log::of(&*rows), Ok)?;
        // The snapshot is swapped whole, whoever panicked.
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = rows;
        self.last_event.send_if_modified(|last| std::mem::replace(last, log.last) != log.last);
        Ok(())
    }
}
