//! What `eval` of forms that are built at run time needs: the evaluator is the prelude's, and here the program's globals become
//! functions from names to values. Only programs that evaluate such forms have them, and with them the whole library.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::analyze::bad;
use super::ir::Node;
use super::make::Make;
use super::{Compiler, Result, prelude};
use crate::builtins;
use crate::reader::{Datum, Id, Shape, Sym};
use crate::span::Span;

/// The global that holds the environment. No text can spell it.
const GLOBALS: &str = " globals";
/// The same with nothing but the library in it.
const SANDBOX: &str = " sandbox";

impl Compiler<'_> {
    /// `(%function form globals)`: what evaluates or expands the value of `form` at run time.
    pub(super) fn at_run_time(&mut self, function: &str, form: Id, span: Span) -> Id {
        self.evaluates.insert((self.namespace, false));
        let mut m = self.make(span);
        let globals = m.sym(GLOBALS);
        m.form(function, &[form, globals])
    }

    /// `(eval-sexp form :bindings map)`
    pub(super) fn sandboxed(&mut self, args: &[Id], span: Span) -> Result<Id> {
        let is_bindings = |c: &Self, id: Id| matches!(c.arena.get(id), Datum::Keyword(k) if c.arena.names.get(k) == "bindings");
        let (form, bindings) = match args {
            [form] => (*form, None),
            [form, key, bindings] if is_bindings(self, *key) => (*form, Some(*bindings)),
            _ => return Err(bad(span, "eval-sexp", "a form, and perhaps `:bindings` and a map, are expected")),
        };
        self.evaluates.insert((self.namespace, true));
        let mut m = self.make(span);
        let bindings = bindings.unwrap_or_else(|| m.nil());
        let globals = m.sym(SANDBOX);
        Ok(m.form("%eval/sandboxed", &[form, bindings, globals]))
    }

    /// Puts the environments of the namespaces that evaluate in front of everything else.
    pub(super) fn define_environments(&mut self) -> Result<()> {
        let home = self.namespace;
        let mut nodes = Vec::new();
        for (namespace, sandbox) in core::mem::take(&mut self.evaluates) {
            self.namespace = namespace;
            nodes.push(self.environment(sandbox)?);
        }
        self.namespace = home;
        self.main.splice(0..0, nodes);
        Ok(())
    }

    /// `(define GLOBALS (%eval/globals own library macros))`
    fn environment(&mut self, sandbox: bool) -> Result<Node> {
        let macros = if sandbox { Vec::new() } else { self.macro_bodies(self.namespace) };
        let macros = self.macro_functions(macros);
        let own = if sandbox { Vec::new() } else { self.own_names() };
        let own = self.own_globals(own);
        let library = self.library_values(!sandbox);
        let mut m = self.make(Span::default());
        let made = m.form("%eval/globals", &[own, library, macros]);
        let name = m.sym(if sandbox { SANDBOX } else { GLOBALS });
        let define = m.form("define", &[name, made]);
        let optional = core::mem::replace(&mut self.optional_params, true);
        let node = self.analyze(define);
        self.optional_params = optional;
        node
    }

    /// The program's own variables.
    fn own_names(&self) -> Vec<(String, u32)> {
        let namespace = self.namespace;
        let mut own: Vec<(String, u32)> = Vec::new();
        for g in 0..self.globals.len() {
            let global = &self.globals[g];
            let text = self.arena.names.get(global.name).to_string();
            // A name that nothing defines may be defined by a form that is evaluated. Without `force` it is an error all the same.
            let known = global.defs > 0 || (self.force && !self.in_library(&text));
            if global.namespace == namespace && known && !text.starts_with(' ') {
                own.push((text, g as u32));
            }
        }
        own
    }

    /// `(lambda (ask name value) …)`: asks of the program's own variables.
    fn own_globals(&mut self, own: Vec<(String, u32)>) -> Id {
        let (ask, name, value) = {
            let mut m = self.make(Span::default());
            (m.fresh(), m.fresh(), m.fresh())
        };
        let mut leaves = Vec::new();
        for (text, g) in own {
            // It may change at any time.
            self.globals[g as usize].defs += 1;
            let mut m = self.make(Span::default());
            let symbol = m.sym(&text);
            let (get, known) = (m.keyword("get"), m.keyword("known?"));
            let define = m.keyword("define");
            let is = |m: &mut Make<'_, '_>, what: Id| m.form("%equal?", &[ask, what]);
            let (get, known, defines) = (is(&mut m, get), is(&mut m, known), is(&mut m, define));
            let (set, define) = (m.form("set!", &[symbol, value]), m.form("%define-global", &[symbol, value]));
            let change = m.form("if", &[defines, define, set]);
            let other = m.form("or", &[known, change]);
            leaves.push((text, m.form("if", &[get, symbol, other])));
        }
        let mut m = self.make(Span::default());
        let body = dispatch(&mut m, name, &mut leaves);
        m.lambda(&[ask, name, value], &[body])
    }

    /// `(lambda (name) …)`: the functions of the library and of the host, nil for other names.
    fn library_values(&mut self, hosts: bool) -> Id {
        let mut m = self.make(Span::default());
        let mark = m.fresh();
        let mark = m.c.arena.as_symbol(mark).map_or(0, |s| s.0);
        let mut leaves = Vec::new();
        // Those of the host only when the program names them: to name one is to need what it is granted by.
        for host in m.c.options.hosts.iter().flat_map(|t| t.iter()).filter(|_| hosts) {
            if m.c.arena.names.intern(host.name).0 < mark && !leaves.iter().any(|(n, _)| n == host.name) {
                leaves.push((host.name.to_string(), m.sym(host.name)));
            }
        }
        for name in builtins::names().chain(prelude::functions()).filter(|n| !n.starts_with('%')) {
            if !leaves.iter().any(|(n, _)| n == name) {
                leaves.push((name.to_string(), m.sym(&alloc::format!("%{name}"))));
            }
        }
        let name = m.fresh();
        let body = dispatch(&mut m, name, &mut leaves);
        m.lambda(&[name], &[body])
    }

    /// `(lambda (name) …)`: the program's macros as functions from forms to forms, nil for other names.
    fn macro_functions(&mut self, all: Vec<(String, Id, Vec<Id>)>) -> Id {
        let mut m = self.make(Span::default());
        let mut leaves = Vec::new();
        for (name, params, body) in all {
            let mut items = alloc::vec![params];
            items.extend(body);
            leaves.push((name, m.form("lambda", &items)));
        }
        let name = m.fresh();
        let body = dispatch(&mut m, name, &mut leaves);
        m.lambda(&[name], &[body])
    }

    fn in_library(&self, text: &str) -> bool {
        builtins::find(text).is_some()
            || prelude::names().any(|n| n == text)
            || self.options.hosts.iter().flat_map(|t| t.iter()).any(|h| h.name == text)
    }

    /// `(%define-global name value)`: what `define` does at top level, anywhere.
    pub(super) fn global_to_define(&mut self, name: Sym, span: Span) -> u32 {
        let g = self.global(name, span);
        self.globals[g as usize].defs += 1;
        g
    }
}

