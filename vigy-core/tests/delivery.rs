//! Delivery: whatever happens between a program that queues an action and the moment its outcome is durable, the action arrives, and always
//! under the same key.
//!
//! A schedule is a vigy with some ticks, and the steps at which the power goes. There is a step before and after everything that leaves a
//! trace: a write of the store, an action, a write that the program asks for, the wait before an action is tried again. For every vigy there
//! is a schedule for each of its steps, and one more with a second cut.
//!
//! `VIGY_RUNS=N` tries N schedules instead of 10,000, `VIGY_SEED=N` begins with another vigy.
#![cfg(feature = "sim")]

mod harness;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use vigy_core::record::{Entry, Record};
use vigy_core::sim::{Gone, MemoryStorage, Random};
use vigy_core::{
    Access, ActionKey, ActionKind, Ask, AskError, AsyncClock, AsyncEffects, AsyncStorage, Batch, Checkpoint, Door, Draft, Evaluator,
    Failure, Host, Incarnation, Limits, Outcome, Piece, ReconcileAction, ResultStatus, RunKey, Settlement, Spec, Step, Storage,
    TickBuffers, TickInterval, Timestamp, Unfinished, Verdict, settled,
};

/// What a runtime does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    KeysFromACounterInMemory,
    NewKeyForARetry,
    SettlesBeforeItActs,
    ActsBeforeTheCommitIsDurable,
    WritesBeforeTheIntentIsDurable,
    DropsTheQueueAtRestart,
    DropsTheDraftAtRestart,
    CarriesOutAgainWhatIsSettled,
    TakesAFailureForDone,
    /// Calls done in the batch what a handler has yet to do.
    OnlyRecordsWhatHasAHandler,
}

const BUGS: [Bug; 10] = [
    Bug::KeysFromACounterInMemory,
    Bug::NewKeyForARetry,
    Bug::SettlesBeforeItActs,
    Bug::ActsBeforeTheCommitIsDurable,
    Bug::WritesBeforeTheIntentIsDurable,
    Bug::DropsTheQueueAtRestart,
    Bug::DropsTheDraftAtRestart,
    Bug::CarriesOutAgainWhatIsSettled,
    Bug::TakesAFailureForDone,
    Bug::OnlyRecordsWhatHasAHandler,
];

const TICKS: u64 = 3;

const LIMITS: Limits = Limits {
    fuel: 1000,
    heap_bytes: 0,
    depth: 0,
    stack_bytes: 0,
    output_bytes: 0,
    actions: 8,
    log_lines: 0,
    kv_keys: 4,
    record_bytes: 2048,
    value_bytes: 1024,
};

/// What a tick does: the same for the same seed and tick, so that it says again what it said when it was cut.
struct Script {
    verbs: Vec<Verb>,
    at: usize,
    tick: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Push,
    Noop,
    Write,
    Fail,
}

impl Script {
    fn of(seed: u64, tick: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(31).wrapping_add(tick));
        let verbs = (0..random.below(6)).map(|_| match random.below(8) {
            0..4 => Verb::Push,
            4 => Verb::Noop,
            5 | 6 => Verb::Write,
            _ if random.once_in(3) => Verb::Fail,
            _ => Verb::Push,
        });
        Self { verbs: verbs.collect(), at: 0, tick }
    }

    /// What names an effect, whatever its key.
    fn id(&self) -> [u8; 2] {
        [self.tick as u8, self.at as u8]
    }
}

impl Evaluator for Script {
    fn step(&mut self, door: &mut Door<'_>, _: u64) -> Step {
        while let Some(verb) = self.verbs.get(self.at) {
            let id = self.id();
            let done = match verb {
                Verb::Push => door.act(ActionKind::Push, Some(&id[..]), None).map(|()| true),
                Verb::Noop => door.act(ActionKind::Noop, None::<&[u8]>, None).map(|()| true),
                Verb::Write => door.ask("world/write", Access::Write, &id[..]).map(|poll| poll.is_ready()),
                Verb::Fail => return Step::Failed(Failure::raised("test", "as the script says", None)),
            };
            match done {
                Ok(true) => self.at += 1,
                Ok(false) => return Step::Waiting,
                Err(error) => panic!("{error:?}"),
            }
        }
        Step::Done
    }

