//! What a host provides: a clock, a store, and effects. Each comes in a blocking and an async form with the same contract.

use crate::{Ask, AskError, Batch, Draft, Outcome, ReconcileAction, RunKey, SecretKey, Settlement, Timestamp};

/// Tells the time and waits for it.
pub trait Clock {
    /// The time now. MUST not fail. MAY go backwards: see [`crate::Checkpoint::rebase`].
    fn now(&mut self) -> Timestamp;

    /// Returns at `until` or later. MAY return early when something else became due.
    fn sleep_until(&mut self, until: Timestamp);
}

/// Keeps what must survive, for one vigy.
pub trait Storage {
    /// What can go wrong. After an error the tick is given up, and nothing of what failed may be visible later.
    type Error;

    /// Copies the value of `key` to the front of `into` and says how long it is, or that there is none.
    ///
    /// - MUST answer what the last commit left.
    /// - For [`crate::LAST_OUTCOMES`] MUST answer the outcomes of the last settlement, or of the last batch that had them.
    /// - MUST fail rather than cut a value that does not fit.
    ///
    /// # Errors
    /// The store's own.
    fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, Self::Error>;

    /// Makes a run durable as far as it got: its draft and the draft's checkpoint. Called twice per write that a program asks for.
    ///
    /// - MUST be atomic, and MUST return only when it is durable: the write goes out after it.
    /// - MUST replace an earlier draft.
    ///
    /// # Errors
    /// The store's own.
    fn save(&mut self, draft: &Draft<'_>) -> Result<(), Self::Error>;

    /// Makes a batch durable. Called once per tick.
    ///
    /// - MUST be atomic: record, values, kv writes, outcomes, checkpoint, or nothing of it, whenever the power goes.
    /// - MUST remove the draft, if there is one.
    /// - MUST return only when it is durable.
    ///
    /// # Errors
    /// The store's own.
    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Self::Error>;

    /// Makes outcomes and their checkpoint durable, atomically. Called at most once per tick, after its commit.
    ///
    /// # Errors
    /// The store's own.
    fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), Self::Error>;

    /// Hands the record of `run` to `visit`, or its draft, then every value that refers to by hash, in any order. Called when the vigy
    /// starts with a checkpoint that says [`crate::Unfinished`]; `run` is its last tick, which retention MUST have kept, or the one
    /// after it, which has a draft.
    ///
    /// # Errors
    /// The store's own.
    fn unfinished(&mut self, run: RunKey, visit: &mut dyn FnMut(Piece<'_>)) -> Result<(), Self::Error>;
}

/// A piece of a run that is not finished.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Its record, or its draft: first, once.
    Record(&'a [u8]),
    /// A value its record refers to.
    Value(&'a [u8]),
}

/// Answers questions and carries out actions.
pub trait Effects {
    /// Writes the answer to the front of `into`, as data bytes, and says how many; or refuses.
    ///
    /// - MUST check that the vigy may ask this.
    /// - MUST refuse an operation that writes when the ask has no key: its program takes it for a read.
    /// - MUST refuse an operation whose answers are secret when the ask is not: its program would show the answer in the record.
    /// - May get the last write of a run again after a crash, under the same key: the receiver deduplicates by it.
    /// - MUST refuse rather than cut an answer that does not fit.
    ///
    /// # Errors
    /// An [`AskError`], which the program may catch.
    fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError>;

    /// Carries out an action and says what came of it.
    ///
    /// - MAY be called again with the same key, after a crash and after a failure that may pass ([`Outcome::failed`]): the receiver
    ///   deduplicates by it. A failure that will not pass is [`Outcome::refused`].
    /// - MUST return in bounded time.
    fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome;

    /// Whether the actions have no handler: that they stand in the run's record is all there is to do. Then they are ok as of the batch,
    /// and [`Effects::act`] never hears of them. MUST be false when anything outside depends on them. Default: they have a handler.
    fn only_records(&self) -> bool {
        false
    }

    /// The key that secret answers are hashed under; asked for after each of them. The same for as long as the store lives. Without one, the answer to a secret ask is
    /// thrown away and the ask refused as `denied`.
    fn secret_key(&self) -> Option<SecretKey> {
        None
    }
}

/// [`Clock`], for hosts with an executor.
#[allow(async_fn_in_trait, reason = "the futures of a concrete host are Send when the host's own are")]
pub trait AsyncClock {
    /// As [`Clock::now`].
    fn now(&mut self) -> Timestamp;
    /// As [`Clock::sleep_until`].
    async fn sleep_until(&mut self, until: Timestamp);
    /// Lets others go first, after a slice of evaluation.
    async fn yield_now(&mut self);
}

/// [`Storage`], for hosts with an executor.
#[allow(async_fn_in_trait, reason = "the futures of a concrete host are Send when the host's own are")]
#[allow(clippy::missing_errors_doc, reason = "as in the blocking form")]
pub trait AsyncStorage {
    /// As [`Storage::Error`].
    type Error;
    /// As [`Storage::get`].
    async fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, Self::Error>;
    /// As [`Storage::save`].
    async fn save(&mut self, draft: &Draft<'_>) -> Result<(), Self::Error>;
    /// As [`Storage::commit`].
    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Self::Error>;
    /// As [`Storage::settle`].
    async fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), Self::Error>;
    /// As [`Storage::unfinished`].
    async fn unfinished(&mut self, run: RunKey, visit: impl FnMut(Piece<'_>)) -> Result<(), Self::Error>;
}

/// [`Effects`], for hosts with an executor.
#[allow(async_fn_in_trait, reason = "the futures of a concrete host are Send when the host's own are")]
#[allow(clippy::missing_errors_doc, reason = "as in the blocking form")]
pub trait AsyncEffects {
    /// As [`Effects::ask`].
    async fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError>;
    /// As [`Effects::act`].
    async fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome;
    /// As [`Effects::only_records`].
    fn only_records(&self) -> bool {
        false
    }
    /// As [`Effects::secret_key`].
    fn secret_key(&self) -> Option<SecretKey> {
        None
    }
}
