//! Writes: what a program asks a host to change, wherever the power goes.
#![cfg(all(feature = "sim", feature = "compiler"))]

use std::collections::BTreeMap;

use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::record::{Entry, Explain, Record};
use vigy_core::sim::{CrashStorage, ManualClock, MemoryStorage};
use vigy_core::{
    Access, ActionKey, Ask, AskError, Checkpoint, Effects, Host, HostError, Incarnation, Limits, Outcome, ReconcileAction, RunKey, Spec,
    TickBuffers, TickInterval, Timestamp, Unfinished,
};
use vigy_lisp::{Arity, Data, HostFn, Image};

const OPERATIONS: [HostFn; 2] = [
    HostFn { name: "disks/list", arity: Arity::exactly(0), writes: false, secret: false, doc: "The size of every disk, by name." },
    HostFn { name: "disks/grow", arity: Arity::exactly(2), writes: true, secret: false, doc: "Gives a disk a size." },
];

/// Grows every disk by one, and says so. What it does depends on what it reads: a list that has grown since would be grown twice.
const GROW: &str = r#"
    (def ticks (vigy-incr "ticks"))
    (for [disk (disks/list)]
      (let [size (+ 1 (:size disk))]
        (vigy-log :info (str (:name disk) " to " size))
        (vigy-set (:name disk) (disks/grow (:name disk) size))))
    (vigy-trace "after" (disks/list))
    (vigy-push ticks)"#;

/// Disks behind an interface that deduplicates by key, as a receiver should.
#[derive(Clone, Debug, Default)]
struct Disks {
    sizes: BTreeMap<String, i64>,
    /// Every write that arrived, in order.
    sent: Vec<ActionKey>,
    done: BTreeMap<ActionKey, Vec<u8>>,
    acted: Vec<ActionKey>,
}

impl Disks {
    /// Names long enough that the list is stored by content.
    fn new(count: usize) -> Self {
        let sizes = (0..count).map(|n| (format!("{n}-{}", "d".repeat(120)), 0)).collect();
        Self { sizes, ..Self::default() }
    }

    fn list(&self) -> Vec<u8> {
        let disk = |(name, size): (&String, &i64)| {
            let entries = [("name", Data::from(name.as_str())), ("size", Data::Int(*size))];
            Data::Map(entries.into_iter().map(|(key, value)| (Data::Keyword(key.to_owned()), value)).collect())
        };
        postcard::to_allocvec(&Data::List(self.sizes.iter().map(disk).collect())).unwrap()
    }

    fn grow(&mut self, key: ActionKey, arguments: &[u8]) -> Vec<u8> {
        self.sent.push(key);
        if let Some(answer) = self.done.get(&key) {
            return answer.clone();
        }
        let Data::List(arguments) = postcard::from_bytes(arguments).unwrap() else { panic!("arguments are a list") };
        let [Data::Str(name), Data::Int(size)] = &arguments[..] else { panic!("a name and a size: {arguments:?}") };
        *self.sizes.get_mut(name).unwrap() = *size;
        self.done.insert(key, postcard::to_allocvec(&Data::Int(*size)).unwrap());
        self.done[&key].clone()
    }
}

impl Effects for Disks {
    fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        let answer = match (ask.operation, ask.key) {
            ("disks/list", None) => self.list(),
            ("disks/grow", Some(key)) => self.grow(key, ask.arguments),
            other => panic!("{other:?}"),
        };
        into[..answer.len()].copy_from_slice(&answer);
        Ok(answer.len())
    }

    fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        self.acted.push(action.key);
        Outcome::ok()
    }
}

const LIMITS: Limits = Limits {
    fuel: 100_000,
    heap_bytes: 64 << 10,
    depth: 64,
    stack_bytes: 8 << 10,
    output_bytes: 100,
    actions: 4,
    log_lines: 16,
    kv_keys: 16,
    record_bytes: 8192,
    value_bytes: 8192,
};

/// A vigy on disks, with a store that crashes when told.
struct Sim {
    image: Image,
    host: Host<ManualClock, CrashStorage, Disks>,
    checkpoint: Checkpoint,
    crashes: usize,
    /// A bug planted on purpose: drafts do not survive a crash.
    forgets: bool,
}

