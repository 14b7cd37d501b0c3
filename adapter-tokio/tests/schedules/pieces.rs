//! The pieces, each by itself.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::future::block_on;
use shuttle::thread;
use tokio::sync::watch;
use vigy_core::{Incarnation, Limits, TickInterval, Timestamp, Vigy, VigyId};

use crate::agenda::{Agenda, Turn};
use crate::programs::Programs;
use crate::space::Spaces;
use crate::store::engine::{Changes, Engine, MemoryEngine, Snapshot};
use crate::store::{NewVigy, Store, id_of, read, register};
use crate::sync::{Mutex, RwLock};
use crate::{Evaluators, Native, StoreError};

fn vigy(name: &str) -> Vigy {
    Vigy::new(name, "(vigy-noop)", TickInterval::MIN).expect("a vigy")
}

pub(crate) fn memories_come_back() {
    memories(|space| drop(space));
}

/// Four threads take memories; one of them panics with it, and `cut` is what becomes of that memory.
fn memories(cut: fn(crate::space::Space<'_>)) {
    let spaces = Arc::new(Spaces::default());
    let limits = Limits { record_bytes: 64, value_bytes: 64, actions: 1, kv_keys: 1, ..Limits::default() };
    let ticks = (0..4).map(|n| {
        let spaces = spaces.clone();
        thread::spawn(move || {
            let space = spaces.take(&limits, 8);
            assert!(space.memory.words.len() >= 8);
            thread::yield_now();
            match n {
                0 => cut(space),
                1 => {
                    space.give_back();
                    spaces.rest();
                }
                _ => space.give_back(),
            }
        })
    });
    for tick in ticks.collect::<Vec<_>>() {
        tick.join().expect("no panic");
    }
    let (kept, out) = spaces.counts();
    assert!(out == 0 && kept <= 3, "{out} are out, {kept} are kept");
    spaces.rest();
    spaces.rest();
    assert_eq!(spaces.counts(), (0, 0), "nobody needs them");
}

pub(crate) fn programs_are_shared() {
    let (programs, loads) = (Arc::new(Programs::default()), Arc::new(AtomicUsize::new(0)));
    let get = |hash: u8| {
        let (programs, loads) = (programs.clone(), loads.clone());
        move || {
            let load = || {
                thread::yield_now();
                loads.fetch_add(1, Ordering::SeqCst);
                Native.load(&vigy("v"), &[])
            };
            programs.get(&[hash; 32], load).expect("a program").hash()
        }
    };
    let threads: Vec<_> = [1, 1, 2].map(|hash| thread::spawn(get(hash))).into();
    let hashes: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "it is one program");
    let loaded = loads.load(Ordering::SeqCst);
    assert!((2..=3).contains(&loaded));
    get(1)();
    get(2)();
    assert_eq!(loads.load(Ordering::SeqCst), loaded, "what was loaded is kept");
}

pub(crate) fn the_newest_holds() {
    tell(|written, _| written);
}

/// Three threads change a vigy and tell the agenda, while another ticks it. `version` chooses what a turn is told with: when it was
/// written, or when it is told.
fn tell(version: fn(u64, u64) -> u64) {
    let (id, life) = (VigyId(1), Incarnation(1));
    let turn = move |version: u64| Turn { life, version, due: Some(Timestamp(version)) };
    let (stored, agenda) = (Arc::new(Mutex::new(1)), Arc::new(Mutex::new(Agenda::<()>::default())));
    let told = Arc::new(AtomicUsize::new(0));
    agenda.lock().unwrap().told(id, turn(0));
    let mut threads: Vec<_> = (0..3)
        .map(|_| {
            let (stored, agenda, told) = (stored.clone(), agenda.clone(), told.clone());
            thread::spawn(move || {
                let written = {
                    let mut stored = stored.lock().unwrap();
                    *stored += 1;
                    *stored
                };
                let mut agenda = agenda.lock().unwrap();
                let now = told.fetch_add(1, Ordering::SeqCst) as u64 + 2;
                agenda.told(id, Turn { version: version(written, now), ..turn(written) });
            })
        })
        .collect();
    let (ticked, ticks) = (stored.clone(), agenda.clone());
    threads.push(thread::spawn(move || {
        let start = ticks.lock().unwrap().next(Timestamp(100)).expect("it is due");
        assert!(ticks.lock().unwrap().next(Timestamp(100)).is_none(), "it ticks already");
        let after = *ticked.lock().unwrap();
        ticks.lock().unwrap().over(start.id, turn(after));
    }));
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(agenda.lock().unwrap().deadline(), turn(*stored.lock().unwrap()).due, "the newest is known");
}

pub(crate) fn what_is_acknowledged_is_there() {
    acknowledge(Arc::new(MemoryEngine::new()));
}

