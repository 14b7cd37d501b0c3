//! What ticks run by, kept ready: programs, shared by all vigies that run them, and declarations.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use vigy_core::{Incarnation, Vigy, VigyId};

use crate::sync::{Mutex, MutexGuard};
use crate::{Loaded, RegisterError, StoreError};

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

/// Declarations kept ready: at most twice 4,096. Those that did not tick while as many others did go.
const DECLARATIONS_HALF: usize = 4096;

/// A declaration: no two differ that have these in common.
type Declaration = (VigyId, Incarnation, u64);

/// A vigy as it was declared, and what names its program's image, if that is known.
pub(crate) type Declared = (Arc<Vigy>, Option<[u8; 32]>);

/// Declarations as they are stored, read.
#[derive(Default)]
pub(crate) struct Declarations(Mutex<Halves>);

/// Those used lately, and those used before that.
#[derive(Default)]
struct Halves {
    young: HashMap<Declaration, Declared>,
    old: HashMap<Declaration, Declared>,
}

impl Declarations {
    /// A declaration, which `read` reads if it is not there; nothing when there is none.
    pub(crate) fn get(
        &self,
        declaration: Declaration,
        read: impl FnOnce() -> Result<Option<Declared>, StoreError>,
    ) -> Result<Option<Declared>, StoreError> {
        if let Some(declared) = self.halves().find(&declaration) {
            return Ok(Some(declared));
        }
        // Not while the lock is held: it may wait for a disk.
        let declared = read()?;
        if let Some(declared) = &declared {
            self.halves().keep(declaration, declared.clone());
        }
        Ok(declared)
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        // The maps are whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn find(&mut self, declaration: &Declaration) -> Option<Declared> {
        if let Some(declared) = self.young.get(declaration) {
            return Some(declared.clone());
        }
        let declared = self.old.remove(declaration)?;
        self.keep(*declaration, declared.clone());
        Some(declared)
    }

    fn keep(&mut self, declaration: Declaration, declared: Declared) {
        if self.young.len() >= DECLARATIONS_HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(declaration, declared);
    }
}

#[cfg(test)]
mod tests {
    use vigy_core::TickInterval;

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

    #[test]
    fn declarations_are_read_once_while_they_are_used() {
        let declarations = Declarations::default();
        let reads = std::cell::Cell::new(0);
        let vigy = Arc::new(Vigy::new("v", "1", TickInterval::default()).unwrap());
        let get = |n: usize| {
            let read = || {
                reads.set(reads.get() + 1);
                Ok(Some((vigy.clone(), None)))
            };
            declarations.get((VigyId(n as u64), Incarnation(1), 1), read).unwrap();
        };
        (0..3 * DECLARATIONS_HALF).for_each(|n| [0, n].into_iter().for_each(&get));
        assert_eq!(reads.get(), 3 * DECLARATIONS_HALF, "the first is used all the time");
        get(1);
        assert_eq!(reads.get(), 3 * DECLARATIONS_HALF + 1, "not used for longest");
        assert!(declarations.get((VigyId(0), Incarnation(1), 2), || Ok(None)).unwrap().is_none(), "another declaration of the same");
    }
}
