//! Reading files: `fs/list`, `fs/hash`, `fs/read`, under capabilities `fs:PATH:r`.
//!
//! A path belongs to the longest granted prefix, and everything below that is opened relative to it by cap-std: neither `..` nor a
//! symlink leads out. Only regular files are read; symlinks inside a directory are listed, never followed.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, FileType, OpenOptions, OpenOptionsExt as _};
use vigy_core::AskError;
use vigy_lisp::Data;

use crate::capability::absolute;

/// The longest file that `fs/read` hands out: 1 MiB.
pub const MAX_READ_BYTES: u64 = 1 << 20;

/// The most files and directories that one `fs/list` or `fs/hash` goes through: 100,000.
pub const MAX_ENTRIES: usize = 100_000;

/// How long one question may take: 30 seconds.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Refused {
    tag: &'static str,
    message: String,
}

impl Refused {
    pub(crate) fn new(tag: &'static str, message: impl ToString) -> Self {
        Self { tag, message: message.to_string() }
    }
}

impl From<Refused> for AskError {
    fn from(refused: Refused) -> Self {
        Self::new(refused.tag, format_args!("{}", refused.message))
    }
}

/// Answers one operation. Blocks, until `deadline` unless the file system itself hangs.
pub(crate) fn answer(operation: &str, path: &str, grants: &[PathBuf], deadline: Instant) -> Result<Data, Refused> {
    let place = Place::find(path, grants, deadline)?;
    match operation {
        "fs/list" => place.list(),
        "fs/hash" => place.hash(),
        "fs/read" => place.read(),
        _ => Err(Refused::new("denied", format_args!("this host does not offer {operation}"))),
    }
}

/// A granted directory and a path below it.
struct Place {
    root: Dir,
    /// Without `..`; empty for the granted directory itself.
    below: PathBuf,
    /// As people know it.
    shown: PathBuf,
    deadline: Instant,
}

impl Place {
    fn find(path: &str, grants: &[PathBuf], deadline: Instant) -> Result<Self, Refused> {
        let failed = |error: &io::Error| io_error(Path::new(path), error);
        let cwd = std::env::current_dir().map_err(|e| failed(&e))?;
        let shown = absolute(&cwd, Path::new(path));
        let covering = grants.iter().map(|grant| absolute(&cwd, grant)).filter(|grant| shown.starts_with(grant));
        let Some(grant) = covering.max_by_key(|grant| grant.components().count()) else {
            let shown = shown.display();
            return Err(Refused::new("denied", format_args!("no capability covers this path: grant it with `--allow fs:{shown}:r`")));
        };
        // A grant for a single file is its directory, of which only that one name is reachable: `shown` starts with it.
        let is_file = std::fs::metadata(&grant).map_err(|e| io_error(&grant, &e))?.is_file();
        let root = if is_file { grant.parent().unwrap_or(&grant) } else { &grant };
        let below = shown.strip_prefix(root).unwrap_or(&shown).to_owned();
        let root = Dir::open_ambient_dir(root, ambient_authority()).map_err(|e| io_error(root, &e))?;
        Ok(Self { root, below, shown, deadline })
    }

