//! A vigy in a world that echoes, with a store that crashes when told.
#![allow(dead_code, reason = "every test that has it uses a part")]

use vigy_core::lisp::{self, Imports, Lisp};
use vigy_core::record::{Explain, Record};
use vigy_core::replay::{self, Inputs, ReplayError, Replayed, WhatIf};
use vigy_core::sim::{CrashStorage, Gone, ManualClock, MemoryStorage};
use vigy_core::{
    ActionKey, Ask, AskError, Checkpoint, Effects, Host, HostError, Incarnation, Limits, Outcome, ReconcileAction, RunKey, SecretKey, Spec,
    TickBuffers, TickInterval, Timestamp,
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
    host: Host<ManualClock, CrashStorage, Echo>,
}

impl World {
    pub(crate) fn new(program: &str) -> Self {
        let storage = CrashStorage { disk: MemoryStorage::default(), writes_left: u32::MAX, last_write_lands: false };
        let effects = Echo { secret: "hunter2".to_owned(), key: Some(KEY), sent: Vec::new(), acted: Vec::new() };
        let host = Host { clock: ManualClock(Timestamp(1000)), storage, effects };
        let image = lisp::compile(program, &OPERATIONS).unwrap();
        Self { image, checkpoint: Checkpoint::new(Incarnation(7), Timestamp(1000)), host }
    }

    pub(crate) fn edit(&mut self, program: &str) {
        self.image = lisp::compile(program, &OPERATIONS).unwrap();
    }

    pub(crate) fn try_tick(&mut self) -> Result<bool, HostError<Gone>> {
        let Self { image, checkpoint, host } = self;
        let spec = Spec::every(TickInterval::default(), image.hash(), LIMITS);
        let mut buffers = TickBuffers::for_limits(&LIMITS);
        let result = evaluated(image, |evaluation| host.tick(&spec, checkpoint, buffers.memory(), evaluation));
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

    fn record(&self, tick: u64) -> &[u8] {
        &self.disk().runs[&RunKey { incarnation: Incarnation(7), tick }]
    }

    pub(crate) fn end(&self) -> String {
        Explain(Record::parse(self.disk().runs.values().next_back().unwrap()).unwrap().end().0, &LIMITS).to_string()
    }

    pub(crate) fn replay(&self, tick: u64) -> Result<Replayed, ReplayError> {
        let mut inputs = Stored { disk: self.disk(), echo: &self.host.effects };
        let mut buffers = TickBuffers::for_limits(&LIMITS);
        evaluated(&self.image, |evaluation| replay::replay(self.record(tick), &mut inputs, buffers.memory(), evaluation))
    }

    pub(crate) fn what_if(&self, tick: u64) -> WhatIf {
        let mut inputs = Stored { disk: self.disk(), echo: &self.host.effects };
        let mut buffers = TickBuffers::for_limits(&LIMITS);
        let (image, record) = (&self.image, self.record(tick));
        evaluated(image, |evaluation| replay::what_if(record, image.hash(), &mut inputs, buffers.memory(), evaluation)).unwrap()
    }
}

/// Lends a fresh evaluation of a program.
fn evaluated<T>(image: &Image, run: impl FnOnce(&mut Lisp<'_>) -> T) -> T {
    let program = image.program();
    let imports = Imports::of(program).unwrap();
    let mut words = vec![0; lisp::words_needed(program, &LIMITS)];
    run(&mut Lisp::new(program, &imports, &LIMITS, &mut words).unwrap())
}
