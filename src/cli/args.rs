//! What the command line takes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, value_parser};
use vigy::api::{RegisterVigy, Schedule, TickLimits};
use vigy::{Engine, Limits, Pace, Policy, TickInterval, Vigy};
use vigy_lisp::Budget;

use super::failure::{Exit, Failure};
use super::values::{capability, duration, interval, jitter, label, loopback};

/// Always-on reconcilers, written in a small lisp.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The store [default: ~/.local/share/vigy/vigy.redb]
    #[arg(long, env = "VIGY_DB", global = true, value_name = "FILE")]
    pub(crate) db: Option<PathBuf>,
    /// Print JSON; a line per event where there is a stream of them
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on stderr; twice for even more. RUST_LOG wins
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  vigy run hello.tlisp --every 1000             tick a program here and now
  vigy serve &                                  keep registered vigies ticking
  vigy register hello.tlisp --name hello --every 1000 --label host=local
  vigy register mirror.tlisp --name mirror --allow fs:/srv:r --on-action 'exec:./apply.sh'
  vigy build hello.tlisp -o hello.wasm          make a wasm module of a program
  vigy up programs/pvc-autoresizer/computeunit.yaml --once
  vigy repl                                     try the language
  vigy doc map                                  what a name means
  vigy check hello.tlisp                        find what is wrong with it before it runs
  vigy list
  vigy inspect hello                            by name, id, or unambiguous prefix
  vigy register report.tlisp --cron '0 3 * * *' --tz Europe/Berlin
  vigy diff hello --program hello-2.tlisp       what an edited program would have done
  vigy tail                                     follow what the daemon does

