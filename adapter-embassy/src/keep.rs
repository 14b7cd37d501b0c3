//! The task that keeps one vigy ticking.

use vigy_core::lisp::{self, Imports, Lisp, TooManyImports};
use vigy_core::{
    AsyncClock, AsyncEffects, AsyncStorage, Checkpoint, Host, HostError, Limits, MemoryTooSmall, Spec, TickInterval, TickMemory,
};
use vigy_lisp::Program;

/// A program on this device, with what a tick needs to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Installed<'p> {
    program: Program<'p>,
    imports: Imports,
    spec: Spec,
}

impl<'p> Installed<'p> {
    /// A program, the hash that its records name it by (BLAKE3 of the image, from whoever compiled it), and its schedule.
    ///
    /// # Errors
    /// [`TooManyImports`].
    pub fn new(program: Program<'p>, hash: [u8; 32], interval: TickInterval, limits: Limits) -> Result<Self, TooManyImports> {
        Ok(Self { program, imports: Imports::of(program)?, spec: Spec { program: hash, interval, limits } })
    }
}

/// The memory that a vigy ticks in, owned by the device.
#[derive(Debug)]
pub struct Memory<'m> {
    /// What a tick builds.
    pub tick: TickMemory<'m>,
    /// Where the program runs: [`lisp::words_needed`].
    pub words: &'m mut [u64],
}

/// Keeps a vigy ticking: sleeps until `checkpoint.due`, ticks, and again, `ticks` times ([`u64::MAX`] is for ever).
///
/// The device hands in the checkpoint that its store was opened with, or a new one. A program that fails is no error here: it ticks
/// again after a backoff. Dropping the future is like a power cut; the store must be opened again then.
///
/// # Errors
/// [`HostError`]: the store failed, or the memory is too small. What to do about it (open the store again, reset) is the device's.
pub async fn keep<C: AsyncClock, S: AsyncStorage, F: AsyncEffects>(
    host: &mut Host<C, S, F>,
    vigy: &Installed<'_>,
    checkpoint: &mut Checkpoint,
    memory: &mut Memory<'_>,
    ticks: u64,
) -> Result<(), HostError<S::Error>> {
    let Installed { program, imports, spec } = vigy;
    let given = memory.words.len();
    for _ in 0..ticks {
        while host.clock.now() < checkpoint.due {
            host.clock.sleep_until(checkpoint.due).await;
        }
        let mut evaluation = Lisp::new(*program, imports, &spec.limits, memory.words).map_err(|_| {
            let needed = lisp::words_needed(*program, &spec.limits);
            MemoryTooSmall { part: "words", needed, given }
        })?;
        host.tick_async(spec, checkpoint, memory.tick.reborrow(), &mut evaluation).await?;
    }
    Ok(())
}
