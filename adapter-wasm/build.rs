//! Builds the guest from source, for its own target, into this crate's build directory.

use std::path::Path;
use std::process::{self, Command};
use std::{env, fs};

#[path = "src/guest.rs"]
#[allow(dead_code, reason = "the build asks only whether the guest can be read")]
mod guest;

const TARGET: &str = "wasm32-wasip1";

/// Bytes of the module's native stack: nothing in the guest recurses deeper than data nests.
const STACK: usize = 128 << 10;

/// What the guest is made of. Tests of these crates are not.
const INPUTS: [&str; 11] = [
    "build.rs",
    "src/guest.rs",
    "guest/src",
    "guest/Cargo.toml",
    "guest/Cargo.lock",
    "../vigy-core/src",
    "../vigy-core/Cargo.toml",
    "../vigy-lisp/src",
    "../vigy-lisp/Cargo.toml",
    "../Cargo.toml",
    "../rust-toolchain.toml",
];

fn main() {
    let variable = |name| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let (here, out) = (variable("CARGO_MANIFEST_DIR"), variable("OUT_DIR"));
    let (manifest, out) = (Path::new(&here).join("guest/Cargo.toml"), Path::new(&out));
    INPUTS.iter().for_each(|input| println!("cargo::rerun-if-changed={input}"));

    // From nothing, in a directory of its own: what another build left that was killed half way, or still writes, never gets into this
    // one. It costs little: the guest is small, and so is what it depends on.
    remove_others(out);
    let built = out.join(format!("guest-{}", process::id()));
    assert!(!built.exists(), "{} is in the way: remove it", built.display());
    let mut cargo = Command::new(variable("CARGO"));
    cargo.args(["build", "--release", "--locked", "--quiet", "--target", TARGET, "--manifest-path"]);
    cargo.arg(manifest).arg("--target-dir").arg(&built);
    // What the host's build says about itself is not meant for the guest: flags, wrappers as clippy's, targets.
    for (name, _) in env::vars().filter(|(name, _)| is_of_the_host_build(name)) {
        cargo.env_remove(name);
    }
    // With relocations, the bundler knows what refers to what.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", format!("-Clink-arg=-zstack-size={STACK}\x1f-Clink-arg=--emit-relocs"));
    let done = cargo.status().unwrap_or_else(|error| panic!("cannot start cargo for the guest: {error}"));
    assert!(done.success(), "the guest does not build; if its target is missing: rustup target add {TARGET}");

    let module = built.join(TARGET).join("release/vigy_guest.wasm");
    let bytes = fs::read(&module).unwrap_or_else(|error| panic!("cannot read {}: {error}", module.display()));
    if let Err(guest::Unexpected(what)) = guest::Guest::of(&bytes) {
        panic!("{} is not what the bundler expects: {what}", module.display());
    }
    // Renamed, so that the crate never sees a part of it.
    let done = fs::rename(&module, out.join("guest.wasm")).and_then(|()| fs::remove_dir_all(&built));
    done.unwrap_or_else(|error| panic!("cannot put the guest into {}: {error}", out.display()));
}

/// Removes what killed builds left, as far as that goes: the space is all that is at stake.
fn remove_others(out: &Path) {
    for entry in fs::read_dir(out).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("guest") && entry.path().is_dir() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_of_the_host_build(name: &str) -> bool {
    let prefixes =
        ["CARGO_ENCODED_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_", "RUSTC", "RUSTFLAGS"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) && name != "RUSTC_BOOTSTRAP"
        || ["TARGET", "PROFILE", "OPT_LEVEL"].contains(&name)
}
