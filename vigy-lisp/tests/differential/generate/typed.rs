//! What gives an int, a string, a list …

use super::{Generator, Ty};
use crate::form::{Form, brace, bracket, call, int, key, paren, sym};

impl Generator {
    fn call_of(&mut self, head: &str, args: &[Ty], depth: usize) -> Form {
        let args: Vec<Form> = args.iter().map(|t| self.expr(*t, depth)).collect();
        call(head, args)
    }

    pub(super) fn typed(&mut self, ty: Ty, d: usize) -> Form {
        match ty {
            Ty::Int => self.int_of(d),
            Ty::Num => self.num_of(d),
            Ty::Str => self.str_of(d),
            Ty::Bool => self.bool_of(d),
            Ty::Key => self.key_of(d),
            Ty::Ints => self.ints_of(d),
            Ty::Strs => self.strs_of(d),
            Ty::Map => self.map_of(d),
            Ty::Fn1 => self.fn_of(d),
            Ty::Any | Ty::Caught => self.any_of(d),
        }
    }

    fn int_of(&mut self, d: usize) -> Form {
        let (i, xs, m) = (Ty::Int, Ty::Ints, Ty::Map);
        match self.below(26) {
            0..=3 => {
                let head = self.pick(&[
                    "+",
                    "-",
                    "*",
                    "+",
                    "-",
                    "max",
                    "min",
                    "bit-and",
                    "bit-or",
                    "bit-xor",
                    "wrapping-add",
                    "wrapping-mul",
                    "gcd",
                ]);
                let args: Vec<Form> = (0..1 + self.below(3)).map(|_| self.expr(i, d)).collect();
                call(head, args)
            }
            4 => {
                let head = self.pick(&["modulo", "quotient", "remainder"]);
                self.call_of(head, &[i, i], d)
            }
            5 => {
                let head = self.pick(&["inc", "dec", "abs", "bit-not", "-"]);
                self.call_of(head, &[i], d)
            }
            6 => self.call_of("length", &[xs], d),
            7 => {
                let of = self.pick(&[xs, Ty::Str, m]);
                self.call_of("count", &[of], d)
            }
            8 => self.call_of("string-length", &[Ty::Str], d),
            9 => call("hash-map-get", [self.expr(m, d), self.expr(Ty::Key, d)]),
            10 => call("get", [self.expr(m, d), self.expr(Ty::Key, d), self.expr(i, d)]),
            11 => paren(vec![key(self.pick(super::KEYS)), self.expr(m, d), self.expr(i, d)]),
            12 => paren(vec![self.expr(m, d), self.expr(Ty::Key, d)]),
            13 => {
                let head = self.pick(&["car", "first", "last", "second"]);
                self.call_of(head, &[xs], d)
            }
            14 => call("nth", [self.few(), self.expr(xs, d)]),
            15 => {
                let head = self.pick(&["foldl", "foldr", "reduce"]);
                let f = self.fn2(d);
                call(head, [f, self.expr(i, d), self.expr(xs, d)])
            }
            16 => call("reduce", [self.fn2(d), self.expr(xs, d)]),
            17 => {
                let head = self.pick(&["count-if", "find-index"]);
                call(head, [self.pred(d), self.expr(xs, d)])
            }
            18 => self.call_of("position", &[i, xs], d),
            19 => {
                let head = self.pick(&["floor", "ceiling", "round", "truncate"]);
                self.call_of(head, &[Ty::Num], d)
            }
            20 => {
                let head = self.pick(&["max-by", "min-by"]);
                self.call_of(head, &[Ty::Fn1, xs], d)
            }
            21 => {
                let of = self.ty();
                self.call_of("compare", &[of, of], d)
            }
            22 => paren(vec![self.expr(Ty::Fn1, d), self.expr(i, d)]),
            23 => call("apply", [sym(self.pick(&["+", "max", "min", "*"])), self.expr(i, d), self.expr(xs, d)]),
            24 => {
                let head = sym(self.pick(&["->", "->>"]));
                let mut items = vec![head, self.expr(i, d)];
                for _ in 0..1 + self.below(3) {
                    let step = self.pick(&["-", "+", "modulo", "inc"]);
                    items.push(if step == "inc" { sym(step) } else { call(step, [self.leaf(i)]) });
                }
                paren(items)
            }
            _ => call("expt", [self.expr(i, d), int(self.below(5) as i64)]),
        }
    }

