//! Pattern → instructions.

use super::matching::{Item, escape, member, other_case};
use super::{GROUPS, Inst, NESTING, Program, SIZE, SLOTS, char_at};

/// Turns a pattern into instructions. `None` anywhere means that it is malformed or too large.
struct Compiler<'p> {
    p: &'p [u8],
    i: usize,
    out: Program,
    groups: usize,
    marks: usize,
    flags: Flags,
}

/// What `(?imsUx)` sets.
#[derive(Clone, Copy, Default)]
struct Flags {
    fold: bool,
    lines: bool,
    breaks: bool,
    swap_greed: bool,
    blanks: bool,
}

/// The number of the group of that name.
pub(super) fn named(p: &[u8], name: &[u8]) -> Option<usize> {
    let (mut i, mut groups, mut class) = (0, 0, false);
    while i < p.len() {
        match p[i] {
            b'\\' => i += 1,
            b'[' => class = true,
            b']' => class = false,
            b'(' if !class => {
                let rest = &p[i + 1..];
                let named = rest.strip_prefix(b"?P<").or_else(|| rest.strip_prefix(b"?<"));
                groups += usize::from(named.is_some() || rest.first() != Some(&b'?'));
                if named.is_some_and(|r| r.starts_with(name) && r.get(name.len()) == Some(&b'>')) {
                    return Some(groups);
                }
            }
            _ => {}
        }
        i += 1;
    }
    None
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

    pub(super) fn alternatives(&mut self, depth: usize) -> Option<()> {
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
        loop {
            self.skip_blanks();
            if self.i >= self.p.len() || matches!(self.p[self.i], b'|' | b')') {
                return Some(());
            }
            let start = self.out.len();
            let Some(mut plain) = self.atom(depth)? else { continue };
            self.skip_blanks();
            // What is repeated may be repeated again.
            while matches!(self.p.get(self.i), Some(b'*' | b'+' | b'?' | b'{')) {
                self.repeat(start, plain)?;
                self.skip_blanks();
                plain = false;
            }
        }
    }

    /// With the flag `x`, blanks mean nothing and `#` starts a comment.
    fn skip_blanks(&mut self) {
        while self.flags.blanks {
            match self.p.get(self.i) {
                Some(b) if b.is_ascii_whitespace() => self.i += 1,
                Some(b'#') => self.i += self.p[self.i..].iter().position(|b| *b == b'\n').unwrap_or(self.p.len() - self.i),
                _ => return,
            }
        }
    }

    /// `(?i)` and `(?i-s:…)`: sets flags. Whether a group follows.
    fn set_flags(&mut self) -> Option<bool> {
        let mut on = true;
        loop {
            let letter = *self.p.get(self.i)?;
            self.i += 1;
            match letter {
                b'i' => self.flags.fold = on,
                b'm' => self.flags.lines = on,
                b's' => self.flags.breaks = on,
                b'U' => self.flags.swap_greed = on,
                b'x' => self.flags.blanks = on,
                b'u' if on => {}
                b'-' if on => on = false,
                b':' => return Some(true),
                b')' => return Some(false),
                _ => return None,
            }
        }
    }

    fn char(&mut self, c: char) -> Option<()> {
        let folds = self.flags.fold && other_case(c).is_some();
        self.emit(if folds { Inst::Letter(c) } else { Inst::Char(c) })
    }

    /// One atom; whether it always takes exactly one character. The inner `None`: flags alone, which are nothing to repeat.
    fn atom(&mut self, depth: usize) -> Option<Option<bool>> {
        let (c, width) = char_at(self.p, self.i)?;
        self.i += width;
        match c {
            '.' => self.emit(Inst::Any(self.flags.breaks))?,
            '^' => {
                self.emit(Inst::Start(self.flags.lines))?;
                return Some(Some(false));
            }
            '$' => {
                self.emit(Inst::End(self.flags.lines))?;
                return Some(Some(false));
            }
            '[' => self.class()?,
            '(' => {
                let outer = self.flags;
                let mut group = None;
                let rest = self.p.get(self.i..).unwrap_or_default();
                let name = rest.strip_prefix(b"?P<").or_else(|| rest.strip_prefix(b"?<"));
                if name.is_none() && rest.first() == Some(&b'?') {
                    self.i += 1;
                    if !self.set_flags()? {
                        return Some(None);
                    }
                } else {
                    if let Some(name) = name {
                        let end = name.iter().position(|b| *b == b'>').filter(|n| *n > 0)?;
                        if !name[..end].iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_') || name[0].is_ascii_digit() {
                            return None;
                        }
                        self.i += rest.len() - name.len() + end + 1;
                    }
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
                self.flags = outer;
                if let Some(n) = group {
                    self.emit(Inst::Save(2 * n as u8 + 1))?;
                }
                return Some(Some(false));
            }
            '\\' => {
                let place = match *self.p.get(self.i)? {
                    letter @ (b'b' | b'B') => Some(Inst::Boundary(letter == b'b')),
                    b'A' => Some(Inst::Start(false)),
                    b'z' => Some(Inst::End(false)),
                    _ => None,
                };
                if let Some(place) = place {
                    self.i += 1;
                    self.emit(place)?;
                    return Some(Some(false));
                }
                let start = self.i - 1;
                let (item, end) = escape(self.p, self.i)?;
                self.i = end;
                match item {
                    Item::Char(c) => self.char(c)?,
                    Item::Escape(letter) => self.emit(Inst::Escape(letter))?,
                    Item::Property(..) => self.emit(Inst::Property(u16::try_from(start).ok()?, u16::try_from(end).ok()?))?,
                }
            }
            '*' | '+' | '?' | '{' => return None,
            c => self.char(c)?,
        }
        Some(Some(true))
    }

    /// A class, whose opening bracket was read: checked member by member.
    fn class(&mut self) -> Option<()> {
        let start = self.i;
        let mut i = start + usize::from(self.p.get(start) == Some(&b'^'));
        let first = i;
        // A closing bracket right at the start is a member.
        while *self.p.get(i)? != b']' || i == first {
            let nested = self.p[i] == b'[' && self.p.get(i + 1) != Some(&b':');
            if nested || self.p[i..].starts_with(b"&&") {
                return None;
            }
            let (item, next) = member(self.p, i)?;
            i = next;
            if let Item::Char(low) = item
                && self.p.get(i) == Some(&b'-')
                && *self.p.get(i + 1)? != b']'
            {
                let (Item::Char(high), next) = member(self.p, i + 1)? else { return None };
                if high < low {
                    return None;
                }
                i = next;
            }
        }
        self.i = i + 1;
        self.emit(Inst::Class(u16::try_from(start).ok()?, u16::try_from(i).ok()?, self.flags.fold))
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
        let lazy = lazy != self.flags.swap_greed;
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

pub(super) fn compile(p: &[u8]) -> Option<Program> {
    let mut c = Compiler { p, i: 0, out: Program::new(), groups: 0, marks: 0, flags: Flags::default() };
    c.emit(Inst::Save(0))?;
    c.alternatives(0)?;
    if c.i < p.len() {
        return None;
    }
    c.emit(Inst::Save(1))?;
    c.emit(Inst::Match)?;
    Some(c.out)
}
