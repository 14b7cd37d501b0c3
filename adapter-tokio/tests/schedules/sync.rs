//! What threads share and tasks wait with, under a scheduler of threads that chooses at random who goes on at every step.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};
use std::time::Duration;

pub(crate) use shuttle::future::AbortHandle;
pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock, mpsc};
pub(crate) use shuttle::thread;
use vigy_core::Timestamp;

/// What is planted here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    None,
    /// Who is woken before it waits, waits.
    WakeLost,
}

thread_local! {
    static PLANTED: Cell<Bug> = const { Cell::new(Bug::None) };
    /// The time, and who waits for a later one. All threads of a schedule are one to the system.
    static CLOCK: RefCell<(Timestamp, Vec<Waker>)> = const { RefCell::new((Timestamp(0), Vec::new())) };
}

pub(crate) fn plant(bug: Bug) {
    PLANTED.set(bug);
}

/// Begins a schedule: at a second past the epoch, nobody waits.
pub(crate) fn begin() {
    CLOCK.with_borrow_mut(|clock| *clock = (Timestamp(1000), Vec::new()));
}

pub(crate) fn now() -> Timestamp {
    CLOCK.with_borrow(|(now, _)| *now)
}

pub(crate) fn advance(ms: u64) {
    let sleepers = CLOCK.with_borrow_mut(|(now, sleepers)| {
        *now = now.plus(ms);
        std::mem::take(sleepers)
    });
    sleepers.into_iter().for_each(Waker::wake);
}

pub(crate) async fn sleep(time: Duration) {
    let until = now().plus(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    poll_fn(|context| {
        if now() >= until {
            return Poll::Ready(());
        }
        CLOCK.with_borrow_mut(|(_, sleepers)| sleepers.push(context.waker().clone()));
        Poll::Pending
    })
    .await;
}

/// No deadline passes here, so whatever waits for nothing is a deadlock.
pub(crate) async fn timeout<T>(_: Duration, work: impl Future<Output = T>) -> Result<T, ()> {
    Ok(work.await)
}

pub(crate) async fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, shuttle::future::JoinError> {
    shuttle::future::spawn(async move { work() }).await
}

/// tokio's, with a step of the schedule before each call.
pub(crate) struct Notify(tokio::sync::Notify);

impl Notify {
    pub(crate) fn new() -> Self {
        Self(tokio::sync::Notify::new())
    }

    pub(crate) fn notify_one(&self) {
        if PLANTED.get() == Bug::WakeLost { self.0.notify_waiters() } else { self.0.notify_one() }
    }

    pub(crate) async fn notified(&self) {
        shuttle::future::yield_now().await;
        self.0.notified().await;
    }
}
