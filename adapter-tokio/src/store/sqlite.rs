//! A store as an SQLite file, for whoever wants to ask it in SQL.
//!
//! The file is written from front to back, as <https://www.sqlite.org/fileformat2.html> says, and never read: that takes tables of rows
//! in the order of their numbers, and no library. Everything in it is a copy; the store never looks at it again.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp as Time;
use vigy_core::{ResultStatus, Schedule, Timestamp};

use super::copy::{CopyError, whole};
use super::engine::Snapshot;
use super::export::{Exported, export};
use super::schema::Happened;
use crate::view::Run;

/// The tables: name and columns. Times are RFC 3339 texts in UTC, which have the order of time.
const TABLES: [(&str, &str); 4] = [
    (
        "vigies",
        "id TEXT, name TEXT, enabled INTEGER, parked INTEGER, schedule TEXT, program TEXT, revision INTEGER, ticks INTEGER, \
         created_at TEXT, updated_at TEXT, next_due_at TEXT",
    ),
    (
        "vigy_runs",
        "id TEXT, vigy_id TEXT, tick INTEGER, result TEXT, error TEXT, started_at TEXT, ended_at TEXT, fuel INTEGER, \
         actions INTEGER, failed_actions INTEGER, logs TEXT",
    ),
    ("vigy_events", "seq INTEGER, at TEXT, vigy_id TEXT, kind TEXT, details TEXT"),
    ("vigy_dead_letters", "key TEXT, vigy_id TEXT, kind TEXT, message TEXT, attempts INTEGER, at TEXT"),
];
const VIGIES: usize = 0;
const RUNS: usize = 1;
const EVENTS: usize = 2;
const DEAD_LETTERS: usize = 3;

