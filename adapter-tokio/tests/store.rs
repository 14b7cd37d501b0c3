//! The store, from outside: what it reads of older formats, and what it keeps.

mod format_2;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_tokio::store::engine::{Changes, Direction, Engine, MemoryEngine, RedbEngine};
use adapter_tokio::store::{CopyError, Exported, Finding, Happened, Problem, Store, restore};
use adapter_tokio::{Builder, Event, HostEffects, OpenError, Registered, RuntimeHandle};
use async_trait::async_trait;
use vigy_core::record::ConditionStatus;
use vigy_core::{Ask, AskError, Incarnation, Outcome, ReconcileAction, ResultStatus, Selector, TickInterval, Timestamp, Vigy};
use vigy_lisp::{Data, HostFn};

/// When backups are restored.
const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn store_of_format_2(path: &Path) {
    format_2::fill(&redb::Database::create(path).unwrap());
}

async fn named(runtime: &RuntimeHandle, name: &str) -> Registered {
    let id = runtime.resolve(name).await.unwrap();
    runtime.get(id).await.unwrap()
}

#[tokio::test]
async fn a_store_of_format_2_is_taken_over_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.redb");
    store_of_format_2(&path);
    for _ in 0..2 {
        let runtime = RuntimeHandle::builder().scheduling(false).open(&path).await.unwrap();
        let names = runtime.list(&Selector::default()).await.unwrap().into_iter().map(|v| v.vigy.name.to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["acting", "counter", "failing", "fresh", "pushing", "writing"]);
        let counter = named(&runtime, "counter").await;
        assert_eq!((counter.revision, counter.checkpoint.ticks, counter.vigy.labels.get("team")), (2, 3, Some("infra")));
        assert_eq!(counter.vigy.allow, ["fs:/etc:r"]);
        let state = runtime.state(counter.id).await.unwrap();
        assert_eq!(state.kv[1], ("n".to_owned(), Data::Int(3)));
        assert_eq!((state.conditions[0].status, state.conditions[0].reason.as_str()), (ConditionStatus::True, "Ok"));
        assert_eq!(state.metrics, [("load".to_owned(), 0.5)]);
        let runs = runtime.recent_runs(counter.id, 10).await.unwrap();
        assert_eq!(runs.iter().map(|run| run.key.tick).collect::<Vec<_>>(), [3, 2, 1]);
        assert!(runs.iter().all(|run| run.result == ResultStatus::Ok && run.logs[0].message == "hello" && run.ended_at.is_some()));
        let failing = named(&runtime, "failing").await;
        assert_eq!((failing.vigy.enabled, failing.checkpoint.failures), (false, 1));
        assert_eq!(named(&runtime, "fresh").await.checkpoint.ticks, 0);
        let acting = named(&runtime, "acting").await;
        assert_eq!(runtime.state(acting.id).await.unwrap().pending.len(), 1, "its action goes out under its key");
        runtime.shutdown(Duration::from_secs(5)).await;
    }
    let runtime = RuntimeHandle::builder().scheduling(false).open(&path).await.unwrap();
    let acting = named(&runtime, "acting").await;
    runtime.tick_now(acting.id).await.unwrap();
    let runs = runtime.recent_runs(acting.id, 2).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.actions[0].result).collect::<Vec<_>>(), [Some(ResultStatus::Ok); 2]);
}

/// Carries out nothing: what is pushed fails.
struct Refusing;

#[async_trait]
impl HostEffects for Refusing {
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
        if action.payload.is_some() { Outcome::refused("no such place") } else { Outcome::ok() }
    }
}

fn builder() -> Builder {
    RuntimeHandle::builder().scheduling(false).effects(Arc::new(Refusing))
}

async fn register(runtime: &RuntimeHandle, name: &str, program: &str) -> Registered {
    runtime.register_or_update(Vigy::new(name, program, TickInterval::from_millis(1000).unwrap()).unwrap()).await.unwrap()
}

const COUNTING: &str = "(vigy-set :big (concat (range 200) (list (vigy-incr :n)))) (vigy-condition :Ready :true \"Ok\") (vigy-noop)";

