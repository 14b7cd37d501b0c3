//! The part of the library that is written in the language: found by name, compiled with the programs that reach it.

use super::emit::Meaning;
use super::ir::Ir;
use super::{CompileError, Compiler, PRELUDE, Result};
use crate::reader::Sym;
use crate::span::Span;

const DECLARATIONS: &str = include_str!("../prelude/declarations.tlisp");

const SOURCES: &[&str] = &[
    include_str!("../prelude/lists.tlisp"),
    include_str!("../prelude/maps.tlisp"),
    include_str!("../prelude/patterns.tlisp"),
    include_str!("../prelude/quantity.tlisp"),
    include_str!("../prelude/yaml.tlisp"),
    include_str!("../prelude/toml.tlisp"),
    include_str!("../prelude/eval.tlisp"),
    include_str!("../prelude/script.tlisp"),
    DECLARATIONS,
];

/// Definitions start at the beginning of a line, and nothing else but comments and macros does.
fn definitions() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().flat_map(|s| s.split("\n(define ").skip(1))
}

fn macros() -> impl Iterator<Item = &'static str> {
    DECLARATIONS.split("\n(defmacro ").skip(1)
}

fn name_of(definition: &'static str) -> &'static str {
    let start = definition.trim_start_matches('(');
    start.split([' ', ')', '\n']).next().unwrap_or_default()
}

/// Names of the prelude's functions that are for programs.
pub(super) fn functions() -> impl Iterator<Item = &'static str> {
    definitions().map(name_of).filter(public)
}

/// Names with a slash are the prelude's own, but for those of quantities.
fn public(name: &&str) -> bool {
    !name.starts_with('%') && (!name.contains('/') || name.starts_with("quantity/"))
}

/// Names of the prelude.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    definitions().chain(macros()).map(name_of).filter(public)
}

impl Compiler<'_> {
    /// Whether `name` is a macro of the library; from now on the program has it.
    pub(super) fn library_macro(&mut self, name: Sym) -> Result<bool> {
        if self.plain_heads.contains(&name) {
            return Ok(false);
        }
        let text = self.arena.names.get(name);
        let Some(source) = macros().find(|d| name_of(d) == text) else {
            self.plain_heads.insert(name);
            return Ok(false);
        };
        let forms = self.read(&alloc::format!("(defmacro {source}"))?;
        self.define_macro(forms[0])?;
        Ok(true)
    }

    /// The prelude's function of that name, compiled when it is reached for the first time.
    pub(super) fn prelude(&mut self, name: Sym, text: &str) -> Result<Option<Meaning>> {
        if let Some(known) = self.prelude_known.get(&name) {
            return Ok(*known);
        }
        let Some(source) = definitions().find(|d| name_of(d) == text) else {
            return Ok(None);
        };
        let source = alloc::format!("(define {source}");
        let home = core::mem::replace(&mut self.namespace, PRELUDE);
        let (optional, force) = (core::mem::replace(&mut self.optional_params, true), core::mem::replace(&mut self.force, false));
        let sealed = core::mem::replace(&mut self.sealed, false);
        let made = self.read(&source).and_then(|forms| self.analyze(forms[0]));
        self.namespace = home;
        self.optional_params = optional;
        self.force = force;
        self.sealed = sealed;
        let wrong = || CompileError::new(crate::machine::Tag::NotImplemented, Span::default(), format_args!("prelude: {text}"));
        let meaning = match self.tree.get(made?) {
            Ir::Define(_, value) => match self.tree.get(value) {
                Ir::Lambda(f) => Meaning::Function(f),
                _ => Meaning::Constant(value),
            },
            _ => return Err(wrong()),
        };
        // The definition itself is no definition of the program's.
        let g = self.global_in(PRELUDE, name, Span::default());
        self.globals[g as usize].defs = 0;
        self.prelude_known.insert(name, Some(meaning));
        Ok(Some(meaning))
    }
}
