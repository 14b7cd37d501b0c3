//! The work that is crashed: a runtime that registers, ticks, acts, writes, trims and deletes, all of it by chance.

use std::sync::{Arc, Mutex};

use adapter_tokio::store::engine::Engine;
use adapter_tokio::{HostEffects, RuntimeHandle};
use async_trait::async_trait;
use tokio::task::JoinSet;
use vigy_core::{Ask, AskError, Incarnation, Outcome, ReconcileAction, Selector, TickInterval, Timestamp, Vigy, VigyId};
use vigy_lisp::{Arity, Data, HostFn};

use crate::disk::Random;
use crate::engine::Commit;

/// A world of chance: answers of any size, and actions that fail or not.
struct World(Mutex<Random>);

#[async_trait]
impl HostEffects for World {
    fn operations(&self) -> &'static [HostFn] {
        const OPERATIONS: [HostFn; 2] = [
            HostFn { name: "valve/look", arity: Arity::exactly(0), writes: false, secret: false, doc: "Looks." },
            HostFn { name: "valve/turn", arity: Arity::exactly(1), writes: true, secret: false, doc: "Turns it." },
        ];
        &OPERATIONS
    }
    fn check(&self, _: &Vigy, _: &[&str]) -> Result<(), String> {
        Ok(())
    }
    async fn ask(&self, _: &Vigy, _: Ask<'_>) -> Result<Vec<u8>, AskError> {
        let text = text(&mut self.0.lock().unwrap(), 1500);
        Ok(postcard::to_allocvec(&Data::Str(text)).unwrap())
    }
    async fn act(&self, _: &Vigy, _: ReconcileAction<'_>) -> Outcome {
        if self.0.lock().unwrap().coin() { Outcome::ok() } else { Outcome::refused("no such place") }
    }
}

fn text(random: &mut Random, most: usize) -> String {
    (0..random.below(most)).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
}

/// The `nth` program: every kind has its turn.
fn program(nth: usize, random: &mut Random) -> String {
    let text = text(random, 600);
    match nth % 5 {
        0 => format!("(vigy-set :big (list {text:?} (vigy-tick-count))) (vigy-condition :Ready :true {text:?}) (vigy-noop)"),
        1 => format!("(vigy-set :n (vigy-incr :m)) (vigy-metric :n 2) (vigy-push {{:text {text:?}}}) (vigy-push 2)"),
        2 => "(def seen (valve/look)) (vigy-set :turned (valve/turn seen)) (vigy-push seen)".to_owned(),
        3 => format!("(vigy-log :warn {text:?}) (car 7)"),
        _ => format!("(vigy-trace :same (range 200)) (vigy-log :info {text:?})"),
    }
}

/// The key of a run's row.
fn run_key(id: VigyId, tick: u64) -> Vec<u8> {
    [&[5][..], &id.0.to_be_bytes(), &[6], &tick.to_be_bytes()].concat()
}

fn builder(seed: u64) -> adapter_tokio::Builder {
    let lives = Mutex::new(Random(seed ^ 1));
    let time = Mutex::new(0);
    let clock = move || {
        let mut time = time.lock().unwrap();
        *time += 7;
        Timestamp(*time)
    };
    let effects = Arc::new(World(Mutex::new(Random(seed ^ 2))));
    let builder = RuntimeHandle::builder().scheduling(false).retain(3, 8000).effects(effects).clock(clock);
    builder.incarnations(move || Incarnation(lives.lock().unwrap().next()))
}

/// Works on an engine, and says how often it was told that something is durable which `commits` does not have.
pub(crate) async fn work(engine: Arc<dyn Engine>, seed: u64, steps: usize, commits: &Mutex<Vec<Commit>>) -> usize {
    let runtime = builder(seed).over(engine).await.unwrap();
    let mut random = Random(seed);
    let (mut lost, mut declared) = (0, 0);
    for _ in 0..steps {
        let name = format!("vigy-{}", random.below(5));
        let interval = TickInterval::from_millis(1000).unwrap();
        let known = runtime.resolve(&name).await.ok();
        match (known, random.below(12)) {
            (None, _) | (_, 0) => {
                let vigy = Vigy::new(&name, program(declared, &mut random), interval).unwrap();
                declared += 1;
                runtime.register_or_update(vigy).await.unwrap();
            }
            (Some(id), 1) => runtime.delete(id).await.unwrap(),
            (Some(id), 2) => _ = runtime.disable(id).await.unwrap(),
            (Some(id), 3) => _ = runtime.enable(id).await.unwrap(),
            (Some(_), _) => lost += tick_some(&runtime, &mut random, commits).await,
        }
    }
    runtime.shutdown(std::time::Duration::from_secs(5)).await;
    lost
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

/// Whether a recovered store can be worked on: every vigy ticks, and the store is whole afterwards.
pub(crate) async fn goes_on(engine: Arc<dyn Engine>, seed: u64) -> Result<(), String> {
    let runtime = builder(seed).over(engine.clone()).await.map_err(|error| error.to_string())?;
    for registered in runtime.list(&Selector::default()).await.map_err(|error| error.to_string())? {
        runtime.force_tick(registered.id).await.map_err(|error| format!("{}: {error}", registered.vigy.name))?;
    }
    runtime.shutdown(std::time::Duration::from_secs(5)).await;
    let findings = adapter_tokio::store::Store::over(engine).map_err(|error| error.to_string())?.check().await;
    match findings.map_err(|error| error.to_string())? {
        findings if findings.is_empty() => Ok(()),
        findings => Err(findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
}
