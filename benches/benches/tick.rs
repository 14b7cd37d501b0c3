//! The tick path inside the core, wake to sleep, on a simulated host: `cargo bench -p vigy-benches --bench tick`.
//!
//! `hello` logs a line and queues a noop. `mirror` is the mirror-dir program over two trees of 100 files that are equal, so it asks,
//! compares and says that it converged.

#![allow(missing_docs, reason = "criterion makes the functions")]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::sim::{ManualClock, MemoryStorage, RecordedEffects};
use vigy_core::{Checkpoint, Host, Incarnation, Limits, Need, Spec, Tick, TickBuffers, TickInterval, Timestamp};
use vigy_lisp::{Arity, Data, HostFn, Image};

const HELLO: &str = include_str!("../../programs/hello-vigy/main.tlisp");
const MIRROR: &str = include_str!("../../programs/mirror-dir/main.tlisp");

const FS: [HostFn; 3] = [
    HostFn { name: "fs/list", arity: Arity::exactly(1), writes: false, secret: false, doc: "" },
    HostFn { name: "fs/hash", arity: Arity::exactly(1), writes: false, secret: false, doc: "" },
    HostFn { name: "fs/read", arity: Arity::exactly(1), writes: false, secret: false, doc: "" },
];

/// Answers for a tree of `files` files.
fn tree(files: usize) -> RecordedEffects {
    let path = |n| format!("docs/file-{n:04}.txt");
    let text = |text: &str| Data::from(text);
    let entry = |n| Data::map([("path", text(&path(n))), ("type", Data::keyword("file")), ("size", Data::Int(1000))]);
    let directory = Data::map([("path", text("docs")), ("type", Data::keyword("dir")), ("size", Data::Int(0))]);
    let list = Data::List(std::iter::once(directory).chain((0..files).map(entry)).collect());
    let hash = Data::Map((0..files).map(|n| (text(&path(n)), text(&format!("{n:064x}")))).collect());
    let bytes = |data: &Data| postcard::to_allocvec(data).expect("data is serialisable");
    RecordedEffects::default().always("fs/list", bytes(&list)).always("fs/hash", bytes(&hash))
}

fn spec(image: &Image) -> Spec {
    Spec::every(TickInterval::MIN, image.hash(), Limits::default())
}

fn whole_tick(c: &mut Criterion, name: &str, source: &str, effects: RecordedEffects) {
    let image = lisp::compile(source, &FS).expect("the program compiles");
    let (program, spec) = (image.program(), spec(&image));
    let imports = Imports::of(program).expect("few imports");
    let mut buffers = TickBuffers::for_limits(&spec.limits);
    let mut words = vec![0; lisp::words_needed(program, &spec.limits)];
    let mut host = Host { clock: ManualClock::default(), storage: MemoryStorage::default(), effects };
    let mut checkpoint = Checkpoint::new(Incarnation(1), Timestamp(0));
    c.bench_function(name, |b| {
        b.iter(|| {
            let mut evaluation = Lisp::new(program, &imports, &spec.limits, &mut words).expect("enough words");
            let ok = host.tick(&spec, &mut checkpoint, buffers.memory(), &mut evaluation).expect("the store is memory");
            assert!(ok, "the program ends well");
            host.storage = MemoryStorage::default();
        });
    });
}

/// Wake to batch ready: what the core itself costs, without a store.
fn wake_to_batch(c: &mut Criterion) {
    let image = lisp::compile(HELLO, &[]).expect("the program compiles");
    let (program, spec) = (image.program(), spec(&image));
    let imports = Imports::of(program).expect("few imports");
    let mut buffers = TickBuffers::for_limits(&spec.limits);
    let mut words = vec![0; lisp::words_needed(program, &spec.limits)];
    let checkpoint = Checkpoint::new(Incarnation(1), Timestamp(0));
    c.bench_function("hello, wake to batch", |b| {
        b.iter(|| {
            let mut evaluation = Lisp::new(program, &imports, &spec.limits, &mut words).expect("enough words");
            let mut tick = Tick::begin(&spec, &checkpoint, Timestamp(1), buffers.memory()).expect("enough memory");
            let Need::Commit(batch) = tick.next(&mut evaluation, Timestamp(1)) else { panic!("hello waits for nothing") };
            black_box(batch.record().len())
        });
    });
}

fn ticks(c: &mut Criterion) {
    wake_to_batch(c);
    whole_tick(c, "hello, whole tick", HELLO, RecordedEffects::default());
    whole_tick(c, "mirror, idle tick over 100 files", MIRROR, tree(100));
}

criterion_group!(benches, ticks);
criterion_main!(benches);
