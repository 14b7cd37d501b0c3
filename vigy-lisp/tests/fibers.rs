//! Fibers wait for channels and for each other; the main line never does.

mod common;

use common::{check, fails, outcome};
use vigy_lisp::{Arity, Budget, CompileOptions, HostFn, Machine, Step, Style, compile};

#[test]
fn a_producer_and_a_consumer_share_a_channel_of_one() {
    let produce = "(define c (chan 1)) (define p (go (lambda () (for-each (lambda (i) (>! c i)) (range 100)) (close! c) :produced)))
        (define (sum acc) (let ((v (<! c))) (if (= v :closed) acc (sum (+ acc v)))))";
    check(&format!("{produce} (define q (go (lambda () (sum 0)))) (list (go-run q) (go-status p) (go-run p))"), "(4950 :done :produced)");
    check(&format!("{produce} (define q (go (lambda () (sum 0)))) (list (go-run p) (go-run q))"), "(:produced 4950)");
}

#[test]
fn values_are_handed_over_in_turn() {
    let players = "(define a (chan 0)) (define b (chan 0)) (define log ())
        (define (note x) (set! log (cons x log)))
        (define ping (go (lambda () (dotimes [i 3] (>! a i) (note (list :back (<! b)))) :ping)))
        (define pong (go (lambda () (dotimes [i 3] (note (list :got (<! a))) (>! b (* 10 i))) :pong)))";
    check(
        &format!("{players} (list (go-run ping) (go-run pong) (reverse log))"),
        "(:ping :pong ((:got 0) (:back 0) (:got 1) (:back 10) (:got 2) (:back 20)))",
    );
}

#[test]
fn waiting_is_first_come_first_served() {
    check(
        "(define c (chan)) (define log ()) (define (take! n) (go (lambda () (set! log (cons (list n (<! c)) log)))))
         (define a (take! :a)) (define b (take! :b)) (define d (take! :d))
         (define s (go (lambda () (>! c 1) (>! c 2) (>! c 3) :sent)))
         (go-run a) (list (go-run d) (reverse log) (go-status s))",
        "(() ((:a 1) (:b 2) (:d 3)) :done)",
    );
}

#[test]
fn closing_answers_whoever_waits() {
    check(
        "(define c (chan)) (define q (go (lambda () (<! c)))) (define r (go (lambda () (list (<! c)))))
         (define k (go (lambda () (close! c)))) (list (go-run q) (go-run r) (go-run k))",
        "(:closed (:closed) ())",
    );
    check("(define c (chan 0)) (define q (go (lambda () (>! c 1)))) (go (lambda () (drain! c))) (go-run q)", "#f");
    check(
        "(define c (chan 0)) (define q (go (lambda () (>! c 1)))) (try (go-run q) (catch (e) 0)) (list (<! c) (go-status q) (go-run q))",
        "(1 :ready #t)",
    );
}

#[test]
fn when_nothing_is_ready_go_run_says_so() {
    fails("(define c (chan)) (go-run (go (lambda () (<! c))))", "deadlock");
    check("(define c (chan)) (define q (go (lambda () (list (<! c))))) (try (go-run q) (catch (e) (error-tag e)))", ":deadlock");
    check(
        "(define c (chan)) (define q (go (lambda () (list (<! c))))) (try (go-run q) (catch (e) 1)) (>! c 5) (list (go-status q) (go-run q) (go-status q))",
        "(:ready (5) :done)",
    );
    fails("(define a ()) (define b (go (lambda () (go-run a)))) (set! a (go (lambda () (go-run b)))) (go-run a)", "deadlock");
    check("(define g ()) (set! g (go (lambda () (go-run g)))) (error-tag (go-run g))", ":fiber-error");
}

#[test]
fn the_main_line_never_waits() {
    check("(define c (chan 1)) (list (<! c) (>! c 1) (>! c 2) (<! c) (<! c))", "(:empty #t #f 1 :empty)");
    check("(list (>! (chan 0) 1) (<! (chan 0)))", "(#f :empty)");
}

#[test]
fn what_is_caught_before_a_wait_is_caught_after_it() {
    check(
        "(define c (chan)) (define q (go (lambda () (try (begin (<! c) (throw :late)) (catch (e) (list :caught e)))))) (go (lambda () (>! c 1))) (go-run q)",
        "(:caught :late)",
    );
    check(
        "(define c (chan)) (define log ()) (define (f) (try (try (list (<! c) (car ())) (finally (set! log (cons :f log)))) (catch (e) (cons (error-tag e) log))))
         (define q (go (lambda () (list (f) log)))) (go (lambda () (>! c 1))) (go-run q)",
        "((:native-fn :f) (:f))",
    );
    check(
        "(define c (chan)) (define q (go (lambda () (list (try (<! c) (catch (e) 0)) (throw :out))))) (go (lambda () (>! c 1))) (list (go-run q) (go-status q))",
        "(:out :errored)",
    );
    check(
        "(define c (chan)) (define (deep n) (try (if (= n 0) (throw (<! c)) (deep (- n 1))) (catch (e) (throw (+ e 1))))) (define q (go (lambda () (deep 50)))) (go (lambda () (>! c 1))) (go-run q)",
        "52",
    );
}

