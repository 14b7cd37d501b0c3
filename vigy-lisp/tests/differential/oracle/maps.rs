//! Maps: entries in the order of insertion, found by looking at each.

use std::rc::Rc;

use super::value::Numbers;
use super::{Answer, Bug, Native, Oracle, Stop, V, raise};

const MANY: usize = usize::MAX;

pub(super) const NATIVES: &[Native] = &[
    Native { name: "hash-map", min: 0, max: MANY, run: hash_map },
    Native { name: "get", min: 2, max: 3, run: get },
    Native { name: "hash-map-get", min: 2, max: 2, run: |_, a| strict(&a[0], &a[1], V::Nil) },
    Native { name: "hash-map-has?", min: 2, max: 2, run: |_, a| a[0].entries().and_then(|_| Ok(V::Bool(lookup(&a[0], &a[1])?.is_some()))) },
    Native {
        name: "contains?",
        min: 2,
        max: 2,
        run: |_, a| match &a[0] {
            V::Nil => Ok(V::Bool(false)),
            m => m.entries().and_then(|_| Ok(V::Bool(lookup(m, &a[1])?.is_some()))),
        },
    },
    Native { name: "assoc", min: 3, max: MANY, run: assoc },
    Native { name: "hash-map-set", min: 3, max: 3, run: |o, a| a[0].entries().map(drop).and_then(|()| assoc(o, a)) },
    Native { name: "dissoc", min: 1, max: MANY, run: dissoc },
    Native { name: "keys", min: 1, max: 1, run: |_, a| parts(&a[0], |k, _| k.clone()) },
    Native { name: "vals", min: 1, max: 1, run: |_, a| parts(&a[0], |_, v| v.clone()) },
    Native {
        name: "hash-map-entries",
        min: 1,
        max: 1,
        run: |_, a| a[0].entries().map(drop).and_then(|()| parts(&a[0], |k, v| V::list(vec![k.clone(), v.clone()]))),
    },
    Native { name: "merge", min: 0, max: MANY, run: merge },
    Native { name: "select-keys", min: 2, max: 2, run: select_keys },
    Native { name: "zipmap", min: 2, max: 2, run: zipmap },
    Native { name: "get-in", min: 2, max: 3, run: get_in },
    Native { name: "assoc-in", min: 3, max: 3, run: |o, a| assoc_in(o, &a[0], a[1].items()?, &a[2]) },
    Native { name: "update", min: 3, max: MANY, run: update },
    Native { name: "frequencies", min: 1, max: 1, run: frequencies },
    Native { name: "seq", min: 1, max: 1, run: seq },
];

/// Whether a value can be a key.
pub(super) fn key(v: &V) -> Result<(), Stop> {
    match v {
        V::List(_, items) => items.iter().try_for_each(key),
        V::Map(entries) => entries.iter().try_for_each(|(k, v)| key(k).and_then(|()| key(v))),
        V::Closure(_) | V::Native(_) | V::Promise(_) | V::Error(_) => raise("native-fn"),
        _ => Ok(()),
    }
}

pub(super) fn lookup(map: &V, k: &V) -> Result<Option<V>, Stop> {
    key(k)?;
    Ok(map.entries()?.iter().find(|(k2, _)| k.same(k2, Numbers::Bits)).map(|(_, v)| v.clone()))
}

pub(super) fn put(entries: &mut Vec<(V, V)>, k: V, v: V, behind: bool) {
    match entries.iter().position(|(k2, _)| k.same(k2, Numbers::Bits)) {
        Some(i) if behind => {
            entries.remove(i);
            entries.push((k, v));
        }
        Some(i) => entries[i].1 = v,
        None => entries.push((k, v)),
    }
}

fn set(o: &Oracle, entries: &mut Vec<(V, V)>, k: &V, v: &V) -> Result<(), Stop> {
    key(k)?;
    put(entries, k.clone(), v.clone(), o.has(Bug::MapOrder));
    Ok(())
}

pub(super) fn hash_map(o: &mut Oracle, a: &[V]) -> Answer {
    if a.len() % 2 == 1 {
        return raise("native-fn");
    }
    let mut entries = Vec::new();
    a.chunks(2).try_for_each(|p| set(o, &mut entries, &p[0], &p[1]))?;
    Ok(V::Map(Rc::new(entries)))
}

