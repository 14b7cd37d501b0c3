//! Programs that mean harm, in eight families: each ends with an outcome that has a name, on a native stack of 64 KiB, within its heap,
//! and the next tick on the same memory is none the worse.
#![cfg(all(feature = "sim", feature = "compiler"))]

use std::collections::BTreeMap;

use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::record::{Explain, Record};
use vigy_core::sim::{ManualClock, MemoryStorage, RecordedEffects};
use vigy_core::{Checkpoint, Host, Incarnation, Limits, Spec, TickBuffers, TickInterval, Timestamp};

/// As little native stack as the smallest host has.
const STACK: usize = 64 << 10;

fn limits() -> Limits {
    Limits { fuel: 500_000, heap_bytes: 256 << 10, ..Limits::default() }
}

/// A simulated host with one vigy, and the memory that all its ticks run in.
struct Sim {
    host: Host<ManualClock, MemoryStorage, RecordedEffects>,
    checkpoint: Checkpoint,
    words: Vec<u64>,
}

impl Sim {
    fn new() -> Self {
        let clock = ManualClock(Timestamp(1_000_000));
        let host = Host { clock, storage: MemoryStorage::default(), effects: RecordedEffects::default() };
        Self { host, checkpoint: Checkpoint::new(Incarnation(7), clock.0), words: Vec::new() }
    }

    /// Compiles and ticks a program: `ok`, or the name of what ended it.
    fn outcome(&mut self, source: &str) -> String {
        let image = match lisp::compile(source, &[]) {
            Ok(image) => image,
            Err(e) => {
                assert!(e.span.line > 0 && e.span.column > 0, "an error of the compiler has a place: {e}");
                return format!("compiler: {}", e.tag());
            }
        };
        let limits = limits();
        let imports = Imports::of(image.program()).unwrap();
        let spec = Spec::every(TickInterval::default(), image.hash(), limits);
        let mut buffers = TickBuffers::for_limits(&limits);
        let needed = lisp::words_needed(image.program(), &limits);
        // What the last tick left in the memory stays there.
        self.words.resize(needed.max(self.words.len()), 0xdead_beef_dead_beef);
        let mut evaluation = Lisp::new(image.program(), &imports, &limits, &mut self.words).unwrap();
        self.host.tick(&spec, &mut self.checkpoint, buffers.memory(), &mut evaluation).unwrap();
        assert!(evaluation.heap_used() <= limits.heap_bytes.into(), "{} bytes of heap", evaluation.heap_used());
        self.host.clock.0 = self.checkpoint.due;
        let record = Record::parse(self.host.storage.runs.values().next_back().unwrap()).unwrap();
        let told = Explain(record.end().0, &limits).to_string();
        // Line and column stand in front of what went wrong, where they are known.
        let named = |part: &&str| !part.trim().bytes().all(|b| b.is_ascii_digit());
        told.split(':').find(named).unwrap_or_default().trim().to_owned()
    }
}

/// Programs of one kind, and the outcomes that they may have.
struct Family {
    name: &'static str,
    outcomes: &'static [&'static str],
    programs: Vec<String>,
}

