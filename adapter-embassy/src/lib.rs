//! Vigies on a microcontroller: no heap, no operating system.
//!
//! A device brings a NOR flash and its effects; this crate brings the rest of what [`vigy_core::Host`] needs:
//!
//! - [`EmbassyClock`]: embassy-time's clock and timers.
//! - [`Store`]: what must survive, in flash. Whole states in two slots: the newest complete one counts.
//! - [`Refuse`]: effects of a device that has none. Others implement [`vigy_core::AsyncEffects`], which has two methods.
//! - [`Recorded`]: answers that another host gave, so that a run can be repeated on the device.
//! - [`Streamed`]: a store that shows every committed run to a sink, at least once.
//! - [`keep`]: the task. It sleeps until a tick is due, ticks, and so on. [`tick`] is one such tick.
//!
//! The program is an image, compiled on another machine; it runs where it lies, in flash. A firmware links
//! only the builtins that its program calls. `firmware/` is a complete device.
//!
//! **Action keys survive restarts** because the tick number is part of the checkpoint, and the checkpoint is part of every batch: no
//! action is carried out before the flash has the number of its tick. A device whose flash was erased needs a new
//! [`vigy_core::Incarnation`]; the same one would use keys again that were used before.
#![no_std]
#![forbid(unsafe_code)]
#![allow(clippy::result_large_err, reason = "as in vigy-core: errors with a message, and no allocator to box them with")]

#[cfg(test)]
extern crate std;

mod clock;
mod effects;
mod keep;
mod store;
mod stream;

pub use clock::EmbassyClock;
pub use effects::{Recorded, RecordedAnswer, Refuse};
pub use keep::{Installed, Memory, NotInstalled, keep, tick};
pub use store::{FlashError, PART_BYTES, Store, StoreError, Words, WordsError};
pub use stream::Streamed;
pub use vigy_lisp::{Builtin, Builtins, ImageError, Program};
