//! What a tick makes durable, and when: drafts while it evaluates, one batch at its end, a settlement when all is done.

use super::Tick;
#[cfg(doc)]
use crate::record::Record;
use crate::record::{Entry, Header};
use crate::{Checkpoint, Kept, ReconcileAction, RunKey, Unfinished};

/// A run up to a write that is about to go out, or up to the answer of one. It replaces an earlier draft; the run's commit removes it.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'t> {
    pub(super) tick: &'t Tick<'t>,
}

impl<'t> Draft<'t> {
    /// The run's name.
    #[must_use]
    pub fn run(&self) -> RunKey {
        self.tick.run()
    }

    /// The record so far: [`Record::parse_draft`] reads it.
    #[must_use]
    pub fn record(&self) -> &'t [u8] {
        self.tick.door.record()
    }

    /// The values that the record refers to by hash, each once.
    #[must_use]
    pub fn values(&self) -> Kept<'t> {
        self.tick.door.values()
    }

    /// Where the vigy stands: as before this tick, with an unfinished evaluation.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { unfinished: Unfinished::Evaluation, ..self.tick.checkpoint }
    }
}

/// What one tick makes durable, all at once.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'t> {
    pub(super) tick: &'t Tick<'t>,
}

impl<'t> Batch<'t> {
    /// The run's name.
    #[must_use]
    pub fn run(&self) -> RunKey {
        self.tick.run()
    }

    /// What the run started from.
    #[must_use]
    pub fn header(&self) -> &'t Header {
        self.tick.door.header()
    }

    /// Whether the evaluation failed. Then there are no kv writes and no actions; the record still shows what they would have been.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.tick.failed
    }

    /// Where the vigy stands from now on.
    #[must_use]
    pub fn checkpoint(&self) -> &'t Checkpoint {
        &self.tick.checkpoint
    }

    /// The canonical record.
    #[must_use]
    pub fn record(&self) -> &'t [u8] {
        self.tick.door.record()
    }

    /// The values the record refers to by hash, each once.
    #[must_use]
    pub fn values(&self) -> Kept<'t> {
        self.tick.door.values()
    }

    /// The entries of the record, with their values in place.
    pub fn entries(&self) -> impl Iterator<Item = (Entry<'t>, Option<&'t [u8]>)> {
        let door = &self.tick.door;
        door.entries().map(|(_, entry)| (entry, entry.content().and_then(|content| door.values().bytes(content))))
    }

    /// The entries that tell of a state: desired, observed, conditions, metrics; with their values in place. O(1) when there are none.
    pub fn states(&self) -> impl Iterator<Item = (Entry<'t>, Option<&'t [u8]>)> {
        let entries = self.tick.door.tells_states().then(|| self.entries());
        entries.into_iter().flatten().filter(|(entry, _)| entry.is_state())
    }

    /// The keys to write, each once with its last value; nothing removes the key. O(1) when the run has no keys.
    pub fn kv_writes(&self) -> impl Iterator<Item = (&'t str, Option<&'t [u8]>)> {
        let door = &self.tick.door;
        let entries = (!self.tick.failed && door.has_keys()).then(|| door.entries());
        entries.into_iter().flatten().filter_map(move |(at, entry)| match entry {
            Entry::KvWrite { key, value } if door.is_last_write(key, at) => Some((key, value.and_then(|value| door.values().bytes(value)))),
            _ => None,
        })
    }

    /// The actions to carry out after the commit.
    pub fn actions(&self) -> impl Iterator<Item = ReconcileAction<'t>> {
        let door = &self.tick.door;
        (0..self.tick.queued()).filter_map(|index| door.action(index))
    }

    /// The outcomes, when none of the actions needs a handler: then no settlement follows. [`crate::settled`] reads them.
    #[must_use]
    pub fn outcomes(&self) -> Option<&'t [u8]> {
        (self.tick.checkpoint.unfinished == Unfinished::Nothing).then(|| &self.tick.outcomes[..self.tick.outcome_bytes])
    }
}

/// What came of a run's actions, to be made durable.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'t> {
    pub(super) tick: &'t Tick<'t>,
}

impl<'t> Settlement<'t> {
    /// The run's name.
    #[must_use]
    pub fn run(&self) -> RunKey {
        self.tick.run()
    }

    /// The outcomes, a line per action; [`crate::settled`] reads them. This is what [`crate::LAST_OUTCOMES`] gives the next tick.
    #[must_use]
    pub fn outcomes(&self) -> &'t [u8] {
        &self.tick.outcomes[..self.tick.outcome_bytes]
    }

    /// Where the vigy stands from now on.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { unfinished: Unfinished::Nothing, ..self.tick.checkpoint }
    }
}
