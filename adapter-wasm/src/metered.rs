//! A module that counts its own fuel, for an engine that counts none.
//!
//! At the head of every function and of every loop it looks at a counter: at zero it traps, else it takes one. Code without calls and
//! loops ends by itself, so this bounds every run. The counter is a global behind those that the module has, so the module's own
//! code, which was validated before, cannot name it.

use std::ops::Range;

use wasm_encoder::{CodeSection, Encode as _, RawSection, SectionId};
use wasmparser::{BinaryReaderError, FunctionBody, MemoryType, Operator, Parser, Payload, SectionLimited};

use crate::module::PAGE;
use crate::{Bounds, EngineError};

/// The export under which the host finds the counter.
pub(crate) const FUEL: &str = "vigy.fuel";

/// Units of [`Bounds::fuel`] that a call or a round of a loop takes: either is some instructions.
const FUEL_PER_ROUND: u64 = 8;

/// Pages that 32-bit addresses reach.
const MAX_PAGES: u64 = 1 << 16;

/// A checked module with a counter. What an instance of it may use is written into its bytes.
#[derive(Clone, Debug)]
pub struct Metered {
    module: Vec<u8>,
    memory: MemoryType,
    /// Where the memory's maximum lies.
    maximum: Range<usize>,
    /// Where the counter's first value lies.
    fuel: Range<usize>,
}

impl From<BinaryReaderError> for EngineError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Trap(error.to_string())
    }
}

impl Metered {
    /// The module, before it has bounds.
    pub(crate) fn template(&self) -> &[u8] {
        &self.module
    }

    /// Writes a counter into a module that [`crate::Module`] has checked. Linear in the module.
    ///
    /// # Errors
    /// [`EngineError::Trap`], when the module exports something under the counter's name.
    pub(crate) fn new(module: &[u8]) -> Result<Self, EngineError> {
        let mut made = wasm_encoder::Module::new();
        let (mut memory, mut maximum, mut fuel, mut counter) = (None, 0..0, 0..0, 0);
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
                    data.extend(padded::<5>(MAX_PAGES));
                    made.section(&RawSection { id: SectionId::Memory as u8, data: &data });
                    let end = made.len();
                    (memory, maximum) = (Some(declared), end - 5..end);
                }
                Payload::GlobalSection(globals) => {
                    counter = globals.count();
                    fuel = add_counter(&mut made, counter, entries(module, globals));
                }
                Payload::ExportSection(exports) => {
                    if fuel.is_empty() {
                        fuel = add_counter(&mut made, 0, &[]);
                    }
                    for export in exports.clone() {
                        if export?.name == FUEL {
                            return Err(EngineError::Trap(format!("it has an export `{FUEL}`")));
                        }
                    }
                    let mut data = Vec::new();
                    (exports.count() + 1).encode(&mut data);
                    data.extend_from_slice(entries(module, exports));
                    FUEL.encode(&mut data);
                    wasm_encoder::ExportKind::Global.encode(&mut data);
                    counter.encode(&mut data);
                    made.section(&RawSection { id: SectionId::Export as u8, data: &data });
                }
                Payload::CodeSectionStart { count, .. } => functions = *count,
                Payload::CodeSectionEntry(body) => {
                    code.raw(&counting(module, body, counter)?);
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
        Ok(Self { module: made.finish(), memory, maximum, fuel })
    }

    /// The module, for an instance with these bounds.
    ///
    /// # Errors
    /// [`EngineError::Trap`], when the module begins with more memory than that.
    pub(crate) fn bounded(&self, bounds: Bounds) -> Result<Vec<u8>, EngineError> {
        let pages = (bounds.memory as u64 / PAGE).min(self.memory.maximum.unwrap_or(MAX_PAGES)).min(MAX_PAGES);
        if self.memory.initial > pages {
            return Err(EngineError::Trap(format!("it begins with {} pages of memory, more than {pages}", self.memory.initial)));
        }
        let mut module = self.module.clone();
        module[self.maximum.clone()].copy_from_slice(&padded::<5>(pages));
        // Below 2^63, so that the sign is right.
        module[self.fuel.clone()].copy_from_slice(&padded::<10>(bounds.fuel / FUEL_PER_ROUND));
        Ok(module)
    }
}

/// The bytes of a section's entries, without their count.
fn entries<'m, T>(module: &'m [u8], section: &SectionLimited<'m, T>) -> &'m [u8] {
    &module[section.original_position()..section.range().end]
}

/// Adds the globals of the module and the counter, and says where its first value lies.
fn add_counter(made: &mut wasm_encoder::Module, count: u32, globals: &[u8]) -> Range<usize> {
    const I64_MUTABLE: [u8; 2] = [0x7e, 1];
    const I64_CONST: u8 = 0x42;
    const END: u8 = 0x0b;
    let mut data = Vec::new();
    (count + 1).encode(&mut data);
    data.extend_from_slice(globals);
    data.extend(I64_MUTABLE);
    data.push(I64_CONST);
    data.extend(padded::<10>(0));
    data.push(END);
    made.section(&RawSection { id: SectionId::Global as u8, data: &data });
    let end = made.len() - 1;
    end - 10..end
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

/// A number as LEB128 of always the same length, so that another can take its place.
fn padded<const LEN: usize>(number: u64) -> [u8; LEN] {
    std::array::from_fn(|index| {
        let more = if index + 1 < LEN { 0x80 } else { 0 };
        (number >> (7 * index)) as u8 & 0x7f | more
    })
}
