//! The tick, without a language: closures as evaluators.
#![cfg(all(feature = "sim", feature = "alloc"))]
#![allow(clippy::result_large_err, reason = "as in the crate")]

use vigy_core::record::Record;
use vigy_core::sim::{CrashStorage, FlakyEffects, Gone, ManualClock, MemoryStorage, RecordedEffects};
use vigy_core::{
    ActionKind, Ask, AskError, Checkpoint, Door, Effects, Evaluator, Failure, Host, HostError, Incarnation, Limits, Need, Outcome, Policy,
    ReconcileAction, ResultStatus, Spec, Step, Tick, TickBuffers, TickInterval, Timestamp, Unfinished, VerbError, settled,
};

const SPEC: Spec = Spec::every(
    TickInterval::MIN,
    [7; 32],
    Limits {
        fuel: 1000,
        heap_bytes: 0,
        depth: 0,
        stack_bytes: 0,
        output_bytes: 100,
        actions: 4,
        log_lines: 3,
        kv_keys: 3,
        record_bytes: 4096,
        value_bytes: 4096,
    },
);

/// A program of verbs that never wait.
fn program(verbs: impl Fn(&mut Door<'_>) -> Result<(), VerbError>) -> impl FnMut(&mut Door<'_>) -> Result<(), Failure> {
    move |door| verbs(door).map_err(Failure::from)
}

/// Counts its ticks in the kv key `n`, with a value too large to stand in the record, and pushes.
struct Counter;

impl Evaluator for Counter {
    fn step(&mut self, door: &mut Door<'_>, _: u64) -> Step {
        let count = match door.get("n") {
            Ok(std::task::Poll::Ready(value)) => value.map_or(0, |bytes| bytes[0]),
            Ok(std::task::Poll::Pending) => return Step::Waiting,
            Err(error) => return Step::Failed(error.into()),
        };
        let value = [count + 1; 300];
        let done = door.set("n", &value[..]).and_then(|()| door.act(ActionKind::Push, Some(&value[..]), None));
        done.map_or_else(|error| Step::Failed(error.into()), |()| Step::Done)
    }

    fn fuel_used(&self) -> u64 {
        1
    }
}

type Sim = Host<ManualClock, MemoryStorage, RecordedEffects>;

fn new_vigy() -> Checkpoint {
    Checkpoint::new(Incarnation(1), Timestamp(1000))
}

/// Ticks once and tells how the run ended.
#[track_caller]
fn verdict(evaluator: &mut impl Evaluator) -> String {
    let (mut host, mut checkpoint) = (Sim::default(), new_vigy());
    let mut buffers = TickBuffers::for_limits(&SPEC.limits);
    host.tick(&SPEC, &mut checkpoint, buffers.memory(), evaluator).unwrap();
    let record = Record::parse(host.storage.runs.values().next().unwrap()).unwrap();
    vigy_core::record::Explain(record.end().0, &SPEC.limits).to_string()
}

#[test]
fn every_limit_ends_the_tick_with_its_own_outcome() {
    let many = |times, verb: fn(&mut Door<'_>, u32) -> Result<(), VerbError>| {
        verdict(&mut program(move |door| (0..times).try_for_each(|n| verb(door, n))))
    };
    let noop = |door: &mut Door<'_>, _| door.act(ActionKind::Noop, None::<&[u8]>, None);
    assert_eq!(many(4, noop), "ok");
    assert_eq!(many(5, noop), "too-many-actions: used all 4 actions (limit `actions`)");
    assert_eq!(many(4, |door, _| door.event("a", "b")), "too-many-log-lines: used all 3 log lines (limit `log_lines`)");
    assert_eq!(
        many(3, |door, _| door.output(&"x".repeat(40))),
        "too-much-output: used all 100 bytes of printed output (limit `output_bytes`)"
    );
    assert_eq!(many(4, |door, n| door.set(&n.to_string(), &b"\0"[..])), "too-many-kv-keys: used all 3 kv keys (limit `kv_keys`)");
    assert_eq!(many(900, |door, n| door.metric("m", n.into())), "record-full: used all 4096 bytes of run record (limit `record_bytes`)");
    let large = |door: &mut Door<'_>, n: u32| door.trace("t", &[n as u8; 1000][..]);
    assert_eq!(many(5, large), "too-many-value-bytes: used all 4096 bytes of large values (limit `value_bytes`)");
    assert_eq!(many(50, |door, _| door.trace("t", &[1; 1000][..])), "ok", "one value is kept once");
    assert_eq!(many(1, |door, _| door.set("", &b"\0"[..])), "bad-key: a kv key cannot be empty");
}

/// An evaluator with a bug.
struct Idle;

impl Evaluator for Idle {
    fn step(&mut self, _: &mut Door<'_>, _: u64) -> Step {
        Step::Waiting
    }

    fn fuel_used(&self) -> u64 {
        0
    }
}

#[test]
fn an_evaluator_that_waits_for_nothing_fails() {
    assert_eq!(verdict(&mut Idle), "bug: the evaluator waits for nothing");
}

#[test]
fn a_failed_tick_keeps_its_record_and_drops_its_writes_and_actions() {
    let (mut host, mut checkpoint) = (Sim::default(), new_vigy());
    let mut buffers = TickBuffers::for_limits(&SPEC.limits);
    let mut program = program(|door| {
        door.set("k", &b"\0"[..])?;
        door.act(ActionKind::Push, None::<&[u8]>, None)?;
        door.log(vigy_core::record::Level::Info, "kept")?;
        Err(VerbError::Raise { tag: "oops", message: "on purpose" })
    });
    host.clock.0 = checkpoint.due;
    assert_eq!(host.tick(&SPEC, &mut checkpoint, buffers.memory(), &mut program), Ok(false));
    assert!(host.storage.kv.is_empty() && host.effects.acted.is_empty());
    assert_eq!((checkpoint.ticks, checkpoint.failures), (1, 1));
    assert_eq!(host.storage.runs.len(), 1);
    assert!((1100..=1500).contains(&checkpoint.due.0), "a wait of up to 500 ms, and the grid comes first: {}", checkpoint.due.0);
}

#[test]
fn outcomes_come_in_the_order_of_the_actions() {
    let (mut host, mut checkpoint) = (Sim::default(), new_vigy());
    let effects = FlakyEffects { inner: RecordedEffects::default(), every: 2, calls: 0 };
    let mut host = Host { clock: host.clock, storage: core::mem::take(&mut host.storage), effects };
    let mut buffers = TickBuffers::for_limits(&SPEC.limits);
    let mut program = program(|door| {
        door.act(ActionKind::Noop, None::<&[u8]>, None)?;
        door.act(ActionKind::Push, None::<&[u8]>, None)?;
        door.act(ActionKind::Defer, None::<&[u8]>, Some("later"))?;
        door.act(ActionKind::Pull, None::<&[u8]>, None)
    });
    let once = Spec { policy: Policy { act_attempts: 1, ..Policy::DEFAULT }, ..SPEC };
    host.tick(&once, &mut checkpoint, buffers.memory(), &mut program).unwrap();
    let outcomes = host.storage.outcomes.values().next().unwrap();
    let lines: Vec<_> = settled(outcomes).map(|line| (line.index, line.kind, line.status, line.message)).collect();
    use ResultStatus::{Failed, Ok, Skipped};
    assert_eq!(
        lines,
        [
            (0, ActionKind::Noop, Ok, ""),
            (1, ActionKind::Push, Ok, ""),
            (2, ActionKind::Defer, Skipped, "later"),
            (3, ActionKind::Pull, Failed, "injected")
        ]
    );
    assert!(checkpoint.unfinished == Unfinished::Nothing);
}

#[test]
fn the_same_inputs_give_the_same_record() {
    let record = || {
        let (mut host, mut checkpoint) = (Sim::default(), new_vigy());
        let mut buffers = TickBuffers::for_limits(&SPEC.limits);
        for _ in 0..5 {
            host.tick(&SPEC, &mut checkpoint, buffers.memory(), &mut Counter).unwrap();
        }
        host.storage
    };
    assert_eq!(record(), record());
}

/// Crashes at every write of a long life, with and without the fatal write landing. Whatever happens, the counter equals the ticks,
/// no run is missing, and every action was delivered, at most the one in flight twice, always under its own key.
#[test]
fn a_crash_loses_nothing_and_repeats_only_what_was_in_flight() {
    const TICKS: u64 = 6;
    for crash_after in 0..2 * TICKS as u32 {
        for last_write_lands in [false, true] {
            let mut buffers = TickBuffers::for_limits(&SPEC.limits);
            let storage = CrashStorage { disk: MemoryStorage::default(), writes_left: crash_after, last_write_lands };
            let mut host = Host { clock: ManualClock::default(), storage, effects: RecordedEffects::default() };
            let mut checkpoint = new_vigy();
            while checkpoint.ticks < TICKS || checkpoint.unfinished != Unfinished::Nothing {
                if let Err(error) = host.tick(&SPEC, &mut checkpoint, buffers.memory(), &mut Counter) {
                    assert_eq!((error, host.storage.writes_left), (HostError::Store(Gone), 0));
                    host.storage.writes_left = u32::MAX;
                    checkpoint = host.storage.disk.checkpoint.unwrap_or_else(new_vigy);
                }
            }
            let disk = &host.storage.disk;
            assert_eq!(disk.kv["n"][0] as u64, checkpoint.ticks);
            assert_eq!(disk.runs.len() as u64, checkpoint.ticks);
            assert_eq!(disk.outcomes.len() as u64, checkpoint.ticks);
            let mut acted = host.effects.acted.clone();
            let deliveries = acted.len() as u64;
            acted.dedup();
            assert_eq!(acted.len() as u64, checkpoint.ticks, "a repeat comes right after the first, under the same key");
            assert!(deliveries <= checkpoint.ticks + 1, "only what was in flight is repeated");
        }
    }
}

/// A host whose actions have no handler.
#[derive(Default)]
struct Recorder;

impl Effects for Recorder {
    fn ask(&mut self, _: &Ask<'_>, _: &mut [u8]) -> Result<usize, AskError> {
        unreachable!("nobody asks")
    }

    fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        unreachable!("{action:?} has no handler")
    }

    fn only_records(&self) -> bool {
        true
    }
}

