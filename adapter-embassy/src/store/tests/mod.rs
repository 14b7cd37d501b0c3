//! Power cuts at every word of the store's writes, and again while it recovers.

mod conformance;
mod flash;

use core::task::Poll;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use embassy_futures::block_on;
use vigy_core::{
    Access, ActionKind, Ask, AskError, AsyncClock, AsyncEffects, Door, Evaluator, Host, Incarnation, Limits, Outcome, ReconcileAction,
    Spec, Step, TickBuffers, TickInterval, Timestamp, VerbError,
};

use super::planted::with;
use super::*;
use flash::{Chip, Flash, RANGE, Random};

const SPEC: Spec = Spec::every(
    TickInterval::MIN,
    [7; 32],
    Limits {
        fuel: 1000,
        heap_bytes: 0,
        depth: 0,
        stack_bytes: 0,
        output_bytes: 0,
        actions: 2,
        log_lines: 0,
        kv_keys: 4,
        record_bytes: 2048,
        value_bytes: 2048,
    },
);

/// Room for two states: 15 parts each.
const MEMORY: usize = 2 * 15 * CHUNK;
const KEYS: [&str; 3] = ["a", "b", "c"];

/// What a store should hold, kept by a test the simplest way.
#[derive(Clone, PartialEq, Debug, Default)]
struct Seen {
    checkpoint: Option<Checkpoint>,
    kv: BTreeMap<String, Vec<u8>>,
    outcomes: Option<Vec<u8>>,
    record: Option<Vec<u8>>,
    values: Vec<Vec<u8>>,
    draft: Option<Vec<u8>>,
    draft_values: Vec<Vec<u8>>,
}

impl Seen {
    fn after_batch(&self, batch: &Batch<'_>) -> Self {
        let mut next = self.clone();
        next.checkpoint = Some(*batch.checkpoint());
        (next.draft, next.draft_values) = (None, Vec::new());
        next.record = Some(batch.record().to_vec());
        next.values = batch.values().map(|(_, value)| value.to_vec()).collect();
        next.outcomes = batch.outcomes().map(<[u8]>::to_vec).or(next.outcomes);
        for (key, value) in batch.kv_writes() {
            match value {
                Some(value) => next.kv.insert(key.to_string(), value.to_vec()),
                None => next.kv.remove(key),
            };
        }
        next
    }

    async fn of<const WORD: usize>(store: &mut Store<'_, Flash<WORD>>) -> Self {
        let mut seen = Self { checkpoint: store.checkpoint(), ..Self::default() };
        for key in KEYS.into_iter().chain([LAST_OUTCOMES]) {
            let mut into = [0; 4096];
            let Some(len) = store.get(key, &mut into).await.expect("an open store answers") else { continue };
            let value = into[..len].to_vec();
            if key == LAST_OUTCOMES { seen.outcomes = Some(value) } else { drop(seen.kv.insert(key.to_string(), value)) }
        }
        if let Some(last) = seen.checkpoint {
            (seen.record, seen.values) = Self::pieces(store, RunKey { incarnation: last.incarnation, tick: last.ticks }).await;
            (seen.draft, seen.draft_values) = Self::pieces(store, RunKey { incarnation: last.incarnation, tick: last.ticks + 1 }).await;
        }
        seen
    }

    async fn pieces<const WORD: usize>(store: &mut Store<'_, Flash<WORD>>, run: RunKey) -> (Option<Vec<u8>>, Vec<Vec<u8>>) {
        let (mut record, mut values) = (None, Vec::new());
        let visit = |piece: Piece<'_>| match piece {
            Piece::Record(bytes) => record = Some(bytes.to_vec()),
            Piece::Value(value) => values.push(value.to_vec()),
        };
        store.unfinished(run, visit).await.expect("an open store answers");
        (record, values)
    }
}

/// What was acknowledged, and what was under way; every action by its key.
#[derive(Clone, Default)]
struct Truth {
    acknowledged: Seen,
    under_way: Option<Seen>,
    /// Every action and every write, by its key.
    acted: BTreeMap<String, Vec<u8>>,
    key_reused: bool,
    /// The last write that went out: the only one that may go out again.
    last_write: Option<String>,
    /// What makes the program of each tick.
    seed: u64,
}

