//! The machine: runs a program within a budget, in memory that the caller owns.
//!
//! ```text
//! memory   globals │ registers of all frames │ heap │ tables of the collector
//! frame    callee │ return address │ arguments, locals, temporaries …
//! ```
//!
//! Every word of a frame reads as a value, return addresses and handlers as small ints: so the collector needs to know nothing of code.
//!
//! The machine never calls out. It stops and says why: [`Step`]. Depth of a program is depth of its own register stack,
//! never of the native one.

mod enter;
mod exec;
mod fault;
pub(crate) mod fibers;
mod frames;
mod make;
mod memory;
mod unwind;

use core::fmt::{self, Write};

pub use fault::{CHAIN, Fault, FaultKind, Frame, Message};
pub(crate) use fault::{Stop, Tag};
use fibers::Fibers;
pub use make::KeyError;
pub(crate) use memory::Full;

use crate::budget::Budget;
use crate::builtins::Builtins;
use crate::code::{Op, bx, c};
use crate::heap::{Exhausted, Heap};
use crate::image::{Function, Program, WINDOW, stack_len};
use crate::print::{self, Functions, Style};
use crate::span::Span;
use crate::value::{Value, tag};
use crate::view::View;

/// Why the machine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// The program is over; this is the value of its last form.
    Done(Value),
    /// It waits for a host function: [`Machine::call`], answered by [`Machine::resume`] or [`Machine::raise`].
    Call,
    /// It printed: [`Machine::output`]. [`Machine::run`] goes on.
    Output,
    /// The slice is used up. [`Machine::run`] goes on.
    Paused,
    /// It failed: [`Machine::fault`]. Running it again starts it anew.
    Failed,
}

/// The memory handed in is smaller than the budget asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryTooSmall {
    /// Words that the program needs within this budget.
    pub needed: usize,
    /// Words that were given.
    pub given: usize,
}

impl fmt::Display for MemoryTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the budget needs {} words of memory, {} were given", self.needed, self.given)
    }
}

impl core::error::Error for MemoryTooSmall {}

/// A host function that the program waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCall {
    /// Its number among [`Program::imports`].
    pub import: u32,
    /// Arguments: [`Machine::arg`] below this number.
    pub args: usize,
    at: usize,
    result: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `run` starts from the beginning.
    Fresh,
    /// `run` goes on.
    Ready,
    /// Text was handed out; `run` frees it and goes on.
    Output {
        text: Value,
        top: usize,
    },
    /// Waits for `resume` or `raise`.
    Calling(HostCall),
    Done(Value),
    /// A host call failed and nobody caught it; `run` says so.
    Raised,
    Failed,
}

/// No error handler: there is no frame there.
const NO_HANDLER: usize = 0;

/// A program running in memory that the caller owns.
///
/// Methods come in three families: **run** ([`Self::run`], [`Self::rewind`]) makes it go on and says why it stopped;
/// **answer** ([`Self::resume`], [`Self::raise`] and the constructors of values) speaks for the host;
/// **look** ([`Self::view`], [`Self::text`], [`Self::encode`], [`Self::display`], …) reads values.
pub struct Machine<'m> {
    program: Program<'m>,
    builtins: &'m Builtins,
    budget: Budget,
    globals: &'m mut [u64],
    stack: &'m mut [u64],
    /// Below this, all words of the stack were written in this run. A frame is entered only where its window ends in front of it.
    written: usize,
    pub(crate) heap: Heap<'m>,
    state: State,
    pc: usize,
    base: usize,
    depth: u32,
    handler: usize,
    /// The fiber that runs, and those that could.
    pub(crate) fibers: Fibers,
    /// The list that the last `Apply` spread over itself, and the fuel that took.
    spread: (Value, i64),
    /// Where and with how much fuel the last collection was made: running on from there without success means that the heap is too small.
    starved: Option<(usize, usize, i64)>,
    /// Whether the heap is collected when it is full.
    pub(crate) collects: bool,
    /// Fuel left of the whole budget.
    pub(crate) fuel: i64,
    collector_fuel: u64,
    /// Bytes of output left.
    output_left: u32,
    pub(crate) gensyms: u64,
    /// Where the numbers of generated names start.
    pub(crate) gensym_base: u64,
    /// What was raised, thrown or printed last.
    cause: Value,
    /// Why the run failed: what [`Self::fault`] is told from.
    failure: Option<Stop>,
}

