//! SysTick as embassy's time: one interrupt a millisecond.

use core::cell::RefCell;
use core::task::Waker;

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::exception;
use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

/// What the LM3S6965 of QEMU runs at.
const CORE_HZ: u32 = 12_500_000;

struct Timers {
    now: u64,
    next: u64,
    queue: Queue,
}

struct SysTickDriver(Mutex<RefCell<Timers>>);

embassy_time_driver::time_driver_impl!(static DRIVER: SysTickDriver = SysTickDriver(Mutex::new(RefCell::new(
    Timers { now: 0, next: u64::MAX, queue: Queue::new() }
))));

impl Driver for SysTickDriver {
    fn now(&self) -> u64 {
        critical_section::with(|guard| self.0.borrow(guard).borrow().now)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|guard| {
            let mut timers = self.0.borrow(guard).borrow_mut();
            if timers.queue.schedule_wake(at, waker) {
                let now = timers.now;
                timers.next = timers.queue.next_expiration(now);
            }
        });
    }
}

pub(crate) fn start(mut systick: SYST) {
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(CORE_HZ / 1000 - 1);
    systick.clear_current();
    systick.enable_interrupt();
    systick.enable_counter();
}

#[exception]
fn SysTick() {
    critical_section::with(|guard| {
        let mut timers = DRIVER.0.borrow(guard).borrow_mut();
        timers.now += 1;
        if timers.now >= timers.next {
            let now = timers.now;
            timers.next = timers.queue.next_expiration(now);
        }
    });
}
