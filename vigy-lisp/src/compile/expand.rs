//! Forms that are rewritten into simpler ones: those the language brings along, and the program's own macros.
//!
//! Names that start with `%` in what is written here mean builtins and prelude functions whatever the program defines.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::analyze::bad;
use super::make::Make;
use super::{CompileError, Compiler, Result};
use crate::machine::Tag;
use crate::reader::{Datum, Id, Shape, Sym};
use crate::span::Span;

/// Whether a form with this head is rewritten whatever the program defines.
fn is_core(head: &str) -> bool {
    matches!(
        head,
        "cond" | "when" | "unless" | "let" | "let*" | "try" | "delay" | "quasiquote" | "%qq" | "eval" | "macroexpand" | "macroexpand-1"
    )
}

impl<'o> Compiler<'o> {
    /// A symbol that no text can spell.
    pub(super) fn fresh(&mut self, span: Span) -> Id {
        self.fresh += 1;
        let name = alloc::format!(" {}", self.fresh);
        self.arena.symbol(&name, span)
    }

    fn is_plain(&self, head: Sym) -> bool {
        self.plain_heads.get(head.0 as usize) == Some(&true)
    }

    /// Rewrites `id` until its head is neither a macro nor a form that is rewritten.
    pub(super) fn expand(&mut self, mut id: Id) -> Result<Id> {
        let limit = self.options.limits.rewrites;
        for _ in 0..limit {
            self.check_parts(self.arena.span(id))?;
            match self.expand_once(id)? {
                Some(next) => id = next,
                None => return Ok(id),
            }
        }
        Err(CompileError::new(
            Tag::MacroExpansionLimit,
            self.arena.span(id),
            format_args!("the form was rewritten {limit} times and is still not done"),
        ))
    }

    pub(super) fn expand_once(&mut self, id: Id) -> Result<Option<Id>> {
        if self.arena.is_bracket(id) || self.arena.is_brace(id) {
            return Ok(None);
        }
        let Some(head) = self.arena.items(id).first().and_then(|h| self.arena.as_symbol(*h)) else {
            return Ok(None);
        };
        // Most heads name neither form nor macro, which is found out once.
        if self.is_plain(head) && !self.macros.contains_key(&(self.namespace, head)) {
            return Ok(None);
        }
        if self.lookup(head).is_some() {
            return self.core_rewrite(id);
        }
        if let Some(made) = self.expand_macro(head, id)? {
            return Ok(Some(made));
        }
        if let Some(made) = self.core_rewrite(id)? {
            return Ok(Some(made));
        }
        if self.shadowed(head) {
            return Ok(None);
        }
        if let Some(made) = self.rewrite(id)? {
            return Ok(Some(made));
        }
        if self.library_macro(head)? {
            return self.expand_macro(head, id);
        }
        if !is_core(self.arena.names.get(head)) {
            let at = head.0 as usize;
            self.plain_heads.resize(self.plain_heads.len().max(at + 1), false);
            self.plain_heads[at] = true;
        }
        Ok(None)
    }

    /// The head of a form, when it is short enough to be the name of one that is rewritten.
    fn form_name(&self, id: Id) -> Option<heapless::String<24>> {
        heapless::String::try_from(self.arena.head(id)?).ok()
    }

    fn args(&self, id: Id) -> Vec<Id> {
        self.arena.items(id)[1..].to_vec()
    }

    pub(super) fn make(&mut self, span: Span) -> Make<'_, 'o> {
        Make { c: self, span }
    }

