//! Modules: texts with namespaces of their own, compiled into the program that requires them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::table::HashMap;

use super::analyze::bad;
use super::error::nearest;
use super::ir::Ir;
use super::{CompileError, Compiler, Result, USER};
use crate::diagnostic::Code;
use crate::machine::Tag;
use crate::reader::{Datum, Id, Sym};

/// Where modules come from.
pub trait Loader {
    /// The text of the module at `path`; `None` when there is none. Called at most once per path and compilation.
    fn load(&self, path: &str) -> Option<String>;
}

#[derive(Default)]
pub(super) struct Modules {
    loaded: HashMap<String, Loaded>,
    /// Namespaces given out, of those being loaded: innermost last.
    open: Vec<(String, u16)>,
    next: u16,
    /// Where the offsets of a module's text start.
    bases: HashMap<u16, u32>,
    provided: HashMap<u16, Vec<Sym>>,
}

#[derive(Clone, Copy)]
struct Loaded {
    namespace: u16,
}

impl Compiler<'_> {
    /// The path of the module that has that namespace, and where the offsets of its text start.
    pub(super) fn module_text(&self, namespace: u16) -> Option<(&str, u32)> {
        let open = self.modules.open.iter().map(|(path, n)| (path, *n));
        let mut all = open.chain(self.modules.loaded.iter().map(|(path, loaded)| (path, loaded.namespace)));
        let (path, _) = all.find(|(_, n)| *n == namespace)?;
        Some((path, self.modules.bases.get(&namespace).copied().unwrap_or_default()))
    }

    pub(super) fn provide(&mut self, form: Id) -> Result<()> {
        let span = self.arena.span(form);
        if self.namespace <= USER {
            return Err(bad(span, "provide", "it is accepted only in a module").coded(Code::NotAtTopLevel));
        }
        let names = self.arena.items(form)[1..].to_vec();
        for name in names {
            let name = self.symbol_of(name, "provide")?;
            self.modules.provided.entry(self.namespace).or_default().push(name);
        }
        Ok(())
    }

    /// `(require "path" :as alias :refer (names…))`
    pub(super) fn require(&mut self, form: Id) -> Result<()> {
        let span = self.arena.span(form);
        let args = self.arena.items(form)[1..].to_vec();
        let Some(Datum::Str(path)) = args.first().map(|a| self.arena.get(*a)) else {
            return Err(bad(span, "require", "the path of a module is expected, as a string"));
        };
        let path = self.arena.names.get(path).to_string();
        let mut alias = path.clone();
        let mut refer = Vec::new();
        let mut rest = args[1..].iter();
        while let Some(keyword) = rest.next() {
            let Datum::Keyword(key) = self.arena.get(*keyword) else {
                return Err(bad(span, "require", "`:as name` or `:refer (names…)` is expected"));
            };
            let value = rest.next().copied();
            match (self.arena.names.get(key), value) {
                ("as", Some(value)) => {
                    let Some(text) = self.arena.symbol_text(value) else {
                        return Err(bad(span, "require", "a name is expected after `:as`"));
                    };
                    alias = text.to_string();
                }
                ("refer", Some(value)) if self.arena.is_list(value) => {
                    for name in self.arena.items(value).to_vec() {
                        refer.push((self.symbol_of(name, "require")?, self.arena.span(name)));
                    }
                }
                (other, _) => {
                    let near = nearest(other, ["as", "refer"].into_iter()).map(|near| alloc::format!(":{near}"));
                    let e = bad(self.arena.span(*keyword), "require", "`:as name` or `:refer (names…)` is expected");
                    return Err(e.with(|d| d.meant(near.as_deref())));
                }
            }
        }
        let namespace = self.load(&path, form)?;
        let provided = self.modules.provided.get(&namespace).cloned().unwrap_or_default();
        for name in &provided {
            let long = alloc::format!("{alias}/{}", self.arena.names.get(*name));
            let long = self.arena.names.intern(&long);
            self.import(namespace, *name, long, form)?;
        }
        for (name, span) in refer {
            if !provided.contains(&name) {
                let text = self.arena.names.get(name).to_string();
                let known = self.global_index.get(&(namespace, name)).is_some_and(|g| self.globals[*g as usize].defs > 0);
                let (tag, what) = if known { (Tag::NotExported, "does not provide") } else { (Tag::NotDefined, "does not define") };
                let near = nearest(&text, provided.iter().map(|name| self.arena.names.get(*name)));
                return Err(CompileError::new(tag, span, format_args!("module \"{path}\" {what} `{text}`")).with(|d| d.meant(near)));
            }
            self.import(namespace, name, name, form)?;
        }
        let nil = self.tree.add(Ir::Word(crate::Value::NIL), span);
        self.main.push(nil);
        Ok(())
    }

    /// Makes what a module calls `from` known here as `to`: a macro, or a copy of the value.
    fn import(&mut self, namespace: u16, from: Sym, to: Sym, form: Id) -> Result<()> {
        let span = self.arena.span(form);
        if self.share_macro((namespace, from), (self.namespace, to)) {
            return Ok(());
        }
        let defined = self.global_index.get(&(namespace, from)).is_some_and(|g| self.globals[*g as usize].defs > 0);
        if !defined {
            let text = self.arena.names.get(from).to_string();
            return Err(CompileError::new(Tag::NotDefined, span, format_args!("the module provides `{text}` but does not define it")));
        }
        let source = self.global_in(namespace, from, span);
        let target = self.global_in(self.namespace, to, span);
        self.globals[target as usize].defs += 1;
        self.defined.insert((self.namespace, to));
        let value = self.tree.add(Ir::Global(source), span);
        let node = self.tree.add(Ir::Define(target, value), span);
        self.main.push(node);
        Ok(())
    }

    fn load(&mut self, path: &str, form: Id) -> Result<u16> {
        let span = self.arena.span(form);
        if let Some(loaded) = self.modules.loaded.get(path) {
            return Ok(loaded.namespace);
        }
        if self.modules.open.iter().any(|(p, _)| p == path) {
            return Err(CompileError::new(Tag::CircularRequire, span, format_args!("module \"{path}\" requires itself")));
        }
        let limit = self.options.limits.module_depth;
        if self.modules.open.len() >= limit as usize {
            return Err(CompileError::new(Tag::ModuleDenied, span, format_args!("modules require each other more than {limit} deep")));
        }
        let Some(loader) = self.options.loader else {
            return Err(CompileError::new(Tag::ModuleNotFound, span, format_args!("module \"{path}\": there is no loader")));
        };
        let Some(source) = loader.load(path) else {
            return Err(CompileError::new(Tag::ModuleNotFound, span, format_args!("module \"{path}\" was not found")));
        };
        self.modules.next = self.modules.next.max(USER) + 1;
        let namespace = self.modules.next;
        let home = core::mem::replace(&mut self.namespace, namespace);
        self.modules.open.push((path.to_string(), namespace));
        // A mistake in a module is one of whoever requires it.
        self.modules.bases.insert(namespace, self.offset);
        let done = self.read_next(&source).map_err(|e| self.in_module(namespace, e)).and_then(|forms| self.program(forms));
        self.modules.open.pop();
        self.namespace = home;
        done?;
        self.modules.loaded.insert(path.to_string(), Loaded { namespace });
        Ok(namespace)
    }
}
