//! An application evaluates its vigies in a way of its own.
#![allow(clippy::result_large_err, reason = "failures carry their message without an allocation, as in vigy-core")]

mod common;

use std::sync::Arc;

use adapter_tokio::{Evaluation, Evaluators, Loaded, RegisterError, RuntimeHandle};
use common::Replayed as _;
use vigy_core::record::Level;
use vigy_core::{ActionKind, Door, Failure, Limits, ResultStatus, TickInterval, Vigy};
use vigy_lisp::HostFn;

/// Says what its program says, word for word, and pushes; `broken` cannot be loaded.
struct Parrots;

struct Parrot(String);

impl Evaluators for Parrots {
    fn load(&self, vigy: &Vigy, _: &[HostFn]) -> Result<Arc<dyn Loaded>, RegisterError> {
        match vigy.program.as_str() {
            "broken" => Err(RegisterError::Refused("parrots do not say `broken`".to_owned())),
            program => Ok(Arc::new(Parrot(program.to_owned()))),
        }
    }
}

impl Loaded for Parrot {
    fn hash(&self) -> [u8; 32] {
        *blake3::hash(self.0.as_bytes()).as_bytes()
    }

    fn operations(&self) -> Vec<&str> {
        Vec::new()
    }

    fn words(&self, _: &Limits) -> usize {
        0
    }

    fn evaluation<'m>(&'m self, _: &Limits, _: &'m mut [u64]) -> Result<Evaluation<'m>, String> {
        let say = |door: &mut Door<'_>| {
            door.log(Level::Info, &self.0)?;
            door.act(ActionKind::Push, None::<&[u8]>, Some("fly"))
        };
        Ok(Evaluation::Other(Box::new(move |door: &mut Door<'_>| say(door).map_err(Failure::from))))
    }
}

#[tokio::test]
async fn a_closure_ticks_like_a_program() {
    let runtime = RuntimeHandle::builder().evaluators(Arc::new(Parrots)).scheduling(false).in_memory().await.unwrap().replaying();
    let vigy = |program: &str| Vigy::new("parrot", program, TickInterval::MIN).unwrap();
    let parrot = runtime.register_or_update(vigy("hello, (((")).await.unwrap();
    for program in ["hello, (((", "good night"] {
        runtime.register_or_update(vigy(program)).await.unwrap();
        let run = runtime.tick_now(parrot.id).await.unwrap();
        assert_eq!((run.logs[0].message.as_str(), run.actions[0].result), (program, Some(ResultStatus::Ok)));
    }
    let refused = runtime.register_or_update(vigy("broken")).await.unwrap_err();
    assert_eq!(refused.to_string(), "parrots do not say `broken`");
}
