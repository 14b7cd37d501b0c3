//! The platform that vigies run on: what their programs may ask ([`Capability`], [`needs`]), who carries out their actions ([`Handler`]),
//! what a program comes with ([`ComputeUnit`]), and how the language's data and JSON become each other ([`json`]). [`Recorded`] stands in
//! for the outside world.
//!
//! Beside this crate lie programs to start from, each with its README: `hello-vigy`, the smallest; `mirror-dir`, the worked example of a
//! reconciler; and `pvc-autoresizer`, a job for a Kubernetes cluster.
#![forbid(unsafe_code)]
#![allow(clippy::result_large_err, reason = "refusals carry their message in place, as devices need them to")]

mod capability;
mod computeunit;
mod fs;
mod handler;
pub mod json;
mod k8s;
mod operation;
mod platform;
mod prom;
mod recorded;

pub use capability::{Capability, InvalidCapability};
pub use computeunit::{API_VERSION, ComputeUnit, InvalidUnit, Trigger, UnitLimits};
pub use fs::{ASK_TIMEOUT, MAX_ENTRIES, MAX_READ_BYTES};
pub use handler::{Handler, InvalidHandler, MAX_OUTPUT_BYTES, TIMEOUT};
pub use k8s::{KUBE_TIMEOUT, LAST_WRITE, MAX_CLAIMS};
pub use operation::needs;
pub use platform::Platform;
pub use prom::{MAX_QUERY_BYTES, QUERY_TIMEOUT};
pub use recorded::{InvalidAnswers, Recorded};
