//! Who runs a module.

use vigy_core::Limits;

/// What one instance may use at most: derived from the vigy's limits, so that a program which keeps to those never meets these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Bytes of its memory.
    pub memory: usize,
    /// The engine's own fuel, over the whole run. An engine without fuel ignores it.
    pub fuel: u64,
}

impl Bounds {
    /// Bytes of memory per byte of the vigy's limits: heap, stack and record once, values also on their way in and out, in buffers
    /// that double.
    const MEMORY_FACTOR: usize = 8;
    /// Bytes of memory that every module may have: its own data, tables of the machine.
    const MEMORY_BASE: usize = 4 << 20;
    /// Instructions per unit of the vigy's fuel. A builtin takes some hundred at most.
    const FUEL_PER_STEP: u64 = 1000;
    /// Instructions per byte of values and record: encoding, hashing, copying.
    const FUEL_PER_BYTE: u64 = 500;

    /// The bounds for a run under these limits.
    #[must_use]
    pub const fn of(limits: &Limits) -> Self {
        let passing = limits.value_bytes as usize + limits.record_bytes as usize;
        let bytes = passing + limits.heap_bytes as usize + limits.stack_bytes as usize;
        let steps = limits.fuel.saturating_mul(Self::FUEL_PER_STEP);
        let fuel = steps.saturating_add((bytes as u64).saturating_mul(Self::FUEL_PER_BYTE));
        Self { memory: Self::MEMORY_BASE.saturating_add(bytes.saturating_mul(Self::MEMORY_FACTOR)), fuel }
    }
}

/// What went wrong in an engine.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EngineError {
    /// [`Bounds::fuel`] is used up.
    #[error("the module used all fuel of its engine")]
    OutOfFuel,
    /// The module trapped, or did what its engine does not allow.
    #[error("{0}")]
    Trap(String),
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
    fn compile(&self, module: &[u8]) -> Result<Self::Code, EngineError>;

    /// A fresh instance. MUST NOT share memory with another.
    ///
    /// # Errors
    /// [`EngineError`].
    fn instantiate(&self, code: &Self::Code, bounds: Bounds) -> Result<Self::Instance, EngineError>;
}

/// A module with memory of its own, which serves one run.
pub trait Instance {
    /// Calls `alloc` and gives the address it answers.
    ///
    /// # Errors
    /// [`EngineError`].
    fn alloc(&mut self, len: u32) -> Result<u32, EngineError>;

    /// Calls `start` or `resume` and gives what it answers. MUST return in bounded time when the engine has fuel.
    ///
    /// # Errors
    /// [`EngineError`].
    fn enter(&mut self, entrance: Entrance) -> Result<u64, EngineError>;

    /// Copies from the module's memory.
    ///
    /// # Errors
    /// [`EngineError::Trap`] when the range is not in its memory.
    fn read(&self, address: u32, into: &mut [u8]) -> Result<(), EngineError>;

    /// Copies into the module's memory.
    ///
    /// # Errors
    /// [`EngineError::Trap`] when the range is not in its memory.
    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), EngineError>;
}
