//! What one snapshot tells.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};

use vigy_core::record::{Content, Entry, Explain, Record};
use vigy_core::{
    ActionKey, Incarnation, LAST_OUTCOMES, Name, Piece, ResultStatus, RunKey, Selector, Timestamp, Verdict, Vigy, VigyId, settled,
};
use vigy_lisp::Data;

use super::engine::{Direction, Snapshot};
use super::schema::{self, ConditionRow, DeadLetter, Happening, Key, Part, RevisionRow, RunRow, Space, Standing, decode, row};
use crate::view::{Condition, LogLine, Registered, Run, RunAction, RunEvent, RunWrite, State};
use crate::{StoreError, VigyError};

pub(super) fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError(error.to_string())
}

/// Shows the rows of a range until `visit` breaks or fails.
pub(super) fn each(
    rows: &dyn Snapshot,
    range: &Range<Vec<u8>>,
    direction: Direction,
    mut visit: impl FnMut(Key<'_>, &[u8]) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut failed = Ok(());
    rows.scan(&range.start..&range.end, direction, &mut |key, value| {
        let shown = Key::parse(key).ok_or_else(|| damaged("a key is damaged")).and_then(|key| visit(key, value));
        shown.unwrap_or_else(|error| {
            failed = Err(error);
            ControlFlow::Break(())
        })
    })?;
    failed
}

const ON: Result<ControlFlow<()>, StoreError> = Ok(ControlFlow::Continue(()));
const STOP: Result<ControlFlow<()>, StoreError> = Ok(ControlFlow::Break(()));

/// Where a vigy stands; nothing when there is none of that id.
pub(crate) fn standing(rows: &dyn Snapshot, id: VigyId) -> Result<Option<Standing>, StoreError> {
    row(rows, &schema::standing(id))
}

/// Where this life of a vigy stands; nothing when it is over.
pub(super) fn alive(rows: &dyn Snapshot, id: VigyId, incarnation: Incarnation) -> Result<Option<Standing>, StoreError> {
    Ok(standing(rows, id)?.filter(|standing| standing.checkpoint.incarnation == incarnation))
}

/// Where every vigy stands, by id: what a host needs to start, in one walk over small rows.
pub(crate) fn standings(rows: &dyn Snapshot, mut visit: impl FnMut(VigyId, Standing)) -> Result<(), StoreError> {
    each(rows, &schema::space(Space::Standing), Direction::Forward, |key, value| {
        if let Key::Standing(id) = key {
            visit(id, decode(value)?);
        }
        ON
    })
}

/// A declaration of a vigy.
pub(crate) fn revision(rows: &dyn Snapshot, id: VigyId, number: u64) -> Result<Option<RevisionRow>, StoreError> {
    row(rows, &schema::revision(id, number))
}

/// Every declaration of a vigy, the newest first, with its number.
pub(crate) fn revisions(rows: &dyn Snapshot, id: VigyId) -> Result<Vec<(u64, RevisionRow)>, StoreError> {
    let mut revisions = Vec::new();
    each(rows, &schema::part(id, Part::Revision), Direction::Backward, |key, value| {
        if let Key::Vigy { rest, .. } = key {
            revisions.push((Key::number(rest).ok_or_else(|| damaged("a key is damaged"))?, decode(value)?));
        }
        ON
    })?;
    Ok(revisions)
}

/// The declaration that a vigy ticks by.
pub(super) fn declaration(rows: &dyn Snapshot, id: VigyId, standing: &Standing) -> Result<RevisionRow, StoreError> {
    revision(rows, id, standing.revision)?.ok_or_else(|| damaged(format!("vigy {id} has no declaration")))
}

/// A vigy as it stands; nothing when there is none of that id.
pub(crate) fn get(rows: &dyn Snapshot, id: VigyId) -> Result<Option<Registered>, StoreError> {
    let Some(standing) = standing(rows, id)? else { return Ok(None) };
    let Standing { checkpoint, enabled, revision, created_at, updated_at, .. } = standing;
    let vigy = Vigy { enabled, ..declaration(rows, id, &standing)?.vigy };
    Ok(Some(Registered { id, vigy, revision, created_at, updated_at, checkpoint }))
}

fn id_of(value: &[u8]) -> Result<VigyId, StoreError> {
    value.try_into().map(|id| VigyId(u64::from_be_bytes(id))).map_err(|_| damaged("the id of a name is damaged"))
}

/// Shows every vigy, by name, until `visit` breaks or fails.
pub(super) fn each_vigy(
    rows: &dyn Snapshot,
    mut visit: impl FnMut(Registered) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    each(rows, &schema::space(Space::Name), Direction::Forward, |_, id| get(rows, id_of(id)?)?.map_or(ON, &mut visit))
}

/// All vigies with these labels, by name.
pub(crate) fn list(rows: &dyn Snapshot, selector: &Selector) -> Result<Vec<Registered>, StoreError> {
    let mut found = Vec::new();
    each_vigy(rows, |registered| {
        found.extend(selector.matches(&registered.vigy.labels).then_some(registered));
        ON
    })?;
    Ok(found)
}

/// How many candidates an ambiguous prefix names at most.
const CANDIDATES: usize = 5;

/// Whom a reference means: an exact id, an exact name, or the only one whose id or name begins with it.
pub(crate) fn resolve(rows: &dyn Snapshot, reference: &str) -> Result<Result<VigyId, VigyError>, StoreError> {
    if let Ok(id) = reference.parse::<VigyId>()
        && standing(rows, id)?.is_some()
    {
        return Ok(Ok(id));
    }
    let not_found = || Ok(Err(VigyError::NotFound(reference.to_owned())));
    if Name::new(reference).is_err() {
        return not_found();
    }
    if let Some(id) = rows.get(&schema::name(reference))? {
        return id_of(&id).map(Ok);
    }
    let mut candidates = Vec::new();
    each(rows, &schema::prefix(schema::name(reference)), Direction::Forward, |key, value| {
        if let Key::Name(name) = key {
            candidates.push((id_of(value)?, name.to_owned()));
        }
        if candidates.len() > CANDIDATES { STOP } else { ON }
    })?;
    if reference.len() < 16 && reference.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        let first = u64::from_str_radix(&format!("{reference:0<16}"), 16).unwrap_or_default();
        let last = u64::from_str_radix(&format!("{reference:f<16}"), 16).unwrap_or(u64::MAX);
        let range = schema::standing(VigyId(first))..schema::prefix(schema::standing(VigyId(last))).end;
        let mut seen = 0;
        each(rows, &range, Direction::Forward, |key, _| {
            if let Key::Standing(id) = key
                && candidates.iter().all(|(known, _)| *known != id)
            {
                candidates.push((id, id.to_string()));
            }
            seen += 1;
            if seen == CANDIDATES { STOP } else { ON }
        })?;
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
pub(crate) fn kv(rows: &dyn Snapshot, id: VigyId, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    if key != LAST_OUTCOMES {
        return rows.get(&schema::of(id, Part::Kv, key.as_bytes()));
    }
    let mut last = None;
    each(rows, &schema::part(id, Part::Run), Direction::Backward, |_, value| {
        let run: RunRow<'_> = decode(value)?;
        last = run.settlement()?.map(Cow::into_owned);
        if last.is_some() { STOP } else { ON }
    })?;
    Ok(last)
}

/// The record of a run, or its draft, and the values that refers to, for [`vigy_core::AsyncStorage::unfinished`].
pub(crate) fn unfinished(rows: &dyn Snapshot, id: VigyId, run: RunKey) -> Result<Vec<Vec<u8>>, StoreError> {
    if let Some(row) = rows.get(&schema::run(id, run.tick))? {
        let bytes = decode::<RunRow<'_>>(&row)?.record.0;
        return pieces(rows, bytes, &Record::parse(bytes).map_err(damaged)?, id, Part::Value);
    }
    let Some(bytes) = rows.get(&schema::of(id, Part::Draft, &[]))? else { return Ok(Vec::new()) };
    let draft = Record::parse_draft(&bytes).map_err(damaged)?;
    if draft.header().tick != run.tick {
        return Ok(Vec::new());
    }
    pieces(rows, &bytes, &draft, id, Part::DraftValue)
}

/// A record, then its values, each once.
fn pieces(rows: &dyn Snapshot, bytes: &[u8], record: &Record<'_>, id: VigyId, values: Part) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut pieces = vec![bytes.to_vec()];
    for hash in record.stored().collect::<BTreeSet<_>>() {
        pieces.extend(rows.get(&schema::of(id, values, &hash))?);
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

/// The newest runs, newest first.
pub(crate) fn runs(rows: &dyn Snapshot, id: VigyId, limit: usize) -> Result<Vec<Run>, StoreError> {
    let mut found = Vec::new();
    each(rows, &schema::part(id, Part::Run), Direction::Backward, |_, value| {
        if found.len() == limit {
            return STOP;
        }
        found.push(run_of(rows, id, value)?);
        ON
    })?;
    Ok(found)
}

/// Shows the runs of a vigy, the oldest first, until `visit` breaks.
pub(super) fn each_run(rows: &dyn Snapshot, id: VigyId, mut visit: impl FnMut(Run) -> ControlFlow<()>) -> Result<(), StoreError> {
    each(rows, &schema::part(id, Part::Run), Direction::Forward, |_, value| Ok(visit(run_of(rows, id, value)?)))
}

/// Shows the events that are kept, in order, until `visit` breaks.
pub(super) fn each_event(rows: &dyn Snapshot, mut visit: impl FnMut(u64, Happening) -> ControlFlow<()>) -> Result<(), StoreError> {
    each(rows, &schema::space(Space::Event), Direction::Forward, |key, value| match key {
        Key::Event(seq) => Ok(visit(seq, decode(value)?)),
        _ => ON,
    })
}

/// A run by its name; nothing when there is none, or retention has let it go.
pub(crate) fn run(rows: &dyn Snapshot, id: VigyId, key: RunKey) -> Result<Option<Run>, StoreError> {
    let row = rows.get(&schema::run(id, key.tick))?;
    Ok(row.map(|row| run_of(rows, id, &row)).transpose()?.filter(|run| run.key == key))
}

fn run_of(rows: &dyn Snapshot, id: VigyId, row: &[u8]) -> Result<Run, StoreError> {
    let row: RunRow<'_> = decode(row)?;
    let RunRow { ended_at, record: bytes, .. } = row;
    let record = Record::parse(bytes.0).map_err(damaged)?;
    let header = record.header();
    let data = |content| postcard::from_bytes::<Data>(&content_of(rows, id, content)?).map_err(damaged);
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
    for line in settled(&row.settlement()?.unwrap_or_default()) {
        if let Some(action) = actions.get_mut(usize::from(line.index)) {
            action.result = Some(line.status);
            action.message = line.message.to_owned();
        }
    }
    Ok(Run {
        key,
        vigy: id,
        started_at: header.at,
        ended_at,
        result: if failed { ResultStatus::Failed } else { ResultStatus::Ok },
        place: verdict.place(),
        error: failed.then(|| Explain(verdict, &header.limits).to_string()),
        writes,
        actions,
        logs,
        events,
        fuel,
        record: bytes.0.to_vec(),
    })
}

/// The data bytes of what a record holds in place or refers to.
pub(super) fn content_of(rows: &dyn Snapshot, id: VigyId, content: Content<'_>) -> Result<Vec<u8>, StoreError> {
    match content {
        Content::Inline(bytes) => Ok(bytes.0.to_vec()),
        Content::Stored { hash, .. } => {
            rows.get(&schema::of(id, Part::Value, &hash))?.ok_or_else(|| damaged("a value that a record refers to is missing"))
        }
        Content::Secret { .. } => Err(damaged("only answers are secret")),
    }
}

/// A value that a record refers to.
pub(crate) fn value(rows: &dyn Snapshot, id: VigyId, hash: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
    rows.get(&schema::of(id, Part::Value, hash))
}

/// What is known of a vigy's work.
pub(crate) fn state(rows: &dyn Snapshot, id: VigyId, now: Timestamp) -> Result<State, StoreError> {
    let data = |bytes: &[u8]| postcard::from_bytes::<Data>(bytes).map_err(damaged);
    let mut state = State { captured_at: now, ..State::default() };
    // The parts that make up the state lie side by side.
    let range = schema::part(id, Part::Kv).start..schema::part(id, Part::Metric).end;
    each(rows, &range, Direction::Forward, |key, value| {
        let Key::Vigy { part, rest, .. } = key else { return ON };
        let name = Key::text(rest)?;
        match part {
            Part::Kv => state.kv.push((name, data(value)?)),
            Part::Desired => state.desired.push((name, data(value)?)),
            Part::Observed => state.observed.push((name, data(value)?)),
            Part::Metric => state.metrics.push((name, decode(value)?)),
            _ => {
                let ConditionRow { status, reason, message, last_transition } = decode(value)?;
                state.conditions.push(Condition { name, status, reason, message, last_transition });
            }
        }
        ON
    })?;
    let last = runs(rows, id, 1)?;
    state.pending = last.into_iter().flat_map(|run| run.actions).filter(|action| action.result.is_none()).collect();
    Ok(state)
}

/// The actions that failed for good, oldest first: of one vigy, or of all.
pub(crate) fn dead_letters(rows: &dyn Snapshot, of: Option<VigyId>) -> Result<Vec<(VigyId, DeadLetter)>, StoreError> {
    let range = of.map_or_else(|| schema::space(Space::DeadLetter), schema::dead_letters);
    let mut found = Vec::new();
    each(rows, &range, Direction::Forward, |key, value| {
        if let Key::DeadLetter { id, .. } = key {
            found.push((id, decode(value)?));
        }
        ON
    })?;
    Ok(found)
}

/// A part of the event log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Events {
    /// Events after the cursor that are not kept any more.
    pub(crate) missed: u64,
    /// Events with their numbers, in order, without a gap.
    pub(crate) events: Vec<(u64, Happening)>,
}

/// What happened after the event `cursor`, at most `limit` events of it.
pub(crate) fn events_after(rows: &dyn Snapshot, cursor: u64, limit: usize) -> Result<Events, StoreError> {
    let mut found = Events::default();
    let range = schema::event(cursor.saturating_add(1))..schema::space(Space::Event).end;
    each(rows, &range, Direction::Forward, |key, value| {
        if let Key::Event(seq) = key {
            if found.events.is_empty() {
                found.missed = seq - cursor - 1;
            }
            found.events.push((seq, decode(value)?));
        }
        if found.events.len() >= limit { STOP } else { ON }
    })?;
    Ok(found)
}

/// The store's own secret: 32 bytes that it was made with.
pub(crate) fn secret(rows: &dyn Snapshot) -> Result<[u8; 32], StoreError> {
    let secret = rows.get(&schema::meta(schema::META_SECRET))?;
    secret.and_then(|secret| secret.try_into().ok()).ok_or_else(|| damaged("it has no secret"))
}
