//! The benches are in `benches/`: `cargo bench -p vigy-benches`.
