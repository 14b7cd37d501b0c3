//! A module that counts its own fuel, so that it runs as long in every engine, also in one that counts none.
//!
//! At the head of every function and of every loop it looks at a counter: at zero it traps, else it takes one. Code without calls and
//! loops ends by itself, so this bounds every run: by [`Bounds::rounds`] times the longest function. The counter is a global behind
//! those that the module has, so the module's own code, which was validated before, cannot name it.

use std::ops::Range;

use wasm_encoder::{CodeSection, Encode as _, RawSection, SectionId};
use wasmparser::{BinaryReaderError, FunctionBody, MemoryType, Operator, Parser, Payload, SectionLimited};

use crate::module::PAGE;
use crate::{Bounds, EngineError};

/// Pages that 32-bit addresses reach.
const MAX_PAGES: u64 = 1 << 16;

/// A checked module with a counter, for an engine to compile.
#[derive(Clone, Debug)]
pub struct Metered {
    bytes: Vec<u8>,
    memory: MemoryType,
    /// Where the memory's maximum lies.
    maximum: Range<usize>,
}

impl From<BinaryReaderError> for EngineError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Trap(error.to_string())
    }
}

impl Metered {
    /// The export where an instance's counter is: a mutable `i64`, zero at first. [`crate::Engine::instantiate`] MUST set it.
    pub const ROUNDS: &str = "vigy.rounds";

    /// The module.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The module with the maximum of its memory lowered to these bounds, for an engine that knows no other limit.
    ///
    /// # Errors
    /// [`EngineError::Trap`], when it begins with more memory than that.
    pub fn with_memory_of(&self, bounds: Bounds) -> Result<Vec<u8>, EngineError> {
        let pages = (bounds.memory as u64 / PAGE).min(self.memory.maximum.unwrap_or(MAX_PAGES));
        if self.memory.initial > pages {
            return Err(EngineError::Trap(format!("it begins with {} pages of memory, more than {pages}", self.memory.initial)));
        }
        let mut bytes = self.bytes.clone();
        bytes[self.maximum.clone()].copy_from_slice(&padded(pages));
        Ok(bytes)
    }

    /// Writes a counter into a module that [`crate::Module`] has checked. Linear in the module.
    ///
    /// # Errors
    /// [`EngineError::Trap`], when the module exports something under the counter's name.
    pub(crate) fn new(module: &[u8]) -> Result<Self, EngineError> {
        let mut made = wasm_encoder::Module::new();
        let (mut memory, mut maximum, mut counter) = (None, 0..0, None);
        let (mut code, mut functions) = (CodeSection::new(), 0);
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            match &payload {
                Payload::MemorySection(memories) => {
                    let Some(declared) = memories.clone().into_iter().next().transpose()? else { continue };
                    // One memory, with a maximum.
                    let mut data = vec![1, 1];
                    // Validated: pages are fewer than 2^32.
                    (declared.initial as u32).encode(&mut data);
                    data.extend(padded(declared.maximum.unwrap_or(MAX_PAGES)));
                    made.section(&RawSection { id: SectionId::Memory as u8, data: &data });
                    let end = made.len();
                    (memory, maximum) = (Some(declared), end - PADDED..end);
                }
                Payload::GlobalSection(globals) => {
                    counter = Some(add_counter(&mut made, globals.count(), entries(module, globals)));
                }
                Payload::ExportSection(exports) => {
                    let counter = *counter.get_or_insert_with(|| add_counter(&mut made, 0, &[]));
                    for export in exports.clone() {
                        if export?.name == Self::ROUNDS {
                            return Err(EngineError::Trap(format!("it has an export `{}`", Self::ROUNDS)));
                        }
                    }
                    let mut data = Vec::new();
                    (exports.count() + 1).encode(&mut data);
                    data.extend_from_slice(entries(module, exports));
                    Self::ROUNDS.encode(&mut data);
                    wasm_encoder::ExportKind::Global.encode(&mut data);
                    counter.encode(&mut data);
                    made.section(&RawSection { id: SectionId::Export as u8, data: &data });
                }
                Payload::CodeSectionStart { count, .. } => functions = *count,
                Payload::CodeSectionEntry(body) => {
                    // The exports, which every module has, lie before its code.
                    code.raw(&counting(module, body, counter.unwrap_or_default())?);
                    if code.len() == functions {
                        made.section(&code);
                    }
                }
                Payload::CustomSection(_) => {}
                _ => {
                    if let Some((id, range)) = payload.as_section() {
                        made.section(&RawSection { id, data: &module[range] });
                    }
                }
            }
        }
        let memory = memory.ok_or_else(|| EngineError::Trap("it has no memory".to_owned()))?;
        Ok(Self { bytes: made.finish(), memory, maximum })
    }
}

/// The bytes of a section's entries, without their count.
fn entries<'m, T>(module: &'m [u8], section: &SectionLimited<'m, T>) -> &'m [u8] {
    &module[section.original_position()..section.range().end]
}

/// Adds the globals of the module and the counter, and gives the counter's index.
fn add_counter(made: &mut wasm_encoder::Module, count: u32, globals: &[u8]) -> u32 {
    /// A mutable i64, `i64.const 0`, `end`.
    const COUNTER: [u8; 5] = [0x7e, 1, 0x42, 0, 0x0b];
    let mut data = Vec::new();
    (count + 1).encode(&mut data);
    data.extend_from_slice(globals);
    data.extend(COUNTER);
    made.section(&RawSection { id: SectionId::Global as u8, data: &data });
    count
}

/// A function that looks at the counter where it begins and where its loops begin.
fn counting(module: &[u8], body: &FunctionBody<'_>, counter: u32) -> Result<Vec<u8>, BinaryReaderError> {
    let mut look = Vec::new();
    wasm_encoder::InstructionSink::new(&mut look)
        .global_get(counter)
        .i64_eqz()
        .if_(wasm_encoder::BlockType::Empty)
        .unreachable()
        .end()
        .global_get(counter)
        .i64_const(1)
        .i64_sub()
        .global_set(counter);
    let mut operators = body.get_operators_reader()?;
    let (mut made, mut copied) = (Vec::with_capacity(body.as_bytes().len() + look.len()), body.range().start);
    let mut head = true;
    while !operators.eof() {
        if head {
            made.extend_from_slice(&module[copied..operators.original_position()]);
            made.extend_from_slice(&look);
            copied = operators.original_position();
        }
        head = matches!(operators.read()?, Operator::Loop { .. });
    }
    made.extend_from_slice(&module[copied..body.range().end]);
    Ok(made)
}

/// Bytes of a number of pages that another can take the place of.
const PADDED: usize = 5;

/// A number of pages as LEB128 of always the same length.
fn padded(pages: u64) -> [u8; PADDED] {
    std::array::from_fn(|index| {
        let more = if index + 1 < PADDED { 0x80 } else { 0 };
        (pages >> (7 * index)) as u8 & 0x7f | more
    })
}