    /// Forms whose names always mean them.
    fn core_rewrite(&mut self, id: Id) -> Result<Option<Id>> {
        let Some(name) = self.form_name(id).filter(|name| is_core(name)) else { return Ok(None) };
        let args = self.args(id);
        let span = self.arena.span(id);
        Ok(Some(match name.as_str() {
            "cond" => self.cond(&args, span)?,
            "when" | "unless" => {
                if args.is_empty() {
                    return Err(bad(span, &name, "a test and a body are expected"));
                }
                let mut m = self.make(span);
                let body = m.body(&args[1..]);
                if name == "when" {
                    m.form("if", &[args[0], body])
                } else {
                    let nil = m.nil();
                    m.form("if", &[args[0], nil, body])
                }
            }
            "let" | "let*" => {
                let Some(bindings) = args.first() else {
                    return Ok(None);
                };
                let flat = self.arena.is_bracket(*bindings)
                    || (self.arena.items(*bindings).len() > 1
                        && self.arena.items(*bindings).iter().step_by(2).any(|b| !self.arena.is_list(*b)));
                let pattern = !flat
                    && self
                        .arena
                        .items(*bindings)
                        .iter()
                        .any(|b| self.arena.items(*b).first().is_some_and(|n| self.arena.is_bracket(*n) || self.arena.is_brace(*n)));
                if !flat && !pattern {
                    return Ok(None);
                }
                if args.len() < 2 {
                    return Err(bad(span, &name, "a body is expected"));
                }
                let pairs = self.binding_pairs(*bindings, &name)?;
                let binds = self.destructure_all(&pairs, span)?;
                let mut m = self.make(span);
                let binds: Vec<Id> = binds.iter().map(|(n, v)| m.list(&[*n, *v])).collect();
                let binds = m.list(&binds);
                let mut items = alloc::vec![binds];
                items.extend_from_slice(&args[1..]);
                m.form("%let*", &items)
            }
            "try" => self.try_form(&args, span)?,
            "delay" => {
                if args.len() != 1 {
                    return Err(bad(span, "delay", "one expression is expected"));
                }
                let mut m = self.make(span);
                let thunk = m.lambda(&[], &args);
                m.form("%delay", &[thunk])
            }
            "quasiquote" => {
                if args.len() != 1 {
                    return Err(bad(span, "quasiquote", "one datum is expected"));
                }
                self.quasi(args[0], 1)?
            }
            "%qq" => {
                // What `quasi` writes for its deeper levels; a program may write anything.
                let (Some(Datum::Int(depth @ 1..)), Some(form)) = (args.first().map(|a| self.arena.get(*a)), args.get(1)) else {
                    return Err(bad(span, &name, "a depth and a datum are expected"));
                };
                self.quasi(*form, usize::try_from(depth).unwrap_or(usize::MAX / 2))?
            }
            "eval" => {
                if args.len() != 1 {
                    return Err(bad(span, "eval", "one expression is expected"));
                }
                let form = match self.quoted(args[0]) {
                    None => self.template(args[0]),
                    known => known,
                };
                match form {
                    Some(form) => self.make(span).form("%eval-here", &[form]),
                    None => self.at_run_time("%eval/form", args[0], span),
                }
            }
            _ => {
                if args.len() != 1 {
                    return Err(bad(span, &name, "one form is expected"));
                }
                let form = match self.quoted(args[0]) {
                    Some(form) => form,
                    None if !self.arena.is_list(args[0]) && self.arena.as_symbol(args[0]).is_none() => return Ok(Some(args[0])),
                    None => {
                        let function = if name == "macroexpand" { "%eval/expand" } else { "%eval/expand-1" };
                        return Ok(Some(self.at_run_time(function, args[0], span)));
                    }
                };
                let made = if name == "macroexpand-1" { self.expand_shown(form)?.unwrap_or(form) } else { self.expand_fully(form)? };
                self.make(span).quote(made)
            }
        }))
    }

    /// One step of what the program's macros and the rewritten library forms do, as `macroexpand-1` shows it.
    fn expand_shown(&mut self, id: Id) -> Result<Option<Id>> {
        let Some(head) = self.arena.items(id).first().and_then(|h| self.arena.as_symbol(*h)) else {
            return Ok(None);
        };
        if let Some(made) = self.expand_macro(head, id)? {
            return Ok(Some(made));
        }
        if self.shadowed(head) {
            return Ok(None);
        }
        let name = self.arena.head(id).unwrap_or_default().to_string();
        let args = self.args(id);
        let span = self.arena.span(id);
        match super::forms::shown(self, &name, &args, span) {
            Some(made) => Ok(Some(made)),
            None => self.rewrite(id),
        }
    }

    /// Everything that `expand_shown` does, at every depth.
    fn expand_fully(&mut self, id: Id) -> Result<Id> {
        enum Work {
            Visit(Id),
            Join(usize, Shape, Span),
        }
        let mut work = alloc::vec![Work::Visit(id)];
        let mut done: Vec<Id> = Vec::new();
        while let Some(next) = work.pop() {
            match next {
                Work::Visit(mut id) => {
                    let mut steps = 0;
                    self.check_parts(self.arena.span(id))?;
                    while let Some(made) = self.expand_shown(id)? {
                        id = made;
                        steps += 1;
                        if steps > self.options.limits.rewrites {
                            let span = self.arena.span(id);
                            return Err(CompileError::new(Tag::MacroExpansionLimit, span, format_args!("rewritten too often")));
                        }
                    }
                    match self.arena.get(id) {
                        Datum::List { shape, .. } if self.arena.head(id) != Some("quote") => {
                            let items = self.arena.items(id).to_vec();
                            work.push(Work::Join(items.len(), shape, self.arena.span(id)));
                            work.extend(items.into_iter().rev().map(Work::Visit));
                        }
                        _ => done.push(id),
                    }
                }
                Work::Join(n, shape, span) => {
                    let items = done.split_off(done.len() - n);
                    done.push(self.arena.list(&items, shape, span));
                }
            }
        }
        Ok(done.pop().unwrap_or(id))
    }

