//! Time as the core sees it: an argument, in whole milliseconds. No clock is reachable from here.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, as the host's clock told them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment plus `ms`, or the end of time.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 when the clock went backwards.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// How often a vigy ticks: between [`TickInterval::MIN`] and [`TickInterval::MAX`]. Deserialising checks the bounds too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct TickInterval(u64);

impl TickInterval {
    /// The shortest interval: 100 ms.
    pub const MIN: Self = Self(100);
    /// The longest interval: 365 days.
    pub const MAX: Self = Self(365 * 24 * 60 * 60 * 1000);

    /// An interval of `ms` milliseconds.
    ///
    /// # Errors
    /// [`InvalidInterval`] outside the bounds.
    pub const fn from_millis(ms: u64) -> Result<Self, InvalidInterval> {
        if ms < Self::MIN.0 || ms > Self::MAX.0 {
            return Err(InvalidInterval(ms));
        }
        Ok(Self(ms))
    }

    /// The interval in milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl Default for TickInterval {
    /// One second.
    fn default() -> Self {
        Self(1000)
    }
}

impl TryFrom<u64> for TickInterval {
    type Error = InvalidInterval;

    fn try_from(ms: u64) -> Result<Self, InvalidInterval> {
        Self::from_millis(ms)
    }
}

impl From<TickInterval> for u64 {
    fn from(interval: TickInterval) -> Self {
        interval.0
    }
}

/// An interval outside the bounds, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidInterval(pub u64);

impl fmt::Display for InvalidInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(ms) = self;
        let (min, max) = (TickInterval::MIN.0, TickInterval::MAX.0);
        write!(f, "a tick interval of {ms} ms is outside {min} ms to {max} ms (365 days)")
    }
}

impl core::error::Error for InvalidInterval {}

/// How long to wait before attempt number `attempt` (from 0): 1, 2, 4, 8, 16, then 30 seconds. Negative attempts count as 0.
#[must_use]
pub const fn backoff_ms(attempt: i64) -> u64 {
    match attempt {
        ..=0 => 1_000,
        1 => 2_000,
        2 => 4_000,
        3 => 8_000,
        4 => 16_000,
        _ => 30_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_bounds() {
        assert_eq!(TickInterval::from_millis(99), Err(InvalidInterval(99)));
        assert!(TickInterval::from_millis(100).is_ok());
        assert!(TickInterval::from_millis(u64::MAX).is_err());
        let message = InvalidInterval(99).to_string();
        assert!(message.contains("99 ms") && message.contains("100 ms"), "{message}");
    }

    extern crate std;
    use std::string::ToString;
}
