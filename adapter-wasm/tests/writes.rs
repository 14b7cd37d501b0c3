//! Writes from inside a module: the drafts and the records of the native run, and a cut tick that goes on as it does natively.

mod common;

use std::collections::BTreeMap;

use adapter_wasm::{Engine, Module};
use common::{end, in_every_engine, module};
use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::record::{Access, Entry, Record};
use vigy_core::sim::{CrashStorage, Gone, ManualClock, MemoryStorage};
use vigy_core::{
    ActionKey, Ask, AskError, Batch, Checkpoint, Draft, Effects, Host, HostError, Incarnation, Limits, Outcome, Piece, ReconcileAction,
    RunKey, Settlement, Spec, Storage, TickBuffers, TickInterval, Timestamp, Unfinished,
};
use vigy_lisp::{Arity, Data, HostFn, Image};

in_every_engine! {
    a_write_leaves_the_same_drafts_and_records,
    a_cut_tick_goes_on_in_a_module,
}

const OPERATIONS: [HostFn; 2] = [
    HostFn { name: "disks/list", arity: Arity::exactly(0), writes: false, secret: false, doc: "" },
    HostFn { name: "disks/grow", arity: Arity::exactly(2), writes: true, secret: false, doc: "" },
];

/// Grows every disk by one. What it does depends on what it reads: whoever lists the disks again in the middle grows one twice.
const GROW: &str = r#"
    (vigy-incr "ticks")
    (for [disk (disks/list)]
      (let [size (+ 1 (:size disk))]
        (vigy-log :info (str (:name disk) " to " size))
        (vigy-set (:name disk) (disks/grow (:name disk) size))))
    (vigy-trace "after" (disks/list))
    (vigy-push "done")"#;

const TICKS: u64 = 2;
const DISKS: usize = 3;

/// What the store is told in a tick: a draft before each write and one behind it, a commit, a settlement.
const STORE_WRITES: u32 = DISKS as u32 * 2 + 2;

/// Disks behind an interface that deduplicates by key, as a receiver should.
#[derive(Clone, PartialEq, Debug)]
struct Disks {
    sizes: BTreeMap<String, i64>,
    sent: Vec<ActionKey>,
    done: BTreeMap<ActionKey, i64>,
}

impl Disks {
    /// Names so long that the list is stored by content.
    fn new() -> Self {
        let sizes = (0..DISKS).map(|n| (format!("{n}-{}", "d".repeat(120)), 0)).collect();
        Self { sizes, sent: Vec::new(), done: BTreeMap::new() }
    }

    fn answer(&mut self, ask: &Ask<'_>) -> Data {
        let disk = |(name, size): (&String, &i64)| Data::map([("name", name.as_str().into()), ("size", Data::Int(*size))]);
        let Some(key) = ask.key else { return self.sizes.iter().map(disk).collect::<Vec<_>>().into() };
        let arguments: Data = postcard::from_bytes(ask.arguments).unwrap();
        let Some([Data::Str(name), Data::Int(size)]) = arguments.list() else { panic!("a name and a size: {arguments:?}") };
        self.sent.push(key);
        let size = *self.done.entry(key).or_insert(*size);
        *self.sizes.get_mut(name).unwrap() = size;
        size.into()
    }
}

impl Effects for Disks {
    fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        Ok(postcard::to_slice(&self.answer(ask), into).unwrap().len())
    }

    fn act(&mut self, _: &ReconcileAction<'_>) -> Outcome {
        Outcome::ok()
    }
}

/// A store that crashes when told, and remembers every draft.
#[derive(Default)]
struct Noting {
    store: CrashStorage,
    drafts: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

impl Storage for Noting {
    type Error = Gone;

    fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, Gone> {
        self.store.get(key, into)
    }

    fn save(&mut self, draft: &Draft<'_>) -> Result<(), Gone> {
        self.drafts.push((draft.record().to_vec(), draft.values().map(|(_, value)| value.to_vec()).collect()));
        self.store.save(draft)
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Gone> {
        self.store.commit(batch)
    }

    fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), Gone> {
        self.store.settle(settlement)
    }

