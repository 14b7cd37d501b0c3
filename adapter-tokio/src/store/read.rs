//! What one snapshot tells.

use std::collections::BTreeSet;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};
use vigy_core::record::{Content, Entry, Explain, Record};
use vigy_core::{ActionKey, Checkpoint, LAST_OUTCOMES, Name, Piece, ResultStatus, RunKey, Selector, Timestamp, Verdict, VigyId, settled};
use vigy_lisp::Data;

use super::schema::{
    CHECKPOINTS, ConditionRow, DRAFT_VALUES, DRAFTS, KV, NAMES, OUTCOMES, OutcomesRow, Part, RUNS, STATE, VALUES, VIGIES, VigyRow, decode,
};
use crate::view::{Condition, LogLine, Registered, Run, RunAction, RunEvent, RunWrite, State};
use crate::{StoreError, VigyError};

/// A vigy as it stands; nothing when there is none of that id.
pub(crate) fn get(read: &ReadTransaction, id: VigyId) -> Result<Option<Registered>, StoreError> {
    let vigies = read.open_table(VIGIES)?;
    let Some(row) = vigies.get(id.0)? else { return Ok(None) };
    Ok(Some(registered(id, decode(row.value())?, checkpoint(read, id)?)))
}

pub(crate) fn registered(id: VigyId, row: VigyRow, checkpoint: Checkpoint) -> Registered {
    let VigyRow { vigy, revision, created_at, updated_at, .. } = row;
    Registered { id, vigy, revision, created_at, updated_at, checkpoint }
}

pub(crate) fn checkpoint(read: &ReadTransaction, id: VigyId) -> Result<Checkpoint, StoreError> {
    let checkpoints = read.open_table(CHECKPOINTS)?;
    let row = checkpoints.get(id.0)?.ok_or_else(|| StoreError(format!("vigy {id} has no checkpoint")))?;
    decode(row.value())
}

/// All vigies with these labels, by name.
pub(crate) fn list(read: &ReadTransaction, selector: &Selector) -> Result<Vec<Registered>, StoreError> {
    let (names, vigies) = (read.open_table(NAMES)?, read.open_table(VIGIES)?);
    let mut found = Vec::new();
    for entry in names.iter()? {
        let id = VigyId(entry?.1.value());
        let Some(row) = vigies.get(id.0)? else { continue };
        let row: VigyRow = decode(row.value())?;
        if selector.matches(&row.vigy.labels) {
            found.push(registered(id, row, checkpoint(read, id)?));
        }
    }
    Ok(found)
}

/// The ids of all enabled vigies.
pub(crate) fn enabled(read: &ReadTransaction) -> Result<Vec<VigyId>, StoreError> {
    let mut ids = Vec::new();
    for entry in read.open_table(VIGIES)?.iter()? {
        let (id, row) = entry?;
        if decode::<VigyRow>(row.value())?.vigy.enabled {
            ids.push(VigyId(id.value()));
        }
    }
    Ok(ids)
}

/// How many candidates an ambiguous prefix names at most.
const CANDIDATES: usize = 5;

/// Whom a reference means: an exact id, an exact name, or the only one whose id or name begins with it.
pub(crate) fn resolve(read: &ReadTransaction, reference: &str) -> Result<Result<VigyId, VigyError>, StoreError> {
    let (names, vigies) = (read.open_table(NAMES)?, read.open_table(VIGIES)?);
    if let Ok(id) = reference.parse::<VigyId>()
        && vigies.get(id.0)?.is_some()
    {
        return Ok(Ok(id));
    }
    let not_found = || Ok(Err(VigyError::NotFound(reference.to_owned())));
    if Name::new(reference).is_err() {
        return not_found();
    }
    if let Some(id) = names.get(reference)? {
        return Ok(Ok(VigyId(id.value())));
    }
    let mut candidates = Vec::new();
    for entry in names.range(reference..)? {
        let (name, id) = entry?;
        if !name.value().starts_with(reference) || candidates.len() > CANDIDATES {
            break;
        }
        candidates.push((VigyId(id.value()), name.value().to_owned()));
    }
    if reference.len() < 16 && reference.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        let first = u64::from_str_radix(&format!("{reference:0<16}"), 16).unwrap_or_default();
        let last = u64::from_str_radix(&format!("{reference:f<16}"), 16).unwrap_or(u64::MAX);
        for entry in vigies.range(first..=last)?.take(CANDIDATES) {
            let id = VigyId(entry?.0.value());
            if candidates.iter().all(|(known, _)| *known != id) {
                candidates.push((id, id.to_string()));
            }
        }
    }
    match &candidates[..] {
        [] => not_found(),
        [(id, _)] => Ok(Ok(*id)),
        _ => {
            let candidates = candidates.into_iter().map(|(_, name)| name).take(CANDIDATES).collect();
            Ok(Err(VigyError::Ambiguous { prefix: reference.to_owned(), candidates }))
        }
    }
}

