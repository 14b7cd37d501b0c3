//! What one transaction does to the tables.

use std::collections::BTreeSet;
use std::ops::Bound;

use redb::{ReadableTable, WriteTransaction};
use vigy_core::record::{Entry, Record};
use vigy_core::{Batch, Checkpoint, Draft, Incarnation, Kept, RunKey, Settlement, Timestamp, Unfinished, Vigy, VigyId};

use super::schema::{
    CHECKPOINTS, ConditionRow, DRAFT_VALUES, DRAFTS, KV, NAMES, OUTCOMES, OutcomesRow, Part, REFERENCES, RUNS, STATE, USAGE, UsageRow,
    VALUES, VIGIES, VigyRow, decode, encode,
};
use crate::StoreError;

/// How much history a vigy keeps. The last run always stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Retention {
    pub(crate) runs: u64,
    /// Bytes of records, outcomes and values.
    pub(crate) bytes: u64,
}

impl Default for Retention {
    /// The last 1,000 runs, 64 MiB.
    fn default() -> Self {
        Self { runs: 1000, bytes: 64 << 20 }
    }
}

/// What a registration needs beside the declaration, should the name be new.
pub(crate) struct NewVigy {
    pub(crate) id: VigyId,
    pub(crate) incarnation: Incarnation,
    pub(crate) now: Timestamp,
    /// Whether only a vigy that is there may change.
    pub(crate) must_exist: bool,
}

/// How a registration ended.
pub(crate) enum Registration {
    New(VigyRow),
    Updated(VigyRow),
    Unchanged(VigyRow),
    /// This other name has the same id.
    Collision(String),
    /// There is no such vigy, and there should have been.
    Missing,
}

/// A row as it is now; nothing when there is no such vigy.
pub(super) fn row(transaction: &WriteTransaction, id: VigyId) -> Result<Option<VigyRow>, StoreError> {
    let vigies = transaction.open_table(VIGIES)?;
    let bytes = vigies.get(id.0)?;
    bytes.map(|bytes| decode(bytes.value())).transpose()
}

fn put_row(transaction: &WriteTransaction, id: VigyId, row: &VigyRow) -> Result<(), StoreError> {
    transaction.open_table(VIGIES)?.insert(id.0, encode(row)?.as_slice())?;
    Ok(())
}

/// Registers a vigy, or changes the declaration of the one with its name. The enabled state of an existing one stays.
pub(crate) fn register(transaction: &WriteTransaction, vigy: Vigy, new: &NewVigy) -> Result<Registration, StoreError> {
    let Some(before) = row(transaction, new.id)? else {
        if new.must_exist {
            return Ok(Registration::Missing);
        }
        let row = VigyRow { vigy, incarnation: new.incarnation, revision: 1, version: 1, created_at: new.now, updated_at: new.now };
        put_row(transaction, new.id, &row)?;
        transaction.open_table(NAMES)?.insert(row.vigy.name.as_str(), new.id.0)?;
        put_checkpoint(transaction, new.id, &Checkpoint::new(new.incarnation, new.now))?;
        return Ok(Registration::New(row));
    };
    if before.vigy.name != vigy.name {
        return Ok(Registration::Collision(before.vigy.name.to_string()));
    }
    let vigy = Vigy { enabled: before.vigy.enabled, ..vigy };
    if vigy == before.vigy {
        return Ok(Registration::Unchanged(before));
    }
    let row = VigyRow { vigy, revision: before.revision + 1, version: before.version + 1, updated_at: new.now, ..before };
    put_row(transaction, new.id, &row)?;
    Ok(Registration::Updated(row))
}

/// Enables or disables a vigy. Says whether that changed anything.
pub(crate) fn set_enabled(transaction: &WriteTransaction, id: VigyId, enabled: bool) -> Result<Option<(VigyRow, bool)>, StoreError> {
    let Some(mut row) = row(transaction, id)? else { return Ok(None) };
    let changed = row.vigy.enabled != enabled;
    if changed {
        row.vigy.enabled = enabled;
        row.version += 1;
        put_row(transaction, id, &row)?;
    }
    Ok(Some((row, changed)))
}

