//! Bindings, and patterns that take values apart.

use std::rc::Rc;

use super::forms::{Env, bad};
use super::value::Numbers;
use super::{Answer, Oracle, Stop, V, cut};
use crate::form::{Form, Shape};

/// Names and values, and whether they are written flat.
type Bindings<'f> = (Vec<(&'f Form, &'f Form)>, bool);

pub(super) fn bindings(form: &Form) -> Result<Bindings<'_>, Stop> {
    let items = form.items();
    let flat = form.shape() == Some(Shape::Bracket) || items.iter().any(|b| !b.is_list());
    let pairs: Vec<&[Form]> = if flat { items.chunks(2).collect() } else { items.iter().map(Form::items).collect() };
    let pairs = pairs.into_iter().map(|pair| if let [name, value] = pair { Ok((name, value)) } else { cut() });
    Ok((pairs.collect::<Result<_, _>>()?, flat))
}

pub(super) fn is_pattern(form: &Form) -> bool {
    matches!(form.shape(), Some(Shape::Bracket | Shape::Brace))
}

/// The same as one list.
pub(super) fn flat_bindings(form: &Form) -> Vec<Form> {
    match (form.shape(), form.items()) {
        (Some(Shape::Paren), items) if items.iter().all(Form::is_list) => items.iter().flat_map(|p| p.items().to_vec()).collect(),
        (_, items) => items.to_vec(),
    }
}

impl Oracle {
    pub(super) fn destructure(&mut self, pattern: &Form, value: V, env: &Env) -> Result<(), Stop> {
        if let Some(name) = pattern.symbol() {
            Self::bind(env, name, value);
            return Ok(());
        }
        let get = |v: &V, k: &V| if let V::Map(_) = v { Ok(super::maps::lookup(v, k)?.unwrap_or(V::Nil)) } else { Ok(V::Nil) };
        let items = pattern.items();
        if pattern.shape() == Some(Shape::Brace) {
            for entry in items.chunks(2) {
                let [target, key] = entry else { return cut() };
                match target {
                    Form::Keyword(k) if &**k == "keys" => {
                        for name in key.items() {
                            let Some(name) = name.symbol() else { return bad() };
                            Self::bind(env, name, get(&value, &V::Keyword(name.clone()))?);
                        }
                    }
                    Form::Keyword(k) if &**k == "as" => self.destructure(key, value.clone(), env)?,
                    target => {
                        let k = self.eval(key, env)?;
                        self.destructure(target, get(&value, &k)?, env)?;
                    }
                }
            }
            return Ok(());
        }
        let mut i = 0;
        while i < items.len() {
            let rest = items[i].is_symbol("&") || items[i].is_symbol("&rest");
            if rest || matches!(&items[i], Form::Keyword(k) if &**k == "as") {
                let Some(name) = items.get(i + 1) else { return cut() };
                let part = if rest { V::list(value.items()?.iter().skip(i).cloned().collect()) } else { value.clone() };
                self.destructure(name, part, env)?;
                i += 1;
            } else {
                let part = value.items()?.get(i).cloned().unwrap_or(V::Nil);
                self.destructure(&items[i], part, env)?;
            }
            i += 1;
        }
        Ok(())
    }

    pub(super) fn match_form(&mut self, args: &[Form], env: &Env) -> Answer {
        let value = self.eval(&args[0], env)?;
        for clause in &args[1..] {
            let [pattern, body @ ..] = clause.items() else { return bad() };
            let mut bound = Vec::new();
            if pattern.is_symbol("else") || self.fits(pattern, &value, false, env, &mut bound)? {
                let inner = self.scope(Some(env));
                for (name, v) in bound {
                    Self::bind(&inner, &name, v);
                }
                let inner = self.scope(Some(&inner));
                return self.body(body, &inner);
            }
        }
        Ok(V::Nil)
    }

    /// Whether `value` fits; `data`: names are data, as inside a quasiquote.
    fn fits(&mut self, pattern: &Form, value: &V, data: bool, env: &Env, bound: &mut Vec<(Rc<str>, V)>) -> Result<bool, Stop> {
        let bind = |bound: &mut Vec<(Rc<str>, V)>, name: &Rc<str>| match bound.iter().find(|(n, _)| n == name) {
            _ if &**name == "_" => true,
            Some((_, first)) => first.same(value, Numbers::Kind),
            None => {
                bound.push((name.clone(), value.clone()));
                true
            }
        };
        if let (Some(name), false) = (pattern.symbol(), data) {
            return Ok(bind(bound, name));
        }
        if data && let Some(inner) = pattern.prefixed("unquote") {
            return self.fits(inner, value, false, env, bound);
        }
        if !pattern.is_list() {
            return Ok(value.same(&self.quoted(pattern), Numbers::Kind));
        }
        if !data {
            if let Some(d) = pattern.prefixed("quote") {
                return Ok(value.same(&self.quoted(d), Numbers::Kind));
            }
            if let Some(d) = pattern.prefixed("quasiquote") {
                return self.fits(d, value, true, env, bound);
            }
            if let [head, test, name @ ..] = pattern.items()
                && head.is_symbol("?")
                && name.len() < 2
            {
                let f = self.eval(test, env)?;
                let v = self.call(&f, std::slice::from_ref(value))?;
                return Ok(self.truth(&v) && name.first().and_then(Form::symbol).is_none_or(|n| bind(bound, n)));
            }
        }
        let Ok(values) = value.items() else { return Ok(false) };
        let items = pattern.items();
        let rest = items.last().filter(|_| data).and_then(|l| l.prefixed("unquote-splice"));
        let fixed = &items[..items.len() - usize::from(rest.is_some())];
        if values.len() < fixed.len() || (rest.is_none() && values.len() > fixed.len()) {
            return Ok(false);
        }
        for (pattern, value) in fixed.iter().zip(values) {
            if !self.fits(pattern, value, data, env, bound)? {
                return Ok(false);
            }
        }
        match rest {
            Some(rest) => self.fits(rest, &V::list(values[fixed.len()..].to_vec()), false, env, bound),
            None => Ok(true),
        }
    }
}
