//! Values as a host sees them.

use crate::heap::Heap;
use crate::list;
use crate::value::{Value, tag};

/// What a value is. Text and parts are borrowed from the machine.
#[derive(Clone, Copy)]
pub enum View<'h> {
    /// Nil, the empty list.
    Nil,
    /// True or false.
    Bool(bool),
    /// An int.
    Int(i64),
    /// A double.
    Float(f64),
    /// A string.
    Str(&'h str),
    /// The name of a symbol.
    Symbol(&'h str),
    /// The name of a keyword, without the colon.
    Keyword(&'h str),
    /// A list with at least one element.
    List(Items<'h>),
    /// A map.
    Map(Entries<'h>),
    /// Anything that is not data, by the name of its type: a function, a promise, …
    Other(&'static str),
}

impl<'h> View<'h> {
    pub(crate) fn of(heap: &'h Heap<'_>, v: Value) -> Self {
        if let Some(i) = heap.as_int(v) {
            return Self::Int(i);
        }
        if let Some(f) = heap.as_float(v) {
            return Self::Float(f);
        }
        match v.tag() {
            tag::CONST => match v {
                Value::TRUE => Self::Bool(true),
                Value::FALSE => Self::Bool(false),
                _ => Self::Nil,
            },
            tag::STRING => Self::Str(heap.text(v)),
            tag::SYMBOL => Self::Symbol(heap.text(v)),
            tag::KEYWORD => Self::Keyword(heap.text(v)),
            tag::LIST => Self::List(Items { items: heap.items(v), left: heap.length(v) }),
            tag::MAP => Self::Map(Entries(heap.map_entries(v))),
            _ => Self::Other(crate::print::type_name(v)),
        }
    }
}

/// The elements of a list, in order.
#[derive(Clone, Copy)]
pub struct Items<'h> {
    items: list::Items<'h>,
    left: usize,
}

impl Iterator for Items<'_> {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        self.left = self.left.saturating_sub(1);
        self.items.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Items<'_> {}

/// The entries of a map, in the order of their insertion.
#[derive(Clone, Copy)]
pub struct Entries<'h>(&'h [[u64; 3]]);

impl Iterator for Entries<'_> {
    type Item = (Value, Value);

    #[inline]
    fn next(&mut self) -> Option<(Value, Value)> {
        let ([_, key, value], rest) = self.0.split_first()?;
        self.0 = rest;
        Some((Value(*key), Value(*value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for Entries<'_> {}
