//! Forms that can give anything: bindings, conditions, loops, errors, functions.

use std::rc::Rc;

use super::top::Kind;
use super::{Generator, Ty};
use crate::form::{Form, brace, bracket, call, int, key, paren, sym};

fn name(n: &Rc<str>) -> Form {
    Form::Symbol(n.clone())
}

impl Generator {
    /// `(lambda (params…) body…)`, now and then with a rest parameter.
    pub(super) fn function(&mut self, params: &[Ty], ret: Ty, rest: bool, d: usize) -> Form {
        let mut names: Vec<(Rc<str>, Ty)> = Vec::new();
        for ty in params {
            let name = self.name();
            if names.iter().all(|(n, _)| *n != name) {
                names.push((name, *ty));
            } else {
                names.push((self.fresh("p"), *ty));
            }
        }
        let mut list: Vec<Form> = names.iter().map(|(n, _)| name(n)).collect();
        if rest {
            let more = self.fresh("more");
            list.extend([sym(self.pick(&["&rest", "&"])), name(&more)]);
            names.push((more, Ty::Ints));
        }
        let mut items = vec![if self.one_in(2) { sym("fn") } else { sym("lambda") }];
        items.push(if self.one_in(2) { bracket(list) } else { paren(list) });
        items.extend(self.with(&names, |g| g.body(ret, d)));
        paren(items)
    }

    /// Forms of a body: statements and definitions, then what it gives.
    pub(super) fn body(&mut self, ret: Ty, d: usize) -> Vec<Form> {
        let mut forms = Vec::new();
        let before = self.vars.len();
        while self.one_in(5) {
            if self.one_in(2) {
                forms.push(self.statement(d));
                continue;
            }
            let (n, ty) = (self.fresh("local"), self.ty());
            if self.one_in(3) {
                let f = self.function(&[Ty::Int], Ty::Int, false, d);
                let [_, params, body @ ..] = f.items() else { continue };
                let target = paren([vec![name(&n)], params.items().to_vec()].concat());
                forms.push(call("define", [vec![target], body.to_vec()].concat()));
                self.vars.push(super::Var { name: n, ty: Ty::Fn1, free: false });
            } else {
                forms.push(call("define", [name(&n), self.expr(ty, d)]));
                self.vars.push(super::Var { name: n, ty, free: true });
            }
        }
        forms.push(self.expr(ret, d));
        self.vars.truncate(before);
        forms
    }

    /// Something done for what it does.
    pub(super) fn statement(&mut self, d: usize) -> Form {
        let d = d.saturating_sub(1);
        match self.below(8) {
            0..=2 => call(self.pick(&["println", "prn", "display"]), [self.expr(Ty::Any, d)]),
            3 | 4 => self.assignment(d),
            5 => {
                let i = self.fresh("i");
                let (count, body) = (self.few(), self.with_fixed(&i, Ty::Int, |g| g.statement(d)));
                call("dotimes", [paren(vec![name(&i), count]), body])
            }
            6 => {
                let x = self.name();
                let list = self.expr(Ty::Ints, d);
                let body = self.with(&[(x.clone(), Ty::Int)], |g| g.statement(d));
                let binding = vec![name(&x), list];
                call(self.pick(&["doseq", "dolist"]), [if self.one_in(2) { bracket(binding) } else { paren(binding) }, body])
            }
            _ => {
                let n = self.fresh("n");
                let body = self.with_fixed(&n, Ty::Int, |g| g.statement(d));
                let count_down = call("set!", [name(&n), call("-", [name(&n), int(1)])]);
                let turns = call("while", [call(">", [name(&n), int(0)]), body, count_down]);
                call("let", [paren(vec![paren(vec![name(&n), self.few()])]), turns])
            }
        }
    }

    fn assignment(&mut self, d: usize) -> Form {
        let ty = self.ty();
        let known = self.known(ty, true);
        if known.is_empty() {
            return call("println", [self.expr(Ty::Any, d)]);
        }
        let target = Form::Symbol(self.pick(&known));
        call("set!", [target, self.expr(ty, d)])
    }

