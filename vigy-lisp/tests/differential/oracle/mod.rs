//! A second opinion on what a program means: the forms are walked as they are, by plain recursion. Slow and short.
//!
//! It has nothing in common with compiler and machine. Messages of errors are not its business, only their tags.

mod forms;
mod library;
mod lists;
mod maps;
mod numbers;
mod patterns;
mod strings;
pub(crate) mod value;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use crate::form::Form;
pub(crate) use value::{Closure, Native, Scope, Style, V};

/// Ways to be wrong, each of which the comparison must notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// `and` evaluates what follows a false value.
    AndEvaluatesAll,
    /// A division that does not come out even is rounded towards zero.
    DivisionTruncates,
    /// `(let ((a …) (b …)) …)` sees `a` in `b`.
    LetIsSequential,
    /// `set!` changes a copy that the closures do not see.
    SetOnCopy,
    /// An error passes by `finally`.
    FinallySkipped,
    /// Equal elements change places when they are sorted.
    SortUnstable,
    /// `&rest` loses one argument.
    RestLosesOne,
    /// A key that is set again moves to the end of its map.
    MapOrder,
    /// `equal?` takes 1 and 1.0 for the same.
    KindsEqual,
    /// Sums wrap around.
    SumsWrap,
    /// Closures share one variable over all turns of a loop.
    LoopSharesVariables,
    /// The empty list is true.
    EmptyIsTrue,
    /// Arguments are evaluated from the right.
    RightToLeft,
    /// A promise runs again each time it is forced.
    ForceTwice,
    /// A name is looked up in the caller's scope.
    DynamicScope,
    /// Strings are measured in bytes.
    LengthInBytes,
    /// `else` of a `case` is taken although a clause fits.
    CaseTakesLast,
    /// What a macro inserts is inserted without its last element.
    SpliceLosesOne,
}

impl Bug {
    pub(crate) const ALL: [Self; 18] = [
        Self::AndEvaluatesAll,
        Self::DivisionTruncates,
        Self::LetIsSequential,
        Self::SetOnCopy,
        Self::FinallySkipped,
        Self::SortUnstable,
        Self::RestLosesOne,
        Self::MapOrder,
        Self::KindsEqual,
        Self::SumsWrap,
        Self::LoopSharesVariables,
        Self::EmptyIsTrue,
        Self::RightToLeft,
        Self::ForceTwice,
        Self::DynamicScope,
        Self::LengthInBytes,
        Self::CaseTakesLast,
        Self::SpliceLosesOne,
    ];
}

/// Why an expression has no value.
#[derive(Clone)]
pub(crate) enum Stop {
    /// The language raised this error.
    Raised(V),
    /// The program threw this value.
    Thrown(V),
    /// Back to the start of the innermost loop or function.
    Recur(Vec<V>),
    /// The oracle has enough of it, or no opinion.
    TooLong,
}

pub(crate) type Answer = Result<V, Stop>;

/// Steps and depth after which the oracle gives up.
const STEPS: usize = 60_000;
const DEPTH: usize = 20_000;

struct Macro {
    closure: Rc<Closure>,
}

pub(crate) struct Oracle {
    bug: Option<Bug>,
    globals: HashMap<Rc<str>, V>,
    macros: HashMap<Rc<str>, Macro>,
    /// Names that the program defines somewhere: no forms of the library any more.
    defined: Vec<Rc<str>>,
    /// What macros see instead of the globals, while one runs.
    frozen: Option<Rc<HashMap<Rc<str>, V>>>,
    natives: HashMap<&'static str, &'static Native>,
    printed: String,
    steps: usize,
    depth: usize,
    scopes: Vec<Weak<Scope>>,
    /// For [`Bug::DynamicScope`].
    callers: Vec<Rc<Scope>>,
}

