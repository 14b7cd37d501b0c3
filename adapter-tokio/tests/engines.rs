//! The engines that are shipped keep the contract of the port, and the suite catches those that do not.
//!
//! `VIGY_SEED` is the first seed, `VIGY_RUNS` how many are tried.

use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use adapter_tokio::StoreError;
use adapter_tokio::store::engine::conformance::{Broken, Subject, check};
use adapter_tokio::store::engine::{Changes, Direction, Engine, MemoryEngine, RedbEngine, Snapshot, Visit};
use redb::StorageBackend;
use redb::backends::FileBackend;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Steps of each run: enough for every planted bug to show.
const STEPS: u32 = 300;

struct Memory(Arc<MemoryEngine>);

impl Subject for Memory {
    fn open(&mut self) -> Arc<dyn Engine> {
        self.0.clone()
    }
}

/// A redb file whose disk fails on demand.
struct File {
    path: PathBuf,
    fuse: Arc<Fuse>,
}

/// Writes and syncs until the disk fails; 0 when it does not.
#[derive(Debug, Default)]
struct Fuse(AtomicU64);

impl Fuse {
    fn burn(&self) -> std::io::Result<()> {
        match self.0.load(Ordering::SeqCst) {
            0 => Ok(()),
            1 => Err(std::io::Error::other("the disk failed")),
            left => {
                self.0.store(left - 1, Ordering::SeqCst);
                Ok(())
            }
        }
    }
}

#[derive(Debug)]
struct Disk {
    file: FileBackend,
    fuse: Arc<Fuse>,
}

impl StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.fuse.burn().and_then(|()| self.file.set_len(len))
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.fuse.burn().and_then(|()| self.file.sync_data())
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.fuse.burn().and_then(|()| self.file.write(offset, data))
    }
    fn close(&self) -> std::io::Result<()> {
        self.file.close()
    }
}

impl Subject for File {
    fn open(&mut self) -> Arc<dyn Engine> {
        self.fuse.0.store(0, Ordering::SeqCst);
        let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path).unwrap();
        let disk = Disk { file: FileBackend::new(file).unwrap(), fuse: self.fuse.clone() };
        Arc::new(RedbEngine::new(redb::Builder::new().create_with_backend(disk).unwrap()).unwrap())
    }
    fn break_next_commit(&mut self, random: u64) -> bool {
        self.fuse.0.store(1 + random % 12, Ordering::SeqCst);
        true
    }
}

/// What an engine may do wrong.
#[derive(Clone, Copy, Debug)]
enum Bug {
    LosesTheLastCommit,
    SnapshotsMove,
    ScansItsEnd,
    ScansOneWay,
    RangesLast,
    HalfACommit,
    EmptyIsAbsent,
    NeverBreaks,
    RangeKeepsItsFirst,
}

/// An engine in memory with a bug.
struct Buggy {
    bug: Bug,
    rows: Arc<Mutex<Arc<MemoryEngine>>>,
    before: Arc<Mutex<Vec<Changes>>>,
    failing: Arc<AtomicBool>,
}

impl Buggy {
    fn new(bug: Bug) -> Self {
        let rows = Arc::new(Mutex::new(Arc::new(MemoryEngine::new())));
        Self { bug, rows, before: Arc::default(), failing: Arc::default() }
    }
    fn rows(&self) -> Arc<MemoryEngine> {
        self.rows.lock().unwrap().clone()
    }
}

impl Subject for Buggy {
    fn open(&mut self) -> Arc<dyn Engine> {
        self.failing.store(false, Ordering::SeqCst);
        if matches!(self.bug, Bug::LosesTheLastCommit) {
            let mut before = self.before.lock().unwrap();
            before.pop();
            let rows = Arc::new(MemoryEngine::new());
            before.iter().for_each(|changes| rows.commit(changes).unwrap());
            *self.rows.lock().unwrap() = rows;
        }
        let Self { bug, rows, before, failing } = self;
        Arc::new(Self { bug: *bug, rows: rows.clone(), before: before.clone(), failing: failing.clone() })
    }
    fn break_next_commit(&mut self, _: u64) -> bool {
        self.failing.store(true, Ordering::SeqCst);
        true
    }
}

