//! Ints as 64 bits: operations that wrap, and those bit by bit.

use super::Answer;
use super::number::int;
use crate::machine::{Machine, Tag};
use crate::number::digits;

fn wrap(m: &mut Machine<'_>, at: usize, n: usize, start: i64, f: fn(i64, i64) -> i64) -> Answer {
    let mut acc = start;
    for i in 0..n {
        let v = m.at(at + i);
        acc = f(acc, int(m, v)?);
    }
    Ok(m.heap.int(acc)?)
}

pub(super) fn wrapping_add(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    wrap(m, at, n, 0, i64::wrapping_add)
}

pub(super) fn wrapping_mul(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    wrap(m, at, n, 1, i64::wrapping_mul)
}

pub(super) fn wrapping_sub(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    let v = m.at(at);
    let first = int(m, v)?;
    if n == 1 { Ok(m.heap.int(first.wrapping_neg())?) } else { wrap(m, at + 1, n - 1, first, i64::wrapping_sub) }
}

pub(super) fn bit_and(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    wrap(m, at, n, -1, |a, b| a & b)
}

pub(super) fn bit_or(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    wrap(m, at, n, 0, |a, b| a | b)
}

pub(super) fn bit_xor(m: &mut Machine<'_>, at: usize, n: usize) -> Answer {
    wrap(m, at, n, 0, |a, b| a ^ b)
}

pub(super) fn bit_not(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    let v = m.at(at);
    let x = int(m, v)?;
    Ok(m.heap.int(!x)?)
}

fn shift(m: &mut Machine<'_>, at: usize, name: &str, f: fn(i64, u32) -> i64) -> Answer {
    let (x, by) = (m.at(at), m.at(at + 1));
    let x = int(m, x)?;
    let by = int(m, by)?;
    if !(0..64).contains(&by) {
        return Err(m.error(Tag::NativeFn, &["`", name, "`: a shift by ", &digits(by), ", not by 0 to 63"]));
    }
    Ok(m.heap.int(f(x, by as u32))?)
}

pub(super) fn shift_left(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    shift(m, at, "bit-shift-left", i64::wrapping_shl)
}

pub(super) fn shift_right(m: &mut Machine<'_>, at: usize, _: usize) -> Answer {
    shift(m, at, "bit-shift-right", i64::wrapping_shr)
}
