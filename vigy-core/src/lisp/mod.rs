//! The lisp machine as an [`Evaluator`], and the verbs that programs have. The only room of this crate that knows the language.

mod verbs;

use core::task::Poll;

use vigy_lisp::{Budget, Builtins, EncodeError, FaultKind, HostFn, Machine, MemoryTooSmall, Program, Value};

use crate::door::Encode;
use crate::record::{Place, Resource};
use crate::{Access, Door, Evaluator, Failure, Limits, Step, VerbError};
use verbs::VERBS;

/// Functions of the host that one program may use: 255.
pub const MAX_IMPORTS: usize = 255;

/// Behind the numbers of the verbs: what every operation does, which is to ask at the door.
// There are fewer verbs than u8 counts.
const OPERATION: u8 = VERBS.len() as u8;

/// The names of the verbs, by their numbers.
static NAMES: [&str; VERBS.len()] = {
    let mut names = [""; VERBS.len()];
    let mut number = 0;
    while number < names.len() {
        names[number] = VERBS[number].function.name;
        number += 1;
    }
    names
};

/// What the functions of the host do: the verbs by their numbers, then what operations do.
// By number: who links a module for one program finds there what it may leave out.
#[repr(transparent)]
pub struct Verbs([Run; VERBS.len() + 1]);

static EVERY: Verbs = {
    let mut code = [ask as Run; VERBS.len() + 1];
    let mut number = 0;
    while number < VERBS.len() {
        code[number] = VERBS[number].run;
        number += 1;
    }
    Verbs(code)
};

impl Verbs {
    /// All of them.
    pub const ALL: &'static Self = &EVERY;

    /// The numbers of those that a program may call.
    pub fn used(program: Program<'_>) -> impl Iterator<Item = u32> {
        program.imports().map(|name| verb(name).unwrap_or(OPERATION).into())
    }
}

impl core::fmt::Debug for Verbs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Verbs({})", self.0.len())
    }
}

/// The imports of one program, sorted into verbs and operations: once per program, not per tick.
#[derive(Clone, Copy, Debug)]
pub struct Imports {
    verbs: [u8; MAX_IMPORTS],
}

/// A program that uses more than [`MAX_IMPORTS`] functions of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyImports;

impl core::fmt::Display for TooManyImports {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a program uses at most {MAX_IMPORTS} functions of the host")
    }
}

impl core::error::Error for TooManyImports {}

impl Imports {
    /// Sorts the imports of a program.
    ///
    /// # Errors
    /// [`TooManyImports`].
    pub fn of(program: Program<'_>) -> Result<Self, TooManyImports> {
        let mut verbs = [OPERATION; MAX_IMPORTS];
        for (index, name) in program.imports().enumerate() {
            *verbs.get_mut(index).ok_or(TooManyImports)? = verb(name).unwrap_or(OPERATION);
        }
        Ok(Self { verbs })
    }
}

/// The number of the verb of that name.
fn verb(name: &str) -> Option<u8> {
    NAMES.iter().position(|verb| *verb == name).map(|number| number as u8)
}

/// The operations that a program may ask for, as `fs/list`: its imports that are no verbs.
pub fn operations(program: Program<'_>) -> impl Iterator<Item = &str> {
    program.imports().filter(|name| verb(name).is_none())
}

/// Words of memory that one evaluation of a program needs.
#[must_use]
pub fn words_needed(program: Program<'_>, limits: &Limits) -> usize {
    program.words_needed(&budget(limits))
}

/// Compiles a program that may use the verbs, and the given operations of its host.
///
/// # Errors
/// The compiler's, with the place.
#[cfg(feature = "compiler")]
pub fn compile(source: &str, operations: &[HostFn]) -> Result<vigy_lisp::Image, vigy_lisp::CompileError> {
    let hosts = [&VERB_FUNCTIONS[..], operations];
    vigy_lisp::compile(source, &vigy_lisp::CompileOptions { hosts: &hosts, ..Default::default() })
}

/// Finds what is wrong with a program that may use the verbs, and the given operations of its host. What it calls of the host are operations alone.
#[cfg(feature = "compiler")]
#[must_use]
pub fn check(source: &str, operations: &[HostFn]) -> vigy_lisp::Checked {
    let hosts = [&VERB_FUNCTIONS[..], operations];
    let mut checked = vigy_lisp::check(source, &vigy_lisp::CompileOptions { hosts: &hosts, ..Default::default() });
    checked.calls.retain(|(name, _)| verb(name).is_none());
    checked
}

