//! The world of a week: one clock that passes, jumps and sleeps, and a host's effects in it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use vigy_core::sim::Random;
use vigy_core::{Access, Ask, AskError, Clock, Door, Effects, Evaluator, Failure, Outcome, ReconcileAction, Step, Timestamp};

/// What is above all vigies.
#[derive(Debug)]
pub(crate) struct Sky {
    /// Milliseconds since the week began.
    pub(crate) real: Cell<u64>,
    /// What the clock shows.
    wall: Cell<u64>,
    /// How often the clock went back.
    pub(crate) epoch: Cell<u32>,
    pub(crate) random: RefCell<Random>,
}

impl Sky {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { real: Cell::new(0), wall: Cell::new(1_700_000_000_000), epoch: Cell::new(0), random: RefCell::new(Random(seed)) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.wall.get())
    }

    /// Time passes; asleep or awake, the clock goes on.
    pub(crate) fn pass(&self, ms: u64) {
        self.real.set(self.real.get() + ms);
        self.wall.set(self.wall.get() + ms);
    }

    pub(crate) fn jump(&self, by: i64) {
        self.wall.set(self.wall.get().saturating_add_signed(by));
        if by < 0 {
            self.epoch.set(self.epoch.get() + 1);
        }
    }

    /// A clock that is set, by up to an hour, or a machine that sleeps, for up to eight.
    pub(crate) fn mischief(&self) {
        let (kind, ms) = {
            let mut random = self.random.borrow_mut();
            (random.below(3), 1 + random.below(3_600_000) as u64)
        };
        match kind {
            0 => self.jump(ms as i64),
            1 => self.jump(-(ms as i64)),
            _ => self.pass(8 * ms),
        }
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        self.random.borrow_mut().below(end as usize) as u64
    }

    pub(crate) fn one_in(&self, n: u64) -> bool {
        self.random.borrow_mut().once_in(n as usize)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Watch(pub(crate) Rc<Sky>);

impl Clock for Watch {
    fn now(&mut self) -> Timestamp {
        self.0.now()
    }

    fn sleep_until(&mut self, until: Timestamp) {
        let wait = until.since(self.0.now());
        assert!(wait <= 30_000, "an action waits {wait} ms");
        self.0.pass(wait);
    }
}

/// Effects that take their time, and sometimes fail.
#[derive(Clone, Debug)]
pub(crate) struct World(pub(crate) Rc<Sky>);

impl Effects for World {
    fn ask(&mut self, _: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        let slow = if self.0.one_in(100) { 200_000 } else { 300 };
        self.0.pass(self.0.below(slow));
        if self.0.one_in(500) {
            self.0.mischief();
        }
        into[0] = 0;
        Ok(1)
    }

    fn act(&mut self, _: &ReconcileAction<'_>) -> Outcome {
        self.0.pass(self.0.below(50));
        match self.0.below(20) {
            0 => Outcome::refused("never"),
            1..6 => Outcome::failed("not now"),
            _ => Outcome::ok(),
        }
    }
}

/// How an evaluation ended, as its program meant it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    Well,
    NextIn(u64),
    Fails,
    Retries(u64),
    GivesUp,
}

/// What a program did last, and when.
pub(crate) type Diary = Rc<Cell<(Deed, Timestamp)>>;

/// A program that does what the seed of its run says, so that a run that was cut says the same again.
pub(crate) struct Program {
    pub(crate) sky: Rc<Sky>,
    pub(crate) diary: Diary,
    /// Never fails and asks for nothing.
    pub(crate) calm: bool,
    pub(crate) asked: u8,
}

impl Program {
    fn ends(&self, deed: Deed, step: Step) -> Step {
        self.diary.set((deed, self.sky.now()));
        step
    }
}

impl Evaluator for Program {
    fn step(&mut self, door: &mut Door<'_>, _: u64) -> Step {
        let mut random = Random(door.header().seed);
        let asks = random.below(4) as u64;
        for (nth, access) in [(1, Access::Read), (2, Access::Write)] {
            if asks >= u64::from(nth) && self.asked < nth {
                match door.ask("world/look", access, &b"\x07\0"[..]) {
                    Ok(answer) if answer.is_ready() => self.asked = nth,
                    Ok(_) => return Step::Waiting,
                    Err(error) => return self.ends(Deed::Fails, Step::Failed(error.into())),
                }
            }
        }
        let act = random.once_in(8);
        if act && let Err(error) = door.act(vigy_core::ActionKind::Push, None::<&[u8]>, None) {
            return self.ends(Deed::Fails, Step::Failed(error.into()));
        }
        if self.calm {
            return self.ends(Deed::Well, Step::Done);
        }
        // Days on which nothing works.
        let sick = (door.header().tick / 40) % 6 == 5 && !random.once_in(20);
        match random.below(100) {
            _ if sick => self.ends(Deed::Fails, Step::Failed(Failure::raised("sick", "", None))),
            0..3 => self.ends(Deed::Fails, Step::Failed(Failure::raised("oops", "", None))),
            3..5 => {
                let after_ms = 100 + random.below(600_000) as u64;
                self.ends(Deed::Retries(after_ms), Step::Failed(Failure::Retry { after_ms, message: Default::default(), place: None }))
            }
            5 if random.once_in(10) => {
                self.ends(Deed::GivesUp, Step::Failed(Failure::Permanent { message: Default::default(), place: None }))
            }
            6..9 => {
                let wait = 100 + random.below(1_800_000) as u64;
                match door.next_in(wait) {
                    Ok(()) => self.ends(Deed::NextIn(wait), Step::Done),
                    Err(error) => self.ends(Deed::Fails, Step::Failed(error.into())),
                }
            }
            _ => self.ends(Deed::Well, Step::Done),
        }
    }

    fn fuel_used(&self) -> u64 {
        1
    }
}
