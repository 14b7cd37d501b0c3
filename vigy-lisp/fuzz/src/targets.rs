//! One function per target: it takes any bytes, and panics when the language breaks a promise.

use std::fmt::Write;
use std::sync::LazyLock;

use vigy_lisp::{Arity, Budget, CompileOptions, HostFn, Image, Machine, Program, Step, Style, compile};

use super::forge;
use super::generate::{Bytes, program};

/// Small, so that every limit is met.
const BUDGET: Budget = Budget { fuel: 20_000, heap_bytes: 64 << 10, depth: 100, stack_words: 2_048, output_bytes: 2_048 };

const fn host(name: &'static str, arity: Arity, writes: bool) -> HostFn {
    HostFn { name, arity, writes, secret: false, doc: "answers whatever the fuzzer says" }
}

pub(super) const HOSTS: &[&[HostFn]] = &[&[host("ask", Arity::at_least(0), false), host("tell", Arity::between(1, 2), true)]];

/// Text that keeps its beginning: what is shown may be far larger than it is worth.
struct Head(String);

impl Write for Head {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend(text.chars().take(4_096_usize.saturating_sub(self.0.len())));
        if self.0.len() < 4_096 { Ok(()) } else { Err(std::fmt::Error) }
    }
}

/// What a run came to: how it ended, what it printed and what it used.
#[derive(Debug, PartialEq)]
struct Outcome {
    end: Result<String, String>,
    printed: String,
    fuel: u64,
    heap: u64,
}

/// Runs the program of `machine` from the start, in slices. The answers of the host are pieces of `answers`.
fn run(machine: &mut Machine<'_>, slice: u64, answers: &[u8]) -> Outcome {
    let mut printed = String::new();
    let mut asked = 0;
    // Whatever a program does costs fuel: so this many stops are enough for any of them.
    for _ in 0..20 * BUDGET.fuel {
        let end = match machine.run(slice) {
            Step::Paused => continue,
            Step::Output => {
                printed.push_str(machine.output());
                continue;
            }
            Step::Call => {
                let start = asked * 7 % answers.len().max(1);
                asked += 1;
                for i in 0..machine.arg_count() {
                    // What cannot be encoded says so.
                    let _ = machine.encode(machine.arg(i), &mut [0; 256]);
                }
                match machine.decode(&answers[start..]) {
                    Ok(v) => machine.resume(v),
                    Err(e) => machine.raise("host", &e.to_string()),
                }
                continue;
            }
            Step::Done(v) => {
                let mut text = Head(String::new());
                // What does not fit is cut off.
                let _ = machine.display(v, Style::Readable, &mut text);
                Ok(text.0)
            }
            Step::Failed => Err(machine.fault().expect("a failed run has a fault").to_string()),
        };
        let (fuel, heap) = (machine.fuel_used(), machine.heap_used());
        assert!(heap <= u64::from(BUDGET.heap_bytes), "{heap} bytes of heap");
        assert!(printed.len() <= BUDGET.output_bytes as usize, "{} bytes of output", printed.len());
        return Outcome { end, printed, fuel, heap };
    }
    panic!("a run does not end");
}

/// Runs a program twice on one machine, then in slices on another: every time the same. A program that somebody `forged` may read registers
/// that it never wrote, and there find what its own tick before left: its second tick only has to end.
fn run_all_ways(program: Program<'_>, forged: bool, slice: u64, answers: &[u8]) -> Outcome {
    // Whatever was in the memory before, no run sees it.
    let mut memory = vec![0xdead_beef_dead_beef; program.words_needed(&BUDGET)];
    let mut machine = Machine::new(program, &mut memory, &BUDGET).expect("memory of the size asked for");
    let first = run(&mut machine, u64::MAX, answers);
    let second = run(&mut machine, u64::MAX, answers);
    assert!(forged || second == first, "the second tick: {second:?}, not {first:?}");
    let mut memory = vec![0x0000_0042_0000_000d; program.words_needed(&BUDGET)];
    let mut machine = Machine::new(program, &mut memory, &BUDGET).expect("memory of the size asked for");
    assert_eq!(run(&mut machine, slice, answers), first, "in slices of {slice}");
    first
}

