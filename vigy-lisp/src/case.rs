//! Upper and lower case of letters: what `char` of Rust 1.95 says, in a sixth of its tables.
//!
//! They are our own so that a record replays to the same bytes after the next version of Unicode. A test compares every letter.

/// Letters, one or two apart, whose other case lies equally far from each.
struct Run {
    /// The first, the number of letters, and how far they are apart: 24, 7 and 1 bits.
    letters: u32,
    /// From a letter to its other case.
    delta: i32,
}

const fn run(first: u32, count: u32, apart: u32, delta: i32) -> Run {
    Run { letters: (first << 8) | (count << 1) | (apart - 1), delta }
}

/// The letter's one other case, when it has one.
fn other(runs: &[Run], c: char) -> Option<char> {
    let c = u32::from(c);
    let after = runs.partition_point(|run| run.letters >> 8 <= c);
    let run = runs.get(after.checked_sub(1)?)?;
    let (first, count, apart) = (run.letters >> 8, (run.letters >> 1) & 0x7f, (run.letters & 1) + 1);
    let inside = (c - first).is_multiple_of(apart) && (c - first) / apart < count;
    if inside { char::from_u32(c.wrapping_add_signed(run.delta)) } else { None }
}

/// Whether this is white space: what `char` of Rust says, without its table.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, '\u{9}'..='\u{d}' | ' ' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Whether the letter has another case.
pub(crate) fn is_cased(c: char) -> bool {
    let several = || SEVERAL.binary_search_by_key(&u32::from(c), |row| u32::from(row[0])).is_ok();
    c.is_ascii_alphabetic() || other(&UPPER, c).is_some() || other(&LOWER, c).is_some() || several()
}

/// Hands the upper case of `c` to `put`, letter by letter.
pub(crate) fn upper(c: char, put: &mut dyn FnMut(char)) {
    if c.is_ascii() {
        return put(c.to_ascii_uppercase());
    }
    match SEVERAL.binary_search_by_key(&u32::from(c), |row| u32::from(row[0])) {
        Ok(row) => SEVERAL[row][1..].iter().filter(|c| **c != 0).filter_map(|c| char::from_u32(u32::from(*c))).for_each(put),
        Err(_) => put(other(&UPPER, c).unwrap_or(c)),
    }
}

/// Hands the lower case of `c` to `put`, letter by letter.
pub(crate) fn lower(c: char, put: &mut dyn FnMut(char)) {
    match c {
        _ if c.is_ascii() => put(c.to_ascii_lowercase()),
        // The only letter whose lower case is several.
        'İ' => "i\u{307}".chars().for_each(put),
        _ => put(other(&LOWER, c).unwrap_or(c)),
    }
}

