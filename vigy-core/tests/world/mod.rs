//! A vigy in a world that echoes, with a store that crashes when told.
#![allow(dead_code, reason = "every test that has it uses a part")]

use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::record::{Explain, Place, Record};
use vigy_core::relay::{Far, Near};
use vigy_core::replay::{self, Inputs, ReplayError, Replayed, WhatIf};
use vigy_core::sim::{CrashStorage, Gone, ManualClock, MemoryStorage};
use vigy_core::{
    ActionKey, Ask, AskError, Checkpoint, Door, Effects, Evaluator, Host, HostError, Incarnation, Limits, Outcome, ReconcileAction,
    ResumeError, RunKey, SecretKey, Spec, Step, TickBuffers, TickInterval, TickMemory, Timestamp,
};
use vigy_lisp::{Arity, Data, HostFn, Image};

const fn operation(name: &'static str, max: u8, writes: bool, secret: bool) -> HostFn {
    HostFn { name, arity: Arity::between(0, max), writes, secret, doc: "" }
}

pub(crate) const OPERATIONS: [HostFn; 5] = [
    operation("echo/read", 1, false, false),
    operation("echo/large", 1, false, false),
    operation("echo/write", 1, true, false),
    operation("echo/secret", 0, false, true),
    operation("echo/mint", 0, true, true),
];

pub(crate) const KEY: SecretKey = SecretKey([7; 32]);

/// Answers with what it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Echo {
    pub(crate) secret: String,
    pub(crate) key: Option<SecretKey>,
    /// Every write that arrived, in order.
    pub(crate) sent: Vec<(String, ActionKey)>,
    pub(crate) acted: Vec<ActionKey>,
}

impl Echo {
    fn answer(&self, ask: &Ask<'_>) -> Vec<u8> {
        let Data::List(arguments) = postcard::from_bytes(ask.arguments).unwrap() else { panic!("arguments are a list") };
        let first = || arguments.first().cloned().unwrap_or_default();
        let declared = OPERATIONS.iter().find(|operation| operation.name == ask.operation).unwrap();
        assert_eq!((declared.writes, declared.secret), (ask.key.is_some(), ask.secret), "{ask:?}");
        let answer = match ask.operation {
            "echo/large" => Data::List(vec![Data::from("a long text, that has to be stored by content"); 10]),
            "echo/secret" | "echo/mint" => Data::from(self.secret.as_str()),
            _ => first(),
        };
        postcard::to_allocvec(&answer).unwrap()
    }
}

impl Effects for Echo {
    fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Result<usize, AskError> {
        let answer = self.answer(ask);
        self.sent.extend(ask.key.map(|key| (ask.operation.to_owned(), key)));
        let too_large = || AskError::new("too-large", format_args!("{} bytes", answer.len()));
        into.get_mut(..answer.len()).ok_or_else(too_large)?.copy_from_slice(&answer);
        Ok(answer.len())
    }

    fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        self.acted.push(action.key);
        Outcome::ok()
    }

    fn secret_key(&self) -> Option<SecretKey> {
        self.key
    }
}

/// Values from a store, secrets from whoever has them.
struct Stored<'a> {
    disk: &'a MemoryStorage,
    echo: &'a Echo,
}

impl Inputs for Stored<'_> {
    fn value(&mut self, hash: &[u8; 32], into: &mut [u8]) -> Option<usize> {
        let value = self.disk.values.get(hash)?;
        into.get_mut(..value.len())?.copy_from_slice(value);
        Some(value.len())
    }

    fn secret_key(&self) -> Option<SecretKey> {
        self.echo.key
    }

    fn secret(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> Option<usize> {
        let answer = self.echo.answer(ask);
        into.get_mut(..answer.len())?.copy_from_slice(&answer);
        Some(answer.len())
    }
}

pub(crate) const LIMITS: Limits = Limits {
    fuel: 200_000,
    heap_bytes: 64 << 10,
    depth: 64,
    stack_bytes: 8 << 10,
    output_bytes: 100,
    actions: 8,
    log_lines: 16,
    kv_keys: 16,
    record_bytes: 8192,
    value_bytes: 8192,
};

pub(crate) struct World {
    pub(crate) image: Image,
    pub(crate) checkpoint: Checkpoint,
    /// Whether evaluations are behind a wall that only bytes pass.
    pub(crate) wall: bool,
    host: Host<ManualClock, CrashStorage, Echo>,
}

impl World {
    pub(crate) fn new(program: &str) -> Self {
        let storage = CrashStorage { disk: MemoryStorage::default(), writes_left: u32::MAX, last_write_lands: false };
        let effects = Echo { secret: "hunter2".to_owned(), key: Some(KEY), sent: Vec::new(), acted: Vec::new() };
        let host = Host { clock: ManualClock(Timestamp(1000)), storage, effects };
        let image = lisp::compile(program, &OPERATIONS).unwrap();
        Self { image, checkpoint: Checkpoint::new(Incarnation(7), Timestamp(1000)), wall: false, host }
    }

    pub(crate) fn edit(&mut self, program: &str) {
        self.image = lisp::compile(program, &OPERATIONS).unwrap();
    }