/// Removes a vigy and everything about it.
pub(crate) fn delete(transaction: &WriteTransaction, id: VigyId) -> Result<Option<VigyRow>, StoreError> {
    let Some(row) = row(transaction, id)? else { return Ok(None) };
    let VigyId(key) = id;
    transaction.open_table(VIGIES)?.remove(key)?;
    transaction.open_table(NAMES)?.remove(row.vigy.name.as_str())?;
    transaction.open_table(CHECKPOINTS)?.remove(key)?;
    transaction.open_table(USAGE)?.remove(key)?;
    let next = key.checked_add(1);
    let end = next.map_or(Bound::Unbounded, |next| Bound::Excluded((next, "")));
    transaction.open_table(KV)?.retain_in((Bound::Included((key, "")), end), |_, _| false)?;
    let end = next.map_or(Bound::Unbounded, |next| Bound::Excluded((next, 0, "")));
    transaction.open_table(STATE)?.retain_in((Bound::Included((key, 0, "")), end), |_, _| false)?;
    transaction.open_table(RUNS)?.retain_in((key, 0)..=(key, u64::MAX), |_, _| false)?;
    transaction.open_table(OUTCOMES)?.retain_in((key, 0)..=(key, u64::MAX), |_, _| false)?;
    transaction.open_table(VALUES)?.retain_in((key, &[0; 32])..=(key, &[u8::MAX; 32]), |_, _| false)?;
    transaction.open_table(REFERENCES)?.retain_in((key, &[0; 32])..=(key, &[u8::MAX; 32]), |_, _| false)?;
    remove_draft(transaction, id)?;
    Ok(Some(row))
}

fn remove_draft(transaction: &WriteTransaction, VigyId(id): VigyId) -> Result<(), StoreError> {
    transaction.open_table(DRAFTS)?.remove(id)?;
    transaction.open_table(DRAFT_VALUES)?.retain_in((id, &[0; 32])..=(id, &[u8::MAX; 32]), |_, _| false)?;
    Ok(())
}

/// Writes a checkpoint and tells what the one before said was unfinished.
fn put_checkpoint(transaction: &WriteTransaction, id: VigyId, checkpoint: &Checkpoint) -> Result<Unfinished, StoreError> {
    let mut checkpoints = transaction.open_table(CHECKPOINTS)?;
    let before = checkpoints.insert(id.0, encode(checkpoint)?.as_slice())?;
    let before: Option<Checkpoint> = before.map(|row| decode(row.value())).transpose()?;
    Ok(before.map_or(Unfinished::Nothing, |before| before.unfinished))
}

/// A draft, copied out of a tick's memory for the writer's thread.
pub(crate) struct Saved {
    id: VigyId,
    run: RunKey,
    checkpoint: Checkpoint,
    record: Vec<u8>,
    values: Vec<([u8; 32], Vec<u8>)>,
}

impl Saved {
    pub(crate) fn new(id: VigyId, draft: &Draft<'_>) -> Self {
        Self { id, run: draft.run(), checkpoint: draft.checkpoint(), record: draft.record().to_owned(), values: owned(draft.values()) }
    }

    /// Writes the draft in place of an earlier one. False, and nothing is written, when this life of the vigy is over.
    pub(crate) fn write(&self, transaction: &WriteTransaction) -> Result<bool, StoreError> {
        if row(transaction, self.id)?.is_none_or(|row| row.incarnation != self.run.incarnation) {
            return Ok(false);
        }
        let VigyId(id) = self.id;
        put_checkpoint(transaction, self.id, &self.checkpoint)?;
        transaction.open_table(DRAFTS)?.insert(id, self.record.as_slice())?;
        let mut values = transaction.open_table(DRAFT_VALUES)?;
        let needed = |hash: &[u8; 32]| self.values.iter().any(|(known, _)| known == hash);
        values.retain_in((id, &[0; 32])..=(id, &[u8::MAX; 32]), |(_, hash), _| needed(hash))?;
        for (hash, value) in &self.values {
            if values.get((id, hash))?.is_none() {
                values.insert((id, hash), value.as_slice())?;
            }
        }
        Ok(true)
    }
}

fn owned(values: Kept<'_>) -> Vec<([u8; 32], Vec<u8>)> {
    values.map(|(hash, value)| (*hash, value.to_owned())).collect()
}

