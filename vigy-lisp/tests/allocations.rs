//! Running a program never asks the global allocator for anything.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use vigy_lisp::{Budget, CompileOptions, Machine, Step, compile};

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
