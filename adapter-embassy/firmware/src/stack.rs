//! How deep the stack was: painted at start, looked at in the end.

unsafe extern "C" {
    /// Where the stack begins, at its highest address, from cortex-m-rt's link.x.
    static mut _stack_start: u32;
    /// Where static memory ends.
    static mut __euninit: u32;
}

const PAINT: u32 = 0x5eed_cafe;

/// Words above the stack pointer's end that painting leaves alone: its own frame.
const OWN_FRAME: usize = 16;

/// Paints what the stack has not reached.
pub(crate) fn paint() {
    let end = cortex_m::register::msp::read() as *mut u32;
    let mut at = &raw mut __euninit;
    // SAFETY: between the end of static memory and the stack pointer nothing lives.
    unsafe {
        while at < end.sub(OWN_FRAME) {
            at.write_volatile(PAINT);
            at = at.add(1);
        }
    }
}

/// Bytes of stack that were in use at most, since [`paint`].
pub(crate) fn used() -> u32 {
    let mut at = &raw const __euninit;
    let start = &raw const _stack_start;
    // SAFETY: all of it is RAM, and reading words of the stack harms nothing.
    unsafe {
        while at < start && at.read_volatile() == PAINT {
            at = at.add(1);
        }
    }
    (start as u32).saturating_sub(at as u32)
}
