//! Following what happens.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use crate::StoreError;
use crate::runtime::Shared;
use crate::store::{Happening, read};

/// Events read from the store at a time.
const BATCH: usize = 256;

/// What [`Events::next`] tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Something happened.
    Happened {
        /// The number of the event: the cursor to go on from.
        seq: u64,
        /// What, when, and to whom.
        event: Happening,
    },
    /// So many events lie between the cursor and the oldest one kept.
    Missed {
        /// How many.
        events: u64,
    },
    /// The cursor is not one of this log: the store was made of a backup since, or nobody ever gave it out. Everything that this log keeps
    /// follows.
    Reset,
}

/// A reader of the event log, from [`crate::RuntimeHandle::events`]. It reads at its own pace: whatever it is behind stays in the store,
/// until retention takes it, and then it is told.
pub struct Events {
    shared: Arc<Shared>,
    told: watch::Receiver<u64>,
    cursor: u64,
    read: VecDeque<Event>,
}

impl Events {
    pub(crate) fn new(shared: Arc<Shared>, cursor: u64) -> Self {
        let told = shared.store.last_event();
        let begins = shared.store.log_begins();
        let strange = cursor != 0 && !(begins..=*told.borrow()).contains(&cursor);
        let cursor = if strange { begins } else { cursor.max(begins) };
        Self { shared, told, cursor, read: strange.then_some(Event::Reset).into_iter().collect() }
    }

    /// The next event, as soon as there is one; nothing when the store has been closed and all events are told. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError`], when the log cannot be read; it may be tried again.
    pub async fn next(&mut self) -> Result<Option<Event>, StoreError> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(Some(event));
            }
            let newest = *self.told.borrow_and_update();
            if newest > self.cursor {
                let cursor = self.cursor;
                let part = self.shared.store.read(move |rows| read::events_after(rows, cursor, BATCH)).await?;
                self.cursor = part.events.last().map_or(newest, |(seq, _)| *seq);
                self.read.extend((part.missed > 0).then_some(Event::Missed { events: part.missed }));
                self.read.extend(part.events.into_iter().map(|(seq, event)| Event::Happened { seq, event }));
            } else if self.told.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}
