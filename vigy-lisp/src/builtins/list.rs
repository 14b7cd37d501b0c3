//! Lists. Everything here works through runs of chunks, not element by element where it can.

use super::Answer;
use crate::machine::{Machine, Stop, Tag};
use crate::value::{Value, tag};

/// Argument `at` as a list.
pub(super) fn list_arg(m: &mut Machine<'_>, at: usize) -> Result<Value, Stop> {
    let v = m.at(at);
    if v.is_list() { Ok(v) } else { Err(m.mismatch("list", v)) }
}

pub(super) fn list(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let (args, heap) = m.args_and_heap(at, n);
    Ok(heap.list(args, Value::NIL)?)
}

pub(super) fn cons(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let first = m.at(at);
    let rest = list_arg(m, at + 1)?;
    Ok(m.heap.cons(first, rest)?)
}

/// `(list* a b rest)`
pub(super) fn list_star(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let rest = list_arg(m, at + n - 1)?;
    let (args, heap) = m.args_and_heap(at, n - 1);
    Ok(heap.list(args, rest)?)
}

fn pair(m: &mut Machine<'_>, at: usize, name: &str) -> Result<Value, Stop> {
    let v = m.at(at);
    if v.is_pair() {
        Ok(v)
    } else if v.is_nil() {
        Err(m.error(Tag::NativeFn, &["`", name, "`: expected pair, got the empty list"]))
    } else {
        Err(m.mismatch("pair", v))
    }
}

pub(super) fn car(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = pair(m, at, "car")?;
    Ok(m.heap.first(v))
}
pub(super) fn cdr(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = pair(m, at, "cdr")?;
    Ok(m.heap.rest(v))
}
pub(super) fn first(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = list_arg(m, at)?;
    Ok(if v.is_nil() { v } else { m.heap.first(v) })
}
pub(super) fn rest(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = list_arg(m, at)?;
    Ok(if v.is_nil() { v } else { m.heap.rest(v) })
}
pub(super) fn second(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    element(m, at, 1, "second")
}
pub(super) fn third(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    element(m, at, 2, "third")
}

fn element(m: &mut Machine<'_>, at: usize, i: usize, name: &str) -> Answer {
    let v = list_arg(m, at)?;
    let v = m.heap.drop_first(v, i);
    if v.is_nil() {
        return Err(m.error(Tag::NativeFn, &["`", name, "`: the list is too short"]));
    }
    Ok(m.heap.first(v))
}

pub(super) fn last(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = pair(m, at, "last")?;
    let n = m.heap.length(v);
    let v = m.heap.drop_first(v, n - 1);
    Ok(m.heap.first(v))
}

pub(super) fn butlast(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = pair(m, at, "butlast")?;
    let n = m.heap.length(v);
    take_n(m, v, n - 1)
}

pub(super) fn length(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = list_arg(m, at)?;
    Ok(Value::index(m.heap.length(v)))
}

/// `(count x)` of lists, maps and strings.
pub(super) fn count(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    Ok(Value::index(match v.object_tag() {
        tag::LIST => m.heap.length(v),
        tag::MAP => m.heap.map_count(v),
        tag::STRING => return super::string::length(m, at, 1),
        _ if v.is_nil() => 0,
        _ => return Err(m.mismatch("list, map or string", v)),
    }))
}

/// `(empty? xs)`: asks about lists. A map and a string are never empty lists: their `count` is 0.
pub(super) fn is_empty(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    Ok(Value::bool(m.at(at).is_nil()))
}

pub(super) fn not_empty(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    Ok(Value::bool(is_empty(m, at, n)? == Value::FALSE))
}

/// A buffer with the first `n` elements of `v` pushed.
fn copy_into(m: &mut Machine<'_>, buffer: Value, mut v: Value, mut n: usize) {
    while n > 0 && v.is_pair() {
        let take = m.heap.run(v).0.len().min(n);
        for i in 0..take {
            let item = m.heap.first(v);
            m.heap.buffer_push(buffer, item);
            let _ = i;
            v = m.heap.rest(v);
        }
        n -= take;
    }
}

