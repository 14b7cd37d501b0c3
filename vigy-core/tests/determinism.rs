//! A run is a function of what it was told: generated programs, in a world that answers at random, is late, refuses, crashes and sets its
//! clock back. Whoever does all of it twice gets the same bytes, and every record replays without a difference.
//!
//! 1,000 vigies share the ticks: `VIGY_RUNS=1000000` gives each 1,000 of them instead of 40. `VIGY_SEED=N` begins with another vigy.
#![cfg(all(feature = "sim", feature = "compiler"))]

mod harness;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::record::{Level, Record};
use vigy_core::replay::{Inputs, replay};
use vigy_core::sim::{CrashStorage, ManualClock, MemoryStorage, Random};
use vigy_core::{
    Ask, AskError, Checkpoint, Door, Effects, Evaluator, Failure, Host, Incarnation, Limits, Outcome, ReconcileAction, SecretKey, Spec,
    Step, TickBuffers, TickInterval, Timestamp, VerbError, Verdict,
};
use vigy_lisp::{Arity, Data, HostFn, Image};

/// Vigies that share the ticks.
const VIGIES: u64 = 1_000;

const LIMITS: Limits = Limits {
    fuel: 20_000,
    heap_bytes: 64 << 10,
    depth: 64,
    stack_bytes: 8 << 10,
    output_bytes: 200,
    actions: 8,
    log_lines: 24,
    kv_keys: 16,
    record_bytes: 8192,
    value_bytes: 16 << 10,
};

const fn operation(name: &'static str, writes: bool, secret: bool) -> HostFn {
    HostFn { name, arity: Arity::between(0, 1), writes, secret, doc: "" }
}

const OPERATIONS: [HostFn; 5] = [
    operation("world/look", false, false),
    operation("world/list", false, false),
    operation("world/turn", true, false),
    operation("world/secret", false, true),
    operation("world/mint", true, true),
];

// ---- programs ------------------------------------------------------------------------------------------------------------------

/// A program of some statements.
fn program(seed: u64) -> String {
    let mut random = Random(seed);
    let mut text = String::from("(def n (vigy-incr \"n\"))\n");
    for _ in 0..2 + random.below(6) {
        statement(&mut random, &mut text, 2);
        text.push('\n');
    }
    text
}

fn statement(random: &mut Random, text: &mut String, depth: usize) {
    let key = random.below(4);
    let (mut value, number) = (String::new(), random.below(5000));
    expression(random, &mut value, 2);
    let done = match random.below(if depth == 0 { 14 } else { 19 }) {
        0 | 1 => write!(text, "(vigy-set \"k{key}\" {value})"),
        2 => write!(text, "(vigy-del \"k{key}\")"),
        3 => write!(text, "(vigy-log :info (str \"k{key} \" {value}))"),
        4 => write!(text, "(vigy-push {value})"),
        5 => write!(text, "(emit-event \"e{key}\" {value})"),
        6 => write!(text, "(vigy-condition \"C{key}\" (= n {value}))"),
        7 => write!(text, "(vigy-metric \"m{key}\" (count (str {value})))"),
        8 => write!(text, "(vigy-trace \"t{key}\" {value})"),
        9 => write!(text, "(display {value})"),
        10 => write!(text, "(vigy-observed \"o{key}\" {value})"),
        11 => write!(text, "(vigy-next-in {})", 100 + random.below(5000)),
        12 => write!(text, "(vigy-trace \"last\" (vigy-last-outcomes))"),
        13 => write!(text, "(if (= 0 (mod n {})) (throw {value}))", 5 + random.below(20)),
        14 => nested(random, text, depth, &format!("(if (vigy-rate-limited? \"k{key}\" {}) nil ", 500 + number), ")"),
        15 => nested(random, text, depth, "(for [x (world/list)] ", ")"),
        16 => nested(random, text, depth, "(try ", " (catch (e) (vigy-log :warn (str \"caught \" (error-tag e)))))"),
        17 => nested(random, text, depth, &format!("(if (= {value} (vigy-get \"k{key}\")) "), " (vigy-noop))"),
        _ => nested(random, text, depth, &format!("(if (< {} (mod n 10)) ", number % 8), ")"),
    };
    done.expect("a string takes everything");
}