    fn cond(&mut self, args: &[Id], span: Span) -> Result<Id> {
        if args.is_empty() {
            return Ok(self.make(span).nil());
        }
        // Flat when something in the position of a test is not a list.
        let flat = args.len() > 1 && args.iter().step_by(2).any(|t| !self.arena.is_list(*t));
        if flat {
            return Ok(self.flat_cond(args, span));
        }
        let clause = self.arena.items(args[0]).to_vec();
        if clause.is_empty() {
            return Err(bad(self.arena.span(args[0]), "cond", "a clause is a list of a test and results"));
        }
        let (test, body, rest) = (clause[0], clause[1..].to_vec(), &args[1..]);
        let is_else = self.arena.is_symbol(test, "else");
        if let (true, Some(next)) = (self.always(test), rest.first()) {
            self.warn_unreachable(*next, "cond");
        }
        let mut m = self.make(span);
        let body = if body.is_empty() { m.nil() } else { m.body(&body) };
        if is_else {
            return Ok(body);
        }
        let mut items = alloc::vec![m.sym("cond")];
        items.extend_from_slice(rest);
        let rest = if rest.is_empty() { m.nil() } else { m.list(&items) };
        Ok(m.form("if", &[test, body, rest]))
    }

    /// `(cond test result …)`; a test without a result is left to be no clause.
    fn flat_cond(&mut self, args: &[Id], span: Span) -> Id {
        let pairs = args.chunks_exact(2);
        let mut form = match pairs.remainder() {
            [odd] => self.make(span).form("cond", &[*odd]),
            _ => self.make(span).nil(),
        };
        for (i, pair) in pairs.enumerate().rev() {
            let next = args.get(2 * i + 2).copied();
            if let (true, Some(next)) = (self.always(pair[0]), next) {
                self.warn_unreachable(next, "cond");
            }
            form = if self.arena.is_symbol(pair[0], "else") { pair[1] } else { self.make(span).form("if", &[pair[0], pair[1], form]) };
        }
        form
    }

    /// Whether a test is one that applies whatever is the case.
    fn always(&self, test: Id) -> bool {
        self.arena.is_symbol(test, "else") || matches!(self.arena.get(test), Datum::Keyword(_) | Datum::Bool(true))
    }

    fn try_form(&mut self, args: &[Id], span: Span) -> Result<Id> {
        let mut body = args.to_vec();
        let finally = match body.last() {
            Some(last) if self.arena.head(*last) == Some("finally") => {
                let clause = self.args(*last);
                body.pop();
                Some(clause)
            }
            _ => None,
        };
        let catch = match body.last() {
            Some(last) if self.arena.head(*last) == Some("catch") => {
                let clause = self.args(*last);
                body.pop();
                Some(clause)
            }
            _ => None,
        };
        if body.is_empty() || (catch.is_none() && finally.is_none()) {
            return Err(bad(span, "try", "a body and then a `catch` or `finally` clause are expected"));
        }
        let mut m = self.make(span);
        let mut form = m.body(&body);
        if let Some(catch) = catch {
            let names = catch.first().map_or(&[][..], |n| m.c.arena.items(*n)).to_vec();
            let [name] = names[..] else {
                return Err(bad(span, "catch", "one name in parentheses is expected"));
            };
            if m.c.arena.as_symbol(name).is_none() || catch.len() < 2 {
                return Err(bad(span, "catch", "one name in parentheses and a body are expected"));
            }
            let raised = m.fresh();
            let names = m.list(&[name, raised]);
            let handler = m.body(&catch[1..]);
            form = m.form("%try", &[form, names, handler]);
        }
        if let Some(finally) = finally {
            // (let ((f (lambda () finally…))) (let ((r (%try form (e raised) (begin (f) (%rethrow e raised))))) (f) r))
            let (f, r, e, raised) = (m.fresh(), m.fresh(), m.fresh(), m.fresh());
            let thunk = if finally.is_empty() {
                let nil = m.nil();
                m.lambda(&[], &[nil])
            } else {
                m.lambda(&[], &finally)
            };
            let run = m.list(&[f]);
            let again = m.form("%rethrow", &[e, raised]);
            let handler = m.form("begin", &[run, again]);
            let names = m.list(&[e, raised]);
            let tried = m.form("%try", &[form, names, handler]);
            let inner = m.let_one(r, tried, &[run, r]);
            form = m.let_one(f, thunk, &[inner]);
        }
        Ok(form)
    }

    /// Forms of the library: their names can be taken by the program.
    fn rewrite(&mut self, id: Id) -> Result<Option<Id>> {
        let Some(name) = self.form_name(id) else { return Ok(None) };
        let args = self.args(id);
        let span = self.arena.span(id);
        super::forms::rewrite(self, &name, &args, span)
    }
}