    pub(super) fn wrapped(&mut self, ty: Ty, d: usize) -> Form {
        match self.below(34) {
            0..=2 => call("if", [self.expr(Ty::Bool, d), self.expr(ty, d), self.expr(ty, d)]),
            3..=6 => self.let_of(ty, d),
            7 => self.destructured(ty, d),
            8 | 9 => {
                let head = self.pick(&["begin", "do"]);
                call(head, [self.statement(d), self.expr(ty, d)])
            }
            10 => {
                let clauses: Vec<Form> = (0..1 + self.below(2)).map(|_| paren(vec![self.expr(Ty::Bool, d), self.expr(ty, d)])).collect();
                call("cond", clauses.into_iter().chain([paren(vec![sym("else"), self.expr(ty, d)])]))
            }
            11 => call("cond", [self.expr(Ty::Bool, d), self.expr(ty, d), key("else"), self.expr(ty, d)]),
            12 => self.case_of(ty, d),
            13 => self.match_of(ty, d),
            14..=17 => self.try_of(ty, d),
            18 => {
                let (x, t) = (self.name(), self.ty());
                let body = self.with(&[(x.clone(), t)], |g| g.expr(ty, d));
                let value = self.expr(t, d);
                paren(vec![call("lambda", [paren(vec![name(&x)]), body]), value])
            }
            19..=22 => self.use_of(ty, d),
            23 => call("force", [call("delay", [self.expr(ty, d)])]),
            24 => {
                let p = self.fresh("p");
                let twice = call("begin", [call("force", [name(&p)]), call("force", [name(&p)])]);
                call("let", [bracket(vec![name(&p), call("delay", [call("begin", [self.statement(d), self.expr(ty, d)])])]), twice])
            }
            25 | 26 => self.loop_of(ty, d),
            27 => self.named_let(ty, d),
            28 => call("or", [Form::Bool(false), self.expr(ty, d)]),
            29 => {
                let x = self.name();
                let (value, yes) = (self.expr(Ty::Any, d), self.with(&[(x.clone(), Ty::Any)], |g| g.expr(ty, d)));
                let binding = vec![name(&x), value];
                call("if-let", [if self.one_in(2) { bracket(binding) } else { paren(binding) }, yes, self.expr(ty, d)])
            }
            30 => {
                let f = self.fresh("f");
                let value = self.function(&[Ty::Int], ty, false, d);
                let use_it = paren(vec![name(&f), self.expr(Ty::Int, d)]);
                call("letrec", [paren(vec![paren(vec![name(&f), value])]), use_it])
            }
            31 if self.one_in(3) => call("if", [self.expr(Ty::Bool, d), call("throw", [self.expr(Ty::Any, d)]), self.expr(ty, d)]),
            32 => call(
                "apply",
                [self.function(&[Ty::Int, Ty::Int], ty, true, d), self.expr(Ty::Int, d), call("list", [self.expr(Ty::Int, d)])],
            ),
            _ => self.used_macro(ty, d),
        }
    }

    fn let_of(&mut self, ty: Ty, d: usize) -> Form {
        let mut names: Vec<(Rc<str>, Ty)> = Vec::new();
        let mut pairs = Vec::new();
        let style = self.below(3);
        let before = self.vars.len();
        for _ in 0..1 + self.below(3) {
            let (n, t) = (self.name(), self.ty());
            if names.iter().any(|(m, _)| *m == n) {
                continue;
            }
            let value = self.expr(t, d);
            if style > 0 {
                self.vars.push(super::Var { name: n.clone(), ty: t, free: true });
            }
            pairs.push((name(&n), value));
            names.push((n, t));
        }
        self.vars.truncate(before);
        let body = self.with(&names, |g| g.body(ty, d));
        let nested = || paren(pairs.iter().map(|(n, v)| paren(vec![n.clone(), v.clone()])).collect());
        let bindings = match style {
            2 => bracket(pairs.iter().flat_map(|(n, v)| [n.clone(), v.clone()]).collect()),
            _ => nested(),
        };
        call(if style == 1 { "let*" } else { "let" }, [vec![bindings], body].concat())
    }

    fn destructured(&mut self, ty: Ty, d: usize) -> Form {
        let (a, b, more) = (self.fresh("a"), self.fresh("b"), self.fresh("r"));
        let (pattern, value, names) = if self.one_in(2) {
            let pattern = bracket(vec![name(&a), name(&b), sym("&"), name(&more)]);
            let value = call("cons", [self.expr(Ty::Int, d), call("cons", [self.expr(Ty::Int, d), self.expr(Ty::Ints, d)])]);
            (pattern, value, vec![(a, Ty::Int), (b, Ty::Int), (more, Ty::Ints)])
        } else {
            let pattern = brace(vec![key("keys"), bracket(vec![name(&a)]), name(&b), key("b"), key("as"), name(&more)]);
            let entries = vec![key(&a), self.expr(Ty::Int, d), key("b"), self.expr(Ty::Int, d)];
            (pattern, brace(entries), vec![(a, Ty::Int), (b, Ty::Int), (more, Ty::Map)])
        };
        let body = self.with(&names, |g| g.body(ty, d));
        if self.one_in(2) {
            let f = paren([vec![sym("lambda"), bracket(vec![pattern])], body].concat());
            return paren(vec![f, value]);
        }
        call("let", [vec![bracket(vec![pattern, value])], body].concat())
    }

