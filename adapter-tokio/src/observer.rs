//! What a runtime tells about itself, for metrics.

use std::time::Duration;

use vigy_core::{RunKey, Vigy};

use crate::store::read;
use crate::{RuntimeHandle, VigyError};

/// Hears of every tick. Given by [`crate::Builder::observer`].
pub trait Observer: Send + Sync + 'static {
    /// A tick is over: every action has its outcome. Called on the thread that ticked it, so it MUST NOT wait.
    fn ticked(&self, vigy: &Vigy, tick: &Ticked);
}

/// How a tick went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticked {
    /// Its run.
    pub run: RunKey,
    /// Whether its evaluation went well.
    pub ok: bool,
    /// How long after it was due it began; nothing for one that somebody asked for before that.
    pub late: Option<Duration>,
    /// How long it took, its actions included.
    pub took: Duration,
    /// Fuel used.
    pub fuel: u64,
    /// The most bytes of the program's heap that were in use; 0 when its evaluator does not know.
    pub heap_bytes: u64,
}

/// How many vigies of each kind there are, and what there is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Vigies that tick on their own.
    pub ticking: u64,
    /// Vigies that are disabled.
    pub disabled: u64,
    /// Vigies that are enabled, and parked.
    pub parked: u64,
    /// Vigies whose tick is due and not over.
    pub due: u64,
    /// Actions that failed for good and are kept.
    pub dead_letters: u64,
    /// Ticks that were skipped, in the lives of the vigies that are there.
    pub missed: u64,
}

impl RuntimeHandle {
    /// Counts the vigies: a walk over a small row of each.
    ///
    /// # Errors
    /// [`VigyError::Store`].
    pub async fn census(&self) -> Result<Census, VigyError> {
        let now = self.shared.now();
        let counted = self.shared.store.read(move |rows| {
            let mut census = Census::default();
            read::standings(rows, |_, standing| {
                let checkpoint = &standing.checkpoint;
                match (standing.enabled, checkpoint.parked) {
                    (false, _) => census.disabled += 1,
                    (true, true) => census.parked += 1,
                    (true, false) => census.ticking += 1,
                }
                census.due += u64::from(standing.enabled && !checkpoint.parked && checkpoint.due <= now);
                census.dead_letters += u64::from(standing.dead);
                census.missed = census.missed.saturating_add(checkpoint.missed);
            })?;
            Ok(census)
        });
        Ok(counted.await?)
    }
}
