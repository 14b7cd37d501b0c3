//! Instructions against a text.

use crate::value::Value;

use super::char_at;
use super::{Gave, Inst, Program, SIZE, SLOTS, Slots, UNSET};

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

/// The match that starts at `start`. Choices are words of `stack`: a way not taken, or a slot to be put back.
pub(super) fn match_at(
    program: &Program,
    (p, t): (&[u8], &[u8]),
    start: usize,
    stack: &mut [u64],
    fuel: &mut i64,
) -> Result<Option<Slots>, Gave> {
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
