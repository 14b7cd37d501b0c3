//! The engine under the store: one that notes what it was told and when it said it was done, and those with a bug.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

use adapter_tokio::StoreError;
use adapter_tokio::store::engine::{Changes, Direction, Engine, RedbEngine, Snapshot, Visit};
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use crate::disk::Disk;

/// All rows of a store, but for its secret, which is another one every time.
pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

const SECRET: &[u8] = b"\0secret";

pub(crate) fn rows_of(rows: &dyn Snapshot) -> Result<Rows, StoreError> {
    let mut all = Rows::new();
    rows.scan(&[]..&[255], Direction::Forward, &mut |key, value| {
        if key != SECRET {
            all.insert(key.to_vec(), value.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

pub(crate) fn database_on(disk: &Disk) -> Result<Database, StoreError> {
    Ok(redb::Builder::new().set_cache_size(1 << 20).create_with_backend(disk.clone())?)
}

pub(crate) fn redb_on(disk: &Disk) -> Result<RedbEngine, StoreError> {
    RedbEngine::new(database_on(disk)?)
}

/// A commit: the operations on the disk before it began and before it was said to be durable, and the rows it left.
pub(crate) struct Commit {
    pub(crate) began: usize,
    pub(crate) ended: usize,
    pub(crate) rows: Rows,
}

/// An engine that notes its commits.
pub(crate) struct Noting {
    engine: Box<dyn Engine>,
    disk: Disk,
    pub(crate) commits: Arc<Mutex<Vec<Commit>>>,
}

impl Noting {
    pub(crate) fn new(engine: Box<dyn Engine>, disk: Disk) -> Self {
        let rows = rows_of(&*engine.snapshot().unwrap()).unwrap();
        let first = Commit { began: 0, ended: disk.ops(), rows };
        Self { engine, disk, commits: Arc::new(Mutex::new(vec![first])) }
    }
}

impl Engine for Noting {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.engine.snapshot()
    }
    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let began = self.disk.ops();
        self.engine.commit(changes)?;
        let mut commits = self.commits.lock().unwrap();
        let mut rows = commits.last().unwrap().rows.clone();
        for range in changes.ranges() {
            rows.retain(|key, _| !range.contains(key));
        }
        for (key, value) in changes.entries().filter(|(key, _)| *key != SECRET) {
            match value {
                Some(value) => rows.insert(key.to_vec(), value.to_vec()),
                None => rows.remove(key),
            };
        }
        commits.push(Commit { began, ended: self.disk.ops(), rows });
        Ok(())
    }
}

/// What an engine, and so the store on it, may do wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// Commits are not durable.
    NotDurable,
    /// It says that it is done before it is.
    RepliesFirst,
    /// A batch is two commits.
    TwoCommits,
    /// A batch without its kv writes, which follow.
    KvApart,
    /// The event log follows in a commit of its own.
    EventsApart,
    /// What is left to do is settled before the run is written.
    SettlesFirst,
    /// Retention trims before the commit.
    TrimsFirst,
    /// The draft stays.
    DraftStays,
    /// A removed range stays when the vigy is deleted.
    RangeStays,
    /// Actions that failed for good follow in a commit of their own.
    LettersApart,
    /// An action that is tried again has another key. Not the engine's bug.
    RetriesAnew,
    /// A secret answer is kept like any other. Not the engine's bug.
    SecretKept,
}

impl Bug {
    pub(crate) const ALL: [Self; 12] = [
        Self::NotDurable,
        Self::RepliesFirst,
        Self::TwoCommits,
        Self::KvApart,
        Self::EventsApart,
        Self::SettlesFirst,
        Self::TrimsFirst,
        Self::DraftStays,
        Self::RangeStays,
        Self::LettersApart,
        Self::RetriesAnew,
        Self::SecretKept,
    ];
}

/// The names of rows, as the store's schema has them.
const STANDING: u8 = 2;
const EVENT: u8 = 3;
pub(crate) const LETTER: u8 = 4;
const VIGY: u8 = 5;
const KV: u8 = 1;
const DRAFT: u8 = 9;

fn is_part(key: &[u8], part: u8) -> bool {
    key[0] == VIGY && key.get(9) == Some(&part)
}

/// An engine with a bug.
pub(crate) struct Buggy {
    pub(crate) bug: Bug,
    pub(crate) engine: RedbEngine,
}

/// The changes to the keys that are meant.
fn part_of(changes: &Changes, range: impl Fn(&Range<Vec<u8>>) -> bool, entry: impl Fn(&[u8], Option<&[u8]>) -> bool) -> Changes {
    let mut part = Changes::default();
    changes.ranges().iter().filter(|known| range(known)).for_each(|range| _ = part.remove_range(range.clone()));
    for (key, value) in changes.entries().filter(|(key, value)| entry(key, *value)) {
        part.set(key.to_vec(), value.map(<[u8]>::to_vec));
    }
    part
}

impl Engine for Buggy {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.engine.snapshot()
    }

    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let both = |first: fn(&[u8], Option<&[u8]>) -> bool| {
            self.engine.commit(&part_of(changes, |_| true, first))?;
            self.engine.commit(&part_of(changes, |_| false, |key, value| !first(key, value)))
        };
        match self.bug {
            Bug::NotDurable | Bug::RepliesFirst => unreachable!("these are `Late`"),
            Bug::TwoCommits => {
                let half = changes.entries().nth(changes.entries().count() / 2).map(|(key, _)| key.to_vec()).unwrap_or_default();
                self.engine.commit(&part_of(changes, |_| true, |key, _| key < &half[..]))?;
                self.engine.commit(&part_of(changes, |_| false, |key, _| key >= &half[..]))
            }
            Bug::KvApart => both(|key, _| !is_part(key, KV)),
            Bug::EventsApart => both(|key, _| key[0] != EVENT),
            Bug::LettersApart => both(|key, _| key[0] != LETTER),
            Bug::RetriesAnew | Bug::SecretKept => self.engine.commit(changes),
            Bug::SettlesFirst => both(|key, _| key[0] == STANDING),
            Bug::TrimsFirst => both(|_, value| value.is_none()),
            Bug::DraftStays => self.engine.commit(&part_of(changes, |range| !is_part(&range.start, DRAFT), |_, _| true)),
            Bug::RangeStays => self.engine.commit(&part_of(changes, |range| is_part(&range.start, DRAFT), |_, _| true)),
        }
    }
}

