//! What is not a module of ours is refused with a reason, before or while it runs; never a panic, never without bounds.

mod common;

use adapter_wasm::{Engine, GUEST, MAX_DECLARED_MEMORY, Manifest, Metered, Module, ModuleError, bundle};
use common::{HELLO, MIRROR, Seeded, World, compile, in_every_engine};
use vigy_core::record::{Explain, Record};
use vigy_core::sim::{ManualClock, MemoryStorage};
use vigy_core::{Checkpoint, Host, Incarnation, Limits, Spec, TickBuffers, TickInterval, Timestamp};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, CustomSection, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    ImportSection, MemorySection, MemoryType, TypeSection, ValType,
};
use wasmparser::{Parser, Payload};

/// The most bytes that hello-vigy may have as a module.
const HELLO_BYTES: usize = 120 << 10;

in_every_engine! {
    an_import_a_large_memory_a_missing_export_and_no_manifest_have_their_own_errors,
    an_operation_that_was_not_granted_is_named_with_its_capability_before_anything_runs,
    a_module_that_never_comes_back_ends_by_fuel,
    a_module_that_calls_itself_for_ever_is_an_outcome,
    a_module_gets_no_more_memory_than_its_vigy_allows,
    a_module_that_lies_is_an_outcome,
    damaged_modules_end_or_are_refused,
}

/// A module made by hand, right in everything that a test does not change.
struct Made {
    import: bool,
    pages: u64,
    exports: &'static [&'static str],
    manifest: Option<Vec<u8>>,
    /// What `start` does.
    start: fn(&mut Function),
    /// Lies at address 0.
    data: Vec<u8>,
}

impl Default for Made {
    fn default() -> Self {
        let start = |f: &mut Function| {
            f.instructions().i64_const(0);
        };
        // Version 1, a program named by zeros, no operations.
        let manifest = Some([&[1][..], &[0; 33]].concat());
        Self { import: false, pages: 1, exports: &["memory", "alloc", "start", "resume"], manifest, start, data: Vec::new() }
    }
}

impl Made {
    fn bytes(self) -> Vec<u8> {
        let mut module = wasm_encoder::Module::new();
        let mut types = TypeSection::new();
        types.ty().function([ValType::I32], [ValType::I32]);
        types.ty().function([], [ValType::I64]);
        module.section(&types);
        if self.import {
            let mut imports = ImportSection::new();
            imports.import("env", "sleep", EntityType::Function(0));
            module.section(&imports);
        }
        let first = u32::from(self.import);
        let mut functions = FunctionSection::new();
        functions.function(0).function(1).function(1);
        module.section(&functions);
        let mut memories = MemorySection::new();
        memories.memory(MemoryType { minimum: self.pages, maximum: None, memory64: false, shared: false, page_size_log2: None });
        module.section(&memories);
        let mut exports = ExportSection::new();
        for name in self.exports {
            match *name {
                "memory" => exports.export(name, ExportKind::Memory, 0),
                "alloc" => exports.export(name, ExportKind::Func, first),
                "start" => exports.export(name, ExportKind::Func, first + 1),
                _ => exports.export(name, ExportKind::Func, first + 2),
            };
        }
        module.section(&exports);
        let mut code = CodeSection::new();
        let mut alloc = Function::new([]);
        alloc.instructions().i32_const(1024).end();
        let mut start = Function::new([]);
        (self.start)(&mut start);
        start.instructions().end();
        code.function(&alloc).function(&start).function(&start);
        module.section(&code);
        let mut data = DataSection::new();
        data.active(0, &ConstExpr::i32_const(0), self.data);
        module.section(&data);
        if let Some(manifest) = self.manifest {
            module.section(&CustomSection { name: Manifest::SECTION.into(), data: manifest.into() });
        }
        module.finish()
    }
}

fn load<E: Engine + Default>(bytes: &[u8]) -> Result<Module<E>, ModuleError> {
    Module::new(E::default(), bytes, |_| Ok(()))
}

#[track_caller]
fn refused<E: Engine + Default>(bytes: &[u8]) -> ModuleError {
    load::<E>(bytes).err().expect("it is refused")
}

/// How one tick of a module ends.
fn tick<E: Engine>(module: &Module<E>, limits: Limits) -> String {
    let mut host = Host { clock: ManualClock::default(), storage: MemoryStorage::default(), effects: World(1) };
    let spec = Spec::every(TickInterval::MIN, module.program(), limits);
    let mut checkpoint = Checkpoint::new(Incarnation(1), Timestamp(0));
    let mut buffers = TickBuffers::for_limits(&limits);
    match module.evaluation(&limits) {
        Ok(mut evaluation) => host.tick(&spec, &mut checkpoint, buffers.memory(), &mut evaluation).map(drop).unwrap(),
        Err(error) => return error.to_string(),
    }
    let record = Record::parse(host.storage.runs.values().next().unwrap()).unwrap();
    Explain(record.end().0, &limits).to_string()
}

