//! When the next tick comes, one line each.
#![cfg(all(feature = "sim", feature = "alloc"))]
#![allow(clippy::result_large_err, reason = "as in the crate")]

use vigy_core::record::Entry;
use vigy_core::sim::{ManualClock, MemoryStorage};
use vigy_core::{
    ActionKey, ActionKind, Ask, AskError, Cadence, Checkpoint, Door, Effects, Failure, Host, Incarnation, InvalidCadence, Limits, Outcome,
    Pace, Plan, Policy, ReconcileAction, ResultStatus, Spec, TickBuffers, TickInterval, Timestamp, VerbError, settled,
};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

fn every(interval: u64) -> Cadence {
    Cadence { jitter_ms: 0, ..Cadence::every(TickInterval::from_millis(interval).unwrap()) }
}

fn paced(pace: Pace, interval: u64) -> Cadence {
    Cadence { pace, ..every(interval) }
}

/// What the program does in a tick.
type Deed = fn(&mut Door<'_>) -> Result<(), Failure>;

const WELL: Deed = |_| Ok(());
const FAILS: Deed = |_| Err(Failure::raised("oops", "on purpose", None));
const GIVES_UP: Deed = |_| Err(VerbError::Permanent.into());
const PUSHES: Deed = |door| Ok(door.act(ActionKind::Push, None::<&[u8]>, None)?);

/// A handler that fails so often before it does what it is told.
#[derive(Default)]
struct Handler {
    fails: u32,
    outcome: Option<fn() -> Outcome>,
    tried: Vec<ActionKey>,
}

impl Effects for Handler {
    fn ask(&mut self, _: &Ask<'_>, _: &mut [u8]) -> Result<usize, AskError> {
        Err(AskError::new("denied", format_args!("nobody asks here")))
    }

    fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        self.tried.push(action.key);
        if self.tried.len() as u32 > self.fails { Outcome::ok() } else { self.outcome.map_or_else(|| Outcome::failed("not yet"), |o| o()) }
    }
}

/// One vigy that was registered at 0.
struct Vigy {
    spec: Spec,
    checkpoint: Checkpoint,
    host: Host<ManualClock, MemoryStorage, Handler>,
}

impl Vigy {
    fn new(schedule: impl Into<Plan>) -> Self {
        Self::registered(schedule, 0)
    }

    fn registered(schedule: impl Into<Plan>, at: u64) -> Self {
        let schedule = schedule.into();
        let limits = Limits { heap_bytes: 0, record_bytes: 4096, value_bytes: 4096, kv_keys: 4, ..Limits::default() };
        let spec = Spec { program: [7; 32], schedule, policy: Policy::DEFAULT, limits };
        let checkpoint = Checkpoint::registered(Incarnation(1), &schedule, Timestamp(at));
        Self { spec, checkpoint, host: Host { clock: ManualClock(Timestamp(at)), ..Host::default() } }
    }

