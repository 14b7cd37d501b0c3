//! What a durable tick costs the writer.
//!
//! ```sh
//! cargo test --release -p adapter-tokio --lib speed -- --ignored --nocapture
//! ```

use std::sync::Arc;
use std::time::Instant;

use vigy_core::record::{Header, Level, RECORD_VERSION};
use vigy_core::{ActionKind, Limits, TickInterval};

use super::*;
use crate::store::engine::{Engine, MemoryEngine, RedbEngine};
use crate::store::{Job, Writer, lock};

/// Vigies, ticks of each, and ticks that one commit takes.
const VIGIES: u64 = 1000;
const TICKS: u64 = 30;
const GROUP: usize = 250;

/// The batch of a tick that logs a line and does nothing.
fn hello(id: VigyId, tick: u64) -> Committed {
    let (run, at) = (RunKey { incarnation: Incarnation(id.0), tick }, Timestamp(tick * 1000));
    let limits = Limits::default();
    let header = Header { program: [7; 32], incarnation: run.incarnation, tick, at, previous: None, seed: tick, limits };
    let mut record = postcard::to_extend(&header, vec![RECORD_VERSION]).unwrap();
    for entry in [
        Entry::Log { level: Level::Info, message: "hello from a vigy" },
        Entry::Action { kind: ActionKind::Noop, payload: None, message: None },
        Entry::End { fuel: 42, verdict: Verdict::Ok },
    ] {
        record = postcard::to_extend(&entry, record).unwrap();
    }
    let checkpoint = Checkpoint { ticks: tick, last: Some(at), ..Checkpoint::new(run.incarnation, at) };
    let row = RunRow { at, ended_at: Some(at), refers: false, outcomes: Bytes(&[]), record: Bytes(&record) }.encoded().unwrap();
    let (stored, values, kv, state) = Default::default();
    Committed { id, version: 1, run, at, now: at, failed: false, ends: true, checkpoint, row, stored, values, kv, state }
}

/// Nanoseconds that this thread has been running for.
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default()
}

fn job(work: impl FnOnce(&mut Transaction) -> Result<(), StoreError> + Send + 'static) -> Job {
    Box::new(move |transaction| {
        transaction.unwrap().run(work).unwrap();
        Box::new(|outcome| outcome.unwrap())
    })
}

fn measure(name: &str, engine: Arc<dyn Engine>, retention: Retention) {
    lock::begin(&*engine).unwrap();
    let mut writer = Writer::new(engine).unwrap();
    // Ids are hashes: neighbours in time are no neighbours in the file.
    let ids: Vec<_> = (0..VIGIES).map(|n| VigyId(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    writer.group(ids.clone().into_iter().map(|id| {
        job(move |transaction| {
            let vigy = Vigy::new(&id.to_string(), "(vigy-noop)", TickInterval::MIN).unwrap();
            let new = NewVigy { id, incarnation: Incarnation(id.0), image: [7; 32], now: Timestamp(0), must_exist: false };
            register(transaction, vigy, &new).map(drop)
        })
    }));
    let batches: Vec<_> = (1..=TICKS).flat_map(|tick| ids.iter().map(move |id| hello(*id, tick))).collect();
    let count = batches.len() as u64;
    let mut jobs = batches.into_iter().map(|batch| {
        job(move |transaction| {
            assert!(batch.write(transaction, retention)?.is_some());
            Ok(())
        })
    });
    let (began, used) = (Instant::now(), cpu());
    loop {
        let group: Vec<_> = jobs.by_ref().take(GROUP).collect();
        if group.is_empty() {
            break;
        }
        writer.group(group.into_iter());
    }
    let (wall, used) = (began.elapsed().as_nanos() as u64 / count, (cpu() - used) / count);
    println!(r#"{{"name":"writer","engine":"{name}","ticks":{count},"group":{GROUP},"cpu_ns_per_tick":{used},"wall_ns_per_tick":{wall}}}"#);
}

#[test]
#[ignore = "a measurement"]
fn what_a_tick_costs_the_writer() {
    let directory = tempfile::tempdir().unwrap();
    let redb = |name: &str| Arc::new(RedbEngine::new(redb::Database::create(directory.path().join(name)).unwrap()).unwrap());
    let short = Retention { runs: 10, ..Retention::default() };
    measure("memory", Arc::new(MemoryEngine::new()), short);
    measure("redb", redb("growing.redb"), Retention::default());
    measure("redb, ten runs kept", redb("trimmed.redb"), short);
}

/// The longest that others wait while a vigy with a full history is deleted.
#[test]
#[ignore = "a measurement"]
fn what_a_deletion_costs_the_writer() {
    const RUNS: u64 = 1000;
    const VALUE: usize = 60_000;
    let directory = tempfile::tempdir().unwrap();
    let engine = RedbEngine::new(redb::Database::create(directory.path().join("full.redb")).unwrap()).unwrap();
    lock::begin(&engine).unwrap();
    let mut writer = Writer::new(Arc::new(engine)).unwrap();
    let id = VigyId(7);
    writer.group(std::iter::once(job(move |transaction| {
        let vigy = Vigy::new("full", "(vigy-noop)", TickInterval::MIN).unwrap();
        let new = NewVigy { id, incarnation: Incarnation(id.0), image: [7; 32], now: Timestamp(0), must_exist: false };
        register(transaction, vigy, &new).map(drop)
    })));
    for tick in 1..=RUNS {
        writer.group(std::iter::once(job(move |transaction| {
            transaction.put_bytes(schema::of(id, Part::Value, &tick.to_be_bytes()), vec![tick as u8; VALUE]);
            assert!(hello(id, tick).write(transaction, Retention::default())?.is_some());
            Ok(())
        })));
    }
    let began = Instant::now();
    writer.group(std::iter::once(job(move |transaction| delete(transaction, id, Timestamp(1)).map(drop))));
    println!(r#"{{"name":"delete","runs":{RUNS},"value_bytes":{VALUE},"ms":{}}}"#, began.elapsed().as_millis());
}
