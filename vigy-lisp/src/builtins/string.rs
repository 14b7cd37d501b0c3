//! Strings. Lengths and positions count Unicode scalar values.

use super::Answer;
use super::search::find;
use crate::case::{self, is_space};
use crate::decimal;
use crate::heap::Writer;
use crate::machine::{Machine, Stop, Tag};
use crate::number::digits;
use crate::print::{self, Style};
use crate::value::{Value, tag};

/// Argument `at` as a string.
pub(super) fn text(m: &mut Machine<'_>, at: usize) -> Result<Value, Stop> {
    let v = m.at(at);
    if v.is(tag::STRING) { Ok(v) } else { Err(m.mismatch("string", v)) }
}

/// Argument `at` as a string, for functions of the script library, whose failures are tagged `native-fn`.
pub(super) fn script_text(m: &mut Machine<'_>, at: usize, name: &str) -> Result<Value, Stop> {
    let v = m.at(at);
    if v.is(tag::STRING) {
        return Ok(v);
    }
    let got = print::type_name(v);
    Err(m.error(Tag::NativeFn, &["`", name, "`: expected string, got ", got]))
}

fn script_int(m: &mut Machine<'_>, at: usize, name: &str) -> Result<i64, Stop> {
    let v = m.at(at);
    m.heap.as_int(v).ok_or_else(|| {
        let got = print::type_name(v);
        m.error(Tag::NativeFn, &["`", name, "`: expected int, got ", got])
    })
}

/// The character at byte `i`, and its width.
pub(super) fn char_at(bytes: &[u8], i: usize) -> Option<(char, usize)> {
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

/// The character that ends before byte `end`, and its width.
fn char_before(bytes: &[u8], end: usize) -> Option<(char, usize)> {
    let start = (0..end).rev().find(|i| bytes[*i] & 0xc0 != 0x80)?;
    char_at(bytes, start)
}

/// Makes a string by writing it behind everything else on the heap. The writer can read the heap while it writes.
pub(super) fn build(m: &mut Machine<'_>, write: impl FnOnce(&mut Writer<'_, '_>)) -> Answer {
    let mut writer = m.heap.writer()?;
    write(&mut writer);
    let v = writer.seal()?;
    let len = m.heap.bytes(v).len();
    m.charge(len / 4)?;
    Ok(v)
}

fn push_value(w: &mut Writer<'_, '_>, functions: print::Functions<'_>, v: Value, style: Style) {
    // A writer that is full says so when it is sealed.
    let _ = print::write_to(w, functions, v, style);
}

/// The texts of `n` arguments with `between` between them and `end` behind.
fn joined(m: &mut Machine<'_>, at: usize, n: usize, style: Style, between: &str, end: &str) -> Answer {
    let functions = m.named();
    let mut args = [Value::NIL; 16];
    if n <= args.len() {
        for (i, arg) in args.iter_mut().enumerate().take(n) {
            *arg = m.at(at + i);
        }
        return build(m, |w| {
            for (i, v) in args[..n].iter().enumerate() {
                if i > 0 {
                    w.push_bytes(between.as_bytes());
                }
                push_value(w, functions, *v, style);
            }
            w.push_bytes(end.as_bytes());
        });
    }
    let (words, heap) = m.args_and_heap(at, n);
    let mut w = heap.writer()?;
    for (i, v) in words.iter().enumerate() {
        if i > 0 {
            w.push_bytes(between.as_bytes());
        }
        push_value(&mut w, functions, Value(*v), style);
    }
    w.push_bytes(end.as_bytes());
    let v = w.seal()?;
    m.charge(n + m.heap.bytes(v).len() / 64)?;
    Ok(v)
}

/// `(str x …)`: nil adds nothing.
pub(super) fn str(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let functions = m.named();
    let (words, heap) = m.args_and_heap(at, n);
    let mut w = heap.writer()?;
    for v in words.iter().map(|v| Value(*v)).filter(|v| !v.is_nil()) {
        push_value(&mut w, functions, v, Style::Raw);
    }
    let v = w.seal()?;
    m.charge(n / 8 + m.heap.bytes(v).len() / 64)?;
    Ok(v)
}

/// `(string x)`: a string as it is, everything else as `pr-str` writes it.
pub(super) fn string(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if m.at(at).is(tag::STRING) { Ok(m.at(at)) } else { pr_str(m, at, n) }
}

pub(super) fn pr_str(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    joined(m, at, n, Style::Readable, " ", "")
}

pub(super) fn display(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let text = joined(m, at, n, Style::Raw, " ", "")?;
    Err(m.take_output(text))
}
pub(super) fn println(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let text = joined(m, at, n, Style::Raw, " ", "\n")?;
    Err(m.take_output(text))
}
pub(super) fn pr(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let text = joined(m, at, n, Style::Readable, " ", "")?;
    Err(m.take_output(text))
}
pub(super) fn prn(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let text = joined(m, at, n, Style::Readable, " ", "\n")?;
    Err(m.take_output(text))
}

pub(super) fn length(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at)?;
    Ok(Value::index(if m.heap.is_ascii(v) {
        m.heap.bytes(v).len()
    } else {
        m.charge(m.heap.bytes(v).len() / 64)?;
        // Each character has one byte that goes on with no other.
        m.heap.bytes(v).iter().filter(|byte| **byte & 0xc0 != 0x80).count()
    }))
}

