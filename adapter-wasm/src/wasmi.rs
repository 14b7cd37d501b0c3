//! The default engine: an interpreter in pure Rust.

use wasmi::{CompilationMode, Config, Global, Linker, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, TypedFunc, Val};

use crate::engine::Exports;
use crate::{Bounds, Engine, EngineError, Entrance, Instance, Metered};

/// Runs modules in [wasmi](https://docs.rs/wasmi).
#[derive(Clone, Debug)]
pub struct Wasmi {
    engine: wasmi::Engine,
}

impl Default for Wasmi {
    fn default() -> Self {
        let mut config = Config::default();
        // A module is validated before an engine sees it. wasmi's own fuel stays off: it counts a loop's whole body at every round, and
        // the body of the guest's loop is a machine's.
        config.compilation_mode(CompilationMode::Lazy);
        Self { engine: wasmi::Engine::new(&config) }
    }
}

/// An instance in wasmi.
#[derive(Debug)]
pub struct WasmiInstance {
    store: Store<StoreLimits>,
    memory: Memory,
    rounds: Global,
    alloc: TypedFunc<u32, u32>,
    start: TypedFunc<(), u64>,
    resume: TypedFunc<(), u64>,
}

fn trap(error: wasmi::Error) -> EngineError {
    EngineError::Trap(error.to_string())
}

impl Engine for Wasmi {
    type Code = Module;
    type Instance = WasmiInstance;

    fn compile(&self, module: &Metered) -> Result<Module, EngineError> {
        Module::new(&self.engine, module.as_bytes()).map_err(trap)
    }

    fn instantiate(&self, code: &Module, bounds: Bounds) -> Result<WasmiInstance, EngineError> {
        let limits = StoreLimitsBuilder::new().memory_size(bounds.memory).instances(1).memories(1).tables(1).build();
        let mut store = Store::new(&self.engine, limits);
        store.limiter(|limits| limits);
        let instance = Linker::new(&self.engine).instantiate_and_start(&mut store, code).map_err(trap)?;
        let missing = |what: &str| EngineError::Trap(format!("it has no {what}"));
        let memory = instance.get_memory(&store, "memory").ok_or_else(|| missing("memory"))?;
        let rounds = instance.get_global(&store, Metered::ROUNDS).ok_or_else(|| missing("counter"))?;
        rounds.set(&mut store, Val::I64(bounds.counter())).map_err(|error| EngineError::Trap(error.to_string()))?;
        Ok(WasmiInstance {
            memory,
            rounds,
            alloc: instance.get_typed_func(&store, "alloc").map_err(trap)?,
            start: instance.get_typed_func(&store, "start").map_err(trap)?,
            resume: instance.get_typed_func(&store, "resume").map_err(trap)?,
            store,
        })
    }
}

impl WasmiInstance {
    /// Why a call failed: when no round is left, that is why.
    fn failed(&self, error: wasmi::Error) -> EngineError {
        match self.rounds.get(&self.store) {
            Val::I64(0) => EngineError::OutOfRounds,
            _ => trap(error),
        }
    }
}

impl Instance for WasmiInstance {
    fn exchange(&mut self, entrance: Entrance, message: &mut Vec<u8>) -> Result<(), EngineError> {
        Exports::exchange(self, entrance, message)
    }
}

impl Exports for WasmiInstance {
    fn alloc(&mut self, len: u32) -> Result<u32, EngineError> {
        self.alloc.call(&mut self.store, len).map_err(|error| self.failed(error))
    }

    fn enter(&mut self, entrance: Entrance) -> Result<u64, EngineError> {
        let function = match entrance {
            Entrance::Start => &self.start,
            Entrance::Resume => &self.resume,
        };
        function.call(&mut self.store, ()).map_err(|error| self.failed(error))
    }

    fn memory(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }
}
