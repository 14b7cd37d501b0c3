//! What runs programs: this process's own machine, or an engine for wasm.

use std::sync::Arc;

use adapter_tokio::{Evaluation, Evaluators, Loaded, Native, RegisterError};
use adapter_wasm::{Module, Wasmi, bundle};
use vigy_core::{Limits, Vigy};
use vigy_lisp::HostFn;

/// What runs programs. Whichever it is, a program with the same inputs leaves the same records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Engine {
    /// The lisp machine of this process
    #[default]
    Native,
    /// As a wasm module, in wasmi
    Wasmi,
    /// As a wasm module, in wasm3; only in builds with the feature `wasm3`
    Wasm3,
}

/// An engine that this build does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this build has no wasm3: make one with `cargo build --release --features wasm3` (it takes a C compiler and libclang)")]
pub struct NoWasm3;

impl Engine {
    /// For [`adapter_tokio::Builder::evaluators`].
    ///
    /// # Errors
    /// [`NoWasm3`], in builds without the feature `wasm3`.
    pub fn evaluators(self) -> Result<Arc<dyn Evaluators>, NoWasm3> {
        match self {
            Self::Native => Ok(Arc::new(Native)),
            Self::Wasmi => Ok(Arc::new(Modules(Wasmi::default()))),
            #[cfg(feature = "wasm3")]
            Self::Wasm3 => Ok(Arc::new(Modules(adapter_wasm::Wasm3))),
            #[cfg(not(feature = "wasm3"))]
            Self::Wasm3 => Err(NoWasm3),
        }
    }
}

/// Makes a module of every program, and runs that.
struct Modules<E>(E);

impl<E> Evaluators for Modules<E>
where
    E: adapter_wasm::Engine<Code: Send + Sync, Instance: Send> + Clone + Send + Sync + 'static,
{
    fn load(&self, vigy: &Vigy, operations: &[HostFn]) -> Result<Arc<dyn Loaded>, RegisterError> {
        let image = vigy_core::lisp::compile(&vigy.program, operations).map_err(RegisterError::Program)?;
        let refused = |error: &dyn std::fmt::Display| RegisterError::Refused(error.to_string());
        let module = bundle(&image).map_err(|error| refused(&error))?;
        // The module is our own, and the runtime asks the host whether what it may ask is granted, before it runs.
        let module = Module::new(self.0.clone(), &module, |_| Ok(())).map_err(|error| refused(&error))?;
        Ok(Arc::new(Bundled(module)))
    }
}

struct Bundled<E: adapter_wasm::Engine>(Module<E>);

impl<E> Loaded for Bundled<E>
where
    E: adapter_wasm::Engine<Code: Send + Sync, Instance: Send> + Send + Sync + 'static,
{
    fn hash(&self) -> [u8; 32] {
        self.0.program()
    }

    fn operations(&self) -> Vec<&str> {
        self.0.operations().iter().map(String::as_str).collect()
    }

    /// A module brings its own memory.
    fn words(&self, _: &Limits) -> usize {
        0
    }

    fn evaluation<'m>(&'m self, limits: &Limits, _: &'m mut [u64]) -> Result<Evaluation<'m>, String> {
        let evaluation = self.0.evaluation(limits).map_err(|error| error.to_string())?;
        Ok(Evaluation::Other(Box::new(evaluation)))
    }
}
