//! Names that machines give: vigies, incarnations, actions.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Identity of a vigy: 16 lower-case hex digits. The host derives it from the name, so it survives edits of the program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct VigyId(pub u64);

/// Which life of a vigy this is. Minted when a vigy is registered or restored from a backup, never reused: two lives of one name
/// share no action key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

/// Names one run: (incarnation, tick number). Text form `INCARNATION-TICK`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RunKey {
    /// The life of the vigy.
    pub incarnation: Incarnation,
    /// Number of the tick within that life, from 1.
    pub tick: u64,
}

/// Names one action or one write for good: (incarnation, tick, index). Text form `INCARNATION-TICK-INDEX`, which is what a receiver
/// deduplicates by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ActionKey {
    /// The run that queued the action, or asked for the write.
    pub run: RunKey,
    /// An action's place in that run's queue, from 0; a write's place among that run's writes, from [`ActionKey::FIRST_WRITE`].
    pub index: u16,
}

impl ActionKey {
    /// The index of a run's first write: 32,768. No action has one as large, so a write and an action never share a key.
    pub const FIRST_WRITE: u16 = 1 << 15;
}

/// A text that is no id: not 16 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidId;

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id is 16 lower-case hex digits")
    }
}

impl core::error::Error for InvalidId {}

impl FromStr for VigyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 16 || !text.bytes().all(lower_hex) {
            return Err(InvalidId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidId)
    }
}

impl FromStr for RunKey {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (incarnation, tick) = text.split_once('-').ok_or(InvalidId)?;
        let VigyId(incarnation) = incarnation.parse()?;
        let tick = tick.parse().map_err(|_| InvalidId)?;
        Ok(Self { incarnation: Incarnation(incarnation), tick })
    }
}

impl FromStr for ActionKey {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (run, index) = text.rsplit_once('-').ok_or(InvalidId)?;
        Ok(Self { run: run.parse()?, index: index.parse().map_err(|_| InvalidId)? })
    }
}

impl fmt::Display for VigyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation, self.tick)
    }
}

impl fmt::Display for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.run, self.index)
    }
}
