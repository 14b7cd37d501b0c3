//! Instructions per operation: the difference between two counts, so that start and load drop out.

use crate::engines::{self, Engine};
use crate::report::Cell;
use crate::workload::Workload;
use std::process::{Command, ExitCode, Stdio};

/// Whether valgrind can be run.
pub fn installed() -> bool {
    Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// One workload on one engine, `times` times: what is run under callgrind.
pub fn repeat(engine: &str, workload: &str, times: &str) -> ExitCode {
    let engine = engines::ALL.iter().find(|e| e.name == engine);
    let workload = Workload::ALL.into_iter().find(|w| w.name() == workload);
    let (Some(engine), Some(workload), Ok(times)) = (engine, workload, times.parse::<u32>()) else {
        return ExitCode::from(2);
    };
    let mut operation = (engine.prepare)(workload);
    for _ in 0..times {
        assert_eq!(operation(), workload.expected());
    }
    ExitCode::SUCCESS
}

/// Operations in the larger of the two counts, beyond those in the smaller: few where one takes long.
fn more(workload: Workload) -> u32 {
    match workload {
        Workload::TickHello => 1000,
        Workload::TickReconcile | Workload::TickResident | Workload::Str | Workload::Load => 20,
        _ => 2,
    }
}

/// One row: every engine's instructions for one operation.
pub fn count(workload: Workload, engines: &[&Engine]) -> Vec<Cell> {
    let row = engines.iter().map(|engine| {
        let (few, more) = (1, more(workload));
        let instructions = total(engine, workload, few + more) - total(engine, workload, few);
        Cell { engine: engine.name, value: instructions / f64::from(more), spread: None }
    });
    row.collect()
}

fn total(engine: &Engine, workload: Workload, times: u32) -> f64 {
    let own = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["--repeat", engine.name, workload.name(), &times.to_string()])
        .output()
        .expect("valgrind runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {}: {text}", engine.name, workload.name());
    let line = text.lines().find_map(|l| l.split_once("Collected :")).expect("callgrind says what it counted");
    line.1.trim().parse().expect("a number")
}
