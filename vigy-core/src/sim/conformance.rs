//! What every store MUST do, as a test for implementations of [`Storage`] and [`AsyncStorage`].
//!
//! Ticks that read, write, ask and act at random are driven on the store and on a model of it. The store is closed and opened again in
//! between, as when the power goes: then it has what it acknowledged. Where a [`Subject`] can make a write fail, what failed is there as a
//! whole or not at all.
//!
//! ```
//! use vigy_core::sim::MemoryStorage;
//! use vigy_core::sim::conformance::{Subject, check};
//! use vigy_core::{Checkpoint, Limits};
//!
//! struct Memory;
//!
//! impl Subject for Memory {
//!     type Storage = MemoryStorage;
//!     fn open(&mut self, before: Option<MemoryStorage>) -> (MemoryStorage, Option<Checkpoint>) {
//!         let storage = before.unwrap_or_default();
//!         let checkpoint = storage.checkpoint;
//!         (storage, checkpoint)
//!     }
//! }
//!
//! for seed in 0..10 {
//!     check(&mut Memory, seed, 50).unwrap();
//! }
//! ```

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use super::Random;
use crate::{
    Access, ActionKind, AsyncStorage, Batch, Checkpoint, Door, Draft, Evaluator, Failure, Incarnation, LAST_OUTCOMES, Limits, Need,
    Outcome, Piece, RunKey, Settlement, Spec, Step, Storage, Tick, TickBuffers, TickInterval, Timestamp, Unfinished, VerbError,
};

/// A store under test.
pub trait Subject {
    /// The store.
    type Storage: Storage;

    /// Opens the store: an empty one without `before`; otherwise the same again, of which `before` is what was open, and may just be
    /// dropped. Hands out the checkpoint that it keeps, too.
    fn open(&mut self, before: Option<Self::Storage>) -> (Self::Storage, Option<Checkpoint>);

    /// Makes the next write fail, before, in the middle or after the fact, or one after it. Says whether it can do that.
    fn fail_next_write(&mut self, storage: &mut Self::Storage) -> bool {
        let _ = storage;
        false
    }

    /// What the ticks may use.
    fn limits(&self) -> Limits {
        LIMITS
    }
}

/// [`Subject`] for stores that are awaited.
#[allow(async_fn_in_trait, reason = "the futures of a concrete store are Send when the store's own are")]
pub trait AsyncSubject {
    /// The store.
    type Storage: AsyncStorage;
    /// As [`Subject::open`].
    async fn open(&mut self, before: Option<Self::Storage>) -> (Self::Storage, Option<Checkpoint>);
    /// As [`Subject::fail_next_write`].
    fn fail_next_write(&mut self, storage: &mut Self::Storage) -> bool {
        let _ = storage;
        false
    }
    /// As [`Subject::limits`].
    fn limits(&self) -> Limits {
        LIMITS
    }
}

/// What the ticks use if the subject does not say otherwise: little.
pub const LIMITS: Limits = Limits {
    fuel: 1000,
    heap_bytes: 0,
    depth: 0,
    stack_bytes: 0,
    output_bytes: 0,
    actions: 4,
    log_lines: 0,
    kv_keys: 12,
    record_bytes: 4096,
    value_bytes: 8192,
};

/// A promise that the store did not keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// After how many ticks.
    pub tick: u64,
    /// What it did.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in tick {}: {}", self.tick, self.what)
    }
}

impl core::error::Error for Violation {}

/// Drives `ticks` ticks on a fresh store. What they do depends on the seed alone.
///
/// # Errors
/// The first [`Violation`].
pub fn check<S: Subject>(subject: &mut S, seed: u64, ticks: u64) -> Result<(), Violation> {
    let mut subject = Blocking(subject);
    let mut checked = pin!(check_async(&mut subject, seed, ticks));
    loop {
        // Nothing here waits for anything.
        if let Poll::Ready(result) = checked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
}

/// [`check`] for stores that are awaited.
///
/// # Errors
/// The first [`Violation`].
pub async fn check_async<S: AsyncSubject>(subject: &mut S, seed: u64, ticks: u64) -> Result<(), Violation> {
    let (storage, checkpoint) = subject.open(None).await;
    let limits = subject.limits();
    let mut trial = Trial { subject, storage: Some(storage), model: Model::default(), limits, random: Random(seed), seed, may_fail: false };
    let result = match checkpoint {
        Some(_) => Err("an empty store has a checkpoint".to_owned()),
        None => trial.run(ticks).await,
    };
    result.map_err(|what| Violation { tick: trial.model.checkpoint.map_or(0, |checkpoint| checkpoint.ticks), what })
}

/// What the store should have.
#[derive(Clone, Default)]
struct Model {
    kv: BTreeMap<String, Vec<u8>>,
    outcomes: Option<Vec<u8>>,
    /// The record, or the draft, of the run that is not finished, and its values.
    unfinished: Option<(RunKey, Vec<u8>, Vec<Vec<u8>>)>,
    checkpoint: Option<Checkpoint>,
}

fn owned<'v>(values: impl Iterator<Item = (&'v [u8; 32], &'v [u8])>) -> Vec<Vec<u8>> {
    values.map(|(_, value)| value.to_owned()).collect()
}

