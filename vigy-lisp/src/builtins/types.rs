//! `is?`, `the` and `cast`: types as keywords and lists.

use core::fmt::Write;

use super::Answer;
use crate::machine::{Machine, Message, Stop, Tag};
use crate::print::{self, Style};
use crate::value::{Value, tag};

/// Types within types, values within lists: up to here.
const DEPTH: usize = 16;

const INTS: &[(&str, i64, i64)] = &[
    ("int", i64::MIN, i64::MAX),
    ("i64", i64::MIN, i64::MAX),
    ("i32", i32::MIN as i64, i32::MAX as i64),
    ("i16", i16::MIN as i64, i16::MAX as i64),
    ("i8", i8::MIN as i64, i8::MAX as i64),
    ("u64", 0, i64::MAX),
    ("usize", 0, i64::MAX),
    ("u32", 0, u32::MAX as i64),
    ("u16", 0, u16::MAX as i64),
    ("u8", 0, u8::MAX as i64),
];

/// Types that are named as messages name them.
const NAMED: [&str; 9] = ["nil", "bool", "string", "symbol", "keyword", "map", "error", "promise", "foreign"];

fn bad(m: &mut Machine<'_>, reason: &str) -> Stop {
    m.error(Tag::NativeFn, &["not a type: ", reason])
}

fn matches(m: &mut Machine<'_>, v: Value, spec: Value, depth: usize) -> Result<bool, Stop> {
    m.charge(1)?;
    if depth > DEPTH {
        return Err(bad(m, "nested too deeply"));
    }
    if spec.is(tag::KEYWORD) {
        let heap = &m.heap;
        let name = heap.text(spec);
        if let Some((_, min, max)) = INTS.iter().find(|row| row.0 == name) {
            return Ok(heap.as_int(v).is_some_and(|i| i >= *min && i <= *max));
        }
        let number = heap.as_int(v).is_some() || heap.as_float(v).is_some();
        return match name {
            "any" => Ok(true),
            "number" | "float" | "f64" | "f32" => Ok(number),
            "list" => Ok(v.is_list()),
            "procedure" | "fn" => Ok(v.is_callable()),
            _ if NAMED.contains(&name) => Ok(print::type_name(v) == name),
            _ => Err(bad(m, "an unknown keyword")),
        };
    }
    if !spec.is_pair() || !m.heap.first(spec).is(tag::KEYWORD) {
        return Err(bad(m, "neither a keyword nor a list that starts with one"));
    }
    let head = m.heap.first(spec);
    let mut rest = m.heap.rest(spec);
    let n = m.heap.length(rest);
    match (m.heap.text(head), n) {
        ("fn", _) => Ok(v.is_callable()),
        ("list-of", 1) => {
            if !v.is_list() {
                return Ok(false);
            }
            let inner = m.heap.first(rest);
            let mut list = v;
            while list.is_pair() {
                let item = m.heap.first(list);
                if !matches(m, item, inner, depth + 1)? {
                    return Ok(false);
                }
                list = m.heap.rest(list);
            }
            Ok(true)
        }
        ("map-of", 2) => {
            if !v.is(tag::MAP) {
                return Ok(false);
            }
            let key = m.heap.first(rest);
            let second = m.heap.rest(rest);
            let value = m.heap.first(second);
            for i in 0..m.heap.map_count(v) {
                let (k, x) = m.heap.map_entry(v, i);
                if !matches(m, k, key, depth + 1)? || !matches(m, x, value, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ("union", _) => {
            while rest.is_pair() {
                let one = m.heap.first(rest);
                if matches(m, v, one, depth + 1)? {
                    return Ok(true);
                }
                rest = m.heap.rest(rest);
            }
            Ok(false)
        }
        _ => Err(bad(m, "an unknown form")),
    }
}

pub(super) fn is(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (v, spec) = (m.at(at), m.at(at + 1));
    Ok(Value::bool(matches(m, v, spec, 0)?))
}

fn refuse(m: &mut Machine<'_>, kind: Tag, spec: Value, v: Value) -> Stop {
    let mut text = Message::default();
    // A message keeps what fits.
    let _ = text.write_str("expected ");
    let _ = print::write(m, spec, Style::Readable, &mut text);
    let _ = text.write_str(", got ");
    let _ = print::write(m, v, Style::Readable, &mut text);
    match m.make_error(kind.text(), &[text.as_str()]) {
        Ok(e) => m.stop(Stop::Thrown, e),
        Err(e) => e.into(),
    }
}

pub(super) fn the(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (spec, v) = (m.at(at), m.at(at + 1));
    if matches(m, v, spec, 0)? { Ok(v) } else { Err(refuse(m, Tag::TypeMismatch, spec, v)) }
}

/// `(cast type value)`: ints to doubles and to narrower ints, in range; nothing else changes.
pub(super) fn cast(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (spec, v) = (m.at(at), m.at(at + 1));
    if spec.is(tag::KEYWORD) {
        let name = m.heap.text(spec);
        let float = m.heap.as_int(v).map(|i| i as f64).or_else(|| m.heap.as_float(v));
        if let Some(f) = float {
            match name {
                "float" | "f64" => return Ok(m.heap.float(f)?),
                "f32" if f.is_finite() && !(f as f32).is_finite() => return Err(refuse(m, Tag::OutOfRange, spec, v)),
                "f32" => return Ok(m.heap.float(f64::from(f as f32))?),
                _ => {}
            }
        }
        if let (Some(i), Some((_, min, max))) = (m.heap.as_int(v), INTS.iter().find(|row| row.0 == name))
            && (i < *min || i > *max)
        {
            return Err(refuse(m, Tag::OutOfRange, spec, v));
        }
    }
    if matches(m, v, spec, 0)? { Ok(v) } else { Err(refuse(m, Tag::TypeMismatch, spec, v)) }
}

/// `(%type-name x)`: as messages name types.
pub(super) fn name(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let name = print::type_name(m.at(at));
    Ok(m.heap.string(name)?)
}
