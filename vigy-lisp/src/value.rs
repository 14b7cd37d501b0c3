//! One word per value.
//!
//! ```text
//! ...............................................................00   int of 62 bits, shifted left by two
//! ...............................................................1.   double whose exponent lies within 2^±255, rotated
//! iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiioooooooooooooooooooooooottttttt01   everything else: index, offset, tag
//! ```
//!
//! Adding, subtracting and comparing small ints needs no untagging. A double of ordinary size needs no memory: its exponent's
//! upper bits take only two patterns, so rotating them to the bottom makes the tag. Other doubles and larger ints are boxed.
//! Every number has exactly one encoding.

/// A value of the language, or a handle to one inside its machine. Copying it copies the handle.
///
/// A handle is meaningful only to the machine that made it, and only until that machine runs again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value(pub(crate) u64);

const _: () = assert!(size_of::<Value>() == 8);

pub(crate) mod tag {
    pub(crate) const CONST: u8 = 0x01;
    pub(crate) const SYMBOL: u8 = 0x05;
    pub(crate) const KEYWORD: u8 = 0x09;
    pub(crate) const LIST: u8 = 0x0d;
    pub(crate) const STRING: u8 = 0x11;
    pub(crate) const MAP: u8 = 0x15;
    pub(crate) const CLOSURE: u8 = 0x19;
    pub(crate) const INT: u8 = 0x1d;
    pub(crate) const FLOAT: u8 = 0x21;
    pub(crate) const ERROR: u8 = 0x25;
    pub(crate) const PROMISE: u8 = 0x29;
    pub(crate) const CELL: u8 = 0x2d;
    pub(crate) const CHANNEL: u8 = 0x31;
    pub(crate) const FIBER: u8 = 0x35;
    /// A function without captures: the index is its row in the program's function table.
    pub(crate) const FUNCTION: u8 = 0x39;
    /// A builtin: the index is its row in the builtin table.
    pub(crate) const BUILTIN: u8 = 0x3d;
    /// A function of the host: the index is its row in the program's import table.
    pub(crate) const HOST: u8 = 0x41;
    /// A list under construction; never seen by a program.
    pub(crate) const BUFFER: u8 = 0x45;
    /// Entries of maps; never seen by a program.
    pub(crate) const TABLE: u8 = 0x49;
    /// The name of a symbol made at run time; never seen by a program.
    pub(crate) const NAME: u8 = 0x4d;
    /// The registers of a fiber that waits; never seen by a program.
    pub(crate) const FRAMES: u8 = 0x51;
}

/// Objects with this bit in their index belong to the program's image, the others to the machine's heap.
pub(crate) const FROZEN: u32 = 1 << 31;
const MAX_SMALL: i64 = (1 << 61) - 1;
const MIN_SMALL: i64 = -(1 << 61);
/// The one NaN of the language.
pub(crate) const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

impl Value {
    /// The empty list, the absent value, and one of the two false values.
    pub const NIL: Self = Self(0x01);
    /// False.
    pub const FALSE: Self = Self(0x101);
    /// True.
    pub const TRUE: Self = Self(0x201);
    /// A global that has no value yet.
    pub(crate) const UNBOUND: Self = Self(0x301);
    /// An optional argument that was not given.
    pub(crate) const ABSENT: Self = Self(0x401);

    /// The boolean value of `b`.
    #[must_use]
    pub const fn bool(b: bool) -> Self {
        if b { Self::TRUE } else { Self::FALSE }
    }

    /// The int `i`, when it needs no memory: 62 bits.
    #[must_use]
    pub const fn small_int(i: i64) -> Option<Self> {
        if i >= MIN_SMALL && i <= MAX_SMALL { Some(Self((i as u64) << 2)) } else { None }
    }

    /// A small constant. The caller knows that it fits into 62 bits: indices and lengths do.
    pub(crate) const fn index(i: usize) -> Self {
        Self((i as u64) << 2)
    }

    /// The double `f`, when it needs no memory.
    #[inline]
    pub(crate) fn small_float(f: f64) -> Option<Self> {
        let word = f.to_bits().wrapping_sub(1 << 60).rotate_left(4);
        (word & 6 == 2).then_some(Self(word))
    }

    #[inline]
    pub(crate) const fn as_small_int(self) -> Option<i64> {
        if self.0 & 3 == 0 { Some((self.0 as i64) >> 2) } else { None }
    }

