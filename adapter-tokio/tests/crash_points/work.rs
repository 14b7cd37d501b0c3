//! The work that is crashed: a runtime that registers, ticks, acts, tries again, writes, redrives, trims and deletes, all of it by chance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use adapter_tokio::store::engine::Engine;
use adapter_tokio::{HostEffects, RuntimeHandle};
use async_trait::async_trait;
use tokio::task::JoinSet;
use vigy_core::{
    ActionKey, Ask, AskError, Incarnation, Outcome, ReconcileAction, ResultStatus, Selector, TickInterval, Timestamp, Vigy, VigyId,
};
use vigy_lisp::{Arity, Data, HostFn};

use crate::disk::Random;
use crate::engine::{Bug, Commit};

/// What no row may hold.
pub(crate) const SECRET: &str = "a word that nobody writes down";

/// A world of chance: answers of any size, and actions that fail or not, some of them for a while.
struct World {
    random: Mutex<Random>,
    /// How it was planted.
    bug: Option<Bug>,
    /// Actions that are to be tried again, by whose they are: their keys, and how often they were tried.
    again: Mutex<BTreeMap<String, (ActionKey, u16)>>,
    /// What was tried, but by hand.
    tried: Mutex<BTreeSet<ActionKey>>,
    /// How often something else was tried than what was to be tried again.
    strays: AtomicUsize,
    /// Whether somebody redrives, which is one try.
    by_hand: Mutex<bool>,
}

impl World {
    fn new(seed: u64, bug: Option<Bug>) -> Arc<Self> {
        let (random, again, tried, by_hand) = (Mutex::new(Random(seed)), Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { random, bug, again, tried, strays: AtomicUsize::new(0), by_hand })
    }

    /// Looks at the key under which something is tried, and notes whether it will be tried again.
    fn tries(&self, vigy: &Vigy, mut key: ActionKey, outcome: &Outcome, transient: bool) {
        if *self.by_hand.lock().unwrap() {
            return;
        }
        let mut again = self.again.lock().unwrap();
        let before = again.remove(vigy.name.as_str());
        if self.bug == Some(Bug::RetriesAnew) && before.is_some() {
            key.index += 100;
        }
        self.tried.lock().unwrap().insert(key);
        let attempts = match before {
            Some((expected, attempts)) if expected == key => attempts + 1,
            Some(_) => {
                self.strays.fetch_add(1, Ordering::SeqCst);
                1
            }
            None => 1,
        };
        if transient && outcome.status == ResultStatus::Failed && attempts < vigy.policy.act_attempts {
            again.insert(vigy.name.to_string(), (key, attempts));
        }
    }
}

#[async_trait]
impl HostEffects for World {
    fn operations(&self) -> &'static [HostFn] {
        const LOOK: HostFn = HostFn { name: "valve/look", arity: Arity::exactly(0), writes: false, secret: false, doc: "Looks." };
        const TURN: HostFn = HostFn { name: "valve/turn", arity: Arity::exactly(1), writes: true, secret: false, doc: "Turns it." };
        const CODE: HostFn = HostFn { name: "valve/code", arity: Arity::exactly(0), writes: false, secret: true, doc: "What opens it." };
        const TOLD: HostFn = HostFn { secret: false, ..CODE };
        if self.bug == Some(Bug::SecretKept) { &[LOOK, TURN, TOLD] } else { &[LOOK, TURN, CODE] }
    }
    fn check(&self, _: &Vigy, _: &[&str]) -> Result<(), String> {
        Ok(())
    }
    async fn ask(&self, _: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError> {
        let text = if ask.operation == "valve/code" { SECRET.to_owned() } else { text(&mut self.random.lock().unwrap(), 1500) };
        Ok(postcard::to_allocvec(&Data::Str(text)).unwrap())
    }
    async fn act(&self, vigy: &Vigy, action: ReconcileAction<'_>) -> Outcome {
        let (outcome, transient) = match self.random.lock().unwrap().below(5) {
            0 => (Outcome::refused("no such place"), false),
            1 | 2 => (Outcome::failed("not now"), true),
            _ => (Outcome::ok(), false),
        };
        self.tries(vigy, action.key, &outcome, transient);
        outcome
    }
}

fn text(random: &mut Random, most: usize) -> String {
    (0..random.below(most)).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
}

/// The `nth` program: every kind has its turn.
fn program(nth: usize, random: &mut Random) -> String {
    let text = text(random, 600);
    match nth % 6 {
        0 => format!("(vigy-set :big (list {text:?} (vigy-tick-count))) (vigy-condition :Ready :true {text:?}) (vigy-noop)"),
        1 => format!("(vigy-set :n (vigy-incr :m)) (vigy-metric :n 2) (vigy-push {{:text {text:?}}}) (vigy-push 2)"),
        2 => "(def seen (valve/look)) (vigy-set :turned (valve/turn seen)) (vigy-push seen)".to_owned(),
        3 => format!("(vigy-log :warn {text:?}) (car 7)"),
        // What it was told in secret is asked for again when it goes on after a crash.
        4 => "(def code (string-length (valve/code))) (vigy-set :code code) (valve/turn code) (vigy-push code) (vigy-push 2)".to_owned(),
        _ => format!("(vigy-trace :same (range 200)) (vigy-log :info {text:?})"),
    }
}

/// The key of a run's row.
fn run_key(id: VigyId, tick: u64) -> Vec<u8> {
    [&[5][..], &id.0.to_be_bytes(), &[6], &tick.to_be_bytes()].concat()
}

