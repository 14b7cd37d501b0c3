//! The verbs, as programs use them.
#![cfg(all(feature = "sim", feature = "compiler"))]

use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::record::{Content, Entry, Explain, Record};
use vigy_core::sim::{ManualClock, MemoryStorage, RecordedEffects};
use vigy_core::{Checkpoint, Host, Incarnation, Limits, Spec, TickBuffers, TickInterval, Timestamp, Unfinished};
use vigy_lisp::reference::{Entry as Told, entries};
use vigy_lisp::{Arity, Data, HostFn};

const OPERATIONS: [HostFn; 1] = [HostFn { name: "fs/list", arity: Arity::exactly(1), writes: false, secret: false, doc: "" }];

/// One vigy on a simulated host.
struct Sim {
    host: Host<ManualClock, MemoryStorage, RecordedEffects>,
    checkpoint: Checkpoint,
}

impl Sim {
    fn new() -> Self {
        let clock = ManualClock(Timestamp(1_000_000));
        let host = Host { clock, storage: MemoryStorage::default(), effects: RecordedEffects::default() };
        Self { host, checkpoint: Checkpoint::new(Incarnation(7), clock.0) }
    }

    /// Ticks a program and tells how the run ended: `ok`, or the error.
    fn tick(&mut self, source: &str) -> String {
        let limits = Limits { fuel: 100_000, ..Limits::default() };
        let image = lisp::compile(source, &OPERATIONS).unwrap();
        let imports = Imports::of(image.program()).unwrap();
        let spec = Spec::every(TickInterval::default(), image.hash(), limits);
        let mut buffers = TickBuffers::for_limits(&limits);
        let mut words = vec![0; lisp::words_needed(image.program(), &limits)];
        let mut evaluation = Lisp::new(image.program(), &imports, &limits, &mut words).unwrap();
        self.host.tick(&spec, &mut self.checkpoint, buffers.memory(), &mut evaluation).unwrap();
        self.host.clock.0 = self.checkpoint.due;
        Explain(self.record().end().0, &limits).to_string()
    }

    fn record(&self) -> Record<'_> {
        Record::parse(self.host.storage.runs.values().next_back().unwrap()).unwrap()
    }

    fn kv(&self, key: &str) -> Option<Data> {
        self.host.storage.kv.get(key).map(|bytes| postcard::from_bytes(bytes).unwrap())
    }
}

/// What a program logs, line by line, in one tick that ends well.
#[track_caller]
fn logs(source: &str) -> Vec<String> {
    let mut sim = Sim::new();
    assert_eq!(sim.tick(source), "ok");
    let line = |entry| if let Entry::Log { message, .. } = entry { Some(message.to_owned()) } else { None };
    sim.record().entries().filter_map(line).collect()
}

/// How a program fails.
#[track_caller]
fn fails(source: &str) -> String {
    Sim::new().tick(source)
}

