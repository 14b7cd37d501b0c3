//! What a runtime does, as Prometheus scrapes it.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use adapter_tokio::{Census, Observer, Ticked};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use vigy_core::Vigy;

/// What [`Metrics::text`] is, for `Content-Type`.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What [`plain`] makes of it, for `Content-Type`.
pub const PLAIN_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How many vigies have series of their own: 1,000. Those that tick first have them; all others are counted together, as
/// [`OTHER_VIGIES`], so that a scrape does not grow with the number of vigies.
pub const VIGIES_WITH_OWN_SERIES: usize = 1_000;

/// The label of the vigies that have no series of their own. No vigy is called so.
pub const OTHER_VIGIES: &str = "";

/// Upper bounds of the buckets of times, in seconds: from 100 µs to 2 minutes.
const SECONDS: [f64; 13] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0];

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfVigy {
    vigy: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Reconciled {
    vigy: String,
    result: &'static str,
}

/// Counts what a runtime does: for [`adapter_tokio::Builder::observer`]. Counts from zero when the process starts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    named: Mutex<BTreeSet<String>>,
    reconcile: Family<Reconciled, Counter>,
    errors: Family<OfVigy, Counter>,
    fuel: Family<OfVigy, Counter>,
    heap: Family<OfVigy, Gauge<f64, AtomicU64>>,
    time: Histogram,
    lateness: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(SECONDS);
        let (reconcile, errors, fuel, heap) = <(Family<_, _>, Family<_, _>, Family<_, _>, Family<_, _>)>::default();
        let (time, lateness) = (seconds(), seconds());
        let mut registry = Registry::with_prefix("vigy");
        registry.register("reconcile", "Ticks", Family::clone(&reconcile));
        registry.register("reconcile_errors", "Ticks whose evaluation failed", Family::clone(&errors));
        registry.register_with_unit("reconcile_time", "How long ticks took, actions included", Unit::Seconds, time.clone());
        registry.register_with_unit("tick_lateness", "How long after they were due ticks began", Unit::Seconds, lateness.clone());
        registry.register("fuel_used", "Fuel that ticks used", Family::clone(&fuel));
        registry.register_with_unit("heap", "The most heap in use in the last tick", Unit::Bytes, Family::clone(&heap));
        Self { registry, named: Mutex::default(), reconcile, errors, fuel, heap, time, lateness }
    }
}

impl Metrics {
    /// The label of a vigy.
    fn label(&self, vigy: &Vigy) -> String {
        let name = vigy.name.as_str();
        // The set is whole whoever panicked.
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if !named.contains(name) {
            if named.len() >= VIGIES_WITH_OWN_SERIES {
                return OTHER_VIGIES.to_owned();
            }
            named.insert(name.to_owned());
        }
        name.to_owned()
    }

    /// All of it, as [`OPEN_METRICS`] says.
    ///
    /// # Errors
    /// What cannot be written as text.
    pub fn text(&self, census: &Census) -> Result<String, std::fmt::Error> {
        let mut counted = Registry::with_prefix("vigy");
        let gauges = [
            ("ticking", "Vigies that tick on their own", census.ticking),
            ("disabled", "Vigies that are disabled", census.disabled),
            ("parked", "Vigies that failed too often to go on by themselves", census.parked),
            ("queue_depth", "Vigies whose tick is due and not over", census.due),
            ("dead_letters", "Actions that failed for good and are kept", census.dead_letters),
        ];
        for (name, help, count) in gauges {
            counted.register(name, help, ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)));
        }
        counted.register(
            "missed_ticks",
            "Ticks that were skipped, in the lives of the vigies that are there",
            ConstCounter::new(census.missed),
        );
        let mut out = String::new();
        text::encode_registry(&mut out, &counted)?;
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

/// The same in Prometheus' older text format, for whoever does not ask for OpenMetrics. There a counter is described under the name that
/// its samples have, and neither units nor an end are told.
#[must_use]
pub fn plain(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    // The help of a metric stands before its type.
    let mut help = None;
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        let comment =
            (words.next() == Some("#")).then(|| (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default()));
        match comment {
            None => out.extend([line, "\n"]),
            Some((Some("HELP"), _, text)) => help = Some(text),
            Some((Some("TYPE"), name, kind)) => {
                let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
                out.extend(help.take().map(|help| format!("# HELP {name} {help}\n")));
                out.push_str(&format!("# TYPE {name} {kind}\n"));
            }
            Some(_) => {}
        }
    }
    out
}

