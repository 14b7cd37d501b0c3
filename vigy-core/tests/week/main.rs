//! A week of fifty vigies in virtual time: clocks that are set, machines that sleep, stores that fail, programs that misbehave, and operators
//! that force ticks, pause and resume. No deadline has two ticks, nobody waits a negative time or for ever, no sleep ends in a burst, and what
//! was skipped is counted right: a model that counts deadlines out one by one says so after every step.
//!
//! `VIGY_RUNS=N` lives N weeks instead of ten, `VIGY_SEED=N` begins elsewhere. Prints a line of JSON, which counts ticks.
#![cfg(all(feature = "sim", feature = "alloc"))]

#[path = "../harness/mod.rs"]
mod harness;
mod model;
mod sky;

use std::cell::Cell;
use std::rc::Rc;

use model::{Model, Seen};
use sky::{Deed, Diary, Program, Sky, Watch, World};
use vigy_core::record::Record;
use vigy_core::sim::{CrashStorage, MemoryStorage, Random};
use vigy_core::{
    Cadence, Checkpoint, Host, Incarnation, Limits, Pace, Plan, Policy, Spec, TickBuffers, TickInterval, Timestamp, Unfinished,
};

const WEEK: u64 = 7 * 24 * 3_600_000;
const VIGIES: u64 = 50;
/// The longest time between two looks at the clock.
const NAP: u64 = 30_000;

const LIMITS: Limits = Limits {
    fuel: 1000,
    heap_bytes: 0,
    depth: 0,
    stack_bytes: 0,
    output_bytes: 0,
    actions: 2,
    log_lines: 0,
    kv_keys: 0,
    record_bytes: 512,
    value_bytes: 64,
};

/// Bugs that are planted to see whether they are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    /// The interval counts from when a tick began.
    Drift,
    /// Every missed tick is made up for.
    Burst,
    /// A tick that ends well leaves the failures as they are.
    FailuresStay,
    /// A forced tick before its time that fails counts.
    ForcedFailuresCount,
    /// What was skipped is not counted.
    MissedForgotten,
    /// A clock that jumped back is not noticed.
    Asleep,
    /// Failures do not park.
    NeverParked,
    /// A parked vigy that was resumed stays parked.
    NeverResumed,
    /// What a program asked for holds for ever.
    RequestStays,
    /// Failures are followed by no wait.
    NoBackoff,
    /// A start of the host forgets the deadline.
    StartForgets,
}

const BUGS: [Bug; 11] = [
    Bug::Drift,
    Bug::Burst,
    Bug::FailuresStay,
    Bug::ForcedFailuresCount,
    Bug::MissedForgotten,
    Bug::Asleep,
    Bug::NeverParked,
    Bug::NeverResumed,
    Bug::RequestStays,
    Bug::NoBackoff,
    Bug::StartForgets,
];

/// One vigy, and what it should be.
struct Life {
    spec: Spec,
    cadence: Cadence,
    checkpoint: Checkpoint,
    host: Host<Watch, CrashStorage, World>,
    model: Model,
    diary: Diary,
    paused: bool,
    calm: bool,
    asked_before: Option<u64>,
    /// How often the clock had gone back when its last tick began.
    epoch: u32,
}

struct Week {
    sky: Rc<Sky>,
    lives: Vec<Life>,
    buffers: TickBuffers,
    bug: Option<Bug>,
    ticks: u64,
}

fn cadence(random: &mut Random) -> Cadence {
    let minutes = [1, 1, 2, 5, 10, 15, 60, 60, 1440][random.below(9)];
    let odd = if random.once_in(2) { random.below(5000) as u64 } else { 0 };
    let interval = TickInterval::from_millis(minutes * 60_000 + odd).expect("within a year");
    let pace = [Pace::Steady, Pace::Steady, Pace::Sharp, Pace::Idle][random.below(4)];
    let initial_delay_ms = if random.once_in(4) { random.below(600_000) as u64 } else { 0 };
    let cadence = Cadence { pace, initial_delay_ms, ..Cadence::every(interval) };
    if random.once_in(5) { Cadence { jitter_ms: 0, ..cadence } } else { cadence }
}

impl Week {
    fn new(seed: u64, bug: Option<Bug>) -> Result<Self, String> {
        let sky = Rc::new(Sky::new(seed));
        let mut random = Random(!seed);
        let mut lives = Vec::new();
        for n in 0..VIGIES {
            let (cadence, now) = (cadence(&mut random), sky.now());
            let policy = Policy { park_after: [0, 5, 20][random.below(3)], act_attempts: 1 + random.below(5) as u16 };
            let spec = Spec { program: [7; 32], schedule: Plan::Every(cadence), policy, limits: LIMITS };
            let checkpoint = Checkpoint::registered(Incarnation(seed << 8 | n), &spec.schedule, now);
            let storage = CrashStorage { disk: MemoryStorage::default(), writes_left: u32::MAX, last_write_lands: false };
            let mut host = Host { clock: Watch(sky.clone()), storage, effects: World(sky.clone()) };
            host.storage.disk.checkpoint = Some(checkpoint);
            let diary = Rc::new(Cell::new((Deed::Well, now)));
            let model = Model::registered(cadence, policy, &checkpoint, now)?;
            let calm = random.once_in(5);
            lives.push(Life { spec, cadence, checkpoint, host, model, diary, paused: false, calm, asked_before: None, epoch: 0 });
        }
        Ok(Self { sky, lives, buffers: TickBuffers::for_limits(&LIMITS), bug, ticks: 0 })
    }

