//! One tick of one vigy: what it needs is read, and everything that comes of it is written.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::Instrument as _;
use vigy_core::record::Place;
use vigy_core::{
    ActionKey, ActionKind, Ask, AskError, AsyncClock, AsyncEffects, AsyncStorage, Batch, Door, Draft, Evaluator, Failure, Host, HostError,
    Incarnation, Outcome, Piece, ReconcileAction, RunKey, SecretKey, Settlement, Spec, Step, Timestamp, Unfinished, Vigy, VigyId,
};
use vigy_lisp::HostFn;

use crate::agenda::Turn;
use crate::calendar::plan;
use crate::runtime::Shared;
use crate::space::Memory;
use crate::store::{Committed, Pending, Saved, Settles, read};
use crate::{Ticked, VigyError};

/// How a tick ended for the agenda.
pub(crate) enum Ended {
    /// It is over, and the vigy stands like this now.
    Over(RunKey, Turn),
    /// There was none to make: the vigy is not due. It stands like this.
    Early(Turn),
    /// This life of the vigy is over.
    Gone,
    /// The vigy is for another host.
    Elsewhere(String),
}

/// The most bytes of a batch that waits for the disk without a seat: 64 KiB. The memory of a tick is then somebody else's already.
const LIGHT_BATCH: usize = 64 << 10;

/// Ticks a vigy that is in the life `life`, because it is due or because somebody `asked`. Tells when its memory is free again, which may
/// be before all is durable.
pub(crate) async fn tick(
    shared: &Arc<Shared>,
    id: VigyId,
    life: Incarnation,
    asked: bool,
    free: impl FnOnce(),
) -> Result<Ended, VigyError> {
    let rows = shared.store.snapshot();
    let Some(standing) = read::standing(&*rows, id)?.filter(|standing| standing.checkpoint.incarnation == life) else {
        return Ok(Ended::Gone);
    };
    let now = shared.now();
    let early = standing.turn().due.is_none_or(|due| due > now);
    if early && !asked {
        // What the agenda knew is not true any more.
        return Ok(Ended::Early(standing.turn()));
    }
    let read = || Ok(read::revision(&*rows, id, standing.revision)?.map(|row| (Arc::new(row.vigy), row.image)));
    let Some((vigy, image)) = shared.declarations.get((id, life, standing.revision), read)? else { return Ok(Ended::Gone) };
    // A snapshot keeps the store from using its space again.
    drop(rows);
    if let Some(host) = shared.elsewhere(&vigy) {
        return Ok(Ended::Elsewhere(host.to_owned()));
    }
    let (begun, late) = (Instant::now(), standing.turn().due.filter(|_| !early).map(|due| Duration::from_millis(now.since(due))));
    let span = tracing::info_span!("tick", vigy = %vigy.name, tick = standing.checkpoint.ticks + 1);
    // It is as large as the machine in it: on the heap it is moved about once, and not by everyone who hands it on.
    let evaluated = Box::pin(async {
        let loaded = guarded(|| shared.program(&vigy, image.as_ref()))??;
        let spec = Spec { program: loaded.hash(), schedule: plan(&vigy.schedule, now), policy: vigy.policy, limits: vigy.limits };
        let mut checkpoint = standing.checkpoint;
        let mut space = shared.spaces.take(&vigy.limits, guarded(|| loaded.words(&vigy.limits))?);
        let Memory { buffers, words, .. } = &mut space.memory;
        let evaluation = guarded(|| loaded.evaluation(&vigy.limits, words))?.map_err(VigyError::Host)?;
        let mut evaluator = Guarded::new(evaluation);
        let mut host = Host {
            clock: VigyClock(shared),
            storage: VigyStore {
                shared,
                id,
                version: standing.version,
                listened: listens(shared, &vigy),
                recorded: Vec::new(),
                last: None,
                turn: None,
            },
            effects: VigyEffects { shared, vigy: &vigy },
        };
        let only_finishes = !asked && checkpoint.unfinished != Unfinished::Nothing && checkpoint.due > now;
        let done = if only_finishes {
            host.finish_async(&spec, &mut checkpoint, buffers.memory(), &mut evaluator).await
        } else {
            host.tick_async(&spec, &mut checkpoint, buffers.memory(), &mut evaluator).await.map(Some)
        };
        let panicked = evaluator.panicked;
        let (fuel, heap_bytes) = (evaluator.fuel_used(), if panicked { 0 } else { evaluator.evaluation.heap_used() });
        drop(evaluator);
        let VigyStore { last, recorded, turn, .. } = host.storage;
        if !panicked {
            space.give_back();
        }
        free();
        let done = done.map_err(|error| match error {
            HostError::Store(error) => error,
            other => VigyError::Host(other.to_string()),
        })?;
        let turn = match last {
            Some(last) => Some(written(id, last.durable().await?)?),
            None => turn,
        };
        for (key, kind) in recorded {
            tracing::info!(target: ACTION, vigy = %vigy.name, %key, %kind);
        }
        if let (Some(observer), Some(ok)) = (&shared.observer, done) {
            let run = RunKey { incarnation: life, tick: checkpoint.ticks };
            observer.ticked(&vigy, &Ticked { run, ok, late, took: begun.elapsed(), fuel, heap_bytes });
        }
        // Every tick ends with a batch or a settlement, which told it.
        let turn = turn.ok_or_else(|| VigyError::Host("the tick has left nothing".to_owned()))?;
        Ok(Ended::Over(RunKey { incarnation: life, tick: checkpoint.ticks }, turn))
    });
    match evaluated.instrument(span).await {
        Err(VigyError::NotFound(_)) => Ok(Ended::Gone),
        ended => ended,
    }
}

