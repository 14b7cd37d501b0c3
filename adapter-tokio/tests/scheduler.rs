//! Who ticks when, where, and what becomes of it: the runtime's scheduler, on a store in memory.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use adapter_tokio::store::{Happened, Happening};
use adapter_tokio::{
    Builder, Chain, Event, Events, Executor, HostExtension, RegisterError, Registered, Run, RuntimeHandle, Turn, VigyError,
};
use async_trait::async_trait;
use common::{Replayed as _, Replaying};
use tokio::sync::{Notify, watch};
use vigy_core::record::Level;
use vigy_core::{
    ActionKind, Ask, AskError, Cadence, CronText, Failure, Outcome, Policy, ReconcileAction, ResultStatus, Schedule, Selector,
    TickInterval, Timestamp, Vigy,
};
use vigy_lisp::{Arity, Data, HostFn};

const HELLO: &str = r#"(vigy-log "info" "hello") (vigy-noop)"#;

fn cadence(ms: u64) -> Cadence {
    Cadence { jitter_ms: 0, ..Cadence::every(TickInterval::from_millis(ms).unwrap()) }
}

fn vigy(name: &str, program: &str, ms: u64) -> Vigy {
    Vigy::new(name, program, cadence(ms)).unwrap()
}

async fn register(runtime: &RuntimeHandle, name: &str, program: &str) -> Registered {
    runtime.register_or_update(vigy(name, program, 100)).await.unwrap()
}

async fn idle() -> Replaying {
    RuntimeHandle::builder().scheduling(false).in_memory().await.unwrap().replaying()
}

async fn next(events: &mut Events) -> Happening {
    match tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect("an event within 20 s").unwrap() {
        Some(Event::Happened { event, .. }) => event,
        other => panic!("no event, but {other:?}"),
    }
}

/// The next run of a vigy.
async fn next_run(runtime: &RuntimeHandle, events: &mut Events, of: &Registered) -> Run {
    loop {
        let event = next(events).await;
        if let Happened::Ran { run, .. } = event.what
            && event.vigy == of.id
        {
            return runtime.run(of.id, run).await.unwrap().expect("a run that was told is there");
        }
    }
}

/// Lines that a run logged.
fn lines(run: &Run) -> Vec<&str> {
    run.logs.iter().map(|line| line.message.as_str()).collect()
}

#[tokio::test]
async fn a_paused_vigy_ticks_by_force_only() {
    let runtime = idle().await;
    let vigy = register(&runtime, "v", HELLO).await;
    runtime.disable(vigy.id).await.unwrap();
    let error = runtime.tick_now(vigy.id).await.unwrap_err();
    assert!(matches!(error, VigyError::Paused(_)) && error.to_string().contains("resume"), "{error}");
    assert_eq!(runtime.force_tick(vigy.id).await.unwrap().result, ResultStatus::Ok);
    runtime.enable(vigy.id).await.unwrap();
    assert_eq!(runtime.tick_now(vigy.id).await.unwrap().key.tick, 2);
}

