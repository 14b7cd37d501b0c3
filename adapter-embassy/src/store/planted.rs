//! Mistakes that tests make on purpose, to show that they would notice.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bug {
    /// The closing part is written before the parts it closes.
    ClosingPartFirst,
    /// Parts are taken for a state without asking whether they belong together.
    AnyParts,
    /// The next state is written over the one that counts.
    OneSlot,
    /// What was written counts without a look at what the flash holds.
    NoReadBack,
}

#[cfg(not(test))]
pub(super) const fn planted(_: Bug) -> bool {
    false
}

#[cfg(test)]
pub(super) fn planted(bug: Bug) -> bool {
    PLANTED.get().contains(&bug)
}

#[cfg(test)]
std::thread_local! {
    static PLANTED: core::cell::Cell<&'static [Bug]> = const { core::cell::Cell::new(&[]) };
}

/// Runs `test` on this thread with bugs in the store.
#[cfg(test)]
pub(super) fn with<T>(bugs: &'static [Bug], test: impl FnOnce() -> T) -> T {
    PLANTED.set(bugs);
    let result = test();
    PLANTED.set(&[]);
    result
}
