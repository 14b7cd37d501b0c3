//! The task that keeps one vigy ticking.
//!
//! It owns the vigy's checkpoint and does one thing at a time, so a forced tick and a scheduled one never overlap. Everyone else
//! talks to it through its mailbox.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use vigy_core::{
    Ask, AskError, AsyncClock, AsyncEffects, AsyncStorage, Batch, Draft, Host, HostError, Outcome, Piece, Plan, ReconcileAction, RunKey,
    Schedule, Settlement, Spec, Timestamp, Vigy, VigyId, backoff_ms,
};
use vigy_lisp::HostFn;

use crate::runtime::Shared;
use crate::space::Memory;
use crate::store::{Committed, Saved, outcomes_row, read, settle};
use crate::view::{Event, Registered, Run};
use crate::{HostEffects, Loaded, VigyError};

/// The longest sleep in one piece: after it the wall clock is read again, so that a clock that jumped is noticed.
const NAP: Duration = Duration::from_secs(30);

/// What a keeper is told.
pub(crate) enum Message {
    /// Tick now, and say how the run ended.
    Tick(oneshot::Sender<Result<Run, VigyError>>),
    /// The row changed.
    Changed(Box<Registered>),
}

enum Next {
    Stop,
    Told(Message),
    Slept,
}

/// Keeps one vigy. See the [module](self).
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    mailbox: mpsc::UnboundedReceiver<Message>,
    stop: watch::Receiver<bool>,
    registered: Registered,
    loaded: OnceLock<Arc<dyn Loaded>>,
    /// Store failures in a row, and when to try again.
    troubles: u32,
    not_before: Timestamp,
}

impl Keeper {
    pub(crate) fn new(
        shared: Arc<Shared>,
        mailbox: mpsc::UnboundedReceiver<Message>,
        stop: watch::Receiver<bool>,
        registered: Registered,
    ) -> Self {
        Self { shared, mailbox, stop, registered, loaded: OnceLock::new(), troubles: 0, not_before: Timestamp(0) }
    }

    /// Ticks until told to stop, until nobody can talk to it any more, or until the vigy is deleted.
    pub(crate) async fn run(mut self) {
        loop {
            let due = self.due();
            let next = tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => Next::Stop,
                message = self.mailbox.recv() => message.map_or(Next::Stop, Next::Told),
                () = sleep_until(&self.shared, due) => Next::Slept,
            };
            match next {
                Next::Stop => return,
                Next::Told(Message::Tick(reply)) => {
                    let run = self.tick_for_reply().await;
                    // Whoever asked may be gone; the run is stored all the same.
                    drop(reply.send(run));
                }
                Next::Told(Message::Changed(registered)) => self.change(*registered),
                Next::Slept if due.is_some_and(|due| due <= self.shared.now()) => {
                    if self.scheduled_tick().await.is_break() {
                        return;
                    }
                }
                Next::Slept => {}
            }
        }
    }

    /// When to tick next; nothing while the vigy does not tick on its own.
    fn due(&self) -> Option<Timestamp> {
        let ticks = self.shared.scheduling && self.registered.vigy.enabled && !self.registered.checkpoint.parked;
        ticks.then(|| self.registered.checkpoint.due.max(self.not_before))
    }

    /// Takes up a new declaration. The checkpoint is the keeper's own: it knows better than the row.
    fn change(&mut self, new: Registered) {
        let old = std::mem::replace(&mut self.registered, new);
        self.registered.checkpoint = old.checkpoint;
        if self.registered.vigy.program != old.vigy.program {
            self.loaded = OnceLock::new();
        }
        let (plan, now) = (plan(&self.registered), self.shared.now());
        if self.registered.vigy.schedule != old.vigy.schedule {
            self.registered.checkpoint.reschedule(&plan, now);
        }
        if self.registered.vigy.enabled && !old.vigy.enabled {
            self.registered.checkpoint.resume(&plan, now);
        }
    }

    /// Ticks because it is time. Breaks when the vigy is gone.
    async fn scheduled_tick(&mut self) -> ControlFlow<()> {
        match self.tick().await {
            Ok(()) => self.troubles = 0,
            Err(VigyError::NotFound(_)) => return ControlFlow::Break(()),
            Err(error) => {
                let wait = backoff_ms(i64::from(self.troubles));
                self.troubles = self.troubles.saturating_add(1);
                self.not_before = self.shared.now().plus(wait);
                tracing::error!(vigy = %self.registered.vigy.name, %error, retry_in_ms = wait, "could not tick");
            }
        }
        ControlFlow::Continue(())
    }

    async fn tick_for_reply(&mut self) -> Result<Run, VigyError> {
        self.tick().await?;
        let id = self.registered.id;
        let last = self.shared.store.read(move |snapshot| read::runs(snapshot, id, 1)).await?;
        last.into_iter().next().ok_or_else(|| VigyError::NotFound(id.to_string()))
    }

    /// One tick, and the news of it.
    async fn tick(&mut self) -> Result<(), VigyError> {
        let loaded = self.load()?;
        let schedule = plan(&self.registered);
        let Registered { id, vigy, checkpoint, .. } = &mut self.registered;
        let (shared, limits) = (&*self.shared, vigy.limits);
        let spec = Spec { program: loaded.hash(), schedule, policy: vigy.policy, limits };
        let mut space = shared.spaces.take(&limits, loaded.words(&limits)).await;
        let Memory { buffers, words, .. } = &mut space.memory;
        let mut evaluation = loaded.evaluation(&limits, words).map_err(VigyError::Host)?;
        let mut host = Host {
            clock: VigyClock(shared),
            storage: VigyStore { shared, id: *id },
            effects: VigyEffects { effects: &*shared.effects, vigy },
        };
        host.tick_async(&spec, checkpoint, buffers.memory(), &mut evaluation).await.map_err(|error| match error {
            HostError::Store(error) => error,
            other => VigyError::Host(other.to_string()),
        })?;
        drop(evaluation);
        drop(space);
        self.tell().await;
        Ok(())
    }

    /// Publishes the last run, if anybody listens.
    async fn tell(&self) {
        if self.shared.events.receiver_count() == 0 {
            return;
        }
        let id = self.registered.id;
        if let Ok(runs) = self.shared.store.read(move |snapshot| read::runs(snapshot, id, 1)).await {
            for run in runs {
                // Nobody may listen any more.
                let _ = self.shared.events.send(Event::Ran(run));
            }
        }
    }

    /// The program, made ready when it is needed first.
    fn load(&self) -> Result<Arc<dyn Loaded>, VigyError> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded.clone());
        }
        let loaded = self.shared.load(&self.registered.vigy);
        let loaded = loaded.map_err(|error| VigyError::Host(format!("the stored program cannot be loaded any more: {error}")))?;
        Ok(self.loaded.get_or_init(|| loaded).clone())
    }
}

