//! The runtime that an application holds.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use vigy_core::{Incarnation, Selector, Timestamp, Vigy, VigyId};

use crate::keeper::{Keeper, Message};
use crate::space::Spaces;
use crate::store::engine::Engine;
use crate::store::{NewVigy, Registration, Retention, Store, VigyRow, delete, id_of, read, register, set_enabled};
use crate::view::{Event, Registered, Run, State};
use crate::{Evaluators, HostEffects, Loaded, LogEffects, Native, OpenError, RegisterError, StoreError, VigyError};

/// Events that a slow subscriber may be behind before it loses some (and is told so): 1,024.
const EVENTS: usize = 1024;

/// Vigies that tick at the same time unless told otherwise: 256.
const TICKS_AT_ONCE: usize = 256;

type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;
type Mint = Arc<dyn Fn() -> Result<Incarnation, getrandom::Error> + Send + Sync>;

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
    retention: Retention,
}

impl Builder {
    /// Who answers questions and carries out actions. Default: [`LogEffects`].
    pub fn effects(mut self, effects: Arc<dyn HostEffects>) -> Self {
        self.effects = effects;
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

    /// How much history a vigy keeps: its last `runs` runs, and of those as many as `bytes` bytes of records, outcomes and values hold.
    /// The last run always stays. Default: 1,000 runs, 64 MiB.
    pub fn retain(mut self, runs: u64, bytes: u64) -> Self {
        self.retention = Retention { runs: runs.max(1), bytes, ..self.retention };
        self
    }

    /// Opens the store at `path`, creating it and its directories when absent, and lets its vigies tick.
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
        let shared = Arc::new(Shared {
            store,
            effects: self.effects,
            evaluators: self.evaluators,
            now: self.now,
            mint: self.mint,
            spaces: Spaces::new(self.ticks_at_once),
            events: broadcast::Sender::new(EVENTS),
            retention: self.retention,
            scheduling: self.scheduling,
        });
        let runtime = RuntimeHandle { shared, keepers: Arc::default(), stop: watch::Sender::new(false) };
        if self.scheduling {
            let enabled = runtime.shared.store.read(read::enabled).await?;
            for id in enabled {
                runtime.wake(id).await.map_err(|error| StoreError(error.to_string()))?;
            }
        }
        Ok(runtime)
    }
}

/// What the runtime and its keepers share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) effects: Arc<dyn HostEffects>,
    evaluators: Arc<dyn Evaluators>,
    now: Now,
    mint: Mint,
    pub(crate) spaces: Spaces,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) retention: Retention,
    pub(crate) scheduling: bool,
}

impl Shared {
    /// A vigy's program, ready to run on this host.
    pub(crate) fn load(&self, vigy: &Vigy) -> Result<Arc<dyn Loaded>, RegisterError> {
        self.evaluators.load(vigy, self.effects.operations())
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    fn tell(&self, event: Event) {
        // Nobody may listen.
        let _ = self.events.send(event);
    }
}

/// Makes the event of a change.
type Change = fn(Registered) -> Event;

/// A keeper's mailbox and task.
struct Kept {
    mailbox: mpsc::UnboundedSender<Message>,
    task: JoinHandle<()>,
    /// The life it keeps.
    incarnation: Incarnation,
    /// Version of the newest row it was told of.
    version: u64,
}

impl Kept {
    /// Whether it still keeps this life of its vigy.
    fn keeps(&self, incarnation: Incarnation) -> bool {
        self.incarnation == incarnation && !self.mailbox.is_closed()
    }
}

/// Vigies that tick for as long as the application runs. Cheap to clone; all clones are one runtime.
///
/// Its methods do what they say durably: when one returns, a crash cannot undo it.
#[derive(Clone)]
pub struct RuntimeHandle {
    shared: Arc<Shared>,
    keepers: Arc<Mutex<HashMap<VigyId, Kept>>>,
    stop: watch::Sender<bool>,
}

impl RuntimeHandle {
    /// Opens the store at `path` with the default settings.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Self::builder().open(path).await
    }

    /// Settings, to be changed before opening.
    pub fn builder() -> Builder {
        Builder {
            effects: Arc::new(LogEffects),
            evaluators: Arc::new(Native),
            now: Arc::new(wall_clock),
            mint: Arc::new(random_incarnation),
            lock_wait: Duration::ZERO,
            scheduling: true,
            ticks_at_once: TICKS_AT_ONCE,
            retention: Retention::default(),
        }
    }

