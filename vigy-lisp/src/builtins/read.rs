//! `read-string` and `read-all`: text as data, at run time and without an allocator.

use super::Answer;
use super::string::char_at;
use crate::case::is_space;
use crate::machine::{Machine, Stop, Tag};
use crate::number::digits;
use crate::value::{Value, tag};

/// Lists within lists that are read.
const DEPTH: usize = 128;

/// What encloses the datum that is being read: where its first element lies on the stack.
#[derive(Clone, Copy)]
enum Open {
    List { close: u8, first: usize },
    Prefix(&'static str),
    Skip,
}

fn fail(m: &mut Machine<'_>, at: usize, what: &str) -> Stop {
    m.error(Tag::Reader, &["reader: ", what, " at byte ", &digits(at as i64)])
}

fn ends_atom(c: char) -> bool {
    is_space(c) || matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '\'' | '`' | ',' | '"' | ';')
}

/// Reads data from byte `from` of the string `v` on, onto the stack from `sp` on: all of them, or one. Where the stack ends then.
fn read(m: &mut Machine<'_>, v: Value, sp: usize, all: bool) -> Result<usize, Stop> {
    let len = m.heap.bytes(v).len();
    m.charge(len / 4)?;
    let mut open: heapless::Vec<Open, DEPTH> = heapless::Vec::new();
    let mut top = sp;
    let mut i = 0;
    while let Some((c, _)) = char_at(m.heap.bytes(v), i) {
        let start = i;
        i += c.len_utf8();
        let peek = m.heap.bytes(v).get(i).copied();
        let too_deep = |m: &mut Machine<'_>| fail(m, start, "nested too deeply");
        let value = match c {
            _ if is_space(c) => continue,
            ';' => {
                while m.heap.bytes(v).get(i).is_some_and(|b| *b != b'\n') {
                    i += 1;
                }
                continue;
            }
            '#' if peek == Some(b';') => {
                i += 1;
                open.push(Open::Skip).map_err(|_| too_deep(m))?;
                continue;
            }
            '#' if peek == Some(b'|') => {
                let mut depth = 0;
                i = start;
                loop {
                    match m.heap.bytes(v).get(i..i + 2) {
                        Some(b"#|") => (depth, i) = (depth + 1, i + 2),
                        Some(b"|#") => (depth, i) = (depth - 1, i + 2),
                        Some(_) => i += 1,
                        None => return Err(fail(m, start, "a comment without an end")),
                    }
                    if depth == 0 {
                        break;
                    }
                }
                continue;
            }
            '(' | '[' | '{' => {
                let close = match c {
                    '(' => b')',
                    '[' => b']',
                    _ => b'}',
                };
                open.push(Open::List { close, first: top }).map_err(|_| too_deep(m))?;
                continue;
            }
            ')' | ']' | '}' => match open.pop() {
                Some(Open::List { close, first }) if close == c as u8 => {
                    let n = top - first;
                    top = first;
                    if close == b'}' {
                        if !n.is_multiple_of(2) {
                            return Err(fail(m, start, "a map with a key without a value"));
                        }
                        let mut map = m.heap.map(n / 2)?;
                        for k in (0..n).step_by(2) {
                            let (key, x) = (m.at(first + k), m.at(first + k + 1));
                            map = super::map::put(m, map, key, x)?;
                        }
                        map
                    } else {
                        let (items, heap) = m.args_and_heap(first, n);
                        heap.list(items, Value::NIL)?
                    }
                }
                _ => return Err(fail(m, start, "an unmatched closing delimiter")),
            },
            '\'' | '`' | ',' => {
                let inside = open.iter().rev().find_map(|o| match o {
                    Open::List { close, .. } => Some(*close != b')'),
                    _ => None,
                });
                let blank = char_at(m.heap.bytes(v), i).is_none_or(|(c, _)| is_space(c));
                if c == ',' && inside == Some(true) && blank {
                    continue;
                }
                let name = match c {
                    '\'' => "quote",
                    '`' => "quasiquote",
                    _ if peek == Some(b'@') => {
                        i += 1;
                        "unquote-splice"
                    }
                    _ => "unquote",
                };
                open.push(Open::Prefix(name)).map_err(|_| too_deep(m))?;
                continue;
            }
            '"' => {
                let (value, end) = string(m, v, i, start)?;
                i = end;
                value
            }
            _ => {
                while char_at(m.heap.bytes(v), i).is_some_and(|(c, _)| !ends_atom(c)) {
                    i += char_at(m.heap.bytes(v), i).map_or(1, |(_, width)| width);
                }
                atom(m, v, start, i)?
            }
        };
        let mut value = Some(value);
        while let Some(Open::Prefix(_) | Open::Skip) = open.last() {
            match open.pop() {
                Some(Open::Prefix(name)) => {
                    let head = m.intern(tag::SYMBOL, name)?;
                    if let Some(x) = value {
                        value = Some(m.heap.list(&[head.0, x.0], Value::NIL)?);
                    }
                }
                _ => value = None,
            }
            if value.is_none() {
                break;
            }
        }
        if let Some(x) = value {
            m.charge(8)?;
            m.put_scratch(top, x)?;
            top += 1;
            if open.is_empty() && !all {
                return Ok(top);
            }
        }
    }
    if open.is_empty() { Ok(top) } else { Err(fail(m, len, "the text ends within a datum")) }
}