/// What reads text at run time, each over the text that the host gives.
static READERS: LazyLock<Image> = LazyLock::new(|| {
    const ONE: &[&str] = &[
        "read-string",
        "read-all",
        "json-parse",
        "json/parse",
        "parse-int",
        "parse-float",
        "string->number",
        "base64-decode",
        "base64url-decode",
        "hex-decode",
        "url-decode",
        "url-encode",
        "hex-encode",
        "base64-encode",
        "string-uppercase",
        "string-lowercase",
        "string-trim",
        "string-reverse",
        "string-chars",
        "string-bytes",
        "string-length",
        "pr-str",
        "sha256",
        "string->symbol",
        "string->keyword",
        "path-basename",
        "path-dirname",
        "path-extension",
    ];
    const TWO: &[&str] =
        &["re-match?", "re-find", "re-find-all", "re-captures", "re-split", "string-split", "string-contains?", "string-index", "str/join"];
    let mut text =
        String::from("(define a (ask)) (define b (ask)) (define (each f) (try (f) (catch (e) (if (error? e) (error-tag e) e))))\n(list");
    for name in ONE {
        write!(text, " (each (lambda () ({name} a)))").expect("a string takes everything");
    }
    for name in TWO {
        write!(text, " (each (lambda () ({name} a b)))").expect("a string takes everything");
    }
    text.push_str(" (each (lambda () (re-replace a b \"<$1$0>\"))) (each (lambda () (string-replace b a \"é\"))))");
    compile(&text, &CompileOptions { hosts: HOSTS, force: true, ..CompileOptions::default() }).expect("every name is one")
});

/// Text as data: read by the compiler, and by whatever reads text at run time.
pub fn reader(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // An error has a place in the text.
    if let Err(e) = compile(&format!("(quote (\n{text}\n))"), &CompileOptions::default()) {
        let lines = text.lines().count() as u32 + 3;
        assert!(e.span.line <= lines, "{e}");
    }
    let cut = (0..=text.len() / 2).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let program = READERS.program();
    let budget = Budget { fuel: 1_000_000, heap_bytes: 1 << 20, ..BUDGET };
    let mut memory = vec![0xdead_beef_dead_beef; program.words_needed(&budget)];
    let mut machine = Machine::new(program, &mut memory, &budget).expect("memory of the size asked for");
    let mut parts = [&text[..cut], &text[cut..]].into_iter();
    loop {
        match machine.run(u64::MAX) {
            Step::Call => {
                let Ok(v) = machine.string(parts.next().unwrap_or_default()) else { return };
                machine.resume(v);
            }
            Step::Done(_) | Step::Failed => return,
            Step::Output | Step::Paused => {}
        }
    }
}

/// Text as a program, compiled both ways, then run.
pub fn compiler(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for force in [false, true] {
        match compile(&text, &CompileOptions { hosts: HOSTS, force, ..CompileOptions::default() }) {
            Ok(image) => {
                Image::from_bytes(image.as_bytes()).expect("what the compiler makes is an image");
                let outcome = run_all_ways(image.program(), false, 7, data);
                check_whole(&text, &outcome);
            }
            Err(e) => assert!(!e.to_string().contains("wrong image"), "{e}"),
        }
    }
}

/// An image that somebody changed, with the checksum made right again.
pub fn image(data: &[u8]) {
    // As they are, bytes are hardly ever an image.
    assert!(Image::from_bytes(data).is_err());
    let Some(words) = forge::image(data) else { return };
    if let Ok(program) = Program::load(&words) {
        let slice = 1 + u64::from(data.first().copied().unwrap_or(0));
        run_all_ways(program, true, slice, data);
    }
}

/// A generated program: it is well formed, so it is run, and does as much as it can.
pub fn machine(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let text = program(&mut bytes);
    let slice = 1 + u64::from(bytes.byte());
    let image = match compile(&text, &CompileOptions { hosts: HOSTS, force: true, ..CompileOptions::default() }) {
        Ok(image) => image,
        Err(e) => panic!("{e}\n{text}"),
    };
    check_whole(&text, &run_all_ways(image.program(), false, slice, data));
}

/// What a compiler makes of a text is no broken image, unless the text does by hand what is the prelude's.
fn check_whole(text: &str, outcome: &Outcome) {
    let broken = outcome.end.as_ref().is_err_and(|e| e.contains("damaged-image"));
    assert!(!broken || text.contains('%'), "{outcome:?}\n{text}");
}
