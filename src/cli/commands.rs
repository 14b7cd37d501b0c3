//! Commands on what is registered, the same whoever carries them out.

use std::io::Write;

use serde::Serialize;
use vigy::api::RegisterVigy;
use vigy::service::Service;

use super::args::Stored;
use super::failure::{Exit, Failure};
use super::print;

pub(crate) async fn register(service: &dyn Service, declaration: RegisterVigy, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let (vigy, change) = service.register(declaration).await?;
    if json {
        return document(out, &vigy::api::Registration { vigy, change });
    }
    print::change(out, change.name(), &vigy)?;
    if vigy.enabled {
        writeln!(out, "ticks every {} ms while `vigy serve` runs", vigy.tick_interval_ms)?;
    } else {
        writeln!(out, "disabled: `vigy enable {}` lets it tick", vigy.id)?;
    }
    Ok(Exit::Done)
}

pub(crate) async fn stored(service: &dyn Service, command: Stored, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let limit = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    match command {
        Stored::List { selector, limit: most } => {
            let vigies = service.list(&selector, most.map(limit)).await?;
            if json { document(out, &vigies) } else { done(print::vigies(out, &vigies)) }
        }
        Stored::Inspect(reference) => {
            let inspection = service.inspect(&reference.vigy).await?;
            if json { document(out, &inspection) } else { done(print::inspection(out, &inspection)) }
        }
        Stored::Runs { vigy, limit: most } => {
            let runs = service.runs(&vigy.vigy, limit(most)).await?;
            if json { document(out, &runs) } else { done(runs.iter().try_for_each(|run| print::run(out, run))) }
        }
        Stored::Logs { vigy, limit: most } => {
            let mut runs = service.runs(&vigy.vigy, limit(most)).await?;
            runs.reverse();
            let lines: Vec<_> = runs.iter().flat_map(print::Logged::of).collect();
            if json { document(out, &lines) } else { done(lines.iter().try_for_each(|line| print::logged(out, line))) }
        }
        Stored::Tick(reference) => {
            let run = service.tick(&reference.vigy).await?;
            if json {
                document(out, &run)?
            } else {
                done(print::run(out, &run))?
            };
            Ok(if run.result == "failed" { Exit::Failed } else { Exit::Done })
        }
        Stored::Enable(reference) => {
            let vigy = service.enable(&reference.vigy).await?;
            if json { document(out, &vigy) } else { done(print::change(out, "enabled", &vigy)) }
        }
        Stored::Disable(reference) => {
            let vigy = service.disable(&reference.vigy).await?;
            if json { document(out, &vigy) } else { done(print::change(out, "disabled", &vigy)) }
        }
        Stored::Delete(reference) => {
            let vigy = service.get(&reference.vigy).await?;
            service.delete(&vigy.id).await?;
            if json { document(out, &serde_json::json!({ "deleted": vigy.id })) } else { done(print::change(out, "deleted", &vigy)) }
        }
    }
}

/// One JSON document, for people too.
fn document(out: &mut impl Write, value: &impl Serialize) -> Result<Exit, Failure> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(Exit::Done)
}

fn done(printed: std::io::Result<()>) -> Result<Exit, Failure> {
    Ok(printed.map(|()| Exit::Done)?)
}
