//! Effects of a device that has none.

use vigy_core::{Ask, AskError, AsyncEffects, Outcome, ReconcileAction};

/// Refuses every question and skips every action.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Refuse;

impl AsyncEffects for Refuse {
    async fn ask(&mut self, ask: &Ask<'_>, _into: &mut [u8]) -> Result<usize, AskError> {
        Err(AskError::new("denied", format_args!("this device does not offer {}", ask.operation)))
    }

    async fn act(&mut self, _action: &ReconcileAction<'_>) -> Outcome {
        Outcome::skipped("this device carries out nothing")
    }
}
