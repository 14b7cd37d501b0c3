//! Who evaluates programs: the lisp machine, unless an application says otherwise.

use std::sync::Arc;

use vigy_core::lisp::{Imports, Lisp, compile, operations, words_needed};
use vigy_core::record::Place;
use vigy_core::{Door, Evaluator, Limits, Step, Vigy};
use vigy_lisp::{HostFn, Image};

use crate::RegisterError;

/// Makes programs ready to run. One value serves all vigies of a runtime.
pub trait Evaluators: Send + Sync + 'static {
    /// Makes a vigy's program ready to run, any number of times; `operations` are what its host offers. Called when a vigy is
    /// registered, before anything is stored, and before its first tick. MUST NOT run any of it: what it asks is checked afterwards.
    ///
    /// # Errors
    /// [`RegisterError::Program`], [`RegisterError::Refused`].
    fn load(&self, vigy: &Vigy, operations: &[HostFn]) -> Result<Arc<dyn Loaded>, RegisterError>;
}

/// A program that is ready to run.
pub trait Loaded: Send + Sync + 'static {
    /// What names the program in its records. MUST be another one for another program: programs are kept ready under this name.
    fn hash(&self) -> [u8; 32];

    /// The operations that it may ask, as `fs/list`. It MUST NOT ask others.
    fn operations(&self) -> Vec<&str>;

    /// How many words of memory [`Loaded::evaluation`] needs; the runtime keeps them from tick to tick.
    fn words(&self, limits: &Limits) -> usize;

    /// One run, which has not begun. Blocks its thread for one slice of fuel at a time.
    ///
    /// # Errors
    /// Why there can be none, as a line for people.
    fn evaluation<'m>(&'m self, limits: &Limits, words: &'m mut [u64]) -> Result<Evaluation<'m>, String>;
}

/// A run in a runtime.
#[allow(clippy::large_enum_variant, reason = "one lives on each tick's stack; a box would be an allocation per tick")]
pub enum Evaluation<'m> {
    /// By the lisp machine: without an allocation.
    Lisp(Lisp<'m>),
    /// By whatever else can evaluate.
    Other(Box<dyn Evaluator + Send + 'm>),
}

impl Evaluation<'_> {
    /// The most bytes of heap that were in use; 0 when that is not known.
    pub(crate) fn heap_used(&self) -> u64 {
        match self {
            Self::Lisp(lisp) => lisp.heap_used(),
            Self::Other(_) => 0,
        }
    }
}

impl Evaluator for Evaluation<'_> {
    fn step(&mut self, door: &mut Door<'_>, slice: u64) -> Step {
        match self {
            Self::Lisp(lisp) => lisp.step(door, slice),
            Self::Other(other) => other.step(door, slice),
        }
    }

    fn fuel_used(&self) -> u64 {
        match self {
            Self::Lisp(lisp) => lisp.fuel_used(),
            Self::Other(other) => other.fuel_used(),
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Lisp(lisp) => lisp.place(),
            Self::Other(other) => other.place(),
        }
    }
}

/// Compiles programs, and evaluates them in this process's own lisp machine. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

impl Evaluators for Native {
    fn load(&self, vigy: &Vigy, operations: &[HostFn]) -> Result<Arc<dyn Loaded>, RegisterError> {
        let image = compile(&vigy.program, operations).map_err(RegisterError::Program)?;
        let imports = Imports::of(image.program()).map_err(|error| RegisterError::Refused(error.to_string()))?;
        Ok(Arc::new(Compiled { hash: image.hash(), image, imports }))
    }
}

struct Compiled {
    image: Image,
    imports: Imports,
    hash: [u8; 32],
}

impl Loaded for Compiled {
    fn hash(&self) -> [u8; 32] {
        self.hash
    }

    fn operations(&self) -> Vec<&str> {
        operations(self.image.program()).collect()
    }

    fn words(&self, limits: &Limits) -> usize {
        words_needed(self.image.program(), limits)
    }

    fn evaluation<'m>(&'m self, limits: &Limits, words: &'m mut [u64]) -> Result<Evaluation<'m>, String> {
        let lisp = Lisp::new(self.image.program(), &self.imports, limits, words);
        lisp.map(Evaluation::Lisp).map_err(|error| error.to_string())
    }
}
