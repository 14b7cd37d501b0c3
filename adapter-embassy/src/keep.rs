//! The task that keeps one vigy ticking.

use core::fmt;

use vigy_core::lisp::{self, Imports, Lisp, TooManyImports};
use vigy_core::{
    AsyncClock, AsyncEffects, AsyncStorage, Checkpoint, Host, HostError, Limits, MemoryTooSmall, Plan, Policy, Spec, TickMemory,
};
use vigy_lisp::{Builtins, Program};

/// A program on this device, with what a tick needs to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Installed<'p> {
    program: Program<'p>,
    builtins: &'p Builtins,
    imports: Imports,
    spec: Spec,
}

/// A program that this device cannot run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotInstalled {
    /// It uses too many functions of the host.
    Imports(TooManyImports),
    /// It may call a builtin that this firmware was linked without.
    Builtin(&'static str),
}

impl fmt::Display for NotInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Imports(error) => error.fmt(f),
            Self::Builtin(name) => write!(f, "the program may call `{name}`, which this firmware was linked without"),
        }
    }
}

impl core::error::Error for NotInstalled {}

impl<'p> Installed<'p> {
    /// A program, the builtins that this firmware has ([`Builtins::ALL`], or [`Builtins::only`] those of its program), and its schedule:
    /// an interval, or a [`vigy_core::Cadence`].
    ///
    /// # Errors
    /// [`NotInstalled`].
    pub fn new(program: Program<'p>, builtins: &'p Builtins, schedule: impl Into<Plan>, limits: Limits) -> Result<Self, NotInstalled> {
        if let Some(name) = builtins.missing(&program) {
            return Err(NotInstalled::Builtin(name));
        }
        let imports = Imports::of(program).map_err(NotInstalled::Imports)?;
        let spec = Spec { program: program.hash(), schedule: schedule.into(), policy: Policy::DEFAULT, limits };
        Ok(Self { program, builtins, imports, spec })
    }