async fn write(store: &Store, name: String) -> Result<(), StoreError> {
    let new = NewVigy { id: id_of(&name), incarnation: Incarnation(1), image: [0; 32], now: Timestamp(1), must_exist: false };
    store.write(move |transaction| register(transaction, vigy(&name), &new).map(drop)).await
}

fn is_there(rows: &dyn Snapshot, name: &str) -> bool {
    read::standing(rows, id_of(name)).expect("a read").is_some()
}

/// Follows the number of the last event until the store is closed: each is there when it is told.
fn follower(store: &Arc<Store>) -> thread::JoinHandle<u64> {
    let store = store.clone();
    thread::spawn(move || {
        let mut told = store.last_event();
        let mut before = 0;
        loop {
            let newest = *told.borrow_and_update();
            assert!(newest >= before, "events go back");
            before = newest;
            if let Some(earlier) = newest.checked_sub(1) {
                let part = read::events_after(&*store.snapshot(), earlier, 9).expect("a read");
                assert!(part.events.first().is_some_and(|(seq, _)| *seq == newest), "event {newest} is told, and not there");
            }
            if block_on(told.changed()).is_err() {
                return before;
            }
        }
    })
}

/// An engine that cannot be read once, after its second commit: the first is the store's own.
struct Blind(MemoryEngine, AtomicUsize);

impl Engine for Blind {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        if self.1.compare_exchange(2, 3, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return Err(StoreError("it cannot be read".to_owned()));
        }
        self.0.snapshot()
    }

    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.commit(changes)
    }
}

pub(crate) fn events_are_told_when_they_are_there() {
    let store = Arc::new(Store::over(Arc::new(Blind(MemoryEngine::new(), AtomicUsize::new(0)))).expect("a store"));
    let follower = follower(&store);
    for name in ["a", "b"] {
        block_on(write(&store, name.to_owned())).expect("it is written");
    }
    block_on(store.close());
    assert_eq!(follower.join().expect("no panic"), 2);
}

/// Three writers, a follower of events, and somebody who closes the store.
fn acknowledge(engine: Arc<dyn Engine>) {
    let store = Arc::new(Store::over(engine.clone()).expect("a store"));
    let writers: Vec<_> = (0..3)
        .map(|n| {
            let store = store.clone();
            thread::spawn(move || {
                let name = format!("v{n}");
                let written = block_on(write(&store, name.clone()));
                if written.is_ok() {
                    assert!(is_there(&*store.snapshot(), &name), "acknowledged, and not there");
                }
                (name, written.is_ok())
            })
        })
        .collect();
    let follower = follower(&store);
    let closes = store.clone();
    let closer = thread::spawn(move || block_on(closes.close()));
    let results: Vec<_> = writers.into_iter().map(|writer| writer.join().expect("no panic")).collect();
    closer.join().expect("no panic");
    let last = follower.join().expect("no panic");
    let rows = engine.snapshot().expect("rows");
    for (name, acknowledged) in &results {
        assert_eq!(is_there(&*rows, name), *acknowledged, "{name}");
    }
    assert_eq!(last, results.iter().filter(|(_, acknowledged)| *acknowledged).count() as u64, "an event was not told");
}

pub(crate) fn the_last_event_is_seen() {
    follow(|log, told| {
        told.mark_unchanged();
        thread::yield_now();
        *log.read().unwrap()
    });
}

/// Somebody writes two events and tells of each; somebody else looks whenever there is something new, until both are seen.
fn follow(look: fn(&RwLock<u64>, &mut watch::Receiver<u64>) -> u64) {
    let (told, log) = (Arc::new(watch::Sender::new(0)), Arc::new(RwLock::new(0)));
    let (mut follower, tells, grows) = (told.subscribe(), told.clone(), log.clone());
    let writer = thread::spawn(move || {
        for event in 1..=2 {
            *grows.write().unwrap() = event;
            tells.send_replace(event);
        }
    });
    while look(&log, &mut follower) < 2 {
        block_on(follower.changed()).expect("who tells is there");
    }
    writer.join().expect("no panic");
}

/// The same scenarios with a bug each.
pub(crate) mod planted {
    use super::*;

    pub(crate) fn memories_are_forgotten() {
        memories(|space| std::mem::forget(space));
    }

    pub(crate) fn the_last_told_holds() {
        tell(|_, told| told);
    }

    /// Commits on a thread of its own.
    struct Late(Arc<MemoryEngine>);

    impl Engine for Late {
        fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
            self.0.snapshot()
        }

        fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
            let (engine, changes) = (self.0.clone(), changes.clone());
            thread::spawn(move || engine.commit(&changes));
            Ok(())
        }
    }

    pub(crate) fn commits_are_late() {
        acknowledge(Arc::new(Late(Arc::new(MemoryEngine::new()))));
    }

    pub(crate) fn a_follower_looks_away() {
        follow(|log, told| {
            let newest = *log.read().unwrap();
            thread::yield_now();
            told.mark_unchanged();
            newest
        });
    }
}