#[test]
fn the_guest_imports_nothing() {
    let imports: Vec<_> = Parser::new(0)
        .parse_all(GUEST)
        .filter_map(|payload| if let Payload::ImportSection(imports) = payload.unwrap() { Some(imports) } else { None })
        .flat_map(|imports| imports.into_iter().map(|import| import.unwrap().name.to_owned()))
        .collect();
    assert_eq!(imports, [""; 0]);
    assert_eq!(
        tick(&load::<adapter_wasm::Wasmi>(&Made::default().bytes()).unwrap(), Limits::default()),
        "bad-module: what it says does not decode"
    );
}

#[test]
fn a_standalone_hello_is_small() {
    let image = compile(HELLO);
    let module = bundle(&image).unwrap();
    println!("guest {} bytes, image of hello-vigy {}, module {}", GUEST.len(), image.as_bytes().len(), module.len());
    println!("module of mirror-dir {}", bundle(&compile(MIRROR)).unwrap().len());
    assert!(module.len() <= HELLO_BYTES, "{} bytes", module.len());
}

fn an_import_a_large_memory_a_missing_export_and_no_manifest_have_their_own_errors<E: Engine + Default>() {
    let import = refused::<E>(&Made { import: true, ..Made::default() }.bytes());
    assert_eq!(import.to_string(), "the module imports `env` `sleep`: a vigy module imports nothing");
    let pages = MAX_DECLARED_MEMORY / 65536 + 1;
    assert_eq!(refused::<E>(&Made { pages, ..Made::default() }.bytes()), ModuleError::Memory { declared: pages * 65536 });
    assert!(load::<E>(&Made { pages: pages - 1, ..Made::default() }.bytes()).is_ok());
    assert_eq!(refused::<E>(&Made { exports: &["memory", "alloc", "start"], ..Made::default() }.bytes()), ModuleError::Export("resume"));
    assert_eq!(refused::<E>(&Made { exports: &["alloc", "start", "resume"], ..Made::default() }.bytes()), ModuleError::Export("memory"));
    let taken = refused::<E>(&Made { exports: &["memory", "alloc", "start", "resume", Metered::ROUNDS], ..Made::default() }.bytes());
    assert_eq!(taken.to_string(), "the engine refuses the module: it has an export `vigy.rounds`");
    assert_eq!(refused::<E>(&Made { manifest: None, ..Made::default() }.bytes()), ModuleError::Manifest);
    assert_eq!(refused::<E>(&Made { manifest: Some(vec![2; 40]), ..Made::default() }.bytes()), ModuleError::Manifest);
    assert!(matches!(refused::<E>(b"no module at all"), ModuleError::Invalid(_)));
}

fn an_operation_that_was_not_granted_is_named_with_its_capability_before_anything_runs<E: Engine + Default>() {
    let bytes = bundle(&compile(MIRROR)).unwrap();
    assert_eq!(Manifest::of(&bytes).unwrap().operations, ["fs/hash", "fs/list", "fs/read"]);
    let needs = |operation: &str| if operation == "fs/read" { Err("fs:PATH:r".to_owned()) } else { Ok(()) };
    let refused = Module::new(E::default(), &bytes, needs).err().unwrap();
    assert_eq!(refused, ModuleError::NotGranted { operation: "fs/read".to_owned(), capability: "fs:PATH:r".to_owned() });
    assert_eq!(refused.to_string(), "the module asks for `fs/read`, which needs the capability `fs:PATH:r`: it was not granted");
}

/// Limits that leave a module little: 4 MiB of memory, and not many rounds.
fn little() -> Limits {
    Limits { fuel: 1000, value_bytes: 1000, record_bytes: 1000, heap_bytes: 0, stack_bytes: 0, ..Limits::default() }
}

fn a_module_that_never_comes_back_ends_by_fuel<E: Engine + Default>() {
    let start = |f: &mut Function| {
        f.instructions().loop_(BlockType::Empty).br(0).end().unreachable();
    };
    let module = load::<E>(&Made { start, ..Made::default() }.bytes()).unwrap();
    assert_eq!(tick(&module, little()), "out-of-fuel: used all 1000 steps (limit `fuel`)");
}

