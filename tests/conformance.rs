//! Runs a corpus of small programs and counts what agrees; and those where the language gives an answer of its own.
//!
//! `VIGY_CONFORMANCE=FILE` runs another corpus; `VIGY_CONFORMANCE_FAILING=1` prints each program that disagrees. Everything runs twice:
//! with room for all it makes, and with so little that the heap is collected again and again.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use vigy_lisp::reference::{CHAPTERS, entries};
use vigy_lisp::{Budget, CompileOptions, Loader, Machine, Step, Style, compile};

/// Programs of the project's own copy that agree. Raised as the language grows, never lowered.
const FLOOR: usize = 1_051;

struct Modules(BTreeMap<String, String>);

impl Loader for Modules {
    fn load(&self, path: &str) -> Option<String> {
        self.0.get(path).cloned()
    }
}

/// How much room a program has.
#[derive(Clone, Copy, PartialEq)]
enum Room {
    Enough,
    /// At every call and every turn of a loop, only a few words are free until the next collection.
    Short,
}

/// Value or error, and what was printed.
type Outcome = (Result<String, String>, String);

fn run(source: &str, modules: &Modules, room: Room) -> Outcome {
    let options = CompileOptions { loader: Some(modules), force: true, ..CompileOptions::default() };
    let image = match compile(source, &options) {
        Ok(image) => image,
        Err(e) => return (Err(e.tag().to_string()), String::new()),
    };
    // As deep as upstream goes.
    let fuel = if room == Room::Enough { 50_000_000 } else { u64::MAX };
    let budget = Budget { fuel, heap_bytes: 64 << 20, depth: 100_000, stack_words: 4 << 20, ..Budget::default() };
    let program = image.program();
    let mut memory = vec![0; program.words_needed(&budget)];
    let mut machine = Machine::new(program, &mut memory, &budget).expect("memory of the size asked for");
    let mut printed = String::new();
    let mut pauses = 0_usize;
    loop {
        // Long programs are squeezed now and then: a collection at each step of theirs takes too long.
        let squeezed = room == Room::Short && (pauses < 3_000 || pauses.is_multiple_of(10_007));
        if squeezed {
            machine.squeeze([0, 1, 2, 3, 5, 8, 13, 21][pauses % 8]);
        }
        pauses += 1;
        match machine.run(if room == Room::Short && pauses < 20_000 { 1 } else { 10_000 }) {
            Step::Done(v) => {
                let mut text = String::new();
                machine.display(v, Style::Readable, &mut text).expect("a string takes everything");
                return (Ok(text), printed);
            }
            Step::Output => printed.push_str(machine.output()),
            Step::Paused => {}
            Step::Call => machine.raise("no-host", "there is no host here"),
            Step::Failed => {
                let fault = machine.fault().expect("a failed run has a fault");
                return (Err(fault.kind.name().to_string()), printed);
            }
        }
    }
}

/// Runs a case of a corpus: what came of it, and what the corpus says of it.
fn run_case(case: &Json, room: Room) -> (Outcome, Outcome) {
    let modules = case
        .get("modules")
        .and_then(Json::as_object)
        .map(|m| m.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_string()))).collect());
    let ran = run(&text(case, "src").unwrap_or_default(), &Modules(modules.unwrap_or_default()), room);
    let expected = match text(case, "error") {
        Some(kind) => Err(kind),
        None => Ok(text(case, "value").unwrap_or_default()),
    };
    let printed = text(case, "stdout").unwrap_or_else(|| ran.1.clone());
    (ran, (expected, printed))
}

fn text(json: &Json, key: &str) -> Option<String> {
    json.get(key).and_then(Json::as_str).map(str::to_string)
}

fn agreement(room: Room) -> (usize, usize) {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/open.json");
    let other = std::env::var("VIGY_CONFORMANCE").ok();
    let show = std::env::var_os("VIGY_CONFORMANCE_FAILING").is_some();
    let corpus = std::fs::read_to_string(other.as_deref().unwrap_or(own)).expect("the corpus file");
    let corpus: Vec<Json> = serde_json::from_str(&corpus).expect("a list of programs");
    let (mut passed, mut failed) = (0, 0);
    for case in &corpus {
        let ((result, printed), (expected, prints)) = run_case(case, room);
        if result == expected && printed == prints {
            passed += 1;
        } else {
            failed += 1;
            if show {
                let (id, source) = (text(case, "id").unwrap_or_default(), text(case, "src").unwrap_or_default());
                println!("{id}: {source}\n    expected {expected:?}, got {result:?} {printed:?}");
            }
        }
    }
    (passed, failed)
}

#[test]
fn programs_agree_with_upstream() {
    let (passed, failed) = agreement(Room::Enough);
    println!("{passed} passed, {failed} failed");
    if std::env::var_os("VIGY_CONFORMANCE").is_none() {
        assert!(passed >= FLOOR, "{passed} programs agree, {FLOOR} did");
    }
}

#[test]
fn programs_agree_as_well_when_the_heap_is_short() {
    assert_eq!(agreement(Room::Short), agreement(Room::Enough));
}

/// Where upstream is wrong, or says nothing, the language has a rule, and its reference states it. In a value, `…` stands for the text of a
/// message, which no rule is about.
#[test]
fn where_the_language_differs_its_own_answer_counts() {
    let cases: Vec<Json> = serde_json::from_str(include_str!("conformance/divergent.json")).expect("a list of programs");
    assert_eq!(cases.len(), 159);
    for case in &cases {
        let id = text(case, "id").expect("an id");
        let ((result, printed), (expected, prints)) = run_case(case, Room::Enough);
        let fits = match (&result, &expected) {
            (Ok(value), Ok(expected)) => expected.split_once('…').map_or(value == expected, |(start, end)| {
                value.len() >= start.len() + end.len() && value.starts_with(start) && value.ends_with(end)
            }),
            (result, expected) => result == expected,
        };
        assert!(fits && printed == prints, "{id}: expected {expected:?} {prints:?}, got {result:?} {printed:?}");
        let rule = text(case, "rule").expect("a rule");
        assert!(states(&rule), "{id}: the reference has no `{rule}`");
    }
}

/// Whether the reference has a section, or an entry, as `chapter: section`.
fn states(rule: &str) -> bool {
    let Some((chapter, section)) = rule.split_once(": ") else { return false };
    let Some((_, text)) = CHAPTERS.iter().find(|(name, _)| *name == chapter) else { return false };
    text.lines().any(|line| line.strip_prefix("## ") == Some(section))
        || entries(text).any(|entry| entry.names().any(|name| name == section))
}