pub(super) fn append(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let mut len = 0;
    for i in 0..n {
        let v = text(m, at + i)?;
        len += m.heap.bytes(v).len();
    }
    m.charge(len / 64)?;
    let new = m.heap.string_space(len)?;
    let mut to = 0;
    for i in 0..n {
        let v = m.at(at + i);
        to = copy_bytes(m, v, new, len, to);
    }
    Ok(m.heap.string_seal(new, len))
}

/// Copies the bytes of string `v` to `to` in the string under construction at `new`; where they end.
fn copy_bytes(m: &mut Machine<'_>, v: Value, new: u32, len: usize, to: usize) -> usize {
    let n = m.heap.bytes(v).len();
    if !v.frozen() && to.is_multiple_of(8) {
        // Whole words: the copy may write zeros behind its end, within the new string's words.
        let from = v.index_of() as usize + 1;
        let words = n.div_ceil(8);
        // What is under construction lies behind everything else.
        let (made, space) = m.heap.words.split_at_mut(new as usize + 1);
        space[to / 8..][..words].copy_from_slice(&made[from..from + words]);
        return to + n;
    }
    let mut buffer = [0u8; 256];
    let mut done = 0;
    while done < n {
        let step = buffer.len().min(n - done);
        buffer[..step].copy_from_slice(&m.heap.bytes(v)[done..done + step]);
        m.heap.string_bytes_mut(new, len)[to + done..to + done + step].copy_from_slice(&buffer[..step]);
        done += step;
    }
    to + n
}

/// Part of a string, by bytes that are character boundaries.
pub(super) fn part(m: &mut Machine<'_>, v: Value, from: usize, to: usize) -> Answer {
    if from == 0 && to == m.heap.bytes(v).len() {
        return Ok(v);
    }
    let len = to - from;
    m.charge(len / 64)?;
    let new = m.heap.string_space(len)?;
    let mut buffer = [0u8; 256];
    let mut done = 0;
    while done < len {
        let step = buffer.len().min(len - done);
        buffer[..step].copy_from_slice(&m.heap.bytes(v)[from + done..from + done + step]);
        m.heap.string_bytes_mut(new, len)[done..done + step].copy_from_slice(&buffer[..step]);
        done += step;
    }
    Ok(m.heap.string_seal(new, len))
}

/// The byte at which character `i` starts; the end for the number of characters.
pub(super) fn byte_of(m: &mut Machine<'_>, v: Value, i: i64) -> Result<Option<usize>, Stop> {
    let len = m.heap.bytes(v).len();
    let Some(i) = usize::try_from(i).ok().filter(|i| *i <= len) else {
        return Ok(None);
    };
    if m.heap.is_ascii(v) {
        return Ok(Some(i));
    }
    m.charge(len / 16)?;
    let starts = m.heap.bytes(v).iter().enumerate().filter(|(_, b)| **b & 0xc0 != 0x80).map(|(at, _)| at);
    Ok(starts.chain([len]).nth(i))
}

/// `(subs s from)`, `(subs s from to)`
pub(super) fn subs(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let v = text(m, at)?;
    let from = m.at(at + 1);
    let from = super::number::int(m, from)?;
    let start = byte_of(m, v, from)?;
    let end = if n == 3 {
        let to = m.at(at + 2);
        let to = super::number::int(m, to)?;
        byte_of(m, v, to)?
    } else {
        Some(m.heap.bytes(v).len())
    };
    match (start, end) {
        (Some(start), Some(end)) if start <= end => part(m, v, start, end),
        _ => Err(m.error(Tag::OutOfRange, &["`subs`: outside the string"])),
    }
}

