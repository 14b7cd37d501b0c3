//! Stores of format 2, which had a table for each kind of row, become stores of this format when they are opened.
//!
//! It is done in the same file and in one transaction: whenever the power goes, the store is in the one format or in the other.

use std::collections::BTreeMap;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::{Deserialize, Serialize};
use vigy_core::record::{Bytes, Record};
use vigy_core::{Checkpoint, Incarnation, Labels, Limits, Name, Policy, TickInterval, Timestamp, Unfinished, Vigy, VigyId};

use super::engine;
use super::lock::facts;
use super::read::damaged;
use super::schema::{self, Part, RevisionRow, RunRow, Standing, decode, encode};
use crate::StoreError;

pub(super) const FORMAT: u32 = 2;

const META: TableDefinition<'_, &str, u32> = TableDefinition::new("vigy.meta");
const VIGIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("vigy.vigies");
const NAMES: TableDefinition<'_, &str, u64> = TableDefinition::new("vigy.names");
const CHECKPOINTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("vigy.checkpoints");
const KV: TableDefinition<'_, (u64, &str), &[u8]> = TableDefinition::new("vigy.kv");
const STATE: TableDefinition<'_, (u64, u8, &str), &[u8]> = TableDefinition::new("vigy.state");
const RUNS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("vigy.runs");
const OUTCOMES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("vigy.outcomes");
const VALUES: TableDefinition<'_, (u64, &[u8; 32]), &[u8]> = TableDefinition::new("vigy.values");
const REFERENCES: TableDefinition<'_, (u64, &[u8; 32]), u64> = TableDefinition::new("vigy.references");
const DRAFTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("vigy.drafts");
const DRAFT_VALUES: TableDefinition<'_, (u64, &[u8; 32]), &[u8]> = TableDefinition::new("vigy.draft_values");
const USAGE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("vigy.usage");