impl Oracle {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        let tables = [numbers::NATIVES, lists::NATIVES, lists::HIGHER, maps::NATIVES, strings::NATIVES];
        let natives = tables.into_iter().flatten().map(|n| (n.name, n)).collect();
        Self {
            bug,
            globals: HashMap::new(),
            macros: HashMap::new(),
            defined: Vec::new(),
            frozen: None,
            natives,
            printed: String::new(),
            steps: 0,
            depth: 0,
            scopes: Vec::new(),
            callers: Vec::new(),
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// What the program gives and prints, as a machine would tell it; `None` when it takes too long.
    pub(crate) fn run(mut self, program: &[Form]) -> Option<(Result<String, String>, String)> {
        for form in program {
            if let [head, target, ..] = form.items()
                && ["define", "def", "defn"].iter().any(|d| head.is_symbol(d))
                && let Some(name) = target.symbol().or_else(|| target.items().first().and_then(Form::symbol))
            {
                self.defined.push(name.clone());
            }
        }
        let top = self.scope(None);
        let mut last = Ok(V::Nil);
        for form in program {
            last = self.top(form, &top);
            if last.is_err() {
                break;
            }
        }
        let result = match last {
            Ok(v) => Ok(v.written(Style::Readable)),
            Err(Stop::Raised(V::Error(e))) => Err(e.tag.to_string()),
            Err(Stop::Raised(_) | Stop::Thrown(_)) => Err("user".to_owned()),
            Err(Stop::Recur(_)) => Err("bad-special-form".to_owned()),
            Err(Stop::TooLong) => return None,
        };
        // Closures and the scopes that hold them would keep each other.
        for scope in self.scopes.iter().filter_map(Weak::upgrade) {
            scope.names.borrow_mut().clear();
        }
        Some((result, core::mem::take(&mut self.printed)))
    }

    fn scope(&mut self, outer: Option<&Rc<Scope>>) -> Rc<Scope> {
        let scope = Rc::new(Scope { names: RefCell::default(), outer: outer.cloned() });
        self.scopes.push(Rc::downgrade(&scope));
        scope
    }

    pub(crate) fn truth(&self, v: &V) -> bool {
        match v {
            V::Nil => self.has(Bug::EmptyIsTrue),
            V::Bool(b) => *b,
            _ => true,
        }
    }

    /// Calls a value.
    pub(crate) fn apply(&mut self, f: &V, mut args: Vec<V>) -> Answer {
        self.steps += 1;
        self.depth += 1;
        if self.steps > STEPS || self.depth > DEPTH {
            return Err(Stop::TooLong);
        }
        let result = match f {
            V::Native(n) if args.len() < n.min || args.len() > n.max => raise("arity-mismatch"),
            V::Native(n) => (n.run)(self, &args).and_then(|v| if v.is_huge() { Err(Stop::TooLong) } else { Ok(v) }),
            V::Keyword(_) | V::Map(_) if !(1..=2).contains(&args.len()) => raise("arity-mismatch"),
            V::Keyword(_) | V::Map(_) => {
                let default = if args.len() == 2 { args.remove(1) } else { V::Nil };
                match (f, &args[0]) {
                    (V::Map(_), key) => maps::lookup(f, key).map(|v| v.unwrap_or(default)),
                    (_, V::Map(_)) => maps::lookup(&args[0], f).map(|v| v.unwrap_or(default)),
                    _ => Ok(default),
                }
            }
            V::Closure(c) => loop {
                match self.enter(c, args) {
                    Err(Stop::Recur(again)) => args = again,
                    other => break other,
                }
            },
            _ => raise("not-callable"),
        };
        self.depth -= 1;
        result
    }

    pub(crate) fn call(&mut self, f: &V, args: &[V]) -> Answer {
        self.apply(f, args.to_vec())
    }
}

/// Stands for every message of the language.
pub(crate) const MESSAGE: &str = "a message";

/// An error of the language, by its tag.
pub(crate) fn raise<T>(tag: &str) -> Result<T, Stop> {
    Err(Stop::Raised(V::error(tag, MESSAGE, V::Nil)))
}

/// A form that lacks a part: no program has one before it is cut, so what it means is not the question.
pub(crate) fn cut<T>() -> Result<T, Stop> {
    Err(Stop::TooLong)
}

pub(crate) fn mismatch<T>() -> Result<T, Stop> {
    raise("type-mismatch")
}