impl Model {
    fn save(&mut self, draft: &Draft<'_>) {
        self.unfinished = Some((draft.run(), draft.record().to_owned(), owned(draft.values())));
        self.checkpoint = Some(draft.checkpoint());
    }

    fn commit(&mut self, batch: &Batch<'_>) {
        for (key, value) in batch.kv_writes() {
            match value {
                Some(value) => drop(self.kv.insert(key.to_owned(), value.to_owned())),
                None => drop(self.kv.remove(key)),
            }
        }
        self.unfinished = Some((batch.run(), batch.record().to_owned(), owned(batch.values())));
        if let Some(outcomes) = batch.outcomes() {
            self.outcomes = Some(outcomes.to_owned());
        }
        self.checkpoint = Some(*batch.checkpoint());
    }

    fn settle(&mut self, settlement: &Settlement<'_>) {
        self.outcomes = Some(settlement.outcomes().to_owned());
        self.checkpoint = Some(settlement.checkpoint());
    }
}

/// What a tick does, one after the other. The same for the same seed and tick.
struct Script {
    verbs: Vec<Verb>,
    at: usize,
}

enum Verb {
    Get(String),
    Set(String, Vec<u8>),
    Remove(String),
    Act(ActionKind, Vec<u8>),
    Ask(Access),
    Fail,
}

/// Keys that ticks use.
const KEYS: usize = 8;

fn key(index: usize) -> String {
    format!("key/{index}")
}

/// Bytes of any kind: none, a few, as many as stand in a record, one more, and as many as an eighth of what the limits allow.
fn bytes(random: &mut Random, limits: &Limits) -> Vec<u8> {
    let len = [0, 1, random.below(100), 255, 256, 257, random.below(limits.value_bytes as usize / 8)][random.below(7)];
    (0..len).map(|_| random.next() as u8).collect()
}

impl Script {
    fn of(seed: u64, tick: u64, limits: &Limits) -> Self {
        let mut random = Random(seed ^ tick.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let verbs = (0..random.below(7)).map(|_| match random.below(12) {
            0..4 => Verb::Set(key(random.below(KEYS)), bytes(&mut random, limits)),
            4..6 => Verb::Remove(key(random.below(KEYS))),
            6 => Verb::Get(LAST_OUTCOMES.to_owned()),
            7 => Verb::Get(key(random.below(KEYS))),
            8 => Verb::Act([ActionKind::Push, ActionKind::Noop][random.below(2)], bytes(&mut random, limits)),
            9 => Verb::Ask(Access::Read),
            10 => Verb::Ask(Access::Write),
            _ if random.once_in(3) => Verb::Fail,
            _ => Verb::Act(ActionKind::Push, Vec::new()),
        });
        Self { verbs: verbs.collect(), at: 0 }
    }
}

impl Evaluator for Script {
    fn step(&mut self, door: &mut Door<'_>, _: u64) -> Step {
        while let Some(verb) = self.verbs.get(self.at) {
            let done = match verb {
                Verb::Get(key) => door.get(key).map(|poll| poll.is_ready()),
                Verb::Set(key, value) => door.set(key, &value[..]).map(|()| true),
                Verb::Remove(key) => door.remove(key).map(|()| true),
                Verb::Act(kind, payload) => door.act(*kind, Some(&payload[..]), None).map(|()| true),
                Verb::Ask(access) => door.ask("test/ask", *access, &[][..]).map(|poll| poll.is_ready()),
                Verb::Fail => return Step::Failed(Failure::raised("test", "as the script says", None)),
            };
            match done {
                Ok(true) => self.at += 1,
                Ok(false) => return Step::Waiting,
                Err(VerbError::Exhausted(resource)) => return Step::Failed(Failure::Exhausted(resource)),
                Err(_) => return Step::Failed(Failure::raised("test", "a mistake of the script", None)),
            }
        }
        Step::Done
    }

