//! All that a text leads to: what is compared. The same source natively and as wasm.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vigy_lisp::{Budget, CompileOptions, Loader, Machine, Step, Style, compile};

/// A text, and the modules that it may load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) source: String,
    pub(crate) modules: BTreeMap<String, String>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The bytes of the image; none when the text is no program.
    pub(crate) image: Vec<u8>,
    /// The value as `pr-str` writes it, or the error's tag and message.
    pub(crate) result: Result<String, (String, String)>,
    /// The value as it crosses the door; nothing when it is no data.
    pub(crate) encoded: Vec<u8>,
    pub(crate) printed: String,
    pub(crate) fuel: u64,
    pub(crate) heap: u64,
}

impl Outcome {
    fn failed(tag: &str, message: String) -> Self {
        Self { image: vec![], result: Err((tag.to_owned(), message)), encoded: vec![], printed: String::new(), fuel: 0, heap: 0 }
    }
}

struct Modules<'p>(&'p BTreeMap<String, String>);

impl Loader for Modules<'_> {
    fn load(&self, path: &str) -> Option<String> {
        self.0.get(path).cloned()
    }
}

/// Fuel between two pauses, of which no outcome may depend.
const SLICE: u64 = 100_000;

/// Compiles and runs a program, in memory that may hold anything.
pub(crate) fn outcome(program: &Program, memory: &mut Vec<u64>) -> Outcome {
    let options = CompileOptions { loader: Some(&Modules(&program.modules)), force: true, ..CompileOptions::default() };
    let image = match compile(&program.source, &options) {
        Ok(image) => image,
        Err(e) => return Outcome::failed(e.tag(), e.to_string()),
    };
    let budget = Budget { fuel: 10_000_000, heap_bytes: 16 << 20, depth: 100_000, stack_words: 2 << 20, ..Budget::default() };
    let words = image.program().words_needed(&budget);
    if memory.len() < words {
        memory.resize(words, 0);
    }
    let mut machine = match Machine::new(image.program(), memory, &budget) {
        Ok(machine) => machine,
        Err(e) => return Outcome::failed("memory", e.to_string()),
    };
    let (mut printed, mut encoded) = (String::new(), Vec::new());
    let result = loop {
        match machine.run(SLICE) {
            Step::Done(v) => {
                let mut bytes = vec![0; 1 << 20];
                let len = machine.encode(v, &mut bytes).unwrap_or(0);
                encoded = bytes[..len].to_vec();
                let mut text = String::new();
                // A string takes everything.
                let _ = machine.display(v, Style::Readable, &mut text);
                break Ok(text);
            }
            Step::Output => printed.push_str(machine.output()),
            Step::Paused => {}
            Step::Call => machine.raise("no-host", "there is no host here"),
            Step::Failed => {
                let fault = machine.fault().map(|f| (f.kind.name().to_owned(), f.to_string()));
                break Err(fault.unwrap_or_default());
            }
        }
    };
    Outcome { image: image.as_bytes().to_vec(), result, encoded, printed, fuel: machine.fuel_used(), heap: machine.heap_used() }
}
