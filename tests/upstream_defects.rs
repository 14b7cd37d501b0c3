//! What upstream's command line and API got wrong, by the number of the defect. Those of the runtime are in
//! `adapter-tokio/tests/scheduler.rs`; these have had tests under other names before there was this file:
//!
//! | defect | is absent by |
//! |---|---|
//! | 1 a vigy of the README's quick start never ticks | `cli.rs`: `the_quick_start_works_line_by_line` |
//! | 5 `kill -9` tears ticks | `kill.rs` |
//! | 6 registering does not reach a daemon; neither do edits | `cli.rs`: `a_daemon_takes_up_every_change_at_once_and_tail_shows_it` |
//! | 15 a program that does not compile is registered | `cli.rs`: `bad_input_is_refused_and_nothing_is_stored` |
//! | 17 what a program prints spoils the JSON | `cli.rs`: `what_a_program_prints_is_a_part_of_its_run` |
//! | 20 errors of the API have the wrong status, or are no JSON | `cli.rs`: `the_api_says_what_is_wrong_in_json` |
//! | 22 SIGTERM is instant death | `cli.rs`: `sigterm_ends_a_daemon_in_the_middle_of_its_work` |
//! | 24 there are no events | `durable.rs`: `a_listener_goes_on_where_it_was` |

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
