//! Vigies on tokio and redb.

mod effects;
mod error;
mod view;
mod runtime;

pub use effects::{HostEffects, LogEffects};
pub use error::{OpenError, RegisterError, StoreError, VigyError};
pub use runtime::{Builder, RuntimeHandle};
pub use view::{Condition, Event, LogLine, Registered, Run, RunAction, RunEvent, State};
