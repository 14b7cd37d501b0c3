//! `vigy eval`, `vigy doc` and `vigy repl`, as people meet them.

mod common;

use std::io::Write as _;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::Receiver;

use common::{Home, PATIENCE, Ran, lines, signal};
use rustix::process::Signal;
use serde_json::json;

// ---- eval ------------------------------------------------------------------------------------------------------------------------

#[test]
fn a_program_prints_and_then_its_value_is_printed() {
    let home = Home::new();
    let program = home.file("sums.tlisp", "(println \"sums\")\n(map + (range 3) [10 20 30])\n");
    assert_eq!(home.does(&["eval", &program]), "sums\n=> (10 21 32)\n");
    assert_eq!(home.does(&["eval", "-e", "(str \"a\" 1)"]), "=> \"a1\"\n");
    assert_eq!(home.does(&["eval", "-e", "-7"]), "=> -7\n");
    assert_eq!(home.does(&["eval", "-e", ""]), "=> ()\n");
}

#[test]
fn standard_input_is_a_program_too() {
    let home = Home::new();
    let file = std::fs::File::open(home.file("in.tlisp", "(* 6 7)")).unwrap();
    let output = home.command(&["eval", "-"]).stdin(file).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "=> 42\n");
}

#[test]
fn a_mistake_is_shown_with_its_place() {
    let home = Home::new();
    let program = home.file("bad.tlisp", "(println \"so far\")\n(define (f x)\n  (car x))\n(+ 1 (f 5))\n");
    let ran = home.vigy(&["eval", &program]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "so far\n"), "{ran:#?}");
    for words in ["type-mismatch: `car`", "bad.tlisp:3:3", "  (car x))", "^^^^^^^", "called from", "bad.tlisp:4:6"] {
        assert!(ran.err.contains(words), "{words} is missing in {ran:#?}");
    }
    home.refuses(&["eval", "-e", "(lenght [1])"], 1, &["-e:1:2", "did you mean `length`?", "^^^^^^"]);
    home.refuses(&["eval", "-e", "(car"], 1, &["-e:1:1", "the text ends"]);
    home.refuses(&["eval", "no-such-file"], 2, &["cannot read the program no-such-file"]);
    home.refuses(&["eval"], 2, &["<FILE>"]);
}

#[test]
fn json_has_the_value_the_output_and_the_mistake() {
    let home = Home::new();
    let done = home.json(&["eval", "-e", "(display \"hi\") [1 \"a\"]"]);
    assert_eq!((&done["value"], &done["output"]), (&json!("(1 \"a\")"), &json!("hi")));
    assert!(done["fuel"].is_u64() && done["heap_bytes"].is_u64(), "{done}");
    let ran = home.vigy(&["eval", "--json", "-e", "(display \"hi\") (throw :no)"]);
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &said["value"], &said["output"]), (Some(1), &json!(null), &json!("hi")));
    assert_eq!((&said["diagnostics"][0]["code"], &said["diagnostics"][0]["span"]["column"]), (&json!("E0039"), &json!(16)));
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert!(error["error"].as_str().unwrap().contains("-e:1:16"), "{error}");
    let two: serde_json::Value = serde_json::from_str(&home.vigy(&["eval", "--json", "-e", "(one) (two)"]).out).unwrap();
    let messages = two["diagnostics"].as_array().unwrap().iter().map(|d| d["message"].as_str().unwrap());
    assert_eq!(messages.collect::<Vec<_>>(), ["`one` is not defined", "`two` is not defined"]);
}

#[test]
fn a_budget_is_a_flag() {
    let home = Home::new();
    home.refuses(&["eval", "--fuel", "1000", "-e", "(loop [] (recur))"], 1, &["out-of-fuel"]);
    home.refuses(&["eval", "--depth", "50", "-e", "(define (f n) (+ 1 (f n))) (f 1)"], 1, &["depth-exceeded"]);
    home.refuses(&["eval", "--heap-bytes", "1000", "-e", "(range 1000)"], 1, &["out-of-heap"]);
    home.refuses(&["eval", "--output-bytes", "3", "-e", "(display \"four\")"], 1, &["out-of-output"]);
    assert_eq!(home.does(&["eval", "--fuel", "100000000", "-e", "(dotimes (i 10000000) i)"]), "=> ()\n");
}

