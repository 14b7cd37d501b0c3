//! The canonical record: everything a run was told and everything it said, in the order it happened.
//!
//! ```text
//! version (1 byte) | header | entry | entry | … | end
//! ```
//!
//! Header and entries are postcard. The record is the log of the door: kv reads and answers are inputs, the rest is output, so a run
//! can be evaluated again from its record alone. What depends on the host (durations, engine, action outcomes) is not in it, and the
//! same program with the same inputs gives the same bytes everywhere.

mod verdict;

use core::fmt;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::{ActionKind, Incarnation, Limits, Timestamp};

pub use verdict::{Explain, Place, Resource, Verdict};

/// First byte of every record that is written. Records of version 2 read the same: version 3 only added variants.
pub const RECORD_VERSION: u8 = 3;
const OLDEST_VERSION: u8 = 2;

/// What a run starts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// BLAKE3 of the program's image.
    pub program: [u8; 32],
    /// The life of the vigy.
    pub incarnation: Incarnation,
    /// Number of the tick, from 1.
    pub tick: u64,
    /// When the tick began.
    pub at: Timestamp,
    /// When the tick before it began; nothing on the first.
    pub previous: Option<Timestamp>,
    /// Seed of the program's randomness.
    pub seed: u64,
    /// What the tick may use.
    pub limits: Limits,
}

/// Bytes that serde treats as one piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = Bytes<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("borrowed bytes")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Bytes<'de>, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_bytes(Borrowed)
    }
}

/// A value in a record: data bytes in place, or the name of bytes that the store keeps once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Content<'a> {
    /// At most [`Content::INLINE`] bytes.
    Inline(#[serde(borrow)] Bytes<'a>),
    /// A larger value, by content.
    Stored {
        /// BLAKE3 of the bytes.
        hash: [u8; 32],
        /// How many bytes.
        len: u32,
    },
    /// A secret answer, of which no record has the bytes.
    Secret {
        /// [`crate::SecretKey::hash`] of the bytes, under the key of the host.
        hash: [u8; 32],
        /// How many bytes.
        len: u32,
    },
}

impl Content<'_> {
    /// Values of more bytes than this are stored by content: 256.
    pub const INLINE: usize = 256;
}

/// Severity of a log line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the levels are their names")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// The level of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "trace" => Self::Trace,
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" => Self::Warn,
            "error" => Self::Error,
            _ => return None,
        })
    }

    /// The level's name: lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// What a condition says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the values are their names")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    /// The status of that name, lower case or capitalised.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "true" | "True" => Self::True,
            "false" | "False" => Self::False,
            "unknown" | "Unknown" => Self::Unknown,
            _ => return None,
        })
    }

    /// The status's name: lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Unknown => "unknown",
        }
    }
}

/// What a question may do to the world, and who may see its answer. The variants' order is the format: add at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It only looks: asking again does no harm.
    Read,
    /// It changes something. It goes out under a key, after its intent is durable.
    Write,
    /// A read whose answer is for the program alone: the record has a keyed hash of it. A tick that was cut, and a replay, ask again, and
    /// go on only if the answer is the same. What the program does with it (log it, keep it) is its own business.
    SecretRead,
    /// A write whose answer is for the program alone. It is not sent again for its answer: a tick that is cut after it ends as failed.
    SecretWrite,
}

impl Access {
    /// The access of an operation that was declared so.
    #[must_use]
    pub const fn of(writes: bool, secret: bool) -> Self {
        match (writes, secret) {
            (false, false) => Self::Read,
            (true, false) => Self::Write,
            (false, true) => Self::SecretRead,
            (true, true) => Self::SecretWrite,
        }
    }

    /// Whether it changes something.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::SecretWrite)
    }

    /// Whether its answer is for the program alone.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::SecretRead | Self::SecretWrite)
    }
}

/// One thing that passed the door. The variants' order is the format: add at the end.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Entry<'a> {
    /// In: the value of a key when the run first looked, nothing if it had none.
    KvRead {
        /// The key.
        key: &'a str,
        /// Its data bytes.
        #[serde(borrow)]
        value: Option<Content<'a>>,
    },
    /// Out: a question to the host. Its answer is the next [`Entry::Answer`].
    Ask {
        /// The operation, as `fs/list`.
        operation: &'a str,
        /// Whether it only looks.
        access: Access,
        /// The arguments: data bytes of a list.
        #[serde(borrow)]
        arguments: Content<'a>,
    },
    /// In: the answer to the ask before it.
    Answer {
        /// Data bytes, or why there are none.
        #[serde(borrow)]
        answer: Result<Content<'a>, Refusal<'a>>,
    },
    /// Out: a key set, or removed.
    KvWrite {
        /// The key.
        key: &'a str,
        /// Its new data bytes; nothing removes it.
        #[serde(borrow)]
        value: Option<Content<'a>>,
    },
    /// Out: an action queued.
    Action {
        /// What is asked for.
        kind: ActionKind,
        /// Data bytes.
        #[serde(borrow)]
        payload: Option<Content<'a>>,
        /// Why, for `defer`.
        message: Option<&'a str>,
    },
    /// Out: a log line.
    Log {
        /// Severity.
        level: Level,
        /// The line.
        message: &'a str,
    },
    /// Out: text printed by `display` and friends.
    Output {
        /// The text.
        text: &'a str,
    },
    /// Out: a value noted for whoever debugs the run.
    Trace {
        /// Under which name.
        key: &'a str,
        /// Data bytes.
        #[serde(borrow)]
        value: Content<'a>,
    },
    /// Out: a measurement.
    Metric {
        /// Its name.
        name: &'a str,
        /// Its value.
        value: f64,
    },
    /// Out: an event.
    Event {
        /// Its kind.
        kind: &'a str,
        /// Details.
        message: &'a str,
    },
    /// Out: a condition of what is reconciled.
    Condition {
        /// Its name.
        name: &'a str,
        /// What it says.
        status: ConditionStatus,
        /// One word why; possibly empty.
        reason: &'a str,
        /// Details; possibly empty.
        message: &'a str,
    },
    /// Out: a part of the desired state.
    Desired {
        /// Which part.
        key: &'a str,
        /// Data bytes.
        #[serde(borrow)]
        value: Content<'a>,
    },
    /// Out: a part of the observed state.
    Observed {
        /// Which part.
        key: &'a str,
        /// Data bytes.
        #[serde(borrow)]
        value: Content<'a>,
    },
    /// The end of the evaluation: the last entry of every record.
    End {
        /// Fuel used.
        fuel: u64,
        /// How it ended.
        #[serde(borrow)]
        verdict: Verdict<'a>,
    },
    /// Out: the next tick asked for, whatever the schedule says. The last one counts.
    NextIn {
        /// In how many milliseconds.
        after_ms: u64,
    },
}