impl Truth {
    fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }
}

/// The store under test, with the truth beside it.
struct Watched<'a, 'm, const WORD: usize> {
    store: Store<'m, Flash<WORD>>,
    truth: &'a mut Truth,
}

impl<const WORD: usize> AsyncStorage for Watched<'_, '_, WORD> {
    type Error = StoreError<flash::Cut>;

    async fn get(&mut self, key: &str, into: &mut [u8]) -> Result<Option<usize>, Self::Error> {
        self.store.get(key, into).await
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Self::Error> {
        self.truth.under_way = Some(self.truth.acknowledged.after_batch(batch));
        self.store.commit(batch).await?;
        self.truth.acknowledged = self.truth.under_way.take().expect("set above");
        Ok(())
    }

    async fn save(&mut self, draft: &Draft<'_>) -> Result<(), Self::Error> {
        let values = draft.values().map(|(_, value)| value.to_vec()).collect();
        let (checkpoint, record) = (Some(draft.checkpoint()), Some(draft.record().to_vec()));
        self.truth.under_way = Some(Seen { checkpoint, draft: record, draft_values: values, ..self.truth.acknowledged.clone() });
        self.store.save(draft).await?;
        self.truth.acknowledged = self.truth.under_way.take().expect("set above");
        Ok(())
    }

    async fn settle(&mut self, settlement: &Settlement<'_>) -> Result<(), Self::Error> {
        let outcomes = Some(settlement.outcomes().to_vec());
        let checkpoint = Some(settlement.checkpoint());
        self.truth.under_way = Some(Seen { outcomes, checkpoint, ..self.truth.acknowledged.clone() });
        self.store.settle(settlement).await?;
        self.truth.acknowledged = self.truth.under_way.take().expect("set above");
        Ok(())
    }

    async fn unfinished(&mut self, run: RunKey, visit: impl FnMut(Piece<'_>)) -> Result<(), Self::Error> {
        self.store.unfinished(run, visit).await
    }
}

/// Time goes on when someone asks for it.
struct Steps(u64);

impl AsyncClock for Steps {
    fn now(&mut self) -> Timestamp {
        self.0 += 100;
        Timestamp(self.0)
    }
    async fn sleep_until(&mut self, _: Timestamp) {}
    async fn yield_now(&mut self) {}
}

/// Notes what is to be done, and answers writes with what they bring.
#[derive(Default)]
struct Notes {
    actions: Vec<(String, Vec<u8>)>,
    writes: Vec<(String, Vec<u8>)>,
}

impl AsyncEffects for Notes {
    async fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        let key = ask.key.expect("the program asks for writes alone");
        self.writes.push((key.to_string(), ask.arguments.to_vec()));
        into[..ask.arguments.len()].copy_from_slice(ask.arguments);
        Ok(ask.arguments.len())
    }
    async fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        self.actions.push((action.key.to_string(), action.payload.unwrap_or_default().to_vec()));
        Outcome::ok()
    }
}

/// A program that writes random keys and, often, wants something random done; some ticks also ask for writes. What it does depends on
/// the time, so a tick that is begun anew in another life does something else, and one that goes on where it was cut does the same.
struct Program {
    seed: u64,
    random: Option<Random>,
    writes_left: u64,
    asked: Vec<u8>,
}

impl Program {
    const fn new(seed: u64) -> Self {
        Self { seed, random: None, writes_left: 0, asked: Vec::new() }
    }

    fn write(&mut self, random: &mut Random, door: &mut Door<'_>) -> Result<bool, VerbError> {
        if self.asked.is_empty() {
            let len = 1 + random.below(270);
            self.asked = random.bytes(len);
        }
        match door.ask("write", Access::Write, &self.asked[..])? {
            Poll::Pending => Ok(false),
            Poll::Ready(answer) => {
                assert_eq!(answer.as_ref().ok().copied(), Some(&self.asked[..]), "every write gets its own answer");
                self.asked.clear();
                Ok(true)
            }
        }
    }

