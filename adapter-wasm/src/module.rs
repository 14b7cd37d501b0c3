//! A module, checked before anything of it runs.

use std::sync::Arc;

use vigy_core::Limits;
use wasmparser::{ExternalKind, FuncType, Parser, Payload, Validator, WasmFeatures, types::EntityType, types::Types};

use crate::{Bounds, Engine, EngineError, Evaluation, Manifest, Metered};

/// Bytes of memory that a module may declare to begin with: 16 MiB.
pub const MAX_DECLARED_MEMORY: u64 = 16 << 20;

/// Bytes of a page of wasm memory.
pub(crate) const PAGE: u64 = 65536;

/// Why a module is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ModuleError {
    /// It is no valid module.
    #[error("no valid wasm module: {0}")]
    Invalid(String),
    /// It imports something. A module gets nothing but answers.
    #[error("the module imports `{module}` `{name}`: a vigy module imports nothing")]
    Imports {
        /// From which module.
        module: String,
        /// Which item.
        name: String,
    },
    /// It begins with more memory than [`MAX_DECLARED_MEMORY`].
    #[error("the module declares {declared} bytes of memory, more than {MAX_DECLARED_MEMORY}")]
    Memory {
        /// How much it declares.
        declared: u64,
    },
    /// It does not export what the host calls.
    #[error("the module has no export `{0}` of the right type")]
    Export(&'static str),
    /// It would run before its first call.
    #[error("the module has a start function: a vigy module runs only when it is called")]
    StartFunction,
    /// It does not say which program it is.
    #[error("the module has no section `vigy` of this version: make it with `vigy build`")]
    Manifest,
    /// It may ask something that was not granted.
    #[error("the module asks for `{operation}`, which needs the capability `{capability}`: it was not granted")]
    NotGranted {
        /// The operation, as it declares it.
        operation: String,
        /// What would have to be granted.
        capability: String,
    },
    /// The engine cannot run it.
    #[error("the engine refuses the module: {0}")]
    Engine(#[from] EngineError),
}

impl From<wasmparser::BinaryReaderError> for ModuleError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// A module that was checked and compiled, once, for any number of runs.
#[derive(Debug)]
pub struct Module<E: Engine> {
    engine: E,
    code: E::Code,
    program: [u8; 32],
    operations: Arc<[String]>,
}

impl<E: Engine> Module<E> {
    /// Checks a module and compiles it. `granted` is called with each operation that it may ask, and says which capability is missing,
    /// if one is. Linear in the module.
    ///
    /// # Errors
    /// [`ModuleError`]. Nothing of the module has run.
    pub fn new(engine: E, bytes: &[u8], granted: impl Fn(&str) -> Result<(), String>) -> Result<Self, ModuleError> {
        let Manifest { program, operations } = check(bytes)?;
        for operation in &operations {
            granted(operation).map_err(|capability| ModuleError::NotGranted { operation: operation.clone(), capability })?;
        }
        let code = engine.compile(&Metered::new(bytes)?)?;
        Ok(Self { engine, code, program, operations: operations.into() })
    }

    /// BLAKE3 of its program's image, as it says: [`vigy_core::Spec::program`].
    #[must_use]
    pub const fn program(&self) -> [u8; 32] {
        self.program
    }

    /// The operations it may ask.
    #[must_use]
    pub fn operations(&self) -> &[String] {
        &self.operations
    }

    /// One run, which has not begun, in an instance of its own: nothing stays in the module from run to run.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn evaluation(&self, limits: &Limits) -> Result<Evaluation<E::Instance>, EngineError> {
        Ok(Evaluation::new(self.engine.instantiate(&self.code, Bounds::of(limits))?, Arc::clone(&self.operations)))
    }
}

impl Manifest {
    /// What a module says about itself, without running any of it.
    ///
    /// # Errors
    /// [`ModuleError`], for whatever is wrong with the module.
    pub fn of(module: &[u8]) -> Result<Self, ModuleError> {
        check(module)
    }
}

/// What a module may be made of: what rustc makes of the guest, and no more.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2 - WasmFeatures::SIMD
}

fn check(bytes: &[u8]) -> Result<Manifest, ModuleError> {
    let mut manifest = None;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(imports) => {
                if let Some(import) = imports.into_iter().next().transpose()? {
                    return Err(ModuleError::Imports { module: import.module.to_owned(), name: import.name.to_owned() });
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let declared = memory?.initial.saturating_mul(PAGE);
                    if declared > MAX_DECLARED_MEMORY {
                        return Err(ModuleError::Memory { declared });
                    }
                }
            }
            Payload::StartSection { .. } => return Err(ModuleError::StartFunction),
            Payload::CustomSection(section) if section.name() == Manifest::SECTION => manifest = Manifest::from_bytes(section.data()),
            _ => {}
        }
    }
    let types = Validator::new_with_features(features()).validate_all(bytes)?;
    check_exports(bytes, &types)?;
    manifest.ok_or(ModuleError::Manifest)
}

fn check_exports(bytes: &[u8], types: &Types) -> Result<(), ModuleError> {
    use wasmparser::ValType::{I32, I64};
    let functions = [("alloc", FuncType::new([I32], [I32])), ("start", FuncType::new([], [I64])), ("resume", FuncType::new([], [I64]))];
    let mut missing: Vec<_> = functions.iter().map(|(name, _)| *name).chain(["memory"]).collect();
    for payload in Parser::new(0).parse_all(bytes) {
        let Payload::ExportSection(exports) = payload? else { continue };
        for export in exports {
            let export = export?;
            let right = match (export.kind, types.as_ref().entity_type_from_export(&export)) {
                (ExternalKind::Memory, _) => export.name == "memory",
                (ExternalKind::Func, Some(EntityType::Func(id))) => {
                    functions.iter().any(|(name, wanted)| *name == export.name && types[id].unwrap_func() == wanted)
                }
                _ => false,
            };
            if right {
                missing.retain(|name| *name != export.name);
            }
        }
    }
    missing.first().map_or(Ok(()), |name| Err(ModuleError::Export(name)))
}
