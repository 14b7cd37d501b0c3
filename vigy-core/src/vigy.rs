//! A vigy as its author declares it.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{InvalidInterval, Limits, TickInterval};

/// A program with a name and an interval: everything a runtime needs to keep it ticking. The name is its identity.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Vigy {
    /// Unique within a runtime.
    pub name: Name,
    /// The program's text.
    pub program: String,
    /// How often it ticks.
    pub interval: TickInterval,
    /// Whether it ticks on its own.
    pub enabled: bool,
    /// For people and selectors; the runtime gives them no meaning.
    pub labels: Labels,
    /// What a tick may use.
    pub limits: Limits,
    /// Who carries out its actions, in the host's words, as `log` or `exec:COMMAND`.
    pub on_action: String,
    /// Capabilities, in the host's words, as `fs:/etc:r`.
    pub allow: Vec<String>,
    /// What the program's `(current-config)` decodes: the data bytes of a map, or none at all.
    pub config: Vec<u8>,
}

impl Vigy {
    /// The longest program: 1 MiB.
    pub const MAX_PROGRAM_BYTES: usize = 1 << 20;

    /// A vigy that logs its actions, with no capability, enabled, under the default limits.
    ///
    /// # Errors
    /// [`InvalidVigy`] for a bad name, or a program that is blank or too long. Whether the program compiles is checked when it is registered.
    pub fn new(name: &str, program: impl Into<String>, interval: TickInterval) -> Result<Self, InvalidVigy> {
        let program = program.into();
        if program.trim().is_empty() {
            return Err(InvalidVigy::BlankProgram);
        }
        if program.len() > Self::MAX_PROGRAM_BYTES {
            return Err(InvalidVigy::LongProgram(program.len()));
        }
        Ok(Self {
            name: Name::new(name)?,
            program,
            interval,
            enabled: true,
            labels: Labels::default(),
            limits: Limits::default(),
            on_action: "log".to_string(),
            allow: Vec::new(),
            config: Vec::new(),
        })
    }
}

/// The name of a vigy: 1 to [`Name::MAX_BYTES`] bytes of printable text, no white space at its ends, no `/`, and
/// not `.` or `..`, which no URL can carry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The longest name: 128 bytes.
    pub const MAX_BYTES: usize = 128;

    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidVigy::Name`].
    pub fn new(name: &str) -> Result<Self, InvalidVigy> {
        let problem = if name.is_empty() {
            "it is empty"
        } else if name.len() > Self::MAX_BYTES {
            "it is longer than 128 bytes"
        } else if name.chars().any(|c| c.is_control() || is_invisible(c)) {
            "it has control or invisible characters"
        } else if name.trim() != name {
            "it begins or ends with white space"
        } else if name.contains('/') || name == "." || name == ".." {
            "it has a `/`, or is `.` or `..`"
        } else {
            return Ok(Self(name.to_string()));
        };
        Err(InvalidVigy::Name(problem))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that let two names look alike or turn text around: zero width, direction marks, byte order mark.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidVigy;

    fn try_from(name: String) -> Result<Self, InvalidVigy> {
        Self::new(&name)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// Labels: at most [`Labels::MAX`], keys of `[A-Za-z0-9-_./]`, values of printable text.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// The most labels a vigy can have: 64.
    pub const MAX: usize = 64;
    /// The longest key or value: 253 bytes.
    pub const MAX_BYTES: usize = 253;

    /// Sets a label.
    ///
    /// # Errors
    /// [`InvalidVigy::Label`].
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), InvalidVigy> {
        let in_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        let problem = if key.is_empty() || key.len() > Self::MAX_BYTES || !key.bytes().all(in_key) {
            "a key is 1 to 253 of the characters A-Z a-z 0-9 - _ . /"
        } else if value.len() > Self::MAX_BYTES || value.chars().any(|c| c.is_control() || is_invisible(c)) {
            "a value is at most 253 bytes of printable text"
        } else if self.0.len() >= Self::MAX && !self.0.contains_key(key) {
            "a vigy has at most 64 labels"
        } else {
            self.0.insert(key.to_string(), value.to_string());
            return Ok(());
        };
        Err(InvalidVigy::Label(problem))
    }

    /// The labels, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of a label.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = InvalidVigy;

    fn try_from(map: BTreeMap<String, String>) -> Result<Self, InvalidVigy> {
        let mut labels = Self::default();
        map.iter().try_for_each(|(key, value)| labels.insert(key, value))?;
        Ok(labels)
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

/// Which vigies are meant, by label: `k=v` terms joined by commas, all of which must hold. No term selects everything.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Selector(Vec<(String, String)>);

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// [`InvalidVigy::Selector`].
    pub fn parse(text: &str) -> Result<Self, InvalidVigy> {
        let terms = text.split(',').map(str::trim).filter(|term| !term.is_empty());
        let pairs = terms.map(|term| match term.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.trim().to_string(), value.trim().to_string())),
            _ => Err(InvalidVigy::Selector),
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// Whether these labels are meant.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// What is wrong with a declaration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidVigy {
    /// The name, and why.
    Name(&'static str),
    /// A label, and the rule it breaks.
    Label(&'static str),
    /// A selector that is no list of `k=v`.
    Selector,
    /// A program without a form.
    BlankProgram,
    /// A program of this many bytes.
    LongProgram(usize),
    /// The interval.
    Interval(InvalidInterval),
}

impl fmt::Display for InvalidVigy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(problem) => write!(f, "this cannot name a vigy: {problem}"),
            Self::Label(rule) => write!(f, "this cannot be a label: {rule}"),
            Self::Selector => f.write_str("a label selector is KEY=VALUE[,KEY=VALUE…]"),
            Self::BlankProgram => f.write_str("the program is blank: a vigy needs at least one form, as (vigy-noop)"),
            Self::LongProgram(len) => {
                write!(f, "the program has {len} bytes, at most {} are taken", Vigy::MAX_PROGRAM_BYTES)
            }
            Self::Interval(interval) => interval.fmt(f),
        }
    }
}

impl core::error::Error for InvalidVigy {}

impl From<InvalidInterval> for InvalidVigy {
    fn from(interval: InvalidInterval) -> Self {
        Self::Interval(interval)
    }
}
