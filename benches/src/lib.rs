//! The benches are in `benches/`: `cargo bench -p vigy-benches`.
//!
//! | bench | measures |
//! |---|---|
//! | `tick` | the tick path inside the core |
//! | `wasm` | from bytes to the first action, natively and as a module; `--features wasm3` adds that engine |
//!
//! What the programs take as modules, and how long building them takes: `cargo run --release --example module-sizes`.
