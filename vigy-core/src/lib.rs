//! The tick: *on a timer, look at some state, decide, act, repeat*, as a state machine that does no I/O.
//!
//! A **vigy** is a pure function of what it is told. Whatever is not computation comes in or goes out through one door, as data, and
//! is written down in the canonical [record]. So every run can be evaluated again from its record, what was not granted cannot be
//! reached, and the whole runtime is tested in virtual time.
//!
//! # A complete host
//!
//! A clock, a store and effects are all that a host provides; [`Host::tick`] does the rest. No adapter, no async runtime:
//!
//! ```
//! use vigy_core::sim::MemoryStorage;
//! use vigy_core::{
//!     lisp, Ask, AskError, Checkpoint, Clock, Effects, Host, Incarnation, Limits, Outcome, ReconcileAction, Spec, TickBuffers,
//!     TickInterval, Timestamp,
//! };
//!
//! struct Fridge {
//!     time: Timestamp,
//!     pushes: u32,
//! }
//!
//! impl Clock for Fridge {
//!     fn now(&mut self) -> Timestamp { self.time }
//!     fn sleep_until(&mut self, until: Timestamp) { self.time = until }
//! }
//!
//! impl Effects for Fridge {
//!     fn ask(&mut self, ask: &Ask<'_>, _into: &mut [u8]) -> Result<usize, AskError> {
//!         Err(AskError::new("denied", format_args!("there is no {}", ask.operation)))
//!     }
//!     fn act(&mut self, _action: &ReconcileAction<'_>) -> Outcome {
//!         self.pushes += 1;
//!         Outcome::ok()
//!     }
//! }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let program = lisp::compile("(if (< (vigy-incr \"ticks\") 3) (vigy-push \"cool down\") (vigy-noop))", &[])?;
//! let imports = lisp::Imports::of(program.program())?;
//! let limits = Limits::default();
//! let spec = Spec::every(TickInterval::from_millis(500)?, program.hash(), limits);
//! let mut checkpoint = Checkpoint::new(Incarnation(1), Timestamp(0));
//! let fridge = || Fridge { time: Timestamp(0), pushes: 0 };
//! let mut host = Host { clock: fridge(), storage: MemoryStorage::default(), effects: fridge() };
//! let (mut buffers, mut words) = (TickBuffers::for_limits(&limits), vec![0; lisp::words_needed(program.program(), &limits)]);
//! for _ in 0..5 {
//!     let mut evaluation = lisp::Lisp::new(program.program(), &imports, &limits, &mut words)?;
//!     host.tick(&spec, &mut checkpoint, buffers.memory(), &mut evaluation)?;
//!     host.clock.sleep_until(checkpoint.due);
//! }
//! assert_eq!((host.effects.pushes, host.clock.time), (2, Timestamp(2500)));
//! # Ok(()) }
//! ```
//!
//! # Layers, from the outside in
//!
//! - [`Host`]: the two drivers, one that blocks and one that awaits. Each is a short loop.
//! - [`Clock`], [`Storage`], [`Effects`]: the ports. Their docs are lists of MUSTs.
//! - [`Tick`]: the state machine. Everything that happens in a tick, and in which order, is in [`Tick::next`].
//! - [`Door`]: the verbs of an evaluation, each an entry in the [record].
//! - [`replay`]: runs evaluated again, from their records alone.
//! - [`Evaluator`]: who evaluates. [`lisp::Lisp`] does, and so does a closure; behind a wall that only bytes pass, with a [`relay`].
//!
//! # What is promised
//!
//! - A batch (record, kv writes, actions, next deadline) is committed atomically, before any of its actions is carried out.
//! - Actions are delivered **at least once, always under the same key**. What lives in the store's own batch is exactly-once.
//! - A write that a program asks for ([`Access::Write`]) is durable as an intent before it goes out, its answer before the program goes on.
//!   A tick that a crash cut in two is evaluated again from what it was told; only its last write may go out again, under the same key.
//! - An answer that an operation declares secret is in no record, only its hash under a key of the host ([`SecretKey`]).
//! - The next tick begins only when every action of the last one has an outcome. One whose failure may pass is tried again first, as
//!   often as the [`Policy`] says.
//! - A schedule does not drift, and what was missed is skipped and counted ([`Cadence`], [`Checkpoint::missed`]). Failing ticks wait
//!   longer and longer, with jitter, and park the vigy in the end. No jump of the clock, and no sleep of the machine, makes a burst.
//! - Between wake and batch nothing is allocated: memory is the caller's ([`TickMemory`]), and every limit has a name ([`Limits`]).
//!
//! # Features
//!
//! | feature | brings | needs |
//! |---|---|---|
//! | `alloc` (default) | [`Vigy`], labels, [`TickBuffers`], [`replay`] | an allocator |
//! | `lisp` (default) | the lisp machine as an evaluator, the verbs | |
//! | `compiler` | programs from text | `alloc` |
//! | `sim` | simulated hosts, fault injectors and the conformance suite for stores, for tests | `alloc` |
#![no_std]
#![forbid(unsafe_code)]
#![allow(clippy::result_large_err, clippy::large_enum_variant, reason = "errors with a message, and no allocator to box them with")]

