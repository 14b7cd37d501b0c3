//! Functions and their parameters.

use alloc::vec::Vec;

use super::{Task, bad};
use crate::compile::ir::Func;
use crate::compile::{Binding, Compiler, Named, PRELUDE, Result, Target, USER};
use crate::reader::{Id, Shape, Sym};
use crate::span::Span;

impl Compiler<'_> {
    /// `(lambda (params…) body…)`; patterns among the parameters are taken apart in the body.
    pub(super) fn lambda(&mut self, name: Option<Sym>, args: &[Id], span: Span, form: &str) -> Result<()> {
        let Some(params) = args.first() else {
            return Err(bad(span, form, "parameters and a body are expected"));
        };
        if args.len() < 2 {
            return Err(bad(span, form, "a body is expected"));
        }
        if !self.arena.is_list(*params) {
            return Err(bad(span, form, "a list of parameters is expected"));
        }
        let mut body = args[1..].to_vec();
        let (mut required, mut optional, mut rest) = (0, 0, false);
        let mut in_optional = false;
        let list = self.arena.items(*params).to_vec();
        let mut names: Vec<Sym> = Vec::with_capacity(list.len());
        let mut defaults: Vec<Id> = Vec::new();
        let mut i = 0;
        while i < list.len() {
            let param = list[i];
            match self.arena.symbol_text(param) {
                Some("&rest" | "&") => {
                    if i + 2 != list.len() {
                        return Err(bad(self.arena.span(param), form, "one name is expected after `&rest`, the last"));
                    }
                    rest = true;
                    i += 1;
                    let name = self.param(list[i], &mut body, span, form)?;
                    names.push(name);
                }
                Some("&optional") if self.optional_params => in_optional = true,
                _ => {
                    if in_optional && self.arena.is_list(param) && !self.arena.is_bracket(param) {
                        // (name default)
                        let parts = self.arena.items(param).to_vec();
                        if parts.is_empty() || parts.len() > 2 {
                            return Err(bad(self.arena.span(param), form, "an optional parameter is a name and a default"));
                        }
                        names.push(self.symbol_of(parts[0], form)?);
                        defaults.push(parts[0]);
                        defaults.push(parts.get(1).copied().unwrap_or_else(|| self.arena.list(&[], Shape::Paren, span)));
                    } else {
                        let name = self.param(param, &mut body, span, form)?;
                        names.push(name);
                        if in_optional && self.namespace == USER {
                            defaults.push(param);
                            let nil = self.arena.list(&[], Shape::Paren, span);
                            defaults.push(nil);
                        }
                    }
                    if in_optional {
                        optional += 1;
                    } else {
                        required += 1;
                    }
                }
            }
            i += 1;
        }
        // (set! x (if (%absent? x) default x))
        for pair in defaults.chunks_exact(2).rev() {
            let absent = self.arena.symbol("%absent?", span);
            let test = self.arena.list(&[absent, pair[0]], Shape::Paren, span);
            let iff = self.arena.symbol("if", span);
            let value = self.arena.list(&[iff, test, pair[1], pair[0]], Shape::Paren, span);
            let set = self.arena.symbol("set!", span);
            body.insert(0, self.arena.list(&[set, pair[0], value], Shape::Paren, span));
        }
        // Of a function that the program defines, others decide what it is called with.
        let inner = name.is_none() || !self.functions.is_empty();
        let f = self.tree.funcs.len() as u32;
        let target = Target { id: self.fresh_target(), vars: names.len() };
        self.tree.funcs.push(Func {
            name,
            params: Vec::with_capacity(names.len()),
            required,
            optional,
            rest,
            native: self.namespace == PRELUDE,
            stands: false,
            captures: Vec::new(),
            body: 0,
            target: target.id,
            span,
        });
        self.tasks.push(Task::EndLambda(f, self.scope.len(), span));
        self.functions.push(f);
        self.targets.push(target);
        for name in names {
            let v = self.tree.var(f);
            self.tree.funcs[f as usize].params.push((name, v));
            self.scope.push(Binding { name, named: Named::Var(v) });
            let at = list.iter().copied().find(|p| inner && self.arena.as_symbol(*p) == Some(name));
            self.note_local(name, at, v, span);
        }
        self.pending_params = self.tree.funcs[f as usize].params.clone();
        self.body(body, true, span)
    }

    pub(super) fn param(&mut self, param: Id, body: &mut Vec<Id>, span: Span, form: &str) -> Result<Sym> {
        if let Some(name) = self.arena.as_symbol(param) {
            return Ok(name);
        }
        if !self.arena.is_bracket(param) && !self.arena.is_brace(param) {
            return Err(bad(self.arena.span(param), form, "a parameter is a name"));
        }
        let fresh = self.fresh(span);
        let bindings = self.arena.list(&[param, fresh], Shape::Bracket, span);
        let head = self.arena.symbol("let", span);
        let mut items = alloc::vec![head, bindings];
        items.append(body);
        *body = alloc::vec![self.arena.list(&items, Shape::Paren, span)];
        self.symbol_of(fresh, form)
    }
}
