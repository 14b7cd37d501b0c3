//! Time as embassy knows it.

use embassy_time::{Instant, Timer};
use vigy_core::{AsyncClock, Timestamp};

/// The device's clock: embassy-time counts from start, and `start` says when that was.
///
/// A device without a calendar starts at 0, or at the last time its store knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyClock {
    /// When the device started.
    pub start: Timestamp,
}

impl AsyncClock for EmbassyClock {
    fn now(&mut self) -> Timestamp {
        self.start.plus(Instant::now().as_millis())
    }

    async fn sleep_until(&mut self, until: Timestamp) {
        // A time beyond what embassy counts is as good as never; it saturates instead of wrapping.
        let since_start = until.since(self.start).min(u64::MAX / embassy_time::TICK_HZ);
        Timer::at(Instant::from_millis(since_start)).await;
    }

    async fn yield_now(&mut self) {
        embassy_futures::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use embassy_time::{Duration, MockDriver};

    #[test]
    fn sleeps_until_the_time_has_come() {
        let mut clock = EmbassyClock { start: Timestamp(1_000_000) };
        let begin = clock.now();
        let mut timer = clock;
        let mut sleep = pin!(timer.sleep_until(begin.plus(500)));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(sleep.as_mut().poll(&mut context), Poll::Pending);
        MockDriver::get().advance(Duration::from_millis(499));
        assert_eq!(sleep.as_mut().poll(&mut context), Poll::Pending);
        MockDriver::get().advance(Duration::from_millis(1));
        assert_eq!(sleep.as_mut().poll(&mut context), Poll::Ready(()));
        assert_eq!(clock.now(), begin.plus(500));
        drop(clock.sleep_until(Timestamp(u64::MAX)));
    }
}
