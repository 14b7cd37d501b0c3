//! The collector: what can still be reached stays as it was, what cannot is room again.

mod common;

use vigy_lisp::{Arity, Budget, CompileOptions, Data, HostFn, Machine, Step, Style, compile};

/// What a program gave, the fuel that it used for itself and for the collector, and whether it was collected.
struct Ran {
    result: Result<String, String>,
    own_fuel: u64,
    collector_fuel: u64,
    heap_used: u64,
}

/// Runs `source` in a heap of so many bytes. `squeeze` says how many words are free from each call on, until the next collection.
fn ran(source: &str, heap_bytes: u32, squeeze: impl Fn(usize) -> Option<usize>) -> Ran {
    let image = compile(source, &CompileOptions { force: true, ..CompileOptions::default() }).expect("a program");
    let program = image.program();
    let budget = Budget { fuel: 1 << 40, heap_bytes, ..Budget::default() };
    // Whatever the memory held before means nothing.
    let mut memory = vec![0x0101_010d; program.words_needed(&budget)];
    let mut machine = Machine::new(program, &mut memory, &budget).expect("memory");
    let mut steps = 0;
    let result = loop {
        let free = squeeze(steps);
        if let Some(words) = free {
            machine.squeeze(words);
        }
        steps += 1;
        match machine.run(if free.is_some() { 1 } else { 1_000 }) {
            Step::Done(v) => {
                let mut text = String::new();
                machine.display(v, Style::Readable, &mut text).expect("a string takes everything");
                break Ok(text);
            }
            Step::Failed => break Err(machine.fault().expect("a fault").kind.name().to_string()),
            Step::Paused | Step::Output => {}
            Step::Call => panic!("it calls nobody"),
        }
    };
    let collector_fuel = machine.collector_fuel();
    Ran { result, own_fuel: machine.fuel_used() - collector_fuel, collector_fuel, heap_used: machine.heap_used() }
}

/// `source` gives `expected`, wherever collections fall.
#[track_caller]
fn survives(source: &str, expected: &str) {
    let mut collected = 0;
    for step in 0..24 {
        let squeezed = ran(source, 1 << 20, |i| Some((i + step) % 24));
        assert_eq!(squeezed.result, Ok(expected.to_string()), "{source}, from {step} words on");
        collected += squeezed.collector_fuel;
    }
    assert!(collected > 0, "{source}: no collection");
    assert_eq!(ran(source, 1 << 20, |_| None).result, Ok(expected.to_string()), "{source}, with room");
}

#[test]
fn garbage_a_hundred_times_the_heap_is_no_matter() {
    let source = "(loop [i 0 keep ()] (if (= i 100000) (list i keep) (recur (+ i 1) (list i (str i \"-\" i) {:i i}))))";
    let (small, large) = (ran(source, 64 << 10, |_| None), ran(source, 64 << 20, |_| None));
    assert_eq!(small.result, Ok("(100000 (99999 \"99999-99999\" {:i 99999}))".to_string()));
    assert_eq!((small.result, small.own_fuel), (large.result, large.own_fuel));
    assert!(large.heap_used > 100 * small.heap_used, "{} {}", large.heap_used, small.heap_used);
    assert!(small.collector_fuel > 0 && large.collector_fuel == 0);
}

#[test]
fn a_heap_that_is_too_small_stays_too_small() {
    for source in [
        "(loop [xs ()] (recur (cons 1 xs)))",
        "(loop [i 0 m {}] (recur (+ i 1) (assoc m i i)))",
        "(loop [s \"x\"] (recur (str s s)))",
        "(define (f x) (+ 1 (f (list x)))) (f 1)",
    ] {
        let small = ran(source, 16 << 10, |_| None);
        assert!(
            matches!(small.result.as_ref().map_err(String::as_str), Err("out-of-heap" | "depth-exceeded")),
            "{source}: {:?}",
            small.result
        );
        assert!(small.heap_used <= 16 << 10);
    }
}

