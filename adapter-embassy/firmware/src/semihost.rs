//! The way to whoever runs the device under QEMU: lines, an exit code, a file.

use cortex_m_rt::{ExceptionFrame, exception};
use cortex_m_semihosting::debug::{self, EXIT_FAILURE, EXIT_SUCCESS};
use cortex_m_semihosting::hio;
use vigy_core::{Piece, RunKey};

/// Where runs go.
pub(crate) fn sink(_run: RunKey, piece: Piece<'_>) {
    match piece {
        Piece::Record(record) => line("record ", record),
        Piece::Value(value) => line("value ", value),
    }
}

/// A line on semihosting. A device that nobody listens to goes on.
pub(crate) fn line(name: &str, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let Ok(mut out) = hio::hstdout() else { return };
    let mut say = |text: &[u8]| out.write_all(text).unwrap_or_default();
    say(name.as_bytes());
    for chunk in bytes.chunks(32) {
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(chunk) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        say(&hex[..chunk.len() * 2]);
    }
    say(b"\n");
}

/// Ends QEMU: with 0, or with 1 when something failed.
pub(crate) fn exit(done: Option<()>) {
    debug::exit(if done.is_some() { EXIT_SUCCESS } else { EXIT_FAILURE });
}

/// The interrupts of the device: none is ever enabled, so there are no vectors for the 240 that there could be.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [u32; 1] = [0];

/// Ends QEMU with 1.
fn fail() -> ! {
    debug::exit(EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}

/// Most likely the stack has met what lies below it.
#[exception]
unsafe fn HardFault(_: &ExceptionFrame) -> ! {
    fail()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    fail()
}
