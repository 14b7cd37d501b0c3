//! A store, told to whoever wants it in another form.

use std::ops::ControlFlow;

use vigy_core::VigyId;

use super::engine::Snapshot;
use super::read::{dead_letters, each_event, each_run, each_vigy, revisions, state};
use super::schema::{DeadLetter, Happening, RevisionRow};
use crate::StoreError;
use crate::view::{Registered, Revision, Run, State};

/// A thing in a store, as [`super::Store::export`] shows it.
#[derive(Clone, PartialEq, Debug)]
pub enum Exported {
    /// A vigy as it stands. What follows is its own, up to the next one.
    Vigy(Box<Registered>),
    /// One of its declarations, the newest first.
    Revision {
        /// Whose.
        vigy: VigyId,
        /// The declaration.
        revision: Box<Revision>,
    },
    /// What is known of its work.
    State {
        /// Whose.
        vigy: VigyId,
        /// All of it.
        state: Box<State>,
    },
    /// One of its runs, the oldest first.
    Run(Box<Run>),
    /// One of its actions that failed for good.
    DeadLetter {
        /// Whose.
        vigy: VigyId,
        /// The action.
        letter: DeadLetter,
    },
    /// An event, in order.
    Event {
        /// Its number.
        seq: u64,
        /// What happened.
        event: Happening,
    },
}

pub(super) fn export(rows: &dyn Snapshot, mut visit: impl FnMut(Exported) -> ControlFlow<()>) -> Result<(), StoreError> {
    let mut flow = ControlFlow::Continue(());
    each_vigy(rows, |registered| {
        flow = export_vigy(rows, registered, &mut visit)?;
        Ok(flow)
    })?;
    if flow.is_break() {
        return Ok(());
    }
    each_event(rows, |seq, event| visit(Exported::Event { seq, event }))
}

fn export_vigy(
    rows: &dyn Snapshot,
    registered: Registered,
    visit: &mut impl FnMut(Exported) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, StoreError> {
    let vigy = registered.id;
    let at = registered.checkpoint.last.unwrap_or(registered.created_at);
    let revisions = revisions(rows, vigy)?.into_iter().map(|(number, row)| {
        let RevisionRow { declared_at, image, vigy: declared } = row;
        Exported::Revision { vigy, revision: Box::new(Revision { number, declared_at, image, vigy: declared }) }
    });
    let state = Exported::State { vigy, state: Box::new(state(rows, vigy, at)?) };
    let mut flow = std::iter::once(Exported::Vigy(Box::new(registered))).chain(revisions).chain([state]).try_for_each(&mut *visit);
    if flow.is_continue() {
        each_run(rows, vigy, |run| {
            flow = visit(Exported::Run(Box::new(run)));
            flow
        })?;
    }
    if flow.is_continue() {
        let mut letters = dead_letters(rows, Some(vigy))?.into_iter().map(|(vigy, letter)| Exported::DeadLetter { vigy, letter });
        flow = letters.try_for_each(visit);
    }
    Ok(flow)
}
