//! Vigies: small always-on reconcilers, each a program in a small lisp that ticks on an interval, looks at some state, and says what
//! should be done about it. This crate is the facade: what an app needs to keep vigies ticking inside itself. (The binary `vigy`
//! is the same for operators.)
//!
//! ```
//! use vigy::{RuntimeHandle, TickInterval, Vigy};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("your-app.db");
//! # let path = path.to_str().ok_or("no UTF-8")?;
//! // In your app's main, with a path of your own:
//! let runtime = RuntimeHandle::open(path.as_ref()).await?;
//!
//! // Register what your app needs always-on:
//! let vigy = Vigy::new("sync-to-system-tear", "(vigy-log \"info\" \"in sync\") (vigy-noop)", TickInterval::from_millis(500)?)?;
//! let registered = runtime.register_or_update(vigy).await?;
//!
//! // From here on it ticks for as long as the app runs. It can also be ticked at once:
//! let run = runtime.tick_now(registered.id).await?;
//! assert_eq!(run.logs[0].message, "in sync");
//! # runtime.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! | to | use |
//! |---|---|
//! | keep vigies ticking in a tokio app | [`RuntimeHandle`], [`Vigy`], [`TickInterval`] |
//! | answer what programs ask, carry out their actions | [`HostEffects`]; [`Platform`] is the operator's own |
//! | try a program without the outside world | [`Recorded`] answers |
//! | evaluate programs otherwise: as wasm modules, or in a way of your own | [`Engine`], [`Evaluators`] |
//! | offer vigies over some protocol | [`service::Service`], [`Local`], [`Remote`], [`server`] |
//! | run scripts inside the app, with functions of your own | [`lisp`]: a `Host` offers functions, a `Script` calls them |
//! | tick without tokio, or without an allocator | the crate `vigy-core` |
#![forbid(unsafe_code)]

pub mod api;
mod engine;
mod local;
pub mod metrics;
mod remote;
pub mod server;
pub mod service;
pub mod socket;
mod sse;

/// The store by itself, to look after it: checks, backups, exports.
pub use adapter_tokio::store;
pub use adapter_tokio::store::{DeadLetter, Happened, Happening};
pub use adapter_tokio::{
    Builder, Calendar, Census, Chain, Condition, Evaluation, Evaluators, Event, Events, Executor, HostEffects, HostExtension, Loaded,
    LogEffects, LogLine, Observer, OpenError, Reconciler, RegisterError, Registered, Revision, Run, RunAction, RunEvent, RunWrite,
    RuntimeHandle, State, StoreError, Ticked, Turn, VigyError,
};
pub use engine::{Engine, NoWasm3};
pub use local::Local;
pub use metrics::Metrics;
pub use remote::Remote;
pub use vigy_core::{
    ActionKind, Ask, AskError, Cadence, Incarnation, InvalidVigy, Labels, Limits, Name, Outcome, Pace, Policy, ReconcileAction,
    ResultStatus, RunKey, Schedule, Selector, TickInterval, Timestamp, Vigy, VigyId,
};
/// The language by itself, for scripts that are no vigies: begins with *Embed it in five minutes*.
pub use vigy_lisp as lisp;
pub use vigy_lisp::{CompileError, Data};
pub use vigy_programs::{Capability, ComputeUnit, Handler, InvalidCapability, InvalidHandler, InvalidUnit, Platform, Recorded, Trigger};
