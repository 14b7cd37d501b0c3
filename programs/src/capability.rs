//! What a vigy may ask, as words: `fs:PATH:r`.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// Something a vigy may do beyond computing. Text form `fs:PATH:r`: read the files at and below PATH.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Capability {
    /// List, hash and read what lies at and below a path.
    ReadFiles(PathBuf),
}

/// A text that is no capability.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidCapability {
    /// Another kind of capability.
    #[error("`{0}` is no capability: there is `fs:PATH:r`, which lets a program read the files below PATH")]
    Unknown(String),
    /// Another right.
    #[error("`{0}` ends in no right: write `fs:PATH:r` (`r` reads; programs change files by actions, which a handler carries out)")]
    Right(String),
    /// No path.
    #[error("`{0}` has no path: write `fs:PATH:r`, as `fs:/etc:r`")]
    NoPath(String),
}

impl FromStr for Capability {
    type Err = InvalidCapability;

    fn from_str(text: &str) -> Result<Self, InvalidCapability> {
        let shown = || text.escape_debug().to_string();
        let rest = text.strip_prefix("fs:").ok_or_else(|| InvalidCapability::Unknown(shown()))?;
        // The path itself may have colons.
        let path = rest.strip_suffix(":r").ok_or_else(|| InvalidCapability::Right(shown()))?;
        if path.is_empty() || path.contains('\0') {
            return Err(InvalidCapability::NoPath(shown()));
        }
        Ok(Self::ReadFiles(PathBuf::from(path)))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::ReadFiles(path) = self;
        write!(f, "fs:{}:r", path.display())
    }
}

impl Capability {
    /// The same capability with its path made absolute, starting from `base`.
    #[must_use]
    pub fn absolute(self, base: &Path) -> Self {
        let Self::ReadFiles(path) = self;
        Self::ReadFiles(absolute(base, &path))
    }
}

/// `path` from `base`, with `.` and `..` taken out of the text. What symlinks make of it is for those who open it to watch over.
pub(crate) fn absolute(base: &Path, path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in base.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => _ = clean.pop(),
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, advice: &str) {
        let error = text.parse::<Capability>().unwrap_err().to_string();
        assert!(error.contains(advice), "{error}");
    }

    #[test]
    fn capabilities_are_written_as_they_are_read() {
        for text in ["fs:/etc:r", "fs:relative/path:r", "fs:/with:colon:r"] {
            assert_eq!(text.parse::<Capability>().unwrap().to_string(), text);
        }
        let relative: Capability = "fs:a/../b/./c:r".parse().unwrap();
        assert_eq!(relative.absolute(Path::new("/base")).to_string(), "fs:/base/b/c:r");
    }

    #[test]
    fn malformed_capabilities_say_what_to_write() {
        refused("", "fs:PATH:r");
        refused("net:example.org", "is no capability");
        refused("fs:/etc", "ends in no right");
        refused("fs:/etc:rw", "actions");
        refused("fs::r", "has no path");
        refused("\u{1b}[2J", "\\u{1b}");
    }
}
