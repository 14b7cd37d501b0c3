//! What lies where in the file. Every value but the kv bytes begins with a version byte of ours; the rest is postcard.

use redb::TableDefinition;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vigy_core::{Incarnation, Timestamp, Vigy, VigyId};

use crate::StoreError;

/// The format this version writes, and the only one it reads. 2: records tell writes from reads, and there are drafts.
pub(crate) const FORMAT: u32 = 2;

/// First byte of every row.
const ROW_VERSION: u8 = 1;

/// Facts about the file: `format`.
pub(crate) const META: TableDefinition<'_, &str, u32> = TableDefinition::new("vigy.meta");
/// id → [`VigyRow`].
pub(crate) const VIGIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("vigy.vigies");
/// name → id.
pub(crate) const NAMES: TableDefinition<'_, &str, u64> = TableDefinition::new("vigy.names");
/// id → [`vigy_core::Checkpoint`].
pub(crate) const CHECKPOINTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("vigy.checkpoints");
/// (id, key) → data bytes.
pub(crate) const KV: TableDefinition<'_, (u64, &str), &[u8]> = TableDefinition::new("vigy.kv");
/// (id, [`Part`], name) → what was said last, by the part's own row type.
pub(crate) const STATE: TableDefinition<'_, (u64, u8, &str), &[u8]> = TableDefinition::new("vigy.state");
/// (id, tick) → canonical record.
pub(crate) const RUNS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("vigy.runs");
/// (id, tick) → [`OutcomesRow`], once every action has its outcome.
pub(crate) const OUTCOMES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("vigy.outcomes");
/// (id, hash) → a value that records refer to.
pub(crate) const VALUES: TableDefinition<'_, (u64, &[u8; 32]), &[u8]> = TableDefinition::new("vigy.values");
/// (id, hash) → how many runs refer to it.
pub(crate) const REFERENCES: TableDefinition<'_, (u64, &[u8; 32]), u64> = TableDefinition::new("vigy.references");
/// id → the draft of a tick that has asked for a write and is not over.
pub(crate) const DRAFTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("vigy.drafts");
/// (id, hash) → a value that the draft refers to.
pub(crate) const DRAFT_VALUES: TableDefinition<'_, (u64, &[u8; 32]), &[u8]> = TableDefinition::new("vigy.draft_values");
/// id → [`UsageRow`].
pub(crate) const USAGE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("vigy.usage");

/// A registered vigy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct VigyRow {
    pub(crate) vigy: Vigy,
    pub(crate) incarnation: Incarnation,
    /// How often the declaration changed.
    pub(crate) revision: u64,
    /// How often the row changed: orders what concurrent writers tell the scheduler.
    pub(crate) version: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// Parts of the state, as they are keyed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Data bytes.
    Desired = 0,
    /// Data bytes.
    Observed = 1,
    /// [`ConditionRow`].
    Condition = 2,
    /// An `f64`.
    Metric = 3,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct ConditionRow {
    pub(crate) status: vigy_core::record::ConditionStatus,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) last_transition: Timestamp,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct OutcomesRow {
    pub(crate) ended_at: Timestamp,
    /// As [`vigy_core::settled`] reads them.
    pub(crate) outcomes: Vec<u8>,
}

/// What retention counts.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct UsageRow {
    /// Bytes of records, outcomes and values.
    pub(crate) bytes: u64,
    /// The oldest run kept.
    pub(crate) first: u64,
}

/// The id of a name: the first 8 bytes of its BLAKE3.
pub(crate) fn id_of(name: &str) -> VigyId {
    let hash = blake3::hash(name.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    VigyId(u64::from_be_bytes(first))
}

pub(crate) fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(row, vec![ROW_VERSION]).map_err(|error| StoreError(format!("cannot write a row: {error}")))
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&ROW_VERSION, row)) => postcard::from_bytes(row).map_err(|error| StoreError(format!("a row is damaged: {error}"))),
        _ => Err(StoreError("a row has an unknown version".to_owned())),
    }
}
