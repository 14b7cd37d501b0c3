//! A store in other forms: JSON Lines, or an SQLite database to look at.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection as Database, params};
use serde_json::{Value, json};
use vigy::api::{DeadLetter, Revision, Vigy, VigyRun, VigyState, rfc3339};
use vigy::store::{Exported, Happened, Happening, Store};

use super::connect::Connection;
use super::failure::{Exit, Failure};

/// The form of an export.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Lines,
    Sqlite,
}

impl Form {
    /// By the end of the file's name.
    pub(crate) fn of(file: &Path) -> Result<Self, Failure> {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => Ok(Self::Lines),
            Some("sqlite" | "db") => Ok(Self::Sqlite),
            _ => {
                let shown = file.display();
                let advice = "FILE.jsonl is JSON Lines, FILE.sqlite or FILE.db an SQLite database";
                Err(Failure::new(Exit::Usage, format_args!("{shown} does not say in which form to export: {advice}")))
            }
        }
    }
}

const SCHEMA: &str = "
    CREATE TABLE vigies (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, program TEXT NOT NULL, tick_interval_ms INTEGER, schedule TEXT NOT NULL,
        enabled INTEGER NOT NULL, parked INTEGER NOT NULL, labels TEXT NOT NULL, on_action TEXT NOT NULL, allow TEXT NOT NULL,
        config TEXT NOT NULL, revision INTEGER NOT NULL, ticks INTEGER NOT NULL, failures INTEGER NOT NULL, missed INTEGER NOT NULL,
        created_at TEXT NOT NULL, updated_at TEXT NOT NULL, last_tick_at TEXT, next_tick_at TEXT);
    CREATE TABLE vigy_revisions (
        vigy_id TEXT NOT NULL, revision INTEGER NOT NULL, declared_at TEXT NOT NULL, program TEXT NOT NULL, image TEXT,
        PRIMARY KEY (vigy_id, revision));
    CREATE TABLE vigy_state (vigy_id TEXT NOT NULL, section TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (vigy_id, section, key));
    CREATE TABLE vigy_runs (
        id TEXT PRIMARY KEY, vigy_id TEXT NOT NULL, tick INTEGER NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, result TEXT NOT NULL,
        error TEXT, fuel INTEGER NOT NULL, program TEXT, actions TEXT NOT NULL, writes TEXT NOT NULL, logs TEXT NOT NULL,
        events TEXT NOT NULL);
    CREATE INDEX vigy_runs_by_vigy ON vigy_runs (vigy_id, tick);
    CREATE TABLE vigy_dead_letters (
        key TEXT PRIMARY KEY, vigy_id TEXT NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL, message TEXT NOT NULL, at TEXT NOT NULL);
    CREATE TABLE vigy_events (seq INTEGER PRIMARY KEY, vigy_id TEXT NOT NULL, at TEXT NOT NULL, event TEXT NOT NULL, detail TEXT NOT NULL);
    BEGIN;
";

/// Where an export goes.
enum Sink {
    Lines(BufWriter<File>),
    Sqlite(Database),
}

/// Writes everything into a new file, and says how many things there were. What a daemon has is copied first, which takes no longer than a
/// backup.
pub(crate) async fn export(connection: &Connection, file: &Path, form: Form) -> Result<u64, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, format_args!("cannot export to {}: {error}", file.display()));
    // Nothing is overwritten.
    let made = File::create_new(file).map_err(|error| failed(&error))?;
    let sink = match form {
        Form::Lines => Ok(Sink::Lines(BufWriter::new(made))),
        Form::Sqlite => Database::open(file).and_then(|database| database.execute_batch(SCHEMA).map(|()| Sink::Sqlite(database))),
    };
    let exported = match sink.map_err(|error| failed(&error)) {
        Ok(sink) => match connection {
            Connection::Store(local) => write(local.runtime().store(), sink).await,
            Connection::Daemon(_) => from_daemon(connection, file, sink).await,
        },
        Err(failure) => Err(failure),
    };
    if exported.is_err() {
        // Half an export is none.
        _ = fs::remove_file(file);
    }
    exported
}

