//! Builds the guest from source, for its own target, into this crate's build directory.

use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

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

    // From nothing: what a build left that was killed half way, or that had other sources, never gets into this one.
    let built = out.join("guest");
    match fs::remove_dir_all(&built) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("cannot remove {}: {error}", built.display()),
        _ => {}
    }
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
    // Renamed when it is whole, so that the crate never sees a part of it.
    let part = out.join("guest.wasm.part");
    let done = fs::write(&part, &bytes).and_then(|()| fs::rename(&part, out.join("guest.wasm")));
    done.unwrap_or_else(|error| panic!("cannot write into {}: {error}", out.display()));
}

fn is_of_the_host_build(name: &str) -> bool {
    let prefixes =
        ["CARGO_ENCODED_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_", "RUSTC", "RUSTFLAGS"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) && name != "RUSTC_BOOTSTRAP"
        || ["TARGET", "PROFILE", "OPT_LEVEL"].contains(&name)
}
