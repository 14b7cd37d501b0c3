//! What fuzzing found, and some of what it does, every time and without a nightly toolchain.

#[allow(unreachable_pub, dead_code, reason = "it is the library of the fuzz targets, too")]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::{forge, targets};
use vigy_lisp::Program;

/// Pseudo-random bytes (splitmix64).
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
}

/// Runs a target over what was found for it.
fn again(target: &str, run: fn(&[u8])) {
    let dir = format!("{}/fuzz/found/{target}", env!("CARGO_MANIFEST_DIR"));
    let Ok(files) = std::fs::read_dir(dir) else { return };
    for file in files {
        let path = file.expect("a file").path();
        println!("{}", path.display());
        run(&std::fs::read(path).expect("bytes"));
    }
}

#[test]
fn what_was_found_stays_mended() {
    again("reader", targets::reader);
    again("compiler", targets::compiler);
    again("image", targets::image);
    again("machine", targets::machine);
}

#[test]
fn generated_programs_do_the_same_in_slices_and_in_the_next_tick() {
    for seed in 0..400 {
        targets::machine(&noise(seed, 40 + seed as usize % 200));
    }
}

#[test]
fn forged_images_are_refused_or_run_within_their_budget() {
    let mut run = 0;
    for seed in 0..4_000 {
        // One change to a word, seldom more: what is changed a lot is refused for the first of the changes.
        let data = noise(seed, 1 + 8 * (1 + seed as usize % 3));
        run += u32::from(forge::image(&data).is_some_and(|words| Program::load(&words).is_ok()));
        targets::image(&data);
    }
    println!("{run} of 4000 forged images run");
    assert!(run > 400, "hardly any forged image runs: {run}");
}

#[test]
fn images_of_other_versions_are_told_apart() {
    let mut words = forge::image(&[0]).expect("an image");
    words[1] = words[1] & !0xffff_ffff | 999;
    let error = Program::load(&words).expect_err("another version");
    assert_eq!(error.to_string(), "a compiled program of format 999; this machine runs format 3");
}