    fn fuel_used(&self) -> u64 {
        self.at as u64
    }
}

/// The power supply. When it is cut, whoever needs it waits for ever.
#[derive(Default)]
struct Power {
    left: Cell<u64>,
    used: Cell<u64>,
}

impl Power {
    async fn step(&self) {
        self.used.set(self.used.get() + 1);
        match self.left.get() {
            0 => pending().await,
            left => self.left.set(left - 1),
        }
    }
}

/// What arrived at the receiver once.
#[derive(Clone, Copy)]
struct Delivery {
    life: u32,
    /// What the receiver said, if it came to that.
    said: Option<ResultStatus>,
}

/// What is outside: a receiver that deduplicates by key, and an observer that sees what is durable.
#[derive(Default)]
struct World {
    life: u32,
    keys: BTreeMap<[u8; 2], ActionKey>,
    deliveries: BTreeMap<ActionKey, Vec<Delivery>>,
    /// How often each effect was brought about.
    effects: BTreeMap<[u8; 2], u32>,
    committed: BTreeSet<RunKey>,
    settled: BTreeSet<RunKey>,
    /// Of the run that has a draft: the writes in it, and how many of them have an answer.
    intents: Option<(RunKey, u16, u16)>,
    broken: Vec<String>,
}

impl World {
    fn breaks(&mut self, what: &str, key: ActionKey) {
        self.broken.push(format!("{what}: {key}"));
    }

    /// Something arrives. Says whether its effect is to be brought about.
    fn arrives(&mut self, id: [u8; 2], key: ActionKey) -> bool {
        if *self.keys.entry(id).or_insert(key) != key {
            self.breaks("it came before under another key", key);
        }
        if self.keys.iter().any(|(other, others)| *others == key && *other != id) {
            self.breaks("something else came under the same key", key);
        }
        let life = self.life;
        let again = self.deliveries.get(&key).and_then(|all| all.last().copied());
        if let Some(before) = again
            && before.life == life
            && before.said != Some(ResultStatus::Failed)
        {
            self.breaks("it came again though nothing was in flight", key);
        }
        self.deliveries.entry(key).or_default().push(Delivery { life, said: None });
        again.is_none()
    }

    fn action_arrives(&mut self, id: [u8; 2], key: ActionKey) -> bool {
        let run = key.run;
        if !self.committed.contains(&run) {
            self.breaks("it was carried out before its commit was durable", key);
        }
        if self.settled.contains(&run) {
            self.breaks("it was carried out though its outcome was durable", key);
        }
        self.arrives(id, key)
    }

    fn write_arrives(&mut self, id: [u8; 2], key: ActionKey) -> bool {
        let nth = key.index - ActionKey::FIRST_WRITE;
        match self.intents {
            Some((run, intents, answers)) if run == key.run && nth < intents => {
                if nth < answers {
                    self.breaks("a write went out again though its answer was durable", key);
                }
            }
            _ => self.breaks("a write went out before its intent was durable", key),
        }
        self.arrives(id, key)
    }

    fn said(&mut self, key: ActionKey, status: ResultStatus) {
        if let Some(last) = self.deliveries.get_mut(&key).and_then(|all| all.last_mut()) {
            last.said = Some(status);
        }
    }
}

/// What comes of an effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    Refused,
    /// It never works: after its attempts it is a dead letter.
    Dead,
    /// It works, but says so only after some attempts.
    Fails {
        attempts: usize,
        /// Whether the first attempt had its effect.
        late: bool,
    },
}

fn fate(seed: u64, [tick, at]: [u8; 2]) -> Fate {
    let mut random = Random(seed ^ u64::from(tick) << 32 ^ u64::from(at) << 40);
    match random.below(8) {
        0 => Fate::Refused,
        3 if random.once_in(3) => Fate::Dead,
        1 | 2 => Fate::Fails { attempts: 1 + random.below(2), late: random.once_in(2) },
        _ => Fate::Works,
    }
}

