//! The prompt: one form after the other, each with its value. A terminal gets history, completion and hints; a pipe gets plain lines.

use std::borrow::Cow;
use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Editor, Helper};
use tokio::signal::unix::{SignalKind, signal};
use vigy_lisp::{Budget, Token, TokenKind, is_unfinished, tokens};

use super::failure::{Exit, Failure};
use super::print::clean;
use super::session::{Evaluated, Session, Unevaluated};
use super::{doc, eval};

/// Entries that the history file keeps.
const HISTORY: usize = 1_000;

/// What a process ends with that SIGINT ended, as shells have it.
const INTERRUPTED: i32 = 130;

const HELP: &str = "\
A form is evaluated, and its value printed. What it defines, later forms can use; a form that fails leaves nothing behind.
Every form has a budget of its own. Ctrl-C stops it.

  (doc NAME)    what is known of a name; `:doc NAME` also knows the verbs of a vigy and the operations of the platform
  :time FORM    its value, and what it took
  :reset        forgets all definitions
  :help         this
  :quit         ends the session, as Ctrl-D does
";

pub(crate) fn repl(budget: Budget, out: &mut impl Write) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    let mut prompt = Prompt { session: Session::new(budget, PathBuf::new(), None), stop, out };
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        prompt.on_terminal()?;
    } else {
        prompt.on_pipe()?;
    }
    Ok(Exit::Done)
}

/// Ctrl-C: ends an evaluation, or else the process.
#[derive(Clone)]
struct Stop {
    /// An evaluation runs.
    running: Arc<AtomicBool>,
    /// It should end.
    now: Arc<AtomicBool>,
}

impl Stop {
    /// Listens from now on.
    fn listen() -> io::Result<Self> {
        let stop = Self { running: Arc::default(), now: Arc::default() };
        let heard = stop.clone();
        let mut interrupts = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            while interrupts.recv().await.is_some() {
                // At the prompt of a terminal, Ctrl-C is a key and no signal.
                if !heard.running.load(Ordering::Relaxed) {
                    std::process::exit(INTERRUPTED);
                }
                heard.now.store(true, Ordering::Relaxed);
            }
        });
        Ok(stop)
    }
}

struct Prompt<'o, W> {
    session: Session,
    stop: Stop,
    out: &'o mut W,
}

/// Whether the prompt goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Prompt,
    Quit,
}

impl<W: Write> Prompt<'_, W> {
    fn on_pipe(&mut self) -> Result<(), Failure> {
        let mut entry = String::new();
        for line in io::stdin().lock().lines() {
            entry.push_str(&line?);
            entry.push('\n');
            if is_unfinished(&entry) {
                continue;
            }
            if self.enter(entry.trim())? == Next::Quit {
                return Ok(());
            }
            entry.clear();
        }
        // What is still open is for the reader to complain about.
        self.enter(entry.trim()).map(drop)
    }

    fn on_terminal(&mut self) -> Result<(), Failure> {
        let config = rustyline::Config::builder().auto_add_history(true).bracketed_paste(true);
        let config = config.max_history_size(HISTORY).map_err(Self::terminal)?.build();
        let mut editor: Editor<Names, DefaultHistory> = Editor::with_config(config).map_err(Self::terminal)?;
        let file = history_file();
        if let Some(file) = &file {
            // The first session has none.
            _ = editor.load_history(file);
        }
        writeln!(self.out, "vigy {}: `:help` helps, Ctrl-D ends", env!("CARGO_PKG_VERSION"))?;
        loop {
            editor.set_helper(Some(Names::of(&self.session)));
            match editor.readline(&format!("{}> ", self.session.next())) {
                Ok(entry) => {
                    if self.enter(entry.trim())? == Next::Quit {
                        break;
                    }
                }
                // What was being written is dropped.
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(Self::terminal(error)),
            }
        }
        if let Some(file) = &file {
            // Without a history, a session is still a session.
            _ = file.parent().map(std::fs::create_dir_all);
            _ = editor.save_history(file);
        }
        Ok(())
    }

    fn terminal(error: ReadlineError) -> Failure {
        Failure::new(Exit::Failed, format_args!("the terminal: {error}"))
    }

    /// What was entered: a command, or a program.
    fn enter(&mut self, entry: &str) -> Result<Next, Failure> {
        let (command, argument) = entry.split_once(char::is_whitespace).unwrap_or((entry, ""));
        match command {
            "" => {}
            ":quit" => return Ok(Next::Quit),
            ":help" => write!(self.out, "{HELP}")?,
            ":reset" => self.session.reset(),
            ":doc" => match doc::doc(Some(argument.trim()).filter(|name| !name.is_empty()), false, self.out) {
                Ok(_) => {}
                Err(failure) => _ = failure.report(false, &mut anstream::stderr()),
            },
            ":time" => self.evaluate(argument, true)?,
            _ if tokens(entry).iter().all(|token| token.kind.is_trivia()) => {}
            _ => self.evaluate(entry, false)?,
        }
        self.out.flush()?;
        Ok(Next::Prompt)
    }

    fn evaluate(&mut self, entry: &str, timed: bool) -> Result<(), Failure> {
        self.stop.now.store(false, Ordering::Relaxed);
        self.stop.running.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        let evaluated = self.session.evaluate(entry, &self.stop.now, |text| eval::say(self.out, text));
        self.stop.running.store(false, Ordering::Relaxed);
        match evaluated {
            Ok(done) => {
                writeln!(self.out, "=> {}", clean(&done.value))?;
                if timed {
                    writeln!(self.out, "{}", took(&done, begun.elapsed()))?;
                }
            }
            Err(Unevaluated::Output(error)) => return Err(error.into()),
            Err(Unevaluated::Interrupted) => writeln!(anstream::stderr(), "interrupted")?,
            // The session goes on.
            Err(failed) => _ = Failure::from(failed).report(false, &mut anstream::stderr()),
        }
        Ok(())
    }
}