    fn list(&self) -> Result<Data, Refused> {
        let mut items = Vec::new();
        self.walk(|path, file_type, size, _| {
            let kind = if file_type.is_dir() {
                "dir"
            } else if file_type.is_file() {
                "file"
            } else if file_type.is_symlink() {
                "symlink"
            } else {
                "other"
            };
            let size = Data::Int(i64::try_from(size).unwrap_or(i64::MAX));
            items.push((path.to_owned(), Data::map([("path", Data::from(path)), ("type", Data::keyword(kind)), ("size", size)])));
            Ok(())
        })?;
        items.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Data::from(items.into_iter().map(|(_, item)| item).collect::<Vec<_>>()))
    }

    fn hash(&self) -> Result<Data, Refused> {
        if !self.is_dir()? {
            let (file, _) = self.file()?;
            return hash(file, self.deadline).map(Data::from).map_err(|e| self.failed(&e));
        }
        let mut hashes = Vec::new();
        self.walk(|path, file_type, _, dir| {
            if file_type.is_file() {
                let name = Path::new(path).file_name().unwrap_or_default();
                hashes.push((path.to_owned(), hash(open_file(dir, Path::new(name))?.0, self.deadline)?));
            }
            Ok(())
        })?;
        hashes.sort_unstable();
        Ok(Data::Map(hashes.into_iter().map(|(path, hash)| (Data::from(path), Data::from(hash))).collect()))
    }

    fn read(&self) -> Result<Data, Refused> {
        let (file, size) = self.file()?;
        let too_large = |size: u64| {
            let path = self.shown.display();
            Refused::new("too-large", format_args!("{path} has {size} bytes, fs/read hands out {MAX_READ_BYTES}: hash it instead"))
        };
        if size > MAX_READ_BYTES {
            return Err(too_large(size));
        }
        let mut bytes = Vec::new();
        // It may have grown since: one byte more than allowed shows it.
        file.take(MAX_READ_BYTES + 1).read_to_end(&mut bytes).map_err(|e| self.failed(&e))?;
        if bytes.len() as u64 > MAX_READ_BYTES {
            return Err(too_large(bytes.len() as u64));
        }
        let (size, hash) = (bytes.len() as i64, blake3::hash(&bytes).to_hex().to_string());
        let (encoding, content) = match String::from_utf8(bytes) {
            Ok(text) => ("utf8", text),
            Err(not_text) => ("base64", BASE64.encode(not_text.as_bytes())),
        };
        let encoding = Data::keyword(encoding);
        Ok(Data::map([("encoding", encoding), ("content", content.into()), ("size", size.into()), ("hash", hash.into())]))
    }

    fn is_dir(&self) -> Result<bool, Refused> {
        if self.below.as_os_str().is_empty() {
            return Ok(true);
        }
        Ok(self.root.metadata(&self.below).map_err(|e| self.failed(&e))?.is_dir())
    }

    /// The file and its size.
    fn file(&self) -> Result<(File, u64), Refused> {
        if self.is_dir()? {
            return Err(Refused::new("io", format_args!("{} is a directory, not a file", self.shown.display())));
        }
        open_file(&self.root, &self.below).map_err(|e| self.failed(&e))
    }

    /// Visits everything beneath, in no order, with its path from here and the directory it lies in.
    fn walk(&self, mut visit: impl FnMut(&str, FileType, u64, &Dir) -> io::Result<()>) -> Result<(), Refused> {
        let here = if self.below.as_os_str().is_empty() { self.root.try_clone() } else { self.root.open_dir(&self.below) };
        let here = here.map_err(|e| self.failed(&e))?;
        // Directories wait by name: one that is open for each of them could be more than a process may have.
        let mut waiting = vec![String::new()];
        let mut seen = 0;
        while let Some(prefix) = waiting.pop() {
            let shown = || self.shown.join(&prefix);
            let dir = match if prefix.is_empty() { here.try_clone() } else { here.open_dir(&prefix) } {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(|e| io_error(&shown(), &e))?,
            };
            for entry in dir.entries().map_err(|e| io_error(&shown(), &e))? {
                seen += 1;
                if seen > MAX_ENTRIES {
                    let path = self.shown.display();
                    return Err(Refused::new(
                        "too-large",
                        format_args!("{path} holds more than {MAX_ENTRIES} files: ask for a part of it"),
                    ));
                }
                let entry = in_time(self.deadline).and(entry).map_err(|e| io_error(&shown(), &e))?;
                let name = entry.file_name();
                let Some(name) = name.to_str() else {
                    let path = shown().join(&name);
                    return Err(Refused::new("io", format_args!("{path:?} is no UTF-8: rename it")));
                };
                let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
                let mut look = || {
                    let metadata = entry.metadata()?;
                    let file_type = metadata.file_type();
                    visit(&path, file_type, metadata.len(), &dir)?;
                    if file_type.is_dir() {
                        waiting.push(path.clone());
                    }
                    Ok::<(), io::Error>(())
                };
                match look() {
                    // Gone since the directory was read: as if it had never been there.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    looked => looked.map_err(|e| io_error(&self.shown.join(&path), &e))?,
                }
            }
        }
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Refused {
        io_error(&self.shown, error)
    }
}