Exit codes: 0 done, 1 failed (a failed run too), 2 usage, 3 not found, 4 no connection";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tick a program here and now, in the foreground, with nothing stored
    #[command(after_help = "Examples:\n  vigy run hello.tlisp --once\n  vigy run hello.tlisp --every 500 --ticks 10 --json\n  \
        vigy run hello.tlisp --engine wasmi --once")]
    Run(Run),
    /// Make a wasm module of a program: it imports nothing, and says which operations it may ask
    #[command(after_help = "Example:\n  vigy build programs/hello-vigy/main.tlisp -o hello.wasm")]
    Build(Build),
    /// Find what is wrong with programs before they run: unknown names, wrong arities, what is never used, what was not granted
    #[command(after_help = "Examples:\n  vigy check *.tlisp\n  vigy check mirror.tlisp --allow fs:/srv:r --deny-warnings\n  \
        vigy check computeunit.yaml --json\n\nExit codes: 0 nothing is wrong, 1 errors, 2 a file cannot be read")]
    Check(Check),
    /// Tell what the code of an error or a warning means, with examples; without a code, list all
    #[command(after_help = "Examples:\n  vigy explain E0012\n  vigy explain")]
    Explain {
        /// As it stands in the message: E0012
        #[arg(value_name = "CODE", value_parser = NonEmptyStringValueParser::new())]
        code: Option<String>,
    },
    /// Register the program of a ComputeUnit, and run it by its trigger, in the foreground
    #[command(after_help = "Examples:\n  vigy up computeunit.yaml\n  vigy up computeunit.yaml --once --engine wasmi\n  \
        vigy up computeunit.yaml --once --answers recorded.jsonl --json")]
    Up(Up),
    /// Register a vigy; a name that is known gets the new declaration and keeps its state
    #[command(after_help = "Examples:\n  vigy register hello.tlisp --name hello --every 1000 --label host=local\n  \
        vigy register mirror.tlisp --allow fs:/srv:r --on-action 'exec:./apply.sh'\n  \
        vigy register poll.tlisp --every 1m --sharp --park-after 5\n  \
        vigy register report.tlisp --cron '0 3 * * *' --tz Europe/Berlin")]
    Register(Register),
    #[command(flatten)]
    Stored(Stored),
    /// Follow what the running daemon does
    #[command(after_help = "Examples:\n  vigy tail\n  vigy tail hello --json | jq .actions\n  vigy tail --since 1742 --json\n\n\
        Every event has a number, `seq` in JSON: a listener that comes back with the last one it has seen misses nothing that is kept,\n\
        and is told how much is not.")]
    Tail {
        /// Go on after the event of this number; 0 is everything that is kept [default: what happens from now on]
        #[arg(long, value_name = "CURSOR")]
        since: Option<u64>,
        /// Only this vigy: its id, its name, or an unambiguous prefix
        #[arg(value_name = "VIGY", value_parser = NonEmptyStringValueParser::new())]
        vigy: Option<String>,
    },
    /// Look after the store: check it, copy it, restore it, export it
    #[command(subcommand)]
    Store(Store),
    /// Keep the registered vigies ticking, and listen on a socket beside the store
    #[command(
        after_help = "Examples:\n  vigy serve\n  vigy serve --bind 127.0.0.1:38821\n\nSIGTERM and SIGINT end it: ticks in flight are finished first."
    )]
    Serve {
        /// Offer the API on this loopback address too, as 127.0.0.1:38821
        #[arg(long, visible_alias = "addr", value_name = "ADDRESS:PORT", value_parser = loopback)]
        bind: Option<SocketAddr>,
        /// The name of this host: a vigy labelled host=NAME ticks on the host of that name alone [default: every vigy ticks]
        #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        host: Option<String>,
    },
    /// Evaluate a program without a vigy around it, and print its value
    #[command(
        after_help = "Examples:\n  vigy eval -e '(map inc (range 5))'\n  vigy eval program.tlisp --json\n  echo '(+ 1 2)' | vigy eval -\n\n\
        What a vigy's host offers is not there: calling it is an error."
    )]
    Eval(Eval),
    /// Evaluate forms as they are entered
    #[command(after_help = "Examples:\n  vigy repl\n  vigy repl < forms.tlisp")]
    Repl {
        #[command(flatten)]
        budget: Evaluation,
    },
    /// Say what is known of a name that programs have, or list all names
    #[command(after_help = "Examples:\n  vigy doc\n  vigy doc map\n  vigy doc vigy-once --json")]
    Doc {
        /// The name
        #[arg(value_name = "NAME", allow_hyphen_values = true)]
        name: Option<String>,
    },
    /// Print completions for a shell
    #[command(after_help = "Example:\n  vigy completions bash > ~/.local/share/bash-completion/completions/vigy")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Commands on what is registered: by the daemon when one is up, else on the store itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Stored {
    /// List the registered vigies
    List {
        /// Only those with these labels: `k=v k!=v k in (a,b) k notin (a,b) k !k`, separated by commas or blanks
        #[arg(long, default_value = "", hide_default_value = true)]
        selector: String,
        /// At most this many
        #[arg(long, value_parser = value_parser!(u64).range(1..))]
        limit: Option<u64>,
    },
    /// Show everything known of a vigy
    Inspect(Reference),
    /// Show its last runs, newest first
    Runs {
        #[command(flatten)]
        vigy: Reference,
        /// At most this many
        #[arg(long, default_value_t = 20, value_parser = value_parser!(u64).range(1..))]
        limit: u64,
    },
    /// Show what it logged in its last runs, oldest first
    Logs {
        #[command(flatten)]
        vigy: Reference,
        /// Of this many runs
        #[arg(long, default_value_t = 20, value_parser = value_parser!(u64).range(1..))]
        limit: u64,
    },
    /// Tick it now, whatever its schedule says, and wait until every action has its outcome
    #[command(after_help = "Examples:\n  vigy tick hello\n  vigy tick hello --force --json\n\n\
        A paused vigy is not ticked: resume it, or use --force. Exit code 1 when the run failed.")]
    Tick {
        #[command(flatten)]
        vigy: Reference,
        /// Wait for the outcomes, as it does anyway
        #[arg(long)]
        wait: bool,
        /// Also when it is paused
        #[arg(long)]
        force: bool,
    },
    /// Let it tick on its own; one that is parked is not any more
    #[command(visible_alias = "resume", after_help = "Example:\n  vigy resume hello")]
    Enable(Reference),
    /// Stop it from ticking on its own; a tick in flight ends as it would have
    #[command(visible_alias = "pause", after_help = "Example:\n  vigy pause hello")]
    Disable(Reference),
    /// Show its declarations, newest first
    #[command(after_help = "Examples:\n  vigy revisions hello\n  vigy revisions hello --json | jq -r '.[1].program'")]
    Revisions(Reference),
    /// Declare it as an earlier revision did, which makes a new revision; kv, history and the enabled state stay
    #[command(after_help = "Example:\n  vigy rollback hello --to 2")]
    Rollback {
        #[command(flatten)]
        vigy: Reference,
        /// The number of the revision
        #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
        to: u64,
    },
    /// Show the actions that failed for good, oldest first
    #[command(after_help = "Examples:\n  vigy dead-letters\n  vigy dead-letters mirror --json")]
    DeadLetters {
        /// Only of this vigy: its id, its name, or an unambiguous prefix
        #[arg(value_name = "VIGY", value_parser = NonEmptyStringValueParser::new())]
        vigy: Option<String>,
    },
    /// Carry out an action that failed for good once more, under its old key; or all of a vigy's
    #[command(after_help = "Examples:\n  vigy redrive 5f0c66a1a3e0b1c2-17-0\n  vigy redrive mirror\n\n\
        Exit code 1 when one of them failed again: it stays a dead letter.")]
    Redrive(Letters),
    /// Discard an action that failed for good; or all of a vigy's
    #[command(after_help = "Examples:\n  vigy discard 5f0c66a1a3e0b1c2-17-0\n  vigy discard mirror")]
    Discard(Letters),
    /// Evaluate runs again from their records, and compare everything that comes of them
    #[command(after_help = "Examples:\n  vigy replay hello\n  vigy replay hello@17 5f0c66a1a3e0b1c2-18\n  \
        vigy replay hello --secrets answers.jsonl --json\n\n\
        Nothing is written and nothing is asked, but for secret answers, which no record has.\n\
        Exit code 1 at the first run that goes another way than its record.")]
    Replay {
        #[command(flatten)]
        runs: Runs,
    },
    /// Show what an edited program would have done in runs that are recorded, before it goes live
    #[command(after_help = "Examples:\n  vigy diff hello --program hello-2.tlisp\n  vigy diff hello@17 --program hello-2.tlisp --json\n\n\
        Nothing is written and nothing is asked. A program that asks for what the record does not hold ends as `unknown-input`.")]
    Diff {
        #[command(flatten)]
        runs: Runs,
        /// The edited program
        #[arg(long, value_name = "FILE")]
        program: PathBuf,
    },
    /// Remove it, with its kv store and its history
    Delete(Reference),
}

