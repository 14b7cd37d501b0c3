//! Running a program never asks the global allocator for anything.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use vigy_lisp::{Budget, CompileOptions, Ctx, Host, Machine, Step, compile};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system allocator unchanged.
#[allow(unsafe_code, reason = "a counting allocator is the only way to count")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = COUNT.try_with(|c| c.set(c.get() + 1));
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn running_allocates_nothing() {
    let source = r#"
        (define (fib n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2)))))
        (define words (string-split "a b a c a" " "))
        (println "hello" (fib 15) 1.5)
        (list (frequencies words)
              (sort-by compare words)
              (map (lambda (x) (* x 1.5)) (range 100))
              (json-stringify (json/parse "{\"a\":[1,2,{\"b\":null}]}"))
              (try (car ()) (catch (e) (error-message e)))
              (read-string "(a b {:c 1})")
              (str :a "b" 3))"#;
    let image = compile(source, &CompileOptions::default()).expect("a program");
    let program = image.program();
    let budget = Budget::default();
    let mut memory = vec![0; program.words_needed(&budget)];
    let mut machine = Machine::new(program, &mut memory, &budget).expect("memory");
    let before = COUNT.with(Cell::get);
    for _ in 0..3 {
        loop {
            match machine.run(100) {
                Step::Done(v) => {
                    assert!(machine.encode(v, &mut [0; 4096]).is_ok());
                    break;
                }
                Step::Paused | Step::Output => {}
                other => panic!("{other:?} {:?}", machine.fault()),
            }
        }
    }
    assert_eq!(COUNT.with(Cell::get) - before, 0);
}

#[test]
fn calls_of_host_functions_allocate_nothing() {
    let mut host: Host<i64> = Host::default();
    host.register_fn("log", |ctx: &mut Ctx<'_, i64>, level: &str, message: &str| *ctx.state += (level.len() + message.len()) as i64);
    host.register_fn("clamp", |x: i64, low: Option<i64>, high: Option<i64>| x.clamp(low.unwrap_or(0), high.unwrap_or(10)));
    host.register_fn("mean", |a: f64, b: f64| (a + b) / 2.0);
    host.register_fn("name", |yes: bool| if yes { "yes" } else { "no" });
    let source = "(define (tick n) (log \"info\" (name (= (clamp n) 10))) (mean n 2.5)) (tick 3)";
    let mut script = host.load(source).expect("a program");
    // The first run and the first call make room for what crosses.
    script.run::<f64>().expect("it runs");
    script.call::<f64>("tick", (11,)).expect("it runs");
    let before = COUNT.with(Cell::get);
    for _ in 0..100 {
        script.run::<f64>().expect("it runs");
        script.call::<f64>("tick", (11,)).expect("it runs");
    }
    assert_eq!(COUNT.with(Cell::get) - before, 0);
    assert_eq!(script.state, 101 * (6 + 7));
}
