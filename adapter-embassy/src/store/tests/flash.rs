//! A NOR flash in memory whose power can be cut.

use std::cell::RefCell;
use std::rc::Rc;
use std::vec::Vec;

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

pub(super) const PAGE: usize = 1024;
pub(super) const PAGES: usize = 12;
pub(super) const RANGE: core::ops::Range<u32> = 0..(PAGE * PAGES) as u32;
/// Bytes that one step of an erase clears: the power may go between two steps.
const ERASE_STEP: usize = 256;

/// splitmix64, as in the core: what is random in these tests can be had again.
#[derive(Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// What survives a power cut, and the power.
#[derive(Clone)]
pub(super) struct Chip {
    bytes: Vec<u8>,
    /// Words and steps of erasing so far.
    pub(super) steps: u32,
    /// The step at which the power goes.
    pub(super) cut_at: Option<u32>,
    /// The step that does nothing and says nothing.
    pub(super) forget: Option<u32>,
    pub(super) off: bool,
}

impl Chip {
    pub(super) fn new() -> Self {
        Self::of(PAGES)
    }

    pub(super) fn of(pages: usize) -> Self {
        Self { bytes: std::vec![0xff; PAGE * pages], steps: 0, cut_at: None, forget: None, off: false }
    }

    /// The same chip after the power came back, to go again after `steps`.
    pub(super) fn powered(&self, steps: Option<u32>) -> Self {
        Self { steps: 0, cut_at: steps, forget: None, off: false, ..self.clone() }
    }

    /// Whether this step does what it should.
    fn step(&mut self) -> Result<bool, Cut> {
        self.off |= self.cut_at == Some(self.steps);
        self.powered_on()?;
        self.steps += 1;
        Ok(self.forget != Some(self.steps - 1))
    }

    fn powered_on(&self) -> Result<(), Cut> {
        if self.off { Err(Cut) } else { Ok(()) }
    }
}

/// A chip on the board, with words of `WORD` bytes.
#[derive(Clone)]
pub(super) struct Flash<const WORD: usize>(pub(super) Rc<RefCell<Chip>>);

impl<const WORD: usize> Flash<WORD> {
    pub(super) fn new(chip: Chip) -> Self {
        Self(Rc::new(RefCell::new(chip)))
    }

    pub(super) fn chip(&self) -> Chip {
        self.0.borrow().clone()
    }

    pub(super) fn is_off(&self) -> bool {
        self.0.borrow().off
    }
}

/// The power is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut;

impl NorFlashError for Cut {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl<const WORD: usize> ErrorType for Flash<WORD> {
    type Error = Cut;
}

impl<const WORD: usize> ReadNorFlash for Flash<WORD> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), Cut> {
        let chip = self.0.borrow();
        chip.powered_on()?;
        into.copy_from_slice(&chip.bytes[offset as usize..][..into.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.borrow().bytes.len()
    }
}

impl<const WORD: usize> NorFlash for Flash<WORD> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Cut> {
        let mut chip = self.0.borrow_mut();
        for at in (from as usize..to as usize).step_by(ERASE_STEP) {
            if chip.step()? {
                chip.bytes[at..at + ERASE_STEP].fill(0xff);
            }
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Cut> {
        assert!((offset as usize).is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD), "a write of whole words");
        let mut chip = self.0.borrow_mut();
        for (index, word) in bytes.chunks(WORD).enumerate() {
            if chip.step()? {
                let at = offset as usize + index * WORD;
                // A NOR flash clears bits and never sets one.
                chip.bytes[at..at + WORD].iter_mut().zip(word).for_each(|(old, new)| *old &= new);
            }
        }
        Ok(())
    }
}
