//! The language alone, with numbers and lists.
#![no_std]
#![no_main]

#[path = "../copies.rs"]
mod copies;
#[path = "../language.rs"]
#[allow(dead_code, reason = "the other firmware has the other builtins")]
mod language;
#[path = "../semihost.rs"]
#[allow(dead_code, reason = "nothing here has runs to hand on")]
mod semihost;
#[path = "../stack.rs"]
mod stack;

#[cortex_m_rt::entry]
fn main() -> ! {
    language::main(&language::SMALL)
}
