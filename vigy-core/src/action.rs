//! What a vigy wants done, and what came of it.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ActionKey, Message};

/// What an action asks for. The runtime gives no meaning to the kinds beyond [`ActionKind::is_settled_at_once`]; the handler does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the kinds are their names")]
pub enum ActionKind {
    Noop,
    Defer,
    Pull,
    Push,
    Create,
    Update,
    Delete,
    Apply,
    Restart,
    Custom,
}

impl ActionKind {
    /// All kinds, in the order of their numbers in the record.
    pub const ALL: [Self; 10] = [
        Self::Noop,
        Self::Defer,
        Self::Pull,
        Self::Push,
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Apply,
        Self::Restart,
        Self::Custom,
    ];

    /// The kind's name: lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Defer => "defer",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Apply => "apply",
            Self::Restart => "restart",
            Self::Custom => "custom",
        }
    }

    /// Whether there is nothing to carry out: `noop` is ok and `defer` is skipped without asking a handler.
    #[must_use]
    pub const fn is_settled_at_once(self) -> bool {
        matches!(self, Self::Noop | Self::Defer)
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no kind of action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownKind;

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kinds of action are")?;
        Self::list(f)
    }
}

impl UnknownKind {
    fn list(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ActionKind::ALL.iter().try_for_each(|kind| write!(f, " {kind}"))
    }
}

impl core::error::Error for UnknownKind {}

impl FromStr for ActionKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(UnknownKind)
    }
}

/// One action, on its way to the handler. Delivered at least once, always under the same key.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ReconcileAction<'a> {
    /// What the handler deduplicates by.
    pub key: ActionKey,
    /// What is asked for.
    pub kind: ActionKind,
    /// The payload as data bytes (the encoding of `vigy_lisp::Data`), if the program gave one.
    pub payload: Option<&'a [u8]>,
    /// Why, for `defer`; otherwise nothing.
    pub message: Option<&'a str>,
}

/// What came of an action.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultStatus {
    /// Carried out.
    Ok,
    /// Tried, and failed.
    Failed,
    /// Not tried.
    Skipped,
}

impl ResultStatus {
    /// The status of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Ok, Self::Failed, Self::Skipped].into_iter().find(|status| status.name() == name)
    }

    /// The status's name: lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for ResultStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The outcome a handler reports for one action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What came of it.
    pub status: ResultStatus,
    /// Details for people, cut to [`crate::MESSAGE_BYTES`]; empty when there is nothing to say.
    pub message: Message,
    /// Whether a failure may pass, so that trying again may help.
    pub transient: bool,
}

impl Outcome {
    /// Carried out.
    #[must_use]
    pub fn ok() -> Self {
        Self { status: ResultStatus::Ok, message: Message::new(), transient: false }
    }

    /// Tried and failed, because of `message`, which may pass: it is tried again, as often as [`crate::Policy::act_attempts`] says.
    #[must_use]
    pub fn failed(message: &str) -> Self {
        Self { transient: true, ..Self::refused(message) }
    }

    /// Tried and failed for good, because of `message`: trying again would not help.
    #[must_use]
    pub fn refused(message: &str) -> Self {
        Self { status: ResultStatus::Failed, message: crate::message(message), transient: false }
    }

    /// Not tried, because of `message`.
    #[must_use]
    pub fn skipped(message: &str) -> Self {
        Self { status: ResultStatus::Skipped, message: crate::message(message), transient: false }
    }

    pub(crate) fn is_transient(&self) -> bool {
        self.status == ResultStatus::Failed && self.transient
    }
}

/// One line of a settlement: the outcome of the action at `index`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settled<'a> {
    /// The action's place in its run's queue.
    pub index: u16,
    /// The action's kind.
    pub kind: ActionKind,
    /// What came of it.
    pub status: ResultStatus,
    /// Details, possibly empty.
    pub message: &'a str,
    /// How often it was tried; 0 for what asks no handler.
    pub attempts: u16,
}

/// Settlements are data, so that a program reads them as they are stored: the list of a map
/// `{:index 0 :kind :push :result :ok :message "" :attempts 1}` per action. These are the tags of `vigy_lisp::Data`.
mod tag {
    pub(super) const INT: u8 = 2;
    pub(super) const STRING: u8 = 4;
    pub(super) const KEYWORD: u8 = 6;
    pub(super) const LIST: u8 = 7;
    pub(super) const MAP: u8 = 8;
}

type Keyword<'a> = (u8, &'a str);

/// A line as postcard sees it: tag and length of the map, then its entries.
type Line<'a> = (Old<'a>, Count<'a>);
type Old<'a> = (u8, u8, Count<'a>, (Keyword<'a>, Keyword<'a>), (Keyword<'a>, Keyword<'a>), (Keyword<'a>, (u8, &'a str)));
type Count<'a> = (Keyword<'a>, (u8, i64));

