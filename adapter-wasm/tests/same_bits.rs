//! A text leads to the same bits natively and as wasm: image, value or error, output, fuel and peak of the heap, for every program of
//! the corpus.
//!
//! `VIGY_CONFORMANCE=FILE` compares another corpus.

#[path = "../interpreter/src/outcome.rs"]
mod outcome;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use outcome::{Outcome, Program, outcome};
use serde_json::Value as Json;
use wasmi::{Engine, Linker, Memory, Module, Store, TypedFunc};

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the interpreter, in a directory of its own that later builds find again.
fn build() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("interpreter/Cargo.toml");
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interpreter");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--release", "--locked", "--quiet", "--target", TARGET, "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&into);
    // What the host's build says about itself is not meant for this one.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO") || name.starts_with("RUST")) {
        if !matches!(&*name, "CARGO_HOME" | "RUSTUP_HOME" | "RUSTUP_TOOLCHAIN" | "CARGO_NET_OFFLINE") {
            cargo.env_remove(name);
        }
    }
    let done = cargo.status().expect("cargo starts");
    assert!(done.success(), "the interpreter does not build; if its target is missing: rustup target add {TARGET}");
    into.join(TARGET).join("release/vigy_interpreter.wasm")
}

struct Wasm {
    store: Store<()>,
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    run: TypedFunc<(), u64>,
}

impl Wasm {
    fn new(module: &Path) -> Self {
        let engine = Engine::default();
        let module = Module::new(&engine, std::fs::read(module).expect("the module")).expect("a module");
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate_and_start(&mut store, &module).expect("it imports nothing");
        let memory = instance.get_memory(&store, "memory").expect("memory");
        let alloc = instance.get_typed_func(&store, "alloc").expect("alloc");
        let run = instance.get_typed_func(&store, "run").expect("run");
        Self { store, memory, alloc, run }
    }

    fn outcome(&mut self, program: &Program) -> Outcome {
        let message = postcard::to_stdvec(program).expect("a program is data");
        let at = self.alloc.call(&mut self.store, message.len() as u32).expect("room");
        self.memory.write(&mut self.store, at as usize, &message).expect("room");
        let range = self.run.call(&mut self.store, ()).unwrap_or_else(|trap| panic!("{trap}: {}", program.source));
        let mut answer = vec![0; range as u32 as usize];
        self.memory.read(&self.store, (range >> 32) as usize, &mut answer).expect("an answer");
        postcard::from_bytes(&answer).expect("an outcome")
    }
}

/// The programs of a corpus file.
fn corpus(path: &Path) -> Vec<Program> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cases: Vec<Json> = serde_json::from_str(&text).expect("a list of programs");
    let modules = |case: &Json| {
        let modules = case.get("modules").and_then(Json::as_object).into_iter().flatten();
        modules.filter_map(|(path, source)| Some((path.clone(), source.as_str()?.to_owned()))).collect()
    };
    cases.iter().map(|case| Program { source: case["src"].as_str().expect("a text").to_owned(), modules: modules(case) }).collect()
}

#[test]
fn every_program_of_the_corpus_gives_the_same_bits() {
    let mut wasm = Wasm::new(&build());
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance");
    let files = match std::env::var_os("VIGY_CONFORMANCE") {
        Some(file) => vec![PathBuf::from(file)],
        None => ["open.json", "divergent.json"].iter().map(|file| own.join(file)).filter(|file| file.exists()).collect(),
    };
    let programs: Vec<Program> = files.iter().flat_map(|file| corpus(file)).collect();
    let (mut memory, begin, mut values) = (Vec::new(), Instant::now(), 0);
    for program in &programs {
        let native = outcome(program, &mut memory);
        assert_eq!(native, wasm.outcome(program), "{}", program.source);
        values += usize::from(native.result.is_ok());
    }
    println!("{} programs, {values} values, the same bits; {:?}", programs.len(), begin.elapsed());
    assert!(values * 2 > programs.len(), "most programs give a value");
}

#[test]
fn what_differs_is_noticed() {
    let program = |source: &str| Program { source: source.to_owned(), modules: Default::default() };
    let mut memory = Vec::new();
    let mut differ = |a: &str, b: &str| assert_ne!(outcome(&program(a), &mut memory), outcome(&program(b), &mut memory));
    differ("(+ 0.1 0.2)", "0.3");
    differ("(do (display 1) 2)", "2");
    differ("(loop [i 0] (if (< i 9) (recur (+ i 1)) 0))", "(loop [i 0] (if (< i 8) (recur (+ i 1)) 0))");
    differ("(do (list 1 2) 3)", "3");
}