fn take_n(m: &mut Machine<'_>, v: Value, n: usize) -> Answer {
    let n = n.min(m.heap.length(v));
    m.charge(n / 8)?;
    if n == m.heap.length(v) {
        return Ok(v);
    }
    let buffer = m.heap.buffer(n)?;
    copy_into(m, buffer, v, n);
    Ok(m.heap.buffer_seal(buffer, Value::NIL))
}

pub(super) fn append(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    for i in 0..n {
        list_arg(m, at + i)?;
    }
    if n == 0 {
        return Ok(Value::NIL);
    }
    let mut last = n - 1;
    while last > 0 && m.at(at + last).is_nil() {
        last -= 1;
    }
    let tail = m.at(at + last);
    let total: usize = (0..last).map(|i| m.heap.length(m.at(at + i))).sum();
    if total == 0 {
        return Ok(tail);
    }
    m.charge(total / 8)?;
    let buffer = m.heap.buffer(total)?;
    for i in 0..last {
        let v = m.at(at + i);
        copy_into(m, buffer, v, usize::MAX);
    }
    Ok(m.heap.buffer_seal(buffer, tail))
}

pub(super) fn reverse(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = list_arg(m, at)?;
    reversed(m, v)
}

pub(super) fn reversed(m: &mut Machine<'_>, v: Value) -> Answer {
    let n = m.heap.length(v);
    if n < 2 {
        return Ok(v);
    }
    m.charge(n / 8)?;
    backwards(m, v)
}

/// The elements of a list, the last one first.
fn backwards(m: &mut Machine<'_>, mut list: Value) -> Answer {
    let n = m.heap.length(list);
    let buffer = m.heap.buffer(n)?;
    let start = buffer.index_of() as usize + 2;
    for i in (0..n).rev() {
        m.heap.words[start + i] = m.heap.first(list).0;
        list = m.heap.rest(list);
    }
    m.heap.words[buffer.index_of() as usize] += (n as u64) << 8;
    Ok(m.heap.buffer_seal(buffer, Value::NIL))
}

/// The number of elements that `take` and `drop` speak of.
fn amount(m: &mut Machine<'_>, at: usize) -> Result<usize, Stop> {
    let v = m.at(at);
    let n = super::number::int(m, v)?;
    Ok(usize::try_from(n.max(0)).unwrap_or(usize::MAX))
}

pub(super) fn take(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let n = amount(m, at)?;
    let v = list_arg(m, at + 1)?;
    take_n(m, v, n)
}

pub(super) fn drop(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let n = amount(m, at)?;
    let v = list_arg(m, at + 1)?;
    Ok(m.heap.drop_first(v, n))
}

fn nth_of(m: &mut Machine<'_>, i: Value, v: Value) -> Answer {
    let i = super::number::int(m, i)?;
    let Ok(i) = usize::try_from(i) else {
        return Ok(Value::NIL);
    };
    let v = m.heap.drop_first(v, i);
    Ok(if v.is_nil() { v } else { m.heap.first(v) })
}

/// `(nth i xs)`, nil out of range.
pub(super) fn nth(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = list_arg(m, at + 1)?;
    let i = m.at(at);
    nth_of(m, i, v)
}

/// `(%part xs i)`: for destructuring; nil out of range.
pub(super) fn part(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = list_arg(m, at)?;
    let i = m.at(at + 1);
    nth_of(m, i, v)
}

/// `(%parts xs n)`: for destructuring; the list without its first `n` elements.
pub(super) fn parts(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = list_arg(m, at)?;
    let n = amount(m, at + 1)?;
    Ok(m.heap.drop_first(v, n))
}

