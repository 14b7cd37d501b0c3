//! Numbers, comparisons and predicates.

use std::cmp::Ordering;

use super::value::Numbers;
use super::{Answer, Bug, Native, Oracle, Stop, V, mismatch, raise};

const MANY: usize = usize::MAX;

pub(super) const NATIVES: &[Native] = &[
    Native { name: "+", min: 0, max: MANY, run: add },
    Native { name: "-", min: 1, max: MANY, run: sub },
    Native { name: "*", min: 0, max: MANY, run: |o, a| fold(o, '*', V::Int(1), a) },
    Native { name: "/", min: 1, max: MANY, run: div },
    Native { name: "modulo", min: 2, max: 2, run: |_, a| divided(a, i64::checked_rem_euclid) },
    Native { name: "quotient", min: 2, max: 2, run: |_, a| divided(a, i64::checked_div) },
    Native { name: "remainder", min: 2, max: 2, run: |_, a| divided(a, |x, y| Some(x.wrapping_rem(y))) },
    Native { name: "abs", min: 1, max: 1, run: |_, a| on_number(&a[0], i64::checked_abs, f64::abs) },
    Native { name: "inc", min: 1, max: 1, run: |o, a| add(o, &[a[0].clone(), V::Int(1)]) },
    Native { name: "dec", min: 1, max: 1, run: |o, a| fold(o, '-', a[0].clone(), &[V::Int(1)]) },
    Native { name: "min", min: 1, max: MANY, run: |_, a| extreme(a, Ordering::Less) },
    Native { name: "max", min: 1, max: MANY, run: |_, a| extreme(a, Ordering::Greater) },
    Native { name: "gcd", min: 0, max: MANY, run: gcd },
    Native { name: "expt", min: 2, max: 2, run: expt },
    Native { name: "floor", min: 1, max: 1, run: |_, a| rounded(&a[0], f64::floor) },
    Native { name: "ceiling", min: 1, max: 1, run: |_, a| rounded(&a[0], f64::ceil) },
    Native { name: "round", min: 1, max: 1, run: |_, a| rounded(&a[0], f64::round) },
    Native { name: "truncate", min: 1, max: 1, run: |_, a| rounded(&a[0], f64::trunc) },
    Native { name: "sqrt", min: 1, max: 1, run: |_, a| Ok(V::Float(one_nan(float(&a[0])?.sqrt()))) },
    Native { name: "bit-and", min: 0, max: MANY, run: |_, a| bits(a, -1, |x, y| x & y) },
    Native { name: "bit-or", min: 0, max: MANY, run: |_, a| bits(a, 0, |x, y| x | y) },
    Native { name: "bit-xor", min: 0, max: MANY, run: |_, a| bits(a, 0, |x, y| x ^ y) },
    Native { name: "bit-not", min: 1, max: 1, run: |_, a| Ok(V::Int(!a[0].int()?)) },
    Native { name: "wrapping-add", min: 0, max: MANY, run: |_, a| bits(a, 0, i64::wrapping_add) },
    Native { name: "wrapping-mul", min: 0, max: MANY, run: |_, a| bits(a, 1, i64::wrapping_mul) },
    Native { name: "<", min: 2, max: MANY, run: less },
    Native { name: "<=", min: 2, max: MANY, run: |_, a| chain(a, Ordering::is_le) },
    Native { name: ">", min: 2, max: MANY, run: |_, a| chain(a, Ordering::is_gt) },
    Native { name: ">=", min: 2, max: MANY, run: |_, a| chain(a, Ordering::is_ge) },
    Native { name: "=", min: 2, max: MANY, run: |_, a| Ok(V::Bool(a.windows(2).all(|p| p[0].same(&p[1], Numbers::Value)))) },
    Native { name: "equal?", min: 2, max: 2, run: |o, a| Ok(V::Bool(a[0].same(&a[1], kinds(o)))) },
    Native { name: "not=", min: 2, max: 2, run: |o, a| Ok(V::Bool(!a[0].same(&a[1], kinds(o)))) },
    Native { name: "compare", min: 2, max: 2, run: |_, a| compare(&a[0], &a[1]).map(|c| V::Int(c as i64)) },
    Native { name: "not", min: 1, max: 1, run: |o, a| Ok(V::Bool(!o.truth(&a[0]))) },
    Native { name: "zero?", min: 1, max: 1, run: |_, a| Ok(V::Bool(float(&a[0])? == 0.0)) },
    Native { name: "positive?", min: 1, max: 1, run: |_, a| chain(&[a[0].clone(), V::Int(0)], Ordering::is_gt) },
    Native { name: "negative?", min: 1, max: 1, run: |_, a| chain(&[a[0].clone(), V::Int(0)], Ordering::is_lt) },
    Native { name: "even?", min: 1, max: 1, run: |_, a| Ok(V::Bool(a[0].int()? & 1 == 0)) },
    Native { name: "odd?", min: 1, max: 1, run: |_, a| Ok(V::Bool(a[0].int()? & 1 == 1)) },
    Native { name: "null?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::Nil)) },
    Native { name: "some?", min: 1, max: 1, run: |_, a| is(!matches!(a[0], V::Nil)) },
    Native { name: "pair?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::List(..))) },
    Native { name: "list?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::List(..) | V::Nil)) },
    Native { name: "symbol?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::Symbol(_))) },
    Native { name: "string?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::Str(_))) },
    Native { name: "keyword?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::Keyword(_))) },
    Native { name: "integer?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::Int(_))) },
    Native { name: "number?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::Int(_) | V::Float(_))) },
    Native { name: "boolean?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::Bool(_))) },
    Native { name: "hash-map?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::Map(_))) },
    Native { name: "error?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::Error(_))) },
    Native { name: "promise?", min: 1, max: 1, run: |_, a| is(matches!(a[0], V::Promise(_))) },
    Native { name: "type-of", min: 1, max: 1, run: |_, a| Ok(V::Keyword(type_of(&a[0]).into())) },
];

fn is(b: bool) -> Answer {
    Ok(V::Bool(b))
}

fn kinds(o: &Oracle) -> Numbers {
    if o.has(Bug::KindsEqual) { Numbers::Value } else { Numbers::Kind }
}

fn type_of(v: &V) -> &'static str {
    match v {
        V::Nil => "nil",
        V::Bool(_) => "bool",
        V::Int(_) => "int",
        V::Float(_) => "float",
        V::Str(_) => "string",
        V::Symbol(_) => "symbol",
        V::Keyword(_) => "keyword",
        V::List(..) => "list",
        V::Map(_) => "map",
        V::Closure(_) | V::Native(_) => "procedure",
        V::Promise(_) => "promise",
        V::Error(_) => "error",
    }
}

fn one_nan(f: f64) -> f64 {
    if f.is_nan() { f64::NAN } else { f }
}

fn float(v: &V) -> Result<f64, Stop> {
    match v {
        V::Int(i) => Ok(*i as f64),
        V::Float(f) => Ok(*f),
        _ => mismatch(),
    }
}

fn overflow() -> Answer {
    raise("integer-overflow")
}

fn on_number(v: &V, int: fn(i64) -> Option<i64>, real: fn(f64) -> f64) -> Answer {
    match v {
        V::Int(i) => int(*i).map_or_else(overflow, |i| Ok(V::Int(i))),
        v => Ok(V::Float(one_nan(real(float(v)?)))),
    }
}

fn combine(o: &Oracle, op: char, x: &V, y: &V) -> Answer {
    if let (V::Int(x), V::Int(y)) = (x, y) {
        // Wide enough for every sum, difference and product.
        let (wide, narrow) = (i128::from(*x), i128::from(*y));
        let exact = match op {
            '+' => wide + narrow,
            '-' => wide - narrow,
            '*' => wide * narrow,
            _ if *y == 0 => return raise("division-by-zero"),
            _ if wide % narrow != 0 && !o.has(Bug::DivisionTruncates) => return Ok(V::Float(*x as f64 / *y as f64)),
            _ => wide / narrow,
        };
        return match i64::try_from(exact) {
            Ok(i) => Ok(V::Int(i)),
            Err(_) if op == '+' && o.has(Bug::SumsWrap) => Ok(V::Int(exact as i64)),
            Err(_) => overflow(),
        };
    }
    let (x, y) = (float(x)?, float(y)?);
    Ok(V::Float(one_nan(match op {
        '+' => x + y,
        '-' => x - y,
        '*' => x * y,
        _ if y == 0.0 => return raise("division-by-zero"),
        _ => x / y,
    })))
}

fn fold(o: &Oracle, op: char, start: V, args: &[V]) -> Answer {
    float(&start)?;
    args.iter().try_fold(start, |acc, x| combine(o, op, &acc, x))
}

pub(super) fn add(o: &mut Oracle, args: &[V]) -> Answer {
    match args {
        [] => Ok(V::Int(0)),
        [first, rest @ ..] => fold(o, '+', first.clone(), rest),
    }
}

fn sub(o: &mut Oracle, args: &[V]) -> Answer {
    match args {
        [x] => on_number(x, i64::checked_neg, |f| -f),
        _ => fold(o, '-', args[0].clone(), &args[1..]),
    }
}

fn div(o: &mut Oracle, args: &[V]) -> Answer {
    match args {
        [_] => fold(o, '/', V::Int(1), args),
        _ => fold(o, '/', args[0].clone(), &args[1..]),
    }
}

fn divided(args: &[V], f: fn(i64, i64) -> Option<i64>) -> Answer {
    let (x, y) = (args[0].int()?, args[1].int()?);
    if y == 0 {
        return raise("division-by-zero");
    }
    f(x, y).map_or_else(overflow, |r| Ok(V::Int(r)))
}

fn rounded(v: &V, f: fn(f64) -> f64) -> Answer {
    match v {
        V::Int(_) => Ok(v.clone()),
        v => {
            let r = f(float(v)?);
            let fits = r >= i64::MIN as f64 && r < 9_223_372_036_854_775_808.0;
            if fits { Ok(V::Int(r as i64)) } else { overflow() }
        }
    }
}

fn bits(args: &[V], start: i64, f: fn(i64, i64) -> i64) -> Answer {
    args.iter().try_fold(start, |acc, x| Ok(f(acc, x.int()?))).map(V::Int)
}

fn gcd(_: &mut Oracle, args: &[V]) -> Answer {
    fn of(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { of(b, a % b) }
    }
    let all = args.iter().try_fold(0, |acc, x| Ok::<_, Stop>(of(acc, x.int()?.unsigned_abs())))?;
    i64::try_from(all).map_or_else(|_| overflow(), |i| Ok(V::Int(i)))
}

fn expt(_: &mut Oracle, args: &[V]) -> Answer {
    args.iter().try_for_each(|x| float(x).map(drop))?;
    if args.iter().any(|x| matches!(x, V::Float(_))) {
        // The powers of doubles are a matter of the last bit.
        return Err(Stop::TooLong);
    }
    let exponent = u32::try_from(args[1].int()?).or(Err(Stop::TooLong))?;
    let base = args[0].int()?;
    base.checked_pow(exponent).map_or_else(overflow, |i| Ok(V::Int(i)))
}

fn order(x: &V, y: &V) -> Result<Option<Ordering>, Stop> {
    Ok(match (x, y) {
        (V::Int(x), V::Int(y)) => Some(x.cmp(y)),
        (V::Int(x), V::Float(y)) if y.is_finite() => Some(int_float(*x, *y)),
        (V::Float(x), V::Int(y)) if x.is_finite() => Some(int_float(*y, *x).reverse()),
        (x, y) => float(x)?.partial_cmp(&float(y)?),
    })
}

fn int_float(i: i64, f: f64) -> Ordering {
    if f.abs() > 1e30 {
        return if f > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    let whole = f.floor();
    i128::from(i).cmp(&(whole as i128)).then(if f > whole { Ordering::Less } else { Ordering::Equal })
}

fn chain(args: &[V], fits: fn(Ordering) -> bool) -> Answer {
    for pair in args.windows(2) {
        if !order(&pair[0], &pair[1])?.is_some_and(fits) {
            return Ok(V::Bool(false));
        }
    }
    Ok(V::Bool(true))
}

pub(super) fn less(_: &mut Oracle, args: &[V]) -> Answer {
    chain(args, Ordering::is_lt)
}

fn extreme(args: &[V], want: Ordering) -> Answer {
    let mut best: Option<V> = None;
    for x in args {
        let nan = float(x)?.is_nan();
        let better = match &best {
            None => true,
            Some(b) if float(b)?.is_nan() => !nan,
            Some(b) => order(x, b)? == Some(want),
        };
        if better {
            best = Some(x.clone());
        }
    }
    let best = best.unwrap_or(V::Nil);
    if args.iter().any(|x| matches!(x, V::Float(_))) { Ok(V::Float(float(&best)?)) } else { Ok(best) }
}

pub(super) fn compare(x: &V, y: &V) -> Result<Ordering, Stop> {
    match (x, y) {
        (V::Str(x), V::Str(y)) | (V::Symbol(x), V::Symbol(y)) | (V::Keyword(x), V::Keyword(y)) => Ok(x.as_bytes().cmp(y.as_bytes())),
        _ => Ok(order(x, y)?.unwrap_or(Ordering::Equal)),
    }
}
