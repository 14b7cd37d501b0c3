//! Programs at random, run by the machine and by a second evaluator that has nothing in common with it: value or error, and output,
//! must be the same.
//!
//! `VIGY_DIFFERENTIAL=N` runs N programs instead of 100,000, `VIGY_SEED=N` begins elsewhere. A program that shows a difference is
//! printed in its smallest form.

mod form;
mod generate;
mod oracle;
mod shrink;

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use form::{Form, source};
use generate::Generator;
use oracle::{Bug, Oracle};
use vigy_lisp::{Budget, CompileOptions, FaultKind, Machine, Step, Style, compile};

/// Programs that are compared when nobody asks for another number.
const PROGRAMS: usize = 100_000;
/// Native stack of the oracle, which recurses.
const STACK: usize = 1 << 30;

type Outcome = (Result<String, String>, String);

/// Calls and turns of loops at the start of a program at each of which the heap is collected.
const SQUEEZED: usize = 100;

/// What a machine makes of a text; `None` when a budget ran out.
fn machine(source: &str, memory: &mut Vec<u64>) -> Option<Outcome> {
    let options = CompileOptions { force: true, ..CompileOptions::default() };
    let image = match compile(source, &options) {
        Ok(image) => image,
        Err(e) => return Some((Err(e.tag().to_owned()), String::new())),
    };
    let budget = Budget { fuel: 3_000_000, heap_bytes: 32 << 20, output_bytes: 60_000, ..Budget::default() };
    let program = image.program();
    if memory.len() < program.words_needed(&budget) {
        memory.resize(program.words_needed(&budget), 0);
    }
    let mut machine = Machine::new(program, memory, &budget).expect("memory of the size asked for");
    let mut printed = String::new();
    for step in 0.. {
        machine.squeeze([0, 1, 2, 3, 5, 8, 13, 21][step % 8]);
        match machine.run(if step < SQUEEZED { 1 } else { 10_000 }) {
            Step::Done(v) => {
                let mut text = String::new();
                machine.display(v, Style::Readable, &mut text).expect("a string takes everything");
                return Some((Ok(text), printed));
            }
            Step::Output => printed.push_str(machine.output()),
            Step::Paused => {}
            Step::Call => machine.raise("no-host", "there is no host here"),
            Step::Failed => {
                let kind = &machine.fault().expect("a failed run has a fault").kind;
                return matches!(kind, FaultKind::Raised { .. }).then(|| (Err(kind.name().to_owned()), printed));
            }
        }
    }
    None
}

enum Verdict {
    Same,
    /// One of both had enough of it, or it shows a message.
    Unknown,
    Different(Outcome, Outcome),
}

fn compare(program: &[Form], bug: Option<Bug>, memory: &mut Vec<u64>) -> Verdict {
    match (machine(&source(program), memory), Oracle::new(bug).run(program)) {
        (Some(m), Some(o)) if m == o => Verdict::Same,
        // Messages are the machine's own business.
        (_, Some((Ok(text), printed))) if text.contains(oracle::MESSAGE) || printed.contains(oracle::MESSAGE) => Verdict::Unknown,
        (Some(m), Some(o)) => Verdict::Different(m, o),
        _ => Verdict::Unknown,
    }
}

/// Runs `work` on a stack that is deep enough.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        thread.expect("a thread").join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The smallest program with the difference that `program` shows, and what both make of it.
fn report(seed: u64, program: Vec<Form>) -> String {
    let ends = |verdict: Verdict| match verdict {
        Verdict::Different(machine, _) if format!("{machine:?}").contains("special-form") => None,
        Verdict::Different(machine, oracle) => Some((machine.0.err(), oracle.0.err())),
        _ => None,
    };
    // It stays a difference of the same kind: a cut may leave forms that are none, or show a message, about which the two need not agree.
    let ended = ends(compare(&program, None, &mut Vec::new()));
    let memory = RefCell::new(Vec::new());
    let differs = |p: &[Form]| ends(compare(p, None, &mut memory.borrow_mut())).is_some_and(|end| Some(end) == ended);
    let program = shrink::shrink(program, &differs);
    let Verdict::Different(machine, oracle) = compare(&program, None, &mut Vec::new()) else {
        return format!("seed {seed}: it shows no difference any more");
    };
    format!("seed {seed}:\n{}machine: {machine:?}\noracle:  {oracle:?}\n", source(&program))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn the_machine_agrees_with_a_naive_evaluator() {
    let count = number("VIGY_DIFFERENTIAL").map_or(PROGRAMS, |n| n as usize);
    let first = number("VIGY_SEED").unwrap_or(1);
    println!("{count} programs, seeds from {first} on");
    let (next, too_long, ran, mismatches) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let mut memory = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count || mismatches.load(Ordering::Relaxed) > 4 {
                return;
            }
            let seed = first + i as u64;
            let program = Generator::program(seed);
            match compare(&program, None, &mut memory) {
                Verdict::Same => {
                    ran.fetch_add(1, Ordering::Relaxed);
                }
                Verdict::Unknown => {
                    too_long.fetch_add(1, Ordering::Relaxed);
                }
                Verdict::Different(..) => {
                    mismatches.fetch_add(1, Ordering::Relaxed);
                    println!("{}", report(seed, program));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..threads {
            std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).expect("a thread");
        }
    });
    let (ran, too_long, mismatches) = (ran.into_inner(), too_long.into_inner(), mismatches.into_inner());
    println!("{ran} agree, {too_long} took too long, {mismatches} differ");
    assert_eq!(mismatches, 0);
    assert!(too_long * 100 <= count, "{too_long} of {count} programs took too long to compare");
}

#[test]
fn a_planted_bug_is_noticed() {
    /// Programs within which each must show.
    const WITHIN: u64 = 100_000;
    let found = deep(|| {
        let mut memory = Vec::new();
        let mut shows =
            |bug| (1..=WITHIN).find(|seed| matches!(compare(&Generator::program(*seed), Some(bug), &mut memory), Verdict::Different(..)));
        Bug::ALL.map(|bug| {
            let seed = shows(bug);
            println!("{bug:?}: seed {seed:?}");
            (bug, seed)
        })
    });
    for (bug, seed) in found {
        assert!(seed.is_some(), "{bug:?} does not show in {WITHIN} programs");
    }
}
