//! The runtime on a real store, in one process.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use adapter_tokio::store::{Happened, Happening};
use adapter_tokio::{Event, Events, HostEffects, OpenError, RegisterError, Registered, Run, RuntimeHandle, VigyError};
use async_trait::async_trait;
use common::{Replayed as _, Replaying};
use tokio::sync::Notify;
use vigy_core::{Ask, AskError, Cadence, Incarnation, Outcome, ReconcileAction, ResultStatus, Selector, TickInterval, Timestamp, Vigy};
use vigy_lisp::{Arity, Data, HostFn};

const HELLO: &str = r#"(vigy-log "info" "hello") (vigy-noop)"#;

fn vigy(name: &str, program: &str) -> Vigy {
    Vigy::new(name, program, TickInterval::from_millis(100).unwrap()).unwrap()
}

async fn idle_runtime() -> Replaying {
    RuntimeHandle::builder().scheduling(false).in_memory().await.unwrap().replaying()
}

async fn register(runtime: &RuntimeHandle, name: &str, program: &str) -> Registered {
    runtime.register_or_update(vigy(name, program)).await.unwrap()
}

/// The next run that is over.
async fn next_run(runtime: &RuntimeHandle, events: &mut Events) -> Run {
    loop {
        let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect("a run within 20 s").unwrap();
        if let Some(Event::Happened { event: Happening { vigy, what: Happened::Ran { run, .. }, .. }, .. }) = event {
            return runtime.run(vigy, run).await.unwrap().expect("a run that was told is there");
        }
    }
}

