//! Regular expressions: literals, `.`, classes (`[a-z]`, `[[:alpha:]]`, `\d \w \s`, `\p{L}` and its kin), anchors, boundaries, groups
//! (numbered, named, silent), the flags `i m s U x`, alternatives, greedy and lazy repetition.
//!
//! A pattern becomes a few instructions; a matcher goes back over its choices, which it keeps in the free part of the
//! machine's stack. Every step costs fuel, so no pattern holds a run up for longer than its budget.

mod matching;
mod parse;

use super::Answer;
use super::string::char_at;
use crate::heap::Writer;
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
    /// A letter, in upper or lower case.
    Letter(char),
    /// Any character; whether a line break is one.
    Any(bool),
    /// A class: where its inside starts and ends in the pattern, and whether case matters not.
    Class(u16, u16, bool),
    /// `\d` and its kind, by letter.
    Escape(char),
    /// `\p{L}` and its kind: where it starts and ends in the pattern.
    Property(u16, u16),
    /// The start of the text, or of a line.
    Start(bool),
    End(bool),
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
    m.error(Tag::NativeFn, &["`", name, "`: ", what])
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
            Err(Gave::TooManyChoices) => Err(m.error(Tag::DepthExceeded, &["a regular expression has too many ways to match"])),
        }
    }

    /// The next match behind the one that ended at `end`: an empty one does not touch it.
    fn next(&self, m: &mut Machine<'_>, end: Option<usize>) -> Result<Option<Slots>, Stop> {
        let from = end.unwrap_or(0);
        match self.find(m, from)? {
            Some(slots) if Some(slots[0]) == end && slots[0] == slots[1] => {
                let width = char_at(m.heap.bytes(self.text), from).map_or(1, |(_, width)| width);
                self.find(m, from + width)
            }
            found => Ok(found),
        }
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
    let mut end = None;
    while let Some(slots) = s.next(m, end)? {
        let part = super::string::part(m, s.text, slots[0], slots[1])?;
        list = m.heap.cons(part, list)?;
        end = Some(slots[1]);
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
    let mut end = None;
    while let Some(slots) = s.next(m, end)? {
        let part = super::string::part(m, s.text, end.unwrap_or(0), slots[0])?;
        list = m.heap.cons(part, list)?;
        end = Some(slots[1]);
    }
    let len = m.heap.bytes(s.text).len();
    let part = super::string::part(m, s.text, end.unwrap_or(0), len)?;
    list = m.heap.cons(part, list)?;
    super::list::reversed(m, list)
}

fn push_part(w: &mut Writer<'_, '_>, v: Value, from: usize, to: usize) {
    super::string::push_part(w, v, from, to);
}

/// What a replacement says at a dollar sign: a dollar sign (`None`) or a group, and how many bytes that took. A name goes on for as long as
/// it can; braces say where it ends. A group that there is not took nothing.
fn group(to: &[u8], at: usize, pattern: &[u8]) -> Option<(Option<usize>, usize)> {
    let rest = to.get(at + 1..)?;
    if rest.first() == Some(&b'$') {
        return Some((None, 2));
    }
    let (name, taken) = if rest.first() == Some(&b'{') {
        let close = rest.iter().position(|b| *b == b'}')?;
        (&rest[1..close], close + 2)
    } else {
        let end = rest.iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'_')).unwrap_or(rest.len());
        (&rest[..end], end + 1)
    };
    if name.is_empty() {
        return None;
    }
    let number = core::str::from_utf8(name).ok().and_then(|n| n.parse().ok()).or_else(|| parse::named(pattern, name));
    Some((Some(number.unwrap_or(usize::MAX)), taken))
}

/// Replaces every match of `pattern` in `text`; `$1`, `${1}` or `$name` in the replacement is what a group took, `$0` everything, `$$` a
/// dollar sign.
fn replaced(m: &mut Machine<'_>, name: &str, pattern: Value, text: Value, to: Value, free: usize) -> Answer {
    let s = Search::new(m, name, pattern, text, free)?;
    if !to.is(tag::STRING) {
        return Err(fail(m, name, "strings are expected"));
    }
    // Stretches of the result: the matcher and the writer both need the heap, in turns.
    let mut list = Value::NIL;
    let mut behind = None;
    while let Some(slots) = s.next(m, behind)? {
        m.charge(m.heap.bytes(to).len() / 8)?;
        let piece = super::string::build(m, |w| {
            push_part(w, text, behind.unwrap_or(0), slots[0]);
            let mut i = 0;
            while let Some(byte) = w.heap().bytes(to).get(i).copied() {
                let heap = w.heap();
                match (byte == b'$').then(|| group(heap.bytes(to), i, heap.bytes(pattern))).flatten() {
                    Some((Some(g), taken)) => {
                        if g < s.groups && slots[2 * g] != UNSET && slots[2 * g + 1] != UNSET {
                            push_part(w, text, slots[2 * g], slots[2 * g + 1]);
                        }
                        i += taken;
                    }
                    Some((None, taken)) => {
                        w.push_bytes(b"$");
                        i += taken;
                    }
                    None => {
                        w.push_bytes(&[byte]);
                        i += 1;
                    }
                }
            }
        })?;
        list = m.heap.cons(piece, list)?;
        behind = Some(slots[1]);
    }
    let end = m.heap.bytes(text).len();
    let piece = super::string::part(m, text, behind.unwrap_or(0), end)?;
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
