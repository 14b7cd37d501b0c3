//! Whole runtimes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shuttle::future::{block_on, spawn, yield_now};
use vigy_core::{Ask, AskError, Cadence, Incarnation, Limits, Outcome, ReconcileAction, ResultStatus, TickInterval, Vigy, VigyId};
use vigy_lisp::HostFn;

use crate::store::Happened;
use crate::sync::{advance, now};
use crate::{Event, Events, HostEffects, Registered, RuntimeHandle, VigyError};

const EVERY_MS: u64 = 100;
const DEADLINE: Duration = Duration::from_secs(1);

/// Effects that take a while, one at a time in a life of a vigy.
#[derive(Default)]
struct Alone(Arc<Mutex<HashSet<(VigyId, Incarnation)>>>);

struct Acting<'a>(&'a Alone, (VigyId, Incarnation));

impl Drop for Acting<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().remove(&self.1);
    }
}

#[async_trait]
impl HostEffects for Alone {
    fn operations(&self) -> &[HostFn] {
        &[]
    }

    fn is_immediate(&self) -> bool {
        true
    }

    fn check(&self, _: &Vigy, _: &[&str]) -> Result<(), String> {
        Ok(())
    }

    async fn ask(&self, _: &Vigy, _: Ask<'_>) -> Result<Vec<u8>, AskError> {
        Err(AskError::new("denied", format_args!("nothing is offered")))
    }

    async fn act(&self, vigy: &Vigy, action: ReconcileAction<'_>) -> Outcome {
        let who = (crate::store::id_of(vigy.name.as_str()), action.key.run.incarnation);
        assert!(self.0.lock().unwrap().insert(who), "two ticks of a vigy overlap");
        let _acting = Acting(self, who);
        yield_now().await;
        Outcome::ok()
    }
}

async fn runtime(scheduling: bool) -> RuntimeHandle {
    let lives = AtomicU64::new(1);
    let builder = RuntimeHandle::builder().clock(now).incarnations(move || Incarnation(lives.fetch_add(1, Ordering::SeqCst)));
    builder.ticks_at_once(1).scheduling(scheduling).effects(Arc::new(Alone::default())).in_memory().await.expect("a runtime")
}

async fn register(runtime: &RuntimeHandle, name: &str) -> Registered {
    let every = TickInterval::from_millis(EVERY_MS).expect("an interval");
    let vigy = Vigy::new(name, "(vigy-apply :k)", Cadence { jitter_ms: 0, ..Cadence::every(every) }).expect("a vigy");
    let limits = Limits { heap_bytes: 1 << 16, record_bytes: 1 << 12, value_bytes: 1 << 12, actions: 1, ..vigy.limits };
    runtime.register_or_update(Vigy { limits, ..vigy }).await.expect("it is registered")
}

/// Waits for the next run, while a little time passes.
async fn next_run(events: &mut Events) {
    let over = Arc::new(AtomicBool::new(false));
    let ran = over.clone();
    // Less in all than what wakes the keeper in any case.
    let time = spawn(async move {
        for _ in 0..100 {
            if ran.load(Ordering::SeqCst) {
                break;
            }
            advance(EVERY_MS / 5);
            yield_now().await;
        }
    });
    loop {
        match events.next().await.expect("a read") {
            Some(Event::Happened { event, .. }) if matches!(event.what, Happened::Ran { .. }) => break,
            Some(_) => {}
            None => panic!("the store is closed"),
        }
    }
    over.store(true, Ordering::SeqCst);
    time.await.expect("no panic");
}

pub(crate) fn every_event_is_told() {
    block_on(async {
        let runtime = runtime(false).await;
        let mut events = runtime.events(Some(0));
        let follower = spawn(async move {
            let mut seen = Vec::new();
            while let Some(event) = events.next().await.expect("a read") {
                match event {
                    Event::Happened { seq, .. } => seen.push(seq),
                    Event::Missed { .. } | Event::Reset => panic!("nothing was given up"),
                }
            }
            seen
        });
        let tasks = ["a", "b"].map(|name| {
            let runtime = runtime.clone();
            spawn(async move {
                let vigy = register(&runtime, name).await;
                assert_eq!(runtime.tick_now(vigy.id).await.expect("it ticks").result, ResultStatus::Ok);
            })
        });
        for task in tasks {
            task.await.expect("no panic");
        }
        assert!(runtime.shutdown(DEADLINE).await.is_empty());
        assert_eq!(follower.await.expect("no panic"), [1, 2, 3, 4], "every event, in order");
    });
}

pub(crate) fn what_is_due_ticks() {
    block_on(async {
        let runtime = runtime(true).await;
        let mut events = runtime.events(None);
        let registers = runtime.clone();
        let registered = spawn(async move { register(&registers, "a").await });
        yield_now().await;
        registered.await.expect("no panic");
        for _ in 0..2 {
            next_run(&mut events).await;
        }
        assert!(runtime.shutdown(DEADLINE).await.is_empty());
    });
}

pub(crate) fn the_switch_is_heard() {
    block_on(async {
        let runtime = runtime(true).await;
        let vigy = register(&runtime, "a").await;
        let tasks = [true, false, true].map(|on| {
            let runtime = runtime.clone();
            spawn(async move { if on { runtime.enable(vigy.id).await } else { runtime.disable(vigy.id).await } })
        });
        for task in tasks {
            task.await.expect("no panic").expect("it is there");
        }
        let mut events = runtime.events(None);
        if runtime.get(vigy.id).await.expect("it is there").vigy.enabled {
            next_run(&mut events).await;
        }
        assert!(runtime.shutdown(DEADLINE).await.is_empty());
    });
}

pub(crate) fn lives_do_not_mix() {
    block_on(async {
        let runtime = runtime(true).await;
        let (a, b) = (register(&runtime, "a").await, register(&runtime, "b").await);
        let (asks, lives, other) = (runtime.clone(), runtime.clone(), runtime.clone());
        let tasks = [
            spawn(async move {
                // Of whichever life, or of none.
                match asks.tick_now(a.id).await {
                    Ok(_) | Err(VigyError::NotFound(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }),
            spawn(async move {
                lives.delete(a.id).await.expect("it was there");
                let again = register(&lives, "a").await;
                lives.tick_now(again.id).await.expect("the new life ticks");
            }),
            spawn(async move {
                other.tick_now(b.id).await.expect("the other one ticks");
            }),
        ];
        for task in tasks {
            task.await.expect("no panic");
        }
        let twice = [runtime.clone(), runtime].map(|runtime| spawn(async move { runtime.shutdown(DEADLINE).await }));
        for shutdown in twice {
            assert!(shutdown.await.expect("no panic").is_empty());
        }
    });
}

pub(crate) fn everybody_shuts_down() {
    block_on(async {
        let runtime = runtime(false).await;
        let vigy = register(&runtime, "a").await;
        let ticks = runtime.clone();
        let tick = spawn(async move {
            match ticks.tick_now(vigy.id).await {
                Ok(_) | Err(VigyError::ShuttingDown | VigyError::Store(_)) => {}
                Err(error) => panic!("{error}"),
            }
        });
        let twice = [runtime.clone(), runtime].map(|runtime| spawn(async move { runtime.shutdown(DEADLINE).await }));
        for shutdown in twice {
            assert!(shutdown.await.expect("no panic").is_empty());
        }
        tick.await.expect("no panic");
    });
}
