//! A question to the host, and why there may be no answer.

use core::fmt;

use crate::record::Refusal;
use crate::{ActionKey, Message, RunKey};

/// A question to the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask<'a> {
    /// The run that asks.
    pub run: RunKey,
    /// How many asks that run made before this one.
    pub sequence: u32,
    /// The key of a write; nothing for a read. After a crash the last write may be asked again, always under its key.
    pub key: Option<ActionKey>,
    /// Whether the program takes the answer for a secret, which no record shows.
    pub secret: bool,
    /// The operation, as `fs/list`.
    pub operation: &'a str,
    /// The arguments: data bytes of a list.
    pub arguments: &'a [u8],
}

/// Why the host gives no answer to an ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AskError {
    /// The tag under which the program can catch it: `denied`, `not-found`, `too-large`, `timeout`, or the operation's own.
    pub tag: &'static str,
    /// Details for people.
    pub message: Message,
}

impl AskError {
    /// The tags that refusals are recorded under: what [`AskError::recorded`] finds a tag in.
    pub const TAGS: &'static [&'static str] = &[
        "bad-answer",
        "conflict",
        "denied",
        "failed",
        "forbidden",
        "invalid",
        "io",
        "not-found",
        "not-recorded",
        "timeout",
        "too-large",
        "type-mismatch",
        "unavailable",
    ];

    /// The error of a refusal that was recorded; nothing when its tag is none of [`AskError::TAGS`].
    #[must_use]
    pub fn recorded(refusal: &Refusal<'_>) -> Option<Self> {
        let tag = Self::TAGS.iter().find(|tag| **tag == refusal.tag)?;
        Some(Self { tag, message: crate::message(refusal.message) })
    }

    /// An error under `tag`.
    #[must_use]
    pub fn new(tag: &'static str, message: fmt::Arguments<'_>) -> Self {
        Self { tag, message: crate::format(message) }
    }

    /// The error as the record keeps it.
    #[must_use]
    pub fn refusal(&self) -> Refusal<'_> {
        Refusal { tag: self.tag, message: &self.message }
    }
}