    fn fuel_used(&self) -> u64 {
        self.at as u64
    }
}

/// What came of a write.
enum Written {
    /// It is acknowledged.
    Yes,
    /// It failed: it is there, as the second model says, or it is not.
    Perhaps(Model),
}

struct Trial<'s, S: AsyncSubject> {
    subject: &'s mut S,
    /// Always there but while it is opened again.
    storage: Option<S::Storage>,
    model: Model,
    limits: Limits,
    random: Random,
    seed: u64,
    /// A write was made to fail, and that has not happened yet.
    may_fail: bool,
}

impl<S: AsyncSubject> Trial<'_, S> {
    async fn run(&mut self, ticks: u64) -> Result<(), String> {
        let mut buffers = TickBuffers::for_limits(&self.limits);
        while self.checkpoint().ticks < ticks {
            if let Written::Perhaps(other) = self.tick(&mut buffers).await? {
                self.reopen(Some(other)).await?;
            } else if self.random.once_in(4) {
                self.reopen(None).await?;
            } else {
                let storage = self.storage.as_mut().ok_or("it is closed")?;
                compare(storage, &self.model).await?;
            }
        }
        Ok(())
    }

    fn checkpoint(&self) -> Checkpoint {
        self.model.checkpoint.unwrap_or_else(|| Checkpoint::new(Incarnation(1), Timestamp(0)))
    }

    /// Drives a tick, or what is left of one, up to its end, a write that fails, or a moment where the power goes.
    async fn tick(&mut self, buffers: &mut TickBuffers) -> Result<Written, String> {
        let spec = Spec::every(TickInterval::MIN, [1; 32], self.limits);
        let checkpoint = self.checkpoint();
        let mut now = checkpoint.due;
        let memory = buffers.memory();
        let mut tick = match (checkpoint.unfinished, &self.model.unfinished) {
            (Unfinished::Nothing, _) | (_, None) => Tick::begin(&spec, &checkpoint, now, memory).map_err(|error| format!("{error}"))?,
            (_, Some((_, record, values))) => {
                let mut tick = Tick::resume(&spec, &checkpoint, record, memory).map_err(|error| format!("{error}"))?;
                for value in values {
                    tick.restore_value(value).map_err(|error| format!("{error}"))?;
                }
                tick
            }
        };
        let number = if checkpoint.unfinished == Unfinished::Actions { checkpoint.ticks } else { checkpoint.ticks + 1 };
        let mut script = Script::of(self.seed, number, &self.limits);
        let Self { subject, storage, model, random, limits, may_fail, .. } = self;
        let storage = storage.as_mut().ok_or("it is closed")?;
        loop {
            let mut next = model.clone();
            let written = match tick.next(&mut script, now) {
                Need::Yield => continue,
                Need::Key { key, into } => {
                    let len = storage.get(key, into).await.map_err(|_| format!("it does not give {key}"))?;
                    let value = if key == LAST_OUTCOMES { model.outcomes.as_ref() } else { model.kv.get(key) };
                    same(key, len.map(|len| &into[..len]), value.map(Vec::as_slice))?;
                    tick.key_loaded(len);
                    continue;
                }
                Need::Ask { into, .. } => {
                    let answer = bytes(random, limits);
                    let room = into.get_mut(..answer.len()).map(|into| into.copy_from_slice(&answer));
                    tick.answered(room.map(|()| answer.len()).ok_or(crate::Refusal { tag: "too-large", message: "" }));
                    continue;
                }
                Need::Act(_) => {
                    tick.acted(&if random.once_in(4) { Outcome::refused("as it happens") } else { Outcome::ok() });
                    continue;
                }
                Need::Wait(until) => {
                    now = until;
                    tick.waited();
                    continue;
                }
                Need::Sleep(_) => return Ok(Written::Yes),
                Need::Save(draft) => {
                    next.save(&draft);
                    let fails = random.once_in(8) && subject.fail_next_write(storage) || *may_fail;
                    let written = storage.save(&draft).await.is_ok();
                    if written {
                        tick.saved();
                    }
                    (written, fails)
                }
                Need::Commit(batch) => {
                    next.commit(&batch);
                    let fails = random.once_in(8) && subject.fail_next_write(storage) || *may_fail;
                    let written = storage.commit(&batch).await.is_ok();
                    if written {
                        tick.committed();
                    }
                    (written, fails)
                }
                Need::Settle(settlement) => {
                    next.settle(&settlement);
                    let fails = random.once_in(8) && subject.fail_next_write(storage) || *may_fail;
                    let written = storage.settle(&settlement).await.is_ok();
                    if written {
                        tick.settled();
                    }
                    (written, fails)
                }
            };
            *may_fail = written.1;
            match written {
                (true, _) => *model = next,
                (false, true) => return Ok(Written::Perhaps(next)),
                (false, false) => return Err("a write failed that nobody made fail".to_owned()),
            }
            // The power goes right after a write.
            if random.once_in(6) {
                return Ok(Written::Perhaps(model.clone()));
            }
        }
    }

    /// Closes the store and opens it again. It has what the model says; after a write that failed, it may have what `other` says.
    async fn reopen(&mut self, other: Option<Model>) -> Result<(), String> {
        let (storage, checkpoint) = self.subject.open(self.storage.take()).await;
        self.may_fail = false;
        let storage = self.storage.insert(storage);
        let first = agrees(storage, checkpoint, &self.model).await;
        let (Err(before), Some(other)) = (&first, other) else { return first };
        match agrees(storage, checkpoint, &other).await {
            Ok(()) => self.model = other,
            Err(after) if after == *before => return Err(after),
            Err(after) => return Err(format!("a write that failed is there in part: without it, {before}; with it, {after}")),
        }
        Ok(())
    }
}

