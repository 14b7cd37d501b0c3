//! Memory to tick in: made once, used by whoever ticks next.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vigy_core::{Limits, TickBuffers};

/// Spaces kept for the next tick. More are made when more vigies tick at once, and given back to the system afterwards.
const KEPT: usize = 16;

/// The memory of one tick: the core's buffers and the machine's words.
pub(crate) struct Space {
    limits: Limits,
    pub(crate) buffers: TickBuffers,
    pub(crate) words: Vec<u64>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Where spaces come from. At most a given number is out at once; who comes later waits.
pub(crate) struct Spaces {
    kept: Mutex<Vec<Space>>,
    permits: Arc<Semaphore>,
}

impl Spaces {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { kept: Mutex::default(), permits: Arc::new(Semaphore::new(at_once)) }
    }

    /// A space for these limits, with at least so many words.
    pub(crate) async fn take(&self, limits: &Limits, words: usize) -> Space {
        // The semaphore is never closed; without a permit the tick is only not counted.
        let permit = self.permits.clone().acquire_owned().await.ok();
        let kept = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.iter().position(|space| space.limits == *limits).map(|index| kept.swap_remove(index))
        };
        let mut space =
            kept.unwrap_or_else(|| Space { limits: *limits, buffers: TickBuffers::for_limits(limits), words: Vec::new(), _permit: None });
        if space.words.len() < words {
            space.words = vec![0; words];
        }
        space._permit = permit;
        space
    }

    /// Gives a space back.
    pub(crate) fn give(&self, mut space: Space) {
        space._permit = None;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(space);
        }
    }
}
