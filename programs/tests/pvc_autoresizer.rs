//! The pvc-autoresizer by recorded answers: a line for everything that can come of a claim.

mod cluster;
#[path = "../../adapter-embassy/firmware/src/wake.rs"]
#[allow(dead_code, reason = "a device's limits are what these tests want of it")]
mod wake;

use adapter_tokio::HostEffects as _;
use cluster::{Claim, NOW, answers, claim, claims};
use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::record::{Entry, Explain, Record};
use vigy_core::sim::{ManualClock, MemoryStorage, RecordedEffects};
use vigy_core::{AskError, Checkpoint, Host, Incarnation, Limits, Spec, TickBuffers, TickInterval, Timestamp};
use vigy_lisp::Data;
use vigy_programs::{Platform, json};

const PROGRAM: &str = include_str!("../pvc-autoresizer/main.tlisp");

/// What came of one run.
struct Ran {
    /// `kind NAME {details}` of each event but the summary, without the namespace.
    events: Vec<String>,
    summary: String,
    warnings: Vec<String>,
    metrics: Vec<(String, f64)>,
    /// The arguments of each patch, as JSON.
    patches: Vec<String>,
    /// The other asks, with their arguments as JSON.
    asked: Vec<String>,
    error: Option<String>,
    heap: u64,
    fuel: u64,
    image: usize,
}

/// One run on a host with these effects, and the store of the run before.
fn run_on(effects: RecordedEffects, storage: MemoryStorage, limits: Limits) -> (Ran, MemoryStorage) {
    let image =
        lisp::compile(PROGRAM, Platform::default().operations()).unwrap_or_else(|error| panic!("{}", error.render("main.tlisp", PROGRAM)));
    let imports = Imports::of(image.program()).unwrap();
    let spec = Spec::every(TickInterval::default(), image.hash(), limits);
    let mut buffers = TickBuffers::for_limits(&limits);
    let mut words = vec![0; lisp::words_needed(image.program(), &limits)];
    let mut evaluation = Lisp::new(image.program(), &imports, &limits, &mut words).unwrap();
    let now = Timestamp(NOW as u64 * 1000);
    let mut checkpoint = storage.checkpoint.unwrap_or_else(|| Checkpoint::new(Incarnation(7), now));
    let mut host = Host { clock: ManualClock(now), storage, effects };
    host.tick(&spec, &mut checkpoint, buffers.memory(), &mut evaluation).unwrap();
    let heap = evaluation.heap_used();

    let show = |bytes: &[u8]| json::show(&postcard::from_bytes(bytes).unwrap());
    let mut ran = Ran {
        events: Vec::new(),
        summary: String::new(),
        warnings: Vec::new(),
        metrics: Vec::new(),
        patches: Vec::new(),
        asked: Vec::new(),
        error: None,
        heap,
        fuel: 0,
        image: image.program().words().len() * 8,
    };
    let record = Record::parse(host.storage.runs.values().next_back().unwrap()).unwrap();
    for entry in record.entries() {
        match entry {
            Entry::Event { kind: "pvc-autoresizer-summary", message } => ran.summary = message.to_owned(),
            Entry::Event { kind, message } => {
                let rest = message.strip_prefix("{:kind \"PersistentVolumeClaim\", :namespace \"apps\", :name \"").unwrap();
                let (name, details) = rest.split_once('"').unwrap();
                let details = details.trim_start_matches(", ").trim_end_matches('}');
                ran.events.push(format!("{kind} {name} {details}").trim_end().to_owned());
            }
            Entry::Log { message, .. } => ran.warnings.push(message.to_owned()),
            Entry::Metric { name, value } => ran.metrics.push((name.to_owned(), value)),
            _ => {}
        }
    }
    for asked in &host.effects.asked {
        let arguments = show(&asked.arguments).to_string();
        if asked.operation == "k8s/patch-pvc" {
            assert!(asked.key.is_some(), "a write has a key");
            ran.patches.push(arguments);
        } else {
            ran.asked.push(format!("{} {arguments}", asked.operation));
        }
    }
    let (verdict, fuel) = record.end();
    ran.fuel = fuel;
    let text = Explain(verdict, &limits).to_string();
    ran.error = (text != "ok").then_some(text);
    (ran, host.storage)
}