/// Where the log tells of actions that are only recorded.
const ACTION: &str = "vigy::action";

/// Whether somebody reads in the log of a vigy's actions that have no handler.
fn listens(shared: &Shared, vigy: &Vigy) -> bool {
    tracing::enabled!(target: ACTION, tracing::Level::INFO) && shared.effects.only_records(vigy)
}

/// What a host's code returns, or why it did not return.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, VigyError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| VigyError::Host(format!("it panicked: {}", panic_text(&*panic))))
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it gave no reason")
}

/// An evaluation whose panic is the failure of its tick, and of nobody else's.
pub(crate) struct Guarded<E> {
    evaluation: E,
    panicked: bool,
}

impl<E> Guarded<E> {
    pub(crate) const fn new(evaluation: E) -> Self {
        Self { evaluation, panicked: false }
    }
}

impl<E: Evaluator> Evaluator for Guarded<E> {
    fn step(&mut self, door: &mut Door<'_>, slice: u64) -> Step {
        // What the panic left of the evaluation is not looked at again, and neither is its memory.
        catch_unwind(AssertUnwindSafe(|| self.evaluation.step(door, slice))).unwrap_or_else(|panic| {
            self.panicked = true;
            Step::Failed(Failure::raised("panic", panic_text(&*panic), None))
        })
    }

    fn fuel_used(&self) -> u64 {
        if self.panicked { 0 } else { self.evaluation.fuel_used() }
    }

    fn place(&self) -> Option<Place> {
        if self.panicked { None } else { self.evaluation.place() }
    }
}

/// The runtime's clock, and tokio's timers.
struct VigyClock<'s>(&'s Shared);

impl AsyncClock for VigyClock<'_> {
    fn now(&mut self) -> Timestamp {
        self.0.now()
    }

    async fn sleep_until(&mut self, until: Timestamp) {
        tokio::time::sleep(Duration::from_millis(until.since(self.0.now()))).await;
    }

    async fn yield_now(&mut self) {
        tokio::task::yield_now().await;
    }
}

/// The store, as one vigy sees it. [`VigyError::NotFound`] means that this life of the vigy is over.
struct VigyStore<'s> {
    shared: &'s Shared,
    id: VigyId,
    /// Of the standing that the tick began with.
    version: u64,
    /// Whether to keep the actions that are only recorded, for the log.
    listened: bool,
    recorded: Vec<(ActionKey, ActionKind)>,
    /// The batch of a tick that it ends. Nobody hears of the tick before that is durable.
    last: Option<Pending<Option<Turn>>>,
    /// How the vigy stands by the last write that is durable.
    turn: Option<Turn>,
}

/// What a write tells; it says so when it found the vigy deleted.
fn written<T>(id: VigyId, told: Option<T>) -> Result<T, VigyError> {
    told.ok_or_else(|| VigyError::NotFound(id.to_string()))
}