impl<'m> Machine<'m> {
    /// A machine that will run `program` within `budget` in the first words of `memory`. Takes time linear in the number of globals.
    ///
    /// # Errors
    /// [`MemoryTooSmall`], when `memory` has fewer words than [`Program::words_needed`]: a machine never runs smaller.
    pub fn new(program: Program<'m>, memory: &'m mut [u64], budget: &Budget) -> Result<Self, MemoryTooSmall> {
        Self::with_builtins(program, Builtins::ALL, memory, budget)
    }

    /// [`Self::new`] with some of the builtins. What calls another one raises an error: ask [`Builtins::missing`] before.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_builtins(
        program: Program<'m>,
        builtins: &'m Builtins,
        memory: &'m mut [u64],
        budget: &Budget,
    ) -> Result<Self, MemoryTooSmall> {
        let needed = program.words_needed(budget);
        let given = memory.len();
        let Some(memory) = memory.get_mut(..needed) else {
            return Err(MemoryTooSmall { needed, given });
        };
        let (globals, memory) = memory.split_at_mut(program.globals.len());
        let (stack, heap) = memory.split_at_mut(stack_len(budget));
        globals.copy_from_slice(program.globals);
        #[cfg_attr(not(target_os = "none"), allow(unused_mut, reason = "a host has all there is to maps"))]
        let mut heap = Heap::new(program.frozen, program.names, heap, budget.heap_bytes);
        #[cfg(target_os = "none")]
        {
            heap.lookup = builtins.lookup;
        }
        Ok(Self {
            program,
            builtins,
            budget: *budget,
            globals,
            stack,
            written: 0,
            heap,
            state: State::Fresh,
            pc: 0,
            base: 2,
            depth: 0,
            handler: NO_HANDLER,
            fibers: Fibers::NONE,
            spread: (Value::NIL, 0),
            starved: None,
            collects: true,
            fuel: 0,
            collector_fuel: 0,
            output_left: 0,
            gensyms: 0,
            gensym_base: 0,
            cause: Value::NIL,
            failure: None,
        })
    }

    /// Makes the next [`Self::run`] start from the beginning, with fresh globals, heap and budgets. Takes time linear in the number of globals.
    pub fn rewind(&mut self) {
        // Most programs have no variables of their own, and copying nothing is a call all the same.
        if !self.globals.is_empty() {
            self.globals.copy_from_slice(self.program.globals);
        }
        // What a run leaves on the stack refers to its heap. Where it had none, there is nothing to clear before the next one.
        if self.heap.peak_bytes() > 0 {
            self.written = 0;
        }
        self.heap.rewind();
        self.state = State::Fresh;
        self.failure = None;
    }

    /// Goes on for at most about `slice` units of fuel; a run that is over starts anew.
    ///
    /// While a host call waits, nothing happens and the answer is [`Step::Call`] again.
    pub fn run(&mut self, slice: u64) -> Step {
        match self.state {
            State::Calling(_) => return Step::Call,
            State::Output { top, .. } => {
                self.heap.note_peak();
                self.heap.top = top;
            }
            State::Ready => {}
            State::Raised => {
                self.state = State::Failed;
                return Step::Failed;
            }
            State::Fresh => self.start(),
            State::Done(_) | State::Failed => {
                self.rewind();
                self.start();
            }
        }
        self.state = State::Ready;
        self.execute(slice)
    }

    fn start(&mut self) {
        self.pc = self.program.function(0).entry as usize;
        self.base = 2;
        self.stack[..2].copy_from_slice(&[Value::NIL.0, 0]);
        self.depth = 0;
        self.handler = NO_HANDLER;
        self.fibers = Fibers::NONE;
        self.starved = None;
        self.collector_fuel = 0;
        self.fuel = i64::try_from(self.budget.fuel).unwrap_or(i64::MAX);
        self.output_left = self.budget.output_bytes;
        self.gensyms = self.gensym_base;
        if self.written == 0 {
            self.written = 2;
            // The memory of a machine is never smaller than one window.
            self.write_stack(2 + WINDOW);
        }
    }

    /// The host call that the program waits for.
    ///
    /// # Panics
    /// When it waits for none: a bug of the host.
    #[must_use]
    #[inline]
    pub fn call(&self) -> HostCall {
        match self.state {
            State::Calling(call) => call,
            _ => panic!("no host call is pending: `run` did not return `Step::Call`"),
        }
    }

    /// Arguments of the pending host call; 0 when there is none.
    #[must_use]
    pub fn arg_count(&self) -> usize {
        if let State::Calling(call) = self.state { call.args } else { 0 }
    }

    /// Argument `i` of the pending host call; nil when there is none.
    #[must_use]
    #[inline]
    pub fn arg(&self, i: usize) -> Value {
        match self.state {
            State::Calling(call) if i < call.args => Value(self.stack[call.at + i]),
            _ => Value::NIL,
        }
    }

    /// The place of the pending host call in the program's text, when there is one and it is known.
    #[must_use]
    pub fn call_span(&self) -> Option<Span> {
        // The machine goes on behind the call.
        matches!(self.state, State::Calling(_)).then(|| self.program.span_at(self.pc.saturating_sub(1) as u32)).flatten()
    }

    /// The words of the arguments of the pending host call; none when there is none.
    #[inline]
    #[cfg(feature = "embed")]
    pub(crate) fn args(&self) -> &[u64] {
        match self.state {
            State::Calling(call) => &self.stack[call.at..call.at + call.args],
            _ => &[],
        }
    }

    /// Answers the pending host call with `v`; without one, nothing happens.
    #[inline]
    pub fn resume(&mut self, v: Value) {
        if let State::Calling(call) = self.state {
            self.stack[call.result] = v.0;
            self.state = State::Ready;
        }
    }

    /// Fails the pending host call with an error that the program may catch, tagged `tag`; without one, nothing happens.
    pub fn raise(&mut self, tag: &str, message: &str) {
        if !matches!(self.state, State::Calling(_)) {
            return;
        }
        let made = self.or_collect(|m| m.make_error(tag, &[message]));
        self.state = State::Ready;
        // The failure belongs to the call, which lies in front of where the machine would go on.
        self.pc = self.pc.saturating_sub(1);
        let raised = match made {
            Ok(error) => {
                let stop = self.stop(Stop::Raised, error);
                self.unwind(stop).is_ok()
            }
            Err(full) => {
                let _ = self.fail(full.into());
                false
            }
        };
        if !raised {
            self.state = State::Raised;
        }
    }

    /// The text that the program printed just now; empty unless [`Self::run`] returned [`Step::Output`].
    #[must_use]
    pub fn output(&self) -> &str {
        if let State::Output { text, .. } = self.state { self.heap.text(text) } else { "" }
    }

    /// What a value is.
    #[must_use]
    pub fn view(&self, v: Value) -> View<'_> {
        View::of(&self.heap, v)
    }

    /// The text of a string, or the name of a symbol or keyword.
    #[must_use]
    #[inline]
    pub fn text(&self, v: Value) -> Option<&str> {
        matches!(v.object_tag(), tag::STRING | tag::SYMBOL | tag::KEYWORD).then(|| self.heap.text(v))
    }

    /// Writes `v` as text. Nesting deeper than 128 is written as `…`.
    ///
    /// # Errors
    /// Only those of `out`.
    pub fn display(&self, v: Value, style: Style, out: &mut dyn Write) -> fmt::Result {
        print::write(self, v, style, out)
    }

    /// Fuel used since the run started.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        if self.state == State::Fresh { 0 } else { (i64::try_from(self.budget.fuel).unwrap_or(i64::MAX) - self.fuel.max(0)) as u64 }
    }

    /// The most bytes of the heap that were in use since the run started.
    #[must_use]
    pub fn heap_used(&self) -> u64 {
        self.heap.peak_bytes()
    }

    /// Fuel that collecting took since the run started, of [`Self::fuel_used`].
    #[must_use]
    pub fn collector_fuel(&self) -> u64 {
        self.collector_fuel
    }

    /// The program that runs.
    #[must_use]
    pub fn program(&self) -> Program<'m> {
        self.program
    }

    // For builtins.

    pub(crate) fn named(&self) -> Functions<'m> {
        Functions { program: self.program, builtins: self.builtins }
    }

    /// The symbol or keyword of that name. The more names were made at run time, the longer it takes to find one.
    pub(crate) fn intern(&mut self, tag: u8, name: &str) -> Result<Value, Exhausted> {
        self.fuel -= self.heap.name_cost();
        self.heap.intern(tag, name)
    }

    /// The symbol or keyword with the name of the string, symbol or keyword `v`.
    pub(crate) fn intern_value(&mut self, tag: u8, v: Value) -> Result<Value, Exhausted> {
        self.fuel -= self.heap.name_cost();
        self.heap.intern_value(tag, v)
    }

    /// An error value. A message that is too long is cut off.
    pub(crate) fn make_error(&mut self, tag: &str, message: &[&str]) -> Result<Value, Exhausted> {
        self.make_error_in(tag, &[], message)
    }

    /// The same, with where it happened in front of the message.
    fn make_error_in(&mut self, tag: &str, place: &[&str], message: &[&str]) -> Result<Value, Exhausted> {
        let tag = self.intern(tag::KEYWORD, tag)?;
        let message = self.heap.joined(place.iter().chain(message), fault::MESSAGE_BYTES)?;
        self.heap.error(tag, message, Value::NIL)
    }

    /// Stops for this, because of a value.
    pub(crate) fn stop(&mut self, stop: Stop, cause: Value) -> Stop {
        self.cause = cause;
        stop
    }

    /// An error of the language, ready to be returned by a builtin.
    #[cold]
    pub(crate) fn error(&mut self, tag: Tag, message: &[&str]) -> Stop {
        self.error_in(tag, &[], message)
    }

    fn error_in(&mut self, tag: Tag, place: &[&str], message: &[&str]) -> Stop {
        match self.make_error_in(tag.text(), place, message) {
            Ok(error) => self.stop(Stop::Raised, error),
            Err(full) => full.into(),
        }
    }

    /// An error whose message is a string already.
    #[cold]
    pub(crate) fn raised(&mut self, kind: Tag, message: Value) -> Stop {
        let made = self.intern(tag::KEYWORD, kind.text()).and_then(|tag| self.heap.error(tag, message, Value::NIL));
        match made {
            // What modules say is thrown by the library, not by the language.
            Ok(error) => self.stop(if kind.is_thrown() { Stop::Thrown } else { Stop::Raised }, error),
            Err(full) => full.into(),
        }
    }

    #[cold]
    pub(crate) fn mismatch(&mut self, expected: &str, got: Value) -> Stop {
        let got = print::type_name(got);
        self.complain(Tag::TypeMismatch, &["expected ", expected, ", got ", got])
    }

    /// An error that says which function of the library it happened in, where that is known.
    #[cold]
    pub(crate) fn complain(&mut self, tag: Tag, message: &[&str]) -> Stop {
        let name = self.running();
        let place = ["`", name, "`: "];
        self.error_in(tag, if name.is_empty() { &[] } else { &place }, message)
    }

    /// The function whose registers start at `base`; none for the program itself.
    #[cfg_attr(target_os = "none", inline(never))]
    fn function_at(&self, base: usize) -> Option<Function> {
        let own = self.at(base - 2);
        matches!(own.object_tag(), tag::FUNCTION | tag::CLOSURE).then(|| self.program.function(self.heap.function_of(own)))
    }

    /// The name of the library's function that runs: one of the prelude, or else the builtin at `pc`; empty without one.
    pub(crate) fn running(&self) -> &'m str {
        let (mut pc, mut base, mut own) = (self.pc, self.base, Value::NIL);
        // What stands for a builtin speaks of whoever called it, as the builtin would.
        while base > 2 && self.function_at(base).is_some_and(|f| f.stands) {
            own = self.at(base - 2);
            let (back, distance) = frames::place(self.stack[base - 1]);
            (pc, base) = (back.saturating_sub(1), base - distance);
        }
        let code = self.program.code;
        let name = match self.function_at(base) {
            Some(f) if f.stands => "",
            Some(f) if f.native && f.name != u32::MAX => print::name(&self.program.names, f.name),
            _ => match code.get(pc).and_then(|word| Op::decode(*word)) {
                Some(Op::Builtin) => self.builtins.name(code[pc + 1]),
                // Called by its own name, not as a value.
                Some(op @ (Op::CallKnown | Op::Call)) if own.is(tag::FUNCTION) => {
                    let named = if op == Op::Call { c(code[pc]) == 1 } else { bx(code[pc]) == own.index_of() as usize };
                    if named { print::name(&self.program.names, self.program.function(own.index_of()).name) } else { "" }
                }
                Some(Op::Mul) => "*",
                Some(Op::Mod) => "modulo",
                Some(Op::Cons) => "cons",
                Some(Op::Get) => "get",
                Some(Op::Car) => "car",
                Some(Op::Cdr) => "cdr",
                _ => "",
            },
        };
        // What a form is rewritten to has a name that no program knows.
        // A name that is too long for a message is left out.
        if name.as_bytes().first() == Some(&b'%') || name.len() > 48 { "" } else { name }
    }

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn at(&self, i: usize) -> Value {
        Value(self.stack[i])
    }

    /// Puts a value on the free part of the stack, behind the arguments of the builtin that runs.
    pub(crate) fn put_scratch(&mut self, at: usize, v: Value) -> Result<(), Stop> {
        match self.stack.get_mut(at) {
            Some(word) => {
                *word = v.0;
                Ok(())
            }
            None => Err(self.error(Tag::DepthExceeded, &["there is no room for so many values at once"])),
        }
    }

    /// The part of the stack from `at` on that nobody uses, beside the heap. Only well-formed values may be left there.
    pub(crate) fn free_stack_and_heap(&mut self, at: usize) -> (&mut [u64], &Heap<'m>) {
        let at = at.min(self.stack.len());
        (&mut self.stack[at..], &self.heap)
    }

    /// The stack from `at` on beside the heap: to copy arguments into an object.
    pub(crate) fn args_and_heap(&mut self, at: usize, n: usize) -> (&[u64], &mut Heap<'m>) {
        (&self.stack[at..at + n], &mut self.heap)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn charge(&mut self, cost: usize) -> Result<(), Stop> {
        self.fuel = self.fuel.saturating_sub(i64::try_from(cost).unwrap_or(i64::MAX));
        if self.fuel < 0 { Err(Stop::OutOfFuel) } else { Ok(()) }
    }

    pub(crate) fn take_output(&mut self, text: Value) -> Stop {
        let len = self.heap.bytes(text).len();
        match self.output_left.checked_sub(u32::try_from(len).unwrap_or(u32::MAX)) {
            Some(left) => {
                self.output_left = left;
                self.stop(Stop::Output, text)
            }
            None => Stop::OutOfOutput,
        }
    }
}
