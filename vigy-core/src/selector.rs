//! Which vigies are meant, by label: the grammar that kubectl has.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::Labels;

/// Which vigies are meant, by label. All requirements must hold; none at all selects everything.
///
/// | requirement | holds when the label |
/// |---|---|
/// | `k` | is there |
/// | `!k` | is not there |
/// | `k=v`, `k==v` | is there, with that value |
/// | `k!=v` | has another value, or is not there |
/// | `k in (a, b)` | is there, with one of these values |
/// | `k notin (a, b)` | has another value, or is not there |
///
/// Requirements are separated by commas or white space. A value is a word, possibly empty, or any text in double quotes, where `\` stands
/// before a quote or another `\`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Requirement {
    key: String,
    /// The values that are meant; any when nothing.
    values: Option<Vec<String>>,
    /// Whether the label must be there, with such a value, or must not.
    positive: bool,
}

impl Selector {
    /// The longest selector: 4,096 bytes.
    pub const MAX_BYTES: usize = 4096;

    /// Reads a selector.
    ///
    /// # Errors
    /// [`InvalidSelector`], with the place.
    pub fn parse(text: &str) -> Result<Self, InvalidSelector> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidSelector { at: Self::MAX_BYTES, expected: "the end: a selector has at most 4,096 bytes" });
        }
        let mut reader = Reader { text, at: 0 };
        let mut requirements = Vec::new();
        loop {
            reader.skip_space();
            if reader.rest().is_empty() {
                return Ok(Self(requirements));
            }
            if !reader.take(",") {
                requirements.push(reader.requirement()?);
            }
        }
    }

    /// Whether these labels are meant.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|Requirement { key, values, positive }| {
            let holds = match (labels.get(key), values) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(value), Some(values)) => values.iter().any(|wanted| wanted == value),
            };
            holds == *positive
        })
    }
}

/// What ends a word.
fn is_special(c: char) -> bool {
    c.is_whitespace() || "=!,()<>\"".contains(c)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes `token` if it is next.
    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let word = &rest[..rest.find(is_special).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn wrong<T>(&self, expected: &'static str) -> Result<T, InvalidSelector> {
        Err(InvalidSelector { at: self.at, expected })
    }

    fn requirement(&mut self) -> Result<Requirement, InvalidSelector> {
        let absent = self.take("!");
        self.skip_space();
        let key = self.word().to_string();
        if key.is_empty() {
            return self.wrong("a label's key");
        }
        if absent {
            return Ok(Requirement { key, values: None, positive: false });
        }
        self.skip_space();
        let before = self.at;
        for (operator, positive) in [("==", true), ("=", true), ("!=", false)] {
            if self.take(operator) {
                return Ok(Requirement { key, values: Some(Vec::from([self.value()?])), positive });
            }
        }
        let word = self.word();
        self.skip_space();
        if matches!(word, "in" | "notin") && self.take("(") {
            return Ok(Requirement { key, values: Some(self.values()?), positive: word == "in" });
        }
        // It was the next requirement.
        self.at = before;
        if self.rest().starts_with(['(', ')', '<', '>', '"']) {
            return self.wrong("`=`, `!=`, `in (…)`, `notin (…)`, or the next key");
        }
        Ok(Requirement { key, values: None, positive: true })
    }

    /// Values up to the closing parenthesis.
    fn values(&mut self) -> Result<Vec<String>, InvalidSelector> {
        let mut values = Vec::new();
        loop {
            values.push(self.value()?);
            self.skip_space();
            if self.take(")") {
                return Ok(values);
            }
            if !self.take(",") {
                return self.wrong("`,` or `)`");
            }
        }
    }

    fn value(&mut self) -> Result<String, InvalidSelector> {
        self.skip_space();
        if !self.take("\"") {
            return Ok(self.word().to_string());
        }
        let mut value = String::new();
        loop {
            let mut chars = self.rest().chars();
            let next = match chars.next() {
                Some('\\') => chars.next(),
                Some('"') => {
                    self.at += 1;
                    return Ok(value);
                }
                next => next,
            };
            let Some(next) = next else { return self.wrong("a closing `\"`") };
            value.push(next);
            self.at = self.text.len() - chars.as_str().len();
        }
    }
}

/// A text that is no selector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidSelector {
    /// Where, in bytes.
    pub at: usize,
    /// What should have been there.
    pub expected: &'static str,
}

impl fmt::Display for InvalidSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, expected } = self;
        write!(f, "this is no label selector, as `k=v,!k,k in (a,b)`: at byte {at}, expected {expected}")
    }
}

impl core::error::Error for InvalidSelector {}
