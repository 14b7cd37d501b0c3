//! The guest as its linker left it: functions, data, and where they refer to each other.
//!
//! The guest is linked with `--emit-relocs`, so beside code and data it carries a table of symbols and a list of relocations: the
//! places that hold the number or address of a symbol. That is who refers to whom, exactly, and where to write other numbers.
//! The format: <https://github.com/WebAssembly/tool-conventions/blob/main/Linking.md>. The build script reads the guest with this too.

use std::collections::HashMap;
use std::ops::Range;

use wasmparser::{
    BinaryReader, BinaryReaderError, ConstExpr, DataKind, ElementItems, ElementKind, FromReader, KnownCustom, Linking,
    LinkingSectionReader, MemoryType, Operator, Parser, Payload, RelocationEntry, RelocationType, SectionLimited, SymbolFlags, SymbolInfo,
};

/// The guest is not what its bundler expects.
#[derive(Debug)]
pub(crate) struct Unexpected(pub(crate) String);

impl From<BinaryReaderError> for Unexpected {
    fn from(error: BinaryReaderError) -> Self {
        Self(error.to_string())
    }
}

fn unexpected<T>(what: &str) -> Result<T, Unexpected> {
    Err(Unexpected(what.to_owned()))
}

fn all<'g, T: FromReader<'g>>(section: SectionLimited<'g, T>) -> Result<Vec<T>, BinaryReaderError> {
    section.into_iter().collect()
}

/// What a relocation refers to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Symbol {
    /// A function, by its number.
    Function(u32),
    /// Data, from one address to another.
    Data { start: u32, end: u32 },
    /// What every module keeps: a global, the table of functions.
    Fixed,
}

/// A place that holds the number or address of a symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relocation {
    /// Where: in the function's body, or the address in data.
    pub(crate) at: u32,
    pub(crate) kind: RelocationType,
    pub(crate) symbol: Symbol,
}

#[derive(Debug)]
pub(crate) struct Function<'g> {
    pub(crate) signature: u32,
    pub(crate) body: &'g [u8],
    pub(crate) relocations: Vec<Relocation>,
}

/// Bytes that lie in memory when an instance begins.
#[derive(Debug)]
pub(crate) struct Segment<'g> {
    pub(crate) address: u32,
    pub(crate) bytes: &'g [u8],
}

#[derive(Debug)]
pub(crate) struct Guest<'g> {
    pub(crate) types: &'g [u8],
    pub(crate) globals: &'g [u8],
    pub(crate) memory: MemoryType,
    pub(crate) functions: Vec<Function<'g>>,
    pub(crate) segments: Vec<Segment<'g>>,
    /// The relocations in data, by address.
    relocations: Vec<Relocation>,
    names: HashMap<&'g str, Symbol>,
}

