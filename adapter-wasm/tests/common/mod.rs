//! One vigy on a simulated host, with answers that come from a seed: ticked natively, or as a module.
#![allow(dead_code, reason = "every test file takes what it needs")]
#![allow(clippy::result_large_err, reason = "as in the crate")]

use adapter_wasm::{Engine, Module, bundle};
use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::record::{Explain, Record};
use vigy_core::sim::{ManualClock, MemoryStorage};
use vigy_core::{
    Ask, AskError, Checkpoint, Effects, Host, Incarnation, Limits, Outcome, ReconcileAction, Spec, TickBuffers, TickInterval, Timestamp,
};
use vigy_lisp::{Arity, Data, HostFn, Image};

/// Makes a test of a function, per engine that is compiled in.
macro_rules! in_every_engine {
    ($($test:ident),+ $(,)?) => {
        mod in_wasmi { $(#[test] fn $test() { super::$test::<adapter_wasm::Wasmi>(); })+ }
        #[cfg(feature = "wasm3")]
        mod in_wasm3 { $(#[test] fn $test() { super::$test::<adapter_wasm::Wasm3>(); })+ }
    };
}
pub(crate) use in_every_engine;

pub(crate) const HELLO: &str = include_str!("../../../programs/hello-vigy/main.tlisp");
pub(crate) const MIRROR: &str = include_str!("../../../programs/mirror-dir/main.tlisp");

pub(crate) const OPERATIONS: [HostFn; 3] = [operation("fs/list"), operation("fs/hash"), operation("fs/read")];

const fn operation(name: &'static str) -> HostFn {
    HostFn { name, arity: Arity::exactly(1), writes: false, secret: false, doc: "" }
}

pub(crate) fn compile(source: &str) -> Image {
    lisp::compile(source, &OPERATIONS).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn module<E: Engine + Default>(image: &Image) -> Module<E> {
    Module::new(E::default(), &bundle(image).unwrap(), |_| Ok(())).unwrap()
}

/// Numbers from a seed: splitmix64.
#[derive(Clone, Copy)]
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// A world made of a seed: directories with files that change from tick to tick, answers that fail now and then, actions too.
pub(crate) struct World(pub(crate) u64);

impl World {
    fn answer(&self, ask: &Ask<'_>) -> Result<Data, AskError> {
        let arguments: Data = postcard::from_bytes(ask.arguments).unwrap();
        let path = arguments.list().and_then(|list| list[0].text()).unwrap_or_default().to_owned();
        let of = |path: &str| path.bytes().fold(self.0 ^ ask.run.tick, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        let mut numbers = Seeded(of(&path));
        if numbers.next(9) == 0 {
            return Err(AskError::new("not-found", format_args!("{path} is not there at tick {}", ask.run.tick)));
        }
        let files = 1 + numbers.next(30);
        let names = (0..files).map(|file| format!("directory-{}/file-{file}.txt", file % 3));
        let text = |numbers: &mut Seeded, bytes: u64| -> Data { "wasm ".repeat(numbers.next(bytes) as usize / 5).into() };
        Ok(match ask.operation {
            "fs/list" => {
                let entry = |path: String, kind: &str, size: i64| {
                    Data::map([("path", path.into()), ("type", Data::keyword(kind)), ("size", size.into())])
                };
                let directories = (0..3).map(|n| entry(format!("directory-{n}"), "dir", 0));
                let files = names.map(|name| entry(name, "file", numbers.next(2_000_000) as i64)).collect::<Vec<_>>();
                directories.chain(files).collect::<Vec<_>>().into()
            }
            "fs/hash" => Data::Map(names.map(|name| (name.into(), format!("{:x}", numbers.next(5)).into())).collect()),
            _ => Data::map([("encoding", Data::keyword("utf8")), ("content", text(&mut numbers, 5000))]),
        })
    }
}

impl Effects for World {
    fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        let answer = self.answer(ask)?;
        postcard::to_slice(&answer, into).map(|bytes| bytes.len()).map_err(|_| AskError::new("too-large", format_args!("too large")))
    }

    fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        if Seeded(self.0 ^ u64::from(action.key.index)).next(4) == 0 { Outcome::failed("by chance") } else { Outcome::ok() }
    }
}

/// Everything that `ticks` ticks leave in a store. `module` ticks instead of the machine itself when it is there.
pub(crate) fn life<E: Engine>(image: &Image, module: Option<&Module<E>>, seed: u64, limits: Limits, ticks: u32) -> MemoryStorage {
    let mut numbers = Seeded(seed);
    let clock = ManualClock(Timestamp(numbers.next(1 << 40)));
    let mut checkpoint = Checkpoint::new(Incarnation(numbers.next(u64::MAX)), clock.0);
    let mut host = Host { clock, storage: MemoryStorage::default(), effects: World(seed) };
    let program = module.map_or_else(|| image.hash(), |module| module.program());
    let spec = Spec::every(TickInterval::default(), program, limits);
    let imports = Imports::of(image.program()).unwrap();
    let (mut buffers, mut words) = (TickBuffers::for_limits(&limits), vec![0; lisp::words_needed(image.program(), &limits)]);
    for _ in 0..ticks {
        match module {
            Some(module) => {
                host.tick(&spec, &mut checkpoint, buffers.memory(), &mut module.evaluation(&limits).unwrap()).unwrap();
            }
            None => {
                let mut evaluation = Lisp::new(image.program(), &imports, &limits, &mut words).unwrap();
                host.tick(&spec, &mut checkpoint, buffers.memory(), &mut evaluation).unwrap();
            }
        }
        host.clock.0 = checkpoint.due.plus(numbers.next(3) * numbers.next(700));
    }
    host.storage
}

/// How the last run ended, with its fuel.
pub(crate) fn end(storage: &MemoryStorage, limits: &Limits) -> (String, u64) {
    let (verdict, fuel) = Record::parse(storage.runs.values().next_back().unwrap()).unwrap().end();
    (Explain(verdict, limits).to_string(), fuel)
}