/// A store with history: a vigy that counted, one whose actions fail, one that was declared twice, one that is gone.
async fn lived(path: &Path) {
    let runtime = builder().retain(5, 1 << 20).open(path).await.unwrap();
    let counting = register(&runtime, "counting", COUNTING).await;
    let pushing = register(&runtime, "pushing", "(vigy-push {:list (range 300)}) (vigy-push {:to 1})").await;
    let gone = register(&runtime, "gone", COUNTING).await;
    for _ in 0..8 {
        runtime.tick_now(counting.id).await.unwrap();
        runtime.tick_now(gone.id).await.unwrap();
    }
    runtime.tick_now(pushing.id).await.unwrap();
    register(&runtime, "pushing", "(vigy-push {:to 2})").await;
    runtime.tick_now(pushing.id).await.unwrap();
    runtime.delete(gone.id).await.unwrap();
    runtime.shutdown(Duration::from_secs(5)).await;
}

async fn open(path: &Path) -> Store {
    Store::open(path, Duration::ZERO).await.unwrap()
}

async fn exported(store: &Store) -> Vec<Exported> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let into = all.clone();
    let keep = move |item| {
        into.lock().unwrap().push(item);
        ControlFlow::Continue(())
    };
    store.export(keep).await.unwrap();
    std::mem::take(&mut all.lock().unwrap())
}

#[tokio::test]
async fn everything_that_happened_is_kept_and_told_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("v.redb");
    lived(&path).await;
    let store = open(&path).await;
    assert_eq!(store.check().await.unwrap(), []);
    let all = exported(&store).await;
    let count = |is: fn(&Exported) -> bool| all.iter().filter(|item| is(item)).count();
    assert_eq!(count(|item| matches!(item, Exported::Vigy(_))), 2);
    assert_eq!(count(|item| matches!(item, Exported::Revision { revision, .. } if revision.image.is_some())), 3, "every declaration stays");
    assert_eq!(count(|item| matches!(item, Exported::Run(_))), 5 + 2, "as many runs as retention keeps");
    assert_eq!(count(|item| matches!(item, Exported::DeadLetter { letter, .. } if letter.message == "no such place")), 3);
    let events = all.iter().filter_map(|item| if let Exported::Event { seq, event } = item { Some((*seq, event)) } else { None });
    let events: Vec<_> = events.collect();
    assert!(events.iter().map(|(seq, _)| *seq).eq(1..=events.len() as u64), "numbered without a gap");
    assert!(matches!(&events.last().unwrap().1.what, Happened::Deleted { name } if name == "gone"));
    let told = |is: fn(&Happened) -> bool| events.iter().filter(|(_, event)| is(&event.what)).count();
    assert_eq!(told(|what| matches!(what, Happened::Ran { .. })), 8 + 8 + 2);
    assert_eq!(told(|what| matches!(what, Happened::DeadLettered { .. })), 3);
    assert_eq!(told(|what| matches!(what, Happened::Updated { revision: 2 })), 1);
}

#[tokio::test]
async fn a_backup_is_made_while_vigies_tick_and_is_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("v.redb"), directory.path().join("copy.redb"));
    lived(&path).await;
    let engine: Arc<dyn Engine> = Arc::new(RedbEngine::new(redb::Database::create(&path).unwrap()).unwrap());
    // What ticks do and what the backup does meet in the engine.
    let store = Store::over(engine.clone()).unwrap();
    let before = exported(&store).await;
    let copying = tokio::spawn({
        let copy = copy.clone();
        async move { (store.backup(&copy).await, store) }
    });
    let runtime = builder().over(engine).await.unwrap();
    let id = runtime.resolve("counting").await.unwrap();
    runtime.tick_now(id).await.unwrap();
    let (done, store) = copying.await.unwrap();
    done.unwrap();
    assert!(matches!(store.backup(&copy).await, Err(CopyError::Exists(_))), "it replaces nothing");
    let copied = open(&copy).await;
    assert_eq!(copied.check().await.unwrap(), []);
    assert_eq!(exported(&copied).await, before, "as it was when the backup was asked for");
}

