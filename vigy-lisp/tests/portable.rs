//! The library in the language: a machine that has the primitives alone gives the same answers and errors as one that has every builtin.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use vigy_lisp::{Budget, Builtin, Builtins, CompileOptions, Library, Loader, Machine, Step, Style, compile};

struct Modules<'a>(&'a Json);

impl Loader for Modules<'_> {
    fn load(&self, path: &str) -> Option<String> {
        self.0.get("modules")?.get(path)?.as_str().map(str::to_owned)
    }
}

/// What a program gives: its value or its error with the message, and what it prints.
fn outcome(source: &str, modules: &Modules<'_>, library: Library, builtins: &Builtins) -> (Result<String, String>, String) {
    let options = CompileOptions { loader: Some(modules), force: true, library, ..CompileOptions::default() };
    let image = match compile(source, &options) {
        Ok(image) => image,
        Err(e) => return (Err(e.to_string()), String::new()),
    };
    let program = image.program();
    if let Some(missing) = builtins.missing(&program) {
        return (Err(format!("the machine has no `{missing}`")), String::new());
    }
    let budget = Budget { fuel: 200_000_000, heap_bytes: 64 << 20, depth: 100_000, stack_words: 4 << 20, ..Budget::default() };
    let mut memory = vec![0; program.words_needed(&budget)];
    let mut machine = Machine::with_builtins(program, builtins, &mut memory, &budget).expect("memory of the size asked for");
    let mut printed = String::new();
    loop {
        match machine.run(u64::MAX) {
            Step::Done(v) => {
                let mut text = String::new();
                machine.display(v, Style::Readable, &mut text).expect("a string takes everything");
                return (Ok(text), printed);
            }
            Step::Output => printed.push_str(machine.output()),
            Step::Paused => {}
            Step::Call => machine.raise("no-host", "there is no host here"),
            Step::Failed => return (Err(machine.fault().expect("a failed run has a fault").to_string()), printed),
        }
    }
}

fn primitives() -> Builtins {
    Builtins::only(Vec::from_iter(Builtins::primitives().map(Builtin::numbered)).leak())
}

/// Programs that give something else, each with both outcomes.
fn different<'a>(cases: impl IntoIterator<Item = (&'a str, &'a Json)>) -> Vec<String> {
    let primitives = primitives();
    let differs = |(source, case): (&str, &Json)| {
        let modules = Modules(case);
        let native = outcome(source, &modules, Library::Native, Builtins::ALL);
        let portable = outcome(source, &modules, Library::Portable, &primitives);
        (native != portable).then(|| format!("{source}\n    native:   {native:?}\n    portable: {portable:?}"))
    };
    cases.into_iter().filter_map(differs).collect()
}

fn corpus() -> Vec<Json> {
    let read = |text: &str| serde_json::from_str::<Vec<Json>>(text).expect("a list of programs");
    let open = read(include_str!("../../tests/conformance/open.json"));
    open.into_iter().chain(read(include_str!("../../tests/conformance/divergent.json"))).collect()
}

fn source(case: &Json) -> Option<&str> {
    case.get("src")?.as_str()
}

/// Expressions that the corpus has no like of: one a line.
const EDGES: &str = concat!(include_str!("portable/edges.tlisp"), include_str!("portable/math.tlisp"));

fn edges() -> impl Iterator<Item = &'static str> {
    EDGES.lines().filter(|line| !line.is_empty() && !line.starts_with(';'))
}

/// Only what a run has left of its fuel, its heap and its depth may tell which of the two it was.
#[test]
fn the_corpus_gives_the_same_on_primitives_alone() {
    let corpus = corpus();
    let different = different(corpus.iter().filter_map(|case| Some((source(case)?, case))));
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), corpus.len(), different.join("\n"));
}

#[test]
fn edges_give_the_same_on_primitives_alone() {
    let different = different(edges().map(|line| (line, &Json::Null)));
    assert!(different.is_empty(), "{}:\n{}", different.len(), different.join("\n"));
}

#[test]
fn every_letter_has_the_same_cases_on_primitives_alone() {
    let letters = ('\u{80}'..=char::MAX).filter(|c| !c.to_lowercase().eq([*c]) || !c.to_uppercase().eq([*c]));
    // Each with its neighbours, which may have no other case.
    let near = |c: char| [-1, 0, 1].into_iter().filter_map(move |by| char::from_u32((c as u32).wrapping_add_signed(by)));
    let letters = Vec::from_iter(letters.flat_map(near));
    let both = |text: &[char]| format!("(list (string-uppercase {0:?}) (string-lowercase {0:?}))", String::from_iter(text));
    let programs = Vec::from_iter(letters.chunks(100).map(both));
    let different = different(programs.iter().map(|program| (program.as_str(), &Json::Null)));
    assert!(programs.len() > 50 && different.is_empty(), "{}", different.join("\n"));
}

/// `%name` is the library's `name`, whatever a program defines: unless there is a primitive of that name.
#[test]
fn no_primitive_hides_a_name_of_the_library() {
    let plain = Builtins::names().filter_map(|name| name.strip_prefix('%'));
    let hidden = Vec::from_iter(plain.filter(|name| compile(name, &CompileOptions::default()).is_ok()));
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn no_definition_is_untested() {
    let primitives: BTreeSet<u32> = Builtins::primitives().collect();
    let portable = (0..).zip(Builtins::names()).filter(|(number, _)| !primitives.contains(number)).map(|(_, name)| name);
    let names = |text: &'static str| text.split(|c: char| c.is_whitespace() || "()[]{}'\"".contains(c));
    let tested: BTreeSet<&str> = edges().flat_map(names).collect();
    let untested = Vec::from_iter(portable.filter(|name| !tested.contains(name)));
    assert!(untested.is_empty(), "{untested:?}");
}