/// A vigy, as format 2 had it.
#[derive(Serialize, Deserialize)]
struct OldRow {
    vigy: OldVigy,
    incarnation: Incarnation,
    revision: u64,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct OldVigy {
    name: Name,
    program: String,
    interval: TickInterval,
    enabled: bool,
    labels: Labels,
    limits: Limits,
    on_action: String,
    allow: Vec<String>,
    config: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct OldCheckpoint {
    incarnation: Incarnation,
    ticks: u64,
    last: Option<Timestamp>,
    due: Timestamp,
    failures: u32,
    unfinished: Unfinished,
}

#[derive(Serialize, Deserialize)]
struct OldOutcomes {
    ended_at: Timestamp,
    outcomes: Vec<u8>,
}

#[derive(Serialize, Deserialize, Default)]
struct OldUsage {
    bytes: u64,
    first: u64,
}

/// The old format that a database is in; nothing when it has none.
pub(super) fn format_of(database: &impl ReadableDatabase) -> Result<Option<u32>, redb::Error> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get("format")?.map(|format| format.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Moves every row of format 2 to where it lies now, and removes the old tables.
pub(super) fn from_format_2(database: &Database) -> Result<(), StoreError> {
    let transaction = engine::begin(database)?;
    move_rows(&transaction)?;
    transaction.delete_table(META)?;
    transaction.delete_table(VIGIES)?;
    transaction.delete_table(NAMES)?;
    transaction.delete_table(CHECKPOINTS)?;
    transaction.delete_table(KV)?;
    transaction.delete_table(STATE)?;
    transaction.delete_table(RUNS)?;
    transaction.delete_table(OUTCOMES)?;
    transaction.delete_table(VALUES)?;
    transaction.delete_table(REFERENCES)?;
    transaction.delete_table(DRAFTS)?;
    transaction.delete_table(DRAFT_VALUES)?;
    transaction.delete_table(USAGE)?;
    Ok(transaction.commit()?)
}

fn move_rows(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut rows = transaction.open_table(engine::ROWS)?;
    let mut put = |key: Vec<u8>, value: &[u8]| rows.insert(key.as_slice(), value).map(|_| ());
    for (key, value) in facts()?.entries() {
        put(key.to_vec(), value.unwrap_or_default())?;
    }
    let mut standings = standings(transaction)?;
    for row in transaction.open_table(VIGIES)?.iter()? {
        let (id, row) = row?;
        let OldRow { vigy, revision, updated_at, .. } = decode(row.value())?;
        let revision_row = RevisionRow { declared_at: updated_at, image: None, vigy: vigy.now() };
        put(schema::revision(VigyId(id.value()), revision), &encode(&revision_row)?)?;
    }
    for row in transaction.open_table(NAMES)?.iter()? {
        let (name, id) = row?;
        put(schema::name(name.value()), &id.value().to_be_bytes())?;
    }
    for row in transaction.open_table(KV)?.iter()? {
        let (key, value) = row?;
        let (id, key) = key.value();
        put(schema::of(VigyId(id), Part::Kv, key.as_bytes()), value.value())?;
    }
    for row in transaction.open_table(STATE)?.iter()? {
        let (key, value) = row?;
        let (id, part, name) = key.value();
        let part = match part {
            0 => Part::Desired,
            1 => Part::Observed,
            2 => Part::Condition,
            _ => Part::Metric,
        };
        put(schema::of(VigyId(id), part, name.as_bytes()), value.value())?;
    }
    let outcomes = transaction.open_table(OUTCOMES)?;
    for row in transaction.open_table(RUNS)?.iter()? {
        let (key, bytes) = row?;
        let (id, tick) = key.value();
        let record = Record::parse(bytes.value()).map_err(damaged)?;
        let settled: Option<OldOutcomes> = outcomes.get((id, tick))?.map(|row| decode(row.value())).transpose()?;
        let row = encode(&RunRow {
            at: record.header().at,
            ended_at: settled.as_ref().map(|settled| settled.ended_at),
            refers: record.stored().next().is_some(),
            outcomes: Bytes(settled.as_ref().map_or(&[], |settled| &settled.outcomes)),
            record: Bytes(bytes.value()),
        })?;
        if let Some(standing) = standings.get_mut(&id) {
            standing.bytes += row.len() as u64;
        }
        put(schema::run(VigyId(id), tick), &row)?;
    }
    for row in transaction.open_table(VALUES)?.iter()? {
        let (key, value) = row?;
        let (id, hash) = key.value();
        if let Some(standing) = standings.get_mut(&id) {
            standing.bytes += value.value().len() as u64;
        }
        put(schema::of(VigyId(id), Part::Value, hash), value.value())?;
    }
    for row in transaction.open_table(REFERENCES)?.iter()? {
        let (key, count) = row?;
        let (id, hash) = key.value();
        put(schema::of(VigyId(id), Part::Reference, hash), &encode(&count.value())?)?;
    }
    for row in transaction.open_table(DRAFTS)?.iter()? {
        let (id, draft) = row?;
        put(schema::of(VigyId(id.value()), Part::Draft, &[]), draft.value())?;
    }
    for row in transaction.open_table(DRAFT_VALUES)?.iter()? {
        let (key, value) = row?;
        let (id, hash) = key.value();
        put(schema::of(VigyId(id), Part::DraftValue, hash), value.value())?;
    }
    for (id, standing) in standings {
        put(schema::standing(VigyId(id)), &encode(&standing)?)?;
    }
    Ok(())
}

/// Where each vigy stands, by id, its history not yet counted.
fn standings(transaction: &WriteTransaction) -> Result<BTreeMap<u64, Standing>, StoreError> {
    let (checkpoints, usages) = (transaction.open_table(CHECKPOINTS)?, transaction.open_table(USAGE)?);
    let mut standings = BTreeMap::new();
    for row in transaction.open_table(VIGIES)?.iter()? {
        let (id, row) = row?;
        let OldRow { vigy, revision, version, created_at, updated_at, .. } = decode(row.value())?;
        let checkpoint = checkpoints.get(id.value())?.ok_or_else(|| damaged(format!("vigy {} has no checkpoint", VigyId(id.value()))))?;
        let checkpoint: OldCheckpoint = decode(checkpoint.value())?;
        let usage: Option<OldUsage> = usages.get(id.value())?.map(|usage| decode(usage.value())).transpose()?;
        let standing = Standing {
            checkpoint: checkpoint.now(),
            enabled: vigy.enabled,
            revision,
            version,
            created_at,
            updated_at,
            bytes: 0,
            first: usage.map_or(1, |usage| usage.first),
            dead: 0,
        };
        standings.insert(id.value(), standing);
    }
    Ok(standings)
}

impl OldVigy {
    fn now(self) -> Vigy {
        let Self { name, program, interval, enabled, labels, limits, on_action, allow, config } = self;
        Vigy { name, program, schedule: interval.into(), policy: Policy::default(), enabled, labels, limits, on_action, allow, config }
    }
}

impl OldCheckpoint {
    const fn now(self) -> Checkpoint {
        let Self { incarnation, ticks, last, due, failures, unfinished } = self;
        Checkpoint { ticks, last, failures, unfinished, ..Checkpoint::new(incarnation, due) }
    }
}