fn string(m: &mut Machine<'_>, v: Value, from: usize, start: usize) -> Result<(Value, usize), Stop> {
    let mut end = from;
    let mut bad = None;
    let made = super::string::build(m, |w| {
        let mut i = from;
        loop {
            let Some(byte) = w.heap().bytes(v).get(i).copied() else {
                bad = Some("a string without an end");
                return;
            };
            i += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    let Some((c, _)) = char_at(w.heap().bytes(v), i) else {
                        bad = Some("a string without an end");
                        return;
                    };
                    i += c.len_utf8();
                    match c {
                        'n' => w.push_bytes(b"\n"),
                        't' => w.push_bytes(b"\t"),
                        'r' => w.push_bytes(b"\r"),
                        'u' => {
                            let rest = w.heap().bytes(v).get(i..).unwrap_or_default();
                            let close = rest.iter().take(12).position(|b| *b == b'}');
                            let code = close
                                .and_then(|n| core::str::from_utf8(&rest[..n]).ok())
                                .and_then(|h| h.strip_prefix('{'))
                                .and_then(|h| u32::from_str_radix(h, 16).ok())
                                .and_then(char::from_u32);
                            let (Some(n), Some(c)) = (close, code) else {
                                bad = Some("a malformed `\\u` in a string");
                                return;
                            };
                            i += n + 1;
                            w.push_bytes(c.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        other => w.push_bytes(other.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
                byte => w.push_bytes(&[byte]),
            }
        }
        end = i;
    });
    match bad {
        Some(what) => Err(fail(m, start, what)),
        None => Ok((made?, end)),
    }
}

/// The value that an atom spells.
fn atom(m: &mut Machine<'_>, v: Value, start: usize, end: usize) -> Answer {
    // Numbers are short; a longer atom is a name.
    let mut short = [0u8; 64];
    let bytes = &m.heap.bytes(v)[start..end];
    let n = bytes.len().min(short.len());
    short[..n].copy_from_slice(&bytes[..n]);
    if bytes.len() <= short.len()
        && let Ok(text) = core::str::from_utf8(&short[..n])
    {
        match text {
            "#t" | "true" => return Ok(Value::TRUE),
            "#f" | "false" => return Ok(Value::FALSE),
            "nil" => return Ok(Value::NIL),
            _ => {}
        }
        if let Some(name) = text.strip_prefix(':') {
            return Ok(m.intern(tag::KEYWORD, name)?);
        }
        return match crate::number::parse(text) {
            Some(Ok(crate::number::Parsed::Int(i))) => Ok(m.heap.int(i)?),
            Some(Ok(crate::number::Parsed::Float(f))) => Ok(m.heap.float(f)?),
            Some(Err(())) => Err(fail(m, start, "a number that does not fit")),
            None => Ok(m.intern(tag::SYMBOL, text)?),
        };
    }
    let keyword = m.heap.bytes(v)[start] == b':';
    let text = super::string::part(m, v, start + usize::from(keyword), end)?;
    Ok(m.intern_value(if keyword { tag::KEYWORD } else { tag::SYMBOL }, text)?)
}

pub(super) fn read_string(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = super::string::text(m, at)?;
    let sp = at + 1;
    if read(m, v, sp, false)? == sp {
        return Err(m.error(Tag::NativeFn, &["`read-string`: there is nothing to read"]));
    }
    Ok(m.at(sp))
}

pub(super) fn read_all(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = super::string::text(m, at)?;
    let sp = at + 1;
    let top = read(m, v, sp, true)?;
    let (items, heap) = m.args_and_heap(sp, top - sp);
    Ok(heap.list(items, Value::NIL)?)
}
