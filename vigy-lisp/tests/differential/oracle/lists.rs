//! Lists, and functions of functions.

use std::cmp::Ordering;
use std::rc::Rc;

use super::numbers::compare;
use super::value::{ErrorValue, Numbers};
use super::{Answer, Bug, Closure, Native, Oracle, Stop, V, mismatch, raise};
use crate::form::{Form, call, sym};

const MANY: usize = usize::MAX;

pub(super) const NATIVES: &[Native] = &[
    Native { name: "list", min: 0, max: MANY, run: |_, a| Ok(V::list(a.to_vec())) },
    Native { name: "cons", min: 2, max: 2, run: |_, a| a[1].items().map(|xs| V::list([&a[..1], xs].concat())) },
    Native { name: "car", min: 1, max: 1, run: |_, a| head(&a[0]) },
    Native { name: "cdr", min: 1, max: 1, run: |_, a| head(&a[0]).and_then(|_| tail(&a[0], 1)) },
    Native { name: "first", min: 1, max: 1, run: |_, a| Ok(a[0].items()?.first().cloned().unwrap_or(V::Nil)) },
    Native { name: "rest", min: 1, max: 1, run: |_, a| tail(&a[0], 1) },
    Native { name: "second", min: 1, max: 1, run: |_, a| a[0].items()?.get(1).cloned().map_or_else(|| raise("native-fn"), Ok) },
    Native { name: "last", min: 1, max: 1, run: |_, a| head(&a[0]).and_then(|_| Ok(a[0].items()?.last().cloned().unwrap_or(V::Nil))) },
    Native {
        name: "butlast",
        min: 1,
        max: 1,
        run: |_, a| head(&a[0]).and_then(|_| Ok(V::list(a[0].items()?.split_last().map_or(vec![], |(_, xs)| xs.to_vec())))),
    },
    Native { name: "length", min: 1, max: 1, run: |_, a| Ok(V::Int(a[0].items()?.len() as i64)) },
    Native { name: "count", min: 1, max: 1, run: count },
    Native { name: "empty?", min: 1, max: 1, run: |_, a| Ok(V::Bool(matches!(&a[0], V::Nil))) },
    Native {
        name: "append",
        min: 0,
        max: MANY,
        run: |_, a| a.iter().map(V::items).collect::<Result<Vec<_>, _>>().map(|xs| V::list(xs.concat())),
    },
    Native { name: "reverse", min: 1, max: 1, run: |_, a| Ok(V::list(a[0].items()?.iter().rev().cloned().collect())) },
    Native { name: "take", min: 2, max: 2, run: |_, a| Ok(V::list(a[1].items()?.iter().take(amount(&a[0])?).cloned().collect())) },
    Native { name: "drop", min: 2, max: 2, run: |_, a| tail(&a[1], amount(&a[0])?) },
    Native { name: "nth", min: 2, max: 2, run: |_, a| nth(a[1].items()?, a[0].int()?) },
    Native { name: "range", min: 1, max: 3, run: range },
    Native { name: "member?", min: 2, max: 2, run: |_, a| Ok(V::Bool(a[1].items()?.iter().any(|x| x.same(&a[0], Numbers::Kind)))) },
    Native {
        name: "position",
        min: 2,
        max: 2,
        run: |_, a| Ok(V::Int(a[1].items()?.iter().position(|x| x.same(&a[0], Numbers::Kind)).map_or(-1, |i| i as i64))),
    },
    Native { name: "distinct", min: 1, max: 1, run: distinct },
    Native { name: "flatten", min: 1, max: 1, run: |_, a| a[0].items().map(|_| V::list(flat(&a[0]))) },
    Native { name: "zip", min: 2, max: 2, run: |_, a| zip(a).map(|p| V::list(p.map(|(x, y)| V::list(vec![x, y])).collect())) },
    Native { name: "interleave", min: 2, max: 2, run: |_, a| zip(a).map(|p| V::list(p.flat_map(|(x, y)| [x, y]).collect())) },
    Native { name: "identity", min: 1, max: 1, run: |_, a| Ok(a[0].clone()) },
    Native { name: "throw", min: 1, max: 1, run: |_, a| Err(Stop::Thrown(a[0].clone())) },
    Native { name: "error", min: 2, max: 3, run: error },
    Native { name: "ex-info", min: 1, max: 2, run: |o, a| error(o, &[&[V::str("ex-info")], a].concat()) },
    Native { name: "error-tag", min: 1, max: 1, run: |_, a| error_value(&a[0]).map(|e| V::Keyword(e.tag.clone())) },
    Native { name: "error-message", min: 1, max: 1, run: |_, a| error_value(&a[0]).map(|e| V::Str(e.message.clone())) },
    Native { name: "error-data", min: 1, max: 1, run: |_, a| error_value(&a[0]).map(|e| e.data.clone()) },
    Native {
        name: "force",
        min: 1,
        max: 1,
        run: |o, a| match &a[0] {
            V::Promise(p) => o.force(p),
            v => Ok(v.clone()),
        },
    },
];

