//! Scripts inside an application: typed arguments and answers, calls by name, asks, grants, and what goes wrong.
#![allow(elided_lifetimes_in_paths, reason = "as an application writes them")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vigy_lisp::{Ctx, Data, Host, Keywords, LoadOptions, Loader, Next, Raise, Rest, Script, ScriptError, Serde, Value, View};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Page {
    limit: u8,
    name_space: Option<String>,
    #[serde(default)]
    all: bool,
}

/// Functions of every type of argument; each shows what it got.
fn host() -> Host {
    let mut host = Host::new();
    host.register_fn("int", |i: i64| i);
    host.register_fn("byte", |i: u8| i);
    host.register_fn("float", |x: f64| x);
    host.register_fn("bool", |b: bool| b);
    host.register_fn("text", |s: &str| s.to_string());
    host.register_fn("owned", |s: String| s);
    host.register_fn("maybe", |a: i64, b: Option<i64>| a + b.unwrap_or(100));
    host.register_fn("maybe-text", |s: Option<&str>| s.map(str::len).unwrap_or(0));
    host.register_fn("ints", |xs: Vec<i64>| xs.iter().sum::<i64>());
    host.register_fn("prices", |m: BTreeMap<String, f64>| m);
    host.register_fn("serde", |Serde(page): Serde<Page>| Serde(page));
    host.register_fn("rest", |first: &str, Rest(more): Rest<i64>| (first.to_string(), more));
    host.register_fn("page", |what: &str, Keywords(page): Keywords<Page>| (what.to_string(), page));
    host.register_fn("data", |data: Data| data);
    host.register_fn("same", |value: Value| value);
    host.register_fn("kind", |value: View| matches!(value, View::Map(_)));
    host.register_fn("named", |s: &str, port: u16| format!("{s}:{port}")).params(&["host", "port"]);
    host.register_fn("none", || None::<i64>);
    host.register_fn("unit", |_: &mut Ctx| ());
    host.register_fn("large", || u64::MAX);
    host.register_fn("pairs", || vec![(1, "one"), (2, "two")]);
    host.register_fn("parse", |s: &str| s.parse::<i64>());
    host.register_fn("refuse", |tag: String| Err::<(), _>(Raise::new(tag, "not today")));
    host
}

/// `source` gives `expected`, as `pr-str` writes it.
#[track_caller]
fn check(source: &str, expected: &str) {
    let shown = host().load(&format!("(pr-str {source})")).and_then(|mut script| script.run::<String>());
    assert_eq!(shown.as_deref().map_err(ToString::to_string), Ok(expected), "{source}");
}

/// Of what people see, the place and the message.
fn placed(error: &str) -> String {
    let mut lines = error.lines();
    let message = lines.next().and_then(|line| line.split_once("]: ")).map_or("", |(_, message)| message);
    let place = lines.next().and_then(|line| line.trim_start().strip_prefix("--> ")).unwrap_or("");
    format!("{place}: {message}")
}

/// Running `source` fails, and people see `message` with its place in front.
#[track_caller]
fn fails(source: &str, message: &str) {
    let error = host().load(source).and_then(|mut script| script.run::<()>()).expect_err(source);
    assert_eq!(placed(&error.to_string()), message, "{source}");
}

#[test]
fn arguments_are_what_the_function_takes() {
    check("(int -9223372036854775808)", "-9223372036854775808");
    check("(byte 255)", "255");
    check("(list (float 1.5) (float 2))", "(1.5 2)");
    check("(bool #f)", "#f");
    check("(list (text \"héllo\") (text :key) (text 'sym) (owned \"s\"))", "(\"héllo\" \"key\" \"sym\" \"s\")");
    check("(list (maybe 1) (maybe 1 nil) (maybe 1 2))", "(101 101 3)");
    check("(list (maybe-text) (maybe-text \"four\"))", "(0 4)");
    check("(list (ints [1 2 3]) (ints ()))", "(6 0)");
    check("(prices {:a 1 \"b\" 2.5})", "{:a 1, :b 2.5}");
    check("(serde {:limit 3 :all true})", "{:limit 3, :name-space (), :all #t}");
    check("(list (rest \"a\") (rest \"a\" 1 2))", "((\"a\" ()) (\"a\" (1 2)))");
    check("(data {:a [1 'b \"c\" nil 1.5] 7 :x})", "{:a (1 b \"c\" () 1.5), 7 :x}");
    check("((same (lambda (x) (* 2 x))) 21)", "42");
    check("(list (kind {}) (kind 1))", "(#t #f)");
    check("(map int [1 2 3])", "(1 2 3)");
    check("(apply named [\"h\" 80])", "\"h:80\"");
}

