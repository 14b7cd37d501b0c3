//! JSON, read and written.
//!
//! `json-parse` and `json-stringify` speak upstream's association lists; `json/parse` and `json/write` speak maps.

use core::fmt::Write as _;

use super::Answer;
use crate::decimal;
use crate::heap::Writer;
use crate::machine::{Machine, Message, Stop, Tag};
use crate::number::digits;
use crate::value::{Value, tag};

/// Arrays and objects within each other.
const DEPTH: usize = 128;
/// The key that marks a list which must be written as an array: see `json/array`.
const ARRAY: &str = "json/array";

fn fail(m: &mut Machine<'_>, name: &str, what: &[&str]) -> Stop {
    let what = Message::of(what);
    m.error(Tag::NativeFn, &["`", name, "`: ", what.as_str()])
}

#[derive(Clone, Copy)]
struct Open {
    object: bool,
    first: usize,
}

/// Where parsing is.
struct Parser {
    v: Value,
    i: usize,
    maps: bool,
    name: &'static str,
}

impl Parser {
    fn byte(&self, m: &Machine<'_>) -> Option<u8> {
        m.heap.bytes(self.v).get(self.i).copied()
    }

    fn skip_blanks(&mut self, m: &Machine<'_>) {
        while matches!(self.byte(m), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.i += 1;
        }
    }

    fn wrong(&self, m: &mut Machine<'_>, what: &str) -> Stop {
        fail(m, self.name, &[what, " at byte ", &digits(self.i as i64)])
    }

    fn string(&mut self, m: &mut Machine<'_>) -> Answer {
        let (v, start) = (self.v, self.i);
        let mut i = start;
        let mut ok = true;
        let made = super::string::build(m, |w| {
            while ok {
                let Some(byte) = w.heap().bytes(v).get(i).copied() else {
                    ok = false;
                    return;
                };
                i += 1;
                match byte {
                    b'"' => return,
                    0..0x20 => ok = false,
                    b'\\' => {
                        let escape = w.heap().bytes(v).get(i).copied();
                        i += 1;
                        match escape {
                            Some(b'n') => w.push_bytes(b"\n"),
                            Some(b't') => w.push_bytes(b"\t"),
                            Some(b'r') => w.push_bytes(b"\r"),
                            Some(b'b') => w.push_bytes(&[8]),
                            Some(b'f') => w.push_bytes(&[12]),
                            Some(c @ (b'"' | b'\\' | b'/')) => w.push_bytes(&[c]),
                            Some(b'u') => match unicode(w.heap().bytes(v), &mut i) {
                                Some(c) => w.push_bytes(c.encode_utf8(&mut [0; 4]).as_bytes()),
                                None => ok = false,
                            },
                            _ => ok = false,
                        }
                    }
                    byte => w.push_bytes(&[byte]),
                }
            }
        });
        if !ok {
            return Err(self.wrong(m, "a malformed string"));
        }
        self.i = i;
        made
    }

    fn number(&mut self, m: &mut Machine<'_>) -> Answer {
        let start = self.i;
        while matches!(self.byte(m), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.i += 1;
        }
        let mut short = [0u8; 64];
        let bytes = &m.heap.bytes(self.v)[start..self.i];
        let n = bytes.len().min(short.len());
        short[..n].copy_from_slice(&bytes[..n]);
        let fits = bytes.len() <= short.len();
        let text = core::str::from_utf8(&short[..n]).unwrap_or_default();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = digits.starts_with(|c: char| c.is_ascii_digit())
            && !(digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit())
            && !digits.ends_with('.');
        if fits && plain {
            if digits.bytes().all(|b| b.is_ascii_digit()) {
                if text == "-0" {
                    return Ok(m.heap.float(-0.0)?);
                }
                if let Ok(i) = text.parse::<i64>() {
                    return Ok(m.heap.int(i)?);
                }
            } else if let Some(f) = decimal::parse(text)
                && f.is_finite()
            {
                return Ok(m.heap.float(f)?);
            }
        }
        self.i = start;
        Err(self.wrong(m, "a number that is none or does not fit"))
    }

