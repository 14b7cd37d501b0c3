//! The lisp machine as a wasm module that imports nothing.
//!
//! | export | is |
//! |---|---|
//! | `memory` | its memory |
//! | `alloc(len) -> address` | makes room for a message from the host |
//! | `start() -> range` | begins the run that the message says: a `Header`, then a `Told` |
//! | `resume() -> range` | goes on as the message says: a `Told` |
//! | `VIGY_PROGRAM` | where address and length of the program's image lie; filled in by `adapter_wasm::bundle` |
//!
//! A range is the address of a `Said` in its upper half and the length in its lower. Messages are postcard. An instance serves one run.
#![no_std]
#![allow(clippy::result_large_err, reason = "failures carry their message without an allocation, as in vigy-core")]

extern crate alloc;

mod memory;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{RefCell, UnsafeCell};

use vigy_core::Failure;
use vigy_core::lisp::{Imports, Lisp, Verbs, words_needed};
use vigy_core::record::{Bytes, Header};
use vigy_core::relay::{Far, Said, Stop, Told};
use vigy_core::{Evaluator as _, TickBuffers};
use vigy_lisp::{Builtins, Program};

/// Something that one thread uses.
struct Only<T>(T);

// SAFETY: the module has one thread: nothing in it starts another, and its memory is not shared.
unsafe impl<T> Sync for Only<T> {}

/// Address and length of the image. The linker exports its address; the bundler writes it.
#[unsafe(no_mangle)]
#[used]
static VIGY_PROGRAM: Only<UnsafeCell<[u32; 2]>> = Only(UnsafeCell::new([0, 0]));

/// The tables of what a program may call. The bundler leaves out of a module what its program does not call; it finds the tables
/// by these names.
#[unsafe(no_mangle)]
#[used]
static VIGY_BUILTINS: &Builtins = Builtins::ALL;
#[unsafe(no_mangle)]
#[used]
static VIGY_VERBS: &Verbs = Verbs::ALL;

static GUEST: Only<RefCell<Guest>> = Only(RefCell::new(Guest { inbox: Vec::new(), outbox: Vec::new(), run: None }));

struct Guest {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    run: Option<Run>,
}

struct Run {
    far: Far<'static>,
    lisp: Lisp<'static>,
}

/// Makes room for a message of `len` bytes and says where.
#[unsafe(no_mangle)]
pub extern "C" fn alloc(len: usize) -> *mut u8 {
    let inbox = &mut GUEST.0.borrow_mut().inbox;
    inbox.resize(len, 0);
    inbox.as_mut_ptr()
}

/// Begins a run.
#[unsafe(no_mangle)]
pub extern "C" fn start() -> u64 {
    GUEST.0.borrow_mut().call(|message, run| {
        let (header, message) = postcard::take_from_bytes::<Header>(message).map_err(|_| bad("the header does not decode"))?;
        if run.is_some() {
            return Err(bad("an instance serves one run"));
        }
        *run = Some(open(header)?);
        Ok(message)
    })
}

/// Goes on with the run.
#[unsafe(no_mangle)]
pub extern "C" fn resume() -> u64 {
    GUEST.0.borrow_mut().call(|message, _| Ok(message))
}

impl Guest {
    /// Takes the message in the inbox and leaves what there is to say in the outbox.
    fn call(&mut self, begin: impl for<'a> FnOnce(&'a [u8], &mut Option<Run>) -> Result<&'a [u8], Failure>) -> u64 {
        let Self { inbox, outbox, run } = self;
        outbox.clear();
        let told = begin(inbox, run).and_then(|message| {
            let told = postcard::from_bytes::<Told<'_>>(message).map_err(|_| bad("the message does not decode"))?;
            Ok((told, run.as_mut().ok_or_else(|| bad("no run has begun"))?))
        });
        match told {
            Ok((told, Run { far, lisp })) => write(outbox, &far.step(lisp, &told)),
            Err(failure) => {
                let fuel = run.as_ref().map_or(0, |run| run.lisp.fuel_used());
                let stop = Stop::Over(failure.verdict());
                write(outbox, &Said { fuel, stop, entries: Bytes(&[]), values: Bytes(&[]) });
            }
        }
        (outbox.as_ptr() as u64) << 32 | outbox.len() as u64
    }
}

fn write(outbox: &mut Vec<u8>, said: &Said<'_>) {
    outbox.reserve(said.entries.0.len() + said.values.0.len() + STOP_BYTES);
    // Extending a vector does not fail.
    if let Ok(written) = postcard::to_extend(said, core::mem::take(outbox)) {
        *outbox = written;
    }
}

/// More than a `Said` needs beside its entries and values: a key of 256 bytes, or a verdict of 128 and 256 and a few numbers.
const STOP_BYTES: usize = 512;

/// Memory for the run that `header` begins, never given back: an instance serves one run.
fn open(header: Header) -> Result<Run, Failure> {
    let program = program()?;
    let imports = Box::leak(Box::new(Imports::of(program).map_err(|_| bad("the program has too many imports"))?));
    let words = vec![0; words_needed(program, &header.limits)].leak();
    let buffers = Box::leak(Box::new(TickBuffers::for_limits(&header.limits)));
    let lisp = Lisp::new(program, imports, &header.limits, words).map_err(|_| bad("the memory is too small"))?;
    let far = Far::open(header, buffers.memory()).map_err(|_| bad("the memory is too small"))?;
    Ok(Run { far, lisp })
}

fn program() -> Result<Program<'static>, Failure> {
    // SAFETY: the static lives as long as the module; volatile, because the bundler writes it after the compiler has seen zeros.
    let [address, len] = unsafe { VIGY_PROGRAM.0.get().read_volatile() };
    let address = address as usize as *const u64;
    if address.is_null() || !address.is_aligned() {
        return Err(bad("the module has no program"));
    }
    // SAFETY: the bundler put `len` bytes at `address`, behind everything that the linker placed, and nobody writes there: the
    // allocator hands out only pages that it added itself.
    let words = unsafe { core::slice::from_raw_parts(address, len as usize / 8) };
    Program::load(words).map_err(|_| bad("the program in the module is damaged"))
}

fn bad(message: &str) -> Failure {
    Failure::raised("bad-module", message, None)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

// The target's C library, for `memcpy` and its kind.
#[link(name = "c")]
unsafe extern "C" {}
