//! Data that the compiler makes itself.

use super::Compiler;
use crate::reader::{Datum, Id, Shape};
use crate::span::Span;

/// Builds data with the place of the form that is being rewritten.
pub(super) struct Make<'c, 'o> {
    pub(super) c: &'c mut Compiler<'o>,
    pub(super) span: Span,
}

impl Make<'_, '_> {
    pub(super) fn sym(&mut self, name: &str) -> Id {
        self.c.arena.symbol(name, self.span)
    }
    pub(super) fn list(&mut self, items: &[Id]) -> Id {
        self.c.arena.list(items, Shape::Paren, self.span)
    }
    pub(super) fn nil(&mut self) -> Id {
        self.list(&[])
    }
    /// `(head item…)`
    pub(super) fn form(&mut self, head: &str, items: &[Id]) -> Id {
        let head = self.sym(head);
        self.c.arena.list_of(head, items, Shape::Paren, self.span)
    }
    pub(super) fn quote(&mut self, id: Id) -> Id {
        self.form("quote", &[id])
    }
    pub(super) fn int(&mut self, i: usize) -> Id {
        self.c.arena.add(Datum::Int(i as i64), self.span)
    }
    pub(super) fn str(&mut self, text: &str) -> Id {
        let s = self.c.arena.names.intern(text);
        self.c.arena.add(Datum::Str(s), self.span)
    }
    pub(super) fn keyword(&mut self, text: &str) -> Id {
        let s = self.c.arena.names.intern(text);
        self.c.arena.add(Datum::Keyword(s), self.span)
    }
    /// `(let ((name value)) body…)`
    pub(super) fn let_one(&mut self, name: Id, value: Id, body: &[Id]) -> Id {
        let binding = self.list(&[name, value]);
        let bindings = self.list(&[binding]);
        let mut items = alloc::vec![bindings];
        items.extend_from_slice(body);
        self.form("let", &items)
    }
    /// `(begin form…)`, or the form itself.
    pub(super) fn body(&mut self, forms: &[Id]) -> Id {
        if let [one] = forms { *one } else { self.form("begin", forms) }
    }
    pub(super) fn lambda(&mut self, params: &[Id], body: &[Id]) -> Id {
        let params = self.list(params);
        let mut items = alloc::vec![params];
        items.extend_from_slice(body);
        self.form("lambda", &items)
    }
    pub(super) fn fresh(&mut self) -> Id {
        self.c.fresh(self.span)
    }
}
