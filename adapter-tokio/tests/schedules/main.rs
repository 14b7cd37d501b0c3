//! What threads and tasks share, under schedules chosen at random: no schedule may lose what was acknowledged, an event or a wake-up, let
//! two ticks of a vigy overlap, keep room that nobody uses, or leave anybody waiting for good.
//!
//! These are the crate's own sources, but for [`sync`] and [`worker`]. `VIGY_SEED` is the seed (1), `VIGY_RUNS` how many schedules are
//! tried (10,000). Of an argument, only what has it in its name is tried.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs, reason = "what the sources have for others is not used here")]

#[path = "../../src/agenda.rs"]
mod agenda;
#[path = "../../src/builder.rs"]
mod builder;
#[path = "../../src/calendar.rs"]
mod calendar;
#[path = "../../src/effects.rs"]
mod effects;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/evaluators.rs"]
mod evaluators;
#[path = "../../src/events.rs"]
mod events;
#[path = "../../src/extension.rs"]
mod extension;
#[path = "../../src/keeper.rs"]
mod keeper;
#[path = "../../src/observer.rs"]
mod observer;
mod pieces;
#[path = "../../src/programs.rs"]
mod programs;
#[path = "../../src/reconciler.rs"]
mod reconciler;
#[path = "../../src/replay.rs"]
mod replay;
#[path = "../../src/runtime.rs"]
mod runtime;
mod runtimes;
#[path = "../../src/space.rs"]
mod space;
#[path = "../../src/store/mod.rs"]
pub mod store;
mod sync;
#[path = "../../src/tick.rs"]
mod tick;
#[path = "../../src/view.rs"]
mod view;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use builder::Builder;
pub use calendar::{Calendar, InvalidCalendar};
pub use effects::{HostEffects, LogEffects};
pub use error::{OpenError, RegisterError, StoreError, VigyError};
pub use evaluators::{Evaluation, Evaluators, Loaded, Native};
pub use events::{Event, Events};
pub use extension::{Executor, HostExtension};
pub use observer::{Census, Observer, Ticked};
pub use reconciler::{Chain, Reconciler, Refused, Turn};
pub use runtime::RuntimeHandle;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner};
use sync::Bug;
pub use view::{Condition, LogLine, Registered, Revision, Run, RunAction, RunEvent, RunWrite, State};

type Scenario = fn();

const SCENARIOS: [(&str, Scenario); 11] = [
    ("the pool of memories", pieces::memories_come_back),
    ("the programs kept", pieces::programs_are_shared),
    ("what the agenda is told", pieces::the_newest_holds),
    ("the store's writer", pieces::what_is_acknowledged_is_there),
    ("the store's writer when a read fails", pieces::events_are_told_when_they_are_there),
    ("the number of the last event", pieces::the_last_event_is_seen),
    ("followers of events", runtimes::every_event_is_told),
    ("the keeper's alarm", runtimes::what_is_due_ticks),
    ("the switch of a vigy", runtimes::the_switch_is_heard),
    ("the lives of a vigy", runtimes::lives_do_not_mix),
    ("the end of a runtime", runtimes::everybody_shuts_down),
];

/// Each with what has to catch it.
const PLANTED: [(&str, Bug, Scenario); 6] = [
    ("a wake-up that comes before the wait is lost", Bug::WakeLost, runtimes::what_is_due_ticks),
    ("a landing that comes before the wait is lost", Bug::WakeLost, runtimes::everybody_shuts_down),
    ("a tick that panics takes its memory along", Bug::None, pieces::planted::memories_are_forgotten),
    ("a turn gets its version when it is told", Bug::None, pieces::planted::the_last_told_holds),
    ("a commit is there after it was acknowledged", Bug::None, pieces::planted::commits_are_late),
    ("a follower looks away while it reads", Bug::None, pieces::planted::a_follower_looks_away),
];

/// Schedules that a planted bug has to show in.
const PLANTED_SCHEDULES: u64 = 2000;

/// What panics said, since somebody looked.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How many schedules were begun.
static SCHEDULES: AtomicU64 = AtomicU64::new(0);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What went wrong in the first of so many schedules in which anything did.
fn explore(seed: u64, schedules: u64, bug: Bug, scenario: Scenario) -> Option<String> {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    let run = move || {
        SCHEDULES.fetch_add(1, Ordering::Relaxed);
        sync::begin();
        scenario();
    };
    // A thread of its own: where a schedule has failed, a panic is under way for good.
    let explored = std::thread::spawn(move || {
        sync::plant(bug);
        // A runtime wants to know where it was opened. Nothing runs there.
        let application = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let _entered = application.enter();
        // Half of them with few changes of who goes on, which finds what is rare otherwise.
        let (any, few) = (schedules.div_ceil(2) as usize, (schedules / 2) as usize);
        Runner::new(RandomScheduler::new_from_seed(seed, any), config.clone()).run(run);
        if few > 0 {
            Runner::new(PctScheduler::new_from_seed(seed, 3, few), config).run(run);
        }
    });
    let failed = explored.join().is_err();
    let said = std::mem::take(&mut *SAID.lock().unwrap_or_else(PoisonError::into_inner));
    failed.then(|| said.into_iter().next().unwrap_or_else(|| "it panicked".to_owned()))
}

fn main() {
    std::panic::set_hook(Box::new(|panic| SAID.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string())));
    let (seed, runs) = (setting("VIGY_SEED", 1), setting("VIGY_RUNS", 10_000));
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let mut failures = Vec::new();
    for (name, scenario) in SCENARIOS.iter().filter(|(name, _)| name.contains(&only)) {
        failures.extend(explore(seed, runs.div_ceil(SCENARIOS.len() as u64), Bug::None, *scenario).map(|what| format!("{name}: {what}")));
    }
    let runs = SCHEDULES.load(Ordering::Relaxed);
    let planted: Vec<_> = PLANTED.iter().filter(|(what, ..)| what.contains(&only)).collect();
    let missed: Vec<_> = planted.iter().filter(|(_, bug, scenario)| explore(seed, PLANTED_SCHEDULES, *bug, *scenario).is_none()).collect();
    let (failed, planted, caught) = (failures.len(), planted.len(), planted.len() - missed.len());
    println!(r#"{{"name":"schedules","seed":{seed},"runs":{runs},"failures":{failed},"planted":{planted},"caught":{caught}}}"#);
    failures.iter().for_each(|what| eprintln!("{what}"));
    missed.iter().for_each(|(what, ..)| eprintln!("not caught: {what}"));
    if failed > 0 || caught < planted {
        std::process::exit(1);
    }
}
