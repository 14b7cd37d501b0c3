//! The conformance suite for stores: the simulated ones pass it, and those that break a promise do not.
//!
//! `VIGY_RUNS=N` tries N stores instead of 300, `VIGY_SEED=N` begins with another seed.
#![cfg(feature = "sim")]

mod harness;

use vigy_core::sim::conformance::{Subject, check};
use vigy_core::sim::{CrashStorage, Gone, MemoryStorage, Random};
use vigy_core::{Batch, Checkpoint, Draft, LAST_OUTCOMES, Piece, RunKey, Settlement, Storage, Unfinished};

/// What a store does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    ForgetsWhatItAcknowledged,
    CommitsInTwoSteps,
    SettlesInTwoSteps,
    FailsAfterKeepingTheKeys,
    LeavesTheDraft,
    KeepsTheFirstDraft,
    HandsOutNoValues,
    HandsOutValuesFirst,
    ReadsFromACache,
    CutsValues,
    LosesLastOutcomes,
    LosesOutcomesOfABatch,
    RemovesNothing,
    KeepsKeysOfAFailedTick,
}

const BUGS: [Bug; 14] = [
    Bug::ForgetsWhatItAcknowledged,
    Bug::CommitsInTwoSteps,
    Bug::SettlesInTwoSteps,
    Bug::FailsAfterKeepingTheKeys,
    Bug::LeavesTheDraft,
    Bug::KeepsTheFirstDraft,
    Bug::HandsOutNoValues,
    Bug::HandsOutValuesFirst,
    Bug::ReadsFromACache,
    Bug::CutsValues,
    Bug::LosesLastOutcomes,
    Bug::LosesOutcomesOfABatch,
    Bug::RemovesNothing,
    Bug::KeepsKeysOfAFailedTick,
];

/// A simulated store, with a bug or without.
#[derive(Clone, Default)]
struct Store {
    inner: CrashStorage,
    bug: Option<Bug>,
    /// What was there one write ago.
    before: MemoryStorage,
    cache: std::collections::BTreeMap<String, Option<Vec<u8>>>,
}

impl Store {
    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether the next write is the one that fails.
    fn fails(&self) -> bool {
        self.inner.writes_left == 0
    }
}

impl Storage for Store {
    type Error = Gone;

    fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, Gone> {
        if self.has(Bug::LosesLastOutcomes) && key == LAST_OUTCOMES {
            return Ok(None);
        }
        if self.has(Bug::CutsValues) {
            let mut whole = [0; 4096];
            let len = self.inner.get(key, &mut whole)?.map(|len| len.min(into.len()));
            into[..len.unwrap_or(0)].copy_from_slice(&whole[..len.unwrap_or(0)]);
            return Ok(len);
        }
        if self.has(Bug::ReadsFromACache) {
            let disk = &self.inner.disk;
            let value = self.cache.entry(key.to_owned()).or_insert_with(|| disk.kv.get(key).cloned());
            let Some(value) = value.as_ref().filter(|_| key != LAST_OUTCOMES) else { return self.inner.get(key, into) };
            into.get_mut(..value.len()).ok_or(Gone)?.copy_from_slice(value);
            return Ok(Some(value.len()));
        }
        self.inner.get(key, into)
    }

