//! The part of the library that is written in the language: found by name, compiled with the programs that reach it.

use super::emit::Meaning;
use super::ir::Ir;
use super::table::Index;
use super::{CompileError, Compiler, PRELUDE, Result};
use crate::arity::Arity;
use crate::machine::Tag;
use crate::reader::Sym;
use crate::reference::Kind;
use crate::span::Span;

const SOURCES: &[&str] = &[
    include_str!("../prelude/lists.tlisp"),
    include_str!("../prelude/maps.tlisp"),
    include_str!("../prelude/patterns.tlisp"),
    include_str!("../prelude/quantity.tlisp"),
    include_str!("../prelude/yaml.tlisp"),
    include_str!("../prelude/toml.tlisp"),
    include_str!("../prelude/eval.tlisp"),
    include_str!("../prelude/script.tlisp"),
    include_str!("../prelude/declarations.tlisp"),
];

/// What builtins are made of where they are not in Rust: see [`super::Library::Portable`].
const PORTABLE_SOURCES: &[&str] = &[
    include_str!("../prelude/portable/lists.tlisp"),
    include_str!("../prelude/portable/numbers.tlisp"),
    include_str!("../prelude/portable/math.tlisp"),
    include_str!("../prelude/portable/maps.tlisp"),
    include_str!("../prelude/portable/text.tlisp"),
    include_str!("../prelude/portable/cases.tlisp"),
    include_str!("../prelude/portable/values.tlisp"),
    include_str!("../prelude/portable/types.tlisp"),
    include_str!("../prelude/portable/reader.tlisp"),
    include_str!("../prelude/portable/decimal.tlisp"),
];

const DEFINE: &[u8] = b"\n(define ";
const MACRO: &[u8] = b"\n(defmacro ";

/// A definition: where the name in it starts and ends, and where the text of all of it ends.
#[derive(Clone, Copy)]
struct Place {
    source: &'static str,
    start: usize,
    name: (usize, usize),
    end: usize,
}

impl Place {
    const NONE: Self = Self { source: "", start: 0, name: (0, 0), end: 0 };

    fn name(self) -> &'static str {
        &self.source[self.name.0..self.name.1]
    }

    /// The form.
    fn text(self) -> &'static str {
        &self.source[self.start..self.end]
    }
}

/// Definitions by name. A definition starts at the beginning of a line, and goes on to where the next form does.
struct Definitions<const ROWS: usize, const SLOTS: usize> {
    places: [Place; ROWS],
    index: Index<SLOTS>,
}

impl<const ROWS: usize, const SLOTS: usize> Definitions<ROWS, SLOTS> {
    const fn of(sources: &'static [&'static str], marker: &[u8]) -> Self {
        let mut library = Self { places: [Place::NONE; ROWS], index: Index::EMPTY };
        let (mut row, mut source) = (0, 0);
        while source < sources.len() {
            let text = sources[source].as_bytes();
            let mut at = next(text, 0);
            while at < text.len() {
                let after = next(text, at + 1);
                if starts(text, at, marker) {
                    let name = name_at(text, at + marker.len());
                    library.places[row] = Place { source: sources[source], start: at + 1, name, end: after };
                    library.index = library.index.with(text.split_at(name.1).0.split_at(name.0).1, row);
                    row += 1;
                }
                at = after;
            }
            source += 1;
        }
        library
    }

    fn find(&self, name: &str) -> Option<Place> {
        self.index.find(name, |row| self.places[row].name()).map(|row| self.places[row])
    }
}