pub(super) const HIGHER: &[Native] = &[
    Native { name: "apply", min: 2, max: MANY, run: apply },
    Native { name: "map", min: 2, max: MANY, run: map },
    Native { name: "mapcat", min: 2, max: 2, run: |o, a| map(o, a).and_then(|xs| join(&xs)) },
    Native { name: "filter", min: 2, max: 2, run: |o, a| sift(o, a, true) },
    Native { name: "remove", min: 2, max: 2, run: |o, a| sift(o, a, false) },
    Native { name: "for-each", min: 2, max: 2, run: |o, a| map(o, a).map(|_| V::Nil) },
    Native {
        name: "foldl",
        min: 3,
        max: 3,
        run: |o, a| a[2].items()?.iter().try_fold(a[1].clone(), |acc, x| o.call(&a[0], &[acc, x.clone()])),
    },
    Native {
        name: "foldr",
        min: 3,
        max: 3,
        run: |o, a| a[2].items()?.iter().rev().try_fold(a[1].clone(), |acc, x| o.call(&a[0], &[x.clone(), acc])),
    },
    Native { name: "reduce", min: 2, max: 3, run: reduce },
    Native { name: "find", min: 2, max: 2, run: |o, a| Ok(search(o, a)?.map_or(V::Nil, |(_, x)| x)) },
    Native { name: "find-index", min: 2, max: 2, run: |o, a| Ok(search(o, a)?.map_or(V::Int(-1), |(i, _)| V::Int(i as i64))) },
    Native { name: "any?", min: 2, max: 2, run: |o, a| Ok(V::Bool(search(o, a)?.is_some())) },
    Native { name: "every?", min: 2, max: 2, run: every },
    Native { name: "some", min: 2, max: 2, run: some },
    Native { name: "count-if", min: 2, max: 2, run: |o, a| sift(o, a, true).and_then(|v| Ok(V::Int(v.items()?.len() as i64))) },
    Native { name: "take-while", min: 2, max: 2, run: |o, a| Ok(V::list(a[1].items()?[..prefix(o, a)?].to_vec())) },
    Native { name: "drop-while", min: 2, max: 2, run: |o, a| prefix(o, a).and_then(|n| tail(&a[1], n)) },
    Native { name: "partition", min: 2, max: 2, run: partition },
    Native { name: "group-by", min: 2, max: 2, run: group_by },
    Native { name: "sort", min: 1, max: 2, run: sort },
    Native { name: "sort-by", min: 2, max: 2, run: |o, a| sort(o, &[a[1].clone(), a[0].clone()]) },
    Native { name: "sort-by-key", min: 2, max: 2, run: sort_by_key },
    Native { name: "max-by", min: 2, max: 2, run: |o, a| best_by(o, a, true) },
    Native { name: "min-by", min: 2, max: 2, run: |o, a| best_by(o, a, false) },
    Native { name: "iterate", min: 3, max: 3, run: iterate },
    Native { name: "comp", min: 2, max: 2, run: |o, a| made(o, call("f", [call("apply", [sym("g"), sym("args")])]), a) },
    Native { name: "partial", min: 1, max: MANY, run: partial },
];

fn head(v: &V) -> Answer {
    v.items()?.first().cloned().map_or_else(|| raise("native-fn"), Ok)
}

fn tail(v: &V, n: usize) -> Answer {
    Ok(V::list(v.items()?.iter().skip(n).cloned().collect()))
}

fn amount(v: &V) -> Result<usize, Stop> {
    Ok(usize::try_from(v.int()?.max(0)).unwrap_or(usize::MAX))
}

fn nth(items: &[V], i: i64) -> Answer {
    Ok(usize::try_from(i).ok().and_then(|i| items.get(i)).cloned().unwrap_or(V::Nil))
}

fn count(_: &mut Oracle, a: &[V]) -> Answer {
    Ok(V::Int(match &a[0] {
        V::Str(s) => s.chars().count(),
        V::Map(entries) => entries.len(),
        v => v.items()?.len(),
    } as i64))
}

fn range(_: &mut Oracle, a: &[V]) -> Answer {
    let ints = a.iter().map(V::int).collect::<Result<Vec<_>, _>>()?;
    let (start, end, step) = match ints[..] {
        [end] => (0, end, 1),
        [start, end] => (start, end, 1),
        _ => (ints[0], ints[1], ints[2]),
    };
    if step == 0 {
        return raise("native-fn");
    }
    let (mut x, mut out) = (i128::from(start), Vec::new());
    while if step > 0 { x < i128::from(end) } else { x > i128::from(end) } {
        if out.len() > 100_000 {
            return Err(Stop::TooLong);
        }
        out.push(V::Int(x as i64));
        x += i128::from(step);
    }
    Ok(V::list(out))
}

