//! One tick, as a state machine that does no I/O.

mod durable;

use core::fmt;

use crate::action::{write_head, write_line};
use crate::checkpoint::Ending;
use crate::door::{Wanted, cut};
use crate::memory::{MemoryTooSmall, OUTCOME_MIN, TickMemory};
use crate::policy::{MAX_ACT_BACKOFF_MS, backoff, seed};
use crate::record::{DamagedRecord, Header, Record, Verdict};
use crate::{
    ActionKind, Ask, Cadence, Checkpoint, Door, Evaluator, Failure, Limits, MESSAGE_BYTES, Outcome, Plan, Policy, ReconcileAction, Refusal,
    ResultStatus, RunKey, SecretKey, Settled, Step, TickInterval, Timestamp, Unfinished,
};

pub use durable::{Batch, Draft, Settlement};

/// What a tick needs to know of its vigy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spec {
    /// BLAKE3 of the program's image.
    pub program: [u8; 32],
    /// When it ticks.
    pub schedule: Plan,
    /// What follows its failures.
    pub policy: Policy,
    /// What a tick may use.
    pub limits: Limits,
}

impl Spec {
    /// A vigy with a steady interval and the default policy.
    #[must_use]
    pub const fn every(interval: TickInterval, program: [u8; 32], limits: Limits) -> Self {
        Self { program, schedule: Plan::Every(Cadence::every(interval)), policy: Policy::DEFAULT, limits }
    }
}

/// One tick, from wake to settle.
///
/// ```text
///            ┌── key_loaded / answered / saved ──┐
///            ▼                                   │
///        Evaluate ──► Need::Key, Ask, Yield, Save ──► (a write: saved before it goes out, and when its answer is there)
///            │ the program ends
///            ▼
///         Commit ───► Need::Commit ──► committed
///            │
///            ▼
///           Act ────► Need::Act ─────► acted ─► (a failure that may pass: Need::Wait ─► waited, and the same action again)
///            │ every action has an outcome
///            ▼
///         Settle ───► Need::Settle ──► settled
///            │
///            ▼
///          Over ────► Need::Sleep
/// ```
///
/// **One vigy is in one phase at a time**: its next tick begins only when every action of this one has an outcome.
///
/// `next` says what is needed; one of the other methods gives it. Calling them out of order changes nothing.
#[derive(Debug)]
pub struct Tick<'m> {
    door: Door<'m>,
    phase: Phase,
    plan: Plan,
    policy: Policy,
    checkpoint: Checkpoint,
    /// Bytes of the record that are durable in a draft.
    saved: usize,
    /// The program or its limits are not what they were when this tick was cut.
    changed: bool,
    failed: bool,
    /// The actions have no handler.
    only_records: bool,
    outcomes: &'m mut [u8],
    outcome_bytes: usize,
    settled: u16,
    /// How often the next action was tried.
    attempts: u16,
    pause: Pause,
}

/// Between two attempts at an action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pause {
    None,
    /// It begins when the driver tells the time.
    Begins,
    Until(Timestamp),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Evaluate,
    Commit,
    Act,
    Settle,
    Over,
}

/// Fuel given to an evaluator at a time: what one vigy may take before the host can turn to another (well under a millisecond).
pub const SLICE: u64 = 50_000;

