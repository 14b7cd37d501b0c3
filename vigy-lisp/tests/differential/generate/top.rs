//! What stands at top level: definitions, macros, and what the program shows.

use std::rc::Rc;

use super::{Func, Generator, Ty, Var};
use crate::form::{Form, bracket, call, int, paren, sym};

/// What a macro of the program's is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// `(m test form)`
    Choice,
    /// `(m name value body…)`
    Binding,
    /// `(m form)`: an int
    Doubling,
    /// `(m form…)`: an int
    Sum,
    /// `(m form…)`: the first that is true
    AnyOf,
}

impl Kind {
    pub(super) fn gives(self, ty: Ty) -> bool {
        match self {
            Self::Binding => true,
            Self::Choice | Self::AnyOf => ty == Ty::Any,
            Self::Doubling | Self::Sum => matches!(ty, Ty::Int | Ty::Num | Ty::Any),
        }
    }
}

fn unquote(n: &str) -> Form {
    call("unquote", [sym(n)])
}
fn splice(n: &str) -> Form {
    call("unquote-splice", [sym(n)])
}
fn quasi(form: Form) -> Form {
    call("quasiquote", [form])
}

impl Generator {
    pub(super) fn top_level(&mut self) -> Vec<Form> {
        let mut program = Vec::new();
        for _ in 0..1 + self.below(6) {
            match self.below(12) {
                0 | 1 => {
                    let (n, ty) = (self.fresh("top"), self.ty());
                    program.push(call(self.pick_define(), [Form::Symbol(n.clone()), self.expr(ty, 3)]));
                    self.vars.push(Var { name: n, ty, free: true });
                }
                2..=4 => program.push(self.definition()),
                5 => program.extend(self.recursion()),
                6 | 7 => program.extend(self.defined_macro()),
                8 => program.extend(self.redefinition()),
                9 => program.extend(self.counter()),
                _ => {
                    let shown = self.guarded(3);
                    program.push(call("println", [shown]));
                }
            }
        }
        let last = (0..1 + self.below(3)).map(|_| self.guarded(4)).collect::<Vec<_>>();
        program.push(call("list", last));
        program
    }

