//! A device that lives what it is told: programs from flash, at scripted times, with recorded answers in place of a world.
//!
//! Each wake is a start of the device: the store is opened, the program ticks once, and nothing but the flash reaches the next wake. Runs
//! go out as lines of hex. Exits with 0 when all wakes are done, with 1 when anything failed.
#![no_std]
#![no_main]

#[path = "../flash.rs"]
mod flash;
#[path = "../semihost.rs"]
mod semihost;
#[path = "../stack.rs"]
mod stack;
#[path = "../wake.rs"]
#[allow(dead_code, reason = "which board it is, the board knows")]
mod wake;

use adapter_embassy::{Builtin, Builtins, Installed, Memory, Program, Recorded, Store, Streamed, tick};
use cortex_m::singleton;
use cortex_m_semihosting::{nr, syscall};
use embassy_executor::Spawner;
use vigy_core::{AsyncClock, Checkpoint, Host, TickInterval, TickMemory, Timestamp};

use flash::{Flash, PAGE};
use semihost::{exit, line, sink};
use wake::{FILE, INTERVAL_MS, LIMITS, WAKE_BYTES, Wake};

include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// Bytes of the flash.
const FLASH: usize = 32 * PAGE;

/// Where the board has memory beside its RAM: what a real device's flash would be.
const FLASH_AT: usize = 0x2100_0000;

/// Room for a state: half of it is written while the other half counts.
const STATE: usize = 16 << 10;

/// Bytes of the record, with what every record needs to say how it ended.
const RECORD: usize = LIMITS.record_bytes as usize + 512;

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    stack::paint();
    let done = live().await;
    line("stack ", &stack::used().to_be_bytes());
    exit(done);
}

/// Nothing when anything fails.
async fn live() -> Option<()> {
    let file = File::open()?;
    let wake = singleton!(WAKE: [u8; WAKE_BYTES] = [0; WAKE_BYTES])?;
    let state = singleton!(STATES: [u8; STATE] = [0; STATE])?;
    let tick_memory = TickMemory {
        record: singleton!(RECORD_: [u8; RECORD] = [0; RECORD])?,
        values: singleton!(VALUES: [u8; LIMITS.value_bytes as usize] = [0; LIMITS.value_bytes as usize])?,
        outcomes: singleton!(OUTCOMES: [u8; 640] = [0; 640])?,
        actions: singleton!(ACTIONS: [u32; LIMITS.actions as usize] = [0; LIMITS.actions as usize])?,
        keys: singleton!(KEYS: [u32; LIMITS.kv_keys as usize * 2] = [0; LIMITS.kv_keys as usize * 2])?,
    };
    let mut memory = Memory { tick: tick_memory, words: singleton!(WORDS_: [u64; WORDS] = [0; WORDS])? };
    let interval = TickInterval::from_millis(INTERVAL_MS).ok()?;
    // SAFETY: the board has 16 MB of memory there, which nobody else uses, and this is called once.
    let mut flash = Flash(unsafe { core::slice::from_raw_parts_mut(FLASH_AT as *mut u8, FLASH) });
    loop {
        let wake = file.next(wake)?;
        if wake.is_empty() {
            return Some(());
        }
        let Wake { program, begins, at, answers } = postcard::from_bytes(wake).ok()?;
        let (image, builtins) = PROGRAMS.get(usize::from(program))?;
        let program = Installed::new(Program::load(image).ok()?, builtins, interval, LIMITS).ok()?;
        if begins.is_some() {
            Store::format(&mut flash, 0..FLASH as u32).await.ok()?;
        }
        let store = Store::open(flash, 0..FLASH as u32, state).await.ok()?;
        let mut checkpoint = match begins {
            Some(incarnation) => Checkpoint::new(incarnation, at),
            None => store.checkpoint()?,
        };
        let mut host = Host { clock: Told(at), storage: Streamed { storage: store, sink }, effects: Recorded(answers.0) };
        tick(&mut host, &program, &mut checkpoint, &mut memory).await.ok()?;
        flash = host.storage.storage.close();
    }
}

/// The time that a wake says it is. There is nobody else on this device to go first.
struct Told(Timestamp);

impl AsyncClock for Told {
    fn now(&mut self) -> Timestamp {
        self.0
    }

    async fn sleep_until(&mut self, until: Timestamp) {
        self.0 = self.0.max(until);
    }

    async fn yield_now(&mut self) {}
}

/// The file of wakes, on the machine that runs QEMU.
struct File {
    handle: usize,
}

impl File {
    fn open() -> Option<Self> {
        // SAFETY: what this call reads is a name that ends with a zero byte, and its length without it.
        let handle = unsafe { syscall!(OPEN, FILE.as_ptr(), nr::open::R_BINARY, FILE.len() - 1) };
        (handle != usize::MAX).then_some(Self { handle })
    }

    /// The next wake: empty at the end, nothing when the file is cut off or the wake too long.
    fn next<'b>(&self, into: &'b mut [u8]) -> Option<&'b [u8]> {
        let mut len = [0; 4];
        let wanted = match self.read(&mut len) {
            0 => 0,
            4 => u32::from_le_bytes(len) as usize,
            _ => return None,
        };
        let into = into.get_mut(..wanted)?;
        (self.read(into) == wanted).then_some(into)
    }

    /// Reads up to the end of `into`, or of the file. Says how many bytes.
    fn read(&self, into: &mut [u8]) -> usize {
        // SAFETY: what this call writes is `into`. It answers how many of its bytes it left as they were.
        let left = unsafe { syscall!(READ, self.handle, into.as_mut_ptr(), into.len()) };
        into.len().saturating_sub(left)
    }
}