/// Commands on the store as a whole.
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Walk over everything there is, and hold it against each other; also while a daemon has it
    #[command(after_help = "Example:\n  vigy store check --json\n\nExit code 1 when something is wrong.")]
    Check,
    /// Copy the store as it is now into a new file; also while a daemon has it
    #[command(after_help = "Example:\n  vigy store backup vigy-backup.redb\n\nThe copy is a store: --db opens it.")]
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Make the store anew of a backup. Kv, history and dead letters are as they were; no action key of the first life comes back
    #[command(
        after_help = "Example:\n  vigy --db restored.redb store restore vigy-backup.redb\n\nNothing is overwritten: the store must not be there yet."
    )]
    Restore {
        /// The backup
        file: PathBuf,
    },
    /// Write everything there is as JSON Lines, or as an SQLite database to look at
    #[command(after_help = "Examples:\n  vigy store export vigy.jsonl\n  vigy store export vigy.sqlite\n  \
        sqlite3 vigy.sqlite 'SELECT id, name, enabled FROM vigies;'")]
    Export {
        /// The new file: .jsonl, .sqlite or .db
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Letters {
    /// An action's key, as `vigy dead-letters` shows it; or a vigy: its id, its name, or an unambiguous prefix
    #[arg(value_name = "KEY|VIGY", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) which: String,
}

#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// INCARNATION-TICK, VIGY@TICK, or VIGY for all of its runs that are kept
    #[arg(required = true, value_name = "RUN", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) runs: Vec<String>,
    /// Secret answers: lines of JSON, as {"ask": "vault/read", "answer": …} [default: they are asked for again]
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Reference {
    /// Its id, its name, or an unambiguous prefix
    #[arg(value_name = "VIGY", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) vigy: String,
}

/// When a vigy ticks, and what its failures lead to.
#[derive(Debug, Args)]
pub(crate) struct Timing {
    /// Time between ticks: milliseconds, or with a unit as 500ms, 10s, 5m, 1h [default: 1000]
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    every: Option<TickInterval>,
    /// Tick on the multiples of the interval: every minute on the minute
    #[arg(long, conflicts_with = "idle")]
    sharp: bool,
    /// Count the interval from the end of a tick
    #[arg(long)]
    idle: bool,
    /// Time from the registration to the first tick
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    initial_delay: Option<u64>,
    /// The most by which its ticks are put off, so that many vigies do not wake together [default: the interval up to 10s; of longer ones a tenth, from 10s to 30s]
    #[arg(long, value_name = "DURATION", value_parser = jitter, conflicts_with = "sharp")]
    jitter: Option<u32>,
    /// Tick by the calendar, in place of an interval: five fields (minute hour day month weekday), or @hourly and its kind
    #[arg(long, value_name = "EXPR", conflicts_with_all = ["every", "sharp", "idle", "initial_delay", "jitter"])]
    cron: Option<String>,
    /// The IANA time zone of --cron, as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    tz: Option<String>,
    /// Failed ticks in a row after which it is parked until it is resumed; 0 never [default: 20]
    #[arg(long, value_name = "N")]
    park_after: Option<u32>,
}

impl Timing {
    fn policy(&self) -> Policy {
        Policy { park_after: self.park_after.unwrap_or(Policy::DEFAULT.park_after), ..Policy::DEFAULT }
    }

    fn schedule(self) -> Schedule {
        let pace = match (self.sharp, self.idle) {
            (true, _) => Some(Pace::Sharp),
            (_, true) => Some(Pace::Idle),
            _ => None,
        };
        Schedule { pace, initial_delay_ms: self.initial_delay, jitter_ms: self.jitter, cron: self.cron, time_zone: self.tz }
    }
}

/// What both `run` and `register` take.
#[derive(Debug, Args)]
pub(crate) struct Program {
    /// The program
    file: PathBuf,
    /// The vigy's name [default: the file's, or its directory's if that is `main`]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    timing: Timing,
    /// Who carries out its actions: log, exec:COMMAND (in the directory where the daemon runs), http://…
    #[arg(long, value_name = "HANDLER", default_value = "log")]
    on_action: String,
    /// What it may ask, as fs:PATH:r; repeatable
    #[arg(long, value_name = "CAPABILITY", value_parser = capability)]
    allow: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) program: Program,
    /// What runs the program
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE")]
    pub(crate) engine: Engine,
    /// Stop after this many ticks
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..), conflicts_with = "once")]
    pub(crate) ticks: Option<u64>,
    /// Stop after one tick
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The ComputeUnit, as YAML
    pub(crate) file: PathBuf,
    /// Run it once, now, whatever its trigger says
    #[arg(long)]
    pub(crate) once: bool,
    /// What runs the program
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE")]
    pub(crate) engine: Engine,
    /// Recorded answers that stand in for the outside world: lines of JSON, as {"ask": "prom/query", "answer": …}
    #[arg(long, value_name = "FILE")]
    pub(crate) answers: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The program
    pub(crate) file: PathBuf,
    /// The module
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The program; `-` is standard input
    #[arg(required_unless_present = "expression")]
    pub(crate) file: Option<PathBuf>,
    /// The program itself
    #[arg(short, long, value_name = "PROGRAM", conflicts_with = "file", allow_hyphen_values = true)]
    pub(crate) expression: Option<String>,
    #[command(flatten)]
    pub(crate) budget: Evaluation,
}

