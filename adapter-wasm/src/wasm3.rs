//! An engine in C: small, and portable to where Rust is not. A cargo feature, because building it takes libclang.
//!
//! | what | is bounded by |
//! |---|---|
//! | time | the counter that every module has ([`Metered`]): wasm3 counts nothing, and cannot be interrupted in a loop |
//! | memory | the maximum that the module declares, lowered to [`Bounds::memory`]: wasm3 keeps to that when memory grows |
//! | native stack | a thread of the instance's own, with more stack than wasm3 lets a module use |
//! | registers of calls | [`VALUE_STACK`]: deeper calls trap |
//!
//! The thread is also what makes an instance `Send`: wasm3's data never leaves it, only messages do.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use wasm3x::{Config, Global, Linker, Memory, Module, Store, TypedFunc, Val};

use crate::engine::Exports;
use crate::{Bounds, Engine, EngineError, Entrance, Instance, Metered};

/// Bytes of native stack of an instance's thread. wasm3 lets a module use 8 MiB less 128 KiB of it, and looks only when it calls.
const NATIVE_STACK: usize = 12 << 20;

/// Bytes for the registers of nested calls in wasm3. The guest's calls nest about as deep as data does.
const VALUE_STACK: usize = 1 << 20;

/// Runs modules in [wasm3](https://docs.rs/wasm3x).
#[derive(Clone, Copy, Debug, Default)]
pub struct Wasm3;

/// An instance in wasm3, on a thread that ends with it.
pub struct Wasm3Instance {
    calls: Option<Sender<(Entrance, Vec<u8>)>>,
    answers: Receiver<Result<Vec<u8>, EngineError>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Wasm3Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wasm3Instance").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl Engine for Wasm3 {
    type Code = Metered;
    type Instance = Wasm3Instance;

    fn compile(&self, module: &Metered) -> Result<Metered, EngineError> {
        // wasm3 parses a module anew for every instance, and compiles a function when it is called first.
        Module::new(&wasm3x::Engine::default(), module.as_bytes()).map_err(trap)?;
        Ok(module.clone())
    }

    fn instantiate(&self, code: &Metered, bounds: Bounds) -> Result<Wasm3Instance, EngineError> {
        let module = code.with_memory_of(bounds)?;
        let (calls, to_serve) = channel();
        let (answer, answers) = channel();
        let thread = Builder::new().name("wasm3".to_owned()).stack_size(NATIVE_STACK);
        let thread = thread.spawn(move || serve(&module, bounds, &to_serve, &answer));
        let thread = thread.map_err(|error| EngineError::NoThread(error.to_string()))?;
        let mut instance = Wasm3Instance { calls: Some(calls), answers, thread: Some(thread) };
        instance.answer()?;
        Ok(instance)
    }
}

impl Wasm3Instance {
    fn answer(&mut self) -> Result<Vec<u8>, EngineError> {
        self.answers.recv().unwrap_or_else(|_| Err(EngineError::Trap("wasm3 stopped".to_owned())))
    }
}

impl Instance for Wasm3Instance {
    fn exchange(&mut self, entrance: Entrance, message: &mut Vec<u8>) -> Result<(), EngineError> {
        if let Some(calls) = &self.calls {
            // When the thread has ended, there is no answer either.
            let _ = calls.send((entrance, std::mem::take(message)));
        }
        *message = self.answer()?;
        Ok(())
    }
}

impl Drop for Wasm3Instance {
    /// The thread waits for a call; without a caller it ends, and its memory is free when this returns.
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

/// What the thread does: makes the instance, says so, and answers until nobody calls any more.
fn serve(module: &[u8], bounds: Bounds, calls: &Receiver<(Entrance, Vec<u8>)>, answer: &Sender<Result<Vec<u8>, EngineError>>) {
    // Who asked may have gone; then the next `recv` ends the loop.
    match Served::new(module, bounds) {
        Ok(mut served) => {
            let _ = answer.send(Ok(Vec::new()));
            while let Ok((entrance, mut message)) = calls.recv() {
                let done = served.exchange(entrance, &mut message);
                let _ = answer.send(done.map(|()| message));
            }
        }
        Err(error) => drop(answer.send(Err(error))),
    }
}

/// wasm3's side of an instance.
struct Served {
    store: Store<()>,
    memory: Memory,
    rounds: Global,
    alloc: TypedFunc<u32, u32>,
    start: TypedFunc<(), u64>,
    resume: TypedFunc<(), u64>,
}

impl Served {
    fn new(module: &[u8], bounds: Bounds) -> Result<Self, EngineError> {
        let mut config = Config::new();
        config.stack_size(VALUE_STACK);
        let engine = wasm3x::Engine::new(&config);
        let module = Module::new(&engine, module).map_err(trap)?;
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate_and_start(&mut store, &module).map_err(trap)?;
        let missing = |what: &str| EngineError::Trap(format!("it has no {what}"));
        let rounds = instance.get_global(&store, Metered::ROUNDS).ok_or_else(|| missing("counter"))?;
        rounds.set(&mut store, Val::I64(bounds.counter())).map_err(trap)?;
        Ok(Self {
            rounds,
            memory: instance.get_memory(&store).ok_or_else(|| missing("memory"))?,
            alloc: instance.get_typed_func(&store, "alloc").map_err(trap)?,
            start: instance.get_typed_func(&store, "start").map_err(trap)?,
            resume: instance.get_typed_func(&store, "resume").map_err(trap)?,
            store,
        })
    }

    /// Why a call failed: when no round is left, that is why.
    fn failed(&self, error: wasm3x::Error) -> EngineError {
        match self.rounds.get(&self.store) {
            Ok(Val::I64(0)) => EngineError::OutOfRounds,
            _ => trap(error),
        }
    }
}

impl Exports for Served {
    fn alloc(&mut self, len: u32) -> Result<u32, EngineError> {
        self.alloc.call(&mut self.store, len).map_err(|error| self.failed(error))
    }

    fn enter(&mut self, entrance: Entrance) -> Result<u64, EngineError> {
        let function = match entrance {
            Entrance::Start => self.start,
            Entrance::Resume => self.resume,
        };
        function.call(&mut self.store, ()).map_err(|error| self.failed(error))
    }

    fn memory(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }
}

fn trap(error: wasm3x::Error) -> EngineError {
    EngineError::Trap(error.to_string())
}