#[tokio::test]
async fn restored_vigies_live_again_under_keys_that_were_never_used() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy, new) = (directory.path().join("v.redb"), directory.path().join("copy.redb"), directory.path().join("new.redb"));
    lived(&path).await;
    open(&path).await.backup(&copy).await.unwrap();
    let mut lives = 100..;
    let mut mint = || Incarnation(lives.next().unwrap());
    assert!(matches!(restore(&copy, &path, NOW, &mut mint), Err(CopyError::Exists(_))), "it replaces nothing");
    restore(&copy, &new, NOW, &mut mint).unwrap();
    let runtime = builder().open(&new).await.unwrap();
    let counting = named(&runtime, "counting").await;
    assert!(counting.checkpoint.incarnation.0 >= 100);
    assert_eq!(runtime.state(counting.id).await.unwrap().kv.len(), 2);
    let run = runtime.tick_now(counting.id).await.unwrap();
    assert_eq!((run.key.incarnation, run.key.tick), (counting.checkpoint.incarnation, 9), "history and numbers go on");
    assert_eq!(runtime.recent_runs(counting.id, 10).await.unwrap().len(), 6);
    runtime.shutdown(Duration::from_secs(5)).await;
    assert_eq!(open(&new).await.check().await.unwrap(), []);
}

/// Everything that a listener hears that goes on from `cursor`, of a runtime that ends.
async fn heard(runtime: RuntimeHandle, cursor: u64) -> Vec<Event> {
    let mut events = runtime.events(Some(cursor));
    runtime.shutdown(Duration::from_secs(5)).await;
    let mut heard = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        heard.push(event);
    }
    heard
}

#[tokio::test]
async fn a_listener_of_the_first_life_hears_that_the_log_is_another() {
    let directory = tempfile::tempdir().unwrap();
    let [path, copy, new, newer] = ["v", "copy", "new", "newer"].map(|name| directory.path().join(name));
    lived(&path).await;
    open(&path).await.backup(&copy).await.unwrap();
    let last = |heard: &[Event]| if let Some(Event::Happened { seq, .. }) = heard.last() { *seq } else { panic!("{heard:?}") };
    let first_life = last(&heard(builder().open(&path).await.unwrap(), 0).await);

    let mut lives = 100..;
    restore(&copy, &new, NOW, || Incarnation(lives.next().unwrap())).unwrap();
    let runtime = builder().open(&new).await.unwrap();
    let ticked = async |runtime: &RuntimeHandle| runtime.tick_now(runtime.resolve("counting").await.unwrap()).await.unwrap();
    ticked(&runtime).await;
    let told = heard(runtime, first_life).await;
    assert!(matches!(told[..], [Event::Reset, Event::Happened { seq, .. }] if seq > first_life), "{told:?}");
    let second_life = last(&told);
    let open_new = async || builder().open(&new).await.unwrap();
    assert_eq!(heard(open_new().await, second_life).await, [], "a number of this log is none of another");
    assert_eq!(heard(open_new().await, 0).await, told[1..], "whoever wants everything gets it, and no more");
    assert_eq!(heard(open_new().await, second_life + 1).await, told, "nobody gave that number out");
    assert_eq!(open(&new).await.check().await.unwrap(), []);

    // The same backup once more, and nothing has happened since.
    restore(&copy, &newer, NOW.plus(1000), || Incarnation(lives.next().unwrap())).unwrap();
    assert_eq!(heard(builder().open(&newer).await.unwrap(), second_life).await, [Event::Reset]);
}

/// Events that a store keeps at least, and how many more it lets gather before it drops them.
const EVENTS_KEPT: u64 = 100_000;
const EVENTS_TRIMMED: u64 = 1000;

#[tokio::test]
async fn a_slow_listener_is_told_how_much_it_missed() {
    let engine = Arc::new(MemoryEngine::new());
    let runtime = builder().over(engine.clone()).await.unwrap();
    let id = register(&runtime, "v", COUNTING).await.id;
    runtime.shutdown(Duration::from_secs(5)).await;
    // It happens again and again, as if nobody had listened for days.
    let key = |seq: u64| [&[3][..], &seq.to_be_bytes()].concat();
    let event = engine.snapshot().unwrap().get(&key(1)).unwrap().expect("it was registered");
    let mut changes = Changes::default();
    (2..=EVENTS_KEPT + EVENTS_TRIMMED).for_each(|seq| _ = changes.set(key(seq), Some(event.clone())));
    engine.commit(&changes).unwrap();

    let runtime = builder().over(engine).await.unwrap();
    let mut slow = runtime.events(Some(5));
    runtime.disable(id).await.unwrap();
    let oldest = EVENTS_TRIMMED + 2;
    assert_eq!(slow.next().await.unwrap(), Some(Event::Missed { events: oldest - 5 - 1 }));
    let Some(Event::Happened { seq, .. }) = slow.next().await.unwrap() else { panic!("the rest is kept") };
    assert_eq!(seq, oldest);
    assert_eq!(runtime.store().check().await.unwrap(), []);
}

