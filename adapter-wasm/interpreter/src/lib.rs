//! Compiler and machine as a wasm module that imports nothing.
//!
//! | export | is |
//! |---|---|
//! | `memory` | its memory |
//! | `alloc(len) -> address` | makes room for a program |
//! | `run() -> range` | compiles and runs it; the range holds the outcome |
//!
//! A range is an address in its upper half and a length in its lower. Program and outcome are postcard. What a run leaves behind in
//! the memory, the next one finds there.

mod outcome;

use std::cell::RefCell;

thread_local! {
    static INTERPRETER: RefCell<Interpreter> = RefCell::default();
}

#[derive(Default)]
struct Interpreter {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    memory: Vec<u64>,
}

/// Makes room for a program of `len` bytes and says where.
#[unsafe(no_mangle)]
pub extern "C" fn alloc(len: usize) -> *mut u8 {
    INTERPRETER.with_borrow_mut(|i| {
        i.inbox.resize(len, 0);
        i.inbox.as_mut_ptr()
    })
}

/// Runs the program that was put there.
#[unsafe(no_mangle)]
pub extern "C" fn run() -> u64 {
    INTERPRETER.with_borrow_mut(|i| {
        // Nothing to say is what the test takes for a failure.
        i.outbox = postcard::from_bytes(&i.inbox)
            .and_then(|program| postcard::to_stdvec(&outcome::outcome(&program, &mut i.memory)))
            .unwrap_or_default();
        (i.outbox.as_ptr() as u64) << 32 | i.outbox.len() as u64
    })
}
