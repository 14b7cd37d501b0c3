//! Doubles from text, rounded exactly: what `str::parse` gives, in a tenth of its code and without its tables.

/// Digits that can change the result: a double and its neighbour meet at most 767 digits in. What follows counts as one more.
const DIGITS: usize = 768;
/// Words of 32 bits: for 10^1092, the largest power that a number of so many digits is divided by, with 66 bits to spare.
const WORDS: usize = 120;
/// Exponents beyond these are zero or infinite, however many digits there are.
const BEYOND: i64 = 1 << 20;

/// The double that `text` spells by the grammar of Rust's floats: `1`, `-.5`, `5.`, `1e-3`, `inf`, `infinity`, `nan` in any case.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let word = |word: &str| unsigned.eq_ignore_ascii_case(word);
    if word("inf") || word("infinity") {
        return Some(sign * f64::INFINITY);
    }
    if word("nan") {
        return Some(crate::value::NAN);
    }
    let (digits, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, whole(exponent)?),
        None => (unsigned, 0),
    };
    let (before, behind) = digits.split_once('.').unwrap_or((digits, ""));
    if before.is_empty() && behind.is_empty() {
        return None;
    }
    let (mut number, mut exponent) = (Number::default(), exponent);
    for (text, decimal) in [(before, 0), (behind, 1)] {
        for byte in text.bytes() {
            if !byte.is_ascii_digit() {
                return None;
            }
            exponent -= decimal;
            exponent += number.push(byte - b'0');
        }
    }
    Some(sign * number.scaled(exponent))
}

/// The exponent that `text` spells, cut off where every number is zero or infinite.
fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.bytes().fold(0, |size, b| (10 * size + i64::from(b - b'0')).min(BEYOND));
    Some(if text.starts_with('-') { -size } else { size })
}

/// A large whole number, lowest words first.
struct Number {
    words: [u32; WORDS],
    /// Words in use; the last of them is not zero.
    len: usize,
    /// Significant digits read.
    digits: usize,
}

impl Default for Number {
    fn default() -> Self {
        Self { words: [0; WORDS], len: 0, digits: 0 }
    }
}

impl Number {
    /// Takes one more digit. Says by how much the exponent grows: by one for each that is left out.
    fn push(&mut self, digit: u8) -> i64 {
        if self.digits > DIGITS {
            // All that matters is whether there was anything at all.
            if digit > 0 && self.words[0] & 1 == 0 {
                self.words[0] |= 1;
            }
            return 1;
        }
        if self.len > 0 || digit > 0 {
            self.digits += 1;
            self.multiply(10, u32::from(digit));
        }
        0
    }

    /// This number times `by`, plus `carry`. The caller knows that it fits.
    fn multiply(&mut self, by: u32, carry: u32) {
        let mut carry = u64::from(carry);
        for word in &mut self.words[..self.len] {
            carry += u64::from(*word) * u64::from(by);
            *word = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.words[self.len] = carry as u32;
            self.len += 1;
        }
    }

    /// Divides by `by`, and says whether anything remained.
    fn divide(&mut self, by: u32) -> bool {
        let mut rest = 0;
        for word in self.words[..self.len].iter_mut().rev() {
            rest = (rest << 32) | u64::from(*word);
            *word = (rest / u64::from(by)) as u32;
            rest %= u64::from(by);
        }
        while self.len > 0 && self.words[self.len - 1] == 0 {
            self.len -= 1;
        }
        rest > 0
    }

    fn bits(&self) -> i64 {
        if self.len == 0 { 0 } else { 32 * self.len as i64 - i64::from(self.words[self.len - 1].leading_zeros()) }
    }

    /// The double nearest to this number times 10^exponent; of two equally near, the even one.
    fn scaled(mut self, exponent: i64) -> f64 {
        // The digits before the point, were it written out.
        let magnitude = self.digits as i64 + exponent;
        if self.len == 0 || magnitude < -330 {
            return 0.0;
        }
        if magnitude > 310 {
            return f64::INFINITY;
        }
        // Both are exact, so one operation rounds once.
        if self.bits() <= 53 && exponent.unsigned_abs() <= 22 {
            let whole = (u64::from(self.words[1]) << 32 | u64::from(self.words[0])) as f64;
            let power = (0..exponent.unsigned_abs()).fold(1.0, |power, _| power * 10.0);
            return if exponent < 0 { whole / power } else { whole * power };
        }
        // number · 2^-down, with 64 bits at least, and whether anything was lost below them.
        let (mut down, mut lost) = (0, false);
        if exponent >= 0 {
            (0..exponent).for_each(|_| self.multiply(10, 0));
        } else {
            // log2(10) < 3.322; the quotient keeps 66 bits or more.
            let wanted = (-exponent * 3322 / 1000 + 67 - self.bits()).max(0);
            down = (wanted + 31) / 32 * 32;
            let words = down as usize / 32;
            for at in (0..self.len).rev() {
                self.words[at + words] = self.words[at];
            }
            self.words[..words].fill(0);
            self.len += words;
            let mut left = -exponent;
            while left > 0 {
                let digits = left.min(9);
                lost |= self.divide(10u32.pow(digits as u32));
                left -= digits;
            }
        }
        self.rounded(down, lost)
    }

