//! Equality, hashing and order of values, without native recursion over their depth.

use crate::heap::{Heap, hash_end, hash_word};
use crate::map::MapError;
use crate::value::{Value, tag};

/// Why a comparison could not be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    TooDeep,
    OutOfFuel,
    /// No builtin that is linked has to do with maps.
    #[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "a host has all there is to maps"))]
    NoMaps,
}

/// Nesting up to which values are compared and hashed.
pub(crate) const COMPARE_DEPTH: usize = 128;
/// Maps may be keys of maps that are keys of maps, up to here.
const KEY_LEVELS: u8 = 4;

/// How strictly numbers compare.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// `1` and `1.0` are equal, NaN equals nothing, zeros are equal: `=`.
    Value,
    /// Kinds must agree, NaN equals nothing, zeros are equal: `equal?`.
    Kind,
    /// Keys of maps: kinds must agree, doubles by their bits.
    Bits,
}

/// Exact order of an int and a double, without rounding either.
pub(crate) fn compare_int_float(i: i64, f: f64) -> Option<core::cmp::Ordering> {
    use core::cmp::Ordering::{Equal, Less};
    // Rounded, an int may meet the double, but does not get past it.
    match compare_floats(i as f64, f)? {
        // No double is the greatest int: this one is 2^63.
        Equal if f as i64 == i64::MAX => Some(Less),
        Equal => Some(i.cmp(&(f as i64))),
        apart => Some(apart),
    }
}

/// The order of two doubles; on bare metal, where they are compared in software, by their bits.
fn compare_floats(a: f64, b: f64) -> Option<core::cmp::Ordering> {
    if cfg!(target_os = "none") { compare_bits(a, b) } else { a.partial_cmp(&b) }
}

fn compare_bits(a: f64, b: f64) -> Option<core::cmp::Ordering> {
    // Ints in the same order; both zeros are one.
    let place = |x: f64| {
        let size = (x.to_bits() & (u64::MAX >> 1)) as i64;
        if x.is_sign_negative() { -size } else { size }
    };
    let (a, b) = (place(a), place(b));
    let nan = a.unsigned_abs().max(b.unsigned_abs()) > f64::INFINITY.to_bits();
    (!nan).then(|| a.cmp(&b))
}

/// Order of two numbers; `None` when one is NaN or no number.
pub(crate) fn compare_numbers(heap: &Heap<'_>, a: Value, b: Value) -> Option<core::cmp::Ordering> {
    match (heap.as_int(a), heap.as_int(b)) {
        (Some(x), Some(y)) => Some(x.cmp(&y)),
        (Some(x), None) => compare_int_float(x, heap.as_float(b)?),
        (None, Some(y)) => compare_int_float(y, heap.as_float(a)?).map(core::cmp::Ordering::reverse),
        (None, None) => compare_floats(heap.as_float(a)?, heap.as_float(b)?),
    }
}

/// What two values of the same shape still have to compare.
#[derive(Clone, Copy)]
struct Pair {
    a: Value,
    b: Value,
    /// Next map entry or error field; lists advance `a` and `b` themselves.
    next: u32,
}

pub(crate) fn same_key(heap: &Heap<'_>, a: Value, b: Value, fuel: &mut i64) -> Result<bool, Work> {
    // By their bits, what is the same word is equal.
    if a == b {
        return Ok(true);
    }
    if a.is(tag::STRING) && b.is(tag::STRING) {
        let (a, b) = (heap.string_words(a), heap.string_words(b));
        *fuel -= a.0 as i64 / 64;
        return Ok(a == b);
    }
    equal_at(heap, a, b, Numbers::Bits, fuel, 0)
}

/// Whether two values are equal. Maps compare without regard to order; functions, promises and channels by identity.
pub(crate) fn equal(heap: &Heap<'_>, a: Value, b: Value, numbers: Numbers, fuel: &mut i64) -> Result<bool, Work> {
    equal_at(heap, a, b, numbers, fuel, 0)
}

