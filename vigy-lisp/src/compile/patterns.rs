//! `match`: each clause becomes one condition over paths into the value, then bindings, then its body. So a body stays in tail
//! position and nothing is allocated.

use alloc::vec::Vec;

use super::Result;
use super::analyze::bad;
use super::forms::macro_arity;
use super::make::Make;
use crate::reader::{Datum, Id, Sym};

/// What a clause asks and binds.
#[derive(Default)]
struct Clause {
    tests: Vec<Id>,
    binds: Vec<(Sym, Id, Id)>,
}

impl Clause {
    fn bind(&mut self, m: &mut Make<'_, '_>, name: Id, path: Id) {
        let Some(sym) = m.c.arena.as_symbol(name) else {
            return;
        };
        if m.c.arena.names.get(sym) == "_" {
            return;
        }
        m.c.note_exempt(name);
        // A name that comes twice must meet equal values.
        if let Some((_, _, first)) = self.binds.iter().find(|(s, _, _)| *s == sym) {
            let test = m.form("%equal?", &[*first, path]);
            self.tests.push(test);
        } else {
            self.binds.push((sym, name, path));
        }
    }
}

pub(super) fn rewrite(m: &mut Make<'_, '_>, args: &[Id]) -> Result<Id> {
    let Some(value) = args.first() else {
        return Err(macro_arity(m, "match", "a value is expected"));
    };
    let whole = m.fresh();
    let mut form = m.nil();
    for (i, clause) in args.iter().enumerate().skip(1).rev() {
        let items = m.c.arena.items(*clause).to_vec();
        let Some(pattern) = items.first().copied() else {
            return Err(bad(m.c.arena.span(*clause), "match", "a clause is a pattern and a body"));
        };
        if items.len() == 1 {
            return Err(bad(m.c.arena.span(*clause), "match", "a body is expected"));
        }
        let body = m.body(&items[1..]);
        if m.c.arena.is_symbol(pattern, "else") {
            args.get(i + 1).into_iter().for_each(|next| m.c.warn_unreachable(*next, "match"));
            form = body;
            continue;
        }
        let mut c = Clause::default();
        collect(m, &mut c, pattern, whole)?;
        let binds: Vec<Id> = c.binds.iter().map(|(_, name, path)| m.list(&[*name, *path])).collect();
        let bound = if binds.is_empty() {
            body
        } else {
            let binds = m.list(&binds);
            m.form("let", &[binds, body])
        };
        form = if c.tests.is_empty() {
            bound
        } else {
            let test = m.form("and", &c.tests);
            m.form("if", &[test, bound, form])
        };
    }
    Ok(m.let_one(whole, *value, &[form]))
}

fn collect(m: &mut Make<'_, '_>, c: &mut Clause, pattern: Id, path: Id) -> Result<()> {
    // Patterns inside quasiquotes are data except for what is unquoted.
    let mut work = alloc::vec![(pattern, path, false)];
    while let Some((pattern, path, data)) = work.pop() {
        if data && m.c.arena.head(pattern) == Some("unquote") && m.c.arena.items(pattern).len() == 2 {
            work.push((m.c.arena.item(pattern, 1), path, false));
            continue;
        }
        match m.c.arena.get(pattern) {
            Datum::Symbol(_) if !data => c.bind(m, pattern, path),
            Datum::List { .. } => {
                let items = m.c.arena.items(pattern).to_vec();
                if !data {
                    match (m.c.arena.head(pattern), items.len()) {
                        (Some("quote"), 2) => {
                            let test = m.form("%equal?", &[path, pattern]);
                            c.tests.push(test);
                            continue;
                        }
                        (Some("quasiquote"), 2) => {
                            work.push((items[1], path, true));
                            continue;
                        }
                        (Some("?"), 2 | 3) => {
                            let test = m.list(&[items[1], path]);
                            c.tests.push(test);
                            if let Some(name) = items.get(2) {
                                c.bind(m, *name, path);
                            }
                            continue;
                        }
                        _ => {}
                    }
                }
                let rest = items
                    .last()
                    .copied()
                    .filter(|l| data && m.c.arena.head(*l) == Some("unquote-splice") && m.c.arena.items(*l).len() == 2);
                let fixed = items.len() - usize::from(rest.is_some());
                let list = m.form("%list?", &[path]);
                let length = m.form("%length", &[path]);
                let n = m.int(fixed);
                let fits = m.form(if rest.is_some() { "%>=" } else { "%=" }, &[length, n]);
                c.tests.extend([list, fits]);
                if let Some(rest) = rest {
                    let n = m.int(fixed);
                    let tail = m.form("%parts", &[path, n]);
                    work.push((m.c.arena.item(rest, 1), tail, false));
                }
                for (i, item) in items[..fixed].iter().enumerate().rev() {
                    let i = m.int(i);
                    let part = m.form("%part", &[path, i]);
                    work.push((*item, part, data));
                }
            }
            _ => {
                let quoted = m.quote(pattern);
                let test = m.form("%equal?", &[path, quoted]);
                c.tests.push(test);
            }
        }
    }
    Ok(())
}