    /// The double nearest to this number · 2^-down, of which a little may be `lost`.
    fn rounded(&self, down: i64, mut lost: bool) -> f64 {
        let word = |at: i64| usize::try_from(at).ok().map_or(0, |at| self.words[at]);
        let last = self.len as i64 - 1;
        let highest = u128::from(word(last)) << 64 | u128::from(word(last - 1)) << 32 | u128::from(word(last - 2));
        // The highest 64 bits, the first of them set.
        let top = (highest << (word(last).leading_zeros()) >> 32) as u64;
        lost |= (highest << word(last).leading_zeros()) as u32 > 0;
        lost |= (0..last - 2).any(|at| word(at) > 0);
        let exponent = self.bits() - 1 - down;
        // Below -1022 there are fewer than 53 bits.
        let drop = 11 + (-1022 - exponent).max(0);
        if drop > 64 {
            return 0.0;
        }
        let (kept, below) = if drop == 64 { (0, top) } else { (top >> drop, top << (64 - drop)) };
        let up = below > 1 << 63 || (below == 1 << 63 && (lost || kept & 1 == 1));
        // Rounding up may carry into the exponent, which is then the right one.
        let biased = (exponent + 1022).max(0) as u64;
        let bits = (biased << 52) + kept + u64::from(up);
        f64::from_bits(bits.min(f64::INFINITY.to_bits()))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn same(text: &str) {
        let (ours, theirs) = (parse(text), text.parse::<f64>().ok());
        assert!(
            ours.map(f64::to_bits) == theirs.map(f64::to_bits) || ours.is_some_and(f64::is_nan) && theirs.is_some_and(f64::is_nan),
            "{text}: {ours:?}, not {theirs:?}"
        );
    }

    #[test]
    fn a_text_is_the_double_that_rust_reads() {
        let words =
            ["", "+", "-", ".", "e1", "1e", "1e+", ".e1", "1.2.3", "1_0", "0x1", "inf", "-Infinity", "nan", "NaN", "infin", " 1", "1 "];
        let numbers =
            ["0", "-0", "+.5", "5.", "1e400", "1e-400", "1e999999999999999999999", "0e999999999999999999", "-1e-999999999999999999999"];
        let hard = ["2.2250738585072011e-308", "2.2250738585072014e-308", "4.9e-324", "2.4703282292062327e-324", "2.4703282292062328e-324"];
        let edges =
            ["1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "9007199254740993", "9007199254740992.999"];
        words.iter().chain(&numbers).chain(&hard).chain(&edges).for_each(|text| same(text));
    }

    #[test]
    fn every_double_and_the_middle_to_its_neighbour_read_back() {
        let mut state = 11u64;
        for _ in 0..if cfg!(miri) { 20 } else { 20_000 } {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let bits = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let double = f64::from_bits(bits);
            same(&format!("{double}"));
            same(&format!("{double:e}"));
            same(&format!("{}.{}e{}", bits >> 40, bits & 0xffff, bits as i64 % 340));
        }
    }

    /// 3 · 2^-1075, between the two smallest doubles.
    fn middle() -> String {
        let mut digits = Vec::from([3u8]);
        digits.resize(1076, 0);
        for _ in 0..1075 {
            let mut rest = 0;
            for digit in &mut digits {
                rest = 10 * rest + *digit;
                *digit = rest / 2;
                rest %= 2;
            }
        }
        digits.iter().skip(1).fold(String::from("0."), |text, digit| text + &digit.to_string())
    }

    #[test]
    #[cfg_attr(miri, ignore = "a million steps")]
    fn many_digits_are_rounded_once() {
        // Exactly in the middle of two doubles, with all its digits, and a trace above and below.
        let middle = middle();
        for digits in [400, 1070, 1077, 1078, 760, 767, 768, 769, 770, 800, 1000] {
            let cut = middle.get(..digits).unwrap_or(&middle);
            same(cut);
            same(&format!("{cut}1"));
            same(&format!("1{}", "0".repeat(digits)));
            same(&format!("9007199254740993.{}1", "0".repeat(digits)));
            same(&format!("9007199254740993.{}", "0".repeat(digits)));
            same(&format!("0.{}1e{digits}", "0".repeat(digits)));
        }
    }
}
