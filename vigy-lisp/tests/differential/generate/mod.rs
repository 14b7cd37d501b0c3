//! Programs at random, of expressions with types in mind, so that most of them run.

mod forms;
mod top;
mod typed;

use crate::form::{Form, call, int, key, paren, sym, text};
use std::rc::Rc;

/// The same numbers for the same seed (xorshift).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        // Seeds that lie close together begin far apart (splitmix).
        let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n.max(1)
    }
}

/// What an expression is meant to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ty {
    Int,
    /// An int or a double.
    Num,
    Str,
    Bool,
    Key,
    Ints,
    Strs,
    /// Keywords to ints.
    Map,
    /// A function of an int.
    Fn1,
    Any,
    /// What a handler caught: its message is nobody's business.
    Caught,
}

#[derive(Clone)]
struct Var {
    name: Rc<str>,
    ty: Ty,
    /// Whether `set!` may change it: loop counters stay, so that loops end.
    free: bool,
}

#[derive(Clone)]
struct Func {
    name: Rc<str>,
    params: Vec<Ty>,
    /// The first argument says how often it calls itself.
    counted: bool,
    ret: Ty,
}

pub(crate) struct Generator {
    numbers: Numbers,
    vars: Vec<Var>,
    funcs: Vec<Func>,
    macros: Vec<(Rc<str>, top::Kind)>,
    /// Nodes that may still be made.
    room: usize,
    names: usize,
}

const SMALL: &[&str] = &["a", "b", "c", "x", "y", "z", "n", "m", "xs", "acc", "v", "t"];
/// Functions and forms of the library that a program may use as names of its own.
const TAKEN: &[&str] = &["list", "first", "count", "str", "inc", "max", "get", "rest", "name", "length", "case", "for", "comment", "apply"];
const TEXTS: &[&str] =
    &["", "a", "abc", "b c", "x,y,z", "é", "日本語", "ß", "e\u{301}", "😀!", "12", " -3 ", "\"q\"\n", "a\\b", "ab", "1.5"];
const KEYS: &[&str] = &["a", "b", "c", "k", "ключ"];
const INTS: &[i64] = &[
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
    i64::MIN + 1,
    (1 << 61) - 1,
    1 << 61,
    -(1 << 61),
    -(1 << 61) - 1,
    1 << 53,
    (1 << 53) + 1,
    1 << 31,
    -(1 << 31) - 1,
    32_767,
    32_768,
    -32_769,
    127,
    128,
    -128,
    -129,
    255,
    256,
    3_037_000_500,
];
const FLOATS: &[f64] = &[
    0.5,
    1.0,
    -0.0,
    1.5,
    2.5,
    -2.5,
    0.1,
    3.0,
    1e21,
    1e-7,
    1e300,
    9_007_199_254_740_992.0,
    9.3e18,
    -1.0,
    f64::INFINITY,
    f64::NAN,
    100.0,
    0.25,
];

impl Generator {
    pub(crate) fn program(seed: u64) -> Vec<Form> {
        let mut numbers = Numbers::new(seed);
        let room = 30 + numbers.below(110);
        let mut g = Self { numbers, vars: Vec::new(), funcs: Vec::new(), macros: Vec::new(), room, names: 0 };
        g.top_level()
    }

    fn below(&mut self, n: usize) -> usize {
        self.numbers.below(n)
    }

