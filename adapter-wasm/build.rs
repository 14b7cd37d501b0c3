//! Builds the guest from source, for its own target, into this crate's build directory.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-wasip1";

/// Bytes of the module's native stack: nothing in the guest recurses deeper than data nests.
const STACK: usize = 128 << 10;

fn main() {
    let variable = |name| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let (here, out) = (variable("CARGO_MANIFEST_DIR"), variable("OUT_DIR"));
    let (guest, out) = (Path::new(&here).join("guest"), Path::new(&out));
    for input in
        ["guest/src", "guest/Cargo.toml", "guest/Cargo.lock", "../vigy-core", "../vigy-lisp", "../Cargo.toml", "../rust-toolchain.toml"]
    {
        println!("cargo::rerun-if-changed={input}");
    }
    let built = out.join("guest");
    let mut cargo = Command::new(variable("CARGO"));
    cargo.args(["build", "--release", "--locked", "--quiet", "--target", TARGET, "--manifest-path"]);
    cargo.arg(guest.join("Cargo.toml")).arg("--target-dir").arg(&built);
    // What the host's build says about itself is not meant for the guest: flags, wrappers as clippy's, targets.
    for (name, _) in env::vars().filter(|(name, _)| is_of_the_host_build(name)) {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", format!("-Clink-arg=-zstack-size={STACK}"));
    let done = cargo.status().unwrap_or_else(|error| panic!("cannot start cargo for the guest: {error}"));
    assert!(done.success(), "the guest does not build; if its target is missing: rustup target add {TARGET}");
    let module = built.join(TARGET).join("release/vigy_guest.wasm");
    fs::copy(&module, out.join("guest.wasm")).unwrap_or_else(|error| panic!("cannot copy {}: {error}", module.display()));
}

fn is_of_the_host_build(name: &str) -> bool {
    let prefixes =
        ["CARGO_ENCODED_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_", "RUSTC", "RUSTFLAGS"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) && name != "RUSTC_BOOTSTRAP"
        || ["TARGET", "PROFILE", "OPT_LEVEL"].contains(&name)
}
