//! Runs on their way off the device.

use vigy_core::{AsyncStorage, Batch, Checkpoint, Draft, Piece, RunKey, Settlement};

/// A store that hands every run to a sink once it is durable: its record, then the values it refers to.
///
/// The sink sees every run **at least once** when the device calls [`Streamed::catch_up`] at every start: the last run before a
/// restart may have been committed and not handed on.
#[derive(Clone, Copy, Debug)]
pub struct Streamed<S, K> {
    /// The store.
    pub storage: S,
    /// MUST NOT wait: a sink that is slow buffers.
    pub sink: K,
}

impl<S: AsyncStorage, K: FnMut(RunKey, Piece<'_>)> Streamed<S, K> {
    /// Hands the last run before a restart to the sink, if there was one.
    ///
    /// # Errors
    /// The store's own.
    pub async fn catch_up(&mut self, checkpoint: &Checkpoint) -> Result<(), S::Error> {
        if checkpoint.ticks == 0 {
            return Ok(());
        }
        let run = RunKey { incarnation: checkpoint.incarnation, tick: checkpoint.ticks };
        let Self { storage, sink } = self;
        storage.unfinished(run, |piece| sink(run, piece)).await
    }
}

impl<S: AsyncStorage, K: FnMut(RunKey, Piece<'_>)> AsyncStorage for Streamed<S, K> {
    type Error = S::Error;

    async fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, S::Error> {
        self.storage.get(key, into).await
    }

    async fn save(&mut self, draft: &Draft<'_>) -> Result<(), S::Error> {
        self.storage.save(draft).await
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), S::Error> {
        self.storage.commit(batch).await?;
        (self.sink)(batch.run(), Piece::Record(batch.record()));
        batch.values().for_each(|(_, value)| (self.sink)(batch.run(), Piece::Value(value)));
        Ok(())
    }

    async fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), S::Error> {
        self.storage.settle(settlement).await
    }

    async fn unfinished(&mut self, run: RunKey, visit: impl FnMut(Piece<'_>)) -> Result<(), S::Error> {
        self.storage.unfinished(run, visit).await
    }
}
