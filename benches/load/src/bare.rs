//! Nothing but timers of tokio, which do nothing when they fire: the least lateness there is on this machine, now.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cpu_time::ProcessTime;
use hdrhistogram::Histogram;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::report::Lateness;

/// As many timers as there would be vigies, spread over the interval as those are.
pub async fn lateness(timers: usize, interval_ms: u64, time: Duration) -> Lateness {
    let late = Arc::new(Mutex::new(Histogram::new(3).expect("three digits")));
    let interval = Duration::from_millis(interval_ms);
    let begin = Instant::now() + 2 * interval;
    let cpu = ProcessTime::now();
    let tasks: Vec<_> = (0..timers)
        .map(|n| {
            let late = late.clone();
            let first = begin + interval.mul_f64(n as f64 / timers as f64);
            tokio::spawn(async move {
                let mut timer = interval_at(first, interval);
                timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
                while first.elapsed() < time {
                    let due = timer.tick().await;
                    let after = due.elapsed().as_micros() as u64;
                    *late.lock().expect("nobody panics") += after;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it does not panic");
    }
    let late = late.lock().expect("nobody panics").clone();
    let wanted = timers as u64 * (time.as_millis() as u64 / interval_ms);
    Lateness::new(&late, late.len(), wanted.saturating_sub(late.len()), cpu.elapsed())
}
