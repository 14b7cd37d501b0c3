//! What jobs do to the rows.

#[cfg(test)]
mod speed;

use std::collections::BTreeSet;

use vigy_core::record::{Bytes, Entry, Record, Verdict};
use vigy_core::{
    ActionKey, Batch, Checkpoint, Draft, Incarnation, Kept, ResultStatus, RunKey, Settlement, Timestamp, Unfinished, Vigy, VigyId, settled,
};

use super::engine::Snapshot;
use super::read::{alive, content_of, damaged, declaration, revision, standing};
use super::schedule::{enable, ticked};
use super::schema::{self, ConditionRow, DeadLetter, Happened, Happening, Part, RevisionRow, RunRow, Standing, decode, encode, row};
use super::transaction::Transaction;
use crate::StoreError;
use crate::agenda::Turn;
use crate::calendar::plan;

/// How much history a vigy keeps. The last run always stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Retention {
    /// Runs. Default 1,000.
    pub(crate) runs: u64,
    /// Bytes of runs and of the values they refer to. Default 64 MiB.
    pub(crate) bytes: u64,
    /// Milliseconds since a run began; nothing for no limit, which is the default. Looked at whenever the vigy ticks.
    pub(crate) age_ms: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { runs: 1000, bytes: 64 << 20, age_ms: None }
    }
}

/// Dead letters that a vigy keeps: 1,000. The oldest go.
const DEAD_LETTERS_KEPT: u32 = 1000;

/// What a registration needs beside the declaration, should the name be new.
pub(crate) struct NewVigy {
    pub(crate) id: VigyId,
    pub(crate) incarnation: Incarnation,
    /// BLAKE3 of the program's image.
    pub(crate) image: [u8; 32],
    pub(crate) now: Timestamp,
    /// Whether only a vigy that is there may change.
    pub(crate) must_exist: bool,
}

/// How a registration ended.
pub(crate) enum Registration {
    /// The vigy is as declared.
    Done,
    /// This other name has the same id.
    Collision(String),
    /// There is no such vigy, and there should have been.
    Missing,
}

impl Transaction {
    pub(super) fn happened(&mut self, at: Timestamp, vigy: VigyId, what: Happened) -> Result<(), StoreError> {
        self.tell(&Happening { at, vigy, what })
    }
}

/// Registers a vigy, or changes the declaration of the one with its name. The enabled state of an existing one stays.
pub(crate) fn register(transaction: &mut Transaction, vigy: Vigy, new: &NewVigy) -> Result<Registration, StoreError> {
    let (id, now) = (new.id, new.now);
    let Some(before) = standing(transaction, id)? else {
        if new.must_exist {
            return Ok(Registration::Missing);
        }
        let standing = Standing {
            checkpoint: Checkpoint::registered(new.incarnation, &plan(&vigy.schedule, now), now),
            enabled: vigy.enabled,
            revision: 1,
            version: 1,
            created_at: now,
            updated_at: now,
            bytes: 0,
            first: 1,
            dead: 0,
        };
        let name = vigy.name.to_string();
        transaction.put_bytes(schema::name(&name), id.0.to_be_bytes().to_vec());
        declare(transaction, id, &standing, &RevisionRow { declared_at: now, image: Some(new.image), vigy })?;
        transaction.happened(now, id, Happened::Registered { name })?;
        return Ok(Registration::Done);
    };
    let known = declaration(transaction, id, &before)?.vigy;
    if known.name != vigy.name {
        return Ok(Registration::Collision(known.name.to_string()));
    }
    if (Vigy { enabled: known.enabled, ..vigy.clone() }) != known {
        declare_anew(transaction, id, before, &RevisionRow { declared_at: now, image: Some(new.image), vigy })?;
    }
    Ok(Registration::Done)
}

/// Declares a vigy as it was declared in an earlier revision, which makes a new one. Nothing when there is no such vigy or revision.
pub(crate) fn rollback(transaction: &mut Transaction, id: VigyId, number: u64, now: Timestamp) -> Result<Option<()>, StoreError> {
    let (Some(before), Some(old)) = (standing(transaction, id)?, revision(transaction, id, number)?) else { return Ok(None) };
    declare_anew(transaction, id, before, &RevisionRow { declared_at: now, ..old }).map(Some)
}

fn declare_anew(transaction: &mut Transaction, id: VigyId, before: Standing, revision: &RevisionRow) -> Result<(), StoreError> {
    let now = revision.declared_at;
    let mut standing = Standing { revision: before.revision + 1, version: before.version + 1, updated_at: now, ..before };
    if declaration(transaction, id, &before)?.vigy.schedule != revision.vigy.schedule {
        standing.checkpoint.reschedule(&plan(&revision.vigy.schedule, now), now);
    }
    declare(transaction, id, &standing, revision)?;
    transaction.happened(now, id, Happened::Updated { revision: standing.revision })
}

