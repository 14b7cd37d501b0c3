//! The power goes at every point: at each write, resize and sync of the store's file, under every loss that a disk may have, and again
//! while the store recovers. Nothing that was acknowledged may be lost, nothing may be there by half, and every store must open.
//!
//! `VIGY_SEED` is the seed (1), `VIGY_RUNS` how many images of disks are opened (8,000).

mod disk;
mod engine;
#[path = "../format_2/mod.rs"]
mod format_2;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use adapter_tokio::StoreError;
use adapter_tokio::store::Store;
use adapter_tokio::store::engine::{Changes, Engine, MemoryEngine};
use disk::{Disk, Image, Lie, Loss, Op, Random};
use engine::{Bug, Buggy, Commit, Late, Noting, Rows, database_on, redb_on, rows_of};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Steps of the work: enough that everything happens a few times.
const STEPS: usize = 100;

/// Images that a planted bug has to show in.
const PLANTED_IMAGES: usize = 3000;

/// What was found in images.
#[derive(Default, Debug)]
struct Found {
    images: usize,
    /// Those of them that crashed again while they recovered.
    again: usize,
    lost: usize,
    by_half: usize,
    unopenable: usize,
    example: Option<String>,
}

impl Found {
    const fn failures(&self) -> usize {
        self.lost + self.by_half + self.unopenable
    }

    /// Opens an image, which must hold one of the states that are allowed, and gives back the disk as opening left it.
    fn open(&mut self, image: Image, allowed: &[Commit], earlier: &[Commit], what: &dyn std::fmt::Debug) -> Option<Disk> {
        self.images += 1;
        let disk = Disk::of(image, Lie::None);
        let open = || redb_on(&disk).and_then(|engine| rows_of(&*engine.snapshot()?));
        // On what a lying disk leaves, redb's own assertions may fail.
        let rows = catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| Err(StoreError("redb panics".to_owned())));
        let found = match rows {
            Err(error) => {
                self.unopenable += 1;
                format!("unopenable: {error}")
            }
            Ok(rows) if allowed.iter().any(|commit| commit.rows == rows) => return Some(disk),
            Ok(rows) if earlier.iter().any(|commit| commit.rows == rows) => {
                self.lost += 1;
                "an acknowledged commit is lost".to_owned()
            }
            Ok(_) => {
                self.by_half += 1;
                "a commit is there by half".to_owned()
            }
        };
        self.example.get_or_insert_with(|| format!("{what:?}: {found}"));
        None
    }
}

/// Crashes what is on a tape: about `images` images, spread over its boundaries. `commits` says what may be found where. Stops at the
/// first failure when told to.
fn crash(start: &Image, ops: &[Op], commits: &[Commit], images: usize, random: &mut Random, stop: bool) -> Found {
    let mut found = Found::default();
    let (mut base, mut pending) = (start.clone(), Vec::new());
    for (at, op) in ops.iter().enumerate() {
        pending.push(op.clone());
        if matches!(op, Op::Sync) {
            pending.iter().for_each(|op| base.apply(op));
            pending.clear();
            base.settle();
        }
        let done = at + 1;
        let acknowledged = commits.iter().rposition(|commit| commit.ended <= done).unwrap_or(0);
        let begun = commits.iter().rposition(|commit| commit.began < done).unwrap_or(0).max(acknowledged);
        let (earlier, allowed) = (&commits[..acknowledged], &commits[acknowledged..=begun]);
        while found.images < images * done / ops.len() {
            let loss = Loss::ALL[random.below(Loss::ALL.len())];
            let image = loss.image(&base, &pending, random);
            let Some(disk) = found.open(image.clone(), allowed, earlier, &(at, loss)) else { continue };
            if random.below(16) == 0 {
                let tape = disk.0.lock().unwrap().ops.clone();
                crash_again(&image, &tape, allowed, earlier, random, &mut found);
            }
        }
        if stop && found.failures() > 0 {
            break;
        }
    }
    found
}

