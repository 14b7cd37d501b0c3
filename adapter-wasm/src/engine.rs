//! Who runs a module.

use vigy_core::Limits;

use crate::Metered;

/// What one instance may use at most: derived from the vigy's limits, so that a program which keeps to those does not meet these. There
/// is one way that it can: see [`Bounds::of`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Bytes of its memory.
    pub memory: usize,
    /// Rounds of its loops and calls of its functions, over the whole run.
    pub rounds: u64,
}

impl Bounds {
    /// Bytes of memory per byte of the vigy's limits: heap, stack and record once, values also on their way in and out, in buffers
    /// that double.
    const MEMORY_FACTOR: usize = 8;
    /// Bytes of memory that every module may have: its own data, tables of the machine.
    const MEMORY_BASE: usize = 4 << 20;
    /// Rounds per unit of the vigy's fuel. An instruction takes two or three, most builtins under twenty, and the hungriest, which looks
    /// for a short text that nearly occurs everywhere, under two hundred.
    const ROUNDS_PER_STEP: u64 = 250;
    /// Rounds per byte of values, record, heap and stack: encoding, hashing, copying.
    const ROUNDS_PER_BYTE: u64 = 50;

    /// The bounds for a run under these limits.
    ///
    /// A program that searches a long text for another long one, which nearly occurs everywhere in it, takes more rounds per unit of fuel
    /// than this reckons with, and ends as out of fuel before it is natively: such a search takes the product of both lengths, and is
    /// charged for one.
    #[must_use]
    pub const fn of(limits: &Limits) -> Self {
        let passing = limits.value_bytes as usize + limits.record_bytes as usize;
        let bytes = passing + limits.heap_bytes as usize + limits.stack_bytes as usize;
        let steps = limits.fuel.saturating_mul(Self::ROUNDS_PER_STEP);
        let rounds = steps.saturating_add((bytes as u64).saturating_mul(Self::ROUNDS_PER_BYTE));
        Self { memory: Self::MEMORY_BASE.saturating_add(bytes.saturating_mul(Self::MEMORY_FACTOR)), rounds }
    }

    /// [`Bounds::rounds`], as the counter has it.
    pub(crate) fn counter(self) -> i64 {
        i64::try_from(self.rounds).unwrap_or(i64::MAX)
    }
}

/// What went wrong in an engine.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EngineError {
    /// [`Bounds::rounds`] are used up.
    #[error("the module used all rounds that it has")]
    OutOfRounds,
    /// The module trapped, or did what its engine does not allow.
    #[error("{0}")]
    Trap(String),
    /// The system gives an engine that needs a thread none.
    #[error("the system gives the engine no thread: {0}")]
    NoThread(String),
}

/// The exports that begin a run and go on with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entrance {
    /// `start`
    Start,
    /// `resume`
    Resume,
}

/// Compiles modules and makes instances of them.
pub trait Engine {
    /// A compiled module.
    type Code;
    /// A module with memory of its own.
    type Instance: Instance;

    /// Compiles a module that [`crate::Module`] has checked.
    ///
    /// # Errors
    /// [`EngineError`], when this engine cannot run it.
    fn compile(&self, module: &Metered) -> Result<Self::Code, EngineError>;

    /// A fresh instance. MUST NOT share memory with another, and MUST keep it to the bounds: its memory cannot grow past them, and
    /// its counter, [`Metered::ROUNDS`], begins with them.
    ///
    /// # Errors
    /// [`EngineError`].
    fn instantiate(&self, code: &Self::Code, bounds: Bounds) -> Result<Self::Instance, EngineError>;
}

/// A module with memory of its own, which serves one run.
pub trait Instance {
    /// Hands a message to the module, calls it, and puts in the message's place what it says. MUST return in bounded time.
    ///
    /// # Errors
    /// [`EngineError`].
    fn exchange(&mut self, entrance: Entrance, message: &mut Vec<u8>) -> Result<(), EngineError>;
}

/// An instance as its engine has it at hand.
pub(crate) trait Exports {
    /// Calls `alloc` and gives the address it answers.
    fn alloc(&mut self, len: u32) -> Result<u32, EngineError>;

    /// Calls `start` or `resume` and gives the range it answers.
    fn enter(&mut self, entrance: Entrance) -> Result<u64, EngineError>;

    /// The module's memory.
    fn memory(&mut self) -> &mut [u8];

    /// [`Instance::exchange`], by these three.
    fn exchange(&mut self, entrance: Entrance, message: &mut Vec<u8>) -> Result<(), EngineError> {
        let outside = |what: &str| EngineError::Trap(format!("it {what} more than its memory holds"));
        let len = u32::try_from(message.len()).map_err(|_| outside("is told"))?;
        let address = self.alloc(len)? as usize;
        let room = self.memory().get_mut(address..).and_then(|memory| memory.get_mut(..message.len()));
        room.ok_or_else(|| outside("is told"))?.copy_from_slice(message);
        let range = self.enter(entrance)?;
        let (address, len) = ((range >> 32) as usize, range as u32 as usize);
        let said = self.memory().get(address..).and_then(|memory| memory.get(..len)).ok_or_else(|| outside("says"))?;
        message.clear();
        message.extend_from_slice(said);
        Ok(())
    }
}
