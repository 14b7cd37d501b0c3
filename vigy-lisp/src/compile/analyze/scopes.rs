//! Names: what they mean where they stand, definitions, and bodies with definitions of their own.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Task, bad};
use crate::compile::ir::Ir;
use crate::compile::{Binding, CompileError, Compiler, Frame, Named, Result};
use crate::machine::Tag;
use crate::reader::{Id, Shape, Sym};
use crate::span::Span;

impl Compiler<'_> {
    /// The variable or loop of that name, when there is one in scope.
    pub(in crate::compile) fn lookup(&self, name: Sym) -> Option<Named> {
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
        // The main program is function 0 and not on the list.
    }

    pub(super) fn name(&mut self, s: Sym, span: Span) -> Result<()> {
        match self.lookup(s) {
            Some(Named::Var(v)) => {
                self.use_var(v);
                self.note_use(v);
                self.push(Ir::Var(v), span);
            }
            Some(Named::Loop(_)) | None => {
                let g = self.global(s, span);
                self.push(Ir::Global(g), span);
            }
        }
        Ok(())
    }

    pub(in crate::compile) fn symbol_of(&self, id: Id, form: &str) -> Result<Sym> {
        self.arena.as_symbol(id).ok_or_else(|| bad(self.arena.span(id), form, "a name is expected here"))
    }

    pub(in crate::compile) fn variable(&mut self) -> u32 {
        let f = self.current_function();
        self.tree.var(f)
    }

    pub(super) fn set_form(&mut self, args: &[Id], span: Span) -> Result<()> {
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
                let g = self.global(name, self.arena.span(args[0]));
                self.globals[g as usize].sets += 1;
                self.tasks.push(Task::SetGlobal(g, span));
            }
        }
        self.tasks.push(Task::Expr(args[1], false));
        Ok(())
    }

    /// Name and value of a definition: `(define name value)` or `(define (name params…) body…)`.
    pub(in crate::compile) fn definition(&mut self, args: &[Id], span: Span) -> Result<(Sym, Id)> {
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
        let shape = if self.arena.is_bracket(*target) { Shape::Bracket } else { Shape::Paren };
        let params = self.arena.list_from(None, *target, 1, shape, span);
        // Parameters and body, and `%lambda` in front of them.
        let lambda = self.arena.symbol("%lambda", span);
        let body = self.arena.list_of(params, &args[1..], Shape::Paren, span);
        Ok((name, self.arena.list_from(Some(lambda), body, 0, Shape::Paren, span)))
    }

    pub(super) fn define_form(&mut self, args: &[Id], span: Span) -> Result<()> {
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
                Err(e) => {
                    let (met, span) = self.survive(e)?;
                    self.tasks.truncate(mark);
                    self.push(met, span);
                    return Ok(());
                }
                done => return done,
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

    pub(super) fn body(&mut self, mut forms: Vec<Id>, tail: bool, span: Span) -> Result<()> {
        let scope = self.scope.len();
        self.frames.push(Frame { vars: Vec::new(), params: core::mem::take(&mut self.pending_params), scope });
        self.tasks.push(Task::EndBody(forms.len(), scope, span));
        for form in &mut forms {
            // A failing macro shows when the form itself is analyzed.
            *form = self.expand(*form).unwrap_or(*form);
        }
        for form in &forms {
            if self.arena.head(*form) == Some("define")
                && let Some(target) = self.arena.items(*form).get(1).copied()
            {
                let name = self.arena.as_symbol(target).or_else(|| self.arena.items(target).first().and_then(|n| self.arena.as_symbol(*n)));
                if let Some(name) = name
                    && self.frames.last().is_some_and(|f| f.vars.iter().chain(&f.params).all(|(n, _)| *n != name))
                {
                    let v = self.declare(name);
                    let at = if self.arena.is_list(target) { self.arena.item(target, 0) } else { target };
                    self.note_local(name, Some(at), v, span);
                }
            }
        }
        self.push_all(&forms, tail);
        Ok(())
    }
}
