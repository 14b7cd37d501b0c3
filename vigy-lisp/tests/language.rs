//! The language, one line per promise.

mod common;

use common::{check, fails, refused};

#[test]
fn definitions_and_calls() {
    check("(define (f x) (* x x)) (f 4)", "16");
    check("(define (fib n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2))))) (fib 20)", "6765");
    check("(defn add [a b] (+ a b)) (add 1 2)", "3");
    check("((lambda (a &rest xs) (list a xs)) 1 2 3)", "(1 (2 3))");
    check("(define (make-adder n) (lambda (x) (+ x n))) ((make-adder 3) 4)", "7");
    check("(define (counter) (let ((n 0)) (lambda () (set! n (+ n 1)) n))) (define c (counter)) (c) (c)", "2");
}

#[test]
fn conditions() {
    check("(cond ((= 1 2) :a) (else :b))", ":b");
    check("(cond (= 1 2) :a :else :b)", ":b");
    check("(cond #f :a (= 1 1) :b)", ":b");
    check("(when (and 1 2) :yes)", ":yes");
    check("(or #f nil 3)", "3");
}

#[test]
fn bindings_in_both_styles() {
    check("(let ((x 1) (y 2)) (+ x y))", "3");
    check("(let [x 1 y (+ x 1)] (* x y))", "2");
    check("(let [[a b & more] (list 1 2 3 4)] (list a b more))", "(1 2 (3 4))");
    check("(let [{:keys [a b]} {:a 1 :b 2}] (+ a b))", "3");
    check("(let loop ((i 0) (acc 0)) (if (= i 10) acc (loop (+ i 1) (+ acc i))))", "45");
    check("(loop [i 0 acc ()] (if (= i 3) acc (recur (+ i 1) (cons i acc))))", "(2 1 0)");
    check("(for [x (range 5) :when (odd? x)] (* x x))", "(1 9)");
    check("(let [c 1 d (do (set! c 2) c) f (fn [] c)] (list d (f)))", "(2 2)");
    check("(loop [c 1 f (fn [] (set! c (+ c 1)) c) d (f)] (list c d))", "(2 2)");
    check("(let ((s 0)) (doseq [x (list 1 2 3)] (set! s (+ s x))) s)", "6");
}

#[test]
fn lists() {
    check("(map (lambda (x) (* x x)) (list 1 2 3))", "(1 4 9)");
    check("(map + (list 1 2) (list 10 20))", "(11 22)");
    check("(filter even? (range 10))", "(0 2 4 6 8)");
    check("(append (list 1) (list 2 3) (list 4))", "(1 2 3 4)");
    check("(reverse (list 1 2 3))", "(3 2 1)");
    check("(sort (list 3 1 2))", "(1 2 3)");
    check("(reduce + (range 101))", "5050");
    fails("(car ())", "native-fn");
    check("(first ())", "()");
}

#[test]
fn maps() {
    check("(get {:a 1 :b 2} :b)", "2");
    check("(:a {:a 1})", "1");
    check("(assoc {:a 1} :b 2)", "{:a 1, :b 2}");
    check("(count (reduce (fn [m i] (assoc m i i)) {} (range 1000)))", "1000");
    check("(get-in {:a {:b 42}} [:a :b])", "42");
    check("(dissoc {:a 1 :b 2} :a)", "{:b 2}");
}

#[test]
fn errors_are_values() {
    check("(try (car ()) (catch (e) (error-tag e)))", ":native-fn");
    check("(try (throw 7) (catch (e) (+ e 1)))", "8");
    fails("(throw :x)", "user");
    check("(let ((x ())) (try (try (throw 1) (finally (set! x :ran))) (catch (e) (list e x))))", "(1 :ran)");
}