impl AsyncStorage for VigyStore<'_> {
    type Error = VigyError;

    async fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, VigyError> {
        let Some(value) = read::kv(&*self.shared.store.snapshot(), self.id, key)? else { return Ok(None) };
        let too_large = || VigyError::Host("a kv value is larger than what the vigy's limits leave".to_owned());
        into.get_mut(..value.len()).ok_or_else(too_large)?.copy_from_slice(&value);
        Ok(Some(value.len()))
    }

    async fn save(&mut self, draft: &Draft<'_>) -> Result<(), VigyError> {
        let draft = Saved::new(self.id, draft);
        let alive = self.shared.store.write(move |transaction| draft.write(transaction)).await?;
        written(self.id, alive.then_some(()))
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), VigyError> {
        let ends = batch.checkpoint().unfinished == Unfinished::Nothing;
        let light = batch.record().len() + batch.values().map(|(_, value)| value.len()).sum::<usize>() <= LIGHT_BATCH;
        if self.listened {
            self.recorded
                .extend(batch.actions().filter(|action| !action.kind.is_settled_at_once()).map(|action| (action.key, action.kind)));
        }
        let batch = Committed::new(self.id, self.version, batch, self.shared.now())?;
        let retention = self.shared.retention;
        let pending = self.shared.store.begin(move |transaction| batch.write(transaction, retention))?;
        if ends && light {
            self.last = Some(pending);
            return Ok(());
        }
        self.turn = Some(written(self.id, pending.durable().await?)?);
        Ok(())
    }

    async fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), VigyError> {
        let settlement = Settles::new(self.id, self.version, settlement, self.shared.now());
        let told = self.shared.store.write(move |transaction| settlement.write(transaction)).await?;
        self.turn = Some(written(self.id, told)?);
        Ok(())
    }

    async fn unfinished(&mut self, run: RunKey, visit: impl FnMut(Piece<'_>)) -> Result<(), VigyError> {
        let pieces = read::unfinished(&*self.shared.store.snapshot(), self.id, run)?;
        read::visit(&pieces, visit);
        Ok(())
    }
}

/// The host's effects, for one vigy. They run where the application runs, so that they may use whatever it has there.
struct VigyEffects<'s> {
    shared: &'s Shared,
    vigy: &'s Arc<Vigy>,
}

impl VigyEffects<'_> {
    /// Does the host's work. The error is what a panic said.
    async fn done<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
        if !self.shared.effects.is_immediate() {
            return on_application(&self.shared.application, work).await;
        }
        let mut work = pin!(work);
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic_text(&*panic).to_owned())),
        })
        .await
    }
}

impl AsyncEffects for VigyEffects<'_> {
    async fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        let (effects, vigy) = (self.shared.effects.clone(), self.vigy.clone());
        let declared = |what: fn(&HostFn) -> bool| effects.operations().iter().any(|known| known.name == ask.operation && what(known));
        if ask.key.is_none() && declared(|operation| operation.writes) {
            return Err(AskError::new("denied", format_args!("{} writes, and the program was compiled as if it read", ask.operation)));
        }
        if !ask.secret && declared(|operation| operation.secret) {
            let problem = format_args!("{} answers with secrets, and the program was compiled as if it did not", ask.operation);
            return Err(AskError::new("denied", problem));
        }
        let Ask { run, sequence, key, secret, .. } = *ask;
        let (operation, arguments) = (ask.operation.to_owned(), ask.arguments.to_owned());
        let answer =
            self.done(
                async move { effects.ask(&vigy, Ask { run, sequence, key, secret, operation: &operation, arguments: &arguments }).await },
            );
        let answer = match answer.await {
            Ok(answer) => answer?,
            Err(panic) => return Err(AskError::new("failed", format_args!("the host panicked: {panic}"))),
        };
        let (size, room) = (answer.len(), into.len());
        let too_large =
            || AskError::new("too-large", format_args!("the answer has {size} bytes, the tick's limit `value_bytes` leaves {room}"));
        into.get_mut(..size).ok_or_else(too_large)?.copy_from_slice(&answer);
        Ok(size)
    }

    fn only_records(&self) -> bool {
        self.shared.effects.only_records(self.vigy)
    }

    fn secret_key(&self) -> Option<SecretKey> {
        Some(self.shared.secret)
    }

    async fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        let (effects, vigy) = (self.shared.effects.clone(), self.vigy.clone());
        let ReconcileAction { key, kind, .. } = *action;
        let (payload, message) = (action.payload.map(<[u8]>::to_vec), action.message.map(str::to_owned));
        let outcome = self.done(async move {
            effects.act(&vigy, ReconcileAction { key, kind, payload: payload.as_deref(), message: message.as_deref() }).await
        });
        outcome.await.unwrap_or_else(|panic| Outcome::failed(&format!("the host panicked: {panic}")))
    }
}

/// Does the application's work on the application's threads. The error is what a panic said.
pub(crate) async fn on_application<T: Send + 'static>(
    application: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, String> {
    let mut task = Aborts(application.spawn(work.in_current_span()));
    match (&mut task.0).await {
        Ok(done) => Ok(done),
        Err(error) if error.is_panic() => Err(panic_text(&*error.into_panic()).to_owned()),
        // The application's runtime is gone, and nobody knows how far the work got. It is taken up next time, like after a crash.
        Err(_) => std::future::pending().await,
    }
}

/// Ends a task that nobody waits for any more.
struct Aborts<T>(JoinHandle<T>);

impl<T> Drop for Aborts<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