/// Writes everything a snapshot has into a new SQLite file.
pub(super) fn write(rows: &dyn Snapshot, path: &Path) -> Result<(), CopyError> {
    whole(path, |partial| {
        let io = |source| CopyError::Io { path: partial.to_owned(), source };
        let mut file = Sqlite::create(partial).map_err(io)?;
        let mut written = Ok(());
        export(rows, |item| {
            written = file.add(&item);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        written.and_then(|()| file.finish()).map_err(io)
    })
}

/// A value of a column.
enum Value {
    Null,
    Int(i64),
    Text(String),
}

fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

fn time(at: Timestamp) -> Value {
    let at = i64::try_from(at.0).ok().and_then(|ms| Time::from_millisecond(ms).ok());
    at.map_or(Value::Null, |at| Value::Text(format!("{at:.3}")))
}

fn schedule(schedule: &Schedule) -> Value {
    match schedule {
        Schedule::Every(cadence) => Value::Text(format!("every {} ms", cadence.interval.as_millis())),
        Schedule::Cron(cron) => text(cron.as_str()),
    }
}

const PAGE: usize = 4096;
/// The most bytes of a row that lie in its page, and the fewest when the rest lies elsewhere.
const LOCAL_MAX: usize = PAGE - 35;
const LOCAL_MIN: usize = (PAGE - 12) * 32 / 255 - 23;

const LEAF: u8 = 13;
const INTERIOR: u8 = 5;

/// A file under way. Its first page, which says where the tables are, is written last.
struct Sqlite {
    file: io::BufWriter<File>,
    pages: u32,
    tables: [Table; 4],
}

/// A table under way.
#[derive(Default)]
struct Table {
    rows: i64,
    leaf: Page,
    /// The pages that are written, each with its last row.
    done: Vec<(u32, i64)>,
}

/// Cells of a page under way.
#[derive(Default)]
struct Page {
    cells: Vec<Vec<u8>>,
    bytes: usize,
}

impl Page {
    /// Whether a cell of so many bytes fits as well. `taken` bytes of the page are something else.
    const fn fits(&self, cell: usize, taken: usize) -> bool {
        taken + self.bytes + cell + 2 <= PAGE
    }

    fn push(&mut self, cell: Vec<u8>) {
        self.bytes += cell.len() + 2;
        self.cells.push(cell);
    }

    /// The page's bytes. What is before `start` is not the tree's; `right` is the last child of an interior page.
    fn image(&self, kind: u8, start: usize, right: Option<u32>) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        let mut end = PAGE;
        let mut pointers = Vec::new();
        for cell in &self.cells {
            end -= cell.len();
            page[end..end + cell.len()].copy_from_slice(cell);
            // A page has 4,096 bytes.
            pointers.extend((end as u16).to_be_bytes());
        }
        let mut head = vec![kind, 0, 0];
        head.extend((self.cells.len() as u16).to_be_bytes());
        head.extend((end as u16).to_be_bytes());
        head.push(0);
        head.extend(right.into_iter().flat_map(u32::to_be_bytes));
        head.extend(pointers);
        page[start..start + head.len()].copy_from_slice(&head);
        page
    }
}

impl Sqlite {
    fn create(path: &Path) -> io::Result<Self> {
        let mut file = io::BufWriter::new(File::create_new(path)?);
        file.write_all(&[0; PAGE])?;
        Ok(Self { file, pages: 1, tables: Default::default() })
    }

    /// Writes the next page, and says which it is.
    fn page(&mut self, page: &[u8]) -> io::Result<u32> {
        self.file.write_all(page)?;
        self.pages = self.pages.checked_add(1).ok_or_else(|| io::Error::other("an SQLite file has no more pages"))?;
        Ok(self.pages)
    }

    fn add(&mut self, item: &Exported) -> io::Result<()> {
        match item {
            Exported::Vigy(v) => {
                let (vigy, checkpoint) = (&v.vigy, &v.checkpoint);
                let columns = [
                    text(v.id),
                    text(&vigy.name),
                    Value::Int(vigy.enabled.into()),
                    Value::Int(checkpoint.parked.into()),
                    schedule(&vigy.schedule),
                    text(&vigy.program),
                    int(v.revision),
                    int(checkpoint.ticks),
                    time(v.created_at),
                    time(v.updated_at),
                    time(checkpoint.due),
                ];
                self.row(VIGIES, &columns)
            }
            Exported::Run(run) => self.run(run),
            Exported::DeadLetter { vigy, letter } => {
                let (kind, attempts) = (letter.kind.name(), int(letter.attempts.into()));
                self.row(DEAD_LETTERS, &[text(letter.key), text(vigy), text(kind), text(&letter.message), attempts, time(letter.at)])
            }
            Exported::Event { seq, event } => {
                let (kind, details) = match &event.what {
                    Happened::Registered { name } => ("registered", text(name)),
                    Happened::Updated { revision } => ("updated", text(revision)),
                    Happened::Enabled => ("enabled", Value::Null),
                    Happened::Disabled => ("disabled", Value::Null),
                    Happened::Parked => ("parked", Value::Null),
                    Happened::Resumed => ("resumed", Value::Null),
                    Happened::Deleted { name } => ("deleted", text(name)),
                    Happened::Ran { run, result } => ("ran", text(format_args!("{run} {result}"))),
                    Happened::DeadLettered { key } => ("dead-lettered", text(key)),
                };
                self.row(EVENTS, &[int(*seq), time(event.at), text(event.vigy), text(kind), details])
            }
            Exported::Revision { .. } | Exported::State { .. } => Ok(()),
        }
    }

    fn run(&mut self, run: &Run) -> io::Result<()> {
        let failed = run.actions.iter().filter(|action| action.result == Some(ResultStatus::Failed)).count();
        let logs: Vec<_> = run.logs.iter().map(|line| format!("{}: {}", line.level.name(), line.message)).collect();
        let columns = [
            text(run.key),
            text(run.vigy),
            int(run.key.tick),
            text(run.result),
            run.error.as_ref().map_or(Value::Null, text),
            time(run.started_at),
            run.ended_at.map_or(Value::Null, time),
            int(run.fuel),
            int(run.actions.len() as u64),
            int(failed as u64),
            text(logs.join("\n")),
        ];
        self.row(RUNS, &columns)
    }

    /// Adds a row to a table.
    fn row(&mut self, table: usize, columns: &[Value]) -> io::Result<()> {
        self.tables[table].rows += 1;
        let number = self.tables[table].rows;
        let cell = self.cell(number, &record(columns))?;
        if !self.tables[table].leaf.fits(cell.len(), 8) {
            self.end_leaf(table, number - 1)?;
        }
        self.tables[table].leaf.push(cell);
        Ok(())
    }

    /// A row as it lies in a page; what is too long lies on pages of its own.
    fn cell(&mut self, row: i64, record: &[u8]) -> io::Result<Vec<u8>> {
        let mut cell = Vec::new();
        varint(&mut cell, record.len() as u64);
        // Rows count from 1.
        varint(&mut cell, row as u64);
        let local = match record.len() {
            len if len <= LOCAL_MAX => len,
            len => match LOCAL_MIN + (len - LOCAL_MIN) % (PAGE - 4) {
                local if local <= LOCAL_MAX => local,
                _ => LOCAL_MIN,
            },
        };
        let (local, rest) = record.split_at(local);
        cell.extend(local);
        if !rest.is_empty() {
            cell.extend((self.pages + 1).to_be_bytes());
        }
        let mut chunks = rest.chunks(PAGE - 4).peekable();
        while let Some(chunk) = chunks.next() {
            let next = if chunks.peek().is_some() { self.pages + 2 } else { 0 };
            let mut page = next.to_be_bytes().to_vec();
            page.extend(chunk);
            page.resize(PAGE, 0);
            self.page(&page)?;
        }
        Ok(cell)
    }

    /// Writes the leaf under way, whose last row is `last`.
    fn end_leaf(&mut self, table: usize, last: i64) -> io::Result<()> {
        let leaf = std::mem::take(&mut self.tables[table].leaf);
        let page = self.page(&leaf.image(LEAF, 0, None))?;
        self.tables[table].done.push((page, last));
        Ok(())
    }

    /// Ends a table, and says on which page its tree begins.
    fn end_table(&mut self, table: usize) -> io::Result<u32> {
        self.end_leaf(table, self.tables[table].rows)?;
        let mut level = std::mem::take(&mut self.tables[table].done);
        while level.len() > 1 {
            let mut above = Vec::new();
            // A child takes 4 bytes, a row number of at most 9, and a pointer of 2. All pages get as many: none is left with a single child.
            let pages = level.len().div_ceil((PAGE - 12) / 15);
            for children in level.chunks(level.len().div_ceil(pages)) {
                let [children @ .., (right, last)] = children else { continue };
                let mut page = Page::default();
                for (child, row) in children {
                    let mut cell = child.to_be_bytes().to_vec();
                    varint(&mut cell, *row as u64);
                    page.push(cell);
                }
                above.push((self.page(&page.image(INTERIOR, 0, Some(*right)))?, *last));
            }
            level = above;
        }
        level.first().map(|(root, _)| *root).ok_or_else(|| io::Error::other("a table has no page"))
    }

    fn finish(mut self) -> io::Result<()> {
        let mut schema = Page::default();
        for (at, (name, columns)) in TABLES.iter().enumerate() {
            let root = self.end_table(at)?;
            let sql = format!("CREATE TABLE {name} ({columns})");
            let columns = [text("table"), text(name), text(name), int(root.into()), Value::Text(sql)];
            let cell = self.cell(at as i64 + 1, &record(&columns))?;
            schema.push(cell);
        }
        let mut first = schema.image(LEAF, 100, None);
        first[..16].copy_from_slice(b"SQLite format 3\0");
        first[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
        // Format 1 for readers and writers, no bytes reserved, and the fractions that the format fixes.
        first[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
        let words = [(24, 1), (28, self.pages), (40, 1), (44, 4), (56, 1), (92, 1), (96, 3_045_000)];
        for (at, word) in words {
            first[at..at + 4].copy_from_slice(&u32::to_be_bytes(word));
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&first)?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// A row's columns as SQLite has them.
fn record(columns: &[Value]) -> Vec<u8> {
    let (mut types, mut body) = (Vec::new(), Vec::new());
    for column in columns {
        match column {
            Value::Null => types.push(0),
            Value::Int(number) => {
                types.push(6);
                body.extend(number.to_be_bytes());
            }
            Value::Text(text) => {
                varint(&mut types, 13 + 2 * text.len() as u64);
                body.extend(text.as_bytes());
            }
        }
    }
    let mut record = Vec::new();
    // The head counts itself, and with eleven columns at most it is short.
    varint(&mut record, types.len() as u64 + 1);
    record.extend(types);
    record.extend(body);
    record
}

/// A number of SQLite's variable length, at most 56 bits of it.
fn varint(into: &mut Vec<u8>, number: u64) {
    for shift in (1..8).rev().map(|byte| byte * 7) {
        if number >> shift > 0 {
            into.push(0x80 | (number >> shift & 0x7f) as u8);
        }
    }
    into.push((number & 0x7f) as u8);
}
