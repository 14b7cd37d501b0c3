//! What was measured, for people and for programs.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Ticks made in some time.
#[derive(Clone, Copy)]
pub struct Throughput {
    /// Ticks per second.
    pub per_second: f64,
    /// Ticks per second of CPU time, of all threads.
    pub per_cpu_second: f64,
}

impl Throughput {
    /// So many ticks in that time.
    pub fn new(ticks: u64, elapsed: Duration, cpu: Duration) -> Self {
        Self { per_second: ticks as f64 / elapsed.as_secs_f64(), per_cpu_second: ticks as f64 / cpu.as_secs_f64() }
    }

    /// CPU time of one tick, in microseconds.
    pub fn cpu_micros(&self) -> f64 {
        1e6 / self.per_cpu_second
    }

    pub fn json(&self) -> Value {
        json!({ "ticks_per_second": self.per_second, "ticks_per_cpu_second": self.per_cpu_second, "cpu_us_per_tick": self.cpu_micros() })
    }
}

/// How late something began, in milliseconds.
#[derive(Clone, Copy)]
pub struct Lateness {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub ticks: u64,
    pub missed: u64,
    /// CPU time, of all threads.
    pub cpu: Duration,
}

impl Lateness {
    /// From microseconds.
    pub fn new(late: &Histogram<u64>, ticks: u64, missed: u64, cpu: Duration) -> Self {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let at = |quantile| ms(late.value_at_quantile(quantile));
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: ms(late.max()), ticks, missed, cpu }
    }

    pub fn json(&self) -> Value {
        let Self { p50, p99, p999, max, ticks, missed, cpu } = *self;
        json!({ "p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "max_ms": max, "ticks": ticks, "missed": missed, "cpu_s": cpu.as_secs_f64() })
    }
}

/// What vigies take that do nothing.
#[derive(Clone, Copy)]
pub struct Idle {
    pub vigies: usize,
    /// How long opening the store took.
    pub opened: Duration,
    /// Of heap, all in all.
    pub bytes_per_vigy: f64,
}

impl Idle {
    pub fn json(&self) -> Value {
        json!({ "vigies": self.vigies, "open_ms": self.opened.as_secs_f64() * 1000.0, "bytes_per_vigy": self.bytes_per_vigy })
    }
}

/// Everything that was measured, by name, and whether it reaches its aim.
#[derive(Default)]
pub struct Report {
    rows: Vec<(String, Value)>,
    aims: Vec<(String, bool)>,
}

impl Report {
    /// Notes what was measured, and says it.
    pub fn add(&mut self, name: &str, value: Value) {
        let figure = |(key, value): (&String, &Value)| match value.as_f64() {
            Some(number) if value.is_f64() => format!("{key} {number:.2}"),
            _ => format!("{key} {value}"),
        };
        let figures: Vec<_> = value.as_object().into_iter().flatten().map(figure).collect();
        eprintln!("{name:34} {}", figures.join("  "));
        self.rows.push((name.to_owned(), value));
    }

    /// Notes whether an aim is reached, and says it.
    pub fn aim(&mut self, aim: String, reached: bool) {
        eprintln!("{:34} {aim}", if reached { "  reached" } else { "  NOT REACHED" });
        self.aims.push((aim, reached));
    }

    /// All of it as one line.
    pub fn json(&self) -> Value {
        let rows: serde_json::Map<_, _> = self.rows.iter().cloned().collect();
        let missed: Vec<_> = self.aims.iter().filter(|(_, reached)| !reached).map(|(aim, _)| aim).collect();
        json!({ "name": "load", "runs": self.aims.len(), "failures": missed.len(), "not_reached": missed, "measured": rows })
    }
}
