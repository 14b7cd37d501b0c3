//! Programs that are ready to run, shared by all vigies that run them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use crate::sync::{Mutex, MutexGuard};
use crate::{Loaded, RegisterError};

/// Programs kept ready to run: 1,024. Then the one that was not used for longest goes, and is made ready again when it is needed.
pub(crate) const PROGRAMS_KEPT: usize = 1024;

/// BLAKE3 of a program's image, or of its text.
type Hash = [u8; 32];

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Programs(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    programs: HashMap<Hash, (Arc<dyn Loaded>, u64)>,
    /// Counts uses.
    uses: u64,
}

impl Programs {
    /// The program of that hash, which `load` makes ready if it is not there.
    pub(crate) fn get(
        &self,
        hash: &Hash,
        load: impl FnOnce() -> Result<Arc<dyn Loaded>, RegisterError>,
    ) -> Result<Arc<dyn Loaded>, RegisterError> {
        if let Some(program) = self.find(hash) {
            return Ok(program);
        }
        // Not while the lock is held: it takes as long as a compiler does.
        let program = load()?;
        self.keep(*hash, program.clone());
        Ok(program)
    }

    fn find(&self, hash: &Hash) -> Option<Arc<dyn Loaded>> {
        let mut kept = self.kept();
        kept.uses += 1;
        let uses = kept.uses;
        let (program, used) = kept.programs.get_mut(hash)?;
        *used = uses;
        Some(program.clone())
    }

    fn keep(&self, hash: Hash, program: Arc<dyn Loaded>) {
        let mut kept = self.kept();
        if kept.programs.len() >= PROGRAMS_KEPT {
            let oldest = kept.programs.iter().min_by_key(|(_, (_, used))| *used).map(|(hash, _)| *hash);
            oldest.map(|oldest| kept.programs.remove(&oldest));
        }
        let uses = kept.uses;
        kept.programs.insert(hash, (program, uses));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // The map is whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use vigy_core::{TickInterval, Vigy};

    use super::*;
    use crate::{Evaluators, Native};

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let programs = Programs::default();
        let loads = std::cell::Cell::new(0);
        let get = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            let load = || {
                loads.set(loads.get() + 1);
                Native.load(&Vigy::new("v", "1", TickInterval::default()).unwrap(), &[])
            };
            programs.get(&hash, load).unwrap();
        };
        (0..PROGRAMS_KEPT).for_each(&get);
        get(0);
        get(PROGRAMS_KEPT);
        assert_eq!((loads.get(), programs.kept().programs.len()), (PROGRAMS_KEPT + 1, PROGRAMS_KEPT));
        get(0);
        assert_eq!(loads.get(), PROGRAMS_KEPT + 1, "used lately");
        get(1);
        assert_eq!(loads.get(), PROGRAMS_KEPT + 2, "not used for longest");
    }
}
