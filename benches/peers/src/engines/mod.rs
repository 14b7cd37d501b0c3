//! One file per engine. Each is used as its own documentation says that hosts use it.

mod lua;
mod ours;
#[cfg(feature = "rhai")]
mod rhai;
#[cfg(feature = "starlark")]
mod starlark;
#[cfg(feature = "steel")]
mod steel;
#[cfg(feature = "tatara")]
mod tatara;

use crate::workload::Workload;

/// A workload, ready to be run again and again: each call is one operation, and answers with its result.
pub type Operation = Box<dyn FnMut() -> i64>;

/// An engine.
pub struct Engine {
    /// What it is called in tables and on the command line.
    pub name: &'static str,
    /// Loads a workload.
    pub prepare: fn(Workload) -> Operation,
}

/// All engines; ours and Lua first, since the others are measured against them.
pub const ALL: &[Engine] = &[
    Engine { name: "vigy", prepare: ours::prepare },
    Engine { name: "lua-5.4", prepare: lua::prepare },
    #[cfg(feature = "starlark")]
    Engine { name: "starlark", prepare: starlark::prepare },
    #[cfg(feature = "rhai")]
    Engine { name: "rhai", prepare: rhai::prepare },
    #[cfg(feature = "steel")]
    Engine { name: "steel", prepare: steel::prepare },
    #[cfg(feature = "tatara")]
    Engine { name: "tatara", prepare: tatara::prepare },
];
