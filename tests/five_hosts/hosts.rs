//! The hosts that live in this process: the simulated one, which any engine can evaluate for, and adapter-tokio.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use adapter_embassy::RecordedAnswer;
use async_trait::async_trait;
use vigy::{Engine, Evaluation, HostEffects, Platform, RuntimeHandle, Vigy};
use vigy_core::record::Bytes;
use vigy_core::sim::{ManualClock, MemoryStorage, RecordedEffects};
use vigy_core::{
    Ask, AskError, Checkpoint, Effects, Host, Incarnation, Outcome, ReconcileAction, Spec, TickBuffers, TickInterval, Timestamp,
};
use vigy_lisp::HostFn;

use crate::scenario::Scenario;
use crate::wake::{INTERVAL_MS, LIMITS};
use crate::{Records, Result};

fn vigy(scenario: &Scenario, name: &str) -> Result<Vigy> {
    Ok(Vigy { limits: LIMITS, ..Vigy::new(name, scenario.program().text, TickInterval::from_millis(INTERVAL_MS)?)? })
}

/// What a life on the simulated host leaves.
pub(crate) struct Simulated {
    pub(crate) storage: MemoryStorage,
    /// What it was answered at each tick: for a host that cannot ask.
    pub(crate) answered: Vec<Vec<u8>>,
    /// The most bytes of heap that a run used; unknown in a module.
    pub(crate) heap: u64,
}

impl Simulated {
    pub(crate) fn records(&self) -> Records {
        self.storage.runs.values().cloned().collect()
    }

    /// Lives a scenario, evaluated by an engine.
    pub(crate) fn live(scenario: &Scenario, engine: Engine) -> Result<Self> {
        let loaded = engine.evaluators()?.load(&vigy(scenario, scenario.program().name)?, scenario.program().operations)?;
        let spec = Spec::every(TickInterval::from_millis(INTERVAL_MS)?, loaded.hash(), LIMITS);
        let mut checkpoint = Checkpoint::new(scenario.incarnation, scenario.moments[0].at);
        let (mut buffers, mut words) = (TickBuffers::for_limits(&LIMITS), vec![0; loaded.words(&LIMITS)]);
        let effects = Listening::default();
        let mut host = Host { clock: ManualClock::default(), storage: MemoryStorage::default(), effects };
        let (mut answered, mut heap) = (Vec::new(), 0);
        for moment in &scenario.moments {
            host.clock.0 = moment.at;
            host.effects = Listening { world: moment.world.clone(), answered: Vec::new() };
            let mut evaluation = loaded.evaluation(&LIMITS, &mut words)?;
            host.tick(&spec, &mut checkpoint, buffers.memory(), &mut evaluation).map_err(|error| error.to_string())?;
            if let Evaluation::Lisp(lisp) = &evaluation {
                heap = heap.max(lisp.heap_used());
            }
            answered.push(std::mem::take(&mut host.effects.answered));
        }
        Ok(Self { storage: host.storage, answered, heap })
    }
}

/// The world, and what it answered so far.
#[derive(Default)]
struct Listening {
    world: RecordedEffects,
    answered: Vec<u8>,
}

impl Effects for Listening {
    fn ask(&mut self, ask: &Ask<'_>, into: &mut [u8]) -> std::result::Result<usize, AskError> {
        let answer = self.world.answer(ask);
        let recorded = RecordedAnswer {
            operation: ask.operation,
            writes: ask.key.is_some(),
            answer: answer.as_ref().map(|bytes| Bytes(bytes)).map_err(AskError::refusal),
        };
        let before = std::mem::take(&mut self.answered);
        self.answered = postcard::to_extend(&recorded, before).expect("an answer serialises");
        let answer = answer?;
        // Limits are such that every answer fits: one that does not has another text on every host.
        into[..answer.len()].copy_from_slice(&answer);
        Ok(answer.len())
    }

    fn act(&mut self, action: &ReconcileAction<'_>) -> Outcome {
        self.world.act(action)
    }
}

/// The world as adapter-tokio asks it.
#[derive(Default)]
struct Shared(Mutex<RecordedEffects>, Platform);

#[async_trait]
impl HostEffects for Shared {
    fn operations(&self) -> &[HostFn] {
        self.1.operations()
    }

    fn check(&self, _: &Vigy, _: &[&str]) -> std::result::Result<(), String> {
        Ok(())
    }

    async fn ask(&self, _: &Vigy, ask: Ask<'_>) -> std::result::Result<Vec<u8>, AskError> {
        self.0.lock().expect("nobody panicked").answer(&ask)
    }

    async fn act(&self, _: &Vigy, action: ReconcileAction<'_>) -> Outcome {
        self.0.lock().expect("nobody panicked").act(&action)
    }
}

/// Lives all scenarios in one runtime, whose store is a file.
#[tokio::main]
pub(crate) async fn on_tokio(scenarios: &[Scenario]) -> Result<Vec<Records>> {
    let directory = tempfile::tempdir()?;
    let (now, life, world) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(Shared::default()));
    let (clock, mint) = (now.clone(), life.clone());
    let runtime = RuntimeHandle::builder()
        .scheduling(false)
        .clock(move || Timestamp(clock.load(Ordering::SeqCst)))
        .incarnations(move || Incarnation(mint.load(Ordering::SeqCst)))
        .effects(world.clone())
        .open(&directory.path().join("vigy.redb"))
        .await?;
    let mut lives = Vec::new();
    for (index, scenario) in scenarios.iter().enumerate() {
        life.store(scenario.incarnation.0, Ordering::SeqCst);
        now.store(scenario.moments[0].at.0, Ordering::SeqCst);
        let registered = runtime.register_or_update(vigy(scenario, &format!("{}-{index}", scenario.program().name))?).await?;
        let mut records = Records::new();
        for moment in &scenario.moments {
            now.store(moment.at.0, Ordering::SeqCst);
            *world.0.lock().expect("nobody panicked") = moment.world.clone();
            records.push(runtime.tick_now(registered.id).await?.record);
        }
        lives.push(records);
    }
    runtime.shutdown(std::time::Duration::from_secs(10)).await;
    Ok(lives)
}
