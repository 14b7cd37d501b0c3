//! A program's image, put into what it reaches of the guest.
//!
//! ```text
//! guest      │ types … memory (n pages)     exports  code  data          │ symbols, relocations
//! module     │ types … memory (n + k pages) exports  code  data + 2 more │ section "vigy"
//!                                                          │
//!                           the image at the end of page n ┘ its address and length, in the guest's slot
//! ```

use std::borrow::Cow;
use std::collections::HashSet;

use vigy_core::lisp::{Verbs, operations};
use vigy_lisp::Image;
use wasm_encoder::{ConstExpr, CustomSection, MemoryType};

use crate::guest::{Guest, Unexpected};
use crate::link::{Reached, unused};
use crate::{GUEST, Manifest};

/// The static that tells the guest where its program lies.
const SLOT: &str = "VIGY_PROGRAM";

/// The statics that point to the tables of what programs call.
const BUILTINS: &str = "VIGY_BUILTINS";
const VERBS: &str = "VIGY_VERBS";

const PAGE: u64 = 65536;

/// Why a program could not be put into the guest.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The program does not fit into a module.
    #[error("a program of {0} bytes is too large for a module")]
    TooLarge(usize),
    /// The guest that this crate carries is not what the bundler knows: a bug.
    #[error("the guest is not what its bundler expects: {0}")]
    Guest(String),
}

impl From<Unexpected> for BundleError {
    fn from(Unexpected(what): Unexpected) -> Self {
        Self::Guest(what)
    }
}

/// A module that runs this program, without the parts of the guest that it cannot reach. Linear in the sizes of guest and image;
/// needs no toolchain.
///
/// # Errors
/// [`BundleError`].
pub fn bundle(image: &Image) -> Result<Vec<u8>, BundleError> {
    let (bytes, program) = (image.as_bytes(), image.program());
    let guest = Guest::of(GUEST)?;
    let too_large = || BundleError::TooLarge(bytes.len());
    let len = u32::try_from(bytes.len()).map_err(|_| too_large())?;
    let minimum = guest.memory.initial + u64::from(len).div_ceil(PAGE);
    // Pages begin at multiples of 65,536, so the words of the image are aligned.
    let address = u32::try_from(guest.memory.initial * PAGE).map_err(|_| too_large())?;
    u32::try_from(minimum * PAGE).map_err(|_| too_large())?;
    let memory = MemoryType { minimum, maximum: guest.memory.maximum, memory64: false, shared: false, page_size_log2: None };

    let mut left_out: HashSet<_> = unused(&guest, BUILTINS, &program.builtins().collect())?.into_iter().collect();
    left_out.extend(unused(&guest, VERBS, &Verbs::used(program).collect())?);
    let reached = Reached::of(&guest, &left_out)?;
    let mut module = reached.code(&guest, memory);
    let mut data = reached.data(&guest);
    data.active(0, &ConstExpr::i32_const(address as i32), bytes.iter().copied());
    let place = [address.to_le_bytes(), len.to_le_bytes()].concat();
    data.active(0, &ConstExpr::i32_const(guest.data(SLOT)?.start as i32), place);
    module.section(&data);

    let manifest = Manifest { program: image.hash(), operations: operations(program).map(str::to_owned).collect() };
    let manifest = manifest.to_bytes().map_err(|_| too_large())?;
    module.section(&CustomSection { name: Cow::Borrowed(Manifest::SECTION), data: Cow::Owned(manifest) });
    Ok(module.finish())
}
