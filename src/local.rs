//! The service of the runtime in this process.

use std::path::Path;
use std::sync::Arc;

use adapter_tokio::store::{CopyError, Happened, Happening};
use adapter_tokio::{HostEffects, Registered};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::Value;
use vigy_core::{
    ActionKey, Ask, AskError, Cadence, Labels, Outcome, ReconcileAction, RunKey, Schedule as Declared, Selector, TickInterval,
    Vigy as Declaration, VigyId,
};
use vigy_lisp::HostFn;
use vigy_programs::{Capability, Recorded};

use crate::api::{
    Change, DeadLetter, Diff, Event, Redriven, RegisterVigy, Replay, ReplayOf, Revision, Schedule, StoreFinding, Told, UpdateVigy, Vigy,
    VigyRun, VigyState, WhatIf, rfc3339,
};
use crate::service::{Error, ErrorKind, Events, Service};
use crate::{Metrics, RegisterError, RuntimeHandle, VigyError};

/// A runtime in this process, as a service.
#[derive(Clone)]
pub struct Local(RuntimeHandle, Option<Arc<Metrics>>);

impl Local {
    /// The service of `runtime`.
    #[must_use]
    pub const fn new(runtime: RuntimeHandle) -> Self {
        Self(runtime, None)
    }

    /// With the metrics of the runtime, which is the one that they observe.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self(self.0, Some(metrics))
    }

    /// The runtime.
    #[must_use]
    pub const fn runtime(&self) -> &RuntimeHandle {
        &self.0
    }

    async fn id(&self, vigy: &str) -> Result<VigyId, Error> {
        Ok(self.0.resolve(vigy).await?)
    }

    /// Whose dead letter has this key.
    async fn dead(&self, key: &str) -> Result<(VigyId, ActionKey), Error> {
        let not_found = || Error::new(ErrorKind::NotFound, format_args!("there is no dead letter `{}`", key.escape_debug()));
        let key: ActionKey = key.parse().map_err(|_| not_found())?;
        let letters = self.0.dead_letters(None).await?;
        let found = letters.into_iter().find(|(_, letter)| letter.key == key);
        found.map(|(id, _)| (id, key)).ok_or_else(not_found)
    }

    /// The run that is meant by `INCARNATION-TICK` or `VIGY@TICK`, and whose it is.
    async fn run(&self, run: &str) -> Result<(VigyId, RunKey), Error> {
        let not_found = || Error::new(ErrorKind::NotFound, format_args!("there is no run `{}`", run.escape_debug()));
        if let Ok(key) = run.parse::<RunKey>() {
            let vigies = self.0.list(&Selector::default()).await?;
            let found = vigies.into_iter().find(|vigy| vigy.checkpoint.incarnation == key.incarnation);
            return found.map(|vigy| (vigy.id, key)).ok_or_else(not_found);
        }
        let (vigy, tick) = run.rsplit_once('@').ok_or_else(not_found)?;
        let tick = tick.parse().map_err(|_| not_found())?;
        let vigy = self.0.get(self.id(vigy).await?).await?;
        Ok((vigy.id, RunKey { incarnation: vigy.checkpoint.incarnation, tick }))
    }

    /// A vigy as it stands on this host.
    fn shown(&self, vigy: Registered) -> Vigy {
        let elsewhere = self.0.elsewhere(&vigy.vigy).map(str::to_owned);
        let vigy = Vigy::from(vigy);
        let next_tick_at = vigy.next_tick_at.filter(|_| elsewhere.is_none());
        Vigy { elsewhere, next_tick_at, ..vigy }
    }

    /// The revision of the vigy of exactly this name.
    async fn revision(&self, name: &str) -> Result<Option<u64>, Error> {
        match self.0.resolve(name).await {
            Ok(id) => {
                let known = self.0.get(id).await?;
                Ok((known.vigy.name.as_str() == name).then_some(known.revision))
            }
            // A name that is there would have been found before any prefix.
            Err(VigyError::NotFound(_) | VigyError::Ambiguous { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[async_trait]
impl Service for Local {
    async fn register(&self, vigy: RegisterVigy) -> Result<(Vigy, Change), Error> {
        if let Some(language) = vigy.language.as_deref().filter(|language| *language != "tatara-lisp") {
            let language = language.escape_debug();
            return Err(Error::invalid(format_args!("`{language}` is not spoken here: programs are written in `tatara-lisp`")));
        }
        let schedule = vigy.schedule.declared(vigy.tick_interval_ms).map_err(Error::invalid)?;
        let mut declaration = Declaration::new(&vigy.name, vigy.program, schedule).map_err(Error::invalid)?;
        declaration.policy = vigy.policy;
        declaration.enabled = vigy.enabled;
        declaration.labels = Labels::try_from(vigy.labels).map_err(Error::invalid)?;
        declaration.on_action = vigy.on_action.unwrap_or(declaration.on_action);
        declaration.allow = absolute(vigy.allow)?;
        declaration.config = vigy.config.map(Value::Object).as_ref().map_or(Ok(Vec::new()), config)?;
        declaration.limits.fuel = vigy.limits.fuel.unwrap_or(declaration.limits.fuel);
        declaration.limits.heap_bytes = vigy.limits.heap_bytes.unwrap_or(declaration.limits.heap_bytes);
        let before = self.revision(&vigy.name).await?;
        let program = declaration.program.clone();
        let declared = self.0.register_or_update(declaration).await;
        let now = self.shown(declared.map_err(|error| register_error(error, vigy.file.as_deref().unwrap_or(&vigy.name), &program))?);
        let change = match before {
            None => Change::Registered,
            Some(revision) if revision == now.revision => Change::Unchanged,
            Some(_) => Change::Updated,
        };
        Ok((now, change))
    }

    async fn update(&self, vigy: &str, changes: UpdateVigy) -> Result<Vigy, Error> {
        let mut declaration = self.0.get(self.id(vigy).await?).await?.vigy;
        declaration.schedule = match (changes.schedule, changes.tick_interval_ms) {
            (Some(schedule), interval) => schedule.declared(interval).map_err(Error::invalid)?,
            (None, Some(interval)) => paced_like(&declaration.schedule, interval)?,
            (None, None) => declaration.schedule,
        };
        declaration.policy = changes.policy.unwrap_or(declaration.policy);
        if let Some(labels) = changes.labels {
            declaration.labels = Labels::try_from(labels).map_err(Error::invalid)?;
        }
        if let Some(allow) = changes.allow {
            declaration.allow = absolute(allow)?;
        }
        declaration.on_action = changes.on_action.unwrap_or(declaration.on_action);
        if let Some(program) = changes.program {
            // `new` knows the rules for programs.
            let schedule = declaration.schedule.clone();
            declaration.program = Declaration::new(declaration.name.as_str(), program, schedule).map_err(Error::invalid)?.program;
        }
        let (name, program) = (declaration.name.to_string(), declaration.program.clone());
        let declared = self.0.update(declaration).await;
        Ok(self.shown(declared.map_err(|error| register_error(error, &name, &program))?))
    }

    async fn get(&self, vigy: &str) -> Result<Vigy, Error> {
        Ok(self.shown(self.0.get(self.id(vigy).await?).await?))
    }

    async fn list(&self, selector: &str, limit: Option<usize>) -> Result<Vec<Vigy>, Error> {
        let selector = Selector::parse(selector).map_err(Error::invalid)?;
        let vigies = self.0.list(&selector).await?;
        Ok(vigies.into_iter().take(limit.unwrap_or(usize::MAX)).map(|vigy| self.shown(vigy)).collect())
    }

    async fn state(&self, vigy: &str) -> Result<VigyState, Error> {
        let id = self.id(vigy).await?;
        Ok(VigyState::new(id.to_string(), self.0.state(id).await?))
    }

    async fn runs(&self, vigy: &str, limit: usize) -> Result<Vec<VigyRun>, Error> {
        let runs = self.0.recent_runs(self.id(vigy).await?, limit).await?;
        Ok(runs.into_iter().map(VigyRun::from).collect())
    }

    async fn tick(&self, vigy: &str, force: bool) -> Result<VigyRun, Error> {
        let id = self.id(vigy).await?;
        let run = if force { self.0.force_tick(id).await? } else { self.0.tick_now(id).await? };
        Ok(run.into())
    }

    async fn enable(&self, vigy: &str) -> Result<Vigy, Error> {
        Ok(self.shown(self.0.enable(self.id(vigy).await?).await?))
    }

    async fn disable(&self, vigy: &str) -> Result<Vigy, Error> {
        Ok(self.shown(self.0.disable(self.id(vigy).await?).await?))
    }

    async fn delete(&self, vigy: &str) -> Result<(), Error> {
        Ok(self.0.delete(self.id(vigy).await?).await?)
    }

    async fn revisions(&self, vigy: &str) -> Result<Vec<Revision>, Error> {
        let revisions = self.0.revisions(self.id(vigy).await?).await?;
        Ok(revisions.into_iter().map(Into::into).collect())
    }

    async fn rollback(&self, vigy: &str, to: u64) -> Result<Vigy, Error> {
        let rolled = self.0.rollback(self.id(vigy).await?, to).await;
        Ok(self.shown(rolled.map_err(|error| register_error(error, vigy, ""))?))
    }

    async fn dead_letters(&self, vigy: Option<&str>) -> Result<Vec<DeadLetter>, Error> {
        let of = match vigy {
            Some(vigy) => Some(self.id(vigy).await?),
            None => None,
        };
        let letters = self.0.dead_letters(of).await?;
        Ok(letters.into_iter().map(|(id, letter)| DeadLetter::new(id, letter)).collect())
    }

    async fn redrive(&self, key: &str) -> Result<Redriven, Error> {
        let (id, key) = self.dead(key).await?;
        let outcome = self.0.redrive(id, key).await?;
        let message = Some(outcome.message.to_string()).filter(|message| !message.is_empty());
        Ok(Redriven { key: key.to_string(), result: outcome.status.name().to_owned(), message })
    }

    async fn discard(&self, key: &str) -> Result<(), Error> {
        let (id, key) = self.dead(key).await?;
        Ok(self.0.discard(id, key).await?)
    }

    async fn replay(&self, run: &str, how: ReplayOf) -> Result<Replay, Error> {
        let (id, run) = self.run(run).await?;
        let replayed = self.0.replay(id, run, secrets(how.secrets)?).await?;
        Ok(Replay::new(id, run, replayed))
    }

    async fn what_if(&self, run: &str, how: WhatIf) -> Result<Diff, Error> {
        let (id, run) = self.run(run).await?;
        let WhatIf { program, file, secrets: answers } = how;
        let what_if = self.0.what_if(id, run, program.clone(), secrets(answers)?).await;
        let what_if = what_if.map_err(|error| register_error(error, file.as_deref().unwrap_or("the program"), &program))?;
        Ok(Diff::new(id, run, &what_if))
    }

    async fn check(&self) -> Result<Vec<StoreFinding>, Error> {
        let findings = self.0.store().check().await.map_err(VigyError::from)?;
        let shown = |finding: adapter_tokio::store::Finding| StoreFinding {
            vigy_id: finding.vigy.map(|vigy| vigy.to_string()),
            problem: finding.problem.to_string(),
        };
        Ok(findings.into_iter().map(shown).collect())
    }

    async fn backup(&self, path: &Path) -> Result<(), Error> {
        Ok(self.0.store().backup(path).await?)
    }

    async fn metrics(&self) -> Result<String, Error> {
        let none = || Error::new(ErrorKind::NotFound, "nobody counts here: `vigy serve` does");
        let metrics = self.1.as_ref().ok_or_else(none)?;
        metrics.text(&self.0.census().await?).map_err(|error| Error::new(ErrorKind::Failed, error))
    }

    async fn events(&self, vigy: Option<&str>, since: Option<u64>) -> Result<Events, Error> {
        let events = self.0.events(since);
        let wanted = match vigy {
            Some(vigy) => Some(self.id(vigy).await?),
            None => None,
        };
        let runtime = self.0.clone();
        let next = move |mut events: adapter_tokio::Events| {
            let runtime = runtime.clone();
            async move {
                loop {
                    let told = match events.next().await {
                        Ok(None) => return None,
                        Ok(Some(adapter_tokio::Event::Missed { events })) => Ok(Told { seq: None, event: Event::Missed { events } }),
                        Ok(Some(adapter_tokio::Event::Reset)) => Ok(Told { seq: None, event: Event::Reset {} }),
                        Ok(Some(adapter_tokio::Event::Happened { seq, event })) if wanted.is_none_or(|wanted| wanted == event.vigy) => {
                            told(&runtime, event).await.map(|event| Told { seq: Some(seq), event }).map_err(Error::from)
                        }
                        Ok(Some(_)) => continue,
                        Err(error) => Err(VigyError::from(error).into()),
                    };
                    return Some((told, events));
                }
            }
        };
        Ok(stream::unfold(events, next).boxed())
    }
}

/// An event, with what there is to say of its vigy or its run now.
async fn told(runtime: &RuntimeHandle, Happening { at, vigy: id, what }: Happening) -> Result<Event, VigyError> {
    let gone = |what: &str| Event::Gone { vigy_id: id.to_string(), what: what.to_owned(), at: rfc3339(at) };
    let (word, as_now): (_, fn(Vigy) -> Event) = match what {
        Happened::Registered { .. } => ("registered", Event::Registered),
        Happened::Updated { .. } => ("updated", Event::Updated),
        Happened::Enabled => ("enabled", Event::Enabled),
        Happened::Disabled => ("disabled", Event::Disabled),
        Happened::Parked => ("parked", Event::Parked),
        Happened::Resumed => ("resumed", Event::Resumed),
        Happened::Deleted { name } => return Ok(Event::Deleted { id: id.to_string(), name, at: rfc3339(at) }),
        Happened::Ran { run, .. } => {
            let found = runtime.run(id, run).await?;
            return Ok(found.map_or_else(|| gone(&format!("ran as {run}")), |run| Event::Run(run.into())));
        }
        Happened::DeadLettered { key } => {
            return Ok(Event::DeadLettered { vigy_id: id.to_string(), key: key.to_string(), at: rfc3339(at) });
        }
    };
    match runtime.get(id).await {
        Ok(vigy) => Ok(as_now(vigy.into())),
        Err(VigyError::NotFound(_)) => Ok(gone(word)),
        Err(error) => Err(error),
    }
}

/// Who gives the secret answers of a replay: a text of recorded ones, or nobody else than the runtime's own effects.
fn secrets(answers: Option<String>) -> Result<Option<Arc<dyn HostEffects>>, Error> {
    let recorded = answers.map(|answers| Recorded::parse(&answers)).transpose().map_err(Error::invalid)?;
    Ok(recorded.map(|recorded| Arc::new(Secrets(recorded)) as Arc<dyn HostEffects>))
}

/// Recorded answers to what a run has asked. That it was allowed to, its record says.
struct Secrets(Recorded);

#[async_trait]
impl HostEffects for Secrets {
    fn operations(&self) -> &[HostFn] {
        self.0.operations()
    }

    fn check(&self, vigy: &Declaration, operations: &[&str]) -> Result<(), String> {
        self.0.check(vigy, operations)
    }

    async fn ask(&self, _: &Declaration, ask: Ask<'_>) -> Result<Vec<u8>, AskError> {
        self.0.answer(&ask)
    }

    async fn act(&self, _: &Declaration, action: ReconcileAction<'_>) -> Outcome {
        Outcome::refused(&format!("a replay carries out nothing, {} included", action.key))
    }
}

/// A schedule with another interval. Its pace stays, and its jitter where it was chosen and fits.
fn paced_like(schedule: &Declared, interval_ms: u64) -> Result<Declared, Error> {
    let Declared::Every(before) = schedule else {
        return Schedule::default().declared(Some(interval_ms)).map_err(Error::invalid);
    };
    let fresh = Cadence::every(TickInterval::from_millis(interval_ms).map_err(Error::invalid)?);
    let chosen = before.jitter_ms != Cadence::every(before.interval).jitter_ms;
    let jitter_ms = if chosen { u64::from(before.jitter_ms).min(interval_ms) as u32 } else { fresh.jitter_ms };
    Ok(Cadence { pace: before.pace, initial_delay_ms: before.initial_delay_ms, jitter_ms, ..fresh }.into())
}

/// Capabilities with absolute paths, so that they mean the same wherever the runtime is started next.
fn absolute(allow: Vec<String>) -> Result<Vec<String>, Error> {
    let base = std::env::current_dir().map_err(|error| Error::new(ErrorKind::Failed, error))?;
    let absolute = |text: String| text.parse::<Capability>().map(|capability| capability.absolute(&base).to_string());
    allow.into_iter().map(absolute).collect::<Result<_, _>>().map_err(Error::invalid)
}

/// The data bytes of a configuration.
fn config(json: &Value) -> Result<Vec<u8>, Error> {
    let data = vigy_programs::json::to_data(json).map_err(|error| Error::invalid(format_args!("the configuration: {error}")))?;
    postcard::to_allocvec(&data).map_err(|error| Error::invalid(format_args!("the configuration: {error}")))
}

fn register_error(error: RegisterError, file: &str, program: &str) -> Error {
    let line = error.to_string();
    match error {
        RegisterError::Program(error) => {
            let detail = error.render(file, program).to_string();
            Error { detail: Some(detail), ..Error::new(ErrorKind::Program, line) }
        }
        RegisterError::NotFound(_) => Error::new(ErrorKind::NotFound, line),
        RegisterError::Store(_) => Error::new(ErrorKind::Failed, line),
        RegisterError::Invalid(_) | RegisterError::Refused(_) | RegisterError::Collision(_) => Error::invalid(line),
    }
}

impl From<VigyError> for Error {
    fn from(error: VigyError) -> Self {
        let kind = match &error {
            VigyError::NotFound(_) => ErrorKind::NotFound,
            VigyError::Ambiguous { .. } => ErrorKind::Ambiguous,
            VigyError::ShuttingDown => ErrorKind::Unavailable,
            VigyError::Paused(_) | VigyError::Elsewhere { .. } => ErrorKind::Conflict,
            VigyError::Host(_) | VigyError::Store(_) => ErrorKind::Failed,
        };
        Self::new(kind, error)
    }
}

impl From<CopyError> for Error {
    fn from(error: CopyError) -> Self {
        let kind = if matches!(error, CopyError::Exists(_)) { ErrorKind::Conflict } else { ErrorKind::Failed };
        Self::new(kind, error)
    }
}
