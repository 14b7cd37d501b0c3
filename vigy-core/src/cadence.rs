//! When a vigy ticks: its pace, and the arithmetic of deadlines. Time is an argument throughout.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::policy::uniform;
use crate::{Incarnation, TickInterval, Timestamp};

/// How a vigy is paced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Cadence {
    /// How often it ticks.
    pub interval: TickInterval,
    /// From where the interval counts. Default [`Pace::Steady`].
    pub pace: Pace,
    /// How long after its registration it ticks first. Default 0, at most [`TickInterval::MAX`].
    pub initial_delay_ms: u64,
    /// The most by which a new grid is put off, so that vigies with one interval do not wake together. Every vigy has its own share of
    /// it. Default the whole interval up to 10 seconds, so that any number of vigies is work at a steady rate; of longer ones a tenth, but
    /// at least 10 seconds and at most 30. At most the interval. [`Pace::Sharp`] knows none.
    pub jitter_ms: u32,
}

/// From where the interval counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// From the vigy's own grid: the rate is fixed and does not drift. Ticks that the vigy missed are skipped, and counted.
    #[default]
    Steady,
    /// From the epoch: every minute means on the minute. Ticks that the vigy missed are skipped, and counted.
    Sharp,
    /// From the end of the tick before, its actions included.
    Idle,
}

/// When the ticks of a vigy are due, as the core needs to know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// By a cadence.
    Every(Cadence),
    /// Next at this time, which the host found in a calendar: the first that the schedule names after the tick began.
    At(Timestamp),
}

impl Cadence {
    /// The most jitter that a cadence has by default: 30 seconds.
    pub const MAX_DEFAULT_JITTER_MS: u32 = 30_000;

    /// Intervals up to this one are spread over the whole interval by default: 10 seconds.
    pub const SPREAD_WHOLE_MS: u32 = 10_000;

    /// A steady cadence.
    #[must_use]
    pub const fn every(interval: TickInterval) -> Self {
        let (whole, tenth) = (interval.as_millis(), interval.as_millis() / 10);
        let (least, most) = (Self::SPREAD_WHOLE_MS, Self::MAX_DEFAULT_JITTER_MS);
        // What is not more than one of the two fits.
        let jitter_ms = match (whole, tenth) {
            (whole, _) if whole <= least as u64 => whole as u32,
            (_, tenth) if tenth <= least as u64 => least,
            (_, tenth) if tenth <= most as u64 => tenth as u32,
            _ => most,
        };
        Self { interval, pace: Pace::Steady, initial_delay_ms: 0, jitter_ms }
    }

    /// Whether every part is within its bounds.
    ///
    /// # Errors
    /// [`InvalidCadence`].
    pub const fn check(&self) -> Result<(), InvalidCadence> {
        if self.initial_delay_ms > TickInterval::MAX.as_millis() {
            return Err(InvalidCadence::InitialDelay(self.initial_delay_ms));
        }
        if self.jitter_ms as u64 > self.interval.as_millis() {
            return Err(InvalidCadence::Jitter(self.jitter_ms));
        }
        Ok(())
    }

    /// The share of the jitter that a vigy has: the same for all its life.
    #[must_use]
    pub const fn phase(&self, Incarnation(life): Incarnation) -> u64 {
        match self.pace {
            Pace::Sharp => 0,
            Pace::Steady | Pace::Idle => uniform(life, self.jitter_ms as u64),
        }
    }

    /// The grid that ticks lie on when `point` is one of it; none when the interval counts from the end.
    pub(crate) const fn grid(&self, point: Timestamp) -> Option<Grid> {
        let interval = self.interval.as_millis();
        match self.pace {
            Pace::Steady => Some(Grid { first: point.0 % interval, interval }),
            Pace::Sharp => Some(Grid { first: 0, interval }),
            Pace::Idle => None,
        }
    }

    /// When a grid that starts at `earliest` has its first tick.
    pub(crate) const fn first(&self, life: Incarnation, earliest: Timestamp) -> Timestamp {
        match self.pace {
            Pace::Sharp => Grid { first: 0, interval: self.interval.as_millis() }.from(earliest),
            Pace::Steady | Pace::Idle => earliest.plus(self.phase(life)),
        }
    }
}

impl From<TickInterval> for Cadence {
    fn from(interval: TickInterval) -> Self {
        Self::every(interval)
    }
}

impl From<Cadence> for Plan {
    fn from(cadence: Cadence) -> Self {
        Self::Every(cadence)
    }
}

impl From<TickInterval> for Plan {
    fn from(interval: TickInterval) -> Self {
        Self::Every(interval.into())
    }
}

/// Moments at one distance from each other, from the epoch to the end of time.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    /// Less than the interval.
    first: u64,
    interval: u64,
}

impl Grid {
    /// How many points lie at `at` or before it.
    const fn count(self, at: Timestamp) -> u64 {
        if at.0 < self.first { 0 } else { (at.0 - self.first) / self.interval + 1 }
    }

    /// The first point after `at`, or the end of time.
    pub(crate) const fn after(self, at: Timestamp) -> Timestamp {
        Timestamp(self.count(at).saturating_mul(self.interval).saturating_add(self.first))
    }

    /// The first point at `at` or after it, or the end of time.
    pub(crate) const fn from(self, at: Timestamp) -> Timestamp {
        match at.0.checked_sub(1) {
            Some(before) => self.after(Timestamp(before)),
            None => Timestamp(self.first),
        }
    }

    /// How many points lie after `from`, up to and including `to`.
    const fn between(self, from: Timestamp, to: Timestamp) -> u64 {
        self.count(to).saturating_sub(self.count(from))
    }
}

impl Plan {
    /// When the plan itself has the next tick after one that began at `at` and is over at `end`.
    pub(crate) fn next(&self, grid: Timestamp, at: Timestamp, end: Timestamp) -> Timestamp {
        match self {
            Self::Every(cadence) => match cadence.grid(grid) {
                Some(grid) => grid.after(at),
                None => end.plus(cadence.interval.as_millis()),
            },
            Self::At(next) => *next,
        }
    }

    /// How many ticks of the plan were due after `due`, up to and including `now`.
    pub(crate) fn missed(&self, grid: Timestamp, due: Timestamp, now: Timestamp) -> u64 {
        match self {
            Self::Every(cadence) => cadence.grid(grid).map_or(0, |grid| grid.between(due, now)),
            // The calendar is the host's.
            Self::At(_) => 0,
        }
    }

    /// Whether the interval counts from the end of the tick before, its actions included.
    pub(crate) const fn counts_from_the_end(&self) -> bool {
        matches!(self, Self::Every(Cadence { pace: Pace::Idle, .. }))
    }
}

/// A cadence out of bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidCadence {
    /// An initial delay of this many milliseconds.
    InitialDelay(u64),
    /// A jitter of this many milliseconds.
    Jitter(u32),
}

impl fmt::Display for InvalidCadence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InitialDelay(ms) => {
                write!(f, "an initial delay of {ms} ms is longer than {} ms (365 days)", TickInterval::MAX.as_millis())
            }
            Self::Jitter(ms) => write!(f, "a jitter of {ms} ms is longer than the interval"),
        }
    }
}

impl core::error::Error for InvalidCadence {}