    fn num_of(&mut self, d: usize) -> Form {
        match self.below(8) {
            0..=3 => {
                let head = self.pick(&["+", "-", "*", "/", "/", "min", "max"]);
                let args: Vec<Form> = (0..1 + self.below(3)).map(|_| self.expr(Ty::Num, d)).collect();
                call(head, args)
            }
            4 => self.call_of("/", &[Ty::Int, Ty::Int], d),
            5 => self.call_of("sqrt", &[Ty::Num], d),
            6 => self.call_of("abs", &[Ty::Num], d),
            _ => self.expr(Ty::Int, d),
        }
    }

    fn str_of(&mut self, d: usize) -> Form {
        let s = Ty::Str;
        match self.below(12) {
            0 | 1 => {
                let args: Vec<Form> = (0..1 + self.below(3)).map(|_| self.expr(s, d)).collect();
                call("string-append", args)
            }
            2 => {
                let args: Vec<Form> = (0..1 + self.below(3)).map(|_| self.expr(Ty::Any, d)).collect();
                call("str", args)
            }
            3 => self.call_of("pr-str", &[Ty::Any], d),
            4 => {
                let head = self.pick(&["string-uppercase", "string-lowercase", "string-trim", "string-reverse"]);
                self.call_of(head, &[s], d)
            }
            5 => call("subs", [self.expr(s, d), self.few(), self.few()]),
            6 => call("subs", [self.expr(s, d), self.few()]),
            7 => self.call_of("string-replace", &[s, s, s], d),
            8 => self.call_of("string-join", &[s, Ty::Strs], d),
            9 => {
                let times = if self.one_in(4) { int(30 + self.below(200) as i64) } else { self.few() };
                call("string-repeat", [self.expr(s, d), times])
            }
            10 => self.call_of("name", &[Ty::Key], d),
            _ => self.call_of("string-join", &[s, Ty::Ints], d),
        }
    }

    fn bool_of(&mut self, d: usize) -> Form {
        match self.below(14) {
            0 | 1 => {
                let head = self.pick(&["<", "<=", ">", ">=", "="]);
                let args: Vec<Form> = (0..2 + self.below(2)).map(|_| self.expr(Ty::Num, d)).collect();
                call(head, args)
            }
            2 => {
                let head = self.pick(&["<", "<=", ">", ">=", "="]);
                call(head, [self.expr(Ty::Int, d), self.leaf(Ty::Int)])
            }
            3 => {
                let head = self.pick(&["=", "equal?", "not="]);
                let of = self.ty();
                self.call_of(head, &[of, of], d)
            }
            4 => {
                let head = self.pick(&["=", "equal?", "not="]);
                if self.one_in(3) {
                    // The same number, and of another kind.
                    let x = self.leaf(Ty::Int);
                    return call(head, [x.clone(), call("+", [x, Form::Float(0.0)])]);
                }
                self.call_of(head, &[Ty::Any, Ty::Any], d)
            }
            5 => {
                let head = self.pick(&["zero?", "positive?", "negative?", "even?", "odd?"]);
                self.call_of(head, &[Ty::Int], d)
            }
            6 => {
                let tests = [
                    "null?",
                    "some?",
                    "pair?",
                    "list?",
                    "symbol?",
                    "string?",
                    "keyword?",
                    "integer?",
                    "number?",
                    "boolean?",
                    "hash-map?",
                    "empty?",
                ];
                let head = self.pick(&tests);
                self.call_of(head, &[Ty::Any], d)
            }
            7 => self.call_of("not", &[Ty::Any], d),
            8 => {
                let head = self.pick(&["and", "or"]);
                let args: Vec<Form> = (0..self.below(4)).map(|_| self.expr(Ty::Bool, d)).collect();
                call(head, args)
            }
            9 => self.call_of("member?", &[Ty::Int, Ty::Ints], d),
            10 => self.call_of("contains?", &[Ty::Map, Ty::Key], d),
            11 => {
                let head = self.pick(&["any?", "every?"]);
                call(head, [self.pred(d), self.expr(Ty::Ints, d)])
            }
            12 => {
                let head = self.pick(&["string-contains?", "string-starts-with?", "string-ends-with?"]);
                self.call_of(head, &[Ty::Str, Ty::Str], d)
            }
            _ => paren(vec![self.pred(d), self.expr(Ty::Int, d)]),
        }
    }

