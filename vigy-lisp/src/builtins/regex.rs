//! Regular expressions: literals, `.`, classes, `\d \w \s \b`, anchors, groups, alternatives, greedy and lazy repetition.
//!
//! A pattern becomes a few instructions; a matcher goes back over its choices, which it keeps in the free part of the
//! machine's stack. Every step costs fuel, so no pattern holds a run up for longer than its budget.

use super::Answer;
use crate::heap::{Heap, Writer};
use crate::machine::{Machine, Stop, Tag};
use crate::value::{Value, tag};

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

fn char_at(bytes: &[u8], i: usize) -> Option<(char, usize)> {
    let first = *bytes.get(i)?;
    if first < 0x80 {
        return Some((first as char, 1));
    }
    let piece = &bytes[i..bytes.len().min(i + 4)];
    let valid = match core::str::from_utf8(piece) {
        Ok(s) => s,
        Err(e) => core::str::from_utf8(&piece[..e.valid_up_to()]).ok()?,
    };
    valid.chars().next().map(|c| (c, c.len_utf8()))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn escape_matches(letter: char, c: char) -> bool {
    match letter {
        'd' => c.is_ascii_digit(),
        'D' => !c.is_ascii_digit(),
        'w' => is_word(c),
        'W' => !is_word(c),
        's' => c.is_whitespace(),
        'S' => !c.is_whitespace(),
        'n' => c == '\n',
        't' => c == '\t',
        'r' => c == '\r',
        other => c == other,
    }
}

fn class_matches(p: &[u8], start: usize, end: usize, c: char) -> bool {
    let negated = p.get(start) == Some(&b'^');
    let mut i = start + usize::from(negated);
    let mut found = false;
    while i < end {
        let Some((low, width)) = char_at(p, i) else { break };
        i += width;
        if low == '\\' {
            let Some((letter, width)) = char_at(p, i) else { break };
            i += width;
            found |= escape_matches(letter, c);
        } else if p.get(i) == Some(&b'-') && i + 1 < end {
            let Some((high, width)) = char_at(p, i + 1) else { break };
            i += 1 + width;
            found |= low <= c && c <= high;
        } else {
            found |= low == c;
        }
    }
    found != negated
}

/// Turns a pattern into instructions. `None` anywhere means that it is malformed or too large.
struct Compiler<'p> {
    p: &'p [u8],
    i: usize,
    out: Program,
    groups: usize,
    marks: usize,
}

