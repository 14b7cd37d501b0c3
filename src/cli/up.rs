//! Running the program of a ComputeUnit, in the foreground.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use vigy::api::{RegisterVigy, Schedule, TickLimits, rfc3339};
use vigy::service::Service;
use vigy::{ComputeUnit, Engine, HostEffects, Platform, Policy, Recorded, RuntimeHandle, Trigger};

use super::args::{Up, read};
use super::connect::{self, Connection};
use super::failure::{Exit, Failure};
use super::serve::Stop;
use super::{pace, print};

pub(crate) async fn up(up: Up, store: &Path, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let mut stop = Stop::new()?;
    let shown = up.file.display();
    let unit: ComputeUnit = read(&up.file, "ComputeUnit")?
        .parse()
        .map_err(|error| Failure::new(Exit::Usage, format_args!("the ComputeUnit {shown}: {error}")))?;
    let once = match &unit.trigger {
        Trigger::Cron(_) => up.once,
        Trigger::OneShot(_) => true,
        Trigger::Service(_) => return Err(no_trigger("service")),
        Trigger::Event(_) => return Err(no_trigger("event")),
        Trigger::Watch(_) => return Err(no_trigger("watch")),
    };
    let declaration = declaration(unit, &up.file)?;
    let connection = connection(&up, store).await?;
    let done = async {
        tokio::select! {
            done = keep(connection.service(), declaration, once, json, out) => done,
            () = stop.wait() => Ok(Exit::Done),
        }
    };
    connection.finish(done.await).await
}

fn no_trigger(trigger: &str) -> Failure {
    let advice = "`vigy up` runs those of cron and oneShot";
    Failure::new(Exit::Usage, format_args!("spec.trigger.{trigger}: this version does not run programs by such a trigger: {advice}"))
}

/// What is registered. The vigy does not tick on its own: this command ticks it, when its schedule says so.
fn declaration(unit: ComputeUnit, file: &Path) -> Result<RegisterVigy, Failure> {
    let here = std::path::absolute(file)?;
    // A file has a directory.
    let here = here.parent().unwrap_or(&here);
    let source = here.join(&unit.source);
    let cron = if let Trigger::Cron(calendar) = &unit.trigger { Some(calendar.to_string()) } else { None };
    Ok(RegisterVigy {
        name: unit.name.into(),
        program: read(&source, "program")?,
        tick_interval_ms: None,
        schedule: Schedule { cron, ..Schedule::default() },
        policy: Policy::DEFAULT,
        enabled: false,
        labels: unit.labels.into(),
        on_action: None,
        allow: unit.capabilities.into_iter().map(|capability| capability.absolute(here).to_string()).collect(),
        config: unit.config,
        limits: TickLimits { fuel: unit.limits.fuel, heap_bytes: unit.limits.memory },
        file: Some(source.display().to_string()),
        language: None,
    })
}

/// A daemon will do, unless something else than its platform or its engine is asked for.
async fn connection(up: &Up, store: &Path) -> Result<Connection, Failure> {
    let effects: Arc<dyn HostEffects> = match &up.answers {
        None if up.engine == Engine::Native => return connect::connect(store).await,
        None => Arc::new(Platform::default()),
        Some(file) => {
            let recorded = Recorded::parse(&read(file, "recorded answers")?);
            Arc::new(recorded.map_err(|error| Failure::new(Exit::Usage, format_args!("{}: {error}", file.display())))?)
        }
    };
    connect::own(store, RuntimeHandle::builder().effects(effects).evaluators(up.engine.evaluators()?)).await
}

/// Registers, and ticks: `once`, or whenever it is time.
async fn keep(service: &dyn Service, declaration: RegisterVigy, once: bool, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let program = declaration.program.clone();
    let file = declaration.file.clone().unwrap_or_else(|| declaration.name.clone());
    let (vigy, change) = service.register(declaration).await?;
    if !json {
        print::change(out, change.name(), &vigy)?;
    }
    if once {
        return tick(service, &vigy.id, (&file, &program), json, out).await;
    }
    loop {
        let due = pace::due(service, &vigy.id).await?;
        if !json {
            writeln!(out, "next run {}", rfc3339(due))?;
            out.flush()?;
        }
        pace::sleep_until(due).await;
        tick(service, &vigy.id, (&file, &program), json, out).await?;
    }
}

async fn tick(service: &dyn Service, id: &str, (file, program): (&str, &str), json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let run = service.tick(id, true).await?;
    if json {
        writeln!(out, "{}", serde_json::to_string(&run)?)?;
    } else {
        print::run(out, &run)?;
        print::place(out, file, program, &run)?;
    }
    out.flush()?;
    Ok(if run.result == "failed" { Exit::Failed } else { Exit::Done })
}