    fn key_of(&mut self, d: usize) -> Form {
        match self.below(4) {
            0 => self.call_of("type-of", &[Ty::Any], d),
            1 => self.call_of("string->keyword", &[Ty::Str], d),
            2 => call("first", [call("keys", [self.expr(Ty::Map, d)])]),
            _ => {
                let caught = call("error-tag", [sym("e")]);
                call(
                    "try",
                    [
                        self.expr(Ty::Key, d),
                        call("catch", [paren(vec![sym("e")]), call("if", [call("error?", [sym("e")]), caught, key("thrown")])]),
                    ],
                )
            }
        }
    }

    fn ints_of(&mut self, d: usize) -> Form {
        let (i, xs) = (Ty::Int, Ty::Ints);
        match self.below(22) {
            0 => self.call_of("cons", &[i, xs], d),
            1 => {
                let items: Vec<Form> = (0..self.below(4)).map(|_| self.expr(i, d)).collect();
                if self.one_in(2) { call("list", items) } else { bracket(items) }
            }
            2 => {
                let lists: Vec<Form> = (0..1 + self.below(3)).map(|_| self.expr(xs, d)).collect();
                call("append", lists)
            }
            3 => {
                let head = self.pick(&["reverse", "rest", "cdr", "butlast", "distinct", "sort"]);
                self.call_of(head, &[xs], d)
            }
            4 => {
                let head = self.pick(&["take", "drop"]);
                call(head, [self.few(), self.expr(xs, d)])
            }
            5 => {
                let mut args: Vec<Form> = (0..1 + self.below(3)).map(|_| self.few()).collect();
                if self.one_in(6) {
                    args = vec![int(0), int(self.below(90) as i64), int(self.below(7) as i64 - 1)];
                }
                call("range", args)
            }
            6 | 7 => self.call_of("map", &[Ty::Fn1, xs], d),
            8 => call("map", [self.fn2(d), self.expr(xs, d), self.expr(xs, d)]),
            9 => {
                let head = self.pick(&["filter", "remove", "take-while", "drop-while"]);
                call(head, [self.pred(d), self.expr(xs, d)])
            }
            10 => {
                let by = self.comparator(d);
                call("sort-by", [by, self.expr(xs, d)])
            }
            11 => self.call_of("sort-by-key", &[Ty::Fn1, xs], d),
            12 => self.call_of("vals", &[Ty::Map], d),
            13 => self.comprehension(d),
            14 => call("iterate", [self.expr(Ty::Fn1, d), self.expr(i, d), self.few()]),
            15 => call("flatten", [call("list", [self.expr(xs, d), self.expr(i, d), call("list", [self.expr(xs, d)])])]),
            16 => self.call_of("interleave", &[xs, xs], d),
            17 => {
                let hole = |g: &mut Self| {
                    if g.one_in(2) { call("unquote", [g.expr(i, d)]) } else { call("unquote-splice", [g.expr(xs, d)]) }
                };
                let items: Vec<Form> =
                    (0..1 + self.below(3)).map(|_| if self.one_in(3) { self.leaf_number() } else { hole(self) }).collect();
                call("quasiquote", [paren(items)])
            }
            18 => call("map", [sym("length"), call("partition", [self.pred(d), self.expr(xs, d)])]),
            19 => call("mapcat", [self.list_maker(d), self.expr(xs, d)]),
            20 => self.collected(d),
            _ => call("map", [sym("count"), self.expr(Ty::Strs, d)]),
        }
    }

