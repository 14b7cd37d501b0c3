//! The default engine: an interpreter in pure Rust, with fuel.

use wasmi::{Config, Linker, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, TypedFunc};

use crate::engine::Exports;
use crate::{Bounds, Engine, EngineError, Entrance, Instance};

/// Runs modules in [wasmi](https://docs.rs/wasmi).
#[derive(Clone, Debug)]
pub struct Wasmi {
    engine: wasmi::Engine,
}

impl Default for Wasmi {
    fn default() -> Self {
        let mut config = Config::default();
        config.consume_fuel(true);
        Self { engine: wasmi::Engine::new(&config) }
    }
}

/// An instance in wasmi.
#[derive(Debug)]
pub struct WasmiInstance {
    store: Store<StoreLimits>,
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    start: TypedFunc<(), u64>,
    resume: TypedFunc<(), u64>,
}

fn failed(error: wasmi::Error) -> EngineError {
    match error.as_trap_code() {
        Some(wasmi::TrapCode::OutOfFuel) => EngineError::OutOfFuel,
        _ => EngineError::Trap(error.to_string()),
    }
}

impl Engine for Wasmi {
    type Code = Module;
    type Instance = WasmiInstance;

    fn compile(&self, module: &[u8]) -> Result<Module, EngineError> {
        Module::new(&self.engine, module).map_err(failed)
    }

    fn instantiate(&self, code: &Module, bounds: Bounds) -> Result<WasmiInstance, EngineError> {
        let limits = StoreLimitsBuilder::new().memory_size(bounds.memory).instances(1).memories(1).tables(1).build();
        let mut store = Store::new(&self.engine, limits);
        store.limiter(|limits| limits);
        store.set_fuel(bounds.fuel).map_err(failed)?;
        let instance = Linker::new(&self.engine).instantiate_and_start(&mut store, code).map_err(failed)?;
        let memory = instance.get_memory(&store, "memory").ok_or_else(|| EngineError::Trap("it has no memory".to_owned()))?;
        Ok(WasmiInstance {
            memory,
            alloc: instance.get_typed_func(&store, "alloc").map_err(failed)?,
            start: instance.get_typed_func(&store, "start").map_err(failed)?,
            resume: instance.get_typed_func(&store, "resume").map_err(failed)?,
            store,
        })
    }
}

impl Instance for WasmiInstance {
    fn exchange(&mut self, entrance: Entrance, message: &mut Vec<u8>) -> Result<(), EngineError> {
        Exports::exchange(self, entrance, message)
    }
}

impl Exports for WasmiInstance {
    fn alloc(&mut self, len: u32) -> Result<u32, EngineError> {
        self.alloc.call(&mut self.store, len).map_err(failed)
    }

    fn enter(&mut self, entrance: Entrance) -> Result<u64, EngineError> {
        let function = match entrance {
            Entrance::Start => &self.start,
            Entrance::Resume => &self.resume,
        };
        function.call(&mut self.store, ()).map_err(failed)
    }

    fn memory(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }
}
