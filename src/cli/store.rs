//! Looking after the store.

use std::io::Write;
use std::path::Path;

use serde_json::json;
use vigy::api::StoreFinding;
use vigy::store::restore;
use vigy::{Incarnation, Timestamp, socket};

use super::args::Store;
use super::commands::document;
use super::failure::{Exit, Failure};
use super::{connect, export, print};

pub(crate) async fn store(command: Store, path: &Path, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    match command {
        Store::Check => {
            let connection = connect::connect(path).await?;
            let checked = async {
                let findings = connection.service().check().await?;
                if json { document(out, &findings) } else { Ok(shown(out, path, &findings)?) }?;
                Ok(if findings.is_empty() { Exit::Done } else { Exit::Failed })
            };
            let checked = checked.await;
            connection.finish(checked).await
        }
        Store::Backup { file } => {
            let connection = connect::connect(path).await?;
            let copied = async {
                // A daemon may be at home elsewhere.
                let file = std::path::absolute(&file)?;
                connection.service().backup(&file).await?;
                told(out, json, "backed up to", &file)
            };
            let copied = copied.await;
            connection.finish(copied).await
        }
        Store::Restore { file } => {
            if socket::is_up(&socket::path(path)).await {
                let shown = path.display();
                return Err(Failure::new(Exit::NoConnection, format_args!("a daemon serves {shown}: name another store with --db")));
            }
            let (backup, new) = (file, path.to_owned());
            if let Some(directory) = new.parent() {
                std::fs::create_dir_all(directory)?;
            }
            let lives = lives(&backup)?;
            // Before 1970 no store was made.
            let now = Timestamp(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default());
            let made = tokio::task::spawn_blocking(move || restore(&backup, &new, now, lives)).await;
            made.map_err(|error| Failure::new(Exit::Failed, error))?.map_err(vigy::service::Error::from)?;
            told(out, json, "restored to", path)
        }
        Store::Export { file } => {
            let form = export::Form::of(&file)?;
            let connection = connect::connect(path).await?;
            let exported = export::export(&connection, &file, form).await;
            let exported = exported.and_then(|count| {
                if json {
                    return document(out, &json!({ "file": file, "things": count }));
                }
                writeln!(out, "exported {count} things to {}", file.display())?;
                Ok(Exit::Done)
            });
            connection.finish(exported).await
        }
    }
}

/// Lives that no vigy had before.
fn lives(backup: &Path) -> Result<impl FnMut() -> Incarnation + Send + use<>, Failure> {
    let mut key = [0; 32];
    let no_randomness =
        |error| Failure::new(Exit::Failed, format_args!("the system gives no randomness for {}: {error}", backup.display()));
    getrandom::fill(&mut key).map_err(no_randomness)?;
    let mut count = 0u64;
    Ok(move || {
        count += 1;
        let hash = blake3::keyed_hash(&key, &count.to_le_bytes());
        // A hash has more than 8 bytes.
        Incarnation(hash.as_bytes().iter().take(8).fold(0, |life, byte| life << 8 | u64::from(*byte)))
    })
}

fn told(out: &mut impl Write, json: bool, what: &str, file: &Path) -> Result<Exit, Failure> {
    if json {
        return document(out, &json!({ "file": file }));
    }
    writeln!(out, "{what} {}", file.display())?;
    Ok(Exit::Done)
}

fn shown(out: &mut impl Write, path: &Path, findings: &[StoreFinding]) -> std::io::Result<Exit> {
    for finding in findings {
        writeln!(out, "{}", print::clean(&finding.problem))?;
    }
    match findings.len() {
        0 => writeln!(out, "{} is whole", path.display())?,
        problems => writeln!(out, "{}: {problems} problems; `vigy store restore` makes a store of a backup", path.display())?,
    }
    Ok(Exit::Done)
}
