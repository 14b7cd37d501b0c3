//! Numbers: checked 64-bit ints and IEEE doubles with one NaN.

use core::cmp::Ordering;

use super::Answer;
use crate::case::is_space;
use crate::decimal;
use crate::division;
use crate::equal::compare_numbers;
use crate::machine::{Machine, Stop, Tag};
use crate::value::{Value, tag};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
}

impl Arith {
    const fn name(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
        }
    }
}

/// A number, taken out of its value.
#[derive(Clone, Copy)]
pub(crate) enum Num {
    Int(i64),
    Float(f64),
}

impl Num {
    pub(super) fn float(self) -> f64 {
        match self {
            Self::Int(i) => i as f64,
            Self::Float(f) => f,
        }
    }
}

pub(crate) fn num(m: &mut Machine<'_>, v: Value) -> Result<Num, Stop> {
    if let Some(i) = m.heap.as_int(v) {
        return Ok(Num::Int(i));
    }
    match m.heap.as_float(v) {
        Some(f) => Ok(Num::Float(f)),
        None => Err(m.mismatch("number", v)),
    }
}

pub(crate) fn int(m: &mut Machine<'_>, v: Value) -> Result<i64, Stop> {
    match m.heap.as_int(v) {
        Some(i) => Ok(i),
        None => Err(m.mismatch("int", v)),
    }
}

pub(super) fn overflow(m: &mut Machine<'_>, name: &str) -> Stop {
    m.error(Tag::IntegerOverflow, &["`", name, "`: the result does not fit into 64 bits"])
}

fn zero_divisor(m: &mut Machine<'_>) -> Stop {
    m.complain(Tag::DivisionByZero, &["the divisor is 0"])
}

fn put(m: &mut Machine<'_>, n: Num) -> Answer {
    Ok(match n {
        Num::Int(i) => m.heap.int(i)?,
        Num::Float(f) => m.heap.float(f)?,
    })
}

fn combine(m: &mut Machine<'_>, op: Arith, x: Num, y: Num) -> Result<Num, Stop> {
    if let (Num::Int(x), Num::Int(y)) = (x, y) {
        let r = match op {
            Arith::Add => x.checked_add(y),
            Arith::Sub => x.checked_sub(y),
            Arith::Mul => x.checked_mul(y),
            Arith::Div if y == 0 => return Err(zero_divisor(m)),
            Arith::Div => match division::divide_signed(x, y) {
                Some((whole, 0)) => Some(whole),
                Some(_) => return Ok(Num::Float(x as f64 / y as f64)),
                None => None,
            },
        };
        return r.map(Num::Int).ok_or_else(|| overflow(m, op.name()));
    }
    let (x, y) = (x.float(), y.float());
    Ok(Num::Float(match op {
        Arith::Add => x + y,
        Arith::Sub => x - y,
        Arith::Mul => x * y,
        // Either zero.
        Arith::Div if y.to_bits() << 1 == 0 => return Err(zero_divisor(m)),
        Arith::Div => x / y,
    }))
}

/// What the instructions do when not both operands are small ints.
#[cold]
pub(crate) fn arith(m: &mut Machine<'_>, op: Arith, x: Value, y: Value) -> Answer {
    let x = num(m, x)?;
    let y = num(m, y)?;
    let r = combine(m, op, x, y)?;
    put(m, r)
}

/// The order of two numbers; `None` when one is NaN.
pub(crate) fn order(m: &mut Machine<'_>, x: Value, y: Value) -> Result<Option<Ordering>, Stop> {
    num(m, x)?;
    num(m, y)?;
    Ok(compare_numbers(&m.heap, x, y))
}

fn fold(m: &mut Machine<'_>, at: usize, n: usize, op: Arith, start: Num) -> Answer {
    let mut acc = start;
    for i in 0..n {
        let v = m.at(at + i);
        let x = num(m, v)?;
        acc = combine(m, op, acc, x)?;
    }
    m.charge(n / 8)?;
    put(m, acc)
}

