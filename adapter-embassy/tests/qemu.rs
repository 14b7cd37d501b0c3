//! The firmware in QEMU: it ticks a program from flash, and its records are those of the simulated host, byte for byte.
//!
//! Needs `qemu-system-arm`; without it, this says so and passes. Prints what the firmware takes:
//! `cargo test -p adapter-embassy --test qemu -- --nocapture`.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::record::Record;
use vigy_core::sim::{ManualClock, MemoryStorage, RecordedEffects};
use vigy_core::{Checkpoint, Host, RunKey, Spec, TickBuffers, TickInterval};

mod board;
#[path = "../firmware/src/vigy.rs"]
mod vigy;
use vigy::{INCARNATION, INTERVAL_MS, LIMITS, START, TICKS};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const MACHINE: &str = "lm3s6965evb";

/// How long the firmware may take: it ticks for about a second.
const PATIENCE: Duration = Duration::from_secs(60);

const MAX_FLASH: u32 = 128 << 10;
const MAX_RAM: u32 = 24 << 10;

fn firmware() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware")
}

/// The records of the simulated host, woken when the device was.
fn simulated(device: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    let source = fs::read_to_string(firmware().join("../../programs/hello-vigy/main.tlisp"))?;
    let image = lisp::compile(&source, &[])?;
    let imports = Imports::of(image.program())?;
    let spec = Spec::every(TickInterval::from_millis(INTERVAL_MS)?, image.hash(), LIMITS);
    let mut checkpoint = Checkpoint::new(INCARNATION, START);
    let mut host = Host { clock: ManualClock(START), storage: MemoryStorage::default(), effects: RecordedEffects::default() };
    let mut buffers = TickBuffers::for_limits(&LIMITS);
    let mut words = vec![0; lisp::words_needed(image.program(), &LIMITS)];
    for record in device {
        host.clock = ManualClock(Record::parse(record).map_err(|error| format!("{error}"))?.header().at);
        let mut evaluation = Lisp::new(image.program(), &imports, &LIMITS, &mut words).map_err(|_| "too few words")?;
        host.tick(&spec, &mut checkpoint, buffers.memory(), &mut evaluation).map_err(|error| error.to_string())?;
    }
    Ok((1..=device.len() as u64).filter_map(|tick| host.storage.runs.remove(&RunKey { incarnation: INCARNATION, tick })).collect())
}

#[test]
fn the_firmware_gives_the_records_of_the_simulated_host() -> Result<()> {
    if let Some(missing) = board::missing() {
        // Past the test harness, which swallows what a passing test prints.
        _ = writeln!(std::io::stderr(), "skipped: the firmware test needs {missing}");
        return Ok(());
    }
    let elf = board::build(&firmware(), "vigy-firmware")?;
    let text = board::run(MACHINE, &elf, Path::new("."), PATIENCE)?;
    let mut device: Vec<Vec<u8>> = board::named(&text, "record").collect::<Result<_>>()?;
    // The second life begins by handing on the last run of the first.
    let again = TICKS as usize;
    assert_eq!(device.get(again), device.get(again - 1), "the last run before the restart is shown again");
    device.remove(again);
    assert_eq!(device.len(), 2 * again);
    assert!(device == simulated(&device)?, "the same bytes on both hosts");

    let ((flash, ram), stack) = (board::size(&elf)?, board::stack(&text)?);
    println!("firmware: {flash} bytes of flash; RAM {} bytes: {ram} static, {stack} of stack", ram + stack);
    assert!(flash <= MAX_FLASH, "{flash} bytes of flash");
    assert!(ram + stack <= MAX_RAM, "{} bytes of RAM", ram + stack);
    Ok(())
}
