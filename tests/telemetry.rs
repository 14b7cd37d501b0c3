//! What a daemon tells about its work, to those who really listen: Prometheus scrapes it, and a collector of OpenTelemetry gets its spans.

mod common;
mod services;

use std::io::Write as _;
use std::process::{Command, Stdio};

use common::Home;
use services::{Scraper, eventually, get_text, tools};

/// The metrics of the reference, each with what a daemon says of it that ticked `good` three times, `bad` twice, and `due` by itself.
const METRICS: [(&str, &str); 14] = [
    ("vigy_reconcile_total{vigy=\"good\",result=\"ok\"}", "3"),
    ("vigy_reconcile_total{vigy=\"bad\",result=\"failed\"}", "2"),
    ("vigy_reconcile_errors_total{vigy=\"bad\"}", "2"),
    ("vigy_reconcile_time_seconds_count", "6"),
    ("vigy_reconcile_time_seconds_bucket{le=\"+Inf\"}", "6"),
    // Only what was due can be late.
    ("vigy_tick_lateness_seconds_count", "1"),
    ("vigy_fuel_used_total{vigy=\"good\"} > bool 0", "1"),
    ("vigy_heap_bytes{vigy=\"good\"} > bool 0", "1"),
    ("vigy_queue_depth", "0"),
    ("vigy_ticking", "1"),
    ("vigy_disabled", "2"),
    ("vigy_parked", "0"),
    ("vigy_dead_letters", "3"),
    ("vigy_missed_ticks_total", "0"),
];

#[test]
fn prometheus_scrapes_a_daemon_and_its_linter_finds_nothing() {
    let Some([prometheus, promtool]) = tools("metrics, by a real Prometheus", ["prometheus", "promtool"]) else { return };
    let home = Home::new();
    let daemon = home.serve(&["--bind", "127.0.0.1:0"]);
    let tail = home.tail(&[]);
    let disabled = |name: &str, program: &str, more: &[&str]| {
        home.does(&[&["register", &home.file(&format!("{name}.tlisp"), program), "--name", name, "--disabled"], more].concat());
    };
    disabled("good", "(vigy-push {:n (vigy-incr \"n\")})", &["--on-action", "exec:exit 65"]);
    disabled("bad", "(car 1)", &[]);
    home.does(&["register", &home.hello(), "--name", "due", "--every", "1h", "--jitter", "0s"]);
    tail.next_of("run");
    for (name, often) in [("good", 3), ("bad", 2)] {
        (0..often).for_each(|_| _ = home.vigy(&["tick", name, "--force"]));
    }

    let address = daemon.url().strip_prefix("http://").unwrap();
    let scraper = Scraper::start(&prometheus, home.dir.path(), "vigy", address);
    eventually("the target is up", || match &scraper.query("up{job=\"vigy\"}")?[..] {
        [up] if up["value"][1] == "1" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    for (query, expected) in METRICS {
        eventually(query, || match &scraper.query(query)?[..] {
            [series] if series["value"][1] == *expected => Ok(()),
            other => Err(format!("{other:?} is not {expected}")),
        });
    }
    let median = scraper.query("histogram_quantile(0.5, vigy_reconcile_time_seconds_bucket)").unwrap();
    assert!(median[0]["value"][1].as_str().unwrap().parse::<f64>().unwrap() > 0.0, "{median:?}");

    // As whoever does not ask for OpenMetrics gets it: promtool reads nothing else.
    let page = get_text(&format!("{}/metrics", daemon.url()));
    let mut lint = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    lint.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let lint = lint.wait_with_output().unwrap();
    assert!(lint.status.success() && lint.stdout.is_empty() && lint.stderr.is_empty(), "{lint:?}\n{page}");
    assert!(daemon.stop().success());
}

/// Vigies that tick at the same time, each with an action, which is a line of the host's log.
#[cfg(feature = "otel")]
const VIGIES: usize = 12;

#[cfg(feature = "otel")]
#[test]
fn a_collector_gets_a_span_of_every_tick_and_each_is_of_its_vigy() {
    use std::collections::{BTreeMap, BTreeSet};

    let Some([program]) = tools("spans, by a real collector", ["rotel-agent"]) else { return };
    let mut home = Home::new();
    let collector = services::Collector::start(&program, home.dir.path());
    home.environment.push(("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", collector.port)));
    let program = home.file("p.tlisp", "(vigy-push {:n (vigy-incr \"n\")})");
    let daemon = home.serve(&[]);
    let tail = home.tail(&[]);
    for n in 0..VIGIES {
        home.does(&["register", &program, "--name", &format!("v{n}"), "--every", "100"]);
    }
    (0..60).for_each(|_| _ = tail.next_of("run"));
    // It sends what is left before it ends.
    assert!(daemon.stop().success());

    // The home replays what it has at its end, which makes no spans; neither does this.
    home.environment.clear();
    let mut ran = BTreeSet::new();
    for n in 0..VIGIES {
        let name = format!("v{n}");
        let runs = home.json(&["runs", &name, "--limit", "1000"]);
        ran.extend(runs.as_array().unwrap().iter().map(|run| (name.clone(), run["tick"].as_u64().unwrap().to_string())));
    }
    assert!(ran.len() >= 60);
    let spans = eventually("every span has come", || {
        let spans = collector.spans();
        if spans.len() >= ran.len() { Ok(spans) } else { Err(format!("{} of {}", spans.len(), ran.len())) }
    });
    let of = |span: &services::Span, key: &str| span.attributes.get(key).cloned().unwrap_or_default();
    let told: BTreeSet<_> = spans.iter().map(|span| (of(span, "vigy"), of(span, "tick"))).collect();
    assert_eq!(told, ran, "a span for every tick, with its vigy and its number");
    assert_eq!(spans.len(), ran.len(), "and one only");
    let traces: BTreeMap<_, _> = spans.iter().map(|span| (&span.trace, span)).collect();
    assert_eq!(traces.len(), spans.len(), "each is a trace of its own");
    for span in &spans {
        assert_eq!((span.service.as_str(), span.name.as_str(), span.parent.as_str()), ("vigy", "tick", ""), "{span:?}");
    }
}
