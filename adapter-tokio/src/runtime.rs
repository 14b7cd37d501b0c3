//! The runtime that an application holds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use vigy_core::{ActionKey, Outcome, ReconcileAction, RunKey, Schedule, SecretKey, Selector, Timestamp, Vigy, VigyId};

use crate::builder::{Builder, Mint, Now};
use crate::keeper::Keeper;
use crate::programs::{Declarations, Programs};
use crate::reconciler::{PROGRAM, Reconciler, Reconcilers};
use crate::space::Spaces;
use crate::store::{DeadLetter, NewVigy, Registration, Retention, Store};
use crate::store::{delete, discard, id_of, read, register, rollback, set_enabled};
use crate::tick::on_application;
use crate::view::{Registered, Revision, Run, State};
use crate::{Calendar, Evaluators, Events, HostEffects, Loaded, Observer, OpenError, RegisterError, StoreError, VigyError};

/// The label that says on which host a vigy ticks.
const HOST_LABEL: &str = "host";

/// What the runtime and its ticks share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) effects: Arc<dyn HostEffects>,
    pub(crate) evaluators: Arc<dyn Evaluators>,
    pub(crate) programs: Programs,
    pub(crate) declarations: Declarations,
    pub(crate) reconcilers: Reconcilers,
    pub(crate) now: Now,
    pub(crate) mint: Mint,
    pub(crate) spaces: Spaces,
    /// What secret answers are hashed under.
    pub(crate) secret: SecretKey,
    /// Where effects are carried out.
    pub(crate) application: Handle,
    pub(crate) host: Option<String>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) retention: Retention,
    pub(crate) ticks_at_once: usize,
    pub(crate) scheduling: bool,
}

impl Shared {
    /// A vigy's program, ready to run on this host. `image` names it, unless an earlier version of the runtime stored it.
    pub(crate) fn program(&self, vigy: &Vigy, image: Option<&[u8; 32]>) -> Result<Arc<dyn Loaded>, VigyError> {
        let text = || *blake3::hash(vigy.program.as_bytes()).as_bytes();
        let loaded = if vigy.program == PROGRAM {
            self.reconcilers.load(vigy)
        } else {
            self.programs.get(&image.copied().unwrap_or_else(text), || self.load(vigy))
        };
        loaded.map_err(|error| VigyError::Host(format!("the stored program cannot be loaded any more: {error}")))
    }

    /// Makes a vigy's program ready to run, or its reconciler.
    fn load(&self, vigy: &Vigy) -> Result<Arc<dyn Loaded>, RegisterError> {
        if vigy.program == PROGRAM { self.reconcilers.load(vigy) } else { self.evaluators.load(vigy, self.effects.operations()) }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// The host that a vigy is for, if that is another one.
    pub(crate) fn elsewhere<'v>(&self, vigy: &'v Vigy) -> Option<&'v str> {
        let here = self.host.as_deref()?;
        vigy.labels.get(HOST_LABEL).filter(|host| *host != here)
    }
}

