//! The core's conformance suite for stores, on a flash whose power goes in the middle of a write.

use embassy_futures::block_on;
use vigy_core::Limits;
use vigy_core::sim::Random;
use vigy_core::sim::conformance::{AsyncSubject, LIMITS, check_async};

use super::*;
use flash::PAGE;

/// A flash with room for the states of the suite.
const PAGES: usize = 80;
const MEMORY: usize = 2 * 24 * 1024;
/// How often one store is opened, at most.
const OPENINGS: usize = 100;

/// Flashes, and memory for each time one is opened.
struct Flashes<'m> {
    flash: Flash<4>,
    memory: core::slice::ChunksMut<'m, u8>,
    random: Random,
}

impl<'m> AsyncSubject for Flashes<'m> {
    type Storage = Store<'m, Flash<4>>;

    async fn open(&mut self, _: Option<Self::Storage>) -> (Self::Storage, Option<Checkpoint>) {
        self.flash = Flash::new(self.flash.chip().powered(None));
        let memory = self.memory.next().expect("it is not opened as often");
        let store = Store::open(self.flash.clone(), 0..(PAGE * PAGES) as u32, memory).await.expect("it opens");
        let checkpoint = store.checkpoint();
        (store, checkpoint)
    }

    fn fail_next_write(&mut self, _: &mut Self::Storage) -> bool {
        let mut chip = self.flash.0.borrow_mut();
        // A write of a state takes some thousand words.
        chip.cut_at = Some(chip.steps + self.random.below(4000) as u32);
        true
    }

    fn limits(&self) -> Limits {
        Limits { value_bytes: 4096, record_bytes: 2048, ..LIMITS }
    }
}

#[test]
fn the_store_keeps_the_promises_of_the_port() {
    let mut memory = vec![0; OPENINGS * MEMORY];
    for seed in 0..10 {
        let flash = Flash::new(Chip::of(PAGES));
        let mut flashes = Flashes { flash, memory: memory.chunks_mut(MEMORY), random: Random(seed) };
        block_on(check_async(&mut flashes, seed, 40)).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    }
}