#[derive(Clone)]
struct Life {
    seed: u64,
    bug: Option<Bug>,
    power: Rc<Power>,
    world: Rc<RefCell<World>>,
    time: Rc<Cell<u64>>,
    counter: Rc<Cell<u16>>,
}

impl Life {
    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}

impl AsyncClock for Life {
    fn now(&mut self) -> Timestamp {
        Timestamp(self.time.get())
    }

    async fn sleep_until(&mut self, until: Timestamp) {
        self.power.step().await;
        self.time.set(self.time.get().max(until.0));
    }

    async fn yield_now(&mut self) {}
}

impl AsyncEffects for Life {
    async fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        let (id, key) = (ask.arguments.try_into().expect("two bytes"), ask.key.expect("a write has a key"));
        self.power.step().await;
        if self.world.borrow_mut().write_arrives(id, key) {
            *self.world.borrow_mut().effects.entry(id).or_default() += 1;
        }
        self.power.step().await;
        self.world.borrow_mut().said(key, ResultStatus::Ok);
        into[..2].copy_from_slice(&id);
        Ok(2)
    }

    async fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        let id: [u8; 2] = action.payload.and_then(|payload| payload.try_into().ok()).expect("two bytes");
        let mut key = action.key;
        if self.has(Bug::KeysFromACounterInMemory) {
            self.counter.set(self.counter.get() + 1);
            key.index = self.counter.get();
        }
        let tries = self.world.borrow().deliveries.get(&key).map_or(0, Vec::len);
        if self.has(Bug::NewKeyForARetry) && tries > 0 {
            key.index += 100 * tries as u16;
        }
        self.power.step().await;
        let fate = fate(self.seed, id);
        let first = self.world.borrow_mut().action_arrives(id, key);
        let (outcome, works) = match fate {
            Fate::Works => (Outcome::ok(), first),
            Fate::Refused => (Outcome::refused("never"), false),
            Fate::Dead => (Outcome::failed("not now"), false),
            Fate::Fails { attempts, late } if tries < attempts => (Outcome::failed("not yet"), first && late),
            Fate::Fails { late, .. } => (Outcome::ok(), !late && !self.world.borrow().effects.contains_key(&id)),
        };
        if works {
            *self.world.borrow_mut().effects.entry(id).or_default() += 1;
        }
        self.power.step().await;
        self.world.borrow_mut().said(key, outcome.status);
        if self.has(Bug::TakesAFailureForDone) { Outcome::ok() } else { outcome }
    }

    fn only_records(&self) -> bool {
        self.has(Bug::OnlyRecordsWhatHasAHandler)
    }
}

/// A store on the disk of one life.
struct Disk {
    durable: MemoryStorage,
    /// What a bug holds back, until the next write.
    held: Option<MemoryStorage>,
    life: Life,
}

impl Disk {
    async fn write(&mut self, holds: bool, write: impl FnOnce(&mut MemoryStorage) -> Result<(), Gone>) -> Result<(), Gone> {
        self.life.power.step().await;
        let mut next = self.held.take().unwrap_or_else(|| self.durable.clone());
        write(&mut next)?;
        if holds {
            self.held = Some(next);
        } else {
            self.durable = next;
            self.observe();
        }
        self.life.power.step().await;
        Ok(())
    }

    /// Tells the world what is durable now.
    fn observe(&self) {
        let mut world = self.life.world.borrow_mut();
        world.committed = self.durable.runs.keys().copied().collect();
        world.settled = self.durable.outcomes.keys().copied().collect();
        let mut intents = self.durable.drafts.iter().next().map(|(run, (record, _))| {
            let record = Record::parse_draft(record).expect("a draft");
            let intents = record.entries().filter(|entry| matches!(entry, Entry::Ask { .. })).count();
            let answers = record.entries().filter(|entry| matches!(entry, Entry::Answer { .. })).count();
            (*run, intents as u16, answers as u16)
        });
        // An answer that was durable once stays so.
        if let (Some((run, _, answers)), Some((before, _, known))) = (&mut intents, world.intents)
            && *run == before
        {
            *answers = known.max(*answers);
        }
        world.intents = intents;
    }
}