async fn kv(runtime: &RuntimeHandle, vigy: &Registered, key: &str) -> Option<Data> {
    let state = runtime.state(vigy.id).await.unwrap();
    state.kv.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

#[tokio::test]
async fn a_registered_vigy_ticks_on_its_own() {
    let runtime = RuntimeHandle::builder().in_memory().await.unwrap().replaying();
    let mut events = runtime.events(None);
    register(&runtime, "hello", HELLO).await;
    for tick in 1..=3 {
        let run = next_run(&runtime, &mut events).await;
        assert_eq!((run.key.tick, run.result, run.logs[0].message.as_str()), (tick, ResultStatus::Ok, "hello"));
        assert_eq!(run.actions[0].result, Some(ResultStatus::Ok));
    }
    runtime.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn time_and_lives_are_what_the_application_says() {
    let time = Arc::new(AtomicU32::new(0));
    let told = time.clone();
    let clock = move || Timestamp(u64::from(told.load(Ordering::SeqCst)));
    let builder = RuntimeHandle::builder().scheduling(false).clock(clock).incarnations(|| Incarnation(7));
    let runtime = builder.in_memory().await.unwrap().replaying();
    time.store(1000, Ordering::SeqCst);
    let registered = register(&runtime, "v", "(vigy-log :info (vigy-tick))").await;
    assert_eq!(registered.created_at, Timestamp(1000));
    assert_eq!(registered.checkpoint.incarnation, Incarnation(7));
    time.store(5000, Ordering::SeqCst);
    let run = runtime.tick_now(registered.id).await.unwrap();
    assert_eq!((run.key.incarnation, run.logs[0].message.as_str()), (Incarnation(7), "5000"));
    assert_eq!((run.started_at, run.ended_at), (Timestamp(5000), Some(Timestamp(5000))));
    assert_eq!(runtime.state(registered.id).await.unwrap().captured_at, Timestamp(5000));
}

#[tokio::test]
async fn what_a_program_tells_is_kept() {
    let runtime = idle_runtime().await;
    let program =
        "(vigy-condition :Ready (= 0 (mod (vigy-tick-count) 2)) :Even \"m\") (vigy-metric :m (vigy-tick-count)) (vigy-desired :a {:b 1})
                   (vigy-observed :a nil) (vigy-event :told \"x\") (println \"printed\") (vigy-push {:n 1})";
    let registered = register(&runtime, "v", program).await;
    let run = runtime.tick_now(registered.id).await.unwrap();
    assert_eq!((run.logs[0].message.as_str(), run.events[0].kind.as_str()), ("printed", "told"));
    assert_eq!(run.actions[0].payload, Some(Data::map([("n", Data::Int(1))])));
    let first = runtime.state(registered.id).await.unwrap();
    assert_eq!(first.metrics, [("m".to_owned(), 1.0)]);
    assert_eq!(first.desired, [("a".to_owned(), Data::map([("b", Data::Int(1))]))]);
    assert_eq!((first.conditions[0].name.as_str(), first.conditions[0].status.name()), ("Ready", "false"));
    runtime.tick_now(registered.id).await.unwrap();
    let second = runtime.state(registered.id).await.unwrap();
    assert_eq!(second.conditions[0].status.name(), "true");
    assert!(second.conditions[0].last_transition >= first.conditions[0].last_transition);
}

#[tokio::test]
async fn registering_again_keeps_the_vigy_and_bumps_its_revision() {
    let runtime = idle_runtime().await;
    let first = register(&runtime, "v", "(vigy-incr :n)").await;
    runtime.tick_now(first.id).await.unwrap();
    runtime.disable(first.id).await.unwrap();
    let same = register(&runtime, "v", "(vigy-incr :n)").await;
    assert_eq!((same.revision, same.updated_at, same.vigy.enabled), (1, first.updated_at, false), "identical: nothing changes");
    let second = register(&runtime, "v", "(vigy-incr :n 10)").await;
    assert_eq!((second.id, second.revision, second.created_at, second.vigy.enabled), (first.id, 2, first.created_at, false));
    runtime.force_tick(first.id).await.unwrap();
    assert_eq!(kv(&runtime, &first, "n").await, Some(Data::Int(11)));
    assert_eq!(runtime.recent_runs(first.id, 10).await.unwrap().len(), 2);
    assert_eq!(runtime.list(&Selector::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn deleting_removes_everything() {
    let runtime = idle_runtime().await;
    let neighbour = register(&runtime, "other", "(vigy-incr :n) (vigy-set :big (range 300))").await;
    let first = register(&runtime, "v", "(vigy-incr :n) (vigy-set :big (range 300)) (vigy-metric :m 1)").await;
    for id in [first.id, neighbour.id] {
        runtime.tick_now(id).await.unwrap();
    }
    runtime.delete(first.id).await.unwrap();
    assert!(matches!(runtime.get(first.id).await, Err(VigyError::NotFound(_))));
    assert!(matches!(runtime.tick_now(first.id).await, Err(VigyError::NotFound(_))));
    assert!(matches!(runtime.delete(first.id).await, Err(VigyError::NotFound(_))));
    let again = register(&runtime, "v", "(vigy-incr :n)").await;
    assert_eq!(again.id, first.id);
    assert_ne!(again.checkpoint.incarnation, first.checkpoint.incarnation, "a new life: no action key comes back");
    assert!(runtime.recent_runs(again.id, 10).await.unwrap().is_empty());
    runtime.tick_now(again.id).await.unwrap();
    assert_eq!(kv(&runtime, &again, "n").await, Some(Data::Int(1)));
    assert_eq!(runtime.state(again.id).await.unwrap().metrics, []);
    assert_eq!(kv(&runtime, &neighbour, "n").await, Some(Data::Int(1)), "the neighbour is untouched");
}

#[tokio::test]
async fn bad_programs_are_refused_with_their_place_and_nothing_is_stored() {
    let runtime = idle_runtime().await;
    let error = runtime.register_or_update(vigy("v", "(vigy-noop)\n (((")).await.unwrap_err();
    assert!(matches!(&error, RegisterError::Program(_)) && error.to_string().contains("2:"), "{error}");
    let handler = Vigy { on_action: "carrier-pigeon".into(), ..vigy("v", HELLO) };
    assert!(runtime.register_or_update(handler).await.unwrap_err().to_string().contains("carrier-pigeon"));
    assert!(runtime.list(&Selector::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_endless_loop_delays_nobody() {
    let runtime = RuntimeHandle::builder().in_memory().await.unwrap().replaying();
    let mut events = runtime.events(None);
    let endless = register(&runtime, "endless", "(define (f) (f)) (f)").await;
    let hello = register(&runtime, "hello", HELLO).await;
    let (mut failed, mut ok) = (0, 0);
    while failed < 1 || ok < 3 {
        let run = next_run(&runtime, &mut events).await;
        if run.vigy == endless.id {
            assert!(run.error.unwrap().starts_with("out-of-fuel"));
            failed += 1;
        } else {
            assert_eq!((run.vigy, run.result), (hello.id, ResultStatus::Ok));
            ok += 1;
        }
    }
    runtime.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn references_are_ids_names_and_unambiguous_prefixes() {
    let runtime = idle_runtime().await;
    let alpha = register(&runtime, "alpha", HELLO).await;
    let alps = register(&runtime, "alps", HELLO).await;
    let who = async |reference: &str| runtime.resolve(reference).await.map_err(|error| error.to_string());
    assert_eq!(who("alpha").await, Ok(alpha.id));
    assert_eq!(who("alph").await, Ok(alpha.id));
    assert_eq!(who(&alps.id.to_string()).await, Ok(alps.id));
    assert_eq!(who(&alps.id.to_string()[..9]).await, Ok(alps.id));
    assert_eq!(who("alp").await, Err("`alp` could be alpha or alps".to_owned()));
    for unknown in ["beta", "", "\u{1b}[1m", "0000000000000000"] {
        assert!(who(unknown).await.unwrap_err().starts_with("there is no vigy"), "{unknown:?}");
    }
}

#[tokio::test]
async fn an_interval_edit_takes_hold_at_once() {
    let runtime = RuntimeHandle::builder().in_memory().await.unwrap().replaying();
    let mut events = runtime.events(None);
    let hour = Cadence { jitter_ms: 0, ..Cadence::every(TickInterval::from_millis(3_600_000).unwrap()) };
    let hour = Vigy { schedule: hour.into(), ..vigy("v", HELLO) };
    runtime.register_or_update(hour).await.unwrap();
    next_run(&runtime, &mut events).await;
    register(&runtime, "v", HELLO).await;
    next_run(&runtime, &mut events).await;
    runtime.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn old_runs_go_and_the_values_they_alone_referred_to() {
    let runtime = idle_runtime().await;
    let registered = register(&runtime, "v", "(vigy-set :big (concat (range 200) (list (vigy-tick-count))))").await;
    for _ in 0..1005 {
        runtime.tick_now(registered.id).await.unwrap();
    }
    let runs = runtime.recent_runs(registered.id, 5000).await.unwrap();
    assert_eq!(runs.len(), 1000);
    assert_eq!((runs[0].key.tick, runs[999].key.tick), (1005, 6));
}

#[tokio::test]
async fn history_is_bounded_in_bytes_too_and_a_repeated_value_counts_once() {
    let runtime = RuntimeHandle::builder().scheduling(false).retain(1000, 20_000).in_memory().await.unwrap().replaying();
    let changing = register(&runtime, "changing", "(vigy-set :big (concat (range 1000) (list (vigy-tick-count))))").await;
    let constant = register(&runtime, "constant", "(vigy-trace :big (range 1000))").await;
    for _ in 0..40 {
        for id in [changing.id, constant.id] {
            assert_eq!(runtime.tick_now(id).await.unwrap().result, ResultStatus::Ok);
        }
    }
    let kept = async |id| runtime.recent_runs(id, 1000).await.unwrap().len();
    assert!((2..10).contains(&kept(changing.id).await), "about 3 KB a run: {}", kept(changing.id).await);
    assert_eq!(kept(constant.id).await, 40, "the value is stored once");
    assert_eq!(runtime.state(changing.id).await.unwrap().kv.len(), 1, "the kv value outlives the runs that wrote it");
}

/// Effects that block until they are released, and count.
#[derive(Default)]
struct Slow {
    release: Notify,
    started: Notify,
    held: AtomicBool,
    keys: std::sync::Mutex<Vec<String>>,
    acted: AtomicU32,
}

#[async_trait]
impl HostEffects for Slow {
    fn operations(&self) -> &'static [HostFn] {
        &[]
    }
    fn check(&self, _: &Vigy, _: &[&str]) -> Result<(), String> {
        Ok(())
    }
    async fn ask(&self, _: &Vigy, _: Ask<'_>) -> Result<Vec<u8>, AskError> {
        Err(AskError::new("denied", format_args!("nothing to ask")))
    }
    async fn act(&self, _: &Vigy, action: ReconcileAction<'_>) -> Outcome {
        self.keys.lock().unwrap().push(action.key.to_string());
        self.started.notify_one();
        if self.held.load(Ordering::SeqCst) {
            self.release.notified().await;
        }
        self.acted.fetch_add(1, Ordering::SeqCst);
        Outcome::ok()
    }
}

fn open_with(effects: Arc<Slow>) -> adapter_tokio::Builder {
    RuntimeHandle::builder().scheduling(false).effects(effects)
}

#[tokio::test]
async fn actions_that_a_shutdown_cut_off_are_carried_out_next_time_under_their_keys() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("v.redb");
    let slow = Arc::new(Slow::default());
    slow.held.store(true, Ordering::SeqCst);
    let runtime = open_with(slow.clone()).open(&path).await.unwrap().replaying();
    let registered = register(&runtime, "v", "(vigy-push {:list (range 300)})").await;
    let ticking = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.tick_now(registered.id).await.map(|_| ()) }
    });
    slow.started.notified().await;
    let pending = runtime.state(registered.id).await.unwrap().pending;
    assert_eq!((pending.len(), pending[0].result), (1, None));
    runtime.shutdown(Duration::from_millis(10)).await;
    assert!(ticking.await.unwrap().is_err());
    drop(runtime);

    let quick = Arc::new(Slow::default());
    let runtime = open_with(quick.clone()).open(&path).await.unwrap().replaying();
    runtime.tick_now(registered.id).await.unwrap();
    let (first, then) = (slow.keys.lock().unwrap().clone(), quick.keys.lock().unwrap().clone());
    assert_eq!((first.len(), then.len(), &then[0]), (1, 2, &first[0]), "the old action again under its key, then the new one");
    assert!(then[1].ends_with("-2-0"));
    let runs = runtime.recent_runs(registered.id, 10).await.unwrap();
    assert!(runs.iter().all(|run| run.actions[0].result == Some(ResultStatus::Ok) && run.ended_at.is_some()));
}

#[tokio::test]
async fn a_store_has_one_owner_and_says_who() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep").join("v.redb");
    let runtime = RuntimeHandle::open(&path).await.unwrap().replaying();
    let Err(OpenError::Busy { pid, .. }) = RuntimeHandle::open(&path).await else { panic!("the second one gets it too") };
    assert_eq!(pid, Some(std::process::id()));
    runtime.shutdown(Duration::from_secs(1)).await;
    drop(runtime);
    RuntimeHandle::builder().lock_wait(Duration::from_secs(5)).open(&path).await.unwrap().replaying();
}

/// Opening `path` fails with an error that has `message`, and leaves its bytes as they are.
async fn refused_untouched(path: &Path, message: &str) {
    let before = std::fs::read(path).unwrap();
    let error = RuntimeHandle::open(path).await.err().expect("it is opened").to_string();
    assert!(error.contains(message), "{error}");
    assert!(std::fs::read(path).unwrap() == before, "{message}: the file was changed");
}

#[tokio::test]
async fn files_that_are_no_store_of_ours_are_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(&text, "SQLite format 3\0 and so on").unwrap();
    refused_untouched(&text, "no vigy store").await;

    let other = directory.path().join("other.redb");
    let database = redb::Database::create(&other).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    refused_untouched(&other, "theirs").await;

    let newer = directory.path().join("newer.redb");
    let database = redb::Database::create(&newer).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<&str, u32>::new("vigy.meta")).unwrap().insert("format", 99).unwrap();
    transaction.commit().unwrap();
    drop(database);
    refused_untouched(&newer, "has format 99").await;
}

/// A host whose first write is sent and never answered in time.
#[derive(Default)]
struct Valve {
    sent: Notify,
    open: AtomicBool,
    keys: std::sync::Mutex<Vec<String>>,
    looked: AtomicU32,
}

#[async_trait]
impl HostEffects for Valve {
    fn operations(&self) -> &'static [HostFn] {
        const OPERATIONS: [HostFn; 2] = [
            HostFn {
                name: "valve/look",
                arity: Arity::exactly(0),
                writes: false,
                secret: false,
                doc: "A large reading, another one every time.",
            },
            HostFn { name: "valve/turn", arity: Arity::exactly(1), writes: true, secret: false, doc: "Turns it." },
        ];
        &OPERATIONS
    }
    fn check(&self, _: &Vigy, _: &[&str]) -> Result<(), String> {
        Ok(())
    }
    async fn ask(&self, _: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError> {
        if ask.key.is_none() {
            let reading = self.looked.fetch_add(1, Ordering::SeqCst);
            return Ok(postcard::to_allocvec(&Data::List(vec![Data::Int(reading.into()); 200])).unwrap());
        }
        let key = ask.key.expect("a write has a key").to_string();
        self.keys.lock().unwrap().push(key);
        self.sent.notify_one();
        if !self.open.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let Data::List(arguments) = postcard::from_bytes(ask.arguments).unwrap() else { panic!("arguments are a list") };
        Ok(postcard::to_allocvec(&arguments[0]).unwrap())
    }
    async fn act(&self, _: &Vigy, _: ReconcileAction<'_>) -> Outcome {
        Outcome::ok()
    }
}

#[tokio::test]
async fn a_write_that_a_stop_cut_off_goes_out_again_under_its_key_and_nothing_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("v.redb");
    let open = |valve: &Arc<Valve>| RuntimeHandle::builder().scheduling(false).effects(valve.clone()).open(&path);
    // It looks, and turns as far as it saw: 0 the first time it looks, more later.
    let program =
        "(def seen (first (valve/look))) (vigy-set \"turned\" (valve/turn seen)) (valve/turn 7) (vigy-set \"looked\" (first (valve/look)))";
    let valve = Arc::new(Valve::default());
    let runtime = open(&valve).await.unwrap().replaying();
    let registered = register(&runtime, "v", program).await;
    let ticking = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.tick_now(registered.id).await.map(|_| ()) }
    });
    valve.sent.notified().await;
    runtime.shutdown(Duration::from_millis(10)).await;
    assert!(ticking.await.unwrap().is_err());
    drop(runtime);

    valve.open.store(true, Ordering::SeqCst);
    let runtime = open(&valve).await.unwrap().replaying();
    let run = runtime.tick_now(registered.id).await.unwrap();
    assert_eq!((run.key.tick, run.result), (1, ResultStatus::Ok), "the tick that was cut: {:?}", run.error);
    let key = |nth: u32| format!("{}-{}", run.key, 32768 + nth);
    assert_eq!(*valve.keys.lock().unwrap(), [key(0), key(0), key(1)]);
    let told: Vec<_> = run.writes.iter().map(|write| (write.key.to_string(), write.operation.as_str(), write.result)).collect();
    assert_eq!(told, [(key(0), "valve/turn", Some(ResultStatus::Ok)), (key(1), "valve/turn", Some(ResultStatus::Ok))]);
    assert_eq!(kv(&runtime, &registered, "turned").await, Some(Data::Int(0)), "what it saw before the cut");
    assert_eq!(kv(&runtime, &registered, "looked").await, Some(Data::Int(1)), "it looked once before the cut and once after");
    assert_eq!(runtime.tick_now(registered.id).await.unwrap().key.tick, 2);
}
