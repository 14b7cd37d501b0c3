//! Pattern → instructions.

use super::{GROUPS, Inst, NESTING, Program, SIZE, SLOTS, char_at};

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

pub(super) fn compile(p: &[u8]) -> Option<Program> {
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
