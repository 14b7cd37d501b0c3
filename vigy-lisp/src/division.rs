//! Division of 64-bit ints. On bare metal, where flash counts, it is one loop: what the compiler brings there is made for speed, and takes a
//! kilobyte.

/// What holds where the operations of the processor are not used.
const BIT_BY_BIT: bool = cfg!(target_os = "none");

/// The quotient and the rest. The divisor is from 1 to 2^63.
#[inline(always)]
pub(crate) fn divide(a: u64, b: u64) -> (u64, u64) {
    if BIT_BY_BIT { bit_by_bit(a, b) } else { (a / b, a % b) }
}

/// The quotient, cut off towards zero, and the rest; `None` where there is none, or it does not fit.
#[inline(always)]
pub(crate) fn divide_signed(x: i64, y: i64) -> Option<(i64, i64)> {
    if BIT_BY_BIT { signed(x, y) } else { Some((x.checked_div(y)?, x.checked_rem(y)?)) }
}

/// What division leaves that rounds so that nothing below zero is left; `None` like [`divide_signed`].
#[inline(always)]
pub(crate) fn modulo(x: i64, y: i64) -> Option<i64> {
    if BIT_BY_BIT { euclidean(x, y) } else { x.checked_rem_euclid(y) }
}

#[inline(never)]
fn bit_by_bit(a: u64, b: u64) -> (u64, u64) {
    // Most numbers are small, and most processors divide those.
    if (a | b) >> 32 == 0
        && let (Some(quotient), Some(rest)) = ((a as u32).checked_div(b as u32), (a as u32).checked_rem(b as u32))
    {
        return (quotient.into(), rest.into());
    }
    let (mut quotient, mut rest) = (a, 0);
    for _ in 0..64 {
        rest = rest << 1 | quotient >> 63;
        quotient <<= 1;
        if rest >= b {
            rest -= b;
            quotient |= 1;
        }
    }
    (quotient, rest)
}

#[inline(never)]
fn signed(x: i64, y: i64) -> Option<(i64, i64)> {
    if y == 0 {
        return None;
    }
    let (quotient, rest) = bit_by_bit(x.unsigned_abs(), y.unsigned_abs());
    let quotient = if (x < 0) == (y < 0) { i64::try_from(quotient).ok()? } else { (quotient as i64).wrapping_neg() };
    Some((quotient, if x < 0 { -(rest as i64) } else { rest as i64 }))
}

fn euclidean(x: i64, y: i64) -> Option<i64> {
    let (_, rest) = signed(x, y)?;
    Some(match rest < 0 {
        true if y < 0 => rest.wrapping_sub(y),
        true => rest + y,
        false => rest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_by_bit_gives_what_the_processor_gives() {
        let edges = [0, 1, 2, 3, 7, 10, 100, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, i64::MAX - 1, i64::MAX];
        let edges = if cfg!(miri) { &edges[7..] } else { &edges[..] };
        let both = |n: i64| [n, -n, n.wrapping_neg().wrapping_sub(1)];
        let mut state = 11u64;
        let mut next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state as i64) >> (state >> 58)
        };
        let pairs = edges.iter().flat_map(|x| edges.iter().flat_map(move |y| both(*x).map(|x| both(*y).map(|y| (x, y))))).flatten();
        let random = if cfg!(miri) { 100 } else { 20_000 };
        for (x, y) in pairs.chain((0..random).map(|_| (next(), next()))) {
            assert_eq!(signed(x, y), x.checked_div(y).zip(x.checked_rem(y)), "{x} / {y}");
            assert_eq!(euclidean(x, y), x.checked_rem_euclid(y), "{x} modulo {y}");
            if y != 0 {
                let (a, b) = (x as u64, y.unsigned_abs());
                assert_eq!(bit_by_bit(a, b), (a / b, a % b), "{a} / {b}");
            }
        }
    }
}