fn budget(limits: &Limits) -> Budget {
    Budget {
        fuel: limits.fuel,
        heap_bytes: limits.heap_bytes,
        depth: limits.depth,
        stack_words: limits.stack_bytes / 8,
        output_bytes: limits.output_bytes,
    }
}

/// One evaluation of a program. Made anew for every tick, over memory that the caller keeps.
pub struct Lisp<'m> {
    machine: Machine<'m>,
    verbs: &'m [u8; MAX_IMPORTS],
}

impl<'m> Lisp<'m> {
    /// An evaluation that has not begun. O(globals of the program).
    ///
    /// # Errors
    /// [`MemoryTooSmall`], in words.
    pub fn new(program: Program<'m>, imports: &'m Imports, limits: &Limits, memory: &'m mut [u64]) -> Result<Self, MemoryTooSmall> {
        Ok(Self { machine: Machine::new(program, memory, &budget(limits))?, verbs: &imports.verbs })
    }

    /// [`Lisp::new`] with some of the builtins, which MUST be those that the program calls ([`Builtins::missing`]).
    ///
    /// # Errors
    /// As [`Lisp::new`].
    pub fn with_builtins(
        program: Program<'m>,
        builtins: &'m Builtins,
        imports: &'m Imports,
        limits: &Limits,
        memory: &'m mut [u64],
    ) -> Result<Self, MemoryTooSmall> {
        Ok(Self { machine: Machine::with_builtins(program, builtins, memory, &budget(limits))?, verbs: &imports.verbs })
    }

    /// The most bytes of heap this evaluation had in use.
    #[must_use]
    pub fn heap_used(&self) -> u64 {
        self.machine.heap_used()
    }

    /// Answers the host call that the machine waits for, if the door can.
    fn answer(&mut self, door: &mut Door<'_>) -> Result<Poll<()>, VerbError> {
        let import = self.machine.call().import as usize;
        let number = self.verbs.get(import).copied().unwrap_or(OPERATION);
        // `Imports::of` puts no other numbers there than those of verbs and of asking.
        match (Verbs::ALL.0[usize::from(number)])(&mut self.machine, door) {
            Ok(Poll::Pending) => return Ok(Poll::Pending),
            Ok(Poll::Ready(value)) => self.machine.resume(value),
            Err(VerbError::Raise { tag, message }) => self.machine.raise(tag, message),
            Err(over) => return Err(over),
        }
        Ok(Poll::Ready(()))
    }

    /// Where the host call is that the machine waits for.
    fn place(&self) -> Option<Place> {
        self.machine.call_span().map(|span| Place { line: span.line, column: span.column })
    }

    // Out of line: a fault is large, and would lie on the stack of every evaluation.
    #[cold]
    #[inline(never)]
    fn failure(&self) -> Failure {
        let Some(fault) = self.machine.fault() else { return Failure::raised("bug", "the machine failed without a fault", None) };
        let place = fault.span.map(|span| Place { line: span.line, column: span.column });
        match &fault.kind {
            FaultKind::OutOfFuel => Failure::Exhausted(Resource::Fuel),
            FaultKind::OutOfHeap => Failure::Exhausted(Resource::Heap),
            FaultKind::OutOfOutput => Failure::Exhausted(Resource::Output),
            kind => Failure::raised(kind.name(), fault.message.as_str(), place),
        }
    }
}

