//! The library and the forms around it, one line per promise; most of them as upstream answers.

mod common;

use common::{check, fails, refused};
use vigy_lisp::{CompileOptions, compile};

#[test]
fn forms_that_are_built_at_run_time_are_evaluated_among_the_globals() {
    check("(eval (list '+ 1 2))", "3");
    check("(eval (read-string \"(* 6 7)\"))", "42");
    check("(define (f form) (eval form)) (f '(define (fact n) (if (= n 0) 1 (* n (fact (- n 1)))))) (f '(fact 10))", "3628800");
    check("(define w 1) (eval (list 'set! 'w 9)) w", "9");
    check("(eval (list 'define 'q 9)) q", "9");
    check("(defmacro m (x) `(+ ,x 1)) (eval (list 'm 4))", "5");
    check("(define (f x) (eval x)) (f '(let [[a b] (list 1 2)] {:sum (+ a b) :both [a b]}))", "{:sum 3, :both (1 2)}");
    check("(define (f x) (eval x)) (f '(try (throw 1) (catch (e) (+ e 1)) (finally 5)))", "2");
    check("(define (f x) (eval x)) (f '(let go ((i 0)) (if (< i 1000) (go (+ i 1)) i)))", "1000");
    fails("(eval (list 'undefined-thing 1))", "unbound-symbol");
    fails("(let ((y 5)) (eval (list '+ 'y 1)))", "unbound-symbol");
    fails("(eval (list car 1))", "native-fn");
    fails("(eval (list 'if))", "bad-special-form");
    fails("(eval (list 'match 1 2))", "not-implemented");
    check("(define (f x) (macroexpand x)) (f '(-> 1 inc (+ 2)))", "(+ (inc 1) 2)");
}