/// Opens a regular file, and nothing that would wait for a writer.
fn open_file(dir: &Dir, path: &Path) -> io::Result<(File, u64)> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = dir.open_with(path, OpenOptions::new().read(true).custom_flags(nonblocking))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok((file, metadata.len()))
}

fn hash(mut file: File, deadline: Instant) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut chunk = [0; 16 << 10];
    loop {
        in_time(deadline)?;
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            read => hasher.update(&chunk[..read]),
        };
    }
}

fn in_time(deadline: Instant) -> io::Result<()> {
    if Instant::now() < deadline { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
}

fn io_error(path: &Path, error: &io::Error) -> Refused {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Refused::new("not-found", format_args!("{shown} does not exist")),
        io::ErrorKind::PermissionDenied => {
            let hint = "it leads out of what is granted, or the system refuses";
            Refused::new("denied", format_args!("{shown} cannot be read: {hint}; grant where it lies with `--allow fs:PATH:r`"))
        }
        io::ErrorKind::TimedOut => {
            Refused::new("timeout", format_args!("{shown} takes longer than {ASK_TIMEOUT:?} to read: ask for a part of it"))
        }
        _ => Refused::new("io", format_args!("{shown} cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory `granted` with a few files, beside a secret.
    fn tree() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let granted = dir.path().canonicalize().unwrap().join("granted");
        fs::create_dir_all(granted.join("b/c")).unwrap();
        fs::write(granted.join("a"), "text").unwrap();
        fs::write(granted.join("b/c/d"), [0xff, 0xfe]).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        symlink("../secret", granted.join("out")).unwrap();
        symlink("a", granted.join("in")).unwrap();
        (dir, granted)
    }

    fn soon() -> Instant {
        Instant::now() + ASK_TIMEOUT
    }

    #[track_caller]
    fn ask(operation: &str, granted: &Path, path: &str) -> Result<Data, Refused> {
        answer(operation, granted.join(path).to_str().unwrap(), &[granted.to_owned()], soon())
    }

    #[track_caller]
    fn refused(operation: &str, granted: &Path, path: &str, tag: &str, text: &str) {
        let error = ask(operation, granted, path).unwrap_err();
        assert!(error.tag == tag && error.message.contains(text), "{error:?}");
    }

    #[test]
    fn a_directory_lists_what_is_beneath_by_path() {
        let (_dir, granted) = tree();
        let list = ask("fs/list", &granted, "").unwrap();
        let rows: Vec<_> = list.list().unwrap().iter().map(|i| (i.get(":path").unwrap().text(), i.get(":type").unwrap().text())).collect();
        let row = |path, kind| (Some(path), Some(kind));
        assert_eq!(
            rows,
            [row("a", "file"), row("b", "dir"), row("b/c", "dir"), row("b/c/d", "file"), row("in", "symlink"), row("out", "symlink")]
        );
        assert_eq!(list.list().unwrap()[0].get(":size"), Some(&Data::Int(4)));
        assert_eq!(ask("fs/list", &granted, "b/c").unwrap().list().unwrap()[0].get(":path"), Some(&Data::from("d")));
    }

    #[test]
    fn hashes_are_blake3() {
        let (_dir, granted) = tree();
        let text = Data::from(blake3::hash(b"text").to_hex().as_str());
        assert_eq!(ask("fs/hash", &granted, "a").unwrap(), text);
        let hashes = ask("fs/hash", &granted, "").unwrap();
        assert_eq!(hashes.get("a"), Some(&text));
        let Data::Map(entries) = hashes else { panic!("a map") };
        let paths: Vec<_> = entries.iter().filter_map(|(path, _)| path.text()).collect();
        assert_eq!(paths, ["a", "b/c/d"], "sorted, and no symlink followed");
    }

    #[test]
    fn text_is_read_as_text_and_bytes_as_base64() {
        let (_dir, granted) = tree();
        let text = ask("fs/read", &granted, "a").unwrap();
        assert_eq!((text.get(":encoding"), text.get(":content")), (Some(&Data::keyword("utf8")), Some(&Data::from("text"))));
        let bytes = ask("fs/read", &granted, "b/c/d").unwrap();
        assert_eq!((bytes.get(":encoding"), bytes.get(":content")), (Some(&Data::keyword("base64")), Some(&Data::from("//4="))));
        assert_eq!(ask("fs/read", &granted, "in").unwrap(), text, "a symlink that stays inside is followed when named");
    }

    #[test]
    fn nothing_leads_out_of_what_is_granted() {
        let (dir, granted) = tree();
        refused("fs/read", &granted, "out", "denied", "--allow fs:");
        refused("fs/hash", &granted, "out", "denied", "--allow fs:");
        let secret = dir.path().canonicalize().unwrap().join("secret");
        refused("fs/read", &granted, "../secret", "denied", &format!("`--allow fs:{}:r`", secret.display()));
        refused("fs/list", &granted, "..", "denied", "no capability covers");
        symlink("/etc", granted.join("etc")).unwrap();
        refused("fs/list", &granted, "etc", "denied", "--allow");
    }

    #[test]
    fn a_grant_may_be_one_file_and_the_longest_wins() {
        let (_dir, granted) = tree();
        let file = granted.join("a");
        assert!(answer("fs/read", file.to_str().unwrap(), std::slice::from_ref(&file), soon()).is_ok());
        assert!(answer("fs/read", granted.join("b/c/d").to_str().unwrap(), std::slice::from_ref(&file), soon()).is_err());
        // `out` is readable through the wider grant, not through the narrower one that it belongs to.
        let wide = granted.parent().unwrap().to_owned();
        let out = granted.join("out");
        assert!(answer("fs/read", out.to_str().unwrap(), std::slice::from_ref(&wide), soon()).is_ok());
        assert!(answer("fs/read", out.to_str().unwrap(), &[wide, granted], soon()).is_err());
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let (_dir, granted) = tree();
        refused("fs/read", &granted, "nothing", "not-found", "does not exist");
        refused("fs/read", &granted, "b", "io", "is a directory");
        fs::write(granted.join("large"), vec![0; MAX_READ_BYTES as usize + 1]).unwrap();
        refused("fs/read", &granted, "large", "too-large", "1048577 bytes");
        assert!(ask("fs/hash", &granted, "large").is_ok());
        rustix::fs::mkfifoat(rustix::fs::CWD, granted.join("pipe"), 0o600.into()).unwrap();
        refused("fs/read", &granted, "pipe", "io", "no regular file");
    }

    #[test]
    fn a_directory_may_have_more_subdirectories_than_a_process_has_files() {
        let (_dir, granted) = tree();
        for number in 0..2000 {
            fs::create_dir(granted.join(format!("b/{number}"))).unwrap();
        }
        assert_eq!(ask("fs/list", &granted, "").unwrap().list().unwrap().len(), 2006);
    }

    #[test]
    fn a_question_ends_in_time() {
        let (_dir, granted) = tree();
        for (operation, path) in [("fs/hash", "a"), ("fs/hash", ""), ("fs/list", "")] {
            let late = answer(operation, granted.join(path).to_str().unwrap(), std::slice::from_ref(&granted), Instant::now()).unwrap_err();
            assert_eq!(late.tag, "timeout");
        }
    }
}
