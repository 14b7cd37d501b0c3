//! One run of a module, as the tick sees it.

use std::sync::Arc;

use vigy_core::record::Resource;
use vigy_core::relay::{Near, Said};
use vigy_core::{Door, Evaluator, Failure, Step};

use crate::{Bounds, EngineError, Entrance, Instance};

/// A run of a module: an [`Evaluator`] like any other. Made anew for every tick.
#[derive(Debug)]
pub struct Evaluation<I> {
    instance: I,
    operations: Arc<[String]>,
    bounds: Bounds,
    near: Near,
    begun: bool,
    message: Vec<u8>,
}

impl<I: Instance> Evaluation<I> {
    pub(crate) fn new(instance: I, operations: Arc<[String]>, bounds: Bounds) -> Self {
        Self { instance, operations, bounds, near: Near::default(), begun: false, message: Vec::new() }
    }

    /// Hands `self.message` to the module and puts there what it says.
    fn exchange(&mut self, entrance: Entrance) -> Result<(), Failure> {
        let Self { instance, message, .. } = self;
        let len = u32::try_from(message.len()).map_err(|_| Failure::Exhausted(Resource::Values))?;
        let address = instance.alloc(len).map_err(failed)?;
        instance.write(address, message).map_err(failed)?;
        let range = instance.enter(entrance).map_err(failed)?;
        let (address, len) = ((range >> 32) as u32, range as u32 as usize);
        if len > self.bounds.memory {
            return Err(bad("it says more than its memory holds"));
        }
        message.resize(len, 0);
        instance.read(address, message).map_err(failed)
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
        self.exchange(entrance)?;
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
        EngineError::OutOfFuel => Failure::Exhausted(Resource::Fuel),
        EngineError::Trap(message) => bad(&message),
    }
}