/// A batch, copied out of a tick's memory for the writer's thread.
pub(crate) struct Committed {
    id: VigyId,
    run: RunKey,
    at: Timestamp,
    checkpoint: Checkpoint,
    record: Vec<u8>,
    values: Vec<([u8; 32], Vec<u8>)>,
    kv: Vec<(String, Option<Vec<u8>>)>,
    state: Vec<(Part, String, Vec<u8>)>,
    outcomes: Option<OutcomesRow>,
}

impl Committed {
    pub(crate) fn new(id: VigyId, batch: &Batch<'_>, now: Timestamp) -> Result<Self, StoreError> {
        let at = batch.header().at;
        let mut state = Vec::new();
        for (entry, value) in batch.entries() {
            let data = || value.unwrap_or_default().to_vec();
            match entry {
                Entry::Desired { key, .. } => state.push((Part::Desired, key.to_owned(), data())),
                Entry::Observed { key, .. } => state.push((Part::Observed, key.to_owned(), data())),
                Entry::Metric { name, value } => state.push((Part::Metric, name.to_owned(), encode(&value)?)),
                Entry::Condition { name, status, reason, message } => {
                    let (reason, message) = (reason.to_owned(), message.to_owned());
                    let row = ConditionRow { status, reason, message, last_transition: at };
                    state.push((Part::Condition, name.to_owned(), encode(&row)?));
                }
                _ => {}
            }
        }
        Ok(Self {
            id,
            run: batch.run(),
            at,
            checkpoint: *batch.checkpoint(),
            record: batch.record().to_owned(),
            values: owned(batch.values()),
            kv: batch.kv_writes().map(|(key, value)| (key.to_owned(), value.map(<[u8]>::to_vec))).collect(),
            state,
            outcomes: batch.outcomes().map(|outcomes| OutcomesRow { ended_at: now, outcomes: outcomes.to_owned() }),
        })
    }

    /// Writes the batch. False, and nothing is written, when this life of the vigy is over.
    pub(crate) fn write(&self, transaction: &WriteTransaction, retention: Retention) -> Result<bool, StoreError> {
        if row(transaction, self.id)?.is_none_or(|row| row.incarnation != self.run.incarnation) {
            return Ok(false);
        }
        let VigyId(id) = self.id;
        if put_checkpoint(transaction, self.id, &self.checkpoint)? == Unfinished::Evaluation {
            remove_draft(transaction, self.id)?;
        }
        let mut kv = transaction.open_table(KV)?;
        for (key, value) in &self.kv {
            match value {
                Some(value) => kv.insert((id, key.as_str()), value.as_slice())?,
                None => kv.remove((id, key.as_str()))?,
            };
        }
        self.write_state(transaction)?;
        let mut history = History::open(transaction, self.id, self.run.tick)?;
        history.add(self.run.tick, &self.record, &self.values)?;
        if let Some(outcomes) = &self.outcomes {
            history.settle(self.run.tick, outcomes)?;
        }
        history.trim(self.run.tick, retention)?;
        history.close(transaction)?;
        Ok(true)
    }

    fn write_state(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        let mut table = transaction.open_table(STATE)?;
        for (part, name, value) in &self.state {
            let key = (self.id.0, *part as u8, name.as_str());
            if *part != Part::Condition {
                table.insert(key, value.as_slice())?;
                continue;
            }
            // A condition keeps the time of its transition while its status stays.
            let mut new: ConditionRow = decode(value)?;
            let before = table.get(key)?.map(|before| decode::<ConditionRow>(before.value())).transpose()?;
            new.last_transition = before.filter(|before| before.status == new.status).map_or(self.at, |before| before.last_transition);
            table.insert(key, encode(&new)?.as_slice())?;
        }
        Ok(())
    }
}

/// Writes outcomes. False, and nothing is written, when this life of the vigy is over.
pub(crate) fn settle(
    transaction: &WriteTransaction,
    id: VigyId,
    run: RunKey,
    checkpoint: &Checkpoint,
    outcomes: &OutcomesRow,
) -> Result<bool, StoreError> {
    if row(transaction, id)?.is_none_or(|row| row.incarnation != run.incarnation) {
        return Ok(false);
    }
    put_checkpoint(transaction, id, checkpoint)?;
    let mut history = History::open(transaction, id, run.tick)?;
    history.settle(run.tick, outcomes)?;
    history.close(transaction)?;
    Ok(true)
}

