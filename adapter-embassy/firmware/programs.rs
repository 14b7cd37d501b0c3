//! The programs of the firmware `scenarios`, for its build and for the test that runs them on every host.

use vigy_lisp::{Arity, HostFn};

/// A program, and the operations that its image declares.
pub(crate) struct Program {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its text.
    pub(crate) text: &'static str,
    /// What it may ask.
    pub(crate) operations: &'static [HostFn],
}

const fn operation(name: &'static str, arguments: u8, writes: bool) -> HostFn {
    HostFn { name, arity: Arity::exactly(arguments), writes, secret: false, doc: "" }
}

/// All of them: a scenario names one by its index.
pub(crate) const PROGRAMS: [Program; 3] = [
    Program { name: "hello-vigy", text: include_str!("../../programs/hello-vigy/main.tlisp"), operations: &[] },
    Program {
        name: "pvc-autoresizer",
        text: include_str!("../../programs/pvc-autoresizer/main.tlisp"),
        operations: &[
            operation("computeunit/config", 0, false),
            operation("k8s/list-pvcs", 1, false),
            operation("k8s/patch-pvc", 1, true),
            operation("prom/query", 2, false),
        ],
    },
    Program { name: "endless-loop", text: "(vigy-log :info \"round and round\") (loop [n 0] (recur (+ n 1)))", operations: &[] },
];
