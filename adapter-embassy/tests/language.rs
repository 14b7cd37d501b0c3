//! The language alone on a Cortex-M4, without reader and compiler: what it takes of flash and RAM, and that it runs.
//!
//! `cargo test -p adapter-embassy --test language -- --nocapture` prints the figures.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

#[allow(dead_code, reason = "the other test has records to look at")]
mod board;

const MACHINE: &str = "mps2-an386";
const TARGET: &str = "thumbv7em-none-eabi";
const PATIENCE: Duration = Duration::from_secs(60);

const MAX_RAM: u32 = 8 << 10;

/// A library, and the most flash that a host with it may take. These only ever go down.
const LIBRARIES: [(&str, &str, u32); 2] =
    [("language_core", "the core library", 125 << 10), ("language_small", "numbers and lists", 67 << 10)];

#[test]
fn the_language_fits_a_small_device() -> Result<(), Box<dyn Error>> {
    if let Some(missing) = board::missing().or_else(|| (!board::installed(TARGET)).then_some(TARGET)) {
        // Past the test harness, which swallows what a passing test prints.
        _ = writeln!(std::io::stderr(), "skipped: the firmware test needs {missing}");
        return Ok(());
    }
    for (binary, library, max_flash) in LIBRARIES {
        let elf = board::build_with(&Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware"), binary, TARGET, "s")?;
        let text = board::run(MACHINE, &elf, Path::new("."), PATIENCE)?;
        assert!(text.starts_with("hello from a vigy\n"), "{text}");
        let ((flash, ram), stack) = (board::size(&elf)?, board::stack(&text)?);
        let rest = board::named(&text, "rest").next().ok_or("the firmware does not tell the size of the rest")??;
        let rest = u32::from_be_bytes(rest.as_slice().try_into()?);
        println!("{library}: {flash} bytes of flash; RAM {} bytes: {ram} static, {stack} of stack", ram + stack);
        println!("    and {rest} bytes of image for a program that reaches all of what is not linked");
        assert!(flash <= max_flash, "{library}: {flash} bytes of flash");
        assert!(ram + stack <= MAX_RAM, "{library}: {} bytes of RAM", ram + stack);
    }
    Ok(())
}