    fn leaf_number(&mut self) -> Form {
        int(self.below(9) as i64)
    }

    fn strs_of(&mut self, d: usize) -> Form {
        match self.below(7) {
            0 => self.call_of("string-split", &[Ty::Str, Ty::Str], d),
            1 => self.call_of("string-chars", &[Ty::Str], d),
            2 => call("map", [sym("str"), self.expr(Ty::Ints, d)]),
            3 => self.call_of("cons", &[Ty::Str, Ty::Strs], d),
            4 => self.call_of("sort", &[Ty::Strs], d),
            5 => call("map", [sym("name"), call("keys", [self.expr(Ty::Map, d)])]),
            _ => {
                let head = self.pick(&["reverse", "distinct", "rest"]);
                self.call_of(head, &[Ty::Strs], d)
            }
        }
    }

    fn map_of(&mut self, d: usize) -> Form {
        let (m, k, i) = (Ty::Map, Ty::Key, Ty::Int);
        match self.below(11) {
            0 => self.call_of("assoc", &[m, k, i], d),
            1 => self.call_of("dissoc", &[m, k], d),
            2 => self.call_of("merge", &[m, m], d),
            3 => call("update", [self.expr(m, d), key(self.pick(super::KEYS)), self.expr(Ty::Fn1, d)]),
            4 => brace(vec![self.expr(k, d), self.expr(i, d), self.expr(k, d), self.expr(i, d)]),
            5 => call("zipmap", [call("list", [self.expr(k, d), self.expr(k, d)]), self.expr(Ty::Ints, d)]),
            6 => call("select-keys", [self.expr(m, d), call("list", [self.expr(k, d), self.expr(k, d)])]),
            7 => self.call_of("frequencies", &[Ty::Ints], d),
            8 => {
                let grown = call("assoc", [sym("acc"), sym("x"), call("+", [sym("x"), self.leaf(i)])]);
                let f = call("lambda", [paren(vec![sym("acc"), sym("x")]), grown]);
                call("foldl", [f, brace(vec![]), call("range", [int(self.below(24) as i64)])])
            }
            9 => {
                let f = call("lambda", [paren(vec![sym("acc"), sym("x")]), call("dissoc", [sym("acc"), sym("x")])]);
                let large = call("frequencies", [call("range", [int(self.below(30) as i64)])]);
                call("foldl", [f, large, self.expr(Ty::Ints, d)])
            }
            _ => call("assoc-in", [self.expr(m, d), bracket(vec![key("new"), key(self.pick(super::KEYS))]), self.expr(i, d)]),
        }
    }

    fn fn_of(&mut self, d: usize) -> Form {
        match self.below(7) {
            0 => call("partial", [sym(self.pick(&["+", "-", "*", "max"])), self.expr(Ty::Int, d)]),
            1 => self.call_of("comp", &[Ty::Fn1, Ty::Fn1], d),
            2 => self.pick_func(Ty::Int, 1).unwrap_or_else(|| sym("inc")),
            3 => self.function(&[Ty::Int], Ty::Int, true, d),
            _ => self.function(&[Ty::Int], Ty::Int, false, d),
        }
    }

    /// The name of a function of the program's that fits.
    fn pick_func(&mut self, ret: Ty, params: usize) -> Option<Form> {
        let fits: Vec<_> = self
            .funcs
            .iter()
            .filter(|f| f.ret == ret && !f.counted && f.params.len() == params && f.params.iter().all(|p| *p == Ty::Int))
            .collect();
        let names: Vec<_> = fits.iter().map(|f| f.name.clone()).collect();
        (!names.is_empty()).then(|| Form::Symbol(self.pick(&names)))
    }

    pub(super) fn fn2(&mut self, d: usize) -> Form {
        match self.below(4) {
            0 => sym(self.pick(&["+", "-", "*", "max", "min", "bit-xor"])),
            1 => self.pick_func(Ty::Int, 2).unwrap_or_else(|| sym("-")),
            _ => self.function(&[Ty::Int, Ty::Int], Ty::Int, false, d),
        }
    }

