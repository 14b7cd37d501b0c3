//! The two drivers: a short loop over [`Tick`] that waits by blocking, and the same loop that awaits.

use core::fmt;

use crate::memory::{MemoryTooSmall, TickMemory};
use crate::ports::{AsyncClock, AsyncEffects, AsyncStorage, Clock, Effects, Piece, Storage};
use crate::{AskError, Checkpoint, Evaluator, Need, ResumeError, RunKey, Spec, Tick, Unfinished};

/// A clock, a store and effects, together able to tick a vigy.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "the three ports")]
pub struct Host<C, S, F> {
    pub clock: C,
    pub storage: S,
    pub effects: F,
}

/// Why a host could not tick. The program's own failures are in the record, not here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostError<E> {
    /// The store failed; nothing of what failed was kept, and the same tick can be tried again.
    Store(E),
    /// The memory does not hold what the vigy's limits promise.
    Memory(MemoryTooSmall),
    /// The last run's record cannot be taken up again.
    Resume(ResumeError),
}

impl<E: fmt::Display> fmt::Display for HostError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::Resume(error) => write!(f, "the last run cannot be taken up again: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for HostError<E> {}

impl<E> From<MemoryTooSmall> for HostError<E> {
    fn from(error: MemoryTooSmall) -> Self {
        Self::Memory(error)
    }
}

impl<C: Clock, S: Storage, F: Effects> Host<C, S, F> {
    /// Ticks once, from wake to settle, and moves `checkpoint` on. Says whether the program ended well.
    ///
    /// What the checkpoint says is [unfinished](crate::Unfinished) comes first: the actions of the tick before; or the evaluation that was
    /// cut, which is then the tick.
    ///
    /// # Errors
    /// [`HostError`]. The checkpoint is then as far as the store got.
    pub fn tick<E: Evaluator>(
        &mut self,
        spec: &Spec,
        checkpoint: &mut Checkpoint,
        mut memory: TickMemory<'_>,
        evaluator: &mut E,
    ) -> Result<bool, HostError<S::Error>> {
        let cut = checkpoint.unfinished == Unfinished::Evaluation;
        if checkpoint.unfinished != Unfinished::Nothing {
            let mut tick = self.resume(spec, checkpoint, memory.reborrow())?;
            self.drive(&mut tick, evaluator, checkpoint)?;
            if cut {
                return Ok(!tick.failed());
            }
        }
        let mut tick = Tick::begin(spec, checkpoint, self.clock.now(), memory)?;
        self.drive(&mut tick, evaluator, checkpoint)?;
        Ok(!tick.failed())
    }

    /// Does what the checkpoint says is [unfinished](crate::Unfinished), and no more. Says whether the program ended well, if it was its
    /// evaluation that was cut: then the evaluator is used up.
    ///
    /// # Errors
    /// As [`Host::tick`].
    pub fn finish<E: Evaluator>(
        &mut self,
        spec: &Spec,
        checkpoint: &mut Checkpoint,
        memory: TickMemory<'_>,
        evaluator: &mut E,
    ) -> Result<Option<bool>, HostError<S::Error>> {
        if checkpoint.unfinished == Unfinished::Nothing {
            return Ok(None);
        }
        let cut = checkpoint.unfinished == Unfinished::Evaluation;
        let mut tick = self.resume(spec, checkpoint, memory)?;
        self.drive(&mut tick, evaluator, checkpoint)?;
        Ok(cut.then(|| !tick.failed()))
    }

    /// The tick that is unfinished.
    fn resume<'m>(&mut self, spec: &Spec, checkpoint: &Checkpoint, memory: TickMemory<'m>) -> Result<Tick<'m>, HostError<S::Error>> {
        let mut resuming = Resuming::new(spec, checkpoint, memory);
        self.storage.unfinished(resuming.run(), &mut |piece| resuming.take(piece)).map_err(HostError::Store)?;
        resuming.finish().map_err(HostError::Resume)
    }

    fn drive<E: Evaluator>(
        &mut self,
        tick: &mut Tick<'_>,
        evaluator: &mut E,
        checkpoint: &mut Checkpoint,
    ) -> Result<(), HostError<S::Error>> {
        tick.only_record(self.effects.only_records());
        loop {
            match tick.next(evaluator, self.clock.now()) {
                Need::Yield => {}
                Need::Key { key, into } => {
                    let len = self.storage.get(key, into).map_err(HostError::Store)?;
                    tick.key_loaded(len);
                }
                Need::Ask { ask, into } => {
                    let secret = ask.secret;
                    let answer = self.effects.ask(&ask, into);
                    if secret {
                        tick.hash_secrets_under(self.effects.secret_key());
                    }
                    tick.answered(answer.as_ref().copied().map_err(AskError::refusal));
                }
                Need::Save(draft) => {
                    self.storage.save(&draft).map_err(HostError::Store)?;
                    *checkpoint = draft.checkpoint();
                    tick.saved();
                }
                Need::Commit(batch) => {
                    self.storage.commit(&batch).map_err(HostError::Store)?;
                    *checkpoint = *batch.checkpoint();
                    tick.committed();
                }
                Need::Act(action) => {
                    let outcome = self.effects.act(&action);
                    tick.acted(&outcome);
                }
                Need::Wait(until) => {
                    self.clock.sleep_until(until);
                    tick.waited();
                }
                Need::Settle(settlement) => {
                    self.storage.settle(&settlement).map_err(HostError::Store)?;
                    *checkpoint = settlement.checkpoint();
                    tick.settled();
                }
                Need::Sleep(_) => return Ok(()),
            }
        }
    }
}