/// Everything is on the thread of the test, whose time is virtual: nobody waits before an action is tried again.
fn builder(seed: u64, world: Arc<World>) -> adapter_tokio::Builder {
    let lives = Mutex::new(Random(seed ^ 1));
    let (began, told) = (tokio::time::Instant::now(), AtomicU64::new(1000));
    let clock = move || Timestamp(told.fetch_add(1, Ordering::SeqCst) + began.elapsed().as_millis() as u64);
    let builder = RuntimeHandle::builder().scheduling(false).workers(0).retain(3, 8000).effects(world).clock(clock);
    builder.incarnations(move || Incarnation(lives.lock().unwrap().next()))
}

/// Works on an engine, and says how often it was told that something is durable which `commits` does not have, or an action was tried
/// under another key than before.
pub(crate) async fn work(engine: Arc<dyn Engine>, seed: u64, steps: usize, commits: &Mutex<Vec<Commit>>, bug: Option<Bug>) -> usize {
    let world = World::new(seed ^ 2, bug);
    let runtime = builder(seed, world.clone()).over(engine).await.unwrap();
    let mut random = Random(seed);
    let (mut lost, mut declared) = (0, 0);
    for _ in 0..steps {
        let name = format!("vigy-{}", random.below(5));
        let interval = TickInterval::from_millis(1000).unwrap();
        let known = runtime.resolve(&name).await.ok();
        match (known, random.below(14)) {
            (None, _) | (_, 0) => {
                let vigy = Vigy::new(&name, program(declared, &mut random), interval).unwrap();
                declared += 1;
                runtime.register_or_update(vigy).await.unwrap();
            }
            (Some(id), 1) => runtime.delete(id).await.unwrap(),
            (Some(id), 2) => _ = runtime.disable(id).await.unwrap(),
            (Some(id), 3) => _ = runtime.enable(id).await.unwrap(),
            (Some(id), 4 | 5) => redrive(&runtime, &world, id, &mut random).await,
            (Some(_), _) => lost += tick_some(&runtime, &mut random, commits).await,
        }
    }
    runtime.shutdown(std::time::Duration::from_secs(5)).await;
    lost + world.strays.load(Ordering::SeqCst)
}

/// Somebody looks after the first dead letter, if there is one.
async fn redrive(runtime: &RuntimeHandle, world: &World, id: VigyId, random: &mut Random) {
    let Some((_, letter)) = runtime.dead_letters(Some(id)).await.unwrap().into_iter().next() else { return };
    *world.by_hand.lock().unwrap() = true;
    if random.below(4) > 0 {
        // It may fail again, and stay.
        let outcome = runtime.redrive(id, letter.key).await.unwrap();
        let left = runtime.dead_letters(Some(id)).await.unwrap();
        assert_eq!(outcome.status != ResultStatus::Ok, left.iter().any(|(_, left)| left.key == letter.key));
    } else {
        runtime.discard(id, letter.key).await.unwrap();
    }
    *world.by_hand.lock().unwrap() = false;
}

/// Ticks some vigies at once, so that their jobs meet in a commit.
async fn tick_some(runtime: &RuntimeHandle, random: &mut Random, commits: &Mutex<Vec<Commit>>) -> usize {
    let mut ticks = JoinSet::new();
    for registered in runtime.list(&Selector::default()).await.unwrap() {
        if registered.vigy.enabled && random.coin() {
            let runtime = runtime.clone();
            ticks.spawn(async move { runtime.tick_now(registered.id).await.unwrap() });
        }
    }
    let mut lost = 0;
    while let Some(run) = ticks.join_next().await {
        let run = run.unwrap();
        let commits = commits.lock().unwrap();
        lost += usize::from(!commits.last().unwrap().rows.contains_key(&run_key(run.vigy, run.key.tick)));
    }
    lost
}

/// Whether a recovered store can be worked on: every vigy ticks, nothing that was settled is done again, what failed for good can be
/// redriven until nothing is left of it, and the store is whole afterwards.
pub(crate) async fn goes_on(engine: Arc<dyn Engine>, seed: u64) -> Result<(), String> {
    let world = World::new(seed, None);
    let runtime = builder(seed, world.clone()).over(engine.clone()).await.map_err(|error| error.to_string())?;
    for registered in runtime.list(&Selector::default()).await.map_err(|error| error.to_string())? {
        let (id, name) = (registered.id, registered.vigy.name);
        let wrong = |error: adapter_tokio::VigyError| format!("{name}: {error}");
        let before = runtime.recent_runs(id, usize::MAX).await.map_err(wrong)?;
        runtime.force_tick(id).await.map_err(wrong)?;
        let settled = |key: &&ActionKey| before.iter().any(|run| run.ended_at.is_some() && run.key == key.run);
        if let Some(key) = world.tried.lock().unwrap().iter().find(settled) {
            return Err(format!("{name}: {key} was settled, and is tried again"));
        }
        *world.by_hand.lock().unwrap() = true;
        // Each try goes well with some chance.
        for (_, letter) in runtime.dead_letters(Some(id)).await.map_err(wrong)? {
            while runtime.redrive(id, letter.key).await.map_err(wrong)?.status != ResultStatus::Ok {}
        }
        *world.by_hand.lock().unwrap() = false;
        if !runtime.dead_letters(Some(id)).await.map_err(wrong)?.is_empty() {
            return Err(format!("{name}: a dead letter that was redriven is still there"));
        }
    }
    if world.strays.load(Ordering::SeqCst) > 0 {
        return Err("an action was tried again under another key".to_owned());
    }
    runtime.shutdown(std::time::Duration::from_secs(5)).await;
    let findings = adapter_tokio::store::Store::over(engine).map_err(|error| error.to_string())?.check().await;
    match findings.map_err(|error| error.to_string())? {
        findings if findings.is_empty() => Ok(()),
        findings => Err(findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
}