    /// Registers a vigy, or changes the one of that name: then id, kv, history, `created_at` and the enabled state stay, and the
    /// revision goes up. An identical declaration changes nothing. A new vigy that is enabled ticks at once.
    ///
    /// # Errors
    /// [`RegisterError`]; then nothing was stored.
    pub async fn register_or_update(&self, vigy: Vigy) -> Result<Registered, RegisterError> {
        self.declare(vigy, false).await
    }

    /// Changes the vigy of that name, as [`RuntimeHandle::register_or_update`] does, but never registers one.
    ///
    /// # Errors
    /// [`RegisterError`], [`RegisterError::NotFound`] among them; then nothing was stored.
    pub async fn update(&self, vigy: Vigy) -> Result<Registered, RegisterError> {
        self.declare(vigy, true).await
    }

    async fn declare(&self, vigy: Vigy, must_exist: bool) -> Result<Registered, RegisterError> {
        let name = vigy.name.to_string();
        let loaded = self.shared.load(&vigy)?;
        self.shared.effects.check(&vigy, &loaded.operations()).map_err(RegisterError::Refused)?;
        let id = id_of(vigy.name.as_str());
        let no_life = |error| RegisterError::Refused(format!("the system gives no randomness: {error}"));
        let new =
            NewVigy { id, incarnation: (self.shared.mint)().map_err(no_life)?, image: loaded.hash(), now: self.shared.now(), must_exist };
        let registration = self.shared.store.write(move |transaction| register(transaction, vigy, &new)).await?;
        let (row, change) = match registration {
            Registration::New(row) => (row, Some(Event::Registered as Change)),
            Registration::Updated(row) => (row, Some(Event::Updated as Change)),
            Registration::Unchanged(row) => (row, None),
            Registration::Collision(other) => return Err(RegisterError::Collision(other)),
            Registration::Missing => return Err(RegisterError::NotFound(name)),
        };
        Ok(self.changed(id, row, change).await?)
    }

    /// Whom a reference means: an id, a name, or the only vigy whose id or name begins with it.
    ///
    /// # Errors
    /// [`VigyError::NotFound`], [`VigyError::Ambiguous`].
    pub async fn resolve(&self, reference: &str) -> Result<VigyId, VigyError> {
        let reference = reference.to_owned();
        self.shared.store.read(move |snapshot| read::resolve(snapshot, &reference)).await?
    }