#[test]
fn a_transform_from_a_configuration_sees_its_bindings_and_the_library_alone() {
    check("(eval-sexp '(str host \".\" zone) :bindings {:host \"a\" :zone \"b\"})", r#""a.b""#);
    check("(eval-sexp \"(:host bindings)\" :bindings {:host \"a\"})", r#""a""#);
    fails("(define secret 1) (eval-sexp 'secret)", "unbound-symbol");
}

#[test]
fn macros_see_what_stands_in_front_of_their_use() {
    check("(defmacro m (x) (later x)) (define (later x) x) (m 1)", "1");
    check("(define k 3) (defmacro m () k) (define k 4) (m)", "4");
    check("(defmacro b (x) (h x)) (define (h x) `(+ ,x 1)) (defmacro a (x) `(b ,x)) (a 1)", "2");
    fails("(defmacro m (5) x)", "reader");
    check("(macroexpand-1 '(-> 1 inc inc))", "(-> (->1 1 inc) inc)");
    check("(macroexpand-1 '(dotimes (i 3) i))", "(for-each (lambda (i) i) (range 3))");
}

#[test]
fn bindings_that_change_are_seen_by_closures_made_among_them() {
    check("(let* ((x 1) (f (lambda () x))) (set! x 2) (f))", "2");
    check("(let* ((x 1) (f (lambda () x)) (x 2)) (f))", "2");
    check("(let [x 1 f (fn [] x) x 2] (list x (f)))", "(2 1)");
    check("(loop [x 1 f (fn [] x)] (set! x 2) (list x (f)))", "(2 2)");
    check("(loop [x 1 fs ()] (if (> x 3) (map (fn [f] (f)) fs) (recur (+ x 1) (cons (fn [] (set! x (* x 10)) x) fs))))", "(30 20 10)");
}

#[test]
fn forms_complain_as_upstream_does() {
    check("(when #t)", "()");
    fails("(assert #t)", "native-fn");
    fails("(while)", "native-fn");
    fails("(when-let (x) 1)", "native-fn");
    fails("(when-let x 1)", "type-mismatch");
    fails("(case 1 5)", "type-mismatch");
    fails("(match 5 (5))", "bad-special-form");
    fails("(doseq (x (list 1)))", "bad-special-form");
    fails("(let ((x 1)) (defmacro m (y) y))", "unbound-symbol");
    refused("(define-record p)", "1:1: macro `define-record`: a name and fields are expected");
}

#[test]
fn lists_and_functions() {
    check("(apply apply (list + 1 (list 2)))", "3");
    check("(fourth (list 1 2 3 4))", "4");
    check("(flip -)", "#<closure (a b)>");
    check("(< 3 2 \"a\")", "#f");
    check("(empty? {})", "#f");
    fails("(max-by identity ())", "native-fn");
    fails("(iterate inc 0 -1)", "native-fn");
    fails("(sort-by-key identity (list +nan.0 1))", "native-fn");
    fails("(compare () ())", "type-mismatch");
    fails("(error :t \"m\" (list :a))", "native-fn");
    fails("(read-string \"  \")", "native-fn");
    check("(try (cast :f32 1e300) (catch (e) (error-tag e)))", ":out-of-range");
}

#[test]
fn machines_and_their_kin() {
    check("(define sm (make-sm (sm-spec :initial :x :transitions (list (list :x :e :y))))) (sm-send sm :e)", ":y");
    check("(sm-spec :a 1)", "(:sm-spec :a 1)");
    check("(define p (make-pipeline (list (list :inc inc) (list :double (lambda (x) (* 2 x)))))) (pipeline-run! p 5)", "12");
    check(
        "(define log ()) (define p (make-pipeline (list (list :inc inc)))) \
         (pipeline-on-stage! p :inc (lambda (name in out) (set! log (list name in out)))) (pipeline-run! p 1) log",
        "(:inc 1 2)",
    );
    check("(defstrategy st :add +) (st :add 1 2)", "3");
    check("(defvisitor v :num (lambda (n) n) :add (lambda (a b) (+ (visit v a) (visit v b)))) (visit v '(:add (:num 1) (:num 2)))", "3");
    fails("(defvisitor v :num identity) (visit v 5)", "type-mismatch");
    check("(define s (make-event-store)) (event-append! s 1)", "1");
}

#[test]
fn yaml_is_read() {
    check(r#"(yaml-parse "a: 1\nb: [x, 2.5, true, ~]\n")"#, r#"(("a" 1) ("b" ("x" 2.5 #t ())))"#);
    check(r#"(yaml-parse "- a: 1\n  b:\n  - 2\n- c\n")"#, r#"((("a" 1) ("b" (2))) "c")"#);
    check(r#"(yaml-parse "a: |\n  l1\n    l2\n\nb: >-\n  x\n  y\n")"#, r#"(("a" "l1\n  l2\n") ("b" "x y"))"#);
    check(r#"(yaml-parse "a: |+\n  x\n\nb: 1")"#, r#"(("a" "x\n\n") ("b" 1))"#);
    check(r#"(yaml-parse "a: &x {k: 1}\nb: *x\n")"#, r#"(("a" (("k" 1))) ("b" (("k" 1))))"#);
    check(r#"(yaml-parse "a: 'it''s'\nb: \"x\\ty\\u00e9\"\nc: one\n  two\n")"#, r#"(("a" "it's") ("b" "x\tyé") ("c" "one two"))"#);
    check(r#"(yaml-parse "a: 0x1F\nb: 017\nc: 1e3\nd: !!str 1\ne: .inf")"#, r#"(("a" 31) ("b" "017") ("c" 1000) ("d" "1") ("e" inf))"#);
    check(r#"(yaml-parse "---\n# c\na: {b: 1, c: {d: [1, 2]}}\n...\n")"#, r#"(("a" (("b" 1) ("c" (("d" (1 2)))))))"#);
    for wrong in
        ["a: [", "a: b: c", "a: 1\na: 2", "- 1\na: 2", "\\ta: 1", "a: *nope", "a: \\\"x", "---\na: 1\n---\nb: 2", "a: [1,,2]", "a: @b"]
    {
        fails(&format!("(yaml-parse \"{}\")", wrong.replace('\n', "\\n")), "native-fn");
    }
}

#[test]
fn toml_is_read_and_written() {
    check(
        r#"(toml-parse "a = 1_000\nb.c = \"x\"\n[t]\nd = [1, 2]\n[[p]]\n[[p]]\nq = {r = true}\n")"#,
        r#"(("a" 1000) ("b" (("c" "x"))) ("t" (("d" (1 2)))) ("p" (() (("q" (("r" #t)))))))"#,
    );
    check(
        r#"(toml-parse "a = 1979-05-27 07:32:00\nb = 0xFF\nc = '''\nx'''\nd = -inf")"#,
        r#"(("a" "1979-05-27T07:32:00") ("b" 255) ("c" "x") ("d" -inf))"#,
    );
    check(r#"(toml-stringify (toml-parse "[a]\nb = 1\n[a.c]\nd = [1,2]\n"))"#, r#""[a]\nb = 1\n\n[a.c]\nd = [1, 2]\n""#);
    for wrong in ["a = ", "a = 1\na = 2", "[t]\n[t]", "a = 1\n[a]", "a = 01", "a = 1 b = 2", "a = yes", "a = [1"] {
        fails(&format!("(toml-parse \"{}\")", wrong.replace('\n', "\\n")), "native-fn");
    }
}

#[test]
fn flags_are_read_by_a_spec_or_a_schema() {
    check(
        r#"(parse-args '("--x" "5" "-v" "rest") '((:name "x" :kind :int) (:name "verbose" :short "v")))"#,
        r#"(("x" 5) ("verbose" #t) ("" ("rest")))"#,
    );
    fails(r#"(parse-args (list (list :name "x" :kind :string :required #t)))"#, "native-fn");
    let schema = "(defschema S :clusters (default (list-of :string) []) :n (default :integer 3) :dry-run (default :bool false))";
    check(&format!("{schema} (parse-args '(\"--clusters=a,b\" \"--dry-run\") S)"), r#"{:clusters ("a" "b"), :n 3, :dry-run #t}"#);
    fails(&format!("{schema} (parse-args '(\"--cluster=a\") S)"), "invalid-config");
}

#[test]
fn patterns_have_flags_names_and_properties() {
    check(r#"(re-find "(?i)hello" "say Hello")"#, r#""Hello""#);
    check(r#"(re-match? "(?m)^b$" "a\nb\nc")"#, "#t");
    check(r#"(re-replace "(?P<n>\\w)-(\\w)" "a-b" "${2}$n$$")"#, r#""ba$""#);
    check(r#"(re-find-all "[[:alpha:]_]+|\\p{Lu}" "a_1 É")"#, r#"("a_" "É")"#);
    check(r#"(re-find-all "b*" "abc")"#, r#"("" "b" "")"#);
    check(r#"(re-split "a*" "baac")"#, r#"("" "b" "c" "")"#);
    check(r#"(re-find "(?U)a+" "aaa")"#, r#""a""#);
    for wrong in ["\\\\q", "[z-a]", "(?<n", "a{2,1}", "(?z)"] {
        fails(&format!("(re-match? \"{wrong}\" \"a\")"), "native-fn");
    }
}

#[test]
fn text_and_its_codes() {
    check(r#"(string-lowercase "ΑΣ ΣΑ")"#, r#""ας σα""#);
    check(r#"(string-index "héllo" "l")"#, "2");
    check(r#"(string-split "aXXbXXc" "XX")"#, r#"("a" "b" "c")"#);
    check(r#"(base64-decode "aMOpbGxv")"#, r#""héllo""#);
    fails(r#"(base64-decode "/w==")"#, "native-fn");
    fails(r#"(url-decode "a%2")"#, "native-fn");
    check(r#"(sha1 "abc")"#, r#""a9993e364706816aba3e25717850c26c9cd0d89d""#);
    check(
        r#"(hmac-sha256 "key" "The quick brown fox jumps over the lazy dog")"#,
        r#""f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8""#,
    );
    check(r#"(json-stringify (json-parse "{\"a\":{}}"))"#, r#""{\"a\":{}}""#);
    check(r#"(list (path-basename "a/.") (path-basename "..") (path-join "a" "" "b"))"#, r#"("a" "" "a/b")"#);
    check(r#"(list (slugify "*.a..B" "CNAME") (slugify "@" "A"))"#, r#"("wildcard_a_B_cname" "root_a")"#);
}

#[test]
fn a_state_machine_goes_where_its_steps_lead() {
    let machine = "(defstate-machine m :states [:A :B :C :Failed] :transitions {[:A :B] a [:A :C] a [:B :C] b} :on-error (transition-to :Failed)) \
        (defn b [x] x)";
    check(&format!("{machine} (defn a [x] x) (map (fn [x] (advance-state-machine m :A x)) [:C :A true nil])"), "(:C :A :B :A)");
    check(&format!("{machine} (defn a [x] (car x)) (advance-state-machine m :A ())"), ":Failed");
    check(&format!("{machine} (defn a [x] x) (list (advance-state-machine m :C 1) (advance-state-machine m :B :A))"), "(:C :Failed)");
}

#[test]
fn only_what_a_program_reaches_is_in_its_image() {
    let size = |source: &str| {
        let image = compile(source, &CompileOptions::default()).unwrap_or_else(|e| panic!("{}", e.render("program", source)));
        let bytes = image.as_bytes().len();
        println!("{bytes:>7} bytes: {source}");
        bytes
    };
    assert!(size("(+ 1 2)") < 512);
    assert!(size("(map inc '(1 2 3))") < 2_048);
    assert!(size("(sort '(3 1 2))") < 4_096);
    assert!(size("(defsm d :initial :a) (sm-send d :go)") < 8_192);
    assert!(size("(match '(1 2) ((a b) (+ a b)))") < 1_024);
    assert!(size("(yaml-parse \"a: 1\")") < 40_000);
    assert!(size("(eval '(+ 1 2))") < 512);
    // The whole library: any of it may be named at run time.
    assert!(size("(eval (read-string \"(+ 1 2)\"))") < 160_000);
}