/// Equality of what has no parts; `None` when the parts decide.
fn equal_leaf(heap: &Heap<'_>, a: Value, b: Value, numbers: Numbers) -> Option<bool> {
    let is_number = |v: Value| matches!(v.tag(), 0 | 2 | tag::INT | tag::FLOAT);
    if is_number(a) && is_number(b) {
        return Some(match numbers {
            // A small number has one word, a boxed one the word behind its header.
            Numbers::Bits => a == b || a.tag() == b.tag() && a.is_object() && heap.field(a, 0) == heap.field(b, 0),
            Numbers::Kind if heap.as_int(a).is_some() != heap.as_int(b).is_some() => false,
            Numbers::Kind | Numbers::Value => compare_numbers(heap, a, b) == Some(core::cmp::Ordering::Equal),
        });
    }
    if a.tag() != b.tag() {
        return Some(false);
    }
    match a.tag() {
        tag::STRING => Some(heap.bytes(a) == heap.bytes(b)),
        // Sharing decides nothing: a shared list may hold NaN, which is not equal to itself.
        tag::LIST => (heap.length(a) != heap.length(b)).then_some(false),
        tag::MAP => (heap.map_count(a) != heap.map_count(b)).then_some(false),
        tag::ERROR => None,
        _ => Some(a == b),
    }
}

fn equal_at(heap: &Heap<'_>, a: Value, b: Value, numbers: Numbers, fuel: &mut i64, level: u8) -> Result<bool, Work> {
    if let Some(answer) = equal_leaf(heap, a, b, numbers) {
        *fuel -= (a.is(tag::STRING) as i64) * (heap.bytes(a).len() as i64 / 64);
        return Ok(answer);
    }
    if level >= KEY_LEVELS {
        return Err(Work::TooDeep);
    }
    let mut stack: heapless::Vec<Pair, COMPARE_DEPTH> = heapless::Vec::new();
    let mut pair = Pair { a, b, next: 0 };
    loop {
        *fuel -= 1;
        if *fuel < 0 {
            return Err(Work::OutOfFuel);
        }
        let parts = match pair.a.tag() {
            tag::LIST => {
                let parts = (heap.first(pair.a), heap.first(pair.b));
                pair.a = heap.rest(pair.a);
                pair.b = heap.rest(pair.b);
                Some(parts)
            }
            tag::MAP if (pair.next as usize) < heap.map_count(pair.a) => {
                let (key, value) = heap.map_entry(pair.a, pair.next as usize);
                pair.next += 1;
                match map_lookup(heap, pair.b, key, fuel, level)? {
                    Some(other) => Some((value, other)),
                    None => return Ok(false),
                }
            }
            tag::ERROR if pair.next < 3 => {
                pair.next += 1;
                Some((heap.field(pair.a, pair.next - 1), heap.field(pair.b, pair.next - 1)))
            }
            _ => None,
        };
        match parts {
            None => match stack.pop() {
                Some(below) => pair = below,
                None => return Ok(true),
            },
            Some((x, y)) => match equal_leaf(heap, x, y, numbers) {
                Some(false) => return Ok(false),
                Some(true) => {}
                None => {
                    // A finished list needs no way back.
                    if !pair.a.is_nil() {
                        stack.push(pair).map_err(|_| Work::TooDeep)?;
                    }
                    pair = Pair { a: x, b: y, next: 0 };
                }
            },
        }
    }
}

fn map_lookup(heap: &Heap<'_>, map: Value, key: Value, fuel: &mut i64, level: u8) -> Result<Option<Value>, Work> {
    if !matches!(key.tag(), tag::LIST | tag::MAP) {
        return heap.map_get(map, key, fuel).map_err(|e| match e {
            MapError::Work(w) => w,
            MapError::Exhausted | MapError::Unhashable(_) => Work::TooDeep,
        });
    }
    for i in 0..heap.map_count(map) {
        let (k, v) = heap.map_entry(map, i);
        if equal_at(heap, k, key, Numbers::Bits, fuel, level + 1)? {
            return Ok(Some(v));
        }
    }
    Ok(None)
}

fn mix(h: u32, word: u64) -> u32 {
    hash_end(hash_word(u64::from(h), word))
}

/// The hash of a key that is its word and nothing else.
#[inline]
pub(crate) fn hash_plain_key(heap: &Heap<'_>, key: Value) -> u32 {
    match key.tag() {
        // A name made at run time may move: it hashes by its text.
        tag::SYMBOL | tag::KEYWORD if !key.frozen() => mix(u32::from(key.tag()), heap.field(key, 0).0),
        _ => mix(7, key.0),
    }
}

fn hash_leaf(heap: &Heap<'_>, v: Value) -> Option<u32> {
    Some(match v.tag() {
        0 | 2 | tag::CONST | tag::SYMBOL | tag::KEYWORD => hash_plain_key(heap, v),
        tag::INT | tag::FLOAT => mix(u32::from(v.tag()), heap.field(v, 0).0),
        tag::STRING => heap.hash_string(v),
        tag::LIST => mix(11, heap.length(v) as u64),
        tag::MAP => mix(13, heap.map_count(v) as u64),
        _ => return None,
    })
}

