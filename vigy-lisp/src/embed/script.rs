//! A program that runs inside an application.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::convert::Infallible;

use self_cell::{MutBorrow, self_cell};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::{Maker, settle};
use super::host::{LoadOptions, Offered};
use super::{ConvertError, IntoValue, ScriptError, ser};
use crate::image::Image;
use crate::machine::{Machine, Step};

/// A program with the memory that it runs in, and the state that it carries along.
///
/// [`Self::run`] runs its top level; then [`Self::call`] calls its functions. Each of both has fresh fuel and output; variables and
/// the heap stay from one to the next. A script whose host may be asked is run by [`Self::run_with`] and [`Self::call_with`], by
/// [`Self::run_async`] and [`Self::call_async`], or step by step: [`Self::start`] or [`Self::start_call`], then [`Self::step`], and
/// [`Self::answer`] for whatever it asks.
pub struct Script<S = (), Q = Infallible> {
    /// What functions of the host reach as [`Ctx::state`](super::Ctx::state).
    pub state: S,
    name: String,
    source: String,
    running: Running,
    /// By import.
    functions: Vec<Offered<S, Q>>,
    /// Something was started and is not over.
    under_way: bool,
    /// The top level has run: functions can be called.
    ran: bool,
    printed: String,
    /// Where values are written before they go in.
    bytes: Vec<u8>,
}

struct Memory {
    image: Image,
    words: MutBorrow<Vec<u64>>,
}

self_cell!(
    struct Running {
        owner: Memory,

        #[not_covariant]
        dependent: Machine,
    }
);

/// Why a script stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<R, Q> {
    /// It is done; this is its result.
    Done(R),
    /// It asks, and waits for [`Script::answer`].
    Ask(Q),
}

/// What [`Script::call`] passes: a tuple of up to eight arguments that serde writes, or a list of [`Data`](crate::Data).
#[diagnostic::on_unimplemented(message = "`{Self}` are no arguments", note = "arguments are a tuple: one is `(x,)`, none is `()`")]
pub trait CallArgs: Serialize {}

macro_rules! tuples {
    ($($(,$t:ident)*;)*) => {$(
        impl<$($t: Serialize),*> CallArgs for ($($t,)*) {}
    )*};
}

tuples! { ; ,A; ,A,B; ,A,B,C; ,A,B,C,D; ,A,B,C,D,E; ,A,B,C,D,E,F; ,A,B,C,D,E,F,G; ,A,B,C,D,E,F,G,H; }
impl CallArgs for &[crate::Data] {}
impl CallArgs for Vec<crate::Data> {}

impl<S, Q> Script<S, Q> {
    pub(super) fn new(image: Image, functions: Vec<Offered<S, Q>>, source: &str, options: &LoadOptions<'_>, state: S) -> Self {
        let words = alloc::vec![0; image.program().words_needed(&options.budget)];
        let running = Running::new(Memory { image, words: MutBorrow::new(words) }, |memory| {
            Machine::new(memory.image.program(), memory.words.borrow_mut(), &options.budget).expect("memory of the size asked for")
        });
        let (name, source) = (options.name.to_string(), source.to_string());
        Self { state, name, source, running, functions, under_way: false, ran: false, printed: String::new(), bytes: Vec::new() }
    }

    /// Starts the top level, from the beginning: whatever ran before is forgotten.
    pub fn start(&mut self) {
        self.running.with_dependent_mut(|_, machine| machine.rewind());
        self.begin();
        self.ran = false;
    }

    /// Starts a call of the function that the program defines as `name`.
    ///
    /// # Errors
    /// [`ScriptError::NotRun`], [`ScriptError::NoFunction`], or [`ScriptError::Convert`] when an argument is no value.
    pub fn start_call(&mut self, name: &str, args: impl CallArgs) -> Result<(), ScriptError> {
        if !self.ran {
            return Err(ScriptError::NotRun);
        }
        self.bytes.clear();
        ser::write(&args, &mut self.bytes)?;
        let bytes = &self.bytes;
        let entered = self.running.with_dependent_mut(|_, machine| {
            let args = machine.decode(bytes).map_err(ConvertError::new)?;
            Ok::<_, ScriptError>(machine.global(name).is_some_and(|function| machine.enter(function, args)))
        })?;
        if !entered {
            return Err(self.no_function(name));
        }
        self.begin();
        Ok(())
    }

    fn begin(&mut self) {
        self.under_way = true;
        self.printed.clear();
    }

    #[cold]
    fn no_function(&self, name: &str) -> ScriptError {
        let near = self.running.with_dependent(|_, machine| crate::compile::nearest(name, machine.functions()).map(ToString::to_string));
        ScriptError::NoFunction { name: name.to_string(), near }
    }