#[test]
fn macros_are_functions_of_data() {
    check("(defmacro unless2 (c x) `(if ,c () ,x)) (unless2 #f 5)", "5");
    check("(define (helper x) (list '* x x)) (defmacro sq (x) (helper x)) (sq 6)", "36");
    check("(defmacro let1 [n v & body] `(let [,n ,v] ,@body)) (let1 x 3 (* x x))", "9");
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    refused("(frobnicate 1)", "1:2: `frobnicate` is not defined");
    refused("(lenght '(1))", "1:2: `lenght` is not defined; did you mean `length`?");
    refused("(define (f x) x)\n(f 1 2)", "2:1: `f` expected 1 argument, got 2");
    refused("(car", "1:1: the text ends before the `)` that belongs to this");
}

#[test]
fn regular_expressions() {
    check(r#"(re-find-all "a|b|cd" "xaxbcdx")"#, r#"("a" "b" "cd")"#);
    check(r#"(re-find "(ab){2,3}" "abababab")"#, r#""ababab""#);
    check(r#"(re-find "<.+?>" "<a><b>")"#, r#""<a>""#);
    check(r#"(re-captures "^(\\w+)@(\\w+)(x)?$" "me@host")"#, r#"("me@host" "me" "host" ())"#);
    check(r#"(re-replace "(\\d+)-(\\d+)" "1-2 3-4" "$2:$1")"#, r#""2:1 4:3""#);
    check(r#"(str/replace "a1b22" "[0-9]+" "-")"#, r#""a-b-""#);
    check(r#"(re-match? "^[^a-c]*$" "xyz")"#, "#t");
    check(r#"(re-find-all "" "ab")"#, r#"("" "" "")"#);
    check(r#"(re-find "(a*)*b" "aaab")"#, r#""aaab""#);
    check(r#"(re-match? "\\bword\\b" "a word here")"#, "#t");
    fails(r#"(re-match? "(" "a")"#, "native-fn");
    fails(r#"(re-match? "(?:){1000000000}" "a")"#, "native-fn");
    let evil = r#"(re-match? "^(a|a|aa)+$" (string-append (string-repeat "a" 60) "b"))"#;
    fails(evil, "out-of-fuel");
}

#[test]
fn json_in_both_shapes() {
    check(r#"(json-parse "{\"a\":[1,{\"b\":null}],\"c\":{}}")"#, r#"(("a" (1 (("b" ())))) ("c" {}))"#);
    check(r#"(get-in (json/parse "{\"a\":{\"b\":[1,2]}}") [:a :b])"#, "(1 2)");
    check(r#"(json/write {:a 1 :b [1 nil "x"] :c (json/array [])})"#, r#""{\"a\":1,\"b\":[1,null,\"x\"],\"c\":[]}""#);
    fails(r#"(json-parse "[1,]")"#, "native-fn");
    fails(r#"(json-parse "{\"a\" 1}")"#, "native-fn");
    fails("(json/write +nan.0)", "native-fn");
}

#[test]
fn budgets_end_runs() {
    fails("(loop [] (recur))", "out-of-fuel");
    fails("(define (f n) (+ 1 (f n))) (f 1)", "depth-exceeded");
    fails("(define (grow xs) (grow (append xs xs))) (grow (list 1 2 3))", "out-of-heap");
}

/// The message of what `source` raises is `message`.
#[track_caller]
fn says(source: &str, message: &str) {
    check(&format!("(try {source} (catch (e) (error-message e)))"), &format!("{message:?}"));
}

#[test]
fn messages_say_what_was_expected_and_where_and_leave_the_tag_out() {
    says("(+ 1 \"a\")", "expected number, got string");
    says("(+ 1 2 \"a\")", "`+`: expected number, got string");
    says("(nth \"a\" '(1))", "`nth`: expected int, got string");
    says("(map car 5)", "`map`: expected list, got int");
    says("(car 5)", "`car`: expected pair, got int");
    says("(car ())", "`car`: expected pair, got the empty list");
    says("(modulo 5 0)", "`modulo`: the divisor is 0");
    says("(\"f\" 1)", "expected function, got string");
}
