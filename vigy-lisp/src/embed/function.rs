//! What may be registered: functions and closures of typed arguments.

use super::argument::{Argument, Arguments, Mismatch, Takes};
use crate::arity::Arity;
use crate::machine::Machine;
use crate::value::Value;
use crate::view::View;

/// What a host function sees beside its arguments.
pub struct Ctx<'c, S = ()> {
    /// The state of the script that calls.
    pub state: &'c mut S,
    machine: &'c Machine<'c>,
}

impl<'c, S> Ctx<'c, S> {
    /// The machine that the program runs in: to look into values.
    #[must_use]
    pub fn machine(&self) -> &'c Machine<'c> {
        self.machine
    }

    /// What a value is.
    #[must_use]
    pub fn view(&self, value: Value) -> View<'c> {
        self.machine.view(value)
    }
}

/// A function or closure that a [`Host`](super::Host) can offer: of up to eight [`Argument`]s, with a `&mut Ctx` in front of them
/// when it wants one. `M` only tells the two apart.
#[diagnostic::on_unimplemented(
    message = "this cannot be offered to programs",
    note = "a function of the host is `Fn([&mut Ctx,] arguments…) -> result`, `Send + Sync + 'static`, with its argument types written out"
)]
pub trait Function<S, M>: Send + Sync + 'static {
    /// What it gives back.
    type Output;

    /// How many arguments a call may have.
    fn arity() -> Arity;

    /// The names that it takes as keywords.
    fn keywords() -> &'static [&'static str];

    /// Takes its arguments and calls it. The number is how many were taken when one did not fit.
    ///
    /// # Errors
    /// [`Mismatch`], when an argument is not what it takes.
    fn call(&self, state: &mut S, machine: &Machine<'_>) -> Result<Self::Output, (Mismatch, usize)>;
}

/// Marks functions that take a [`Ctx`].
pub struct WithCtx;
/// Marks functions that take their arguments alone.
pub struct Plain;

/// What a call must and may have: optional ones in front of a required one must be there.
const fn arity(takes: &[Takes]) -> Arity {
    let (mut i, mut min, mut rest) = (0, 0, false);
    while i < takes.len() {
        match takes[i] {
            Takes::One => min = i + 1,
            Takes::Optional => {}
            Takes::Rest => rest = true,
        }
        i += 1;
    }
    let max = if rest { None } else { Some(takes.len() as u8) };
    Arity { min: min as u8, max }
}

macro_rules! functions {
    ($($arg:ident $name:ident),*) => {
        impl<S, F, R, $($arg: Argument),*> Function<S, (WithCtx, R, $($arg,)*)> for F
        where
            F: Fn(&mut Ctx<'_, S>, $($arg),*) -> R + Send + Sync + 'static,
            F: for<'a> Fn(&mut Ctx<'_, S>, $($arg::As<'a>),*) -> R,
        {
            type Output = R;

            fn arity() -> Arity {
                const { arity(&[$($arg::TAKES),*]) }
            }

            fn keywords() -> &'static [&'static str] {
                let all: &[&'static [&'static str]] = &[$($arg::keywords()),*];
                all.last().copied().unwrap_or_default()
            }

            #[inline]
            fn call(&self, state: &mut S, machine: &Machine<'_>) -> Result<R, (Mismatch, usize)> {
                #[allow(clippy::too_many_arguments, reason = "as many as the function takes")]
                fn apply<S, R, $($arg),*>(
                    function: impl Fn(&mut Ctx<'_, S>, $($arg),*) -> R,
                    ctx: &mut Ctx<'_, S>,
                    $($name: $arg),*
                ) -> R {
                    function(ctx, $($name),*)
                }
                #[allow(unused_mut, unused_variables, reason = "functions without arguments take none")]
                let mut args = Arguments::of(machine);
                $(let $name = $arg::take(&mut args).map_err(|e| (e, args.taken()))?;)*
                Ok(apply(self, &mut Ctx { state, machine }, $($name),*))
            }
        }

        impl<S, F, R, $($arg: Argument),*> Function<S, (Plain, R, $($arg,)*)> for F
        where
            F: Fn($($arg),*) -> R + Send + Sync + 'static,
            F: for<'a> Fn($($arg::As<'a>),*) -> R,
        {
            type Output = R;

            fn arity() -> Arity {
                const { arity(&[$($arg::TAKES),*]) }
            }

            fn keywords() -> &'static [&'static str] {
                let all: &[&'static [&'static str]] = &[$($arg::keywords()),*];
                all.last().copied().unwrap_or_default()
            }

            #[inline]
            fn call(&self, _: &mut S, machine: &Machine<'_>) -> Result<R, (Mismatch, usize)> {
                #[allow(clippy::too_many_arguments, reason = "as many as the function takes")]
                fn apply<R, $($arg),*>(function: impl Fn($($arg),*) -> R, $($name: $arg),*) -> R {
                    function($($name),*)
                }
                #[allow(unused_mut, unused_variables, reason = "functions without arguments take none")]
                let mut args = Arguments::of(machine);
                $(let $name = $arg::take(&mut args).map_err(|e| (e, args.taken()))?;)*
                Ok(apply(self, $($name),*))
            }
        }
    };
}

functions!();
functions!(A a);
functions!(A a, B b);
functions!(A a, B b, C c);
functions!(A a, B b, C c, D d);
functions!(A a, B b, C c, D d, E e);
functions!(A a, B b, C c, D d, E e, G g);
functions!(A a, B b, C c, D d, E e, G g, H h);
functions!(A a, B b, C c, D d, E e, G g, H h, I i);
