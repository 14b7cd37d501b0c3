//! Data → intermediate form: resolves names and forms. Works through a list of tasks instead of recursing, so that no nesting
//! of a program becomes nesting of the native stack.

mod bindings;
mod lambda;
mod scopes;

use alloc::string::ToString;
use alloc::vec::Vec;

use super::ir::{Ir, Node, Nodes};
use super::{Binding, CompileError, Compiler, Frame, Named, Result, Target, USER};
use crate::diagnostic::Code;
use crate::machine::Tag;
use crate::reader::{Datum, Id, Shape, Sym};
use crate::span::Span;
use crate::value::Value;

/// What is still to be done. Finished nodes lie on a stack of their own.
pub(super) enum Task {
    /// Analyze a datum; whether it is in tail position of the innermost loop or function.
    Expr(Id, bool),
    If(Span),
    Seq(usize, Span),
    And(usize, Span),
    Or(usize, Span),
    SetVar(u32, Span),
    SetGlobal(u32, Span),
    Define(u32, Span),
    Call(usize, Span),
    /// Makes a variable visible.
    Open(Sym, u32),
    /// Body and initial values are done: binds, scope to return to.
    Let(Vec<u32>, usize, Span),
    Loop(u32, Vec<u32>, usize, Span),
    PushTarget(Target, Option<Sym>),
    Recur(u32, usize, Span),
    /// A body with definitions of its own.
    Body(Vec<Id>, bool, Span),
    EndBody(usize, usize, Span),
    EndLambda(u32, usize, Span),
    Try(u32, u32, usize, Span),
    LetrecSet(Vec<u32>, usize, usize, Span),
    /// Names are visible again that an `eval` did not see.
    Restore(Vec<Binding>, Vec<Frame>, Vec<Target>),
}

/// The heads of forms that are no calls, whatever is rewritten into them.
fn special(head: &str) -> Option<&'static str> {
    #[rustfmt::skip]
    const NAMES: &[&str] = &[
        "if", "begin", "define", "let", "let*", "and", "or", "quote", "lambda", "%lambda", "loop", "recur",
        "set!", "letrec", "%try", "%eval-here", "unquote", "unquote-splice", "defmacro", "defcheck", "defpoint-template", "require", "provide", "%let*", "%define-global",
    ];
    NAMES.iter().find(|name| **name == head).copied()
}

pub(super) fn bad(span: Span, form: &str, reason: &str) -> CompileError {
    CompileError::new(Tag::BadSpecialForm, span, format_args!("`{form}`: {reason}")).shaped(form)
}