impl Evaluator for Lisp<'_> {
    fn step(&mut self, door: &mut Door<'_>, slice: u64) -> Step {
        let end = self.machine.fuel_used().saturating_add(slice);
        loop {
            let left = end.saturating_sub(self.machine.fuel_used());
            if left == 0 {
                return Step::Paused;
            }
            match self.machine.run(left) {
                vigy_lisp::Step::Done(_) => return Step::Done,
                vigy_lisp::Step::Paused => return Step::Paused,
                vigy_lisp::Step::Failed => return Step::Failed(self.failure()),
                vigy_lisp::Step::Output => {
                    if let Err(VerbError::Exhausted(resource)) = door.output(self.machine.output()) {
                        return Step::Failed(Failure::Exhausted(resource));
                    }
                }
                vigy_lisp::Step::Call => match self.answer(door) {
                    Ok(Poll::Ready(())) => {}
                    Ok(Poll::Pending) => return Step::Waiting,
                    Err(VerbError::Exhausted(resource)) => return Step::Failed(Failure::Exhausted(resource)),
                    Err(VerbError::Retry(after_ms)) => {
                        return Step::Failed(Failure::Retry { after_ms, message: verbs::said(&self.machine, 1), place: self.place() });
                    }
                    Err(VerbError::Permanent) => {
                        return Step::Failed(Failure::Permanent { message: verbs::said(&self.machine, 0), place: self.place() });
                    }
                    // `answer` hands what can be caught to the machine.
                    Err(VerbError::Raise { tag, message }) => return Step::Failed(Failure::raised(tag, message, None)),
                },
            }
        }
    }

    fn fuel_used(&self) -> u64 {
        self.machine.fuel_used()
    }

    fn place(&self) -> Option<Place> {
        self.machine.call_span().map(|span| Place { line: span.line, column: span.column })
    }
}

/// What a verb gives back: a value, or nothing yet.
pub(crate) type Answer = Result<Poll<Value>, VerbError>;

/// What a verb does.
type Run = fn(&mut Machine<'_>, &mut Door<'_>) -> Answer;

/// A verb: its declaration and what it does.
struct Verb {
    function: HostFn,
    run: Run,
}

/// The declarations of all verbs, for the compiler.
pub const VERB_FUNCTIONS: [HostFn; VERBS.len()] = {
    let mut functions = [VERBS[0].function; VERBS.len()];
    let mut index = 0;
    while index < functions.len() {
        functions[index] = VERBS[index].function;
        index += 1;
    }
    functions
};

/// What the reference says of the verbs: a chapter as those of [`vigy_lisp::reference`].
#[cfg(feature = "compiler")]
pub const VERB_REFERENCE: &str = include_str!("../../reference/verbs.md");

/// Asks the operation that the program called.
fn ask(machine: &mut Machine<'_>, door: &mut Door<'_>) -> Answer {
    let import = machine.call().import as usize;
    let Some(operation) = machine.program().imports().nth(import) else { return Ok(Poll::Ready(Value::NIL)) };
    let access = Access::of(machine.program().import_writes(import as u32), machine.program().import_secret(import as u32));
    match door.ask(operation, access, Arguments(machine))? {
        Poll::Pending => Ok(Poll::Pending),
        Poll::Ready(Ok(bytes)) => decoded(machine, bytes),
        Poll::Ready(Err(refusal)) => {
            machine.raise(refusal.tag, refusal.message);
            Ok(Poll::Ready(Value::NIL))
        }
    }
}

/// The arguments of the pending call, as the data of a list.
struct Arguments<'a, 'm>(&'a Machine<'m>);

impl Encode for Arguments<'_, '_> {
    fn encode(self, into: &mut [u8]) -> Result<usize, VerbError> {
        let count = self.0.arg_count();
        let mut len = crate::action::write_head(count as u16, into).ok_or(Resource::Values)?;
        for index in 0..count {
            len += Encoded(self.0, self.0.arg(index)).encode(&mut into[len..])?;
        }
        Ok(len)
    }
}

/// A value of the machine, on its way into the record.
pub(crate) struct Encoded<'a, 'm>(pub(crate) &'a Machine<'m>, pub(crate) Value);

impl Encode for Encoded<'_, '_> {
    fn encode(self, into: &mut [u8]) -> Result<usize, VerbError> {
        self.0.encode(self.1, into).map_err(|error| match error {
            EncodeError::TooLarge => VerbError::Exhausted(Resource::Values),
            EncodeError::TooDeep => VerbError::Raise { tag: "not-data", message: "the value is nested deeper than 64" },
            _ => VerbError::Raise { tag: "not-data", message: "functions, promises and the like cannot leave the program" },
        })
    }
}

pub(crate) fn decoded(machine: &mut Machine<'_>, bytes: &[u8]) -> Answer {
    match machine.decode(bytes) {
        Ok(value) => Ok(Poll::Ready(value)),
        Err(vigy_lisp::DecodeError::Exhausted) => Err(Resource::Heap.into()),
        Err(_) => Err(VerbError::Raise { tag: "bad-answer", message: "the host answered with bytes that are no data" }),
    }
}
