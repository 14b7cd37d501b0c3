//! How long operations take: thread CPU time, samples of all engines taking turns.

use crate::engines::Operation;
use cpu_time::ThreadTime;
use std::time::Duration;

/// One engine at one workload.
pub struct Bench {
    operation: Operation,
    /// Operations in one sample.
    batch: u32,
    nanos: Vec<f64>,
}

impl Bench {
    /// Makes the batch large enough for a sample to last `sample`. Results are checked here, outside of what is measured.
    pub fn new(mut operation: Operation, expected: i64, sample: Duration) -> Result<Self, i64> {
        let result = operation();
        if result != expected {
            return Err(result);
        }
        let mut batch = 1u32;
        loop {
            let spent = time(&mut operation, batch);
            if spent >= sample / 4 {
                let wanted = f64::from(batch) * sample.as_secs_f64() / spent.as_secs_f64();
                return Ok(Self { operation, batch: wanted.max(1.0) as u32, nanos: Vec::new() });
            }
            batch *= 2;
        }
    }

    /// Takes one more sample.
    pub fn sample(&mut self) {
        let spent = time(&mut self.operation, self.batch);
        self.nanos.push(spent.as_nanos() as f64 / f64::from(self.batch));
    }

    /// The median of the samples, in nanoseconds per operation, and how far the middle half of them spreads.
    pub fn result(mut self) -> (f64, f64) {
        self.nanos.sort_by(f64::total_cmp);
        let n = self.nanos.len();
        let median = self.nanos[n / 2];
        (median, (self.nanos[3 * n / 4] - self.nanos[n / 4]) / median)
    }
}

fn time(operation: &mut Operation, batch: u32) -> Duration {
    let start = ThreadTime::now();
    for _ in 0..batch {
        std::hint::black_box(operation());
    }
    start.elapsed()
}
