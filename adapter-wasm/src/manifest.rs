//! What a module says about itself before it runs.

use serde::{Deserialize, Serialize};

/// First byte of every manifest, and the version of what passes between module and host.
const VERSION: u8 = 1;

/// The custom section `vigy`: a version byte, then this as postcard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// BLAKE3 of the program's image: what its records name.
    pub program: [u8; 32],
    /// The operations it may ask, as `fs/list`. It cannot ask others.
    pub operations: Vec<String>,
}

impl Manifest {
    /// The name of the section.
    pub const SECTION: &str = "vigy";

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_extend(self, vec![VERSION])
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        if version == VERSION { postcard::from_bytes(rest).ok() } else { None }
    }
}
