//! What a host lets programs ask, and who carries out their actions.

use async_trait::async_trait;
use vigy_core::{Ask, AskError, Outcome, ReconcileAction, Vigy};
use vigy_lisp::HostFn;

/// The outside world, as one host offers it to its vigies. One value serves all of them, concurrently.
#[async_trait]
pub trait HostEffects: Send + Sync + 'static {
    /// The operations that programs may call, as `fs/list`, beside the verbs of a vigy. Always the same.
    fn operations(&self) -> &[HostFn];

    /// Whether an effect is never more than a moment's work, without a wait: then it is done at once where the tick is, and not handed to
    /// the threads of the application, which costs more than such an effect. Default: no.
    fn is_immediate(&self) -> bool {
        false
    }

    /// Whether the actions of this vigy have no handler: that they stand in the run's record is all there is to do. See
    /// [`vigy_core::Effects::only_records`]. They are ok as of the tick's batch; the log tells of them once that is durable, under the
    /// target `vigy::action`, and not again after a crash. Default: no.
    fn only_records(&self, _vigy: &Vigy) -> bool {
        false
    }

    /// Whether a vigy may be registered whose program calls `operations`: its handler is understood, its capabilities are well formed, and
    /// they cover what it calls.
    ///
    /// # Errors
    /// What is missing or wrong, and what to write instead, as a line for people.
    fn check(&self, vigy: &Vigy, operations: &[&str]) -> Result<(), String>;

    /// Answers a question with data bytes. See [`vigy_core::Effects::ask`] for what it MUST do.
    async fn ask(&self, vigy: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError>;

    /// Carries out an action. See [`vigy_core::Effects::act`] for what it MUST do.
    async fn act(&self, vigy: &Vigy, action: ReconcileAction<'_>) -> Outcome;
}

/// A host without operations, whose only handler records actions and logs them.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogEffects;

#[async_trait]
impl HostEffects for LogEffects {
    fn operations(&self) -> &'static [HostFn] {
        &[]
    }

    fn is_immediate(&self) -> bool {
        true
    }

    fn only_records(&self, _: &Vigy) -> bool {
        true
    }

    fn check(&self, vigy: &Vigy, _: &[&str]) -> Result<(), String> {
        match vigy.on_action.as_str() {
            "log" => Ok(()),
            other => Err(format!("this host only has the handler `log`, not `{other}`")),
        }
    }

    async fn ask(&self, _: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError> {
        Err(AskError::new("denied", format_args!("this host does not offer {}", ask.operation)))
    }

    async fn act(&self, _: &Vigy, _: ReconcileAction<'_>) -> Outcome {
        Outcome::ok()
    }
}
