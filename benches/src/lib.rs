//! The benches are in `benches/`: `cargo bench -p vigy-benches`.
//!
//! | bench | measures |
//! |---|---|
//! | `lisp` | the language alone: runs, loads, and values on their way in and out |
//! | `tick` | the tick path inside the core |
//! | `wasm` | from bytes to the first action, natively and as a module; `--features wasm3` adds that engine |
//!
//! The same programs side by side with Lua 5.4, starlark, rhai, steel and upstream's evaluator, in a workspace of their own:
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --all-features`.
//!
//! What the programs take as modules, and how long building them takes: `cargo run --release --example module-sizes`.