fn distinct(_: &mut Oracle, a: &[V]) -> Answer {
    let mut out: Vec<V> = Vec::new();
    for x in a[0].items()? {
        if !out.iter().any(|y| y.same(x, Numbers::Kind)) {
            out.push(x.clone());
        }
    }
    Ok(V::list(out))
}

fn flat(v: &V) -> Vec<V> {
    match v {
        V::Nil => vec![],
        V::List(_, items) => items.iter().flat_map(flat).collect(),
        v => vec![v.clone()],
    }
}

fn zip(a: &[V]) -> Result<impl Iterator<Item = (V, V)>, Stop> {
    Ok(a[0].items()?.to_vec().into_iter().zip(a[1].items()?.to_vec()))
}

fn join(lists: &V) -> Answer {
    Ok(V::list(lists.items()?.iter().map(V::items).collect::<Result<Vec<_>, _>>()?.concat()))
}

fn error_value(v: &V) -> Result<&Rc<ErrorValue>, Stop> {
    if let V::Error(e) = v { Ok(e) } else { mismatch() }
}

fn error(_: &mut Oracle, a: &[V]) -> Answer {
    let (V::Str(tag) | V::Symbol(tag) | V::Keyword(tag)) = &a[0] else { return mismatch() };
    let data = a.get(2).cloned().unwrap_or(V::Nil);
    let message = a[1].text()?;
    data.items()?;
    Ok(V::error(tag, message, data))
}

fn apply(o: &mut Oracle, a: &[V]) -> Answer {
    let (last, first) = a[1..].split_last().map_or((&V::Nil, &a[1..]), |(l, f)| (l, f));
    let args = [first, last.items()?].concat();
    o.apply(&a[0], args)
}

fn map(o: &mut Oracle, a: &[V]) -> Answer {
    let lists = a[1..].iter().map(V::items).collect::<Result<Vec<_>, _>>()?;
    let n = lists.iter().map(|l| l.len()).min().unwrap_or(0);
    let call = |i: usize| o.apply(&a[0], lists.iter().map(|l| l[i].clone()).collect());
    (0..n).map(call).collect::<Result<Vec<_>, _>>().map(V::list)
}

fn holds(o: &mut Oracle, f: &V, x: &V) -> Result<bool, Stop> {
    let v = o.call(f, std::slice::from_ref(x))?;
    Ok(o.truth(&v))
}

fn sift(o: &mut Oracle, a: &[V], want: bool) -> Answer {
    let mut out = Vec::new();
    for x in a[1].items()? {
        if holds(o, &a[0], x)? == want {
            out.push(x.clone());
        }
    }
    Ok(V::list(out))
}

fn reduce(o: &mut Oracle, a: &[V]) -> Answer {
    let (start, items) = match a {
        [_, xs] => (head(xs)?, &xs.items()?[1..]),
        _ => (a[1].clone(), a[2].items()?),
    };
    items.iter().try_fold(start, |acc, x| o.call(&a[0], &[acc, x.clone()]))
}

fn search(o: &mut Oracle, a: &[V]) -> Result<Option<(usize, V)>, Stop> {
    for (i, x) in a[1].items()?.iter().enumerate() {
        if holds(o, &a[0], x)? {
            return Ok(Some((i, x.clone())));
        }
    }
    Ok(None)
}

fn every(o: &mut Oracle, a: &[V]) -> Answer {
    Ok(V::Bool(prefix(o, a)? == a[1].items()?.len()))
}

fn some(o: &mut Oracle, a: &[V]) -> Answer {
    for x in a[1].items()? {
        let v = o.call(&a[0], std::slice::from_ref(x))?;
        if o.truth(&v) {
            return Ok(v);
        }
    }
    Ok(V::Nil)
}

/// How many elements at the start are as `f` wants.
fn prefix(o: &mut Oracle, a: &[V]) -> Result<usize, Stop> {
    let items = a[1].items()?;
    for (i, x) in items.iter().enumerate() {
        if !holds(o, &a[0], x)? {
            return Ok(i);
        }
    }
    Ok(items.len())
}

fn partition(o: &mut Oracle, a: &[V]) -> Answer {
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    for x in a[1].items()? {
        if holds(o, &a[0], x)? { yes.push(x.clone()) } else { no.push(x.clone()) }
    }
    Ok(V::list(vec![V::list(yes), V::list(no)]))
}