fn declare(transaction: &mut Transaction, id: VigyId, standing: &Standing, revision: &RevisionRow) -> Result<(), StoreError> {
    transaction.put(schema::revision(id, standing.revision), revision)?;
    transaction.put(schema::standing(id), standing)
}

/// Enables or disables a vigy, if there is one. One that is enabled is not parked any more.
pub(crate) fn set_enabled(transaction: &mut Transaction, id: VigyId, enabled: bool, now: Timestamp) -> Result<(), StoreError> {
    if enabled {
        return enable(transaction, id, now);
    }
    let Some(mut standing) = standing(transaction, id)? else { return Ok(()) };
    if standing.enabled {
        standing.enabled = false;
        standing.version += 1;
        transaction.put(schema::standing(id), &standing)?;
        transaction.happened(now, id, Happened::Disabled)?;
    }
    Ok(())
}

/// Removes a vigy and everything about it: two ranges, however long its history is. Tells where it stood.
pub(crate) fn delete(transaction: &mut Transaction, id: VigyId, now: Timestamp) -> Result<Option<Checkpoint>, StoreError> {
    let Some(standing) = standing(transaction, id)? else { return Ok(None) };
    let name = declaration(transaction, id, &standing)?.vigy.name.to_string();
    transaction.remove(schema::standing(id));
    transaction.remove(schema::name(&name));
    transaction.remove_range(schema::vigy(id));
    transaction.remove_range(schema::dead_letters(id));
    transaction.happened(now, id, Happened::Deleted { name })?;
    Ok(Some(standing.checkpoint))
}

/// Discards a dead letter, which somebody has carried out by hand or given up. False when there is none.
pub(crate) fn discard(transaction: &mut Transaction, id: VigyId, tick: u64, index: u16) -> Result<bool, StoreError> {
    let key = schema::dead_letter(id, tick, index);
    let (Some(mut standing), Some(_)) = (standing(transaction, id)?, transaction.get(&key)?) else { return Ok(false) };
    transaction.remove(key);
    standing.dead = standing.dead.saturating_sub(1);
    transaction.put(schema::standing(id), &standing)?;
    Ok(true)
}