impl AsyncStorage for Disk {
    type Error = Gone;

    async fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, Gone> {
        self.durable.get(key, into)
    }

    async fn save(&mut self, draft: &Draft<'_>) -> Result<(), Gone> {
        let holds = self.life.has(Bug::WritesBeforeTheIntentIsDurable);
        self.write(holds, |disk| disk.save(draft)).await
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Gone> {
        let holds = self.life.has(Bug::ActsBeforeTheCommitIsDurable);
        let settles = self.life.has(Bug::SettlesBeforeItActs);
        self.write(holds, |disk| {
            disk.commit(batch)?;
            if settles && let Some(checkpoint) = &mut disk.checkpoint {
                checkpoint.unfinished = Unfinished::Nothing;
            }
            Ok(())
        })
        .await
    }

    async fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), Gone> {
        self.write(false, |disk| disk.settle(settlement)).await
    }

    async fn unfinished(&mut self, run: RunKey, mut visit: impl FnMut(Piece<'_>)) -> Result<(), Gone> {
        self.durable.unfinished(run, &mut visit)
    }
}

/// What the vigy does in one life, until the power goes or there is nothing left to do. Says what is on the disk then, and whether it is done.
fn live(life: &Life, disk: MemoryStorage) -> (MemoryStorage, bool) {
    let mut checkpoint = disk.checkpoint.unwrap_or_else(|| Checkpoint::new(Incarnation(7), Timestamp(1000)));
    match (life.bug, checkpoint.unfinished) {
        (Some(Bug::DropsTheQueueAtRestart), Unfinished::Actions) | (Some(Bug::DropsTheDraftAtRestart), Unfinished::Evaluation) => {
            checkpoint.unfinished = Unfinished::Nothing;
        }
        (Some(Bug::CarriesOutAgainWhatIsSettled), Unfinished::Nothing) if checkpoint.ticks > 0 => {
            checkpoint.unfinished = Unfinished::Actions;
        }
        _ => {}
    }
    let storage = Disk { durable: disk, held: None, life: life.clone() };
    let mut host = Host { clock: life.clone(), storage, effects: life.clone() };
    let mut buffers = TickBuffers::for_limits(&LIMITS);
    let spec = Spec::every(TickInterval::MIN, [1; 32], LIMITS);
    let done = loop {
        let last = checkpoint.ticks == TICKS;
        if last && checkpoint.unfinished == Unfinished::Nothing {
            break true;
        }
        // Actions that are left over come first, and then the next tick.
        let mut script = Script::of(life.seed, checkpoint.ticks + 1);
        let mut ticked = pin!(async {
            match last {
                true => host.finish_async(&spec, &mut checkpoint, buffers.memory(), &mut script).await.map(|_| ()),
                false => host.tick_async(&spec, &mut checkpoint, buffers.memory(), &mut script).await.map(|_| ()),
            }
        });
        match ticked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => break false,
            Poll::Ready(Ok(())) => life.time.set(life.time.get() + 1000),
            Poll::Ready(Err(error)) => {
                life.world.borrow_mut().broken.push(format!("it does not tick: {error}"));
                break true;
            }
        }
    };
    (host.storage.durable, done)
}

/// Runs a schedule: the vigy of this seed, with the power cut after so many steps of each life. Says how many steps the first life had.
fn run(seed: u64, cuts: &[u64], bug: Option<Bug>) -> Result<u64, String> {
    let world = Rc::new(RefCell::new(World::default()));
    let time = Rc::new(Cell::new(1000));
    let mut disk = MemoryStorage::default();
    let mut first = None;
    for cut in cuts.iter().copied().chain([u64::MAX; 2]) {
        let power = Rc::new(Power { left: Cell::new(cut), used: Cell::new(0) });
        let life = Life { seed, bug, power: power.clone(), world: world.clone(), time: time.clone(), counter: Rc::default() };
        let (left, done) = live(&life, disk);
        disk = left;
        first.get_or_insert_with(|| power.used.get());
        world.borrow_mut().life += 1;
        time.set(time.get() + 60_000);
        if done {
            break;
        }
    }
    let world = world.borrow();
    let at = |what: &str| format!("vigy {seed}, cut after {cuts:?} steps: {what}");
    if let Some(broken) = world.broken.first() {
        return Err(at(broken));
    }
    all_arrived(seed, &disk, &world).map_err(|what| at(&what))?;
    Ok(first.unwrap_or(0))
}