fn nested(random: &mut Random, text: &mut String, depth: usize, before: &str, behind: &str) -> std::fmt::Result {
    text.push_str(before);
    statement(random, text, depth - 1);
    text.push_str(behind);
    Ok(())
}

fn expression(random: &mut Random, text: &mut String, depth: usize) {
    let key = random.below(4);
    let mut inner = String::new();
    if depth > 0 {
        expression(random, &mut inner, depth - 1);
    }
    let done = match random.below(if depth == 0 { 8 } else { 16 }) {
        0 => write!(text, "{}", random.below(100)),
        1 => write!(text, "n"),
        2 => write!(text, "\"text {key}\""),
        3 | 4 => write!(text, "(vigy-get \"k{key}\")"),
        5 => write!(text, "(vigy-tick)"),
        6 => write!(text, "(vigy-since-last-tick)"),
        7 => write!(text, "(list n :k{key} 1.5)"),
        8 | 9 => write!(text, "(world/look {inner})"),
        10 => write!(text, "(world/turn {inner})"),
        11 => write!(text, "(count (str (world/secret)))"),
        12 if key == 0 => write!(text, "(count (str (world/mint)))"),
        13 => write!(text, "(str {inner} {inner})"),
        14 => write!(text, "(vigy-once \"{key}\")"),
        _ => write!(text, "(list {inner} n)"),
    };
    done.expect("a string takes everything");
}

// ---- the world -----------------------------------------------------------------------------------------------------------------

const KEY: SecretKey = SecretKey([7; 32]);

/// The secret changes now and then.
fn secret(ask: &Ask<'_>) -> Data {
    Data::Str(format!("secret {}", ask.run.tick / 10))
}

/// Answers at random, and now and then not at all.
#[derive(Clone)]
struct World {
    random: Random,
}

impl World {
    fn data(&mut self, depth: usize) -> Data {
        match self.random.below(if depth == 0 { 5 } else { 7 }) {
            0 => Data::Nil,
            1 => Data::Int(self.random.below(10) as i64),
            2 => Data::Float(self.random.below(100) as f64 / 8.0),
            3 => Data::Str("x".repeat(self.random.below(400))),
            4 => Data::Keyword("word".to_owned()),
            5 => Data::List((0..self.random.below(4)).map(|_| self.data(depth - 1)).collect()),
            _ => Data::Map((0..self.random.below(4)).map(|n| (Data::Keyword(format!("k{n}")), self.data(depth - 1))).collect()),
        }
    }
}

impl Effects for World {
    fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        if self.random.once_in(20) {
            return Err(AskError::new("timeout", format_args!("the world is slow today")));
        }
        let answer = match ask.operation {
            "world/secret" | "world/mint" => secret(ask),
            "world/list" => Data::List((0..self.random.below(4)).map(|_| self.data(1)).collect()),
            _ => self.data(2),
        };
        let bytes = postcard::to_allocvec(&answer).expect("data has bytes");
        let too_large = || AskError::new("too-large", format_args!("{} bytes", bytes.len()));
        into.get_mut(..bytes.len()).ok_or_else(too_large)?.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn act(&mut self, _: &ReconcileAction<'_>) -> Outcome {
        match self.random.below(8) {
            0 => Outcome::failed("not now"),
            1 => Outcome::refused("never"),
            _ => Outcome::ok(),
        }
    }

    fn secret_key(&self) -> Option<SecretKey> {
        Some(KEY)
    }
}

/// What records have by their hashes only.
struct Archive<'a>(&'a MemoryStorage);

impl Inputs for Archive<'_> {
    fn value(&mut self, hash: &[u8; 32], into: &mut [u8]) -> Option<usize> {
        let value = self.0.values.get(hash)?;
        into.get_mut(..value.len())?.copy_from_slice(value);
        Some(value.len())
    }

    fn secret_key(&self) -> Option<SecretKey> {
        Some(KEY)
    }

    fn secret(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Option<usize> {
        let answer = postcard::to_slice(&secret(ask), into).ok()?;
        Some(answer.len())
    }
}