    fn unfinished(&mut self, run: RunKey, visit: &mut dyn FnMut(Piece<'_>)) -> Result<(), Gone> {
        self.store.unfinished(run, visit)
    }
}

/// What a life leaves, in the store and in the world.
#[derive(PartialEq, Debug)]
struct Left {
    disk: MemoryStorage,
    drafts: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    disks: Disks,
    crashes: usize,
}

/// When the store crashes: after so many writes, and whether the one that crashes still lands.
type Crash = (u32, bool);
const NEVER: Crash = (u32::MAX, false);

fn limits() -> Limits {
    Limits { fuel: 100_000, heap_bytes: 64 << 10, stack_bytes: 16 << 10, record_bytes: 8192, value_bytes: 8192, ..Limits::default() }
}

/// Lives [`TICKS`] ticks. After a crash another life begins from what is on disk, a minute later. `module` evaluates instead of the
/// machine itself when it is there.
fn life<E: Engine>(image: &Image, module: Option<&Module<E>>, (writes_left, last_write_lands): Crash) -> Left {
    let start = Checkpoint::new(Incarnation(7), Timestamp(1000));
    let limits = limits();
    let spec = Spec::every(TickInterval::default(), image.hash(), limits);
    let imports = Imports::of(image.program()).unwrap();
    let (mut buffers, mut words) = (TickBuffers::for_limits(&limits), vec![0; lisp::words_needed(image.program(), &limits)]);
    let storage = Noting { store: CrashStorage { disk: MemoryStorage::default(), writes_left, last_write_lands }, drafts: Vec::new() };
    let mut host = Host { clock: ManualClock(start.due), storage, effects: Disks::new() };
    let (mut checkpoint, mut crashes) = (start, 0);
    while checkpoint.ticks < TICKS || checkpoint.unfinished != Unfinished::Nothing {
        let ticked = match module {
            Some(module) => host.tick(&spec, &mut checkpoint, buffers.memory(), &mut module.evaluation(&limits).unwrap()),
            None => {
                let mut evaluation = Lisp::new(image.program(), &imports, &limits, &mut words).unwrap();
                host.tick(&spec, &mut checkpoint, buffers.memory(), &mut evaluation)
            }
        };
        match ticked {
            Ok(well) => assert!(well, "{:?}", end(&host.storage.store.disk, &limits)),
            Err(error) => {
                assert_eq!(error, HostError::Store(Gone));
                crashes += 1;
                host.storage.store.writes_left = u32::MAX;
                checkpoint = host.storage.store.disk.checkpoint.unwrap_or(start);
                host.clock.0 = host.clock.0.plus(60_000);
            }
        }
    }
    Left { disk: host.storage.store.disk, drafts: host.storage.drafts, disks: host.effects, crashes }
}

fn both<E: Engine + Default>() -> (Image, Module<E>) {
    let image = lisp::compile(GROW, &OPERATIONS).unwrap();
    let module = module::<E>(&image);
    (image, module)
}

fn a_write_leaves_the_same_drafts_and_records<E: Engine + Default>() {
    let (image, module) = both::<E>();
    let as_module = life(&image, Some(&module), NEVER);
    assert_eq!(as_module, life::<E>(&image, None, NEVER));
    assert_eq!((as_module.drafts.len(), as_module.disks.sent.len()), (TICKS as usize * DISKS * 2, TICKS as usize * DISKS));
    let record = as_module.disk.runs.values().next().unwrap();
    let access = |entry| if let Entry::Ask { access, .. } = entry { Some(access) } else { None };
    let asks: Vec<_> = Record::parse(record).unwrap().entries().filter_map(access).collect();
    assert_eq!(asks, [Access::Read, Access::Write, Access::Write, Access::Write, Access::Read]);
}

/// Crashes at every write of the store, with and without the fatal write landing.
fn a_cut_tick_goes_on_in_a_module<E: Engine + Default>() {
    let (image, module) = both::<E>();
    for after in 0..STORE_WRITES * TICKS as u32 {
        for lands in [false, true] {
            let as_module = life(&image, Some(&module), (after, lands));
            assert_eq!(as_module, life::<E>(&image, None, (after, lands)), "crashed after {after} writes, landing: {lands}");
            assert_eq!(as_module.crashes, 1);
            let ticks = as_module.disk.checkpoint.unwrap().ticks as i64;
            assert!(as_module.disks.sizes.values().all(|size| *size == ticks), "every disk has grown once per tick");
        }
    }
}
