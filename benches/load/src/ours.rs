//! Our runtime.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adapter_tokio::{Evaluation, Evaluators, Loaded, Native, RegisterError, RuntimeHandle};
use cpu_time::ProcessTime;
use hdrhistogram::Histogram;
use vigy_core::{Cadence, Door, Evaluator, Incarnation, Limits, Selector, Step, TickInterval, Vigy};
use vigy_lisp::HostFn;

use crate::report::{Idle, Lateness, Throughput};
use crate::{heap, workload};

/// How long a runtime may take to end its last ticks.
const DRAIN: Duration = Duration::from_secs(60);

/// Vigies registered at the same time.
const REGISTERED_AT_ONCE: usize = 256;

fn vigy(name: String, program: &str, cadence: Cadence) -> Vigy {
    Vigy::new(&name, program, cadence).expect("a declaration of ours")
}

fn every(ms: u64) -> Cadence {
    Cadence::every(TickInterval::from_millis(ms).expect("an interval of ours"))
}

async fn register(runtime: &RuntimeHandle, vigies: impl Iterator<Item = Vigy>) {
    let mut tasks = tokio::task::JoinSet::new();
    for vigy in vigies {
        while tasks.len() >= REGISTERED_AT_ONCE {
            tasks.join_next().await;
        }
        let runtime = runtime.clone();
        tasks.spawn(async move { runtime.register_or_update(vigy).await.expect("it is registered") });
    }
    tasks.join_all().await;
}

/// Ticks committed so far, and ticks missed; without the hostile one, which fails, and waits longer than its interval.
async fn counts(runtime: &RuntimeHandle) -> (u64, u64) {
    let all = runtime.list(&Selector::default()).await.expect("the store can be read");
    let friendly = all.iter().filter(|vigy| vigy.vigy.name.as_str() != "hostile");
    friendly.fold((0, 0), |(ticks, missed), vigy| (ticks + vigy.checkpoint.ticks, missed + vigy.checkpoint.missed))
}

/// As many durable ticks as there is time for: more vigies at 100 ms than can be ticked.
pub async fn throughput(directory: &Path, program: &str, vigies: usize, time: Duration) -> Throughput {
    let runtime = RuntimeHandle::open(&directory.join("throughput.redb")).await.expect("a store");
    register(&runtime, (0..vigies).map(|n| vigy(format!("v{n}"), program, every(100)))).await;
    tokio::time::sleep(time / 4).await;
    let (before, _) = counts(&runtime).await;
    let (clock, cpu) = (Instant::now(), ProcessTime::now());
    tokio::time::sleep(time).await;
    let (elapsed, cpu) = (clock.elapsed(), cpu.elapsed());
    let (after, _) = counts(&runtime).await;
    runtime.shutdown(DRAIN).await;
    Throughput::new(after - before, elapsed, cpu)
}

/// How late `vigies` at `interval_ms` begin, beside a hostile one or not.
pub async fn lateness(directory: &Path, vigies: usize, interval_ms: u64, time: Duration, hostile: bool) -> Lateness {
    let watch = Arc::new(Watch::default());
    let name = format!("lateness-{vigies}-{interval_ms}-{hostile}.redb");
    let runtime = RuntimeHandle::builder().evaluators(watch.clone()).open(&directory.join(name)).await.expect("a store");
    if hostile {
        register(&runtime, std::iter::once(vigy("hostile".to_owned(), workload::HOSTILE, every(interval_ms)))).await;
    }
    register(&runtime, (0..vigies).map(|n| vigy(format!("v{n}"), workload::HELLO, every(interval_ms)))).await;
    tokio::time::sleep(Duration::from_millis(2 * interval_ms)).await;
    let (ticks, missed) = counts(&runtime).await;
    watch.begun.lock().expect("nobody panics").clear();
    let cpu = ProcessTime::now();
    tokio::time::sleep(time).await;
    let cpu = cpu.elapsed();
    let begun = std::mem::take(&mut *watch.begun.lock().expect("nobody panics"));
    let (ticks_after, missed_after) = counts(&runtime).await;
    let all = runtime.list(&Selector::default()).await.expect("the store can be read");
    let grids: HashMap<_, _> = all
        .iter()
        .filter(|vigy| vigy.vigy.name.as_str() != "hostile")
        .map(|vigy| (vigy.checkpoint.incarnation, vigy.checkpoint.grid.0 * 1000))
        .collect();
    runtime.shutdown(DRAIN).await;
    let mut late = Histogram::new(3).expect("three digits");
    for (life, at) in begun {
        if let Some(grid) = grids.get(&life) {
            late += (at as i64 - *grid as i64).rem_euclid(interval_ms as i64 * 1000) as u64;
        }
    }
    Lateness::new(&late, ticks_after - ticks, missed_after - missed, cpu)
}

/// What `vigies` that tick once an hour take while they do not.
pub async fn idle(directory: &Path, vigies: usize) -> Idle {
    let path = directory.join("idle.redb");
    let hour = Cadence { initial_delay_ms: 3_600_000, ..every(3_600_000) };
    let runtime = RuntimeHandle::open(&path).await.expect("a store");
    register(&runtime, (0..vigies).map(|n| vigy(format!("v{n}"), workload::HELLO, hour))).await;
    runtime.shutdown(DRAIN).await;
    drop(runtime);
    let (before, clock) = (heap::in_use(), Instant::now());
    let runtime = RuntimeHandle::open(&path).await.expect("a store");
    let opened = clock.elapsed();
    let bytes = heap::in_use().saturating_sub(before);
    runtime.shutdown(DRAIN).await;
    Idle { vigies, opened, bytes_per_vigy: bytes as f64 / vigies as f64 }
}

/// Notes when each evaluation begins.
#[derive(Default)]
struct Watch {
    begun: Arc<Mutex<Vec<(Incarnation, u64)>>>,
}

impl Evaluators for Watch {
    fn load(&self, vigy: &Vigy, operations: &[HostFn]) -> Result<Arc<dyn Loaded>, RegisterError> {
        Ok(Arc::new(Watched { loaded: Native.load(vigy, operations)?, begun: self.begun.clone() }))
    }
}

struct Watched {
    loaded: Arc<dyn Loaded>,
    begun: Arc<Mutex<Vec<(Incarnation, u64)>>>,
}

impl Loaded for Watched {
    fn hash(&self) -> [u8; 32] {
        self.loaded.hash()
    }

    fn operations(&self) -> Vec<&str> {
        self.loaded.operations()
    }

    fn words(&self, limits: &Limits) -> usize {
        self.loaded.words(limits)
    }

    fn evaluation<'m>(&'m self, limits: &Limits, words: &'m mut [u64]) -> Result<Evaluation<'m>, String> {
        let evaluation = self.loaded.evaluation(limits, words)?;
        Ok(Evaluation::Other(Box::new(Noted { evaluation, begun: Some(&self.begun) })))
    }
}

struct Noted<'m> {
    evaluation: Evaluation<'m>,
    begun: Option<&'m Mutex<Vec<(Incarnation, u64)>>>,
}

impl Evaluator for Noted<'_> {
    fn step(&mut self, door: &mut Door<'_>, slice: u64) -> Step {
        if let Some(begun) = self.begun.take() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            begun.lock().expect("nobody panics").push((door.header().incarnation, now.as_micros() as u64));
        }
        self.evaluation.step(door, slice)
    }

    fn fuel_used(&self) -> u64 {
        self.evaluation.fuel_used()
    }
}
