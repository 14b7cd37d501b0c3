//! Numbers as text.

use core::fmt::{self, Write};
use core::num::FpCategory;

use crate::division::divide;

/// What a text spells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Parsed {
    Int(i64),
    Float(f64),
}

/// The number that `text` spells; `Err` when it is one that does not fit, `None` when it is none.
pub(crate) fn parse(text: &str) -> Option<Result<Parsed, ()>> {
    let signed = matches!(text.as_bytes().first()?, b'+' | b'-');
    let digits = &text[usize::from(signed)..];
    let first = *digits.as_bytes().first()?;
    match text {
        "+nan.0" | "-nan.0" => return Some(Ok(Parsed::Float(crate::value::NAN))),
        "+inf.0" => return Some(Ok(Parsed::Float(f64::INFINITY))),
        "-inf.0" => return Some(Ok(Parsed::Float(f64::NEG_INFINITY))),
        _ => {}
    }
    // Most texts are names, and are seen to be by their first letter: of words, only these are numbers, in capitals too.
    let spells = match first {
        b'0'..=b'9' | b'.' => true,
        b'i' | b'I' | b'n' | b'N' => ["inf", "infinity", "nan"].iter().any(|word| digits.eq_ignore_ascii_case(word)),
        _ => false,
    };
    if !spells {
        return None;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.parse().map(Parsed::Int).map_err(|_| ()));
    }
    let f = crate::decimal::parse(text)?;
    let spelled = first.is_ascii_digit() || first == b'.';
    if f.is_infinite() && spelled {
        return Some(Err(()));
    }
    Some(Ok(Parsed::Float(if f.is_nan() { crate::value::NAN } else { f })))
}

/// An int as text: what `{}` writes, without `core::fmt`.
pub(crate) fn digits(number: i64) -> Digits {
    // The sign and 19 digits fit.
    let mut digits = Digits { text: [0; 20], at: 20 };
    let mut put = |byte| {
        digits.at -= 1;
        digits.text[digits.at] = byte;
    };
    let mut left = number.unsigned_abs();
    // By two: the second division of a pair waits for nothing.
    while left > 99 {
        let (more, pair) = divide(left, 100);
        put(b'0' + pair as u8 % 10);
        put(b'0' + pair as u8 / 10);
        left = more;
    }
    if left > 9 {
        let (more, digit) = divide(left, 10);
        put(b'0' + digit as u8);
        left = more;
    }
    put(b'0' + left as u8);
    if number < 0 {
        put(b'-');
    }
    digits
}

/// The text of an int.
pub(crate) struct Digits {
    text: [u8; 20],
    at: usize,
}

impl core::ops::Deref for Digits {
    type Target = str;

    fn deref(&self) -> &str {
        // Only ASCII was put there.
        core::str::from_utf8(&self.text[self.at..]).unwrap_or_default()
    }
}

/// Writes the shortest digits that read back as this number, without an exponent: what `{}` writes, in a third of the code.
pub(crate) fn write_float(number: f64, out: &mut dyn Write) -> fmt::Result {
    match number.classify() {
        FpCategory::Nan => return out.write_str("NaN"),
        FpCategory::Infinite => return out.write_str(if number.is_sign_positive() { "inf" } else { "-inf" }),
        _ => {}
    }
    if number.is_sign_negative() {
        out.write_char('-')?;
    }
    let (mut whole, mut decimals) = crate::shortest::shortest(number.abs());
    while decimals > 0
        && let (more, 0) = divide(whole.unsigned_abs(), 10)
    {
        whole = more as i64;
        decimals -= 1;
    }
    let zeros = |out: &mut dyn Write, count: i32| (0..count).try_for_each(|_| out.write_char('0'));
    let text = digits(whole);
    // Behind the first digit comes a point, or zeros before it.
    let len = text.len() as i32;
    if len <= decimals {
        out.write_str("0.")?;
        zeros(out, decimals - len)?;
    }
    for (digit, before) in text.bytes().zip((0..len).rev()) {
        out.write_char(char::from(digit))?;
        if before == decimals && before > 0 {
            out.write_char('.')?;
        }
    }
    zeros(out, -decimals)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    #[test]
    fn of_words_only_those_for_infinity_and_nan_are_numbers() {
        for name in ["", "+", "-", "n", "nil", "nano", "info", "infinite", "-in", "inf.0", "x1", "é", "-é"] {
            assert_eq!(parse(name), None, "{name}");
        }
        let infinite = |text| matches!(parse(text), Some(Ok(Parsed::Float(f))) if f == f64::INFINITY);
        assert!(["+inf.0", "inf", "Infinity"].into_iter().all(infinite));
        assert!(["+nan.0", "-nan.0", "NaN"].into_iter().all(|text| matches!(parse(text), Some(Ok(Parsed::Float(f))) if f.is_nan())));
    }

    #[test]
    fn a_float_is_written_as_rust_writes_it() {
        let check = |number: f64| {
            let mut text = String::new();
            write_float(number, &mut text).expect("a string takes everything");
            assert_eq!(text, std::format!("{number}"), "{number:e}");
        };
        let edges = [0.0, 1.0, 100.0, 0.1, 1e15, 1e16, 1e17, 1.5e16, 123_456_789_012_345_680_000.0, 1e-5, 1e-6, 1.5e-7, 5e-324, f64::MAX];
        edges.iter().chain(&[f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 9_007_199_254_740_993.0]).for_each(|number| {
            check(*number);
            check(-number);
        });
        // Bits from a generator (splitmix64): any number, and numbers with so few bits behind the point that two texts are equally near.
        let mut state = 7u64;
        for round in 0..if cfg!(miri) { 4 } else { 300_000u32 } {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            check(f64::from_bits(z ^ (z >> 31)));
            check(f64::from(round) * 0.25);
            check(((z >> 11) | 1) as f64 / (1u64 << (round % 60)) as f64);
            check(((z >> (11 + z % 8)) | 1) as f64 / (1u64 << (round % 64)) as f64);
        }
    }
}
