//! Data → intermediate form: resolves names and forms. Works through a list of tasks instead of recursing, so that no nesting
//! of a program becomes nesting of the native stack.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::ir::{Ir, Node};
use super::{Binding, CompileError, Compiler, Frame, Named, Result, Target, USER};
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

pub(super) fn bad(span: Span, form: &str, reason: &str) -> CompileError {
    CompileError::new(Tag::BadSpecialForm, span, format_args!("bad `{form}`: {reason}"))
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
                    if !self.force {
                        return Err(e);
                    }
                    self.tasks.truncate(mark);
                    let message = self.arena.names.intern(&e.message);
                    self.push(Ir::Raise(e.tag, message), e.span);
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
                let nodes = self.pop_list(n);
                let args = self.tree.nodes(&nodes[1..]);
                self.push(Ir::Call(nodes[0], args), span);
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
                let nodes = self.pop_list(n);
                let nodes = self.tree.nodes(&nodes);
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

    fn join(&mut self, n: usize, span: Span, make: fn(super::ir::Nodes) -> Ir) {
        match n {
            0 => self.push(Ir::Word(Value::NIL), span),
            1 => {}
            _ => {
                let nodes = self.pop_list(n);
                let nodes = self.tree.nodes(&nodes);
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

    /// The variable or loop of that name, when there is one in scope.
    pub(super) fn lookup(&self, name: Sym) -> Option<Named> {
        self.scope.iter().rev().find(|b| b.name == name).map(|b| b.named)
    }

    fn current_function(&self) -> u32 {
        self.functions.last().copied().unwrap_or(0)
    }

    /// Notes that the running function uses a variable, perhaps of one around it.
    fn use_var(&mut self, v: u32) {
        let home = self.tree.vars[v as usize].func;
        for f in self.functions.iter().rev() {
            if *f == home {
                return;
            }
            self.tree.vars[v as usize].captured = true;
            let captures = &mut self.tree.funcs[*f as usize].captures;
            if !captures.contains(&v) {
                captures.push(v);
            }
        }
        if home != 0 {}
        // The main program is function 0 and not on the list.
    }

    fn name(&mut self, s: Sym, span: Span) -> Result<()> {
        match self.lookup(s) {
            Some(Named::Var(v)) => {
                self.use_var(v);
                self.push(Ir::Var(v), span);
            }
            Some(Named::Loop(_)) | None => {
                let g = self.global(s, span);
                self.push(Ir::Global(g), span);
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_lines, reason = "one arm per form")]
    fn form(&mut self, id: Id, tail: bool, span: Span) -> Result<()> {
        let items: Vec<Id> = self.arena.items(id).to_vec();
        let args = &items[1..];
        let Some(head) = self.arena.as_symbol(items[0]) else {
            // ((lambda (x) …) v) is a let.
            if self.arena.head(items[0]) == Some("lambda") && self.direct_lambda(items[0], args, tail, span)? {
                return Ok(());
            }
            self.call(&items, span);
            return Ok(());
        };
        if let Some(Named::Loop(target)) = self.lookup(head) {
            let (n, inside) = match self.targets.last() {
                Some(t) if t.id == target => (t.vars, tail),
                _ => (0, false),
            };
            let name = self.arena.names.get(head).to_string();
            if !inside {
                return Err(bad(span, &name, "a loop goes on only from tail position"));
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
        let name = self.arena.names.get(head).to_string();
        match name.as_str() {
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
            "lambda" | "%lambda" => self.lambda(None, args, span, &name)?,
            "let" | "let*" | "letrec" => self.let_form(&name, args, tail, span)?,
            "loop" if !self.shadowed(head) => self.loop_form(None, args, tail, span)?,
            "recur" if !self.shadowed(head) => {
                let Some(target) = self.targets.last().copied() else {
                    return Err(bad(span, "recur", "there is no loop or function to go back to"));
                };
                if !tail {
                    return Err(bad(span, "recur", "it is not in tail position"));
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
                let names = self.arena.items(args[1]).to_vec();
                let (e, raised) = (self.variable(), self.variable());
                let scope = self.scope.len();
                let (e_name, raised_name) = (self.symbol_of(names[0], "try")?, self.symbol_of(names[1], "try")?);
                self.tasks.push(Task::Try(e, raised, scope, span));
                self.tasks.push(Task::Body(alloc::vec![args[2]], false, span));
                self.tasks.push(Task::Open(e_name, e));
                self.tasks.push(Task::Open(raised_name, raised));
                self.tasks.push(Task::Expr(args[0], false));
            }
            "%eval-here" => {
                // Sees globals only.
                let scope = core::mem::take(&mut self.scope);
                let frames = core::mem::take(&mut self.frames);
                let targets = core::mem::take(&mut self.targets);
                self.tasks.push(Task::Restore(scope, frames, targets));
                self.tasks.push(Task::Expr(args[0], false));
            }
            "unquote" | "unquote-splice" => {
                return Err(bad(span, &name, "it means something only inside a quasiquote"));
            }
            "defmacro" | "defcheck" | "defpoint-template" | "require" | "provide" if self.namespace == USER => {
                return Err(bad(span, &name, "it is accepted only at top level"));
            }
            _ => self.call(&items, span),
        }
        Ok(())
    }

    pub(super) fn symbol_of(&self, id: Id, form: &str) -> Result<Sym> {
        self.arena.as_symbol(id).ok_or_else(|| bad(self.arena.span(id), form, "a name is expected here"))
    }

    pub(super) fn variable(&mut self) -> u32 {
        let f = self.current_function();
        self.tree.var(f)
    }

    fn set_form(&mut self, args: &[Id], span: Span) -> Result<()> {
        if args.len() != 2 {
            return Err(bad(span, "set!", "a name and a value are expected"));
        }
        let name = self.symbol_of(args[0], "set!")?;
        match self.lookup(name) {
            Some(Named::Var(v)) => {
                self.use_var(v);
                self.tree.vars[v as usize].assigned = true;
                self.tasks.push(Task::SetVar(v, span));
            }
            _ => {
                if self.sealed {
                    let text = self.arena.names.get(name).to_string();
                    return Err(CompileError::new(
                        Tag::SetSealed,
                        span,
                        format_args!("`set!` of `{text}`: a macro may not change the program's variables"),
                    ));
                }
                let g = self.global(name, span);
                self.globals[g as usize].sets += 1;
                self.tasks.push(Task::SetGlobal(g, span));
            }
        }
        self.tasks.push(Task::Expr(args[1], false));
        Ok(())
    }

    /// Name and value of a definition: `(define name value)` or `(define (name params…) body…)`.
    pub(super) fn definition(&mut self, args: &[Id], span: Span) -> Result<(Sym, Id)> {
        let Some(target) = args.first() else {
            return Err(bad(span, "define", "a name and a value are expected"));
        };
        if let Some(name) = self.arena.as_symbol(*target) {
            if args.len() < 2 {
                return Err(bad(span, "define", "a value is expected"));
            }
            if args.len() > 2 {
                return Err(bad(span, "define", "one value is expected"));
            }
            return Ok((name, args[1]));
        }
        let Some(name) = self.arena.items(*target).first().copied() else {
            return Err(bad(span, "define", "a name is expected"));
        };
        let name = self.symbol_of(name, "define")?;
        if args.len() < 2 {
            return Err(bad(span, "define", "a body is expected"));
        }
        let params = self.arena.items(*target)[1..].to_vec();
        let shape = if self.arena.is_bracket(*target) { Shape::Bracket } else { Shape::Paren };
        let params = self.arena.list(&params, shape, span);
        let lambda = self.arena.symbol("%lambda", span);
        let mut items = alloc::vec![lambda, params];
        items.extend_from_slice(&args[1..]);
        Ok((name, self.arena.list(&items, Shape::Paren, span)))
    }

    fn define_form(&mut self, args: &[Id], span: Span) -> Result<()> {
        let (name, value) = self.definition(args, span)?;
        if let Some(frame) = self.frames.last() {
            let known = frame.vars.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            let param = frame.params.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            let v = match known.or(param) {
                Some(v) => v,
                None => self.declare(name),
            };
            self.tree.vars[v as usize].assigned = true;
            self.use_var(v);
            self.tasks.push(Task::SetVar(v, span));
        } else {
            let g = self.global(name, span);
            self.globals[g as usize].defs += 1;
            self.tasks.push(Task::Define(g, span));
        }
        self.value_named(value, name)
    }

    /// Pushes the task for a value; a function among them gets the name.
    fn value_named(&mut self, value: Id, name: Sym) -> Result<()> {
        let value = self.expand(value)?;
        if matches!(self.arena.head(value), Some("lambda" | "%lambda")) {
            let args = self.arena.items(value)[1..].to_vec();
            let span = self.arena.span(value);
            let mark = self.tasks.len();
            match self.lambda(Some(name), &args, span, "lambda") {
                Err(e) if self.force => {
                    self.tasks.truncate(mark);
                    let message = self.arena.names.intern(&e.message);
                    self.push(Ir::Raise(e.tag, message), e.span);
                    return Ok(());
                }
                other => return other,
            }
        }
        self.tasks.push(Task::Expr(value, false));
        Ok(())
    }

    /// A variable of the innermost frame, visible from here on.
    fn declare(&mut self, name: Sym) -> u32 {
        let v = self.variable();
        // Bindings opened since the frame began end before it does, so the name goes where the frame began.
        if let Some(frame) = self.frames.last_mut() {
            frame.vars.push((name, v));
            let at = frame.scope.min(self.scope.len());
            self.scope.insert(at, Binding { name, named: Named::Var(v) });
            for task in &mut self.tasks {
                if let Task::Let(_, scope, _) | Task::Loop(_, _, scope, _) | Task::Try(_, _, scope, _) | Task::LetrecSet(_, _, scope, _) =
                    task
                    && *scope > at
                {
                    *scope += 1;
                }
            }
            for frame in &mut self.frames {
                if frame.scope > at {
                    frame.scope += 1;
                }
            }
        }
        v
    }

    fn body(&mut self, forms: Vec<Id>, tail: bool, span: Span) -> Result<()> {
        let scope = self.scope.len();
        self.frames.push(Frame { vars: Vec::new(), params: core::mem::take(&mut self.pending_params), scope });
        self.tasks.push(Task::EndBody(forms.len(), scope, span));
        let mut expanded = Vec::with_capacity(forms.len());
        for form in forms {
            // A failing macro shows when the form itself is analyzed.
            expanded.push(self.expand(form).unwrap_or(form));
        }
        for form in &expanded {
            if self.arena.head(*form) == Some("define")
                && let Some(target) = self.arena.items(*form).get(1).copied()
            {
                let name = self.arena.as_symbol(target).or_else(|| self.arena.items(target).first().and_then(|n| self.arena.as_symbol(*n)));
                if let Some(name) = name
                    && self.frames.last().is_some_and(|f| f.vars.iter().chain(&f.params).all(|(n, _)| *n != name))
                {
                    self.declare(name);
                }
            }
        }
        self.push_all(&expanded, tail);
        Ok(())
    }

    /// `((lambda (x) body…) value)`: binds without a closure. Whether it could.
    fn direct_lambda(&mut self, lambda: Id, args: &[Id], tail: bool, span: Span) -> Result<bool> {
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
            names.push(self.symbol_of(*name, "let")?);
            vars.push(self.variable());
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

    fn let_form(&mut self, form: &str, args: &[Id], tail: bool, span: Span) -> Result<()> {
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
        let pairs = self.pairs(*first, form)?;
        match form {
            "let" => self.parallel_let(&pairs, body, tail, span),
            "let*" => {
                let vars: Vec<u32> = pairs.iter().map(|_| self.variable()).collect();
                self.tasks.push(Task::Let(vars.clone(), self.scope.len(), span));
                self.tasks.push(Task::Body(body, tail, span));
                for ((name, value), var) in pairs.iter().zip(&vars).rev() {
                    let name = self.symbol_of(*name, form)?;
                    self.tasks.push(Task::Open(name, *var));
                    self.tasks.push(Task::Expr(*value, false));
                }
                Ok(())
            }
            _ => {
                let scope = self.scope.len();
                let mut vars = Vec::new();
                for (name, _) in &pairs {
                    let name = self.symbol_of(*name, form)?;
                    let v = self.variable();
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
    fn loop_form(&mut self, name: Option<Id>, args: &[Id], tail: bool, span: Span) -> Result<()> {
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

    /// `(lambda (params…) body…)`; patterns among the parameters are taken apart in the body.
    fn lambda(&mut self, name: Option<Sym>, args: &[Id], span: Span, form: &str) -> Result<()> {
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
        let mut names: Vec<Sym> = Vec::new();
        let (mut required, mut optional, mut rest) = (0, 0, false);
        let mut in_optional = false;
        let list = self.arena.items(*params).to_vec();
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
        let f = self.tree.funcs.len() as u32;
        let target = Target { id: self.fresh_target(), vars: names.len() };
        self.tree.funcs.push(super::ir::Func {
            name,
            params: Vec::new(),
            required,
            optional,
            rest,
            native: self.namespace == super::PRELUDE,
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
        }
        self.pending_params = self.tree.funcs[f as usize].params.clone();
        self.body(body, true, span)
    }

    fn param(&mut self, param: Id, body: &mut Vec<Id>, span: Span, form: &str) -> Result<Sym> {
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
