//! Simulated hosts: ordinary implementations of the ports, in memory and in virtual time, with faults on request. For the tests of
//! this crate and of whoever embeds it.

pub mod conformance;
mod random;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::{
    ActionKey, Ask, AskError, Batch, Checkpoint, Clock, Draft, Effects, LAST_OUTCOMES, Outcome, Piece, ReconcileAction, RunKey, Settlement,
    Storage, Timestamp,
};

pub use random::Random;

/// A clock that moves only when told, or when someone sleeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct ManualClock(pub Timestamp);

impl Clock for ManualClock {
    fn now(&mut self) -> Timestamp {
        self.0
    }

    fn sleep_until(&mut self, until: Timestamp) {
        self.0 = self.0.max(until);
    }
}

/// A store in memory: atomic because nothing can interrupt it.
#[derive(Clone, PartialEq, Debug, Default)]
#[allow(missing_docs, reason = "the tables")]
pub struct MemoryStorage {
    pub kv: BTreeMap<String, Vec<u8>>,
    pub runs: BTreeMap<RunKey, Vec<u8>>,
    pub outcomes: BTreeMap<RunKey, Vec<u8>>,
    pub values: BTreeMap<[u8; 32], Vec<u8>>,
    pub drafts: BTreeMap<RunKey, SavedDraft>,
    pub checkpoint: Option<Checkpoint>,
}

/// A draft's record, and the values it refers to.
pub type SavedDraft = (Vec<u8>, Vec<Vec<u8>>);

/// The store is gone: [`CrashStorage`] has crashed, or an answer does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone;

impl core::fmt::Display for Gone {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the store is gone")
    }
}

impl Storage for MemoryStorage {
    type Error = Gone;

    fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, Gone> {
        let value = if key == LAST_OUTCOMES { self.outcomes.values().next_back() } else { self.kv.get(key) };
        let Some(value) = value else { return Ok(None) };
        into.get_mut(..value.len()).ok_or(Gone)?.copy_from_slice(value);
        Ok(Some(value.len()))
    }

    fn save(&mut self, draft: &Draft<'_>) -> Result<(), Gone> {
        let values = draft.values().map(|(_, value)| value.to_owned()).collect();
        self.drafts.insert(draft.run(), (draft.record().to_owned(), values));
        self.checkpoint = Some(draft.checkpoint());
        Ok(())
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Gone> {
        self.drafts.clear();
        for (key, value) in batch.kv_writes() {
            match value {
                Some(value) => self.kv.insert(key.to_owned(), value.to_owned()),
                None => self.kv.remove(key),
            };
        }
        self.runs.insert(batch.run(), batch.record().to_owned());
        self.values.extend(batch.values().map(|(hash, value)| (*hash, value.to_owned())));
        if let Some(outcomes) = batch.outcomes() {
            self.outcomes.insert(batch.run(), outcomes.to_owned());
        }
        self.checkpoint = Some(*batch.checkpoint());
        Ok(())
    }

    fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), Gone> {
        self.outcomes.insert(settlement.run(), settlement.outcomes().to_owned());
        self.checkpoint = Some(settlement.checkpoint());
        Ok(())
    }

    fn unfinished(&mut self, run: RunKey, visit: &mut dyn FnMut(Piece<'_>)) -> Result<(), Gone> {
        if let Some((record, values)) = self.drafts.get(&run) {
            visit(Piece::Record(record));
            values.iter().for_each(|value| visit(Piece::Value(value)));
            return Ok(());
        }
        visit(Piece::Record(self.runs.get(&run).ok_or(Gone)?));
        self.values.values().for_each(|value| visit(Piece::Value(value)));
        Ok(())
    }
}

/// A [`MemoryStorage`] that crashes after some writes: each draft, each commit and each settlement is one. What came before the crash is in
/// `disk`, for the next life.
#[derive(Clone, Debug, Default)]
pub struct CrashStorage {
    /// What survives.
    pub disk: MemoryStorage,
    /// Writes until the crash.
    pub writes_left: u32,
    /// Whether the write that crashes still reaches the disk: done, but never acknowledged.
    pub last_write_lands: bool,
}

impl CrashStorage {
    fn write(&mut self, write: impl FnOnce(&mut MemoryStorage) -> Result<(), Gone>) -> Result<(), Gone> {
        if self.writes_left > 0 {
            self.writes_left -= 1;
            return write(&mut self.disk);
        }
        if core::mem::take(&mut self.last_write_lands) {
            write(&mut self.disk)?;
        }
        Err(Gone)
    }
}

impl Storage for CrashStorage {
    type Error = Gone;

    fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, Gone> {
        self.disk.get(key, into)
    }

    fn save(&mut self, draft: &Draft<'_>) -> Result<(), Gone> {
        self.write(|disk| disk.save(draft))
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Gone> {
        self.write(|disk| disk.commit(batch))
    }

    fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), Gone> {
        self.write(|disk| disk.settle(settlement))
    }

    fn unfinished(&mut self, run: RunKey, visit: &mut dyn FnMut(Piece<'_>)) -> Result<(), Gone> {
        self.disk.unfinished(run, visit)
    }
}

/// An answer for one ask, or for every ask of its kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedAnswer {
    /// Whose answer, as `fs/list`.
    pub operation: String,
    /// Which arguments it answers, as data bytes of a list; any when nothing.
    pub arguments: Option<Vec<u8>>,
    /// Data bytes, or why there are none.
    pub answer: Result<Vec<u8>, AskError>,
    /// Whether it is used up by the first ask that it answers.
    pub once: bool,
}

/// Effects that answer from a list and keep what they are told to do.
#[derive(Clone, Debug, Default)]
pub struct RecordedEffects {
    /// The answers; the first that fits an ask is its answer. When none does, the ask is refused as `not-recorded`.
    pub answers: Vec<RecordedAnswer>,
    /// What was asked, in order.
    pub asked: Vec<Asked>,
    /// What was done, in order: key and kind as text.
    pub acted: Vec<String>,
}

/// What was asked once.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in an ask")]
pub struct Asked {
    pub key: Option<ActionKey>,
    pub operation: String,
    pub arguments: Vec<u8>,
}

impl RecordedEffects {
    /// Answers every ask of `operation` with these data bytes.
    #[must_use]
    pub fn always(mut self, operation: &str, answer: Vec<u8>) -> Self {
        let operation = operation.to_owned();
        self.answers.push(RecordedAnswer { operation, arguments: None, answer: Ok(answer), once: false });
        self
    }

    /// The answer to an ask, which is used up if it is for one ask only.
    ///
    /// # Errors
    /// The recorded refusal, or `not-recorded`.
    pub fn answer(&mut self, ask: &Ask<'_>) -> Result<Vec<u8>, AskError> {
        let (operation, arguments) = (ask.operation.to_owned(), ask.arguments.to_owned());
        self.asked.push(Asked { key: ask.key, operation, arguments });
        let fits = |recorded: &RecordedAnswer| {
            recorded.operation == ask.operation && recorded.arguments.as_deref().is_none_or(|arguments| arguments == ask.arguments)
        };
        match self.answers.iter().position(fits) {
            Some(index) if self.answers[index].once => self.answers.remove(index).answer,
            Some(index) => self.answers[index].answer.clone(),
            None => Err(AskError::new("not-recorded", format_args!("no recorded answer for {}", ask.operation))),
        }
    }
}

impl Effects for RecordedEffects {
    fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        let answer = self.answer(ask)?;
        let too_large = || AskError::new("too-large", format_args!("the answer has {} bytes", answer.len()));
        into.get_mut(..answer.len()).ok_or_else(too_large)?.copy_from_slice(&answer);
        Ok(answer.len())
    }

    fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        self.acted.push(alloc::format!("{} {}", action.key, action.kind));
        Outcome::ok()
    }
}

/// Effects of which every `every`-th fails, counted over asks and actions together.
#[derive(Clone, Debug)]
pub struct FlakyEffects<F> {
    /// Who does the rest.
    pub inner: F,
    /// One in how many fails; 0 never.
    pub every: u32,
    /// Calls so far.
    pub calls: u32,
}

impl<F> FlakyEffects<F> {
    fn fails(&mut self) -> bool {
        self.calls += 1;
        self.every > 0 && self.calls.is_multiple_of(self.every)
    }
}

impl<F: Effects> Effects for FlakyEffects<F> {
    fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        if self.fails() {
            return Err(AskError::new("timeout", format_args!("injected")));
        }
        self.inner.ask(ask, into)
    }

    fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        if self.fails() { Outcome::failed("injected") } else { self.inner.act(action) }
    }

    fn only_records(&self) -> bool {
        self.inner.only_records()
    }
}