fn family(name: &'static str, outcomes: &'static [&'static str], programs: impl IntoIterator<Item = impl Into<String>>) -> Family {
    Family { name, outcomes, programs: programs.into_iter().map(Into::into).collect() }
}

/// Each text of `outer` with `X` replaced by each of `inner`.
fn each(outer: &[&str], inner: &[&str]) -> Vec<String> {
    outer.iter().flat_map(|outer| inner.iter().map(|inner| outer.replace('X', inner))).collect()
}

fn nested(open: &str, close: &str, n: usize) -> String {
    format!("{}1{}", open.repeat(n), close.repeat(n))
}

/// Ways to go on for ever.
const ENDLESS: &[&str] = &[
    "(while #t X)",
    "(loop [i 0] (begin X (recur (+ i 1))))",
    "(let turn ((i 0)) (begin X (turn (+ i 1))))",
    "(define (turn) X (turn)) (turn)",
    "(define (here) X (there)) (define (there) (here)) (here)",
    "(for-each (lambda (i) X) (range 1000)) (while #t (for-each (lambda (i) X) '(1 2 3)))",
];

fn loops() -> Family {
    let work = [
        "1",
        "(+ 1 2)",
        "(str 1.5 :a)",
        "(list 1 2 3)",
        "(hash-map :a 1)",
        "(try (throw 1) (catch (e) e))",
        "((lambda (x) x) 1)",
        "(sort < '(3 1 2))",
        "(vigy-pending)",
    ];
    let mut programs = each(ENDLESS, &work);
    programs.extend(
        [
            "(define (f) (try (f) (catch (e) (f)))) (f)",
            "(define (f) (try (throw 1) (catch (e) (f)))) (f)",
            "(define (f n) (map f (list n n))) (try (f 1) (catch (e) (while #t 1)))",
            "(while #t (try (vigy-log :nonsense 1) (catch (e) e)))",
            "(while #t (re-match? \"(a*)*b\" \"aaaaaaaaaaaaaaaaaaaaaaaaaaaa\"))",
            "(re-find \"(x+x+)+y\" (string-repeat \"x\" 5000))",
        ]
        .map(String::from),
    );
    family("loop", &["out-of-fuel", "out-of-heap"], programs)
}

fn recursion() -> Family {
    let shapes = [
        "(define (f n) (+ 1 X)) (f 0)",
        "(define (f n) (list n X)) (f 0)",
        "(define (f n) (let ((r X)) r)) (f 0)",
        "(define (f n) (try X (finally 1))) (f 0)",
        "(define (f n) (if X 1 2)) (f 0)",
        "(define (f n) (string-append \"a\" (str X))) (f 0)",
    ];
    let calls =
        ["(f (+ n 1))", "(apply f (list n))", "(car (map f (list n)))", "(foldl (lambda (a x) (f x)) 0 '(1))", "((lambda (x) (f x)) n)"];
    let mut programs = each(&shapes, &calls);
    programs.push("(letrec ((f (lambda (n) (* n (f (- n 1)))))) (f 10))".into());
    programs.push("(define (ev n) (not (od n))) (define (od n) (not (ev n))) (ev 1)".into());
    programs.push("(define p (delay (force p))) (define (f n) (+ 1 (f n))) (f p)".into());
    family("recursion", &["depth-exceeded", "out-of-fuel", "out-of-heap"], programs)
}

fn memory() -> Family {
    let sizes = ["1000000", "1000000000", "1000000000000", "9223372036854775807"];
    let mut programs = each(
        &[
            "(string-repeat \"abc\" X)",
            "(range X)",
            "(repeat-list 1 X)",
            "(%buf X)",
            "(range 0 X 1)",
            "(string-repeat (string-repeat \"é\" 1000) X)",
        ],
        &sizes,
    );
    programs.extend(
        [
            "(define (f x) (f (string-append x x))) (f \"ab\")",
            "(define (f x) (f (append x x))) (f '(1))",
            "(define (f x) (f (cons x x))) (f ())",
            "(define (f x) (f (list x x x))) (f 1)",
            "(loop [m {} i 0] (recur (assoc m i i) (+ i 1)))",
            "(loop [m {} i 0] (recur (assoc m (list i) m) (+ i 1)))",
            "(loop [i 0 all ()] (recur (+ i 1) (cons (string->symbol (str \"s\" i)) all)))",
            "(define c (chan)) (while #t (>! c \"a value of some length\"))",
            "(loop [p ()] (recur (delay p)))",
            "(loop [e (ex-info \"a\")] (recur (ex-info \"b\" (list :e e))))",
            "(loop [f (lambda () 1)] (recur (let ((g f)) (lambda () (g)))))",
            "(loop [s \"x\"] (recur (json-stringify (list s s))))",
            "(loop [s \"x\"] (recur (pr-str (list s s))))",
            "(loop [x '(1)] (recur (map (lambda (y) (list y y)) x)))",
            "(loop [s \"a\"] (recur (string-replace s \"a\" \"aa\")))",
            "(loop [s \"a\"] (recur (re-replace \"a\" s \"$0$0\")))",
            "(define (nest n x) (if (= n 0) x (nest (- n 1) (list x x)))) (pr-str (nest 60 1))",
            "(define (nest n x) (if (= n 0) x (nest (- n 1) (list x x)))) (json-stringify (nest 60 1))",
        ]
        .map(String::from),
    );
    family("memory", &["out-of-heap", "out-of-fuel"], programs)
}

/// Text that is refused while it is read.
fn nesting_of_text() -> Family {
    let opens = ["(", "[", "{", "'", "`", ",", "#;(", "(+ 1 ", "'(", "`(1 ,", "[{1 ", "(if #t "];
    let mut programs: Vec<String> = opens.iter().flat_map(|open| [1_001, 100_000].map(|n| open.repeat(n))).collect();
    programs
        .extend([(("("), ")"), ("[", "]"), ("{1 ", "}"), ("'(", ")"), ("(list ", ")")].map(|(open, close)| nested(open, close, 100_000)));
    family("nesting", &["compiler: reader"], programs)
}

/// Values that are nested while the program runs.
fn nesting_of_values() -> [Family; 2] {
    let deep = "(define (nest n x) (if (= n 0) x (nest (- n 1) (list x)))) (define deep (nest 5000 1)) X";
    // One list in another is no work for later: no limit is met.
    let harmless = ["(= deep (nest 5000 1))", "(assoc {} deep 1)", "(vigy-log :info deep)"];
    let uses = [
        "(define (pairs n x) (if (= n 0) x (pairs (- n 1) (list x 1)))) (= (pairs 500 1) (pairs 500 1))",
        "(json-stringify deep)",
        "(vigy-set :k deep)",
        "(vigy-push deep)",
        "(read-string (string-repeat \"(\" 1000))",
        "(read-string (string-append (string-repeat \"[\" 1000) (string-repeat \"]\" 1000)))",
        "(json-parse (string-append (string-repeat \"[\" 1000) (string-repeat \"]\" 1000)))",
        "(json-parse (string-repeat \"{\\\"a\\\":\" 1000))",
        "(re-match? (string-append (string-repeat \"(\" 1000) (string-repeat \")\" 1000)) \"a\")",
        "(is? deep (nest 5000 :int))",
    ];
    [
        family("nesting", &["depth-exceeded", "native-fn", "reader", "not-data"], each(&[deep], &uses)),
        family("nesting", &["ok"], each(&[deep], &harmless)),
    ]
}

fn unicode() -> [Family; 2] {
    let texts =
        ["héllo", "日本語", "\u{1F600}\u{1F468}\u{200D}\u{1F469}", "e\u{301}\u{302}\u{303}", "\u{202E}rtl", "\u{0}\u{7f}\u{feff}", "ßİŉΐ"];
    let uses = [
        "(list (string-uppercase \"X\") (string-lowercase \"X\") (string-reverse \"X\") (string-length \"X\"))",
        "(map (lambda (c) (string-index \"X\" c)) (string-chars \"X\"))",
        "(vigy-log :info (subs \"X\" 1 (string-length \"X\")))",
        "(list (string->symbol \"X\") (string->keyword \"X\") (read-string \"X\") (json-parse (json-stringify \"X\")))",
        "(list (re-find-all \".\" \"X\") (re-split \"\" \"X\") (string-split \"X\" \"\") (url-decode (url-encode \"X\")))",
    ];
    let wrong = ["\"\\u{d800}\"", "\"\\u{110000}\"", "\"\\u{}\"", "\"\\u{fffffffff}\"", "\"\\u{é}\"", "\"\\u12\"", "\"日本", "#|日本"];
    [family("unicode", &["ok"], each(&uses, &texts)), family("unicode", &["compiler: reader"], wrong)]
}

fn macro_bombs() -> Family {
    let mut programs: Vec<String> = [
        "(defmacro m (x) `(m (m ,x))) (m 1)",
        "(defmacro m (x) `(begin (m ,x) (m ,x))) (m 1)",
        "(defmacro m () (loop [] (recur))) (m)",
        "(defmacro m (x) (list 'm x)) (m 1)",
        "(defmacro a (x) `(b ,x)) (defmacro b (x) `(a ,x)) (a 1)",
        "(defmacro m (&rest xs) `(m ,@xs ,@xs)) (m 1)",
        "(defmacro m () (define (f n) (cons n (f n))) (f 1)) (m)",
        "(defmacro m () (string-repeat \"x\" 1000000000)) (m)",
        "(defmacro m () (range 1000000000)) (m)",
        "(defmacro m () (loop [x 1] (recur (list x x)))) (m)",
        "(defmacro m () (loop [x 1 n 0] (if (< n 40) (recur (list x x) (+ n 1)) x))) (m)",
        "(defmacro m () (while #t (print \"x\"))) (m)",
        "(defmacro m (n) `(defmacro m (n) `(m ,n))) (m 1) (m (m 1))",
        "(defmacro m () '(m)) (define (f) (m)) (f)",
    ]
    .map(String::from)
    .into();
    let slow = "(defmacro m (x) (loop [i 0] (if (< i 1000000) (recur (+ i 1)) x)))";
    programs.extend([30, 60, 200].map(|n| format!("{slow} {}", "(m 1) ".repeat(n))));
    programs.extend([5_000, 20_000].map(|n| format!("(cond {})", "(#f 1) ".repeat(n))));
    programs.extend([5_000, 20_000].map(|n| format!("(defmacro id (x) x) (list {})", "(id 1) ".repeat(n))));
    family("macro bomb", &["compiler: macro-expansion-limit", "compiler: native-fn", "compiler: depth-exceeded"], programs)
}

fn action_floods() -> Family {
    let verbs = [
        "(vigy-push 1)",
        "(vigy-pull \"x\")",
        "(vigy-create {:a 1})",
        "(vigy-noop)",
        "(vigy-defer \"later\")",
        "(vigy-emit :custom (list 1 2))",
        "(try (vigy-apply 1) (catch (e) e))",
    ];
    family("action flood", &["too-many-actions"], each(ENDLESS, &verbs))
}

fn log_floods() -> Family {
    let verbs = [
        "(vigy-log :info \"x\")",
        "(vigy-log :error {:a 1})",
        "(println \"x\")",
        "(display \"no line\")",
        "(pr '(1 2 3))",
        "(vigy-event \"a\" \"b\")",
        "(try (vigy-log :debug \"x\") (catch (e) e))",
        "(println (string-repeat \"long\" 1000))",
    ];
    family("log flood", &["too-many-log-lines", "too-much-output", "record-full", "out-of-output"], each(ENDLESS, &verbs))
}

/// Runs a program, then one that means well. What it came to.
fn run(source: &str) -> String {
    let mut sim = Sim::new();
    let outcome = sim.outcome(source);
    assert_eq!(sim.outcome("(vigy-log :info (str \"still \" (list 'here)))"), "ok", "the tick after {source}");
    outcome
}

#[test]
fn hostile_programs_end_with_outcomes_that_have_names() {
    let mut families = vec![loops(), recursion(), memory(), nesting_of_text(), macro_bombs(), action_floods(), log_floods()];
    families.extend(nesting_of_values().into_iter().chain(unicode()));
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut programs = 0;
    let mut names: Vec<&str> = families.iter().map(|family| family.name).collect();
    names.sort_unstable();
    names.dedup();
    let mut wrong = Vec::new();
    for Family { name, outcomes: allowed, programs: sources } in families {
        for source in sources {
            let short: String = source.chars().take(120).collect();
            let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || run(&source)).expect("a thread");
            let outcome = thread.join().unwrap_or_else(|_| panic!("{name}: {short} panicked"));
            if !allowed.contains(&outcome.as_str()) {
                wrong.push(format!("{name}: {outcome}, of {short}"));
            }
            programs += 1;
            *outcomes.entry(outcome).or_default() += 1;
        }
    }
    println!("hostile: {} families, {programs} programs, {outcomes:?}", names.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(names.len() == 8 && programs >= 200, "{programs} programs");
}