pub(super) fn add(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if n == 0 {
        return Ok(Value::index(0));
    }
    // What `(foldl + 0 xs)` does again and again.
    if n == 2
        && let (Some(x), Some(y)) = (m.at(at).as_small_int(), m.at(at + 1).as_small_int())
    {
        return Ok(m.heap.int(x + y)?);
    }
    // Started with the first argument, not with zero: -0.0 stays -0.0.
    let v = m.at(at);
    let first = num(m, v)?;
    fold(m, at + 1, n - 1, Arith::Add, first)
}

pub(super) fn mul(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    fold(m, at, n, Arith::Mul, Num::Int(1))
}

pub(super) fn sub(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let v = m.at(at);
    let first = num(m, v)?;
    if n == 1 {
        let r = match first {
            Num::Int(i) => Num::Int(i.checked_neg().ok_or_else(|| overflow(m, "-"))?),
            Num::Float(f) => Num::Float(-f),
        };
        return put(m, r);
    }
    fold(m, at + 1, n - 1, Arith::Sub, first)
}

pub(super) fn div(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let v = m.at(at);
    let first = num(m, v)?;
    if n == 1 {
        return fold(m, at, 1, Arith::Div, Num::Int(1));
    }
    fold(m, at + 1, n - 1, Arith::Div, first)
}

/// `(%divide x y)`
pub(super) fn divide(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (x, y) = (m.at(at), m.at(at + 1));
    arith(m, Arith::Div, x, y)
}

pub(super) fn modulo(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (x, y) = (m.at(at), m.at(at + 1));
    modulo_of(m, x, y)
}

pub(crate) fn modulo_of(m: &mut Machine<'_>, x: Value, y: Value) -> Answer {
    let x = int(m, x)?;
    let y = int(m, y)?;
    if y == 0 {
        return Err(zero_divisor(m));
    }
    let r = division::modulo(x, y).ok_or_else(|| overflow(m, "modulo"))?;
    Ok(m.heap.int(r)?)
}

/// A division of two ints.
fn divided(m: &mut Machine<'_>, at: usize, name: &str, by: fn(i64, i64) -> Option<i64>) -> Answer {
    let (x, y) = (m.at(at), m.at(at + 1));
    let x = int(m, x)?;
    let y = int(m, y)?;
    if y == 0 {
        return Err(zero_divisor(m));
    }
    let r = by(x, y).ok_or_else(|| overflow(m, name))?;
    Ok(m.heap.int(r)?)
}

pub(super) fn quotient(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    divided(m, at, "quotient", i64::checked_div)
}

pub(super) fn remainder(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    divided(m, at, "remainder", |x, y| Some(x.wrapping_rem(y)))
}

pub(super) fn abs(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    let r = match num(m, v)? {
        Num::Int(i) => Num::Int(i.checked_abs().ok_or_else(|| overflow(m, "abs"))?),
        Num::Float(f) => Num::Float(libm::fabs(f)),
    };
    put(m, r)
}

fn extreme(m: &mut Machine<'_>, at: usize, n: usize, want: Ordering) -> Answer {
    let mut best = None;
    let mut float = false;
    for i in 0..n {
        let v = m.at(at + i);
        if let Num::Float(f) = num(m, v)? {
            float = true;
            // NaN is passed over as long as there is anything else.
            if f.is_nan() && (best.is_some() || n > 1) {
                continue;
            }
        }
        if best.is_none_or(|best| compare_numbers(&m.heap, v, best) == Some(want)) {
            best = Some(v);
        }
    }
    match best {
        Some(best) if float => super::real::to_double(m, best),
        Some(best) => Ok(best),
        None => Ok(m.heap.float(crate::value::NAN)?),
    }
}

pub(super) fn min(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    extreme(m, at, n, Ordering::Less)
}

pub(super) fn max(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    extreme(m, at, n, Ordering::Greater)
}

fn power(mut base: i64, mut exponent: u64) -> Option<i64> {
    let mut r: i64 = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            r = r.checked_mul(base)?;
        }
        exponent >>= 1;
        if exponent > 0 {
            // 0, 1 and -1 never overflow; anything else does within 63 squarings.
            base = base.checked_mul(base)?;
        }
    }
    Some(r)
}