    fn verbs(&mut self, random: &mut Random, door: &mut Door<'_>) -> Result<bool, VerbError> {
        while self.writes_left > 0 {
            if !self.write(random, door)? {
                return Ok(false);
            }
            self.writes_left -= 1;
        }
        for key in KEYS {
            match random.below(4) {
                0 => door.remove(key)?,
                1 => {}
                _ => {
                    let len = random.below(270);
                    door.set(key, &random.bytes(len)[..])?;
                }
            }
        }
        for _ in 0..random.below(3) {
            let len = random.below(270);
            door.act(ActionKind::Push, Some(&random.bytes(len)[..]), None)?;
        }
        Ok(true)
    }
}

impl Evaluator for Program {
    fn step(&mut self, door: &mut Door<'_>, _: u64) -> Step {
        let mut random = self.random.take().unwrap_or_else(|| {
            let mut random = Random(self.seed ^ door.header().at.0);
            self.writes_left = random.below(6).saturating_sub(3);
            random
        });
        let done = self.verbs(&mut random, door);
        self.random = Some(random);
        match done {
            Ok(true) => Step::Done,
            Ok(false) => Step::Waiting,
            Err(error) => panic!("the limits are wide enough: {error:?}"),
        }
    }

    fn fuel_used(&self) -> u64 {
        1
    }
}

/// How a life of the device ended.
#[derive(Clone, PartialEq, Debug)]
enum End {
    Fine,
    PowerCut,
    /// The promise is broken.
    Lost(String),
}

/// Starts the device at some moment, checks what its store holds, and ticks.
fn life<const WORD: usize>(flash: &Flash<WORD>, truth: &mut Truth, moment: u64, ticks: u32) -> End {
    block_on(async {
        let mut memory = vec![0; MEMORY];
        let mut store = match Store::open(flash.clone(), RANGE, &mut memory).await {
            Ok(store) => store,
            Err(_) if flash.is_off() => return End::PowerCut,
            Err(error) => return End::Lost(error.to_string()),
        };
        let seen = Seen::of(&mut store).await;
        if truth.under_way.as_ref() != Some(&seen) && truth.acknowledged != seen {
            let (found, known) = (seen.checkpoint.map(|c| c.ticks), truth.acknowledged.checkpoint.map(|c| c.ticks));
            return End::Lost(format!("found a state of tick {found:?}, acknowledged was {known:?}"));
        }
        truth.acknowledged = seen;
        truth.under_way = None;
        let mut checkpoint = store.checkpoint().unwrap_or(Checkpoint::new(Incarnation(1), Timestamp(0)));
        let mut buffers = TickBuffers::for_limits(&SPEC.limits);
        let storage = Watched { store, truth };
        let mut host = Host { clock: Steps(checkpoint.due.0 + moment % 1_000_000), storage, effects: Notes::default() };
        let mut end = End::Fine;
        for _ in 0..ticks {
            let mut program = Program::new(host.storage.truth.seed);
            let ticked = host.tick_async(&SPEC, &mut checkpoint, buffers.memory(), &mut program).await;
            if let Err(error) = ticked {
                end = if flash.is_off() { End::PowerCut } else { End::Lost(error.to_string()) };
                break;
            }
        }
        let Host { storage: Watched { truth, .. }, effects: Notes { actions, writes }, .. } = host;
        for (key, _) in &writes {
            if truth.acted.contains_key(key) && truth.last_write.as_ref() != Some(key) {
                return End::Lost(format!("the write {key} went out again, and was not the last"));
            }
            truth.last_write = Some(key.clone());
        }
        for (key, payload) in actions.into_iter().chain(writes) {
            let known = truth.acted.insert(key, payload.clone());
            truth.key_reused |= known.is_some_and(|known| known != payload);
        }
        if truth.key_reused { End::Lost("a key was used for two actions or writes".to_string()) } else { end }
    })
}

