//! What one group of jobs is about to change.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use serde::Serialize;

use super::engine::{Changes, Direction, Engine, Snapshot, Visit};
use super::read::damaged;
use super::schema::{self, Happening, Key, Space, encode};
use crate::StoreError;

/// Events kept at least: 100,000. The oldest go, so many at a time that it costs little.
pub(crate) const EVENTS_KEPT: u64 = 100_000;
const EVENTS_TRIMMED: u64 = 1000;

/// Rows as they are, and changes over them that are not committed yet. It reads like a snapshot that has them.
pub(crate) struct Transaction {
    rows: Arc<dyn Snapshot>,
    changes: Changes,
    undo: Vec<Undo>,
    log: Log,
}

/// How to take a change back.
enum Undo {
    Entry(Vec<u8>, Option<Option<Vec<u8>>>),
    Range,
}

/// The ends of the event log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Log {
    /// The oldest event kept; behind the last when there is none.
    pub(crate) first: u64,
    /// The newest event; before the first, the number before it.
    pub(crate) last: u64,
}

impl Log {
    /// The number before the first event of the log: 0, but in a store that was made of a backup.
    pub(crate) fn begins(rows: &dyn Snapshot) -> Result<u64, StoreError> {
        let begins = rows.get(&schema::meta(schema::META_LOG))?.map(|begins| begins.try_into().map(u64::from_be_bytes));
        begins.transpose().map_err(|_| damaged("its event log begins nowhere")).map(Option::unwrap_or_default)
    }

    pub(crate) fn of(rows: &dyn Snapshot) -> Result<Self, StoreError> {
        let end = |direction| {
            let (range, mut found) = (schema::space(Space::Event), None);
            rows.scan(&range.start..&range.end, direction, &mut |key, _| {
                found = match Key::parse(key) {
                    Some(Key::Event(seq)) => Some(seq),
                    _ => None,
                };
                ControlFlow::Break(())
            })?;
            Ok::<_, StoreError>(found)
        };
        let last = end(Direction::Backward)?.map_or_else(|| Self::begins(rows), Ok)?;
        Ok(Self { first: end(Direction::Forward)?.unwrap_or(last + 1), last })
    }
}

impl Transaction {
    pub(crate) fn new(rows: Arc<dyn Snapshot>, log: Log) -> Self {
        Self { rows, changes: Changes::default(), undo: Vec::new(), log }
    }

    /// Does a job: all of it, or nothing when it fails.
    pub(crate) fn run<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let log = self.log;
        self.undo.clear();
        let done = job(self);
        if done.is_err() {
            self.log = log;
            while let Some(undo) = self.undo.pop() {
                match undo {
                    Undo::Entry(key, before) => self.changes.restore(key, before),
                    Undo::Range => self.changes.forget_range(),
                }
            }
        }
        done
    }

    /// Commits what the jobs changed, and tells where the event log ends now.
    pub(crate) fn commit(self, engine: &dyn Engine) -> Result<Log, StoreError> {
        if !self.changes.is_empty() {
            engine.commit(&self.changes)?;
        }
        Ok(self.log)
    }

    /// About how many bytes of memory the changes take.
    pub(crate) const fn bytes(&self) -> usize {
        self.changes.bytes()
    }

    pub(crate) fn put_bytes(&mut self, key: Vec<u8>, value: Vec<u8>) {
        let before = self.changes.set(key.clone(), Some(value));
        self.undo.push(Undo::Entry(key, before));
    }

    pub(crate) fn put<T: Serialize>(&mut self, key: Vec<u8>, row: &T) -> Result<(), StoreError> {
        self.put_bytes(key, encode(row)?);
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        let before = self.changes.set(key.clone(), None);
        self.undo.push(Undo::Entry(key, before));
    }

    pub(crate) fn remove_range(&mut self, range: Range<Vec<u8>>) {
        if range.is_empty() {
            return;
        }
        for (key, before) in self.changes.remove_range(range) {
            self.undo.push(Undo::Entry(key, Some(before)));
        }
        self.undo.push(Undo::Range);
    }

    /// Adds an event to the log.
    pub(crate) fn tell(&mut self, event: &Happening) -> Result<(), StoreError> {
        self.log.last += 1;
        self.put(schema::event(self.log.last), event)?;
        if self.log.last - self.log.first >= EVENTS_KEPT + EVENTS_TRIMMED {
            let first = self.log.last - EVENTS_KEPT + 1;
            self.remove_range(schema::event(self.log.first)..schema::event(first));
            self.log.first = first;
        }
        Ok(())
    }
}

impl Snapshot for Transaction {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(key) {
            Some(value) => Ok(value.map(<[u8]>::to_vec)),
            None => self.rows.get(key),
        }
    }

    fn scan(&self, range: Range<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.changes.scan_over(&*self.rows, range, direction, visit)
    }
}
