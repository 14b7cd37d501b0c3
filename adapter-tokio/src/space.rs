//! Memory to tick in: made once, used by whoever ticks next.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vigy_core::{Limits, TickBuffers};

/// Memories kept for the next tick. More are made while more vigies tick at once, and given back to the system afterwards.
const KEPT: usize = 8;

/// The memory of one tick: the core's buffers and the machine's words.
#[derive(Default)]
pub(crate) struct Memory {
    limits: Limits,
    pub(crate) buffers: TickBuffers,
    pub(crate) words: Vec<u64>,
}

/// Where memories come from. At most a given number is out at once; who comes later waits.
pub(crate) struct Spaces {
    kept: Mutex<Vec<Memory>>,
    permits: Arc<Semaphore>,
}

/// A memory lent for one tick; it goes back when it is dropped, however the tick ends.
pub(crate) struct Space<'s> {
    pub(crate) memory: Memory,
    spaces: &'s Spaces,
    /// Held, never read; nothing only if the semaphore were closed, which it never is.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Spaces {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { kept: Mutex::default(), permits: Arc::new(Semaphore::new(at_once)) }
    }

    /// A memory for these limits, with at least so many words.
    pub(crate) async fn take(&self, limits: &Limits, words: usize) -> Space<'_> {
        let permit = self.permits.clone().acquire_owned().await.ok();
        let kept = {
            let mut kept = self.kept();
            kept.iter().position(|memory| memory.limits == *limits).map(|index| kept.swap_remove(index))
        };
        let fresh = || Memory { limits: *limits, buffers: TickBuffers::for_limits(limits), words: Vec::new() };
        let mut memory = kept.unwrap_or_else(fresh);
        if memory.words.len() < words {
            memory.words = vec![0; words];
        }
        Space { memory, spaces: self, _permit: permit }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Memory>> {
        // The list is whole whoever panicked.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        let mut kept = self.spaces.kept();
        if kept.len() < KEPT {
            kept.push(std::mem::take(&mut self.memory));
        }
    }
}