    /// Ticks at a time, and tells when the next one is due.
    fn ticks_at(&mut self, at: u64, mut deed: impl FnMut(&mut Door<'_>) -> Result<(), Failure>) -> u64 {
        self.host.clock.0 = Timestamp(at);
        let mut buffers = TickBuffers::for_limits(&self.spec.limits);
        self.host.tick(&self.spec, &mut self.checkpoint, buffers.memory(), &mut deed).unwrap();
        self.checkpoint.due.0
    }

    /// Ticks when it is due.
    fn ticks(&mut self, deed: Deed) -> u64 {
        self.ticks_at(self.checkpoint.due.0, deed)
    }

    fn outcome(&self) -> (ResultStatus, u16, String) {
        let line = settled(self.host.storage.outcomes.values().next_back().unwrap()).next().unwrap();
        (line.status, line.attempts, line.message.to_owned())
    }
}

#[test]
fn a_steady_rate_does_not_drift_and_skips_what_it_missed() {
    let mut vigy = Vigy::new(every(MINUTE));
    assert_eq!(vigy.ticks_at(7, WELL), MINUTE, "lateness does not shift the grid");
    assert_eq!(vigy.ticks_at(MINUTE + 30 * SECOND, WELL), 2 * MINUTE);
    assert_eq!((vigy.ticks_at(9 * MINUTE, WELL), vigy.checkpoint.missed), (10 * MINUTE, 7), "3 to 9; the 2nd came late");
    assert_eq!(vigy.ticks_at(9 * MINUTE + 1, WELL), 10 * MINUTE, "a forced tick leaves the deadline");
}

#[test]
fn a_sharp_rate_ticks_on_the_minute() {
    let mut vigy = Vigy::registered(paced(Pace::Sharp, MINUTE), 90 * SECOND);
    assert_eq!(vigy.checkpoint.due.0, 2 * MINUTE);
    assert_eq!(vigy.ticks_at(2 * MINUTE + 5, WELL), 3 * MINUTE);
    assert_eq!((vigy.ticks_at(6 * MINUTE, WELL), vigy.checkpoint.missed), (7 * MINUTE, 3));
}

#[test]
fn an_idle_rate_counts_from_the_end_of_the_last_action() {
    let mut vigy = Vigy::new(paced(Pace::Idle, MINUTE));
    assert_eq!(vigy.ticks_at(10, WELL), MINUTE + 10);
    vigy.host.effects.fails = 2;
    let due = vigy.ticks(PUSHES);
    let end = vigy.host.clock.0.0;
    assert!(end > MINUTE + 10 && due == end + MINUTE, "it waited for its action: {end}, {due}");
    assert_eq!(vigy.checkpoint.missed, 0);
}

#[test]
fn a_first_tick_can_be_put_off() {
    let later = Vigy::registered(Cadence { initial_delay_ms: HOUR, ..every(MINUTE) }, 5);
    assert_eq!(later.checkpoint.due.0, HOUR + 5);
    let sharp = Vigy::registered(Cadence { initial_delay_ms: HOUR, ..paced(Pace::Sharp, MINUTE) }, 5);
    assert_eq!(sharp.checkpoint.due.0, HOUR + MINUTE);
}

#[test]
fn vigies_with_one_interval_do_not_wake_together() {
    let hourly = Cadence::every(TickInterval::from_millis(HOUR).unwrap());
    let due = |life| Checkpoint::registered(Incarnation(life), &hourly.into(), Timestamp(0)).due.0;
    let mut tenths = [0; 10];
    (0..10_000).for_each(|life| tenths[(due(life) / 3001) as usize] += 1);
    assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
    let jitter = |interval| Cadence::every(TickInterval::from_millis(interval).unwrap()).jitter_ms;
    let jitters = [100, 10_000, 10_001, MINUTE, 2 * MINUTE, 5 * MINUTE, HOUR].map(jitter);
    assert_eq!(jitters, [100, 10_000, 10_000, 10_000, 12_000, 30_000, 30_000]);
    assert_eq!(paced(Pace::Sharp, HOUR).phase(Incarnation(5)), 0);
}

#[test]
fn a_host_that_starts_late_spreads_its_vigies_and_counts_what_they_missed() {
    let cadence = Cadence { jitter_ms: 6000, ..every(MINUTE) };
    let mut vigy = Vigy::new(cadence);
    let (first, phase) = (vigy.checkpoint.due.0, cadence.phase(Incarnation(1)));
    vigy.checkpoint.start(&cadence.into(), Timestamp(first + 10 * MINUTE));
    assert_eq!((vigy.checkpoint.due.0, vigy.checkpoint.missed), (first + 10 * MINUTE + phase, 10));
    let due = vigy.checkpoint.due.0;
    vigy.checkpoint.start(&cadence.into(), Timestamp(due - 1));
    assert_eq!(vigy.checkpoint.due.0, due, "a deadline that has not passed stays");
    assert_eq!(vigy.ticks(WELL), due + MINUTE, "the new grid");
}

#[test]
fn a_clock_that_jumps_back_delays_a_tick_by_less_than_its_wait() {
    let mut vigy = Vigy::registered(every(MINUTE), 2 * HOUR);
    vigy.ticks(WELL);
    vigy.checkpoint.rebase(&vigy.spec.schedule, Timestamp(HOUR));
    assert_eq!(vigy.checkpoint.due.0, HOUR + MINUTE);
    assert_eq!(vigy.ticks(WELL), HOUR + 2 * MINUTE, "the grid moved along");
}

#[test]
fn a_calendar_is_the_hosts() {
    let mut vigy = Vigy::new(Plan::At(Timestamp(HOUR)));
    assert_eq!(vigy.checkpoint.due.0, HOUR);
    vigy.spec.schedule = Plan::At(Timestamp(3 * HOUR));
    assert_eq!(vigy.ticks_at(HOUR, WELL), 3 * HOUR);
}

#[test]
fn a_program_asks_for_its_next_tick_once() {
    let mut vigy = Vigy::new(every(MINUTE));
    assert_eq!(vigy.ticks_at(0, |door| Ok(door.next_in(5 * SECOND)?)), 5 * SECOND);
    assert_eq!(vigy.ticks(WELL), MINUTE, "then its own grid goes on");
    vigy.ticks(|door| door.next_in(HOUR).map_err(Failure::from).and_then(|()| FAILS(door)));
    assert!((2 * MINUTE..HOUR).contains(&vigy.checkpoint.due.0), "nothing comes of it when the tick fails");
    let too_soon = |door: &mut Door<'_>| matches!(door.next_in(99), Err(VerbError::Raise { tag: "bad-interval", .. }));
    vigy.ticks_at(HOUR, |door| if too_soon(door) { Ok(()) } else { FAILS(door) });
    assert_eq!(vigy.checkpoint.failures, 0);
    let record = vigy.host.storage.runs.values().next().unwrap();
    let asked = vigy_core::record::Record::parse(record).unwrap().entries().next().unwrap();
    assert_eq!(asked, Entry::NextIn { after_ms: 5 * SECOND });
}

#[test]
fn failures_wait_longer_and_longer_and_park_the_vigy() {
    let mut vigy = Vigy::new(every(100));
    let mut longest = 0;
    for n in 1..20 {
        let (at, bound) = (vigy.checkpoint.due.0, (500 << (n - 1)).min(5 * MINUTE));
        let due = vigy.ticks(FAILS);
        assert!(due > at && due <= at + bound.max(100), "failure {n}: {} ms", due - at);
        longest = longest.max(due - at);
        assert_eq!((vigy.checkpoint.failures, vigy.checkpoint.parked), (n as u32, false));
    }
    assert!(longest > 2 * MINUTE, "{longest}");
    vigy.ticks(FAILS);
    assert!(vigy.checkpoint.parked, "20 in a row");
    vigy.ticks_at(HOUR, FAILS);
    assert_eq!((vigy.checkpoint.failures, vigy.checkpoint.parked), (20, true), "a forced tick that fails is nobody's failure");
    assert_eq!(vigy.ticks_at(HOUR, WELL), HOUR + 100);
    assert_eq!((vigy.checkpoint.failures, vigy.checkpoint.parked), (0, false), "one that ends well resumes it");
}

#[test]
fn a_policy_may_never_park() {
    let mut vigy = Vigy::new(every(100));
    vigy.spec.policy.park_after = 0;
    (0..100).for_each(|_| _ = vigy.ticks(FAILS));
    assert_eq!((vigy.checkpoint.failures, vigy.checkpoint.parked), (100, false));
}

#[test]
fn a_forced_tick_that_fails_does_not_raise_the_backoff() {
    let mut vigy = Vigy::new(every(HOUR));
    vigy.ticks(WELL);
    assert_eq!(vigy.ticks_at(MINUTE, FAILS), HOUR);
    assert_eq!(vigy.checkpoint.failures, 0);
}

#[test]
fn a_tick_that_ends_well_begins_anew() {
    let mut vigy = Vigy::new(every(100));
    (0..10).for_each(|_| _ = vigy.ticks(FAILS));
    let at = vigy.checkpoint.due.0 - 1;
    assert_eq!(vigy.ticks_at(at, WELL), at / 100 * 100 + 100, "also one that was forced");
    assert_eq!(vigy.checkpoint.failures, 0);
}

#[test]
fn what_may_pass_says_when_and_what_will_not_parks() {
    let mut vigy = Vigy::new(every(HOUR));
    assert_eq!(vigy.ticks_at(10, |_| Err(VerbError::Retry(5 * SECOND).into())), 10 + 5 * SECOND);
    assert_eq!((vigy.checkpoint.failures, vigy.checkpoint.parked), (1, false));
    vigy.ticks(GIVES_UP);
    assert!(vigy.checkpoint.parked);
    vigy.checkpoint.resume(&vigy.spec.schedule, Timestamp(9 * HOUR));
    assert_eq!(
        (vigy.checkpoint.due.0, vigy.checkpoint.failures, vigy.checkpoint.missed),
        (9 * HOUR, 0, 0),
        "it was not late, it was parked"
    );
}

#[test]
fn an_action_is_tried_again_under_its_key() {
    let mut vigy = Vigy::new(every(MINUTE));
    vigy.host.effects.fails = 3;
    vigy.ticks(PUSHES);
    assert_eq!(vigy.outcome(), (ResultStatus::Ok, 4, String::new()));
    assert!(vigy.host.effects.tried.windows(2).all(|keys| keys[0] == keys[1]), "{:?}", vigy.host.effects.tried);
    assert!(vigy.host.clock.0.0 > 0, "not at once");
}

#[test]
fn after_the_last_attempt_an_action_has_failed() {
    let mut vigy = Vigy::new(every(MINUTE));
    vigy.host.effects.fails = 5;
    vigy.ticks(PUSHES);
    assert_eq!(vigy.outcome(), (ResultStatus::Failed, 5, "not yet".to_owned()));
    assert!(vigy.host.clock.0.0 <= 500 + 1000 + 2000 + 4000, "{:?}", vigy.host.clock);
}

#[test]
fn a_refusal_is_not_tried_again() {
    let mut vigy = Vigy::new(every(MINUTE));
    vigy.host.effects = Handler { fails: 5, outcome: Some(|| Outcome::refused("never")), ..Handler::default() };
    vigy.ticks(PUSHES);
    assert_eq!((vigy.outcome(), vigy.host.clock.0.0), ((ResultStatus::Failed, 1, "never".to_owned()), 0));
}

#[test]
fn the_next_tick_is_due_when_the_last_one_has_long_ended() {
    let mut vigy = Vigy::new(every(100));
    vigy.host.effects.fails = 4;
    let due = vigy.ticks(PUSHES);
    let now = vigy.host.clock.0.0;
    assert!(due == 100 && now > due, "its actions took until {now}");
    assert_eq!((vigy.ticks_at(now, WELL), vigy.checkpoint.missed), (now / 100 * 100 + 100, now / 100 - 1));
}

#[test]
fn an_edited_schedule_counts_from_the_last_tick() {
    let edit = |from: u64, to: Cadence, at: u64| {
        let mut vigy = Vigy::new(every(from));
        vigy.ticks_at(10, WELL);
        vigy.checkpoint.reschedule(&to.into(), Timestamp(at));
        vigy.checkpoint.due.0
    };
    assert_eq!(edit(HOUR, every(MINUTE), 20), MINUTE + 10);
    assert_eq!(edit(HOUR, every(MINUTE), 30 * MINUTE), 30 * MINUTE, "which is long ago");
    assert_eq!(edit(MINUTE, every(HOUR), 20), HOUR + 10);
    assert_eq!(edit(MINUTE, paced(Pace::Sharp, HOUR), 20), HOUR);
}

#[test]
fn at_the_ends_of_time_nothing_overflows() {
    let edges = [0, 1, 99, 100, u64::MAX / 2, u64::MAX - 100, u64::MAX - 1, u64::MAX];
    let cadences = [Pace::Steady, Pace::Sharp, Pace::Idle]
        .into_iter()
        .flat_map(|pace| [100, TickInterval::MAX.as_millis()].map(|interval| Cadence { jitter_ms: u32::MAX, ..paced(pace, interval) }));
    for cadence in cadences {
        for registered in edges {
            for at in edges {
                for deed in [WELL, FAILS, PUSHES, |_| Err(VerbError::Retry(u64::MAX).into())] {
                    let mut vigy = Vigy::registered(Cadence { initial_delay_ms: at, ..cadence }, registered);
                    vigy.checkpoint.start(&vigy.spec.schedule, Timestamp(at));
                    let due = vigy.ticks_at(at, deed);
                    assert!(due >= at || vigy.checkpoint.parked, "{cadence:?} registered at {registered} ticks at {at}, then at {due}");
                    vigy.checkpoint.rebase(&vigy.spec.schedule, Timestamp(registered));
                    vigy.checkpoint.resume(&vigy.spec.schedule, Timestamp(at));
                    vigy.checkpoint.reschedule(&vigy.spec.schedule, Timestamp(registered));
                }
            }
        }
    }
}

#[test]
fn cadences_have_bounds() {
    assert_eq!(every(100).check(), Ok(()));
    assert_eq!(Cadence { jitter_ms: 101, ..every(100) }.check(), Err(InvalidCadence::Jitter(101)));
    assert_eq!(Cadence { initial_delay_ms: u64::MAX, ..every(100) }.check(), Err(InvalidCadence::InitialDelay(u64::MAX)));
}