/// Whether every effect that a durable record asks for was brought about, once, and every action has its outcome.
fn all_arrived(seed: u64, disk: &MemoryStorage, world: &World) -> Result<(), String> {
    let mut expected = BTreeSet::new();
    for (run, record) in &disk.runs {
        let record = Record::parse(record).map_err(|error| error.to_string())?;
        let failed = record.end().0 != Verdict::Ok;
        let script = Script::of(seed, run.tick);
        let said = if failed { script.verbs.iter().position(|verb| *verb == Verb::Fail).unwrap_or(0) } else { script.verbs.len() };
        let mut queued = Vec::new();
        for (at, verb) in script.verbs[..said].iter().enumerate() {
            let id = [run.tick as u8, at as u8];
            match verb {
                Verb::Push | Verb::Noop if failed => {}
                Verb::Push => {
                    let index = queued.len() as u16;
                    if world.keys.get(&id) != Some(&ActionKey { run: *run, index }) {
                        return Err(format!("action {index} of {run} never arrived under its key"));
                    }
                    let works = !matches!(fate(seed, id), Fate::Refused | Fate::Dead);
                    expected.extend(works.then_some(id));
                    queued.push(if works { ResultStatus::Ok } else { ResultStatus::Failed });
                }
                Verb::Noop => queued.push(ResultStatus::Ok),
                Verb::Write => drop(expected.insert(id)),
                Verb::Fail => {}
            }
        }
        let settlement = disk.outcomes.get(run).map_or(&[][..], Vec::as_slice);
        let outcomes: Vec<_> = settled(settlement).map(|line| line.status).collect();
        if outcomes != queued {
            return Err(format!("the outcomes of {run} are {outcomes:?} instead of {queued:?}"));
        }
    }
    if disk.runs.len() as u64 != TICKS {
        return Err(format!("there are {} records of {TICKS} ticks", disk.runs.len()));
    }
    let found: BTreeSet<_> = world.effects.keys().copied().collect();
    if found != expected {
        return Err(format!("the effects are {found:?} instead of {expected:?}"));
    }
    match world.effects.iter().find(|(_, times)| **times != 1) {
        Some((id, times)) => Err(format!("the effect {id:?} was seen {times} times")),
        None => Ok(()),
    }
}

/// Runs so many schedules: of each vigy, one per step with one cut, and one per step with two. Gives back what went wrong.
fn schedules(runs: u64, bug: Option<Bug>, most: usize) -> Vec<String> {
    let mut failures = Vec::new();
    let mut left = runs;
    for seed in harness::first_seed().. {
        let mut random = Random(seed);
        let steps = run(seed, &[], bug).unwrap_or_else(|failure| {
            failures.push(failure);
            0
        });
        for cut in 0..steps {
            for cuts in [&[cut][..], &[cut, random.below(steps as usize) as u64]] {
                if left == 0 || failures.len() >= most {
                    return failures;
                }
                failures.extend(run(seed, cuts, bug).err());
                left -= 1;
            }
        }
        if left == 0 || failures.len() >= most {
            return failures;
        }
    }
    failures
}

#[test]
fn every_action_arrives_and_always_under_its_key() {
    let runs = harness::runs(10_000);
    let failures = schedules(runs, None, 5);
    let caught = BUGS.into_iter().filter(|bug| {
        let found = schedules(runs, Some(*bug), 1);
        println!("{bug:?}: {}", found.first().map_or("NOT FOUND", String::as_str));
        !found.is_empty()
    });
    harness::report("delivery", runs, &failures, BUGS.len(), caught.count());
}