#[test]
fn what_is_only_recorded_is_settled_in_the_batch_and_follows_from_the_record() {
    let mut program = program(|door| {
        door.act(ActionKind::Noop, None::<&[u8]>, None)?;
        door.act(ActionKind::Push, Some(&[1][..]), None)?;
        door.act(ActionKind::Defer, None::<&[u8]>, Some("later"))
    });
    let mut host: Host<ManualClock, MemoryStorage, Recorder> = Host::default();
    let (mut checkpoint, mut buffers) = (new_vigy(), TickBuffers::for_limits(&SPEC.limits));
    let mut tick = Tick::begin(&SPEC, &checkpoint, Timestamp(1000), buffers.memory()).unwrap();
    tick.only_record(true);
    let Need::Commit(batch) = tick.next(&mut program, Timestamp(1000)) else { panic!("it commits") };
    assert_eq!(batch.checkpoint().unfinished, Unfinished::Nothing);
    let settlement = Record::parse(batch.record()).unwrap().settled_at_once();
    assert_eq!(batch.outcomes(), Some(&settlement[..]));

    host.tick(&SPEC, &mut checkpoint, buffers.memory(), &mut program).unwrap();
    let outcomes: Vec<_> = settled(host.storage.outcomes.values().next().unwrap()).collect();
    assert_eq!(
        outcomes.iter().map(|line| (line.status, line.message, line.attempts)).collect::<Vec<_>>(),
        [(ResultStatus::Ok, "", 0), (ResultStatus::Ok, "", 0), (ResultStatus::Skipped, "later", 0)]
    );
}

#[test]
fn a_failed_run_has_no_outcomes() {
    let mut fails = |door: &mut Door<'_>| {
        door.act(ActionKind::Push, None::<&[u8]>, None)?;
        Err(Failure::raised("no", "no", None))
    };
    let (checkpoint, mut buffers) = (new_vigy(), TickBuffers::for_limits(&SPEC.limits));
    let mut tick = Tick::begin(&SPEC, &checkpoint, Timestamp(1000), buffers.memory()).unwrap();
    let Need::Commit(batch) = tick.next(&mut fails, Timestamp(1000)) else { panic!("it commits") };
    let settlement = Record::parse(batch.record()).unwrap().settled_at_once();
    assert_eq!((batch.outcomes(), settled(&settlement).count()), (Some(&settlement[..]), 0));
}