fn took(done: &Evaluated, elapsed: Duration) -> String {
    let Evaluated { fuel, heap_bytes, .. } = done;
    format!("fuel {fuel}, heap {heap_bytes} bytes, {:.3} ms with the entries before it", elapsed.as_secs_f64() * 1e3)
}

/// Where the history is kept: with the user's state.
fn history_file() -> Option<PathBuf> {
    let set = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let state = set.or_else(|| Some(home()?.join(".local/state")))?;
    Some(Path::new(&state).join("vigy/repl-history"))
}

/// What a terminal is helped with: the names that an entry may use.
struct Names {
    /// Sorted.
    known: Vec<String>,
}

impl Names {
    fn of(session: &Session) -> Self {
        let text = session.text();
        let own = tokens(text).into_iter().filter(|token| token.kind == TokenKind::Name).map(|token| word(text, &token).to_owned());
        let hosts = session.host_functions().map(|function| function.name.to_owned());
        let mut known: Vec<String> = doc::names().map(str::to_owned).chain(hosts).chain(own).collect();
        known.sort_unstable();
        known.dedup();
        Self { known }
    }
}

fn word<'t>(text: &'t str, token: &Token) -> &'t str {
    &text[token.span.start as usize..token.span.end as usize]
}

impl Helper for Names {}

impl Validator for Names {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let unfinished = is_unfinished(context.input());
        Ok(if unfinished { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..at];
        let last = tokens(before).pop().filter(|token| token.kind == TokenKind::Name);
        let Some(name) = last else { return Ok((at, Vec::new())) };
        let prefix = word(before, &name);
        let candidates = self.known.iter().filter(|known| known.starts_with(prefix)).cloned().collect();
        Ok((name.span.start as usize, candidates))
    }
}

impl Hinter for Names {
    type Hint = String;

    /// What the function expects whose name was just written.
    fn hint(&self, line: &str, at: usize, _: &Context<'_>) -> Option<String> {
        let before = line.get(..at).filter(|_| at == line.len())?;
        let tokens = tokens(before);
        let (name, space) = match tokens.as_slice() {
            [.., open, name] if open.kind == TokenKind::Open && name.kind == TokenKind::Name => (name, ""),
            [.., open, name, space] if open.kind == TokenKind::Open && space.kind == TokenKind::Space => (name, " "),
            _ => return None,
        };
        let name = word(before, name);
        let signature = doc::signature(name)?;
        let rest = signature.strip_prefix('(')?.strip_prefix(name)?;
        rest.strip_prefix(space).map(str::to_owned)
    }
}

impl Highlighter for Names {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let style = |kind| match kind {
            TokenKind::Str | TokenKind::Unfinished => AnsiColor::Green.on_default(),
            TokenKind::Keyword => AnsiColor::Cyan.on_default(),
            TokenKind::Number => AnsiColor::Yellow.on_default(),
            TokenKind::Comment => Style::new().dimmed(),
            _ => Style::new(),
        };
        let coloured = |token: Token| {
            let style = style(token.kind);
            format!("{style}{}{style:#}", word(line, &token))
        };
        Cow::Owned(tokens(line).into_iter().map(coloured).collect())
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        let dim = Style::new().dimmed();
        Cow::Owned(format!("{dim}{hint}{dim:#}"))
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::of(&Session::new(Budget::default(), PathBuf::new(), None))
    }

    #[test]
    fn names_are_completed_and_functions_hinted_at() {
        let history = DefaultHistory::new();
        let context = Context::new(&history);
        let complete = |line: &str| names().complete(line, line.len(), &context).unwrap();
        assert_eq!(complete("(map (mapc").0, 6);
        assert_eq!(complete("(map (mapc").1, ["mapcat"]);
        assert!(complete("(vigy-o").1.contains(&"vigy-once".to_owned()));
        assert!(complete("(f \"map").1.is_empty(), "inside a string there is nothing to complete");
        let hint = |line: &str| names().hint(line, line.len(), &context);
        assert_eq!(hint("(filter").as_deref(), Some(" f xs)"));
        assert_eq!(hint("(+ 1 (filter ").as_deref(), Some("f xs)"));
        assert_eq!(hint("(filter even? "), None);
        assert_eq!(hint("(no-such-thing"), None);
    }
}
