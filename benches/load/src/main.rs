//! The runtime under load: durable ticks per second and per CPU second beside upstream's runtime, lateness beside bare timers, and what
//! idle vigies take. From this directory:
//!
//! ```sh
//! cargo run --release -- --seconds 10
//! ```
//!
//! `--json` prints one JSON line, too; `--only throughput,lateness,idle` measures a part; `--in DIRECTORY` says where the stores are made.
//! What is wanted holds on two cores that have nothing else to do.

mod bare;
mod heap;
mod ours;
mod report;
#[cfg(feature = "upstream")]
mod upstream;
mod workload;

use std::time::Duration;

use report::Report;

#[global_allocator]
static HEAP: heap::Counted = heap::Counted;

/// The rooms of the house that the bench visits, unless `--only` says which.
const PARTS: &str = "throughput,lateness,idle";

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut seconds, mut json, mut only, mut place) = (10, false, PARTS.to_owned(), std::env::temp_dir());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| usage());
        match argument.as_str() {
            "--json" => json = true,
            "--only" => only = value(),
            "--in" => place = value().into(),
            "--seconds" => seconds = value().parse().unwrap_or_else(|_| usage()),
            _ => usage(),
        }
    }
    let time = Duration::from_secs(seconds);
    let measured = |part| only.split(',').any(|wanted| wanted == part);
    let mut report = Report::default();
    if measured("throughput") {
        throughput(&mut report, &place, time).await;
    }
    if measured("lateness") {
        lateness(&mut report, &place, time).await;
    }
    if measured("idle") {
        idle(&mut report, &place).await;
    }
    if json {
        println!("{}", report.json());
    }
}

fn usage() -> ! {
    eprintln!("vigy-load [--seconds N] [--json] [--only {PARTS}] [--in DIRECTORY]");
    std::process::exit(2)
}

async fn throughput(report: &mut Report, place: &std::path::Path, time: Duration) {
    for (name, program, vigies) in [("hello", workload::HELLO, 4000), ("reconcile50", workload::RECONCILE, 4000)] {
        let directory = tempfile::tempdir_in(place).expect("a directory");
        let ours = ours::throughput(directory.path(), program, vigies, time).await;
        report.add(&format!("{name}, durable"), ours.json());
        if name == "hello" {
            report.aim(format!("{:.0} durable ticks/s, 20000 wanted", ours.per_second), ours.per_second >= 20_000.0);
        }
        #[cfg(feature = "upstream")]
        {
            let theirs = upstream::throughput(directory.path(), program, time).await;
            report.add(&format!("{name}, upstream"), theirs.json());
            let times = ours.per_cpu_second / theirs.per_cpu_second;
            report.aim(format!("{name}: {times:.0} times upstream's ticks per CPU second, 100 wanted"), times >= 100.0);
        }
    }
}

async fn lateness(report: &mut Report, place: &std::path::Path, time: Duration) {
    for (count, interval_ms) in [(10_000, 1000), (1000, 100)] {
        let directory = tempfile::tempdir_in(place).expect("a directory");
        let bare = bare::lateness(count, interval_ms, time).await;
        report.add(&format!("{count} at {interval_ms} ms, bare timers"), bare.json());
        let ours = ours::lateness(directory.path(), count, interval_ms, time, false).await;
        report.add(&format!("{count} at {interval_ms} ms, durable"), ours.json());
        report.aim(format!("p99 {:.1} ms, {:.1} wanted", ours.p99, bare.p99 + 5.0), ours.p99 <= bare.p99 + 5.0);
        report.aim(format!("{} missed, 0 wanted", ours.missed), ours.missed == 0);
        let hostile = ours::lateness(directory.path(), count, interval_ms, time, true).await;
        report.add(&format!("{count} at {interval_ms} ms, a hostile one"), hostile.json());
        let more = hostile.p99 - ours.p99;
        report.aim(format!("a hostile vigy adds {more:.1} ms, 5 at most wanted"), more <= 5.0);
    }
}

async fn idle(report: &mut Report, place: &std::path::Path) {
    let directory = tempfile::tempdir_in(place).expect("a directory");
    let idle = ours::idle(directory.path(), 100_000).await;
    report.add("100000 at 1 h", idle.json());
    report.aim(format!("{:.0} bytes per idle vigy, 1024 at most wanted", idle.bytes_per_vigy), idle.bytes_per_vigy <= 1024.0);
    report.aim(format!("opened in {:.2} s, 1 at most wanted", idle.opened.as_secs_f64()), idle.opened.as_secs_f64() <= 1.0);
}
