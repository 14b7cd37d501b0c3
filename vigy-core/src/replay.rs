//! Runs evaluated again, from their records.
//!
//! - [`replay`] evaluates the program that a record tells of, on what the record says it was told, and compares everything it says, to the
//!   end: an evaluation is a function of its inputs, or it is a [`Divergence`], with the place.
//! - [`what_if`] evaluates another program on the same inputs, and tells what it would have done otherwise.
//!
//! Neither touches a store or the world. What a record has only by its hash, the caller hands in: [`Inputs`].

mod difference;
mod line;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::record::{Bytes, Content, Entry, Header, Place, Record, Verdict};
use crate::{Ask, Evaluator, MemoryTooSmall, Need, ResumeError, SecretKey, Tick, TickMemory, format};

pub use difference::Difference;
pub use line::Line;

/// Where a replay finds what a record has only by its hash.
pub trait Inputs {
    /// Copies the value with this BLAKE3 to the front of `into` and says how long it is; nothing when it is not there, or does not fit.
    fn value(&mut self, hash: &[u8; 32], into: &mut [u8]) -> Option<usize>;

    /// The key that secret answers were hashed under.
    fn secret_key(&self) -> Option<SecretKey> {
        None
    }

    /// The secret answer to `ask`, which no record has: asked for again, or taken from somewhere. As [`Inputs::value`].
    fn secret(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Option<usize> {
        let _ = (ask, into);
        None
    }
}

/// Values by their hashes, and no secrets.
impl Inputs for BTreeMap<[u8; 32], Vec<u8>> {
    fn value(&mut self, hash: &[u8; 32], into: &mut [u8]) -> Option<usize> {
        let value = self.get(hash)?;
        into.get_mut(..value.len())?.copy_from_slice(value);
        Some(value.len())
    }
}

/// What [`Inputs`] did not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Missing {
    Value([u8; 32]),
    Secret,
}

/// A run said again what its record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// How many entries its record has.
    pub entries: usize,
    /// Whether the host ended the run before its program did: then what comes after that is not known.
    pub cut: bool,
}

/// A run went another way than its record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// Number of the entry, from 0.
    pub entry: usize,
    /// What the record says there.
    pub expected: Line,
    /// What happened.
    pub found: Found,
    /// Where in the program, if the evaluator knows.
    pub place: Option<Place>,
}

/// What happened instead of what a record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// The program said this, or was told this.
    Said(Line),
    /// The program said something else, which there is no room to show.
    Other,
    /// The program reads this key.
    Reads(String),
    /// The program waits for the answer to this ask.
    Asks(Line),
    /// The value with this hash is not there, or is not that value.
    NoValue([u8; 32]),
    /// The secret answer is not there.
    NoSecret,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entry, expected, found, place } = self;
        if let Some(Place { line, column }) = place {
            write!(f, "{line}:{column}: ")?;
        }
        write!(f, "entry {entry} differs: the record says `{expected}`, ")?;
        match found {
            Found::Said(line) => write!(f, "now it is `{line}`"),
            Found::Other => f.write_str("now it is another one, and long"),
            Found::Reads(key) => write!(f, "now the program reads {key}"),
            Found::Asks(line) => write!(f, "now the program waits: `{line}`"),
            Found::NoValue(hash) => write!(f, "and the value {} is not there", line::Hash(hash)),
            Found::NoSecret => f.write_str("and the secret is not there"),
        }
    }
}

impl core::error::Error for Divergence {}

/// Why a run is not replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayError {
    /// Its record cannot be taken up.
    Record(ResumeError),
    /// It went another way.
    Diverged(Box<Divergence>),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(error) => error.fmt(f),
            Self::Diverged(divergence) => divergence.fmt(f),
        }
    }
}

impl core::error::Error for ReplayError {}

impl From<ResumeError> for ReplayError {
    fn from(error: ResumeError) -> Self {
        Self::Record(error)
    }
}

