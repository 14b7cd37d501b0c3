//! What failures lead to: how long to wait, and when to give up.

use serde::{Deserialize, Serialize};

use crate::{Incarnation, RunKey};

/// What a host does about failures. Part of the vigy, but not of its record: it is about what follows a run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Failed ticks in a row after which a vigy is parked: it ticks no more on its own until somebody resumes it. Default 20; 0 never.
    pub park_after: u32,
    /// How often an action is tried before its outcome is a failure. Default 5; 0 is as 1.
    pub act_attempts: u16,
}

impl Policy {
    /// What holds unless something else is said.
    pub const DEFAULT: Self = Self { park_after: 20, act_attempts: 5 };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The shortest upper bound of a wait after a failure: 500 ms.
const BACKOFF_MS: u64 = 500;

/// The longest wait after a failed tick, if the schedule has no longer one: 5 minutes.
pub(crate) const MAX_TICK_BACKOFF_MS: u64 = 300_000;

/// The longest wait before an action is tried again: 30 seconds.
pub(crate) const MAX_ACT_BACKOFF_MS: u64 = 30_000;

/// How long to wait after the `failures`-th failure in a row (from 1): anything up to 500 ms, 1 s, 2 s, and so on up to `most`, so that
/// many that failed together do not come back together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
pub(crate) const fn backoff(seed: u64, failures: u32, most: u64) -> u64 {
    let doublings = failures.saturating_sub(1);
    // Beyond 32 doublings every bound is the largest one.
    let bound = if doublings < 32 { BACKOFF_MS << doublings } else { most };
    uniform(seed, if bound < most { bound } else { most })
}

/// A number from 0 to `most`, the same for the same seed.
pub(crate) const fn uniform(seed: u64, most: u64) -> u64 {
    // The upper half of a 128-bit product is at most `most`.
    ((mix(seed) as u128 * (most as u128 + 1)) >> 64) as u64
}

/// A seed that belongs to a run.
pub(crate) const fn seed(RunKey { incarnation: Incarnation(life), tick }: RunKey) -> u64 {
    mix(life.wrapping_add(tick.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The finaliser of splitmix64 (https://prng.di.unimi.it/splitmix64.c).
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
