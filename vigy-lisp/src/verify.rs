//! The check that an image passes once, before it runs.

use crate::code::{self, Op};
use crate::heap::{count_of, size_of_header};
use crate::image::{FUNCTION_U32S, ImageError, Program};
use crate::value::{FROZEN, Value, tag};

fn check(ok: bool, what: &'static str) -> Result<(), ImageError> {
    if ok { Ok(()) } else { Err(ImageError::Damaged(what)) }
}

/// Checks everything that the machine relies on without looking again.
pub(crate) fn verify(p: &Program<'_>) -> Result<(), ImageError> {
    names(p)?;
    objects(p)?;
    for word in p.constants.iter().chain(p.globals) {
        value(p, Value(*word))?;
    }
    check(p.global_names.len() >= p.globals.len(), "the names of the globals")?;
    for name in p.global_names.iter().chain(p.params) {
        check((*name as usize) < p.names.len() || *name == u32::MAX, "a name")?;
    }
    for row in p.imports.chunks_exact(2) {
        check((row[0] as usize) < p.names.len() || row[0] == u32::MAX, "the name of an import")?;
    }
    check(p.spans.len().is_multiple_of(4) && p.spans.chunks_exact(4).is_sorted_by_key(|r| r[0]), "the table of places")?;
    functions(p)
}

fn names(p: &Program<'_>) -> Result<(), ImageError> {
    for i in 0..p.names.len() {
        let (at, len) = (p.names.index[2 * i] as usize, p.names.index[2 * i + 1] as usize);
        let bytes = p.names.bytes.get(at..).and_then(|b| b.get(..len));
        check(bytes.is_some_and(|b| core::str::from_utf8(b).is_ok()), "the text of a name")?;
    }
    let table = p.names.table;
    check(table.is_empty() || table.len().is_power_of_two(), "the size of the table of names")?;
    check(table.is_empty() || table.contains(&0), "the table of names is full")?;
    check(table.iter().all(|n| *n as usize <= p.names.len()), "the table of names")
}

/// Walks the frozen objects: headers first, then the values inside, which must point at starts of objects.
fn objects(p: &Program<'_>) -> Result<(), ImageError> {
    let words = p.frozen;
    check(words.len() < FROZEN as usize, "too many constants")?;
    let mut at = 0;
    while at < words.len() {
        let head = words[at];
        let (n, size) = (count_of(head), size_of_header(head));
        let (len, values) = match head as u8 {
            tag::LIST => (2 + n, 1..2 + n),
            tag::STRING => (1 + size.div_ceil(8), 0..0),
            tag::INT | tag::FLOAT => (2, 0..0),
            tag::MAP => (2, 1..2),
            tag::TABLE => (1 + 3 * size + if size > 8 { size } else { 0 }, 0..0),
            _ => return Err(ImageError::Damaged("an unknown constant")),
        };
        let object = words.get(at..).and_then(|w| w.get(..len)).ok_or(ImageError::Damaged("a constant is cut off"))?;
        for word in &object[values] {
            value(p, Value(*word))?;
        }
        match head as u8 {
            tag::LIST => {
                let tail = Value(object[1]);
                check(n > 0 && tail.is_list(), "a list")?;
                // Constants are built from the inside out, so a tail lies before its list and no list is circular.
                check(tail.is_nil() || (tail.index_of() & !FROZEN) < at as u32, "the tail of a list")?;
                let rest = if tail.is_nil() { 0 } else { size_of_header(words[(tail.index_of() & !FROZEN) as usize]) };
                check(size == n + rest.wrapping_sub(tail_offset(tail)), "the length of a list")?;
            }
            tag::STRING => {
                let bytes: &[u8] = bytemuck::cast_slice(&object[1..]);
                let text = core::str::from_utf8(&bytes[..size]);
                check(text.is_ok_and(|t| (n == 1) == t.is_ascii()), "a string")?;
            }
            tag::MAP => {
                let table = Value(object[1]);
                check(table.is(tag::TABLE), "a map")?;
                let head = words[(table.index_of() & !FROZEN) as usize];
                check(n <= count_of(head), "the size of a map")?;
            }
            tag::TABLE => {
                check(size >= 4 && size.is_power_of_two() && n <= size, "the table of a map")?;
                for entry in object[1..1 + 3 * n].chunks_exact(3) {
                    value(p, Value(entry[1]))?;
                    value(p, Value(entry[2]))?;
                }
                if size > 8 {
                    let index: &[u32] = bytemuck::cast_slice(&object[1 + 3 * size..]);
                    check(index.contains(&0) && index.iter().all(|i| *i as usize <= n), "the index of a map")?;
                }
            }
            _ => {}
        }
        at += len;
    }
    Ok(())
}

