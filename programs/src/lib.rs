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
mod k8s;
mod operation;
mod platform;
mod prom;
mod recorded;

pub use capability::{Capability, InvalidCapability};
pub use fs::{ASK_TIMEOUT, MAX_ENTRIES, MAX_READ_BYTES};
pub use handler::{Handler, InvalidHandler, MAX_OUTPUT_BYTES, TIMEOUT};
pub use k8s::{KUBE_TIMEOUT, LAST_WRITE, MAX_CLAIMS};
pub use operation::needs;
pub use platform::Platform;
pub use prom::{MAX_QUERY_BYTES, QUERY_TIMEOUT};
pub use recorded::{InvalidAnswers, Recorded};
