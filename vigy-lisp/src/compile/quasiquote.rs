//! Quasiquotes.

use alloc::vec::Vec;

use super::analyze::bad;
use super::{Compiler, Result};
use crate::reader::{Datum, Id, Shape};

impl Compiler<'_> {
    /// The datum that an expression quotes, with quasiquotes that have no holes.
    pub(super) fn quoted(&self, id: Id) -> Option<Id> {
        match self.arena.items(id) {
            [head, datum] if self.arena.is_symbol(*head, "quote") => Some(*datum),
            _ if self.arena.is_list(id) || self.arena.as_symbol(id).is_some() => None,
            _ => Some(id),
        }
    }

    /// The datum of a quasiquote without holes.
    pub(super) fn template(&self, id: Id) -> Option<Id> {
        let [head, datum] = self.arena.items(id) else {
            return None;
        };
        if !self.arena.is_symbol(*head, "quasiquote") {
            return None;
        }
        let mut work = alloc::vec![*datum];
        while let Some(id) = work.pop() {
            if matches!(self.arena.head(id), Some("unquote" | "unquote-splice" | "quasiquote")) {
                return None;
            }
            work.extend_from_slice(self.arena.items(id));
        }
        Some(*datum)
    }

    /// One level of a quasiquote; deeper levels become `(%qq depth datum)`.
    pub(super) fn quasi(&mut self, id: Id, depth: usize) -> Result<Id> {
        let span = self.arena.span(id);
        let items = self.arena.items(id).to_vec();
        let shape = match self.arena.get(id) {
            Datum::List { shape, .. } if !items.is_empty() => shape,
            Datum::List { shape: Shape::Brace, .. } => Shape::Brace,
            _ => return Ok(self.make(span).quote(id)),
        };
        let tagged = |c: &Self, name: &str| items.len() == 2 && shape == Shape::Paren && c.arena.is_symbol(items[0], name);
        if tagged(self, "unquote") && depth == 1 {
            return Ok(items[1]);
        }
        if tagged(self, "unquote-splice") && depth == 1 {
            return Err(bad(span, "unquote-splice", "it means something only inside a list"));
        }
        let inner = if tagged(self, "unquote") || tagged(self, "unquote-splice") {
            depth - 1
        } else if tagged(self, "quasiquote") {
            depth + 1
        } else {
            depth
        };
        // Runs of ordinary elements become `(%list …)`; spliced ones stand between them.
        let mut parts: Vec<Id> = Vec::new();
        let mut run: Vec<Id> = Vec::new();
        let mut spliced = false;
        for item in &items {
            let splice = inner == 1 && self.arena.items(*item).len() == 2 && self.arena.head(*item) == Some("unquote-splice");
            if splice {
                spliced = true;
                let value = self.arena.item(*item, 1);
                let mut m = self.make(span);
                if !run.is_empty() {
                    let list = m.form("%list", &run);
                    parts.push(list);
                    run.clear();
                }
                parts.push(value);
            } else {
                let leaf = !self.arena.is_list(*item);
                let mut m = self.make(span);
                let element = if leaf {
                    m.quote(*item)
                } else {
                    let depth = m.int(inner);
                    m.form("%qq", &[depth, *item])
                };
                run.push(element);
            }
        }
        let mut m = self.make(span);
        if shape == Shape::Brace && !spliced && depth == 1 {
            // A map with holes is a map.
            if m.c.building_macro {
                let list = m.form("%list", &run);
                let mark = m.int(2);
                return Ok(m.form("%shape", &[list, mark]));
            }
            return Ok(m.form("%hash-map", &run));
        }
        let list = if spliced {
            if !run.is_empty() {
                let list = m.form("%list", &run);
                parts.push(list);
            }
            let nil = m.nil();
            parts.push(nil);
            m.form("%append", &parts)
        } else {
            m.form("%list", &run)
        };
        Ok(match shape {
            Shape::Bracket => {
                let mark = m.int(1);
                m.form("%shape", &[list, mark])
            }
            _ => list,
        })
    }
}