/// Ticks a while, so that pages are full and erased again, then `ticks` times more; cuts each of these at every step; recovers from each cut, with cuts at every step of the recovery and at some of
/// the tick after it. Says the first promise broken, and how many cuts there were.
fn cut_everywhere<const WORD: usize>(seed: u64, ticks: u32) -> (Option<String>, u32) {
    let (mut chip, mut truth, mut random) = (Chip::new(), Truth::new(seed), Random(seed));
    let mut cuts = 0;
    let worn = Flash::<WORD>::new(chip);
    if let End::Lost(what) = life(&worn, &mut truth, random.next(), (seed % 5) as u32 * 3) {
        return (Some(what), cuts);
    }
    chip = worn.chip();
    for tick in 0..ticks {
        let moment = random.next();
        let whole = Flash::<WORD>::new(chip.powered(None));
        let mut truth_after = truth.clone();
        if let End::Lost(what) = life(&whole, &mut truth_after, moment, 1) {
            return (Some(format!("tick {tick}, no cut: {what}")), cuts);
        }
        for cut in 0..whole.chip().steps {
            let first = Flash::<WORD>::new(chip.powered(Some(cut)));
            let mut cut_truth = truth.clone();
            let end = life(&first, &mut cut_truth, moment, 1);
            assert_eq!(end, End::PowerCut);
            cuts += 1;
            let recovery = Flash::<WORD>::new(first.chip().powered(None));
            let mut recovered = cut_truth.clone();
            if let End::Lost(what) = life(&recovery, &mut recovered, 0, 0) {
                return (Some(format!("tick {tick}, cut at {cut}: {what}")), cuts);
            }
            let recovery_steps = recovery.chip().steps;
            let later = recovery_steps + random.clone().below(600) as u32 + cut % 7;
            for again in (0..recovery_steps).chain([later]) {
                let second = Flash::<WORD>::new(first.chip().powered(Some(again)));
                let mut truth = cut_truth.clone();
                cuts += 1;
                let ends = [
                    life(&second, &mut truth, again.into(), 1),
                    life(&Flash::<WORD>::new(second.chip().powered(None)), &mut truth, cut.into(), 1),
                ];
                for end in ends {
                    if let End::Lost(what) = end {
                        return (Some(format!("tick {tick}, cut at {cut}, again at {again}: {what}")), cuts);
                    }
                }
            }
        }
        (chip, truth) = (whole.chip(), truth_after);
    }
    (None, cuts)
}

/// Lives that all end by a cut, on one chip: unfinished states must not crowd out the one that counts.
fn cut_again_and_again<const WORD: usize>(seed: u64, lives: u32) -> Option<String> {
    let (mut chip, mut truth, mut random) = (Chip::new(), Truth::new(seed), Random(seed));
    for life_number in 0..lives {
        let short = if life_number % 50 == 0 { 5000 } else { 400 };
        let flash = Flash::<WORD>::new(chip.powered(Some(random.below(short) as u32)));
        if let End::Lost(what) = life(&flash, &mut truth, random.next(), 5) {
            return Some(format!("life {life_number}: {what}"));
        }
        chip = flash.chip();
    }
    None
}

#[track_caller]
fn never_loses<const WORD: usize>(seeds: Range<u64>) {
    let mut total = 0;
    for seed in seeds {
        let (broken, cuts) = cut_everywhere::<WORD>(seed, 3);
        assert_eq!(broken, None, "words of {WORD} bytes, seed {seed}");
        total += cuts;
    }
    std::println!("{total} power cuts, words of {WORD} bytes: nothing acknowledged lost, no batch half there");
}

#[test]
fn power_cuts_lose_nothing_with_words_of_four_bytes() {
    never_loses::<4>(0..4);
}

#[test]
fn power_cuts_lose_nothing_with_words_of_eight_bytes() {
    never_loses::<8>(5..8);
}

/// The store is shown words of four bytes, and the power cuts them in pieces.
#[test]
fn power_cuts_lose_nothing_with_words_of_one_byte() {
    never_loses::<1>(10..11);
}

