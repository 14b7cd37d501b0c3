//! Programs of the corpus, cut up and put together anew: whatever comes out ends with a typed outcome, never with a panic.

use serde_json::Value as Json;
use vigy_lisp::{Budget, CompileOptions, Machine, Step, Style, compile};

/// The same numbers every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// Pieces that are moved around: delimiters, blanks and what is between them.
fn tokens(source: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    for (i, c) in source.char_indices() {
        if "()[]{} '`,\"\n".contains(c) {
            if start < i {
                out.push(&source[start..i]);
            }
            out.push(&source[i..i + c.len_utf8()]);
            start = i + c.len_utf8();
        }
    }
    if start < source.len() {
        out.push(&source[start..]);
    }
    out
}

fn run(source: &str, force: bool, memory: &mut Vec<u64>) {
    let options = CompileOptions { force, ..CompileOptions::default() };
    let Ok(image) = compile(source, &options) else { return };
    let budget = Budget { fuel: 20_000, heap_bytes: 1 << 20, depth: 500, stack_words: 1 << 14, output_bytes: 4096 };
    let program = image.program();
    if memory.len() < program.words_needed(&budget) {
        memory.resize(program.words_needed(&budget), 0x0101_0101);
    }
    let mut machine = Machine::new(program, memory, &budget).expect("memory of the size asked for");
    loop {
        match machine.run(777) {
            Step::Done(v) => {
                let mut text = heapless_text();
                // What does not fit is not printed.
                let _ = machine.display(v, Style::Readable, &mut text);
                let _ = machine.encode(v, &mut [0; 256]);
                return;
            }
            Step::Call => machine.raise("no-host", "there is no host here"),
            Step::Output | Step::Paused => {}
            Step::Failed => return,
        }
    }
}

/// A text that takes 4 KiB and then no more.
struct Short(usize);

fn heapless_text() -> Short {
    Short(4096)
}

impl std::fmt::Write for Short {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.0 = self.0.checked_sub(s.len()).ok_or(std::fmt::Error)?;
        Ok(())
    }
}

#[test]
fn programs_put_together_anew_never_panic() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/open.json");
    let corpus = std::fs::read_to_string(corpus).expect("the corpus file");
    let corpus: Vec<Json> = serde_json::from_str(&corpus).expect("a list of programs");
    let sources: Vec<&str> = corpus.iter().filter_map(|c| c.get("src")?.as_str()).filter(|s| s.len() < 600).collect();
    let rounds = std::env::var("VIGY_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let seed = std::env::var("VIGY_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0x2545_f491_4f6c_dd1d);
    let mut numbers = Numbers(seed);
    let mut memory = Vec::new();
    for _ in 0..rounds {
        let mut program = tokens(sources[numbers.below(sources.len())]);
        for _ in 0..=numbers.below(4) {
            let other = tokens(sources[numbers.below(sources.len())]);
            let at = numbers.below(program.len() + 1);
            match numbers.below(4) {
                0 => program.insert(at, other[numbers.below(other.len())]),
                1 if at < program.len() => program[at] = other[numbers.below(other.len())],
                2 if at < program.len() => {
                    program.remove(at);
                }
                _ => {
                    let from = numbers.below(other.len());
                    let to = from + numbers.below(other.len() - from + 1);
                    program.splice(at..at, other[from..to].iter().copied());
                }
            }
        }
        let program = program.concat();
        let force = numbers.below(3) > 0;
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&program, force, &mut memory)));
        assert!(result.is_ok(), "{program}");
    }
}
