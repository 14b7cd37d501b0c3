//! Special forms and macros.

use std::cell::RefCell;
use std::rc::Rc;

use super::patterns::{bindings, is_pattern};
use super::value::Promise;
use super::{Answer, Bug, Closure, Macro, Oracle, Scope, Stop, V, cut, mismatch, raise};
use crate::form::{Form, Shape};

pub(super) type Env = Rc<Scope>;

/// Parts without which no form of this name is whole.
fn least(form: &str) -> usize {
    match form {
        "quote" | "quasiquote" | "when" | "unless" | "let" | "delay" | "eval" | "try" => 1,
        "if" | "lambda" | "let*" | "letrec" | "define" | "set!" => 2,
        _ => 0,
    }
}

pub(super) fn bad<T>() -> Result<T, Stop> {
    raise("bad-special-form")
}

impl Oracle {
    /// A form at top level.
    pub(super) fn top(&mut self, form: &Form, top: &Env) -> Answer {
        let [head, name, rest @ ..] = form.items() else {
            return self.eval(form, top);
        };
        if head.is_symbol("defmacro") {
            let [params, body @ ..] = rest else { return cut() };
            let mut closure = self.closure(params, body, top);
            closure.globals = Some(Rc::new(self.globals.clone()));
            let Some(name) = name.symbol() else { return raise("reader") };
            self.macros.insert(name.clone(), Macro { closure: Rc::new(closure) });
            return Ok(V::Nil);
        }
        self.eval(form, top)
    }

    pub(super) fn find(&self, name: &str, env: &Env) -> Option<V> {
        let mut scope = Some(env);
        while let Some(s) = scope {
            if let Some((_, v)) = s.names.borrow().iter().rev().find(|(n, _)| &**n == name) {
                return Some(v.clone());
            }
            scope = s.outer.as_ref();
        }
        None
    }

    fn global(&self, name: &str) -> Answer {
        let globals = self.frozen.as_deref().unwrap_or(&self.globals);
        match globals.get(name) {
            Some(v) => Ok(v.clone()),
            None => self.natives.get(name).map(|n| V::Native(n)).ok_or(()).or_else(|()| raise("unbound-symbol")),
        }
    }

    fn assign(&mut self, name: &Rc<str>, value: V, env: &Env) -> Result<(), Stop> {
        let mut scope = Some(env.clone());
        while let Some(s) = scope {
            if let Some((_, old)) = s.names.borrow_mut().iter_mut().rev().find(|(n, _)| n == name) {
                *old = value;
                return Ok(());
            }
            scope = s.outer.clone();
        }
        self.global(name)?;
        self.globals.insert(name.clone(), value);
        Ok(())
    }

    pub(super) fn bind(env: &Env, name: &Rc<str>, value: V) {
        env.names.borrow_mut().push((name.clone(), value));
    }

    /// A scope inside `env` for a body, with the names that its definitions will have.
    pub(super) fn body(&mut self, forms: &[Form], env: &Env) -> Answer {
        for form in forms {
            if let [head, target, ..] = form.items()
                && head.is_symbol("define")
                && let Some(name) = target.symbol().or_else(|| target.items().first().and_then(Form::symbol))
                && env.names.borrow().iter().all(|(n, _)| n != name)
            {
                Self::bind(env, name, V::Nil);
            }
        }
        self.sequence(forms, env)
    }

    pub(super) fn sequence(&mut self, forms: &[Form], env: &Env) -> Answer {
        let mut last = V::Nil;
        for form in forms {
            last = self.eval(form, env)?;
        }
        Ok(last)
    }

    pub(super) fn all(&mut self, forms: &[Form], env: &Env) -> Result<Vec<V>, Stop> {
        if self.has(Bug::RightToLeft) {
            let mut values = forms.iter().rev().map(|f| self.eval(f, env)).collect::<Result<Vec<_>, _>>()?;
            values.reverse();
            return Ok(values);
        }
        forms.iter().map(|f| self.eval(f, env)).collect()
    }

    pub(super) fn closure(&mut self, params: &Form, body: &[Form], env: &Env) -> Closure {
        let mut params = params.items().to_vec();
        let at = params.iter().position(|p| p.is_symbol("&rest") || p.is_symbol("&"));
        let rest = at.and_then(|at| params.drain(at..).nth(1));
        Closure { params, rest, body: body.to_vec(), scope: env.clone(), globals: None }
    }