    /// Goes on until it is done or asks. One that waits for an answer asks again.
    ///
    /// # Errors
    /// [`ScriptError`]: the run failed, its result is not what was asked for, or nothing runs.
    pub fn step<R: DeserializeOwned>(&mut self) -> Result<Next<R, Q>, ScriptError> {
        if !self.under_way {
            return Err(ScriptError::NotRunning);
        }
        let Self { state, functions, printed, bytes, .. } = self;
        let stopped = self.running.with_dependent_mut(|_, machine| {
            loop {
                match machine.run(u64::MAX) {
                    Step::Done(value) => return Some(Next::Done(machine.from_value(value))),
                    Step::Call => {
                        let Offered { about, body } = &functions[machine.call().import as usize];
                        if let Some(asked) = body(about, state, machine, bytes) {
                            return Some(Next::Ask(asked));
                        }
                    }
                    Step::Output => printed.push_str(machine.output()),
                    Step::Paused => {}
                    Step::Failed => return None,
                }
            }
        });
        match stopped {
            Some(Next::Ask(asked)) => Ok(Next::Ask(asked)),
            Some(Next::Done(result)) => {
                self.ran = true;
                self.under_way = false;
                Ok(Next::Done(result?))
            }
            None => {
                self.under_way = false;
                Err(self.failure())
            }
        }
    }

    #[cold]
    fn failure(&self) -> ScriptError {
        let fault = self.running.with_dependent(|_, machine| machine.fault());
        // A failed run has a fault.
        fault.map_or(ScriptError::NotRunning, |fault| ScriptError::failed(fault, self.image().program(), &self.name, &self.source))
    }

    /// Answers what the script asked; it goes on with the next [`Self::step`]. An `Err` becomes an error that the program may catch.
    /// Without a question, nothing happens.
    pub fn answer(&mut self, answer: impl IntoValue) {
        let bytes = &mut self.bytes;
        self.running.with_dependent_mut(|_, machine| {
            let value = answer.into_value(&mut Maker { machine, bytes });
            settle(value, machine);
        });
    }

    /// Runs the top level; `answer` is called for whatever it asks.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn run_with<R: DeserializeOwned, A: IntoValue>(&mut self, answer: impl FnMut(Q) -> A) -> Result<R, ScriptError> {
        self.start();
        self.finish(answer)
    }

    /// Calls the function `name`; `answer` is called for whatever it asks.
    ///
    /// # Errors
    /// As [`Self::start_call`] and [`Self::step`].
    pub fn call_with<R: DeserializeOwned, A: IntoValue>(
        &mut self,
        name: &str,
        args: impl CallArgs,
        answer: impl FnMut(Q) -> A,
    ) -> Result<R, ScriptError> {
        self.start_call(name, args)?;
        self.finish(answer)
    }

    fn finish<R: DeserializeOwned, A: IntoValue>(&mut self, mut answer: impl FnMut(Q) -> A) -> Result<R, ScriptError> {
        loop {
            match self.step()? {
                Next::Done(result) => return Ok(result),
                Next::Ask(asked) => self.answer(answer(asked)),
            }
        }
    }

    /// Runs the top level; whatever it asks is awaited. Needs no particular executor.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn run_async<R: DeserializeOwned, A: IntoValue>(&mut self, answer: impl AsyncFnMut(Q) -> A) -> Result<R, ScriptError> {
        self.start();
        self.finish_async(answer).await
    }

    /// Calls the function `name`; whatever it asks is awaited. Needs no particular executor.
    ///
    /// # Errors
    /// As [`Self::start_call`] and [`Self::step`].
    pub async fn call_async<R: DeserializeOwned, A: IntoValue>(
        &mut self,
        name: &str,
        args: impl CallArgs,
        answer: impl AsyncFnMut(Q) -> A,
    ) -> Result<R, ScriptError> {
        self.start_call(name, args)?;
        self.finish_async(answer).await
    }

    async fn finish_async<R: DeserializeOwned, A: IntoValue>(&mut self, mut answer: impl AsyncFnMut(Q) -> A) -> Result<R, ScriptError> {
        loop {
            match self.step()? {
                Next::Done(result) => return Ok(result),
                Next::Ask(asked) => {
                    let answer = answer(asked).await;
                    self.answer(answer);
                }
            }
        }
    }

    /// The value that a variable has now.
    ///
    /// # Errors
    /// [`ScriptError::NotDefined`], or [`ScriptError::Convert`] when its value is not what was asked for.
    pub fn get<R: DeserializeOwned>(&self, name: &str) -> Result<R, ScriptError> {
        let value = self.running.with_dependent(|_, machine| machine.global(name).map(|value| machine.from_value(value)));
        Ok(value.ok_or_else(|| ScriptError::NotDefined { name: name.to_string() })??)
    }

    /// What the last run or call has printed so far.
    #[must_use]
    pub fn printed(&self) -> &str {
        &self.printed
    }

    /// Fuel that the last run or call has used so far.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        self.running.with_dependent(|_, machine| machine.fuel_used())
    }

    /// The compiled program.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.running.borrow_owner().image
    }
}

impl<S> Script<S> {
    /// Runs the top level: the result is the value of its last form. `()` takes any.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn run<R: DeserializeOwned>(&mut self) -> Result<R, ScriptError> {
        self.run_with(never)
    }

    /// Calls the function that the program defines as `name`.
    ///
    /// # Errors
    /// As [`Self::start_call`] and [`Self::step`].
    pub fn call<R: DeserializeOwned>(&mut self, name: &str, args: impl CallArgs) -> Result<R, ScriptError> {
        self.call_with(name, args, never)
    }
}

/// Answers what is never asked.
fn never(asked: Infallible) {
    match asked {}
}
