//! Links a module of what a program reaches of the guest, and of nothing else.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ElementSection, Elements, Encode, ExportKind, ExportSection, FunctionSection, MemorySection,
    MemoryType, Module, RawSection, RefType, SectionId, TableSection, TableType,
};
use wasmparser::RelocationType;

use crate::guest::{Function, Guest, Relocation, Symbol, Unexpected, number};

/// What the host calls.
const ENTRANCES: [&str; 3] = ["alloc", "start", "resume"];

/// Zeros that are worth another segment: what a segment costs.
const GAP: usize = 8;

/// What a program reaches of the guest.
#[derive(Default)]
pub(crate) struct Reached {
    /// The functions, and their new numbers.
    functions: BTreeMap<u32, u32>,
    /// The functions that are called through the table, and their new places in it.
    pointed: BTreeMap<u32, u32>,
    /// The data.
    data: BTreeSet<(u32, u32)>,
    entrances: Vec<u32>,
}

/// The words of a table of functions, named by a pointer, whose number is not among `used`.
pub(crate) fn unused(guest: &Guest<'_>, pointer: &str, used: &HashSet<u32>) -> Result<Vec<u32>, Unexpected> {
    let [Relocation { symbol: Symbol::Data { start, end }, .. }] = *guest.relocations(guest.data(pointer)?) else {
        return Err(Unexpected(format!("`{pointer}` points to no table")));
    };
    let words = guest.relocations(start..end).iter().map(|relocation| relocation.at);
    Ok(words.filter(|word| !used.contains(&((word - start) / 4))).collect())
}

impl Reached {
    /// From the entrances on, over all references but those in the words `left_out`.
    pub(crate) fn of(guest: &Guest<'_>, left_out: &HashSet<u32>) -> Result<Self, Unexpected> {
        let mut reached = Self::default();
        let mut open = Vec::new();
        for name in ENTRANCES {
            let Symbol::Function(function) = guest.symbol(name)? else { return Err(Unexpected(format!("`{name}` is no function"))) };
            reached.entrances.push(function);
            open.push(Symbol::Function(function));
        }
        while let Some(symbol) = open.pop() {
            let relocations = match symbol {
                Symbol::Function(function) if reached.functions.insert(function, 0).is_none() => {
                    guest.functions.get(function as usize).map(|function| &function.relocations[..])
                }
                Symbol::Data { start, end } if reached.data.insert((start, end)) => Some(guest.relocations(start..end)),
                _ => None,
            };
            for relocation in relocations.unwrap_or_default() {
                let in_data = matches!(symbol, Symbol::Data { .. });
                if in_data && left_out.contains(&relocation.at) {
                    continue;
                }
                if let (RelocationType::TableIndexSleb | RelocationType::TableIndexI32, Symbol::Function(function)) =
                    (relocation.kind, relocation.symbol)
                {
                    reached.pointed.insert(function, 0);
                }
                open.push(relocation.symbol);
            }
        }
        reached.functions.values_mut().zip(0..).for_each(|(new, number)| *new = number);
        // Place 0 of the table is the pointer to nothing.
        reached.pointed.values_mut().zip(1..).for_each(|(new, place)| *new = place);
        Ok(reached)
    }

    /// Everything of a module but its data.
    pub(crate) fn code(&self, guest: &Guest<'_>, memory: MemoryType) -> Module {
        let mut module = Module::new();
        module.section(&RawSection { id: SectionId::Type.into(), data: guest.types });
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        for function in self.functions.keys().filter_map(|number| guest.functions.get(*number as usize)) {
            functions.function(function.signature);
            code.raw(&self.body(function));
        }
        module.section(&functions);
        let places = self.pointed.len() as u64 + 1;
        let (mut tables, mut memories) = (TableSection::new(), MemorySection::new());
        tables.table(TableType { element_type: RefType::FUNCREF, minimum: places, maximum: Some(places), table64: false, shared: false });
        module.section(&tables).section(memories.memory(memory));
        module.section(&RawSection { id: SectionId::Global.into(), data: guest.globals });
        let mut exports = ExportSection::new();
        exports.export("memory", ExportKind::Memory, 0);
        for (name, function) in ENTRANCES.iter().zip(&self.entrances) {
            exports.export(name, ExportKind::Func, self.functions[function]);
        }
        module.section(&exports);
        let mut elements = ElementSection::new();
        let pointed: Vec<u32> = self.pointed.keys().map(|function| self.functions[function]).collect();
        elements.active(None, &ConstExpr::i32_const(1), Elements::Functions(pointed.into()));
        module.section(&elements).section(&code);
        module
    }

    /// A function's body, with the new numbers, each in as few bytes as it takes.
    fn body(&self, function: &Function<'_>) -> Vec<u8> {
        let (mut body, mut at) = (Vec::with_capacity(function.body.len()), 0);
        for relocation in &function.relocations {
            let place = relocation.at as usize..relocation.at as usize + relocation.kind.extent();
            body.extend_from_slice(&function.body[at..place.start]);
            let old = number(&function.body[place.clone()]);
            match (relocation.kind, relocation.symbol) {
                (RelocationType::FunctionIndexLeb, Symbol::Function(function)) => self.functions[&function].encode(&mut body),
                (RelocationType::TableIndexSleb, Symbol::Function(function)) => (self.pointed[&function] as i32).encode(&mut body),
                (RelocationType::MemoryAddrSleb, _) => (old as i32).encode(&mut body),
                _ => old.encode(&mut body),
            }
            at = place.end;
        }
        body.extend_from_slice(&function.body[at..]);
        body
    }

    /// The data, where it lay. Memory begins as zeros, and so do they who are not reached.
    pub(crate) fn data(&self, guest: &Guest<'_>) -> DataSection {
        let mut section = DataSection::new();
        for segment in &guest.segments {
            let end = segment.address + segment.bytes.len() as u32;
            let within = |address: u32| (address - segment.address) as usize;
            let mut bytes = vec![0; segment.bytes.len()];
            for (from, to) in self.data.iter().filter(|(from, to)| segment.address <= *from && *to <= end) {
                bytes[within(*from)..within(*to)].copy_from_slice(&segment.bytes[within(*from)..within(*to)]);
            }
            for relocation in guest.relocations(segment.address..end) {
                if let Symbol::Function(function) = relocation.symbol {
                    let place = self.pointed.get(&function).copied().unwrap_or(0);
                    bytes[within(relocation.at)..][..4].copy_from_slice(&place.to_le_bytes());
                }
            }
            for part in parts(&bytes) {
                let address = ConstExpr::i32_const((segment.address + part.start as u32) as i32);
                section.active(0, &address, bytes[part].iter().copied());
            }
        }
        section
    }
}

/// What lies between zeros, where they are many.
fn parts(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for at in (0..bytes.len()).filter(|at| bytes[*at] != 0) {
        match parts.last_mut() {
            Some(part) if at - part.end <= GAP => part.end = at + 1,
            _ => parts.push(at..at + 1),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_left_out_where_they_are_many() {
        assert_eq!(parts(&[0; 40]), []);
        assert_eq!(parts(&[&[1][..], &[0; 8], &[1], &[0; 9], &[1, 0]].concat()), [0..10, 19..20]);
    }
}
