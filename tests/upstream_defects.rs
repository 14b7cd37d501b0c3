//! What upstream got wrong, by the number of the defect, and the tests that show that it is absent here: those named `defect_…` in this
//! file and in `adapter-tokio/tests/scheduler.rs`, and some that have had other names before there was this file.
//!
//! | defect | is absent by |
//! |---|---|
//! | 1 a vigy of the README's quick start never ticks | `tests/cli.rs`: `the_quick_start_works_line_by_line`; `tests/upstream_defects.rs`: `defect_1_a_vigy_for_another_host_is_shown_as_one` |
//! | 2 `tail` ticks by itself and shows nothing of the daemon | `tests/upstream_defects.rs`: `defect_2_tail_shows_what_the_daemon_does_and_ticks_nothing_itself` |
//! | 3 two processes tick everything twice | `tests/cli.rs`: `a_store_has_one_daemon`; `adapter-tokio/tests/scheduler.rs`: `defect_3_forced_and_scheduled_ticks_never_overlap_and_lose_no_increment` |
//! | 4 a store that is busy for a while ends vigies for good | `tests/upstream_defects.rs`: `defect_4_whoever_wants_the_store_meanwhile_stops_no_vigy`; `adapter-tokio/tests/full_disk.rs`: `a_vigy_goes_on_by_itself_when_there_is_room_again` |
//! | 5 `kill -9` tears ticks | `tests/kill.rs`: `counters_ticks_and_runs_agree_after_every_kill` |
//! | 6 registering does not reach a daemon; neither do edits | `tests/cli.rs`: `a_daemon_takes_up_every_change_at_once_and_tail_shows_it` |
//! | 7 editing a program forks the vigy | `adapter-tokio/tests/scheduler.rs`: `defect_7_editing_a_program_does_not_fork_the_vigy` |
//! | 8 registering again enables; deleting forgets nothing | `adapter-tokio/tests/scheduler.rs`: `defect_8_registering_again_does_not_enable_and_deleting_forgets` |
//! | 9 a failed tick does not count | `adapter-tokio/tests/scheduler.rs`: `defect_9_a_failed_tick_counts_keeps_its_logs_and_drops_its_writes_whole` |
//! | 10 an endless program takes a core for ever | `adapter-tokio/tests/scheduler.rs`: `defect_10_an_endless_program_does_not_keep_a_runtime_from_stopping`; `tests/cli.rs`: `a_vigy_that_never_ends_does_not_keep_a_daemon_from_ending` |
//! | 11 deep source or data aborts the process | `tests/upstream_defects.rs`: `defect_11_deep_source_and_deep_data_abort_nothing` |
//! | 12 a program takes all memory | `adapter-tokio/tests/scheduler.rs`: `defects_10_12_13_no_program_takes_more_than_its_limits` |
//! | 13 a tick's output has no bounds, and neither has history | `adapter-tokio/tests/scheduler.rs`: `defects_10_12_13_no_program_takes_more_than_its_limits`; `adapter-tokio/tests/runtime.rs`: `history_is_bounded_in_bytes_too_and_a_repeated_value_counts_once` |
//! | 14 recursion that is too deep must fail cleanly, as it does there | `tests/upstream_defects.rs`: `defect_14_recursion_that_is_too_deep_is_a_failed_run` |
//! | 15 a program that does not compile is registered | `tests/cli.rs`: `bad_input_is_refused_and_nothing_is_stored` |
//! | 16 any name and any interval is taken | `tests/upstream_defects.rs`: `defect_16_no_name_and_no_interval_that_makes_no_sense_is_taken`; `adapter-tokio/tests/scheduler.rs`: `defect_16_names_that_no_terminal_should_see_are_refused` |
//! | 17 what a program prints spoils the JSON | `tests/upstream_defects.rs`: `defect_17_what_a_program_prints_is_in_the_json_and_not_beside_it` |
//! | 18 exit codes say nothing | `tests/upstream_defects.rs`: `defect_18_exit_codes_say_what_happened` |
//! | 19 what is advertised is not there | `tests/upstream_defects.rs`: `defect_19_what_the_help_and_the_readme_offer_is_there` |
//! | 20 errors of the API have the wrong status, or are no JSON | `tests/cli.rs`: `the_api_says_what_is_wrong_in_json` |
//! | 21 errors have no line, no column and no name | `tests/upstream_defects.rs`: `defect_21_errors_have_a_line_a_column_and_a_name_and_say_it_once` |
//! | 22 SIGTERM is instant death | `tests/cli.rs`: `sigterm_ends_a_daemon_in_the_middle_of_its_work` |
//! | 23 log lines are in the spans of other vigies | `tests/upstream_defects.rs`: `defect_23_a_line_is_never_in_the_span_of_another_vigy`; `tests/telemetry.rs`: `a_collector_gets_a_span_of_every_tick_and_each_is_of_its_vigy` |
//! | 24 runs are sorted by text, and there are no events | `adapter-tokio/tests/scheduler.rs`: `defect_24_runs_are_ordered_by_their_number`; `tests/durable.rs`: `a_listener_goes_on_where_it_was` |