async fn from_daemon(connection: &Connection, file: &Path, sink: Sink) -> Result<u64, Failure> {
    let mut copy = std::path::absolute(file)?.into_os_string();
    copy.push(format!(".{}.backup", std::process::id()));
    let copy = PathBuf::from(copy);
    connection.service().backup(&copy).await?;
    let exported = async {
        let store = Store::open(&copy, Duration::ZERO).await?;
        let exported = write(&store, sink).await;
        store.close().await;
        exported
    };
    let exported = exported.await;
    _ = fs::remove_file(&copy);
    exported
}

async fn write(store: &Store, sink: Sink) -> Result<u64, Failure> {
    let writing = Arc::new(Mutex::new((sink, Ok::<_, String>(0u64))));
    let shared = writing.clone();
    let visit = move |thing| {
        let (sink, done) = &mut *shared.lock().unwrap_or_else(PoisonError::into_inner);
        let written = sink.put(thing);
        match (&mut *done, written) {
            (Ok(count), Ok(())) => *count += 1,
            (_, written) => *done = written.map(|()| 0),
        }
        if done.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, format_args!("the export failed: {error}"));
    store.export(visit).await.map_err(|error| failed(&error))?;
    let (sink, done) = &mut *writing.lock().unwrap_or_else(PoisonError::into_inner);
    let count = done.clone().map_err(|error| failed(&error))?;
    sink.finish().map_err(|error| failed(&error))?;
    Ok(count)
}

impl Sink {
    fn put(&mut self, thing: Exported) -> Result<(), String> {
        match self {
            Self::Lines(file) => writeln!(file, "{}", line(thing)).map_err(|error| error.to_string()),
            Self::Sqlite(database) => row(database, thing).map_err(|error| error.to_string()),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        match self {
            Self::Lines(file) => file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|error| error.to_string()),
            Self::Sqlite(database) => database.execute_batch("COMMIT").map_err(|error| error.to_string()),
        }
    }
}

/// What happened, as a word and what there is to say of it.
fn happened(what: &Happened) -> (&'static str, Value) {
    match what {
        Happened::Registered { name } => ("registered", json!({ "name": name })),
        Happened::Updated { revision } => ("updated", json!({ "revision": revision })),
        Happened::Enabled => ("enabled", json!({})),
        Happened::Disabled => ("disabled", json!({})),
        Happened::Parked => ("parked", json!({})),
        Happened::Resumed => ("resumed", json!({})),
        Happened::Deleted { name } => ("deleted", json!({ "name": name })),
        Happened::Ran { run, result } => ("ran", json!({ "run": run.to_string(), "result": result.name() })),
        Happened::DeadLettered { key } => ("dead-lettered", json!({ "key": key.to_string() })),
    }
}

/// A thing as a line of JSON: `kind` says what it is.
fn line(thing: Exported) -> Value {
    let tagged = |kind: &str, thing: serde_json::Result<Value>| {
        let mut line = json!({ "kind": kind });
        if let (Some(line), Ok(Value::Object(thing))) = (line.as_object_mut(), thing) {
            // An action has a kind of its own.
            line.extend(thing.into_iter().map(|(key, value)| if key == "kind" { ("action".to_owned(), value) } else { (key, value) }));
        }
        line
    };
    match thing {
        Exported::Vigy(vigy) => tagged("vigy", serde_json::to_value(Vigy::from(*vigy))),
        Exported::Revision { vigy, revision } => {
            let mut line = tagged("revision", serde_json::to_value(Revision::from(*revision)));
            line["vigy_id"] = vigy.to_string().into();
            line
        }
        Exported::State { vigy, state } => tagged("state", serde_json::to_value(VigyState::new(vigy.to_string(), *state))),
        Exported::Run(run) => tagged("run", serde_json::to_value(VigyRun::from(*run))),
        Exported::DeadLetter { vigy, letter } => tagged("dead-letter", serde_json::to_value(DeadLetter::new(vigy, letter))),
        Exported::Event { seq, event: Happening { at, vigy, what } } => {
            let (word, detail) = happened(&what);
            json!({ "kind": "event", "seq": seq, "vigy_id": vigy.to_string(), "at": rfc3339(at), "event": word, "detail": detail })
        }
    }
}

