//! The settings of a runtime.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use vigy_core::{Incarnation, SecretKey, Timestamp};

use crate::extension::extended;
use crate::keeper::Keeper;
use crate::programs::{Declarations, Programs};
use crate::reconciler::Reconcilers;
use crate::runtime::{RuntimeHandle, Shared};
use crate::space::Spaces;
use crate::store::engine::Engine;
use crate::store::{Retention, Store, read, take_up};
use crate::worker::Workers;
use crate::{Evaluators, Executor, HostEffects, HostExtension, LogEffects, Native, Observer, OpenError, Reconciler, StoreError};

/// Vigies that tick at the same time unless told otherwise: 256.
const TICKS_AT_ONCE: usize = 256;

pub(crate) type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;
pub(crate) type Mint = Arc<dyn Fn() -> Result<Incarnation, getrandom::Error> + Send + Sync>;

/// The time now, by the wall clock.
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A life that no vigy had before.
fn random_incarnation() -> Result<Incarnation, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(Incarnation(u64::from_le_bytes(bytes)))
}

/// Settings of a runtime, made by [`RuntimeHandle::builder`].
#[must_use]
pub struct Builder {
    effects: Arc<dyn HostEffects>,
    evaluators: Arc<dyn Evaluators>,
    now: Now,
    mint: Mint,
    lock_wait: Duration,
    scheduling: bool,
    ticks_at_once: usize,
    workers: Option<usize>,
    host: Option<String>,
    extensions: Vec<Arc<dyn HostExtension>>,
    executors: Vec<(String, Arc<dyn Executor>)>,
    reconcilers: Reconcilers,
    observer: Option<Arc<dyn Observer>>,
    retention: Retention,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            effects: Arc::new(LogEffects),
            evaluators: Arc::new(Native),
            now: Arc::new(wall_clock),
            mint: Arc::new(random_incarnation),
            lock_wait: Duration::ZERO,
            scheduling: true,
            ticks_at_once: TICKS_AT_ONCE,
            workers: None,
            host: None,
            extensions: Vec::new(),
            executors: Vec::new(),
            reconcilers: Reconcilers::default(),
            observer: None,
            retention: Retention::default(),
        }
    }
}

impl Builder {
    /// Who answers questions and carries out actions. It works on the threads of the application. Default: [`LogEffects`].
    pub fn effects(mut self, effects: Arc<dyn HostEffects>) -> Self {
        self.effects = effects;
        self
    }

    /// Adds operations that programs may call. Default: those of [`Builder::effects`] alone.
    pub fn extension(mut self, extension: Arc<dyn HostExtension>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Adds who carries out the actions of vigies whose handler is `name`, or begins with it and a colon.
    pub fn executor(mut self, name: impl Into<String>, executor: Arc<dyn Executor>) -> Self {
        self.executors.push((name.into(), executor));
        self
    }

    /// Gives a vigy of [`RuntimeHandle::register_reconciler`] its reconciler, before anything ticks.
    pub fn reconciler(self, name: &str, reconciler: impl Reconciler) -> Self {
        self.reconcilers.give(name, Arc::new(reconciler));
        self
    }

    /// Who evaluates programs. Default: [`Native`].
    pub fn evaluators(mut self, evaluators: Arc<dyn Evaluators>) -> Self {
        self.evaluators = evaluators;
        self
    }

    /// What tells the time. It is all the time that vigies know: when a tick begins and is due, and what its record says. Timers stay
    /// tokio's, so a clock that runs at another speed wants [`Builder::scheduling`] off. Default: the wall clock.
    pub fn clock(mut self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.now = Arc::new(now);
        self
    }

    /// What gives a newly registered vigy its life. MUST NOT give one twice: the keys of writes and actions are made of it. Default: the
    /// system's randomness.
    pub fn incarnations(mut self, mint: impl Fn() -> Incarnation + Send + Sync + 'static) -> Self {
        self.mint = Arc::new(move || Ok(mint()));
        self
    }

    /// How long to wait for a store that another process has. Default: not at all.
    pub const fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Whether vigies tick on their own (default), or only by [`RuntimeHandle::tick_now`]: what a short command wants.
    pub const fn scheduling(mut self, on: bool) -> Self {
        self.scheduling = on;
        self
    }

    /// How many vigies tick at the same time; the others wait. Each takes the memory of its limits. Default: 256.
    pub fn ticks_at_once(mut self, count: usize) -> Self {
        self.ticks_at_once = count.max(1);
        self
    }

    /// How many threads evaluate programs; with 0 the application's own do, which then also wait for the store's disk. Default: as many
    /// as the machine has cores.
    pub const fn workers(mut self, threads: usize) -> Self {
        self.workers = Some(threads);
        self
    }

    /// The name of this host. A vigy that is labelled `host=NAME` ticks on the host of that name, and a vigy without such a label on any.
    /// Default: none, and every vigy ticks, whatever its labels are.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.host = Some(name.into());
        self
    }

