//! What is fuzzed. The tests of vigy-lisp run the same over what was found.

pub mod forge;
pub mod generate;
pub mod targets;
