//! The store keeps what the core asks of one: its conformance suite, on both engines, with commits that fail.
//!
//! `VIGY_SEED` is the first seed, `VIGY_RUNS` how many are tried.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use vigy_core::sim::conformance::{Subject, check};
use vigy_core::{Batch, Checkpoint, Draft, Incarnation, Piece, RunKey, Settlement, Storage, TickInterval, Timestamp, Vigy, VigyId};

use super::engine::{Changes, RedbEngine};
use super::*;

const NAME: &str = "tried";
const NOW: Timestamp = Timestamp(1);

fn id() -> VigyId {
    id_of(NAME)
}

/// An engine whose next commit fails: before it is made (1), or after (2).
struct Failing {
    engine: Arc<dyn Engine>,
    fails: Arc<AtomicU8>,
}

impl Engine for Failing {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.engine.snapshot()
    }

    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let failed = Err(StoreError("the disk failed".to_owned()));
        match self.fails.swap(0, Ordering::SeqCst) {
            0 => self.engine.commit(changes),
            1 => failed,
            _ => self.engine.commit(changes).and(failed),
        }
    }
}

/// One vigy's part of a store, without a thread.
struct Stored {
    writer: Writer,
    engine: Arc<dyn Engine>,
}

impl Stored {
    fn rows(&self) -> Arc<dyn Snapshot> {
        self.engine.snapshot().unwrap()
    }

    fn version(&self) -> u64 {
        read::standing(&*self.rows(), id()).unwrap().map_or(1, |standing| standing.version)
    }

    /// Does a job; the vigy is registered by the first.
    fn write(
        &mut self,
        life: Incarnation,
        job: impl FnOnce(&mut Transaction) -> Result<bool, StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (done, result) = mpsc::channel();
        let job = move |transaction: &mut Transaction| {
            if read::standing(transaction, id())?.is_none() {
                let vigy = Vigy::new(NAME, "(vigy-noop)", TickInterval::MIN).unwrap();
                let new = NewVigy { id: id(), incarnation: life, image: [7; 32], now: NOW, must_exist: false };
                register(transaction, vigy, &new)?;
            }
            job(transaction)
        };
        self.writer.group(std::iter::once(Box::new(move |transaction: Result<&mut Transaction, &StoreError>| -> Reply {
            let value = transaction.map_err(StoreError::clone).and_then(|transaction| transaction.run(job));
            Box::new(move |outcome| drop(done.send(value.and_then(|value| outcome.map(|()| value)))))
        }) as Job));
        // The writer replies, or drops what would.
        match result.recv() {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(StoreError("the vigy is gone".to_owned())),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StoreError("no reply".to_owned())),
        }
    }
}

impl Storage for Stored {
    type Error = StoreError;

    fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, StoreError> {
        let Some(value) = read::kv(&*self.rows(), id(), key)? else { return Ok(None) };
        into.get_mut(..value.len()).ok_or_else(|| StoreError("too large".to_owned()))?.copy_from_slice(&value);
        Ok(Some(value.len()))
    }

    fn save(&mut self, draft: &Draft<'_>) -> Result<(), StoreError> {
        let (life, draft) = (draft.run().incarnation, Saved::new(id(), draft));
        self.write(life, move |transaction| draft.write(transaction))
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let (life, batch) = (batch.run().incarnation, Committed::new(id(), self.version(), batch, NOW)?);
        self.write(life, move |transaction| Ok(batch.write(transaction, Retention { runs: 3, ..Retention::default() })?.is_some()))
    }

    fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), StoreError> {
        let (life, settlement) = (settlement.run().incarnation, Settles::new(id(), self.version(), settlement, NOW));
        self.write(life, move |transaction| Ok(settlement.write(transaction)?.is_some()))
    }

    fn unfinished(&mut self, run: RunKey, visit: &mut dyn FnMut(Piece<'_>)) -> Result<(), StoreError> {
        read::visit(&read::unfinished(&*self.rows(), id(), run)?, visit);
        Ok(())
    }
}

/// A store in memory, or in a file.
struct Trial {
    memory: Arc<dyn Engine>,
    file: Option<PathBuf>,
    fails: Arc<AtomicU8>,
    random: u8,
}

impl Subject for Trial {
    type Storage = Stored;

    fn open(&mut self, before: Option<Stored>) -> (Stored, Option<Checkpoint>) {
        drop(before);
        let engine: Arc<dyn Engine> = match &self.file {
            Some(path) => Arc::new(RedbEngine::new(redb::Database::create(path).unwrap()).unwrap()),
            None => self.memory.clone(),
        };
        self.fails.store(0, Ordering::SeqCst);
        let engine: Arc<dyn Engine> = Arc::new(Failing { engine, fails: self.fails.clone() });
        lock::begin(&*engine).unwrap();
        let stored = Stored { writer: Writer::new(engine.clone()).unwrap(), engine };
        let checkpoint = read::standing(&*stored.rows(), id()).unwrap().map(|standing| standing.checkpoint);
        (stored, checkpoint)
    }

    fn fail_next_write(&mut self, _: &mut Stored) -> bool {
        self.random = self.random.wrapping_add(1);
        self.fails.store(1 + self.random % 2, Ordering::SeqCst);
        true
    }
}

#[test]
fn the_store_keeps_what_the_core_asks_of_one() {
    let setting = |name: &str, default| std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default);
    let (seed, runs): (u64, u64) = (setting("VIGY_SEED", 1), setting("VIGY_RUNS", 20));
    let directory = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    for seed in seed..seed + runs {
        for file in [None, Some(directory.path().join(format!("{seed}.redb")))] {
            let (memory, in_file): (Arc<dyn Engine>, _) = (Arc::new(MemoryEngine::new()), file.is_some());
            let mut trial = Trial { memory, file, fails: Arc::default(), random: 0 };
            // Files are slow: they are synced.
            let ticks = if in_file { 20 } else { 200 };
            failures.extend(check(&mut trial, seed, ticks).err().map(|violation| format!("seed {seed}: {violation}")));
            let (stored, _) = trial.open(None);
            // The suite's values are no data, which the store is not asked to know.
            let findings = check::check(&*stored.rows()).unwrap().into_iter();
            let findings = findings.filter(|finding| !matches!(finding.problem, Problem::Damaged { .. }));
            failures.extend(findings.map(|finding| format!("seed {seed}: {finding}")));
        }
    }
    println!(r#"{{"name":"storage-conformance","seed":{seed},"runs":{},"failures":{}}}"#, 2 * runs, failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
}
