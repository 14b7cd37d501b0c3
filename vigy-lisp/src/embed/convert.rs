//! Why a value is not what a Rust type takes, or a Rust value none of the language.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{de, ser};

/// Why a Rust value could not become a value of the language, or the other way round; and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError {
    /// Keys and indexes on the way to the part that does not fit, from the innermost outwards.
    path: Vec<String>,
    message: String,
}

impl ConvertError {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { path: Vec::new(), message: message.to_string() }
    }

    /// The same, one level further out.
    #[cold]
    pub(crate) fn within(mut self, part: impl fmt::Display) -> Self {
        self.path.push(part.to_string());
        self
    }

    /// Where it is: keys and indexes as `get-in` takes them, the outermost first.
    pub fn path(&self) -> impl Iterator<Item = &str> {
        self.path.iter().rev().map(String::as_str)
    }

    /// What is wrong there.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.path().enumerate() {
            write!(f, "{}{part}", if i == 0 { "at [" } else { " " })?;
        }
        if !self.path.is_empty() {
            f.write_str("]: ")?;
        }
        f.write_str(&self.message)
    }
}

impl core::error::Error for ConvertError {}

impl ser::Error for ConvertError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }
}

impl de::Error for ConvertError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }

    fn invalid_type(got: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format_args!("expected {expected}, got {}", Got(got)))
    }

    fn invalid_value(got: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(got, expected)
    }

    fn invalid_length(len: usize, expected: &dyn de::Expected) -> Self {
        Self::new(format_args!("expected {expected}, got {len} elements"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format_args!("`:{field}` is missing"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Unknown { field, expected })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Unknown { field: variant, expected })
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format_args!("`:{field}` is given twice"))
    }
}

/// A name that is none of those expected.
pub(crate) struct Unknown<'a> {
    pub(crate) field: &'a str,
    pub(crate) expected: &'a [&'a str],
}

impl fmt::Display for Unknown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`:{}` is unknown", self.field)?;
        if let Some(near) = crate::compile::nearest(self.field, self.expected.iter().copied()) {
            return write!(f, "; did you mean `:{near}`?");
        }
        for (i, name) in self.expected.iter().enumerate() {
            write!(f, "{}`:{name}`", if i == 0 { "; there is " } else { ", " })?;
        }
        Ok(())
    }
}

/// What was found, in the language's words.
struct Got<'a>(de::Unexpected<'a>);

impl fmt::Display for Got<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            de::Unexpected::Unit => f.write_str("()"),
            de::Unexpected::Bool(b) => f.write_str(if b { "#t" } else { "#f" }),
            de::Unexpected::Signed(i) => write!(f, "{i}"),
            de::Unexpected::Unsigned(i) => write!(f, "{i}"),
            de::Unexpected::Float(x) => write!(f, "{x:?}"),
            de::Unexpected::Str(s) => write!(f, "{s:?}"),
            de::Unexpected::Seq => f.write_str("a list"),
            de::Unexpected::Map => f.write_str("a map"),
            other => other.fmt(f),
        }
    }
}
