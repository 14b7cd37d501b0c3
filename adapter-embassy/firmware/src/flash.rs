//! RAM that behaves like NOR flash: the boards of QEMU have no flash controller. A real device puts its driver here.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// Bytes of a page, as the LM3S6965 erases.
pub(crate) const PAGE: usize = 1024;

/// The flash.
pub(crate) struct Flash(pub(crate) &'static mut [u8]);

/// An access outside the flash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outside;

impl NorFlashError for Outside {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::OutOfBounds
    }
}

impl ErrorType for Flash {
    type Error = Outside;
}

impl Flash {
    fn range(&mut self, at: u32, len: usize) -> Result<&mut [u8], Outside> {
        self.0.get_mut(at as usize..).and_then(|rest| rest.get_mut(..len)).ok_or(Outside)
    }
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Outside> {
        bytes.copy_from_slice(self.range(offset, bytes.len())?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Outside> {
        self.range(from, to.saturating_sub(from) as usize)?.fill(0xff);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Outside> {
        // A NOR flash clears bits and never sets one.
        self.range(offset, bytes.len())?.iter_mut().zip(bytes).for_each(|(old, new)| *old &= new);
        Ok(())
    }
}