pub(super) fn string_ref(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = text(m, at)?;
    let i = m.at(at + 1);
    let i = super::number::int(m, i)?;
    let from = byte_of(m, v, i)?;
    match from.and_then(|from| Some((from, char_at(m.heap.bytes(v), from)?.1))) {
        Some((from, width)) => part(m, v, from, from + width),
        None => Err(m.error(Tag::OutOfRange, &["`string-ref`: outside the string"])),
    }
}

pub(super) fn push_part(w: &mut Writer<'_, '_>, v: Value, from: usize, to: usize) {
    let mut buffer = [0u8; 128];
    let mut at = from;
    while at < to {
        let n = buffer.len().min(to - at);
        buffer[..n].copy_from_slice(&w.heap().bytes(v)[at..at + n]);
        w.push_bytes(&buffer[..n]);
        at += n;
    }
}

pub(super) fn chars_of(m: &mut Machine<'_>, s: Value, tail: Value) -> Answer {
    let len = m.heap.bytes(s).len();
    m.charge(len / 16)?;
    let count = m.heap.bytes(s).iter().filter(|b| *b & 0xc0 != 0x80).count();
    m.charge(count)?;
    let buffer = m.heap.buffer(count)?;
    let mut at = 0;
    for _ in 0..count {
        let width = char_at(m.heap.bytes(s), at).map_or(1, |(_, width)| width);
        let item = part(m, s, at, at + width)?;
        m.heap.buffer_push(buffer, item);
        at += width;
    }
    Ok(m.heap.buffer_seal(buffer, tail))
}

pub(super) fn chars(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = script_text(m, at, "string-chars")?;
    chars_of(m, s, Value::NIL)
}

pub(super) fn bytes(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = script_text(m, at, "string-bytes")?;
    let n = m.heap.bytes(s).len();
    m.charge(n / 8)?;
    let buffer = m.heap.buffer(n)?;
    for i in 0..n {
        let byte = m.heap.bytes(s)[i];
        m.heap.buffer_push(buffer, Value::index(usize::from(byte)));
    }
    Ok(m.heap.buffer_seal(buffer, Value::NIL))
}

/// Text as the script library writes values into strings: `true`, `false`, and nothing for nil.
fn push_plain(w: &mut Writer<'_, '_>, functions: print::Functions<'_>, v: Value, nil: &str) {
    match v {
        Value::TRUE => w.push_bytes(b"true"),
        Value::FALSE => w.push_bytes(b"false"),
        Value::NIL => w.push_bytes(nil.as_bytes()),
        _ if matches!(v.object_tag(), tag::KEYWORD | tag::SYMBOL) => w.push_text(v),
        _ => push_value(w, functions, v, Style::Raw),
    }
}

/// `(string-join separator xs)`
pub(super) fn join(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let sep = script_text(m, at, "string-join")?;
    let mut list = m.at(at + 1);
    if !list.is_list() {
        let got = print::type_name(list);
        return Err(m.error(Tag::NativeFn, &["`string-join`: expected list, got ", got]));
    }
    let n = m.heap.length(list);
    m.charge(n / 4)?;
    let functions = m.named();
    build(m, |w| {
        for i in 0..n {
            if i > 0 {
                w.push_text(sep);
            }
            let v = w.heap().first(list);
            push_plain(w, functions, v, "");
            list = w.heap().rest(list);
        }
    })
}

/// `(string-format "{} of {}" a b)`
pub(super) fn format(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let pattern = script_text(m, at, "string-format")?;
    m.charge(m.heap.bytes(pattern).len() / 8)?;
    let holes = m.heap.text(pattern).matches("{}").count();
    if holes > n - 1 {
        return Err(
            m.error(Tag::NativeFn, &["`string-format`: ", &digits(holes as i64), " placeholders, ", &digits(n as i64 - 1), " arguments"])
        );
    }
    let functions = m.named();
    let (args, heap) = m.args_and_heap(at + 1, n - 1);
    let mut w = heap.writer()?;
    let mut from = 0;
    for arg in args.iter().take(holes) {
        let next = find(w.heap().bytes(pattern), b"{}", from).unwrap_or(from);
        push_part(&mut w, pattern, from, next);
        push_plain(&mut w, functions, Value(*arg), "nil");
        from = next + 2;
    }
    let end = w.heap().bytes(pattern).len();
    push_part(&mut w, pattern, from, end);
    Ok(w.seal()?)
}

