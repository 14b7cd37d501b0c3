//! One run of a module, as the tick sees it.

use std::sync::Arc;

use vigy_core::record::Resource;
use vigy_core::relay::{Near, Said};
use vigy_core::{Door, Evaluator, Failure, Step};

use crate::{EngineError, Entrance, Instance};

/// A run of a module: an [`Evaluator`] like any other. Made anew for every tick.
#[derive(Debug)]
pub struct Evaluation<I> {
    instance: I,
    operations: Arc<[String]>,
    near: Near,
    begun: bool,
    message: Vec<u8>,
}

impl<I: Instance> Evaluation<I> {
    pub(crate) fn new(instance: I, operations: Arc<[String]>) -> Self {
        Self { instance, operations, near: Near::default(), begun: false, message: Vec::new() }
    }

    fn try_step(&mut self, door: &mut Door<'_>, slice: u64) -> Result<Step, Failure> {
        let entrance = if self.begun { Entrance::Resume } else { Entrance::Start };
        self.message.clear();
        let mut message = core::mem::take(&mut self.message);
        if !self.begun {
            message = encoded(door.header(), message)?;
            self.begun = true;
        }
        let Some(told) = self.near.tell(door, slice) else {
            self.message = message;
            return Ok(Step::Waiting);
        };
        self.message = encoded(&told, message)?;
        self.instance.exchange(entrance, &mut self.message).map_err(failed)?;
        let said: Said<'_> = postcard::from_bytes(&self.message).map_err(|_| bad("what it says does not decode"))?;
        let declared = |operation: &str| self.operations.iter().any(|declared| declared == operation);
        self.near.hear(door, &said, slice, declared).map_err(|nonsense| bad(&nonsense.to_string()))
    }
}

impl<I: Instance> Evaluator for Evaluation<I> {
    fn step(&mut self, door: &mut Door<'_>, slice: u64) -> Step {
        self.try_step(door, slice).unwrap_or_else(Step::Failed)
    }

    fn fuel_used(&self) -> u64 {
        self.near.fuel_used()
    }
}

fn encoded<T: serde::Serialize>(value: &T, after: Vec<u8>) -> Result<Vec<u8>, Failure> {
    postcard::to_extend(value, after).map_err(|_| bad("its message does not encode"))
}

fn bad(message: &str) -> Failure {
    Failure::raised("bad-module", message, None)
}

fn failed(error: EngineError) -> Failure {
    match error {
        EngineError::OutOfRounds => Failure::Exhausted(Resource::Fuel),
        error => bad(&error.to_string()),
    }
}
