//! The handler of `programs/mirror-dir`: applies one action, which it reads as JSON from standard input, below a directory.
//!
//! ```text
//! vigy register main.tlisp --on-action 'exec:mirror-apply /srv/target' …
//! ```
//!
//! Doing the same action twice is the same as doing it once. Paths cannot lead out of the directory, neither by `..` nor by a symlink.

use std::io::{self, ErrorKind, Read as _};
use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde::Deserialize;

#[derive(Deserialize)]
struct Action {
    key: String,
    kind: String,
    payload: Change,
}

#[derive(Deserialize)]
struct Change {
    path: String,
    r#type: String,
    #[serde(default)]
    encoding: String,
    #[serde(default)]
    content: String,
}

fn main() -> ExitCode {
    match apply() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn apply() -> Result<(), Box<dyn std::error::Error>> {
    let target = std::env::args_os().nth(1).ok_or("usage: mirror-apply TARGET < ACTION")?;
    let mut json = String::new();
    io::stdin().read_to_string(&mut json)?;
    let Action { key, kind, payload: change } = serde_json::from_str(&json)?;

    std::fs::create_dir_all(&target)?;
    let target = Dir::open_ambient_dir(&target, ambient_authority())?;
    let path = Path::new(&change.path);
    let done = match (kind.as_str(), change.r#type.as_str()) {
        ("create" | "update", "dir") => match target.create_dir(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && target.symlink_metadata(path)?.is_dir() => Ok(()),
            created => created,
        },
        ("create" | "update", "file") => write(&target, path, &key, &content(&change)?),
        ("delete", "dir") => unless_gone(target.remove_dir(path)),
        ("delete", _) => unless_gone(target.remove_file(path)),
        (kind, thing) => return Err(format!("cannot {kind} a {thing}").into()),
    };
    done.map_err(|error| format!("cannot {kind} {}: {error}", change.path).into())
}

fn content(change: &Change) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    match change.encoding.as_str() {
        "utf8" => Ok(change.content.clone().into_bytes()),
        "base64" => Ok(BASE64.decode(&change.content)?),
        other => Err(format!("unknown encoding `{other}`").into()),
    }
}

/// Whoever looks at the file sees all of its old content or all of its new content. What a crash leaves behind is not in the source, so
/// the vigy has it deleted.
fn write(target: &Dir, path: &Path, key: &str, content: &[u8]) -> io::Result<()> {
    let draft = path.with_file_name(format!(".{key}.draft"));
    target.write(&draft, content)?;
    target.rename(&draft, target, path)
}

fn unless_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
