//! Programs as trees: what the generator makes, the shrinker cuts, the oracle walks, and the compiler reads as text.

use std::fmt;
use std::rc::Rc;

/// How a list is written. Only forms look at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    Paren,
    Bracket,
    Brace,
}

#[derive(Clone, Debug)]
pub(crate) enum Form {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Rc<str>),
    Symbol(Rc<str>),
    Keyword(Rc<str>),
    List(Shape, Rc<Vec<Self>>),
}

pub(crate) fn sym(name: &str) -> Form {
    Form::Symbol(name.into())
}
pub(crate) fn key(name: &str) -> Form {
    Form::Keyword(name.into())
}
pub(crate) fn text(s: &str) -> Form {
    Form::Str(s.into())
}
pub(crate) fn int(i: i64) -> Form {
    Form::Int(i)
}
pub(crate) fn paren(items: Vec<Form>) -> Form {
    Form::List(Shape::Paren, Rc::new(items))
}
pub(crate) fn bracket(items: Vec<Form>) -> Form {
    Form::List(Shape::Bracket, Rc::new(items))
}
pub(crate) fn brace(items: Vec<Form>) -> Form {
    Form::List(Shape::Brace, Rc::new(items))
}
/// `(head args…)`
pub(crate) fn call(head: &str, args: impl IntoIterator<Item = Form>) -> Form {
    paren([sym(head)].into_iter().chain(args).collect())
}

impl Form {
    pub(crate) fn items(&self) -> &[Self] {
        if let Self::List(_, items) = self { items } else { &[] }
    }

    pub(crate) fn symbol(&self) -> Option<&Rc<str>> {
        if let Self::Symbol(s) = self { Some(s) } else { None }
    }

    pub(crate) fn is_symbol(&self, name: &str) -> bool {
        self.symbol().is_some_and(|s| &**s == name)
    }

    pub(crate) fn shape(&self) -> Option<Shape> {
        if let Self::List(shape, _) = self { Some(*shape) } else { None }
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::List(..) | Self::Nil)
    }

    /// The one argument of `(head argument)`.
    pub(crate) fn prefixed(&self, head: &str) -> Option<&Self> {
        match self {
            Self::List(Shape::Paren, items) => match &items[..] {
                [h, x] if h.is_symbol(head) => Some(x),
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Bool(b) => f.write_str(if *b { "#t" } else { "#f" }),
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) if x.is_nan() => f.write_str("+nan.0"),
            Self::Float(x) if x.is_infinite() => f.write_str(if *x > 0.0 { "+inf.0" } else { "-inf.0" }),
            Self::Float(x) => write!(f, "{x:?}"),
            Self::Str(s) => {
                f.write_str("\"")?;
                for c in s.chars() {
                    match c {
                        '"' | '\\' => write!(f, "\\{c}")?,
                        '\n' => f.write_str("\\n")?,
                        '\u{301}' | '\0' => write!(f, "\\u{{{:x}}}", c as u32)?,
                        c => write!(f, "{c}")?,
                    }
                }
                f.write_str("\"")
            }
            Self::Symbol(s) => f.write_str(s),
            Self::Keyword(s) => write!(f, ":{s}"),
            Self::List(shape, items) => {
                for (head, prefix) in [("quote", "'"), ("quasiquote", "`"), ("unquote", ","), ("unquote-splice", ",@")] {
                    if let Some(x) = self.prefixed(head) {
                        return write!(f, "{prefix}{x}");
                    }
                }
                let (open, close) = match shape {
                    Shape::Paren => ('(', ')'),
                    Shape::Bracket => ('[', ']'),
                    Shape::Brace => ('{', '}'),
                };
                write!(f, "{open}")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { " " })?;
                }
                write!(f, "{close}")
            }
        }
    }
}

/// The text of a program.
pub(crate) fn source(forms: &[Form]) -> String {
    forms.iter().map(|f| format!("{f}\n")).collect()
}