/// The configuration that this JSON is.
fn config(json: &str) -> Data {
    json::to_data(&serde_json::from_str(json).unwrap()).unwrap()
}

/// A run over these claims; every patch that may be asked for is answered.
#[track_caller]
fn run(claims: &[Claim], json: &str) -> Ran {
    let effects = answers(claims, &config(json), &claims.iter().collect::<Vec<_>>());
    run_on(effects, MemoryStorage::default(), Limits::default()).0
}

/// A run over one claim tells these events, and no others.
#[track_caller]
fn tells(claim: Claim, config: &str, events: &[&str]) {
    let ran = run(&[claim], config);
    assert_eq!((ran.events, ran.error), (events.iter().map(|event| (*event).to_owned()).collect(), None));
}

/// The configuration is refused, before anything is asked for.
#[track_caller]
fn refuses(config: &str, error: &str) {
    let ran = run(&[], config);
    let got = ran.error.unwrap();
    assert!(got.contains(error), "{got}");
    assert_eq!(ran.asked, ["computeunit/config []"]);
}

const GROWN: &str = "pvc-expanded data :from \"30Gi\", :to \"38Gi\"";

fn full() -> Claim {
    claim("data").full(90.0)
}

#[test]
fn t1_a_claim_grows_from_the_trigger_on() {
    tells(claim("data").full(79.0), "{}", &[]);
    tells(claim("data").full(80.0), "{}", &[GROWN]);
    tells(claim("data").full(81.0), "{}", &[GROWN]);
    tells(claim("data").full(81.0), r#"{"triggerAt":0.9}"#, &[]);
    tells(claim("data").full(100.0), r#"{"triggerAt":1}"#, &[GROWN]);
}

#[test]
fn size_annotation_and_version_are_one_patch() {
    let ran = run(&[full()], "{}");
    let patch = r#"[{"namespace":"apps","name":"data","resource-version":"7","request":"38Gi","annotations":{"pleme.pleme.io/last-expansion-epoch":"1700000000"}}]"#;
    assert_eq!(ran.patches, [patch]);
    assert_eq!(ran.summary, "{:scanned 1, :expanded 1, :skipped_cooldown 0, :at_ceiling 0}");
}

#[test]
fn t2_a_claim_that_was_just_grown_is_left_alone() {
    tells(full().grown_before(599), "{}", &["pvc-in-cooldown data"]);
    tells(full().grown_before(600), "{}", &[GROWN]);
    tells(full().grown_before(61), r#"{"cooldownSeconds":60}"#, &[GROWN]);
    // A clock that is ahead: within the window it counts, beyond it does not.
    tells(full().grown_before(-599), "{}", &["pvc-in-cooldown data"]);
    tells(full().grown_before(-601), "{}", &[GROWN]);
    assert!(run(&[full().grown_before(1)], "{}").patches.is_empty());
}

#[test]
fn a_time_that_is_none_is_ignored_and_said() {
    for text in ["yesterday", "", "-5", "9223372036854775807", "1e9"] {
        let ran = run(&[Claim { grown_at: Some(text.to_owned()), ..full() }], "{}");
        assert_eq!(ran.events, [GROWN], "{text}");
        assert_eq!(ran.warnings, [format!("apps/data: no time, and ignored: pleme.pleme.io/last-expansion-epoch={text}")]);
    }
}

#[test]
fn t3_a_claim_does_not_grow_beyond_the_ceiling() {
    let ceiling = |from: &str, max: &str| format!("pvc-at-ceiling data :from {from:?}, :max {max:?}");
    tells(full().of_size("81Gi"), "{}", &[&ceiling("81Gi", "100Gi")]);
    tells(full().of_size("80Gi"), "{}", &["pvc-expanded data :from \"80Gi\", :to \"100Gi\""]);
    // 37.5Gi would fit, 38Gi does not.
    tells(full(), r#"{"maxSize":"37.9Gi"}"#, &[&ceiling("30Gi", "37.9Gi")]);
    tells(full(), r#"{"maxSize":"38Gi"}"#, &[GROWN]);
    let ran = run(&[full().of_size("81Gi")], "{}");
    assert_eq!((ran.patches.len(), ran.summary.as_str()), (0, "{:scanned 1, :expanded 0, :skipped_cooldown 0, :at_ceiling 1}"));
}

#[test]
fn sizes_are_exact_and_round_up() {
    let grows = |from: &str, factor: &str, to: &str| {
        let config = format!(r#"{{"expandFactor":{factor},"maxSize":"7Ei"}}"#);
        tells(full().of_size(from), &config, &[&format!("pvc-expanded data :from {from:?}, :to {to:?}")]);
    };
    grows("30Gi", "1.25", "38Gi");
    grows("10Gi", "1.1", "11Gi");
    grows("1Gi", "1.000001", "2Gi");
    grows("1", "1.5", "1Gi");
    grows("1000M", "1.25", "2Gi");
    grows("858993459", "1.25", "1Gi");
    grows("858993460", "1.25", "2Gi");
    grows("4Ei", "1.5", "6442450944Gi");
    // Beyond 64 bits is an error of this claim alone.
    tells(
        full().of_size("7Ei"),
        r#"{"maxSize":"7Ei","expandFactor":2}"#,
        &["pvc-expansion-failed data :reason :integer-overflow, :message \"`*`: the result does not fit into 64 bits\""],
    );
}

#[test]
fn t4_a_dry_run_patches_nothing() {
    let ran = run(&[full(), claim("other").full(95.0)], r#"{"dryRun":true}"#);
    assert_eq!(ran.patches.len(), 0);
    assert_eq!(ran.events[0], "pvc-expansion-dry-run data :from \"30Gi\", :to \"38Gi\"");
    assert_eq!(ran.summary, "{:scanned 2, :expanded 0, :skipped_cooldown 0, :at_ceiling 0}");
}

#[test]
fn t5_without_prometheus_nothing_is_done_and_the_run_is_well() {
    let mut effects = answers(&[full(), claim("other")], &Data::Nil, &[]);
    for answer in effects.answers.iter_mut().filter(|answer| answer.operation == "prom/query") {
        answer.answer = Err(AskError::new("unavailable", format_args!("no route to host")));
    }
    let (ran, _) = run_on(effects, MemoryStorage::default(), Limits::default());
    assert_eq!(ran.events, ["pvc-metrics-missing data", "pvc-metrics-missing other"]);
    assert_eq!((ran.patches.len(), ran.error), (0, None));
    assert_eq!(ran.warnings[0], "kubelet_volume_stats_used_bytes: unavailable: no route to host");
}

#[test]
fn numbers_that_say_nothing_are_no_metrics() {
    let missing = |used, of| tells(Claim { used, of, ..full() }, "{}", &["pvc-metrics-missing data"]);
    missing(None, Some(100.0));
    missing(Some(90.0), None);
    missing(Some(90.0), Some(0.0));
    for strange in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        missing(Some(strange), Some(100.0));
        missing(Some(90.0), Some(strange));
    }
}

#[test]
fn t6_what_goes_wrong_with_one_claim_does_not_stop_the_others() {
    for (tag, message) in [("conflict", "the object has been modified"), ("forbidden", "only dynamically provisioned"), ("invalid", "no")] {
        let refused = Claim { refused: Some((tag, message)), ..claim("first").full(90.0) };
        let ran = run(&[refused, full()], "{}");
        assert_eq!(ran.events, [format!("pvc-expansion-failed first :reason :{tag}, :message {message:?}"), GROWN.to_owned()]);
        assert_eq!((ran.patches.len(), ran.error), (2, None));
    }
    let strange = Claim { request: "lots".to_owned(), ..claim("first").full(90.0) };
    let ran = run(&[strange, full()], "{}");
    assert!(ran.events[0].starts_with("pvc-expansion-failed first :reason :invalid-quantity"), "{:?}", ran.events);
    assert_eq!(ran.events[1], GROWN);
}

#[test]
fn t7_namespaces_and_selector_are_what_is_listed() {
    let asked = |config| run(&[], config).asked[1].clone();
    let annotations = r#""annotations":["pleme.pleme.io/last-expansion-epoch"]"#;
    let selector = r#""selector":{"matchLabels":{"breathable":"true"}}"#;
    assert_eq!(asked("{}"), format!(r#"k8s/list-pvcs [{{"namespaces":null,{selector},{annotations}}}]"#));
    assert_eq!(asked(r#"{"namespaces":["a","b"]}"#), format!(r#"k8s/list-pvcs [{{"namespaces":["a","b"],{selector},{annotations}}}]"#));
    let expressions = r#"{"matchExpressions":[{"key":"tier","operator":"In","values":["db"]}]}"#;
    assert!(asked(&format!(r#"{{"selector":{expressions}}}"#)).contains(expressions));
}

#[test]
fn a_resize_that_is_under_way_is_waited_for() {
    let resizing = Claim { capacity: "25Gi".to_owned(), ..full() };
    tells(resizing.clone(), "{}", &["pvc-resize-in-progress data :capacity \"25Gi\", :request \"30Gi\""]);
    tells(Claim { used: Some(1.0), ..resizing }, "{}", &[]);
    tells(Claim { phase: "Pending", ..full() }, "{}", &["pvc-not-bound data :phase \"Pending\""]);
}

#[test]
fn two_queries_tell_of_all_claims_of_a_batch() {
    let ran = run(&(0..60).map(|n| claim(&format!("data-{n}"))).collect::<Vec<_>>(), r#"{"prometheusUrl":"http://prom"}"#);
    let queries: Vec<_> = ran.asked.iter().filter(|asked| asked.starts_with("prom/query")).collect();
    assert_eq!(queries.len(), 6);
    let ran = run(&[claim("a"), claim("b.c")], r#"{"prometheusUrl":"http://prom"}"#);
    let query = |metric| {
        let query = format!(r#"max by (namespace, persistentvolumeclaim) ({metric}{{persistentvolumeclaim=~"a|b.c"}})"#);
        format!("prom/query {}", serde_json::json!(["http://prom", query]))
    };
    assert_eq!(ran.asked[2..], [query("kubelet_volume_stats_used_bytes"), query("kubelet_volume_stats_capacity_bytes")]);
}

#[test]
fn a_sample_is_of_the_claim_with_its_name_and_namespace() {
    let same_name_elsewhere = Claim { namespace: "other", ..claim("data").full(99.0) };
    let mut effects = answers(&[same_name_elsewhere, claim("data").full(10.0)], &Data::Nil, &[]);
    // Only the idle one is listed; the samples are of both.
    let listed = answers(&[claim("data").full(10.0)], &Data::Nil, &[]).answers.swap_remove(1);
    effects.answers[1] = listed;
    let (ran, _) = run_on(effects, MemoryStorage::default(), Limits::default());
    assert_eq!(ran.events, Vec::<String>::new());
}

#[test]
fn the_totals_count_over_runs() {
    let once = || answers(&[full(), claim("top").of_size("99Gi").full(90.0)], &Data::Nil, &[&full()]);
    let (_, storage) = run_on(once(), MemoryStorage::default(), Limits::default());
    let (ran, _) = run_on(once(), storage, Limits::default());
    let total = |name: &str, value| (name.to_owned(), value);
    assert_eq!(ran.metrics, [total("pvc_autoresizer_expansions_total", 2.0), total("pvc_autoresizer_at_ceiling_total", 2.0)]);
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused() {
    refuses(r#"{"expandFactor":1}"#, "config.expandFactor: it must be above 1");
    refuses(r#"{"expandFactor":0.5}"#, "config.expandFactor");
    refuses(r#"{"expandFactor":1e300}"#, "config.expandFactor");
    refuses(r#"{"triggerAt":0}"#, "config.triggerAt: it must be above 0 and at most 1");
    refuses(r#"{"triggerAt":1.01}"#, "config.triggerAt");
    refuses(r#"{"cooldownSeconds":-1}"#, "config.cooldownSeconds");
    refuses(r#"{"maxSize":"100Gx"}"#, "config.maxSize: \"100Gx\" is no quantity: there is no suffix Gx");
    refuses(r#"{"maxSize":100}"#, "config.max-size: expected a string, got 100");
    refuses(r#"{"triggerat":0.5}"#, "config.triggerat: there is no such key");
    refuses(r#"{"triggerAt":0.5,"trigger_at":0.5}"#, "it is given twice");
    refuses(r#"{"namespaces":"a"}"#, "config.namespaces: expected a list");
}

#[test]
fn a_selector_for_everything_must_be_meant() {
    refuses(r#"{"selector":{}}"#, "config.selector: it is empty, which means every claim: set allClaims to true");
    refuses(r#"{"selector":{"matchLabels":{},"matchExpressions":[]}}"#, "config.selector: it is empty");
    refuses(r#"{"selector":{"matchlabels":{"a":"b"}}}"#, "config.selector.matchlabels: there is no such key");
    refuses(r#"{"selector":{"matchLabels":["a"]}}"#, "config.selector.matchLabels: it must be a map");
    refuses(r#"{"selector":{"matchExpressions":{"a":"b"}}}"#, "config.selector.matchExpressions: it must be a list");
    assert_eq!(run(&[full()], r#"{"selector":{},"allClaims":true}"#).events, [GROWN]);
}

#[test]
fn a_large_cluster_stays_within_what_a_run_may_tell() {
    let many: Vec<_> = (0..400).map(|n| Claim { used: None, ..claim(&format!("data-{n}")) }).collect();
    let ran = run(&many, "{}");
    assert_eq!((ran.events.len(), ran.error), (200, None));
    assert_eq!(ran.warnings, ["200 more events were not told one by one"]);
    assert!(ran.summary.starts_with("{:scanned 400"));
}

#[test]
fn every_kind_of_claim_at_once() {
    let claims = claims(42, 60);
    let grown: Vec<_> = claims.iter().step_by(6).collect();
    let (ran, _) = run_on(answers(&claims, &Data::Nil, &grown), MemoryStorage::default(), Limits::default());
    assert_eq!(ran.error, None);
    assert_eq!(ran.patches.len(), 10);
    assert_eq!(ran.summary, "{:scanned 60, :expanded 10, :skipped_cooldown 10, :at_ceiling 10}");
}

/// A cluster of this size is one run under the limits that every vigy has.
#[test]
fn a_thousand_claims_are_one_run() {
    let claims = claims(3, 1_000);
    let grown: Vec<_> = claims.iter().step_by(6).collect();
    let (ran, _) = run_on(answers(&claims, &Data::Nil, &grown), MemoryStorage::default(), Limits::default());
    println!("pvc-autoresizer, 1,000 claims: heap {} bytes, fuel {}", ran.heap, ran.fuel);
    assert_eq!(ran.error, None);
    assert_eq!(ran.patches.len(), 167);
    assert_eq!(ran.asked.len(), 2 + 2 * 40);
}

/// With what the firmware `scenarios` gives a program.
#[test]
fn four_claims_fit_a_device() {
    let claims = claims(7, 4);
    let (ran, _) = run_on(answers(&claims, &Data::Nil, &[&claims[0]]), MemoryStorage::default(), wake::LIMITS);
    println!("pvc-autoresizer, 4 claims: image {} bytes, heap {} bytes, fuel {}", ran.image, ran.heap, ran.fuel);
    assert_eq!((ran.error, ran.patches.len()), (None, 1));
}
