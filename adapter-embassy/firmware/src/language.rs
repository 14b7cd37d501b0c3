//! The language alone on a device: a program in flash, a machine in 8 KB, and two host functions. No store, no clock, no executor.

use cortex_m::singleton;
use cortex_m_semihosting::hio;
use vigy_lisp::{Budget, Builtin, Builtins, Machine, Program, Step};

use crate::semihost::{exit, line};
use crate::stack;

include!(concat!(env!("OUT_DIR"), "/language.rs"));

/// Runs the program with these builtins linked, and tells how much stack that took, and how large the rest of the library is in an image.
pub(crate) fn main((builtins, rest): &'static (Builtins, u32)) -> ! {
    stack::paint();
    let done = hello(builtins);
    line("stack ", &stack::used().to_be_bytes());
    line("rest ", &rest.to_be_bytes());
    exit(done);
    loop {
        cortex_m::asm::wfi();
    }
}

/// Nothing when anything fails.
fn hello(builtins: &'static Builtins) -> Option<()> {
    // The build of this very firmware compiled it.
    let program = Program::load_trusted(&IMAGE).ok()?;
    let memory = singleton!(MEMORY: [u64; WORDS] = [0; WORDS])?;
    let mut machine = Machine::with_builtins(program, builtins, memory, &BUDGET).ok()?;
    loop {
        match machine.run(u64::MAX) {
            Step::Done(_) => return Some(()),
            Step::Call => {
                // (log level text), or (noop).
                if machine.arg_count() == 2 {
                    let mut out = hio::hstdout().ok()?;
                    out.write_all(machine.text(machine.arg(1))?.as_bytes()).ok()?;
                    out.write_all(b"\n").ok()?;
                }
                machine.resume(vigy_lisp::Value::NIL);
            }
            Step::Output | Step::Paused => {}
            Step::Failed => return None,
        }
    }
}