fn remove_draft(transaction: &mut Transaction, id: VigyId) {
    // The draft and its values lie side by side.
    transaction.remove_range(schema::part(id, Part::Draft).start..schema::part(id, Part::DraftValue).end);
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
    pub(crate) fn write(&self, transaction: &mut Transaction) -> Result<bool, StoreError> {
        let Some(standing) = alive(transaction, self.id, self.run.incarnation)? else { return Ok(false) };
        let began = standing.checkpoint.unfinished == Unfinished::Evaluation;
        transaction.put(schema::standing(self.id), &Standing { checkpoint: self.checkpoint, ..standing })?;
        transaction.put_bytes(schema::of(self.id, Part::Draft, &[]), self.record.clone());
        if !began {
            transaction.remove_range(schema::part(self.id, Part::DraftValue));
        }
        for (hash, value) in &self.values {
            let key = schema::of(self.id, Part::DraftValue, hash);
            // A draft only grows, and what its earlier form referred to is there.
            if !began || transaction.get(&key)?.is_none() {
                transaction.put_bytes(key, value.clone());
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
    /// Of the standing that the tick began with.
    version: u64,
    run: RunKey,
    at: Timestamp,
    now: Timestamp,
    failed: bool,
    /// Whether no settlement follows.
    ends: bool,
    checkpoint: Checkpoint,
    /// The [`RunRow`], as it is stored.
    row: Vec<u8>,
    /// The values that the record refers to, each once.
    stored: BTreeSet<[u8; 32]>,
    values: Vec<([u8; 32], Vec<u8>)>,
    kv: Vec<(String, Option<Vec<u8>>)>,
    state: Vec<(Part, String, Vec<u8>)>,
}

impl Committed {
    pub(crate) fn new(id: VigyId, version: u64, batch: &Batch<'_>, now: Timestamp) -> Result<Self, StoreError> {
        let at = batch.header().at;
        let mut state = Vec::new();
        for (entry, value) in batch.states() {
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
        let (ends, values) = (batch.outcomes().is_some(), owned(batch.values()));
        // What no handler was asked for follows from the record.
        let (outcomes, record) = (Bytes(&[]), Bytes(batch.record()));
        let run = RunRow { at, ended_at: ends.then_some(now), refers: !values.is_empty(), outcomes, record };
        Ok(Self {
            id,
            version,
            run: batch.run(),
            at,
            now,
            failed: batch.failed(),
            ends,
            checkpoint: *batch.checkpoint(),
            row: run.encoded()?,
            stored: stored(&run)?,
            values,
            kv: batch.kv_writes().map(|(key, value)| (key.to_owned(), value.map(<[u8]>::to_vec))).collect(),
            state,
        })
    }

    /// Writes the batch, and tells what the agenda is told. Nothing is written when this life of the vigy is over.
    pub(crate) fn write(mut self, transaction: &mut Transaction, retention: Retention) -> Result<Option<Turn>, StoreError> {
        let (id, tick) = (self.id, self.run.tick);
        let Some(mut standing) = alive(transaction, id, self.run.incarnation)? else { return Ok(None) };
        if standing.checkpoint.unfinished == Unfinished::Evaluation {
            remove_draft(transaction, id);
        }
        for (key, value) in self.kv.drain(..) {
            let key = schema::of(id, Part::Kv, key.as_bytes());
            match value {
                Some(value) => transaction.put_bytes(key, value),
                None => transaction.remove(key),
            }
        }
        self.write_state(transaction)?;
        ticked(transaction, id, self.version, &mut standing, self.checkpoint, self.now)?;
        let turn = standing.turn();
        let mut history = History { transaction, id, standing };
        history.add(tick, self.row, &self.stored, self.values)?;
        history.trim(tick, self.now, retention)?;
        history.close()?;
        if self.ends {
            transaction.happened(self.now, id, ran(self.run, self.failed))?;
        }
        Ok(Some(turn))
    }

    fn write_state(&mut self, transaction: &mut Transaction) -> Result<(), StoreError> {
        for (part, name, value) in self.state.drain(..) {
            let key = schema::of(self.id, part, name.as_bytes());
            if part != Part::Condition {
                transaction.put_bytes(key, value);
                continue;
            }
            // A condition keeps the time of its transition while its status stays.
            let mut new: ConditionRow = decode(&value)?;
            let before: Option<ConditionRow> = row(transaction, &key)?;
            new.last_transition = before.filter(|before| before.status == new.status).map_or(self.at, |before| before.last_transition);
            transaction.put(key, &new)?;
        }
        Ok(())
    }
}

const fn ran(run: RunKey, failed: bool) -> Happened {
    Happened::Ran { run, result: if failed { ResultStatus::Failed } else { ResultStatus::Ok } }
}

/// A settlement, copied out of a tick's memory for the writer's thread.
pub(crate) struct Settles {
    id: VigyId,
    /// Of the standing that the tick began with.
    version: u64,
    run: RunKey,
    now: Timestamp,
    checkpoint: Checkpoint,
    outcomes: Vec<u8>,
}

impl Settles {
    pub(crate) fn new(id: VigyId, version: u64, settlement: &Settlement<'_>, now: Timestamp) -> Self {
        Self { id, version, run: settlement.run(), now, checkpoint: settlement.checkpoint(), outcomes: settlement.outcomes().to_owned() }
    }

    /// Writes the outcomes, and tells what the agenda is told. Nothing is written when this life of the vigy is over.
    pub(crate) fn write(&self, transaction: &mut Transaction) -> Result<Option<Turn>, StoreError> {
        let Some(mut standing) = alive(transaction, self.id, self.run.incarnation)? else { return Ok(None) };
        ticked(transaction, self.id, self.version, &mut standing, self.checkpoint, self.now)?;
        let key = schema::run(self.id, self.run.tick);
        let before = transaction.get(&key)?.ok_or_else(|| damaged("the run to settle is not there"))?;
        let run: RunRow<'_> = decode(&before)?;
        let row = RunRow { ended_at: Some(self.now), outcomes: Bytes(&self.outcomes), ..run }.encoded()?;
        standing.bytes = standing.bytes.saturating_sub(before.len() as u64) + row.len() as u64;
        let record = Record::parse(run.record.0).map_err(damaged)?;
        transaction.put_bytes(key, row);
        self.bury(transaction, &record, &mut standing)?;
        transaction.put(schema::standing(self.id), &standing)?;
        transaction.happened(self.now, self.id, ran(self.run, record.end().0 != Verdict::Ok))?;
        Ok(Some(standing.turn()))
    }

    /// Keeps the actions that failed as dead letters.
    fn bury(&self, transaction: &mut Transaction, record: &Record<'_>, standing: &mut Standing) -> Result<(), StoreError> {
        for line in settled(&self.outcomes).filter(|line| line.status == ResultStatus::Failed) {
            let mut payloads = record.entries().filter_map(|entry| match entry {
                Entry::Action { payload, .. } => Some(payload),
                _ => None,
            });
            let payload = payloads.nth(usize::from(line.index)).flatten();
            let payload = payload.map(|content| content_of(transaction, self.id, content)).transpose()?;
            let key = ActionKey { run: self.run, index: line.index };
            let (message, attempts) = (line.message.to_owned(), line.attempts);
            let letter = DeadLetter { key, kind: line.kind, payload, message, attempts, at: self.now };
            transaction.put(schema::dead_letter(self.id, self.run.tick, line.index), &letter)?;
            standing.dead += 1;
            transaction.happened(self.now, self.id, Happened::DeadLettered { key })?;
        }
        while standing.dead > DEAD_LETTERS_KEPT {
            let (range, mut oldest) = (schema::dead_letters(self.id), None);
            transaction.scan(&range.start..&range.end, super::engine::Direction::Forward, &mut |key, _| {
                oldest = Some(key.to_owned());
                std::ops::ControlFlow::Break(())
            })?;
            if let Some(oldest) = oldest {
                transaction.remove(oldest);
            }
            standing.dead -= 1;
        }
        Ok(())
    }
}

/// The runs of one vigy, with what they take.
struct History<'t> {
    transaction: &'t mut Transaction,
    id: VigyId,
    standing: Standing,
}

impl History<'_> {
    fn close(self) -> Result<(), StoreError> {
        self.transaction.put(schema::standing(self.id), &self.standing)
    }

    /// Adds a run, its row as it is stored, and the values of its tick that its record refers to.
    fn add(
        &mut self,
        tick: u64,
        run: Vec<u8>,
        refers_to: &BTreeSet<[u8; 32]>,
        mut values: Vec<([u8; 32], Vec<u8>)>,
    ) -> Result<(), StoreError> {
        self.standing.bytes += run.len() as u64;
        self.transaction.put_bytes(schema::run(self.id, tick), run);
        for hash in refers_to {
            let key = schema::of(self.id, Part::Reference, hash);
            let count = row::<u64>(self.transaction, &key)?.unwrap_or(0);
            if count == 0 {
                let value = values.iter_mut().find(|(known, _)| known == hash).map(|(_, value)| std::mem::take(value));
                let value = value.ok_or_else(|| damaged("a record refers to a value that its tick does not have"))?;
                self.standing.bytes += value.len() as u64;
                self.transaction.put_bytes(schema::of(self.id, Part::Value, hash), value);
            }
            self.transaction.put(key, &(count + 1))?;
        }
        Ok(())
    }

    /// Drops the oldest runs until the rest, of which `last` is the newest, are within the retention.
    fn trim(&mut self, last: u64, now: Timestamp, retention: Retention) -> Result<(), StoreError> {
        while self.standing.first < last {
            let first = self.standing.first;
            let run = schema::run(self.id, first);
            let many = last - first >= retention.runs || self.standing.bytes > retention.bytes;
            if !many && retention.age_ms.is_none() {
                break;
            }
            let row = self.transaction.get(&run)?;
            if let Some(row) = row {
                let old: RunRow<'_> = decode(&row)?;
                if !many && retention.age_ms.is_none_or(|age| now.since(old.at) <= age) {
                    break;
                }
                let freed = row.len() as u64 + self.release(&old)?;
                self.standing.bytes = self.standing.bytes.saturating_sub(freed);
                self.transaction.remove(run);
            }
            self.standing.first += 1;
        }
        Ok(())
    }

    /// Counts the values of a run that goes, and tells how many bytes went with those nobody refers to any more.
    fn release(&mut self, run: &RunRow<'_>) -> Result<u64, StoreError> {
        let mut freed = 0;
        for hash in stored(run)? {
            let key = schema::of(self.id, Part::Reference, &hash);
            let count = row::<u64>(self.transaction, &key)?.unwrap_or(1);
            if count > 1 {
                self.transaction.put(key, &(count - 1))?;
                continue;
            }
            self.transaction.remove(key);
            let value = schema::of(self.id, Part::Value, &hash);
            freed += self.transaction.get(&value)?.map_or(0, |value| value.len() as u64);
            self.transaction.remove(value);
        }
        Ok(freed)
    }
}

/// The hashes a run's record refers to, each once.
pub(super) fn stored(run: &RunRow<'_>) -> Result<BTreeSet<[u8; 32]>, StoreError> {
    if !run.refers {
        return Ok(BTreeSet::new());
    }
    Ok(Record::parse(run.record.0).map_err(damaged)?.stored().collect())
}
