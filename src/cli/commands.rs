//! Commands on what is registered, the same whoever carries them out.

use std::io::Write;

use serde::Serialize;
use vigy::RunKey;
use vigy::api::{RegisterVigy, ReplayOf, WhatIf};
use vigy::service::Service;

use super::args::{Letters, Runs, Stored, read};
use super::failure::{Exit, Failure};
use super::print;

pub(crate) async fn register(service: &dyn Service, declaration: RegisterVigy, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let (vigy, change) = service.register(declaration).await?;
    if json {
        return document(out, &vigy::api::Registration { vigy, change });
    }
    print::change(out, change.name(), &vigy)?;
    if vigy.enabled {
        writeln!(out, "ticks {} while `vigy serve` runs", print::clean(&vigy.schedule.shown(vigy.tick_interval_ms)))?;
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
        Stored::Tick { vigy, force, wait: _ } => {
            let run = service.tick(&vigy.vigy, force).await?;
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
        Stored::Revisions(reference) => {
            let revisions = service.revisions(&reference.vigy).await?;
            if json { document(out, &revisions) } else { done(print::revisions(out, &revisions)) }
        }
        Stored::Rollback { vigy, to } => {
            let vigy = service.rollback(&vigy.vigy, to).await?;
            if json { document(out, &vigy) } else { done(print::change(out, &format!("revision {}", vigy.revision), &vigy)) }
        }
        Stored::DeadLetters { vigy } => {
            let letters = service.dead_letters(vigy.as_deref()).await?;
            if json { document(out, &letters) } else { done(print::dead_letters(out, &letters)) }
        }
        Stored::Redrive(letters) => {
            let mut redriven = Vec::new();
            for key in keys(service, letters).await? {
                redriven.push(service.redrive(&key).await?);
                if let (false, Some(last)) = (json, redriven.last()) {
                    print::redriven(out, last)?;
                }
            }
            if json {
                document(out, &redriven)?;
            }
            Ok(if redriven.iter().all(|one| one.result == "ok") { Exit::Done } else { Exit::Failed })
        }
        Stored::Discard(letters) => {
            let keys = keys(service, letters).await?;
            for key in &keys {
                service.discard(key).await?;
                if !json {
                    writeln!(out, "discarded {key}")?;
                }
            }
            if json { document(out, &serde_json::json!({ "discarded": keys })) } else { Ok(Exit::Done) }
        }
        Stored::Replay { runs } => replay(service, runs, json, out).await,
        Stored::Diff { runs, program } => {
            let (file, text) = (program.display().to_string(), read(&program, "program")?);
            let secrets = secrets(&runs)?;
            let mut diffs = Vec::new();
            for run in each(service, runs).await? {
                let how = WhatIf { program: text.clone(), file: Some(file.clone()), secrets: secrets.clone() };
                let diff = service.what_if(&run, how).await?;
                if !json {
                    print::diff(out, &diff)?;
                }
                diffs.push(diff);
            }
            if json { document(out, &diffs) } else { Ok(Exit::Done) }
        }
    }
}

/// Replays run by run, up to the first that goes another way.
async fn replay(service: &dyn Service, runs: Runs, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let secrets = secrets(&runs)?;
    let (mut replayed, mut exit) = (Vec::new(), Exit::Done);
    for run in each(service, runs).await? {
        let replay = service.replay(&run, ReplayOf { secrets: secrets.clone() }).await?;
        if !json {
            print::replayed(out, &replay)?;
        }
        let diverged = replay.divergence.is_some();
        replayed.push(replay);
        if diverged {
            exit = Exit::Failed;
            break;
        }
    }
    if json {
        document(out, &replayed)?;
    }
    Ok(exit)
}

fn secrets(runs: &Runs) -> Result<Option<String>, Failure> {
    runs.secrets.as_deref().map(|file| read(file, "secret answers")).transpose()
}

/// The runs that are meant, those of a vigy oldest first.
async fn each(service: &dyn Service, runs: Runs) -> Result<Vec<String>, Failure> {
    let mut each = Vec::new();
    for run in runs.runs {
        let numbered = |run: &str| run.rsplit_once('@').is_some_and(|(_, tick)| tick.parse::<u64>().is_ok());
        if run.parse::<RunKey>().is_ok() || numbered(&run) {
            each.push(run);
        } else {
            let runs = service.runs(&run, usize::MAX).await?;
            each.extend(runs.into_iter().rev().map(|run| run.id));
        }
    }
    Ok(each)
}

/// The keys of the dead letters that are meant.
async fn keys(service: &dyn Service, Letters { which }: Letters) -> Result<Vec<String>, Failure> {
    if which.parse::<vigy_core::ActionKey>().is_ok() {
        return Ok(vec![which]);
    }
    Ok(service.dead_letters(Some(&which)).await?.into_iter().map(|letter| letter.key).collect())
}

/// One JSON document, for people too.
pub(super) fn document(out: &mut impl Write, value: &impl Serialize) -> Result<Exit, Failure> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(Exit::Done)
}

fn done(printed: std::io::Result<()>) -> Result<Exit, Failure> {
    Ok(printed.map(|()| Exit::Done)?)
}