impl Compiler<'_> {
    fn emit(&mut self, inst: Inst) -> Option<()> {
        self.out.push(inst).ok()
    }

    fn insert(&mut self, at: usize, inst: Inst) -> Option<()> {
        self.out.insert(at, inst).ok()
    }

    fn distance(from: usize, to: usize) -> i16 {
        // A program has at most 256 instructions.
        (to as i64 - from as i64) as i16
    }

    fn alternatives(&mut self, depth: usize) -> Option<()> {
        if depth > NESTING {
            return None;
        }
        // Every alternative but the last is behind a split, and jumps to the end of all.
        let mut jumps: heapless::Vec<usize, 64> = heapless::Vec::new();
        loop {
            let start = self.out.len();
            self.sequence(depth)?;
            if self.p.get(self.i) != Some(&b'|') {
                break;
            }
            self.i += 1;
            self.insert(start, Inst::Split(0, 0))?;
            let jump = self.out.len();
            self.emit(Inst::Jump(0))?;
            self.out[start] = Inst::Split(1, Self::distance(start, jump + 1));
            jumps.push(jump).ok()?;
        }
        let end = self.out.len();
        for jump in jumps {
            self.out[jump] = Inst::Jump(Self::distance(jump, end));
        }
        Some(())
    }

    fn sequence(&mut self, depth: usize) -> Option<()> {
        while self.i < self.p.len() && !matches!(self.p[self.i], b'|' | b')') {
            let start = self.out.len();
            let plain = self.atom(depth)?;
            self.repeat(start, plain)?;
        }
        Some(())
    }

    /// One atom; whether it always takes exactly one character.
    fn atom(&mut self, depth: usize) -> Option<bool> {
        let (c, width) = char_at(self.p, self.i)?;
        self.i += width;
        match c {
            '.' => self.emit(Inst::Any)?,
            '^' => {
                self.emit(Inst::Start)?;
                return Some(false);
            }
            '$' => {
                self.emit(Inst::End)?;
                return Some(false);
            }
            '[' => {
                let start = self.i;
                let mut i = start + usize::from(self.p.get(start) == Some(&b'^'));
                let first = i;
                // A closing bracket right at the start is a member.
                while *self.p.get(i)? != b']' || i == first {
                    i += 1 + usize::from(self.p[i] == b'\\');
                }
                self.i = i + 1;
                self.emit(Inst::Class(u16::try_from(start).ok()?, u16::try_from(i).ok()?))?;
            }
            '(' => {
                let mut group = None;
                if self.p.get(self.i) == Some(&b'?') {
                    if self.p.get(self.i + 1) != Some(&b':') {
                        return None;
                    }
                    self.i += 2;
                } else {
                    self.groups += 1;
                    group = Some(self.groups);
                    if self.groups >= GROUPS {
                        return None;
                    }
                }
                if let Some(n) = group {
                    self.emit(Inst::Save(2 * n as u8))?;
                }
                self.alternatives(depth + 1)?;
                if self.p.get(self.i) != Some(&b')') {
                    return None;
                }
                self.i += 1;
                if let Some(n) = group {
                    self.emit(Inst::Save(2 * n as u8 + 1))?;
                }
                return Some(false);
            }
            '\\' => {
                let (letter, width) = char_at(self.p, self.i)?;
                self.i += width;
                if matches!(letter, 'b' | 'B') {
                    self.emit(Inst::Boundary(letter == 'b'))?;
                    return Some(false);
                }
                self.emit(Inst::Escape(letter))?;
            }
            '*' | '+' | '?' => return None,
            c => self.emit(Inst::Char(c))?,
        }
        Some(true)
    }

    /// Repeats what was emitted from `start` on, as the pattern says next.
    fn repeat(&mut self, start: usize, plain: bool) -> Option<()> {
        let (min, max) = match self.p.get(self.i) {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                let end = self.i + self.p[self.i..].iter().position(|b| *b == b'}')?;
                let inside = core::str::from_utf8(&self.p[self.i + 1..end]).ok()?;
                self.i = end;
                match inside.split_once(',') {
                    Some((low, "")) => (low.parse().ok()?, None),
                    Some((low, high)) => (low.parse().ok()?, Some(high.parse().ok()?)),
                    None => (inside.parse().ok()?, Some(inside.parse().ok()?)),
                }
            }
            _ => return Some(()),
        };
        self.i += 1;
        let lazy = self.p.get(self.i) == Some(&b'?');
        self.i += usize::from(lazy);
        if max.is_some_and(|max: usize| max < min || max > SIZE) || min > SIZE {
            return None;
        }
        let body: Program = self.out[start..].iter().copied().collect();
        self.out.truncate(start);
        for _ in 0..min {
            self.out.extend_from_slice(&body).ok()?;
        }
        let split = |over: usize| {
            let over = over as i16;
            if lazy { Inst::Split(over, 1) } else { Inst::Split(1, over) }
        };
        match max {
            Some(max) => {
                // Each further one is optional: leaving goes behind all of them.
                let each = body.len() + 1;
                for k in min..max {
                    self.emit(split(each * (max - k)))?;
                    self.out.extend_from_slice(&body).ok()?;
                }
            }
            None => {
                let guard = !plain;
                let slot = 2 * GROUPS + self.marks;
                if guard {
                    self.marks += 1;
                    if slot >= SLOTS {
                        return None;
                    }
                }
                let len = body.len() + 2 * usize::from(guard) + 2;
                self.emit(split(len))?;
                if guard {
                    self.emit(Inst::Save(slot as u8))?;
                }
                self.out.extend_from_slice(&body).ok()?;
                if guard {
                    self.emit(Inst::Progress(slot as u8))?;
                }
                self.emit(Inst::Jump(-(len as i16 - 1)))?;
            }
        }
        Some(())
    }
}