/// What an evaluation may use.
#[derive(Debug, Args)]
pub(crate) struct Evaluation {
    /// Evaluation steps
    #[arg(long, value_name = "UNITS", default_value_t = Limits::default().fuel)]
    fuel: u64,
    /// Bytes of the program's heap
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().heap_bytes)]
    heap_bytes: u32,
    /// Nested calls that are not tail calls
    #[arg(long, value_name = "CALLS", default_value_t = Limits::default().depth)]
    depth: u32,
    /// Bytes of the registers of nested calls
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().stack_bytes)]
    stack_bytes: u32,
    /// Bytes that it may print
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().output_bytes)]
    output_bytes: u32,
}

impl Evaluation {
    pub(crate) fn budget(&self) -> Budget {
        let Self { fuel, heap_bytes, depth, stack_bytes, output_bytes } = *self;
        Budget { fuel, heap_bytes, depth, stack_words: stack_bytes / 8, output_bytes }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Programs; or ComputeUnits (.yaml, .yml), whose programs are checked against their capabilities
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What the programs may ask, as fs:PATH:r; repeatable. Without any, grants are not looked at
    #[arg(long, visible_alias = "grant", value_name = "CAPABILITY", value_parser = capability)]
    pub(crate) allow: Vec<String>,
    /// Fail on warnings, too
    #[arg(long)]
    pub(crate) deny_warnings: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Register {
    #[command(flatten)]
    program: Program,
    /// A label; repeatable
    #[arg(long, value_name = "K=V", value_parser = label)]
    label: Vec<(String, String)>,
    /// Do not let it tick on its own yet
    #[arg(long)]
    disabled: bool,
}

impl Program {
    /// The declaration. Relative paths in capabilities are meant from here.
    pub(crate) fn declaration(self) -> Result<RegisterVigy, Failure> {
        let program = read(&self.file, "program")?;
        Ok(RegisterVigy {
            name: self.name.unwrap_or_else(|| name_of(&self.file)),
            program,
            tick_interval_ms: self.timing.every.map(TickInterval::as_millis),
            policy: self.timing.policy(),
            schedule: self.timing.schedule(),
            enabled: true,
            labels: BTreeMap::new(),
            on_action: Some(self.on_action),
            allow: self.allow,
            config: None,
            limits: TickLimits::default(),
            file: Some(self.file.display().to_string()),
            language: None,
        })
    }
}

impl Build {
    /// The program's text.
    pub(crate) fn program(&self) -> Result<String, Failure> {
        read(&self.file, "program")
    }
}

impl Register {
    pub(crate) fn declaration(self) -> Result<RegisterVigy, Failure> {
        let declaration = self.program.declaration()?;
        Ok(RegisterVigy { labels: self.label.into_iter().collect(), enabled: !self.disabled, ..declaration })
    }
}

/// The store that is meant.
pub(crate) fn store(db: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let home = || std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let db = db.filter(|db| !db.as_os_str().is_empty()).or_else(|| Some(home()?.join(".local/share/vigy/vigy.redb")));
    db.ok_or_else(|| Failure::new(Exit::Usage, "there is no home directory to keep the store in: name one with --db FILE"))
}

/// A text of at most the length of a program. `what` is it, in error messages.
pub(crate) fn read(path: &Path, what: &str) -> Result<String, Failure> {
    let shown = path.display();
    let mut bytes = Vec::new();
    // One byte more than there may be shows that it is too long.
    let most = Vigy::MAX_PROGRAM_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| Failure::new(Exit::Usage, format_args!("cannot read the {what} {shown}: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Failure::new(Exit::Usage, format_args!("the {what} {shown} is no UTF-8 text")))
}

fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default();
    let directory = std::path::absolute(file).ok().and_then(|file| Some(file.parent()?.file_name()?.to_owned()));
    let name = directory.filter(|_| stem == "main").unwrap_or_else(|| stem.to_owned());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_name_comes_from_the_file() {
        assert_eq!(name_of(Path::new("a/hello.tlisp")), "hello");
        assert_eq!(name_of(Path::new("programs/hello-vigy/main.tlisp")), "hello-vigy");
    }
}
