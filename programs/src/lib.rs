//! The platform that vigies run on: what their programs may ask ([`Capability`]), who carries out their actions ([`Handler`]), and how
//! the language's data and JSON become each other ([`json`]).
//!
//! Beside this crate lie programs to start from, each with its README: `hello-vigy`, the smallest, and `mirror-dir`, the worked
//! example of a reconciler.
#![forbid(unsafe_code)]

mod capability;
mod fs;
mod handler;
pub mod json;
mod platform;

pub use capability::{Capability, InvalidCapability};
pub use fs::{ASK_TIMEOUT, MAX_ENTRIES, MAX_READ_BYTES};
pub use handler::{Handler, InvalidHandler, MAX_OUTPUT_BYTES, TIMEOUT};
pub use platform::Platform;