    pub(crate) fn try_tick(&mut self) -> Result<bool, HostError<Gone>> {
        let Self { image, checkpoint, wall, host } = self;
        let spec = Spec::every(TickInterval::default(), image.hash(), LIMITS);
        let mut buffers = TickBuffers::for_limits(&LIMITS);
        let result = evaluated(image, *wall, |evaluation| host.tick(&spec, checkpoint, buffers.memory(), evaluation));
        host.clock.0 = host.clock.0.plus(1000);
        result
    }

    pub(crate) fn tick(&mut self) -> bool {
        self.try_tick().unwrap()
    }

    pub(crate) fn crash_after_writes(&mut self, writes: u32) {
        self.host.storage.writes_left = writes;
    }

    /// Another life, from what is on disk.
    pub(crate) fn restart(&mut self) {
        self.host.storage.writes_left = u32::MAX;
        self.checkpoint = self.disk().checkpoint.unwrap_or_else(|| Checkpoint::new(Incarnation(7), Timestamp(1000)));
    }

    pub(crate) fn echo(&mut self) -> &mut Echo {
        &mut self.host.effects
    }

    pub(crate) fn disk(&self) -> &MemoryStorage {
        &self.host.storage.disk
    }

    pub(crate) fn disk_mut(&mut self) -> &mut MemoryStorage {
        &mut self.host.storage.disk
    }

    /// The ticks that have a record.
    pub(crate) fn runs(&self) -> Vec<u64> {
        self.disk().runs.keys().map(|run| run.tick).collect()
    }

    pub(crate) fn record(&self, tick: u64) -> &[u8] {
        &self.disk().runs[&RunKey { incarnation: Incarnation(7), tick }]
    }

    pub(crate) fn record_mut(&mut self, tick: u64) -> &mut Vec<u8> {
        self.disk_mut().runs.get_mut(&RunKey { incarnation: Incarnation(7), tick }).unwrap()
    }

    pub(crate) fn end(&self) -> String {
        Explain(Record::parse(self.disk().runs.values().next_back().unwrap()).unwrap().end().0, &LIMITS).to_string()
    }

    pub(crate) fn replay(&self, tick: u64) -> Result<Replayed, ReplayError> {
        let mut inputs = Stored { disk: self.disk(), echo: &self.host.effects };
        let mut buffers = TickBuffers::for_limits(&LIMITS);
        evaluated(&self.image, self.wall, |evaluation| replay::replay(self.record(tick), &mut inputs, buffers.memory(), evaluation))
    }

    pub(crate) fn what_if(&self, tick: u64) -> WhatIf {
        self.try_what_if(tick).unwrap()
    }

    pub(crate) fn try_what_if(&self, tick: u64) -> Result<WhatIf, ResumeError> {
        let mut inputs = Stored { disk: self.disk(), echo: &self.host.effects };
        let mut buffers = TickBuffers::for_limits(&LIMITS);
        let (image, record) = (&self.image, self.record(tick));
        evaluated(image, self.wall, |evaluation| replay::what_if(record, image.hash(), &mut inputs, buffers.memory(), evaluation))
    }
}

/// An evaluation, whichever it is.
struct Any<'a>(&'a mut dyn Evaluator);

impl Evaluator for Any<'_> {
    fn step(&mut self, door: &mut Door<'_>, slice: u64) -> Step {
        self.0.step(door, slice)
    }

    fn fuel_used(&self) -> u64 {
        self.0.fuel_used()
    }

    fn place(&self) -> Option<Place> {
        self.0.place()
    }
}

/// An evaluation behind a wall that only bytes pass.
struct Behind<'m> {
    memory: Option<TickMemory<'m>>,
    far: Option<Far<'m>>,
    near: Near,
    evaluation: Lisp<'m>,
}

impl Evaluator for Behind<'_> {
    fn step(&mut self, door: &mut Door<'_>, slice: u64) -> Step {
        if let Some(memory) = self.memory.take() {
            self.far = Some(Far::open(*door.header(), memory).unwrap());
        }
        let Some(told) = self.near.tell(door, slice) else { return Step::Waiting };
        let told = postcard::to_allocvec(&told).unwrap();
        let said = self.far.as_mut().unwrap().step(&mut self.evaluation, &postcard::from_bytes(&told).unwrap());
        let said = postcard::to_allocvec(&said).unwrap();
        let declared = |name: &str| OPERATIONS.iter().any(|operation| operation.name == name);
        self.near.hear(door, &postcard::from_bytes(&said).unwrap(), slice, declared).unwrap()
    }

    fn fuel_used(&self) -> u64 {
        self.near.fuel_used()
    }
}

/// Lends a fresh evaluation of a program, behind a wall or not.
fn evaluated<T>(image: &Image, wall: bool, run: impl FnOnce(&mut Any<'_>) -> T) -> T {
    let program = image.program();
    let imports = Imports::of(program).unwrap();
    let mut words = vec![0; lisp::words_needed(program, &LIMITS)];
    let mut evaluation = Lisp::new(program, &imports, &LIMITS, &mut words).unwrap();
    if !wall {
        return run(&mut Any(&mut evaluation));
    }
    let mut buffers = TickBuffers::for_limits(&LIMITS);
    run(&mut Any(&mut Behind { memory: Some(buffers.memory()), far: None, near: Near::default(), evaluation }))
}