/// Crashes a recovery, at each of its boundaries.
fn crash_again(start: &Image, ops: &[Op], allowed: &[Commit], earlier: &[Commit], random: &mut Random, found: &mut Found) {
    let (mut base, mut pending) = (start.clone(), Vec::new());
    for (at, op) in ops.iter().enumerate() {
        pending.push(op.clone());
        if matches!(op, Op::Sync) {
            pending.drain(..).for_each(|op| base.apply(&op));
        }
        let loss = Loss::ALL[random.below(Loss::ALL.len())];
        let image = loss.image(&base, &pending, random);
        found.again += 1;
        found.open(image, allowed, earlier, &("in recovery", at, loss));
    }
}

/// An empty store, made.
fn empty_store() -> Image {
    let disk = Disk::of(Image::default(), Lie::None);
    drop(Store::over(Arc::new(redb_on(&disk).unwrap())).unwrap());
    let mut image = disk.0.lock().unwrap().image.clone();
    image.settle();
    image
}

/// The work done once, on a disk and an engine that may have a bug: where it began, its tape, its commits, and how often it was told
/// something too early, or tried it under another key.
async fn recorded(lie: Lie, bug: Option<Bug>, seed: u64) -> (Image, Vec<Op>, Vec<Commit>, usize) {
    let start = empty_store();
    let disk = Disk::of(start.clone(), lie);
    let engine: Box<dyn Engine> = match bug {
        None => Box::new(redb_on(&disk).unwrap()),
        Some(bug @ (Bug::NotDurable | Bug::RepliesFirst)) => {
            Box::new(Late { database: database_on(&disk).unwrap(), next: bug == Bug::RepliesFirst })
        }
        Some(bug) => Box::new(Buggy { bug, engine: redb_on(&disk).unwrap() }),
    };
    let engine = Noting::new(engine, disk.clone());
    let commits = engine.commits.clone();
    let told_too_early = work::work(Arc::new(engine), seed, STEPS, &commits, bug).await;
    let ops = disk.0.lock().unwrap().ops.clone();
    let commits = std::mem::take(&mut *commits.lock().unwrap());
    (start, ops, commits, told_too_early)
}

/// Rows that hold what nobody may write down.
fn leaks(commits: &[Commit]) -> usize {
    let holds = |row: &Vec<u8>| row.windows(work::SECRET.len()).any(|part| part == work::SECRET.as_bytes());
    commits.iter().flat_map(|commit| commit.rows.values()).filter(|row| holds(row)).count()
}

/// The rows of every commit make a store that is whole.
async fn check_all(commits: &[Commit]) -> usize {
    let mut findings = 0;
    for commit in &commits[1..] {
        let memory = Arc::new(MemoryEngine::new());
        let mut changes = Changes::default();
        commit.rows.iter().for_each(|(key, value)| _ = changes.set(key.clone(), Some(value.clone())));
        changes.set(b"\0secret".to_vec(), Some(vec![0; 32]));
        memory.commit(&changes).unwrap();
        let found = Store::over(memory).unwrap().check().await.unwrap();
        findings += found.len();
        if let Some(finding) = found.first() {
            println!("after a commit: {finding}");
        }
    }
    findings
}

