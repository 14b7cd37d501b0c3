//! From nothing to the first action of hello-vigy, natively and as a module, in every engine that is compiled in:
//! `cargo bench -p vigy-benches --bench wasm --features wasm3` (without the feature: in wasmi only).
//!
//! *cold* begins with bytes: the module is checked, compiled and instantiated, and ticks until its batch is there; natively, the image
//! is checked and ticks. *warm* begins with what was checked and compiled once, as every tick but the first does. Memory for the tick
//! is there; what a run leaves is given back outside of the measurement.

#![allow(missing_docs, reason = "criterion makes the functions")]

use std::time::{Duration, Instant};

use adapter_wasm::{Engine, Module, Wasmi, bundle};
use criterion::{Criterion, criterion_group, criterion_main};
use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::{Checkpoint, Evaluator, Incarnation, Limits, Need, Spec, Tick, TickBuffers, TickInterval, Timestamp};
use vigy_lisp::Image;

const HELLO: &str = include_str!("../../programs/hello-vigy/main.tlisp");

/// Ticks until the batch is there, which must have the one action of hello-vigy.
fn tick(program: [u8; 32], evaluator: &mut impl Evaluator, buffers: &mut TickBuffers) {
    let spec = Spec::every(TickInterval::MIN, program, Limits::default());
    let checkpoint = Checkpoint::new(Incarnation(1), Timestamp(0));
    let mut tick = Tick::begin(&spec, &checkpoint, Timestamp(1), buffers.memory()).expect("enough memory");
    loop {
        match tick.next(evaluator, Timestamp(1)) {
            Need::Yield => {}
            Need::Commit(batch) => return assert_eq!(batch.actions().count(), 1),
            _ => panic!("hello waits for nothing"),
        }
    }
}

/// Measures `start`; what it returns is dropped outside of the time.
fn bench<T>(c: &mut Criterion, name: &str, mut start: impl FnMut() -> T) {
    c.bench_function(name, |b| {
        b.iter_custom(|times| {
            let mut sum = Duration::ZERO;
            for _ in 0..times {
                let begun = Instant::now();
                let left = start();
                sum += begun.elapsed();
                drop(left);
            }
            sum
        });
    });
}

fn native(c: &mut Criterion, image: &Image, buffers: &mut TickBuffers) {
    let (bytes, limits) = (image.as_bytes(), Limits::default());
    let mut words = vec![0; lisp::words_needed(image.program(), &limits)];
    bench(c, "native, cold", || {
        let image = Image::from_bytes(bytes).expect("the image is whole");
        let imports = Imports::of(image.program()).expect("few imports");
        let mut evaluation = Lisp::new(image.program(), &imports, &limits, &mut words).expect("enough words");
        tick(image.hash(), &mut evaluation, buffers);
    });
    let imports = Imports::of(image.program()).expect("few imports");
    bench(c, "native, warm", || {
        let mut evaluation = Lisp::new(image.program(), &imports, &limits, &mut words).expect("enough words");
        tick(image.hash(), &mut evaluation, buffers);
    });
}

fn engine<E: Engine + Default>(c: &mut Criterion, name: &str, bytes: &[u8], buffers: &mut TickBuffers) {
    let module = || Module::new(E::default(), bytes, |_| Ok(())).expect("the module is right");
    let mut run = |module: &Module<E>| {
        let mut evaluation = module.evaluation(&Limits::default()).expect("an instance");
        tick(module.program(), &mut evaluation, buffers);
        evaluation
    };
    bench(c, &format!("{name}, cold"), || {
        let module = module();
        (run(&module), module)
    });
    let module = module();
    bench(c, &format!("{name}, warm"), || run(&module));
}

fn starts(c: &mut Criterion) {
    let image = lisp::compile(HELLO, &[]).expect("the program compiles");
    let module = bundle(&image).expect("the program fits");
    let mut buffers = TickBuffers::for_limits(&Limits::default());
    native(c, &image, &mut buffers);
    engine::<Wasmi>(c, "wasmi", &module, &mut buffers);
    #[cfg(feature = "wasm3")]
    engine::<adapter_wasm::Wasm3>(c, "wasm3", &module, &mut buffers);
}

criterion_group!(benches, starts);
criterion_main!(benches);
