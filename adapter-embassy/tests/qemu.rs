//! The firmware in QEMU: it ticks a program from flash, and its records are those of the simulated host, byte for byte.
//!
//! Needs `qemu-system-arm`; without it, this says so and passes. Prints what the firmware takes:
//! `cargo test -p adapter-embassy --test qemu -- --nocapture`.

use std::error::Error;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use object::elf::PT_LOAD;
use object::read::elf::{ElfFile32, ProgramHeader};
use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::record::Record;
use vigy_core::sim::{ManualClock, MemoryStorage, RecordedEffects};
use vigy_core::{Checkpoint, Host, RunKey, Spec, TickBuffers, TickInterval};

#[path = "../firmware/src/vigy.rs"]
mod vigy;
use vigy::{INCARNATION, INTERVAL_MS, LIMITS, START, TICKS};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const QEMU: &str = "qemu-system-arm";
const TARGET: &str = "thumbv7m-none-eabi";
const BOARD: &str = "-cpu cortex-m3 -machine lm3s6965evb -nographic -monitor none -semihosting-config enable=on,target=native -kernel";

/// How long the firmware may take: it ticks for about a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where RAM begins on a Cortex-M.
const RAM: u32 = 0x2000_0000;
const MAX_FLASH: u32 = 128 << 10;
const MAX_RAM: u32 = 24 << 10;

fn answers(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// What this machine lacks.
fn missing() -> Option<&'static str> {
    if answers(QEMU, &["--version"]).is_none() {
        return Some(QEMU);
    }
    let libraries = answers("rustc", &["--print", "target-libdir", "--target", TARGET]);
    if libraries.is_none_or(|path| !Path::new(path.trim()).is_dir()) { Some(TARGET) } else { None }
}

fn firmware() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware")
}

/// Builds the firmware, in a folder of its own: another cargo may hold this one's.
fn build() -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("firmware");
    let status = Command::new(env!("CARGO"))
        .current_dir(firmware())
        .args(["build", "--locked", "--release", "--quiet", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()?;
    if status.success() { Ok(target.join(TARGET).join("release/vigy-firmware")) } else { Err("the firmware does not build".into()) }
}

fn run(elf: &OsStr) -> Result<Output> {
    let mut qemu =
        Command::new(QEMU).args(BOARD.split(' ')).arg(elf).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let begin = Instant::now();
    // What it says fits in a pipe.
    while qemu.try_wait()?.is_none() {
        if begin.elapsed() > PATIENCE {
            qemu.kill()?;
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(qemu.wait_with_output()?)
}

/// Bytes of flash, and of RAM that is not stack.
fn size(elf: &Path) -> Result<(u32, u32)> {
    let bytes = fs::read(elf)?;
    let file = ElfFile32::<'_, object::Endianness>::parse(&*bytes)?;
    let endian = file.endian();
    let (mut flash, mut ram) = (0, 0);
    for segment in file.elf_program_headers() {
        if segment.p_type(endian) == PT_LOAD {
            flash += segment.p_filesz(endian);
            ram += if segment.p_vaddr(endian) >= RAM { segment.p_memsz(endian) } else { 0 };
        }
    }
    Ok((flash, ram))
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = |at| u8::from_str_radix(text.get(at..at + 2).unwrap_or_default(), 16);
    Ok((0..text.len()).step_by(2).map(digits).collect::<std::result::Result<_, _>>()?)
}

/// The records of the simulated host, woken when the device was.
fn simulated(device: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    let source = fs::read_to_string(firmware().join("../../programs/hello-vigy/main.tlisp"))?;
    let image = lisp::compile(&source, &[])?;
    let imports = Imports::of(image.program())?;
    let spec = Spec { program: image.hash(), interval: TickInterval::from_millis(INTERVAL_MS)?, limits: LIMITS };
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
    if let Some(missing) = missing() {
        // Past the test harness, which swallows what a passing test prints.
        _ = writeln!(std::io::stderr(), "skipped: the firmware test needs {missing}");
        return Ok(());
    }
    let elf = build()?;
    let output = run(elf.as_os_str())?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));

    let named = |name| text.lines().filter_map(move |line| line.strip_prefix(name)).map(unhex);
    let mut device: Vec<Vec<u8>> = named("record ").collect::<Result<_>>()?;
    // The second life begins by handing on the last run of the first.
    let again = TICKS as usize;
    assert_eq!(device.get(again), device.get(again - 1), "the last run before the restart is shown again");
    device.remove(again);
    assert_eq!(device.len(), 2 * again);
    assert!(device == simulated(&device)?, "the same bytes on both hosts");

    let stack = named("stack ").next().ok_or("the firmware does not tell its stack")??;
    let stack = u32::from_be_bytes(stack.as_slice().try_into()?);
    let (flash, ram) = size(&elf)?;
    println!("firmware: {flash} bytes of flash; RAM {} bytes: {ram} static, {stack} of stack", ram + stack);
    assert!(flash <= MAX_FLASH, "{flash} bytes of flash");
    assert!(ram + stack <= MAX_RAM, "{} bytes of RAM", ram + stack);
    Ok(())
}
