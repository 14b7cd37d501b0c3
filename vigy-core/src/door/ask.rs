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
