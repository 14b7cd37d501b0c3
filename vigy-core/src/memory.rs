//! The memory of a tick, owned by the caller: nothing is allocated between wake and batch.

use core::fmt;

use crate::Limits;

/// Bytes kept free at the end of the record for its last entry, so that a run that fills its record can still say how it ended.
pub(crate) const END_RESERVE: usize = 512;
/// Bytes of the header before each value in [`TickMemory::values`]: hash and length.
pub(crate) const VALUE_HEADER: usize = 36;
/// Bytes that one outcome needs at least, its message cut away.
pub(crate) const OUTCOME_MIN: usize = 72;

/// Where one tick keeps what it builds. One such memory serves any number of vigies, one tick at a time.
#[derive(Debug)]
pub struct TickMemory<'m> {
    /// The canonical record.
    pub record: &'m mut [u8],
    /// Values stored by content, each behind its hash and length; its free end receives answers and kv values.
    pub values: &'m mut [u8],
    /// Outcomes of the actions. Long messages are cut to what fits.
    pub outcomes: &'m mut [u8],
    /// The action queue: a slot per action.
    pub actions: &'m mut [u32],
    /// The kv overlay's table: two slots per key.
    pub keys: &'m mut [u32],
}

/// A memory smaller than the vigy's limits ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryTooSmall {
    /// Which part, as the field is named.
    pub part: &'static str,
    /// How many bytes or slots the limits ask for.
    pub needed: usize,
    /// How many were given.
    pub given: usize,
}

impl fmt::Display for MemoryTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, needed, given } = self;
        write!(
            f,
            "the vigy's limits need {needed} bytes or slots for `{part}`, this host gives {given}: raise the memory or lower the limit"
        )
    }
}

impl core::error::Error for MemoryTooSmall {}

/// How large each part of a memory must be for these limits, in the order of the fields of [`TickMemory`].
#[must_use]
pub(crate) const fn sizes(limits: &Limits) -> [(&'static str, usize); 5] {
    let actions = limits.actions as usize;
    [
        ("record", limits.record_bytes as usize + END_RESERVE),
        ("values", limits.value_bytes as usize),
        ("outcomes", crate::action::SETTLEMENT_HEAD + actions * OUTCOME_MIN),
        ("actions", actions),
        ("keys", limits.kv_keys as usize * 2),
    ]
}

impl TickMemory<'_> {
    /// The same memory for a shorter time.
    pub fn reborrow(&mut self) -> TickMemory<'_> {
        TickMemory { record: self.record, values: self.values, outcomes: self.outcomes, actions: self.actions, keys: self.keys }
    }

    /// Whether a vigy with these limits can tick here.
    ///
    /// # Errors
    /// [`MemoryTooSmall`] names the first part that is too small.
    pub fn fits(&self, limits: &Limits) -> Result<(), MemoryTooSmall> {
        let given = [self.record.len(), self.values.len(), self.outcomes.len(), self.actions.len(), self.keys.len()];
        for ((part, needed), given) in sizes(limits).into_iter().zip(given) {
            if given < needed {
                return Err(MemoryTooSmall { part, needed, given });
            }
        }
        Ok(())
    }
}

/// A [`TickMemory`] on the heap, made once for some limits and used for many ticks.
#[cfg(feature = "alloc")]
#[derive(Debug, Default)]
pub struct TickBuffers {
    record: alloc::vec::Vec<u8>,
    values: alloc::vec::Vec<u8>,
    outcomes: alloc::vec::Vec<u8>,
    actions: alloc::vec::Vec<u32>,
    keys: alloc::vec::Vec<u32>,
}

#[cfg(feature = "alloc")]
impl TickBuffers {
    /// Buffers that a vigy with these limits can tick in, with room for whole outcome messages.
    #[must_use]
    pub fn for_limits(limits: &Limits) -> Self {
        let [(_, record), (_, values), (_, outcomes), (_, actions), (_, keys)] = sizes(limits);
        let outcomes = outcomes + limits.actions as usize * crate::MESSAGE_BYTES;
        Self {
            record: alloc::vec![0; record],
            values: alloc::vec![0; values],
            outcomes: alloc::vec![0; outcomes],
            actions: alloc::vec![0; actions],
            keys: alloc::vec![0; keys],
        }
    }

    /// The memory, for one tick at a time.
    pub fn memory(&mut self) -> TickMemory<'_> {
        TickMemory {
            record: &mut self.record,
            values: &mut self.values,
            outcomes: &mut self.outcomes,
            actions: &mut self.actions,
            keys: &mut self.keys,
        }
    }
}
