//! The language alone, over the programs that `peers` measures beside other engines: `cargo bench -p vigy-benches --bench lisp`.
//!
//! `run` is one run of a loaded program, fuel and budgets on, and `load` from its text to a function that can be called. `door` is what
//! 64 records cost on their way in, as bytes and made part by part, and on their way out.

#![allow(missing_docs, reason = "criterion makes the functions")]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use vigy_lisp::{Arity, Budget, CompileOptions, Data, HostFn, Image, Machine, Step, Value, compile};

macro_rules! program {
    ($name:literal) => {
        ($name, include_str!(concat!("../peers/programs/", $name, ".tlisp")))
    };
}

const PROGRAMS: &[(&str, &str)] =
    &[program!("hello"), program!("fib"), program!("tak"), program!("loop"), program!("list"), program!("str"), program!("clos")];
const LOAD: &str = include_str!("../peers/programs/load.tlisp");

const HOSTS: &[HostFn] = &[
    HostFn { name: "log", arity: Arity::exactly(2), writes: false, secret: false, doc: "" },
    HostFn { name: "noop", arity: Arity::exactly(0), writes: false, secret: false, doc: "" },
];

fn load(source: &str) -> Image {
    compile(source, &CompileOptions { hosts: &[HOSTS], ..CompileOptions::default() }).expect("the program compiles")
}

fn memory(image: &Image) -> Vec<u64> {
    vec![0; image.program().words_needed(&Budget::default())]
}

/// To the end, host calls answered with nil.
fn run(machine: &mut Machine<'_>) -> Value {
    loop {
        match machine.run(u64::MAX) {
            Step::Done(v) => return v,
            Step::Call => machine.resume(Value::NIL),
            step => panic!("{step:?} {:?}", machine.fault()),
        }
    }
}

fn runs(c: &mut Criterion) {
    for (name, source) in PROGRAMS {
        let image = load(source);
        let mut words = memory(&image);
        let mut machine = Machine::new(image.program(), &mut words, &Budget::default()).expect("enough words");
        c.bench_function(&format!("run {name}"), |b| b.iter(|| black_box(run(&mut machine))));
    }
}

fn loads(c: &mut Criterion) {
    let mut words = memory(&load(LOAD));
    c.bench_function("load", |b| {
        b.iter(|| {
            let image = load(LOAD);
            let mut machine = Machine::new(image.program(), &mut words, &Budget::default()).expect("enough words");
            black_box(run(&mut machine));
        });
    });
}

fn door(c: &mut Criterion) {
    let record =
        |i| Data::map([("name", Data::from(format!("svc-{i:03}").as_str())), ("replicas", Data::Int(i)), ("image", Data::from("app:1"))]);
    let bytes = postcard::to_allocvec(&Data::List((0..64).map(record).collect())).expect("data is serialisable");
    let image = load("(log :name :replicas) (log :image 0)");
    let mut words = memory(&image);
    let mut machine = Machine::new(image.program(), &mut words, &Budget::default()).expect("enough words");
    c.bench_function("door, 64 records as bytes", |b| {
        b.iter(|| {
            machine.rewind();
            black_box(machine.decode(&bytes).expect("the bytes are data"));
        });
    });
    c.bench_function("door, 64 records part by part", |b| {
        b.iter(|| {
            machine.rewind();
            let [name, replicas, image] = ["name", "replicas", "image"].map(|key| machine.keyword(key).expect("heap"));
            let list: [Value; 64] = std::array::from_fn(|i| {
                let (text, app) = (machine.string("svc-000").expect("heap"), machine.string("app:1").expect("heap"));
                let i = machine.int(i as i64).expect("heap");
                machine.map(&[(name, text), (replicas, i), (image, app)]).expect("heap")
            });
            black_box(machine.list(&list).expect("heap"));
        });
    });
    machine.rewind();
    let records = machine.decode(&bytes).expect("the bytes are data");
    let mut out = vec![0; 1 << 14];
    c.bench_function("door, 64 records out", |b| b.iter(|| black_box(machine.encode(records, &mut out).expect("data"))));
}

criterion_group!(benches, runs, loads, door);
criterion_main!(benches);
