//! Programs as wasm modules.
//!
//! A module imports nothing. It exports `memory`, `alloc`, `start` and `resume`, and whatever it needs it asks for by returning:
//! [`vigy_core::relay`] says what passes. So every engine can run it, no host function waits, and what it may ask is known from its
//! [`Manifest`] before it runs. On the host it is one more [`vigy_core::Evaluator`] in the same tick, and its records are the same
//! bytes as those of the program run natively.
//!
//! - [`bundle`] makes a module of a compiled program, without a Rust toolchain at run time: it links what the program reaches of the
//!   guest, functions and data, and nothing else.
//! - [`Module`] checks a module and compiles it, once; [`Module::evaluation`] is one run of it, in an instance of its own.
//! - [`Engine`] is who runs it: [`Wasmi`], in pure Rust; with the feature `wasm3`, also `Wasm3`, in C (building it needs libclang).
//!
//! A module is not trusted. It is validated before an engine sees it; every word it says is checked at the tick's door under the
//! vigy's limits; its memory and its time are bounded by those limits ([`Bounds`], [`Metered`]). What it claims cannot be checked: that
//! the program it names is the one it runs.
//!
//! The guest is built from source by this crate's build script for `wasm32-wasip1`, without std: std there imports WASI, and a module
//! must import nothing.
#![forbid(unsafe_code)]
#![allow(clippy::result_large_err, reason = "failures carry their message without an allocation, as in vigy-core")]

mod bundle;
mod engine;
mod evaluation;
mod guest;
mod link;
mod manifest;
mod metered;
mod module;
#[cfg(feature = "wasm3")]
mod wasm3;
mod wasmi;

pub use bundle::{BundleError, bundle};
pub use engine::{Bounds, Engine, EngineError, Entrance, Instance};
pub use evaluation::Evaluation;
pub use manifest::Manifest;
pub use metered::Metered;
pub use module::{MAX_DECLARED_MEMORY, Module, ModuleError};
#[cfg(feature = "wasm3")]
pub use wasm3::Wasm3;
pub use wasmi::Wasmi;

/// The guest without a program, as the build script built it.
pub const GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.wasm"));