fn strict(map: &V, k: &V, default: V) -> Answer {
    map.entries()?;
    Ok(lookup(map, k)?.unwrap_or(default))
}

fn get(_: &mut Oracle, a: &[V]) -> Answer {
    let default = a.get(2).cloned().unwrap_or(V::Nil);
    if matches!(a[0], V::Nil) { Ok(default) } else { strict(&a[0], &a[1], default) }
}

fn assoc(o: &mut Oracle, a: &[V]) -> Answer {
    if a.len().is_multiple_of(2) {
        return raise("native-fn");
    }
    let mut entries = if matches!(a[0], V::Nil) { vec![] } else { a[0].entries()?.to_vec() };
    a[1..].chunks(2).try_for_each(|p| set(o, &mut entries, &p[0], &p[1]))?;
    Ok(V::Map(Rc::new(entries)))
}

fn dissoc(_: &mut Oracle, a: &[V]) -> Answer {
    if matches!(a[0], V::Nil) {
        return Ok(V::Nil);
    }
    let mut entries = a[0].entries()?.to_vec();
    for k in &a[1..] {
        key(k)?;
        entries.retain(|(k2, _)| !k.same(k2, Numbers::Bits));
    }
    Ok(V::Map(Rc::new(entries)))
}

fn parts(map: &V, part: fn(&V, &V) -> V) -> Answer {
    if matches!(map, V::Nil) { Ok(V::Nil) } else { Ok(V::list(map.entries()?.iter().map(|(k, v)| part(k, v)).collect())) }
}

fn merge(o: &mut Oracle, a: &[V]) -> Answer {
    let mut all = Vec::new();
    for map in a.iter().filter(|m| !matches!(m, V::Nil)) {
        map.entries()?.iter().try_for_each(|(k, v)| set(o, &mut all, k, v))?;
    }
    Ok(V::Map(Rc::new(all)))
}

fn select_keys(o: &mut Oracle, a: &[V]) -> Answer {
    a[0].entries()?;
    let mut out = Vec::new();
    for k in a[1].items()? {
        if let Some(v) = lookup(&a[0], k)? {
            set(o, &mut out, k, &v)?;
        }
    }
    Ok(V::Map(Rc::new(out)))
}

fn zipmap(o: &mut Oracle, a: &[V]) -> Answer {
    let mut out = Vec::new();
    a[0].items()?.iter().zip(a[1].items()?).try_for_each(|(k, v)| set(o, &mut out, k, v))?;
    Ok(V::Map(Rc::new(out)))
}

fn get_in(_: &mut Oracle, a: &[V]) -> Answer {
    let mut v = a[0].clone();
    for k in a[1].items()? {
        let found = if matches!(v, V::Map(_)) { lookup(&v, k)? } else { None };
        match found {
            Some(inner) => v = inner,
            None => return Ok(a.get(2).cloned().unwrap_or(V::Nil)),
        }
    }
    Ok(v)
}

fn assoc_in(o: &mut Oracle, map: &V, path: &[V], v: &V) -> Answer {
    match path {
        [] => Ok(v.clone()),
        [k, rest @ ..] => {
            let inner =
                if rest.is_empty() { v.clone() } else { get(o, &[map.clone(), k.clone()]).and_then(|m| assoc_in(o, &m, rest, v))? };
            assoc(o, &[map.clone(), k.clone(), inner])
        }
    }
}

fn update(o: &mut Oracle, a: &[V]) -> Answer {
    let old = get(o, &a[..2])?;
    let new = o.apply(&a[2], [&[old], &a[3..]].concat())?;
    assoc(o, &[a[0].clone(), a[1].clone(), new])
}

fn frequencies(o: &mut Oracle, a: &[V]) -> Answer {
    let mut counts = V::Map(Rc::default());
    for x in a[0].items()? {
        let n = lookup(&counts, x)?.map_or(Ok(0), |v| v.int())?;
        counts = assoc(o, &[counts, x.clone(), V::Int(n + 1)])?;
    }
    Ok(counts)
}

fn seq(_: &mut Oracle, a: &[V]) -> Answer {
    match &a[0] {
        m @ V::Map(_) => parts(m, |k, v| V::list(vec![k.clone(), v.clone()])),
        V::Str(s) => Ok(V::list(s.chars().map(|c| V::str(&c.to_string())).collect())),
        v => v.items().map(|_| v.clone()),
    }
}
