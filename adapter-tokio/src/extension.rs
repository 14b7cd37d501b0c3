//! What an application adds to a host: operations that programs may call, and executors of actions.

use std::sync::Arc;

use async_trait::async_trait;
use vigy_core::{Ask, AskError, Outcome, ReconcileAction, Vigy};
use vigy_lisp::HostFn;

use crate::HostEffects;

/// A pack of operations, with who answers them and who may ask them.
#[async_trait]
pub trait HostExtension: Send + Sync + 'static {
    /// The operations, as `queue/peek`. Their names MUST be of this pack alone; of two of one name, the one added first answers.
    fn operations(&self) -> &[HostFn];

    /// Whether a vigy may be registered whose program calls these of the operations. See [`HostEffects::check`].
    ///
    /// # Errors
    /// What is missing or wrong, and what to write instead, as a line for people.
    fn check(&self, vigy: &Vigy, operations: &[&str]) -> Result<(), String>;

    /// Answers a question with data bytes. See [`vigy_core::Effects::ask`] for what it MUST do.
    async fn ask(&self, vigy: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError>;
}

/// Carries out actions of vigies whose handler begins with its name: `queue` those of `queue`, `queue:orders`, and so on.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Whether the rest of a handler, behind the colon, makes sense; empty when there is none.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead, as a line for people.
    fn check(&self, rest: &str) -> Result<(), String>;

    /// Carries out an action. See [`vigy_core::Effects::act`] for what it MUST do.
    async fn act(&self, vigy: &Vigy, action: ReconcileAction<'_>) -> Outcome;
}

/// A host's own effects, and what was added to them.
pub(crate) struct Extended {
    own: Arc<dyn HostEffects>,
    extensions: Vec<Arc<dyn HostExtension>>,
    executors: Vec<(String, Arc<dyn Executor>)>,
    operations: Vec<HostFn>,
}

/// The effects of `own`, `extensions` and `executors` together.
pub(crate) fn extended(
    own: Arc<dyn HostEffects>,
    extensions: Vec<Arc<dyn HostExtension>>,
    executors: Vec<(String, Arc<dyn Executor>)>,
) -> Arc<dyn HostEffects> {
    if extensions.is_empty() && executors.is_empty() {
        return own;
    }
    let added = extensions.iter().flat_map(|extension| extension.operations());
    let operations = own.operations().iter().chain(added).copied().collect();
    Arc::new(Extended { own, extensions, executors, operations })
}

fn has(operations: &[HostFn], name: &str) -> bool {
    operations.iter().any(|operation| operation.name == name)
}

impl Extended {
    /// The extension that answers an operation; none when the host's own effects do.
    fn extension(&self, operation: &str) -> Option<&Arc<dyn HostExtension>> {
        let added = |extension: &&Arc<dyn HostExtension>| has(extension.operations(), operation);
        self.extensions.iter().find(added).filter(|_| !has(self.own.operations(), operation))
    }

    /// The executor of a handler, and the rest of it; none when the host's own effects carry it out.
    fn executor<'h>(&self, handler: &'h str) -> Option<(&Arc<dyn Executor>, &'h str)> {
        let (name, rest) = handler.split_once(':').unwrap_or((handler, ""));
        self.executors.iter().find(|(known, _)| known == name).map(|(_, executor)| (executor, rest))
    }
}

#[async_trait]
impl HostEffects for Extended {
    fn operations(&self) -> &[HostFn] {
        &self.operations
    }

    fn only_records(&self, vigy: &Vigy) -> bool {
        self.executor(&vigy.on_action).is_none() && self.own.only_records(vigy)
    }

    fn check(&self, vigy: &Vigy, operations: &[&str]) -> Result<(), String> {
        for extension in &self.extensions {
            let asked = |operation: &&&str| self.extension(operation).is_some_and(|answers| Arc::ptr_eq(answers, extension));
            extension.check(vigy, &operations.iter().filter(asked).copied().collect::<Vec<_>>())?;
        }
        let own: Vec<_> = operations.iter().filter(|operation| self.extension(operation).is_none()).copied().collect();
        match self.executor(&vigy.on_action) {
            None => self.own.check(vigy, &own),
            Some((executor, rest)) => {
                executor.check(rest)?;
                // Every host has `log`, and looks at the rest of the declaration.
                self.own.check(&Vigy { on_action: "log".to_owned(), ..vigy.clone() }, &own)
            }
        }
    }

    async fn ask(&self, vigy: &Vigy, ask: Ask<'_>) -> Result<Vec<u8>, AskError> {
        match self.extension(ask.operation) {
            Some(extension) => extension.ask(vigy, ask).await,
            None => self.own.ask(vigy, ask).await,
        }
    }

    async fn act(&self, vigy: &Vigy, action: ReconcileAction<'_>) -> Outcome {
        match self.executor(&vigy.on_action) {
            Some((executor, _)) => executor.act(vigy, action).await,
            None => self.own.act(vigy, action).await,
        }
    }
}