#[test]
fn what_a_host_offers_is_not_there_and_says_so() {
    let home = Home::new();
    home.refuses(&["eval", "-e", "(vigy-noop)"], 1, &["no-host", "`vigy-noop`", "vigy run"]);
    assert_eq!(home.does(&["eval", "-e", "(try (fs/list \"/\") (catch (e) (error-tag e)))"]), "=> :no-host\n");
    home.refuses(&["eval", "-e", "(vigy-noop 1)"], 1, &["`vigy-noop` expected 0 arguments, got 1"]);
    home.refuses(&["eval", "-e", "(read-file \"/etc/passwd\")"], 1, &["`read-file` is not defined"]);
}

#[test]
fn modules_lie_beside_the_program_and_nowhere_else() {
    let home = Home::new();
    std::fs::create_dir(home.path("app")).unwrap();
    home.file("secret.tlisp", "(provide s) (define s 1)");
    home.file("app/shapes.tlisp", "(provide area) (define (area x) (* x x))");
    let program = home.file("app/main.tlisp", "(require \"shapes\" :refer (area)) (area 3)");
    assert_eq!(home.does(&["eval", &program]), "=> 9\n");
    let program = home.file("app/out.tlisp", "(require \"../secret\" :as s) s/s");
    home.refuses(&["eval", &program], 1, &["\"../secret\" was not found"]);
}

// ---- doc -------------------------------------------------------------------------------------------------------------------------

#[test]
fn doc_tells_of_every_kind_of_name() {
    let home = Home::new();
    let says = |name: &str, words: &[&str]| {
        let out = home.does(&["doc", name]);
        words.iter().for_each(|word| assert!(out.contains(word), "`{word}` is missing in {out}"));
    };
    says("map", &["(map f xs …)", "function of the library, at least 2 arguments", "(map inc [1 2])"]);
    says("car", &["(car xs)", "builtin, 1 argument", "; raises :native-fn"]);
    says("let", &["form", "(let bindings body…)"]);
    says("-", &["builtin, at least 1 argument"]);
    says("vigy-once", &["verb of a vigy, 1 argument", "; => (#t #f)"]);
    says("k8s/patch-pvc", &["operation that writes", "--allow kube-pvc-patch"]);
    let page = home.json(&["doc", "nth"]);
    assert_eq!((&page["is"], &page["arity"]), (&json!("builtin, 2 arguments"), &json!({"min": 2, "max": 2})));
    assert_eq!(page["examples"][0]["value"], "(:b () ())");
    assert_eq!(home.json(&["doc", "fs/read"])["capability"], "fs:PATH:r");
    home.refuses(&["doc", "filtr"], 3, &["nothing called `filtr`", "did you mean `filter`?"]);
    home.refuses(&["doc", "%buf"], 3, &["nothing called"]);
}

#[test]
fn doc_lists_every_name_by_chapter() {
    let home = Home::new();
    let chapters = home.json(&["doc"]);
    for (chapter, name) in
        [("lists", "map"), ("forms", "match"), ("verbs of a vigy", "vigy-set"), ("operations of the platform", "fs/hash")]
    {
        assert!(chapters[chapter].as_array().unwrap().contains(&json!(name)), "{name} in {chapters}");
    }
    let list = home.does(&["doc"]);
    assert!(list.contains("frequencies") && list.lines().all(|line| line.chars().count() <= 100), "{list}");
}

// ---- repl ------------------------------------------------------------------------------------------------------------------------

/// What a session without a terminal says to these lines.
#[track_caller]
fn session(home: &Home, lines: &str) -> Ran {
    let mut child = piped(home, &[]);
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    Ran { what: lines.to_owned(), code: output.status.code(), out, err }
}

fn piped(home: &Home, args: &[&str]) -> Child {
    let mut command = home.command(&[&["repl"], args].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Lines, and what a session says to them where nothing goes wrong.
#[track_caller]
fn says(lines: &str, expected: &str) {
    let ran = session(&Home::new(), lines);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), (expected, ""), "{lines}");
}

#[test]
fn what_a_line_defines_the_next_can_use() {
    says("(define x 2)\n(define (f y) (* x y))\n(f 21)\n", "=> ()\n=> ()\n=> 42\n");
    says("(define x 1)\n(set! x (+ x 1))\n(set! x (+ x 1))\nx\n", "=> ()\n=> ()\n=> ()\n=> 3\n");
    says("(defmacro twice (e) `(begin ,e ,e))\n(twice (display 1))\n", "=> ()\n11=> ()\n");
    says("(define c (chan))\n(>! c 5)\n(<! c)\n(<! c)\n", "=> ()\n=> #t\n=> 5\n=> :empty\n");
    says("(define (f) 1)\n(define (g) (f))\n(define (f) 2)\n(g)\n", "=> ()\n=> ()\n=> ()\n=> 2\n");
}