    pub(super) fn pred(&mut self, d: usize) -> Form {
        match self.below(4) {
            0 => sym(self.pick(&["even?", "odd?", "positive?", "zero?", "identity"])),
            1 => self.leaf(Ty::Map),
            _ => self.function(&[Ty::Int], Ty::Bool, false, d),
        }
    }

    /// One that is an order, so that any way to sort gives the same.
    fn comparator(&mut self, d: usize) -> Form {
        let (a, b) = (sym("a"), sym("b"));
        match self.below(5) {
            0 => sym(self.pick(&["<", ">", "compare", "-"])),
            1 => call("lambda", [paren(vec![a.clone(), b.clone()]), call("compare", [b, a])]),
            2 => {
                let n = int(2 + self.below(3) as i64);
                let by = |x: Form| call("modulo", [x, n.clone()]);
                call("lambda", [paren(vec![a.clone(), b.clone()]), call(if d.is_multiple_of(2) { "<" } else { "-" }, [by(a), by(b)])])
            }
            _ => call("lambda", [paren(vec![a.clone(), b.clone()]), call(self.pick(&["<", ">"]), [call("abs", [a]), call("abs", [b])])]),
        }
    }

    fn list_maker(&mut self, d: usize) -> Form {
        self.function(&[Ty::Int], Ty::Ints, false, d)
    }

    fn any_of(&mut self, d: usize) -> Form {
        match self.below(14) {
            11 => {
                // It sees globals alone.
                let outer = core::mem::take(&mut self.vars);
                let form = self.expr(Ty::Any, d.min(2));
                self.vars = outer;
                if self.one_in(2) {
                    return call("eval", [call("quote", [form])]);
                }
                // What is built while the program runs is made of calls.
                let (head, args) = match self.below(5) {
                    0 => ("+", vec![self.expr(Ty::Int, d), self.expr(Ty::Int, d)]),
                    1 => ("if", vec![self.expr(Ty::Bool, d), self.expr(Ty::Int, d), self.expr(Ty::Str, d)]),
                    2 => ("begin", vec![self.expr(Ty::Any, d), self.expr(Ty::Map, d)]),
                    3 => ("quote", vec![self.expr(Ty::Any, d)]),
                    _ => ("and", vec![self.expr(Ty::Bool, d), self.expr(Ty::Ints, d)]),
                };
                call("eval", [call("cons", [call("quote", [sym(head)]), call("list", args)])])
            }
            12 => {
                let inner = call("unquote", [paren(vec![sym("f"), call("unquote", [self.expr(Ty::Any, d)])])]);
                call("quasiquote", [paren(vec![sym("a"), call("quasiquote", [paren(vec![sym("b"), inner])])])])
            }
            0 => call("when", [self.expr(Ty::Bool, d), self.expr(Ty::Any, d)]),
            1 => call("unless", [self.expr(Ty::Bool, d), self.expr(Ty::Any, d)]),
            2 => {
                let items: Vec<Form> = (0..self.below(4)).map(|_| self.expr(Ty::Any, d)).collect();
                if self.one_in(2) { call("list", items) } else { bracket(items) }
            }
            3 => {
                let args: Vec<Form> = (0..self.below(4)).map(|_| self.expr(Ty::Any, d)).collect();
                call(self.pick(&["and", "or"]), args)
            }
            4 => brace(vec![self.expr(Ty::Any, d), self.expr(Ty::Any, d), self.expr(Ty::Key, d), self.expr(Ty::Any, d)]),
            5 => call("group-by", [self.pred(d), self.expr(Ty::Ints, d)]),
            6 => call("seq", [self.expr(Ty::Map, d)]),
            7 => call("some", [self.pred(d), self.expr(Ty::Ints, d)]),
            8 => call("find", [self.pred(d), self.expr(Ty::Ints, d)]),
            9 => call("get-in", [self.expr(Ty::Map, d), bracket(vec![self.expr(Ty::Key, d)])]),
            10 => call("if", [self.expr(Ty::Bool, d), self.expr(Ty::Any, d)]),
            _ => {
                let ty = self.ty();
                self.expr(ty, d)
            }
        }
    }
}
