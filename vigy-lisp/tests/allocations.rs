//! Running a program never asks the global allocator for anything.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use vigy_lisp::{Arity, Budget, CompileOptions, Ctx, Host, HostFn, Image, Machine, Program, Step, Value, View, compile};

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

/// The programs of the benches, by name: what `benches/peers` measures.
fn bench_programs() -> Vec<(&'static str, String)> {
    macro_rules! program {
        ($name:literal) => {
            ($name, include_str!(concat!("../../benches/peers/programs/", $name, ".tlisp")).into())
        };
    }
    let diff = include_str!("../../benches/peers/programs/diff.tlisp");
    let resident: String = (0..64).map(|i| format!("{{:name \"svc-{i:03}\" :replicas {i} :image \"app:1.0\"}}")).collect();
    vec![
        program!("hello"),
        ("reconcile", format!("{diff}\n(diff (desired) (observed))")),
        ("resident", format!("{diff}\n(diff '({resident}) '({{:name \"old\" :replicas 1 :image \"app:0.9\"}}))")),
        program!("fib"),
        program!("tak"),
        program!("loop"),
        program!("list"),
        program!("str"),
        program!("clos"),
        program!("load"),
    ]
}

const HOSTS: &[HostFn] = &[
    HostFn { name: "log", arity: Arity::exactly(2), writes: false, secret: false, doc: "" },
    HostFn { name: "noop", arity: Arity::exactly(0), writes: false, secret: false, doc: "" },
    HostFn { name: "desired", arity: Arity::exactly(0), writes: false, secret: false, doc: "" },
    HostFn { name: "observed", arity: Arity::exactly(0), writes: false, secret: false, doc: "" },
    HostFn { name: "emit", arity: Arity::exactly(2), writes: false, secret: false, doc: "" },
];

fn load(source: &str) -> Image {
    compile(source, &CompileOptions { hosts: &[HOSTS], ..CompileOptions::default() }).expect("a program")
}

/// 64 records, named from `first` on.
fn records(machine: &mut Machine<'_>, first: usize) -> Value {
    let [name, replicas, image] = ["name", "replicas", "image"].map(|key| machine.keyword(key).expect("heap"));
    let mut list = [Value::NIL; 64];
    for (i, item) in list.iter_mut().enumerate() {
        let digits = [b's', b'0' + ((first + i) / 10) as u8, b'0' + ((first + i) % 10) as u8];
        let text = machine.string(std::str::from_utf8(&digits).expect("digits")).expect("heap");
        let entries = [(name, text), (replicas, machine.int(3).expect("heap")), (image, text)];
        *item = machine.map(&entries).expect("heap");
    }
    machine.list(&list).expect("heap")
}

/// One run, its host calls answered as a host answers them: arguments read, values made part by part.
fn run(machine: &mut Machine<'_>, batch: &mut [u8]) -> usize {
    let mut written = 0;
    loop {
        match machine.run(u64::MAX) {
            Step::Done(_) => return written,
            Step::Call => {
                let name = machine.program().imports().nth(machine.call().import as usize).expect("an import");
                let answer = match name {
                    "desired" => records(machine, 0),
                    "observed" => records(machine, 16),
                    _ => {
                        for i in 0..machine.arg_count() {
                            assert!(matches!(machine.view(machine.arg(i)), View::Str(_) | View::Map(_)));
                            written += machine.encode(machine.arg(i), &mut batch[written..]).expect("data");
                        }
                        Value::NIL
                    }
                };
                machine.resume(answer);
            }
            step => panic!("{step:?} {:?}", machine.fault()),
        }
    }
}

#[test]
fn bench_programs_allocate_nothing_from_wake_to_batch() {
    let mut batch = vec![0; 1 << 16];
    for (name, source) in bench_programs() {
        let image = load(&source);
        let program = image.program();
        let budget = Budget::default();
        let mut memory = vec![0; program.words_needed(&budget)];
        let mut machine = Machine::new(program, &mut memory, &budget).expect("memory");
        let before = COUNT.with(Cell::get);
        let (first, second) = (run(&mut machine, &mut batch), run(&mut machine, &mut batch));
        assert_eq!(COUNT.with(Cell::get) - before, 0, "{name}");
        assert_eq!(first, second, "{name} does the same again");
        assert!(first > 0 || !["hello", "reconcile", "resident"].contains(&name), "{name} tells its host something");
    }
}

#[test]
fn a_loaded_copy_of_a_shared_image_is_small() {
    println!(
        "bytes per loaded copy: {} for the program, {} more for a machine that runs it",
        size_of::<Program<'_>>(),
        size_of::<Machine<'_>>()
    );
    println!("{:10} {:>8} {:>8}", "", "image", "per copy");
    for (name, source) in bench_programs() {
        let image = load(&source);
        let budget = Budget { heap_bytes: 0, stack_words: 0, ..Budget::default() };
        // Memory for registers and heap belongs to whoever runs, one program after the other; variables are the program's own.
        let empty = load("1").program().words_needed(&budget);
        let own = size_of::<Program<'_>>() + 8 * (image.program().words_needed(&budget) - empty);
        println!("{name:10} {:8} {own:8}", image.as_bytes().len());
        assert!(own < 1024, "{name}");
    }
}
