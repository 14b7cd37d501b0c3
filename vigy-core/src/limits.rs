//! Everything a tick may use up, in one place.

use serde::{Deserialize, Serialize};

/// What one tick of a vigy may use. Limits are part of the vigy and of its canonical record: a host with less memory refuses the
/// vigy, it never runs it smaller. Running out ends the tick with [`crate::Verdict::Exhausted`] and drops its kv writes and actions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Evaluation steps. Default 10,000,000.
    pub fuel: u64,
    /// Bytes of the program's heap. Default 4 MiB.
    pub heap_bytes: u32,
    /// Nested calls that are not tail calls. Default 10,000.
    pub depth: u32,
    /// Bytes of the registers of nested calls. Default 1 MiB.
    pub stack_bytes: u32,
    /// Bytes printed by `display` and friends. Default 64 KiB.
    pub output_bytes: u32,
    /// Actions queued. Default 256; at most 32,768.
    pub actions: u16,
    /// Log lines, printed lines included. Default 256.
    pub log_lines: u16,
    /// Distinct kv keys read or written. Default 1,024.
    pub kv_keys: u16,
    /// Bytes of the canonical record. Default 256 KiB.
    pub record_bytes: u32,
    /// Bytes of values stored by content: answers, kv values and payloads over [`crate::Content::INLINE`] bytes. Default 8 MiB.
    pub value_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 10_000_000,
            heap_bytes: 4 << 20,
            depth: 10_000,
            stack_bytes: 1 << 20,
            output_bytes: 64 << 10,
            actions: 256,
            log_lines: 256,
            kv_keys: 1024,
            record_bytes: 256 << 10,
            value_bytes: 8 << 20,
        }
    }
}