    /// Once in `n`.
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let i = self.below(from.len());
        from[i].clone()
    }

    /// A name, perhaps one that means something already.
    fn name(&mut self) -> Rc<str> {
        if self.one_in(60) && !self.macros.is_empty() {
            return self.pick(&self.macros.clone()).0;
        }
        if self.one_in(25) { self.pick(TAKEN).into() } else { self.pick(SMALL).into() }
    }

    /// A name that nothing else has.
    fn fresh(&mut self, prefix: &str) -> Rc<str> {
        self.names += 1;
        format!("{prefix}{}", self.names).into()
    }

    fn ty(&mut self) -> Ty {
        self.pick(&[Ty::Int, Ty::Int, Ty::Num, Ty::Str, Ty::Bool, Ty::Key, Ty::Ints, Ty::Ints, Ty::Strs, Ty::Map])
    }

    /// The names in scope that have this type and are not hidden.
    fn known(&self, ty: Ty, only_free: bool) -> Vec<Rc<str>> {
        let fits =
            |v: &Var| (v.ty == ty || (ty == Ty::Any && v.ty != Ty::Caught) || (ty == Ty::Num && v.ty == Ty::Int)) && (v.free || !only_free);
        let shown = |i: usize| !self.vars[i + 1..].iter().any(|w| w.name == self.vars[i].name);
        (0..self.vars.len()).filter(|i| fits(&self.vars[*i]) && shown(*i)).map(|i| self.vars[i].name.clone()).collect()
    }

    /// Makes something with more names in scope.
    fn with<T>(&mut self, names: &[(Rc<str>, Ty)], make: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.vars.len();
        self.vars.extend(names.iter().map(|(name, ty)| Var { name: name.clone(), ty: *ty, free: true }));
        let made = make(self);
        self.vars.truncate(before);
        made
    }

    /// Like [`Self::with`] for a name that `set!` must leave alone.
    fn with_fixed<T>(&mut self, name: &Rc<str>, ty: Ty, make: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.vars.len();
        self.vars.push(Var { name: name.clone(), ty, free: false });
        let made = make(self);
        self.vars.truncate(before);
        made
    }

    /// An int that is fit for counting.
    fn few(&mut self) -> Form {
        if self.one_in(4) { call("modulo", [self.leaf(Ty::Int), int(6)]) } else { int(self.below(6) as i64 - 1) }
    }

    fn leaf(&mut self, ty: Ty) -> Form {
        let known = self.known(ty, false);
        if !known.is_empty() && !self.one_in(3) {
            return Form::Symbol(self.pick(&known));
        }
        match ty {
            Ty::Int if self.one_in(14) => int(self.pick(INTS)),
            Ty::Int => int(self.below(24) as i64 - 6),
            Ty::Num if self.one_in(2) => Form::Float(self.pick(FLOATS)),
            Ty::Num => self.leaf(Ty::Int),
            Ty::Str => text(self.pick(TEXTS)),
            Ty::Bool => Form::Bool(self.one_in(2)),
            Ty::Key => key(self.pick(KEYS)),
            Ty::Ints => {
                let items: Vec<Form> = (0..self.below(5)).map(|_| int(self.below(9) as i64 - 2)).collect();
                if self.one_in(2) { call("quote", [paren(items)]) } else { call("list", items) }
            }
            Ty::Strs => {
                let items: Vec<Form> = (0..self.below(4)).map(|_| text(self.pick(TEXTS))).collect();
                if self.one_in(3) { crate::form::bracket(items) } else { call("list", items) }
            }
            Ty::Map => {
                let entries: Vec<Form> = (0..self.below(4)).flat_map(|_| [key(self.pick(KEYS)), int(self.below(9) as i64)]).collect();
                if self.one_in(4) { call("hash-map", entries) } else { crate::form::brace(entries) }
            }
            Ty::Fn1 => {
                let plain = ["inc", "dec", "identity", "abs", "-", "+", "*", "bit-not", "max"];
                sym(self.pick(&plain))
            }
            Ty::Caught => Form::Nil,
            Ty::Any if self.one_in(8) => Form::Nil,
            Ty::Any if self.one_in(12) => call("quote", [sym(self.pick(SMALL))]),
            Ty::Any => {
                let ty = self.ty();
                self.leaf(ty)
            }
        }
    }

    /// An expression of this type, now and then of another.
    fn expr(&mut self, ty: Ty, depth: usize) -> Form {
        let ty = if self.one_in(90) { self.ty() } else { ty };
        if depth == 0 || self.room == 0 {
            return self.leaf(ty);
        }
        self.room = self.room.saturating_sub(1);
        match self.below(10) {
            0 => self.leaf(ty),
            1..=4 => self.typed(ty, depth - 1),
            _ => self.wrapped(ty, depth - 1),
        }
    }

    /// Expressions for all that a function takes.
    fn args(&mut self, func: &Func, depth: usize) -> Vec<Form> {
        let mut args: Vec<Form> = func.params.iter().map(|t| self.expr(*t, depth)).collect();
        if func.counted {
            args[0] = self.few();
        }
        if self.one_in(60) {
            args.pop();
        }
        args
    }
}