    /// The value at hand when it has no parts.
    fn leaf(&mut self, m: &mut Machine<'_>, byte: u8) -> Answer {
        m.charge(8)?;
        let word = |m: &Machine<'_>, i: usize, text: &str| m.heap.bytes(self.v)[i..].starts_with(text.as_bytes());
        let (value, len) = if word(m, self.i, "true") {
            (Value::TRUE, 4)
        } else if word(m, self.i, "false") {
            (Value::FALSE, 5)
        } else if word(m, self.i, "null") {
            (Value::NIL, 4)
        } else if byte == b'"' {
            self.i += 1;
            return self.string(m);
        } else if byte == b'-' || byte.is_ascii_digit() {
            return self.number(m);
        } else {
            return Err(self.wrong(m, "something that is no value"));
        };
        self.i += len;
        Ok(value)
    }

    /// The object of the keys and values on the stack from `first` on.
    fn object(&self, m: &mut Machine<'_>, first: usize, top: usize) -> Answer {
        let n = (top - first) / 2;
        let mut map = m.heap.map(n)?;
        for k in (first..top).step_by(2) {
            let (key, value) = (m.at(k), m.at(k + 1));
            let key = if self.maps { m.intern_value(tag::KEYWORD, key)? } else { key };
            map = super::map::put(m, map, key, value)?;
        }
        // As an association list, an object without entries would be nil, and be written as null.
        let n = m.heap.map_count(map);
        if self.maps || n == 0 {
            return Ok(map);
        }
        let buffer = m.heap.buffer(n)?;
        for i in 0..n {
            let (k, v) = m.heap.map_entry(map, i);
            let entry = m.heap.list(&[k.0, v.0], Value::NIL)?;
            m.heap.buffer_push(buffer, entry);
        }
        Ok(m.heap.buffer_seal(buffer, Value::NIL))
    }

    fn parse(&mut self, m: &mut Machine<'_>, sp: usize) -> Answer {
        m.charge(m.heap.bytes(self.v).len() / 4)?;
        let mut open: heapless::Vec<Open, DEPTH> = heapless::Vec::new();
        let mut top = sp;
        // Whether an element may be missing here, as right behind an opening delimiter.
        let mut fresh = false;
        loop {
            self.skip_blanks(m);
            let Some(byte) = self.byte(m) else {
                return Err(self.wrong(m, "the text ends too early"));
            };
            let mut value = match byte {
                b'[' | b'{' => {
                    self.i += 1;
                    let frame = Open { object: byte == b'{', first: top };
                    if open.push(frame).is_err() {
                        return Err(self.wrong(m, "nested too deeply"));
                    }
                    fresh = true;
                    continue;
                }
                b']' | b'}' if fresh && open.last().is_some_and(|o| o.object == (byte == b'}')) => {
                    self.i += 1;
                    let frame = open.pop().unwrap_or(Open { object: false, first: top });
                    if frame.object { self.object(m, top, top)? } else { Value::NIL }
                }
                byte => {
                    // Keys are strings, with a colon behind them.
                    let key = open.last().is_some_and(|o| o.object && (top - o.first).is_multiple_of(2));
                    if key && byte != b'"' {
                        return Err(self.wrong(m, "a key that is no string"));
                    }
                    let value = self.leaf(m, byte)?;
                    if key {
                        self.skip_blanks(m);
                        if self.byte(m) != Some(b':') {
                            return Err(self.wrong(m, "a key without a colon"));
                        }
                        self.i += 1;
                        m.put_scratch(top, value)?;
                        top += 1;
                        fresh = false;
                        continue;
                    }
                    value
                }
            };
            // The value ends whatever ends behind it.
            loop {
                self.skip_blanks(m);
                let Some(frame) = open.last().copied() else {
                    return if self.byte(m).is_none() { Ok(value) } else { Err(self.wrong(m, "text behind the value")) };
                };
                m.put_scratch(top, value)?;
                top += 1;
                let byte = self.byte(m);
                self.i += 1;
                match byte {
                    Some(b',') => break,
                    Some(b'}') if frame.object => {
                        value = self.object(m, frame.first, top)?;
                    }
                    Some(b']') if !frame.object => {
                        let (items, heap) = m.args_and_heap(frame.first, top - frame.first);
                        value = heap.list(items, Value::NIL)?;
                    }
                    _ => {
                        self.i -= 1;
                        return Err(self.wrong(m, "no comma and no end"));
                    }
                }
                top = frame.first;
                open.pop();
            }
            fresh = false;
        }
    }
}