impl<C: AsyncClock, S: AsyncStorage, F: AsyncEffects> Host<C, S, F> {
    /// [`Host::tick`] for a host with an executor: lets others go first between slices of evaluation, and awaits its ports.
    ///
    /// Dropping the future is like a crash: what was committed stays, and what is unfinished is taken up next time.
    ///
    /// # Errors
    /// As [`Host::tick`].
    pub async fn tick_async<E: Evaluator>(
        &mut self,
        spec: &Spec,
        checkpoint: &mut Checkpoint,
        mut memory: TickMemory<'_>,
        evaluator: &mut E,
    ) -> Result<bool, HostError<S::Error>> {
        let cut = checkpoint.unfinished == Unfinished::Evaluation;
        if checkpoint.unfinished != Unfinished::Nothing {
            let mut tick = self.resume_async(spec, checkpoint, memory.reborrow()).await?;
            self.drive_async(&mut tick, evaluator, checkpoint).await?;
            if cut {
                return Ok(!tick.failed());
            }
        }
        let mut tick = Tick::begin(spec, checkpoint, self.clock.now(), memory)?;
        self.drive_async(&mut tick, evaluator, checkpoint).await?;
        Ok(!tick.failed())
    }

    /// [`Host::finish`] for a host with an executor.
    ///
    /// # Errors
    /// As [`Host::tick`].
    pub async fn finish_async<E: Evaluator>(
        &mut self,
        spec: &Spec,
        checkpoint: &mut Checkpoint,
        memory: TickMemory<'_>,
        evaluator: &mut E,
    ) -> Result<Option<bool>, HostError<S::Error>> {
        if checkpoint.unfinished == Unfinished::Nothing {
            return Ok(None);
        }
        let cut = checkpoint.unfinished == Unfinished::Evaluation;
        let mut tick = self.resume_async(spec, checkpoint, memory).await?;
        self.drive_async(&mut tick, evaluator, checkpoint).await?;
        Ok(cut.then(|| !tick.failed()))
    }

    /// The tick that is unfinished.
    async fn resume_async<'m>(
        &mut self,
        spec: &Spec,
        checkpoint: &Checkpoint,
        memory: TickMemory<'m>,
    ) -> Result<Tick<'m>, HostError<S::Error>> {
        let mut resuming = Resuming::new(spec, checkpoint, memory);
        self.storage.unfinished(resuming.run(), |piece| resuming.take(piece)).await.map_err(HostError::Store)?;
        resuming.finish().map_err(HostError::Resume)
    }

    async fn drive_async<E: Evaluator>(
        &mut self,
        tick: &mut Tick<'_>,
        evaluator: &mut E,
        checkpoint: &mut Checkpoint,
    ) -> Result<(), HostError<S::Error>> {
        tick.only_record(self.effects.only_records());
        loop {
            match tick.next(evaluator, self.clock.now()) {
                Need::Yield => self.clock.yield_now().await,
                Need::Key { key, into } => {
                    let len = self.storage.get(key, into).await.map_err(HostError::Store)?;
                    tick.key_loaded(len);
                }
                Need::Ask { ask, into } => {
                    let secret = ask.secret;
                    let answer = self.effects.ask(&ask, into).await;
                    if secret {
                        tick.hash_secrets_under(self.effects.secret_key());
                    }
                    tick.answered(answer.as_ref().copied().map_err(AskError::refusal));
                }
                Need::Save(draft) => {
                    self.storage.save(&draft).await.map_err(HostError::Store)?;
                    *checkpoint = draft.checkpoint();
                    tick.saved();
                }
                Need::Commit(batch) => {
                    self.storage.commit(&batch).await.map_err(HostError::Store)?;
                    *checkpoint = *batch.checkpoint();
                    tick.committed();
                }
                Need::Act(action) => {
                    let outcome = self.effects.act(&action).await;
                    tick.acted(&outcome);
                }
                Need::Wait(until) => {
                    self.clock.sleep_until(until).await;
                    tick.waited();
                }
                Need::Settle(settlement) => {
                    self.storage.settle(&settlement).await.map_err(HostError::Store)?;
                    *checkpoint = settlement.checkpoint();
                    tick.settled();
                }
                Need::Sleep(_) => return Ok(()),
            }
        }
    }
}

/// Collects what [`Storage::unfinished`] hands out.
struct Resuming<'s, 'm> {
    spec: &'s Spec,
    checkpoint: &'s Checkpoint,
    memory: Option<TickMemory<'m>>,
    tick: Result<Tick<'m>, ResumeError>,
}

impl<'s, 'm> Resuming<'s, 'm> {
    fn new(spec: &'s Spec, checkpoint: &'s Checkpoint, memory: TickMemory<'m>) -> Self {
        Self { spec, checkpoint, memory: Some(memory), tick: Err(ResumeError::Missing) }
    }

    fn run(&self) -> RunKey {
        let Checkpoint { incarnation, ticks, unfinished, .. } = *self.checkpoint;
        RunKey { incarnation, tick: ticks + u64::from(unfinished == Unfinished::Evaluation) }
    }

    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Record(record) => {
                if let Some(memory) = self.memory.take() {
                    self.tick = Tick::resume(self.spec, self.checkpoint, record, memory);
                }
            }
            Piece::Value(value) => {
                let restored = self.tick.as_mut().map(|tick| tick.restore_value(value));
                if let Ok(Err(error)) = restored {
                    self.tick = Err(error);
                }
            }
        }
    }

    fn finish(self) -> Result<Tick<'m>, ResumeError> {
        self.tick
    }
}
