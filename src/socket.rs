//! Where a daemon listens for the commands of its owner: a Unix socket beside the store, which only they can open.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The longest path of a socket: 100 bytes. The system's limit is 104 or 108, and binding needs a few bytes of it.
pub const MAX_PATH_BYTES: usize = 100;

/// The socket of a store: `vigy.redb` has `vigy.sock` beside it, `app.db` has `app.db.sock`. Where that path is too long, it is named by
/// the hash of the store's path, in `$XDG_RUNTIME_DIR`, or in a directory of the user's own below `/tmp`.
#[must_use]
pub fn path(store: &Path) -> PathBuf {
    let store = canonical(store);
    let mut name = if store.extension().is_some_and(|extension| extension == "redb") { store.with_extension("") } else { store.clone() }
        .into_os_string();
    name.push(".sock");
    let beside = PathBuf::from(name);
    if fits(&beside) {
        return beside;
    }
    let hash = &blake3::hash(store.as_os_str().as_bytes()).to_hex()[..16];
    let runtime_directory = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join(format!("vigy-{hash}.sock")));
    match runtime_directory {
        Some(path) if path.is_absolute() && fits(&path) => path,
        _ => own_directory().join(format!("{hash}.sock")),
    }
}

fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= MAX_PATH_BYTES
}

/// The store's path, the same from wherever it is looked at.
fn canonical(store: &Path) -> PathBuf {
    let absolute = std::path::absolute(store).unwrap_or_else(|_| store.to_owned());
    match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(directory)), Some(name)) => directory.join(name),
        _ => absolute,
    }
}

fn own_directory() -> PathBuf {
    PathBuf::from(format!("/tmp/vigy-{}", rustix::process::getuid().as_raw()))
}

/// Listens at `path`, in place of whatever socket lies there. Only for whoever holds the lock of the store: then what lies there is
/// stale.
///
/// The socket is made inside a directory that nobody else can enter, closed to others, and then moved to its place. So it is never open
/// to others, not even for a moment, and needs no umask, which would concern the whole process.
///
/// # Errors
/// The system's own.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    if directory == own_directory() {
        make_own(directory)?;
    }
    let private = directory.join(format!(".v{}", std::process::id()));
    // Left by a process of that number that died here.
    _ = fs::remove_dir_all(&private);
    DirBuilder::new().mode(0o700).create(&private)?;
    let inside = private.join("s");
    let bound = UnixListener::bind(&inside).and_then(|listener| {
        fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    });
    _ = fs::remove_dir_all(&private);
    bound
}

/// A directory below `/tmp` could be anybody's.
fn make_own(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_own(directory) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let shown = directory.display();
            Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{shown} is not yours alone: remove it, or set XDG_RUNTIME_DIR")))
        }
        made => made,
    }
}

fn is_own(directory: &Path) -> bool {
    fs::symlink_metadata(directory)
        .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == rustix::process::getuid().as_raw() && metadata.mode() & 0o077 == 0)
}

/// Whether a daemon listens at `path`.
pub async fn is_up(path: &Path) -> bool {
    let trusted = path.parent().is_none_or(|directory| directory != own_directory() || is_own(directory));
    trusted && UnixStream::connect(path).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_lies_beside_its_store_when_its_path_fits() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        assert_eq!(path(&root.join("vigy.redb")), root.join("vigy.sock"));
        assert_eq!(path(&root.join("vigy.db")), root.join("vigy.db.sock"), "two stores in one directory share no socket");
        let deep = root.join("d".repeat(MAX_PATH_BYTES));
        fs::create_dir(&deep).unwrap();
        let fallback = path(&deep.join("vigy.redb"));
        assert!(fits(&fallback) && !fallback.starts_with(&root), "{fallback:?}");
        assert_eq!(path(&deep.join("../").join(deep.file_name().unwrap()).join("vigy.redb")), fallback);
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_alone_and_replaces_a_stale_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vigy.sock");
        assert!(!is_up(&path).await);
        let stale = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop(stale);
        assert!(!is_up(&path).await, "the file is there, nobody listens");
        let _listening = bind(&path).unwrap();
        assert!(is_up(&path).await);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
    }
}
