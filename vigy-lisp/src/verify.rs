//! The check that an image passes once, before it runs.
//!
//! A checksum can be forged, so nothing here is taken on trust. What the machine relies on without looking again:
//!
//! - every value names something that is there; every object is whole, and refers only to objects in front of it;
//! - every function has code of its own, of whole instructions whose operands are in range, and never runs past its end;
//! - only `Loop` goes back, so whatever repeats costs fuel;
//! - the two words of a handler stay as they are from its `Try` to its `EndTry`, and nobody leaves in between.
//!
//! What would take more than this to prove is looked at when it happens: [`crate::FaultKind::Damaged`].
//!
//! No allocator is needed: where instructions and objects start is marked in a window that moves along.

use crate::code::{self, Op};
use crate::heap::{MAX_COUNT, count_of, size_of_header};
use crate::image::{Function, ImageError, Program};
use crate::value::{FROZEN, Value, tag};

/// `try` forms in one function. A handler takes two registers, but of those that follow each other there may be many.
pub(crate) const MAX_TRIES: usize = 4_096;
/// `try` forms within each other: what fits into the registers.
const MAX_OPEN: usize = code::MAX_REGISTERS as usize / 2;

type Checked = Result<(), ImageError>;

fn check(ok: bool, what: &'static str) -> Checked {
    if ok { Ok(()) } else { Err(ImageError::Damaged(what)) }
}

/// Checks everything that the machine relies on without looking again.
pub(crate) fn verify(p: &Program<'_>) -> Checked {
    names(p)?;
    objects(p)?;
    references(p)?;
    check(p.global_names.len() >= p.globals.len(), "the names of the globals")?;
    for name in &p.global_names[..p.globals.len()] {
        check((*name as usize) < p.names.len(), "the name of a global")?;
    }
    for row in p.imports.chunks_exact(2) {
        check((row[0] as usize) < p.names.len(), "the name of an import")?;
    }
    check(p.spans.len().is_multiple_of(4) && p.spans.chunks_exact(4).is_sorted_by_key(|r| r[0]), "the table of places")?;
    functions(p)
}

fn names(p: &Program<'_>) -> Checked {
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

/// Which positions of a window are starts: of instructions, or of objects.
struct Starts {
    from: usize,
    bits: [u64; Self::LEN / 64],
}

impl Starts {
    const LEN: usize = 4_096;

    /// The starts within the window at `from`, out of all of them, in order.
    fn within(from: usize, all: impl Iterator<Item = usize>) -> Self {
        let mut starts = Self { from, bits: [0; Self::LEN / 64] };
        for at in all.skip_while(|at| *at < from).take_while(|at| *at < from + Self::LEN) {
            starts.bits[(at - from) / 64] |= 1 << (at % 64);
        }
        starts
    }

    /// False only for a position in the window that is no start.
    fn allow(&self, at: usize) -> bool {
        at < self.from || at - self.from >= Self::LEN || self.bits[(at - self.from) / 64] >> (at % 64) & 1 == 1
    }
}

/// Words of the frozen object with that header; `None` for what is no frozen object.
fn object_len(head: u64) -> Option<usize> {
    let (n, size) = (count_of(head), size_of_header(head));
    Some(match head as u8 {
        tag::LIST => 2 + n,
        tag::STRING => 1 + size.div_ceil(8),
        tag::INT | tag::FLOAT | tag::MAP => 2,
        tag::TABLE if size <= MAX_COUNT => 1 + 3 * size + if size > 8 { size } else { 0 },
        _ => return None,
    })
}

/// Where the frozen objects start, in order. They were found whole.
fn object_starts<'i>(p: &Program<'i>) -> impl Iterator<Item = usize> + use<'i> {
    let words = p.frozen;
    core::iter::successors((!words.is_empty()).then_some(0), move |at| {
        let next = at + object_len(words[*at])?;
        (next < words.len()).then_some(next)
    })
}

