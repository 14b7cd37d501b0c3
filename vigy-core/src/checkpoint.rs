//! Where a vigy stands between ticks, and how that changes.

use serde::{Deserialize, Serialize};

use crate::policy::{MAX_TICK_BACKOFF_MS, backoff, seed};
use crate::{Incarnation, Pace, Plan, Policy, RunKey, Timestamp};

/// Where a vigy stands between ticks. Part of every batch; the store hands it out when the host starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The life of the vigy.
    pub incarnation: Incarnation,
    /// Ticks committed in this life.
    pub ticks: u64,
    /// When the last one began.
    pub last: Option<Timestamp>,
    /// When the next one is due, unless the vigy is parked.
    pub due: Timestamp,
    /// When that was found out: a clock that shows less has jumped back.
    pub since: Timestamp,
    /// Where the schedule alone has its next tick, without backoff and without what the program asked for: a point of the grid.
    pub grid: Timestamp,
    /// Failed ticks in a row that were due.
    pub failures: u32,
    /// Whether it has given up: it ticks no more on its own.
    pub parked: bool,
    /// Ticks that were skipped in this life, because their time passed before the vigy could tick.
    pub missed: u64,
    /// What is left to do before the next tick.
    pub unfinished: Unfinished,
}

/// What a crash left to do, or an error of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Unfinished {
    /// Nothing: the next tick can begin.
    #[default]
    Nothing,
    /// Actions of the last tick have no outcome yet: they are carried out, under their old keys.
    Actions,
    /// The tick after the last committed one has sent a write, or was about to: it is evaluated again from its [`crate::Draft`], is told
    /// what it was told, and goes on where it was cut.
    Evaluation,
}

/// How an evaluation ended, as far as the schedule cares.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    /// Well; the next tick may be asked for in so many milliseconds.
    Well {
        next_in: Option<u64>,
    },
    Failed,
    /// Failed, and the next tick is asked for in so many milliseconds.
    Retry {
        after_ms: u64,
    },
    /// Failed for good.
    Permanent,
}

impl Checkpoint {
    /// The state of a vigy that has never ticked and is due at `due`.
    #[must_use]
    pub const fn new(incarnation: Incarnation, due: Timestamp) -> Self {
        Self {
            incarnation,
            ticks: 0,
            last: None,
            due,
            since: Timestamp(0),
            grid: due,
            failures: 0,
            parked: false,
            missed: 0,
            unfinished: Unfinished::Nothing,
        }
    }

    /// The state of a vigy that was registered at `now`.
    #[must_use]
    pub const fn registered(incarnation: Incarnation, plan: &Plan, now: Timestamp) -> Self {
        let due = match plan {
            Plan::Every(cadence) => cadence.first(incarnation, now.plus(cadence.initial_delay_ms)),
            Plan::At(first) => *first,
        };
        Self { since: now, ..Self::new(incarnation, due) }
    }

    /// Takes up the schedule at `now`: when the host starts, and when its clock has jumped or the machine was asleep.
    ///
    /// A deadline that has passed starts a new grid, so that not all vigies wake at once; the ticks it skips are counted.
    pub fn start(&mut self, plan: &Plan, now: Timestamp) {
        self.rebase(plan, now);
        let Plan::Every(cadence) = plan else { return };
        // What is unfinished does not wait.
        if self.parked || self.due >= now || self.unfinished != Unfinished::Nothing {
            return;
        }
        self.missed = self.missed.saturating_add(plan.missed(self.grid, self.due, now));
        self.set_due(now.plus(cadence.phase(self.incarnation)), now);
        self.grid = self.due;
    }