#[cfg(feature = "alloc")]
extern crate alloc;

mod action;
mod cadence;
mod checkpoint;
mod door;
mod evaluator;
mod host;
mod id;
mod keys;
mod limits;
#[cfg(feature = "lisp")]
pub mod lisp;
mod memory;
mod policy;
mod ports;
pub mod record;
#[cfg(feature = "alloc")]
pub mod replay;
mod secret;
#[cfg(feature = "alloc")]
mod selector;
#[cfg(feature = "sim")]
pub mod sim;
mod tick;
mod time;
mod values;
#[cfg(feature = "alloc")]
mod vigy;

pub use action::{ActionKind, Outcome, ReconcileAction, ResultStatus, Settled, UnknownKind, settled};
pub use cadence::{Cadence, InvalidCadence, Pace, Plan};
pub use checkpoint::{Checkpoint, Unfinished};
pub use door::{Ask, AskError, Door, Encode, LAST_OUTCOMES, RESERVED_PREFIX, VerbError, relay};
pub use evaluator::{Evaluator, Failure, Step};
pub use host::{Host, HostError};
pub use id::{ActionKey, Incarnation, InvalidId, RunKey, VigyId};
pub use limits::Limits;
#[cfg(feature = "alloc")]
pub use memory::TickBuffers;
pub use memory::{MemoryTooSmall, TickMemory};
pub use policy::Policy;
pub use ports::{AsyncClock, AsyncEffects, AsyncStorage, Clock, Effects, Piece, Storage};
pub use record::{Access, Content, Refusal, Resource, Verdict};
pub use secret::SecretKey;
#[cfg(feature = "alloc")]
pub use selector::{InvalidSelector, Selector};
pub use tick::{Batch, Draft, Need, ResumeError, SLICE, Settlement, Spec, Tick};
pub use time::{InvalidInterval, TickInterval, Timestamp, backoff_ms};
pub use values::Kept;
#[cfg(feature = "alloc")]
pub use vigy::{CronText, InvalidVigy, Labels, Name, Schedule, Vigy};

/// Bytes of a message in an outcome or an error: 256. Longer ones are cut at a character.
pub const MESSAGE_BYTES: usize = 256;

/// Bytes of a kv key: 256.
pub const KEY_BYTES: usize = 256;

/// A short text that needs no allocator.
pub type Message = heapless::String<MESSAGE_BYTES>;

/// A message, cut to [`MESSAGE_BYTES`].
#[must_use]
pub fn message(text: &str) -> Message {
    // `cut` leaves at most as many bytes as a message holds.
    Message::try_from(door::cut(text, MESSAGE_BYTES)).unwrap_or_default()
}

/// A formatted message, cut to [`MESSAGE_BYTES`].
#[must_use]
pub fn format(arguments: core::fmt::Arguments<'_>) -> Message {
    struct Cut(Message);
    impl core::fmt::Write for Cut {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            let room = MESSAGE_BYTES - self.0.len();
            // `cut` leaves at most what there is room for.
            let _ = self.0.push_str(door::cut(text, room));
            if text.len() > room { Err(core::fmt::Error) } else { Ok(()) }
        }
    }
    let mut cut = Cut(Message::new());
    // The only error is that the message is full.
    let _ = core::fmt::write(&mut cut, arguments);
    cut.0
}