/// Stops the runtime when its last handle is dropped.
struct Stop(Arc<Keeper>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Vigies that tick for as long as the application runs. Cheap to clone; all clones are one runtime.
///
/// Its methods do what they say durably: when one returns, a crash cannot undo it.
#[derive(Clone)]
pub struct RuntimeHandle {
    pub(crate) shared: Arc<Shared>,
    keeper: Arc<Stop>,
}

impl RuntimeHandle {
    pub(crate) fn new(shared: Arc<Shared>, keeper: Arc<Keeper>) -> Self {
        Self { shared, keeper: Arc::new(Stop(keeper)) }
    }

    /// Opens the store at `path` with the default settings.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Self::builder().open(path).await
    }

    /// Settings, to be changed before opening.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Registers a vigy, or changes the one of that name: then id, kv, history, `created_at` and the enabled state stay, and the
    /// revision goes up. An identical declaration changes nothing. A new vigy that is enabled ticks when its schedule says so.
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

    /// Registers a vigy that a reconciler ticks, in place of a program, or gives the one of that name this reconciler.
    ///
    /// The store keeps the vigy, but not the reconciler: an application gives it again each time it starts. Until then a stored one does
    /// not tick, and the host's log says so; [`Builder::reconciler`] gives it before anything ticks.
    ///
    /// # Errors
    /// [`RegisterError`]; then nothing was stored.
    pub async fn register_reconciler(
        &self,
        name: &str,
        schedule: impl Into<Schedule>,
        reconciler: impl Reconciler,
    ) -> Result<Registered, RegisterError> {
        let vigy = Vigy::new(name, PROGRAM, schedule)?;
        self.shared.reconcilers.give(name, Arc::new(reconciler));
        let registered = self.declare(vigy, false).await?;
        self.keeper.0.retry(registered.id);
        Ok(registered)
    }

    async fn declare(&self, vigy: Vigy, must_exist: bool) -> Result<Registered, RegisterError> {
        let name = vigy.name.to_string();
        let image = self.check(&vigy)?;
        let id = id_of(vigy.name.as_str());
        let no_life = |error| RegisterError::Refused(format!("the system gives no randomness: {error}"));
        let new = NewVigy { id, incarnation: (self.shared.mint)().map_err(no_life)?, image, now: self.shared.now(), must_exist };
        match self.shared.store.write(move |transaction| register(transaction, vigy, &new)).await? {
            Registration::Done => {}
            Registration::Collision(other) => return Err(RegisterError::Collision(other)),
            Registration::Missing => return Err(RegisterError::NotFound(name)),
        }
        self.changed(id)?.ok_or(RegisterError::NotFound(name))
    }

    /// Whether this host takes a declaration, and what names its program.
    fn check(&self, vigy: &Vigy) -> Result<[u8; 32], RegisterError> {
        if let Schedule::Cron(text) = &vigy.schedule {
            text.as_str().parse::<Calendar>().map_err(|error| RegisterError::Refused(error.to_string()))?;
        }
        let loaded = self.shared.load(vigy)?;
        self.shared.effects.check(vigy, &loaded.operations()).map_err(RegisterError::Refused)?;
        Ok(loaded.hash())
    }

    /// A vigy as it stands, which has just been changed: the keeper hears of it.
    fn changed(&self, id: VigyId) -> Result<Option<Registered>, StoreError> {
        let rows = self.shared.store.snapshot();
        let standing = read::standing(&*rows, id)?;
        self.keeper.0.told(standing.map(|standing| (id, standing.turn())));
        read::get(&*rows, id)
    }

    /// Whom a reference means: an id, a name, or the only vigy whose id or name begins with it.
    ///
    /// # Errors
    /// [`VigyError::NotFound`], [`VigyError::Ambiguous`].
    pub async fn resolve(&self, reference: &str) -> Result<VigyId, VigyError> {
        let reference = reference.to_owned();
        self.shared.store.read(move |rows| read::resolve(rows, &reference)).await?
    }

    /// A vigy as it stands.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    pub async fn get(&self, id: VigyId) -> Result<Registered, VigyError> {
        let found = self.shared.store.read(move |rows| read::get(rows, id)).await?;
        found.ok_or_else(|| VigyError::NotFound(id.to_string()))
    }

    /// The vigies that a selector means, by name.
    ///
    /// # Errors
    /// [`VigyError::Store`].
    pub async fn list(&self, selector: &Selector) -> Result<Vec<Registered>, VigyError> {
        let selector = selector.clone();
        Ok(self.shared.store.read(move |rows| read::list(rows, &selector)).await?)
    }

    /// The host that a vigy is for, when that is another one than [`Builder::host`] says: then it does not tick here.
    #[must_use]
    pub fn elsewhere<'v>(&self, vigy: &'v Vigy) -> Option<&'v str> {
        self.shared.elsewhere(vigy)
    }

    /// Lets a vigy tick on its own again: first at once, then as its schedule says. One that was parked is not any more.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    #[doc(alias = "resume")]
    pub async fn enable(&self, id: VigyId) -> Result<Registered, VigyError> {
        self.set_enabled(id, true).await
    }

    /// Stops a vigy from ticking on its own. A tick in flight ends as it would have.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    #[doc(alias = "pause")]
    pub async fn disable(&self, id: VigyId) -> Result<Registered, VigyError> {
        self.set_enabled(id, false).await
    }

    async fn set_enabled(&self, id: VigyId, enabled: bool) -> Result<Registered, VigyError> {
        let now = self.shared.now();
        self.shared.store.write(move |transaction| set_enabled(transaction, id, enabled, now)).await?;
        self.changed(id)?.ok_or_else(|| VigyError::NotFound(id.to_string()))
    }

    /// Removes a vigy with its kv, history and state. A tick in flight is given up.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    pub async fn delete(&self, id: VigyId) -> Result<(), VigyError> {
        let now = self.shared.now();
        let found = self.shared.store.write(move |transaction| delete(transaction, id, now)).await?;
        let row = found.ok_or_else(|| VigyError::NotFound(id.to_string()))?;
        self.keeper.0.forget(id, row.incarnation);
        Ok(())
    }

    /// Ticks a vigy now, after the tick in flight if there is one, and returns when every action has its outcome.
    ///
    /// # Errors
    /// [`VigyError`], [`VigyError::Paused`] among them. A run that failed is not an error: its [`Run::result`] says so.
    pub async fn tick_now(&self, id: VigyId) -> Result<Run, VigyError> {
        self.tick_if(id, |enabled| if enabled { Ok(()) } else { Err(VigyError::Paused(id)) }).await
    }

    /// Ticks a vigy now, as [`RuntimeHandle::tick_now`] does, also one that is disabled.
    ///
    /// # Errors
    /// [`VigyError`].
    pub async fn force_tick(&self, id: VigyId) -> Result<Run, VigyError> {
        self.tick_if(id, |_| Ok(())).await
    }

    async fn tick_if(&self, id: VigyId, check: impl FnOnce(bool) -> Result<(), VigyError>) -> Result<Run, VigyError> {
        let not_found = || VigyError::NotFound(id.to_string());
        let standing = read::standing(&*self.shared.store.snapshot(), id)?.ok_or_else(not_found)?;
        check(standing.enabled)?;
        let run = self.keeper.0.ask(id, standing.turn()).await?;
        self.run(id, run).await?.ok_or_else(not_found)
    }

    /// A run, as far as it is kept.
    ///
    /// # Errors
    /// [`VigyError::Store`].
    pub async fn run(&self, id: VigyId, run: RunKey) -> Result<Option<Run>, VigyError> {
        Ok(self.shared.store.read(move |rows| read::run(rows, id, run)).await?)
    }

    /// The newest runs of a vigy, newest first.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    pub async fn recent_runs(&self, id: VigyId, limit: usize) -> Result<Vec<Run>, VigyError> {
        self.get(id).await?;
        Ok(self.shared.store.read(move |rows| read::runs(rows, id, limit)).await?)
    }

    /// What is known of a vigy's work: kv, desired and observed state, conditions, metrics, pending actions.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    pub async fn state(&self, id: VigyId) -> Result<State, VigyError> {
        self.get(id).await?;
        let now = self.shared.now();
        Ok(self.shared.store.read(move |rows| read::state(rows, id, now)).await?)
    }

    /// Every declaration of a vigy, the newest first.
    ///
    /// # Errors
    /// [`VigyError::NotFound`].
    pub async fn revisions(&self, id: VigyId) -> Result<Vec<Revision>, VigyError> {
        let found = self.shared.store.read(move |rows| read::revisions(rows, id)).await?;
        if found.is_empty() {
            return Err(VigyError::NotFound(id.to_string()));
        }
        Ok(found
            .into_iter()
            .map(|(number, row)| Revision { number, declared_at: row.declared_at, image: row.image, vigy: row.vigy })
            .collect())
    }

    /// Declares a vigy as its revision `number` did, which makes a new revision. Id, kv, history and the enabled state stay.
    ///
    /// # Errors
    /// [`RegisterError`]: this host may not take any more what it took then; [`RegisterError::NotFound`] without such a vigy or revision.
    pub async fn rollback(&self, id: VigyId, number: u64) -> Result<Registered, RegisterError> {
        let not_found = || RegisterError::NotFound(format!("{id}, revision {number}"));
        let old = self.shared.store.read(move |rows| read::revision(rows, id, number)).await?.ok_or_else(not_found)?;
        self.check(&old.vigy)?;
        let now = self.shared.now();
        self.shared.store.write(move |transaction| rollback(transaction, id, number, now)).await?.ok_or_else(not_found)?;
        self.changed(id)?.ok_or_else(not_found)
    }

    /// The actions that failed for good, oldest first: of one vigy, or of all.
    ///
    /// # Errors
    /// [`VigyError::Store`].
    pub async fn dead_letters(&self, of: Option<VigyId>) -> Result<Vec<(VigyId, DeadLetter)>, VigyError> {
        Ok(self.shared.store.read(move |rows| read::dead_letters(rows, of)).await?)
    }

    /// Tries an action that failed for good once more, under its old key. When it succeeds, it is no dead letter any more.
    ///
    /// # Errors
    /// [`VigyError::NotFound`], [`VigyError::Store`]. That it failed again is no error: the outcome says so.
    pub async fn redrive(&self, id: VigyId, key: ActionKey) -> Result<Outcome, VigyError> {
        let vigy = self.get(id).await?.vigy;
        let letters = self.dead_letters(Some(id)).await?;
        let letter = letters.into_iter().map(|(_, letter)| letter).find(|letter| letter.key == key);
        let letter = letter.ok_or_else(|| VigyError::NotFound(key.to_string()))?;
        let effects = self.shared.effects.clone();
        let acted = on_application(&self.shared.application, async move {
            effects.act(&vigy, ReconcileAction { key, kind: letter.kind, payload: letter.payload.as_deref(), message: None }).await
        });
        let outcome = acted.await.unwrap_or_else(|panic| Outcome::refused(&format!("the host panicked: {panic}")));
        if outcome.status == vigy_core::ResultStatus::Ok {
            self.discard(id, key).await?;
        }
        Ok(outcome)
    }

    /// Discards an action that failed for good.
    ///
    /// # Errors
    /// [`VigyError::NotFound`], [`VigyError::Store`].
    pub async fn discard(&self, id: VigyId, key: ActionKey) -> Result<(), VigyError> {
        let found = self.shared.store.write(move |transaction| discard(transaction, id, key.run.tick, key.index)).await?;
        if found { Ok(()) } else { Err(VigyError::NotFound(key.to_string())) }
    }

    /// What happened after the event `cursor`, and then whatever happens; without a cursor, what happens from now on. The log is in the
    /// store: a reader that comes back with the number of the last event it has seen misses nothing that is kept, and is told what is not,
    /// or that the number is another log's.
    #[must_use]
    pub fn events(&self, cursor: Option<u64>) -> Events {
        let cursor = cursor.unwrap_or_else(|| *self.shared.store.last_event().borrow());
        Events::new(self.shared.clone(), cursor)
    }

    /// The store, to look after it: [`Store::check`], [`Store::backup`], [`Store::export`], while vigies go on ticking.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Ends the ticks in flight, waiting for their outcomes until `deadline` has passed, and closes the store. Tells whose ticks were
    /// left: what they could not settle is carried out, under its old keys, when the store is opened next.
    pub async fn shutdown(&self, deadline: Duration) -> Vec<VigyId> {
        let left = self.keeper.0.drain(deadline).await;
        self.shared.store.close().await;
        left
    }
}