#[test]
fn answers_are_values() {
    check("(list (none) (unit) (pairs))", "(() () ((1 \"one\") (2 \"two\")))");
    check("(parse \"42\")", "42");
    check("(try (refuse \"busy\") (catch (e) (list (error-tag e) (error-message e))))", "(:busy \"not today\")");
    check("(try (parse \"x\") (catch (e) (error-tag e)))", ":native-fn");
    check("(try (large) (catch (e) (error-tag e)))", ":integer-overflow");
}

#[test]
fn a_wrong_argument_is_an_error_with_its_number_its_name_and_the_place() {
    fails("(int \"1\")", "script:1:1: type-mismatch: `int`: argument 1: expected int, got string");
    fails("(int 1.0)", "script:1:1: type-mismatch: `int`: argument 1: expected int, got 1.0");
    fails("(byte 256)", "script:1:1: type-mismatch: `byte`: argument 1: expected an int from 0 to 255, got 256");
    fails("(float \"x\")", "script:1:1: type-mismatch: `float`: argument 1: expected number, got string");
    fails("(bool nil)", "script:1:1: type-mismatch: `bool`: argument 1: expected bool, got nil");
    fails("(+ 1\n   (text 1))", "script:2:4: type-mismatch: `text`: argument 1: expected string, got 1");
    fails("(named \"h\" 70000)", "script:1:1: type-mismatch: `named`: argument 2 (`port`): expected an int from 0 to 65535, got 70000");
    fails("(maybe 1 \"2\")", "script:1:1: type-mismatch: `maybe`: argument 2: expected int, got string");
    fails("(ints [1 \"two\"])", "script:1:1: type-mismatch: `ints`: argument 1: at [1]: expected i64, got \"two\"");
    fails("(prices {:a {:b 1}})", "script:1:1: type-mismatch: `prices`: argument 1: at [:a]: expected f64, got a map");
    fails("(serde {:limit 300})", "script:1:1: type-mismatch: `serde`: argument 1: at [:limit]: expected u8, got 300");
    fails("(serde {})", "script:1:1: type-mismatch: `serde`: argument 1: `:limit` is missing");
    fails("(rest \"a\" 1 :b)", "script:1:1: type-mismatch: `rest`: argument 3: expected i64, got \"b\"");
    fails("(data (list car))", "script:1:1: type-mismatch: `data`: argument 1: at [0]: a native-fn is not data");
}

#[test]
fn a_wrong_number_of_arguments_is_refused_and_met_at_run_time_by_what_is_called_as_a_value() {
    fails("(int)", "script:1:1: `int` expected 1 argument, got 0");
    fails("(maybe 1 2 3)", "script:1:1: `maybe` expected 1 to 2 arguments, got 3");
    fails("(page)", "script:1:1: `page` expected at least 1 argument, got 0");
    fails("(define f (if #t int car)) (f 1 2)", "script:1:28: arity-mismatch: `int` expected 1 argument, got 2");
}

#[test]
fn keyword_arguments_are_the_fields_of_a_struct() {
    check("(page \"x\" :limit 3)", "(\"x\" {:limit 3, :name-space (), :all #f})");
    check("(page \"x\" :all true :name-space \"web\" :limit 3)", "(\"x\" {:limit 3, :name-space \"web\", :all #t})");
    let page = |args: &str, message: &str| fails(&format!("(page \"x\" {args})"), &format!("script:1:1: type-mismatch: `page`: {message}"));
    page(":limit 1 :limt 3", "`:limt` is unknown; did you mean `:limit`?");
    page(":limit 1 :x 3", "`:x` is unknown; there is `:limit`, `:name-space`, `:all`");
    page(":all true", "`:limit` is missing");
    page(":limit 1 :limit 2", "`:limit` is given twice");
    page(":limit", "`:limit` has no value");
    page("\"limit\" 1", "argument 2: expected a keyword, got string");
    page(":limit \"many\"", "at [:limit]: expected u8, got \"many\"");
}