#[tokio::test]
async fn what_was_in_flight_in_a_backup_is_not_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, new) = (directory.path().join("old.redb"), directory.path().join("new.redb"));
    store_of_format_2(&path);
    let mut lives = 100..;
    restore(&path, &new, NOW, || Incarnation(lives.next().unwrap())).unwrap();
    assert_eq!(open(&new).await.check().await.unwrap(), []);
    let runtime = builder().open(&new).await.unwrap();
    let acting = named(&runtime, "acting").await;
    assert_eq!(runtime.tick_now(acting.id).await.unwrap().key.tick, 2);
    let old = runtime.recent_runs(acting.id, 2).await.unwrap().pop().unwrap();
    assert_eq!((old.actions[0].result, old.key.incarnation == acting.checkpoint.incarnation), (None, false));
}

#[tokio::test]
async fn check_finds_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("v.redb");
    lived(&path).await;
    let engine: Arc<dyn Engine> = Arc::new(RedbEngine::new(redb::Database::create(&path).unwrap()).unwrap());
    let mut rows = Vec::new();
    let snapshot = engine.snapshot().unwrap();
    let all = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    snapshot.scan(&[]..&[255], Direction::Forward, &mut { all }).unwrap();
    let store = Store::over(engine.clone()).unwrap();
    assert_eq!(store.check().await.unwrap(), []);
    let put = |key: &[u8], value: Option<&[u8]>| {
        let mut changes = Changes::default();
        changes.set(key.to_vec(), value.map(<[u8]>::to_vec));
        engine.commit(&changes).unwrap();
    };
    let mut silent = Vec::new();
    // The store's own facts are looked at whenever it is opened.
    for (key, value) in rows.iter().filter(|(key, _)| key[0] != 0) {
        // A row that is gone, and a row cut short: somebody must miss it.
        for damage in [None, Some(&value[..value.len() / 2])] {
            put(key, damage);
            let findings = Store::over(engine.clone()).unwrap().check().await.unwrap();
            // A kv key, a part of the state or an old declaration may be absent; the newest and the oldest event too.
            if findings.is_empty() {
                silent.push((key[0], key.get(9).copied(), damage.is_some()));
            }
            put(key, Some(value));
        }
    }
    silent.sort_unstable();
    silent.dedup();
    let may_be_absent = |(space, part, cut): &(u8, Option<u8>, bool)| !cut && matches!((space, part), (3, _) | (5, Some(0..=5)));
    assert!(silent.iter().all(may_be_absent), "{silent:?}");
    put(&[9, 9], Some(b"?"));
    let findings = Store::over(engine.clone()).unwrap().check().await.unwrap();
    assert_eq!(findings, [Finding { vigy: None, problem: Problem::UnknownKey(vec![9, 9]) }]);
}

#[tokio::test]
async fn an_open_file_is_let_go_by_closing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("v.redb");
    let store = open(&path).await;
    assert!(matches!(Store::open(&path, Duration::ZERO).await, Err(OpenError::Busy { .. })));
    store.close().await;
    open(&path).await;
}

#[tokio::test]
async fn old_runs_go_when_the_vigy_ticks_and_the_last_one_stays() {
    let time = Arc::new(AtomicU64::new(0));
    let told = time.clone();
    let clock = move || Timestamp(told.load(Ordering::SeqCst));
    let runtime = builder().clock(clock).retain_for(Duration::from_secs(60)).in_memory().await.unwrap();
    let id = register(&runtime, "v", COUNTING).await.id;
    let mut kept = Vec::new();
    for at in [1, 30, 61, 62, 200] {
        time.store(at * 1000, Ordering::SeqCst);
        runtime.tick_now(id).await.unwrap();
        kept.push(runtime.recent_runs(id, 10).await.unwrap().len());
    }
    assert_eq!(kept, [1, 2, 3, 3, 1]);
}
