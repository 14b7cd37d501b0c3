//! `let` and its kin, and loops.

use alloc::vec::Vec;

use super::{Task, bad};
use crate::compile::{Binding, Compiler, Named, Result, Target};
use crate::reader::{Datum, Id, Shape, Sym};
use crate::span::Span;

fn pairs_of(c: &mut Compiler<'_>, pairs: &[(Id, Id)]) -> Vec<Id> {
    pairs.iter().map(|(name, value)| c.arena.list(&[*name, *value], Shape::Paren, c.arena.span(*name))).collect()
}

impl Compiler<'_> {
    /// `((lambda (x) body…) value)`: binds without a closure. Whether it could.
    pub(super) fn direct_lambda(&mut self, lambda: Id, args: &[Id], tail: bool, span: Span) -> Result<bool> {
        let items = self.arena.items(lambda).to_vec();
        if items.len() < 3 {
            return Ok(false);
        }
        let params = self.arena.items(items[1]).to_vec();
        let plain = params.len() == args.len() && params.iter().all(|p| self.arena.symbol_text(*p).is_some_and(|s| !s.starts_with('&')));
        if !plain {
            return Ok(false);
        }
        let pairs: Vec<(Id, Id)> = params.iter().copied().zip(args.iter().copied()).collect();
        self.parallel_let(&pairs, items[2..].to_vec(), tail, span)?;
        Ok(true)
    }

    fn parallel_let(&mut self, pairs: &[(Id, Id)], body: Vec<Id>, tail: bool, span: Span) -> Result<()> {
        let mut vars = Vec::new();
        let mut names = Vec::new();
        for (name, _) in pairs {
            let (at, name, var) = (*name, self.symbol_of(*name, "let")?, self.variable());
            self.note_local(name, Some(at), var, span);
            names.push(name);
            vars.push(var);
        }
        self.tasks.push(Task::Let(vars.clone(), self.scope.len(), span));
        self.tasks.push(Task::Body(body, tail, span));
        for (name, var) in names.iter().zip(&vars).rev() {
            self.tasks.push(Task::Open(*name, *var));
        }
        for (_, value) in pairs.iter().rev() {
            self.tasks.push(Task::Expr(*value, false));
        }
        Ok(())
    }

    fn same_name(&self, a: Id, b: Id) -> bool {
        self.arena.as_symbol(a).is_some() && self.arena.as_symbol(a) == self.arena.as_symbol(b)
    }

    /// Bindings written as a list of pairs.
    fn pairs(&self, bindings: Id, form: &str) -> Result<Vec<(Id, Id)>> {
        let span = self.arena.span(bindings);
        if !self.arena.is_list(bindings) {
            return Err(bad(span, form, "a list of bindings is expected"));
        }
        self.arena
            .items(bindings)
            .iter()
            .map(|pair| match self.arena.items(*pair) {
                [name, value] if self.arena.as_symbol(*name).is_some() => Ok((*name, *value)),
                _ => Err(bad(self.arena.span(*pair), form, "a binding is a name and a value")),
            })
            .collect()
    }

    pub(super) fn let_form(&mut self, form: &str, args: &[Id], tail: bool, span: Span) -> Result<()> {
        let Some(first) = args.first() else {
            return Err(bad(span, form, "bindings and a body are expected"));
        };
        if form == "let" && self.arena.as_symbol(*first).is_some() {
            return self.loop_form(Some(*first), &args[1..], tail, span);
        }
        if args.len() < 2 {
            return Err(bad(span, form, "a body is expected"));
        }
        let body = args[1..].to_vec();
        let pairs = self.pairs(*first, form.trim_start_matches('%'))?;
        match form {
            "let" => self.parallel_let(&pairs, body, tail, span),
            "let*" | "%let*" => {
                // One frame: a name that comes again is the variable it was, changed. What was written flat comes as `%let*`, and shadows.
                let again = |i: &usize| pairs[..*i].iter().any(|p| self.same_name(p.0, pairs[*i].0));
                if let Some(twice) = (1..pairs.len()).find(|i| form == "let*" && again(i)) {
                    let rest = pairs_of(self, &pairs[twice + 1..]);
                    let rest = self.arena.list(&rest, Shape::Paren, span);
                    let mut make = self.make(span);
                    let set = make.form("set!", &[pairs[twice].0, pairs[twice].1]);
                    let mut inner = alloc::vec![rest];
                    inner.extend(body);
                    let inner = make.form("let*", &inner);
                    let first = pairs_of(make.c, &pairs[..twice]);
                    let first = make.list(&first);
                    let whole = make.form("let*", &[first, set, inner]);
                    self.tasks.push(Task::Expr(whole, tail));
                    return Ok(());
                }
                let vars: Vec<u32> = pairs.iter().map(|_| self.variable()).collect();
                self.tasks.push(Task::Let(vars.clone(), self.scope.len(), span));
                self.tasks.push(Task::Body(body, tail, span));
                for ((name, value), var) in pairs.iter().zip(&vars).rev() {
                    let at = *name;
                    let name = self.symbol_of(at, form)?;
                    self.note_local(name, Some(at), *var, span);
                    self.tasks.push(Task::Open(name, *var));
                    self.tasks.push(Task::Expr(*value, false));
                }
                Ok(())
            }
            _ => {
                let scope = self.scope.len();
                let mut vars = Vec::new();
                for (name, _) in &pairs {
                    let at = *name;
                    let name = self.symbol_of(at, form)?;
                    let v = self.variable();
                    self.note_local(name, Some(at), v, span);
                    self.tree.vars[v as usize].assigned = true;
                    self.scope.push(Binding { name, named: Named::Var(v) });
                    vars.push(v);
                }
                self.tasks.push(Task::LetrecSet(vars, pairs.len(), scope, span));
                self.tasks.push(Task::Body(body, tail, span));
                for (_, value) in pairs.iter().rev() {
                    self.tasks.push(Task::Expr(*value, false));
                }
                Ok(())
            }
        }
    }

    /// `(loop [x 1 …] body…)`, and `(let name ((x 1) …) body…)`.
    pub(super) fn loop_form(&mut self, name: Option<Id>, args: &[Id], tail: bool, span: Span) -> Result<()> {
        let form = if name.is_some() { "let" } else { "loop" };
        let Some(bindings) = args.first() else {
            return Err(bad(span, form, "bindings and a body are expected"));
        };
        if args.len() < 2 {
            return Err(bad(span, form, "a body is expected"));
        }
        let flat =
            self.arena.is_bracket(*bindings) || (name.is_none() && self.arena.items(*bindings).iter().any(|b| !self.arena.is_list(*b)));
        let pairs = if flat {
            let items = self.arena.items(*bindings);
            if !items.len().is_multiple_of(2) {
                return Err(bad(self.arena.span(*bindings), form, "a name without a value"));
            }
            items.chunks_exact(2).map(|c| (c[0], c[1])).collect()
        } else {
            self.pairs(*bindings, form)?
        };
        let mut body = args[1..].to_vec();
        let mut names = Vec::new();
        // Patterns are bound to a name first and taken apart in the body.
        for (pattern, _) in &pairs {
            names.push(match self.arena.as_symbol(*pattern) {
                Some(name) => name,
                None => {
                    let fresh = self.fresh(span);
                    let bindings = self.arena.list(&[*pattern, fresh], Shape::Bracket, span);
                    let head = self.arena.symbol("let", span);
                    let mut items = alloc::vec![head, bindings];
                    items.extend_from_slice(&body);
                    body = alloc::vec![self.arena.list(&items, Shape::Paren, span)];
                    self.symbol_of(fresh, form)?
                }
            });
        }
        let named = match name {
            None => None,
            Some(n) => {
                let n = self.symbol_of(n, form)?;
                if names.contains(&n) || !self.only_tail_calls(n, &body) {
                    return self.recursive_let(n, &pairs, body, tail, span);
                }
                Some(n)
            }
        };
        let scope = self.scope.len();
        let vars: Vec<u32> = pairs.iter().map(|_| self.variable()).collect();
        for ((name, var), (at, _)) in names.iter().zip(&vars).zip(&pairs) {
            self.note_local(*name, Some(*at), *var, span);
        }
        let target = Target { id: self.fresh_target(), vars: vars.len() };
        self.tasks.push(Task::Loop(target.id, vars.clone(), scope, span));
        self.tasks.push(Task::Body(body, true, span));
        for (name, var) in names.iter().zip(&vars).rev() {
            self.tasks.push(Task::Open(*name, *var));
        }
        self.tasks.push(Task::PushTarget(target, named));
        // `loop` binds one after the other, a named `let` all at once.
        for (i, (_, value)) in pairs.iter().enumerate().rev() {
            self.tasks.push(Task::Expr(*value, false));
            if name.is_none() && i > 0 {
                self.tasks.push(Task::Open(names[i - 1], vars[i - 1]));
            }
        }
        Ok(())
    }

    /// A named `let` whose name is used as a value: `((letrec ((name (lambda …))) name) …)`.
    fn recursive_let(&mut self, name: Sym, pairs: &[(Id, Id)], body: Vec<Id>, tail: bool, span: Span) -> Result<()> {
        let name_id = self.arena.add(Datum::Symbol(name), span);
        let params: Vec<Id> = pairs.iter().map(|p| p.0).collect();
        let params = self.arena.list(&params, Shape::Paren, span);
        let mut lambda = alloc::vec![self.arena.symbol("lambda", span), params];
        lambda.extend(body);
        let lambda = self.arena.list(&lambda, Shape::Paren, span);
        let binding = self.arena.list(&[name_id, lambda], Shape::Paren, span);
        let bindings = self.arena.list(&[binding], Shape::Paren, span);
        let letrec = self.arena.symbol("letrec", span);
        let letrec = self.arena.list(&[letrec, bindings, name_id], Shape::Paren, span);
        let mut call = alloc::vec![letrec];
        call.extend(pairs.iter().map(|p| p.1));
        let call = self.arena.list(&call, Shape::Paren, span);
        self.tasks.push(Task::Expr(call, tail));
        Ok(())
    }

    /// Whether `name` occurs in the forms only as the head of calls in tail position: then a jump does what the calls do.
    fn only_tail_calls(&self, name: Sym, body: &[Id]) -> bool {
        let mut work: Vec<(Id, bool)> = Vec::new();
        let push = |work: &mut Vec<(Id, bool)>, forms: &[Id], tail: bool| {
            for (i, form) in forms.iter().enumerate() {
                work.push((*form, tail && i + 1 == forms.len()));
            }
        };
        push(&mut work, body, true);
        while let Some((id, tail)) = work.pop() {
            match self.arena.get(id) {
                Datum::Symbol(s) if s == name => return false,
                Datum::List { len, .. } if len > 0 => {
                    let items = self.arena.items(id);
                    let shadowed = self.arena.as_symbol(items[0]).is_some_and(|s| self.shadowed(s));
                    match self.arena.head(id) {
                        Some(_) if tail && self.arena.as_symbol(items[0]) == Some(name) => {
                            push(&mut work, &items[1..], false);
                        }
                        Some("if") if tail => {
                            work.push((*items.get(1).unwrap_or(&items[0]), false));
                            for branch in items.iter().skip(2) {
                                work.push((*branch, true));
                            }
                        }
                        Some("begin") if tail => push(&mut work, &items[1..], true),
                        Some("do" | "when" | "unless") if tail && !shadowed => {
                            push(&mut work, &items[1..], true);
                        }
                        Some("and" | "or") if tail => push(&mut work, &items[1..], true),
                        Some("let" | "let*") if tail && items.len() > 2 && self.arena.is_list(items[1]) => {
                            work.push((items[1], false));
                            push(&mut work, &items[2..], true);
                        }
                        Some("cond") if tail => {
                            if items[1..].iter().all(|c| self.arena.is_list(*c)) {
                                for clause in &items[1..] {
                                    push(&mut work, self.arena.items(*clause), true);
                                }
                            } else {
                                for (i, part) in items[1..].iter().enumerate() {
                                    work.push((*part, i % 2 == 1));
                                }
                            }
                        }
                        _ => push(&mut work, items, false),
                    }
                }
                _ => {}
            }
        }
        true
    }
}