/// Why an ask has no answer. The program can catch it under its tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal<'a> {
    /// The error's tag, as `denied`.
    pub tag: &'a str,
    /// Details for people.
    pub message: &'a str,
}

/// A record that does not decode: foreign bytes, another version, or damage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DamagedRecord;

impl fmt::Display for DamagedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "these bytes are no run record of version {OLDEST_VERSION} to {RECORD_VERSION}")
    }
}

impl core::error::Error for DamagedRecord {}

/// A record being read.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    header: Header,
    entries: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the header and checks that every entry decodes and that the last, and only the last, is [`Entry::End`]. Linear in the
    /// record.
    ///
    /// # Errors
    /// [`DamagedRecord`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DamagedRecord> {
        let (record, ended) = Self::parse_any(bytes)?;
        if ended { Ok(record) } else { Err(DamagedRecord) }
    }

    /// [`Record::parse`] for the beginning of a record, as a [`crate::Draft`] has it: no entry is [`Entry::End`].
    ///
    /// # Errors
    /// [`DamagedRecord`].
    pub fn parse_draft(bytes: &'a [u8]) -> Result<Self, DamagedRecord> {
        let (record, ended) = Self::parse_any(bytes)?;
        if ended { Err(DamagedRecord) } else { Ok(record) }
    }

    /// Whether the record has its end, and reads it.
    fn parse_any(bytes: &'a [u8]) -> Result<(Self, bool), DamagedRecord> {
        let (&version, rest) = bytes.split_first().ok_or(DamagedRecord)?;
        if !(OLDEST_VERSION..=RECORD_VERSION).contains(&version) {
            return Err(DamagedRecord);
        }
        let (header, entries) = postcard::take_from_bytes(rest).map_err(|_| DamagedRecord)?;
        let (mut rest, mut ended) = (entries, false);
        while !rest.is_empty() {
            if ended {
                return Err(DamagedRecord);
            }
            let (entry, after) = postcard::take_from_bytes::<Entry<'_>>(rest).map_err(|_| DamagedRecord)?;
            ended = matches!(entry, Entry::End { .. });
            rest = after;
        }
        Ok((Self { header, entries }, ended))
    }

    /// What the run started from.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The entries, in order; the last is [`Entry::End`].
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> {
        entries(self.entries).map(|(_, entry)| entry)
    }

    pub(crate) const fn entry_bytes(&self) -> &'a [u8] {
        self.entries
    }

    /// How the run ended, and the fuel it used.
    #[must_use]
    pub fn end(&self) -> (Verdict<'a>, u64) {
        let end = self.entries().find_map(|entry| match entry {
            Entry::End { fuel, verdict } => Some((verdict, fuel)),
            _ => None,
        });
        // `parse` has seen the end.
        end.unwrap_or((Verdict::Ok, 0))
    }

    /// The settlement of a run none of whose actions asked a handler, as [`crate::Batch::outcomes`] had it: a store need not keep it.
    /// Linear in the record.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn settled_at_once(&self) -> alloc::vec::Vec<u8> {
        crate::action::settlement_at_once(self)
    }

    /// The hashes of the values this record refers to, in order, possibly repeated.
    pub fn stored(&self) -> impl Iterator<Item = [u8; 32]> + use<'a> {
        entries(self.entries).filter_map(|(_, entry)| match entry.content() {
            Some(Content::Stored { hash, .. }) => Some(hash),
            _ => None,
        })
    }
}

impl<'a> Entry<'a> {
    /// Whether it tells of a state: desired, observed, a condition, a metric.
    pub(crate) const fn is_state(&self) -> bool {
        matches!(self, Self::Desired { .. } | Self::Observed { .. } | Self::Condition { .. } | Self::Metric { .. })
    }

    /// The value this entry carries, if it carries one.
    #[must_use]
    pub const fn content(&self) -> Option<Content<'a>> {
        match *self {
            Self::KvRead { value, .. } | Self::KvWrite { value, .. } => value,
            Self::Ask { arguments: value, .. }
            | Self::Answer { answer: Ok(value) }
            | Self::Trace { value, .. }
            | Self::Desired { value, .. }
            | Self::Observed { value, .. } => Some(value),
            Self::Action { payload, .. } => payload,
            _ => None,
        }
    }
}

/// Entries with their offsets, up to the first that does not decode.
pub(crate) fn entries(bytes: &[u8]) -> impl Iterator<Item = (usize, Entry<'_>)> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let at = bytes.len() - rest.len();
        let (entry, after) = postcard::take_from_bytes(rest).ok()?;
        rest = after;
        Some((at, entry))
    })
}
