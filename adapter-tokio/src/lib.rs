//! Vigies on tokio and redb: [`RuntimeHandle`] for Rust applications.
//!
//! ```
//! use adapter_tokio::RuntimeHandle;
//! use vigy_core::{TickInterval, Vigy};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = RuntimeHandle::builder().in_memory().await?;
//! let mut events = runtime.events(None);
//! let counter = Vigy::new("counter", "(vigy-log :info (vigy-incr :n))", TickInterval::from_millis(100)?)?;
//! runtime.register_or_update(counter).await?;
//! events.next().await?; // registered
//! events.next().await?; // ran
//! # Ok(()) }
//! ```
//!
//! # How it is built
//!
//! ```text
//!   RuntimeHandle ───────told, ask──────► keeper: an agenda of deadlines, a line per idle vigy
//!      │    ▲                               │ a task per tick, on worker threads of its own, a slice of fuel at a time
//!      │    │                               ▼
//!      │  events                         a tick ───ask, act───► HostEffects, on the threads of the application
//!      │    │                            │    │
//!      └──write──────────batch───────────┘   read
//!           │  ▼                              │
//!   store: one writer thread, group commit, over a small port: redb, memory, yours
//! ```
//!
//! A vigy is in one place of the agenda, so its ticks never overlap. No lock is held across an await. No thread of the application
//! evaluates, or waits for a disk.
//!
//! # What it assumes
//!
//! 1. The file system keeps what it said was synced, and its locks keep two processes apart.
//! 2. The wall clock may jump. Schedules are then taken up anew.
//! 3. Effects end, sooner or later: a tick in flight occupies its memory until they do.

mod agenda;
mod builder;
mod calendar;
mod effects;
mod error;
mod evaluators;
mod events;
mod extension;
mod keeper;
mod observer;
mod programs;
mod reconciler;
mod replay;
mod runtime;
mod space;
pub mod store;
mod sync;
mod tick;
mod view;
mod worker;

pub use builder::Builder;
pub use calendar::{Calendar, InvalidCalendar};
pub use effects::{HostEffects, LogEffects};
pub use error::{OpenError, RegisterError, StoreError, VigyError};
pub use evaluators::{Evaluation, Evaluators, Loaded, Native};
pub use events::{Event, Events};
pub use extension::{Executor, HostExtension};
pub use observer::{Census, Observer, Ticked};
pub use reconciler::{Chain, Reconciler, Refused, Turn};
pub use runtime::RuntimeHandle;
pub use view::{Condition, LogLine, Registered, Revision, Run, RunAction, RunEvent, RunWrite, State};