/// What is found in the sections, before it is put together.
#[derive(Default)]
struct Sections<'g> {
    types: &'g [u8],
    globals: &'g [u8],
    memory: Option<MemoryType>,
    signatures: Vec<u32>,
    /// The functions of the table, by their places in it.
    table: HashMap<u32, u32>,
    /// Where each body begins in the section, and the body.
    bodies: Vec<(u32, &'g [u8])>,
    /// Where each segment's bytes begin in the section, and the segment.
    segments: Vec<(u32, Segment<'g>)>,
    symbols: Vec<Symbol>,
    names: HashMap<&'g str, Symbol>,
    in_code: Vec<RelocationEntry>,
    in_data: Vec<RelocationEntry>,
}

impl<'g> Guest<'g> {
    /// Reads the guest, and checks every relocation: what stands there is what its symbol says.
    pub(crate) fn of(bytes: &'g [u8]) -> Result<Self, Unexpected> {
        let mut sections = Sections::default();
        let mut code = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(_) => return unexpected("it imports something"),
                Payload::TypeSection(section) => sections.types = &bytes[section.range()],
                Payload::GlobalSection(section) => sections.globals = &bytes[section.range()],
                Payload::FunctionSection(section) => sections.signatures = all(section)?,
                Payload::MemorySection(section) => sections.memory = section.into_iter().next().transpose()?,
                Payload::ElementSection(section) => {
                    for element in section {
                        let element = element?;
                        let (ElementKind::Active { offset_expr, .. }, ElementItems::Functions(items)) = (element.kind, element.items)
                        else {
                            return unexpected("its table of functions is not filled from the start");
                        };
                        for (place, function) in (constant(&offset_expr)?..).zip(items) {
                            sections.table.insert(place, function?);
                        }
                    }
                }
                Payload::CodeSectionStart { range, .. } => code = range.start,
                Payload::CodeSectionEntry(body) => sections.bodies.push(((body.range().start - code) as u32, body.as_bytes())),
                Payload::DataSection(section) => {
                    let start = section.range().start;
                    for data in section {
                        let data = data?;
                        let DataKind::Active { offset_expr, .. } = data.kind else { return unexpected("it has passive data") };
                        let segment = Segment { address: constant(&offset_expr)?, bytes: data.data };
                        sections.segments.push(((data.range.end - data.data.len() - start) as u32, segment));
                    }
                }
                Payload::StartSection { .. } => return unexpected("it has a start function"),
                Payload::CustomSection(section) => match (section.name(), section.as_known()) {
                    ("linking", _) => sections.linking(BinaryReader::new(section.data(), section.data_offset()))?,
                    ("reloc.CODE", KnownCustom::Reloc(relocations)) => sections.in_code = all(relocations.entries())?,
                    ("reloc.DATA", KnownCustom::Reloc(relocations)) => sections.in_data = all(relocations.entries())?,
                    _ => {}
                },
                _ => {}
            }
        }
        sections.together()
    }

    /// The symbol of that name.
    pub(crate) fn symbol(&self, name: &str) -> Result<Symbol, Unexpected> {
        self.names.get(name).copied().ok_or_else(|| Unexpected(format!("it has no symbol `{name}`")))
    }

    /// Addresses of the data of that name.
    pub(crate) fn data(&self, name: &str) -> Result<Range<u32>, Unexpected> {
        match self.symbol(name)? {
            Symbol::Data { start, end } => Ok(start..end),
            _ => unexpected("a name stands for something else than data"),
        }
    }

    /// The relocations in the data between two addresses.
    pub(crate) fn relocations(&self, addresses: Range<u32>) -> &[Relocation] {
        let before = |address| self.relocations.partition_point(|relocation| relocation.at < address);
        &self.relocations[before(addresses.start)..before(addresses.end)]
    }
}

