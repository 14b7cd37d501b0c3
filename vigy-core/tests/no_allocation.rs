//! From wake to batch nothing calls the allocator.
#![cfg(all(feature = "sim", feature = "compiler"))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::{Checkpoint, Incarnation, Limits, Need, Spec, Tick, TickBuffers, TickInterval, Timestamp};

struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator while `work` runs.
fn calls<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = CALLS.get();
    let result = work();
    (CALLS.get() - before, result)
}

/// Allocator calls of one tick of `source`, wake to batch; the store has no keys.
#[track_caller]
fn calls_of_a_tick(source: &str) -> u64 {
    let image = lisp::compile(source, &[]).unwrap();
    let program = image.program();
    let imports = Imports::of(program).unwrap();
    let limits = Limits::default();
    let spec = Spec::every(TickInterval::default(), image.hash(), limits);
    let checkpoint = Checkpoint::new(Incarnation(1), Timestamp(0));
    let mut buffers = TickBuffers::for_limits(&limits);
    let mut words = vec![0; lisp::words_needed(program, &limits)];
    let (calls, ok) = calls(|| {
        let mut evaluation = Lisp::new(program, &imports, &limits, &mut words).unwrap();
        let mut tick = Tick::begin(&spec, &checkpoint, Timestamp(1), buffers.memory()).unwrap();
        loop {
            match tick.next(&mut evaluation, Timestamp(2)) {
                Need::Key { .. } => tick.key_loaded(None),
                Need::Yield => {}
                Need::Commit(batch) => break !batch.failed(),
                need => panic!("{need:?}"),
            }
        }
    });
    assert!(ok, "the program ends well");
    calls
}

#[test]
fn the_counter_counts() {
    assert_eq!(calls(|| drop(vec![0u8; 10])).0, 2);
}

#[test]
fn hello_allocates_nothing() {
    assert_eq!(calls_of_a_tick(r#"(vigy-log "info" "hello from a vigy") (vigy-noop)"#), 0);
}

#[test]
fn a_tick_that_uses_everything_allocates_nothing() {
    let source = "(vigy-incr :n) (vigy-set :list (map (fn (x) (* x x)) (range 200)))
                  (doseq [x (vigy-get :list)] (if (= 0 (mod x 100)) (vigy-push {:x x :text (str \"x\" x)})))
                  (vigy-condition :Ready true) (vigy-metric :m 1.5) (vigy-next-in 5000) (println \"done\")";
    assert_eq!(calls_of_a_tick(source), 0);
}