#[test]
fn lists_survive() {
    survives(
        "(define xs (list 1 (list 2 3) \"four\")) (define ys (cdr xs)) (list xs ys (append ys xs))",
        "((1 (2 3) \"four\") ((2 3) \"four\") ((2 3) \"four\" 1 (2 3) \"four\"))",
    );
    survives("(map (lambda (x) (list x (* x 1.5))) (range 5))", "((0 0) (1 1.5) (2 3) (3 4.5) (4 6))");
    survives("(reverse (filter odd? (loop [i 0 xs ()] (if (= i 9) xs (recur (+ i 1) (cons i xs))))))", "(1 3 5 7)");
    survives(
        "(list (filter odd? '(2 4)) (string-split \"a,b,c\" \",\") (take 2 (string-chars \"häh\")))",
        "(() (\"a\" \"b\" \"c\") (\"h\" \"ä\"))",
    );
    survives("(apply list 1 2 (map list '(a b c)))", "(1 2 (a) (b) (c))");
    survives("((fn [a & r] (list a r (apply max r))) 1 2 3 4)", "(1 (2 3 4) 4)");
}

#[test]
fn maps_survive_small_and_indexed() {
    survives("(loop [i 0 m {}] (if (= i 30) (list (get m 7) (get m \"7\") (count m)) (recur (+ i 1) (assoc m i (* i i)))))", "(49 () 30)");
    survives("(loop [i 0 m {}] (if (= i 12) (get m \"k7\") (recur (+ i 1) (assoc m (str \"k\" i) (list i)))))", "(7)");
    survives(
        "(define a {:x 1}) (define b (assoc a :y 2 :z 3)) (define c (dissoc b :x)) (list a b c (merge a {:x 9}))",
        "({:x 1} {:x 1, :y 2, :z 3} {:y 2, :z 3} {:x 9})",
    );
    survives("(frequencies (string-split \"a b a c a\" \" \"))", "{\"a\" 3, \"b\" 1, \"c\" 1}");
    survives("(json/parse (json/write {:a [1 2.5 nil] :b {:c \"d\"}}))", "{:a (1 2.5 ()), :b {:c \"d\"}}");
}

#[test]
fn names_made_at_run_time_survive_and_stay_the_same() {
    survives("(define a (string->symbol (str \"na\" \"me\"))) (list (= a (string->symbol (str \"nam\" \"e\"))) a)", "(#t name)");
    survives("(loop [i 0 m {}] (if (= i 20) (get m (keyword (str \"k\" 11))) (recur (+ i 1) (assoc m (keyword (str \"k\" i)) i))))", "11");
    survives("(let* ((a (gensym)) (b (gensym))) (list a b (= a b)))", "(g__1__auto g__2__auto #f)");
    let many = ran("(loop [i 0 s 'x] (if (= i 20000) s (recur (+ i 1) (string->symbol (str \"s\" i)))))", 16 << 10, |_| None);
    assert_eq!(many.result, Ok("s19999".to_string()));
}

#[test]
fn closures_cells_promises_and_errors_survive() {
    survives("(define (counter) (let ((n 0)) (lambda () (set! n (+ n 1)) (list n)))) (define c (counter)) (c) (c) (c)", "(3)");
    survives(
        "(define p (delay (list 1 2))) (force p) (list (force p) (lazy-take 4 (iterate-lazy (lambda (x) (+ x 1)) 1)))",
        "((1 2) (1 2 3 4))",
    );
    survives(
        "(try (map (lambda (x) (car x)) '((1) ())) (catch (e) (list (error-tag e) (try (throw (list e)) (catch (f) (length f))))))",
        "(:native-fn 1)",
    );
    survives(
        "(list 4611686018427387904 (* 1.0 0) (+ 4611686018427387904 1) (= (/ 1e300 1e-5) 1e305))",
        "(4611686018427387904 0 4611686018427387905 #t)",
    );
    survives(
        "(define g ()) (define (keep x) (set! g (cons x g))) (for-each keep (map str (range 5))) g",
        "(\"4\" \"3\" \"2\" \"1\" \"0\")",
    );
    survives("(read-string \"(a b {:c (1 \\\"x\\\")} (quote d))\")", "(a b {:c (1 \"x\")} (quote d))");
    survives(
        "(list (re-find-all \"[a-z]+\" \"one two\") (re-replace \"o\" \"foo\" \"0\") (string-upcase \"abc\"))",
        "((\"one\" \"two\") \"f00\" \"ABC\")",
    );
}