pub(super) fn expt(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (x, y) = (m.at(at), m.at(at + 1));
    let x = num(m, x)?;
    let y = num(m, y)?;
    let r = match (x, y) {
        (Num::Int(x), Num::Int(y)) if y >= 0 => Num::Int(power(x, y as u64).ok_or_else(|| overflow(m, "expt"))?),
        _ => Num::Float(libm::pow(x.float(), y.float())),
    };
    put(m, r)
}

/// The greatest number that divides both; the other one where one is 0.
fn common(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Takes the sizes of the arguments together, one by one; `None` is what does not fit.
fn sizes(m: &mut Machine<'_>, at: usize, n: usize, name: &str, start: u64, together: fn(u64, u64) -> Option<u64>) -> Answer {
    let mut r = start;
    for i in 0..n {
        let v = m.at(at + i);
        let x = int(m, v)?.unsigned_abs();
        r = together(r, x).ok_or_else(|| overflow(m, name))?;
        // Only 0 is a multiple of 0, whatever follows.
        if r == 0 && start > 0 {
            break;
        }
    }
    let r = i64::try_from(r).map_err(|_| overflow(m, name))?;
    Ok(m.heap.int(r)?)
}

pub(super) fn gcd(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    sizes(m, at, n, "gcd", 0, |a, b| Some(common(a, b)))
}

pub(super) fn lcm(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    sizes(m, at, n, "lcm", 1, |a, b| (a / common(a, b)).checked_mul(b).filter(|r| *r <= 1 << 63))
}

fn chain(m: &mut Machine<'_>, at: usize, n: usize, f: fn(Ordering) -> bool) -> Answer {
    let first = m.at(at);
    num(m, first)?;
    for i in 1..n {
        let (before, v) = (m.at(at + i - 1), m.at(at + i));
        num(m, v)?;
        // What lies behind the first pair that is out of order does not matter.
        if !compare_numbers(&m.heap, before, v).is_some_and(f) {
            return Ok(Value::FALSE);
        }
    }
    Ok(Value::TRUE)
}
pub(super) fn less(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    chain(m, at, n, Ordering::is_lt)
}
pub(super) fn at_most(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    chain(m, at, n, Ordering::is_le)
}
pub(super) fn more(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    chain(m, at, n, Ordering::is_gt)
}
pub(super) fn at_least(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    chain(m, at, n, Ordering::is_ge)
}

/// `compare`: numbers, strings, symbols and keywords, each among themselves. NaN counts as equal to every number, as upstream has it.
pub(super) fn compare(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let (x, y) = (m.at(at), m.at(at + 1));
    let number = |v: Value| matches!(v.tag(), 0 | 2 | tag::INT | tag::FLOAT);
    let order = if number(x) && number(y) {
        compare_numbers(&m.heap, x, y).unwrap_or(Ordering::Equal)
    } else if x.tag() == y.tag() && matches!(x.tag(), tag::STRING | tag::SYMBOL | tag::KEYWORD) {
        m.heap.bytes(x).cmp(m.heap.bytes(y))
    } else {
        let (a, b) = (crate::print::type_name(x), crate::print::type_name(y));
        return Err(m.complain(Tag::TypeMismatch, &["expected two numbers, strings, symbols or keywords, got ", a, " and ", b]));
    };
    Ok(Value(((order as i64) << 2) as u64))
}

/// `(parse-int s)` and `(parse-float s)`: nil for what is no number.
pub(super) fn parse_int(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = super::string::text(m, at)?;
    let parsed = m.heap.text(v).trim_matches(is_space).parse::<i64>();
    Ok(match parsed {
        Ok(i) => m.heap.int(i)?,
        Err(_) => Value::NIL,
    })
}
pub(super) fn parse_float(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = super::string::text(m, at)?;
    let parsed = decimal::parse(m.heap.text(v).trim_matches(is_space));
    Ok(match parsed {
        Some(f) => m.heap.float(f)?,
        None => Value::NIL,
    })
}