    /// Lives the week, to its end or to the first promise that is broken.
    fn live(mut self) -> Result<u64, String> {
        let mut next_event = 0;
        while self.sky.real.get() < WEEK {
            if self.sky.real.get() >= next_event {
                self.event()?;
                next_event = self.sky.real.get() + self.sky.below(600_000);
            }
            self.look()?;
            let now = self.sky.now();
            let next = (0..self.lives.len()).filter(|n| self.lives[*n].ticks()).min_by_key(|n| self.lives[*n].wakes());
            let wake = next.map_or(Timestamp(u64::MAX), |n| self.lives[n].wakes());
            match next {
                Some(n) if wake <= now => self.turn(n, false)?,
                _ => self.sky.pass(wake.since(now).min(NAP).min(next_event.saturating_sub(self.sky.real.get()).max(1))),
            }
        }
        if let Some(life) = self.lives.iter().find(|life| life.checkpoint.ticks == 0 && !life.paused) {
            return Err(format!("never ticked: {:?}", life.checkpoint));
        }
        Ok(self.ticks)
    }

    /// Everybody looks at the clock.
    fn look(&mut self) -> Result<(), String> {
        let (now, bug) = (self.sky.now(), self.bug);
        for life in &mut self.lives {
            if now < life.checkpoint.since && life.checkpoint.unfinished != Unfinished::Evaluation {
                if bug != Some(Bug::Asleep) {
                    life.checkpoint.rebase(&life.spec.schedule, now);
                    life.host.storage.disk.checkpoint = Some(life.checkpoint);
                }
                life.model.looked(now);
                life.model.check(&life.checkpoint)?;
            }
        }
        Ok(())
    }

    fn event(&mut self) -> Result<(), String> {
        let n = self.sky.below(VIGIES) as usize;
        match self.sky.below(200) {
            0..4 => {
                self.sky.mischief();
                // Some hosts notice.
                if self.sky.one_in(2) {
                    (0..self.lives.len()).try_for_each(|n| self.start(n))?;
                }
            }
            4..6 => {
                for life in &mut self.lives {
                    life.checkpoint = life.host.storage.disk.checkpoint.unwrap_or(life.checkpoint);
                }
                (0..self.lives.len()).try_for_each(|n| self.start(n))?;
            }
            6..40 => self.turn(n, true)?,
            40..50 => self.lives[n].paused = true,
            50..70 if self.lives[n].paused => {
                self.lives[n].paused = false;
                self.resume(n)?;
            }
            _ => {
                if let Some(n) = (0..self.lives.len()).find(|n| self.lives[*n].checkpoint.parked) {
                    self.resume(n)?;
                }
            }
        }
        Ok(())
    }

    /// The host starts, or has noticed that its clock jumped.
    fn start(&mut self, n: usize) -> Result<(), String> {
        let (now, life) = (self.sky.now(), &mut self.lives[n]);
        // A vigy that does not tick has no deadline, and what is unfinished does not wait for one.
        if life.paused || life.checkpoint.unfinished != Unfinished::Nothing {
            return Ok(());
        }
        life.checkpoint.start(&life.spec.schedule, now);
        if self.bug == Some(Bug::StartForgets) {
            life.checkpoint.due = now;
        }
        life.host.storage.disk.checkpoint = Some(life.checkpoint);
        life.model.started(now, life.cadence.phase(life.checkpoint.incarnation));
        life.model.check(&life.checkpoint)
    }

    fn resume(&mut self, n: usize) -> Result<(), String> {
        let (now, life) = (self.sky.now(), &mut self.lives[n]);
        life.checkpoint.resume(&life.spec.schedule, now);
        if self.bug == Some(Bug::NeverResumed) {
            life.checkpoint.parked = true;
        }
        life.host.storage.disk.checkpoint = Some(life.checkpoint);
        life.model.resumed(now);
        life.model.check(&life.checkpoint)
    }

