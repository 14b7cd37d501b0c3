//! What lies where: keys are made and read here, and nowhere else. Rows begin with a version byte of ours; the rest is postcard.
//!
//! ```text
//! 0 | name                         facts about the store: its format, its secret
//! 1 | name                         id
//! 2 | id                           Standing: all that a tick changes beside its history, and all that a start of the host reads
//! 3 | seq                          Happening
//! 4 | id | tick | index            DeadLetter
//! 5 | id | part | rest             the rows of one vigy, together: see Part
//! ```
//!
//! Numbers are big-endian, so that keys have the order of what they say.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vigy_core::record::{Bytes, ConditionStatus, Record};
use vigy_core::{ActionKey, ActionKind, Checkpoint, ResultStatus, RunKey, Timestamp, Vigy, VigyId};

use super::Snapshot;
use crate::StoreError;

/// The format this version writes. 3: one map of bytes; revisions, dead letters and the event log. Stores of format 2 are migrated.
pub(crate) const FORMAT: u32 = 3;

/// First byte of every row.
const ROW_VERSION: u8 = 1;

/// The first byte of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Space {
    Meta,
    Name,
    Standing,
    Event,
    DeadLetter,
    Vigy,
}

/// Rows of one vigy, as they are keyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Part {
    /// Revision number → [`RevisionRow`].
    Revision,
    /// Key → data bytes, as they are.
    Kv,
    /// Name → data bytes, as they are.
    Desired,
    /// Name → data bytes, as they are.
    Observed,
    /// Name → [`ConditionRow`].
    Condition,
    /// Name → an `f64`.
    Metric,
    /// Tick → [`RunRow`].
    Run,
    /// Hash → bytes that runs refer to, as they are.
    Value,
    /// Hash → how many runs refer to it.
    Reference,
    /// → the draft of a tick that has asked for a write and is not over, as it is.
    Draft,
    /// Hash → bytes that the draft refers to, as they are.
    DraftValue,
}

impl Part {
    pub(super) const ALL: [Self; 11] = [
        Self::Revision,
        Self::Kv,
        Self::Desired,
        Self::Observed,
        Self::Condition,
        Self::Metric,
        Self::Run,
        Self::Value,
        Self::Reference,
        Self::Draft,
        Self::DraftValue,
    ];
}

/// All rows there are.
pub(super) const EVERYTHING: Range<&[u8]> = &[]..&[u8::MAX];

/// The key of a fact about the store.
pub(super) fn meta(name: &str) -> Vec<u8> {
    [&[Space::Meta as u8], name.as_bytes()].concat()
}

/// The facts' names.
pub(super) const META_FORMAT: &str = "format";
pub(super) const META_SECRET: &str = "secret";
/// The number before the first event of the log; 0 when it is left out. See [`super::restore`].
pub(super) const META_LOG: &str = "log";

pub(super) fn name(name: &str) -> Vec<u8> {
    [&[Space::Name as u8], name.as_bytes()].concat()
}

pub(super) fn standing(VigyId(id): VigyId) -> Vec<u8> {
    let mut key = vec![Space::Standing as u8];
    key.extend(id.to_be_bytes());
    key
}

pub(super) fn event(seq: u64) -> Vec<u8> {
    let mut key = vec![Space::Event as u8];
    key.extend(seq.to_be_bytes());
    key
}

pub(super) fn dead_letter(VigyId(id): VigyId, tick: u64, index: u16) -> Vec<u8> {
    let mut key = vec![Space::DeadLetter as u8];
    key.extend(id.to_be_bytes());
    key.extend(tick.to_be_bytes());
    key.extend(index.to_be_bytes());
    key
}

/// The key of a vigy's row.
pub(super) fn of(VigyId(id): VigyId, part: Part, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(10 + rest.len());
    key.push(Space::Vigy as u8);
    key.extend(id.to_be_bytes());
    key.push(part as u8);
    key.extend(rest);
    key
}

pub(super) fn revision(id: VigyId, number: u64) -> Vec<u8> {
    of(id, Part::Revision, &number.to_be_bytes())
}

