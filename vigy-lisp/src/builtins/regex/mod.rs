//! Regular expressions: literals, `.`, classes, `\d \w \s \b`, anchors, groups, alternatives, greedy and lazy repetition.
//!
//! A pattern becomes a few instructions; a matcher goes back over its choices, which it keeps in the free part of the
//! machine's stack. Every step costs fuel, so no pattern holds a run up for longer than its budget.

mod matching;
mod parse;

use super::Answer;
use super::string::char_at;
use crate::heap::{Heap, Writer};
use crate::machine::{Machine, Stop, Tag};
use crate::value::{Value, tag};
use matching::match_at;
use parse::compile;

/// Instructions of one pattern.
const SIZE: usize = 256;
/// Groups that capture, the whole match among them.
const GROUPS: usize = 12;
/// Places that a matcher remembers: two per group, then one per repetition of what may be empty.
const SLOTS: usize = 2 * GROUPS + 8;
/// Groups within each other.
const NESTING: usize = 16;
const UNSET: usize = u32::MAX as usize;

/// One instruction; jumps are relative, so that a repeated part can be copied.
#[derive(Clone, Copy)]
enum Inst {
    Char(char),
    Any,
    /// A class: where its inside starts and ends in the pattern.
    Class(u16, u16),
    /// `\d` and its kind, by letter.
    Escape(char),
    Start,
    End,
    Boundary(bool),
    /// Try the first way, then the second.
    Split(i16, i16),
    Jump(i16),
    Save(u8),
    /// Fails when nothing was taken since the slot was saved.
    Progress(u8),
    Match,
}

type Program = heapless::Vec<Inst, SIZE>;

type Slots = [usize; SLOTS];

/// Why there is no answer.
enum Gave {
    OutOfFuel,
    TooManyChoices,
}

/// A pattern and the text it is matched against.
struct Search {
    program: Program,
    pattern: Value,
    text: Value,
    /// Where free stack starts.
    free: usize,
    groups: usize,
}

fn fail(m: &mut Machine<'_>, name: &str, what: &str) -> Stop {
    m.error(Tag::NativeFn, format_args!("`{name}`: {what}"))
}

impl Search {
    fn new(m: &mut Machine<'_>, name: &str, pattern: Value, text: Value, free: usize) -> Result<Self, Stop> {
        if !pattern.is(tag::STRING) || !text.is(tag::STRING) {
            return Err(fail(m, name, "strings are expected"));
        }
        let bytes = m.heap.bytes(pattern);
        m.charge(bytes.len())?;
        match compile(m.heap.bytes(pattern)) {
            Some(program) => {
                let highest = program.iter().filter_map(|i| match i {
                    Inst::Save(s) if usize::from(*s) < 2 * GROUPS => Some(usize::from(*s) / 2),
                    _ => None,
                });
                let groups = 1 + highest.max().unwrap_or(0);
                Ok(Self { program, pattern, text, free, groups })
            }
            None => Err(fail(m, name, "the pattern is malformed, or too large")),
        }
    }

    /// The first match that starts at byte `from` or later.
    fn find(&self, m: &mut Machine<'_>, from: usize) -> Result<Option<Slots>, Stop> {
        let mut fuel = m.fuel;
        let (stack, heap) = m.free_stack_and_heap(self.free);
        let bytes = (heap.bytes(self.pattern), heap.bytes(self.text));
        let mut start = from;
        let mut result = Ok(None);
        while start <= bytes.1.len() {
            result = match_at(&self.program, bytes, start, stack, &mut fuel);
            if !matches!(result, Ok(None)) {
                break;
            }
            start += char_at(bytes.1, start).map_or(1, |(_, width)| width);
        }
        m.fuel = fuel;
        match result {
            Ok(found) => Ok(found),
            Err(Gave::OutOfFuel) => Err(Stop::OutOfFuel),
            Err(Gave::TooManyChoices) => Err(m.error(Tag::DepthExceeded, format_args!("a regular expression has too many ways to match"))),
        }
    }

    /// Where to look on after a match: an empty one is stepped over.
    fn after(&self, heap: &Heap<'_>, slots: &Slots) -> usize {
        if slots[1] > slots[0] { slots[1] } else { slots[1] + char_at(heap.bytes(self.text), slots[1]).map_or(1, |(_, width)| width) }
    }
}

pub(super) fn is_match(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = Search::new(m, "re-match?", m.at(at), m.at(at + 1), at + 2)?;
    Ok(Value::bool(s.find(m, 0)?.is_some()))
}