    /// Who hears of every tick. Default: nobody.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// How much history a vigy keeps: its last `runs` runs, and of those as many as `bytes` bytes of records, outcomes and values hold.
    /// The last run always stays. Default: 1,000 runs, 64 MiB.
    pub fn retain(mut self, runs: u64, bytes: u64) -> Self {
        self.retention = Retention { runs: runs.max(1), bytes, ..self.retention };
        self
    }

    /// How long a vigy keeps a run, whatever else [`Builder::retain`] says: older ones go when it ticks. The last run always stays.
    /// Default: without limit.
    pub fn retain_for(mut self, age: Duration) -> Self {
        self.retention.age_ms = Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Opens the store at `path`, creating it and its directories when absent, and lets its vigies tick. The tokio runtime that it is
    /// called on carries out effects; any kind will do.
    ///
    /// # Errors
    /// [`OpenError`]; then the file is as it was.
    pub async fn open(self, path: &Path) -> Result<RuntimeHandle, OpenError> {
        let store = Store::open(path, self.lock_wait).await?;
        self.start(store).await
    }

    /// A runtime whose store is in memory and gone with it.
    ///
    /// # Errors
    /// [`OpenError`], when there is no memory for it.
    pub async fn in_memory(self) -> Result<RuntimeHandle, OpenError> {
        let store = Store::in_memory()?;
        self.start(store).await
    }

    /// A runtime whose store is kept by an engine of the application's: see [`crate::store::engine`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn over(self, engine: Arc<dyn Engine>) -> Result<RuntimeHandle, OpenError> {
        let store = Store::over(engine)?;
        self.start(store).await
    }

    async fn start(self, store: Store) -> Result<RuntimeHandle, OpenError> {
        let application = Handle::current();
        let threads = self.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let workers = Workers::new(threads, &application);
        let workers = workers.map_err(|error| StoreError(format!("its host has no threads to tick on: {error}")))?;
        let secret = SecretKey(read::secret(&*store.snapshot())?);
        let shared = Arc::new(Shared {
            store,
            effects: extended(self.effects, self.extensions, self.executors),
            evaluators: self.evaluators,
            programs: Programs::default(),
            declarations: Declarations::default(),
            reconcilers: self.reconcilers,
            now: self.now,
            mint: self.mint,
            spaces: Spaces::default(),
            secret,
            application,
            host: self.host,
            observer: self.observer,
            retention: self.retention,
            ticks_at_once: self.ticks_at_once,
            scheduling: self.scheduling,
        });
        let keeper = Keeper::new(shared.clone(), workers);
        if self.scheduling {
            let now = shared.now();
            keeper.told(shared.store.write(move |transaction| take_up(transaction, now)).await?);
        }
        Ok(RuntimeHandle::new(shared, keeper))
    }
}
