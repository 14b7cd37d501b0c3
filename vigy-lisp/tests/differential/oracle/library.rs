//! The forms of the library: their names can be taken by the program.

use std::rc::Rc;

use super::forms::{Env, bad};
use super::patterns::{bindings, flat_bindings};
use super::value::Numbers;
use super::{Answer, Bug, Oracle, Stop, V, cut};
use crate::form::{Form, Shape, bracket, call, paren, sym};

/// Parts without which no form of this name is whole.
fn least(form: &str) -> usize {
    match form {
        "->" | "->>" | "when-let" | "dotimes" | "doseq" | "dolist" | "for" | "while" | "case" | "match" | "loop" | "%inc" => 1,
        "fn" | "def" | "defn" | "assert" => 2,
        "if-let" => 3,
        _ => 0,
    }
}

impl Oracle {
    /// Forms of the library: their names can be taken by the program.
    pub(super) fn library_form(&mut self, head: &str, args: &[Form], env: &Env) -> Option<Answer> {
        if args.len() < least(head) {
            return Some(cut());
        }
        Some(match head {
            "do" => self.sequence(args, env),
            "fn" => Ok(V::Closure(Rc::new(self.closure(&args[0], &args[1..], env)))),
            "def" => self.define(args, env),
            "defn" => {
                let body = 1 + usize::from(matches!(args[1], Form::Str(_)));
                if args.len() < body + 2 {
                    return Some(cut());
                }
                let f = V::Closure(Rc::new(self.closure(&args[body], &args[body + 1..], env)));
                let Some(name) = args[0].symbol() else { return Some(bad()) };
                self.globals.insert(name.clone(), f);
                Ok(V::Nil)
            }
            "loop" => self.loop_form(args, env),
            "recur" => self.all(args, env).and_then(|values| Err(Stop::Recur(values))),
            "comment" => Ok(V::Nil),
            "->" | "->>" => {
                let mut value = args[0].clone();
                for step in &args[1..] {
                    let mut items = if step.items().is_empty() { vec![step.clone()] } else { step.items().to_vec() };
                    items.insert(if head == "->" { 1 } else { items.len() }, value);
                    value = paren(items);
                }
                self.eval(&value, env)
            }
            "if-let" | "when-let" => {
                let (name, value) = match args[0].items() {
                    [name, value] if args[0].shape() == Some(Shape::Bracket) || name.symbol().is_some() => (name, value),
                    _ => match bindings(&args[0]) {
                        Ok((pairs, _)) if !pairs.is_empty() => pairs[0],
                        _ => return Some(cut()),
                    },
                };
                self.eval(value, env).and_then(|v| {
                    let yes = self.truth(&v);
                    let inner = self.scope(Some(env));
                    if yes || name.symbol().is_some() {
                        self.destructure(name, v, &inner)?;
                    }
                    let inner = self.scope(Some(&inner));
                    match (yes, head) {
                        (true, "if-let") => self.eval(&args[1], &inner),
                        (true, _) => self.body(&args[1..], &inner),
                        (false, "if-let") => self.eval(&args[2], &inner),
                        (false, _) => Ok(V::Nil),
                    }
                })
            }
            "dotimes" => {
                let [name, count] = args[0].items() else { return Some(bad()) };
                let again = call("recur", [call("%inc", [name.clone()])]);
                let mut body: Vec<Form> = vec![sym("begin")];
                body.extend_from_slice(&args[1..]);
                body.push(again);
                self.eval(count, env).and_then(|end| {
                    let outer = self.scope(Some(env));
                    Self::bind(&outer, &" end".into(), end);
                    let turn = call("if", [call("%below", [name.clone(), sym(" end")]), paren(body), Form::Nil]);
                    self.loop_form(&[bracket(vec![name.clone(), Form::Int(0)]), turn], &outer)
                })
            }
            "doseq" | "dolist" => self.each(args, env),
            "for" => {
                let mut out = Vec::new();
                self.comprehend(&flat_bindings(&args[0]), &args[1..], env, &mut out).map(|()| V::list(out))
            }
            "while" => loop {
                match self.eval(&args[0], env) {
                    Ok(v) if !self.truth(&v) => break Ok(V::Nil),
                    Ok(_) => {}
                    Err(stop) => break Err(stop),
                }
                let inner = self.scope(Some(env));
                if let Err(stop) = self.body(&args[1..], &inner) {
                    break Err(stop);
                }
            },
            "case" => self.case(args, env),
            "match" => self.match_form(args, env),
            "assert" => match self.eval(&args[0], env) {
                Ok(v) if self.truth(&v) => Ok(V::Nil),
                Ok(_) => self.eval(&args[1], env).and_then(|m| Err(Stop::Thrown(V::error("ex-info", m.text()?, V::Nil)))),
                Err(stop) => Err(stop),
            },
            "%inc" => self.eval(&args[0], env).and_then(|v| super::numbers::add(self, &[v, V::Int(1)])),
            "%below" => self.all(args, env).and_then(|v| super::numbers::less(self, &v)),
            _ => return None,
        })
    }

    fn each(&mut self, args: &[Form], env: &Env) -> Answer {
        let mut pairs = flat_bindings(&args[0]);
        if pairs.len() < 2 {
            return cut();
        }
        let (pattern, list) = (pairs.remove(0), pairs.remove(0));
        let list = self.eval(&list, env)?;
        for item in list.items()?.to_vec() {
            let inner = self.scope(Some(env));
            self.destructure(&pattern, item, &inner)?;
            let inner = self.scope(Some(&inner));
            if pairs.is_empty() {
                self.body(&args[1..], &inner)?;
            } else {
                let mut rest = vec![bracket(pairs.clone())];
                rest.extend_from_slice(&args[1..]);
                self.each(&rest, &inner)?;
            }
        }
        Ok(V::Nil)
    }

    fn comprehend(&mut self, pairs: &[Form], body: &[Form], env: &Env, out: &mut Vec<V>) -> Result<(), Stop> {
        match pairs {
            [Form::Keyword(k), test, rest @ ..] if &**k == "when" => {
                let v = self.eval(test, env)?;
                if self.truth(&v) { self.comprehend(rest, body, env, out) } else { Ok(()) }
            }
            [name, list, rest @ ..] => {
                let list = self.eval(list, env)?;
                for item in list.items()?.to_vec() {
                    let inner = self.scope(Some(env));
                    self.destructure(name, item, &inner)?;
                    self.comprehend(rest, body, &inner, out)?;
                }
                Ok(())
            }
            _ => {
                let inner = self.scope(Some(env));
                out.push(self.body(body, &inner)?);
                Ok(())
            }
        }
    }

    fn case(&mut self, args: &[Form], env: &Env) -> Answer {
        let value = self.eval(&args[0], env)?;
        let mut clauses: Vec<&[Form]> = args[1..].iter().map(Form::items).collect();
        if self.has(Bug::CaseTakesLast) {
            clauses.reverse();
        }
        for clause in clauses {
            let Some(data) = clause.first() else { return cut() };
            let one = [data.clone()];
            let choices = if data.items().is_empty() { &one } else { data.items() };
            if data.is_symbol("else") || choices.iter().any(|d| value.same(&self.quoted(d), Numbers::Kind)) {
                let inner = self.scope(Some(env));
                return self.body(&clause[1..], &inner);
            }
        }
        Ok(V::Nil)
    }
}