/// The character of a `\uXXXX`, with its second half when it has one. `i` is behind the `u`.
fn unicode(bytes: &[u8], i: &mut usize) -> Option<char> {
    let unit = |at: usize| {
        let hex = core::str::from_utf8(bytes.get(at..at + 4)?).ok()?;
        hex.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(hex, 16).ok())?
    };
    let first = unit(*i)?;
    *i += 4;
    if (0xd800..0xdc00).contains(&first) {
        if bytes.get(*i..*i + 2) != Some(b"\\u") {
            return None;
        }
        let second = unit(*i + 2)?;
        *i += 6;
        if !(0xdc00..0xe000).contains(&second) {
            return None;
        }
        return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
    }
    char::from_u32(first)
}

fn parse(m: &mut Machine<'_>, at: usize, maps: bool, name: &'static str) -> Answer {
    let v = m.at(at);
    if !v.is(tag::STRING) {
        let got = crate::print::type_name(v);
        return Err(fail(m, name, &["expected string, got ", got]));
    }
    Parser { v, i: 0, maps, name }.parse(m, at + 1)
}

pub(super) fn json_parse(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    parse(m, at, false, "json-parse")
}

/// `(json/parse text)`: objects are maps with keyword keys.
pub(super) fn parse_maps(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    parse(m, at, true, "json/parse")
}

/// `(json/array xs)`: what `json/write` writes as an array even when it is empty.
pub(super) fn array(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let list = super::list::list_arg(m, at)?;
    let map = m.heap.map(1)?;
    let key = m.intern(tag::KEYWORD, ARRAY)?;
    super::map::put(m, map, key, list)
}

fn push_string(w: &mut Writer<'_, '_>, v: Value) {
    w.push_bytes(b"\"");
    let mut i = 0;
    while let Some(byte) = w.heap().bytes(v).get(i).copied() {
        i += 1;
        match byte {
            b'"' => w.push_bytes(b"\\\""),
            b'\\' => w.push_bytes(b"\\\\"),
            b'\n' => w.push_bytes(b"\\n"),
            b'\r' => w.push_bytes(b"\\r"),
            b'\t' => w.push_bytes(b"\\t"),
            8 => w.push_bytes(b"\\b"),
            12 => w.push_bytes(b"\\f"),
            0..0x20 => {
                // A writer that is full says so when it is sealed.
                let _ = write!(w, "\\u{byte:04x}");
            }
            byte => w.push_bytes(&[byte]),
        }
    }
    w.push_bytes(b"\"");
}

/// How a list or map is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Pairs,
    Map,
}

#[derive(Clone, Copy)]
struct Part {
    v: Value,
    kind: Kind,
    next: usize,
}

