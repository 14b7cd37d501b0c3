//! A program's image, put into the guest.
//!
//! ```text
//! guest      │ types … memory (n pages)     exports  code  data           │
//! module     │ types … memory (n + k pages) exports  code  data + 2 more  │ section "vigy"
//!                                                          │
//!                           the image at the end of page n ┘ its address and length, in the slot that the guest exports
//! ```

use std::borrow::Cow;
use std::collections::HashSet;

use vigy_core::lisp::operations;
use vigy_lisp::{BUILTINS, Image};
use wasm_encoder::{CodeSection, ConstExpr, CustomSection, DataSection, MemorySection, MemoryType, RawSection};
use wasmparser::{BinaryReaderError, DataKind, ElementKind, ExternalKind, MemoryType as ParsedMemory, Operator, Parser, Payload};

use crate::prune::Calls;
use crate::{GUEST, Manifest};

/// The exported static that tells the guest where its program lies.
const SLOT: &str = "VIGY_PROGRAM";

/// The exported table of all builtins.
const TABLE: &str = "VIGY_BUILTINS";

/// The body of a function that nobody calls: no locals, `unreachable`, `end`.
const TRAP: &[u8] = &[0, 0, 0x0b];

const PAGE: u64 = 65536;

/// Why a program could not be put into the guest.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The program does not fit into a module.
    #[error("a program of {0} bytes is too large for a module")]
    TooLarge(usize),
    /// The guest that this crate carries is not what the bundler knows: a bug.
    #[error("the guest is not what its bundler expects: {0}")]
    Guest(String),
}

impl From<BinaryReaderError> for BundleError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Guest(error.to_string())
    }
}

fn unexpected<T>(what: &str) -> Result<T, BundleError> {
    Err(BundleError::Guest(what.to_owned()))
}

/// A module that runs this program, without the parts of the guest that it cannot reach. Linear in the sizes of guest and image;
/// needs no toolchain.
///
/// # Errors
/// [`BundleError`].
pub fn bundle(image: &Image) -> Result<Vec<u8>, BundleError> {
    let bytes = image.as_bytes();
    let layout = Layout::of(GUEST)?;
    let Layout { memory, slot, .. } = layout;
    let reachable = layout.reachable(image)?;
    let too_large = || BundleError::TooLarge(bytes.len());
    let len = u32::try_from(bytes.len()).map_err(|_| too_large())?;
    let pages = memory.initial + u64::from(len).div_ceil(PAGE);
    // Pages begin at multiples of 65,536, so the words of the image are aligned.
    let address = u32::try_from(memory.initial * PAGE).map_err(|_| too_large())?;
    u32::try_from(pages * PAGE).map_err(|_| too_large())?;

    let mut module = wasm_encoder::Module::new();
    let (mut code, mut function) = (CodeSection::new(), 0);
    for payload in Parser::new(0).parse_all(GUEST) {
        let payload = payload?;
        match &payload {
            Payload::MemorySection(_) => {
                let mut memories = MemorySection::new();
                let memory = MemoryType { minimum: pages, maximum: memory.maximum, memory64: false, shared: false, page_size_log2: None };
                module.section(memories.memory(memory));
            }
            Payload::CodeSectionStart { .. } => {}
            Payload::CodeSectionEntry(body) => {
                code.raw(if reachable.contains(&function) { body.as_bytes() } else { TRAP });
                function += 1;
            }
            Payload::DataCountSection { .. } => return unexpected("it has passive data"),
            Payload::DataSection(segments) => {
                module.section(&code);
                let mut data = DataSection::new();
                for segment in segments.clone() {
                    let segment = segment?;
                    let DataKind::Active { offset_expr, .. } = segment.kind else { return unexpected("it has passive data") };
                    data.active(0, &ConstExpr::i32_const(constant(&offset_expr)?), segment.data.iter().copied());
                }
                data.active(0, &ConstExpr::i32_const(address as i32), bytes.iter().copied());
                let place = [address.to_le_bytes(), len.to_le_bytes()].concat();
                data.active(0, &ConstExpr::i32_const(slot as i32), place);
                module.section(&data);
            }
            Payload::CustomSection(_) => {}
            _ => {
                if let Some((id, range)) = payload.as_section() {
                    module.section(&RawSection { id, data: &GUEST[range] });
                }
            }
        }
    }
    let operations = operations(image.program()).map(str::to_owned).collect();
    let manifest = Manifest { program: image.hash(), operations };
    let manifest = manifest.to_bytes().map_err(|_| too_large())?;
    module.section(&CustomSection { name: Cow::Borrowed(Manifest::SECTION), data: Cow::Owned(manifest) });
    Ok(module.finish())
}

/// What the bundler must know of the guest.
struct Layout<'g> {
    memory: ParsedMemory,
    /// Address of the slot.
    slot: u32,
    /// The places of the builtins in the table of functions, by their numbers.
    builtins: Vec<u32>,
    calls: Calls<'g>,
}

impl<'g> Layout<'g> {
    fn of(guest: &'g [u8]) -> Result<Self, BundleError> {
        let (mut memory, mut globals, mut calls) = (None, Vec::new(), Calls::default());
        let (mut slot, mut builtins, mut data) = (None, None, Vec::new());
        for payload in Parser::new(0).parse_all(guest) {
            match payload? {
                Payload::MemorySection(section) => memory = section.into_iter().next().transpose()?,
                Payload::GlobalSection(section) => {
                    for global in section {
                        globals.push(constant(&global?.init_expr)?);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        match (export.kind, export.name) {
                            (ExternalKind::Global, SLOT) => slot = globals.get(export.index as usize).copied(),
                            (ExternalKind::Global, TABLE) => builtins = globals.get(export.index as usize).copied(),
                            (ExternalKind::Func, _) => calls.export(export.index),
                            _ => {}
                        }
                    }
                }
                Payload::ElementSection(section) => {
                    for element in section {
                        let element = element?;
                        let ElementKind::Active { offset_expr, .. } = element.kind else { continue };
                        calls.elements(constant(&offset_expr)? as u32, element.items)?;
                    }
                }
                Payload::CodeSectionEntry(body) => calls.body(body),
                Payload::DataSection(section) => {
                    for segment in section {
                        let segment = segment?;
                        let DataKind::Active { offset_expr, .. } = segment.kind else { return unexpected("it has passive data") };
                        data.push((constant(&offset_expr)? as usize, segment.data));
                    }
                }
                _ => {}
            }
        }
        let (Some(memory), Some(slot), Some(builtins)) = (memory, slot, builtins) else {
            return unexpected("it has no memory, no slot for a program, or no table of builtins");
        };
        let table = data.iter().find_map(|(at, bytes)| bytes.get((builtins as usize).checked_sub(*at)?..)?.get(..BUILTINS.len() * 4));
        let Some(table) = table else { return unexpected("its table of builtins is not in its data") };
        let builtins = table.as_chunks().0.iter().map(|place| u32::from_le_bytes(*place)).collect();
        Ok(Self { memory, slot: slot as u32, builtins, calls })
    }

    /// The functions that this program can reach.
    fn reachable(&self, image: &Image) -> Result<HashSet<u32>, BundleError> {
        let used = image.program().builtins().filter_map(|number| self.builtins.get(number as usize).copied());
        Ok(self.calls.reachable(&self.builtins, &used.collect())?)
    }
}

/// The value of an `i32.const` expression.
fn constant(expression: &wasmparser::ConstExpr<'_>) -> Result<i32, BundleError> {
    match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => Ok(value),
        _ => unexpected("an address is no constant"),
    }
}
