//! Building the firmware and running it on a board that QEMU has. Included by the tests of this crate, and by those of the whole.

use std::error::Error;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use object::elf::PT_LOAD;
use object::read::elf::{ElfFile32, ProgramHeader};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const QEMU: &str = "qemu-system-arm";
const TARGET: &str = "thumbv7m-none-eabi";
const SETTINGS: &str = "-nographic -monitor none -serial none -semihosting-config enable=on,target=native";

/// Where RAM begins on a Cortex-M.
const RAM: u32 = 0x2000_0000;

fn answers(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// What this machine lacks.
pub(crate) fn missing() -> Option<&'static str> {
    if answers(QEMU, &["--version"]).is_none() {
        return Some(QEMU);
    }
    if installed(TARGET) { None } else { Some(TARGET) }
}

/// Whether there is a standard library for a target.
pub(crate) fn installed(target: &str) -> bool {
    let libraries = answers("rustc", &["--print", "target-libdir", "--target", target]);
    libraries.is_some_and(|path| Path::new(path.trim()).is_dir())
}

/// Builds a binary of the firmware, in a folder of its own: another cargo may hold this one's.
pub(crate) fn build(firmware: &Path, binary: &str) -> Result<PathBuf> {
    build_with(firmware, binary, TARGET, "z")
}

/// [`build`] for another core, or optimised for another aim.
pub(crate) fn build_with(firmware: &Path, binary: &str, target: &str, opt_level: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("firmware");
    let status = Command::new(env!("CARGO"))
        .current_dir(firmware)
        .args(["build", "--locked", "--release", "--quiet", "--bin", binary, "--target", target, "--target-dir"])
        .arg(&folder)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", opt_level)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()?;
    if status.success() { Ok(folder.join(target).join("release").join(binary)) } else { Err("the firmware does not build".into()) }
}

/// What a firmware says on semihosting, once it has exited with 0. It may open the files of `folder`.
pub(crate) fn run(machine: &str, elf: &Path, folder: &Path, patience: Duration) -> Result<String> {
    let mut qemu = Command::new(QEMU)
        .args(SETTINGS.split(' '))
        .args(["-machine", machine, "-kernel"])
        .arg(elf)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (mut out, mut err) = (qemu.stdout.take().ok_or("no stdout")?, qemu.stderr.take().ok_or("no stderr")?);
    let mut text = String::new();
    let mut complaints = String::new();
    let status = thread::scope(|scope| {
        let reading = scope.spawn(|| out.read_to_string(&mut text));
        let complaining = scope.spawn(|| err.read_to_string(&mut complaints));
        let begin = Instant::now();
        while qemu.try_wait()?.is_none() {
            if begin.elapsed() > patience {
                qemu.kill()?;
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let status = qemu.wait()?;
        let panicked = |_| "a reader panicked";
        reading.join().map_err(panicked)??;
        complaining.join().map_err(panicked)??;
        Ok::<_, Box<dyn Error>>(status)
    })?;
    let tail = text.get(text.len().saturating_sub(500)..).unwrap_or_default();
    if status.success() { Ok(text) } else { Err(format!("the firmware ended with {status}: …{tail}{complaints}").into()) }
}

/// The bytes of the lines that begin with a word.
pub(crate) fn named<'t>(text: &'t str, word: &str) -> impl Iterator<Item = Result<Vec<u8>>> + use<'t> {
    let word = format!("{word} ");
    text.lines().filter_map(move |line| line.strip_prefix(&word)).map(unhex)
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = |at| u8::from_str_radix(text.get(at..at + 2).unwrap_or_default(), 16);
    Ok((0..text.len()).step_by(2).map(digits).collect::<std::result::Result<_, _>>()?)
}

/// Bytes of stack that a firmware says it used.
pub(crate) fn stack(text: &str) -> Result<u32> {
    let stack = named(text, "stack").next().ok_or("the firmware does not tell its stack")??;
    Ok(u32::from_be_bytes(stack.as_slice().try_into()?))
}

/// Bytes of flash, and of RAM that is not stack.
pub(crate) fn size(elf: &Path) -> Result<(u32, u32)> {
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