/// `(range end)`, `(range start end)`, `(range start end step)`
pub(super) fn range(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let ints = (0..n).all(|i| m.heap.as_int(m.at(at + i)).is_some());
    if !ints {
        return range_of_floats(m, at, n);
    }
    let arg = |i: usize| m.heap.as_int(m.at(at + i)).unwrap_or_default();
    let (start, end, step) = match n {
        1 => (0, arg(0), 1),
        2 => (arg(0), arg(1), 1),
        _ => (arg(0), arg(1), arg(2)),
    };
    if step == 0 {
        return Err(m.error(Tag::NativeFn, &["`range`: a step of zero"]));
    }
    // From the lower end to the higher one: less than 2^64, even where the difference itself does not fit.
    let (low, high) = if step > 0 { (start, end) } else { (end, start) };
    let span = if low < high { high.wrapping_sub(low) as u64 } else { 0 };
    let len = usize::try_from(span.div_ceil(step.unsigned_abs())).map_err(|_| Stop::OutOfHeap)?;
    m.charge(len / 8)?;
    let buffer = m.heap.buffer(len)?;
    let mut x = start;
    for _ in 0..len {
        let v = m.heap.int(x)?;
        m.heap.buffer_push(buffer, v);
        x = x.wrapping_add(step);
    }
    Ok(m.heap.buffer_seal(buffer, Value::NIL))
}

fn range_of_floats(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let mut xs = [0.0; 3];
    for (i, x) in xs.iter_mut().enumerate().take(n) {
        let v = m.at(at + i);
        *x = super::number::num(m, v)?.float();
    }
    let (start, end, step) = match n {
        1 => (0.0, xs[0], 1.0),
        2 => (xs[0], xs[1], 1.0),
        _ => (xs[0], xs[1], xs[2]),
    };
    if step == 0.0 || step.is_nan() {
        return Err(m.error(Tag::NativeFn, &["`range`: a step of zero"]));
    }
    let mut list = Value::NIL;
    let mut x = start;
    while (step > 0.0 && x < end) || (step < 0.0 && x > end) {
        m.charge(1)?;
        let v = m.heap.float(x)?;
        list = m.heap.cons(v, list)?;
        if x + step == x {
            return Err(m.error(Tag::NativeFn, &["`range`: a step too small to matter"]));
        }
        x += step;
    }
    backwards(m, list)
}

/// `(%buf n)`: a list under construction; the prelude's functions fill it.
pub(super) fn buffer(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let n = amount(m, at)?;
    m.charge(n / 64)?;
    Ok(m.heap.buffer(n)?)
}
pub(super) fn push(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (buffer, v) = (m.at(at), m.at(at + 1));
    if m.heap.is_open_buffer(buffer) {
        m.heap.buffer_push(buffer, v);
    }
    Ok(Value::NIL)
}
pub(super) fn seal(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let buffer = m.at(at);
    Ok(if m.heap.is_open_buffer(buffer) { m.heap.buffer_seal(buffer, Value::NIL) } else { Value::NIL })
}

/// `(seq x)`: lists and maps as lists, strings as lists of one-character strings, nil when empty.
pub(super) fn seq(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let v = m.at(at);
    match v.object_tag() {
        tag::MAP => super::map::entries(m, at, n),
        tag::STRING => super::string::chars(m, at, n),
        _ => list_arg(m, at),
    }
}

pub(super) fn member(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    Ok(Value::bool(find(m, at)?.is_some()))
}

pub(super) fn position(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    Ok(match find(m, at)? {
        Some(i) => Value::index(i),
        None => Value::small_int(-1).unwrap_or(Value::NIL),
    })
}

fn find(m: &mut Machine<'_>, at: usize) -> Result<Option<usize>, Stop> {
    let x = m.at(at);
    let mut list = list_arg(m, at + 1)?;
    let mut i = 0;
    while list.is_pair() {
        let first = m.heap.first(list);
        if super::basic::equal_values(m, x, first, crate::equal::Numbers::Kind)? {
            return Ok(Some(i));
        }
        m.charge(1)?;
        list = m.heap.rest(list);
        i += 1;
    }
    Ok(None)
}

/// `(%bracket? xs)`: whether a list of data was written in brackets.
pub(super) fn is_bracket(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    Ok(Value::bool(m.heap.shape(m.at(at)) == 1))
}

/// `(%shape xs n)`: what a template wrote in brackets or braces keeps that mark.
pub(super) fn shape(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (v, n) = (m.at(at), m.at(at + 1));
    m.heap.mark_shape(v, n.as_small_int().unwrap_or(0) as u64);
    Ok(v)
}
