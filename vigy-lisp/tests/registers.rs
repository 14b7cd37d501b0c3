//! Order of evaluation and what lives where: places that a compiler to registers gets wrong first.

mod common;

use common::check;

#[test]
fn assignments_and_reads_keep_their_order() {
    check("(let ((x 1)) (list x (begin (set! x 2) x) x))", "(1 2 2)");
    check("(define (g x) (+ x (begin (set! x 10) x))) (g 1)", "11");
    check("(define (f) (let ((x 1)) (set! x (or #f (+ x 1))) x)) (f)", "2");
    check("(define (f) (let ((x 5)) (set! x (let ((y x)) (if (> y 3) (* y x) x))) x)) (f)", "25");
    check("(define (f x) (set! x (list x (list x x))) x) (f 1)", "(1 (1 1))");
    check("(define (f a b) (set! b (f2 b (f2 a b))) (list a b)) (define (f2 x y) (+ x y)) (f 1 2)", "(1 5)");
}

#[test]
fn loops_swap_and_capture() {
    check("(loop [a 1 b 2 n 0] (if (= n 3) (list a b) (recur b a (+ n 1))))", "(2 1)");
    check("(map (fn [g] (g)) (loop [i 0 acc ()] (if (= i 3) acc (recur (+ i 1) (cons (lambda () i) acc)))))", "(2 1 0)");
    check(
        "(map (fn [g] (g)) (loop [i 0 acc ()] (if (= i 3) acc (recur (+ i 1) (cons (lambda () (set! i (+ i 10)) i) acc)))))",
        "(12 11 10)",
    );
    check("(let loop ((i 0)) (cond ((= i 3) (list :end i)) (else (loop (+ i 1)))))", "(:end 3)");
    check("(let loop ((n 3)) (if (= n 0) () (cons n (loop (- n 1)))))", "(3 2 1)");
    check("(define (f n acc) (if (= n 0) acc (recur (- n 1) (+ acc n)))) (f 100 0)", "5050");
    check("(loop [xs '(1 2 3) [a b] '(0 0)] (if (null? xs) (list a b) (recur (cdr xs) (list (car xs) a))))", "(3 2)");
}

#[test]
fn tries_nest_in_expressions_and_loops() {
    check("(+ 1 (try (throw 1) (catch (e) (+ e 1))) (try 5 (catch (e) 0)))", "8");
    check("(loop [i 0 s 0] (if (= i 5) s (recur (+ i 1) (+ s (try (if (odd? i) (throw i) i) (catch (e) 0))))))", "6");
    check("(try (try (throw 1) (catch (e) (throw (+ e 1)))) (catch (e) e))", "2");
    check("(define (f) (try (let ((x 1)) (or #f x)) (catch (e) e))) (f)", "1");
    check("(list (try (let ((x 1) (y 2)) (throw (+ x y))) (catch (e) (let ((x 9)) (+ e x)))) 7)", "(12 7)");
    check(
        "(define log ()) (define (f) (try (try 1 (finally (set! log (cons :a log)))) (finally (set! log (cons :b log))))) (list (f) log)",
        "(1 (:b :a))",
    );
    check("(try (map (fn [x] (if (= x 2) (throw :two) x)) '(1 2 3)) (catch (e) e))", ":two");
    check("(define (f n) (try (if (= n 0) (throw :end) (f (- n 1))) (catch (e) (list n e)))) (f 2)", "(0 :end)");
}

#[test]
fn closures_see_what_they_share() {
    check("(define (f x) (define y x) (define (g) (set! y (+ y 1)) y) (g) (g)) (f 1)", "3");
    check("(define (f) (define (ev n) (if (= n 0) #t (od (- n 1)))) (define (od n) (if (= n 0) #f (ev (- n 1)))) (ev 10)) (f)", "#t");
    check("(let* ((n 0) (up (lambda () (set! n (+ n 1)))) (get (lambda () (lambda () n)))) (up) (up) ((get)))", "2");
    check("(define (a x) (lambda (y) (lambda (z) (list x y z)))) (((a 1) 2) 3)", "(1 2 3)");
    check("(let* ((n 1.5) (m n) (up (lambda () (set! n 2)))) (up) (list n m))", "(2 1.5)");
    check("(loop [n 0 up (lambda () (set! n (+ n 1)) n)] (list (up) (up) n))", "(1 2 2)");
    check(
        "(loop [i 0 f (lambda () (set! i (+ i 10)) i) fs ()] (if (< i 3) (recur (+ i 1) f (cons (f) fs)) (list i fs)))",
        "(3 (30 20 10))",
    );
    check("(letrec ((f (lambda (n) (if (= n 0) :done (f (- n 1)))))) (f 5))", ":done");
    check("(let ((e 1)) (try (throw 2) (catch (e) ((lambda () (set! e (+ e 1)) e)))))", "3");
}

#[test]
fn calls_with_very_many_arguments() {
    check("(apply + (range 1000))", "499500");
    check("(length (apply list 1 2 (range 5000)))", "5002");
    let numbers: Vec<String> = (0..600).map(|n| n.to_string()).collect();
    check(&format!("(+ {})", numbers.join(" ")), "179700");
    check(&format!("(define (f &rest xs) (length xs)) (f {})", numbers.join(" ")), "600");
    check(&format!("(count [{}])", numbers.join(" ")), "600");
    check(&format!("(count {{{}}})", numbers.join(" ")), "300");
    check(&format!("(count '{{{}}})", numbers.join(" ")), "300");
}

#[test]
fn destructuring_in_every_place() {
    check("((fn [[a b] {:keys [c] d :d}] (list a b c d)) '(1 2) {:c 3 :d 4})", "(1 2 3 4)");
    check("(let [[a [b & c] :as all] '(1 (2 3 4))] (list a b c all))", "(1 2 (3 4) (1 (2 3 4)))");
    check("(for [[k v] (seq {:a 1 :b 2})] (list v k))", "((1 :a) (2 :b))");
    check("(map (fn [[k v]] v) (seq {:a 1}))", "(1)");
    check("(let ((f 1) ([a b] (list 2 3))) (list f a b))", "(1 2 3)");
    check("(when-let [[a b] '(1 2)] (+ a b))", "3");
    check("(let [[a b] ()] (list a b))", "(() ())");
}