    fn case_of(&mut self, ty: Ty, d: usize) -> Form {
        let of = self.pick(&[Ty::Int, Ty::Key, Ty::Str]);
        let mut items = vec![sym("case"), self.expr(of, d)];
        for _ in 0..1 + self.below(3) {
            let data = |g: &mut Self| match of {
                Ty::Int => int(g.below(6) as i64),
                Ty::Key => key(g.pick(super::KEYS)),
                _ => crate::form::text(g.pick(super::TEXTS)),
            };
            let datum = if self.one_in(2) { data(self) } else { paren(vec![data(self), data(self)]) };
            items.push(paren(vec![datum, self.expr(ty, d)]));
        }
        items.push(paren(vec![sym("else"), self.expr(ty, d)]));
        paren(items)
    }

    fn match_of(&mut self, ty: Ty, d: usize) -> Form {
        let (a, b, r) = (self.fresh("a"), self.fresh("b"), self.fresh("r"));
        let tagged = |g: &mut Self, d| call("list", [call("quote", [sym("op")]), g.expr(Ty::Int, d), g.expr(Ty::Int, d)]);
        let value = match self.below(4) {
            0 => tagged(self, d),
            1 => self.expr(Ty::Any, d),
            _ => self.expr(Ty::Ints, d),
        };
        let mut items = vec![sym("match"), value];
        for _ in 0..1 + self.below(3) {
            let ints = [(a.clone(), Ty::Int), (b.clone(), Ty::Int)];
            let (pattern, names): (Form, Vec<(Rc<str>, Ty)>) = match self.below(8) {
                0 => (paren(vec![name(&a), name(&b)]), ints.to_vec()),
                1 => (paren(vec![name(&a), name(&a)]), ints[..1].to_vec()),
                2 => (paren(vec![call("?", [sym(self.pick(&["integer?", "even?"])), name(&a)]), sym("_")]), ints[..1].to_vec()),
                3 => {
                    let parts = vec![sym("op"), call("unquote", [name(&a)]), call("unquote-splice", [name(&r)])];
                    (call("quasiquote", [paren(parts)]), vec![ints[0].clone(), (r.clone(), Ty::Ints)])
                }
                4 => (int(self.below(5) as i64), vec![]),
                5 => (call("quote", [paren(vec![int(1), int(2)])]), vec![]),
                6 => (
                    call("quasiquote", [paren(vec![call("unquote", [name(&a)]), call("unquote-splice", [name(&r)])])]),
                    vec![ints[0].clone(), (r.clone(), Ty::Ints)],
                ),
                _ => (key(self.pick(super::KEYS)), vec![]),
            };
            let body = self.with(&names, |g| g.body(ty, d));
            items.push(paren([vec![pattern], body].concat()));
        }
        items.push(paren(vec![if self.one_in(2) { sym("else") } else { sym("_") }, self.expr(ty, d)]));
        paren(items)
    }

    pub(super) fn try_of(&mut self, ty: Ty, d: usize) -> Form {
        let mut body = vec![sym("try")];
        if self.one_in(3) {
            body.push(self.statement(d));
        }
        if self.one_in(5) {
            let thrown = if self.one_in(3) { call("error", [key("mine"), self.expr(Ty::Str, d)]) } else { self.expr(Ty::Any, d) };
            body.push(call("if", [self.expr(Ty::Bool, d), call("throw", [thrown]), Form::Nil]));
        }
        body.push(self.expr(ty, d));
        let catches = !self.one_in(5);
        if catches {
            let e = self.pick(&["e", "x", "err"]);
            let shown = call("if", [call("error?", [sym(e)]), call("error-tag", [sym(e)]), sym(e)]);
            let mut handler = vec![paren(vec![sym(e)])];
            if self.one_in(2) {
                handler.push(call("println", [shown]));
            }
            if self.one_in(8) {
                handler.push(call("throw", [sym(e)]));
            }
            handler.push(if ty == Ty::Any {
                call("if", [call("error?", [sym(e)]), call("error-tag", [sym(e)]), sym(e)])
            } else {
                self.with_fixed(&e.into(), Ty::Caught, |g| g.expr(ty, d))
            });
            body.push(call("catch", handler));
        }
        if !catches || self.one_in(4) {
            body.push(call("finally", [self.statement(d)]));
        }
        paren(body)
    }

    /// A call of one of the program's own functions.
    fn use_of(&mut self, ty: Ty, d: usize) -> Form {
        let fits: Vec<_> = self.funcs.iter().filter(|f| f.ret == ty || ty == Ty::Any).cloned().collect();
        if fits.is_empty() {
            return self.typed(ty, d);
        }
        let f = self.pick(&fits);
        let args = self.args(&f, d);
        if self.one_in(8) {
            return call("apply", [name(&f.name), call("list", args)]);
        }
        call(&f.name, args)
    }

