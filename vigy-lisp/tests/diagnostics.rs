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
            "unread" => Some("(provide area)\n(define (area w h)\n  (* w h)".into()),
            "broken" => Some("(provide area)\n\n(define (area w h)\n  (* w hight))".into()),
            _ => path.strip_prefix("deep-").and_then(|n| n.parse().ok()).map(deep),
        }
    }
}

const HOSTS: &[&[HostFn]] =
    &[&[HostFn { name: "disk/usage", arity: Arity::exactly(1), writes: false, secret: false, doc: "(disk/usage PATH): bytes in use" }]];

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
        if matches!(code, Code::NotGranted | Code::DamagedImage) {
            // What is granted is the host's affair: `vigy check` tells this one. And no text is a damaged image.
            continue;
        }
        let wrong = block(explanation, "wrong").map_or_else(|| long(code), str::to_owned);
        let shown = wrong.get(..200).unwrap_or(&wrong);
        let got = codes(&wrong);
        if got != [code.text()] {
            wrongly.push(format!("{code} gives {got:?}: {shown}"));
        }
        wrongly.extend(said(right).iter().map(|d| format!("right of {code}: {d}")));
    }
    assert!(wrongly.is_empty(), "{}", wrongly.join("\n"));
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

/// What people read of `source`.
fn shown(source: &str) -> String {
    said(source).iter().map(|d| format!("{}\n", d.render("main.tlisp", source))).collect::<Vec<_>>().join("\n")
}

/// All that is said of `source`, a line each.
fn lines(source: &str) -> Vec<String> {
    said(source).iter().map(ToString::to_string).collect()
}

/// Of `source`, nothing is said but that `name` was perhaps meant.
#[track_caller]
fn meant(source: &str, name: &str) {
    let said = said(source);
    let suggestions: Vec<_> = said.iter().map(|d| d.suggestion.as_deref().unwrap_or_default()).collect();
    assert_eq!(suggestions, [name], "{}", shown(source));
}

/// Nothing is said of `source` before it runs.
#[track_caller]
fn fine(source: &str) {
    let said: Vec<_> = check(source, &options()).diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(said, [""; 0], "{source}");
}

#[test]
fn the_place_is_shown_with_what_was_meant_there() {
    let expected = "\
error[E0012]: `hieght` is not defined
 --> main.tlisp:2:12
  |
2 |   (* width hieght))
  |            ^^^^^^ did you mean `height`?
";
    assert_eq!(shown("(define (area width height)\n  (* width hieght))\n(area 1 2)"), expected);
}

#[test]
fn a_wrong_call_shows_how_the_function_is_called() {
    let expected = "\
error[E0013]: `area` expected 2 arguments, got 1
 --> main.tlisp:2:10
  |
2 | (println (area 3))
  |          ^^^^^^^^
note: it is `(area width height)`
 --> main.tlisp:1:1
  |
1 | (define (area width height) (* width height))
  | ^
";
    assert_eq!(shown("(define (area width height) (* width height))\n(println (area 3))"), expected);
    assert!(shown("(map inc)").contains("= help: it is `(map f xs & more)`"));
    assert!(shown("(defmacro twice [x & more] `(do ,x ,@more)) (twice)").contains("= help: it is `(twice x & more)`"));
    assert!(shown("(disk/usage)").contains("= help: it is `(disk/usage PATH): bytes in use`"));
}

