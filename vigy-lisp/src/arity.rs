//! How many arguments a function takes.

use core::fmt;

use crate::number::digits;

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    /// The fewest.
    pub min: u8,
    /// The most; `None` for any number.
    pub max: Option<u8>,
}

impl Arity {
    /// Exactly `n`.
    #[must_use]
    pub const fn exactly(n: u8) -> Self {
        Self { min: n, max: Some(n) }
    }

    /// `n` or more.
    #[must_use]
    pub const fn at_least(n: u8) -> Self {
        Self { min: n, max: None }
    }

    /// From `min` to `max`, both included.
    #[must_use]
    pub const fn between(min: u8, max: u8) -> Self {
        Self { min, max: Some(max) }
    }

    /// Whether `n` arguments are right.
    #[must_use]
    pub const fn accepts(self, n: usize) -> bool {
        n >= self.min as usize
            && match self.max {
                Some(max) => n <= max as usize,
                None => true,
            }
    }
}

impl fmt::Display for Arity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, usize::from(self.min), self.max.map(usize::from))
    }
}

pub(crate) fn write(out: &mut dyn fmt::Write, min: usize, max: Option<usize>) -> fmt::Result {
    let (fewest, most) = (digits(min as i64), digits(max.unwrap_or(min) as i64));
    parts(min, max, &fewest, &most).iter().try_for_each(|part| out.write_str(part))
}

/// How many arguments there may be, in words.
pub(crate) fn parts<'t>(min: usize, max: Option<usize>, fewest: &'t str, most: &'t str) -> [&'t str; 5] {
    let plural = if min == 1 { " argument" } else { " arguments" };
    match max {
        Some(max) if max == min => ["", fewest, plural, "", ""],
        Some(_) => ["", fewest, " to ", most, " arguments"],
        None => ["at least ", fewest, plural, "", ""],
    }
}

/// A function that the host offers to programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostFn {
    /// Its name in programs.
    pub name: &'static str,
    /// How many arguments it takes.
    pub arity: Arity,
    /// Whether a call may change something outside the program. What that means is the embedder's; the image carries it.
    pub writes: bool,
    /// Whether nobody but the program should see the answer. What that means is the embedder's; the image carries it.
    pub secret: bool,
    /// One line for people.
    pub doc: &'static str,
}