/// When a vigy ticks. Calendars are not read yet: a vigy that goes by one does not tick on its own.
fn plan(registered: &Registered) -> Plan {
    match &registered.vigy.schedule {
        Schedule::Every(cadence) => Plan::Every(*cadence),
        Schedule::Cron(_) => Plan::At(Timestamp(u64::MAX)),
    }
}

async fn sleep_until(shared: &Shared, due: Option<Timestamp>) {
    match due {
        Some(due) => tokio::time::sleep(Duration::from_millis(due.since(shared.now())).min(NAP)).await,
        None => std::future::pending().await,
    }
}

/// The runtime's clock, and tokio's timers.
struct VigyClock<'s>(&'s Shared);

impl AsyncClock for VigyClock<'_> {
    fn now(&mut self) -> Timestamp {
        self.0.now()
    }

    async fn sleep_until(&mut self, until: Timestamp) {
        sleep_until(self.0, Some(until)).await;
    }

    async fn yield_now(&mut self) {
        tokio::task::yield_now().await;
    }
}

/// The store, as one vigy sees it. [`VigyError::NotFound`] means that this life of the vigy is over.
struct VigyStore<'s> {
    shared: &'s Shared,
    id: VigyId,
}

impl VigyStore<'_> {
    /// Says so when a write found the vigy deleted.
    fn written(&self, alive: bool) -> Result<(), VigyError> {
        if alive { Ok(()) } else { Err(VigyError::NotFound(self.id.to_string())) }
    }
}

impl AsyncStorage for VigyStore<'_> {
    type Error = VigyError;

    async fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, VigyError> {
        let (id, key) = (self.id, key.to_owned());
        let Some(value) = self.shared.store.read(move |snapshot| read::kv(snapshot, id, &key)).await? else { return Ok(None) };
        let too_large = || VigyError::Host("a kv value is larger than what the vigy's limits leave".to_owned());
        into.get_mut(..value.len()).ok_or_else(too_large)?.copy_from_slice(&value);
        Ok(Some(value.len()))
    }

    async fn save(&mut self, draft: &Draft<'_>) -> Result<(), VigyError> {
        let draft = Saved::new(self.id, draft);
        self.written(self.shared.store.write(move |transaction| draft.write(transaction)).await?)
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), VigyError> {
        let (batch, retention) = (Committed::new(self.id, batch, self.shared.now())?, self.shared.retention);
        self.written(self.shared.store.write(move |transaction| batch.write(transaction, retention)).await?)
    }

    async fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), VigyError> {
        let (id, run, checkpoint) = (self.id, settlement.run(), settlement.checkpoint());
        let row = outcomes_row(settlement, self.shared.now());
        self.written(self.shared.store.write(move |transaction| settle(transaction, id, run, &checkpoint, &row)).await?)
    }

    async fn unfinished(&mut self, run: RunKey, visit: impl FnMut(Piece<'_>)) -> Result<(), VigyError> {
        let id = self.id;
        let pieces = self.shared.store.read(move |snapshot| read::unfinished(snapshot, id, run)).await?;
        read::visit(&pieces, visit);
        Ok(())
    }
}

/// The host's effects, for one vigy.
struct VigyEffects<'s> {
    effects: &'s dyn HostEffects,
    vigy: &'s Vigy,
}

impl AsyncEffects for VigyEffects<'_> {
    async fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        let writes = |operation: &HostFn| operation.writes && operation.name == ask.operation;
        if ask.key.is_none() && self.effects.operations().iter().any(writes) {
            return Err(AskError::new("denied", format_args!("{} writes, and the program was compiled as if it read", ask.operation)));
        }
        let answer = self.effects.ask(self.vigy, *ask).await?;
        let (size, room) = (answer.len(), into.len());
        let too_large =
            || AskError::new("too-large", format_args!("the answer has {size} bytes, the tick's limit `value_bytes` leaves {room}"));
        into.get_mut(..size).ok_or_else(too_large)?.copy_from_slice(&answer);
        Ok(size)
    }

    async fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        self.effects.act(self.vigy, *action).await
    }
}
