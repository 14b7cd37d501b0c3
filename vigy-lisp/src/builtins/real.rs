//! Rounding, roots, logarithms and angles.

use super::Answer;
use super::number::{Num, int, num, overflow};
use crate::machine::{Machine, Tag};
use crate::value::Value;

#[inline(never)]
fn rounded(m: &mut Machine<'_>, at: usize, name: &str, round: fn(f64) -> f64) -> Answer {
    let v = m.at(at);
    match num(m, v)? {
        Num::Int(_) => Ok(v),
        Num::Float(f) => {
            let r = round(f);
            // Exactly the doubles that are ints: from -2^63 on, below 2^63.
            if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&r) {
                Ok(m.heap.int(r as i64)?)
            } else {
                Err(overflow(m, name))
            }
        }
    }
}

pub(super) fn floor(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    rounded(m, at, "floor", libm::floor)
}

pub(super) fn ceiling(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    rounded(m, at, "ceiling", |x| -libm::floor(-x))
}

pub(super) fn round(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    rounded(m, at, "round", libm::round)
}

pub(super) fn truncate(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    // What makes an int of a double cuts off what is behind the point.
    rounded(m, at, "truncate", |x| x)
}

pub(super) fn real(m: &mut Machine<'_>, at: usize, f: fn(f64) -> f64) -> Answer {
    let v = m.at(at);
    let x = num(m, v)?.float();
    Ok(m.heap.float(f(x))?)
}

fn real2(m: &mut Machine<'_>, at: usize, f: fn(f64, f64) -> f64) -> Answer {
    let (x, y) = (m.at(at), m.at(at + 1));
    let x = num(m, x)?.float();
    let y = num(m, y)?.float();
    Ok(m.heap.float(f(x, y))?)
}

fn unit(m: &mut Machine<'_>, at: usize, name: &str, f: fn(f64) -> f64) -> Answer {
    let v = m.at(at);
    let x = num(m, v)?.float();
    if !(-1.0..=1.0).contains(&x) && !x.is_nan() {
        return Err(m.error(Tag::NativeFn, &["`", name, "`: argument outside -1 to 1"]));
    }
    Ok(m.heap.float(f(x))?)
}

pub(super) fn sqrt(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    real(m, at, libm::sqrt)
}

pub(super) fn sin(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    real(m, at, libm::sin)
}

pub(super) fn cos(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    real(m, at, libm::cos)
}

pub(super) fn tan(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    real(m, at, libm::tan)
}

pub(super) fn asin(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    unit(m, at, "asin", libm::asin)
}

pub(super) fn acos(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    unit(m, at, "acos", libm::acos)
}

pub(super) fn atan(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    real(m, at, libm::atan)
}

pub(super) fn atan2(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    real2(m, at, libm::atan2)
}

pub(super) fn hypot(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    real2(m, at, libm::hypot)
}

/// A sum, and what rounding left out of it.
fn sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let t = s - a;
    (s, (a - (s - t)) + (b - t))
}

/// A product, and what rounding left out of it: of factors far from overflow, by halves of 26 bits, whose products are exact.
fn product(a: f64, b: f64) -> (f64, f64) {
    let halves = |x: f64| {
        let wide = 134_217_729.0 * x;
        let high = wide - (wide - x);
        (high, x - high)
    };
    let ((a_high, a_low), (b_high, b_low)) = (halves(a), halves(b));
    let p = a * b;
    (p, a_low * b_low - (((p - a_high * b_high) - a_low * b_high) - a_high * b_low))
}

/// e^x, correctly rounded but for the rarest cases: a series over a sum of two doubles, which carries twice the digits.
fn exponential(x: f64) -> f64 {
    const LN2: f64 = core::f64::consts::LN_2;
    /// What `LN2` leaves out of the natural logarithm of two.
    const LN2_REST: f64 = 2.319_046_813_846_299_6e-17;
    if x.is_nan() || !(-700.0..=700.0).contains(&x) {
        return libm::exp(x);
    }
    // x = k ln 2 + r, with r below 0.35, then r / 2^8 for a series that ends soon.
    let k = libm::round(x / LN2);
    let (p, e) = product(k, LN2);
    let (r, s) = sum(x, -p);
    let (r, s) = sum(r, s - e - k * LN2_REST);
    let (r, s) = (r / 256.0, s / 256.0);
    // (e^r - 1) by Horner: r (1 + r/2 (1 + r/3 (…))).
    let (mut high, mut low) = (1.0, 0.0);
    for n in (2..=9).rev() {
        let n = f64::from(n);
        let (p, e) = product(high, r);
        let e = e + high * s + low * r;
        let q = p / n;
        let (whole, error) = product(q, n);
        let rest = ((p - whole) - error + e) / n;
        let (a, b) = sum(1.0, q);
        (high, low) = sum(a, b + rest);
    }
    let (p, e) = product(high, r);
    let (mut high, mut low) = sum(p, e + high * s + low * r);
    // Doubling eight times: (1 + y)^2 - 1 = 2 y + y^2.
    for _ in 0..8 {
        let (p, e) = product(high, high);
        let e = e + 2.0 * high * low;
        let (a, b) = sum(2.0 * high, p);
        (high, low) = sum(a, b + e + 2.0 * low);
    }
    let (a, b) = sum(1.0, high);
    libm::ldexp(a + (b + low), k as i32)
}

pub(super) fn exp(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    real(m, at, exponential)
}

pub(super) fn log(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    if n == 1 { real(m, at, libm::log) } else { real2(m, at, |x, base| libm::log(x) / libm::log(base)) }
}

pub(super) fn is_nan(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    let x = num(m, v)?.float();
    Ok(Value::bool(x.is_nan()))
}

/// A number as a double.
pub(super) fn to_double(m: &mut Machine<'_>, v: Value) -> Answer {
    let x = num(m, v)?.float();
    Ok(m.heap.float(x)?)
}

pub(super) fn to_float(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    to_double(m, v)
}

/// `(%bits x)`: those of the double, as an int.
pub(super) fn bits(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    match m.heap.as_float(v) {
        Some(x) => Ok(m.heap.int(x.to_bits() as i64)?),
        None => Err(m.mismatch("float", v)),
    }
}

/// `(%from-bits i)`: the double that has them.
pub(super) fn from_bits(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    let bits = int(m, v)?;
    Ok(m.heap.float(f64::from_bits(bits as u64))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "libm's fma asks the processor, in assembly")]
    fn a_product_comes_with_exactly_what_rounding_left_out() {
        // Bits from a generator (splitmix64), as doubles from -2 to 2.
        let mut state = 11u64;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) as i64) as f64 / (1u64 << 62) as f64
        };
        for _ in 0..100_000 {
            let (a, b) = (next(), next());
            let p = a * b;
            assert_eq!(product(a, b), (p, libm::fma(a, b, -p)), "{a:e} {b:e}");
        }
    }
}