#[test]
fn a_script_is_called_by_name_after_its_top_level_ran() {
    let mut script =
        host().load("(define count 0) (define (f x s) (set! count (+ count x)) (str s count)) (define (never-used) 1)").expect("a program");
    assert!(matches!(script.call::<i64>("f", (1, "x")), Err(ScriptError::NotRun)));
    script.run::<()>().expect("it runs");
    assert_eq!(script.call::<String>("f", (1, "x")).expect("a call"), "x1");
    assert_eq!(script.call::<String>("f", (41, "y")).expect("a call"), "y42");
    assert_eq!(script.call::<i64>("never-used", ()).expect("a call"), 1);
    script.run::<()>().expect("it runs again");
    assert_eq!(script.call::<String>("f", (1, "z")).expect("a call"), "z1", "from the beginning");
}

#[test]
fn variables_can_be_looked_at() {
    let source =
        "(define size 3) (define names '(\"a\" \"b\")) (define total 0) (define (add x) (set! total (+ total x))) (define later car)";
    let mut script = ran(source);
    script.call::<()>("add", (5,)).expect("it runs");
    script.call::<()>("add", (2,)).expect("it runs");
    assert_eq!(script.get::<i64>("total").expect("an int"), 7);
    assert_eq!(script.get::<u8>("size").expect("an int"), 3);
    assert_eq!(script.get::<Vec<String>>("names").expect("a list"), ["a", "b"]);
    let message = |error: ScriptError| error.to_string();
    assert_eq!(script.get::<i64>("totl").map_err(message), Err("the script defines no `totl`".to_string()));
    assert_eq!(script.get::<bool>("size").map_err(message), Err("expected a boolean, got 3".to_string()));
    assert_eq!(script.get::<Data>("later").map_err(message), Err("a native-fn is not data".to_string()));
}

#[test]
fn a_script_is_called_by_its_own_names_whatever_its_modules_and_the_host_call_theirs() {
    struct Modules;
    impl Loader for Modules {
        fn load(&self, _: &str) -> Option<String> {
            Some("(define count 7) (define (next) (set! count (+ count 1)) count) (define (int x) :module) (provide next)".into())
        }
    }
    let source =
        "(require \"m\" :as m) (define count 100) (define (int x) :own) (define (both) (set! count (+ count 1)) (list (m/next) count))";
    let options = LoadOptions { loader: Some(&Modules), ..LoadOptions::default() };
    let mut script = host().load_with(source, &options, ()).expect("a program");
    script.run::<()>().expect("it runs");
    assert_eq!(script.call::<(i64, i64)>("both", ()).expect("it runs"), (8, 101));
    assert_eq!(script.get::<i64>("count").expect("an int"), 101);
    assert_eq!(script.call::<String>("int", (1,)).expect("it runs"), "own");
}

/// A script of `source` whose top level has run.
fn ran(source: &str) -> Script {
    let mut script = host().load(source).expect("a program");
    script.run::<()>().expect("it runs");
    script
}

#[track_caller]
fn call_fails(script: &mut Script, name: &str, message: &str) {
    let error = script.call::<i64>(name, (1,)).expect_err(name);
    assert_eq!(error.to_string(), message);
}

#[test]
fn a_call_that_cannot_be_says_why() {
    let mut script = ran("(define seven 7) (define len length) (define (twice x) (* 2 x)) (define (text-of x) \"x\") (define (two a b) a)");
    call_fails(&mut script, "twise", "the script has no function `twise`; did you mean `twice`?");
    call_fails(&mut script, "seven", "the script has no function `seven`");
    call_fails(&mut script, "len", "the script has no function `len`");
    call_fails(&mut script, "car", "the script has no function `car`");
    call_fails(&mut script, "text-of", "expected i64, got \"x\"");
    let error = script.call::<i64>("two", (1,)).expect_err("too few").to_string();
    assert!(error.contains("arity-mismatch: `two` expected 2 arguments, got 1"), "{error}");
    assert_eq!(script.call::<i64>("twice", (21,)).expect("it still works"), 42);
}