    /// Runs a closure's body; `recur` comes out of it as a stop.
    pub(super) fn enter(&mut self, c: &Rc<Closure>, mut args: Vec<V>) -> Answer {
        if args.len() < c.params.len() || (c.rest.is_none() && args.len() > c.params.len()) {
            return raise("arity-mismatch");
        }
        let outer = if self.has(Bug::DynamicScope) { self.callers.last().unwrap_or(&c.scope).clone() } else { c.scope.clone() };
        let env = self.scope(Some(&outer));
        let mut more = args.split_off(c.params.len());
        let mut patterns = Vec::new();
        for (param, arg) in c.params.iter().zip(args) {
            match param.symbol() {
                Some(name) => Self::bind(&env, name, arg),
                None => patterns.push((param, arg)),
            }
        }
        if let Some(name) = c.rest.as_ref().and_then(Form::symbol) {
            if self.has(Bug::RestLosesOne) {
                more.pop();
            }
            Self::bind(&env, name, V::list(more));
        }
        self.callers.push(env.clone());
        let result = patterns.into_iter().try_for_each(|(p, v)| self.destructure(p, v, &env)).and_then(|()| self.body(&c.body, &env));
        self.callers.pop();
        result
    }

    pub(super) fn eval(&mut self, form: &Form, env: &Env) -> Answer {
        self.steps += 1;
        self.depth += 1;
        if self.steps > super::STEPS || self.depth > super::DEPTH {
            return Err(Stop::TooLong);
        }
        let result = match form {
            Form::Symbol(name) => match self.find(name, env) {
                Some(v) => Ok(v),
                None => self.global(name),
            },
            Form::List(Shape::Paren, items) if !items.is_empty() => self.list_form(items, env),
            Form::List(Shape::Brace, items) => self.all(items, env).and_then(|items| super::maps::hash_map(self, &items)),
            Form::List(_, items) => self.all(items, env).map(V::list),
            atom => Ok(self.quoted(atom)),
        };
        self.depth -= 1;
        result
    }

    fn list_form(&mut self, items: &[Form], env: &Env) -> Answer {
        let args = &items[1..];
        if let Some(head) = items[0].symbol() {
            if let Some(result) = self.special(head, args, env) {
                return result;
            }
            if self.find(head, env).is_none() {
                if let Some(m) = self.macros.get(head) {
                    let closure = m.closure.clone();
                    let made = self.expand(&closure, args)?;
                    return self.eval(&made, env);
                }
                if !self.defined.contains(head)
                    && let Some(result) = self.library_form(head, args, env)
                {
                    return result;
                }
            }
        }
        let f = if self.has(Bug::RightToLeft) { None } else { Some(self.eval(&items[0], env)?) };
        let values = self.all(args, env)?;
        let f = f.map_or_else(|| self.eval(&items[0], env), Ok)?;
        self.apply(&f, values)
    }

    /// A macro's use, rewritten. The macro sees the definitions in front of it.
    fn expand(&mut self, closure: &Rc<Closure>, args: &[Form]) -> Result<Form, Stop> {
        let args = args.iter().map(datum).collect();
        let outside = core::mem::replace(&mut self.frozen, closure.globals.clone());
        let made = self.enter(closure, args);
        self.frozen = outside;
        form_of(&made?)
    }

    /// The value of a quoted form.
    pub(super) fn quoted(&mut self, form: &Form) -> V {
        match form {
            Form::List(Shape::Brace, items) => {
                let mut entries = Vec::new();
                for pair in items.chunks_exact(2) {
                    let (k, v) = (self.quoted(&pair[0]), self.quoted(&pair[1]));
                    super::maps::put(&mut entries, k, v, false);
                }
                V::Map(Rc::new(entries))
            }
            Form::List(_, items) => V::list(items.iter().map(|i| self.quoted(i)).collect()),
            atom => datum(atom),
        }
    }