/// Evaluates a run again. `evaluator` is a fresh one of the program that the record's header names.
///
/// Takes as long as the run took to evaluate: at most the fuel that its limits allow.
///
/// # Errors
/// [`ReplayError`].
pub fn replay<E: Evaluator + ?Sized>(
    record: &[u8],
    inputs: &mut dyn Inputs,
    memory: TickMemory<'_>,
    evaluator: &mut E,
) -> Result<Replayed, ReplayError> {
    let header = *Record::parse(record).map_err(ResumeError::from)?.header();
    let mut tick = Tick::replay(record, memory)?;
    tick.hash_secrets_under(inputs.secret_key());
    let missing = loop {
        match tick.next(evaluator, header.at) {
            Need::Yield => {}
            Need::Save(_) => tick.saved(),
            Need::Key { .. } | Need::Ask { .. } => {
                if let Err(missing) = tick.door().recall_from(inputs) {
                    break Some(missing);
                }
            }
            // The evaluation is over, and nothing comes of it.
            _ => break None,
        }
    };
    let door = tick.door();
    let Some((entry, expected, instead)) = door.parting() else {
        return Ok(Replayed { entries: door.entries().count(), cut: false });
    };
    if matches!(expected, Entry::End { verdict, .. } if crate::tick::is_cut(&verdict)) {
        return Ok(Replayed { entries: entry + 1, cut: true });
    }
    let line = |entry: &Entry<'_>| Line::new(entry, entry.content().and_then(|content| door.values().bytes(content)), &header);
    let found = match (missing, instead) {
        (Some(Missing::Value(hash)), _) => Found::NoValue(hash),
        (Some(Missing::Secret), _) => Found::NoSecret,
        (None, Some(instead)) => Found::Said(line(&instead)),
        (None, None) => match (door.wanted_key(), door.wanted_ask()) {
            (Some(key), _) => Found::Reads(key.into()),
            (None, Some(ask)) => Found::Asks(line(&ask)),
            (None, None) => Found::Other,
        },
    };
    let expected = Line::new(&expected, stored(&expected, inputs, &header).as_deref(), &header);
    Err(ReplayError::Diverged(Box::new(Divergence { entry, expected, found, place: evaluator.place() })))
}

/// The bytes of a value that a record has by its hash.
fn stored(entry: &Entry<'_>, inputs: &mut dyn Inputs, header: &Header) -> Option<Vec<u8>> {
    let Some(Content::Stored { hash, len }) = entry.content() else { return None };
    // A record that is damaged asks for no more than its run could have had.
    let mut bytes = alloc::vec![0; len.min(header.limits.value_bytes) as usize];
    let len = inputs.value(&hash, &mut bytes)?;
    bytes.truncate(len);
    Some(bytes)
}

/// What another program makes of a run's inputs.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// What was said and told in the run.
    pub before: Vec<Line>,
    /// What is said and told now.
    pub after: Vec<Line>,
    /// What would come out otherwise. Empty when both do the same.
    pub differences: Vec<Difference>,
}

/// The tag of a run that asks for what the record does not hold.
pub const UNKNOWN_INPUT: &str = "unknown-input";

