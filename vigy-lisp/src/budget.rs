//! What a run may use.

use serde::{Deserialize, Serialize};

/// Limits of one run. They are part of the program's identity: no outcome depends on the host that enforces them.
///
/// Running out of any but `depth` and `stack_words` ends the run; those two raise `depth-exceeded`, which a program may catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Units of work: one per call, turn of a loop and builtin, more for builtins that work through long values. Default 10,000,000.
    pub fuel: u64,
    /// Bytes of objects made in the run. Default 4 MiB.
    pub heap_bytes: u32,
    /// Calls within calls that are not in tail position. Default 10,000.
    pub depth: u32,
    /// Words for the registers of all frames. Default 131,072 (1 MiB).
    pub stack_words: u32,
    /// Bytes written by `display` and its kind. Default 64 KiB.
    pub output_bytes: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { fuel: 10_000_000, heap_bytes: 4 << 20, depth: 10_000, stack_words: 1 << 17, output_bytes: 64 << 10 }
    }
}
