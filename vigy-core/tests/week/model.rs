//! What a schedule promises, the simplest way: deadlines are counted out one by one.

use std::collections::HashSet;

use vigy_core::{Cadence, Checkpoint, Pace, Policy, Timestamp};

use crate::sky::Deed;

/// What one vigy should look like.
pub(crate) struct Model {
    cadence: Cadence,
    policy: Policy,
    /// The next point of its grid.
    own: u64,
    expected: Expected,
    /// How often an operator resumed it.
    resumed: u32,
    /// Deadlines that were served, with how often the vigy had been resumed and the clock had gone back.
    served: HashSet<(u32, u32, u64)>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Expected {
    /// From when to when it may be due: a backoff is drawn.
    due: (u64, u64),
    since: u64,
    failures: u32,
    parked: bool,
    missed: u64,
}

/// A tick that was committed, as the world saw it.
pub(crate) struct Seen {
    pub(crate) at: Timestamp,
    /// The end of the evaluation.
    pub(crate) end: Timestamp,
    /// The end of its last action, when it had one that a handler saw.
    pub(crate) acted: Option<Timestamp>,
    pub(crate) deed: Deed,
    pub(crate) epoch: u32,
}

impl Model {
    pub(crate) fn registered(cadence: Cadence, policy: Policy, checkpoint: &Checkpoint, now: Timestamp) -> Result<Self, String> {
        let due = checkpoint.due.0;
        let earliest = now.0 + cadence.initial_delay_ms;
        let latest = match cadence.pace {
            Pace::Sharp => earliest + cadence.interval.as_millis() - 1,
            Pace::Steady | Pace::Idle => earliest + u64::from(cadence.jitter_ms),
        };
        let expected = Expected { due: (earliest, latest), since: now.0, failures: 0, parked: false, missed: 0 };
        let mut model = Self { cadence, policy, own: due, expected, resumed: 0, served: HashSet::new() };
        model.check(checkpoint)?;
        Ok(model)
    }

    fn interval(&self) -> u64 {
        self.cadence.interval.as_millis()
    }

    /// The checkpoint is as it should be; from now on its deadline is known.
    pub(crate) fn check(&mut self, found: &Checkpoint) -> Result<(), String> {
        let Expected { due: (first, last), since, failures, parked, missed } = self.expected;
        let same = found.since.0 == since && found.failures == failures && found.parked == parked && found.missed == missed;
        if !same || !(first..=last).contains(&found.due.0) {
            return Err(format!("expected {:?}, found {found:?} ({:?})", self.expected, self.cadence));
        }
        if self.cadence.pace == Pace::Sharp && !self.own.is_multiple_of(self.interval()) {
            return Err(format!("{} is not sharp", self.own));
        }
        self.expected.due = (found.due.0, found.due.0);
        Ok(())
    }

    fn due_at(&mut self, due: u64, now: Timestamp) {
        self.expected.due = (due, due);
        self.expected.since = now.0;
    }

    /// Passes the points of the grid up to `to`, and counts those of them after the deadline and up to `now`.
    fn pass(&mut self, to: u64, now: u64) -> u64 {
        let (mut missed, due) = (0, self.expected.due.0);
        if self.cadence.pace == Pace::Idle {
            return 0;
        }
        let mut point = self.own;
        while point <= now.max(to) {
            missed += u64::from(point > due && point <= now);
            point += self.interval();
            if point - self.interval() <= to {
                self.own = point;
            }
        }
        missed
    }

    /// The host looks at the clock.
    pub(crate) fn looked(&mut self, now: Timestamp) {
        let Expected { due: (due, _), since, .. } = self.expected;
        if now.0 >= since {
            return;
        }
        if self.cadence.pace == Pace::Sharp {
            self.own = 0;
            while self.own <= now.0 {
                self.own = (now.0 / self.interval() + 1) * self.interval();
            }
            return self.due_at(self.own, now);
        }
        self.own -= since - now.0;
        self.due_at(now.0 + due.saturating_sub(since), now);
    }

    /// The host starts, or has noticed a jump.
    pub(crate) fn started(&mut self, now: Timestamp, phase: u64) {
        self.looked(now);
        let due = self.expected.due.0;
        if self.expected.parked || due >= now.0 {
            return;
        }
        self.expected.missed += self.pass(0, now.0);
        self.due_at(now.0 + phase, now);
        match self.cadence.pace {
            Pace::Sharp => _ = self.pass(now.0, 0),
            Pace::Steady | Pace::Idle => self.own = now.0 + phase,
        }
    }

    /// An operator resumes it.
    pub(crate) fn resumed(&mut self, now: Timestamp) {
        let due = match self.cadence.pace {
            Pace::Sharp => now.0.div_ceil(self.interval()) * self.interval(),
            Pace::Steady | Pace::Idle => now.0,
        };
        self.own = due;
        self.resumed += 1;
        (self.expected.failures, self.expected.parked) = (0, false);
        self.due_at(due, now);
    }

    /// Actions that a crash had left were carried out.
    pub(crate) fn settled(&mut self, at: Timestamp, deed: Deed) {
        if self.cadence.pace == Pace::Idle && deed == Deed::Well {
            self.due_at(at.0 + self.interval(), at);
        }
    }

    /// A tick was committed.
    pub(crate) fn ticked(&mut self, seen: &Seen) -> Result<(), String> {
        let Seen { at, end, acted, deed, epoch } = *seen;
        let (now, end) = (end, end.max(at));
        let Expected { due: (due, _), failures, parked, .. } = self.expected;
        let was_due = !parked && due <= at.0;
        if was_due && !self.served.insert((self.resumed, epoch, due)) {
            return Err(format!("two ticks for the deadline {due}"));
        }
        let missed = self.pass(at.0, at.0);
        self.expected.missed += if was_due { missed } else { 0 };
        // An idle vigy counts from its end, and a tick that failed has no actions.
        let idle = self.cadence.pace == Pace::Idle;
        let own = if idle { end.0 + self.interval() } else { self.own };
        if !idle && own <= at.0 {
            return Err(format!("a burst: after {at:?} the next tick is at {own}"));
        }
        match deed {
            Deed::Well | Deed::NextIn(_) => {
                (self.expected.failures, self.expected.parked) = (0, false);
                match (deed, acted) {
                    (Deed::NextIn(ms), _) => self.due_at(end.0 + ms, end),
                    (_, Some(acted)) if idle => {
                        self.due_at(acted.0 + self.interval(), acted);
                        return Ok(());
                    }
                    _ if was_due || failures > 0 || parked || idle => self.due_at(own, end),
                    _ => {}
                }
            }
            Deed::Fails | Deed::Retries(_) | Deed::GivesUp => {
                let failures = failures + u32::from(was_due);
                let given_up = deed == Deed::GivesUp || (was_due && failures >= self.policy.park_after && self.policy.park_after > 0);
                (self.expected.failures, self.expected.parked) = (failures, parked || given_up);
                match deed {
                    Deed::Retries(ms) => self.due_at(end.0 + ms, end),
                    _ if was_due => {
                        let most = (0..failures.saturating_sub(1)).fold(500, |most: u64, _| (2 * most).min(300_000));
                        self.due_at(own, end);
                        self.expected.due = (own.max(end.0), own.max(end.0 + most));
                    }
                    _ if idle => self.due_at(own.max(due), end),
                    _ => {}
                }
            }
        }
        let (first, last) = self.expected.due;
        self.looked(now);
        if self.cadence.pace != Pace::Sharp {
            self.expected.due.1 += last - first;
        }
        Ok(())
    }
}