    fn quasi(&mut self, form: &Form, depth: usize, env: &Env) -> Answer {
        let Form::List(shape, items) = form else { return Ok(datum(form)) };
        if let (Some(x), 1) = (form.prefixed("unquote"), depth) {
            return self.eval(x, env);
        }
        let closes = form.prefixed("unquote").or_else(|| form.prefixed("unquote-splice")).is_some();
        let inner = if closes { depth - 1 } else { depth + usize::from(form.prefixed("quasiquote").is_some()) };
        let mut parts = Vec::new();
        for item in &**items {
            parts.push(match item.prefixed("unquote-splice") {
                Some(x) if inner == 1 => self.eval(x, env)?,
                _ => V::list(vec![self.quasi(item, inner, env)?]),
            });
        }
        let mut out = Vec::new();
        for (part, item) in parts.iter().zip(&**items) {
            let part = part.items()?;
            let lost = usize::from(self.has(Bug::SpliceLosesOne) && !part.is_empty() && item.prefixed("unquote-splice").is_some());
            out.extend_from_slice(&part[..part.len() - lost]);
        }
        match shape {
            // Macros make forms, and a map is a form of its own only outside of them.
            Shape::Brace if self.frozen.is_none() => super::maps::hash_map(self, &out),
            shape => Ok(V::shaped(*shape, out)),
        }
    }

    /// Forms whose names always mean them.
    fn special(&mut self, head: &str, args: &[Form], env: &Env) -> Option<Answer> {
        if args.len() < least(head) {
            return Some(cut());
        }
        Some(match head {
            "quote" => Ok(self.quoted(&args[0])),
            "quasiquote" => self.quasi(&args[0], 1, env),
            "if" => self.eval(&args[0], env).and_then(|c| match (self.truth(&c), args.get(2)) {
                (true, _) => self.eval(&args[1], env),
                (false, Some(no)) => self.eval(no, env),
                (false, None) => Ok(V::Nil),
            }),
            "cond" => self.cond(args, env),
            "when" | "unless" => self
                .eval(&args[0], env)
                .and_then(|c| if self.truth(&c) == (head == "when") { self.sequence(&args[1..], env) } else { Ok(V::Nil) }),
            "begin" => self.sequence(args, env),
            "and" | "or" => self.and_or(head == "and", args, env),
            "lambda" => Ok(V::Closure(Rc::new(self.closure(&args[0], &args[1..], env)))),
            "let" if args[0].symbol().is_some() => self.named_let(args, env),
            "let" | "let*" => self.let_form(head == "let", args, env),
            "letrec" => {
                let inner = self.scope(Some(env));
                let pairs = match bindings(&args[0]) {
                    Ok((pairs, _)) => pairs,
                    Err(stop) => return Some(Err(stop)),
                };
                for name in pairs.iter().filter_map(|(n, _)| n.symbol()) {
                    Self::bind(&inner, name, V::Nil);
                }
                let mut values = Vec::new();
                for (_, value) in &pairs {
                    match self.eval(value, &inner) {
                        Ok(v) => values.push(v),
                        Err(stop) => return Some(Err(stop)),
                    }
                }
                for ((name, _), v) in pairs.iter().zip(values) {
                    if let Some(name) = name.symbol() {
                        let found = self.assign(name, v, &inner);
                        debug_assert!(found.is_ok());
                    }
                }
                let body = self.scope(Some(&inner));
                self.body(&args[1..], &body)
            }
            "set!" => self.eval(&args[1], env).and_then(|v| {
                let Some(name) = args[0].symbol() else { return bad() };
                if self.has(Bug::SetOnCopy) && self.find(name, env).is_some() {
                    Self::bind(env, name, v);
                    return Ok(V::Nil);
                }
                self.assign(name, v, env).map(|()| V::Nil)
            }),
            "define" => self.define(args, env),
            "try" => self.try_form(args, env),
            "delay" => Ok(V::Promise(Rc::new(RefCell::new(Promise::Pending(args[0].clone(), env.clone()))))),
            "eval" => {
                let top = self.scope(None);
                match args[0].prefixed("quote") {
                    Some(form) => self.eval(form, &top),
                    // Of a form with a function in it there is no opinion: whether that is an error depends on who meets it.
                    None => {
                        self.eval(&args[0], env).and_then(|data| form_of(&data).or(Err(Stop::TooLong))).and_then(|f| self.eval(&f, &top))
                    }
                }
            }
            _ => return None,
        })
    }

