//! Programs and images that mean harm end with a typed outcome.

mod common;

use common::{check, fails, run};
use vigy_lisp::{Budget, CompileLimits, CompileOptions, Image, Loader, compile};

/// As little native stack as the smallest host has.
const STACK: usize = 64 << 10;

fn on_a_small_stack<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(f).expect("a thread");
    thread.join().expect("it does not panic")
}

#[test]
fn nesting_is_an_error_with_a_place() {
    let error = on_a_small_stack(|| compile(&"(".repeat(100_000), &CompileOptions::default()).expect_err("too deep").to_string());
    assert_eq!(error, "1:1001: nested deeper than 1000");
}

#[test]
fn nesting_up_to_the_limit_needs_no_native_stack() {
    let nested = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    let mut programs: Vec<String> = Vec::new();
    for n in [10, 100, 900] {
        programs.push(nested("(+ 1 ", ")", n));
        programs.push(nested("(if #t ", ")", n));
        programs.push(nested("(let ((x 1)) ", ")", n));
        programs.push(nested("(lambda (x) ", ")", n));
        programs.push(nested("(begin ", ")", n));
        programs.push(nested("'(", ")", n));
        programs.push(nested("`(1 ", ")", n));
        programs.push(nested("[", "]", n));
        programs.push(nested("{1 ", "}", n));
        programs.push(nested("'{1 ", "}", n));
        programs.push(nested("(try ", "(catch (e) 1))", n));
        programs.push(nested("(cond (#t ", "))", n / 2));
        programs.push(nested("(and 1 ", ")", n));
        programs.push(nested("(-> ", " inc)", n));
        programs.push(nested("(delay ", ")", n));
        programs.push(nested("(case 1 (1 ", "))", n / 2));
        programs.push(format!("{}1", "'".repeat(n)));
        programs.push(format!("{}1", "`".repeat(n)));
        programs.push(format!("(read-string {:?})", nested("(", ")", n)));
        programs.push(format!("(json-parse {:?})", nested("[", "]", n)));
    }
    on_a_small_stack(move || {
        for program in &programs {
            let _ = run(program);
        }
    });
}

#[test]
fn deep_values_are_compared_printed_and_hashed_without_recursion() {
    let nest = "(define (nest n acc) (if (= n 0) acc (nest (- n 1) (list acc acc))))";
    let results = on_a_small_stack(move || {
        [
            "(string-length (pr-str (nest 12 1)))",
            "(= (nest 10000 1) (nest 10000 2))",
            "(= (nest 60 1) (nest 60 1))",
            "(assoc {} (nest 60 1) 1)",
            "(pr-str (nest 60 1))",
            "(json-stringify (nest 10000 1))",
            "(count (flatten (nest 10 1)))",
        ]
        .map(|p| run(&format!("{nest} {p}")))
    });
    let name = |r: &Result<String, String>| r.clone().unwrap_or_else(|e| e);
    assert_eq!(name(&results[1]), "depth-exceeded");
    assert_eq!(name(&results[2]), "out-of-fuel");
    assert_eq!(name(&results[3]), "out-of-fuel");
    assert_eq!(name(&results[4]), "out-of-heap");
    assert_eq!(name(&results[6]), "1024");
}

#[test]
fn endless_work_runs_out_of_fuel() {
    for program in [
        "(define (f) (f)) (f)",
        "(while #t 1)",
        "(loop [] (recur))",
        "(define (f n) (map f (list n n))) (try (f 1) (catch (e) (loop [] (recur))))",
        "(define (f) (try (f) (catch (e) (f)))) (f)",
        "(realize (iterate-lazy inc 0))",
        "(range 1 0 0.0)",
    ] {
        let result = run(program);
        assert!(
            matches!(result.as_ref().map_err(String::as_str), Err("out-of-fuel" | "out-of-heap" | "native-fn")),
            "{program}: {result:?}"
        );
    }
}

#[test]
fn greed_runs_out_of_heap() {
    for program in [
        "(define (f x) (f (string-append x x))) (f \"ab\")",
        "(define (f x) (f (cons x x))) (f ())",
        "(string-repeat \"abc\" 1000000000000)",
        "(range 1000000000000)",
        "(repeat-list 1 100000000000)",
        "(loop [m {} i 0] (recur (assoc m i i) (+ i 1)))",
        "(loop [i 0] (string->symbol (str \"s\" i)) (recur (+ i 1)))",
    ] {
        let result = run(program);
        assert!(matches!(result.as_ref().map_err(String::as_str), Err("out-of-heap" | "out-of-fuel")), "{program}: {result:?}");
    }
}