pub(super) fn run(id: VigyId, tick: u64) -> Vec<u8> {
    of(id, Part::Run, &tick.to_be_bytes())
}

/// The range of all keys that begin with `prefix`.
pub(super) fn prefix(mut prefix: Vec<u8>) -> Range<Vec<u8>> {
    let start = prefix.clone();
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return start..prefix;
        }
    }
    // Nothing lies behind keys of 255s alone, and no key of ours begins with one.
    start..vec![u8::MAX]
}

/// The rows of a space.
pub(super) fn space(space: Space) -> Range<Vec<u8>> {
    prefix(vec![space as u8])
}

/// The rows of a part.
pub(super) fn part(id: VigyId, part: Part) -> Range<Vec<u8>> {
    prefix(of(id, part, &[]))
}

/// The rows of one vigy.
pub(super) fn vigy(VigyId(id): VigyId) -> Range<Vec<u8>> {
    prefix([&[Space::Vigy as u8][..], &id.to_be_bytes()].concat())
}

/// A vigy's dead letters.
pub(super) fn dead_letters(VigyId(id): VigyId) -> Range<Vec<u8>> {
    prefix([&[Space::DeadLetter as u8][..], &id.to_be_bytes()].concat())
}

/// A key, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key<'k> {
    Meta(&'k str),
    Name(&'k str),
    Standing(VigyId),
    Event(u64),
    DeadLetter { id: VigyId, tick: u64, index: u16 },
    Vigy { id: VigyId, part: Part, rest: &'k [u8] },
}

impl<'k> Key<'k> {
    /// Reads a key; nothing when it is none of ours.
    pub(super) fn parse(key: &'k [u8]) -> Option<Self> {
        let (&space, rest) = key.split_first()?;
        let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
        Some(match space {
            space if space == Space::Meta as u8 => Self::Meta(str::from_utf8(rest).ok()?),
            space if space == Space::Name as u8 => Self::Name(str::from_utf8(rest).ok()?),
            space if space == Space::Standing as u8 => Self::Standing(VigyId(number(rest)?)),
            space if space == Space::Event as u8 => Self::Event(number(rest)?),
            space if space == Space::DeadLetter as u8 => {
                let (id, rest) = rest.split_at_checked(8)?;
                let (tick, index) = rest.split_at_checked(8)?;
                let index = u16::from_be_bytes(index.try_into().ok()?);
                Self::DeadLetter { id: VigyId(number(id)?), tick: number(tick)?, index }
            }
            space if space == Space::Vigy as u8 => {
                let (id, rest) = rest.split_at_checked(8)?;
                let (&part, rest) = rest.split_first()?;
                let part = *Part::ALL.get(usize::from(part))?;
                Self::Vigy { id: VigyId(number(id)?), part, rest }
            }
            _ => return None,
        })
    }

    /// The number that a vigy's row ends with: of a run, or of a revision.
    pub(super) fn number(rest: &[u8]) -> Option<u64> {
        rest.try_into().ok().map(u64::from_be_bytes)
    }

    /// The name that a vigy's row ends with.
    pub(super) fn text(rest: &[u8]) -> Result<String, StoreError> {
        String::from_utf8(rest.to_vec()).map_err(|_| StoreError("a key is damaged".to_owned()))
    }
}

/// Where a vigy stands.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) enabled: bool,
    /// The number of its declaration: how often that changed, from 1.
    pub(crate) revision: u64,
    /// How often declaration or `enabled` changed: orders what concurrent writers tell the scheduler.
    pub(crate) version: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// Bytes of the runs kept, and of the values they refer to.
    pub(crate) bytes: u64,
    /// No run before this one is kept.
    pub(crate) first: u64,
    /// Dead letters kept.
    pub(crate) dead: u32,
}

/// A declaration. Whether the vigy is enabled stands in its [`Standing`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct RevisionRow {
    pub(crate) declared_at: Timestamp,
    /// BLAKE3 of the program's image, by which records name it; nothing for what was declared before format 3.
    pub(crate) image: Option<[u8; 32]>,
    pub(crate) vigy: Vigy,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct ConditionRow {
    pub(crate) status: ConditionStatus,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) last_transition: Timestamp,
}

