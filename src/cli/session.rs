//! Programs without a vigy around them: a session evaluates one text after the other, each with what the ones before it defined.
//!
//! A session keeps text, no machine: to evaluate an entry, all entries so far run again, unheard, and then the new one. That is sound,
//! because a program is told nothing here that could differ the next time. An entry that fails is forgotten, whole, as a failed tick is.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use vigy::service::{Error, ErrorKind};
use vigy::{HostEffects as _, Platform};
use vigy_core::lisp::VERB_FUNCTIONS;
use vigy_lisp::{Arity, Budget, CompileOptions, Diagnostic, Fault, HostFn, Loader, Machine, Note, Program, Span, Step, Style, compile};

use super::failure::Failure;

/// Fuel between two looks at whether the evaluation was interrupted: a few milliseconds.
const SLICE: u64 = 100_000;

/// Where the entry begins that is evaluated. A host function, so that the machine stops there.
const HERE: HostFn =
    HostFn { name: "session/entry", arity: Arity::exactly(0), writes: false, secret: false, doc: "Where an entry of a session begins." };

pub(crate) struct Session {
    budget: Budget,
    modules: Beside,
    operations: Vec<HostFn>,
    /// What the entries are called in places: by their number, or by the name of their file.
    name: Option<String>,
    /// All entries so far, each ended by a newline.
    text: String,
    /// Where each of them begins.
    starts: Vec<usize>,
    spent: Spent,
}

/// What the entries so far take when they run again.
#[derive(Clone, Copy, Default)]
struct Spent {
    fuel: u64,
    heap_bytes: u64,
    output_bytes: u64,
}

/// What came of an entry.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub(crate) value: String,
    pub(crate) fuel: u64,
    pub(crate) heap_bytes: u64,
}

/// Why nothing came of it.
pub(crate) enum Unevaluated {
    /// All that is wrong, for people, and each of it for programs.
    Failed {
        error: Error,
        diagnostics: Vec<Diagnostic>,
    },
    Interrupted,
    /// What it printed cannot be written.
    Output(io::Error),
}

impl From<Error> for Unevaluated {
    fn from(error: Error) -> Self {
        Self::Failed { error, diagnostics: Vec::new() }
    }
}

impl From<Unevaluated> for Failure {
    fn from(unevaluated: Unevaluated) -> Self {
        match unevaluated {
            Unevaluated::Failed { error, .. } => Self::from(error),
            Unevaluated::Interrupted => Self::from(Error::new(ErrorKind::Failed, "interrupted")),
            Unevaluated::Output(error) => Self::from(error),
        }
    }
}

/// Modules are the files beside the program: `(require "shapes")` reads `shapes.tlisp`, and nothing above the directory is reached.
struct Beside(PathBuf);

impl Loader for Beside {
    fn load(&self, path: &str) -> Option<String> {
        let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let file = self.0.join(path);
        let candidates = [file.with_added_extension("tlisp"), file];
        if inside { candidates.iter().find_map(|file| super::args::read(file, "module").ok()) } else { None }
    }
}

impl Session {
    /// A session whose modules lie in `directory`. Its entries are called `name` where places are told, or by their number.
    pub(crate) fn new(budget: Budget, directory: PathBuf, name: Option<String>) -> Self {
        Self {
            budget,
            modules: Beside(directory),
            operations: Platform::default().operations().to_vec(),
            name,
            text: String::new(),
            starts: Vec::new(),
            spent: Spent::default(),
        }
    }

    /// Forgets every entry.
    pub(crate) fn reset(&mut self) {
        self.text.clear();
        self.starts.clear();
        self.spent = Spent::default();
    }

    /// The number of the next entry, from 1.
    pub(crate) fn next(&self) -> usize {
        self.starts.len() + 1
    }

    /// All entries so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What a vigy's host offers: programs that name it compile here, and calling it is an error.
    pub(crate) fn host_functions(&self) -> impl Iterator<Item = &HostFn> {
        VERB_FUNCTIONS.iter().chain(&self.operations)
    }

