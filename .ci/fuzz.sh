#!/usr/bin/env bash
# Fuzzes the language, $VIGY_FUZZ_SECONDS (60) per target. What it finds it keeps, and says how to see it again.
#
#   .ci/fuzz.sh [TARGET…]     of: reader compiler image machine
#
# The seeds are the conformance corpus and what was found before. What was found belongs into vigy-lisp/fuzz/found/TARGET/ when it is
# mended: the tests of vigy-lisp run all of that.
set -euo pipefail
cd "$(dirname "$0")/.."
nightly=$(cat .ci/nightly)
seconds=${VIGY_FUZZ_SECONDS:-60}
targets=("$@")
((${#targets[@]})) || targets=(reader compiler image machine)
fuzz=vigy-lisp/fuzz
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/fuzz

rustup toolchain install "$nightly" --profile minimal -c rust-src,miri --no-self-update
cargo fuzz --version 2>/dev/null | grep -qx 'cargo-fuzz 0.13.2' || cargo install cargo-fuzz --version 0.13.2 --locked --force --target-dir "$CARGO_TARGET_DIR/tool"

cargo run --locked --quiet --manifest-path $fuzz/Cargo.toml --example seeds -- tests/conformance/open.json $fuzz/corpus/reader $fuzz/corpus/compiler
# Without a sanitizer: there is no unsafe code to watch, and overflow checks are on.
cargo "+$nightly" fuzz build -s none --fuzz-dir $fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# One target for as long as it may take.
fuzz_one() {
    local target=$1 found=$fuzz/artifacts/$1
    mkdir -p $fuzz/{corpus,artifacts,found}/"$target"
    # The binary itself: cargo-fuzz would build again. A run that takes more than 10 seconds hangs.
    if ! "$CARGO_TARGET_DIR/$host/release/$target" $fuzz/corpus/"$target" $fuzz/found/"$target" \
        -artifact_prefix="$found/" -max_total_time="$seconds" -timeout=10 -max_len=2048 -rss_limit_mb=2048 -print_final_stats=1 >"$found.log" 2>&1; then
        tail -n 40 "$found.log" >&2
        echo "fuzz.sh: $target found something; it is in $found, and again in base64 above. See it again with" >&2
        echo "    cargo +$nightly fuzz run -s none --fuzz-dir $fuzz $target FILE" >&2
        return 1
    fi
    echo "fuzz: $target, $seconds s, $(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log") runs, 0 crashes"
}
export -f fuzz_one
export fuzz seconds nightly host

# Each is one thread: as many at a time as there are cores.
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I '{}' bash -euo pipefail -c 'fuzz_one {}'