/// The value of a kv key, or the last outcomes under their key.
pub(crate) fn kv(read: &ReadTransaction, id: VigyId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    if key == LAST_OUTCOMES {
        let outcomes = read.open_table(OUTCOMES)?;
        let last = outcomes.range((id.0, 0)..=(id.0, u64::MAX))?.next_back().transpose()?;
        return last.map(|(_, row)| decode(row.value()).map(|row: OutcomesRow| row.outcomes)).transpose();
    }
    let kv = read.open_table(KV)?;
    Ok(kv.get((id.0, key))?.map(|value| value.value().to_vec()))
}

/// The record of a run, or its draft, and the values that refers to, for [`vigy_core::AsyncStorage::unfinished`].
pub(crate) fn unfinished(read: &ReadTransaction, id: VigyId, run: RunKey) -> Result<Vec<Vec<u8>>, StoreError> {
    let runs = read.open_table(RUNS)?;
    if let Some(bytes) = runs.get((id.0, run.tick))? {
        let record = Record::parse(bytes.value()).map_err(damaged)?;
        return pieces(bytes.value(), &record, id, &read.open_table(VALUES)?);
    }
    let drafts = read.open_table(DRAFTS)?;
    let Some(bytes) = drafts.get(id.0)? else { return Ok(Vec::new()) };
    let draft = Record::parse_draft(bytes.value()).map_err(damaged)?;
    if draft.header().tick != run.tick {
        return Ok(Vec::new());
    }
    pieces(bytes.value(), &draft, id, &read.open_table(DRAFT_VALUES)?)
}

