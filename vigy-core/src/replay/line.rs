//! An entry of a record with an owner, and the text that people read.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use core::fmt;

use crate::Limits;
use crate::record::{Bytes, Content, Entry, Explain, Header, Verdict};

/// One entry of a record, with the value it refers to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    entry: Vec<u8>,
    value: Option<Vec<u8>>,
    limits: Limits,
}

impl Line {
    pub(crate) fn new(entry: &Entry<'_>, value: Option<&[u8]>, header: &Header) -> Self {
        let value = match entry.content() {
            Some(Content::Inline(Bytes(bytes))) => Some(bytes),
            _ => value,
        };
        // A vector takes whatever an entry has.
        let bytes = postcard::to_allocvec(entry).unwrap_or_default();
        Self { entry: bytes, value: value.map(<[u8]>::to_owned), limits: header.limits }
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> Entry<'_> {
        // `new` has written it.
        postcard::from_bytes(&self.entry).unwrap_or(Entry::End { fuel: 0, verdict: Verdict::Ok })
    }

    /// The data bytes of the entry's value, if it has one and it was at hand.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// Whether both say the same. Values are compared by their hashes.
    pub(super) fn says(&self, other: &Self) -> bool {
        self.entry == other.entry
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.entry();
        let value = Shown { content: entry.content(), value: self.value() };
        match entry {
            Entry::KvRead { key, .. } => write!(f, "read {key}: {value}"),
            Entry::Ask { operation, .. } => write!(f, "ask {operation} {value}"),
            Entry::Answer { answer: Ok(_) } => write!(f, "answer {value}"),
            Entry::Answer { answer: Err(refusal) } => write!(f, "refused {}: {}", refusal.tag, refusal.message),
            Entry::KvWrite { key, value: Some(_) } => write!(f, "set {key} to {value}"),
            Entry::KvWrite { key, value: None } => write!(f, "remove {key}"),
            Entry::Action { kind, payload, message } => {
                write!(f, "{kind}")?;
                if payload.is_some() {
                    write!(f, " {value}")?;
                }
                message.map_or(Ok(()), |message| write!(f, " {message}"))
            }
            Entry::Log { level, message } => write!(f, "log {}: {message}", level.name()),
            Entry::Output { text } => write!(f, "print {text:?}"),
            Entry::Trace { key, .. } => write!(f, "trace {key}: {value}"),
            Entry::Metric { name, value } => write!(f, "metric {name}: {value}"),
            Entry::Event { kind, message } => write!(f, "event {kind}: {message}"),
            Entry::Condition { name, status, reason, message } => write!(f, "condition {name}: {} {reason} {message}", status.name()),
            Entry::Desired { key, .. } => write!(f, "desired {key}: {value}"),
            Entry::Observed { key, .. } => write!(f, "observed {key}: {value}"),
            Entry::NextIn { after_ms } => write!(f, "next tick in {after_ms} ms"),
            Entry::End { fuel, verdict } => write!(f, "end: {}, {fuel} fuel", Explain(verdict, &self.limits)),
        }
    }
}

/// A value as text.
struct Shown<'a> {
    content: Option<Content<'a>>,
    value: Option<&'a [u8]>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.content, self.value) {
            (None, _) => f.write_str("nothing"),
            (Some(_), Some(value)) => write!(f, "{}", Text(value)),
            (Some(Content::Inline(Bytes(value))), None) => write!(f, "{}", Text(value)),
            (Some(Content::Stored { hash, len }), None) => write!(f, "{len} bytes {}", Hash(&hash)),
            (Some(Content::Secret { hash, len }), None) => write!(f, "a secret of {len} bytes, {}", Hash(&hash)),
        }
    }
}

/// The first half of a hash.
pub(super) struct Hash<'a>(pub(super) &'a [u8; 32]);

impl fmt::Display for Hash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..16].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Data bytes as the language writes them; bytes that are no data, by their number.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match text(f, self.0, 0) {
            Ok([]) => Ok(()),
            Err(Stop::Full(error)) => Err(error),
            _ => write!(f, "<{} bytes>", self.0.len()),
        }
    }
}

enum Stop {
    Full(fmt::Error),
    NoData,
}

impl From<fmt::Error> for Stop {
    fn from(error: fmt::Error) -> Self {
        Self::Full(error)
    }
}

impl From<postcard::Error> for Stop {
    fn from(_: postcard::Error) -> Self {
        Self::NoData
    }
}

/// Nothing that a program builds is nested deeper.
const DEPTH: usize = 64;

/// Writes one value of the encoding of `vigy_lisp::Data` and gives back what is behind it.
fn text<'a>(f: &mut fmt::Formatter<'_>, bytes: &'a [u8], depth: usize) -> Result<&'a [u8], Stop> {
    if depth > DEPTH {
        return Err(Stop::NoData);
    }
    let (tag, rest) = postcard::take_from_bytes::<u8>(bytes)?;
    let string = || postcard::take_from_bytes::<&str>(rest);
    Ok(match tag {
        0 => {
            f.write_str("nil")?;
            rest
        }
        1 => {
            let (value, rest) = postcard::take_from_bytes::<bool>(rest)?;
            write!(f, "{value}")?;
            rest
        }
        2 => {
            let (value, rest) = postcard::take_from_bytes::<i64>(rest)?;
            write!(f, "{value}")?;
            rest
        }
        3 => {
            let (value, rest) = postcard::take_from_bytes::<f64>(rest)?;
            write!(f, "{value:?}")?;
            rest
        }
        4 => {
            let (value, rest) = string()?;
            write!(f, "{value:?}")?;
            rest
        }
        5 => {
            let (value, rest) = string()?;
            f.write_str(value)?;
            rest
        }
        6 => {
            let (value, rest) = string()?;
            write!(f, ":{value}")?;
            rest
        }
        7 | 8 => {
            let (count, mut rest) = postcard::take_from_bytes::<u32>(rest)?;
            let (open, close, each) = if tag == 7 { ("(", ")", 1) } else { ("{", "}", 2) };
            f.write_str(open)?;
            for index in 0..u64::from(count) * each {
                if index > 0 {
                    f.write_str(" ")?;
                }
                rest = text(f, rest, depth + 1)?;
            }
            f.write_str(close)?;
            rest
        }
        _ => return Err(Stop::NoData),
    })
}
