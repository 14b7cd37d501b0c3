//! A vigy as its author declares it.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{Cadence, InvalidCadence, InvalidInterval, Limits, Policy, TickInterval};

/// A program with a name and a schedule: everything a runtime needs to keep it ticking. The name is its identity.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Vigy {
    /// Unique within a runtime.
    pub name: Name,
    /// The program's text.
    pub program: String,
    /// When it ticks.
    pub schedule: Schedule,
    /// Whether it ticks on its own.
    pub enabled: bool,
    /// For people and selectors; the runtime gives them no meaning.
    pub labels: Labels,
    /// What a tick may use.
    pub limits: Limits,
    /// What follows its failures.
    pub policy: Policy,
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

    /// A vigy that logs its actions, with no capability, enabled, under the default limits and policy. An interval is a schedule, and so
    /// is a [`Cadence`].
    ///
    /// # Errors
    /// [`InvalidVigy`] for a bad name or cadence, or a program that is blank or too long. Whether the program compiles is checked when it is registered.
    pub fn new(name: &str, program: impl Into<String>, schedule: impl Into<Schedule>) -> Result<Self, InvalidVigy> {
        let (program, schedule) = (program.into(), schedule.into());
        if program.trim().is_empty() {
            return Err(InvalidVigy::BlankProgram);
        }
        if program.len() > Self::MAX_PROGRAM_BYTES {
            return Err(InvalidVigy::LongProgram(program.len()));
        }
        if let Schedule::Every(cadence) = &schedule {
            cadence.check()?;
        }
        Ok(Self {
            name: Name::new(name)?,
            program,
            schedule,
            enabled: true,
            labels: Labels::default(),
            limits: Limits::default(),
            policy: Policy::default(),
            on_action: "log".to_string(),
            allow: Vec::new(),
            config: Vec::new(),
        })
    }
}

/// When a vigy ticks, as its author declares it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// At a distance in time.
    Every(Cadence),
    /// When a calendar says so.
    Cron(CronText),
}

impl Schedule {
    /// The interval; none when a calendar says when.
    #[must_use]
    pub const fn interval(&self) -> Option<TickInterval> {
        match self {
            Self::Every(cadence) => Some(cadence.interval),
            Self::Cron(_) => None,
        }
    }
}

impl From<TickInterval> for Schedule {
    fn from(interval: TickInterval) -> Self {
        Self::Every(interval.into())
    }
}

impl From<Cadence> for Schedule {
    fn from(cadence: Cadence) -> Self {
        Self::Every(cadence)
    }
}

impl From<CronText> for Schedule {
    fn from(text: CronText) -> Self {
        Self::Cron(text)
    }
}

/// A cron schedule as text, as `CRON_TZ=Europe/Berlin 0 3 * * *`: 1 to [`CronText::MAX_BYTES`] bytes of printable text. What it means is the
/// host's to say, which has the calendars.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CronText(String);

impl CronText {
    /// The longest text: 256 bytes.
    pub const MAX_BYTES: usize = 256;

    /// Checks a text.
    ///
    /// # Errors
    /// [`InvalidVigy::Cron`].
    pub fn new(text: &str) -> Result<Self, InvalidVigy> {
        let problem = if text.trim().is_empty() {
            "it is blank"
        } else if text.len() > Self::MAX_BYTES {
            "it is longer than 256 bytes"
        } else if text.chars().any(|c| c.is_control() || is_invisible(c)) {
            "it has control or invisible characters"
        } else {
            return Ok(Self(text.trim().to_string()));
        };
        Err(InvalidVigy::Cron(problem))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CronText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for CronText {
    type Error = InvalidVigy;

    fn try_from(text: String) -> Result<Self, InvalidVigy> {
        Self::new(&text)
    }
}

impl From<CronText> for String {
    fn from(text: CronText) -> Self {
        text.0
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

/// What is wrong with a declaration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidVigy {
    /// The name, and why.
    Name(&'static str),
    /// A label, and the rule it breaks.
    Label(&'static str),
    /// A program without a form.
    BlankProgram,
    /// A program of this many bytes.
    LongProgram(usize),
    /// The interval.
    Interval(InvalidInterval),
    /// The cadence.
    Cadence(InvalidCadence),
    /// A cron schedule, and why.
    Cron(&'static str),
}

impl fmt::Display for InvalidVigy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(problem) => write!(f, "this cannot name a vigy: {problem}"),
            Self::Label(rule) => write!(f, "this cannot be a label: {rule}"),
            Self::BlankProgram => f.write_str("the program is blank: a vigy needs at least one form, as (vigy-noop)"),
            Self::LongProgram(len) => {
                write!(f, "the program has {len} bytes, at most {} are taken", Vigy::MAX_PROGRAM_BYTES)
            }
            Self::Interval(interval) => interval.fmt(f),
            Self::Cadence(cadence) => cadence.fmt(f),
            Self::Cron(problem) => write!(f, "this cannot be a cron schedule: {problem}"),
        }
    }
}

impl core::error::Error for InvalidVigy {}

impl From<InvalidInterval> for InvalidVigy {
    fn from(interval: InvalidInterval) -> Self {
        Self::Interval(interval)
    }
}

impl From<InvalidCadence> for InvalidVigy {
    fn from(cadence: InvalidCadence) -> Self {
        Self::Cadence(cadence)
    }
}