    pub(super) fn define(&mut self, args: &[Form], env: &Env) -> Answer {
        let target = &args[0];
        let (name, value) = match target.symbol() {
            Some(name) => (name.clone(), self.eval(&args[1], env)?),
            None => {
                let [name, params @ ..] = target.items() else { return bad() };
                let Some(name) = name.symbol() else { return bad() };
                let params = Form::List(Shape::Paren, Rc::new(params.to_vec()));
                (name.clone(), V::Closure(Rc::new(self.closure(&params, &args[1..], env))))
            }
        };
        if env.outer.is_none() {
            self.globals.insert(name, value);
        } else {
            let known = env.names.borrow().iter().any(|(n, _)| *n == name);
            if known { self.assign(&name, value, env)? } else { Self::bind(env, &name, value) }
        }
        Ok(V::Nil)
    }

    fn and_or(&mut self, and: bool, args: &[Form], env: &Env) -> Answer {
        let mut last = V::Bool(and);
        let mut decided = None;
        for arg in args {
            last = self.eval(arg, env)?;
            if decided.is_none() && self.truth(&last) != and {
                decided = Some(last.clone());
                if !(and && self.has(Bug::AndEvaluatesAll)) {
                    break;
                }
            }
        }
        Ok(decided.unwrap_or(last))
    }

    fn cond(&mut self, args: &[Form], env: &Env) -> Answer {
        let flat = args.len() > 1 && args.iter().step_by(2).any(|t| !t.is_list());
        let clauses: Vec<&[Form]> = if flat { args.chunks(2).collect() } else { args.iter().map(Form::items).collect() };
        for clause in clauses {
            let [test, body @ ..] = clause else { return cut() };
            if test.is_symbol("else") {
                return self.sequence(body, env);
            }
            let v = self.eval(test, env)?;
            if self.truth(&v) {
                return self.sequence(body, env);
            }
        }
        Ok(V::Nil)
    }

    fn let_form(&mut self, parallel: bool, args: &[Form], env: &Env) -> Answer {
        if args.len() < 2 {
            return bad();
        }
        let (pairs, flat) = bindings(&args[0])?;
        let inner = self.scope(Some(env));
        let patterns = pairs.iter().any(|(n, _)| is_pattern(n));
        if parallel && !flat && !patterns && !self.has(Bug::LetIsSequential) {
            let mut values = Vec::new();
            for (_, value) in &pairs {
                values.push(self.eval(value, env)?);
            }
            for ((name, _), v) in pairs.iter().zip(values) {
                self.destructure(name, v, &inner)?;
            }
            let body = self.scope(Some(&inner));
            return self.body(&args[1..], &body);
        }
        let mut inner = inner;
        for (name, value) in pairs {
            let v = self.eval(value, &inner)?;
            // A scope for each: a closure made before does not see what a name means later.
            inner = self.scope(Some(&inner));
            self.destructure(name, v, &inner)?;
        }
        let body = self.scope(Some(&inner));
        self.body(&args[1..], &body)
    }

    fn named_let(&mut self, args: &[Form], env: &Env) -> Answer {
        let [_, bound, ..] = args else { return cut() };
        let (pairs, _) = bindings(bound)?;
        let mut values = Vec::new();
        for (_, value) in &pairs {
            values.push(self.eval(value, env)?);
        }
        let params = Form::List(Shape::Paren, Rc::new(pairs.iter().map(|p| p.0.clone()).collect()));
        let inner = self.scope(Some(env));
        let f = V::Closure(Rc::new(self.closure(&params, &args[2..], &inner)));
        let Some(name) = args[0].symbol() else { return bad() };
        Self::bind(&inner, name, f.clone());
        self.apply(&f, values)
    }

