//! A program leaves the same bytes in the store, whether it runs natively or as a module.

mod common;

use adapter_wasm::Engine;
use common::{HELLO, MIRROR, compile, end, in_every_engine, life, module};
use vigy_core::Limits;

const SEEDS: u64 = 24;

in_every_engine! {
    hello_vigy,
    mirror_dir,
    keys_outcomes_and_time_reach_from_tick_to_tick,
    a_call_finds_everything_that_it_needs,
    an_endless_loop_ends_by_fuel,
    all_fuel_of_a_vigy_can_be_used,
    every_limit_ends_a_module_as_it_ends_the_program,
}

/// Lives a vigy natively and as a module, from the same seeds, and compares all that they leave.
#[track_caller]
fn check<E: Engine + Default>(source: &str, limits: Limits, seeds: u64, ticks: u32) -> (String, u64) {
    let image = compile(source);
    let module = module::<E>(&image);
    assert_eq!(module.program(), image.hash());
    let mut last = Default::default();
    for seed in 0..seeds {
        let native = life::<E>(&image, None, seed, limits, ticks);
        let as_module = life(&image, Some(&module), seed, limits, ticks);
        assert_eq!(native.runs.len(), ticks as usize);
        for (run, record) in &native.runs {
            assert_eq!(Some(record), as_module.runs.get(run), "seed {seed}, run {run}: {:?}", end(&as_module, &limits));
        }
        assert!(native == as_module, "seed {seed}: values, keys, outcomes and checkpoint are the same too");
        last = end(&as_module, &limits);
    }
    last
}

fn hello_vigy<E: Engine + Default>() {
    assert_eq!(check::<E>(HELLO, Limits::default(), SEEDS, 5).0, "ok");
}

fn mirror_dir<E: Engine + Default>() {
    check::<E>(MIRROR, Limits::default(), SEEDS, 3);
}

fn keys_outcomes_and_time_reach_from_tick_to_tick<E: Engine + Default>() {
    let program = r#"
        (def n (vigy-incr "n"))
        (vigy-set "squares" (map (fn [x] (* x x)) (range 0 (* 40 n))))
        (vigy-log "info" (str n " " (vigy-get "n") " " (vigy-last-outcomes) " " (vigy-since-last-tick) " " (vigy-tick)))
        (vigy-trace "squares" (vigy-get "squares"))
        (if (vigy-once "first") (vigy-event "first" "tick"))
        (if (vigy-rate-limited? "r" 2500) (vigy-log "debug" "limited"))
        (vigy-metric "root" (sqrt n))
        (display (/ 1.0 n))
        (vigy-condition "Ready" (even? n) "Counting" "still")
        (when (> n 2) (vigy-del "squares"))
        (for [x (range 0 n)] (vigy-push {:x x :data (vigy-get "squares")}))
        (vigy-defer "the rest")"#;
    assert_eq!(check::<E>(program, Limits::default(), SEEDS, 5).0, "ok");
}

/// A module keeps of the guest what its program reaches: here that is one call, and how it is printed or encoded.
fn a_call_finds_everything_that_it_needs<E: Engine + Default>() {
    for call in [
        r#"(format "{} {}" 1.5e300 (list 'a :b "c\né"))"#,
        r#"(json-stringify (json-parse "{\"a\": [1, 2.5e-7, null]}"))"#,
        r#"(read-string "(a {:b #t} \"c\")")"#,
        r#"(re-find-all "[a-z]+|\\d{2,}" "hello 12345")"#,
        r#"(sha512 (base64-encode "text"))"#,
        r#"(str/upper "straße")"#,
        r#"(list (sin 1e22) (expt 2.5 0.5) (parse-float "1e-300") (modulo -7 3))"#,
        r#"(merge {:a 1} (select-keys {:b 2 :c 3} (list :b)))"#,
        r#"(sort (list 3 1 2))"#,
        r#"(vigy-backoff-ms 3)"#,
        r#"(try (+ 1 "one") (catch (e) e))"#,
    ] {
        assert_eq!(check::<E>(&format!("(vigy-trace \"it\" (str {call}))"), Limits::default(), 1, 1).0, "ok", "{call}");
        assert_eq!(check::<E>(&format!("(vigy-log \"info\" {call})"), Limits::default(), 1, 1).0, "ok", "{call}");
    }
    assert!(check::<E>("(vigy-incr \"n\" :one)", Limits::default(), 1, 1).0.contains("type-mismatch"));
    assert!(check::<E>("(vigy-next-in 5000) (vigy-retry 250 :later)", Limits::default(), 1, 2).0.contains("retry: in 250 ms: later"));
    assert!(check::<E>("(try (vigy-fail \"no\") (catch (e) 1))", Limits::default(), 1, 2).0.contains("permanent: no"));
}

