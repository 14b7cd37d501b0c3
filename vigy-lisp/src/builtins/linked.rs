//! The builtins that a machine has. A host has a table of all, found by their numbers. On bare metal there are rows for those that are
//! linked and for no others: neither their code nor their names take flash.

#[cfg(target_os = "none")]
use super::ANY;
use super::{Answer, ROWS, Run, exists, name};
use crate::machine::{Machine, Tag};
#[cfg(target_os = "none")]
use crate::map::{Lookup, look, no_maps};

/// A builtin that can be linked.
#[derive(Clone, Copy)]
pub struct Builtin {
    run: Run,
    #[cfg(target_os = "none")]
    name: &'static str,
    number: u16,
    #[cfg(target_os = "none")]
    takes: (u8, u8),
}

/// Stands where a builtin is not linked.
fn absent(m: &mut Machine<'_>, _: usize, _: usize) -> Answer {
    Err(m.error(Tag::NativeFn, &["this machine does not have this builtin"]))
}

impl Builtin {
    /// The one with that number; without one, what raises an error.
    #[must_use]
    pub const fn numbered(number: u32) -> Self {
        let (at, known) = (number as usize, (number as usize) < ROWS.len());
        Self {
            run: if known { ROWS[at].run } else { absent },
            #[cfg(target_os = "none")]
            name: if known { ROWS[at].name } else { "?" },
            number: number as u16,
            #[cfg(target_os = "none")]
            takes: if known { (ROWS[at].min, ROWS[at].max) } else { (0, ANY) },
        }
    }

    /// Those with the given numbers, as [`crate::Program::builtins`] tells them: for [`Builtins::only`].
    #[must_use]
    pub const fn rows<const N: usize>(numbers: [u32; N]) -> [Self; N] {
        let mut rows = [Self::numbered(0); N];
        let mut made = 0;
        while made < N {
            // In order, so that they are found by halves.
            let mut at = made;
            while at > 0 && rows[at - 1].number as u32 > numbers[made] {
                rows[at] = rows[at - 1];
                at -= 1;
            }
            rows[at] = Self::numbered(numbers[made]);
            made += 1;
        }
        rows
    }
}

impl core::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(name(self.number.into()))
    }
}

/// The builtins that a machine has. A firmware for one program links only those that [`crate::Program::builtins`] names.
// The code comes first, by number: who links a module for one program finds there what it may leave out.
#[cfg(not(target_os = "none"))]
#[repr(C)]
pub struct Builtins {
    code: [Run; ROWS.len()],
    /// A bit for each, by number.
    present: [u32; ROWS.len().div_ceil(32)],
}

#[cfg(not(target_os = "none"))]
impl Builtins {
    /// All of them.
    pub const ALL: &'static Self = {
        static EVERY: Builtins = {
            let mut builtins = Builtins::only(&[]);
            let mut number = 0;
            while number < ROWS.len() {
                builtins = builtins.with(Builtin::numbered(number as u32));
                number += 1;
            }
            builtins
        };
        &EVERY
    };

    /// Those: in a `static`, no others are linked.
    #[must_use]
    pub const fn only(rows: &'static [Builtin]) -> Self {
        let mut builtins = Self { code: [absent; ROWS.len()], present: [0; ROWS.len().div_ceil(32)] };
        let mut at = 0;
        while at < rows.len() {
            builtins = builtins.with(rows[at]);
            at += 1;
        }
        builtins
    }

    const fn with(mut self, builtin: Builtin) -> Self {
        let number = builtin.number as usize;
        if number < ROWS.len() {
            self.code[number] = builtin.run;
            self.present[number / 32] |= 1 << (number % 32);
        }
        self
    }

    fn has(&self, number: u32) -> bool {
        self.present.get(number as usize / 32).is_some_and(|bits| bits >> (number % 32) & 1 != 0)
    }

    fn len(&self) -> usize {
        self.present.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    #[inline]
    pub(crate) fn code(&self, number: u32) -> Run {
        self.code[number as usize]
    }

    pub(crate) fn name(&self, number: u32) -> &'static str {
        name(number)
    }

    /// The fewest and the most arguments that it takes.
    #[inline]
    pub(crate) fn arity(&self, number: u32) -> (usize, Option<usize>) {
        super::arity(number)
    }
}

/// The builtins that a machine has. A firmware for one program links only those that [`crate::Program::builtins`] names.
#[cfg(target_os = "none")]
pub struct Builtins {
    rows: &'static [Builtin],
    pub(crate) lookup: Lookup,
}

#[cfg(target_os = "none")]
impl Builtins {
    /// All of them.
    pub const ALL: &'static Self = {
        static EVERY: Builtins = Builtins::only(
            &const {
                let mut numbers = [0; ROWS.len()];
                let mut at = 0;
                while at < numbers.len() {
                    numbers[at] = at as u32;
                    at += 1;
                }
                Builtin::rows(numbers)
            },
        );
        &EVERY
    };

    /// Those: in a `static`, no others are linked.
    #[must_use]
    pub const fn only(rows: &'static [Builtin]) -> Self {
        let (mut at, mut maps) = (0, false);
        while at < rows.len() {
            let number = rows[at].number as usize;
            maps |= number < ROWS.len() && ROWS[number].maps;
            at += 1;
        }
        Self { rows, lookup: if maps { look } else { no_maps } }
    }

    fn row(&self, number: u32) -> Option<&Builtin> {
        self.rows.binary_search_by_key(&number, |row| row.number.into()).ok().and_then(|at| self.rows.get(at))
    }

    fn has(&self, number: u32) -> bool {
        self.row(number).is_some()
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn code(&self, number: u32) -> Run {
        self.row(number).map_or(absent, |row| row.run)
    }

    /// What is not linked has no name.
    pub(crate) fn name(&self, number: u32) -> &'static str {
        self.row(number).map_or("?", |row| row.name)
    }

    /// The fewest and the most arguments that it takes.
    pub(crate) fn arity(&self, number: u32) -> (usize, Option<usize>) {
        let (min, max) = self.row(number).map_or((0, ANY), |row| row.takes);
        (min.into(), (max != ANY).then_some(max.into()))
    }
}

impl Builtins {
    /// The names of all there are, by their numbers.
    #[cfg(feature = "compiler")]
    pub fn names() -> impl Iterator<Item = &'static str> {
        super::names()
    }

    /// The numbers of those that have no definition in the language: all that programs call that were compiled with
    /// [`Library::Portable`](crate::Library::Portable).
    #[cfg(feature = "compiler")]
    pub fn primitives() -> impl Iterator<Item = u32> {
        (0..).zip(super::names()).filter(|(_, name)| !crate::compile::is_portable(name)).map(|(number, _)| number)
    }

    /// The name of a builtin that a program may call and that is not here.
    #[must_use]
    pub fn missing(&self, program: &crate::Program<'_>) -> Option<&'static str> {
        program.builtins().find(|number| exists(*number) && !self.has(*number)).map(name)
    }

    /// Whether the builtin takes `n` arguments.
    #[inline]
    pub(crate) fn accepts(&self, number: u32, n: usize) -> bool {
        let (min, max) = self.arity(number);
        n >= min && max.is_none_or(|max| n <= max)
    }
}

impl core::fmt::Debug for Builtins {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Builtins({} of {})", self.len(), ROWS.len())
    }
}