    /// The same with another policy.
    #[must_use]
    pub const fn with_policy(mut self, policy: Policy) -> Self {
        self.spec.policy = policy;
        self
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

/// Keeps a vigy ticking: sleeps until `checkpoint.due`, ticks, and again, `ticks` times ([`u64::MAX`] is for ever), or until the vigy is
/// parked. What to do then, as resuming it after a while, is the device's.
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
    let plan = vigy.spec.schedule;
    checkpoint.start(&plan, host.clock.now());
    for _ in 0..ticks {
        if checkpoint.parked {
            break;
        }
        while host.clock.now() < checkpoint.due {
            host.clock.sleep_until(checkpoint.due).await;
            checkpoint.rebase(&plan, host.clock.now());
        }
        tick(host, vigy, checkpoint, memory).await?;
    }
    Ok(())
}

/// Ticks a vigy once, now, whatever its schedule says: [`Host::tick_async`]. Says whether the program ended well.
///
/// # Errors
/// As [`keep`].
pub async fn tick<C: AsyncClock, S: AsyncStorage, F: AsyncEffects>(
    host: &mut Host<C, S, F>,
    vigy: &Installed<'_>,
    checkpoint: &mut Checkpoint,
    memory: &mut Memory<'_>,
) -> Result<bool, HostError<S::Error>> {
    let Installed { program, builtins, imports, spec } = vigy;
    let given = memory.words.len();
    let mut evaluation = Lisp::with_builtins(*program, builtins, imports, &spec.limits, memory.words).map_err(|_| {
        let needed = lisp::words_needed(*program, &spec.limits);
        MemoryTooSmall { part: "words", needed, given }
    })?;
    host.tick_async(spec, checkpoint, memory.tick.reborrow(), &mut evaluation).await
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::vec::Vec;

    use embassy_futures::block_on;
    use vigy_core::sim::MemoryStorage;
    use vigy_core::{Batch, Draft, Incarnation, Piece, RunKey, Settlement, Storage as _, TickBuffers, TickInterval, Timestamp};

    use vigy_lisp::Builtin;

    use super::*;
    use crate::Refuse;

    /// Time that goes on when somebody sleeps, and stands still otherwise.
    struct Sleeper(Timestamp);

    impl AsyncClock for Sleeper {
        fn now(&mut self) -> Timestamp {
            self.0
        }
        async fn sleep_until(&mut self, until: Timestamp) {
            self.0 = self.0.max(until);
        }
        async fn yield_now(&mut self) {}
    }

    /// A store in memory.
    #[derive(Default)]
    struct Kept(MemoryStorage);

    impl AsyncStorage for Kept {
        type Error = <MemoryStorage as vigy_core::Storage>::Error;

        async fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, Self::Error> {
            self.0.get(key, into)
        }
        async fn save(&mut self, draft: &Draft<'_>) -> Result<(), Self::Error> {
            self.0.save(draft)
        }
        async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Self::Error> {
            self.0.commit(batch)
        }
        async fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), Self::Error> {
            self.0.settle(settlement)
        }
        async fn unfinished(&mut self, run: RunKey, mut visit: impl FnMut(Piece<'_>)) -> Result<(), Self::Error> {
            self.0.unfinished(run, &mut visit)
        }
    }

    #[test]
    fn a_parked_vigy_is_left_alone_until_it_is_resumed() {
        let image = lisp::compile("(if (< (vigy-tick-count) 6) (car 1))", &[]).expect("it compiles");
        let (interval, limits) = (TickInterval::default(), Limits { heap_bytes: 4096, ..Limits::default() });
        let installed = Installed::new(image.program(), Builtins::ALL, interval, limits).expect("it is whole");
        let vigy = installed.with_policy(Policy { park_after: 3, ..Policy::DEFAULT });
        let mut buffers = TickBuffers::for_limits(&limits);
        let mut words = std::vec![0; lisp::words_needed(image.program(), &limits)];
        let mut host = Host { clock: Sleeper(Timestamp(1000)), storage: Kept::default(), effects: Refuse };
        let mut checkpoint = Checkpoint::new(Incarnation(1), Timestamp(1000));
        let mut keeps = |host: &mut Host<Sleeper, Kept, Refuse>, checkpoint: &mut Checkpoint, ticks| {
            let mut memory = Memory { tick: buffers.memory(), words: &mut words };
            block_on(keep(host, &vigy, checkpoint, &mut memory, ticks)).expect("the store is well");
            (checkpoint.ticks, checkpoint.parked, host.clock.0)
        };
        let (ticks, parked, at) = keeps(&mut host, &mut checkpoint, u64::MAX);
        assert_eq!((ticks, parked), (3, true), "for ever ends where it is parked");
        assert_eq!(keeps(&mut host, &mut checkpoint, u64::MAX), (3, true, at), "nobody sleeps, and nothing ticks");
        checkpoint.resume(&vigy.spec.schedule, at);
        let (ticks, parked, _) = keeps(&mut host, &mut checkpoint, 4);
        assert_eq!((ticks, parked, checkpoint.failures), (7, false, 0), "two ticks fail, and two go well");
    }

    #[test]
    fn a_program_is_refused_where_a_builtin_is_missing() {
        let install = |source: &str, builtins: &Builtins| {
            let image = lisp::compile(source, &[]).expect("it compiles");
            Installed::new(image.program(), builtins, TickInterval::default(), Limits::default()).map(|_| ())
        };
        let hashes = lisp::compile("(sha256 \"a\")", &[]).expect("it compiles");
        let [called] = Vec::from_iter(hashes.program().builtins())[..] else { panic!("it calls one") };
        let linked = Builtins::only(Box::leak(Box::new(Builtin::rows([called]))));
        assert_eq!(install("(sha256 \"b\")", &linked), Ok(()));
        assert_eq!(install("(sha512 \"b\")", &linked), Err(NotInstalled::Builtin("sha512")));
        assert!(install("(map sha512 (list \"b\"))", &linked).is_err());
        assert_eq!(install("(sha512 \"b\")", Builtins::ALL), Ok(()));
    }
}
