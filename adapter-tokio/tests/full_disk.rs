//! The disk is full, or fails, for a while: what was acknowledged stays, what is asked meanwhile fails and says why, and when the disk is
//! well again everything goes on, in the same process.

mod common;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_tokio::store::engine::{Engine, RedbEngine};
use adapter_tokio::store::{Happened, Store};
use adapter_tokio::{Builder, Event, RuntimeHandle, StoreError, VigyError};
use common::Replayed as _;
use redb::{Database, DatabaseError, StorageBackend};
use vigy_core::{Cadence, TickInterval, Vigy};
use vigy_lisp::Data;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

const COUNTING: &str = "(vigy-incr :n) (vigy-noop)";

/// Linux's number for it.
const NO_SPACE: i32 = 28;

/// A disk in memory, which fails when it is told to.
#[derive(Clone, Default, Debug)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Nothing more can be written.
    full: Arc<AtomicBool>,
    /// Nothing can be read either.
    broken: Arc<AtomicBool>,
}

impl Disk {
    fn open(&self) -> Result<Database, DatabaseError> {
        // Without a cache: what is read comes from the disk.
        redb::Builder::new().set_cache_size(0).create_with_backend(self.clone())
    }

    fn engine(&self) -> Arc<dyn Engine> {
        let disk = self.clone();
        Arc::new(RedbEngine::new(self.open().unwrap()).unwrap().reopens(move || disk.open()))
    }

    fn writes(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(io::Error::from_raw_os_error(NO_SPACE)) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }
    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is broken"));
        }
        let bytes = self.bytes.lock().unwrap();
        let found = bytes.get(at as usize..at as usize + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writes()?;
        self.bytes.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.writes()
    }
    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.writes()?;
        self.bytes.lock().unwrap()[at as usize..at as usize + data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn idle() -> Builder {
    RuntimeHandle::builder().scheduling(false)
}

fn counting(ms: u64) -> Vigy {
    let cadence = Cadence { jitter_ms: 0, ..Cadence::every(TickInterval::from_millis(ms).unwrap()) };
    Vigy::new("counting", COUNTING, cadence).unwrap()
}

/// Asks until it is answered.
async fn at_last<T>(ask: impl AsyncFn() -> Result<T, VigyError>) -> T {
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(VigyError::Store(_)) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the runtime recovers")
}

#[track_caller]
fn failed<T>(done: Result<T, VigyError>, words: &str) {
    let Err(VigyError::Store(StoreError(why))) = done else { panic!("it was done") };
    assert!(why.contains(words), "`{words}` is missing in `{why}`");
}

#[tokio::test]
async fn a_full_disk_fails_what_is_asked_and_no_more() {
    let disk = Disk::default();
    let runtime = idle().over(disk.engine()).await.unwrap().replaying();
    let id = runtime.register_or_update(counting(1000)).await.unwrap().id;
    runtime.tick_now(id).await.unwrap();
    for ticks in 1..=3 {
        disk.full.store(true, Ordering::SeqCst);
        failed(runtime.tick_now(id).await, "No space left on device");
        // Nobody is told that it waits for something that is closed, or gone.
        for _ in 0..3 {
            failed(runtime.tick_now(id).await, "an error");
        }
        disk.full.store(false, Ordering::SeqCst);
        let run = at_last(async || runtime.tick_now(id).await).await;
        assert_eq!(run.key.tick, ticks + 1, "no tick was lost, and none was made twice");
        assert_eq!(runtime.state(id).await.unwrap().kv[0].1, Data::Int(ticks as i64 + 1));
    }
    runtime.shutdown(PATIENCE).await;
    assert_eq!(Store::over(disk.engine()).unwrap().check().await.unwrap(), []);
}

#[tokio::test]
async fn a_disk_that_cannot_be_read_for_a_while_is_read_again() {
    let disk = Disk::default();
    let runtime = idle().over(disk.engine()).await.unwrap().replaying();
    let id = runtime.register_or_update(counting(1000)).await.unwrap().id;
    runtime.tick_now(id).await.unwrap();
    disk.broken.store(true, Ordering::SeqCst);
    failed(runtime.state(id).await, "broken");
    disk.broken.store(false, Ordering::SeqCst);
    let state = at_last(async || runtime.state(id).await).await;
    assert_eq!(state.kv[0].1, Data::Int(1));
    assert_eq!(at_last(async || runtime.tick_now(id).await).await.key.tick, 2);
}

#[tokio::test]
async fn a_vigy_goes_on_by_itself_when_there_is_room_again() {
    let disk = Disk::default();
    let runtime = RuntimeHandle::builder().over(disk.engine()).await.unwrap().replaying();
    let mut events = runtime.events(None);
    let id = runtime.register_or_update(counting(100)).await.unwrap().id;
    let mut ran = async || {
        loop {
            // A reader of events is told of the trouble, too, and asks again.
            let Ok(Some(Event::Happened { event, .. })) = events.next().await else {
                tokio::task::yield_now().await;
                continue;
            };
            if let Happened::Ran { run, .. } = event.what {
                return run.tick;
            }
        }
    };
    let first = tokio::time::timeout(PATIENCE, ran()).await.unwrap();
    disk.full.store(true, Ordering::SeqCst);
    // Whoever asks hears of it; a tick that had begun may have been durable before.
    while runtime.tick_now(id).await.is_ok() {}
    disk.full.store(false, Ordering::SeqCst);
    let mut ticks = vec![first];
    while ticks.len() < 4 {
        ticks.push(tokio::time::timeout(PATIENCE, ran()).await.expect("it ticks again"));
    }
    assert!(ticks.is_sorted_by(|before, after| *after == before + 1), "{ticks:?}");
    runtime.shutdown(PATIENCE).await;
    assert_eq!(Store::over(disk.engine()).unwrap().check().await.unwrap(), []);
}
