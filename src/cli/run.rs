//! Ticking a program in the foreground, with a store that is gone afterwards.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use vigy::service::Service as _;
use vigy::{Local, Platform, RuntimeHandle};

use super::args::Run;
use super::failure::{Exit, Failure};
use super::{pace, print};

/// How long Ctrl-C waits for the tick in flight.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) async fn run(run: Run, json: bool, out: &mut impl Write) -> Result<Exit, Failure> {
    let most = if run.once { Some(1) } else { run.ticks };
    let declaration = run.program.declaration()?;
    let program = declaration.program.clone();
    let file = declaration.file.clone().unwrap_or_else(|| declaration.name.clone());
    let evaluators = run.engine.evaluators()?;
    let builder = RuntimeHandle::builder().effects(Arc::new(Platform::default())).evaluators(evaluators);
    let runtime = builder.scheduling(false).in_memory().await?;
    let service = Local::new(runtime.clone());
    let (vigy, _) = service.register(declaration).await?;

    let ticking = async {
        let mut exit = Exit::Done;
        let mut ticks = 0;
        while most.is_none_or(|most| ticks < most) {
            if !run.once {
                pace::sleep_until(pace::due(&service, &vigy.id).await?).await;
            }
            let run = service.tick(&vigy.id, true).await?;
            if json {
                writeln!(out, "{}", serde_json::to_string(&run)?)?;
            } else {
                print::run(out, &run)?;
                print::place(out, &file, &program, &run)?;
            }
            out.flush()?;
            if run.result == "failed" {
                exit = Exit::Failed;
            }
            ticks += 1;
        }
        Ok(exit)
    };
    let exit = tokio::select! {
        exit = ticking => exit,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
    };
    runtime.shutdown(DEADLINE).await;
    exit
}
