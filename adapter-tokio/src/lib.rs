//! Vigies on tokio and redb.

mod effects;
mod error;
mod keeper;
mod runtime;
mod space;
mod store;
mod view;

pub use effects::{HostEffects, LogEffects};
pub use error::{OpenError, RegisterError, StoreError, VigyError};
pub use runtime::{Builder, RuntimeHandle};
pub use view::{Condition, Event, LogLine, Registered, Run, RunAction, RunEvent, State};
