#!/usr/bin/env bash
# The language under Miri: what is undefined in the crates below it, too. A part of the tests, so that it takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
nightly=$(cat .ci/nightly)
rustup toolchain install "$nightly" --profile minimal -c rust-src,miri --no-self-update
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/miri
# Isolation: no test reads a file or the clock.
export MIRIFLAGS=${MIRIFLAGS:--Zmiri-strict-provenance -Zmiri-symbolic-alignment-check}
cargo "+$nightly" miri test --locked -p vigy-lisp --lib --test door
cargo "+$nightly" miri test --locked -p vigy-lisp --test registers closures_see_what_they_share