#[test]
fn a_failure_shows_the_lines_that_led_there() {
    let source = "(define (inner x)\n  (+ 1 (int x)))\n(define (outer x)\n  (+ 1 (inner x)))\n(+ 1 (outer \"no\"))";
    let error = host().load(source).and_then(|mut script| script.run::<()>()).expect_err("it fails");
    let shown = "\
error[E0032]: type-mismatch: `int`: argument 1: expected int, got string
 --> script:2:8
  |
2 |   (+ 1 (int x)))
  |        ^^^^^^^
  in inner, script:2:8
  called from outer, script:4:8
  called from the program, script:5:6";
    assert_eq!(error.to_string(), shown);
    assert_eq!(format!("{error:?}"), shown);
}

#[test]
fn budgets_hold_for_every_call_alike() {
    let budget = vigy_lisp::Budget { fuel: 10_000, ..vigy_lisp::Budget::default() };
    let options = LoadOptions { budget, ..LoadOptions::default() };
    let source = "(define (spin) (spin)) (define (sum n) (if (= n 0) 0 (+ n (sum (- n 1)))))";
    let mut script = host().load_with(source, &options, ()).expect("a program");
    script.run::<()>().expect("it runs");
    for _ in 0..3 {
        let error = script.call::<()>("spin", ()).expect_err("it spins");
        assert_eq!(error.fault().map(|fault| fault.kind.name()), Some("out-of-fuel"));
        assert_eq!(script.fuel_used(), 10_000);
        assert_eq!(script.call::<i64>("sum", (100,)).expect("there is fuel for it"), 5050);
    }
}

#[test]
fn an_answer_larger_than_the_heap_ends_the_run_and_no_handler_sees_it() {
    let mut host = Host::new();
    host.register_fn("flood", || "x".repeat(10_000_000));
    let mut script = host.load("(define (f) 1) (try (flood) (catch (e) 0))").expect("a program");
    let error = script.run::<()>().expect_err("too large");
    assert_eq!(error.fault().map(|fault| fault.kind.name()), Some("out-of-heap"));
}

