//! What jobs do to schedules.

use vigy_core::{Checkpoint, Timestamp, Unfinished, VigyId};

use super::read::{declaration, standing, standings};
use super::schema::{self, Happened, Standing};
use super::transaction::Transaction;
use crate::StoreError;
use crate::agenda::Turn;
use crate::calendar::plan;

impl Standing {
    /// What the agenda is told. What is unfinished does not wait.
    pub(crate) fn turn(&self) -> Turn {
        let Checkpoint { incarnation, due, parked, unfinished, .. } = self.checkpoint;
        let due = if unfinished == Unfinished::Nothing { due } else { Timestamp(0) };
        Turn { life: incarnation, version: self.version, due: (self.enabled && !parked).then_some(due) }
    }
}

/// Takes up every schedule at `now`: when the host starts, and when its clock has jumped. Only of vigies that are late, or whose deadline
/// was set when the clock showed a later time, the declaration is looked at.
pub(crate) fn take_up(transaction: &mut Transaction, now: Timestamp) -> Result<Vec<(VigyId, Turn)>, StoreError> {
    let (mut turns, mut amiss) = (Vec::new(), Vec::new());
    standings(transaction, |id, standing| {
        let Checkpoint { due, since, .. } = standing.checkpoint;
        if standing.turn().due.is_some_and(|turn| turn == due && due < now) || since > now {
            amiss.push((id, standing));
        } else {
            turns.push((id, standing.turn()));
        }
    })?;
    for (id, mut standing) in amiss {
        let plan = plan(&declaration(transaction, id, &standing)?.vigy.schedule, now);
        standing.checkpoint.start(&plan, now);
        standing.version += 1;
        transaction.put(schema::standing(id), &standing)?;
        turns.push((id, standing.turn()));
    }
    Ok(turns)
}

/// Lets a vigy tick on its own: enables it, and if it was parked, it is not any more.
pub(super) fn enable(transaction: &mut Transaction, id: VigyId, now: Timestamp) -> Result<(), StoreError> {
    let Some(mut standing) = standing(transaction, id)? else { return Ok(()) };
    let (enabled, parked) = (standing.enabled, standing.checkpoint.parked);
    if !enabled || parked {
        let plan = plan(&declaration(transaction, id, &standing)?.vigy.schedule, now);
        standing.checkpoint.resume(&plan, now);
        standing.enabled = true;
        standing.version += 1;
        transaction.put(schema::standing(id), &standing)?;
        if !enabled {
            transaction.happened(now, id, Happened::Enabled)?;
        }
        if parked {
            transaction.happened(now, id, Happened::Resumed)?;
        }
    }
    Ok(())
}

/// Takes over what a tick, which began with version `began` of the standing, says of the schedule. If somebody changed something
/// meanwhile, that holds, too.
pub(super) fn ticked(
    transaction: &mut Transaction,
    id: VigyId,
    began: u64,
    standing: &mut Standing,
    checkpoint: Checkpoint,
    now: Timestamp,
) -> Result<(), StoreError> {
    let before = std::mem::replace(&mut standing.checkpoint, checkpoint);
    if standing.version != began {
        let plan = plan(&declaration(transaction, id, standing)?.vigy.schedule, now);
        standing.checkpoint.reschedule(&plan, now);
        standing.checkpoint.parked &= before.parked;
    }
    match (before.parked, standing.checkpoint.parked) {
        (false, true) => transaction.happened(now, id, Happened::Parked),
        (true, false) => transaction.happened(now, id, Happened::Resumed),
        _ => Ok(()),
    }
}
