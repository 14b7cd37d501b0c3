//! The tick.
#![no_std]
#![forbid(unsafe_code)]
#![allow(clippy::result_large_err, clippy::large_enum_variant, reason = "errors with a message, and no allocator to box them with")]

#[cfg(feature = "alloc")]
extern crate alloc;

mod action;
mod door;
mod evaluator;
mod host;
mod id;
mod keys;
mod limits;
#[cfg(feature = "lisp")]
pub mod lisp;
mod memory;
mod ports;
pub mod record;
#[cfg(feature = "sim")]
pub mod sim;
mod tick;
mod time;
mod values;
#[cfg(feature = "lisp")]
mod verbs;
#[cfg(feature = "alloc")]
mod vigy;

pub use action::{ActionKind, Outcome, ReconcileAction, ResultStatus, Settled, UnknownKind, settled};
pub use door::{Ask, AskError, Door, Encode, LAST_OUTCOMES, RESERVED_PREFIX, VerbError};
pub use evaluator::{Evaluator, Failure, Step};
pub use host::{Host, HostError};
pub use id::{ActionKey, Incarnation, InvalidId, RunKey, VigyId};
pub use limits::Limits;
#[cfg(feature = "alloc")]
pub use memory::TickBuffers;
pub use memory::{MemoryTooSmall, TickMemory};
pub use ports::{AsyncClock, AsyncEffects, AsyncStorage, Clock, Effects, Storage, Unsettled};
pub use record::{Content, Refusal, Resource, Verdict};
pub use tick::{Batch, Checkpoint, Need, ResumeError, SLICE, Settlement, Spec, Tick};
pub use time::{InvalidInterval, TickInterval, Timestamp, backoff_ms};
pub use values::Kept;
#[cfg(feature = "alloc")]
pub use vigy::{InvalidVigy, Labels, Name, Selector, Vigy};

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