impl Compiler<'_> {
    /// The node of a form at the top level of namespace `ns`.
    pub(super) fn analyze(&mut self, id: Id) -> Result<Node> {
        let base = self.out.len();
        self.tasks.clear();
        self.tasks.push(Task::Expr(id, false));
        while let Some(task) = self.tasks.pop() {
            self.step(task)?;
        }
        let node = self.out.pop().unwrap_or_else(|| self.tree.add(Ir::Word(Value::NIL), Span::default()));
        self.out.truncate(base);
        Ok(node)
    }

    fn step(&mut self, task: Task) -> Result<()> {
        match task {
            Task::Expr(id, tail) => {
                let mark = self.tasks.len();
                if let Err(e) = self.expr(id, tail) {
                    self.note_lost(id);
                    let (met, span) = self.survive(e)?;
                    self.tasks.truncate(mark);
                    self.push(met, span);
                }
            }
            Task::If(span) => {
                let (no, yes, test) = (self.pop(), self.pop(), self.pop());
                self.push(Ir::If(test, yes, no), span);
            }
            Task::Seq(n, span) => self.join(n, span, Ir::Seq),
            Task::And(n, span) => self.join(n, span, Ir::And),
            Task::Or(n, span) => self.join(n, span, Ir::Or),
            Task::SetVar(v, span) => {
                let value = self.pop();
                self.push(Ir::SetVar(v, value), span);
            }
            Task::SetGlobal(g, span) => {
                let value = self.pop();
                self.push(Ir::SetGlobal(g, value), span);
            }
            Task::Define(g, span) => {
                let value = self.pop();
                self.push(Ir::Define(g, value), span);
            }
            Task::Call(n, span) => {
                let args = self.take(n - 1);
                let head = self.pop();
                self.push(Ir::Call(head, args), span);
            }
            Task::Open(name, var) => self.scope.push(Binding { name, named: Named::Var(var) }),
            Task::Let(vars, scope, span) => {
                let body = self.pop();
                let inits = self.pop_list(vars.len());
                let binds: Vec<_> = vars.into_iter().zip(inits.into_iter().map(Some)).collect();
                let binds = self.tree.bind(&binds);
                self.push(Ir::Let(binds, body), span);
                self.scope.truncate(scope);
            }
            Task::LetrecSet(vars, n, scope, span) => {
                // Initial values, then the body: the variables were visible to both.
                let body = self.pop();
                let inits = self.pop_list(n);
                let mut nodes: Vec<Node> = vars.iter().zip(inits).map(|(v, init)| self.tree.add(Ir::SetVar(*v, init), span)).collect();
                nodes.push(body);
                let nodes = self.tree.nodes(&nodes);
                let body = self.tree.add(Ir::Seq(nodes), span);
                let binds: Vec<_> = vars.into_iter().map(|v| (v, None)).collect();
                let binds = self.tree.bind(&binds);
                self.push(Ir::Let(binds, body), span);
                self.scope.truncate(scope);
            }
            Task::Loop(id, vars, scope, span) => {
                let body = self.pop();
                let inits = self.pop_list(vars.len());
                let binds: Vec<_> = vars.into_iter().zip(inits.into_iter().map(Some)).collect();
                let binds = self.tree.bind(&binds);
                self.push(Ir::Loop(id, binds, body), span);
                self.scope.truncate(scope);
                self.targets.pop();
            }
            Task::PushTarget(target, name) => {
                let id = target.id;
                self.targets.push(target);
                if let Some(name) = name {
                    self.scope.push(Binding { name, named: Named::Loop(id) });
                }
            }
            Task::Recur(id, n, span) => {
                let nodes = self.take(n);
                self.push(Ir::Recur(id, nodes), span);
            }
            Task::Body(forms, tail, span) => self.body(forms, tail, span)?,
            Task::EndBody(n, scope, span) => {
                self.join(n, span, Ir::Seq);
                self.scope.truncate(scope);
                let frame = self.frames.pop().unwrap_or_default();
                if !frame.vars.is_empty() {
                    let body = self.pop();
                    let binds: Vec<_> = frame.vars.into_iter().map(|(_, v)| (v, None)).collect();
                    let binds = self.tree.bind(&binds);
                    self.push(Ir::Let(binds, body), span);
                }
            }
            Task::EndLambda(f, scope, span) => {
                let body = self.pop();
                self.tree.funcs[f as usize].body = body;
                self.push(Ir::Lambda(f), span);
                self.scope.truncate(scope);
                self.functions.pop();
                self.targets.pop();
            }
            Task::Restore(scope, frames, targets) => {
                self.scope = scope;
                self.frames = frames;
                self.targets = targets;
            }
            Task::Try(e, raised, scope, span) => {
                let handler = self.pop();
                let body = self.pop();
                self.push(Ir::Try(body, e, raised, handler), span);
                self.scope.truncate(scope);
            }
        }
        Ok(())
    }

    fn push(&mut self, ir: Ir, span: Span) {
        let node = self.tree.add(ir, span);
        self.out.push(node);
    }

    fn pop(&mut self) -> Node {
        match self.out.pop() {
            Some(node) => node,
            None => self.tree.add(Ir::Word(Value::NIL), Span::default()),
        }
    }

    fn pop_list(&mut self, n: usize) -> Vec<Node> {
        self.out.split_off(self.out.len() - n)
    }

    /// The last `n` finished nodes, as a list of the tree.
    fn take(&mut self, n: usize) -> Nodes {
        let start = self.out.len() - n;
        let nodes = self.tree.nodes(&self.out[start..]);
        self.out.truncate(start);
        nodes
    }

    fn join(&mut self, n: usize, span: Span, make: fn(Nodes) -> Ir) {
        match n {
            0 => self.push(Ir::Word(Value::NIL), span),
            1 => {}
            _ => {
                let nodes = self.take(n);
                self.push(make(nodes), span);
            }
        }
    }

    /// Pushes tasks for forms in order; only the last is in tail position.
    fn push_all(&mut self, forms: &[Id], tail: bool) {
        for (i, form) in forms.iter().enumerate().rev() {
            self.tasks.push(Task::Expr(*form, tail && i + 1 == forms.len()));
        }
    }

    fn expr(&mut self, id: Id, tail: bool) -> Result<()> {
        let id = self.expand(id)?;
        let span = self.arena.span(id);
        match self.arena.get(id) {
            Datum::Symbol(s) => self.name(s, span),
            Datum::List { len: 0, shape: Shape::Paren | Shape::Bracket, .. } => {
                self.push(Ir::Word(Value::NIL), span);
                Ok(())
            }
            Datum::List { shape: Shape::Bracket, .. } => self.call_named("%list", id, 0, span),
            Datum::List { shape: Shape::Brace, .. } => self.call_named("%hash-map", id, 0, span),
            Datum::List { .. } => self.form(id, tail, span),
            Datum::Bool(b) => {
                self.push(Ir::Word(Value::bool(b)), span);
                Ok(())
            }
            _ => {
                self.push(Ir::Datum(id), span);
                Ok(())
            }
        }
    }

    /// A call of a builtin with the elements of a list from `from` on.
    fn call_named(&mut self, name: &str, id: Id, from: usize, span: Span) -> Result<()> {
        let head = self.arena.symbol(name, span);
        let mut items = alloc::vec![head];
        items.extend_from_slice(&self.arena.items(id)[from..]);
        self.call(&items, span);
        Ok(())
    }

    fn call(&mut self, items: &[Id], span: Span) {
        /// More arguments than this go through a list.
        const MOST: usize = 100;
        if items.len() > MOST {
            // (f a b …) with very many arguments: (apply f (append (list a …) (list …) …))
            let mut parts = alloc::vec![self.arena.symbol("%append", span)];
            for chunk in items[1..].chunks(MOST - 2) {
                let mut part = alloc::vec![self.arena.symbol("%list", span)];
                part.extend_from_slice(chunk);
                let part = self.arena.list(&part, Shape::Paren, span);
                parts.push(part);
            }
            let all = self.arena.list(&parts, Shape::Paren, span);
            let apply = self.arena.symbol("%apply", span);
            let items = [apply, items[0], all];
            self.tasks.push(Task::Call(items.len(), span));
            self.push_all(&items, false);
            return;
        }
        self.tasks.push(Task::Call(items.len(), span));
        self.push_all(items, false);
    }

    fn form(&mut self, id: Id, tail: bool, span: Span) -> Result<()> {
        // One buffer for the elements of every form.
        let mut items = core::mem::take(&mut self.items);
        items.clear();
        items.extend_from_slice(self.arena.items(id));
        let done = self.form_of(&items, tail, span);
        self.items = items;
        done
    }

    #[allow(clippy::too_many_lines, reason = "one arm per form")]
    fn form_of(&mut self, items: &[Id], tail: bool, span: Span) -> Result<()> {
        let args = &items[1..];
        let Some(head) = self.arena.as_symbol(items[0]) else {
            // ((lambda (x) …) v) is a let.
            if self.arena.head(items[0]) == Some("lambda") && self.direct_lambda(items[0], args, tail, span)? {
                return Ok(());
            }
            self.call(items, span);
            return Ok(());
        };
        if let Some(Named::Loop(target)) = self.lookup(head) {
            let (n, inside) = match self.targets.last() {
                Some(t) if t.id == target => (t.vars, tail),
                _ => (0, false),
            };
            let name = self.arena.names.get(head).to_string();
            if !inside {
                return Err(bad(span, &name, "a loop goes on only from tail position").coded(Code::NotInTailPosition));
            }
            if n != args.len() {
                return Err(CompileError::new(
                    Tag::ArityMismatch,
                    span,
                    format_args!("`{name}` expected {n} arguments, got {}", args.len()),
                ));
            }
            self.tasks.push(Task::Recur(target, n, span));
            self.push_all(args, false);
            return Ok(());
        }
        let Some(name) = special(self.arena.names.get(head)) else {
            self.call(items, span);
            return Ok(());
        };
        match name {
            "quote" => {
                if args.len() != 1 {
                    return Err(bad(span, "quote", "one datum is expected"));
                }
                match self.arena.get(args[0]) {
                    Datum::List { len: 0, shape: Shape::Paren | Shape::Bracket, .. } => self.push(Ir::Word(Value::NIL), span),
                    Datum::Bool(b) => self.push(Ir::Word(Value::bool(b)), span),
                    _ => self.push(Ir::Datum(args[0]), span),
                }
            }
            "if" => {
                if args.len() != 2 && args.len() != 3 {
                    return Err(bad(span, "if", "a test, a branch and perhaps another one are expected"));
                }
                self.tasks.push(Task::If(span));
                match args.get(2) {
                    Some(no) => self.tasks.push(Task::Expr(*no, tail)),
                    None => {
                        let nil = self.arena.list(&[], Shape::Paren, span);
                        self.tasks.push(Task::Expr(nil, false));
                    }
                }
                self.tasks.push(Task::Expr(args[1], tail));
                self.tasks.push(Task::Expr(args[0], false));
            }
            "begin" => {
                self.tasks.push(Task::Seq(args.len(), span));
                self.push_all(args, tail);
            }
            "and" | "or" => {
                if args.is_empty() {
                    self.push(Ir::Word(Value::bool(name == "and")), span);
                } else {
                    self.tasks.push(if name == "and" { Task::And(args.len(), span) } else { Task::Or(args.len(), span) });
                    self.push_all(args, tail);
                }
            }
            "lambda" | "%lambda" => self.lambda(None, args, span, name)?,
            "let" | "let*" | "%let*" | "letrec" => self.let_form(name, args, tail, span)?,
            "loop" if !self.shadowed(head) => self.loop_form(None, args, tail, span)?,
            "recur" if !self.shadowed(head) => {
                let Some(target) = self.targets.last().copied() else {
                    return Err(bad(span, "recur", "there is no loop or function to go back to").coded(Code::NotInTailPosition));
                };
                if !tail {
                    return Err(bad(span, "recur", "it is not in tail position").coded(Code::NotInTailPosition));
                }
                if target.vars != args.len() {
                    return Err(bad(span, "recur", &alloc::format!("{} values are expected", target.vars)));
                }
                self.tasks.push(Task::Recur(target.id, args.len(), span));
                self.push_all(args, false);
            }
            "set!" => self.set_form(args, span)?,
            "define" => self.define_form(args, span)?,
            "%try" => {
                // (%try body (error raised?) handler)
                let names = args.get(1).map_or(&[][..], |names| self.arena.items(*names)).to_vec();
                let ([e_name, raised_name], 3) = (&names[..], args.len()) else {
                    return Err(bad(span, "try", "a body, two names and a handler are expected"));
                };
                let (e, raised) = (self.variable(), self.variable());
                let scope = self.scope.len();
                let (e_name, raised_name) = (self.symbol_of(*e_name, "try")?, self.symbol_of(*raised_name, "try")?);
                self.tasks.push(Task::Try(e, raised, scope, span));
                self.tasks.push(Task::Body(alloc::vec![args[2]], false, span));
                self.tasks.push(Task::Open(e_name, e));
                self.tasks.push(Task::Open(raised_name, raised));
                self.tasks.push(Task::Expr(args[0], false));
            }
            "%define-global" => {
                let name = self.symbol_of(args[0], "define")?;
                let g = self.global_to_define(name, span);
                self.tasks.push(Task::Define(g, span));
                self.tasks.push(Task::Expr(args[1], false));
            }
            "%eval-here" => {
                if args.len() != 1 {
                    return Err(bad(span, "eval", "one expression is expected"));
                }
                // Sees globals only.
                let scope = core::mem::take(&mut self.scope);
                let frames = core::mem::take(&mut self.frames);
                let targets = core::mem::take(&mut self.targets);
                self.tasks.push(Task::Restore(scope, frames, targets));
                self.tasks.push(Task::Expr(args[0], false));
            }
            "unquote" | "unquote-splice" => {
                return Err(bad(span, name, "it means something only inside a quasiquote").coded(Code::OutsideQuasiquote));
            }
            "defmacro" | "defcheck" | "defpoint-template" if self.namespace == USER => {
                let reason = format_args!("`{name}`: it is accepted only at top level");
                return Err(CompileError::new(Tag::UnboundSymbol, span, reason).coded(Code::NotAtTopLevel));
            }
            "require" | "provide" if self.namespace == USER => {
                return Err(bad(span, name, "it is accepted only at top level").coded(Code::NotAtTopLevel));
            }
            _ => self.call(items, span),
        }
        Ok(())
    }
}
