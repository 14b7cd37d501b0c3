//! The vigy on this device, as the firmware, its build and its test know it.

use vigy_core::{Incarnation, Limits, Timestamp};

/// What a tick may use here.
pub(crate) const LIMITS: Limits = Limits {
    fuel: 100_000,
    heap_bytes: 2048,
    depth: 64,
    stack_bytes: 1024,
    output_bytes: 256,
    actions: 4,
    log_lines: 8,
    kv_keys: 8,
    record_bytes: 512,
    value_bytes: 512,
};

/// Milliseconds between two ticks.
pub(crate) const INTERVAL_MS: u64 = 100;

/// The life of the vigy. A real device mints one when its flash is formatted.
pub(crate) const INCARNATION: Incarnation = Incarnation(0x00c0_ffee);

/// When the device started: it has no calendar.
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000);

/// Ticks of each of the device's two lives.
pub(crate) const TICKS: u64 = 4;