#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_wherever_the_power_goes() {
    let (seed, runs) = (setting("VIGY_SEED", 1), setting("VIGY_RUNS", 8000) as usize);
    let mut random = Random(seed);
    let (start, ops, commits, told_too_early) = recorded(Lie::None, None, seed).await;
    let findings = check_all(&commits).await + leaks(&commits);
    let letters = commits.iter().flat_map(|commit| commit.rows.keys()).filter(|key| key[0] == engine::LETTER).count();
    assert!(letters > 0, "some actions fail for good");
    let found = crash(&start, &ops, &commits, runs, &mut random, false);
    let mut stuck = 0;
    for _ in 0..20 {
        // A store that crashed somewhere is worked on.
        let cut = random.below(ops.len());
        let mut image = start.clone();
        ops[..cut].iter().for_each(|op| image.apply(op));
        let engine = Arc::new(redb_on(&Disk::of(image, Lie::None)).unwrap());
        if let Err(error) = work::goes_on(engine, random.next()).await {
            println!("cut at {cut}: {error}");
            stuck += 1;
        }
    }
    let mut caught = 0;
    let lies = [(Lie::NeverSyncs, None), (Lie::SyncsTooEarly, None)];
    let planted: Vec<_> = lies.into_iter().chain(Bug::ALL.map(|bug| (Lie::None, Some(bug)))).collect();
    for (lie, bug) in &planted {
        let (start, ops, commits, told_too_early) = recorded(*lie, *bug, seed).await;
        let found = crash(&start, &ops, &commits, PLANTED_IMAGES, &mut random, true);
        let is_caught = found.failures() + told_too_early + leaks(&commits) > 0;
        caught += usize::from(is_caught);
        if !is_caught {
            println!("not caught: {lie:?} {bug:?}");
        }
    }
    let Found { images, again, lost, by_half, unopenable, example } = &found;
    let failures = found.failures() + told_too_early + findings + stuck;
    let planted = planted.len();
    println!(
        r#"{{"name":"crash-points","seed":{seed},"runs":{images},"failures":{failures},"planted":{planted},"caught":{caught},"lost":{lost},"by_half":{by_half},"unopenable":{unopenable},"in_recovery":{again},"boundaries":{},"commits":{}}}"#,
        ops.len(),
        commits.len()
    );
    assert_eq!((failures, caught), (0, planted), "{example:?}");
}

/// A store of format 2 on a disk, and what becomes of it.
fn migrated(migrate: impl FnOnce(&Disk)) -> (Image, Vec<Op>) {
    let disk = Disk::of(Image::default(), Lie::None);
    format_2::fill(&database_on(&disk).unwrap());
    let mut start = disk.0.lock().unwrap().image.clone();
    start.settle();
    let disk = Disk::of(start.clone(), Lie::None);
    migrate(&disk);
    let ops = disk.0.lock().unwrap().ops.clone();
    (start, ops)
}

/// Takes the kv rows out first and puts them back last.
fn in_two_steps(disk: &Disk) {
    const OLD: TableDefinition<'_, (u64, &str), &[u8]> = TableDefinition::new("vigy.kv");
    let database = database_on(disk).unwrap();
    let table = database.begin_read().unwrap().open_table(OLD).unwrap();
    let rows: Vec<_> = table.iter().unwrap().map(|row| row.unwrap()).collect();
    let kept = rows.iter().map(|(key, value)| {
        let (id, name) = key.value();
        ([&[5][..], &id.to_be_bytes(), &[1], name.as_bytes()].concat(), value.value().to_vec())
    });
    let kept: Vec<_> = kept.collect();
    drop(rows);
    drop(table);
    let transaction = database.begin_write().unwrap();
    transaction.open_table(OLD).unwrap().retain(|_, _| false).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let mut changes = Changes::default();
    kept.into_iter().for_each(|(key, value)| _ = changes.set(key, Some(value)));
    redb_on(disk).unwrap().commit(&changes).unwrap();
}

#[test]
fn a_migration_is_whole_wherever_the_power_goes() {
    let (seed, runs) = (setting("VIGY_SEED", 1), setting("VIGY_RUNS", 8000) as usize / 10);
    let mut random = Random(seed);
    let wanted = Arc::new(Mutex::new(Rows::new()));
    let kept = wanted.clone();
    let (start, ops) = migrated(move |disk| {
        let engine = redb_on(disk).unwrap();
        *kept.lock().unwrap() = rows_of(&*engine.snapshot().unwrap()).unwrap();
    });
    let rows = wanted.lock().unwrap().clone();
    let commits = [Commit { began: 0, ended: 0, rows }];
    let found = crash(&start, &ops, &commits, runs, &mut random, false);
    let (start, ops) = migrated(in_two_steps);
    let caught = usize::from(crash(&start, &ops, &commits, runs, &mut random, true).failures() > 0);
    let (images, failures) = (found.images, found.failures());
    println!(r#"{{"name":"migration","seed":{seed},"runs":{images},"failures":{failures},"planted":1,"caught":{caught}}}"#);
    assert_eq!((failures, caught), (0, 1), "{:?}", found.example);
}