#[test]
fn cuts_in_a_row_lose_nothing() {
    for seed in 0..4 {
        assert_eq!(cut_again_and_again::<4>(seed, 500), None, "seed {seed}");
        assert_eq!(cut_again_and_again::<1>(seed, 500), None, "seed {seed}");
    }
}

/// Whether the tests above notice planted bugs, within so many seeds.
fn noticed(bugs: &'static [Bug], seeds: u64) -> bool {
    with(bugs, || (0..seeds).any(|seed| cut_again_and_again::<4>(seed, 100).is_some() || cut_everywhere::<4>(seed, 2).0.is_some()))
}

#[test]
fn planted_bugs_are_noticed() {
    assert!(noticed(&[Bug::OneSlot], 20), "the next state over the one that counts");
    // That the closing part comes last, and that parts must belong together: each guard is enough, without both a batch is torn.
    assert!(noticed(&[Bug::ClosingPartFirst, Bug::AnyParts], 20), "a state is taken for complete before it is");
    assert!(!noticed(&[Bug::ClosingPartFirst], 2) && !noticed(&[Bug::AnyParts], 2));
}

/// Of `tries` single words that the flash silently does not write, how many states were acknowledged and then not there.
fn lost_by_forgetting(tries: u32) -> usize {
    let lost = |word: u32| {
        let mut truth = Truth::new(u64::from(word));
        let mut chip = Chip::new();
        chip.forget = Some(word);
        let flash = Flash::<4>::new(chip);
        // A store that says so has kept its word.
        life(&flash, &mut truth, 0, 1);
        matches!(life(&Flash::<4>::new(flash.chip().powered(None)), &mut truth, 0, 0), End::Lost(_))
    };
    (0..tries).filter(|&word| lost(word)).count()
}

#[test]
fn what_a_flash_forgets_is_not_acknowledged() {
    assert_eq!(lost_by_forgetting(600), 0);
    let unnoticed = with(&[Bug::NoReadBack], || lost_by_forgetting(600));
    assert!(unnoticed > 0, "the flash forgets words that matter");
}

#[test]
fn limits_are_errors() {
    block_on(async {
        let flash = Flash::<4>::new(Chip::new());
        let opened = |memory: usize| {
            let flash = flash.clone();
            async move { Store::open(flash, RANGE, &mut vec![0; memory]).await.map(|_| ()) }
        };
        assert!(opened(MEMORY).await.is_ok());
        assert!(matches!(opened(2 * 15 * CHUNK).await, Ok(())), "15 parts in each slot: 30 items on 10 pages");
        assert!(matches!(opened(2 * 15 * CHUNK + 2).await, Err(StoreError::Range { room }) if room == 15 * CHUNK + 1));
        assert!(matches!(Store::open(flash.clone(), 0..100, &mut [0; 100]).await, Err(StoreError::Range { .. })));
        let backwards = Range { start: 2048, end: 1024 };
        let beyond = 0..RANGE.end + 1024;
        for range in [backwards, beyond] {
            assert!(matches!(Store::open(flash.clone(), range, &mut [0; 100]).await, Err(StoreError::Range { .. })));
        }

        let mut memory = [0; 600];
        let store = Store::open(flash.clone(), RANGE, &mut memory).await.expect("an empty flash");
        let mut host = Host { clock: Steps(0), storage: store, effects: Notes::default() };
        let mut checkpoint = Checkpoint::new(Incarnation(1), Timestamp(0));
        let mut buffers = TickBuffers::for_limits(&SPEC.limits);
        let mut tick = async |len: usize| {
            let mut program = |door: &mut Door<'_>| door.set("a", &vec![1; len][..]).map_err(|error| panic!("{error:?}"));
            host.tick_async(&SPEC, &mut checkpoint, buffers.memory(), &mut program).await.map_err(|error| error.to_string())
        };
        assert_eq!(tick(1).await, Ok(true));
        assert_eq!(tick(250).await, Err("the state does not fit in 300 bytes: give the store more memory, or keep less".to_string()));
        assert_eq!(tick(2).await, Ok(true), "nothing of the large one was written");
    });
}
