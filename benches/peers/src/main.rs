//! The same ten workloads in our language and in those of other engines, side by side in one process:
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml --all-features
//! ```
//!
//! prints how long one operation takes (thread CPU time, median of nine samples, engines taking turns) and the ratio to Lua 5.4.
//! Every result is checked against one that no engine computed. See `--help`. Each engine but ours and Lua is a feature: with
//! `--no-default-features` it is these two alone, by default starlark and upstream's evaluator are beside them.

mod callgrind;
mod engines;
mod measure;
mod report;
mod workload;

use engines::Engine;
use measure::Bench;
use report::{Cell, Report};
use std::process::ExitCode;
use std::time::Duration;
use workload::Workload;

const HELP: &str = "\
Usage: vigy-peers [--only NAME,…] [--millis N] [--samples N] [--json] [--callgrind]

  --only NAME,…   engines and workloads by name; of either kind all, when none is named
  --millis N      how long one sample lasts (default 60)
  --samples N     samples of which the median counts (default 9)
  --json          the table as JSON
  --callgrind     instructions per operation instead of time; needs valgrind
";

struct Options {
    only: Vec<String>,
    sample: Duration,
    samples: usize,
    json: bool,
    callgrind: bool,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { only: Vec::new(), sample: Duration::from_millis(60), samples: 9, json: false, callgrind: false };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} takes a value"));
        match arg.as_str() {
            "--only" => options.only = value()?.split(',').map(String::from).collect(),
            "--millis" => options.sample = Duration::from_millis(value()?.parse().map_err(|e| format!("--millis: {e}"))?),
            "--samples" => options.samples = value()?.parse::<usize>().map_err(|e| format!("--samples: {e}"))?.max(1),
            "--json" => options.json = true,
            "--callgrind" => options.callgrind = true,
            _ => return Err(format!("unknown argument {arg}\n\n{HELP}")),
        }
    }
    let known = |name: &String| engines::ALL.iter().any(|e| e.name == name) || Workload::ALL.iter().any(|w| w.name() == name);
    match options.only.iter().find(|name| !known(name)) {
        Some(name) => Err(format!("no engine and no workload is called {name}")),
        None => Ok(options),
    }
}

/// Those that were named; all, when none was.
fn chosen<T: Copy>(all: impl Iterator<Item = T> + Clone, name: fn(T) -> &'static str, only: &[String]) -> Vec<T> {
    let named: Vec<T> = all.clone().filter(|t| only.iter().any(|o| o == name(*t))).collect();
    if named.is_empty() { all.collect() } else { named }
}

/// One row: every engine's time for one operation.
fn measure(workload: Workload, engines: &[&Engine], options: &Options) -> Vec<Cell> {
    let prepared: Vec<_> = engines
        .iter()
        .map(|e| Bench::new((e.prepare)(workload), workload.expected(), options.sample).map_err(|got| (e.name, got)))
        .collect();
    let mut benches = Vec::new();
    for bench in prepared {
        match bench {
            Ok(bench) => benches.push(bench),
            Err((name, got)) => panic!("{name} answers {got} to {}, not {}", workload.name(), workload.expected()),
        }
    }
    for _ in 0..options.samples {
        benches.iter_mut().for_each(Bench::sample);
    }
    let results = benches.into_iter().map(Bench::result);
    engines.iter().zip(results).map(|(e, (value, spread))| Cell { engine: e.name, value, spread: Some(spread) }).collect()
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--help" || a == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    // What callgrind counts: one workload on one engine, so many times.
    if let [flag, engine, workload, times] = args.as_slice()
        && flag == "--repeat"
    {
        return callgrind::repeat(engine, workload, times);
    }
    let options = match options(args.into_iter()) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let engines = chosen(engines::ALL.iter(), |e| e.name, &options.only);
    let workloads = chosen(Workload::ALL.into_iter(), Workload::name, &options.only);
    if options.callgrind && !callgrind::installed() {
        println!("skipped: counting instructions needs valgrind");
        return ExitCode::SUCCESS;
    }
    let mut report = Report::new(if options.callgrind { "instructions" } else { "ns" });
    for workload in workloads {
        eprintln!("{} …", workload.name());
        let row = if options.callgrind { callgrind::count(workload, &engines) } else { measure(workload, &engines, &options) };
        report.add(workload, row);
    }
    if options.json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
    ExitCode::SUCCESS
}