impl Engine for Buggy {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(Arc::new(BuggyRows { bug: self.bug, rows: self.rows().snapshot()?, engine: self.rows() }))
    }

    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let entries = || changes.entries().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
        let (mut ranges, mut sets) = (Changes::default(), Changes::default());
        for range in changes.ranges() {
            let mut range = range.clone();
            if matches!(self.bug, Bug::RangeKeepsItsFirst) {
                range.start.push(0);
            }
            ranges.remove_range(range);
        }
        entries().for_each(|(key, value)| _ = sets.set(key, value.filter(|v| !matches!(self.bug, Bug::EmptyIsAbsent) || !v.is_empty())));
        let fails = self.failing.load(Ordering::SeqCst);
        if fails && !matches!(self.bug, Bug::HalfACommit) {
            return Err(StoreError("it failed".to_owned()));
        }
        let order = if matches!(self.bug, Bug::RangesLast) { [sets, ranges] } else { [ranges, sets] };
        for part in order {
            self.rows().commit(&part)?;
            self.before.lock().unwrap().push(part);
            if fails {
                return Err(StoreError("it failed".to_owned()));
            }
        }
        Ok(())
    }
}

struct BuggyRows {
    bug: Bug,
    rows: Arc<dyn Snapshot>,
    engine: Arc<MemoryEngine>,
}

impl BuggyRows {
    fn rows(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        if matches!(self.bug, Bug::SnapshotsMove) { self.engine.snapshot() } else { Ok(self.rows.clone()) }
    }
}

impl Snapshot for BuggyRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.rows()?.get(key)
    }
    fn scan(&self, range: Range<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let after_end = [range.end, &[0]].concat();
        let range = if matches!(self.bug, Bug::ScansItsEnd) { range.start..&after_end } else { range };
        let direction = if matches!(self.bug, Bug::ScansOneWay) { Direction::Forward } else { direction };
        self.rows()?.scan(range, direction, &mut |key, value| match (visit(key, value), self.bug) {
            (_, Bug::NeverBreaks) => ControlFlow::Continue(()),
            (flow, _) => flow,
        })
    }
}

fn report(name: &str, failures: &[Broken], planted: usize, caught: usize) {
    let (seed, runs) = (setting("VIGY_SEED", 1), setting("VIGY_RUNS", 2));
    let failures_count = failures.len();
    println!(r#"{{"name":"{name}","seed":{seed},"runs":{runs},"failures":{failures_count},"planted":{planted},"caught":{caught}}}"#);
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(caught, planted);
}

#[test]
fn the_engines_keep_the_contract_and_the_suite_catches_those_that_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    let seeds = setting("VIGY_SEED", 1)..setting("VIGY_SEED", 1) + setting("VIGY_RUNS", 2);
    for seed in seeds.clone() {
        failures.extend(check(&mut Memory(Arc::default()), seed, STEPS).err());
        let mut file = File { path: directory.path().join(format!("{seed}.redb")), fuse: Arc::default() };
        failures.extend(check(&mut file, seed, STEPS).err());
    }
    let bugs = [
        Bug::LosesTheLastCommit,
        Bug::SnapshotsMove,
        Bug::ScansItsEnd,
        Bug::ScansOneWay,
        Bug::RangesLast,
        Bug::HalfACommit,
        Bug::EmptyIsAbsent,
        Bug::NeverBreaks,
        Bug::RangeKeepsItsFirst,
    ];
    let caught = bugs.iter().filter(|bug| seeds.clone().any(|seed| check(&mut Buggy::new(**bug), seed, STEPS).is_err()));
    report("engines", &failures, bugs.len(), caught.count());
}
