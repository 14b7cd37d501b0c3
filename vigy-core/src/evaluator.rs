//! What can tick: one trait, which the lisp machine implements, and a closure, and later a wasm module.

use crate::record::{Place, Resource, Verdict};
use crate::{Door, Message, VerbError};

/// One evaluation of one program. Deterministic: the same door answers give the same calls, whatever the slices.
pub trait Evaluator {
    /// Goes on for at most about `slice` units of fuel, talking through the door.
    fn step(&mut self, door: &mut Door<'_>, slice: u64) -> Step;

    /// Fuel used so far, by this evaluation alone.
    fn fuel_used(&self) -> u64;

    /// Where in the program's text it waits; nothing when it does not wait, or does not know.
    fn place(&self) -> Option<Place> {
        None
    }
}

/// Where an evaluation stands.
#[must_use]
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// It reached its end.
    Done,
    /// It asked the door for something that is not there yet; it will make the same call again.
    Waiting,
    /// The slice is used up, and there is more to do.
    Paused,
    /// It failed.
    Failed(Failure),
}

/// Why an evaluation failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// An error that the program did not catch.
    Raised {
        /// The error's tag.
        tag: heapless::String<128>,
        /// Its message.
        message: Message,
        /// Where in the program.
        place: Option<Place>,
    },
    /// A limit is used up.
    Exhausted(Resource),
    /// Something that may pass: the next tick is to come soon.
    Retry {
        /// In how many milliseconds.
        after_ms: u64,
        /// Why; possibly empty.
        message: Message,
        /// Where in the program.
        place: Option<Place>,
    },
    /// Something that will not pass: the vigy is parked.
    Permanent {
        /// Why.
        message: Message,
        /// Where in the program.
        place: Option<Place>,
    },
}

impl Failure {
    /// The failure as the record keeps it.
    #[must_use]
    pub fn verdict(&self) -> Verdict<'_> {
        match self {
            Self::Raised { tag, message, place } => Verdict::Raised { tag, message, place: *place },
            Self::Exhausted(resource) => Verdict::Exhausted(*resource),
            Self::Retry { after_ms, message, place } => Verdict::Retry { after_ms: *after_ms, message, place: *place },
            Self::Permanent { message, place } => Verdict::Permanent { message, place: *place },
        }
    }
}

impl From<VerbError> for Failure {
    fn from(error: VerbError) -> Self {
        match error {
            VerbError::Raise { tag, message } => Self::raised(tag, message, None),
            VerbError::Exhausted(resource) => Self::Exhausted(resource),
            VerbError::Retry(after_ms) => Self::Retry { after_ms, message: Message::new(), place: None },
            VerbError::Permanent => Self::Permanent { message: Message::new(), place: None },
        }
    }
}

/// A closure ticks: one call, without waiting for anything. It uses no fuel.
impl<F: FnMut(&mut Door<'_>) -> Result<(), Failure>> Evaluator for F {
    fn step(&mut self, door: &mut Door<'_>, _slice: u64) -> Step {
        match self(door) {
            Ok(()) => Step::Done,
            Err(failure) => Step::Failed(failure),
        }
    }

    fn fuel_used(&self) -> u64 {
        0
    }
}