/// Writes `v`; the name of what cannot be written.
fn write(w: &mut Writer<'_, '_>, v: Value, pairs: bool) -> Result<(), &'static str> {
    let mut stack: heapless::Vec<Part, DEPTH> = heapless::Vec::new();
    let mut current = v;
    loop {
        // Parts that are shared are written each time: without room, there is no end to it.
        if w.is_full() {
            return Ok(());
        }
        let heap = w.heap();
        let kind = match current.tag() {
            tag::MAP => match (heap.map_count(current) == 1).then(|| heap.map_entry(current, 0)) {
                Some((k, items)) if k.is(tag::KEYWORD) && heap.text(k) == ARRAY && items.is_list() => {
                    current = items;
                    Some(Kind::Array)
                }
                _ => Some(Kind::Map),
            },
            tag::LIST => {
                let pair = |v: Value| {
                    v.is_pair() && heap.length(v) == 2 && matches!(heap.first(v).tag(), tag::STRING | tag::SYMBOL | tag::KEYWORD)
                };
                Some(if pairs && heap.items(current).all(pair) { Kind::Pairs } else { Kind::Array })
            }
            _ => None,
        };
        match kind {
            Some(kind) => {
                w.push_bytes(if kind == Kind::Array { b"[" } else { b"{" });
                stack.push(Part { v: current, kind, next: 0 }).map_err(|_| "value that is nested too deeply")?;
            }
            None => leaf(w, current)?,
        }
        loop {
            let Some(part) = stack.last_mut() else {
                return Ok(());
            };
            let heap = w.heap();
            let (more, key, value) = match part.kind {
                Kind::Map if part.next < heap.map_count(part.v) => {
                    let (k, v) = heap.map_entry(part.v, part.next);
                    (true, Some(k), v)
                }
                Kind::Array | Kind::Pairs if part.v.is_pair() => {
                    let first = heap.first(part.v);
                    part.v = heap.rest(part.v);
                    if part.kind == Kind::Pairs {
                        (true, Some(heap.first(first)), heap.first(heap.rest(first)))
                    } else {
                        (true, None, first)
                    }
                }
                _ => (false, None, Value::NIL),
            };
            if more {
                let comma = part.next > 0;
                part.next += 1;
                if comma {
                    w.push_bytes(b",");
                }
                if let Some(key) = key {
                    match key.tag() {
                        tag::STRING | tag::SYMBOL | tag::KEYWORD => push_string(w, key),
                        0 => {
                            w.push_bytes(b"\"");
                            leaf(w, key)?;
                            w.push_bytes(b"\"");
                        }
                        _ => return Err("key that is no text"),
                    }
                    w.push_bytes(b":");
                }
                current = value;
                break;
            }
            let end: &[u8] = if part.kind == Kind::Array { b"]" } else { b"}" };
            w.push_bytes(end);
            stack.pop();
        }
    }
}

fn leaf(w: &mut Writer<'_, '_>, v: Value) -> Result<(), &'static str> {
    let (int, float) = (w.heap().as_int(v), w.heap().as_float(v));
    // A writer that is full says so when it is sealed.
    if let Some(i) = int {
        let _ = w.write_str(&digits(i));
    } else if let Some(f) = float {
        if !f.is_finite() {
            return Err("number that JSON does not have");
        }
        let _ = write!(w, "{f:?}");
    } else {
        match v.tag() {
            tag::CONST => w.push_bytes(match v {
                Value::TRUE => b"true",
                Value::FALSE => b"false",
                _ => b"null",
            }),
            tag::STRING | tag::SYMBOL | tag::KEYWORD => push_string(w, v),
            _ => return Err(crate::print::type_name(v)),
        }
    }
    Ok(())
}

fn written(m: &mut Machine<'_>, at: usize, pairs: bool, name: &str) -> Answer {
    let v = m.at(at);
    let mut wrong = None;
    let made = super::string::build(m, |w| wrong = write(w, v, pairs).err());
    match wrong {
        None => made,
        Some(what) => Err(fail(m, name, &["a ", what, " cannot be written"])),
    }
}

pub(super) fn json_stringify(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    written(m, at, true, "json-stringify")
}

/// `(json/write x)`: maps are objects, lists are arrays, nil is null.
pub(super) fn write_maps(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    written(m, at, false, "json/write")
}