    /// Evaluates `entry` after all the entries before it; hands what it prints to `print`.
    pub(crate) fn evaluate(
        &mut self,
        entry: &str,
        interrupted: &AtomicBool,
        mut print: impl FnMut(&str) -> io::Result<()>,
    ) -> Result<Evaluated, Unevaluated> {
        let alone = self.starts.is_empty();
        let mark = if alone { String::new() } else { format!("({})\n", HERE.name) };
        let source = format!("{}{mark}{entry}\n", self.text);
        let start = source.len() - entry.len() - 1;
        self.starts.push(start);
        let run = self.run(&source, start, interrupted, &mut print);
        match &run {
            Ok((_, spent)) => {
                self.spent = *spent;
                // The mark stays out.
                self.text.push_str(entry);
                self.text.push('\n');
                if let Some(last) = self.starts.last_mut() {
                    *last -= mark.len();
                }
            }
            Err(_) => _ = self.starts.pop(),
        }
        run.map(|(evaluated, _)| evaluated)
    }

    fn run(
        &self,
        source: &str,
        start: usize,
        interrupted: &AtomicBool,
        print: &mut dyn FnMut(&str) -> io::Result<()>,
    ) -> Result<(Evaluated, Spent), Unevaluated> {
        let hosts = [&[HERE][..], &VERB_FUNCTIONS, &self.operations];
        let options = CompileOptions { hosts: &hosts, loader: Some(&self.modules), ..CompileOptions::default() };
        let image = compile(source, &options).map_err(|error| self.told(ErrorKind::Program, error.diagnostics, source))?;
        let program = image.program();
        let budget = self.budget_now();
        let mut memory = vec![0; program.words_needed(&budget)];
        let mut machine =
            Machine::new(program, &mut memory, &budget).map_err(|error| Unevaluated::from(Error::new(ErrorKind::TooLarge, error)))?;
        let imports: Vec<&str> = program.imports().collect();
        // Until the entry begins, its own fuel and heap are what the others used.
        let (mut before, mut output_bytes) = (Spent::default(), 0);
        let mut heard = start == 0;
        loop {
            let step = machine.run(SLICE);
            if interrupted.load(Ordering::Relaxed) {
                return Err(Unevaluated::Interrupted);
            }
            match step {
                Step::Paused => {}
                Step::Output => {
                    output_bytes += machine.output().len() as u64;
                    if heard {
                        print(machine.output()).map_err(Unevaluated::Output)?;
                    }
                }
                Step::Call => {
                    let name = imports.get(machine.call().import as usize).copied().unwrap_or_default();
                    if name == HERE.name {
                        heard = true;
                        before = Spent { fuel: machine.fuel_used(), heap_bytes: machine.heap_used(), output_bytes };
                        machine.resume(vigy_lisp::Value::NIL);
                    } else {
                        machine.raise("no-host", &format!("`{name}` is the host's, and there is no vigy here: `vigy run` ticks one"));
                    }
                }
                Step::Done(value) => {
                    let mut text = String::new();
                    // A string takes everything.
                    _ = machine.display(value, Style::Readable, &mut text);
                    let spent = Spent { fuel: machine.fuel_used(), heap_bytes: machine.heap_used(), output_bytes };
                    let (fuel, heap_bytes) = (spent.fuel - before.fuel, spent.heap_bytes - before.heap_bytes);
                    return Ok((Evaluated { value: text, fuel, heap_bytes }, spent));
                }
                Step::Failed => return Err(self.failed(machine.fault().as_ref(), program, source)),
            }
        }
    }