/// The hash of a key. A list hashes by its length and its elements, what is inside those by kind and size.
#[cfg_attr(not(target_os = "none"), inline(always))]
pub(crate) fn hash_key(heap: &Heap<'_>, key: Value, fuel: &mut i64) -> Result<u32, MapError> {
    if key.is(tag::STRING) {
        Ok(heap.hash_string(key))
    } else if key.is(tag::KEYWORD) {
        Ok(hash_plain_key(heap, key))
    } else {
        hash_any_key(heap, key, fuel)
    }
}

// Out of line: its stack is large, and most keys are texts and keywords.
#[inline(never)]
fn hash_any_key(heap: &Heap<'_>, key: Value, fuel: &mut i64) -> Result<u32, MapError> {
    let Some(mut hash) = hash_leaf(heap, key) else {
        return Err(MapError::Unhashable(key));
    };
    if !matches!(key.tag(), tag::LIST | tag::MAP) {
        return Ok(hash);
    }
    if key.is(tag::LIST) {
        for item in heap.items(key) {
            hash = mix(hash, u64::from(hash_leaf(heap, item).ok_or(MapError::Unhashable(item))?));
        }
    }
    // Everything inside must be hashable too.
    let mut stack: heapless::Vec<(Value, u32), COMPARE_DEPTH> = heapless::Vec::new();
    let mut at = (key, 0);
    loop {
        *fuel -= 1;
        if *fuel < 0 {
            return Err(Work::OutOfFuel.into());
        }
        let part = match at.0.tag() {
            tag::LIST => {
                let first = heap.first(at.0);
                at.0 = heap.rest(at.0);
                Some(first)
            }
            tag::MAP if (at.1 as usize) < 2 * heap.map_count(at.0) => {
                let (k, v) = heap.map_entry(at.0, at.1 as usize / 2);
                at.1 += 1;
                Some(if at.1 % 2 == 1 { k } else { v })
            }
            _ => None,
        };
        match part {
            None => match stack.pop() {
                Some(below) => at = below,
                None => return Ok(hash),
            },
            Some(part) => {
                hash_leaf(heap, part).ok_or(MapError::Unhashable(part))?;
                if matches!(part.tag(), tag::LIST | tag::MAP) {
                    if !at.0.is_nil() {
                        stack.push(at).map_err(|_| Work::TooDeep)?;
                    }
                    at = (part, 0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_the_order_of_their_bits() {
        let limit = 9_223_372_036_854_775_808.0;
        let sizes =
            [0.0, 5e-324, 0.5, 1.0, 1.5, 9_007_199_254_740_992.0, 9_007_199_254_740_994.0, limit - 1024.0, limit, 1e300, f64::INFINITY];
        let floats = || sizes.into_iter().flat_map(|x| [x, -x]).chain([f64::NAN]);
        for (a, b) in floats().flat_map(|a| floats().map(move |b| (a, b))) {
            assert_eq!(compare_bits(a, b), a.partial_cmp(&b), "{a} {b}");
        }
        let ints = [
            0,
            1,
            2,
            (1 << 53) - 1,
            1 << 53,
            (1 << 53) + 1,
            (1 << 53) + 3,
            i64::MAX - 1024,
            i64::MAX - 1,
            i64::MAX,
            i64::MIN,
            i64::MIN + 1,
        ];
        for (i, f) in ints.into_iter().flat_map(|i| [i, i.wrapping_neg()]).flat_map(|i| floats().map(move |f| (i, f))) {
            // Doubles below 2^127 without a part behind the point are exact as ints of 128 bits.
            let exactly = if f.fract() == 0.0 && f.abs() < 1e38 { i128::from(i).cmp(&(f as i128)) } else { continue };
            assert_eq!(compare_int_float(i, f), Some(exactly), "{i} {f}");
        }
        assert_eq!(compare_int_float(0, 0.5), Some(core::cmp::Ordering::Less));
        assert_eq!(compare_int_float(-1, -1.5), Some(core::cmp::Ordering::Greater));
        assert_eq!(compare_int_float(i64::MAX, f64::NAN), None);
        assert_eq!(compare_int_float(i64::MAX, f64::INFINITY), Some(core::cmp::Ordering::Less));
    }
}