/// Walks the frozen objects: each is whole, and what it refers to lies in front of it, so that none is part of itself.
fn objects(p: &Program<'_>) -> Checked {
    let words = p.frozen;
    check(words.len() < FROZEN as usize, "too many constants")?;
    let mut at = 0;
    while at < words.len() {
        let head = words[at];
        let (n, size) = (count_of(head), size_of_header(head));
        let len = object_len(head).ok_or(ImageError::Damaged("an unknown constant"))?;
        let object = words.get(at..).and_then(|w| w.get(..len)).ok_or(ImageError::Damaged("a constant is cut off"))?;
        match head as u8 {
            tag::LIST => {
                for word in &object[1..] {
                    value(p, Value(*word), at)?;
                }
                let tail = Value(object[1]);
                check(n > 0 && tail.is_list(), "a list")?;
                let rest = if tail.is_nil() { 0 } else { size_of_header(words[frozen_index(tail)]).wrapping_sub(tail.offset() as usize) };
                check(size.checked_sub(n) == Some(rest), "the length of a list")?;
            }
            tag::STRING => {
                let bytes: &[u8] = bytemuck::cast_slice(&object[1..]);
                let text = core::str::from_utf8(&bytes[..size]);
                check(text.is_ok_and(|t| (n == 1) == t.is_ascii()), "a string")?;
            }
            tag::MAP => {
                let table = Value(object[1]);
                check(table.is(tag::TABLE) && table.frozen() && frozen_index(table) < at, "a map")?;
                let head = words[frozen_index(table)];
                check(head as u8 == tag::TABLE && n <= count_of(head), "the size of a map")?;
            }
            tag::TABLE => {
                check((matches!(size, 1..=8) || size.is_power_of_two()) && n <= size, "the table of a map")?;
                for entry in object[1..1 + 3 * n].chunks_exact(3) {
                    value(p, Value(entry[1]), at)?;
                    value(p, Value(entry[2]), at)?;
                }
                if size > 8 {
                    let index: &[u32] = bytemuck::cast_slice(&object[1 + 3 * size..]);
                    check(index.contains(&0) && index.iter().all(|i| *i as usize <= n), "the index of a map")?;
                }
            }
            tag::INT => check(Value::small_int(object[1] as i64).is_none(), "a number")?,
            _ => {
                let f = f64::from_bits(object[1]);
                check(Value::small_float(f).is_none() && (!f.is_nan() || f.to_bits() == crate::value::NAN.to_bits()), "a number")?;
            }
        }
        at += len;
    }
    Ok(())
}

fn frozen_index(v: Value) -> usize {
    (v.index_of() & !FROZEN) as usize
}

/// Every object that is referred to starts where it is said to start, and not within another.
fn references(p: &Program<'_>) -> Checked {
    let mut from = 0;
    while from < p.frozen.len() {
        let starts = Starts::within(from, object_starts(p));
        let whole = |word: &u64| {
            let v = Value(*word);
            !v.is_object() || starts.allow(frozen_index(v))
        };
        let mut ok = p.constants.iter().chain(p.globals).all(whole);
        for at in object_starts(p) {
            let head = p.frozen[at];
            ok &= match head as u8 {
                tag::LIST => p.frozen[at + 1..at + 2 + count_of(head)].iter().all(whole),
                tag::MAP => whole(&p.frozen[at + 1]),
                tag::TABLE => p.frozen[at + 1..at + 1 + 3 * count_of(head)].chunks_exact(3).all(|e| whole(&e[1]) && whole(&e[2])),
                _ => true,
            };
        }
        check(ok, "a value within another")?;
        from += Starts::LEN;
    }
    let end = p.frozen.len();
    p.constants.iter().chain(p.globals).try_for_each(|word| value(p, Value(*word), end))
}

/// A value is one that the language has, and an object it names has a header of its kind and lies in front of word `end`.
fn value(p: &Program<'_>, v: Value, end: usize) -> Checked {
    let i = v.index_of();
    let ok = match v.tag() {
        0 => true,
        2 => Value::small_float(v.small_float_value()) == Some(v),
        tag::CONST => v.0 < 0x501 && v.0 & 0xff == 1,
        tag::SYMBOL | tag::KEYWORD => v.frozen() && frozen_index(v) < p.names.len() && v.offset() == 0,
        tag::FUNCTION => (i as usize) < p.function_count() && p.function(i).captures == 0,
        tag::BUILTIN => crate::builtins::exists(i),
        tag::HOST => (i as usize) < p.imports.len() / 2,
        tag::LIST | tag::STRING | tag::MAP | tag::INT | tag::FLOAT => match p.frozen.get(frozen_index(v)) {
            Some(head) if v.frozen() && frozen_index(v) < end => {
                *head as u8 == v.tag() && (v.offset() == 0 || v.is(tag::LIST) && (v.offset() as usize) < count_of(*head))
            }
            _ => false,
        },
        _ => false,
    };
    check(ok, "a value")
}

fn functions(p: &Program<'_>) -> Checked {
    check(p.function_count() > 0, "no code")?;
    let mut free = 0;
    for i in 0..p.function_count() as u32 {
        let f = p.function(i);
        // One behind the other: no instruction is checked twice, so the check takes time linear in the code.
        check(free <= f.entry && f.entry < f.end && f.end as usize <= p.code.len(), "the code of a function")?;
        free = f.end;
        check((f.name as usize) < p.names.len() || f.name == u32::MAX, "the name of a function")?;
        let params = (f.params.0 as usize).checked_add(f.params.1 as usize).and_then(|end| p.params.get(f.params.0 as usize..end));
        let named = params.is_some_and(|params| params.iter().all(|name| (*name as usize) < p.names.len()));
        check(named && f.params.1 >= u32::from(f.rest), "the parameters of a function")?;
        let fixed = usize::from(f.required) + usize::from(f.optional) + usize::from(f.rest);
        check(fixed <= usize::from(f.registers) && f.registers <= code::MAX_REGISTERS, "the registers of a function")?;
        let tries = instructions(p, &f)?;
        jumps(p, &f)?;
        handlers(p, &f, tries)?;
    }
    let main = p.function(0);
    check(main.required == 0 && main.optional == 0 && !main.rest && main.captures == 0, "the entry of the program")
}

