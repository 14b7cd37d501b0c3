//! Bindings, and the patterns that take values apart.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::analyze::bad;
use super::{Compiler, Result};
use crate::reader::{Datum, Id};
use crate::span::Span;

impl Compiler<'_> {
    /// Bindings, flat or as a list of pairs, patterns included.
    pub(super) fn binding_pairs(&self, bindings: Id, form: &str) -> Result<Vec<(Id, Id)>> {
        let span = self.arena.span(bindings);
        let items = self.arena.items(bindings);
        if !self.arena.is_list(bindings) {
            return Err(bad(span, form, "bindings are expected"));
        }
        let flat = self.arena.is_bracket(bindings) || items.iter().any(|b| !self.arena.is_list(*b));
        if flat {
            if !items.len().is_multiple_of(2) {
                return Err(bad(span, form, "a name without a value"));
            }
            return Ok(items.chunks_exact(2).map(|c| (c[0], c[1])).collect());
        }
        items
            .iter()
            .map(|pair| match self.arena.items(*pair) {
                [name, value] => Ok((*name, *value)),
                _ => Err(bad(self.arena.span(*pair), form, "a binding is a name and a value")),
            })
            .collect()
    }

    /// Names and values for patterns and values, in order.
    pub(super) fn destructure_all(&mut self, pairs: &[(Id, Id)], span: Span) -> Result<Vec<(Id, Id)>> {
        let mut binds = Vec::new();
        let mut work: Vec<(Id, Id)> = pairs.iter().rev().copied().collect();
        while let Some((pattern, value)) = work.pop() {
            if self.arena.as_symbol(pattern).is_some() {
                binds.push((pattern, value));
                continue;
            }
            if !self.arena.is_list(pattern) {
                return Err(bad(self.arena.span(pattern), "let", "a name or a pattern is expected"));
            }
            let items = self.arena.items(pattern).to_vec();
            let brace = self.arena.is_brace(pattern);
            let mut m = self.make(span);
            let whole = m.fresh();
            binds.push((whole, value));
            let mut parts = Vec::new();
            if brace {
                for entry in items.chunks_exact(2) {
                    match m.c.arena.get(entry[0]) {
                        // {:keys [a b]}
                        Datum::Keyword(k) if m.c.arena.names.get(k) == "keys" => {
                            for name in m.c.arena.items(entry[1]).to_vec() {
                                let Some(text) = m.c.arena.symbol_text(name).map(ToString::to_string) else {
                                    return Err(bad(m.c.arena.span(name), "let", "`:keys` is followed by names"));
                                };
                                let key = m.keyword(&text);
                                let value = m.list(&[key, whole]);
                                parts.push((name, value));
                            }
                        }
                        // {:as all}
                        Datum::Keyword(k) if m.c.arena.names.get(k) == "as" => {
                            parts.push((entry[1], whole));
                        }
                        // {name :key}
                        _ => {
                            let value = m.form("%get-or-nil", &[whole, entry[1]]);
                            parts.push((entry[0], value));
                        }
                    }
                }
            } else {
                let mut i = 0;
                while i < items.len() {
                    let text = m.c.arena.symbol_text(items[i]).unwrap_or_default().to_string();
                    if (text == "&" || text == "&rest") && i + 1 < items.len() {
                        let n = m.int(i);
                        let value = m.form("%parts", &[whole, n]);
                        parts.push((items[i + 1], value));
                        i += 1;
                    } else if matches!(m.c.arena.get(items[i]), Datum::Keyword(k) if m.c.arena.names.get(k) == "as") && i + 1 < items.len()
                    {
                        parts.push((items[i + 1], whole));
                        i += 1;
                    } else {
                        let n = m.int(i);
                        let value = m.form("%part", &[whole, n]);
                        m.c.note_exempt(items[i]);
                        parts.push((items[i], value));
                    }
                    i += 1;
                }
            }
            work.extend(parts.into_iter().rev());
        }
        Ok(binds)
    }
}
