//! What the firmware `scenarios` is told, as the firmware, its build and its test know it.

use serde::{Deserialize, Serialize};
use vigy_core::record::Bytes;
use vigy_core::{Incarnation, Limits, Timestamp};

/// What a tick may use: a part of its record, so the same on every host.
pub(crate) const LIMITS: Limits = Limits {
    fuel: 100_000,
    heap_bytes: 12 << 10,
    depth: 64,
    stack_bytes: 4 << 10,
    output_bytes: 256,
    actions: 8,
    log_lines: 16,
    kv_keys: 8,
    record_bytes: 4 << 10,
    value_bytes: 3 << 10,
};

/// Milliseconds between two ticks. Scenarios say when they tick themselves.
pub(crate) const INTERVAL_MS: u64 = 60_000;

/// The board, as QEMU calls it: a Cortex-M3 like the LM3S6965, and the firmware keeps to that one's 256 KB of flash and 64 KB of RAM. But
/// it has memory beside its RAM, which stands for the flash that the store is in; in the LM3S6965, that would have to share the 64 KB.
pub(crate) const MACHINE: &str = "mps2-an385";

/// The file, in the folder where QEMU runs, that holds the wakes, one behind the other: each its length in 4 bytes, little-endian, and
/// then itself, as postcard writes it.
pub(crate) const FILE: &str = "wakes\0";

/// Bytes of the longest wake.
pub(crate) const WAKE_BYTES: usize = 3 << 10;

/// One tick to be done.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Wake<'a> {
    /// Which program, by its index.
    pub(crate) program: u8,
    /// A vigy begins, in an empty flash, with this life. Otherwise the one of the wake before goes on, from what is in the flash.
    pub(crate) begins: Option<Incarnation>,
    /// When it ticks.
    pub(crate) at: Timestamp,
    /// What it is answered: recorded answers, as adapter-embassy reads them.
    #[serde(borrow)]
    pub(crate) answers: Bytes<'a>,
}