    /// Looks at the clock: when it has jumped back behind the moment when the deadline was set, the wait begins anew; otherwise nothing
    /// happens. So a jump back, however far, delays a tick by less than its wait. Whoever sleeps until the deadline calls this each time
    /// it has read the clock.
    ///
    /// A sharp grid stays where it is, and so does a time from a calendar, which the host looks up again.
    pub fn rebase(&mut self, plan: &Plan, now: Timestamp) {
        // A tick that was cut began by the clock as it was then, and looks at it when it is over.
        if now >= self.since || self.unfinished == Unfinished::Evaluation {
            return;
        }
        let wait = self.due.since(self.since);
        let due = match plan {
            Plan::At(next) => *next,
            Plan::Every(cadence) => match cadence.grid(self.grid) {
                Some(grid) if cadence.pace == Pace::Sharp => grid.after(now),
                _ => now.plus(wait),
            },
        };
        self.grid = Timestamp(self.grid.0.saturating_sub(self.since.since(now)));
        self.set_due(due, now);
    }

    /// A new schedule, at `now`: it counts from the last tick.
    pub fn reschedule(&mut self, plan: &Plan, now: Timestamp) {
        let due = match (plan, self.last) {
            (Plan::At(next), _) => *next,
            (Plan::Every(cadence), None) => cadence.first(self.incarnation, now.plus(cadence.initial_delay_ms)),
            (Plan::Every(cadence), Some(last)) => {
                let next = last.min(now).plus(cadence.interval.as_millis());
                if next > now && cadence.pace != Pace::Sharp { next } else { cadence.first(self.incarnation, now) }
            }
        };
        self.set_due(due, now);
        self.grid = due;
    }

    /// Lets a vigy that was parked or paused tick again, first at once. What it did not tick meanwhile was not missed.
    pub fn resume(&mut self, plan: &Plan, now: Timestamp) {
        (self.parked, self.failures) = (false, 0);
        let due = match plan {
            Plan::Every(cadence) => cadence.grid(now).map_or(now, |grid| grid.from(now)),
            Plan::At(next) => *next,
        };
        self.set_due(due, now);
        self.grid = due;
    }

    /// After a tick that began at `at` and whose evaluation ended at `end`.
    pub(crate) fn ticked(&self, plan: &Plan, policy: &Policy, at: Timestamp, end: Timestamp, ending: Ending) -> Self {
        // A clock that went back meanwhile is looked at when all is said.
        let (now, end) = (end, end.max(at));
        let was_due = !self.parked && self.due <= at;
        let own = plan.next(self.grid, at, end);
        let mut next = Self { ticks: self.ticks + 1, last: Some(at), grid: own, unfinished: Unfinished::Nothing, ..*self };
        if was_due {
            next.missed = self.missed.saturating_add(plan.missed(self.grid, self.due, at));
        }
        // A tick before its time leaves the deadline where it was, unless it has a reason.
        let due = match ending {
            Ending::Well { next_in } => {
                (next.failures, next.parked) = (0, false);
                let recovered = self.parked || self.failures > 0;
                match next_in {
                    Some(wait) => Some(end.plus(wait)),
                    None => (was_due || recovered || plan.counts_from_the_end()).then_some(own),
                }
            }
            Ending::Failed | Ending::Retry { .. } | Ending::Permanent => {
                if was_due {
                    next.failures = self.failures.saturating_add(1);
                    next.parked = policy.park_after > 0 && next.failures >= policy.park_after;
                }
                next.parked |= self.parked || matches!(ending, Ending::Permanent);
                let run = RunKey { incarnation: self.incarnation, tick: next.ticks };
                match ending {
                    Ending::Retry { after_ms } => Some(end.plus(after_ms)),
                    _ if was_due => Some(own.max(end.plus(backoff(seed(run), next.failures, MAX_TICK_BACKOFF_MS)))),
                    _ => plan.counts_from_the_end().then_some(own.max(self.due)),
                }
            }
        };
        if let Some(due) = due {
            next.set_due(due, end);
        }
        next.rebase(plan, now);
        next
    }

    pub(crate) const fn set_due(&mut self, due: Timestamp, now: Timestamp) {
        self.due = due;
        self.since = now;
    }
}