// ---- runs ----------------------------------------------------------------------------------------------------------------------

/// What an evaluator does wrong: it is told something that is not in the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    ReadsAClock,
    DependsOnTheOrderOfAHash,
    ReadsAKeyFromItsCache,
    DrawsARandomNumber,
}

const BUGS: [Bug; 4] = [Bug::ReadsAClock, Bug::DependsOnTheOrderOfAHash, Bug::ReadsAKeyFromItsCache, Bug::DrawsARandomNumber];

/// An evaluator that may have a bug.
struct Planted<E> {
    inner: E,
    bug: Option<Bug>,
    /// What the cache has of a key, across ticks.
    cache: Rc<RefCell<HashMap<String, bool>>>,
}

impl<E: Evaluator> Evaluator for Planted<E> {
    fn step(&mut self, door: &mut Door<'_>, slice: u64) -> Step {
        let says = match self.bug {
            None => None,
            Some(Bug::ReadsAClock) => Some(format!("{:?}", Instant::now())),
            Some(Bug::DependsOnTheOrderOfAHash) => Some(format!("{:?}", (0..8).collect::<HashSet<_>>())),
            Some(Bug::DrawsARandomNumber) => Some(RandomState::new().hash_one(0).to_string()),
            Some(Bug::ReadsAKeyFromItsCache) => {
                let known = self.cache.borrow().get("k0").copied();
                let has = match (known, door.get("k0")) {
                    (Some(has), _) => has,
                    (None, Ok(Poll::Ready(value))) => value.is_some(),
                    (None, _) => return Step::Waiting,
                };
                self.cache.borrow_mut().insert("k0".to_owned(), has);
                Some(format!("k0 has a value: {has}"))
            }
        };
        if let Some(says) = says {
            self.bug = None;
            if let Err(VerbError::Exhausted(resource)) = door.log(Level::Debug, &says) {
                return Step::Failed(Failure::Exhausted(resource));
            }
        }
        self.inner.step(door, slice)
    }

    fn fuel_used(&self) -> u64 {
        self.inner.fuel_used()
    }
}

/// What came of a vigy's ticks.
#[derive(Default, PartialEq, Eq, Debug)]
struct Log {
    /// BLAKE3 of all records, in their order.
    hash: [u8; 32],
    ran_well: u64,
    replayed: u64,
}

/// Memory that is used again and again.
#[derive(Default)]
struct Space {
    buffers: TickBuffers,
    words: Vec<u64>,
}

struct Trial<'p> {
    image: &'p Image,
    imports: Imports,
    bug: Option<Bug>,
    cache: Rc<RefCell<HashMap<String, bool>>>,
}

impl Trial<'_> {
    fn evaluated<T>(&self, words: &mut Vec<u64>, run: impl FnOnce(&mut Planted<Lisp<'_>>) -> T) -> T {
        let program = self.image.program();
        words.resize(lisp::words_needed(program, &LIMITS), 0);
        let inner = Lisp::new(program, &self.imports, &LIMITS, words).expect("as many words as needed");
        run(&mut Planted { inner, bug: self.bug, cache: self.cache.clone() })
    }
}