/// Letters whose upper case is one letter.
#[rustfmt::skip]
const UPPER: [Run; 197] = [
    run(0xb5, 1, 1, 743), run(0xe0, 23, 1, -32), run(0xf8, 7, 1, -32), run(0xff, 1, 1, 121), run(0x101, 24, 2, -1),
    run(0x131, 1, 1, -232), run(0x133, 3, 2, -1), run(0x13a, 8, 2, -1), run(0x14b, 23, 2, -1), run(0x17a, 3, 2, -1),
    run(0x17f, 1, 1, -300), run(0x180, 1, 1, 195), run(0x183, 2, 2, -1), run(0x188, 1, 1, -1), run(0x18c, 1, 1, -1), run(0x192, 1, 1, -1),
    run(0x195, 1, 1, 97), run(0x199, 1, 1, -1), run(0x19a, 1, 1, 163), run(0x19b, 1, 1, 42561), run(0x19e, 1, 1, 130),
    run(0x1a1, 3, 2, -1), run(0x1a8, 1, 1, -1), run(0x1ad, 1, 1, -1), run(0x1b0, 1, 1, -1), run(0x1b4, 2, 2, -1), run(0x1b9, 1, 1, -1),
    run(0x1bd, 1, 1, -1), run(0x1bf, 1, 1, 56), run(0x1c5, 1, 1, -1), run(0x1c6, 1, 1, -2), run(0x1c8, 1, 1, -1), run(0x1c9, 1, 1, -2),
    run(0x1cb, 1, 1, -1), run(0x1cc, 1, 1, -2), run(0x1ce, 8, 2, -1), run(0x1dd, 1, 1, -79), run(0x1df, 9, 2, -1), run(0x1f2, 1, 1, -1),
    run(0x1f3, 1, 1, -2), run(0x1f5, 1, 1, -1), run(0x1f9, 20, 2, -1), run(0x223, 9, 2, -1), run(0x23c, 1, 1, -1),
    run(0x23f, 2, 1, 10815), run(0x242, 1, 1, -1), run(0x247, 5, 2, -1), run(0x250, 1, 1, 10783), run(0x251, 1, 1, 10780),
    run(0x252, 1, 1, 10782), run(0x253, 1, 1, -210), run(0x254, 1, 1, -206), run(0x256, 2, 1, -205), run(0x259, 1, 1, -202),
    run(0x25b, 1, 1, -203), run(0x25c, 1, 1, 42319), run(0x260, 1, 1, -205), run(0x261, 1, 1, 42315), run(0x263, 1, 1, -207),
    run(0x264, 1, 1, 42343), run(0x265, 1, 1, 42280), run(0x266, 1, 1, 42308), run(0x268, 1, 1, -209), run(0x269, 1, 1, -211),
    run(0x26a, 1, 1, 42308), run(0x26b, 1, 1, 10743), run(0x26c, 1, 1, 42305), run(0x26f, 1, 1, -211), run(0x271, 1, 1, 10749),
    run(0x272, 1, 1, -213), run(0x275, 1, 1, -214), run(0x27d, 1, 1, 10727), run(0x280, 1, 1, -218), run(0x282, 1, 1, 42307),
    run(0x283, 1, 1, -218), run(0x287, 1, 1, 42282), run(0x288, 1, 1, -218), run(0x289, 1, 1, -69), run(0x28a, 2, 1, -217),
    run(0x28c, 1, 1, -71), run(0x292, 1, 1, -219), run(0x29d, 1, 1, 42261), run(0x29e, 1, 1, 42258), run(0x345, 1, 1, 84),
    run(0x371, 2, 2, -1), run(0x377, 1, 1, -1), run(0x37b, 3, 1, 130), run(0x3ac, 1, 1, -38), run(0x3ad, 3, 1, -37),
    run(0x3b1, 17, 1, -32), run(0x3c2, 1, 1, -31), run(0x3c3, 9, 1, -32), run(0x3cc, 1, 1, -64), run(0x3cd, 2, 1, -63),
    run(0x3d0, 1, 1, -62), run(0x3d1, 1, 1, -57), run(0x3d5, 1, 1, -47), run(0x3d6, 1, 1, -54), run(0x3d7, 1, 1, -8),
    run(0x3d9, 12, 2, -1), run(0x3f0, 1, 1, -86), run(0x3f1, 1, 1, -80), run(0x3f2, 1, 1, 7), run(0x3f3, 1, 1, -116),
    run(0x3f5, 1, 1, -96), run(0x3f8, 1, 1, -1), run(0x3fb, 1, 1, -1), run(0x430, 32, 1, -32), run(0x450, 16, 1, -80),
    run(0x461, 17, 2, -1), run(0x48b, 27, 2, -1), run(0x4c2, 7, 2, -1), run(0x4cf, 1, 1, -15), run(0x4d1, 48, 2, -1),
    run(0x561, 38, 1, -48), run(0x10d0, 43, 1, 3008), run(0x10fd, 3, 1, 3008), run(0x13f8, 6, 1, -8), run(0x1c80, 1, 1, -6254),
    run(0x1c81, 1, 1, -6253), run(0x1c82, 1, 1, -6244), run(0x1c83, 2, 1, -6242), run(0x1c85, 1, 1, -6243), run(0x1c86, 1, 1, -6236),
    run(0x1c87, 1, 1, -6181), run(0x1c88, 1, 1, 35266), run(0x1c8a, 1, 1, -1), run(0x1d79, 1, 1, 35332), run(0x1d7d, 1, 1, 3814),
    run(0x1d8e, 1, 1, 35384), run(0x1e01, 75, 2, -1), run(0x1e9b, 1, 1, -59), run(0x1ea1, 48, 2, -1), run(0x1f00, 8, 1, 8),
    run(0x1f10, 6, 1, 8), run(0x1f20, 8, 1, 8), run(0x1f30, 8, 1, 8), run(0x1f40, 6, 1, 8), run(0x1f51, 4, 2, 8), run(0x1f60, 8, 1, 8),
    run(0x1f70, 2, 1, 74), run(0x1f72, 4, 1, 86), run(0x1f76, 2, 1, 100), run(0x1f78, 2, 1, 128), run(0x1f7a, 2, 1, 112),
    run(0x1f7c, 2, 1, 126), run(0x1fb0, 2, 1, 8), run(0x1fbe, 1, 1, -7205), run(0x1fd0, 2, 1, 8), run(0x1fe0, 2, 1, 8),
    run(0x1fe5, 1, 1, 7), run(0x214e, 1, 1, -28), run(0x2170, 16, 1, -16), run(0x2184, 1, 1, -1), run(0x24d0, 26, 1, -26),
    run(0x2c30, 48, 1, -48), run(0x2c61, 1, 1, -1), run(0x2c65, 1, 1, -10795), run(0x2c66, 1, 1, -10792), run(0x2c68, 3, 2, -1),
    run(0x2c73, 1, 1, -1), run(0x2c76, 1, 1, -1), run(0x2c81, 50, 2, -1), run(0x2cec, 2, 2, -1), run(0x2cf3, 1, 1, -1),
    run(0x2d00, 38, 1, -7264), run(0x2d27, 1, 1, -7264), run(0x2d2d, 1, 1, -7264), run(0xa641, 23, 2, -1), run(0xa681, 14, 2, -1),
    run(0xa723, 7, 2, -1), run(0xa733, 31, 2, -1), run(0xa77a, 2, 2, -1), run(0xa77f, 5, 2, -1), run(0xa78c, 1, 1, -1),
    run(0xa791, 2, 2, -1), run(0xa794, 1, 1, 48), run(0xa797, 10, 2, -1), run(0xa7b5, 8, 2, -1), run(0xa7c8, 2, 2, -1),
    run(0xa7cd, 8, 2, -1), run(0xa7f6, 1, 1, -1), run(0xab53, 1, 1, -928), run(0xab70, 80, 1, -38864), run(0xff41, 26, 1, -32),
    run(0x10428, 40, 1, -40), run(0x104d8, 36, 1, -40), run(0x10597, 11, 1, -39), run(0x105a3, 15, 1, -39), run(0x105b3, 7, 1, -39),
    run(0x105bb, 2, 1, -39), run(0x10cc0, 51, 1, -64), run(0x10d70, 22, 1, -32), run(0x118c0, 32, 1, -32), run(0x16e60, 32, 1, -32),
    run(0x16ebb, 25, 1, -27), run(0x1e922, 34, 1, -34),
];