    /// The budget of one entry, and what the entries before it take besides.
    fn budget_now(&self) -> Budget {
        let Spent { fuel, heap_bytes, output_bytes } = self.spent;
        let more = |own: u32, spent: u64| u32::try_from(u64::from(own).saturating_add(spent)).unwrap_or(u32::MAX);
        Budget {
            fuel: self.budget.fuel.saturating_add(fuel),
            heap_bytes: more(self.budget.heap_bytes, heap_bytes),
            output_bytes: more(self.budget.output_bytes, output_bytes),
            ..self.budget
        }
    }

    fn failed(&self, fault: Option<&Fault>, program: Program<'_>, source: &str) -> Unevaluated {
        match fault {
            Some(fault) => self.told(ErrorKind::Failed, vec![fault.diagnostic(program)], source),
            None => Error::new(ErrorKind::Failed, "the machine failed without a fault").into(),
        }
    }

    /// What is wrong, with places in the entries: the first of it on one line, and all of it with the lines it is about.
    fn told(&self, kind: ErrorKind, diagnostics: Vec<Diagnostic>, source: &str) -> Unevaluated {
        let (mut first, mut all, mut placed) = (None, Vec::new(), Vec::new());
        for diagnostic in diagnostics {
            let (name, text, diagnostic) = self.within_entry(diagnostic, source);
            all.push(diagnostic.render(&name, text).to_string());
            first.get_or_insert_with(|| match diagnostic.span {
                Some(_) => format!("{name}:{diagnostic}"),
                None => diagnostic.to_string(),
            });
            placed.push(diagnostic);
        }
        let error = Error { detail: Some(all.join("\n\n")), ..Error::new(kind, first.unwrap_or_default()) };
        Unevaluated::Failed { error, diagnostics: placed }
    }

    /// A diagnostic as one of the entry where it is: what that is called, its text, and the diagnostic with places in it.
    fn within_entry<'t>(&self, diagnostic: Diagnostic, source: &'t str) -> (String, &'t str, Diagnostic) {
        let Some(span) = diagnostic.span.filter(|_| diagnostic.module.is_none()) else {
            return (self.name.clone().unwrap_or_else(|| "session".to_owned()), "", diagnostic);
        };
        let (name, text, span) = self.place(span, source);
        let local = |note: Note| match note.span.map(|span| self.place(span, source)) {
            None => note,
            Some((entry, _, span)) if entry == name => Note { span: Some(span), ..note },
            // Lines of two entries are not shown side by side.
            Some((entry, _, span)) => Note { message: format!("{} at {entry}:{span}", note.message), span: None },
        };
        let mut notes: Vec<Note> = diagnostic.notes.into_iter().map(local).collect();
        let mut calls = diagnostic.calls;
        if calls.iter().all(|call| self.place(call.span, source).0 == name) {
            calls.iter_mut().for_each(|call| call.span = self.place(call.span, source).2);
        } else {
            notes.extend(calls.drain(..).enumerate().map(|(i, call)| {
                let function = if call.program { "the program" } else { call.function.as_deref().unwrap_or("a function without a name") };
                let (entry, _, span) = self.place(call.span, source);
                Note { message: format!("{} {function} at {entry}:{span}", if i == 0 { "in" } else { "called from" }), span: None }
            }));
        }
        (name, text, Diagnostic { notes, calls, span: Some(span), ..diagnostic })
    }

    /// The entry where a place of the whole text is: what it is called, its text, and the place in it.
    fn place<'t>(&self, span: Span, source: &'t str) -> (String, &'t str, Span) {
        let number = self.starts.iter().rposition(|start| *start <= span.start as usize).unwrap_or(0);
        let start = self.starts.get(number).copied().unwrap_or(0);
        let end = self.starts.get(number + 1).copied().unwrap_or(source.len());
        let name = self.name.clone().unwrap_or_else(|| format!("[{}]", number + 1));
        let lines = source[..start].matches('\n').count() as u32;
        let (from, to) = (span.start - start as u32, span.end.saturating_sub(start as u32));
        (name, &source[start..end], Span { start: from, end: to, line: span.line.saturating_sub(lines), ..span })
    }
}
