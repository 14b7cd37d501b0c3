//! What the generated tests have in common: where they begin, how much they do, and the line in which they say what came of it.
//!
//! `VIGY_SEED=N` begins with that seed instead of 1, `VIGY_RUNS=N` does N runs instead of as many as fit among other tests.
#![allow(dead_code, reason = "every test that has it uses a part")]

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The seed to begin with.
pub(crate) fn first_seed() -> u64 {
    number("VIGY_SEED").unwrap_or(1)
}

/// How many runs to do.
pub(crate) fn runs(usual: u64) -> u64 {
    number("VIGY_RUNS").unwrap_or(usual)
}

/// Prints one line of JSON. Nothing may have failed, and every bug that was planted must have been caught.
#[track_caller]
pub(crate) fn report(name: &str, runs: u64, failures: &[String], planted: usize, caught: usize) {
    let (seed, failed) = (first_seed(), failures.len());
    println!(r#"{{"name":"{name}","seed":{seed},"runs":{runs},"failures":{failed},"planted":{planted},"caught":{caught}}}"#);
    assert!(failures.is_empty(), "{}", failures.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n"));
    assert_eq!(caught, planted, "a planted bug was not caught");
}
