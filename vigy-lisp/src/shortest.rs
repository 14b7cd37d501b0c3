//! The shortest digits of a double: exact, in little code and without tables.

/// Words of 32 bits for the largest number here: 2^1076, and room for a digit and for the bits of a double.
const WORDS: usize = 37;
/// Decimals up to which a number is tried as what it most often is: a few digits.
const FEW: i32 = 9;

/// The shortest decimal that reads back as `number`, and of those the nearest: its digits, and how many of them are decimals. Of two equally
/// near, the greater one. `number` is positive or zero, and finite.
pub(crate) fn shortest(number: f64) -> (i64, i32) {
    // On bare metal the short way is the long one: doubles are multiplied in software, and flash counts.
    let found = if cfg!(target_os = "none") { (number.to_bits() == 0).then_some((0, 0)) } else { few(number) };
    found.unwrap_or_else(|| many(number))
}

/// No two decimals of up to 15 digits read as the same double: so one that does is the only one.
fn few(number: f64) -> Option<(i64, i32)> {
    let mut power = 1.0;
    for decimals in 0..=FEW {
        let scaled = number * power + 0.5;
        if scaled >= 1e15 {
            break;
        }
        let digits = scaled as i64;
        if digits as f64 / power == number {
            return Some((digits, decimals));
        }
        power *= 10.0;
    }
    None
}

/// By Steele and White, and Dragon4: with whole numbers so large that nothing is rounded.
///
/// number = rest / scale · 10^places, and what reads back as it lies less than below / scale · 10^places below it, or above / scale above.
#[inline(never)]
fn many(number: f64) -> (i64, i32) {
    let bits = number.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52) as i32);
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    // Halves of the distances to the neighbours, of which the lower one is nearer below a power of two.
    let narrow = u32::from(fraction == 0 && exponent > 1);
    let exponent = exponent.max(1) - 1076 - narrow as i32;
    let mantissa = mantissa << (1 + narrow);
    // Of an even number, the middles to its neighbours read back, too.
    let even = fraction.is_multiple_of(2);

    let len = exponent.unsigned_abs() as usize / 32 + 3;
    let mut space = [[0; WORDS]; 5];
    let [rest, scale, below, above, sum] = space.each_mut().map(|words| &mut words[..len]);
    (rest[0], rest[1], scale[0]) = (mantissa as u32, (mantissa >> 32) as u32, 1);
    (below[0], above[0]) = (1, 1 << narrow);
    // The logarithm of the power of two above the number, rounded down: at most one too small.
    let length = i64::from(64 - (mantissa - 1).leading_zeros()) + i64::from(exponent);
    let mut places = ((length * 1_292_913_986) >> 32) as i32;
    // As many powers at a time as fit into a word.
    for (count, base, most, up) in [(exponent, 2u32, 31, true), (places, 10, 9, false)] {
        let mut left = count.unsigned_abs();
        while left > 0 {
            let power = base.pow(left.min(most));
            if (count > 0) == up {
                multiply_all([rest, below, above], power);
            } else {
                multiply(scale, power);
            }
            left -= left.min(most);
        }
    }
    let reaches = |order: core::cmp::Ordering| if even { order.is_le() } else { order.is_lt() };
    let mut past = |rest: &[u32], above: &[u32], scale: &[u32]| {
        sum.copy_from_slice(rest);
        add(sum, above, false);
        reaches(compare(scale, sum))
    };
    if past(rest, above, scale) {
        places += 1;
    } else {
        multiply_all([rest, below, above], 10);
    }
    let (mut digits, mut count) = (0, 0);
    loop {
        digits *= 10;
        count += 1;
        while compare(rest, scale).is_ge() {
            add(rest, scale, true);
            digits += 1;
        }
        let (down, up) = (reaches(compare(rest, below)), past(rest, above, scale));
        if down || up {
            multiply(rest, 2);
            let nearer = !down || compare(rest, scale).is_ge();
            return (digits + i64::from(up && nearer), count - places);
        }
        multiply_all([rest, below, above], 10);
    }
}

/// Lowest words first; the caller knows that the result fits.
#[cfg_attr(target_os = "none", inline(never))]
fn multiply(words: &mut [u32], by: u32) {
    let mut carry = 0;
    for word in words {
        carry += u64::from(*word) * u64::from(by);
        *word = carry as u32;
        carry >>= 32;
    }
}

#[cfg_attr(target_os = "none", inline(never))]
fn multiply_all(numbers: [&mut [u32]; 3], by: u32) {
    for words in numbers {
        multiply(words, by);
    }
}

/// Adds `other` to `words`, or takes it away.
#[cfg_attr(target_os = "none", inline(never))]
fn add(words: &mut [u32], other: &[u32], away: bool) {
    let mut carry = u64::from(away);
    for (word, other) in words.iter_mut().zip(other) {
        carry += u64::from(*word) + u64::from(if away { !*other } else { *other });
        *word = carry as u32;
        carry >>= 32;
    }
}

#[cfg_attr(target_os = "none", inline(never))]
fn compare(one: &[u32], other: &[u32]) -> core::cmp::Ordering {
    one.iter().rev().cmp(other.iter().rev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_digits_are_those_that_the_long_way_finds() {
        let plain = |(mut digits, mut decimals): (i64, i32)| {
            while digits % 10 == 0 {
                (digits, decimals) = (digits / 10, decimals - 1);
            }
            (digits, decimals)
        };
        let numbers = if cfg!(miri) { 20 } else { 20_000 };
        for i in 1..numbers {
            for power in [1.0, 10.0, 1e3, 1e6, 1e9] {
                let number = f64::from(i * 7) / power;
                assert_eq!(few(number).map(plain), Some(plain(many(number))), "{number}");
            }
        }
    }
}
