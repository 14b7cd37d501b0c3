//! Parts of strings: found, replaced, split off.

use memchr::memmem;

use super::Answer;
use super::string::{build, byte_of, char_at, chars_of, part, push_part, script_text, text};
use crate::machine::{Machine, Stop};
use crate::value::Value;

/// Where `needle` is in `hay` at or behind `from`, in time linear in both.
pub(super) fn find(hay: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let hay = hay.get(from..)?;
    // Without its filters, which make it faster, it is half as large.
    let found = if cfg!(target_os = "none") {
        memmem::FinderBuilder::new().prefilter(memmem::Prefilter::None).build_forward(needle).find(hay)
    } else {
        memmem::find(hay, needle)
    };
    found.map(|at| from + at)
}

fn two(m: &mut Machine<'_>, at: usize, name: &str) -> Result<(Value, Value), Stop> {
    let a = script_text(m, at, name)?;
    let b = script_text(m, at + 1, name)?;
    m.charge((m.heap.bytes(a).len() + m.heap.bytes(b).len()) / 4)?;
    Ok((a, b))
}

pub(super) fn contains(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (a, b) = two(m, at, "string-contains?")?;
    Ok(Value::bool(find(m.heap.bytes(a), m.heap.bytes(b), 0).is_some()))
}

pub(super) fn starts_with(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (a, b) = two(m, at, "string-starts-with?")?;
    Ok(Value::bool(m.heap.bytes(a).starts_with(m.heap.bytes(b))))
}

pub(super) fn ends_with(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (a, b) = two(m, at, "string-ends-with?")?;
    Ok(Value::bool(m.heap.bytes(a).ends_with(m.heap.bytes(b))))
}

/// `(string-index s part)`: position of the first occurrence, nil without one.
pub(super) fn index(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (a, b) = two(m, at, "string-index")?;
    Ok(find(m.heap.bytes(a), m.heap.bytes(b), 0).map_or(Value::NIL, |byte| position(m, a, byte)))
}

/// `(%find-text s part i)`: position of the first occurrence at or behind position `i`, nil without one. Looks at one place after the other:
/// what that takes is charged, and the code is small.
pub(super) fn find_from(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (s, part) = (text(m, at)?, text(m, at + 1)?);
    let i = m.at(at + 2);
    let from = super::number::int(m, i)?;
    let Some(mut from) = byte_of(m, s, from)? else { return Ok(Value::NIL) };
    let (bytes, wanted) = (m.heap.bytes(s), m.heap.bytes(part));
    let most = usize::try_from(m.fuel).unwrap_or(0).saturating_mul(16);
    let mut work = 0;
    let found = loop {
        let rest = bytes.get(from..).unwrap_or_default();
        if rest.starts_with(wanted) {
            break Some(from);
        }
        if rest.len() <= wanted.len() || work > most {
            break None;
        }
        work += if rest.first() == wanted.first() { 1 + wanted.len() / 8 } else { 1 };
        from += 1;
    };
    m.charge(work / 16)?;
    Ok(found.map_or(Value::NIL, |byte| position(m, s, byte)))
}

/// The position of the character at a byte.
fn position(m: &Machine<'_>, s: Value, byte: usize) -> Value {
    if m.heap.is_ascii(s) {
        return Value::index(byte);
    }
    Value::index(m.heap.bytes(s)[..byte].iter().filter(|b| *b & 0xc0 != 0x80).count())
}

/// `(string-replace s from to)`: every occurrence; an empty `from` occurs before and behind every character.
pub(super) fn replace(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (s, from) = two(m, at, "string-replace")?;
    let to = script_text(m, at + 2, "string-replace")?;
    let len = m.heap.bytes(s).len();
    let step = m.heap.bytes(from).len();
    build(m, |w| {
        let mut at = 0;
        while at <= len {
            let found = if step == 0 { Some(at) } else { find(w.heap().bytes(s), w.heap().bytes(from), at) };
            let Some(next) = found else { break };
            push_part(w, s, at, next);
            w.push_text(to);
            at = next + step;
            if step == 0 {
                let width = char_at(w.heap().bytes(s), at).map_or(1, |(_, width)| width);
                push_part(w, s, at, (at + width).min(len));
                at += width;
            }
        }
        if at < len {
            push_part(w, s, at, len);
        }
    })
}

/// `(string-split s separator)`; an empty separator splits between all characters and at both ends.
pub(super) fn split(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (s, sep) = two(m, at, "string-split")?;
    let len = m.heap.bytes(s).len();
    let step = m.heap.bytes(sep).len();
    if step == 0 {
        let empty = m.heap.string("")?;
        let tail = m.heap.list(&[empty.0], Value::NIL)?;
        let all = chars_of(m, s, tail)?;
        return Ok(m.heap.cons(empty, all)?);
    }
    let mut count = 1;
    let mut from = 0;
    while let Some(next) = find(m.heap.bytes(s), m.heap.bytes(sep), from) {
        count += 1;
        from = next + step;
    }
    m.charge(4 * count)?;
    let buffer = m.heap.buffer(count)?;
    let mut from = 0;
    loop {
        let next = find(m.heap.bytes(s), m.heap.bytes(sep), from);
        let item = part(m, s, from, next.unwrap_or(len))?;
        m.heap.buffer_push(buffer, item);
        match next {
            Some(next) => from = next + step,
            None => return Ok(m.heap.buffer_seal(buffer, Value::NIL)),
        }
    }
}