/// Letters whose lower case is one letter.
#[rustfmt::skip]
const LOWER: [Run; 184] = [
    run(0xc0, 23, 1, 32), run(0xd8, 7, 1, 32), run(0x100, 24, 2, 1), run(0x132, 3, 2, 1), run(0x139, 8, 2, 1), run(0x14a, 23, 2, 1),
    run(0x178, 1, 1, -121), run(0x179, 3, 2, 1), run(0x181, 1, 1, 210), run(0x182, 2, 2, 1), run(0x186, 1, 1, 206), run(0x187, 1, 1, 1),
    run(0x189, 2, 1, 205), run(0x18b, 1, 1, 1), run(0x18e, 1, 1, 79), run(0x18f, 1, 1, 202), run(0x190, 1, 1, 203), run(0x191, 1, 1, 1),
    run(0x193, 1, 1, 205), run(0x194, 1, 1, 207), run(0x196, 1, 1, 211), run(0x197, 1, 1, 209), run(0x198, 1, 1, 1),
    run(0x19c, 1, 1, 211), run(0x19d, 1, 1, 213), run(0x19f, 1, 1, 214), run(0x1a0, 3, 2, 1), run(0x1a6, 1, 1, 218), run(0x1a7, 1, 1, 1),
    run(0x1a9, 1, 1, 218), run(0x1ac, 1, 1, 1), run(0x1ae, 1, 1, 218), run(0x1af, 1, 1, 1), run(0x1b1, 2, 1, 217), run(0x1b3, 2, 2, 1),
    run(0x1b7, 1, 1, 219), run(0x1b8, 1, 1, 1), run(0x1bc, 1, 1, 1), run(0x1c4, 1, 1, 2), run(0x1c5, 1, 1, 1), run(0x1c7, 1, 1, 2),
    run(0x1c8, 1, 1, 1), run(0x1ca, 1, 1, 2), run(0x1cb, 9, 2, 1), run(0x1de, 9, 2, 1), run(0x1f1, 1, 1, 2), run(0x1f2, 2, 2, 1),
    run(0x1f6, 1, 1, -97), run(0x1f7, 1, 1, -56), run(0x1f8, 20, 2, 1), run(0x220, 1, 1, -130), run(0x222, 9, 2, 1),
    run(0x23a, 1, 1, 10795), run(0x23b, 1, 1, 1), run(0x23d, 1, 1, -163), run(0x23e, 1, 1, 10792), run(0x241, 1, 1, 1),
    run(0x243, 1, 1, -195), run(0x244, 1, 1, 69), run(0x245, 1, 1, 71), run(0x246, 5, 2, 1), run(0x370, 2, 2, 1), run(0x376, 1, 1, 1),
    run(0x37f, 1, 1, 116), run(0x386, 1, 1, 38), run(0x388, 3, 1, 37), run(0x38c, 1, 1, 64), run(0x38e, 2, 1, 63), run(0x391, 17, 1, 32),
    run(0x3a3, 9, 1, 32), run(0x3cf, 1, 1, 8), run(0x3d8, 12, 2, 1), run(0x3f4, 1, 1, -60), run(0x3f7, 1, 1, 1), run(0x3f9, 1, 1, -7),
    run(0x3fa, 1, 1, 1), run(0x3fd, 3, 1, -130), run(0x400, 16, 1, 80), run(0x410, 32, 1, 32), run(0x460, 17, 2, 1), run(0x48a, 27, 2, 1),
    run(0x4c0, 1, 1, 15), run(0x4c1, 7, 2, 1), run(0x4d0, 48, 2, 1), run(0x531, 38, 1, 48), run(0x10a0, 38, 1, 7264),
    run(0x10c7, 1, 1, 7264), run(0x10cd, 1, 1, 7264), run(0x13a0, 80, 1, 38864), run(0x13f0, 6, 1, 8), run(0x1c89, 1, 1, 1),
    run(0x1c90, 43, 1, -3008), run(0x1cbd, 3, 1, -3008), run(0x1e00, 75, 2, 1), run(0x1e9e, 1, 1, -7615), run(0x1ea0, 48, 2, 1),
    run(0x1f08, 8, 1, -8), run(0x1f18, 6, 1, -8), run(0x1f28, 8, 1, -8), run(0x1f38, 8, 1, -8), run(0x1f48, 6, 1, -8),
    run(0x1f59, 4, 2, -8), run(0x1f68, 8, 1, -8), run(0x1f88, 8, 1, -8), run(0x1f98, 8, 1, -8), run(0x1fa8, 8, 1, -8),
    run(0x1fb8, 2, 1, -8), run(0x1fba, 2, 1, -74), run(0x1fbc, 1, 1, -9), run(0x1fc8, 4, 1, -86), run(0x1fcc, 1, 1, -9),
    run(0x1fd8, 2, 1, -8), run(0x1fda, 2, 1, -100), run(0x1fe8, 2, 1, -8), run(0x1fea, 2, 1, -112), run(0x1fec, 1, 1, -7),
    run(0x1ff8, 2, 1, -128), run(0x1ffa, 2, 1, -126), run(0x1ffc, 1, 1, -9), run(0x2126, 1, 1, -7517), run(0x212a, 1, 1, -8383),
    run(0x212b, 1, 1, -8262), run(0x2132, 1, 1, 28), run(0x2160, 16, 1, 16), run(0x2183, 1, 1, 1), run(0x24b6, 26, 1, 26),
    run(0x2c00, 48, 1, 48), run(0x2c60, 1, 1, 1), run(0x2c62, 1, 1, -10743), run(0x2c63, 1, 1, -3814), run(0x2c64, 1, 1, -10727),
    run(0x2c67, 3, 2, 1), run(0x2c6d, 1, 1, -10780), run(0x2c6e, 1, 1, -10749), run(0x2c6f, 1, 1, -10783), run(0x2c70, 1, 1, -10782),
    run(0x2c72, 1, 1, 1), run(0x2c75, 1, 1, 1), run(0x2c7e, 2, 1, -10815), run(0x2c80, 50, 2, 1), run(0x2ceb, 2, 2, 1),
    run(0x2cf2, 1, 1, 1), run(0xa640, 23, 2, 1), run(0xa680, 14, 2, 1), run(0xa722, 7, 2, 1), run(0xa732, 31, 2, 1), run(0xa779, 2, 2, 1),
    run(0xa77d, 1, 1, -35332), run(0xa77e, 5, 2, 1), run(0xa78b, 1, 1, 1), run(0xa78d, 1, 1, -42280), run(0xa790, 2, 2, 1),
    run(0xa796, 10, 2, 1), run(0xa7aa, 1, 1, -42308), run(0xa7ab, 1, 1, -42319), run(0xa7ac, 1, 1, -42315), run(0xa7ad, 1, 1, -42305),
    run(0xa7ae, 1, 1, -42308), run(0xa7b0, 1, 1, -42258), run(0xa7b1, 1, 1, -42282), run(0xa7b2, 1, 1, -42261), run(0xa7b3, 1, 1, 928),
    run(0xa7b4, 8, 2, 1), run(0xa7c4, 1, 1, -48), run(0xa7c5, 1, 1, -42307), run(0xa7c6, 1, 1, -35384), run(0xa7c7, 2, 2, 1),
    run(0xa7cb, 1, 1, -42343), run(0xa7cc, 8, 2, 1), run(0xa7dc, 1, 1, -42561), run(0xa7f5, 1, 1, 1), run(0xff21, 26, 1, 32),
    run(0x10400, 40, 1, 40), run(0x104b0, 36, 1, 40), run(0x10570, 11, 1, 39), run(0x1057c, 15, 1, 39), run(0x1058c, 7, 1, 39),
    run(0x10594, 2, 1, 39), run(0x10c80, 51, 1, 64), run(0x10d50, 22, 1, 32), run(0x118a0, 32, 1, 32), run(0x16e40, 32, 1, 32),
    run(0x16ea0, 25, 1, 27), run(0x1e900, 34, 1, 34),
];