/// Where the instructions of a function start, in order. They were found whole.
fn instruction_starts<'i>(p: &Program<'i>, f: &Function) -> impl Iterator<Item = usize> + use<'i> {
    let (code, end) = (p.code, f.end as usize);
    core::iter::successors(Some(f.entry as usize), move |at| {
        let next = at + code::length(code, *at)?;
        (next < end).then_some(next)
    })
}

/// Whole instructions with operands in range, from the first to the last, and handlers that are left alone. How many handlers.
fn instructions(p: &Program<'_>, f: &Function) -> Result<usize, ImageError> {
    let code = &p.code[..f.end as usize];
    let mut at = f.entry as usize;
    let mut last = None;
    let mut tries = 0;
    // Registers of the handlers that are in place, innermost and highest last.
    let mut open: heapless::Vec<usize, MAX_OPEN> = heapless::Vec::new();
    while at < code.len() {
        let op = Op::decode(code[at]).ok_or(ImageError::Damaged("an unknown instruction"))?;
        let len = code::length(code, at).ok_or(ImageError::Damaged("an instruction is cut off"))?;
        check(code::operands_fit(p, code, at, op, f), "an operand")?;
        let free = open.last().map_or(0, |a| a + 2);
        let register = code::a(code[at]);
        match op {
            Op::Try => {
                check(register >= free && open.push(register).is_ok(), "a handler within another")?;
                tries += 1;
                check(tries <= MAX_TRIES, "too many handlers")?;
            }
            Op::EndTry => check(open.pop() == Some(register), "the end of a handler")?,
            _ => {
                check(code::clobbers_from(op, code[at]).is_none_or(|r| r >= free), "a call over a handler")?;
                let mut written = code::written(op, code[at]).filter(|r| *r < free);
                check(written.all(|r| open.iter().all(|a| r != *a && r != a + 1)), "a write over a handler")?;
                check(open.is_empty() || !op.leaves(), "a handler left in place")?;
            }
        }
        last = Some(op);
        at += len;
    }
    check(last.is_some_and(Op::ends), "a function without an end")?;
    check(open.is_empty(), "a handler without an end")?;
    Ok(tries)
}

/// Jumps of a function: from where to where.
fn jumps_of<'i>(p: &Program<'i>, f: &Function) -> impl Iterator<Item = (usize, i64)> + use<'i> {
    let code = p.code;
    instruction_starts(p, f).filter_map(move |at| code::target(code, at).map(|to| (at, to)))
}

/// Jumps lead to instructions of the same function, and back only where that costs fuel.
fn jumps(p: &Program<'_>, f: &Function) -> Checked {
    for (at, to) in jumps_of(p, f) {
        let inside = to >= i64::from(f.entry) && to < i64::from(f.end);
        check(inside, "a jump out of its function")?;
        check(to > at as i64 || matches!(Op::decode(p.code[at]), Some(Op::Loop | Op::LoopMove)), "a jump back")?;
    }
    let mut from = f.entry as usize;
    while from < f.end as usize {
        let starts = Starts::within(from, instruction_starts(p, f));
        check(jumps_of(p, f).all(|(_, to)| starts.allow(to as usize)), "a jump into an instruction")?;
        from += Starts::LEN;
    }
    Ok(())
}

/// A jump changes nothing about which handlers are in place: where it comes from and where it goes, they are the same. What
/// lies between a `Try` and its `EndTry` is decided by position, and the way to a handler is a jump from in front of its `Try`.
fn handlers(p: &Program<'_>, f: &Function, tries: usize) -> Checked {
    const BATCH: usize = 64;
    for batch in (0..tries).step_by(BATCH) {
        let mut stretches = [(0, 0); BATCH];
        let mut open: heapless::Vec<usize, MAX_OPEN> = heapless::Vec::new();
        let mut next = 0usize;
        for at in instruction_starts(p, f) {
            match Op::decode(p.code[at]) {
                Some(Op::Try) => {
                    if let Some(stretch) = next.checked_sub(batch).and_then(|i| stretches.get_mut(i)) {
                        stretch.0 = at;
                    }
                    check(open.push(next).is_ok(), "a handler within another")?;
                    next += 1;
                }
                Some(Op::EndTry) => {
                    let ended: Option<usize> = open.pop();
                    if let Some(stretch) = ended.and_then(|n| n.checked_sub(batch)).and_then(|i| stretches.get_mut(i)) {
                        stretch.1 = at;
                    }
                }
                _ => {}
            }
        }
        let within = |at: usize, (start, end): (usize, usize)| start < at && at <= end;
        let kept = |(at, to): (usize, i64)| stretches.iter().all(|s| within(at, *s) == within(to as usize, *s));
        check(jumps_of(p, f).all(kept), "a jump into or out of a handler's reach")?;
    }
    Ok(())
}
