//! Data with owners: what crosses the door, outside a machine.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// A value that is data: everything but functions, promises, errors and channels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename = "vigy_lisp::Data")]
pub enum Data {
    /// Nil, the empty list.
    #[default]
    Nil,
    /// True or false.
    Bool(bool),
    /// An int.
    Int(i64),
    /// A double.
    Float(f64),
    /// A string.
    Str(String),
    /// A symbol, by name.
    Symbol(String),
    /// A keyword, by name without the colon.
    Keyword(String),
    /// A list.
    List(Vec<Self>),
    /// A map, in the order of insertion.
    Map(Vec<(Self, Self)>),
}

/// What serde calls [`Data`]: it goes in and out of values as the value that it is, not as an enum.
#[cfg(feature = "embed")]
pub(crate) const SERDE_NAME: &str = "vigy_lisp::Data";

impl Data {
    /// A keyword.
    #[must_use]
    pub fn keyword(name: &str) -> Self {
        Self::Keyword(name.to_string())
    }

    /// A symbol.
    #[must_use]
    pub fn symbol(name: &str) -> Self {
        Self::Symbol(name.to_string())
    }

    /// A map with keyword keys.
    #[must_use]
    pub fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(k, v)| (Self::keyword(k), v)).collect())
    }

    /// What a map has under `key`: `:name` means the keyword, `name` the string.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else {
            return None;
        };
        let is = |k: &Self| match (k, key.strip_prefix(':')) {
            (Self::Keyword(k), Some(name)) => k == name,
            (Self::Str(k), None) => k == key,
            _ => false,
        };
        entries.iter().find(|(k, _)| is(k)).map(|(_, v)| v)
    }

    /// The text of a string, symbol or keyword.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Str(s) | Self::Symbol(s) | Self::Keyword(s) => Some(s),
            _ => None,
        }
    }

    /// The int.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        if let Self::Int(i) = self { Some(*i) } else { None }
    }

    /// The number as a double.
    #[must_use]
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// The elements of a list; none for nil.
    #[must_use]
    pub fn list(&self) -> Option<&[Self]> {
        match self {
            Self::Nil => Some(&[]),
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Whether a condition takes it for true: everything but nil, false and the empty list is.
    #[must_use]
    pub fn is_true(&self) -> bool {
        !matches!(self, Self::Nil | Self::Bool(false)) && !matches!(self, Self::List(items) if items.is_empty())
    }
}

impl From<bool> for Data {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}
impl From<i64> for Data {
    fn from(i: i64) -> Self {
        Self::Int(i)
    }
}
impl From<f64> for Data {
    fn from(f: f64) -> Self {
        Self::Float(f)
    }
}
impl From<&str> for Data {
    fn from(s: &str) -> Self {
        Self::Str(s.to_string())
    }
}
impl From<String> for Data {
    fn from(s: String) -> Self {
        Self::Str(s)
    }
}
impl From<Vec<Self>> for Data {
    fn from(items: Vec<Self>) -> Self {
        if items.is_empty() { Self::Nil } else { Self::List(items) }
    }
}
