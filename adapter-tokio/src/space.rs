//! Memory to tick in: made once, used by whoever ticks next.

use std::sync::PoisonError;

use vigy_core::{Limits, TickBuffers};

use crate::sync::{Mutex, MutexGuard};

/// The memory of one tick: the core's buffers and the machine's words.
#[derive(Default)]
pub(crate) struct Memory {
    limits: Limits,
    pub(crate) buffers: TickBuffers,
    pub(crate) words: Vec<u64>,
}

/// Where memories come from. What is not needed any more goes back to the system in [`Spaces::rest`].
#[derive(Default)]
pub(crate) struct Spaces(Mutex<Pool>);

#[derive(Default)]
struct Pool {
    kept: Vec<Memory>,
    out: usize,
    /// The most that were out at once since the last rest.
    peak: usize,
}

/// A memory lent for one tick. One that is not given back is gone: whatever ended the tick may have left anything in it.
pub(crate) struct Space<'s> {
    pub(crate) memory: Memory,
    spaces: &'s Spaces,
    whole: bool,
}

impl Spaces {
    /// A memory for these limits, with at least so many words.
    pub(crate) fn take(&self, limits: &Limits, words: usize) -> Space<'_> {
        let kept = {
            let pool = &mut *self.pool();
            pool.out += 1;
            pool.peak = pool.peak.max(pool.out);
            // The one used last is the one that the processor's caches know best.
            let known = pool.kept.iter().rposition(|memory| memory.limits == *limits);
            known.map(|index| pool.kept.remove(index))
        };
        let fresh = || Memory { limits: *limits, buffers: TickBuffers::for_limits(limits), words: Vec::new() };
        let mut memory = kept.unwrap_or_else(fresh);
        if memory.words.len() < words {
            memory.words = vec![0; words];
        }
        Space { memory, spaces: self, whole: false }
    }

    /// Gives back to the system what was not needed since the last rest.
    pub(crate) fn rest(&self) {
        let unused = {
            let pool = &mut *self.pool();
            let needed = std::mem::replace(&mut pool.peak, pool.out);
            let spare = (pool.kept.len() + pool.out).saturating_sub(needed).min(pool.kept.len());
            pool.kept.drain(..spare).collect::<Vec<_>>()
        };
        // Not while the lock is held.
        drop(unused);
    }

    /// How many are kept, and how many are out.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        let pool = self.pool();
        (pool.kept.len(), pool.out)
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        // The pool is whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Space<'_> {
    /// Gives the memory back, for the next tick.
    pub(crate) fn give_back(mut self) {
        self.whole = true;
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let mut pool = self.spaces.pool();
        pool.out -= 1;
        if self.whole {
            pool.kept.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(spaces: &Spaces) -> usize {
        spaces.counts().0
    }

    #[test]
    fn memory_is_used_again_unless_its_tick_was_cut() {
        let (spaces, limits) = (Spaces::default(), Limits::default());
        spaces.take(&limits, 10).give_back();
        assert_eq!(kept(&spaces), 1);
        drop(spaces.take(&limits, 10));
        assert_eq!(kept(&spaces), 0);
        spaces.take(&limits, 10).give_back();
        spaces.take(&Limits { fuel: 1, ..limits }, 10).give_back();
        assert_eq!(kept(&spaces), 2, "other limits, other memory");
    }

    #[test]
    fn what_nobody_needs_goes_back_to_the_system() {
        let (spaces, limits) = (Spaces::default(), Limits::default());
        let taken: Vec<_> = (0..5).map(|_| spaces.take(&limits, 0)).collect();
        taken.into_iter().for_each(Space::give_back);
        spaces.rest();
        assert_eq!(kept(&spaces), 5, "five were needed at once");
        spaces.take(&limits, 0).give_back();
        spaces.rest();
        assert_eq!(kept(&spaces), 1);
        spaces.rest();
        assert_eq!(kept(&spaces), 0);
    }
}