#[test]
fn what_is_not_granted_is_refused_where_it_is_used() {
    let mut host = Host::new();
    host.register_fn("fs/read", |path: &str| path.len()).needs("fs").doc("The length of a path.").params(&["path"]);
    host.register_fn("free", || 1);
    let source = "(define (f)\n  (fs/read \"a\"))\n(free)";
    let refused = host.load(source).err().expect("refused").to_string();
    let shown = "\
error[E0031]: `fs/read` needs the capability `fs`, which is not granted
 --> script:2:4
  |
2 |   (fs/read \"a\"))
  |    ^^^^^^^";
    assert_eq!(refused, shown);
    let granted = LoadOptions { grants: &["fs"], name: "main.tlisp", ..LoadOptions::default() };
    assert_eq!(host.load_with(source, &granted, ()).expect("granted").run::<i64>().expect("it runs"), 1);
    assert!(host.load("(define (fs/read x) x) (fs/read 1)").is_ok(), "a name of its own");
    assert!(host.load("(map fs/read [1])").is_err(), "as a value too");
}

#[test]
fn functions_say_what_they_are() {
    let mut host = host();
    host.register_fn("fs/read", |_: &str, _: Option<i64>, _: Rest<i64>| ()).params(&["path", "limit"]).needs("fs").doc("Reads.").writes();
    let about = host.functions().last().expect("one");
    assert_eq!((about.to_string().as_str(), about.needs, about.function.doc), ("(fs/read path [limit] …)", Some("fs"), "Reads."));
    let shown = |name: &str| host.functions().find(|about| about.function.name == name).map(ToString::to_string);
    assert_eq!(shown("maybe").as_deref(), Some("(maybe arg1 [arg2])"));
    assert_eq!(shown("page").as_deref(), Some("(page arg1 :limit … :name-space … :all …)"));
    assert_eq!(shown("none").as_deref(), Some("(none)"));
}

#[test]
fn functions_share_the_state_of_their_script() {
    #[derive(Default)]
    struct Seen(Vec<String>);
    let mut host: Host<Seen> = Host::default();
    host.register_fn("see", |ctx: &mut Ctx<Seen>, what: &str| {
        ctx.state.0.push(what.to_string());
        ctx.state.0.len()
    });
    let mut one = host.load("(see \"a\") (see \"b\")").expect("a program");
    let mut two = host.load("(see \"c\")").expect("a program");
    assert_eq!((one.run::<i64>().expect("it runs"), two.run::<i64>().expect("it runs")), (2, 1));
    assert_eq!((one.state.0, two.state.0), (vec!["a".to_string(), "b".to_string()], vec!["c".to_string()]));
}

#[derive(Debug, PartialEq)]
enum Request {
    Get(String),
    Sleep(u64),
}

fn asking() -> Host<(), Request> {
    let mut host = Host::default();
    host.register_ask("get", |url: &str| Request::Get(url.to_string()));
    host.register_ask("sleep", |ms: u64| Request::Sleep(ms));
    host.register_fn("len", |s: &str| s.len());
    host
}

#[test]
fn a_script_that_asks_waits_for_its_answer() {
    let mut script = asking().load("(define a (get \"x\")) (sleep 5) (len (str a (get \"y\")))").expect("a program");
    assert!(matches!(script.step::<()>(), Err(ScriptError::NotRunning)));
    script.start();
    assert_eq!(script.step::<i64>().expect("asks"), Next::Ask(Request::Get("x".into())));
    assert_eq!(script.step::<i64>().expect("asks again"), Next::Ask(Request::Get("x".into())));
    script.answer("12");
    assert_eq!(script.step::<i64>().expect("asks"), Next::Ask(Request::Sleep(5)));
    script.answer(());
    assert_eq!(script.step::<i64>().expect("asks"), Next::Ask(Request::Get("y".into())));
    script.answer("345");
    assert_eq!(script.step::<i64>().expect("done"), Next::Done(5));
    script.answer("nobody asked");
}

#[test]
fn a_refused_ask_can_be_caught_and_its_arguments_are_checked_before_anybody_is_asked() {
    let mut script = asking().load("(try (get \"x\") (catch (e) (error-tag e)))").expect("a program");
    let answer = |_| Err::<(), _>(Raise::new("offline", "no route"));
    assert_eq!(script.run_with::<String, _>(answer).expect("caught"), "offline");
    let mut script = asking().load("(sleep -1)").expect("a program");
    script.start();
    let error = script.step::<()>().expect_err("negative").to_string();
    assert!(placed(&error).starts_with("script:1:1: type-mismatch: `sleep`: argument 1: expected an int from 0 to"), "{error}");
}

#[test]
fn asks_are_awaited_in_any_executor() {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    fn sendable<T: Send>(t: T) -> T {
        t
    }
    let mut script = asking().load("(define (total urls) (reduce + 0 (map (lambda (u) (len (get u))) urls)))").expect("a program");
    script.run_with::<(), _>(|_| ()).expect("nothing is asked");
    let mut run = Box::pin(sendable(script.call_async::<i64, _>("total", (["a", "bb"],), async |asked| {
        let mut polled = false;
        std::future::poll_fn(|_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
        match asked {
            Request::Get(url) => Ok(url + "!"),
            Request::Sleep(_) => Err(Raise::new("never", "asked")),
        }
    })));
    let mut polls = 0;
    let result = loop {
        polls += 1;
        if let Poll::Ready(result) = run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break result;
        }
    };
    assert_eq!((result.expect("it runs"), polls), (5, 3));
}

#[test]
fn what_a_script_prints_is_kept_until_the_next_run() {
    let mut script = host().load("(println \"hello\" 1) (define (f) (display \"f\"))").expect("a program");
    script.run::<()>().expect("it runs");
    assert_eq!(script.printed(), "hello 1\n");
    script.call::<()>("f", ()).expect("it runs");
    assert_eq!(script.printed(), "f");
}

#[test]
fn scripts_move_between_threads() {
    let mut script = ran("(define (f x) (* 2 x))");
    let answer = std::thread::spawn(move || script.call::<i64>("f", (21,))).join().expect("no panic");
    assert_eq!(answer.expect("it runs"), 42);
}