mod common;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use common::{Home, PATIENCE};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use vigy::{HostEffects, Outcome, RuntimeHandle, TickInterval, Vigy};
use vigy_core::{Ask, AskError, ReconcileAction};
use vigy_lisp::HostFn;

#[test]
fn every_defect_has_a_test_that_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows = include_str!("upstream_defects.rs").lines().filter_map(|line| line.strip_prefix("//! | ")?.split_once(' '));
    let rows: Vec<_> = rows.filter_map(|(number, row)| Some((number.parse::<u32>().ok()?, row))).collect();
    assert!(rows.iter().map(|(number, _)| *number).eq(1..=24), "{rows:?}");
    for (number, row) in rows {
        let named = row.rsplit_once(" | `").map(|(_, tests)| tests.trim_end_matches("` |").split("`; `")).into_iter().flatten();
        let mut count = 0;
        for (file, test) in named.map(|named| named.split_once("`: `").expect("a file and a test in it")) {
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("defect {number}, {file}: {error}"));
            assert!(text.contains(&format!("fn {test}(")), "defect {number}: {file} has no {test}");
            count += 1;
        }
        assert!(count > 0, "defect {number} has no test");
    }
}

#[test]
fn defect_2_tail_shows_what_the_daemon_does_and_ticks_nothing_itself() {
    let home = Home::new();
    home.does(&["register", &home.hello(), "--name", "hello", "--every", "1h", "--initial-delay", "1h"]);
    let daemon = home.serve(&[]);
    let (one, other) = (home.tail(&[]), home.tail(&[]));
    home.does(&["tick", "hello"]);
    assert_eq!((&one.next()["tick"], &other.next()["tick"]), (&json!(1), &json!(1)));
    assert_eq!(home.json(&["inspect", "hello"])["ticks"], json!(1), "two listeners, one tick");
    assert!(daemon.stop().success());
}

#[test]
fn defect_1_a_vigy_for_another_host_is_shown_as_one() {
    let home = Home::new();
    let register = |name: &str, host: &str| home.does(&["register", &home.hello(), "--name", name, "--every", "100", "--label", host]);
    register("here", "host=here");
    register("there", "host=there");
    let daemon = home.serve(&["--host", "here"]);
    home.tail(&["here"]).next_of("run");
    let there = home.json(&["inspect", "there"]);
    assert_eq!((&there["elsewhere"], &there["next_tick_at"], &there["ticks"]), (&json!("there"), &json!(null), &json!(0)));
    assert!(home.vigy(&["list"]).out.contains("elsewhere"));
    let ticked = home.vigy(&["tick", "there"]);
    assert!(ticked.code == Some(1) && ticked.err.contains("there"), "{ticked:#?}");
    assert!(daemon.stop().success());
}