/// A settlement, copied out of a tick's memory.
pub(crate) fn outcomes_row(settlement: &Settlement<'_>, now: Timestamp) -> OutcomesRow {
    OutcomesRow { ended_at: now, outcomes: settlement.outcomes().to_owned() }
}

/// The runs of one vigy, with what they take.
struct History<'t> {
    id: u64,
    usage: UsageRow,
    runs: redb::Table<'t, (u64, u64), &'static [u8]>,
    outcomes: redb::Table<'t, (u64, u64), &'static [u8]>,
    values: redb::Table<'t, (u64, &'static [u8; 32]), &'static [u8]>,
    references: redb::Table<'t, (u64, &'static [u8; 32]), u64>,
}

impl<'t> History<'t> {
    fn open(transaction: &'t WriteTransaction, id: VigyId, tick: u64) -> Result<Self, StoreError> {
        let usage = transaction.open_table(USAGE)?;
        let known = usage.get(id.0)?.map(|usage| decode(usage.value())).transpose()?;
        Ok(Self {
            id: id.0,
            usage: known.unwrap_or(UsageRow { bytes: 0, first: tick }),
            runs: transaction.open_table(RUNS)?,
            outcomes: transaction.open_table(OUTCOMES)?,
            values: transaction.open_table(VALUES)?,
            references: transaction.open_table(REFERENCES)?,
        })
    }

    fn close(self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        transaction.open_table(USAGE)?.insert(self.id, encode(&self.usage)?.as_slice())?;
        Ok(())
    }

    fn add(&mut self, tick: u64, record: &[u8], values: &[([u8; 32], Vec<u8>)]) -> Result<(), StoreError> {
        self.runs.insert((self.id, tick), record)?;
        self.usage.bytes += record.len() as u64;
        for hash in stored(record)? {
            let key = (self.id, &hash);
            let count = self.references.get(key)?.map_or(0, |count| count.value());
            if count == 0 {
                let value = values.iter().find(|(known, _)| *known == hash).map(|(_, value)| value);
                let value = value.ok_or_else(|| StoreError("a record refers to a value that its tick does not have".to_owned()))?;
                self.values.insert(key, value.as_slice())?;
                self.usage.bytes += value.len() as u64;
            }
            self.references.insert(key, count + 1)?;
        }
        Ok(())
    }

    fn settle(&mut self, tick: u64, outcomes: &OutcomesRow) -> Result<(), StoreError> {
        let row = encode(outcomes)?;
        self.usage.bytes += row.len() as u64;
        self.outcomes.insert((self.id, tick), row.as_slice())?;
        Ok(())
    }

    /// Drops the oldest runs until the rest, of which `last` is the newest, are within the retention.
    fn trim(&mut self, last: u64, retention: Retention) -> Result<(), StoreError> {
        while self.usage.first < last && (last - self.usage.first >= retention.runs || self.usage.bytes > retention.bytes) {
            self.drop_run(self.usage.first)?;
            self.usage.first += 1;
        }
        Ok(())
    }

    fn drop_run(&mut self, tick: u64) -> Result<(), StoreError> {
        let mut freed = 0;
        if let Some(outcomes) = self.outcomes.remove((self.id, tick))? {
            freed += outcomes.value().len() as u64;
        }
        let record = self.runs.remove((self.id, tick))?.map(|record| record.value().to_vec()).unwrap_or_default();
        freed += record.len() as u64;
        for hash in stored(&record)? {
            let key = (self.id, &hash);
            let count = self.references.get(key)?.map_or(1, |count| count.value());
            if count > 1 {
                self.references.insert(key, count - 1)?;
                continue;
            }
            self.references.remove(key)?;
            if let Some(value) = self.values.remove(key)? {
                freed += value.value().len() as u64;
            }
        }
        self.usage.bytes = self.usage.bytes.saturating_sub(freed);
        Ok(())
    }
}

/// The hashes a record refers to, each once. An absent record refers to nothing.
fn stored(record: &[u8]) -> Result<BTreeSet<[u8; 32]>, StoreError> {
    if record.is_empty() {
        return Ok(BTreeSet::new());
    }
    let record = Record::parse(record).map_err(|error| StoreError(error.to_string()))?;
    Ok(record.stored().collect())
}
