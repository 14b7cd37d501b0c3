//! The service of the runtime in this process.

use adapter_tokio::store::{Happened, Happening};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::Value;
use vigy_core::{Labels, Selector, TickInterval, Vigy as Declaration, VigyId};
use vigy_programs::Capability;

use crate::api::{Change, Event, RegisterVigy, UpdateVigy, Vigy, VigyRun, VigyState, rfc3339};
use crate::service::{Error, ErrorKind, Events, Service};
use crate::{RegisterError, RuntimeHandle, VigyError};

/// A runtime in this process, as a service.
#[derive(Clone)]
pub struct Local(RuntimeHandle);

impl Local {
    /// The service of `runtime`.
    #[must_use]
    pub const fn new(runtime: RuntimeHandle) -> Self {
        Self(runtime)
    }

    /// The runtime.
    #[must_use]
    pub const fn runtime(&self) -> &RuntimeHandle {
        &self.0
    }

    async fn id(&self, vigy: &str) -> Result<VigyId, Error> {
        Ok(self.0.resolve(vigy).await?)
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
        let interval = TickInterval::from_millis(vigy.tick_interval_ms).map_err(Error::invalid)?;
        let mut declaration = Declaration::new(&vigy.name, vigy.program, interval).map_err(Error::invalid)?;
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
        let now: Vigy = declared.map_err(|error| register_error(error, vigy.file.as_deref().unwrap_or(&vigy.name), &program))?.into();
        let change = match before {
            None => Change::Registered,
            Some(revision) if revision == now.revision => Change::Unchanged,
            Some(_) => Change::Updated,
        };
        Ok((now, change))
    }

    async fn update(&self, vigy: &str, changes: UpdateVigy) -> Result<Vigy, Error> {
        let mut declaration = self.0.get(self.id(vigy).await?).await?.vigy;
        if let Some(ms) = changes.tick_interval_ms {
            declaration.schedule = TickInterval::from_millis(ms).map_err(Error::invalid)?.into();
        }
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
        Ok(declared.map_err(|error| register_error(error, &name, &program))?.into())
    }

    async fn get(&self, vigy: &str) -> Result<Vigy, Error> {
        Ok(self.0.get(self.id(vigy).await?).await?.into())
    }

    async fn list(&self, selector: &str, limit: Option<usize>) -> Result<Vec<Vigy>, Error> {
        let selector = Selector::parse(selector).map_err(Error::invalid)?;
        let vigies = self.0.list(&selector).await?;
        Ok(vigies.into_iter().take(limit.unwrap_or(usize::MAX)).map(Vigy::from).collect())
    }

    async fn state(&self, vigy: &str) -> Result<VigyState, Error> {
        let id = self.id(vigy).await?;
        Ok(VigyState::new(id.to_string(), self.0.state(id).await?))
    }

    async fn runs(&self, vigy: &str, limit: usize) -> Result<Vec<VigyRun>, Error> {
        let runs = self.0.recent_runs(self.id(vigy).await?, limit).await?;
        Ok(runs.into_iter().map(VigyRun::from).collect())
    }

    async fn tick(&self, vigy: &str) -> Result<VigyRun, Error> {
        Ok(self.0.force_tick(self.id(vigy).await?).await?.into())
    }

    async fn enable(&self, vigy: &str) -> Result<Vigy, Error> {
        Ok(self.0.enable(self.id(vigy).await?).await?.into())
    }

    async fn disable(&self, vigy: &str) -> Result<Vigy, Error> {
        Ok(self.0.disable(self.id(vigy).await?).await?.into())
    }

    async fn delete(&self, vigy: &str) -> Result<(), Error> {
        Ok(self.0.delete(self.id(vigy).await?).await?)
    }

    async fn events(&self, vigy: Option<&str>) -> Result<Events, Error> {
        let events = self.0.events(None);
        let wanted = match vigy {
            Some(vigy) => Some(self.id(vigy).await?),
            None => None,
        };
        let runtime = self.0.clone();
        let next = move |mut events: adapter_tokio::Events| {
            let runtime = runtime.clone();
            async move {
                loop {
                    let event = match events.next().await {
                        Ok(None) => return None,
                        Ok(Some(adapter_tokio::Event::Missed { events: missed })) => Ok(Some(Event::Missed { events: missed })),
                        Ok(Some(adapter_tokio::Event::Happened { event, .. })) if wanted.is_none_or(|wanted| wanted == event.vigy) => {
                            told(&runtime, event).await
                        }
                        Ok(Some(_)) => continue,
                        Err(error) => Err(error.into()),
                    };
                    if let Some(event) = event.map_err(|error: VigyError| Error::from(error)).transpose() {
                        return Some((event, events));
                    }
                }
            }
        };
        Ok(stream::unfold(events, next).boxed())
    }
}

/// An event, with what there is to say of its vigy or its run now; nothing when that is gone.
async fn told(runtime: &RuntimeHandle, Happening { at, vigy: id, what }: Happening) -> Result<Option<Event>, VigyError> {
    let as_now: fn(Vigy) -> Event = match what {
        Happened::Registered { .. } => Event::Registered,
        Happened::Updated { .. } => Event::Updated,
        Happened::Enabled => Event::Enabled,
        Happened::Disabled => Event::Disabled,
        Happened::Parked => Event::Parked,
        Happened::Resumed => Event::Resumed,
        Happened::Deleted { name } => return Ok(Some(Event::Deleted { id: id.to_string(), name, at: rfc3339(at) })),
        Happened::Ran { run, .. } => return Ok(runtime.run(id, run).await?.map(|run| Event::Run(run.into()))),
        // Its run says so, too.
        Happened::DeadLettered { .. } => return Ok(None),
    };
    match runtime.get(id).await {
        Ok(vigy) => Ok(Some(as_now(vigy.into()))),
        Err(VigyError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
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
            VigyError::Paused(_) | VigyError::Elsewhere { .. } | VigyError::Host(_) | VigyError::Store(_) => ErrorKind::Failed,
        };
        Self::new(kind, error)
    }
}