fn compile(p: &[u8]) -> Option<Program> {
    let mut c = Compiler { p, i: 0, out: Program::new(), groups: 0, marks: 0 };
    c.emit(Inst::Save(0))?;
    c.alternatives(0)?;
    if c.i < p.len() {
        return None;
    }
    c.emit(Inst::Save(1))?;
    c.emit(Inst::Match)?;
    Some(c.out)
}

type Slots = [usize; SLOTS];

/// Why there is no answer.
enum Gave {
    OutOfFuel,
    TooManyChoices,
}

/// The match that starts at `start`. Choices are words of `stack`: a way not taken, or a slot to be put back.
fn match_at(program: &Program, (p, t): (&[u8], &[u8]), start: usize, stack: &mut [u64], fuel: &mut i64) -> Result<Option<Slots>, Gave> {
    let mut slots = [UNSET; SLOTS];
    let (mut pc, mut at, mut top) = (0usize, start, 0usize);
    let before = |at: usize| {
        let from = (0..at).rev().find(|i| t[*i] & 0xc0 != 0x80);
        from.and_then(|i| char_at(t, i)).is_some_and(|(c, _)| is_word(c))
    };
    loop {
        *fuel -= 1;
        if *fuel < 0 {
            return Err(Gave::OutOfFuel);
        }
        // Words on the stack are small ints, like everything there: see `Value`.
        let mut push = |top: &mut usize, a: usize, b: usize| match stack.get_mut(*top..*top + 2) {
            Some(words) => {
                words.copy_from_slice(&[Value::index(a).0, Value::index(b).0]);
                *top += 2;
                Ok(())
            }
            None => Err(Gave::TooManyChoices),
        };
        let take = |ok: &dyn Fn(char) -> bool| char_at(t, at).filter(|(c, _)| ok(*c)).map(|(_, width)| at + width);
        let next = match program[pc] {
            Inst::Char(x) => take(&|c| c == x),
            Inst::Any => take(&|c| c != '\n'),
            Inst::Class(a, b) => take(&|c| class_matches(p, usize::from(a), usize::from(b), c)),
            Inst::Escape(letter) => take(&|c| escape_matches(letter, c)),
            Inst::Start => (at == 0).then_some(at),
            Inst::End => (at == t.len()).then_some(at),
            Inst::Boundary(want) => {
                let behind = char_at(t, at).is_some_and(|(c, _)| is_word(c));
                ((before(at) != behind) == want).then_some(at)
            }
            Inst::Progress(slot) => (slots[usize::from(slot)] != at).then_some(at),
            Inst::Save(slot) => {
                push(&mut top, SIZE + usize::from(slot), slots[usize::from(slot)])?;
                slots[usize::from(slot)] = at;
                Some(at)
            }
            Inst::Split(first, second) => {
                push(&mut top, pc.wrapping_add_signed(isize::from(second)), at)?;
                pc = pc.wrapping_add_signed(isize::from(first));
                continue;
            }
            Inst::Jump(by) => {
                pc = pc.wrapping_add_signed(isize::from(by));
                continue;
            }
            Inst::Match => return Ok(Some(slots)),
        };
        match next {
            Some(next) => {
                at = next;
                pc += 1;
            }
            None => loop {
                if top == 0 {
                    return Ok(None);
                }
                top -= 2;
                let word = |i: usize| Value(stack[i]).as_small_int().unwrap_or(0) as usize;
                let (a, b) = (word(top), word(top + 1));
                if a >= SIZE {
                    slots[a - SIZE] = b;
                } else {
                    (pc, at) = (a, b);
                    break;
                }
            },
        }
    }
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
    m.error(Tag::NativeFn, format_args!("in native `{name}`: {what}"))
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
