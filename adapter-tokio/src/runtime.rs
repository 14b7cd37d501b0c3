//! SKELETON: the API that is being implemented.
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::broadcast;
use vigy_core::{Selector, Vigy, VigyId};
use crate::*;

/// Settings of a runtime.
pub struct Builder;
impl Builder {
    /// Who answers questions and carries out actions. Default [`LogEffects`].
    pub fn effects(self, _effects: Arc<dyn HostEffects>) -> Self { todo!() }
    /// How long to wait for a store that another process has. Default: not at all.
    pub fn lock_wait(self, _wait: Duration) -> Self { todo!() }
    /// Whether registered vigies tick on their own (default) or only by tick_now (what a short command wants).
    pub fn scheduling(self, _on: bool) -> Self { todo!() }
    /// Opens the store at path, creating it (and its directories) when absent.
    pub async fn open(self, _path: impl AsRef<Path>) -> Result<RuntimeHandle, OpenError> { todo!() }
    /// A store in memory, gone with the runtime.
    pub async fn in_memory(self) -> Result<RuntimeHandle, OpenError> { todo!() }
}
/// The runtime. Cheap to clone.
#[derive(Clone)]
pub struct RuntimeHandle;
impl RuntimeHandle {
    /// builder
    pub fn builder() -> Builder { Builder }
    /// open with defaults
    pub async fn open(_path: impl AsRef<Path>) -> Result<Self, OpenError> { todo!() }
    /// Registers, or updates the vigy of that name; identical declaration changes nothing. Keeps id, kv, history, created_at, enabled state (on update `vigy.enabled` is ignored).
    pub async fn register_or_update(&self, _vigy: Vigy) -> Result<Registered, RegisterError> { todo!() }
    /// exact id, exact name, or unambiguous prefix of an id or a name
    pub async fn resolve(&self, _reference: &str) -> Result<VigyId, VigyError> { todo!() }
    /// get
    pub async fn get(&self, _id: VigyId) -> Result<Registered, VigyError> { todo!() }
    /// ordered by name
    pub async fn list(&self, _selector: &Selector) -> Result<Vec<Registered>, VigyError> { todo!() }
    /// enable
    pub async fn enable(&self, _id: VigyId) -> Result<Registered, VigyError> { todo!() }
    /// disable
    pub async fn disable(&self, _id: VigyId) -> Result<Registered, VigyError> { todo!() }
    /// delete
    pub async fn delete(&self, _id: VigyId) -> Result<(), VigyError> { todo!() }
    /// Ticks now (after a tick in flight), enabled or not; waits until every action has its outcome.
    pub async fn tick_now(&self, _id: VigyId) -> Result<Run, VigyError> { todo!() }
    /// newest first
    pub async fn recent_runs(&self, _id: VigyId, _limit: usize) -> Result<Vec<Run>, VigyError> { todo!() }
    /// state
    pub async fn state(&self, _id: VigyId) -> Result<State, VigyError> { todo!() }
    /// events of this process from now on
    pub fn subscribe(&self) -> broadcast::Receiver<Event> { todo!() }
    /// Ends the ticks in flight, settles what can be settled within deadline, closes the store.
    pub async fn shutdown(&self, _deadline: Duration) { todo!() }
}