    fn save(&mut self, draft: &Draft<'_>) -> Result<(), Gone> {
        self.before = self.inner.disk.clone();
        self.inner.save(draft)?;
        if self.has(Bug::KeepsTheFirstDraft) {
            for (run, first) in &self.before.drafts {
                self.inner.disk.drafts.insert(*run, first.clone());
            }
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Gone> {
        self.before = self.inner.disk.clone();
        let before = self.before.clone();
        if self.fails() && self.has(Bug::CommitsInTwoSteps) {
            self.inner.disk.checkpoint = Some(*batch.checkpoint());
            return Err(Gone);
        }
        if self.fails() && self.has(Bug::FailsAfterKeepingTheKeys) {
            self.inner.disk.kv.extend(batch.kv_writes().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))));
            return Err(Gone);
        }
        self.inner.commit(batch)?;
        let disk = &mut self.inner.disk;
        match self.bug {
            Some(Bug::LeavesTheDraft) => disk.drafts = before.drafts,
            Some(Bug::RemovesNothing) => before.kv.into_iter().for_each(|(key, value)| _ = disk.kv.entry(key).or_insert(value)),
            Some(Bug::LosesOutcomesOfABatch) => disk.outcomes = before.outcomes,
            Some(Bug::KeepsKeysOfAFailedTick) if batch.failed() => {
                for (entry, value) in batch.entries() {
                    if let (vigy_core::record::Entry::KvWrite { key, .. }, Some(value)) = (entry, value) {
                        disk.kv.insert(key.to_owned(), value.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), Gone> {
        self.before = self.inner.disk.clone();
        if self.fails() && self.has(Bug::SettlesInTwoSteps) {
            self.inner.disk.outcomes.insert(settlement.run(), settlement.outcomes().to_owned());
            return Err(Gone);
        }
        self.inner.settle(settlement)
    }

    fn unfinished(&mut self, run: RunKey, visit: &mut dyn FnMut(Piece<'_>)) -> Result<(), Gone> {
        if self.has(Bug::HandsOutValuesFirst) {
            self.inner.disk.values.values().for_each(|value| visit(Piece::Value(value)));
        }
        let no_values = self.has(Bug::HandsOutNoValues);
        self.inner.unfinished(run, &mut |piece| match piece {
            Piece::Value(_) if no_values => {}
            piece => visit(piece),
        })
    }
}

/// Stores that fail when told, before the fact or after it.
struct Stores {
    bug: Option<Bug>,
    random: Random,
}

impl Subject for Stores {
    type Storage = Store;

    fn open(&mut self, before: Option<Store>) -> (Store, Option<Checkpoint>) {
        let mut store = before.unwrap_or_else(|| Store { bug: self.bug, ..Store::default() });
        store.inner.writes_left = u32::MAX;
        store.cache.clear();
        if store.has(Bug::ForgetsWhatItAcknowledged) && self.random.once_in(3) {
            store.inner.disk = store.before.clone();
        }
        let checkpoint = store.inner.disk.checkpoint;
        (store, checkpoint)
    }

    fn fail_next_write(&mut self, store: &mut Store) -> bool {
        store.inner.writes_left = 0;
        store.inner.last_write_lands = self.random.once_in(2);
        true
    }
}

const TICKS: u64 = 40;

fn passes(bug: Option<Bug>, seed: u64) -> Result<(), String> {
    check(&mut Stores { bug, random: Random(seed) }, seed, TICKS).map_err(|violation| format!("seed {seed}: {violation}"))
}

#[test]
fn the_simulated_store_keeps_every_promise_and_broken_ones_are_found() {
    let (first, runs) = (harness::first_seed(), harness::runs(300));
    let failures: Vec<_> = (first..first + runs).filter_map(|seed| passes(None, seed).err()).collect();
    let found = |bug| (first..first + runs).find_map(|seed| passes(Some(bug), seed).err());
    let caught = BUGS.into_iter().filter(|bug| {
        let found = found(*bug);
        println!("{bug:?}: {}", found.as_deref().unwrap_or("NOT FOUND"));
        found.is_some()
    });
    harness::report("storage-conformance", runs, &failures, BUGS.len(), caught.count());
}

#[test]
fn a_store_that_is_opened_with_a_checkpoint_is_not_empty() {
    struct Full;
    impl Subject for Full {
        type Storage = MemoryStorage;
        fn open(&mut self, _: Option<MemoryStorage>) -> (MemoryStorage, Option<Checkpoint>) {
            let checkpoint = Checkpoint::new(vigy_core::Incarnation(1), vigy_core::Timestamp(0));
            (MemoryStorage::default(), Some(Checkpoint { unfinished: Unfinished::Nothing, ..checkpoint }))
        }
    }
    assert!(check(&mut Full, 1, 1).unwrap_err().to_string().contains("an empty store has a checkpoint"));
}