    /// A vigy as it stands.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    pub async fn get(&self, id: VigyId) -> Result<Registered, VigyError> {
        let found = self.shared.store.read(move |snapshot| read::get(snapshot, id)).await?;
        found.ok_or_else(|| VigyError::NotFound(id.to_string()))
    }

    /// The vigies that a selector means, by name.
    ///
    /// # Errors
    /// [`VigyError::Store`].
    pub async fn list(&self, selector: &Selector) -> Result<Vec<Registered>, VigyError> {
        let selector = selector.clone();
        Ok(self.shared.store.read(move |snapshot| read::list(snapshot, &selector)).await?)
    }

    /// Lets a vigy tick on its own again, at its next deadline.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    pub async fn enable(&self, id: VigyId) -> Result<Registered, VigyError> {
        self.set_enabled(id, true).await
    }

    /// Stops a vigy from ticking on its own. A tick in flight ends as it would have.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    pub async fn disable(&self, id: VigyId) -> Result<Registered, VigyError> {
        self.set_enabled(id, false).await
    }

    async fn set_enabled(&self, id: VigyId, enabled: bool) -> Result<Registered, VigyError> {
        let now = self.shared.now();
        let found = self.shared.store.write(move |transaction| set_enabled(transaction, id, enabled, now)).await?;
        let (row, changed) = found.ok_or_else(|| VigyError::NotFound(id.to_string()))?;
        let change: Change = if enabled { Event::Enabled } else { Event::Disabled };
        Ok(self.changed(id, row, changed.then_some(change)).await?)
    }

    /// Removes a vigy with its kv, history and state. A tick in flight is given up.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    pub async fn delete(&self, id: VigyId) -> Result<(), VigyError> {
        let registered = self.get(id).await?;
        let now = self.shared.now();
        let found = self.shared.store.write(move |transaction| delete(transaction, id, now)).await?;
        let incarnation = found.ok_or_else(|| VigyError::NotFound(id.to_string()))?.incarnation;
        let mut keepers = self.keepers();
        if let Some(kept) = keepers.get(&id).filter(|kept| kept.keeps(incarnation)) {
            kept.task.abort();
            keepers.remove(&id);
        }
        drop(keepers);
        self.shared.tell(Event::Deleted(registered));
        Ok(())
    }

    /// Ticks a vigy now, enabled or not, after the tick in flight if there is one, and returns when every action has its outcome.
    ///
    /// # Errors
    /// [`VigyError`]. A run that failed is not an error: its [`Run::result`] says so.
    pub async fn tick_now(&self, id: VigyId) -> Result<Run, VigyError> {
        let (reply, run) = oneshot::channel();
        let mailbox = self.wake(id).await?;
        mailbox.send(Message::Tick(reply)).map_err(|_| VigyError::ShuttingDown)?;
        run.await.map_err(|_| VigyError::ShuttingDown)?
    }

    /// The newest runs of a vigy, newest first.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    pub async fn recent_runs(&self, id: VigyId, limit: usize) -> Result<Vec<Run>, VigyError> {
        self.get(id).await?;
        Ok(self.shared.store.read(move |snapshot| read::runs(snapshot, id, limit)).await?)
    }

    /// What is known of a vigy's work: kv, desired and observed state, conditions, metrics, pending actions.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    pub async fn state(&self, id: VigyId) -> Result<State, VigyError> {
        self.get(id).await?;
        let now = self.shared.now();
        Ok(self.shared.store.read(move |snapshot| read::state(snapshot, id, now)).await?)
    }

    /// What happens from now on. A subscriber that is more than 1,024 events behind loses the oldest, and is told how many.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Ends the ticks in flight, waiting for their outcomes until `deadline` has passed, and closes the store. What could not be
    /// settled is carried out, under its old keys, when the store is opened next.
    pub async fn shutdown(&self, deadline: Duration) {
        self.stop.send_replace(true);
        let kept: Vec<_> = self.keepers().drain().map(|(_, kept)| kept.task).collect();
        let aborts: Vec<_> = kept.iter().map(JoinHandle::abort_handle).collect();
        let all = async {
            for task in kept {
                // A keeper that panicked has ended, too.
                let _ = task.await;
            }
        };
        if tokio::time::timeout(deadline, all).await.is_err() {
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
        }
        self.shared.store.close().await;
    }

    fn keepers(&self) -> std::sync::MutexGuard<'_, HashMap<VigyId, Kept>> {
        // The map is whole whoever panicked.
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mailbox of a vigy's keeper, who is woken if there is none yet.
    async fn wake(&self, id: VigyId) -> Result<mpsc::UnboundedSender<Message>, VigyError> {
        let registered = self.get(id).await?;
        if *self.stop.borrow() {
            return Err(VigyError::ShuttingDown);
        }
        Ok(self.keep(&registered, 0))
    }

    /// The vigy of a row that was just written; if that changed something, its keeper and the subscribers are told.
    async fn changed(&self, id: VigyId, row: VigyRow, change: Option<Change>) -> Result<Registered, StoreError> {
        let version = row.version;
        let checkpoint = self.shared.store.read(move |snapshot| read::checkpoint(snapshot, id)).await?;
        let registered = read::registered(id, row, checkpoint);
        if let Some(event) = change {
            self.tell_keeper(&registered, version);
            self.shared.tell(event(registered.clone()));
        }
        Ok(registered)
    }

    /// Tells a vigy's keeper of a changed row.
    fn tell_keeper(&self, registered: &Registered, version: u64) {
        let mut keepers = self.keepers();
        match keepers.get_mut(&registered.id).filter(|kept| kept.keeps(registered.checkpoint.incarnation)) {
            // Two changes may arrive in the other order than they were made.
            Some(kept) if kept.version < version => {
                kept.version = version;
                // A keeper that stopped meanwhile needs no news.
                let _ = kept.mailbox.send(Message::Changed(Box::new(registered.clone())));
            }
            Some(_) => {}
            None if self.shared.scheduling && !*self.stop.borrow() => {
                drop(keepers);
                self.keep(registered, version);
            }
            None => {}
        }
    }

    /// The mailbox of the keeper of this life of a vigy, who is made if there is none.
    fn keep(&self, registered: &Registered, version: u64) -> mpsc::UnboundedSender<Message> {
        let (id, incarnation) = (registered.id, registered.checkpoint.incarnation);
        let mut keepers = self.keepers();
        if let Some(kept) = keepers.get(&id).filter(|kept| kept.keeps(incarnation)) {
            return kept.mailbox.clone();
        }
        let (mailbox, messages) = mpsc::unbounded_channel();
        let keeper = Keeper::new(self.shared.clone(), messages, self.stop.subscribe(), registered.clone());
        let kept = Kept { mailbox: mailbox.clone(), task: tokio::spawn(keeper.run()), incarnation, version };
        // A keeper of an earlier life ends by itself: the store tells it that its life is over.
        keepers.insert(id, kept);
        mailbox
    }
}
