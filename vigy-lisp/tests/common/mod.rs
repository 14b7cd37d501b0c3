//! The vocabulary of the tests: one line says what a program gives.
#![allow(dead_code, reason = "each test file uses some of it")]

use vigy_lisp::{Budget, CompileOptions, Data, HostFn, Image, Machine, Step, Style, compile};

/// What a run gave: its value readably, or the name of its fault; and what it printed.
pub(crate) fn outcome(image: &Image, budget: &Budget) -> (Result<String, String>, String) {
    let program = image.program();
    let mut memory = vec![0; program.words_needed(budget)];
    let mut machine = Machine::new(program, &mut memory, budget).expect("memory of the size asked for");
    let mut printed = String::new();
    loop {
        match machine.run(1_000) {
            Step::Done(v) => {
                let mut text = String::new();
                machine.display(v, Style::Readable, &mut text).expect("a string takes everything");
                return (Ok(text), printed);
            }
            Step::Output => printed.push_str(machine.output()),
            Step::Paused => {}
            Step::Call => machine.raise("no-host", "there is no host here"),
            Step::Failed => {
                let fault = machine.fault().expect("a failed run has a fault");
                return (Err(fault.kind.name().to_string()), printed);
            }
        }
    }
}

/// Runs `source` to its end. `answer` gets each host call: its name, its arguments, and the call as people would write it.
pub(crate) fn hosted(source: &str, hosts: &[&[HostFn]], mut answer: impl FnMut(&str, &[Data], &str) -> Data) {
    let image = compile(source, &CompileOptions { hosts, ..CompileOptions::default() });
    let image = image.unwrap_or_else(|e| panic!("{}", e.render("program", source)));
    let program = image.program();
    let imports: Vec<&str> = program.imports().collect();
    let budget = Budget::default();
    let mut memory = vec![0; program.words_needed(&budget)];
    let mut machine = Machine::new(program, &mut memory, &budget).expect("memory of the size asked for");
    loop {
        match machine.run(u64::MAX) {
            Step::Done(_) => return,
            Step::Call => {
                let name = imports[machine.call().import as usize];
                let (mut args, mut line) = (Vec::new(), name.to_owned());
                for i in 0..machine.arg_count() {
                    let mut bytes = [0; 1024];
                    let n = machine.encode(machine.arg(i), &mut bytes).expect("data");
                    args.push(postcard::from_bytes(&bytes[..n]).expect("data"));
                    line.push(' ');
                    machine.display(machine.arg(i), Style::Readable, &mut line).expect("a string takes everything");
                }
                let answer = postcard::to_allocvec(&answer(name, &args, &line)).expect("data is serialisable");
                let value = machine.decode(&answer).expect("a value");
                machine.resume(value);
            }
            other => panic!("{other:?}: {:?}", machine.fault()),
        }
    }
}

/// Compiles and runs `source`, forced.
pub(crate) fn run(source: &str) -> Result<String, String> {
    let options = CompileOptions { force: true, ..CompileOptions::default() };
    match compile(source, &options) {
        Ok(image) => outcome(&image, &Budget::default()).0,
        Err(e) => Err(e.tag().to_string()),
    }
}

/// `source` gives `expected`, as `pr-str` writes it.
#[track_caller]
pub(crate) fn check(source: &str, expected: &str) {
    assert_eq!(run(source), Ok(expected.to_string()), "{source}");
}

/// `source` fails with an error tagged `tag`, or with that outcome.
#[track_caller]
pub(crate) fn fails(source: &str, tag: &str) {
    assert_eq!(run(source), Err(tag.to_string()), "{source}");
}

/// The compiler refuses `source`, saying so.
#[track_caller]
pub(crate) fn refused(source: &str, message: &str) {
    let error = compile(source, &CompileOptions::default()).expect_err(source);
    assert_eq!(error.to_string(), message);
}
