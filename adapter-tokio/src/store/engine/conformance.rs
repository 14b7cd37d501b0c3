//! Whether an engine keeps the contract of [`Engine`]: random work on it, held against a model.
//!
//! ```
//! use std::sync::Arc;
//! use adapter_tokio::store::engine::conformance::{Subject, check};
//! use adapter_tokio::store::engine::{Engine, MemoryEngine};
//!
//! struct Memory(Arc<MemoryEngine>);
//! impl Subject for Memory {
//!     fn open(&mut self) -> Arc<dyn Engine> {
//!         self.0.clone()
//!     }
//! }
//! check(&mut Memory(Arc::default()), 1, 200).unwrap();
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::{Changes, Direction, Engine, Snapshot};
use crate::StoreError;

/// An engine to be tried.
pub trait Subject {
    /// Opens what was committed so far. Whatever an earlier call gave has been dropped.
    fn open(&mut self) -> Arc<dyn Engine>;

    /// Lets the medium fail somewhere in the next commit, and says whether it can. After an error the engine is opened anew, by
    /// [`Subject::open`], which mends the medium.
    fn break_next_commit(&mut self, random: u64) -> bool {
        let _ = random;
        false
    }
}

/// A promise that was not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// At which step of the work.
    pub step: u32,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: {}", self.step, self.found)
    }
}

impl std::error::Error for Broken {}

/// Rows as they should be.
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Random numbers: splitmix64 (<https://prng.di.unimi.it/splitmix64.c>).
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A key out of a few hundred: long runs of equal bytes, and bytes at both ends.
    fn key(&mut self) -> Vec<u8> {
        const BYTES: [u8; 5] = [0, 1, b'k', 254, 255];
        let len = if self.below(50) == 0 { 1024 } else { 1 + self.below(4) };
        let fill = BYTES[self.below(5) as usize];
        let mut key = vec![fill; len as usize];
        for at in 0..key.len().min(4) {
            key[at] = BYTES[self.below(5) as usize];
        }
        key
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.below(40) {
            0 => 0,
            1 => 70_000 + self.below(5000),
            _ => self.below(300),
        };
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn range(&mut self) -> Range<Vec<u8>> {
        self.key()..self.key()
    }

    fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for _ in 0..self.below(3) {
            changes.remove_range(self.range());
        }
        for _ in 0..self.below(12) {
            let value = (self.below(4) > 0).then(|| self.value());
            changes.set(self.key(), value);
        }
        changes
    }
}

/// Larger than every key.
fn end() -> Vec<u8> {
    vec![u8::MAX; 1025]
}

/// Does `steps` steps of random work on an engine that keeps nothing yet: commits, snapshots held while others commit, reads and scans in
/// both directions, opening anew, and failures, where the subject can have them.
///
/// # Errors
/// The first promise that was not kept.
pub fn check(subject: &mut dyn Subject, seed: u64, steps: u32) -> Result<(), Broken> {
    let mut random = Random(seed);
    let mut model = Model::new();
    let mut held: Vec<(Arc<dyn Snapshot>, Model)> = Vec::new();
    let mut engine = subject.open();
    for step in 0..steps {
        let broken = |found: String| Broken { step, found };
        let failed = |error: StoreError| broken(error.to_string());
        match random.below(10) {
            0 => {
                held.clear();
                drop(engine);
                engine = subject.open();
            }
            1 if subject.break_next_commit(random.next()) => {
                let changes = random.changes();
                let done = engine.commit(&changes).is_ok();
                held.clear();
                drop(engine);
                engine = subject.open();
                let mut changed = model.clone();
                apply(&changes, &mut changed);
                let is_there = compare(&*engine.snapshot().map_err(failed)?, &changed, &mut random).is_ok();
                if done || is_there {
                    model = changed;
                }
            }
            2 if held.len() < 4 => held.push((engine.snapshot().map_err(failed)?, model.clone())),
            3 => held.truncate(1),
            _ => {
                let changes = random.changes();
                engine.commit(&changes).map_err(failed)?;
                apply(&changes, &mut model);
            }
        }
        let newest = engine.snapshot().map_err(failed)?;
        compare(&*newest, &model, &mut random).map_err(|found| broken(format!("the newest rows: {found}")))?;
        for (snapshot, model) in &held {
            compare(&**snapshot, model, &mut random).map_err(|found| broken(format!("a snapshot taken before: {found}")))?;
        }
    }
    Ok(())
}

/// Does to the model what a commit does to the rows.
fn apply(changes: &Changes, model: &mut Model) {
    for range in changes.ranges() {
        model.retain(|key, _| !range.contains(key));
    }
    for (key, value) in changes.entries() {
        match value {
            Some(value) => model.insert(key.to_vec(), value.to_vec()),
            None => model.remove(key),
        };
    }
}

/// Whether a snapshot has the rows of the model, by every way to look.
fn compare(rows: &dyn Snapshot, model: &Model, random: &mut Random) -> Result<(), String> {
    let failed = |error: StoreError| error.to_string();
    let all = Vec::new()..end();
    compare_scan(rows, model, all.clone(), Direction::Forward, usize::MAX)?;
    for _ in 0..2 {
        let most = random.below(5) as usize + 1;
        compare_scan(rows, model, random.range(), Direction::Forward, usize::MAX)?;
        compare_scan(rows, model, random.range(), Direction::Backward, usize::MAX)?;
        compare_scan(rows, model, all.clone(), Direction::Backward, most)?;
        compare_scan(rows, model, random.key()..end(), Direction::Forward, most)?;
    }
    for _ in 0..8 {
        let key = random.key();
        if rows.get(&key).map_err(failed)?.as_ref() != model.get(&key) {
            return Err(format!("the value of {key:?} is wrong"));
        }
    }
    Ok(())
}

fn compare_scan(rows: &dyn Snapshot, model: &Model, range: Range<Vec<u8>>, direction: Direction, most: usize) -> Result<(), String> {
    let mut found = Vec::new();
    let shown = rows.scan(&range.start..&range.end, direction, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        if found.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    shown.map_err(|error| error.to_string())?;
    let mut expected: Vec<_> = model.iter().filter(|(key, _)| range.contains(*key)).collect();
    if direction == Direction::Backward {
        expected.reverse();
    }
    expected.truncate(most);
    if found.iter().map(|(key, value)| (key, value)).eq(expected) {
        return Ok(());
    }
    let of = |key: &[u8]| format!("{:?} ({} bytes)", &key[..key.len().min(4)], key.len());
    let range = format!("{} to {}", of(&range.start), of(&range.end));
    Err(format!("{direction:?} from {range}, at most {most}: {} rows, and not those that were committed", found.len()))
}