async fn agrees<S: AsyncStorage>(storage: &mut S, checkpoint: Option<Checkpoint>, model: &Model) -> Result<(), String> {
    if checkpoint != model.checkpoint {
        return Err(format!("its checkpoint is {checkpoint:?} instead of {:?}", model.checkpoint));
    }
    compare(storage, model).await
}

/// Whether the store gives what the model says.
async fn compare<S: AsyncStorage>(storage: &mut S, model: &Model) -> Result<(), String> {
    let mut into = [0; 4096];
    let keys = (0..KEYS).map(|index| (key(index), model.kv.get(&key(index))));
    for (key, value) in keys.chain([(LAST_OUTCOMES.to_owned(), model.outcomes.as_ref())]) {
        let len = storage.get(&key, &mut into).await.map_err(|_| format!("it does not give {key}"))?;
        same(&key, len.map(|len| &into[..len]), value.map(Vec::as_slice))?;
        let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
        if storage.get(&key, &mut into[..value.len() - 1]).await.is_ok() {
            return Err(format!("it cuts {key}, which does not fit"));
        }
    }
    let checkpoint = model.checkpoint.filter(|checkpoint| checkpoint.unfinished != Unfinished::Nothing);
    let (Some(_), Some((run, record, values))) = (checkpoint, &model.unfinished) else { return Ok(()) };
    let (mut first, mut given) = (None, Vec::new());
    let visited = storage.unfinished(*run, |piece| match piece {
        Piece::Record(record) if first.is_none() && given.is_empty() => first = Some(record.to_owned()),
        Piece::Record(_) => given.clear(),
        Piece::Value(value) => given.push(value.to_owned()),
    });
    visited.await.map_err(|_| format!("it does not hand out {run}, which is not finished"))?;
    if first.as_ref() != Some(record) {
        return Err(format!("what it hands out first is not the record of {run}, which is not finished"));
    }
    if values.iter().any(|value| !given.contains(value)) {
        return Err(format!("it does not hand out a value of {run}, which is not finished"));
    }
    Ok(())
}

fn same(key: &str, found: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), String> {
    let say = |value: Option<&[u8]>| value.map_or_else(|| "nothing".to_owned(), |value| format!("{} bytes", value.len()));
    if found == value { Ok(()) } else { Err(format!("{key} has other bytes: {} instead of {}", say(found), say(value))) }
}

/// A store that blocks, and its subject, as if they were awaited.
struct Blocking<T>(T);

impl<S: Storage> AsyncStorage for Blocking<S> {
    type Error = S::Error;

    async fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, S::Error> {
        self.0.get(key, into)
    }

    async fn save(&mut self, draft: &Draft<'_>) -> Result<(), S::Error> {
        self.0.save(draft)
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), S::Error> {
        self.0.commit(batch)
    }

    async fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), S::Error> {
        self.0.settle(settlement)
    }

    async fn unfinished(&mut self, run: RunKey, mut visit: impl FnMut(Piece<'_>)) -> Result<(), S::Error> {
        self.0.unfinished(run, &mut visit)
    }
}

impl<S: Subject> AsyncSubject for Blocking<&mut S> {
    type Storage = Blocking<S::Storage>;

    async fn open(&mut self, before: Option<Self::Storage>) -> (Self::Storage, Option<Checkpoint>) {
        let (storage, checkpoint) = self.0.open(before.map(|Blocking(storage)| storage));
        (Blocking(storage), checkpoint)
    }

    fn fail_next_write(&mut self, storage: &mut Self::Storage) -> bool {
        self.0.fail_next_write(&mut storage.0)
    }

    fn limits(&self) -> Limits {
        self.0.limits()
    }
}
