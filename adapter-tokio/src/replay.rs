//! Runs evaluated again from what the store keeps of them.

use std::sync::Arc;

use tokio::runtime::Handle;
use vigy_core::record::Record;
use vigy_core::replay::{Divergence, Inputs, ReplayError, Replayed, WhatIf, replay, what_if};
use vigy_core::{Ask, Limits, RunKey, SecretKey, TickBuffers, Vigy, VigyId};

use crate::store::engine::Snapshot;
use crate::store::read;
use crate::tick::Guarded;
use crate::{HostEffects, Loaded, RegisterError, RuntimeHandle, StoreError, VigyError};

impl RuntimeHandle {
    /// Evaluates a run again, with the program that it ran, and compares everything that comes of it with its record. Nothing is written,
    /// and nothing is asked but the answers that no record has: the secret ones, which `secrets` gives, or else the runtime's own effects.
    ///
    /// # Errors
    /// [`VigyError`], when the run or its program is not there any more. That it went another way is no error, but a [`Divergence`].
    pub async fn replay(
        &self,
        id: VigyId,
        run: RunKey,
        secrets: Option<Arc<dyn HostEffects>>,
    ) -> Result<Result<Replayed, Box<Divergence>>, VigyError> {
        let (shared, application) = (self.shared.clone(), Handle::current());
        blocking(move || {
            let rows = shared.store.snapshot();
            let record = record(&*rows, id, run)?;
            let header = *Record::parse(&record).map_err(|error| VigyError::Host(error.to_string()))?.header();
            let mut found = None;
            for (_, revision) in read::revisions(&*rows, id)? {
                if revision.image.is_some_and(|image| image != header.program) {
                    continue;
                }
                let loaded = shared.program(&revision.vigy, revision.image.as_ref())?;
                if loaded.hash() == header.program {
                    found = Some((loaded, revision.vigy));
                    break;
                }
            }
            let not_kept = || VigyError::Host(format!("no declaration that is kept has the program of the run {run}"));
            let (loaded, vigy) = found.ok_or_else(not_kept)?;
            let effects = secrets.unwrap_or_else(|| shared.effects.clone());
            let mut inputs = Stored::new(rows, id, vigy, effects, application)?;
            evaluate(&*loaded, &header.limits, |memory, evaluation| match replay(&record, &mut inputs, memory, evaluation) {
                Ok(replayed) => Ok(Ok(replayed)),
                Err(ReplayError::Diverged(divergence)) => Ok(Err(divergence)),
                Err(ReplayError::Record(error)) => Err(VigyError::Host(error.to_string())),
            })
        })
        .await
    }

    /// What another program would have done in a run: see [`vigy_core::replay::what_if`]. Nothing is written, and nothing is asked but
    /// secret answers, as by [`RuntimeHandle::replay`].
    ///
    /// # Errors
    /// [`RegisterError`]: the program does not compile, or the run is not there any more.
    pub async fn what_if(
        &self,
        id: VigyId,
        run: RunKey,
        program: String,
        secrets: Option<Arc<dyn HostEffects>>,
    ) -> Result<WhatIf, RegisterError> {
        let (shared, application) = (self.shared.clone(), Handle::current());
        blocking(move || {
            let rows = shared.store.snapshot();
            let record = record(&*rows, id, run).map_err(refused)?;
            let limits = Record::parse(&record).map_err(refused)?.header().limits;
            let now = read::get(&*rows, id)?.ok_or_else(|| RegisterError::NotFound(id.to_string()))?.vigy;
            let vigy = Vigy { program, ..now };
            let loaded = shared.evaluators.load(&vigy, shared.effects.operations())?;
            let effects = secrets.unwrap_or_else(|| shared.effects.clone());
            let mut inputs = Stored::new(rows, id, vigy, effects, application).map_err(refused)?;
            evaluate(&*loaded, &limits, |memory, evaluation| {
                what_if(&record, loaded.hash(), &mut inputs, memory, evaluation).map_err(|error| VigyError::Host(error.to_string()))
            })
            .map_err(refused)
        })
        .await
    }
}

fn refused(error: impl ToString) -> RegisterError {
    RegisterError::Refused(error.to_string())
}

/// Does what computes or waits for a disk where nobody else waits. A panic of the host's code is an error.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StoreError(format!("its reader ended: {error}")).into()))
}

/// The record of a run, as it was written.
fn record(rows: &dyn Snapshot, id: VigyId, run: RunKey) -> Result<Vec<u8>, VigyError> {
    let found = read::run(rows, id, run)?;
    found.map(|run| run.record).ok_or_else(|| VigyError::NotFound(format!("{id}, run {run}")))
}

/// Evaluates in memory of its own: it is not every day that somebody replays.
fn evaluate<T>(
    loaded: &dyn Loaded,
    limits: &Limits,
    run: impl FnOnce(vigy_core::TickMemory<'_>, &mut Guarded<crate::Evaluation<'_>>) -> Result<T, VigyError>,
) -> Result<T, VigyError> {
    let mut buffers = TickBuffers::for_limits(limits);
    let mut words = vec![0; loaded.words(limits)];
    // Code of the host that panicked in the tick does so again, and the record has that.
    let mut evaluation = Guarded::new(loaded.evaluation(limits, &mut words).map_err(VigyError::Host)?);
    run(buffers.memory(), &mut evaluation)
}

/// What a record has only by its hash: from the store, or asked for again.
struct Stored {
    rows: Arc<dyn Snapshot>,
    id: VigyId,
    key: SecretKey,
    vigy: Arc<Vigy>,
    effects: Arc<dyn HostEffects>,
    application: Handle,
}

impl Stored {
    fn new(rows: Arc<dyn Snapshot>, id: VigyId, vigy: Vigy, effects: Arc<dyn HostEffects>, application: Handle) -> Result<Self, VigyError> {
        let key = SecretKey(read::secret(&*rows)?);
        Ok(Self { rows, id, key, vigy: Arc::new(vigy), effects, application })
    }
}

/// Copies an answer to the front of `into`; nothing when there is none, or no room for it.
fn give(answer: Option<Vec<u8>>, into: &mut [u8]) -> Option<usize> {
    let answer = answer?;
    into.get_mut(..answer.len())?.copy_from_slice(&answer);
    Some(answer.len())
}

impl Inputs for Stored {
    fn value(&mut self, hash: &[u8; 32], into: &mut [u8]) -> Option<usize> {
        let value = read::value(&*self.rows, self.id, hash).inspect_err(|error| tracing::error!(%error, "a value cannot be read"));
        give(value.ok()?, into)
    }

    fn secret_key(&self) -> Option<SecretKey> {
        Some(self.key)
    }

    fn secret(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Option<usize> {
        // A secret write went out once; that is enough.
        if ask.key.is_some() {
            return None;
        }
        let (effects, vigy) = (self.effects.clone(), self.vigy.clone());
        let Ask { run, sequence, key, secret, .. } = *ask;
        let (operation, arguments) = (ask.operation.to_owned(), ask.arguments.to_owned());
        let (done, answer) = tokio::sync::oneshot::channel();
        self.application.spawn(async move {
            let answer = effects.ask(&vigy, Ask { run, sequence, key, secret, operation: &operation, arguments: &arguments }).await;
            // Whoever asked may have gone.
            let _ = done.send(answer.ok());
        });
        give(answer.blocking_recv().ok()?, into)
    }
}
