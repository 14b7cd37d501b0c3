//! Everything that survives, as bytes: a version, then entries in any order.

use serde::{Deserialize, Serialize};
use vigy_core::record::Bytes;
use vigy_core::{Batch, Checkpoint, Draft, Settlement};

/// First byte of every state.
pub(super) const STATE_VERSION: u8 = 2;

/// One thing that survives. The variants' order is the format: add at the end.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Entry<'a> {
    /// Where the vigy stands. Once.
    Checkpoint(Checkpoint),
    /// The record of the last run. Once.
    Record(#[serde(borrow)] Bytes<'a>),
    /// A value that the record refers to.
    Value(#[serde(borrow)] Bytes<'a>),
    /// The last outcomes. At most once.
    Outcomes(#[serde(borrow)] Bytes<'a>),
    /// A key and its value.
    Pair(&'a str, #[serde(borrow)] Bytes<'a>),
    /// The draft of the next run. At most once.
    Draft(#[serde(borrow)] Bytes<'a>),
    /// A value that the draft refers to.
    DraftValue(#[serde(borrow)] Bytes<'a>),
}

/// The entries of a state. Ends at the first that does not decode: a state is checked as a whole before.
pub(super) fn entries(state: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = state.get(1..).unwrap_or_default();
    core::iter::from_fn(move || {
        let (entry, after) = postcard::take_from_bytes(rest).ok()?;
        rest = after;
        Some(entry)
    })
}

/// The next state does not fit.
pub(super) struct Full;

/// Writes a state.
struct Writer<'b> {
    bytes: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    fn new(bytes: &'b mut [u8]) -> Result<Self, Full> {
        *bytes.first_mut().ok_or(Full)? = STATE_VERSION;
        Ok(Self { bytes, len: 1 })
    }

    fn write(&mut self, entry: Entry<'_>) -> Result<(), Full> {
        self.len += postcard::to_slice(&entry, &mut self.bytes[self.len..]).map_err(|_| Full)?.len();
        Ok(())
    }
}

/// The state that follows `now` by `draft`.
pub(super) fn after_draft(now: &[u8], draft: &Draft<'_>, next: &mut [u8]) -> Result<usize, Full> {
    let mut writer = Writer::new(next)?;
    writer.write(Entry::Checkpoint(draft.checkpoint()))?;
    writer.write(Entry::Draft(Bytes(draft.record())))?;
    draft.values().try_for_each(|(_, value)| writer.write(Entry::DraftValue(Bytes(value))))?;
    entries(now).try_for_each(|entry| match entry {
        Entry::Checkpoint(_) | Entry::Draft(_) | Entry::DraftValue(_) => Ok(()),
        kept => writer.write(kept),
    })?;
    Ok(writer.len)
}

/// The state that follows `now` by `batch`. Linear in the state, times the keys that the batch writes.
pub(super) fn after_batch(now: &[u8], batch: &Batch<'_>, next: &mut [u8]) -> Result<usize, Full> {
    let mut writer = Writer::new(next)?;
    writer.write(Entry::Checkpoint(*batch.checkpoint()))?;
    writer.write(Entry::Record(Bytes(batch.record())))?;
    batch.values().try_for_each(|(_, value)| writer.write(Entry::Value(Bytes(value))))?;
    if let Some(outcomes) = batch.outcomes() {
        writer.write(Entry::Outcomes(Bytes(outcomes)))?;
    }
    for (key, value) in batch.kv_writes() {
        value.map_or(Ok(()), |value| writer.write(Entry::Pair(key, Bytes(value))))?;
    }
    entries(now).try_for_each(|entry| match entry {
        Entry::Pair(key, _) if batch.kv_writes().all(|(written, _)| written != key) => writer.write(entry),
        Entry::Outcomes(_) if batch.outcomes().is_none() => writer.write(entry),
        _ => Ok(()),
    })?;
    Ok(writer.len)
}

/// The state that follows `now` by `settlement`.
pub(super) fn after_settlement(now: &[u8], settlement: &Settlement<'_>, next: &mut [u8]) -> Result<usize, Full> {
    let mut writer = Writer::new(next)?;
    writer.write(Entry::Checkpoint(settlement.checkpoint()))?;
    writer.write(Entry::Outcomes(Bytes(settlement.outcomes())))?;
    entries(now).try_for_each(|entry| match entry {
        Entry::Checkpoint(_) | Entry::Outcomes(_) => Ok(()),
        kept => writer.write(kept),
    })?;
    Ok(writer.len)
}