impl Sim {
    fn new(disks: usize) -> Self {
        let storage = CrashStorage { disk: MemoryStorage::default(), writes_left: u32::MAX, last_write_lands: false };
        let host = Host { clock: ManualClock(Timestamp(1000)), storage, effects: Disks::new(disks) };
        let image = lisp::compile(GROW, &OPERATIONS).unwrap();
        Self { image, host, checkpoint: Checkpoint::new(Incarnation(7), Timestamp(1000)), crashes: 0, forgets: false }
    }

    fn try_tick(&mut self) -> Result<bool, HostError<vigy_core::sim::Gone>> {
        let program = self.image.program();
        let imports = Imports::of(program).unwrap();
        let spec = Spec::every(TickInterval::default(), self.image.hash(), LIMITS);
        let mut buffers = TickBuffers::for_limits(&LIMITS);
        let mut words = vec![0; lisp::words_needed(program, &LIMITS)];
        let mut evaluation = Lisp::new(program, &imports, &LIMITS, &mut words).unwrap();
        self.host.tick(&spec, &mut self.checkpoint, buffers.memory(), &mut evaluation)
    }

    /// Ticks; after a crash of the store it begins another life from what is on disk, at a later time.
    fn tick(&mut self) -> bool {
        loop {
            match self.try_tick() {
                Ok(ok) => return ok,
                Err(error) => {
                    assert_eq!(self.host.storage.writes_left, 0, "{error}");
                    self.crashes += 1;
                    self.host.storage.writes_left = u32::MAX;
                    let disk = &mut self.host.storage.disk;
                    if self.forgets {
                        disk.drafts.clear();
                        let checkpoint = disk.checkpoint.filter(|checkpoint| checkpoint.ticks > 0);
                        disk.checkpoint = checkpoint.map(|checkpoint| match checkpoint.unfinished {
                            Unfinished::Evaluation => Checkpoint { unfinished: Unfinished::Nothing, ..checkpoint },
                            _ => checkpoint,
                        });
                    }
                    let fresh = || Checkpoint::new(Incarnation(7), Timestamp(1000));
                    self.checkpoint = self.host.storage.disk.checkpoint.unwrap_or_else(fresh);
                    self.host.clock.0 = self.host.clock.0.plus(60_000);
                }
            }
        }
    }

    fn disk(&self) -> &MemoryStorage {
        &self.host.storage.disk
    }

    fn end(&self) -> String {
        Explain(Record::parse(self.disk().runs.values().next_back().unwrap()).unwrap().end().0, &LIMITS).to_string()
    }
}

fn write_of(tick: u64, nth: u16) -> ActionKey {
    ActionKey { run: RunKey { incarnation: Incarnation(7), tick }, index: ActionKey::FIRST_WRITE + nth }
}

#[test]
fn a_write_has_a_key_of_its_own_and_a_read_has_none() {
    let mut sim = Sim::new(2);
    assert!(sim.tick());
    assert_eq!(sim.host.effects.sent, [write_of(1, 0), write_of(1, 1)]);
    assert_eq!(sim.host.effects.acted, [ActionKey { run: write_of(1, 0).run, index: 0 }]);
    let record = Record::parse(sim.disk().runs.values().next().unwrap()).unwrap();
    let access = |entry| if let Entry::Ask { access, .. } = entry { Some(access) } else { None };
    let asks: Vec<_> = record.entries().filter_map(access).collect();
    assert_eq!(asks, [Access::Read, Access::Write, Access::Write, Access::Read]);
    assert!(sim.disk().drafts.is_empty(), "the commit removes the draft");
}

