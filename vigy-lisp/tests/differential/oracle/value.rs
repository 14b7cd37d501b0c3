//! Values, their equality and their text.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

use super::{Answer, Oracle, Stop, raise};
use crate::form::{Form, Shape};

/// Names and their values; a closure shares them.
pub(crate) struct Scope {
    pub(crate) names: RefCell<Vec<(Rc<str>, V)>>,
    pub(crate) outer: Option<Rc<Self>>,
}

pub(crate) struct Closure {
    /// Names or patterns.
    pub(crate) params: Vec<Form>,
    pub(crate) rest: Option<Form>,
    pub(crate) body: Vec<Form>,
    pub(crate) scope: Rc<Scope>,
    /// For macros: the globals when it was defined.
    pub(crate) globals: Option<Rc<std::collections::HashMap<Rc<str>, V>>>,
}

pub(crate) struct Native {
    pub(crate) name: &'static str,
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) run: fn(&mut Oracle, &[V]) -> Answer,
}

pub(crate) enum Promise {
    Pending(Form, Rc<Scope>),
    Kept(V),
}

pub(crate) struct ErrorValue {
    pub(crate) tag: Rc<str>,
    pub(crate) message: Rc<str>,
    pub(crate) data: V,
}

#[derive(Clone)]
pub(crate) enum V {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Rc<str>),
    Symbol(Rc<str>),
    Keyword(Rc<str>),
    /// Never empty: that is nil. The shape matters to macros alone.
    List(Shape, Rc<Vec<Self>>),
    Map(Rc<Vec<(Self, Self)>>),
    Closure(Rc<Closure>),
    Native(&'static Native),
    Promise(Rc<RefCell<Promise>>),
    Error(Rc<ErrorValue>),
}

/// How strictly numbers compare.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// By value, across kinds.
    Value,
    /// Kinds agree.
    Kind,
    /// Kinds agree, doubles by their bits: keys of maps.
    Bits,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Raw,
    Readable,
}

impl V {
    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self::shaped(Shape::Paren, items)
    }

    pub(crate) fn shaped(shape: Shape, items: Vec<Self>) -> Self {
        if items.is_empty() { Self::Nil } else { Self::List(shape, Rc::new(items)) }
    }

    pub(crate) fn str(s: &str) -> Self {
        Self::Str(s.into())
    }

    pub(crate) fn error(tag: &str, message: &str, data: Self) -> Self {
        Self::Error(Rc::new(ErrorValue { tag: tag.into(), message: message.into(), data }))
    }

    /// The elements of a list or nil.
    pub(crate) fn items(&self) -> Result<&[Self], Stop> {
        match self {
            Self::Nil => Ok(&[]),
            Self::List(_, items) => Ok(items),
            _ => raise("type-mismatch"),
        }
    }

    pub(crate) fn entries(&self) -> Result<&[(Self, Self)], Stop> {
        if let Self::Map(entries) = self { Ok(entries) } else { raise("type-mismatch") }
    }

    pub(crate) fn int(&self) -> Result<i64, Stop> {
        if let Self::Int(i) = self { Ok(*i) } else { raise("type-mismatch") }
    }

    pub(crate) fn text(&self) -> Result<&str, Stop> {
        if let Self::Str(s) = self { Ok(s) } else { raise("type-mismatch") }
    }

    /// Whether it is larger than the oracle cares for.
    pub(crate) fn is_huge(&self) -> bool {
        match self {
            Self::Str(s) => s.len() > 1 << 18,
            Self::List(_, items) => items.len() > 1 << 15,
            _ => false,
        }
    }

    pub(crate) fn same(&self, other: &Self, numbers: Numbers) -> bool {
        match (self, other) {
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) if numbers == Numbers::Bits => a.to_bits() == b.to_bits(),
            (Self::Float(a), Self::Float(b)) => a == b,
            // Every int up to 2^53 is a double; beyond, a double is an int.
            (Self::Int(i), Self::Float(f)) | (Self::Float(f), Self::Int(i)) => {
                numbers == Numbers::Value && f.fract() == 0.0 && f.abs() < 1e19 && *f as i128 == i128::from(*i)
            }
            (Self::Str(a), Self::Str(b)) | (Self::Symbol(a), Self::Symbol(b)) | (Self::Keyword(a), Self::Keyword(b)) => a == b,
            (Self::List(_, a), Self::List(_, b)) => a.len() == b.len() && a.iter().zip(&**b).all(|(a, b)| a.same(b, numbers)),
            (Self::Map(a), Self::Map(b)) => {
                let within = |(k, v): &(Self, Self)| b.iter().any(|(k2, v2)| k.same(k2, Numbers::Bits) && v.same(v2, numbers));
                a.len() == b.len() && a.iter().all(within)
            }
            (Self::Error(a), Self::Error(b)) => a.tag == b.tag && a.message == b.message && a.data.same(&b.data, numbers),
            (Self::Closure(a), Self::Closure(b)) => Rc::ptr_eq(a, b),
            (Self::Native(a), Self::Native(b)) => a.name == b.name,
            (Self::Promise(a), Self::Promise(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }

    pub(crate) fn written(&self, style: Style) -> String {
        let mut out = String::new();
        self.write(style, &mut out);
        out
    }

    fn write(&self, style: Style, out: &mut String) {
        match self {
            Self::Nil => out.push_str("()"),
            Self::Bool(b) => out.push_str(if *b { "#t" } else { "#f" }),
            Self::Int(i) => out.push_str(&i.to_string()),
            Self::Float(f) => out.push_str(&f.to_string()),
            Self::Str(s) if style == Style::Raw => out.push_str(s),
            Self::Str(s) => out.push_str(&format!("{s:?}")),
            Self::Symbol(s) => out.push_str(s),
            Self::Keyword(s) => out.push_str(&format!(":{s}")),
            Self::List(_, items) => {
                for (i, item) in items.iter().enumerate() {
                    out.push(if i == 0 { '(' } else { ' ' });
                    item.write(style, out);
                }
                out.push(')');
            }
            Self::Map(entries) => {
                out.push('{');
                for (i, (k, v)) in entries.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    k.write(style, out);
                    out.push(' ');
                    v.write(style, out);
                }
                out.push('}');
            }
            Self::Closure(c) => {
                let mut names: Vec<String> = c.params.iter().map(ToString::to_string).collect();
                if let (Some(rest), false) = (&c.rest, names.is_empty()) {
                    names.push(format!(". {rest}"));
                }
                let names = names.join(" ");
                // A string takes everything.
                let _ = if names.is_empty() { write!(out, "#<closure>") } else { write!(out, "#<closure ({names})>") };
            }
            Self::Native(n) => out.push_str(&format!("#<native {}>", n.name)),
            Self::Promise(p) => match &*p.borrow() {
                Promise::Pending(..) => out.push_str("#<promise pending>"),
                Promise::Kept(v) => {
                    out.push_str("#<promise ");
                    v.write(style, out);
                    out.push('>');
                }
            },
            Self::Error(e) => {
                out.push_str(&format!("#<error :{} {:?}", e.tag, &*e.message));
                if let Ok(items @ [_, ..]) = e.data.items() {
                    out.push_str(" {");
                    for (i, item) in items.iter().enumerate() {
                        out.push_str(if i == 0 { "" } else { " " });
                        item.write(style, out);
                    }
                    out.push('}');
                }
                out.push('>');
            }
        }
    }
}