fn row(database: &Database, thing: Exported) -> rusqlite::Result<()> {
    let insert = |sql: &str, values: &[&dyn rusqlite::ToSql]| database.prepare_cached(sql)?.execute(values).map(|_| ());
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    match thing {
        Exported::Vigy(vigy) => {
            let v = Vigy::from(*vigy);
            insert(
                "INSERT INTO vigies VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                params![
                    v.id,
                    v.name,
                    v.program,
                    v.tick_interval_ms.map(number),
                    text(&v.schedule),
                    v.enabled,
                    v.parked,
                    text(&v.labels),
                    v.on_action,
                    text(&v.allow),
                    text(&v.config),
                    number(v.revision),
                    number(v.ticks),
                    v.failures,
                    number(v.missed),
                    v.created_at,
                    v.updated_at,
                    v.last_tick_at,
                    v.next_tick_at
                ],
            )
        }
        Exported::Revision { vigy, revision } => {
            let r = Revision::from(*revision);
            let sql = "INSERT INTO vigy_revisions VALUES (?,?,?,?,?)";
            insert(sql, params![vigy.to_string(), number(r.revision), r.declared_at, r.program, r.image])
        }
        Exported::State { vigy, state } => sections(VigyState::new(vigy.to_string(), *state)).try_for_each(|(section, key, value)| {
            insert("INSERT INTO vigy_state VALUES (?,?,?,?)", params![vigy.to_string(), section, key, value.to_string()])
        }),
        Exported::Run(run) => {
            let r = VigyRun::from(*run);
            insert(
                "INSERT INTO vigy_runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                params![
                    r.id,
                    r.vigy_id,
                    number(r.tick),
                    r.started_at,
                    r.ended_at,
                    r.result,
                    r.error,
                    number(r.fuel),
                    r.program,
                    text(&r.actions),
                    text(&r.writes),
                    text(&r.logs),
                    text(&r.events)
                ],
            )
        }
        Exported::DeadLetter { vigy, letter } => {
            let l = DeadLetter::new(vigy, letter);
            let sql = "INSERT INTO vigy_dead_letters VALUES (?,?,?,?,?,?)";
            insert(sql, params![l.key, l.vigy_id, l.kind, l.payload.to_string(), l.message, l.at])
        }
        Exported::Event { seq, event: Happening { at, vigy, what } } => {
            let (word, detail) = happened(&what);
            let sql = "INSERT INTO vigy_events VALUES (?,?,?,?,?)";
            insert(sql, params![number(seq), vigy.to_string(), rfc3339(at), word, detail.to_string()])
        }
    }
}

/// A part of a row that is JSON.
fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What is kept between ticks, as rows of (section, key, value).
fn sections(state: VigyState) -> impl Iterator<Item = (&'static str, String, Value)> {
    let VigyState { desired, observed, kv, conditions, metrics, .. } = state;
    let conditions = conditions.into_iter().map(|condition| (condition.name.clone(), serde_json::to_value(condition).unwrap_or_default()));
    let of = |section: &'static str, map: serde_json::Map<String, Value>| map.into_iter().map(move |(key, value)| (section, key, value));
    of("desired", desired)
        .chain(of("observed", observed))
        .chain(of("kv", kv))
        .chain(of("metric", metrics))
        .chain(conditions.map(|(name, condition)| ("condition", name, condition)))
}