#[test]
fn defect_4_whoever_wants_the_store_meanwhile_stops_no_vigy() {
    let home = Home::new();
    home.does(&["register", &home.hello(), "--name", "hello", "--every", "100"]);
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let open = || executor.block_on(RuntimeHandle::builder().scheduling(false).open(&home.db()));
    let ticked = |daemon: &common::Daemon| {
        let tail = home.tail(&[]);
        let refused = open().err().map(|error| error.to_string());
        assert!(refused.is_some_and(|error| error.contains(&daemon.pid().to_string())), "nobody else gets the store");
        (0..3).map(|_| tail.next_of("run")["tick"].as_u64().unwrap()).next_back().unwrap()
    };
    let daemon = home.serve(&[]);
    let before = ticked(&daemon);
    assert!(daemon.stop().success());
    let other = open().unwrap();
    home.refuses(&["serve"], 4, &["in use"]);
    executor.block_on(other.shutdown(PATIENCE));
    drop(other);
    let daemon = home.serve(&[]);
    assert!(ticked(&daemon) > before, "it goes on where it was");
    assert!(daemon.stop().success());
}

#[test]
fn defect_14_recursion_that_is_too_deep_is_a_failed_run() {
    let home = Home::new();
    let deep = |n: u32| {
        home.file("deep.tlisp", &format!("(define (deep n) (if (= n 0) 0 (+ 1 (deep (- n 1)))))\n(vigy-log :info (str (deep {n})))"))
    };
    let ran = home.vigy(&["run", &deep(9_000), "--once"]);
    assert!(ran.code == Some(0) && ran.out.contains("9000"), "{ran:#?}");
    let ran = home.vigy(&["run", &deep(1_000_000), "--once"]);
    assert!(ran.code == Some(1) && ran.out.contains("depth-exceeded: more than 10000 calls"), "{ran:#?}");
}

#[test]
fn defect_17_what_a_program_prints_is_in_the_json_and_not_beside_it() {
    let home = Home::new();
    let prints = home.file("prints.tlisp", "(println \"{\") (display \"]\") (vigy-push {:n 1})");
    home.does(&["register", &prints, "--name", "prints", "--disabled"]);
    for args in [&["tick", "prints", "--force"][..], &["run", &prints, "--once"]] {
        let run = home.json(args);
        let printed: Vec<_> = run["logs"].as_array().unwrap().iter().map(|line| &line["message"]).collect();
        assert_eq!(printed, ["{", "]"], "{run}");
    }
    assert_eq!(home.json(&["runs", "prints"])[0]["logs"][1]["message"], "]");
}

#[test]
fn defect_11_deep_source_and_deep_data_abort_nothing() {
    let home = Home::new();
    let deep = home.file("deep.tlisp", &format!("{}1{}", "(list ".repeat(10_000), ")".repeat(10_000)));
    let quoted = home.file("quoted.tlisp", &format!("(quote {}{})", "(".repeat(10_000), ")".repeat(10_000)));
    for program in [&deep, &quoted] {
        let ran = home.vigy(&["register", program]);
        assert!(ran.code == Some(1) && ran.err.contains("deep"), "{ran:#?}");
    }
    let grows = "(define (deep n x) (if (= n 0) x (deep (- n 1) (list x))))\n(vigy-set \"k\" (deep 200000 1))";
    let ran = home.vigy(&["run", &home.file("grows.tlisp", grows), "--once"]);
    assert_eq!(ran.code, Some(1), "a failed run, and no more: {ran:#?}");
    assert_eq!(home.json(&["list"]), json!([]));
}

#[test]
fn defect_16_no_name_and_no_interval_that_makes_no_sense_is_taken() {
    let home = Home::new();
    let hello = home.hello();
    for name in ["", "a\nb", "a\u{1b}[31mb"] {
        let ran = home.vigy(&["register", &hello, "--name", name]);
        assert!(ran.code == Some(2) && !ran.err.contains('\u{1b}'), "{ran:#?}");
    }
    home.refuses(&["register", &hello, "--every", "18446744073709551615"], 2, &["--every"]);
    assert_eq!(home.json(&["list"]), json!([]));
}