#[test]
fn a_fiber_goes_on_at_any_depth() {
    // It waits with 300 calls open, and goes on from a `go-run` that is itself 400 calls deep, and the other way round.
    let program = |wait: usize, resume: usize| {
        format!(
            "(define c (chan)) (define (down n f) (if (= n 0) (f) (+ 1 (down (- n 1) f))))
             (define q (go (lambda () (down {wait} (lambda () (<! c))))))
             (try (go-run q) (catch (e) 0)) (>! c 1000)
             (list (down {resume} (lambda () (go-run q))) (down 990 (lambda () 0)))"
        )
    };
    let budget = Budget { depth: 1_000, ..Budget::default() };
    for (wait, resume) in [(300, 400), (400, 300), (0, 0)] {
        let image = compile(&program(wait, resume), &CompileOptions::default()).expect("a program");
        assert_eq!(outcome(&image, &budget).0, Ok(format!("({} 990)", 1000 + wait + resume)));
    }
    let image = compile(&program(600, 600), &CompileOptions::default()).expect("a program");
    let (result, _) = outcome(&image, &budget);
    assert!(result.as_ref().is_ok_and(|text| text.ends_with(" 990)")) || result == Err("type-mismatch".to_string()), "{result:?}");
}

#[test]
fn fibers_run_fibers() {
    check("(define q (go (lambda () (+ 1 (go-run (go (lambda () (+ 1 (go-run (go (lambda () 40)))))))))))  (go-run q)", "42");
    check(
        "(define c (chan)) (define in (go (lambda () (<! c)))) (define q (go (lambda () (list (go-run in) (go-run in))))) (define r (go (lambda () (go-run in))))
         (go (lambda () (>! c :x))) (list (go-run q) (go-run r))",
        "((:x :x) :x)",
    );
    check("(define q (go (lambda () (go-run (go (lambda () (throw :boom))))))) (list (go-run q) (go-status q))", "(:boom :done)");
}

#[test]
fn a_fiber_waits_wherever_it_is() {
    let feed = "(define c (chan)) (go (lambda () (for-each (lambda (i) (>! c i)) (range 9))))";
    for (body, expected) in [
        ("(apply <! (list c))", "0"),
        ("(map <! (list c c c))", "(0 1 2)"),
        ("(let ((f <!)) (f c))", "0"),
        ("(apply list (<! c) (<! c) (list (<! c)))", "(0 1 2)"),
        ("(sort-by (lambda (a b) (begin (<! c) (- a b))) '(3 1 2))", "(1 2 3)"),
        ("(force (delay (<! c)))", "0"),
        ("(loop [i 0 acc ()] (if (= i 3) acc (recur (+ i 1) (cons (<! c) acc))))", "(2 1 0)"),
        ("(str (<! c) \"-\" {:k (<! c)})", "\"0-{:k 1}\""),
    ] {
        check(&format!("{feed} (go-run (go (lambda () {body})))"), expected);
    }
}

#[test]
fn what_still_waits_ends_with_the_run() {
    let image = compile("(define c (chan)) (define q (go (lambda () (<! c)))) (list (go-status q) (go-run (go (lambda () 1))) (try (go-run q) (catch (e) (go-status q))))", &CompileOptions::default()).expect("a program");
    let program = image.program();
    let mut memory = vec![0; program.words_needed(&Budget::default())];
    let mut machine = Machine::new(program, &mut memory, &Budget::default()).expect("memory");
    for _ in 0..3 {
        let Step::Done(v) = machine.run(u64::MAX) else { panic!("{:?}", machine.fault()) };
        let mut text = String::new();
        machine.display(v, Style::Readable, &mut text).expect("a string takes everything");
        assert_eq!(text, "(:pending 1 :parked)");
    }
}

#[test]
fn a_fiber_that_asks_its_host_holds_up_everything() {
    const HOSTS: &[&[HostFn]] = &[&[HostFn { name: "ask", arity: Arity::exactly(1), writes: false, secret: false, doc: "" }]];
    let source = "(define c (chan 2)) (define (work n) (go (lambda () (>! c (ask n)) (ask (+ n 1)))))
        (define a (work 10)) (define b (work 20)) (list (go-run a) (go-run b) (<! c))";
    let image = compile(source, &CompileOptions { hosts: HOSTS, ..CompileOptions::default() }).expect("a program");
    let program = image.program();
    let mut memory = vec![0; program.words_needed(&Budget::default())];
    let mut machine = Machine::new(program, &mut memory, &Budget::default()).expect("memory");
    let (mut asked, mut text) = (String::new(), String::new());
    loop {
        match machine.run(u64::MAX) {
            Step::Call => {
                let v = machine.arg(0);
                machine.display(v, Style::Readable, &mut asked).expect("a string takes everything");
                asked.push(' ');
                machine.resume(v);
            }
            Step::Done(v) => break machine.display(v, Style::Readable, &mut text).expect("a string takes everything"),
            other => panic!("{other:?} {:?}", machine.fault()),
        }
    }
    assert_eq!((asked.as_str(), text.as_str()), ("10 11 20 21 ", "(11 21 10)"));
}

#[test]
fn ten_thousand_fibers() {
    check(
        "(define c (chan 1)) (define (work i) (go (lambda () (>! c i)))) (define all (map work (range 10000)))
         (define sum (go (lambda () (loop [n 0 acc 0] (if (= n 10000) acc (recur (+ n 1) (+ acc (<! c))))))))
         (list (go-run sum) (count (filter (lambda (f) (go-run f)) all)))",
        "(49995000 10000)",
    );
    check("(define fs (map (lambda (i) (go (lambda () i))) (range 10000))) (apply + (map go-run (reverse fs)))", "49995000");
    check(
        "(define (chain n f) (if (= n 0) f (chain (- n 1) (go (lambda () (+ 1 (go-run f))))))) (go-run (chain 10000 (go (lambda () 0))))",
        "10000",
    );
}
