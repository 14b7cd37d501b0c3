//! Instructions against a text.

use crate::value::Value;

use super::char_at;
use super::{Gave, Inst, Program, SIZE, SLOTS, Slots, UNSET};

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether there is an escape of that letter for a class of characters; those of `\p{…}` are upper case letters of their own.
pub(super) fn is_class(letter: char) -> bool {
    matches!(letter, 'd' | 'D' | 'w' | 'W' | 's' | 'S')
}

fn escape_matches(letter: char, c: char) -> bool {
    match letter {
        'd' => c.is_ascii_digit(),
        'D' => !c.is_ascii_digit(),
        'w' => is_word(c),
        'W' => !is_word(c),
        's' => c.is_whitespace(),
        _ => !c.is_whitespace(),
    }
}

/// Whether `c` is what a property or a POSIX class is named for; `None` for a name that is neither.
pub(super) fn property(name: &[u8], c: char) -> Option<bool> {
    Some(match name {
        b"L" | b"Letter" | b"Alphabetic" => c.is_alphabetic(),
        b"Lu" | b"Uppercase" | b"Uppercase_Letter" => c.is_uppercase(),
        b"Ll" | b"Lowercase" | b"Lowercase_Letter" => c.is_lowercase(),
        b"N" | b"Number" | b"Nd" => c.is_numeric(),
        b"White_Space" => c.is_whitespace(),
        b"Cc" | b"Control" => c.is_control(),
        b"alpha" => c.is_ascii_alphabetic(),
        b"alnum" => c.is_ascii_alphanumeric(),
        b"digit" => c.is_ascii_digit(),
        b"lower" => c.is_ascii_lowercase(),
        b"upper" => c.is_ascii_uppercase(),
        b"space" => c.is_ascii_whitespace() || c == '\u{b}',
        b"blank" => c == ' ' || c == '\t',
        b"punct" => c.is_ascii_punctuation(),
        b"cntrl" => c.is_ascii_control(),
        b"graph" => c.is_ascii_graphic(),
        b"print" => c.is_ascii_graphic() || c == ' ',
        b"word" => c.is_ascii_alphanumeric() || c == '_',
        b"xdigit" => c.is_ascii_hexdigit(),
        _ => return None,
    })
}

/// The other case of a letter that has exactly one.
pub(super) fn other_case(c: char) -> Option<char> {
    let one = |mut made: core::char::ToUppercase| made.next().filter(|x| made.next().is_none() && *x != c);
    let lower = |mut made: core::char::ToLowercase| made.next().filter(|x| made.next().is_none() && *x != c);
    one(c.to_uppercase()).or_else(|| lower(c.to_lowercase()))
}

/// One member of a class, or of a pattern, that is a character or a set of them.
pub(super) enum Item<'p> {
    Char(char),
    Escape(char),
    /// A property or POSIX class by name, and whether it is negated.
    Property(&'p [u8], bool),
}

/// What a backslash at byte `i - 1` says, and where it ends. `None` when it says nothing.
pub(super) fn escape(p: &[u8], i: usize) -> Option<(Item<'_>, usize)> {
    let (letter, width) = char_at(p, i)?;
    let next = i + width;
    let code = |from: usize, to: usize| core::str::from_utf8(p.get(from..to)?).ok().and_then(|h| u32::from_str_radix(h, 16).ok());
    let char = |code: Option<u32>, end: usize| Some((Item::Char(char::from_u32(code?)?), end));
    match letter {
        _ if is_class(letter) => Some((Item::Escape(letter), next)),
        'n' => Some((Item::Char('\n'), next)),
        't' => Some((Item::Char('\t'), next)),
        'r' => Some((Item::Char('\r'), next)),
        'f' => Some((Item::Char('\u{c}'), next)),
        'v' => Some((Item::Char('\u{b}'), next)),
        'a' => Some((Item::Char('\u{7}'), next)),
        'x' | 'u' | 'U' if p.get(next) == Some(&b'{') => {
            let end = next + p[next..].iter().position(|b| *b == b'}')?;
            char(code(next + 1, end), end + 1)
        }
        'x' => char(code(next, next + 2), next + 2),
        'u' => char(code(next, next + 4), next + 4),
        'U' => char(code(next, next + 8), next + 8),
        'p' | 'P' => {
            let (name, end) = if p.get(next) == Some(&b'{') {
                let end = next + p[next..].iter().position(|b| *b == b'}')?;
                (&p[next + 1..end], end + 1)
            } else {
                (p.get(next..next + 1)?, next + 1)
            };
            let (name, not) = name.strip_prefix(b"^").map_or((name, false), |name| (name, true));
            property(name, 'a').map(|_| (Item::Property(name, not != (letter == 'P')), end))
        }
        c if c.is_ascii_alphanumeric() || !c.is_ascii() => None,
        c => Some((Item::Char(c), next)),
    }
}

/// The member of a class at byte `i`, and where it ends.
pub(super) fn member(p: &[u8], i: usize) -> Option<(Item<'_>, usize)> {
    let (c, width) = char_at(p, i)?;
    if c == '\\' {
        return escape(p, i + 1);
    }
    if p[i..].starts_with(b"[:") {
        let end = i + p[i..].windows(2).position(|w| w == b":]")?;
        let name = &p[i + 2..end];
        let (name, not) = name.strip_prefix(b"^").map_or((name, false), |name| (name, true));
        return property(name, 'a').map(|_| (Item::Property(name, not), end + 2));
    }
    Some((Item::Char(c), i + width))
}

pub(super) fn item_matches(item: &Item<'_>, c: char) -> bool {
    match item {
        Item::Char(x) => *x == c,
        Item::Escape(letter) => escape_matches(*letter, c),
        Item::Property(name, not) => property(name, c).unwrap_or(false) != *not,
    }
}

/// Whether a class has `c`. That every member is well formed was checked when the pattern was read.
fn class_matches(p: &[u8], start: usize, end: usize, c: char) -> bool {
    let negated = p.get(start) == Some(&b'^');
    let mut i = start + usize::from(negated);
    let mut found = false;
    while i < end {
        let Some((item, next)) = member(p, i) else { break };
        i = next;
        match item {
            Item::Char(low) if p.get(i) == Some(&b'-') && i + 1 < end => {
                let Some((Item::Char(high), next)) = member(p, i + 1) else { break };
                i = next;
                found |= low <= c && c <= high;
            }
            item => found |= item_matches(&item, c),
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
            Inst::Letter(x) => take(&|c| c == x || other_case(c) == Some(x)),
            Inst::Any(breaks) => take(&|c| breaks || c != '\n'),
            Inst::Class(a, b, fold) => {
                // A class costs what it is long.
                *fuel -= i64::from(b - a) / 8;
                let has = |c| class_matches(p, usize::from(a), usize::from(b), c);
                take(&|c| has(c) || fold && other_case(c).is_some_and(has))
            }
            Inst::Escape(letter) => take(&|c| escape_matches(letter, c)),
            Inst::Property(a, b) => take(&|c| member(&p[..usize::from(b)], usize::from(a)).is_some_and(|(item, _)| item_matches(&item, c))),
            Inst::Start(lines) => (at == 0 || lines && t[at - 1] == b'\n').then_some(at),
            Inst::End(lines) => (at == t.len() || lines && t[at] == b'\n').then_some(at),
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