/// What a tick needs next.
#[must_use]
#[derive(Debug)]
pub enum Need<'t> {
    /// A turn later: the program has used its slice, others may go first. Just call `next` again.
    Yield,
    /// The value of a kv key, written into `into`. Give it with [`Tick::key_loaded`].
    Key {
        /// The key.
        key: &'t str,
        /// Takes the data bytes.
        into: &'t mut [u8],
    },
    /// The answer to a question, written into `into`. Give it with [`Tick::answered`].
    Ask {
        /// The question.
        ask: Ask<'t>,
        /// Takes the data bytes.
        into: &'t mut [u8],
    },
    /// The run so far durable: a write is about to go out, or its answer has come. Then [`Tick::saved`].
    Save(Draft<'t>),
    /// This batch durable, all of it or nothing. Then [`Tick::committed`].
    Commit(Batch<'t>),
    /// This action carried out. Then [`Tick::acted`].
    Act(ReconcileAction<'t>),
    /// Nothing until then: the last action failed and is tried again. Then [`Tick::waited`]. Waiting less does no harm.
    Wait(Timestamp),
    /// These outcomes durable. Then [`Tick::settled`].
    Settle(Settlement<'t>),
    /// Nothing until then: the tick is over.
    Sleep(Timestamp),
}

impl<'m> Tick<'m> {
    /// Begins the tick that follows `checkpoint`, at `now`. O(limits.kv_keys).
    ///
    /// # Errors
    /// [`MemoryTooSmall`] when the memory does not hold what the limits promise.
    // Not inline: what it moves about is no part of the frame below which the program then runs. So too with `resume`.
    #[inline(never)]
    pub fn begin(spec: &Spec, checkpoint: &Checkpoint, now: Timestamp, memory: TickMemory<'m>) -> Result<Self, MemoryTooSmall> {
        let mut checkpoint = *checkpoint;
        checkpoint.rebase(&spec.schedule, now);
        let run = RunKey { incarnation: checkpoint.incarnation, tick: checkpoint.ticks + 1 };
        let header = Header {
            program: spec.program,
            incarnation: run.incarnation,
            tick: run.tick,
            at: now,
            previous: checkpoint.last,
            seed: seed(run),
            limits: spec.limits,
        };
        Self::over(header, spec, checkpoint, memory, Phase::Evaluate, |header, memory| Ok(Door::open(header, memory)))
    }

    /// Takes up what the checkpoint says is [unfinished](Unfinished): `record` is the run's record as it was committed, or its draft.
    /// Hand in the values it refers to with [`Tick::restore_value`], then go on with `next`, with a fresh evaluator for an evaluation.
    ///
    /// An evaluation whose program or limits have changed since, or that does not say what it said before, ends as failed: its record
    /// lists what it has written.
    ///
    /// # Errors
    /// [`ResumeError`].
    #[inline(never)]
    pub fn resume(spec: &Spec, checkpoint: &Checkpoint, record: &[u8], memory: TickMemory<'m>) -> Result<Self, ResumeError> {
        let again = checkpoint.unfinished == Unfinished::Evaluation;
        let parsed = if again { Record::parse_draft(record)? } else { Record::parse(record)? };
        let open = |_, memory| Door::restore(&parsed, record, memory);
        let phase = if again { Phase::Evaluate } else { Phase::Act };
        let header = *parsed.header();
        let mut tick = Self::over(header, spec, *checkpoint, memory, phase, open)?;
        if again {
            tick.saved = record.len();
            tick.changed = header.program != spec.program || header.limits != spec.limits;
            tick.door.rewind();
        } else {
            tick.door.restore_queue()?;
            tick.start_outcomes();
        }
        Ok(tick)
    }

    fn over(
        header: Header,
        spec: &Spec,
        checkpoint: Checkpoint,
        memory: TickMemory<'m>,
        phase: Phase,
        open: impl FnOnce(Header, TickMemory<'m>) -> Result<Door<'m>, MemoryTooSmall>,
    ) -> Result<Self, MemoryTooSmall> {
        memory.fits(&header.limits)?;
        let TickMemory { record, values, outcomes, actions, keys } = memory;
        let rest = TickMemory { record, values, outcomes: &mut [], actions, keys };
        Ok(Self {
            door: open(header, rest)?,
            phase,
            plan: spec.schedule,
            policy: spec.policy,
            checkpoint,
            saved: 0,
            changed: false,
            failed: false,
            only_records: false,
            outcomes,
            outcome_bytes: 0,
            settled: 0,
            attempts: 0,
            pause: Pause::None,
        })
    }

    /// The evaluation that `record` tells of, once more: what it was told it is told again, what it said it must say again, to the end.
    #[cfg(feature = "alloc")]
    pub(crate) fn replay(record: &[u8], memory: TickMemory<'m>) -> Result<Self, ResumeError> {
        let parsed = Record::parse(record)?;
        let (spec, checkpoint) = before(parsed.header());
        let open = |_, memory| Door::restore(&parsed, record, memory);
        let mut tick = Self::over(*parsed.header(), &spec, checkpoint, memory, Phase::Evaluate, open)?;
        tick.door.replay();
        Ok(tick)
    }

    /// An evaluation of another program that starts from what this header says.
    #[cfg(feature = "alloc")]
    pub(crate) fn like(header: Header, memory: TickMemory<'m>) -> Result<Self, MemoryTooSmall> {
        let (spec, checkpoint) = before(&header);
        Self::over(header, &spec, checkpoint, memory, Phase::Evaluate, |header, memory| Ok(Door::open(header, memory)))
    }

    /// What this tick says at the door, and is told.
    #[cfg(feature = "alloc")]
    pub(crate) const fn door(&mut self) -> &mut Door<'m> {
        &mut self.door
    }

    /// A value that a resumed record refers to.
    ///
    /// # Errors
    /// [`ResumeError::Memory`] when the values do not fit.
    pub fn restore_value(&mut self, value: &[u8]) -> Result<(), ResumeError> {
        let part = MemoryTooSmall { part: "values", needed: value.len(), given: 0 };
        let again = self.phase == Phase::Evaluate;
        self.door.restore_value(value, again).map_err(|_| ResumeError::Memory(part))
    }

    /// Hashes secret answers under this key. Without one, asks for them are refused.
    pub const fn hash_secrets_under(&mut self, key: Option<SecretKey>) {
        self.door.hash_secrets_under(key);
    }

    /// Whether the actions have no handler: see [`crate::Effects::only_records`]. Then they are ok as of the batch. Default: they have one.
    pub const fn only_record(&mut self, only: bool) {
        self.only_records = only;
    }

    /// What the tick needs next, at `now`. The whole control flow of a tick is here.
    ///
    /// At most one slice of evaluation ([`SLICE`] fuel) and one pass over the record.
    pub fn next<E: Evaluator + ?Sized>(&mut self, evaluator: &mut E, now: Timestamp) -> Need<'_> {
        if self.phase == Phase::Evaluate && !self.door.waits() && !self.must_save() {
            let step = match self.door.exhausted {
                Some(resource) => Step::Failed(Failure::Exhausted(resource)),
                None if self.changed => Step::Failed(Failure::raised("cut-off", CHANGED, None)),
                None => evaluator.step(&mut self.door, SLICE),
            };
            match step {
                _ if self.door.diverged() => self.diverged(evaluator.fuel_used(), now),
                Step::Waiting if self.door.waits() => {}
                Step::Waiting => {
                    let verdict = Verdict::Raised { tag: "bug", message: "the evaluator waits for nothing", place: None };
                    self.conclude(evaluator.fuel_used(), verdict, now);
                }
                Step::Paused => return Need::Yield,
                Step::Done => self.conclude(evaluator.fuel_used(), Verdict::Ok, now),
                Step::Failed(failure) => self.conclude(evaluator.fuel_used(), failure.verdict(), now),
            }
        }
        if self.phase == Phase::Evaluate && self.door.recall() {
            if !self.door.diverged() {
                return Need::Yield;
            }
            self.diverged(evaluator.fuel_used(), now);
        }
        if self.phase == Phase::Act {
            self.go_on_acting(now);
        }
        match self.phase {
            Phase::Evaluate if self.must_save() => Need::Save(Draft { tick: self }),
            Phase::Evaluate => match self.door.wanted() {
                Some(Wanted::Key { key, into }) => Need::Key { key, into },
                Some(Wanted::Ask { ask, into }) => Need::Ask { ask, into },
                // An evaluation that waits for nothing has been concluded.
                None => Need::Yield,
            },
            Phase::Commit => Need::Commit(Batch { tick: self }),
            Phase::Act => match (self.pause, self.door.action(self.settled)) {
                (Pause::Until(until), _) => Need::Wait(until),
                (_, Some(action)) => Need::Act(action),
                // `go_on_acting` leaves the phase when no action is left.
                (_, None) => Need::Yield,
            },
            Phase::Settle => Need::Settle(Settlement { tick: self }),
            Phase::Over => Need::Sleep(self.checkpoint.due),
        }
    }

    /// The value for [`Need::Key`]: `len` bytes lie in `into`, or the key has no value.
    pub fn key_loaded(&mut self, len: Option<usize>) {
        self.door.key_loaded(len);
    }

    /// The answer for [`Need::Ask`]: `len` bytes lie in `into`, or why there is none.
    pub fn answered(&mut self, answer: Result<usize, Refusal<'_>>) {
        self.door.answered(answer);
    }

    /// The draft is durable.
    pub fn saved(&mut self) {
        self.saved = self.door.record().len();
    }

    /// The batch is durable.
    pub fn committed(&mut self) {
        if self.phase == Phase::Commit {
            let acts = self.checkpoint.unfinished == Unfinished::Actions;
            self.phase = if acts { Phase::Act } else { Phase::Over };
        }
    }

    /// The action of the last [`Need::Act`] has this outcome. When trying again may help, it is tried again, after a while.
    pub fn acted(&mut self, outcome: &Outcome) {
        let action = self.door.action(self.settled).filter(|_| self.phase == Phase::Act && self.pause == Pause::None);
        let Some(kind) = action.map(|action| action.kind) else { return };
        self.attempts += 1;
        if outcome.is_transient() && self.attempts < self.policy.act_attempts {
            self.pause = Pause::Begins;
        } else {
            self.note(kind, outcome.status, &outcome.message);
        }
    }

    /// The wait of the last [`Need::Wait`] is over.
    pub fn waited(&mut self) {
        self.pause = Pause::None;
    }

    /// The settlement is durable.
    pub fn settled(&mut self) {
        if self.phase == Phase::Settle {
            self.phase = Phase::Over;
        }
    }

    /// Where the vigy stands: as in the batch once it is committed, as before until then.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Whether the evaluation failed.
    #[must_use]
    pub const fn failed(&self) -> bool {
        self.failed
    }

    pub(crate) fn conclude(&mut self, fuel: u64, verdict: Verdict<'_>, now: Timestamp) {
        self.failed = verdict != Verdict::Ok;
        self.door.close(fuel, verdict);
        let ending = match verdict {
            Verdict::Ok => Ending::Well { next_in: self.door.asked_next_in() },
            Verdict::Raised { .. } | Verdict::Exhausted(_) => Ending::Failed,
            Verdict::Retry { after_ms, .. } => {
                let (min, max) = (TickInterval::MIN.as_millis(), TickInterval::MAX.as_millis());
                Ending::Retry { after_ms: after_ms.clamp(min, max) }
            }
            Verdict::Permanent { .. } => Ending::Permanent,
        };
        self.checkpoint = self.checkpoint.ticked(&self.plan, &self.policy, self.door.header().at, now, ending);
        self.phase = Phase::Act;
        self.start_outcomes();
        self.settle_what_needs_no_handler();
        // What is left needs a handler, and the handler waits for the commit.
        if self.phase == Phase::Act {
            self.checkpoint.unfinished = Unfinished::Actions;
            self.start_outcomes();
        }
        self.phase = Phase::Commit;
    }

    fn diverged(&mut self, fuel: u64, now: Timestamp) {
        let message = if self.door.lost_secret() { LOST_SECRET } else { DIVERGED };
        self.conclude(fuel, Verdict::Raised { tag: "diverged", message, place: None }, now);
    }

    /// From one action to the next, from one attempt to the next, and from the last one to the settlement.
    fn go_on_acting(&mut self, now: Timestamp) {
        if self.pause == Pause::Begins {
            let seed = seed(self.run()) ^ u64::from(self.settled) << 16 ^ u64::from(self.attempts);
            self.pause = Pause::Until(now.plus(backoff(seed, self.attempts.into(), MAX_ACT_BACKOFF_MS)));
        }
        self.settle_what_needs_no_handler();
        if self.phase == Phase::Settle && self.plan.counts_from_the_end() && self.door.asked_next_in().is_none() {
            self.checkpoint.set_due(self.plan.next(self.checkpoint.grid, now, now), now);
        }
    }

    /// Whether a write, or its answer, has to be durable before anything else happens. What a cut run says again is so already.
    fn must_save(&self) -> bool {
        self.door.writing() && self.door.record().len() > self.saved
    }

    fn start_outcomes(&mut self) {
        (self.settled, self.attempts) = (0, 0);
        // `TickMemory::fits` has seen room for the head.
        self.outcome_bytes = write_head(self.queued(), self.outcomes).unwrap_or_default();
    }

    fn queued(&self) -> u16 {
        if self.failed { 0 } else { self.door.pending() }
    }

    /// Gives `noop`, `defer` and what is only recorded their outcomes, up to the next action that a handler must see.
    fn settle_what_needs_no_handler(&mut self) {
        while self.settled < self.queued() {
            let Some(action) = self.door.action(self.settled) else { break };
            match action.kind {
                ActionKind::Noop => self.note(ActionKind::Noop, ResultStatus::Ok, ""),
                ActionKind::Defer => {
                    let reason = crate::message(action.message.unwrap_or_default());
                    self.note(ActionKind::Defer, ResultStatus::Skipped, &reason);
                }
                kind if self.only_records => self.note(kind, ResultStatus::Ok, ""),
                _ => return,
            }
        }
        self.phase = Phase::Settle;
    }

    /// Writes the outcome of the next action. The message is cut so that every later action keeps its room.
    fn note(&mut self, kind: ActionKind, status: ResultStatus, message: &str) {
        let later = usize::from(self.queued() - self.settled - 1);
        let free = self.outcomes.len().saturating_sub(self.outcome_bytes + later * OUTCOME_MIN);
        let message = cut(message, MESSAGE_BYTES.min(free.saturating_sub(OUTCOME_MIN)));
        let line = Settled { index: self.settled, kind, status, message, attempts: self.attempts };
        // `TickMemory::fits` has seen OUTCOME_MIN bytes per action.
        self.outcome_bytes += write_line(&line, &mut self.outcomes[self.outcome_bytes..]).unwrap_or_default();
        self.settled += 1;
        self.attempts = 0;
    }

    fn run(&self) -> RunKey {
        let header = self.door.header();
        RunKey { incarnation: header.incarnation, tick: header.tick }
    }
}

/// The message of a tick that was cut, and whose vigy is another one now.
const CHANGED: &str = "the program or its limits changed while this tick was cut in two: the record lists what it has written";

/// The message of a tick that was cut, and that does not do again what it did.
const DIVERGED: &str = "cut in two and evaluated again, the tick did not say what it said before: the record lists what it has written";

/// The message of a tick that was cut, and would go on from a secret that is not there any more.
const LOST_SECRET: &str =
    "cut in two and evaluated again, the tick was not given the secret answer it had before: the record lists what it has written";

/// Whether the host ended a run that was cut in two, and not its program.
#[cfg(feature = "alloc")]
pub(crate) fn is_cut(verdict: &Verdict<'_>) -> bool {
    matches!(verdict, Verdict::Raised { message, .. } if [CHANGED, DIVERGED, LOST_SECRET].contains(message))
}

/// Why a run cannot be taken up again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResumeError {
    /// Its record does not decode.
    Damaged(DamagedRecord),
    /// It does not fit.
    Memory(MemoryTooSmall),
    /// The store does not have it.
    Missing,
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(damage) => damage.fmt(f),
            Self::Memory(memory) => memory.fmt(f),
            Self::Missing => f.write_str("the store does not have its record"),
        }
    }
}

impl core::error::Error for ResumeError {}

impl From<DamagedRecord> for ResumeError {
    fn from(damage: DamagedRecord) -> Self {
        Self::Damaged(damage)
    }
}

impl From<MemoryTooSmall> for ResumeError {
    fn from(memory: MemoryTooSmall) -> Self {
        Self::Memory(memory)
    }
}

/// A vigy that is about to begin the tick of this header.
#[cfg(feature = "alloc")]
fn before(header: &Header) -> (Spec, Checkpoint) {
    let checkpoint =
        Checkpoint { ticks: header.tick.saturating_sub(1), last: header.previous, ..Checkpoint::new(header.incarnation, header.at) };
    (Spec::every(TickInterval::MAX, header.program, header.limits), checkpoint)
}