/// Bytes before the first line.
pub(crate) const SETTLEMENT_HEAD: usize = 4;

/// Writes the head of a settlement of `count` lines and says how many bytes it has, nothing when they do not fit.
pub(crate) fn write_head(count: u16, into: &mut [u8]) -> Option<usize> {
    postcard::to_slice(&(tag::LIST, count), into).ok().map(|bytes| bytes.len())
}

/// Writes a line and says how many bytes it has, nothing when they do not fit.
pub(crate) fn write_line(line: &Settled<'_>, into: &mut [u8]) -> Option<usize> {
    let keyword = |name| (tag::KEYWORD, name);
    let old: Old<'_> = (
        tag::MAP,
        5,
        (keyword("index"), (tag::INT, i64::from(line.index))),
        (keyword("kind"), keyword(line.kind.name())),
        (keyword("result"), keyword(line.status.name())),
        (keyword("message"), (tag::STRING, line.message)),
    );
    let line: Line<'_> = (old, (keyword("attempts"), (tag::INT, i64::from(line.attempts))));
    postcard::to_slice(&line, into).ok().map(|bytes| bytes.len())
}

/// The settlement of a run none of whose actions asked a handler.
#[cfg(feature = "alloc")]
pub(crate) fn settlement_at_once(record: &crate::record::Record<'_>) -> alloc::vec::Vec<u8> {
    use crate::record::{Entry, Verdict};
    let of_a_failed_run = record.end().0 != Verdict::Ok;
    let actions = || record.entries().filter(|entry| matches!(entry, Entry::Action { .. }) && !of_a_failed_run);
    let mut line = [0; crate::memory::OUTCOME_MIN + crate::MESSAGE_BYTES];
    // The record of a run has at most 32,768 actions, and the line has room for the longest message.
    let head = write_head(actions().count() as u16, &mut line).unwrap_or_default();
    let mut settlement = line[..head].to_vec();
    for (index, entry) in actions().enumerate() {
        let Entry::Action { kind, message, .. } = entry else { continue };
        let (status, message) = match kind {
            ActionKind::Defer => (ResultStatus::Skipped, crate::door::cut(message.unwrap_or_default(), crate::MESSAGE_BYTES)),
            _ => (ResultStatus::Ok, ""),
        };
        let len = write_line(&Settled { index: index as u16, kind, status, message, attempts: 0 }, &mut line).unwrap_or_default();
        settlement.extend_from_slice(&line[..len]);
    }
    settlement
}

/// Writes the head of the payload of an emitted event, `{:event KIND :details …}`, of which the details follow, and says how many bytes it
/// has; nothing when they do not fit.
#[cfg(feature = "lisp")]
pub(crate) fn write_event(kind: &str, into: &mut [u8]) -> Option<usize> {
    let keyword = |name| (tag::KEYWORD, name);
    postcard::to_slice(&(tag::MAP, 2u8, (keyword("event"), keyword(kind)), keyword("details")), into).ok().map(|bytes| bytes.len())
}

/// The lines of a settlement, from the bytes a [`crate::Settlement`] holds. Ends at the first line that does not decode.
pub fn settled(bytes: &[u8]) -> impl Iterator<Item = Settled<'_>> {
    let mut rest = postcard::take_from_bytes::<(u8, u16)>(bytes).map_or(&[][..], |(_, rest)| rest);
    core::iter::from_fn(move || {
        let (line, after) = take_line(rest)?;
        rest = after;
        Some(line)
    })
}

/// A line, and what is behind it. Stores from before actions were tried again have lines without a number of attempts: it was one.
fn take_line(bytes: &[u8]) -> Option<(Settled<'_>, &[u8])> {
    let ((_, entries), _) = postcard::take_from_bytes::<(u8, u8)>(bytes).ok()?;
    let (line, attempts, rest) = if entries == 4 {
        let (line, rest) = postcard::take_from_bytes::<Old<'_>>(bytes).ok()?;
        (line, 1, rest)
    } else {
        let ((line, (_, (_, attempts))), rest) = postcard::take_from_bytes::<(Old<'_>, Count<'_>)>(bytes).ok()?;
        (line, attempts, rest)
    };
    let (_, _, (_, (_, index)), (_, (_, kind)), (_, (_, result)), (_, (_, message))) = line;
    let (index, attempts) = (u16::try_from(index).ok()?, u16::try_from(attempts).ok()?);
    Some((Settled { index, kind: kind.parse().ok()?, status: ResultStatus::parse(result)?, message, attempts }, rest))
}