fn tail_offset(tail: Value) -> usize {
    if tail.is_nil() { 0 } else { tail.offset() as usize }
}

/// A value is in range, and an object it names starts with a header of its kind.
fn value(p: &Program<'_>, v: Value) -> Result<(), ImageError> {
    let i = v.index_of() & !FROZEN;
    let ok = match v.tag() {
        0 | 2 => true,
        tag::CONST => v.0 < 0x501 && v.0 & 0xff == 1,
        tag::SYMBOL | tag::KEYWORD => v.frozen() && (i as usize) < p.names.len(),
        tag::FUNCTION => {
            (v.index_of() as usize) < p.function_count() && p.functions[v.index_of() as usize * FUNCTION_U32S + 3] & 0xffff == 0
        }
        tag::BUILTIN => crate::builtins::exists(v.index_of()),
        tag::HOST => (v.index_of() as usize) < p.imports.len() / 2,
        tag::LIST | tag::STRING | tag::MAP | tag::INT | tag::FLOAT | tag::TABLE => match p.frozen.get(i as usize) {
            Some(head) if v.frozen() => *head as u8 == v.tag() && (!v.is(tag::LIST) || (v.offset() as usize) < count_of(*head)),
            _ => false,
        },
        _ => false,
    };
    check(ok, "a value")
}

fn functions(p: &Program<'_>) -> Result<(), ImageError> {
    check(p.function_count() > 0, "no code")?;
    for i in 0..p.function_count() as u32 {
        let f = p.function(i);
        check(f.entry < f.end && f.end as usize <= p.code.len(), "the code of a function")?;
        check((f.name as usize) < p.names.len() || f.name == u32::MAX, "the name of a function")?;
        let params = (f.params.0 as usize).checked_add(f.params.1 as usize);
        check(params.is_some_and(|end| end <= p.params.len()), "the parameters of a function")?;
        let fixed = usize::from(f.required) + usize::from(f.optional) + usize::from(f.rest);
        check(f.params.1 >= u32::from(f.rest), "the parameters of a function")?;
        check(fixed <= usize::from(f.registers) && f.registers <= code::MAX_REGISTERS, "the registers of a function")?;
        instructions(p, f.entry as usize, f.end as usize, f.registers, f.captures)?;
    }
    check(p.function(0).required == 0 && p.function(0).captures == 0, "the entry of the program")
}

fn instructions(p: &Program<'_>, entry: usize, end: usize, registers: u8, captures: u16) -> Result<(), ImageError> {
    let code = &p.code[..end];
    // Two passes: one that finds where instructions start, one that checks each. Starts are found again for each jump by
    // walking, unless the function is long; so jumps are checked by marks in a fixed bitmap, window by window.
    let mut at = entry;
    let mut last = None;
    while at < end {
        let op = Op::decode(code[at]).ok_or(ImageError::Damaged("an unknown instruction"))?;
        let len = code::length(code, at).ok_or(ImageError::Damaged("an instruction is cut off"))?;
        check(at + len <= end, "an instruction is cut off")?;
        check(code::operands_fit(p, code, at, op, registers, captures), "an operand")?;
        last = Some(op);
        at += len;
    }
    check(last.is_some_and(Op::ends), "a function without an end")?;
    // Jumps: every target is the start of an instruction of this function.
    const MARKS: usize = 4096;
    let mut from = entry;
    while from < end {
        let to = end.min(from + MARKS);
        let mut starts = [0u64; MARKS / 64];
        let mut at = entry;
        while at < to {
            if at >= from {
                starts[(at - from) / 64] |= 1 << ((at - from) % 64);
            }
            at += code::length(code, at).unwrap_or(1);
        }
        let mut at = entry;
        while at < end {
            if let Some(target) = code::target(code, at) {
                let inside = usize::try_from(target).is_ok_and(|t| t >= entry && t < end);
                check(inside, "a jump out of its function")?;
                let t = target as usize;
                if t >= from && t < to {
                    check(starts[(t - from) / 64] >> ((t - from) % 64) & 1 == 1, "a jump into an instruction")?;
                }
            }
            at += code::length(code, at).unwrap_or(1);
        }
        from = to;
    }
    Ok(())
}