/// A run.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct RunRow<'r> {
    /// When it began.
    pub(crate) at: Timestamp,
    /// When its last action had its outcome.
    pub(crate) ended_at: Option<Timestamp>,
    /// Whether the record refers to values: if not, nobody has to look for them.
    pub(crate) refers: bool,
    /// As [`vigy_core::settled`] reads them; none before the run is over, and none when no action asked a handler: then they follow from
    /// the record. See [`RunRow::settlement`].
    #[serde(borrow)]
    pub(crate) outcomes: Bytes<'r>,
    /// The canonical record.
    #[serde(borrow)]
    pub(crate) record: Bytes<'r>,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// To whom.
    pub vigy: VigyId,
    /// What.
    pub what: Happened,
}

/// What can happen to a vigy. The variants' order is the format: add at the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Happened {
    /// It was registered.
    Registered {
        /// As.
        name: String,
    },
    /// It was declared anew.
    Updated {
        /// The number of the new declaration.
        revision: u64,
    },
    /// It ticks on its own again.
    Enabled,
    /// It does not tick on its own any more.
    Disabled,
    /// It failed too often to go on by itself.
    Parked,
    /// It is not parked any more.
    Resumed,
    /// It was deleted.
    Deleted {
        /// What it was called.
        name: String,
    },
    /// A run is over: every action has its outcome.
    Ran {
        /// Which.
        run: RunKey,
        /// What came of the evaluation.
        result: ResultStatus,
    },
    /// An action failed for good.
    DeadLettered {
        /// Under which key.
        key: ActionKey,
    },
}

/// An action that failed for good, kept until somebody carries it out by hand, under its key, or discards it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// What its receiver deduplicates by.
    pub key: ActionKey,
    /// What was asked for.
    pub kind: ActionKind,
    /// With which payload: data bytes.
    pub payload: Option<Vec<u8>>,
    /// Why it failed.
    pub message: String,
    /// How often it was tried.
    pub attempts: u16,
    /// When it failed.
    pub at: Timestamp,
}

/// The id of a name: the first 8 bytes of its BLAKE3.
pub(crate) fn id_of(name: &str) -> VigyId {
    let hash = blake3::hash(name.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    VigyId(u64::from_be_bytes(first))
}

pub(crate) fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, StoreError> {
    encode_into(row, Vec::new())
}

fn encode_into<T: Serialize>(row: &T, mut into: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    into.push(ROW_VERSION);
    postcard::to_extend(row, into).map_err(|error| StoreError(format!("cannot write a row: {error}")))
}

impl RunRow<'_> {
    /// Bytes that all but outcomes and record take at most.
    const REST: usize = 48;

    /// What came of the actions; nothing before the run is over.
    pub(crate) fn settlement(&self) -> Result<Option<Cow<'_, [u8]>>, StoreError> {
        if self.ended_at.is_none() {
            return Ok(None);
        }
        if !self.outcomes.0.is_empty() {
            return Ok(Some(Cow::Borrowed(self.outcomes.0)));
        }
        let record = Record::parse(self.record.0).map_err(|error| StoreError(error.to_string()))?;
        Ok(Some(Cow::Owned(record.settled_at_once())))
    }

    /// The row's bytes, in one piece from the beginning: it is the largest there is.
    pub(crate) fn encoded(&self) -> Result<Vec<u8>, StoreError> {
        encode_into(self, Vec::with_capacity(Self::REST + self.outcomes.0.len() + self.record.0.len()))
    }
}

pub(crate) fn decode<'r, T: Deserialize<'r>>(bytes: &'r [u8]) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&ROW_VERSION, row)) => postcard::from_bytes(row).map_err(|error| StoreError(format!("a row is damaged: {error}"))),
        _ => Err(StoreError("a row has an unknown version".to_owned())),
    }
}

/// The row of a key.
pub(crate) fn row<T: DeserializeOwned>(rows: &dyn Snapshot, key: &[u8]) -> Result<Option<T>, StoreError> {
    rows.get(key)?.map(|row| decode(&row)).transpose()
}