#[test]
fn floods_end() {
    fails("(loop [] (println \"flood\") (recur))", "out-of-output");
    check("(define (f n) (+ 1 (f n))) (try (f 1) (catch (e) (error-tag e)))", ":depth-exceeded");
    fails("(defmacro m (x) `(m (m ,x))) (m 1)", "macro-expansion-limit");
    fails("(defmacro m () (loop [] (recur))) (m)", "macro-expansion-limit");
    fails("(defmacro m (x) (list 'm x)) (m 1)", "macro-expansion-limit");
}

/// Modules that require each other, without end.
struct Endless;

impl Loader for Endless {
    fn load(&self, path: &str) -> Option<String> {
        Some(format!("(require \"{path}x\")"))
    }
}

#[test]
fn every_limit_of_the_compiler_is_an_error_that_says_it() {
    type Set = fn(&mut CompileLimits);
    let limited = |set: Set, source: &str, message: &str| {
        let mut limits = CompileLimits::DEFAULT;
        set(&mut limits);
        let error = compile(source, &CompileOptions { limits, loader: Some(&Endless), ..CompileOptions::default() }).expect_err(source);
        assert!(error.to_string().ends_with(message), "{error}");
    };
    let twice = "(defmacro twice (x) `(+ ,x ,x)) (twice (twice (twice 1)))";
    let long = "(defmacro long () (loop [i 0] (if (< i 1000) (recur (+ i 1)) i))) (long)";
    let nested = "(defmacro a () 1) (defmacro b () (a)) (defmacro c () (b)) (c)";
    limited(|l| l.text_bytes = 10, twice, "the text is longer than 10 bytes");
    limited(|l| l.nesting = 2, twice, "nested deeper than 2");
    limited(|l| l.parts = 50, twice, "the program has more than 50 parts");
    limited(
        |l| l.rewrites = 3,
        "(defmacro less (n) (if (= n 0) 1 (list 'less (- n 1)))) (less 5)",
        "the form was rewritten 3 times and is still not done",
    );
    limited(|l| l.macro_uses = 2, twice, "macro `twice`: more than 2 uses of macros in one program");
    limited(|l| l.macro_depth = 2, nested, "macros use macros that use macros, more than 2 deep");
    limited(|l| l.macro_fuel = 900, long, "the macros of the program took more than 900 steps");
    limited(|l| l.macro_heap_bytes = 2_000, "(defmacro big () (string-repeat \"x\" 10000)) (big)", "the limit is 2000 bytes");
    limited(|l| l.module_depth = 3, "(require \"x\")", "modules require each other more than 3 deep");
}

#[test]
fn no_budget_is_too_small_to_say_so() {
    let image = compile("(define (f n) (list n (f (+ n 1)))) (f 1)", &CompileOptions::default()).expect("a program");
    let budget = Budget { fuel: 1_000, heap_bytes: 1_000, depth: 10, stack_words: 100, output_bytes: 100 };
    let names = |budget| common::outcome(&image, &budget).0.expect_err("too little");
    assert_eq!(names(Budget { fuel: 0, ..budget }), "out-of-fuel");
    assert_eq!(names(Budget { heap_bytes: 0, ..budget }), "out-of-heap");
    assert_eq!(names(Budget { depth: 0, ..budget }), "depth-exceeded");
    assert_eq!(names(Budget { stack_words: 0, ..budget }), "depth-exceeded");
    assert_eq!(names(Budget { fuel: 0, heap_bytes: 0, depth: 0, stack_words: 0, output_bytes: 0 }), "out-of-fuel");
}

#[test]
fn damaged_images_are_refused() {
    let image = compile(
        "(define (f x) (try (map (lambda (y) (+ x y)) '(1 2 {:a \"b\"})) (catch (e) e))) (list (f 1) 1e300)",
        &CompileOptions::default(),
    )
    .expect("a program");
    let bytes = image.as_bytes();
    for i in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[i] ^= 1 << (i % 8);
        assert!(Image::from_bytes(&damaged).is_err(), "byte {i}");
    }
    for cut in 0..bytes.len() {
        assert!(Image::from_bytes(&bytes[..cut]).is_err());
    }
}