    fn pick_define(&mut self) -> &'static str {
        self.pick(&["define", "define", "def"])
    }

    /// An expression whose failure shows and does not end the program.
    fn guarded(&mut self, d: usize) -> Form {
        if self.one_in(6) {
            let ty = self.ty();
            return self.expr(ty, d);
        }
        let ty = if self.one_in(3) { Ty::Any } else { self.ty() };
        let shown = call("if", [call("error?", [sym("e")]), call("error-tag", [sym("e")]), sym("e")]);
        call("try", [self.expr(ty, d), call("catch", [paren(vec![sym("e")]), shown])])
    }

    fn definition(&mut self) -> Form {
        let (n, ret) = (self.fresh("f"), self.ty());
        let params: Vec<Ty> = (0..self.below(4)).map(|_| self.ty()).collect();
        let f = self.function(&params, ret, false, 3);
        let made = match (self.below(3), f.items()) {
            (0, [_, params, body @ ..]) => {
                call("define", [vec![paren([vec![Form::Symbol(n.clone())], params.items().to_vec()].concat())], body.to_vec()].concat())
            }
            (1, [_, params, body @ ..]) => call("defn", [vec![Form::Symbol(n.clone()), params.clone()], body.to_vec()].concat()),
            _ => call(self.pick_define(), [Form::Symbol(n.clone()), f]),
        };
        self.funcs.push(Func { name: n, params, counted: false, ret });
        made
    }

    /// Functions that call themselves or each other, and a deep use of one.
    fn recursion(&mut self) -> Vec<Form> {
        let (f, g) = (self.fresh("rec"), self.fresh("rec"));
        let deep = int(if self.one_in(40) { 12_000 } else { 20 + self.below(200) as i64 });
        let less = call("-", [sym("n"), int(1)]);
        let names = [("n".into(), Ty::Int), ("acc".into(), Ty::Int)];
        let (next, end) = self.with(&names, |gen_| (gen_.expr(Ty::Int, 1), gen_.leaf(Ty::Int)));
        let head = |n: &Rc<str>| paren(vec![Form::Symbol(n.clone()), sym("n"), sym("acc")]);
        let body = |again: Form| call("if", [call("<=", [sym("n"), int(0)]), end.clone(), again]);
        let mut program = match self.below(4) {
            1 => {
                let kept = call("lambda", [paren(vec![]), call("set!", [sym("acc"), call("bit-xor", [sym("acc"), sym("n")])]), sym("acc")]);
                let again = call("recur", [less, call("let", [paren(vec![paren(vec![sym("kept"), kept])]), call("kept", []), next])]);
                vec![call("define", [head(&f), body(again)])]
            }
            // In tail position.
            0 => vec![call("define", [head(&f), body(call(&f, [less.clone(), next]))])],
            2 => vec![
                call("define", [head(&f), body(call(&g, [less.clone(), next.clone()]))]),
                call("define", [head(&g), body(call(&f, [less, call("bit-xor", [sym("acc"), sym("n")])]))]),
            ],
            _ => {
                let deep = call("wrapping-add", [sym("acc"), call(&f, [less, next])]);
                vec![call("define", [head(&f), body(deep)])]
            }
        };
        let deep = if program.len() == 1 && format!("{}", program[0]).contains("wrapping-add acc") {
            int(20 + self.below(300) as i64)
        } else {
            deep
        };
        let used = call(&f, [deep, int(1)]);
        program.push(call(
            "println",
            [call(
                "try",
                [
                    used,
                    call(
                        "catch",
                        [paren(vec![sym("e")]), call("if", [call("error?", [sym("e")]), call("error-tag", [sym("e")]), Form::Nil])],
                    ),
                ],
            )],
        ));
        self.funcs.push(Func { name: f, params: vec![Ty::Int, Ty::Int], counted: true, ret: Ty::Int });
        program
    }

    /// A function over a variable of its own.
    fn counter(&mut self) -> Vec<Form> {
        let (make, one, two) = (self.fresh("make"), self.fresh("count"), self.fresh("count"));
        let next = self.with(&[("n".into(), Ty::Int)], |g| g.expr(Ty::Int, 2));
        let step = call("lambda", [paren(vec![]), call("set!", [sym("n"), next]), sym("n")]);
        let made = |n: &Rc<str>, start: Form| call("define", [Form::Symbol(n.clone()), call(&make, [start])]);
        let uses = call("list", [&one, &two, &one, &one, &two].map(|n| call(n, [])));
        let (a, b) = (self.leaf(Ty::Int), self.leaf(Ty::Int));
        vec![
            call("define", [paren(vec![Form::Symbol(make.clone()), sym("n")]), step]),
            made(&one, a),
            made(&two, b),
            call("println", [call("try", [uses, call("catch", [paren(vec![sym("e")]), call("error-tag", [sym("e")])])])]),
        ]
    }

    fn defined_macro(&mut self) -> Vec<Form> {
        let m = self.fresh("m");
        let macro_of = |params: Form, body: Form| call("defmacro", [Form::Symbol(m.clone()), params, body]);
        let (made, kind) = match self.below(8) {
            0 => {
                let other = self.leaf(Ty::Int);
                (vec![macro_of(paren(vec![sym("a"), sym("b")]), quasi(call("if", [unquote("a"), unquote("b"), other])))], Kind::Choice)
            }
            1 => {
                let body = quasi(call("let", [bracket(vec![unquote("n"), unquote("v")]), splice("body")]));
                (vec![macro_of(bracket(vec![sym("n"), sym("v"), sym("&"), sym("body")]), body)], Kind::Binding)
            }
            2 => {
                let body = quasi(call("let", [paren(vec![paren(vec![unquote("n"), unquote("v")])]), splice("body")]));
                (vec![macro_of(paren(vec![sym("n"), sym("v"), sym("&rest"), sym("body")]), body)], Kind::Binding)
            }
            3 => {
                let body = call("list", [call("quote", [sym("+")]), sym("x"), sym("x")]);
                (vec![macro_of(paren(vec![sym("x")]), body)], Kind::Doubling)
            }
            4 => {
                let helper = self.fresh("helper");
                let made = call(
                    "list",
                    [
                        call("quote", [sym("let")]),
                        call("list", [call("list", [call("quote", [sym("t")]), sym("form")])]),
                        quasi(call("*", [sym("t"), sym("t")])),
                    ],
                );
                (
                    vec![
                        call("define", [paren(vec![Form::Symbol(helper.clone()), sym("form")]), made]),
                        macro_of(paren(vec![sym("x")]), call(&helper, [sym("x")])),
                    ],
                    Kind::Doubling,
                )
            }
            5 => {
                let body = call(
                    "if",
                    [call("integer?", [sym("x")]), call("wrapping-mul", [sym("x"), int(2)]), quasi(call("*", [int(2), unquote("x")]))],
                );
                (vec![macro_of(paren(vec![sym("x")]), body)], Kind::Doubling)
            }
            6 => {
                let body = if self.one_in(2) {
                    quasi(call("+", [splice("xs"), int(1)]))
                } else {
                    call("cons", [call("quote", [sym("+")]), call("reverse", [sym("xs")])])
                };
                (vec![macro_of(paren(vec![sym("&rest"), sym("xs")]), body)], Kind::Sum)
            }
            _ => {
                let again = paren(vec![Form::Symbol(m.clone()), call("unquote-splice", [call("rest", [sym("xs")])])]);
                let first = call("unquote", [call("first", [sym("xs")])]);
                let tried = call("let", [paren(vec![paren(vec![sym("hit"), first])]), call("if", [sym("hit"), sym("hit"), again])]);
                let body = call("if", [call("null?", [sym("xs")]), Form::Bool(false), quasi(tried)]);
                (vec![macro_of(paren(vec![sym("&rest"), sym("xs")]), body)], Kind::AnyOf)
            }
        };
        self.macros.push((m, kind));
        made
    }

    /// Another meaning for a function of the program's, or of the library's.
    fn redefinition(&mut self) -> Vec<Form> {
        let own: Vec<Func> = self.funcs.iter().filter(|f| !f.counted).cloned().collect();
        if !own.is_empty() && self.one_in(2) {
            let f = self.pick(&own);
            let value = self.function(&f.params, f.ret, false, 3);
            // Nothing that was defined later may lead back here.
            if self.funcs.last().is_some_and(|l| l.name != f.name) || value.to_string().contains(&*f.name) {
                return vec![];
            }
            let head = if self.one_in(3) { "set!" } else { "define" };
            return vec![call(head, [Form::Symbol(f.name), value])];
        }
        let (n, ret) = self.pick(&[("inc", Ty::Int), ("dec", Ty::Int), ("abs", Ty::Int), ("even?", Ty::Bool), ("identity", Ty::Int)]);
        let value = self.with(&[("it".into(), Ty::Int)], |g| g.leaf(ret));
        let other = call("lambda", [paren(vec![sym("it")]), call("begin", [call("display", [Form::Str("!".into())]), value])]);
        vec![call("define", [sym(n), other])]
    }
}
