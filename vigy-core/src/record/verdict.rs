//! How an evaluation ended, and how to say it.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::Limits;

/// How an evaluation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict<'a> {
    /// It reached the end of the program.
    Ok,
    /// It raised an error that nobody caught.
    Raised {
        /// The error's tag.
        tag: &'a str,
        /// Its message.
        message: &'a str,
        /// Where in the program.
        place: Option<Place>,
    },
    /// It used something up.
    Exhausted(Resource),
    /// It failed, and asked to be tried again: `(vigy-retry …)`.
    Retry {
        /// In how many milliseconds.
        after_ms: u64,
        /// Why; possibly empty.
        message: &'a str,
        /// Where in the program.
        place: Option<Place>,
    },
    /// It failed for good: `(vigy-fail …)`.
    Permanent {
        /// Why.
        message: &'a str,
        /// Where in the program.
        place: Option<Place>,
    },
}

impl Verdict<'_> {
    /// Where in the program it failed, when that is known.
    #[must_use]
    pub const fn place(&self) -> Option<Place> {
        match self {
            Self::Raised { place, .. } | Self::Retry { place, .. } | Self::Permanent { place, .. } => *place,
            Self::Ok | Self::Exhausted(_) => None,
        }
    }
}

/// A place in a program's text, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "line and column")]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// What a tick can run out of: the fields of [`Limits`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "see the field of the same name in `Limits`")]
pub enum Resource {
    Fuel,
    Heap,
    Output,
    Actions,
    LogLines,
    KvKeys,
    Record,
    Values,
}

impl Resource {
    /// The outcome's tag, as `out-of-fuel`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Fuel => "out-of-fuel",
            Self::Heap => "out-of-heap",
            Self::Output => "too-much-output",
            Self::Actions => "too-many-actions",
            Self::LogLines => "too-many-log-lines",
            Self::KvKeys => "too-many-kv-keys",
            Self::Record => "record-full",
            Self::Values => "too-many-value-bytes",
        }
    }

    /// How much of it these limits allow.
    #[must_use]
    pub const fn of(self, limits: &Limits) -> u64 {
        match self {
            Self::Fuel => limits.fuel,
            Self::Heap => limits.heap_bytes as u64,
            Self::Output => limits.output_bytes as u64,
            Self::Actions => limits.actions as u64,
            Self::LogLines => limits.log_lines as u64,
            Self::KvKeys => limits.kv_keys as u64,
            Self::Record => limits.record_bytes as u64,
            Self::Values => limits.value_bytes as u64,
        }
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Fuel => ("steps", "fuel"),
            Self::Heap => ("bytes of heap", "heap_bytes"),
            Self::Output => ("bytes of printed output", "output_bytes"),
            Self::Actions => ("actions", "actions"),
            Self::LogLines => ("log lines", "log_lines"),
            Self::KvKeys => ("kv keys", "kv_keys"),
            Self::Record => ("bytes of run record", "record_bytes"),
            Self::Values => ("bytes of large values", "value_bytes"),
        }
    }
}

/// A verdict with the limits it was reached under, as a line for people.
#[derive(Clone, Copy, Debug)]
pub struct Explain<'a>(pub Verdict<'a>, pub &'a Limits);

impl fmt::Display for Explain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.0.place() {
            write!(f, "{line}:{column}: ")?;
        }
        match self.0 {
            Verdict::Ok => f.write_str("ok"),
            Verdict::Raised { tag, message, .. } => write!(f, "{tag}: {message}"),
            Verdict::Exhausted(resource) => {
                let (what, limit) = resource.words();
                write!(f, "{}: used all {} {what} (limit `{limit}`)", resource.tag(), resource.of(self.1))
            }
            Verdict::Retry { after_ms, message: "", .. } => write!(f, "retry: in {after_ms} ms"),
            Verdict::Retry { after_ms, message, .. } => write!(f, "retry: in {after_ms} ms: {message}"),
            Verdict::Permanent { message, .. } => write!(f, "permanent: {message}"),
        }
    }
}