    fn used_macro(&mut self, ty: Ty, d: usize) -> Form {
        let fits: Vec<_> = self.macros.iter().filter(|(_, k)| k.gives(ty)).cloned().collect();
        if fits.is_empty() {
            return self.typed(ty, d);
        }
        let (m, kind) = self.pick(&fits);
        match kind {
            Kind::Choice => call(&m, [self.expr(Ty::Bool, d), self.expr(ty, d)]),
            Kind::Binding => {
                let n = self.name();
                let value = self.expr(Ty::Int, d);
                let body = self.with(&[(n.clone(), Ty::Int)], |g| g.body(ty, d));
                call(&m, [vec![name(&n), value], body].concat())
            }
            Kind::Doubling => call(&m, [self.expr(Ty::Int, d)]),
            Kind::Sum => {
                let args: Vec<Form> = (0..self.below(4)).map(|_| self.expr(Ty::Int, d)).collect();
                call(&m, args)
            }
            Kind::AnyOf => {
                let args: Vec<Form> = (0..self.below(4)).map(|_| self.expr(ty, d)).collect();
                call(&m, args)
            }
        }
    }

    fn loop_of(&mut self, ty: Ty, d: usize) -> Form {
        let (i, acc) = (self.fresh("i"), self.name());
        let start = self.expr(ty, d);
        let end = self.few();
        let (next, done) = self.with_fixed(&i, Ty::Int, |g| {
            g.with(&[(acc.clone(), ty)], |g| {
                let mut next = vec![call("recur", [call("+", [name(&i), int(1)]), g.expr(ty, d)])];
                if g.one_in(3) {
                    next.insert(0, g.statement(d));
                }
                (next, g.expr(ty, d))
            })
        });
        let next = if next.len() == 1 { next[0].clone() } else { call("begin", next) };
        let test = call("<", [name(&i), end]);
        let turn = if self.one_in(3) {
            call("cond", [paren(vec![test, next]), paren(vec![sym("else"), done])])
        } else {
            call("if", [test, next, done])
        };
        call("loop", [bracket(vec![name(&i), int(0), name(&acc), start]), turn])
    }

    fn named_let(&mut self, ty: Ty, d: usize) -> Form {
        let (go, n, acc) = (self.fresh("go"), self.fresh("n"), self.name());
        let (start, count) = (self.expr(ty, d), self.few());
        let (again, done) = self.with_fixed(&n, Ty::Int, |g| {
            g.with(&[(acc.clone(), ty)], |g| {
                let again = call(&go, [call("-", [name(&n), int(1)]), g.expr(ty, d)]);
                // Not in tail position, now and then.
                let again = if ty == Ty::Int && g.one_in(3) { call("+", [again, g.leaf(Ty::Int)]) } else { again };
                (again, g.expr(ty, d))
            })
        });
        let bindings = paren(vec![paren(vec![name(&n), count]), paren(vec![name(&acc), start])]);
        call("let", [name(&go), bindings, call("if", [call("<=", [name(&n), int(0)]), done, again])])
    }

    pub(super) fn comprehension(&mut self, d: usize) -> Form {
        let (x, y) = (self.fresh("x"), self.fresh("y"));
        let mut parts = vec![name(&x), self.expr(Ty::Ints, d)];
        let mut names = vec![(x, Ty::Int)];
        if self.one_in(2) {
            parts.extend([key("when"), self.with(&names, |g| g.expr(Ty::Bool, d))]);
        }
        if self.one_in(2) {
            parts.extend([name(&y), self.with(&names, |g| g.expr(Ty::Ints, d))]);
            names.push((y, Ty::Int));
        }
        let body = self.with(&names, |g| g.expr(Ty::Int, d));
        call("for", [bracket(parts), body])
    }

    /// Closures made in the turns of a loop, called afterwards: what have they kept?
    pub(super) fn collected(&mut self, d: usize) -> Form {
        let (i, fs, f) = (self.fresh("i"), self.fresh("fs"), self.fresh("f"));
        let inside = self.with(&[(i.clone(), Ty::Int)], |g| {
            let change = call("set!", [name(&i), call("+", [name(&i), g.leaf(Ty::Int)])]);
            let seen = g.expr(Ty::Int, d);
            if g.one_in(2) {
                call("lambda", [paren(vec![]), change, name(&i)])
            } else {
                call("lambda", [paren(vec![]), call("+", [name(&i), seen])])
            }
        });
        let again = call("recur", [call("+", [name(&i), int(1)]), call("cons", [inside, name(&fs)])]);
        let called = call("map", [call("lambda", [paren(vec![name(&f)]), paren(vec![name(&f)])]), name(&fs)]);
        let done = if self.one_in(2) { call("append", [called.clone(), called]) } else { called };
        let turn = call("if", [call(">=", [name(&i), int(3)]), done, again]);
        call("loop", [bracket(vec![name(&i), int(0), name(&fs), Form::Nil]), turn])
    }
}