#[test]
fn defect_18_exit_codes_say_what_happened() {
    let home = Home::new();
    home.does(&["register", &home.file("f.tlisp", "(car 1)"), "--name", "f", "--disabled"]);
    assert_eq!(home.vigy(&["tick", "f", "--force"]).code, Some(1), "a failed run");
    home.refuses(&["delete", "nobody"], 3, &["nobody"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    home.refuses(&["serve", "--bind", &taken.local_addr().unwrap().to_string()], 4, &["cannot listen"]);
}

#[test]
fn defect_19_what_the_help_and_the_readme_offer_is_there() {
    let home = Home::new();
    let daemon = home.serve(&["--bind", "127.0.0.1:0"]);
    let help = home.does(&["--help"]);
    assert!(!help.contains("GraphQL") && !help.contains("gRPC") && !help.contains("Swagger"));
    home.does(&["register", &home.hello(), "--name", "hello", "--every", "1h"]);
    let changed = home.json(&["register", &home.hello(), "--name", "hello", "--every", "2h"]);
    assert_eq!((&changed["change"], &changed["tick_interval_ms"]), (&json!("updated"), &json!(7_200_000)));
    assert!(daemon.stop().success());
}

#[test]
fn defect_21_errors_have_a_line_a_column_and_a_name_and_say_it_once() {
    let home = Home::new();
    let ran = home.vigy(&["run", &home.file("p.tlisp", "(vigy-noop)\n(vigy-log 1 \"x\")"), "--once"]);
    assert!(ran.out.contains("2:1") && ran.out.contains("vigy-log"), "{ran:#?}");
    std::fs::write(home.db(), "no store").unwrap();
    let ran = home.vigy(&["list"]);
    assert_eq!(ran.err.matches("is no vigy store").count(), 1, "{ran:#?}");
}

/// Whose line it is, and whose spans it is in.
type Line = (String, Vec<String>);

/// Notes every line that is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

/// The value of the field `vigy`.
#[derive(Default)]
struct OfVigy(String);

impl Visit for OfVigy {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "vigy" {
            self.0 = format!("{value:?}");
        }
    }
}

impl<S: tracing::Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut vigy = OfVigy::default();
        attributes.record(&mut vigy);
        context.span(id).unwrap().extensions_mut().insert(vigy);
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut vigy = OfVigy::default();
        event.record(&mut vigy);
        let spans = context.event_scope(event).into_iter().flatten();
        let ticks = spans.filter_map(|span| span.extensions().get::<OfVigy>().map(|vigy| vigy.0.clone())).filter(|vigy| !vigy.is_empty());
        self.0.lock().unwrap().push((vigy.0, ticks.collect()));
    }
}

/// Lets everybody else go first, again and again, and says whose action it is in between.
struct Yields;

#[async_trait]
impl HostEffects for Yields {
    fn operations(&self) -> &[HostFn] {
        &[]
    }

    fn check(&self, _: &Vigy, _: &[&str]) -> Result<(), String> {
        Ok(())
    }

    async fn ask(&self, _: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError> {
        Err(AskError::new("denied", format_args!("{}", ask.operation)))
    }

    async fn act(&self, vigy: &Vigy, _: ReconcileAction<'_>) -> Outcome {
        for _ in 0..10 {
            tracing::info!(vigy = %vigy.name, "acting");
            tokio::task::yield_now().await;
        }
        Outcome::ok()
    }
}

#[test]
fn defect_23_a_line_is_never_in_the_span_of_another_vigy() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines.clone())).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let runtime = RuntimeHandle::builder().effects(Arc::new(Yields)).in_memory().await.unwrap();
        for n in 0..12 {
            let interval = TickInterval::from_millis(100).unwrap();
            runtime.register_or_update(Vigy::new(&format!("v{n}"), "(vigy-push {})", interval).unwrap()).await.unwrap();
        }
        let mut events = runtime.events(Some(0));
        let mut runs = 0;
        while runs < 60 {
            let vigy::Event::Happened { event, .. } = events.next().await.unwrap().unwrap() else { continue };
            runs += u32::from(matches!(event.what, vigy::Happened::Ran { .. }));
        }
        runtime.shutdown(PATIENCE).await;
    });
    let lines = lines.0.lock().unwrap();
    let acting: Vec<_> = lines.iter().filter(|(vigy, _)| !vigy.is_empty()).collect();
    assert!(acting.len() >= 600, "{}", acting.len());
    let wrong: Vec<_> = acting.iter().filter(|(vigy, spans)| spans != std::slice::from_ref(vigy)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