/// From within loops, so that every call takes a lot of the stack of an engine that nests them.
fn a_module_that_calls_itself_for_ever_is_an_outcome<E: Engine + Default>() {
    let start = |f: &mut Function| {
        let mut code = f.instructions();
        for _ in 0..200 {
            code.loop_(BlockType::Result(ValType::I64));
        }
        code.call(1);
        for _ in 0..200 {
            code.end();
        }
    };
    let module = load::<E>(&Made { start, ..Made::default() }.bytes()).unwrap();
    let end = tick(&module, Limits::default());
    assert!(end.starts_with("bad-module: "), "{end}");
}

fn a_module_gets_no_more_memory_than_its_vigy_allows<E: Engine + Default>() {
    // It has one page. 63 more are granted, and then no other; else it traps.
    let start = |f: &mut Function| {
        let mut code = f.instructions();
        code.i32_const(63).memory_grow(0).i32_const(1).i32_ne();
        code.i32_const(1).memory_grow(0).i32_const(-1).i32_ne();
        code.i32_or().if_(BlockType::Empty).unreachable().end().i64_const(0);
    };
    let module = load::<E>(&Made { start, ..Made::default() }.bytes()).unwrap();
    assert_eq!(tick(&module, little()), "bad-module: what it says does not decode");
    let large = load::<E>(&Made { pages: 65, ..Made::default() }.bytes()).unwrap();
    assert!(large.evaluation(&little()).is_err(), "it begins with more than that");
    assert!(large.evaluation(&Limits::default()).is_ok());
}

fn a_module_that_lies_is_an_outcome<E: Engine + Default>() {
    let said = |data: &[u8], len: i64| {
        let start = match len {
            0 => |f: &mut Function| {
                f.instructions().unreachable();
            },
            1 => |f: &mut Function| {
                f.instructions().i64_const(-1);
            },
            _ => |f: &mut Function| {
                f.instructions().i64_const(64);
            },
        };
        tick(&load::<E>(&Made { start, data: data.to_vec(), ..Made::default() }.bytes()).unwrap(), Limits::default())
    };
    // What it says: fuel, stop, entries, values. 64 bytes of it are read; what is behind does not matter.
    assert!(said(&[], 0).starts_with("bad-module: "), "a trap");
    assert_eq!(said(&[], 1), "bad-module: it says more than its memory holds");
    assert_eq!(said(&[0, 2, 0, 0], 2), "bad-module: it counts its fuel wrong", "paused, with nothing done");
    assert_eq!(said(&[9, 1, 0, 0], 2), "bad-module: it stopped for an ask without asking, or the other way round");
    assert_eq!(said(&[9, 3, 0, 1, 99, 0], 2), "bad-module: its entries do not decode");
    assert_eq!(said(&[9, 3, 0, 0, 1, 7], 2), "bad-module: its values do not decode");
    assert_eq!(said(&[9, 3, 0, 8, 1, 1, b'x', 0, 0, 1, 0, 0, 0], 2), "bad-module: it asked an operation that it does not declare");
    assert_eq!(said(&[9, 3, 0, 3, 0, 1, b'k', 0, 0], 2), "bad-module: its entries do not decode");
    assert_eq!(said(&[9, 3, 0, 4, 0, 1, b'k', 0, 0], 2), "bad-module: it said what only a host says");
    assert_eq!(said(&[9, 0, 0, 0, 0], 2), "bad-module: a kv key cannot be empty");
    assert!(said(&[0xff, 0xff, 0xff, 0xff, 0x7f, 3, 0, 0, 0], 2).starts_with("out-of-fuel"));
}

/// Bytes changed at random: most modules are refused, the others end their tick. None panics, none runs on for ever.
fn damaged_modules_end_or_are_refused<E: Engine + Default>() {
    let whole = bundle(&compile(HELLO)).unwrap();
    let limits = Limits { fuel: 2000, value_bytes: 2000, record_bytes: 2000, heap_bytes: 4096, stack_bytes: 4096, ..Limits::default() };
    assert_eq!(tick(&load::<E>(&whole).unwrap(), limits), "ok");
    let mut numbers = Seeded(3);
    let (mut refused, mut ended) = (0, 0);
    for _ in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..=numbers.next(3) {
            let at = numbers.next(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << numbers.next(8);
        }
        match load::<E>(&bytes) {
            Ok(module) => {
                tick(&module, limits);
                ended += 1;
            }
            Err(_) => refused += 1,
        }
    }
    for len in (0..whole.len()).step_by(9973) {
        assert!(load::<E>(&whole[..len]).is_err(), "cut to {len} bytes");
    }
    println!("damaged modules: {refused} refused, {ended} ran");
}