#[test]
fn what_is_never_closed_is_found_where_the_next_form_begins() {
    let expected = "\
error[E0001]: the text ends before the `)` that belongs to this
 --> main.tlisp:1:1
  |
1 | (define (f x)
  | ^ this is never closed
note: something new seems to begin here
 --> main.tlisp:3:1
  |
3 | (define (g x)
  | ^
";
    assert_eq!(shown("(define (f x)\n  (+ x 1)\n(define (g x)\n  (f x))\n(g 1)"), expected);
}

#[test]
fn a_wrong_delimiter_shows_what_it_would_close() {
    let expected = "\
error[E0002]: `)` where `]` is expected
 --> main.tlisp:1:8
  |
1 | (f [1 2) 3)
  |        ^ `]` is expected
note: this is what it would close
 --> main.tlisp:1:4
  |
1 | (f [1 2) 3)
  |    ^

error[E0003]: unmatched `)`
 --> main.tlisp:1:11
  |
1 | (f [1 2) 3)
  |           ^ this closes nothing
";
    assert_eq!(shown("(f [1 2) 3)"), expected);
}

#[test]
fn a_failed_run_shows_who_called_whom() {
    let source = "\
(define (inner x) (car x))
(define (outer xs) (+ 1 (inner (first xs))))
(define total (map (lambda (x) (+ 1 (outer (list x)))) (list 5)))
(println total)";
    let expected = "\
error[E0032]: type-mismatch: `car`: expected pair, got int
 --> main.tlisp:1:19
  |
1 | (define (inner x) (car x))
  |                   ^^^^^^^
  in inner, main.tlisp:1:19
  called from outer, main.tlisp:2:25
  called from a function without a name, main.tlisp:3:37
  called from the program, main.tlisp:3:15
";
    assert_eq!(shown(source), expected, "what `map` does inside is not shown");
}

#[test]
fn what_a_program_throws_says_what_it_is() {
    assert_eq!(lines("(throw (error :too-small \"it is 3\"))"), ["1:1: too-small: it is 3"]);
    assert_eq!(lines("(throw (error :too-small \"it is 3\" (list :size 3)))"), ["1:1: too-small: it is 3 (:size 3)"]);
    assert_eq!(lines("(throw {:size 3})"), ["1:1: uncaught: {:size 3}"]);
}

#[test]
fn near_misses_are_suggested_wherever_names_come_from() {
    meant("(lenght ())", "length");
    meant("(fliter odd? ())", "filter");
    meant("(disk/usgae \"/\")", "disk/usage");
    meant("(usage \"/\")", "disk/usage");
    meant("(define (double x) x) (duoble 1)", "double");
    meant("(let [total 1] (println totl total))", "total");
    meant("(define (f width) (* widht width)) (f 1)", "width");
    meant("(defmacro twice [x] `(do ,x ,x)) (twcie 1)", "twice");
    meant("(whne true 1)", "when");
    meant("(require \"shapes\" :as shapes) (shapes/aera 1 2)", "shapes/area");
    meant("(require \"shapes\" :refer (aera))", "area");
    meant("(require \"shapes\" :sa shapes)", ":as");
    meant("(for [x '(1) :wen x] x)", ":when");
    meant("(defun f (x) x)", "defn");
}

#[test]
fn a_name_is_not_suggested_where_it_is_not_bound() {
    assert_eq!(lines("(define (f hundred) hundred) (println (f 1) hundrad)"), ["1:45: `hundrad` is not defined"]);
}

#[test]
fn every_mistake_is_found_not_only_the_first() {
    let source = "(if)\n(define (f x) (lenght x))\n(f 1 2)\n(let [a] a)\n(println (undefined-thing))\n(define (g) (if 1) (when))\n(g)";
    assert_eq!(codes(source), ["E0014", "E0012", "E0013", "E0014", "E0012", "E0014", "E0014"]);
    assert_eq!(codes("(list 99999999999999999999 \"\\u{zz}\" {:a})"), ["E0009", "E0005", "E0008"]);
    assert_eq!(codes("(a b]\n(c d))\n'"), ["E0002", "E0003", "E0007"]);
    assert_eq!(codes(&"(if)\n".repeat(500)).len(), vigy_lisp::MAX_DIAGNOSTICS);
}

#[test]
fn one_mistake_is_told_once() {
    assert_eq!(codes("(define limit)\n(println limit)"), ["E0014"]);
    assert_eq!(codes("(defmacro m)\n(println (m 1) (m 2))"), ["E0019"]);
    assert_eq!(codes("(require \"nowhere\" :as n :refer (a b))\n(println (n/f) (a) (b))"), ["E0025"]);
    assert_eq!(codes("(nothing 1)\n(nothing 2)"), ["E0012"]);
}

#[test]
fn wrong_calls_are_found_where_nothing_reaches_them_too() {
    assert_eq!(codes("(define (f x) (subs x)) (define (g) (f))"), ["E0013", "E0013"]);
    assert_eq!(codes("(println 1) (define (f x) x) (println (f))"), ["E0013"]);
    assert_eq!(lines("(let [f (fn [x] x)] (f))"), ["1:21: `f` expected 1 argument, got 0"]);
    assert_eq!(lines("(define (f) (define (g x) x) (g 1 2)) (f)"), ["1:30: `g` expected 1 argument, got 2"]);
    assert_eq!(lines("(let turn ((i 0)) (if (= i 3) i (+ 1 (turn))))"), ["1:38: `turn` expected 1 argument, got 0"]);
    fine("(define (f g) (g 1 2)) (f list)");
    fine("(let [f (fn [x] x)] (set! f (fn [] 1)) (f))");
    fine("(define (f x) x) (set! f (fn [] 1)) (f)");
    fine("(define f (fn [x] x)) (define f (fn [] 1)) (f)");
}

#[test]
fn mistakes_in_a_module_are_told_of_the_module() {
    let expected = "error[E0012]: `hight` is not defined\n --> broken:4:8\n";
    assert_eq!(shown("(require \"broken\" :as b)\n(println (b/area 1 2))"), expected);
    assert_eq!(
        lines("(require \"unread\" :as u)\n(println (u/area 1 2))"),
        ["unread:2:1: the text ends before the `)` that belongs to this"]
    );
    // What lies in a module is not shown as if it were the program's line of that number.
    let expected = "\
error[E0032]: type-mismatch: `*`: expected number, got string
 --> (module):1:42
  in area, (module):1:42
  called from the program, main.tlisp:2:10
";
    assert_eq!(shown("(require \"shapes\" :as shapes)\n(println (shapes/area 1 \"2\"))"), expected);
}

#[test]
fn what_passes_through_a_macro_keeps_its_place() {
    assert_eq!(
        lines("(defmacro twice [x] `(do ,x ,x))\n(twice (println\n  (anything 1)))\n(twice nowhere)"),
        ["3:4: `anything` is not defined", "4:8: `nowhere` is not defined"]
    );
}

#[test]
fn unused_names_are_told() {
    assert_eq!(lines("(define (f) (let [a 1 b 2] b)) (f)"), ["1:19: `a` is never used"]);
    assert_eq!(lines("(map (fn [x] 1) '(1))"), ["1:11: `x` is never used"]);
    assert_eq!(lines("(loop [i 0 j 0] (if (= i 3) i (recur (+ i 1) 0)))"), ["1:12: `j` is never used"]);
    assert_eq!(lines("(define (f) (define (g) 1) 2) (f)"), ["1:22: `g` is never used"]);
    assert_eq!(lines("(let [{:keys [a b]} {:a 1 :b 2}] a)"), ["1:17: `b` is never used"]);
    assert_eq!(lines("(defn f [] 1) (println 1)"), ["1:7: `f` is defined and never used"]);
    assert_eq!(lines("(defmacro m [x] x) (println 1)"), ["1:11: `m` is defined and never used"]);
}

#[test]
fn nothing_is_said_of_names_that_may_be_unused() {
    fine("(let [_a 1] 2)");
    fine("(define (f x y) x) (f 1 2)");
    fine("(define (handler request) 1)");
    fine("(try (car 1) (catch (e) 2))");
    fine("(let [[a b] '(1 2)] b)");
    fine("(match '(1 2) ((list a b) 1) (else 2))");
    fine("(dotimes (i 3) (println \"again\"))");
    fine("(define-record point (x y)) (println (make-point 1 2))");
    fine("(defmacro with-x [body] `(let [x 1] ,body)) (with-x 2)");
    fine("(defmacro with-x [body] `(let [x 1] ,body)) (with-x (println x))");
    fine("(define (helper x) x) (defmacro m [x] (helper x)) (m 1)");
    fine("(define (f n) (let [x n] (lambda () x))) (println ((f 1)))");
    fine("(let [x 1] (define (f) x) (f))");
    fine("(define (f) 1) (println (quote f))");
    fine("(if-let [x 1] x 2)");
}

#[test]
fn hidden_functions_and_clauses_out_of_reach_are_told() {
    assert_eq!(lines("(define (filter p xs) (list p xs)) (filter 1 2)"), ["1:10: `filter` hides a function of the language"]);
    assert_eq!(lines("(defn disk/usage [x] x) (disk/usage 1)"), ["1:7: `disk/usage` hides a function of the host"]);
    assert_eq!(codes("(println (cond :else 1 (= 1 2) 2))"), ["W0004"]);
    assert_eq!(codes("(println (case 1 (else 2) (1 3)))"), ["W0004"]);
    assert_eq!(codes("(println (match 1 (else 2) (1 3)))"), ["W0004"]);
    fine("(let [list '(1) count 1] (println list count))");
    fine("(println (cond ((= 1 1) 1) (else 2)))");
}

#[test]
fn diagnostics_are_json_for_tools() {
    let said = said("(lenght ())");
    let text = serde_json::to_value(&said).expect("it is JSON");
    let span = serde_json::json!({ "start": 1, "end": 7, "line": 1, "column": 2 });
    let expected = serde_json::json!([{
        "code": "E0012", "severity": "error", "message": "`lenght` is not defined", "span": span, "suggestion": "length",
    }]);
    assert_eq!(text, expected);
}

#[test]
fn colours_are_for_terminals() {
    let said = said("(lenght ())");
    let plain = said[0].render("f", "(lenght ())").to_string();
    let coloured = said[0].render("f", "(lenght ())").coloured(true).to_string();
    assert!(!plain.contains('\u{1b}') && coloured.contains("\u{1b}[1;31m^^^^^^"), "{coloured:?}");
    let stripped = coloured.split('\u{1b}').map(|part| part.split_once('m').filter(|_| part.starts_with('[')).map_or(part, |p| p.1));
    assert_eq!(stripped.collect::<String>(), plain);
}
