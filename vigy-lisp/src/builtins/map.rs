//! Maps.

use super::{Answer, map_error};
use crate::machine::{Machine, Stop, Tag};
use crate::value::{Value, tag};

pub(super) fn map_arg(m: &mut Machine<'_>, at: usize) -> Result<Value, Stop> {
    let v = m.at(at);
    if v.is(tag::MAP) { Ok(v) } else { Err(m.mismatch("map", v)) }
}

/// What `map` has under `key`; `default` when it has nothing or is no map.
pub(crate) fn lookup(m: &mut Machine<'_>, map: Value, key: Value, default: Value) -> Answer {
    if !map.is(tag::MAP) {
        return Ok(default);
    }
    let mut fuel = m.fuel;
    let found = m.heap.map_get(map, key, &mut fuel);
    m.fuel = fuel;
    found.map(|v| v.unwrap_or(default)).map_err(|e| map_error(m, e))
}

/// `(get m k)`: nil has nothing, and what is no map is an error.
pub(crate) fn get_from(m: &mut Machine<'_>, map: Value, key: Value) -> Answer {
    if map.is(tag::MAP) || map.is_nil() { lookup(m, map, key, Value::NIL) } else { Err(m.mismatch("map", map)) }
}

fn set(m: &mut Machine<'_>, map: Value, key: Value, value: Value) -> Answer {
    let mut fuel = m.fuel;
    let made = m.heap.map_set(map, key, value, &mut fuel);
    m.fuel = fuel;
    made.map_err(|e| map_error(m, e))
}

/// Sets a key of a map that nobody else has seen yet.
pub(super) fn put(m: &mut Machine<'_>, map: Value, key: Value, value: Value) -> Answer {
    let mut fuel = m.fuel;
    let made = m.heap.map_put(map, key, value, &mut fuel);
    m.fuel = fuel;
    made.map_err(|e| map_error(m, e))
}

pub(super) fn hash_map(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if !n.is_multiple_of(2) {
        return Err(m.error(Tag::NativeFn, &["`hash-map`: a key without a value"]));
    }
    m.charge(n / 8)?;
    let (pairs, heap) = m.args_and_heap(at, n);
    if let Some(map) = heap.map_of_plain(pairs)? {
        return Ok(map);
    }
    let mut map = m.heap.map(n / 2)?;
    for i in (0..n).step_by(2) {
        let (k, v) = (m.at(at + i), m.at(at + i + 1));
        map = put(m, map, k, v)?;
    }
    Ok(map)
}

pub(super) fn count(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let map = map_arg(m, at)?;
    Ok(Value::index(m.heap.map_count(map)))
}
pub(super) fn is_empty(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let map = map_arg(m, at)?;
    Ok(Value::bool(m.heap.map_count(map) == 0))
}
pub(super) fn has(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let map = map_arg(m, at)?;
    let key = m.at(at + 1);
    Ok(Value::bool(lookup(m, map, key, Value::UNBOUND)? != Value::UNBOUND))
}

/// `(contains? m k)`: false for nil, too.
pub(super) fn contains(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if m.at(at).is_nil() { Ok(Value::FALSE) } else { has(m, at, n) }
}

/// `(hash-map-get m k)`, `(hash-map-get-or m k default)`: strict about the map.
pub(super) fn get_strict(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let map = map_arg(m, at)?;
    let key = m.at(at + 1);
    let default = if n == 3 { m.at(at + 2) } else { Value::NIL };
    lookup(m, map, key, default)
}

/// `(get m k)`, `(get m k default)`: nil has nothing.
pub(super) fn get(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if m.at(at).is_nil() {
        return Ok(if n == 3 { m.at(at + 2) } else { Value::NIL });
    }
    get_strict(m, at, n)
}

/// `(get-in m path)`, `(get-in m path default)`
pub(super) fn get_in(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let mut v = m.at(at);
    let mut path = super::list::list_arg(m, at + 1)?;
    let default = if n == 3 { m.at(at + 2) } else { Value::NIL };
    while path.is_pair() {
        let key = m.heap.first(path);
        v = lookup(m, v, key, Value::UNBOUND)?;
        if v == Value::UNBOUND {
            return Ok(default);
        }
        path = m.heap.rest(path);
    }
    Ok(v)
}

pub(super) fn set_strict(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let map = map_arg(m, at)?;
    let (k, v) = (m.at(at + 1), m.at(at + 2));
    set(m, map, k, v)
}

/// `(assoc m k v …)`: nil is the empty map.
pub(super) fn assoc(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if n.is_multiple_of(2) {
        return Err(m.error(Tag::NativeFn, &["`assoc`: a key without a value"]));
    }
    let mut map = if m.at(at).is_nil() { m.heap.map(n / 2)? } else { map_arg(m, at)? };
    for i in (1..n).step_by(2) {
        let (k, v) = (m.at(at + i), m.at(at + i + 1));
        map = set(m, map, k, v)?;
    }
    Ok(map)
}

pub(super) fn remove(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let mut map = map_arg(m, at)?;
    for i in 1..n {
        let key = m.at(at + i);
        let mut fuel = m.fuel;
        let made = m.heap.map_remove(map, key, &mut fuel);
        m.fuel = fuel;
        map = made.map_err(|e| map_error(m, e))?;
    }
    Ok(map)
}

/// `(dissoc m k …)`: nil stays nil.
pub(super) fn dissoc(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if m.at(at).is_nil() { Ok(Value::NIL) } else { remove(m, at, n) }
}