/// A record, then its values, each once.
fn pieces(
    bytes: &[u8],
    record: &Record<'_>,
    id: VigyId,
    values: &ReadOnlyTable<(u64, &'static [u8; 32]), &'static [u8]>,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut pieces = vec![bytes.to_vec()];
    for hash in record.stored().collect::<BTreeSet<_>>() {
        if let Some(value) = values.get((id.0, &hash))? {
            pieces.push(value.value().to_vec());
        }
    }
    Ok(pieces)
}

/// Hands out [`unfinished`] pieces, in the order of the port.
pub(crate) fn visit(pieces: &[Vec<u8>], mut visit: impl FnMut(Piece<'_>)) {
    if let Some((record, values)) = pieces.split_first() {
        visit(Piece::Record(record));
        values.iter().for_each(|value| visit(Piece::Value(value)));
    }
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError(error.to_string())
}

/// The newest runs, newest first.
pub(crate) fn runs(read: &ReadTransaction, id: VigyId, limit: usize) -> Result<Vec<Run>, StoreError> {
    let table = read.open_table(RUNS)?;
    let newest = table.range((id.0, 0)..=(id.0, u64::MAX))?.rev().take(limit);
    newest.map(|entry| run(read, id, entry?.1.value())).collect()
}

fn run(read: &ReadTransaction, id: VigyId, bytes: &[u8]) -> Result<Run, StoreError> {
    let record = Record::parse(bytes).map_err(damaged)?;
    let header = record.header();
    let outcomes = read.open_table(OUTCOMES)?;
    let outcomes: Option<OutcomesRow> = outcomes.get((id.0, header.tick))?.map(|row| decode(row.value())).transpose()?;
    let values = read.open_table(VALUES)?;
    let data = |content| -> Result<Data, StoreError> {
        match content {
            Content::Inline(bytes) => postcard::from_bytes(bytes.0).map_err(damaged),
            Content::Stored { hash, .. } => {
                let value = values.get((id.0, &hash))?.ok_or_else(|| damaged("a value is missing"))?;
                postcard::from_bytes(value.value()).map_err(damaged)
            }
            // Only answers are secret, and of those no value is shown.
            Content::Secret { .. } => Ok(Data::Nil),
        }
    };
    let (verdict, fuel) = record.end();
    let failed = verdict != Verdict::Ok;
    let key = RunKey { incarnation: header.incarnation, tick: header.tick };
    let (mut writes, mut actions, mut logs, mut events) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut writing = false;
    for entry in record.entries() {
        match entry {
            Entry::Action { kind, payload, message } if !failed => {
                let payload = payload.map(data).transpose()?;
                actions.push(RunAction { kind, payload, result: None, message: message.unwrap_or_default().to_owned() });
            }
            Entry::Ask { operation, access, arguments } => {
                writing = access.writes();
                if writing {
                    // There are fewer writes in a run than indexes.
                    let key = ActionKey { run: key, index: ActionKey::FIRST_WRITE.saturating_add(writes.len() as u16) };
                    let (operation, arguments) = (operation.to_owned(), data(arguments)?);
                    writes.push(RunWrite { key, operation, arguments, result: None, message: String::new() });
                }
            }
            Entry::Answer { answer } if writing => {
                if let Some(write) = writes.last_mut() {
                    write.result = Some(if answer.is_ok() { ResultStatus::Ok } else { ResultStatus::Failed });
                    write.message = answer.err().map_or_else(String::new, |refusal| format!("{}: {}", refusal.tag, refusal.message));
                }
            }
            Entry::Log { level, message } => logs.push(LogLine { level, message: message.to_owned() }),
            Entry::Output { text } => LogLine::append_output(&mut logs, text),
            Entry::Event { kind, message } => events.push(RunEvent { kind: kind.to_owned(), message: message.to_owned() }),
            _ => {}
        }
    }
    for line in outcomes.iter().flat_map(|row| settled(&row.outcomes)) {
        if let Some(action) = actions.get_mut(usize::from(line.index)) {
            action.result = Some(line.status);
            action.message = line.message.to_owned();
        }
    }
    Ok(Run {
        key,
        vigy: id,
        started_at: header.at,
        ended_at: outcomes.map(|row| row.ended_at),
        result: if failed { ResultStatus::Failed } else { ResultStatus::Ok },
        place: if let Verdict::Raised { place, .. } = verdict { place } else { None },
        error: failed.then(|| Explain(verdict, &header.limits).to_string()),
        writes,
        actions,
        logs,
        events,
        fuel,
        record: bytes.to_vec(),
    })
}

/// What is known of a vigy's work.
pub(crate) fn state(read: &ReadTransaction, id: VigyId, now: Timestamp) -> Result<State, StoreError> {
    let data = |bytes: &[u8]| postcard::from_bytes::<Data>(bytes).map_err(damaged);
    let mut state = State { captured_at: now, ..State::default() };
    for entry in read.open_table(KV)?.range((id.0, "")..)? {
        let (key, value) = entry?;
        let (owner, key) = key.value();
        if owner != id.0 {
            break;
        }
        state.kv.push((key.to_owned(), data(value.value())?));
    }
    for entry in read.open_table(STATE)?.range((id.0, 0, "")..)? {
        let (key, value) = entry?;
        let (owner, part, name) = key.value();
        if owner != id.0 {
            break;
        }
        let name = name.to_owned();
        match part {
            part if part == Part::Desired as u8 => state.desired.push((name, data(value.value())?)),
            part if part == Part::Observed as u8 => state.observed.push((name, data(value.value())?)),
            part if part == Part::Metric as u8 => state.metrics.push((name, decode(value.value())?)),
            _ => {
                let ConditionRow { status, reason, message, last_transition } = decode(value.value())?;
                state.conditions.push(Condition { name, status, reason, message, last_transition });
            }
        }
    }
    let last = runs(read, id, 1)?;
    state.pending = last.into_iter().flat_map(|run| run.actions).filter(|action| action.result.is_none()).collect();
    Ok(state)
}