fn an_endless_loop_ends_by_fuel<E: Engine + Default>() {
    let limits = Limits { fuel: 300_000, ..Limits::default() };
    let (outcome, fuel) = check::<E>("(vigy-log \"info\" \"round\") (loop [n 0] (recur (+ n 1)))", limits, 2, 2);
    assert_eq!(outcome, "out-of-fuel: used all 300000 steps (limit `fuel`)");
    println!("an endless loop: {fuel} units of fuel, natively and in the module");
}

/// What bounds a module never ends a program before its own limits do, however much each of its steps does.
fn all_fuel_of_a_vigy_can_be_used<E: Engine + Default>() {
    // Little memory, so that it is the steps that the bounds come from.
    let bytes = 64 << 10;
    let little = Limits { heap_bytes: bytes, stack_bytes: bytes, record_bytes: bytes, value_bytes: bytes, ..Limits::default() };
    let limits = Limits { fuel: 100_000, ..little };
    for body in [
        "(+ n 1)",
        "(if (= a b) 1 2)",
        "(if (member? 299 a) 1 2)",
        "(if (string-contains? text \"aaaaab\") 1 2)",
        "(if (re-match? \"(a|b)*d\" \"aaaaaaaaaaaaaaaaaaaa\") 1 2)",
    ] {
        let definitions = "(def a (range 0 300)) (def b (range 0 300)) (def text (string-repeat \"a\" 1000))";
        let program = format!("{definitions} (loop [n 0] (recur {body}))");
        assert_eq!(check::<E>(&program, limits, 1, 1).0, "out-of-fuel: used all 100000 steps (limit `fuel`)", "{body}");
    }
}

fn every_limit_ends_a_module_as_it_ends_the_program<E: Engine + Default>() {
    let small = Limits {
        fuel: 1_000_000,
        heap_bytes: 64 << 10,
        depth: 100,
        stack_bytes: 16 << 10,
        output_bytes: 1000,
        actions: 4,
        log_lines: 3,
        kv_keys: 3,
        record_bytes: 4096,
        value_bytes: 8192,
    };
    let ends = |source: &str| check::<E>(source, small, 1, 2).0;
    let tag = |end: String| end.split(':').next().unwrap_or_default().to_owned();
    let forever = |body: &str| tag(ends(&format!("(loop [n 0] {body} (recur (+ n 1)))")));
    assert_eq!(forever("(vigy-push n)"), "too-many-actions");
    assert_eq!(forever("(vigy-log \"info\" n)"), "too-many-log-lines");
    assert_eq!(forever("(display \"0123456789\")"), "too-much-output");
    assert_eq!(forever("(vigy-get (str n))"), "too-many-kv-keys");
    assert_eq!(forever("(vigy-set (str n) n)"), "too-many-kv-keys");
    assert_eq!(forever("(vigy-metric \"m\" n)"), "record-full");
    assert_eq!(forever("(vigy-trace \"t\" (range n (+ n 300)))"), "too-many-value-bytes");
    assert_eq!(tag(ends("(defn grow [l] (grow (append l l))) (grow (range 0 100))")), "out-of-heap");
    assert!(ends("(defn deep [n] (+ 1 (deep n))) (deep 1)").contains("depth-exceeded"));
    assert!(ends("(vigy-set \"\" 1)").contains("bad-key: a kv key cannot be empty"));
    assert!(ends("(fs/read \"x\") (throw \"on purpose\")").contains(':'));
}