#[tokio::test]
async fn a_vigy_that_fails_for_good_is_parked_until_it_is_resumed() {
    let runtime = RuntimeHandle::builder().in_memory().await.unwrap().replaying();
    let mut events = runtime.events(None);
    let vigy = register(&runtime, "v", r#"(if (= 1 (vigy-tick-count)) (vigy-fail "no"))"#).await;
    assert_eq!(next_run(&runtime, &mut events, &vigy).await.result, ResultStatus::Failed);
    assert!(runtime.get(vigy.id).await.unwrap().checkpoint.parked);
    runtime.enable(vigy.id).await.unwrap();
    assert_eq!(next_run(&runtime, &mut events, &vigy).await.result, ResultStatus::Ok);
    let mut log = runtime.events(Some(0));
    for expected in [Happened::Parked, Happened::Resumed] {
        while next(&mut log).await.what != expected {}
    }
}

#[tokio::test]
async fn a_reader_of_events_goes_on_where_it_was() {
    let runtime = idle().await;
    let vigy = register(&runtime, "v", HELLO).await;
    let mut events = runtime.events(Some(0));
    let Some(Event::Happened { seq, event }) = events.next().await.unwrap() else { panic!("it was registered") };
    assert_eq!(event.what, Happened::Registered { name: "v".to_owned() });
    drop(events);
    runtime.tick_now(vigy.id).await.unwrap();
    runtime.disable(vigy.id).await.unwrap();
    let mut events = runtime.events(Some(seq));
    assert!(matches!(next(&mut events).await.what, Happened::Ran { .. }));
    assert_eq!(next(&mut events).await.what, Happened::Disabled);
}

#[tokio::test]
async fn a_rollback_is_a_new_revision_that_says_what_an_old_one_said() {
    let runtime = idle().await;
    let vigy = register(&runtime, "v", "(vigy-incr :n)").await;
    register(&runtime, "v", "(vigy-incr :n 10)").await;
    runtime.tick_now(vigy.id).await.unwrap();
    let back = runtime.rollback(vigy.id, 1).await.unwrap();
    assert_eq!((back.revision, back.vigy.program.as_str()), (3, "(vigy-incr :n)"));
    runtime.tick_now(vigy.id).await.unwrap();
    assert_eq!(runtime.state(vigy.id).await.unwrap().kv[0].1, Data::Int(11), "kv stays");
    let revisions: Vec<_> = runtime.revisions(vigy.id).await.unwrap().into_iter().map(|revision| revision.number).collect();
    assert_eq!(revisions, [3, 2, 1]);
    assert!(matches!(runtime.rollback(vigy.id, 9).await, Err(RegisterError::NotFound(_))));
}

/// Takes what it is given, unless it is closed.
#[derive(Default)]
struct Queue {
    closed: AtomicBool,
    keys: std::sync::Mutex<Vec<String>>,
}

#[async_trait]
impl Executor for Queue {
    fn check(&self, rest: &str) -> Result<(), String> {
        if rest.is_empty() { Err("write `queue:NAME`".to_owned()) } else { Ok(()) }
    }
    async fn act(&self, _: &Vigy, action: ReconcileAction<'_>) -> Outcome {
        self.keys.lock().unwrap().push(action.key.to_string());
        if self.closed.load(Ordering::SeqCst) { Outcome::refused("closed") } else { Outcome::ok() }
    }
}

#[async_trait]
impl HostExtension for Queue {
    fn operations(&self) -> &[HostFn] {
        const OPERATIONS: [HostFn; 2] = [
            HostFn { name: "queue/length", arity: Arity::exactly(0), writes: false, secret: false, doc: "How many wait." },
            HostFn { name: "queue/explode", arity: Arity::exactly(0), writes: false, secret: false, doc: "Panics." },
        ];
        &OPERATIONS
    }
    fn check(&self, vigy: &Vigy, operations: &[&str]) -> Result<(), String> {
        let granted = vigy.allow.iter().any(|capability| capability == "queue");
        if operations.is_empty() || granted { Ok(()) } else { Err(format!("{} needs `queue`", operations[0])) }
    }
    async fn ask(&self, _: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError> {
        assert!(ask.operation != "queue/explode", "it exploded");
        Ok(postcard::to_allocvec(&Data::Int(self.keys.lock().unwrap().len() as i64)).unwrap())
    }
}

fn with_queue(queue: &Arc<Queue>) -> Builder {
    RuntimeHandle::builder().extension(queue.clone()).executor("queue", queue.clone())
}

#[tokio::test]
async fn an_application_adds_operations_and_executors() {
    let queue = Arc::new(Queue::default());
    let runtime = with_queue(&queue).scheduling(false).in_memory().await.unwrap().replaying();
    let program = "(vigy-log :info (queue/length)) (vigy-push {:a 1})";
    let plain = vigy("v", program, 100);
    assert!(runtime.register_or_update(plain.clone()).await.unwrap_err().to_string().contains("queue/length needs `queue`"));
    let granted = Vigy { allow: vec!["queue".to_owned()], on_action: "queue".to_owned(), ..plain };
    assert!(runtime.register_or_update(granted.clone()).await.unwrap_err().to_string().contains("queue:NAME"));
    let vigy = runtime.register_or_update(Vigy { on_action: "queue:orders".to_owned(), ..granted }).await.unwrap();
    assert_eq!(lines(&runtime.tick_now(vigy.id).await.unwrap()), ["0"]);
    assert_eq!(lines(&runtime.tick_now(vigy.id).await.unwrap()), ["1"]);
}

#[tokio::test]
async fn an_action_that_failed_for_good_is_tried_by_hand_under_its_key() {
    let queue = Arc::new(Queue::default());
    queue.closed.store(true, Ordering::SeqCst);
    let runtime = with_queue(&queue).scheduling(false).in_memory().await.unwrap().replaying();
    let vigy = Vigy { on_action: "queue:orders".to_owned(), ..vigy("v", "(vigy-push {:a 1})", 100) };
    let vigy = runtime.register_or_update(vigy).await.unwrap();
    runtime.tick_now(vigy.id).await.unwrap();
    let letters = runtime.dead_letters(None).await.unwrap();
    let key = letters[0].1.key;
    assert_eq!(runtime.redrive(vigy.id, key).await.unwrap().status, ResultStatus::Failed);
    queue.closed.store(false, Ordering::SeqCst);
    assert_eq!(runtime.redrive(vigy.id, key).await.unwrap().status, ResultStatus::Ok);
    assert!(runtime.dead_letters(Some(vigy.id)).await.unwrap().is_empty());
    assert_eq!(*queue.keys.lock().unwrap(), [key.to_string(), key.to_string(), key.to_string()]);
    assert!(matches!(runtime.discard(vigy.id, key).await, Err(VigyError::NotFound(_))));
}

#[tokio::test]
async fn a_panic_of_the_host_is_that_ticks_failure_and_nobody_elses() {
    let queue = Arc::new(Queue::default());
    let runtime = with_queue(&queue).in_memory().await.unwrap().replaying();
    let mut events = runtime.events(None);
    let program = r#"(vigy-log "info" "before") (queue/explode)"#;
    let bad = Vigy { allow: vec!["queue".to_owned()], ..vigy("bad", program, 100) };
    let bad = runtime.register_or_update(bad).await.unwrap();
    let run = next_run(&runtime, &mut events, &bad).await;
    assert_eq!((run.result, lines(&run)), (ResultStatus::Failed, vec!["before"]));
    assert!(run.error.as_ref().unwrap().contains("it exploded"), "{:?}", run.error);
    let good = register(&runtime, "good", HELLO).await;
    assert_eq!(next_run(&runtime, &mut events, &good).await.result, ResultStatus::Ok);
}

#[tokio::test]
async fn a_reconciler_of_rust_ticks_like_a_program() {
    let runtime = idle().await;
    let reconciler = |turn: Turn| async move {
        let before = turn.get("n").await?;
        let next = Data::Int(if let Some(Data::Int(n)) = before { n + 1 } else { 1 });
        turn.set("n", &next).await?;
        turn.log(Level::Info, format!("tick {}", turn.header().await.tick)).await?;
        turn.act(ActionKind::Push, Some(&next)).await
    };
    let vigy = runtime.register_reconciler("rust", cadence(100), reconciler).await.unwrap();
    for tick in 1..=2 {
        let run = runtime.tick_now(vigy.id).await.unwrap();
        assert_eq!((run.result, lines(&run)), (ResultStatus::Ok, vec![format!("tick {tick}").as_str()]));
        assert_eq!(run.actions[0].payload, Some(Data::Int(tick)));
    }
}

#[tokio::test]
async fn a_chain_ends_where_a_reconciler_fails() {
    let runtime = idle().await;
    let says = |line: &'static str| move |turn: Turn| async move { turn.log(Level::Info, line).await };
    let fails = |_: Turn| async { Err(Failure::raised("no", "not today", None)) };
    let chain = Chain::new().then(says("one")).then(fails).then(says("two"));
    let vigy = runtime.register_reconciler("chain", cadence(100), chain).await.unwrap();
    let run = runtime.tick_now(vigy.id).await.unwrap();
    assert_eq!((run.result, lines(&run)), (ResultStatus::Failed, vec!["one"]));
}

#[tokio::test]
async fn a_reconciler_that_panics_or_waits_elsewhere_fails_its_tick() {
    let runtime = idle().await;
    let panics = |turn: Turn| async move {
        turn.log(Level::Info, "before").await?;
        panic!("out of ideas")
    };
    let vigy = runtime.register_reconciler("panics", cadence(100), panics).await.unwrap();
    let run = runtime.tick_now(vigy.id).await.unwrap();
    assert_eq!(lines(&run), ["before"]);
    assert!(run.error.unwrap().contains("out of ideas"));
    let waits = |_: Turn| async {
        std::future::pending::<()>().await;
        Ok(())
    };
    let vigy = runtime.register_reconciler("waits", cadence(100), waits).await.unwrap();
    assert!(runtime.tick_now(vigy.id).await.unwrap().error.unwrap().contains("waits for something else"));
}

#[tokio::test]
async fn a_stored_vigy_waits_for_its_reconciler() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("v.redb");
    let hello = |turn: Turn| async move { turn.log(Level::Info, "hello").await };
    let runtime = RuntimeHandle::builder().scheduling(false).open(&path).await.unwrap().replaying();
    let vigy = runtime.register_reconciler("rust", cadence(100), hello).await.unwrap();
    runtime.shutdown(Duration::from_secs(5)).await;
    drop(runtime);
    let runtime = RuntimeHandle::builder().open(&path).await.unwrap().replaying();
    let error = runtime.tick_now(vigy.id).await.unwrap_err().to_string();
    assert!(error.contains("has not given the reconciler of `rust`"), "{error}");
    let mut events = runtime.events(None);
    runtime.register_reconciler("rust", cadence(100), hello).await.unwrap();
    assert_eq!(lines(&next_run(&runtime, &mut events, &vigy).await), ["hello"]);
    runtime.shutdown(Duration::from_secs(5)).await;
    drop(runtime);
    let runtime = RuntimeHandle::builder().reconciler("rust", hello).open(&path).await.unwrap().replaying();
    assert_eq!(runtime.tick_now(vigy.id).await.unwrap().result, ResultStatus::Ok);
}

#[tokio::test]
async fn a_cron_schedule_runs_when_the_calendar_says() {
    let now = Arc::new(AtomicU64::new(1_774_743_000_000));
    let told = now.clone();
    let clock = move || Timestamp(told.load(Ordering::SeqCst));
    let runtime = RuntimeHandle::builder().clock(clock).scheduling(false).in_memory().await.unwrap().replaying();
    let schedule = |text: &str| Schedule::Cron(CronText::new(text).unwrap());
    let vigy = |text: &str| Vigy::new("night", HELLO, schedule(text)).unwrap();
    assert!(runtime.register_or_update(vigy("at night")).await.unwrap_err().to_string().contains("is no schedule"));
    // 29 March 2026, 1:10 in Berlin; at 2:00 the clocks are put forward to 3:00.
    let registered = runtime.register_or_update(vigy("CRON_TZ=Europe/Berlin 30 2 * * *")).await.unwrap();
    let three = Timestamp(1_774_746_000_000);
    assert_eq!(registered.checkpoint.due, three);
    now.store(three.0, Ordering::SeqCst);
    runtime.tick_now(registered.id).await.unwrap();
    let next = runtime.get(registered.id).await.unwrap().checkpoint.due;
    assert_eq!(next, Timestamp(1_774_830_600_000), "30 March, 2:30 in Berlin");
}

/// Holds every action until it is opened.
#[derive(Default)]
struct Gate {
    entered: Notify,
    open: watch::Sender<bool>,
}

#[async_trait]
impl Executor for Gate {
    fn check(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    async fn act(&self, _: &Vigy, _: ReconcileAction<'_>) -> Outcome {
        self.entered.notify_one();
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        Outcome::ok()
    }
}

#[tokio::test]
async fn a_schedule_that_is_edited_while_the_vigy_ticks_holds_after_that_tick() {
    let gate = Arc::new(Gate::default());
    let runtime = RuntimeHandle::builder().executor("gate", gate.clone()).in_memory().await.unwrap().replaying();
    let mut events = runtime.events(None);
    let hour = Vigy { on_action: "gate".to_owned(), ..vigy("v", "(vigy-push 1)", 3_600_000) };
    let registered = runtime.register_or_update(hour.clone()).await.unwrap();
    gate.entered.notified().await;
    runtime.register_or_update(Vigy { schedule: cadence(100).into(), ..hour }).await.unwrap();
    gate.open.send_replace(true);
    for tick in 1..=3 {
        assert_eq!(next_run(&runtime, &mut events, &registered).await.key.tick, tick);
    }
}

#[tokio::test]
async fn a_vigy_that_is_deleted_while_it_ticks_begins_a_new_life() {
    let gate = Arc::new(Gate::default());
    let runtime = RuntimeHandle::builder().executor("gate", gate.clone()).in_memory().await.unwrap().replaying();
    let vigy = Vigy { on_action: "gate".to_owned(), ..vigy("v", "(vigy-push 1)", 100) };
    let first = runtime.register_or_update(vigy.clone()).await.unwrap();
    gate.entered.notified().await;
    runtime.delete(first.id).await.unwrap();
    let mut events = runtime.events(None);
    let second = runtime.register_or_update(vigy).await.unwrap();
    gate.open.send_replace(true);
    let run = next_run(&runtime, &mut events, &second).await;
    assert_eq!((run.key.tick, run.key.incarnation), (1, second.checkpoint.incarnation));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_ticks_on_any_kind_of_executor() {
    for workers in [0, 1, 3] {
        let runtime = RuntimeHandle::builder().workers(workers).in_memory().await.unwrap().replaying();
        let mut events = runtime.events(None);
        let vigy = register(&runtime, "v", HELLO).await;
        next_run(&runtime, &mut events, &vigy).await;
        next_run(&runtime, &mut events, &vigy).await;
        assert_eq!(runtime.shutdown(Duration::from_secs(5)).await, []);
    }
}

#[test]
fn nothing_is_evaluated_on_a_thread_of_the_application() {
    let application = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    application.block_on(async {
        // What it says is no function of what it is told: it is not replayed.
        let runtime = RuntimeHandle::builder().workers(1).scheduling(false).in_memory().await.unwrap();
        let thread = |_: Turn| async { Err(Failure::raised("thread", std::thread::current().name().unwrap_or(""), None)) };
        let vigy = runtime.register_reconciler("v", cadence(100), thread).await.unwrap();
        let error = runtime.tick_now(vigy.id).await.unwrap().error.unwrap();
        assert!(error.contains("vigy-worker"), "{error}");
    });
}

#[tokio::test]
async fn a_shutdown_says_whose_ticks_it_had_to_leave() {
    let gate = Arc::new(Gate::default());
    let runtime = RuntimeHandle::builder().executor("gate", gate.clone()).in_memory().await.unwrap().replaying();
    let stuck = Vigy { on_action: "gate".to_owned(), ..vigy("stuck", "(vigy-push 1)", 100) };
    let stuck = runtime.register_or_update(stuck).await.unwrap();
    gate.entered.notified().await;
    assert_eq!(runtime.shutdown(Duration::from_millis(20)).await, [stuck.id]);
    assert!(matches!(runtime.tick_now(stuck.id).await, Err(VigyError::ShuttingDown)));
}

#[tokio::test]
async fn more_vigies_than_ticks_at_once_all_get_their_turn() {
    let runtime = RuntimeHandle::builder().ticks_at_once(2).in_memory().await.unwrap().replaying();
    let mut vigies = Vec::new();
    for n in 0..20 {
        vigies.push(register(&runtime, &format!("v{n}"), HELLO).await);
    }
    for vigy in &vigies {
        let mut events = runtime.events(Some(0));
        for _ in 0..3 {
            next_run(&runtime, &mut events, vigy).await;
        }
    }
}

/// What upstream's runtime got wrong, by the number of its defect.
mod upstream_defects {
    use super::*;

    #[tokio::test]
    async fn defect_1_a_label_for_another_host_does_not_silently_stop_a_vigy() {
        let labelled = |host: &str| {
            let mut vigy = vigy(host, HELLO, 100);
            vigy.labels.insert("host", host).unwrap();
            vigy
        };
        let runtime = RuntimeHandle::builder().in_memory().await.unwrap().replaying();
        let mut events = runtime.events(None);
        let local = runtime.register_or_update(labelled("local")).await.unwrap();
        next_run(&runtime, &mut events, &local).await;

        let runtime = RuntimeHandle::builder().host("here").in_memory().await.unwrap().replaying();
        let mut events = runtime.events(None);
        let there = runtime.register_or_update(labelled("there")).await.unwrap();
        let here = runtime.register_or_update(labelled("here")).await.unwrap();
        next_run(&runtime, &mut events, &here).await;
        assert_eq!((runtime.elsewhere(&here.vigy), runtime.elsewhere(&there.vigy)), (None, Some("there")));
        let error = runtime.tick_now(there.id).await.unwrap_err();
        assert!(error.to_string().contains("ticks on the host `there`"), "{error}");
        assert_eq!(runtime.get(there.id).await.unwrap().checkpoint.ticks, 0);
    }

    #[tokio::test]
    async fn defect_3_forced_and_scheduled_ticks_never_overlap_and_lose_no_increment() {
        let runtime = RuntimeHandle::builder().in_memory().await.unwrap().replaying();
        let vigy = register(&runtime, "v", "(vigy-set :n (+ 1 (vigy-get :n 0)))").await;
        let forced: Vec<_> = (0..40)
            .map(|_| {
                let runtime = runtime.clone();
                tokio::spawn(async move { runtime.tick_now(vigy.id).await.unwrap() })
            })
            .collect();
        for tick in forced {
            tick.await.unwrap();
        }
        runtime.disable(vigy.id).await.unwrap();
        let run = runtime.force_tick(vigy.id).await.unwrap();
        assert_eq!(runtime.state(vigy.id).await.unwrap().kv[0].1, Data::Int(run.key.tick as i64));
    }

    #[tokio::test]
    async fn defect_7_editing_a_program_does_not_fork_the_vigy() {
        let runtime = idle().await;
        let first = register(&runtime, "v", "(vigy-incr :n)").await;
        runtime.tick_now(first.id).await.unwrap();
        let second = register(&runtime, "v", "(vigy-incr :n 10)").await;
        runtime.tick_now(second.id).await.unwrap();
        assert_eq!(runtime.state(first.id).await.unwrap().kv[0].1, Data::Int(11));
        assert_eq!(runtime.list(&Selector::default()).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn defect_8_registering_again_does_not_enable_and_deleting_forgets() {
        let runtime = idle().await;
        let first = register(&runtime, "v", "(vigy-incr :n)").await;
        runtime.tick_now(first.id).await.unwrap();
        runtime.disable(first.id).await.unwrap();
        let again = register(&runtime, "v", "(vigy-incr :n)").await;
        assert_eq!((again.vigy.enabled, again.created_at), (false, first.created_at));
        runtime.delete(first.id).await.unwrap();
        let new = register(&runtime, "v", "(vigy-incr :n)").await;
        runtime.tick_now(new.id).await.unwrap();
        assert_eq!(runtime.state(new.id).await.unwrap().kv[0].1, Data::Int(1));
    }

    #[tokio::test]
    async fn defect_9_a_failed_tick_counts_keeps_its_logs_and_drops_its_writes_whole() {
        let runtime = idle().await;
        let vigy = register(&runtime, "v", r#"(vigy-set :n 1) (vigy-log "info" "kept") (vigy-push 1) (throw "no")"#).await;
        let run = runtime.tick_now(vigy.id).await.unwrap();
        assert_eq!((run.result, lines(&run), run.actions.len()), (ResultStatus::Failed, vec!["kept"], 0));
        assert!(runtime.state(vigy.id).await.unwrap().kv.is_empty());
        assert_eq!(runtime.tick_now(vigy.id).await.unwrap().key.tick, 2);
    }

    #[tokio::test]
    async fn defects_10_12_13_no_program_takes_more_than_its_limits() {
        let runtime = idle().await;
        let programs = [
            ("loop", "fuel", "(define (f) (f)) (f)"),
            ("bomb", "heap", r#"(define (f s) (f (str s s))) (f "0123456789")"#),
            ("flood", "actions", "(define (f n) (vigy-push n) (f (+ n 1))) (f 0)"),
        ];
        for (name, limit, program) in programs {
            let vigy = register(&runtime, name, program).await;
            let run = runtime.tick_now(vigy.id).await.unwrap();
            assert_eq!(run.result, ResultStatus::Failed, "{name}");
            let error = run.error.unwrap();
            assert!(error.contains(limit), "{name}: {error}");
        }
    }

    #[tokio::test]
    async fn defect_10_an_endless_program_does_not_keep_a_runtime_from_stopping() {
        let runtime = RuntimeHandle::builder().in_memory().await.unwrap().replaying();
        let endless = Vigy { policy: Policy { park_after: 0, ..Policy::default() }, ..vigy("endless", "(define (f) (f)) (f)", 100) };
        let mut events = runtime.events(None);
        let endless = runtime.register_or_update(endless).await.unwrap();
        next_run(&runtime, &mut events, &endless).await;
        assert_eq!(runtime.shutdown(Duration::from_secs(20)).await, []);
    }

    #[tokio::test]
    async fn defect_16_names_that_no_terminal_should_see_are_refused() {
        for name in ["", " a", "a\nb", "\u{1b}[31m", "a/b"] {
            assert!(Vigy::new(name, HELLO, cadence(100)).is_err(), "{name:?}");
        }
        assert!(TickInterval::from_millis(u64::MAX).is_err());
    }

    #[tokio::test]
    async fn defect_24_runs_are_ordered_by_their_number() {
        let runtime = RuntimeHandle::builder().scheduling(false).clock(|| Timestamp(1000)).in_memory().await.unwrap().replaying();
        let vigy = register(&runtime, "v", HELLO).await;
        for _ in 0..12 {
            runtime.tick_now(vigy.id).await.unwrap();
        }
        let ticks: Vec<_> = runtime.recent_runs(vigy.id, 20).await.unwrap().iter().map(|run| run.key.tick).collect();
        assert_eq!(ticks, (1..=12).rev().collect::<Vec<_>>());
    }
}
