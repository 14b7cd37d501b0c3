//! The command line: one module per family of commands.

mod args;
mod build;
mod check;
mod commands;
mod connect;
mod doc;
mod eval;
mod explain;
mod export;
mod failure;
mod pace;
mod print;
mod repl;
mod run;
mod serve;
mod session;
mod store;
mod tail;
mod telemetry;
mod up;
mod values;

use std::process::ExitCode;

use anstream::{stderr, stdout};
use clap::{CommandFactory as _, Parser as _};

use args::{Arguments, Command};
use failure::{Exit, Failure};

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let telemetry = telemetry::start(&arguments);
    let json = arguments.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(Exit::Failed, error).report(json, &mut stderr().lock()),
    };
    let done = runtime.block_on(dispatch(arguments));
    // What is stored is stored; a file system that hangs must not keep the process alive.
    runtime.shutdown_background();
    telemetry.end();
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(json, &mut stderr().lock()),
    }
}

async fn dispatch(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { db, json, command, .. } = arguments;
    let out = &mut stdout();
    match command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "vigy", out);
            Ok(Exit::Done)
        }
        Command::Check(check) => check::check(&check, json, out),
        Command::Explain { code } => explain::explain(code.as_deref(), json, out),
        Command::Build(build) => build::build(&build, json, out),
        Command::Doc { name } => doc::doc(name.as_deref(), json, out),
        Command::Eval(eval) => eval::eval(&eval, json, out),
        // It waits for a terminal, and not for the runtime.
        Command::Repl { budget } => tokio::task::block_in_place(|| repl::repl(budget.budget(), out)),
        Command::Run(run) => run::run(run, json, out).await,
        Command::Serve { bind, host } => serve::serve(&args::store(db)?, bind, host, json, out).await,
        Command::Tail { since, vigy } => tail::tail(&args::store(db)?, vigy.as_deref(), since, json, out).await,
        Command::Store(command) => store::store(command, &args::store(db)?, json, out).await,
        Command::Up(up) => up::up(up, &args::store(db)?, json, out).await,
        Command::Register(register) => {
            let declaration = register.declaration()?;
            let connection = connect::connect(&args::store(db)?).await?;
            connection.finish(commands::register(connection.service(), declaration, json, out).await).await
        }
        Command::Stored(command) => {
            let connection = connect::connect(&args::store(db)?).await?;
            connection.finish(commands::stored(connection.service(), command, json, out).await).await
        }
    }
}
