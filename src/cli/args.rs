//! What the command line takes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, value_parser};
use vigy::api::{RegisterVigy, TickLimits};
use vigy::{Capability, Engine, Limits, TickInterval, Vigy};
use vigy_lisp::Budget;

use super::failure::{Exit, Failure};

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
        vigy register mirror.tlisp --allow fs:/srv:r --on-action 'exec:./apply.sh'")]
    Register(Register),
    #[command(flatten)]
    Stored(Stored),
    /// Follow what the running daemon does
    #[command(after_help = "Examples:\n  vigy tail\n  vigy tail hello --json | jq .actions")]
    Tail {
        /// Only this vigy: its id, its name, or an unambiguous prefix
        #[arg(value_name = "VIGY", value_parser = NonEmptyStringValueParser::new())]
        vigy: Option<String>,
    },
    /// Keep the registered vigies ticking, and listen on a socket beside the store
    #[command(
        after_help = "Examples:\n  vigy serve\n  vigy serve --bind 127.0.0.1:38821\n\nSIGTERM and SIGINT end it: ticks in flight are finished first."
    )]
    Serve {
        /// Offer the API on this loopback address too, as 127.0.0.1:38821
        #[arg(long, visible_alias = "addr", value_name = "ADDRESS:PORT", value_parser = loopback)]
        bind: Option<SocketAddr>,
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
        /// Only those with these labels: k=v[,k=v…]
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
    /// Tick it now, enabled or not
    Tick(Reference),
    /// Let it tick on its own
    Enable(Reference),
    /// Stop it from ticking on its own
    Disable(Reference),
    /// Remove it, with its kv store and its history
    Delete(Reference),
}

#[derive(Debug, Args)]
pub(crate) struct Reference {
    /// Its id, its name, or an unambiguous prefix
    #[arg(value_name = "VIGY", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) vigy: String,
}

/// What both `run` and `register` take.
#[derive(Debug, Args)]
pub(crate) struct Program {
    /// The program
    file: PathBuf,
    /// The vigy's name [default: the file's, or its directory's if that is `main`]
    #[arg(long)]
    name: Option<String>,
    /// Milliseconds between ticks
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = interval)]
    pub(crate) every: TickInterval,
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
            tick_interval_ms: self.every.as_millis(),
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

fn interval(text: &str) -> Result<TickInterval, String> {
    let ms = text.parse().map_err(|_| "an interval is a whole number of milliseconds".to_owned())?;
    TickInterval::from_millis(ms).map_err(|error| error.to_string())
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "a label is KEY=VALUE".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

fn capability(text: &str) -> Result<String, String> {
    let capability: Capability = text.parse().map_err(|error: vigy::InvalidCapability| error.to_string())?;
    let base = std::env::current_dir().map_err(|error| error.to_string())?;
    Ok(capability.absolute(&base).to_string())
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = match text.strip_prefix("localhost:") {
        Some(port) => {
            port.parse().map(|port| (Ipv4Addr::LOCALHOST, port).into()).map_err(|_| "a port is a number up to 65535".to_owned())?
        }
        None => text.parse().map_err(|_| "an address is ADDRESS:PORT, as 127.0.0.1:38821".to_owned())?,
    };
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("only loopback addresses can be bound, as 127.0.0.1:38821: the API has no authentication beyond this machine yet".to_owned())
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

    #[test]
    fn only_loopback_is_bound() {
        assert!(loopback("127.0.0.1:38821").is_ok() && loopback("[::1]:0").is_ok() && loopback("localhost:1").is_ok());
        assert!(loopback("0.0.0.0:38821").unwrap_err().contains("loopback"));
        assert!(loopback("example.org:80").is_err());
    }
}