    pub(super) fn loop_form(&mut self, args: &[Form], env: &Env) -> Answer {
        let (pairs, _) = bindings(&args[0])?;
        let mut scope = env.clone();
        for (name, value) in &pairs {
            let v = self.eval(value, &scope)?;
            scope = self.scope(Some(&scope));
            self.destructure(name, v, &scope)?;
        }
        let shared = self.scope(Some(env));
        loop {
            self.steps += 1;
            if self.steps > super::STEPS {
                return Err(Stop::TooLong);
            }
            let body = self.scope(Some(&scope));
            let values = match self.body(&args[1..], &body) {
                Err(Stop::Recur(values)) => values,
                other => return other,
            };
            // Every turn has variables of its own.
            scope = if self.has(Bug::LoopSharesVariables) { shared.clone() } else { self.scope(Some(env)) };
            scope.names.borrow_mut().clear();
            for ((name, _), v) in pairs.iter().zip(values) {
                self.destructure(name, v, &scope)?;
            }
        }
    }

    fn try_form(&mut self, args: &[Form], env: &Env) -> Answer {
        let clause = |form: Option<&Form>, name: &str| match form.map(Form::items) {
            Some([head, rest @ ..]) if head.is_symbol(name) => Some(rest.to_vec()),
            _ => None,
        };
        let finally = clause(args.last(), "finally");
        let args = &args[..args.len() - usize::from(finally.is_some())];
        let catch = clause(args.last(), "catch");
        let body = &args[..args.len() - usize::from(catch.is_some())];
        let mut result = self.sequence(body, env);
        if let (Some(catch), Err(Stop::Raised(v) | Stop::Thrown(v))) = (catch, &result) {
            let inner = self.scope(Some(env));
            let [bound, handler @ ..] = &catch[..] else { return cut() };
            let [Form::Symbol(name)] = bound.items() else { return cut() };
            Self::bind(&inner, name, v.clone());
            let inner = self.scope(Some(&inner));
            result = self.body(handler, &inner);
        }
        if let Some(finally) = finally {
            if matches!(result, Err(Stop::TooLong)) || (result.is_err() && self.has(Bug::FinallySkipped)) {
                return result;
            }
            let inner = self.scope(Some(env));
            self.body(&finally, &inner)?;
        }
        result
    }

    pub(super) fn force(&mut self, p: &Rc<RefCell<Promise>>) -> Answer {
        let (form, scope) = match &*p.borrow() {
            Promise::Kept(v) => return Ok(v.clone()),
            Promise::Pending(form, scope) => (form.clone(), scope.clone()),
        };
        let inner = self.scope(Some(&scope));
        let v = self.eval(&form, &inner)?;
        if let Promise::Kept(v) = &*p.borrow() {
            return Ok(v.clone());
        }
        if !self.has(Bug::ForceTwice) {
            *p.borrow_mut() = Promise::Kept(v.clone());
        }
        Ok(v)
    }
}

/// A form as a macro sees it.
fn datum(form: &Form) -> V {
    match form {
        Form::Nil => V::Nil,
        Form::Bool(b) => V::Bool(*b),
        Form::Int(i) => V::Int(*i),
        Form::Float(f) => V::Float(*f),
        Form::Str(s) => V::Str(s.clone()),
        Form::Symbol(s) => V::Symbol(s.clone()),
        Form::Keyword(s) => V::Keyword(s.clone()),
        // As a list it would be nil, and come back as such.
        Form::List(Shape::Brace, items) if items.is_empty() => V::Map(Rc::default()),
        Form::List(shape, items) => V::shaped(*shape, items.iter().map(datum).collect()),
    }
}

/// The form that a macro made.
fn form_of(v: &V) -> Result<Form, Stop> {
    Ok(match v {
        V::Nil => Form::Nil,
        V::Bool(b) => Form::Bool(*b),
        V::Int(i) => Form::Int(*i),
        V::Float(f) => Form::Float(*f),
        V::Str(s) => Form::Str(s.clone()),
        V::Symbol(s) => Form::Symbol(s.clone()),
        V::Keyword(s) => Form::Keyword(s.clone()),
        V::List(shape, items) => Form::List(*shape, Rc::new(items.iter().map(form_of).collect::<Result<_, _>>()?)),
        V::Map(entries) => {
            let parts: Result<Vec<_>, _> = entries.iter().flat_map(|(k, v)| [form_of(k), form_of(v)]).collect();
            Form::List(Shape::Brace, Rc::new(parts?))
        }
        _ => return mismatch(),
    })
}