#[test]
fn hello_logs_a_line_and_queues_a_noop() {
    let mut sim = Sim::new();
    assert_eq!(sim.tick(r#"(vigy-log "info" "hello from a vigy") (vigy-noop)"#), "ok");
    let entries: Vec<_> = sim.record().entries().map(|entry| format!("{entry:?}")).collect();
    assert!(entries[0].contains("hello from a vigy"), "{entries:?}");
    assert!(entries[1].contains("Noop"), "{entries:?}");
    assert!(sim.checkpoint.unfinished == Unfinished::Nothing && sim.host.effects.acted.is_empty(), "a noop asks nobody");
}

#[test]
fn log_takes_any_value() {
    assert_eq!(logs("(vigy-log :info (list 1 \"a\" :b))"), ["(1 a :b)"]);
}

#[test]
fn every_kind_of_action_reaches_the_handler_in_order_under_its_key() {
    let mut sim = Sim::new();
    let source = "(vigy-pull 1) (vigy-push 1) (vigy-create 1) (vigy-update 1) (vigy-delete 1) (vigy-delete-action 1)
                  (vigy-apply 1) (vigy-restart 1) (vigy-emit :custom {:a 1}) (vigy-emit \"pull\") (vigy-noop) (vigy-defer \"x\")";
    assert_eq!(sim.tick(source), "ok");
    let kinds = ["pull", "push", "create", "update", "delete", "delete", "apply", "restart", "custom", "pull"];
    let expected: Vec<_> = kinds.iter().enumerate().map(|(index, kind)| format!("0000000000000007-1-{index} {kind}")).collect();
    assert_eq!(sim.host.effects.acted, expected);
}

#[test]
fn outcomes_reach_the_next_tick() {
    let mut sim = Sim::new();
    assert_eq!(sim.tick("(if (vigy-last-outcomes) (car ()) (vigy-push 1)) (vigy-defer \"later\")"), "ok");
    let source = "(def o (vigy-last-outcomes))
                  (vigy-log :info (list (count o) (:kind (first o)) (:result (first o)) (:result (nth 1 o)) (:message (nth 1 o))))";
    assert_eq!(sim.tick(source), "ok");
    let Some(Entry::Log { message, .. }) = sim.record().entries().find(|entry| matches!(entry, Entry::Log { .. })) else { panic!() };
    assert_eq!(message, "(2 :push :ok :skipped later)");
}

#[test]
fn kv_lives_from_tick_to_tick() {
    let mut sim = Sim::new();
    let source = "(vigy-incr :n) (vigy-incr :n 10) (vigy-set :last {:tick (vigy-tick-count)})";
    assert_eq!((sim.tick(source), sim.tick(source)), ("ok".into(), "ok".into()));
    assert_eq!(sim.kv("n"), Some(Data::Int(22)));
    assert_eq!(sim.kv("last"), Some(Data::map([("tick", Data::Int(2))])));
    assert_eq!(sim.tick("(if (vigy-has? :n) (vigy-del :n) (car ()))"), "ok");
    assert_eq!(sim.kv("n"), None);
}

#[test]
fn a_read_sees_the_writes_of_its_own_tick() {
    assert_eq!(
        logs(
            "(vigy-set :a 1) (vigy-log :info (vigy-get :a)) (vigy-del :a) (vigy-log :info (vigy-get :a :gone)) (vigy-log :info (vigy-get :b))"
        ),
        ["1", "gone", "()"]
    );
}

#[test]
fn large_values_survive() {
    let mut sim = Sim::new();
    assert_eq!(sim.tick("(vigy-set :big (range 500))"), "ok");
    assert_eq!(sim.tick("(if (= (vigy-get :big) (range 500)) (vigy-noop) (car ()))"), "ok");
}

#[test]
fn once_is_once_in_a_life_and_convergence_is_remembered() {
    let mut sim = Sim::new();
    let source = "(vigy-log :info (list (vigy-once :a) (vigy-once :a) (vigy-converged? :a))) (vigy-mark-converged :a)";
    let line =
        |sim: &Sim| sim.record().entries().find_map(|e| if let Entry::Log { message, .. } = e { Some(message.to_owned()) } else { None });
    sim.tick(source);
    assert_eq!(line(&sim).unwrap(), "(#t #f #f)");
    sim.tick(source);
    assert_eq!(line(&sim).unwrap(), "(#f #f #t)");
}

#[test]
fn rate_limits_open_a_window() {
    let mut sim = Sim::new();
    let source = "(if (vigy-rate-limited? :mail 1500) nil (vigy-incr :sent))";
    (0..4).for_each(|_| assert_eq!(sim.tick(source), "ok"));
    assert_eq!(sim.kv("sent"), Some(Data::Int(2)), "ticks at 0, 1000, 2000, 3000 ms: the first and the third");
}

#[test]
fn time_is_the_ticks_own() {
    assert_eq!(
        logs(
            "(vigy-log :info (list (vigy-tick) (vigy-tick-count) (vigy-since-last-tick) (vigy-backoff-ms -1) (vigy-backoff-ms 3) (vigy-backoff-ms 99)))"
        ),
        ["(1000000 1 -1 1000 8000 30000)"]
    );
}

#[test]
fn what_is_told_is_kept() {
    let mut sim = Sim::new();
    let source = "(vigy-desired :a 1) (vigy-observed :b 2) (vigy-condition :Ready :true) (vigy-condition \"Ready\" true nil \"fine\")
                  (vigy-metric :m 1.5) (vigy-metric :m 2) (vigy-event :moved \"x\") (vigy-trace :t {:k 1}) (println \"printed\")";
    assert_eq!(sim.tick(source), "ok");
    assert_eq!(sim.record().entries().count(), 10, "nine and the end");
}

#[test]
fn mistakes_are_errors_that_say_what_to_do() {
    assert_eq!(
        fails("(vigy-emit :explode)"),
        "1:1: native-fn: the kinds of action are noop defer pull push create update delete apply restart custom"
    );
    assert_eq!(fails("(vigy-log :loud \"x\")"), "1:1: native-fn: the levels are trace debug info warn error");
    assert_eq!(fails("(vigy-set \"__sys::tick\" 1)"), "1:1: reserved-key: kv keys that begin with __ belong to the runtime");
    assert_eq!(logs("(vigy-once :a) (vigy-log :info (vigy-get \"__once::a\"))"), ["#t"], "they can be read");
    assert_eq!(fails("(vigy-set :f car)"), "1:1: not-data: functions, promises and the like cannot leave the program");
    assert_eq!(fails("(vigy-set :n \"x\") (vigy-incr :n)"), "1:19: type-mismatch: vigy-incr counts in a key that holds an int");
    assert_eq!(logs("(vigy-log :info (try (vigy-emit :explode) (catch (e) (error-tag e))))"), ["native-fn"], "and can be caught");
}

#[test]
fn asks_are_answered_or_refused() {
    let mut sim = Sim::new();
    let answer = Data::List(vec![Data::map([("path", Data::from("a"))])]);
    sim.host.effects = RecordedEffects::default().always("fs/list", postcard::to_allocvec(&answer).unwrap());
    assert_eq!(sim.tick("(vigy-set :paths (map :path (fs/list \"/x\")))"), "ok");
    assert_eq!(sim.kv("paths"), Some(Data::List(vec![Data::from("a")])));
    sim.host.effects.answers.clear();
    assert_eq!(sim.tick("(fs/list \"/x\")"), "1:1: not-recorded: no recorded answer for fs/list");
    assert_eq!(sim.tick("(try (fs/list \"/x\") (catch (e) (vigy-set :caught (error-tag e))))"), "ok");
    assert_eq!(sim.kv("caught"), Some(Data::keyword("not-recorded")));
}

#[test]
fn an_event_has_details_as_a_program_would_write_them() {
    let mut sim = Sim::new();
    assert_eq!(sim.tick("(emit-event :grown {:claim \"a/b\" :at (now-epoch)})"), "ok");
    let event =
        sim.record().entries().find_map(|entry| if let Entry::Event { kind, message } = entry { Some((kind, message)) } else { None });
    assert_eq!(event, Some(("grown", "{:claim \"a/b\", :at 1000}")));
    // The same as an action, for who hands events on.
    let payload = sim.record().entries().find_map(|entry| if let Entry::Action { payload, .. } = entry { payload } else { None });
    let Some(Content::Inline(bytes)) = payload else { panic!("{payload:?}") };
    let details = Data::map([("claim", Data::from("a/b")), ("at", Data::Int(1000))]);
    let expected = Data::map([("event", Data::keyword("grown")), ("details", details)]);
    assert_eq!(postcard::from_bytes::<Data>(bytes.0).unwrap(), expected);
}

#[test]
fn an_endless_loop_ends_by_fuel_and_the_vigy_goes_on() {
    let mut sim = Sim::new();
    assert_eq!(sim.tick("(define (f) (f)) (f)"), "out-of-fuel: used all 100000 steps (limit `fuel`)");
    assert_eq!(sim.record().end().1, 100_000);
    assert_eq!(sim.tick("(vigy-noop)"), "ok");
}

#[test]
fn a_program_ends_its_tick_and_nothing_catches_that() {
    assert_eq!(fails("(try (vigy-retry 5000) (catch (e) (vigy-noop)))"), "1:6: retry: in 5000 ms");
    assert_eq!(fails("(vigy-noop)\n  (vigy-retry 5000 [\"disk\" :busy])"), "2:3: retry: in 5000 ms: (disk :busy)");
    assert_eq!(fails("(try (vigy-fail :never) (catch (e) (vigy-noop)))"), "1:6: permanent: never");
    assert_eq!(
        fails("(vigy-next-in -1)"),
        "1:1: bad-interval: the next tick comes in 100 ms at the earliest and in 365 days at the latest"
    );
    let mut sim = Sim::new();
    sim.tick("(vigy-set :a 1) (vigy-push 1) (vigy-fail \"no\")");
    assert!(sim.checkpoint.parked && sim.kv("a").is_none() && sim.host.effects.acted.is_empty());
    assert_eq!(sim.tick("(vigy-next-in 100) (vigy-next-in 2500)"), "ok");
    assert_eq!((sim.checkpoint.parked, sim.checkpoint.due.since(sim.checkpoint.since)), (false, 2500));
}

#[test]
fn unknown_names_are_found_before_anything_runs() {
    let error = lisp::compile("(vigy-log \"info\" \"x\")\n(vigy-nop)", &[]).unwrap_err();
    assert!(error.to_string().starts_with("2:2: ") || error.to_string().starts_with("2:1: "), "{error}");
}

/// The verbs that the reference tells of.
fn told() -> impl Iterator<Item = Told<'static>> {
    entries(lisp::VERB_REFERENCE)
}

#[test]
fn the_reference_tells_of_every_verb_and_of_no_other() {
    let mut told: Vec<_> = told().flat_map(|entry| entry.names()).collect();
    let mut verbs: Vec<_> = lisp::VERB_FUNCTIONS.iter().map(|verb| verb.name).collect();
    told.sort_unstable();
    verbs.sort_unstable();
    assert_eq!(told, verbs);
}

#[test]
fn every_example_of_the_reference_gives_what_it_says() {
    for entry in told() {
        let examples = entry.examples();
        assert!(!examples.is_empty(), "{:?} shows nothing", entry.names().collect::<Vec<_>>());
        for example in examples {
            let mut sim = Sim::new();
            let ended = sim.tick(&format!("{} (vigy-log :info (pr-str {}))", example.given, example.form));
            let line = |entry| if let Entry::Log { message, .. } = entry { Some(message.to_owned()) } else { None };
            let value = sim.record().entries().filter_map(line).last();
            match example.gives {
                Ok(expected) => assert_eq!((ended.as_str(), value.as_deref()), ("ok", Some(expected)), "{}", example.form),
                Err(tag) => assert!(ended.contains(&format!(": {tag}: ")), "{}: {ended}", example.form),
            }
        }
    }
}
