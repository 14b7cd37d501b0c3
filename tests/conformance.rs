//! Runs a corpus of small programs and counts what agrees.
//!
//! `VIGY_CONFORMANCE=FILE` runs another corpus; `VIGY_CONFORMANCE_FAILING=1` prints each program that disagrees. Everything runs twice:
//! with room for all it makes, and with so little that the heap is collected again and again.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use vigy_lisp::{Budget, CompileOptions, Loader, Machine, Step, Style, compile};

/// Programs of the project's own copy that agree. Raised as the language grows, never lowered.
const FLOOR: usize = 1_043;

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
fn run(source: &str, modules: &Modules, room: Room) -> (Result<String, String>, String) {
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
        let source = text(case, "src").unwrap_or_default();
        let modules = case
            .get("modules")
            .and_then(Json::as_object)
            .map(|m| m.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_string()))).collect());
        let (result, printed) = run(&source, &Modules(modules.unwrap_or_default()), room);
        let expected = match text(case, "error") {
            Some(kind) => Err(kind),
            None => Ok(text(case, "value").unwrap_or_default()),
        };
        if result == expected && text(case, "stdout").is_none_or(|s| s == printed) {
            passed += 1;
        } else {
            failed += 1;
            if show {
                let id = text(case, "id").unwrap_or_default();
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