impl Observer for Metrics {
    fn ticked(&self, vigy: &Vigy, tick: &Ticked) {
        let vigy = self.label(vigy);
        let result = if tick.ok { "ok" } else { "failed" };
        self.reconcile.get_or_create(&Reconciled { vigy: vigy.clone(), result }).inc();
        let of = OfVigy { vigy };
        if !tick.ok {
            self.errors.get_or_create(&of).inc();
        }
        self.fuel.get_or_create(&of).inc_by(tick.fuel);
        // A heap is smaller than what a double has no gaps for.
        self.heap.get_or_create(&of).set(tick.heap_bytes as f64);
        self.time.observe(tick.took.as_secs_f64());
        if let Some(late) = tick.late {
            self.lateness.observe(late.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vigy_core::{Incarnation, RunKey, TickInterval};

    use super::*;

    fn ticked(metrics: &Metrics, name: &str, ok: bool) {
        let vigy = Vigy::new(name, "(vigy-noop)", TickInterval::default()).unwrap();
        let run = RunKey { incarnation: Incarnation(1), tick: 1 };
        let (late, took) = (Some(Duration::from_millis(2)), Duration::from_millis(20));
        metrics.ticked(&vigy, &Ticked { run, ok, late, took, fuel: 100, heap_bytes: 2048 });
    }

    #[test]
    fn ticks_are_counted_by_vigy_and_result() {
        let metrics = Metrics::default();
        ticked(&metrics, "a \"b\"", true);
        ticked(&metrics, "a \"b\"", true);
        ticked(&metrics, "a \"b\"", false);
        let text = metrics.text(&Census { parked: 3, missed: 7, ..Census::default() }).unwrap();
        let lines = [
            "vigy_reconcile_total{vigy=\"a \\\"b\\\"\",result=\"ok\"} 2",
            "vigy_reconcile_total{vigy=\"a \\\"b\\\"\",result=\"failed\"} 1",
            "vigy_reconcile_errors_total{vigy=\"a \\\"b\\\"\"} 1",
            "vigy_reconcile_time_seconds_bucket{le=\"0.03\"} 3",
            "vigy_reconcile_time_seconds_bucket{le=\"0.01\"} 0",
            "vigy_tick_lateness_seconds_count 3",
            "vigy_fuel_used_total{vigy=\"a \\\"b\\\"\"} 300",
            "vigy_heap_bytes{vigy=\"a \\\"b\\\"\"} 2048.0",
            "vigy_parked 3",
            "vigy_missed_ticks_total 7",
        ];
        for line in lines {
            assert!(text.lines().any(|found| found == line), "`{line}` is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn whoever_does_not_ask_for_open_metrics_gets_the_text_that_every_scraper_reads() {
        let metrics = Metrics::default();
        ticked(&metrics, "a", true);
        let text = plain(&metrics.text(&Census::default()).unwrap());
        let whole =
            "# HELP vigy_reconcile_total Ticks.\n# TYPE vigy_reconcile_total counter\nvigy_reconcile_total{vigy=\"a\",result=\"ok\"} 1\n";
        assert!(text.contains(whole), "{text}");
        assert!(text.contains("# TYPE vigy_heap_bytes gauge\nvigy_heap_bytes{vigy=\"a\"} 2048.0\n"), "{text}");
        assert!(text.contains("# TYPE vigy_reconcile_time_seconds histogram\n"), "{text}");
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
    }

    #[test]
    fn a_scrape_does_not_grow_with_the_number_of_vigies() {
        let metrics = Metrics::default();
        for n in 0..VIGIES_WITH_OWN_SERIES + 50 {
            ticked(&metrics, &format!("vigy-{n}"), true);
        }
        let text = metrics.text(&Census::default()).unwrap();
        let series = text.lines().filter(|line| line.starts_with("vigy_reconcile_total")).count();
        assert_eq!(series, VIGIES_WITH_OWN_SERIES + 1);
        assert!(text.contains("vigy_reconcile_total{vigy=\"\",result=\"ok\"} 50\n"));
    }
}
