//! The port of the store: an ordered map of bytes with atomic commits and snapshots, and nothing more.
//!
//! Whoever implements [`Engine`] gets the whole store on top of it. [`conformance`] tells whether an implementation keeps the contract.

pub mod conformance;
mod memory;
mod redb;

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow, Range};
use std::sync::Arc;

pub use self::memory::MemoryEngine;
pub use self::redb::RedbEngine;
pub(super) use self::redb::{ROWS, TABLE, begin, rows_of};
use crate::StoreError;

/// Keeps rows: keys of bytes in their order, each with a value of bytes.
///
/// One writer and any number of readers use it at a time, from any thread.
pub trait Engine: Send + Sync {
    /// The rows as they are now.
    ///
    /// - MUST hold every commit that has returned, and nothing of one that has not begun.
    /// - MUST stay as it is while others commit.
    /// - SHOULD be cheap: the store takes one per commit.
    ///
    /// # Errors
    /// The medium's own.
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError>;

    /// Makes changes durable: first all removed ranges, then the entries.
    ///
    /// - MUST be atomic, whenever the power goes: all of the changes, or nothing of them.
    /// - MUST return `Ok` only when they are durable.
    /// - MUST take keys of 1 byte to 1 KiB, values of up to 64 MiB, and an empty value for a value.
    /// - MAY, after an error of the medium, refuse everything until it is opened anew. Then all of the changes are there, or nothing of
    ///   them: a disk that fails in the last moment does not say which.
    ///
    /// # Errors
    /// The medium's own.
    fn commit(&self, changes: &Changes) -> Result<(), StoreError>;
}

/// Rows at one moment.
pub trait Snapshot: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// The medium's own; also for bytes that it knows to be damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows the rows of a range, its start included and its end not, until `visit` breaks.
    ///
    /// - MUST show each row once, in the order of the keys' bytes, or in reverse.
    /// - MUST show nothing of a range whose start is not below its end.
    ///
    /// # Errors
    /// The medium's own.
    fn scan(&self, range: Range<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError>;
}

/// Is shown keys and values.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// Which way to go through rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the smallest key.
    Forward,
    /// From the largest key.
    Backward,
}

/// What one commit changes.
#[derive(Clone, Default, Debug)]
pub struct Changes {
    ranges: Vec<Range<Vec<u8>>>,
    entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl Changes {
    /// Ranges whose rows go, all of them, before the entries come. They may overlap.
    #[must_use]
    pub fn ranges(&self) -> &[Range<Vec<u8>>] {
        &self.ranges
    }

    /// Keys in their order, each with its new value, or nothing when its row goes.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (&[u8], Option<&[u8]>)> + Clone {
        self.entries.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.entries.is_empty()
    }

    /// About how many bytes of memory the changes take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets or removes a row, and tells what the changes said of it before.
    pub fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Option<Option<Vec<u8>>> {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.entries.insert(key, value)
    }

    /// Removes every row of a range, and tells what the changes said of its keys before.
    pub fn remove_range(&mut self, range: Range<Vec<u8>>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        if range.is_empty() {
            return Vec::new();
        }
        let gone: Vec<_> = self.entries.range(range.clone()).map(|(key, _)| key.clone()).collect();
        let before = gone.into_iter().filter_map(|key| self.entries.remove_entry(&key)).collect();
        self.bytes += range.start.len() + range.end.len();
        self.ranges.push(range);
        before
    }

    /// What the changes say of a key: its new value or that it goes; nothing when it stays as it is.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        match self.entries.get(key) {
            Some(value) => Some(value.as_deref()),
            None => self.removes(key).then_some(None),
        }
    }

    fn removes(&self, key: &[u8]) -> bool {
        self.ranges.iter().any(|range| range.start.as_slice() <= key && key < range.end.as_slice())
    }

    /// The entries of a range.
    fn entries_in(&self, range: &Range<&[u8]>) -> impl DoubleEndedIterator<Item = (&[u8], Option<&[u8]>)> {
        // A BTreeMap refuses a range that ends before it begins.
        let bounds = (Bound::Included(range.start), Bound::Excluded(range.end.max(range.start)));
        self.entries.range::<[u8], _>(bounds).map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Takes back the last range and entries, as [`Changes::set`] and [`Changes::remove_range`] told them.
    pub(super) fn restore(&mut self, key: Vec<u8>, before: Option<Option<Vec<u8>>>) {
        match before {
            Some(before) => self.entries.insert(key, before),
            None => self.entries.remove(&key),
        };
    }

    pub(super) fn forget_range(&mut self) {
        self.ranges.pop();
    }

    /// Shows the rows of a range of `snapshot` as they will be.
    pub(super) fn scan_over(
        &self,
        snapshot: &dyn Snapshot,
        range: Range<&[u8]>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut entries: Vec<_> = self.entries_in(&range).collect();
        if entries.is_empty() && self.ranges.is_empty() {
            return snapshot.scan(range, direction, visit);
        }
        if direction == Direction::Backward {
            entries.reverse();
        }
        let is_first = |a: &[u8], b: &[u8]| if direction == Direction::Forward { a < b } else { a > b };
        let mut entries = entries.into_iter().peekable();
        let mut flow = ControlFlow::Continue(());
        snapshot.scan(range, direction, &mut |key, value| {
            while flow.is_continue()
                && let Some((changed, new)) = entries.next_if(|(changed, _)| is_first(changed, key))
            {
                flow = new.map_or(ControlFlow::Continue(()), |new| visit(changed, new));
            }
            if flow.is_continue() {
                flow = match entries.next_if(|(changed, _)| *changed == key) {
                    Some((_, Some(new))) => visit(key, new),
                    Some((_, None)) => ControlFlow::Continue(()),
                    None if self.removes(key) => ControlFlow::Continue(()),
                    None => visit(key, value),
                };
            }
            flow
        })?;
        for (key, value) in entries {
            if flow.is_continue() {
                flow = value.map_or(ControlFlow::Continue(()), |value| visit(key, value));
            }
        }
        Ok(())
    }
}