/// Letters whose upper case is several: the letter, then these.
#[rustfmt::skip]
const SEVERAL: [[u16; 4]; 102] = [
    [0xdf, 0x53, 0x53, 0x0], [0x149, 0x2bc, 0x4e, 0x0], [0x1f0, 0x4a, 0x30c, 0x0], [0x390, 0x399, 0x308, 0x301],
    [0x3b0, 0x3a5, 0x308, 0x301], [0x587, 0x535, 0x552, 0x0], [0x1e96, 0x48, 0x331, 0x0], [0x1e97, 0x54, 0x308, 0x0],
    [0x1e98, 0x57, 0x30a, 0x0], [0x1e99, 0x59, 0x30a, 0x0], [0x1e9a, 0x41, 0x2be, 0x0], [0x1f50, 0x3a5, 0x313, 0x0],
    [0x1f52, 0x3a5, 0x313, 0x300], [0x1f54, 0x3a5, 0x313, 0x301], [0x1f56, 0x3a5, 0x313, 0x342], [0x1f80, 0x1f08, 0x399, 0x0],
    [0x1f81, 0x1f09, 0x399, 0x0], [0x1f82, 0x1f0a, 0x399, 0x0], [0x1f83, 0x1f0b, 0x399, 0x0], [0x1f84, 0x1f0c, 0x399, 0x0],
    [0x1f85, 0x1f0d, 0x399, 0x0], [0x1f86, 0x1f0e, 0x399, 0x0], [0x1f87, 0x1f0f, 0x399, 0x0], [0x1f88, 0x1f08, 0x399, 0x0],
    [0x1f89, 0x1f09, 0x399, 0x0], [0x1f8a, 0x1f0a, 0x399, 0x0], [0x1f8b, 0x1f0b, 0x399, 0x0], [0x1f8c, 0x1f0c, 0x399, 0x0],
    [0x1f8d, 0x1f0d, 0x399, 0x0], [0x1f8e, 0x1f0e, 0x399, 0x0], [0x1f8f, 0x1f0f, 0x399, 0x0], [0x1f90, 0x1f28, 0x399, 0x0],
    [0x1f91, 0x1f29, 0x399, 0x0], [0x1f92, 0x1f2a, 0x399, 0x0], [0x1f93, 0x1f2b, 0x399, 0x0], [0x1f94, 0x1f2c, 0x399, 0x0],
    [0x1f95, 0x1f2d, 0x399, 0x0], [0x1f96, 0x1f2e, 0x399, 0x0], [0x1f97, 0x1f2f, 0x399, 0x0], [0x1f98, 0x1f28, 0x399, 0x0],
    [0x1f99, 0x1f29, 0x399, 0x0], [0x1f9a, 0x1f2a, 0x399, 0x0], [0x1f9b, 0x1f2b, 0x399, 0x0], [0x1f9c, 0x1f2c, 0x399, 0x0],
    [0x1f9d, 0x1f2d, 0x399, 0x0], [0x1f9e, 0x1f2e, 0x399, 0x0], [0x1f9f, 0x1f2f, 0x399, 0x0], [0x1fa0, 0x1f68, 0x399, 0x0],
    [0x1fa1, 0x1f69, 0x399, 0x0], [0x1fa2, 0x1f6a, 0x399, 0x0], [0x1fa3, 0x1f6b, 0x399, 0x0], [0x1fa4, 0x1f6c, 0x399, 0x0],
    [0x1fa5, 0x1f6d, 0x399, 0x0], [0x1fa6, 0x1f6e, 0x399, 0x0], [0x1fa7, 0x1f6f, 0x399, 0x0], [0x1fa8, 0x1f68, 0x399, 0x0],
    [0x1fa9, 0x1f69, 0x399, 0x0], [0x1faa, 0x1f6a, 0x399, 0x0], [0x1fab, 0x1f6b, 0x399, 0x0], [0x1fac, 0x1f6c, 0x399, 0x0],
    [0x1fad, 0x1f6d, 0x399, 0x0], [0x1fae, 0x1f6e, 0x399, 0x0], [0x1faf, 0x1f6f, 0x399, 0x0], [0x1fb2, 0x1fba, 0x399, 0x0],
    [0x1fb3, 0x391, 0x399, 0x0], [0x1fb4, 0x386, 0x399, 0x0], [0x1fb6, 0x391, 0x342, 0x0], [0x1fb7, 0x391, 0x342, 0x399],
    [0x1fbc, 0x391, 0x399, 0x0], [0x1fc2, 0x1fca, 0x399, 0x0], [0x1fc3, 0x397, 0x399, 0x0], [0x1fc4, 0x389, 0x399, 0x0],
    [0x1fc6, 0x397, 0x342, 0x0], [0x1fc7, 0x397, 0x342, 0x399], [0x1fcc, 0x397, 0x399, 0x0], [0x1fd2, 0x399, 0x308, 0x300],
    [0x1fd3, 0x399, 0x308, 0x301], [0x1fd6, 0x399, 0x342, 0x0], [0x1fd7, 0x399, 0x308, 0x342], [0x1fe2, 0x3a5, 0x308, 0x300],
    [0x1fe3, 0x3a5, 0x308, 0x301], [0x1fe4, 0x3a1, 0x313, 0x0], [0x1fe6, 0x3a5, 0x342, 0x0], [0x1fe7, 0x3a5, 0x308, 0x342],
    [0x1ff2, 0x1ffa, 0x399, 0x0], [0x1ff3, 0x3a9, 0x399, 0x0], [0x1ff4, 0x38f, 0x399, 0x0], [0x1ff6, 0x3a9, 0x342, 0x0],
    [0x1ff7, 0x3a9, 0x342, 0x399], [0x1ffc, 0x3a9, 0x399, 0x0], [0xfb00, 0x46, 0x46, 0x0], [0xfb01, 0x46, 0x49, 0x0],
    [0xfb02, 0x46, 0x4c, 0x0], [0xfb03, 0x46, 0x46, 0x49], [0xfb04, 0x46, 0x46, 0x4c], [0xfb05, 0x53, 0x54, 0x0],
    [0xfb06, 0x53, 0x54, 0x0], [0xfb13, 0x544, 0x546, 0x0], [0xfb14, 0x544, 0x535, 0x0], [0xfb15, 0x544, 0x53b, 0x0],
    [0xfb16, 0x54e, 0x546, 0x0], [0xfb17, 0x544, 0x53d, 0x0],
];

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    #[test]
    fn every_letter_has_the_case_that_rust_gives_it() {
        let text = |of: fn(char, &mut dyn FnMut(char)), c| {
            let mut text = String::new();
            of(c, &mut |c| text.push(c));
            text
        };
        // Miri takes a hundred times as long.
        for c in ('\0'..=char::MAX).step_by(if cfg!(miri) { 9_973 } else { 1 }) {
            assert_eq!(text(upper, c), String::from_iter(c.to_uppercase()), "{c:?}");
            assert_eq!(text(lower, c), String::from_iter(c.to_lowercase()), "{c:?}");
            assert_eq!(is_space(c), c.is_whitespace(), "{c:?}");
        }
    }
}