fn each(m: &mut Machine<'_>, map: Value, part: fn(&mut Machine<'_>, Value, Value) -> Answer) -> Answer {
    let n = m.heap.map_count(map);
    m.charge(n / 8)?;
    let buffer = m.heap.buffer(n)?;
    for i in 0..n {
        let (k, v) = m.heap.map_entry(map, i);
        let item = part(m, k, v)?;
        m.heap.buffer_push(buffer, item);
    }
    Ok(m.heap.buffer_seal(buffer, Value::NIL))
}

pub(super) fn keys(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let map = map_arg(m, at)?;
    each(m, map, |_, k, _| Ok(k))
}
pub(super) fn values(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let map = map_arg(m, at)?;
    each(m, map, |_, _, v| Ok(v))
}
pub(super) fn entries(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let map = map_arg(m, at)?;
    each(m, map, |m, k, v| Ok(m.heap.list(&[k.0, v.0], Value::NIL)?))
}

/// `(keys m)` and `(vals m)`: nil has none.
pub(super) fn keys_lenient(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if m.at(at).is_nil() { Ok(Value::NIL) } else { keys(m, at, n) }
}
pub(super) fn values_lenient(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if m.at(at).is_nil() { Ok(Value::NIL) } else { values(m, at, n) }
}

fn merged(m: &mut Machine<'_>, at: usize, n: usize, lenient: bool) -> Answer {
    let mut room = 0;
    for i in 0..n {
        if !(lenient && m.at(at + i).is_nil()) {
            let map = map_arg(m, at + i)?;
            room += m.heap.map_count(map);
        }
    }
    m.charge(room / 4)?;
    let mut result = m.heap.map(room)?;
    for i in 0..n {
        let map = m.at(at + i);
        for j in 0..if map.is_nil() { 0 } else { m.heap.map_count(map) } {
            let (k, v) = m.heap.map_entry(map, j);
            result = put(m, result, k, v)?;
        }
    }
    Ok(result)
}

pub(super) fn merge_strict(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    merged(m, at, n, false)
}
/// `(merge m …)`: nil counts as empty.
pub(super) fn merge(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    merged(m, at, n, true)
}

/// `(select-keys m ks)`
pub(super) fn select_keys(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let map = map_arg(m, at)?;
    let mut keys = super::list::list_arg(m, at + 1)?;
    let n = m.heap.length(keys);
    m.charge(n / 8)?;
    let mut result = m.heap.map(n.min(m.heap.map_count(map)))?;
    while keys.is_pair() {
        let key = m.heap.first(keys);
        let v = lookup(m, map, key, Value::UNBOUND)?;
        if v != Value::UNBOUND {
            result = put(m, result, key, v)?;
        }
        keys = m.heap.rest(keys);
    }
    Ok(result)
}

/// `(zipmap ks vs)`: stops with the shorter list.
pub(super) fn zipmap(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let mut keys = super::list::list_arg(m, at)?;
    let mut values = super::list::list_arg(m, at + 1)?;
    let n = m.heap.length(keys).min(m.heap.length(values));
    m.charge(n / 4)?;
    let mut result = m.heap.map(n)?;
    for _ in 0..n {
        let (k, v) = (m.heap.first(keys), m.heap.first(values));
        result = put(m, result, k, v)?;
        keys = m.heap.rest(keys);
        values = m.heap.rest(values);
    }
    Ok(result)
}

/// `(into-hash-map xs)`: a list of pairs, or a flat list of keys and values.
pub(super) fn into_map(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let mut list = super::list::list_arg(m, at)?;
    let n = m.heap.length(list);
    m.charge(n / 4)?;
    let pairs = list.is_pair() && m.heap.items(list).all(|i| i.is_pair() && m.heap.length(i) == 2);
    if !pairs && !n.is_multiple_of(2) {
        return Err(m.error(Tag::NativeFn, &["`into-hash-map`: a key without a value"]));
    }
    let mut result = m.heap.map(if pairs { n } else { n / 2 })?;
    while list.is_pair() {
        let first = m.heap.first(list);
        list = m.heap.rest(list);
        let (k, v) = if pairs {
            let second = m.heap.rest(first);
            (m.heap.first(first), m.heap.first(second))
        } else {
            let v = m.heap.first(list);
            list = m.heap.rest(list);
            (first, v)
        };
        result = put(m, result, k, v)?;
    }
    Ok(result)
}

/// `(%count-into m k)`: `m` with one more under `k`; `m` is not shared.
pub(super) fn count_into(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let map = map_arg(m, at)?;
    let key = m.at(at + 1);
    let n = lookup(m, map, key, Value::index(0))?;
    let n = m.heap.int(m.heap.as_int(n).unwrap_or(0).wrapping_add(1))?;
    put(m, map, key, n)
}

/// `(%put m k v)`: like `assoc` on a map that is not shared.
pub(super) fn put_own(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let map = map_arg(m, at)?;
    let (k, v) = (m.at(at + 1), m.at(at + 2));
    put(m, map, k, v)
}

/// `(%entry m i)`: key and value number `i`.
pub(super) fn entry(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (map, i) = (map_arg(m, at)?, m.at(at + 1));
    let i = i.as_small_int().and_then(|i| usize::try_from(i).ok()).filter(|i| *i < m.heap.map_count(map));
    let Some(i) = i else { return Ok(Value::NIL) };
    let (k, v) = m.heap.map_entry(map, i);
    Ok(m.heap.list(&[k.0, v.0], Value::NIL)?)
}

/// `(%new-map)`: a new map with nothing in it.
pub(super) fn empty(m: &mut Machine<'_>, _: usize, _: usize) -> Answer {
    Ok(m.heap.map(0)?)
}