    #[inline]
    pub(crate) const fn is_small_float(self) -> bool {
        self.0 & 2 != 0
    }

    #[inline]
    pub(crate) const fn small_float_value(self) -> f64 {
        f64::from_bits(self.0.rotate_right(4).wrapping_add(1 << 60))
    }

    #[inline]
    pub(crate) const fn make(tag: u8, index: u32, offset: u32) -> Self {
        Self(((index as u64) << 32) | ((offset as u64) << 8) | tag as u64)
    }

    /// A function without captures; whether it stands for a builtin.
    #[cfg(feature = "compiler")]
    pub(crate) const fn function(row: u32, stands: bool) -> Self {
        Self::make(tag::FUNCTION, row, stands as u32)
    }

    /// Whether a function stands for a builtin: messages say so.
    pub(crate) const fn stands_for_builtin(self) -> bool {
        self.offset() == 1
    }

    /// The tag byte; 0 for small ints, 2 for small doubles.
    #[inline]
    pub(crate) const fn tag(self) -> u8 {
        if self.0 & 3 == 0 {
            0
        } else if self.0 & 2 != 0 {
            2
        } else {
            self.0 as u8
        }
    }

    /// The tag byte of what is no small number; no tag at all of what is one.
    #[inline]
    pub(crate) const fn object_tag(self) -> u8 {
        self.0 as u8
    }

    #[inline]
    pub(crate) const fn is(self, tag: u8) -> bool {
        self.0 as u8 == tag
    }

    #[inline]
    pub(crate) const fn index_of(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    pub(crate) const fn offset(self) -> u32 {
        (self.0 >> 8) as u32 & 0x00ff_ffff
    }

    /// Whether a condition takes this value for true: everything but false and nil is.
    #[inline]
    #[must_use]
    pub const fn is_true(self) -> bool {
        self.0 & !0x100 != 0x01
    }

    /// Whether this is nil, the empty list.
    #[inline]
    #[must_use]
    pub const fn is_nil(self) -> bool {
        self.0 == Self::NIL.0
    }

    /// Whether this is a list with at least one element.
    #[inline]
    pub(crate) const fn is_pair(self) -> bool {
        self.is(tag::LIST)
    }

    #[inline]
    pub(crate) const fn is_list(self) -> bool {
        self.is(tag::LIST) || self.is_nil()
    }

    pub(crate) const fn is_callable(self) -> bool {
        matches!(self.object_tag(), tag::CLOSURE | tag::FUNCTION | tag::BUILTIN | tag::HOST)
    }

    /// Whether the value can be a key, and one that only the same word is equal to.
    #[inline]
    pub(crate) const fn is_plain_key(self) -> bool {
        // Most are keywords.
        self.is(tag::KEYWORD) || !self.is_object() && !self.is_callable()
    }

    /// Whether the value refers to words of a heap or an image.
    pub(crate) const fn is_object(self) -> bool {
        matches!(
            self.object_tag(),
            tag::LIST
                | tag::STRING
                | tag::MAP
                | tag::CLOSURE
                | tag::INT
                | tag::FLOAT
                | tag::ERROR
                | tag::PROMISE
                | tag::CELL
                | tag::CHANNEL
                | tag::FIBER
                | tag::BUFFER
                | tag::TABLE
                | tag::NAME
                | tag::FRAMES
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ints_keep_their_value() {
        for i in [0, 1, -1, 42, MAX_SMALL, MIN_SMALL] {
            assert_eq!(Value::small_int(i).and_then(Value::as_small_int), Some(i));
        }
        assert_eq!(Value::small_int(MAX_SMALL + 1), None);
        assert_eq!(Value::small_int(MIN_SMALL - 1), None);
    }

    #[test]
    fn ordinary_doubles_need_no_memory() {
        for f in [1.0, -1.0, 0.1, 1e60, -1e-60, 3.25, 123_456.789] {
            let value = Value::small_float(f).expect("an ordinary double");
            assert!(value.is_small_float() && value.as_small_int().is_none());
            assert_eq!(value.small_float_value(), f);
        }
        for f in [0.0, -0.0, f64::INFINITY, NAN, 1e300, 1e-300] {
            assert_eq!(Value::small_float(f), None);
        }
    }

    #[test]
    fn only_false_and_nil_are_false() {
        assert!(!Value::NIL.is_true() && !Value::FALSE.is_true());
        assert!(Value::TRUE.is_true() && Value::index(0).is_true());
    }
}