/// Crashes at every write of the store, with and without the fatal write landing, in a world that `forgets` or not. Says how many writes
/// went out twice, or the first promise broken: every disk has grown once per tick, only the write that was in flight goes out again,
/// under its key, and the records tell what came of it.
fn crash_everywhere(ticks: u64, disks: usize, forgets: bool) -> Result<usize, String> {
    // Two drafts per write, a commit and a settlement.
    let writes_per_tick = disks as u32 * 2 + 2;
    let mut repeats = 0;
    for crash_after in 0..writes_per_tick * ticks as u32 {
        for last_write_lands in [false, true] {
            let broken = |what: &str| Err(format!("crash after {crash_after} writes, the last lands: {last_write_lands}: {what}"));
            let mut sim = Sim::new(disks);
            sim.forgets = forgets;
            sim.host.storage = CrashStorage { writes_left: crash_after, last_write_lands, ..sim.host.storage };
            while sim.checkpoint.ticks < ticks || sim.checkpoint.unfinished != Unfinished::Nothing {
                if !sim.tick() {
                    return broken(&sim.end());
                }
            }
            assert_eq!(sim.crashes, 1);
            let ticks = sim.checkpoint.ticks;
            let Disks { sizes, sent, .. } = &sim.host.effects;
            let mut keys = sent.clone();
            keys.dedup();
            let all = (1..=ticks).flat_map(|tick| (0..disks as u16).map(move |nth| write_of(tick, nth)));
            if !keys.iter().copied().eq(all) || sent.len() - keys.len() > 1 {
                return broken(&format!("more than the write in flight went out again: {sent:?}"));
            }
            if sizes.values().any(|size| *size != ticks as i64) {
                return broken(&format!("the disks have sizes {:?} after {ticks} ticks", sizes.values()));
            }
            let answer = postcard::to_allocvec(&Data::Int(ticks as i64)).unwrap();
            if sizes.keys().any(|name| sim.disk().kv[name] != answer) || sim.disk().runs.len() as u64 != ticks {
                return broken("a record or an answer is missing");
            }
            assert!(sim.disk().drafts.is_empty(), "the commit removes the draft");
            repeats += sent.len() - keys.len();
        }
    }
    Ok(repeats)
}

#[test]
fn a_cut_tick_goes_on_where_it_was_cut() {
    // A write goes out twice exactly when it was sent and its answer did not become durable: once per write, of the two crashes there.
    assert_eq!(crash_everywhere(3, 3, false), Ok(9));
}

#[test]
fn a_store_that_forgets_its_drafts_is_noticed() {
    let broken = crash_everywhere(3, 3, true).unwrap_err();
    assert!(broken.contains("more than the write in flight went out again"), "{broken}");
}

#[test]
fn a_cut_tick_leaves_the_record_of_one_that_was_not_cut() {
    let mut whole = Sim::new(3);
    whole.tick();
    for crash_after in 1..6 {
        let mut cut = Sim::new(3);
        cut.host.storage.writes_left = crash_after;
        cut.tick();
        assert_eq!(cut.crashes, 1);
        assert_eq!(cut.disk().runs, whole.disk().runs, "cut after {crash_after} writes of the store");
        assert_eq!(cut.disk().values, whole.disk().values);
    }
}

#[test]
fn a_program_that_changed_does_not_go_on_with_a_cut_tick() {
    let mut sim = Sim::new(2);
    sim.host.storage.writes_left = 1;
    assert!(sim.try_tick().is_err(), "the answer of the first write is not durable");
    sim.host.storage.writes_left = u32::MAX;
    sim.image = lisp::compile("(vigy-log :info \"another\")", &OPERATIONS).unwrap();
    assert!(!sim.tick());
    assert!(sim.end().starts_with("cut-off: the program or its limits changed"), "{}", sim.end());
    assert_eq!(sim.host.effects.sent, [write_of(1, 0)], "nothing is sent again");
    let record = Record::parse(sim.disk().runs.values().next().unwrap()).unwrap();
    let write = |entry| if let Entry::Ask { operation, access: Access::Write, .. } = entry { Some(operation) } else { None };
    assert_eq!(record.entries().find_map(write), Some("disks/grow"), "the record lists what was written");
    assert!(sim.tick() && sim.checkpoint.ticks == 2, "and the vigy goes on");
}

#[test]
fn a_draft_that_the_program_did_not_say_is_noticed() {
    let mut sim = Sim::new(2);
    sim.host.storage.writes_left = 3;
    assert!(sim.try_tick().is_err());
    sim.host.storage.writes_left = u32::MAX;
    // Another key than the program reads.
    let (record, _) = sim.host.storage.disk.drafts.values_mut().next().unwrap();
    let at = record.windows(5).position(|bytes| bytes == b"ticks").unwrap();
    record[at] = b'T';
    assert!(!sim.tick());
    assert!(sim.end().starts_with("diverged: "), "{}", sim.end());
    assert_eq!(sim.host.effects.sent.len(), 2, "nothing is sent again");
}