impl<'g> Sections<'g> {
    fn linking(&mut self, reader: BinaryReader<'g>) -> Result<(), Unexpected> {
        for subsection in LinkingSectionReader::new(reader)?.subsections() {
            match subsection? {
                Linking::InitFuncs(functions) if functions.count() > 0 => return unexpected("something in it wants to run first"),
                Linking::SymbolTable(symbols) => {
                    for symbol in symbols {
                        self.symbol(symbol?)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn symbol(&mut self, info: SymbolInfo<'g>) -> Result<(), Unexpected> {
        let (symbol, name, flags) = match info {
            SymbolInfo::Func { index, name, flags } => (Symbol::Function(index), name, flags),
            SymbolInfo::Data { name, symbol: Some(data), flags } => {
                let Some((_, segment)) = self.segments.get(data.index as usize) else { return unexpected("a symbol lies in no data") };
                let start = segment.address + data.offset;
                (Symbol::Data { start, end: start + data.size }, Some(name), flags)
            }
            _ => (Symbol::Fixed, None, SymbolFlags::empty()),
        };
        self.symbols.push(symbol);
        if let (Some(name), false) = (name, flags.contains(SymbolFlags::BINDING_LOCAL)) {
            self.names.insert(name, symbol);
        }
        Ok(())
    }

    fn together(self) -> Result<Guest<'g>, Unexpected> {
        let Some(memory) = self.memory else { return unexpected("it has no memory") };
        if self.in_code.is_empty() || self.signatures.len() != self.bodies.len() {
            return unexpected("it has no relocations, or not as many functions as bodies");
        }
        let functions = self.signatures.iter().zip(&self.bodies);
        let functions = functions.map(|(&signature, &(_, body))| Function { signature, body, relocations: Vec::new() });
        let mut functions: Vec<_> = functions.collect();
        for entry in &self.in_code {
            let owner = self.bodies.partition_point(|(start, _)| *start <= entry.offset);
            let Some(owner) = owner.checked_sub(1) else { return unexpected("a relocation lies in no function") };
            let (start, body) = self.bodies[owner];
            let relocation = self.relocation(entry, entry.offset - start, body, entry.offset - start)?;
            functions[owner].relocations.push(relocation);
        }
        functions.iter_mut().for_each(|function| function.relocations.sort_by_key(|relocation| relocation.at));
        let mut relocations = Vec::new();
        for entry in &self.in_data {
            let owner = self.segments.partition_point(|(start, _)| *start <= entry.offset);
            let Some(owner) = owner.checked_sub(1) else { return unexpected("a relocation lies in no data") };
            let (start, Segment { address, bytes }) = &self.segments[owner];
            relocations.push(self.relocation(entry, address + entry.offset - start, bytes, entry.offset - start)?);
        }
        relocations.sort_by_key(|relocation| relocation.at);
        let segments = self.segments.into_iter().map(|(_, segment)| segment).collect();
        Ok(Guest { types: self.types, globals: self.globals, memory, functions, segments, relocations, names: self.names })
    }

    /// A relocation, when what stands at `offset` of `bytes` is what its symbol says.
    fn relocation(&self, entry: &RelocationEntry, at: u32, bytes: &[u8], offset: u32) -> Result<Relocation, Unexpected> {
        use RelocationType::{
            FunctionIndexLeb, GlobalIndexLeb, MemoryAddrI32, MemoryAddrLeb, MemoryAddrSleb, TableIndexI32, TableIndexSleb, TableNumberLeb,
            TypeIndexLeb,
        };
        let symbol = match entry.ty {
            // Its index is that of a type, which every module keeps.
            TypeIndexLeb => Some(Symbol::Fixed),
            _ => self.symbols.get(entry.index as usize).copied(),
        };
        let found = bytes.get(offset as usize..).and_then(|bytes| bytes.get(..entry.ty.extent()));
        let (Some(symbol), Some(found)) = (symbol, found) else { return unexpected("a relocation leads to nothing") };
        let found = match entry.ty {
            TableIndexI32 | MemoryAddrI32 => u32::from_le_bytes([found[0], found[1], found[2], found[3]]),
            _ => number(found),
        };
        let right = match (entry.ty, symbol) {
            (FunctionIndexLeb, Symbol::Function(function)) => found == function,
            (TableIndexSleb | TableIndexI32, Symbol::Function(function)) => self.table.get(&found) == Some(&function),
            (MemoryAddrLeb | MemoryAddrSleb | MemoryAddrI32, Symbol::Data { start, .. }) => {
                found == start.wrapping_add(entry.addend as u32)
            }
            (TypeIndexLeb | GlobalIndexLeb | TableNumberLeb, Symbol::Fixed) => true,
            _ => false,
        };
        if right { Ok(Relocation { at, kind: entry.ty, symbol }) } else { unexpected("a relocation does not agree with its symbol") }
    }
}

/// The number in the five bytes that a linker leaves for it.
pub(crate) fn number(leb128: &[u8]) -> u32 {
    leb128.iter().rev().fold(0, |number, byte| number << 7 | u32::from(byte & 0x7f))
}

/// The value of an `i32.const` expression.
fn constant(expression: &ConstExpr<'_>) -> Result<u32, Unexpected> {
    match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => Ok(value as u32),
        _ => unexpected("an address is no constant"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GUEST;

    #[test]
    fn the_guest_refers_to_what_it_says() {
        let guest = Guest::of(GUEST).unwrap();
        assert!(matches!(guest.symbol("start"), Ok(Symbol::Function(_))));
        assert!(guest.symbol("begin").is_err());
        for table in ["VIGY_BUILTINS", "VIGY_VERBS"] {
            let [pointer] = guest.relocations(guest.data(table).unwrap()) else { panic!("{table} is a pointer") };
            let Symbol::Data { start, end } = pointer.symbol else { panic!("{table} points to data") };
            let all_are_functions = guest.relocations(start..end).iter().all(|entry| matches!(entry.symbol, Symbol::Function(_)));
            assert!(all_are_functions && end > start, "{table}");
        }
    }

    #[test]
    fn a_guest_that_is_cut_short_or_changed_is_unexpected() {
        for len in (0..GUEST.len()).step_by(9973) {
            assert!(Guest::of(&GUEST[..len]).is_err(), "cut to {len} bytes");
        }
        let guest = Guest::of(GUEST).unwrap();
        let function = guest.functions.iter().find(|function| !function.relocations.is_empty()).unwrap();
        let place = function.body.as_ptr() as usize - GUEST.as_ptr() as usize + function.relocations[0].at as usize;
        let mut changed = GUEST.to_vec();
        changed[place] ^= 1;
        assert_eq!(Guest::of(&changed).unwrap_err().0, "a relocation does not agree with its symbol");
    }
}