/// Ticks a vigy, with crashes and jumps of the clock, and replays every record if told so.
fn live(seed: u64, ticks: u64, bug: Option<Bug>, replays: bool, space: &mut Space) -> Result<Log, String> {
    let text = program(seed);
    let image = lisp::compile(&text, &OPERATIONS).map_err(|error| format!("vigy {seed}: {error}\n{text}"))?;
    let imports = Imports::of(image.program()).expect("few imports");
    let trial = Trial { image: &image, imports, bug, cache: Rc::default() };
    let spec = Spec::every(TickInterval::default(), image.hash(), LIMITS);
    let fresh = Checkpoint::new(Incarnation(seed), Timestamp(1_000_000));
    let mut random = Random(seed ^ 0x5eed);
    let mut checkpoint = fresh;
    let mut host = Host {
        clock: ManualClock(Timestamp(1_000_000)),
        storage: CrashStorage { writes_left: u32::MAX, ..CrashStorage::default() },
        effects: World { random: Random(seed) },
    };
    let (mut hash, mut log) = (blake3::Hasher::new(), Log::default());
    while checkpoint.ticks < ticks {
        if random.once_in(10) {
            let storage = &mut host.storage;
            (storage.writes_left, storage.last_write_lands) = (random.below(4) as u32, random.once_in(2));
        }
        let Space { buffers, words } = space;
        let ticked = trial.evaluated(words, |evaluator| host.tick(&spec, &mut checkpoint, buffers.memory(), evaluator));
        if ticked.is_err() {
            host.storage.writes_left = u32::MAX;
            checkpoint = host.storage.disk.checkpoint.unwrap_or(fresh);
        }
        for (run, record) in &host.storage.disk.runs {
            hash.update(record);
            let parsed = Record::parse(record).map_err(|error| error.to_string())?;
            log.ran_well += u64::from(parsed.end().0 == Verdict::Ok);
            if replays {
                let mut archive = Archive(&host.storage.disk);
                let replayed = trial.evaluated(words, |evaluator| replay(record, &mut archive, buffers.memory(), evaluator));
                replayed.map_err(|error| format!("vigy {seed}, {run}: {error}\n{text}"))?;
                log.replayed += 1;
            }
        }
        // What is unfinished is needed again.
        if checkpoint.unfinished == vigy_core::Unfinished::Nothing {
            host.storage.disk.runs.clear();
            host.storage.disk.values.clear();
        }
        let step = if random.once_in(30) { 3_600_000 } else { 1000 };
        let back = random.once_in(30);
        let now = host.clock.0.0;
        host.clock.0 = Timestamp(if back { now.saturating_sub(10_000) } else { now + step });
    }
    log.hash = *hash.finalize().as_bytes();
    Ok(log)
}

/// Does everything twice. Says what is different, or how many runs ended well.
fn twice(seed: u64, ticks: u64, bug: Option<Bug>, space: &mut Space) -> Result<u64, String> {
    let first = live(seed, ticks, bug, true, space)?;
    let second = live(seed, ticks, bug, false, space)?;
    if first.hash != second.hash {
        return Err(format!("vigy {seed}: two runs of the same are not the same bytes\n{}", program(seed)));
    }
    Ok(first.ran_well)
}

#[test]
fn the_same_inputs_give_the_same_bytes_and_every_record_replays() {
    let (first, runs) = (harness::first_seed(), harness::runs(40 * VIGIES));
    let ticks = runs.div_ceil(VIGIES);
    let (next, well) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        let (mut space, mut failures) = (Space { buffers: TickBuffers::for_limits(&LIMITS), words: Vec::new() }, Vec::new());
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= VIGIES || failures.len() > 2 {
                return failures;
            }
            match twice(first + index, ticks, None, &mut space) {
                Ok(ran_well) => drop(well.fetch_add(ran_well, Ordering::Relaxed)),
                Err(failure) => failures.push(failure),
            }
        }
    };
    let failures: Vec<_> = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let working: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        working.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut space = Space { buffers: TickBuffers::for_limits(&LIMITS), words: Vec::new() };
    let caught = BUGS.into_iter().filter(|bug| {
        let found = (first..first + 20).find_map(|seed| twice(seed, 20, Some(*bug), &mut space).err());
        println!("{bug:?}: {}", found.as_deref().unwrap_or("NOT FOUND").lines().next().unwrap_or_default());
        found.is_some()
    });
    let caught = caught.count();
    println!("{} of {} ticks ended well", well.load(Ordering::Relaxed), ticks * VIGIES);
    harness::report("replay", ticks * VIGIES, &failures, BUGS.len(), caught);
    assert!(well.into_inner() * 2 > ticks * VIGIES, "half of the ticks do something");
}