#[test]
fn output_is_heard_once() {
    says("(println \"one\")\n(println \"two\")\n", "one\n=> ()\ntwo\n=> ()\n");
}

#[test]
fn a_form_may_take_several_lines() {
    says("(define (f x)\n  ; doubles\n  (* 2\n\n     x))\n(f 4)\n\"a\nb\"\n", "=> ()\n=> 8\n=> \"a\\nb\"\n");
    says("; nothing\n\n(+ 1 1) (+ 2 2)\n", "=> 4\n");
}

#[test]
fn a_line_that_fails_leaves_nothing_behind_and_the_session_goes_on() {
    let home = Home::new();
    let ran = session(&home, "(define x 1)\n(begin (set! x 2) (car ()))\nx\n(no-such-name)\n(f 1\n 2))\n(+ x 1)\n");
    assert_eq!(ran.out, "=> ()\n=> 1\n=> 2\n", "{ran:#?}");
    for words in ["native-fn: `car`", "[2]:1:19", "`no-such-name` is not defined", "[3]:1:2", "unmatched `)`", "[3]:2:4"] {
        assert!(ran.err.contains(words), "`{words}` is missing in {ran:#?}");
    }
}

#[test]
fn an_error_is_shown_in_the_line_that_it_is_of() {
    let ran = session(&Home::new(), "(define z 1)\n(define (f x)\n  (+ 1 (car x)))\n(list (f 5))\n");
    for words in ["type-mismatch: `car`", "[2]:2:8", "2 |   (+ 1 (car x)))", "called from the program at [3]:1:7"] {
        assert!(ran.err.contains(words), "`{words}` is missing in {ran:#?}");
    }
}

#[test]
fn every_line_has_a_budget_of_its_own() {
    let home = Home::new();
    // Each takes more than half of the fuel, of the heap, or of the output.
    let lines = "(dotimes (i 6000000) i)\n".repeat(3)
        + &"(define xs (range 150000))\n".repeat(3)
        + &"(display (string-repeat \"a\" 40000))\n".repeat(3);
    let ran = session(&home, &lines);
    assert_eq!((ran.out.matches("=> ()").count(), ran.err.as_str()), (9, ""), "{:?}", ran.err);
    let ran = session(&home, "(define x 1)\n(loop [] (recur))\nx\n");
    assert!(ran.err.contains("out-of-fuel") && ran.out.ends_with("=> 1\n"), "{ran:#?}");
}

#[test]
fn commands_begin_with_a_colon_and_other_keywords_are_values() {
    says(":name\n:quit\n(never)\n", "=> :name\n");
    let ran = session(
        &Home::new(),
        "(defn area \"Of a square.\" [x] (* x x))\n(doc area)\n:doc vigy-once\n:doc nthh\n:time (area 3)\n:reset\n:help\n(area 3)\n",
    );
    for words in ["area\n\nOf a square.\n", "verb of a vigy", "=> 9\nfuel ", "Ctrl-C stops it"] {
        assert!(ran.out.contains(words), "`{words}` is missing in {ran:#?}");
    }
    for words in ["did you mean `nth`?", "`area` is not defined", "[1]:1:2"] {
        assert!(ran.err.contains(words), "`{words}` is missing in {ran:#?}");
    }
}

/// A session that is talked to line by line.
struct Talk {
    child: Child,
    input: ChildStdin,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Talk {
    fn new(home: &Home, args: &[&str]) -> Self {
        let mut child = piped(home, args);
        let (out, err) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { input: child.stdin.take().unwrap(), child, out, err }
    }

    fn enter(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    #[track_caller]
    fn hears(&self, line: &str) {
        assert_eq!(self.out.recv_timeout(PATIENCE).as_deref(), Ok(line));
    }
}

#[test]
fn ctrl_c_stops_an_evaluation_and_not_the_session() {
    let home = Home::new();
    let mut talk = Talk::new(&home, &["--fuel", "1000000000000000"]);
    talk.enter("(define x 1)");
    talk.hears("=> ()");
    talk.enter("(println \"begun\") (set! x 2) (loop [] (recur))");
    talk.hears("begun");
    signal(&talk.child, Signal::INT);
    assert_eq!(talk.err.recv_timeout(PATIENCE).as_deref(), Ok("interrupted"));
    talk.enter("x");
    talk.hears("=> 1");
    // With nothing to stop, it ends the session.
    signal(&talk.child, Signal::INT);
    assert_eq!(talk.child.wait().unwrap().code(), Some(130));
}