fn group_by(o: &mut Oracle, a: &[V]) -> Answer {
    let mut groups: Vec<(V, Vec<V>)> = Vec::new();
    for x in a[1].items()? {
        let k = o.call(&a[0], std::slice::from_ref(x))?;
        super::maps::key(&k)?;
        match groups.iter_mut().find(|(k2, _)| k.same(k2, Numbers::Bits)) {
            Some((_, group)) => group.push(x.clone()),
            None => groups.push((k, vec![x.clone()])),
        }
    }
    Ok(V::list(groups.into_iter().map(|(k, group)| V::list(vec![k, V::list(group)])).collect()))
}

/// Halves that are sorted, put together: from the second only what the first belongs behind.
fn sorted(o: &mut Oracle, items: &[V], behind: &mut dyn FnMut(&mut Oracle, &V, &V) -> Result<bool, Stop>) -> Result<Vec<V>, Stop> {
    if items.len() < 2 {
        return Ok(items.to_vec());
    }
    let (left, right) = items.split_at(items.len() / 2);
    let (mut left, mut right) = (sorted(o, left, behind)?.into_iter().peekable(), sorted(o, right, behind)?.into_iter().peekable());
    let mut out = Vec::new();
    while let (Some(x), Some(y)) = (left.peek(), right.peek()) {
        let second = if o.has(Bug::SortUnstable) { !behind(o, y, x)? } else { behind(o, x, y)? };
        out.extend(if second { right.next() } else { left.next() });
    }
    out.extend(left);
    out.extend(right);
    Ok(out)
}

fn sort(o: &mut Oracle, a: &[V]) -> Answer {
    let items = a[0].items()?.to_vec();
    let comparator = a.get(1).cloned();
    let mut behind = |o: &mut Oracle, x: &V, y: &V| {
        let Some(f) = &comparator else { return Ok(compare(x, y)? == Ordering::Greater) };
        match o.call(f, &[x.clone(), y.clone()])? {
            V::Int(i) => Ok(i > 0),
            V::Bool(true) => Ok(false),
            V::Bool(false) => {
                let v = o.call(f, &[y.clone(), x.clone()])?;
                Ok(o.truth(&v))
            }
            _ => mismatch(),
        }
    };
    sorted(o, &items, &mut behind).map(V::list)
}

fn sort_by_key(o: &mut Oracle, a: &[V]) -> Answer {
    let mut pairs = Vec::new();
    for x in a[1].items()? {
        pairs.push(V::list(vec![o.call(&a[0], std::slice::from_ref(x))?, x.clone()]));
    }
    let mut behind = |_: &mut Oracle, x: &V, y: &V| {
        let keys = [&x.items()?[0], &y.items()?[0]];
        if keys.iter().any(|k| matches!(k, V::Float(f) if f.is_nan())) {
            return raise("native-fn");
        }
        Ok(compare(keys[0], keys[1])? == Ordering::Greater)
    };
    let pairs = sorted(o, &pairs, &mut behind)?;
    pairs.iter().map(|p| Ok(p.items()?[1].clone())).collect::<Result<Vec<_>, _>>().map(V::list)
}

/// `(lambda (&rest args) body)`, where `f` and `g` are what is given.
fn made(o: &mut Oracle, body: Form, given: &[V]) -> Answer {
    let scope = o.scope(None);
    let names = ["f", "g"].iter().zip(given).map(|(n, v)| ((*n).into(), v.clone()));
    scope.names.borrow_mut().extend(names);
    Ok(V::Closure(Rc::new(Closure { params: vec![], rest: Some(sym("args")), body: vec![body], scope, globals: None })))
}

fn partial(o: &mut Oracle, a: &[V]) -> Answer {
    let given = [a[0].clone(), V::list(a[1..].to_vec())];
    made(o, call("apply", [sym("f"), call("append", [sym("g"), sym("args")])]), &given)
}

fn best_by(o: &mut Oracle, a: &[V], most: bool) -> Answer {
    let mut best: Option<(V, V)> = None;
    for x in a[1].items()? {
        let k = o.call(&a[0], std::slice::from_ref(x))?;
        let better = match &best {
            None => true,
            Some((key, _)) => {
                let pair = if most { [key.clone(), k.clone()] } else { [k.clone(), key.clone()] };
                let v = super::numbers::less(o, &pair)?;
                o.truth(&v)
            }
        };
        if better {
            best = Some((k, x.clone()));
        }
    }
    best.map_or_else(|| raise("native-fn"), |(_, x)| Ok(x))
}

fn iterate(o: &mut Oracle, a: &[V]) -> Answer {
    let (mut x, mut out) = (a[1].clone(), Vec::new());
    let times = a[2].int()?;
    if times < 0 {
        return raise("native-fn");
    }
    for i in 0..times {
        if i > 0 {
            x = o.call(&a[0], &[x])?;
        }
        out.push(x.clone());
    }
    Ok(V::list(out))
}