/// The form that finds the leaf of a name by halves; nil when there is none.
fn dispatch(m: &mut Make<'_, '_>, name: Id, leaves: &mut [(String, Id)]) -> Id {
    leaves.sort_by(|a, b| a.0.cmp(&b.0));
    halves(m, name, leaves)
}

/// Nested as deep as the number of leaves has bits.
fn halves(m: &mut Make<'_, '_>, name: Id, leaves: &[(String, Id)]) -> Id {
    let Some(((text, leaf), below, above)) = leaves.split_at_checked(leaves.len() / 2).and_then(|(below, rest)| {
        let (middle, above) = rest.split_first()?;
        Some((middle, below, above))
    }) else {
        return m.nil();
    };
    let order = m.fresh();
    let symbol = m.sym(text);
    let quoted = m.quote(symbol);
    let compared = m.form("%compare", &[name, quoted]);
    let zero = m.int(0);
    let (same, less) = (m.form("%=", &[order, zero]), m.form("%<", &[order, zero]));
    let (below, above) = (halves(m, name, below), halves(m, name, above));
    let other = m.form("if", &[less, below, above]);
    let chosen = m.form("if", &[same, *leaf, other]);
    let bindings = m.c.arena.list(&[order, compared], Shape::Bracket, m.span);
    m.form("let", &[bindings, chosen])
}