const fn starts(text: &[u8], at: usize, marker: &[u8]) -> bool {
    let mut i = 0;
    while i < marker.len() {
        if at + i >= text.len() || text[at + i] != marker[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Where the next form starts whose first parenthesis begins a line: at the end of the line before it.
const fn next(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && !starts(text, at, b"\n(") {
        at += 1;
    }
    at
}

/// From where to where a name goes that stands at `at`, or behind a parenthesis there.
const fn name_at(text: &[u8], mut at: usize) -> (usize, usize) {
    while text[at] == b'(' {
        at += 1;
    }
    let start = at;
    while !matches!(text[at], b' ' | b')' | b'\n') {
        at += 1;
    }
    (start, at)
}

const fn count(sources: &[&str], marker: &[u8]) -> usize {
    let (mut rows, mut source) = (0, 0);
    while source < sources.len() {
        let text = sources[source].as_bytes();
        let mut at = next(text, 0);
        while at < text.len() {
            rows += starts(text, at, marker) as usize;
            at = next(text, at + 1);
        }
        source += 1;
    }
    rows
}

// Found when this crate is compiled: every compilation of a program asks for some of them.
#[allow(long_running_const_eval, reason = "it reads the whole prelude, once")]
static FUNCTIONS: Definitions<{ count(SOURCES, DEFINE) }, 2048> = Definitions::of(SOURCES, DEFINE);
#[allow(long_running_const_eval, reason = "it reads the whole prelude, once")]
static MACROS: Definitions<{ count(SOURCES, MACRO) }, 256> = Definitions::of(SOURCES, MACRO);
#[allow(long_running_const_eval, reason = "it reads all of them, once")]
static PORTABLE: Definitions<{ count(PORTABLE_SOURCES, DEFINE) }, 1024> = Definitions::of(PORTABLE_SOURCES, DEFINE);

/// Definitions that others are made of and that the reference leaves out. One that ends in `/` means all that begin so.
#[rustfmt::skip]
const HELPERS: &[&str] = &[
    "eval/", "yaml/", "toml/", "text/", "args/", "script/", "controller/", "state/", "check-times", "string->integer", "range-impl", "sm-row",
    "record-keyword", "record-field-accessor", "record-field-setter", "map-many", "merge-sorted", "merge-sort", "check-key", "cycle-impl", "get-or-nil", "sm-lookup-row", "sm-fire-state-actions",
    "sm-fire-event-actions", "schema/", "declare/", "webhook/", "quantity/wrong", "quantity/times", "quantity/scaled", "quantity/up",
    "quantity/digit?", "quantity/digit-at?", "quantity/scale", "quantity/exponent", "quantity/power",
];

fn is_helper(name: &str) -> bool {
    HELPERS.iter().any(|helper| name == *helper || helper.ends_with('/') && name.starts_with(helper))
}

/// Names of the prelude's functions that are for programs.
pub(super) fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.places.iter().map(|place| place.name()).filter(|name| !is_helper(name))
}

/// Names of the prelude.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.places.iter().chain(&MACROS.places).map(|place| place.name()).filter(|name| !is_helper(name))
}

/// Whether the builtin `name` has a definition in the language.
pub(crate) fn is_portable(name: &str) -> bool {
    PORTABLE.find(name).is_some()
}

/// What the library has under `name`, when it is written in the language.
pub(crate) fn library(name: &str) -> Option<Kind> {
    match FUNCTIONS.find(name) {
        Some(place) => {
            let definition = place.text().strip_prefix("(define ").unwrap_or_default();
            Some(Kind::Prelude(definition.starts_with('(').then(|| arity_of(definition))))
        }
        None => MACROS.find(name).map(|_| Kind::Macro),
    }
}

/// The arity that the head of a definition shows: `(name a b &optional c &rest d)`.
fn arity_of(definition: &str) -> Arity {
    let params = definition.split_once(')').map_or(definition, |(head, _)| head).split_whitespace().skip(1);
    let (mut min, mut more, mut rest) = (0, 0, false);
    let mut optional = false;
    for param in params {
        match param {
            "&rest" => rest = true,
            "&optional" => optional = true,
            _ if rest => {}
            _ if optional => more += 1,
            _ => min += 1,
        }
    }
    Arity { min, max: (!rest).then_some(min + more) }
}

impl Compiler<'_> {
    /// Whether `name` is a macro of the library; from now on the program has it.
    pub(super) fn library_macro(&mut self, name: Sym) -> Result<bool> {
        let text = self.arena.names.get(name);
        let Some(place) = MACROS.find(text) else {
            return Ok(false);
        };
        let forms = self.read(place.text())?;
        self.define_macro(forms[0])?;
        Ok(true)
    }

    /// The prelude's function of that name, compiled when it is reached for the first time.
    pub(super) fn prelude(&mut self, name: Sym) -> Result<Option<Meaning>> {
        if let Some(known) = self.prelude_known.get(&name) {
            return Ok(*known);
        }
        let Some(place) = FUNCTIONS.find(self.arena.names.get(name)) else {
            return Ok(None);
        };
        let meaning = self.defined_at(place, name)?;
        self.prelude_known.insert(name, Some(meaning));
        Ok(Some(meaning))
    }

    /// What stands for the builtin of that name, or helps to: compiled when it is reached for the first time.
    pub(super) fn portable(&mut self, name: Sym) -> Result<Option<Meaning>> {
        if let Some(known) = self.prelude_known.get(&name) {
            return Ok(*known);
        }
        let Some(mut place) = PORTABLE.find(self.arena.names.get(name)) else {
            return Ok(None);
        };
        // `(define concat append)`: the same function once more, under its own name.
        if let Some(same) = place.text().strip_prefix("(define ").filter(|rest| !rest.starts_with('(')) {
            let same = same.split_whitespace().nth(1).map(|same| same.trim_end_matches(')'));
            place = same.and_then(|same| PORTABLE.find(same)).unwrap_or(place);
        }
        let first = self.tree.funcs.len();
        let meaning = self.defined_at(place, name)?;
        for f in &mut self.tree.funcs[first..] {
            f.stands = true;
        }
        if let Meaning::Function(f) = meaning {
            self.tree.funcs[f as usize].name = Some(name);
        }
        self.prelude_known.insert(name, Some(meaning));
        Ok(Some(meaning))
    }

    fn defined_at(&mut self, place: Place, name: Sym) -> Result<Meaning> {
        let home = core::mem::replace(&mut self.namespace, PRELUDE);
        let (optional, force) = (core::mem::replace(&mut self.optional_params, true), core::mem::replace(&mut self.force, false));
        let sealed = core::mem::replace(&mut self.sealed, false);
        let made = self.read(place.text()).and_then(|forms| self.analyze(forms[0]));
        self.namespace = home;
        self.optional_params = optional;
        self.force = force;
        self.sealed = sealed;
        let meaning = match self.tree.get(made?) {
            Ir::Define(g, value) => {
                // The definition itself is no definition of the program's.
                self.globals[g as usize].defs = 0;
                match self.tree.get(value) {
                    Ir::Lambda(f) => Meaning::Function(f),
                    _ => Meaning::Constant(value),
                }
            }
            _ => return Err(CompileError::new(Tag::NotImplemented, Span::default(), format_args!("prelude: {}", place.name()))),
        };
        // What is known of the name itself, not of the one that it shares its definition with.
        let g = self.global_in(PRELUDE, name, Span::default());
        self.globals[g as usize].defs = 0;
        Ok(meaning)
    }
}
