//! A flash with words of at least four bytes, every one of which is read back.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use super::planted::{Bug, planted};

/// Bytes compared at a time.
const STEP: usize = 32;

/// A flash as the store wants it:
///
/// - Words have at least four bytes, whatever the flash underneath can write: with shorter ones the marks that sequential-storage tells
///   torn items by are too weak (tweedegolf/sequential-storage#136).
/// - A write or an erase is done when it has been read back. A mark that was silently not written would hide a whole page.
#[derive(Clone, Copy, Debug)]
pub struct Words<F>(pub F);

/// What can go wrong with [`Words`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WordsError<E> {
    /// The flash says so.
    Flash(E),
    /// The flash does not hold what was just written.
    ReadBack,
}

impl<E: NorFlashError> NorFlashError for WordsError<E> {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Flash(error) => error.kind(),
            Self::ReadBack => NorFlashErrorKind::Other,
        }
    }
}

impl<F: ErrorType> ErrorType for Words<F> {
    type Error = WordsError<F::Error>;
}

impl<F: ReadNorFlash> ReadNorFlash for Words<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(offset, bytes).await.map_err(WordsError::Flash)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: NorFlash> NorFlash for Words<F> {
    const WRITE_SIZE: usize = if F::WRITE_SIZE < 4 { 4 } else { F::WRITE_SIZE };
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.0.erase(from, to).await.map_err(WordsError::Flash)?;
        for at in (from..to).step_by(STEP) {
            self.holds(at, &[0xff; STEP][..STEP.min((to - at) as usize)]).await?;
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.write(offset, bytes).await.map_err(WordsError::Flash)?;
        for (at, expected) in (offset..).step_by(STEP).zip(bytes.chunks(STEP)) {
            self.holds(at, expected).await?;
        }
        Ok(())
    }
}

impl<F: NorFlash> Words<F> {
    async fn holds(&mut self, at: u32, expected: &[u8]) -> Result<(), WordsError<F::Error>> {
        let mut found = [0; STEP];
        let found = &mut found[..expected.len()];
        self.read(at, found).await?;
        if found == expected || planted(Bug::NoReadBack) { Ok(()) } else { Err(WordsError::ReadBack) }
    }
}
