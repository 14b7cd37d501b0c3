//! What is said of programs that are wrong: every code has an example that gives it, and people find their mistake by what they read.

use vigy_lisp::{Arity, Budget, Code, CompileOptions, Diagnostic, HostFn, Loader, Machine, Severity, Step, check, compile};

/// The modules of the examples.
struct Modules;

impl Loader for Modules {
    fn load(&self, path: &str) -> Option<String> {
        let deep = |n: u32| format!("(require \"deep-{}\" :as next) (define (f) (next/f)) (provide f)", n + 1);
        match path {
            "shapes" => Some("(define (helper x) x) (define (area w h) (* (helper w) h)) (provide area)".into()),
            "hen" => Some("(require \"egg\" :as egg) (define (lay) egg/hatch) (provide lay)".into()),
            "egg" => Some("(require \"hen\" :as hen) (define (hatch) hen/lay) (provide hatch)".into()),
            "broken" => Some("(provide area)\n\n(define (area w h)\n  (* w hight))".into()),
            _ => path.strip_prefix("deep-").and_then(|n| n.parse().ok()).map(deep),
        }
    }
}

const HOSTS: &[&[HostFn]] =
    &[&[HostFn { name: "disk/usage", arity: Arity::exactly(1), writes: false, doc: "(disk/usage PATH): bytes in use" }]];

fn options() -> CompileOptions<'static> {
    CompileOptions { hosts: HOSTS, loader: Some(&Modules), ..CompileOptions::default() }
}

/// Everything that is said of a program before it runs, or else of how its run ended.
fn said(source: &str) -> Vec<Diagnostic> {
    let found = check(source, &options()).diagnostics;
    if !found.is_empty() {
        return found;
    }
    let image = compile(source, &options()).expect("nothing is wrong with it");
    let program = image.program();
    let budget = Budget { depth: 1_000, ..Budget::default() };
    let mut memory = vec![0; program.words_needed(&budget)];
    let mut machine = Machine::new(program, &mut memory, &budget).expect("memory of the size asked for");
    loop {
        match machine.run(u64::MAX) {
            Step::Done(_) => return Vec::new(),
            Step::Failed => return machine.fault().map(|fault| fault.diagnostic(program)).into_iter().collect(),
            Step::Call => machine.raise("no-host", "there is no host here"),
            Step::Output | Step::Paused => {}
        }
    }
}

fn codes(source: &str) -> Vec<&'static str> {
    said(source).iter().map(|d| d.code.text()).collect()
}

/// The text of the block of an explanation that has this word behind its fence.
fn block<'t>(explanation: &'t str, word: &str) -> Option<&'t str> {
    let (_, rest) = explanation.split_once(&format!("```{word}\n"))?;
    rest.split_once("\n```").map(|(text, _)| text)
}

/// Programs that are too long for an explanation.
fn long(code: Code) -> String {
    match code {
        Code::Nesting => "(".repeat(1_001),
        Code::TextLength => " ".repeat((64 << 20) + 1),
        Code::ProgramSize => {
            let names = |pattern: fn(u32) -> String| (0..300).map(pattern).collect::<String>();
            let (bound, used) = (names(|i| format!("a{i} (list {i}) ")), names(|i| format!("a{i} ")));
            format!("(define (f) (let [{bound}] (list {used}))) (f)")
        }
        Code::FiberFailed => "(define mailbox (chan)) (define worker (go (lambda () (<! mailbox)))) (println (go-run worker))".into(),
        other => panic!("{other} has no example"),
    }
}

#[test]
fn every_code_has_an_example_that_gives_it_and_one_that_does_not() {
    let mut wrongly = Vec::new();
    for code in Code::all() {
        let explanation = code.explanation();
        assert!(explanation.len() > 100, "{code} is not explained");
        let right = block(explanation, "right").unwrap_or_else(|| panic!("{code} has no right example"));
        if code == Code::NotGranted {
            // What is granted is the host's affair: `vigy check` tells this one.
            continue;
        }
        let wrong = block(explanation, "wrong").map_or_else(|| long(code), str::to_owned);
        let shown = wrong.get(..200).unwrap_or(&wrong);
        let got = codes(&wrong);
        // Where a fiber does not wait, it cannot wait in vain.
        if got != [code.text()] && !(code == Code::FiberFailed && got.is_empty()) {
            wrongly.push(format!("{code} gives {got:?}: {shown}"));
        }
        wrongly.extend(said(right).iter().map(|d| format!("right of {code}: {d}")));
    }
    assert!(wrongly.is_empty(), "{}", wrongly.join("\n"));
}

/// What people read of `source`.
fn shown(source: &str) -> String {
    said(source).iter().map(|d| format!("{}\n", d.render("main.tlisp", source))).collect::<Vec<_>>().join("\n")
}

#[test]
fn codes_are_written_as_they_are_read() {
    for code in Code::all() {
        assert_eq!(Code::parse(code.text()), Some(code));
        assert_eq!(Code::parse(&code.text().to_lowercase()), Some(code));
        assert_eq!(code.severity() == Severity::Warning, code.text().starts_with('W'));
    }
    assert_eq!(Code::UnknownName.text(), "E0012", "a code keeps its number");
    assert_eq!(Code::parse("E9999"), None);
}