pub(super) fn find(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = Search::new(m, "re-find", m.at(at), m.at(at + 1), at + 2)?;
    match s.find(m, 0)? {
        Some(slots) => super::string::part(m, s.text, slots[0], slots[1]),
        None => Ok(Value::NIL),
    }
}

/// A list of what `part` makes of each match and of the text between; `tail` makes the last element of the text behind.
pub(super) fn find_all(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = Search::new(m, "re-find-all", m.at(at), m.at(at + 1), at + 2)?;
    let mut list = Value::NIL;
    let mut from = 0;
    while let Some(slots) = s.find(m, from)? {
        let part = super::string::part(m, s.text, slots[0], slots[1])?;
        list = m.heap.cons(part, list)?;
        from = s.after(&m.heap, &slots);
    }
    super::list::reversed(m, list)
}

pub(super) fn captures(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = Search::new(m, "re-captures", m.at(at), m.at(at + 1), at + 2)?;
    let Some(slots) = s.find(m, 0)? else { return Ok(Value::NIL) };
    let mut list = Value::NIL;
    for g in (0..s.groups).rev() {
        let (from, to) = (slots[2 * g], slots[2 * g + 1]);
        let part = if from == UNSET || to == UNSET { Value::NIL } else { super::string::part(m, s.text, from, to)? };
        list = m.heap.cons(part, list)?;
    }
    Ok(list)
}

pub(super) fn split(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = Search::new(m, "re-split", m.at(at), m.at(at + 1), at + 2)?;
    let mut list = Value::NIL;
    let (mut from, mut begun) = (0, 0);
    while let Some(slots) = s.find(m, from)? {
        let part = super::string::part(m, s.text, begun, slots[0])?;
        list = m.heap.cons(part, list)?;
        begun = slots[1];
        from = s.after(&m.heap, &slots);
    }
    let end = m.heap.bytes(s.text).len();
    let part = super::string::part(m, s.text, begun, end)?;
    list = m.heap.cons(part, list)?;
    super::list::reversed(m, list)
}

fn push_part(w: &mut Writer<'_, '_>, v: Value, from: usize, to: usize) {
    super::string::push_part(w, v, from, to);
}

/// Replaces every match of `pattern` in `text`; `$1` in the replacement is what the first group took, `$0` everything.
fn replaced(m: &mut Machine<'_>, name: &str, pattern: Value, text: Value, to: Value, free: usize) -> Answer {
    let s = Search::new(m, name, pattern, text, free)?;
    if !to.is(tag::STRING) {
        return Err(fail(m, name, "strings are expected"));
    }
    // Stretches of the result: the matcher and the writer both need the heap, in turns.
    let mut list = Value::NIL;
    let (mut from, mut begun) = (0, 0);
    while let Some(slots) = s.find(m, from)? {
        let piece = super::string::build(m, |w| {
            push_part(w, text, begun, slots[0]);
            let mut i = 0;
            while let Some(byte) = w.heap().bytes(to).get(i).copied() {
                let digit = w.heap().bytes(to).get(i + 1).filter(|d| byte == b'$' && d.is_ascii_digit());
                match digit.map(|d| usize::from(d - b'0')) {
                    Some(g) => {
                        let (from, to) = (slots[2 * g], slots[2 * g + 1]);
                        if from != UNSET && to != UNSET {
                            push_part(w, text, from, to);
                        }
                        i += 2;
                    }
                    None => {
                        w.push_bytes(&[byte]);
                        i += 1;
                    }
                }
            }
        })?;
        list = m.heap.cons(piece, list)?;
        begun = slots[1];
        from = s.after(&m.heap, &slots);
    }
    let end = m.heap.bytes(text).len();
    let piece = super::string::part(m, text, begun, end)?;
    list = m.heap.cons(piece, list)?;
    let mut list = super::list::reversed(m, list)?;
    super::string::build(m, |w| {
        while list.is_pair() {
            let piece = w.heap().first(list);
            w.push_text(piece);
            list = w.heap().rest(list);
        }
    })
}

/// `(re-replace pattern text replacement)`
pub(super) fn replace(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    replaced(m, "re-replace", m.at(at), m.at(at + 1), m.at(at + 2), at + 3)
}

/// `(str/replace text pattern replacement)`
pub(super) fn str_replace(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    replaced(m, "str/replace", m.at(at + 1), m.at(at), m.at(at + 2), at + 3)
}