/// Evaluates another program on what a run was told: kv values by their keys, answers by operation and arguments, each once and in their
/// order. What the record does not hold ends the evaluation as [`UNKNOWN_INPUT`], with the place. `program` is the other program's hash,
/// `evaluator` a fresh one of it.
///
/// # Errors
/// [`ResumeError`].
pub fn what_if<E: Evaluator + ?Sized>(
    record: &[u8],
    program: [u8; 32],
    inputs: &mut dyn Inputs,
    memory: TickMemory<'_>,
    evaluator: &mut E,
) -> Result<WhatIf, ResumeError> {
    let parsed = Record::parse(record)?;
    let header = Header { program, ..*parsed.header() };
    let mut known = Known::of(&parsed);
    let mut tick = Tick::like(header, memory)?;
    tick.hash_secrets_under(inputs.secret_key());
    let after = loop {
        let unknown = match tick.next(evaluator, header.at) {
            Need::Yield => continue,
            Need::Save(_) => {
                tick.saved();
                continue;
            }
            Need::Key { key, into } => match known.key(key).map(|value| value.map(|value| copy(value, inputs, into)).transpose()) {
                Some(Ok(len)) => {
                    tick.key_loaded(len);
                    continue;
                }
                _ => format(format_args!("the run did not read {key}")),
            },
            Need::Ask { ask, into } => match known.answer(&ask) {
                Some(Err(refusal)) => {
                    tick.answered(Err(refusal));
                    continue;
                }
                Some(Ok(value)) => {
                    let len = match value {
                        Content::Secret { .. } => inputs.secret(&ask, into).ok_or(Unknown),
                        value => copy(value, inputs, into),
                    };
                    match len {
                        Ok(len) => {
                            tick.answered(Ok(len));
                            continue;
                        }
                        Err(Unknown) => format(format_args!("the answer of {} is not there any more", ask.operation)),
                    }
                }
                None => format(format_args!("the run did not ask {} so", ask.operation)),
            },
            Need::Commit(batch) => {
                let line = |(entry, value): (Entry<'_>, Option<&[u8]>)| Line::new(&entry, value, &header);
                break batch.entries().map(line).collect::<Vec<_>>();
            }
            // Nothing else comes before the commit.
            _ => break Vec::new(),
        };
        tick.conclude(
            evaluator.fuel_used(),
            Verdict::Raised { tag: UNKNOWN_INPUT, message: &unknown, place: evaluator.place() },
            header.at,
        );
    };
    let mut line = |entry: Entry<'_>| Line::new(&entry, stored(&entry, inputs, &header).as_deref(), &header);
    let before: Vec<_> = parsed.entries().map(&mut line).collect();
    let differences = difference::between(&before, &after);
    Ok(WhatIf { before, after, differences })
}

/// An input that is not there.
struct Unknown;

/// Copies a value to the front of `into`.
fn copy(value: Content<'_>, inputs: &mut dyn Inputs, into: &mut [u8]) -> Result<usize, Unknown> {
    match value {
        Content::Inline(Bytes(bytes)) => {
            into.get_mut(..bytes.len()).ok_or(Unknown)?.copy_from_slice(bytes);
            Ok(bytes.len())
        }
        Content::Stored { hash, .. } => inputs.value(&hash, into).filter(|len| *len <= into.len()).ok_or(Unknown),
        Content::Secret { .. } => Err(Unknown),
    }
}

type Answer<'a> = Result<Content<'a>, crate::Refusal<'a>>;

/// What a run was told.
struct Known<'a> {
    keys: BTreeMap<&'a str, Option<Content<'a>>>,
    /// The first answer that was not given yet, last.
    answers: BTreeMap<(&'a str, Vec<u8>), Vec<Answer<'a>>>,
}

impl<'a> Known<'a> {
    fn of(record: &Record<'a>) -> Self {
        let mut known = Self { keys: BTreeMap::new(), answers: BTreeMap::new() };
        let mut asked = None;
        for entry in record.entries() {
            match entry {
                Entry::KvRead { key, value } => drop(known.keys.entry(key).or_insert(value)),
                Entry::Ask { operation, arguments, .. } => asked = Some((operation, name(arguments))),
                Entry::Answer { answer } => {
                    if let Some(asked) = asked.take() {
                        known.answers.entry(asked).or_default().insert(0, answer);
                    }
                }
                _ => {}
            }
        }
        known
    }

    /// The value that the run found under a key: nothing, or that it had none.
    fn key(&self, key: &str) -> Option<Option<Content<'a>>> {
        self.keys.get(key).copied()
    }

    /// The next answer to such an ask.
    fn answer(&mut self, ask: &Ask<'_>) -> Option<Answer<'a>> {
        let arguments = ask.arguments;
        let name = if arguments.len() <= Content::INLINE { arguments.into() } else { blake3::hash(arguments).as_bytes().to_vec() };
        let found = self.answers.iter_mut().find(|((operation, arguments), _)| *operation == ask.operation && *arguments == name);
        found.and_then(|(_, answers)| answers.pop())
    }
}

/// What arguments are compared by: themselves, or their hash.
fn name(arguments: Content<'_>) -> Vec<u8> {
    match arguments {
        Content::Inline(Bytes(bytes)) => bytes.into(),
        Content::Stored { hash, .. } | Content::Secret { hash, .. } => hash.into(),
    }
}

impl From<MemoryTooSmall> for ReplayError {
    fn from(error: MemoryTooSmall) -> Self {
        Self::Record(error.into())
    }
}
