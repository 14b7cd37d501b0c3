//! A complete device: hello-vigy from flash, ticked by the clock, its state in flash, its runs on semihosting as lines of hex.
//!
//! It lives twice: after some ticks it opens its store again, as after a restart, and goes on where it stood. Then it exits: 0, or 1
//! when anything failed.
#![no_std]
#![no_main]

mod flash;
mod semihost;
mod stack;
mod time;
mod vigy;

use adapter_embassy::{Builtin, Builtins, EmbassyClock, Installed, Memory, Program, Refuse, Store, Streamed, keep};
use cortex_m::singleton;
use embassy_executor::Spawner;
use vigy_core::{Checkpoint, Host, TickInterval, TickMemory};

use flash::{Flash, PAGE};
use semihost::{exit, line, sink};
use vigy::{INCARNATION, INTERVAL_MS, LIMITS, START, TICKS};

include!(concat!(env!("OUT_DIR"), "/hello.rs"));

/// Bytes of the flash.
const BYTES: usize = 5 * PAGE;

/// Room for a state: half of it is written while the other half counts.
const STATE: usize = 1400;

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    stack::paint();
    let done = match cortex_m::Peripherals::take() {
        Some(peripherals) => {
            time::start(peripherals.SYST);
            live_twice().await
        }
        None => None,
    };
    line("stack ", &stack::used().to_be_bytes());
    exit(done);
}

/// Nothing when anything fails.
async fn live_twice() -> Option<()> {
    let mut flash = Flash(singleton!(FLASH: [u8; BYTES] = [0; BYTES])?);
    Store::format(&mut flash, 0..BYTES as u32).await.ok()?;
    let state = singleton!(STATES: [u8; STATE] = [0; STATE])?;
    let tick = TickMemory {
        record: singleton!(RECORD: [u8; 1024] = [0; 1024])?,
        values: singleton!(VALUES: [u8; 512] = [0; 512])?,
        outcomes: singleton!(OUTCOMES: [u8; 512] = [0; 512])?,
        actions: singleton!(ACTIONS: [u32; 4] = [0; 4])?,
        keys: singleton!(KEYS: [u32; 16] = [0; 16])?,
    };
    let mut memory = Memory { tick, words: singleton!(WORDS_: [u64; WORDS] = [0; WORDS])? };
    let interval = TickInterval::from_millis(INTERVAL_MS).ok()?;
    let [(image, builtins)] = PROGRAMS;
    let program = Installed::new(Program::load(image).ok()?, builtins, interval, LIMITS).ok()?;
    for _life in 0..2 {
        let store = Store::open(flash, 0..BYTES as u32, state).await.ok()?;
        let mut checkpoint = store.checkpoint().unwrap_or(Checkpoint::new(INCARNATION, START));
        let mut storage = Streamed { storage: store, sink };
        storage.catch_up(&checkpoint).await.ok()?;
        let mut host = Host { clock: EmbassyClock { start: START }, storage, effects: Refuse };
        keep(&mut host, &program, &mut checkpoint, &mut memory, TICKS).await.ok()?;
        flash = host.storage.storage.close();
    }
    Some(())
}