#[test]
fn registers_that_are_no_longer_used_mean_nothing() {
    // It goes down and up again and again, and collections fall at every depth.
    let source = "(define (down n) (if (= n 0) (list \"leaf\") (let* ((a (list n (str n))) (b (down (- n 1))) (c (map (lambda (x) (list x a b)) a))) (list (count c) (car (cdr a))))))
        (loop [i 0 last ()] (if (= i 300) last (recur (+ i 1) (list (str i) (down (modulo (* i 7) 40))))))";
    for heap_bytes in (12 << 10..16 << 10).step_by(56) {
        assert_eq!(ran(source, heap_bytes, |_| None).result, Ok("(\"299\" (2 \"13\"))".to_string()), "{heap_bytes}");
    }
    survives(
        "(define (f n) (if (= n 0) 0 (let ((a (list n n))) (+ (f (- n 1)) (apply + a))))) (list (f 9) (map f (range 4)) (f 9))",
        "(90 (0 2 6 12) 90)",
    );
}

#[test]
fn channels_and_waiting_fibers_survive() {
    survives(
        "(define c (chan)) (go (lambda () (>! c (str 1 2)))) (map str (range 9)) (list (go-run (go (lambda () (list (<! c))))) (map str (range 3)))",
        "((\"12\") (\"0\" \"1\" \"2\"))",
    );
    survives("(define c (chan)) (>! c \"a\") (>! c (list 1)) (list (<! c) (<! c) (<! c))", "(\"a\" (1) :empty)");
    survives("(define c (chan 2)) (>! c 1) (>! c 2) (list (<! c) (>! c 3) (drain! c))", "(1 #t (2 3))");
    survives(
        "(define c (chan 1)) (define p (go (lambda () (for-each (lambda (i) (>! c (list i (str i)))) (range 5)) (close! c) :sent)))
         (define q (go (lambda () (loop [got ()] (let ((v (<! c))) (if (= v :closed) (reverse got) (recur (cons v got))))))))
         (list (go-run q) (go-run p))",
        "(((0 \"0\") (1 \"1\") (2 \"2\") (3 \"3\") (4 \"4\")) :sent)",
    );
}

/// The mirror of the repository, told of so many equal files in both directories, but for every tenth. The heap it needed at most.
fn mirrored(files: i64) {
    const PROGRAM: &str = include_str!("../../programs/mirror-dir/main.tlisp");
    const fn host(name: &'static str) -> HostFn {
        HostFn { name, arity: Arity { min: 0, max: None }, writes: false, secret: false, doc: "" }
    }
    const HOSTS: &[&[HostFn]] = &[&[
        host("fs/list"),
        host("fs/hash"),
        host("fs/read"),
        host("vigy-emit"),
        host("vigy-log"),
        host("vigy-desired"),
        host("vigy-observed"),
        host("vigy-metric"),
        host("vigy-condition"),
        host("vigy-pending"),
    ]];
    let path = |i: i64| format!("directory-{:03}/file-{i:05}.txt", i / 100);
    let mut told = Vec::new();
    common::hosted(PROGRAM, HOSTS, |name, args, line| match name {
        "fs/list" => Data::List(
            (0..files)
                .map(|i| Data::map([("path", Data::from(path(i).as_str())), ("type", Data::keyword("file")), ("size", Data::Int(i))]))
                .collect(),
        ),
        "fs/hash" => {
            let source = args[0] == Data::from("mirror/source");
            let hash = |i: i64| format!("{:064x}", if source || i % 10 != 0 { i } else { -i });
            Data::Map((0..files).map(|i| (Data::from(path(i).as_str()), Data::from(hash(i).as_str()))).collect())
        }
        "fs/read" => Data::map([("encoding", Data::from("utf8")), ("content", Data::from("content"))]),
        "vigy-condition" => {
            told.push(line.to_string());
            Data::Nil
        }
        "vigy-pending" => Data::Int(100),
        _ => Data::Nil,
    });
    assert_eq!(told, [format!("vigy-condition \"Converged\" \"false\" \"Copying\" \"{} changes to go\"", files / 10 - 1)]);
}

#[test]
fn the_mirror_holds_five_thousand_files() {
    mirrored(1_000);
    mirrored(5_000);
}
