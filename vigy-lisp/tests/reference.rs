//! The reference tells the truth, and the whole of it: every example gives what it says, and every name has an entry.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{check, fails, outcome};
use vigy_lisp::reference::{self, CHAPTERS, Entry, Example, entries, examples, find, kind, names};
use vigy_lisp::{Budget, CompileOptions, Loader, compile};

struct Modules(BTreeMap<&'static str, &'static str>);

impl Loader for Modules {
    fn load(&self, path: &str) -> Option<String> {
        self.0.get(path).map(|text| (*text).to_owned())
    }
}

/// What an example gives, and what it prints.
fn run(example: &Example<'_>, modules: &Modules) -> (Result<String, String>, String) {
    let source = format!("{}{}", example.given, example.form);
    match compile(&source, &CompileOptions { force: true, loader: Some(modules), ..CompileOptions::default() }) {
        Ok(image) => outcome(&image, &Budget::default()),
        Err(error) => (Err(error.tag().to_owned()), String::new()),
    }
}

#[test]
fn every_example_gives_what_it_says() {
    let (mut ran, mut wrong) = (0, Vec::new());
    for (chapter, text) in CHAPTERS {
        let modules = Modules(reference::modules(text).collect());
        for example in examples(text) {
            ran += 1;
            let (gives, printed) = run(&example, &modules);
            let prints = example.prints.map(text_of).unwrap_or_default();
            let expected = example.gives.map(str::to_owned).map_err(str::to_owned);
            // What a run printed before its end is not told.
            let ended = matches!(example.gives, Err(outcome) if outcome.starts_with("out-of-"));
            if gives != expected || (printed != prints && !ended) {
                wrong.push(format!("{chapter}: {}\n    says {expected:?} {prints:?}\n    gives {gives:?} {printed:?}", example.form));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {ran} examples are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ran > 440, "{ran} examples");
}

/// The text of a string as the language writes it.
#[track_caller]
fn text_of(literal: &str) -> String {
    let image = compile(&format!("(display {literal})"), &CompileOptions::default()).expect(literal);
    outcome(&image, &Budget::default()).1
}

#[test]
fn every_name_has_one_entry_and_every_entry_names_something() {
    let of_entry = |entry: Entry<'static>| entry.names().collect::<BTreeSet<_>>();
    let told: Vec<&str> = CHAPTERS.iter().flat_map(|(_, text)| entries(text)).flat_map(of_entry).collect();
    let once: BTreeSet<&str> = told.iter().copied().collect();
    let twice: Vec<_> = once.iter().filter(|name| told.iter().filter(|told| told == name).count() > 1).collect();
    assert!(twice.is_empty(), "told of twice: {twice:?}");
    let nothing: Vec<_> = once.iter().filter(|name| kind(name).is_none()).collect();
    assert!(nothing.is_empty(), "no such names: {nothing:?}");
    let missing: Vec<_> = names().filter(|name| !once.contains(name)).collect();
    assert!(missing.is_empty(), "{} names without an entry: {missing:?}", missing.len());
}

#[test]
fn every_entry_says_something_and_shows_it() {
    for entry in CHAPTERS.iter().flat_map(|(_, text)| entries(text)) {
        let prose = entry.text.split("```").next().unwrap_or_default();
        let signatures: Vec<_> = entry.signatures().collect();
        assert!(prose.trim().ends_with(['.', '`']), "{signatures:?} is not told of: {prose:?}");
        assert!(!entry.examples().is_empty(), "{signatures:?} has no example");
    }
}

#[test]
fn the_forms_that_are_listed_are_forms() {
    for name in names().filter(|name| kind(name) == Some(reference::Kind::Form)) {
        // A function that is called with nothing would complain about its arguments; a name that nobody knows, about that.
        let error = compile(&format!("({name})"), &CompileOptions::default()).err().map(|error| error.tag());
        assert!(!matches!(error, Some("arity-mismatch" | "unbound-symbol")), "{name}: {error:?}");
    }
}

#[test]
fn arities_are_taken_from_the_definitions() {
    let says = |name: &str| kind(name).map(reference::Kind::describe).expect(name);
    assert_eq!(says("nth"), "builtin, 2 arguments");
    assert_eq!(says("map"), "function of the library, at least 2 arguments");
    assert_eq!(says("reduce"), "function of the library, 2 to 3 arguments");
    assert_eq!(says("while"), "form");
    assert_eq!(says("defjob"), "macro of the library");
    assert_eq!(says("nil"), "literal");
    assert_eq!((kind("%buf"), kind("no-such-name")), (None, None));
    let entry = find("mod").expect("an entry");
    assert_eq!(entry.signatures().next(), Some("(modulo n d)"));
}

#[test]
fn doc_knows_the_program_the_language_and_nothing_else() {
    check("(defn f \"Does.\" [] 1) (doc f)", "()");
    fails("(doc frobnicate)", "unbound-symbol");
    fails("(doc)", "bad-special-form");
    check("(define (doc x) (* x 2)) (doc 4)", "8");
}

#[test]
fn an_example_ends_where_its_claim_does() {
    let text = "x\n```lisp\n(define a 1) ; a remark\n(define (f)\n  ; inside\n  a)\n(f) ; => 1\n'(b\n c) ; => (b c)\n(g) ; prints \"x\" raises :t\n1 2 ; ends out-of-fuel\n```\n";
    let found = examples(text);
    let forms: Vec<&str> = found.iter().map(|example| example.form).collect();
    assert_eq!(forms, ["(f)", "'(b\n c)", "(g)", "1 2"]);
    assert_eq!(found[0].given, "(define a 1)\n(define (f)\n  ; inside\n  a)\n");
    assert_eq!(found[0].gives, Ok("1"));
    assert_eq!((found[2].prints, found[2].gives), (Some("\"x\""), Err("t")));
    assert_eq!(found[3].gives, Err("out-of-fuel"));
}