/// redb, durable too late.
pub(crate) struct Late {
    pub(crate) database: Database,
    /// Whether the next commit makes up for it.
    pub(crate) next: bool,
}

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("vigy.rows");

struct LateRows(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Snapshot for LateRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key)?.map(|value| value.value().to_vec()))
    }
    fn scan(&self, range: Range<&[u8]>, direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let rows = self.0.range::<&[u8]>(range)?.map(|row| row.unwrap());
        let mut rows: Vec<_> = rows.collect();
        if direction == Direction::Backward {
            rows.reverse();
        }
        _ = rows.iter().try_for_each(|(key, value)| visit(key.value(), value.value()));
        Ok(())
    }
}

impl Engine for Late {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(Arc::new(LateRows(self.database.begin_read()?.open_table(ROWS)?)))
    }
    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        if self.next {
            self.database.begin_write()?.commit()?;
        }
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::None).unwrap();
        let mut rows = transaction.open_table(ROWS)?;
        for Range { start, end } in changes.ranges() {
            rows.retain_in(&start[..]..&end[..], |_, _| false)?;
        }
        for (key, value) in changes.entries() {
            match value {
                Some(value) => _ = rows.insert(key, value)?,
                None => _ = rows.remove(key)?,
            }
        }
        drop(rows);
        Ok(transaction.commit()?)
    }
}
