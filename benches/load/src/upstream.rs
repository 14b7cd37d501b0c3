//! Upstream's runtime.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use vigy_runtime::RuntimeHandle;
use vigy_types::{TickInterval, Vigy};

use crate::report::Throughput;

/// Ticks asked for at the same time.
const AT_ONCE: usize = 4;

/// As many durable ticks as there is time for, by force: its own schedule would make fewer.
pub async fn throughput(directory: &Path, program: &str, time: Duration) -> Throughput {
    let runtime = Arc::new(RuntimeHandle::open(&directory.join("upstream.db")).await.expect("a store"));
    let ticks = Arc::new(AtomicU64::new(0));
    let (clock, cpu) = (Instant::now(), ProcessTime::now());
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|n| {
            let (runtime, ticks, program) = (runtime.clone(), ticks.clone(), program.to_owned());
            tokio::spawn(async move {
                let interval = TickInterval::from_millis(3_600_000).expect("an interval");
                let vigy = Vigy::new(format!("v{n}"), program, interval).expect("a declaration");
                let vigy = runtime.register_or_update(vigy).await.expect("it is registered");
                while clock.elapsed() < time {
                    let run = runtime.tick_now(&vigy.id).await.expect("it ticks");
                    assert!(run.error.is_none(), "{:?}", run.error);
                    ticks.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it does not panic");
    }
    Throughput::new(ticks.load(Ordering::Relaxed), clock.elapsed(), cpu.elapsed())
}