/// Applies `f` to every character, in order. It also sees the text and where the character starts.
fn mapped(m: &mut Machine<'_>, at: usize, name: &str, f: fn(char, &[u8], usize, &mut heapless::Vec<char, 3>)) -> Answer {
    let s = script_text(m, at, name)?;
    let len = m.heap.bytes(s).len();
    m.charge(len * 4)?;
    build(m, |w| {
        let (mut at, mut made) = (0, heapless::Vec::new());
        while let Some((c, width)) = char_at(w.heap().bytes(s), at) {
            made.clear();
            f(c, w.heap().bytes(s), at, &mut made);
            for c in &made {
                w.push_bytes(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            at += width;
        }
    })
}

pub(super) fn upper(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    // No character has more than three in the other case, so all that is made fits.
    mapped(m, at, "string-uppercase", |c, _, _, made| case::upper(c, &mut |c| made.extend([c])))
}
pub(super) fn lower(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    mapped(m, at, "string-lowercase", |c, text, at, made| {
        // A sigma at the end of a word looks otherwise.
        let cased = |next: Option<(char, usize)>| next.is_some_and(|(c, _)| case::is_cased(c));
        if c == 'Σ' && cased(char_before(text, at)) && !cased(char_at(text, at + c.len_utf8())) {
            made.extend(['ς']);
        } else {
            case::lower(c, &mut |c| made.extend([c]));
        }
    })
}

pub(super) fn trim(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = script_text(m, at, "string-trim")?;
    m.charge(m.heap.bytes(s).len() / 16)?;
    let text = m.heap.text(s);
    let from = text.len() - text.trim_start_matches(is_space).len();
    let to = from + text.trim_matches(is_space).len();
    part(m, s, from, to)
}

pub(super) fn repeat(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = script_text(m, at, "string-repeat")?;
    let n = script_int(m, at + 1, "string-repeat")?.max(0);
    let len = usize::try_from(n).ok().and_then(|n| n.checked_mul(m.heap.bytes(s).len())).ok_or(Stop::OutOfHeap)?;
    m.charge(len / 64)?;
    let new = m.heap.string_space(len)?;
    let mut to = 0;
    while to < len {
        to = copy_bytes(m, s, new, len, to);
    }
    Ok(m.heap.string_seal(new, len))
}

pub(super) fn reverse(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = script_text(m, at, "string-reverse")?;
    let len = m.heap.bytes(s).len();
    m.charge(len)?;
    build(m, |w| {
        let mut end = len;
        while let Some((c, width)) = char_before(w.heap().bytes(s), end) {
            w.push_bytes(c.encode_utf8(&mut [0; 4]).as_bytes());
            end -= width;
        }
    })
}

/// `(string->number s)`: an int, else a finite double, else an error.
pub(super) fn to_number(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = script_text(m, at, "string->number")?;
    let text = m.heap.text(s).trim_matches(is_space);
    if let Ok(i) = text.parse::<i64>() {
        return Ok(m.heap.int(i)?);
    }
    match decimal::parse(text) {
        Some(f) if f.is_finite() => Ok(m.heap.float(f)?),
        _ => Err(m.error(Tag::NativeFn, &["`string->number`: not a number"])),
    }
}

/// `(%show x readable?)`: the text of a value; readable as `pr-str` writes it, else as `print` does.
pub(super) fn show(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    let style = if m.at(at + 1).is_true() { Style::Readable } else { Style::Raw };
    let functions = m.named();
    build(m, |w| push_value(w, functions, v, style))
}

/// `(%join xs)`: the strings of a list, one behind the other.
pub(super) fn join_all(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let mut list = super::list::list_arg(m, at)?;
    m.charge(m.heap.length(list) / 8)?;
    build(m, |w| {
        while list.is_pair() {
            let v = w.heap().first(list);
            if v.is(tag::STRING) {
                w.push_text(v);
            }
            list = w.heap().rest(list);
        }
    })
}

/// `(%output s)`
pub(super) fn print(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = text(m, at)?;
    // What is printed is the newest object, which is given back.
    let copy = build(m, |w| w.push_text(s))?;
    Err(m.take_output(copy))
}

/// `(%character code)`: nil for what is none.
pub(super) fn character(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let code = m.at(at).as_small_int().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32);
    let Some(c) = code else { return Ok(Value::NIL) };
    Ok(m.heap.string(c.encode_utf8(&mut [0; 4]))?)
}

/// `(%codes s)`: the numbers of its characters.
pub(super) fn codes(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let s = text(m, at)?;
    let n = m.heap.bytes(s).len();
    m.charge(n / 4)?;
    // A character has a byte at least.
    let buffer = m.heap.buffer(n)?;
    let mut at = 0;
    while let Some((c, width)) = char_at(m.heap.bytes(s), at) {
        m.heap.buffer_push(buffer, Value::index(c as usize));
        at += width;
    }
    Ok(m.heap.buffer_seal(buffer, Value::NIL))
}