    /// A turn of one vigy: what is unfinished, or a tick.
    fn turn(&mut self, n: usize, forced: bool) -> Result<(), String> {
        let (sky, bug) = (self.sky.clone(), self.bug);
        let life = &mut self.lives[n];
        if sky.one_in(60) {
            life.host.storage.writes_left = sky.below(3) as u32;
            life.host.storage.last_write_lands = sky.one_in(2);
        }
        let before = life.checkpoint;
        if before.unfinished != Unfinished::Evaluation {
            life.model.looked(sky.now());
        }
        // A tick that was cut began where it began.
        if before.unfinished == Unfinished::Nothing {
            life.epoch = sky.epoch.get();
        }
        let mut program = Program { sky: sky.clone(), diary: life.diary.clone(), calm: life.calm, asked: 0 };
        let (memory, spec) = (self.buffers.memory(), life.spec);
        let outcome = match before.unfinished {
            Unfinished::Nothing => life.host.tick(&spec, &mut life.checkpoint, memory, &mut program).map(|_| ()),
            _ => life.host.finish(&spec, &mut life.checkpoint, memory, &mut program).map(|_| ()),
        };
        if let Err(error) = outcome {
            if life.host.storage.writes_left != 0 {
                return Err(error.to_string());
            }
            // The process is gone, and comes back with what is on disk.
            life.checkpoint = life.host.storage.disk.checkpoint.ok_or("a disk without a checkpoint")?;
            sky.pass(1000);
        }
        life.host.storage.writes_left = u32::MAX;
        let runs = &mut life.host.storage.disk.runs;
        while runs.len() > 1 {
            runs.pop_first();
        }
        life.host.storage.disk.outcomes.clear();
        let ticked = life.checkpoint.ticks > before.ticks;
        if ticked {
            let (_, record) = runs.last_key_value().ok_or("a tick without a record")?;
            let at = Record::parse(record).map_err(|error| error.to_string())?.header().at;
            let (deed, end) = life.diary.get();
            // What is left to do is done in another turn.
            let settled = life.checkpoint.unfinished == Unfinished::Nothing && life.checkpoint.since > end;
            let acted = settled.then_some(life.checkpoint.since);
            self.ticks += 1;
            let was_due = !before.parked && before.due <= at;
            if let Some(bug) = bug {
                plant(bug, life, &before, at, deed, was_due);
            }
            life.asked_before = if let Deed::NextIn(ms) = deed { Some(ms) } else { None };
            life.model.ticked(&Seen { at, end, acted, deed, epoch: life.epoch })?;
        } else if before.unfinished == Unfinished::Actions && life.checkpoint.unfinished == Unfinished::Nothing {
            life.model.settled(life.checkpoint.since, life.diary.get().0);
        }
        life.model.check(&life.checkpoint).map_err(|error| format!("{}{error}\nfrom {before:?}", if forced { "forced: " } else { "" }))
    }
}

/// What the tick would have left if the core had that bug.
fn plant(bug: Bug, life: &mut Life, before: &Checkpoint, at: Timestamp, deed: Deed, was_due: bool) {
    let (after, interval) = (&mut life.checkpoint, life.cadence.interval.as_millis());
    let steady = life.cadence.pace == Pace::Steady && deed == Deed::Well && was_due;
    let fails = !matches!(deed, Deed::Well | Deed::NextIn(_));
    match bug {
        Bug::Drift if steady => after.due = at.plus(interval),
        Bug::Burst if steady => after.due = before.due.plus(interval),
        Bug::FailuresStay if !fails => after.failures = before.failures,
        Bug::ForcedFailuresCount if fails && !was_due => after.failures += 1,
        Bug::MissedForgotten => after.missed = before.missed,
        Bug::NeverParked => after.parked = false,
        Bug::RequestStays if steady => after.due = life.asked_before.map_or(after.due, |ms| at.plus(ms)),
        Bug::NoBackoff if fails && was_due => after.due = at,
        _ => {}
    }
    life.host.storage.disk.checkpoint = Some(*after);
}

impl Life {
    fn ticks(&self) -> bool {
        !self.paused && !self.checkpoint.parked || self.checkpoint.unfinished != Unfinished::Nothing
    }

    /// When it wants its next turn.
    fn wakes(&self) -> Timestamp {
        if self.checkpoint.unfinished == Unfinished::Nothing { self.checkpoint.due } else { Timestamp(0) }
    }
}

#[test]
fn a_week_of_fifty_vigies_keeps_every_promise_about_time() {
    let (first, weeks) = (harness::first_seed(), harness::runs(10));
    let live = |seed, bug| Week::new(seed, bug).and_then(Week::live).map_err(|error| format!("seed {seed}: {error}"));
    let lived: Vec<_> = (first..first + weeks).map(|seed| live(seed, None)).collect();
    let failures: Vec<_> = lived.iter().filter_map(|week| week.clone().err()).collect();
    let ticks: u64 = lived.iter().flatten().sum();
    let caught = BUGS.into_iter().filter(|bug| live(first, Some(*bug)).is_err());
    harness::report("week", ticks, &failures, BUGS.len(), caught.count());
    assert!(ticks > weeks * 15_000, "{ticks} ticks are no {weeks} weeks");
}
