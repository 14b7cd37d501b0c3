//! What people read. Everything that comes from a program or a name is printed without control characters.

use std::borrow::Cow;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::Value;
use vigy::api::{self, DeadLetter, Diff, Event, Inspection, ReconcileAction, Redriven, Replay, Revision, Vigy, VigyRun};
use vigy_core::record::Place;
use vigy_lisp::{Code, Diagnostic, Severity, Span};

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// The most characters of a value on one line: 200. `--json` has it whole.
const VALUE_CHARS: usize = 200;

/// Text that does nothing to a terminal.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let acts = |c: char| c.is_control() && c != '\t';
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if acts(c) { c.escape_debug().to_string() } else { c.to_string() }).collect()
}

fn value(value: &Value) -> String {
    let text = value.to_string();
    let cut: String = text.chars().take(VALUE_CHARS).collect();
    if cut.len() < text.len() { format!("{}…", clean(&cut)) } else { clean(&cut).into_owned() }
}

const fn style_of(result: &str) -> Style {
    match result.as_bytes() {
        b"ok" | b"true" => GREEN,
        b"failed" | b"error" => RED,
        _ => YELLOW,
    }
}

pub(crate) fn change(out: &mut impl Write, what: &str, vigy: &Vigy) -> io::Result<()> {
    writeln!(out, "{GREEN}{what}{GREEN:#} {BOLD}{}{BOLD:#} {DIM}{}{DIM:#}", clean(&vigy.name), vigy.id)
}

pub(crate) fn vigies(out: &mut impl Write, vigies: &[Vigy]) -> io::Result<()> {
    if vigies.is_empty() {
        return writeln!(out, "no vigies registered: `vigy register FILE --name NAME` registers one");
    }
    let width = vigies.iter().map(|vigy| vigy.name.chars().count()).max().unwrap_or(0).max(4);
    let times: Vec<_> = vigies.iter().map(|vigy| clean(&vigy.schedule.shown(vigy.tick_interval_ms)).into_owned()).collect();
    let long = times.iter().map(|time| time.chars().count()).max().unwrap_or(0).max(4);
    writeln!(out, "{DIM}{:width$}  {:16}  {:9}  {:long$}  {:>8}  LABELS{DIM:#}", "NAME", "ID", "STATE", "WHEN", "TICKS")?;
    for (vigy, time) in vigies.iter().zip(&times) {
        let (style, state) = match (vigy.enabled, vigy.parked, vigy.failures) {
            _ if vigy.elsewhere.is_some() => (DIM, "elsewhere"),
            (false, _, _) => (DIM, "disabled"),
            (true, true, _) => (RED, "parked"),
            (true, false, 0) => (GREEN, "enabled"),
            (true, false, _) => (RED, "failing"),
        };
        let name = clean(&vigy.name);
        let labels: Vec<_> = vigy.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let Vigy { id, ticks, .. } = vigy;
        writeln!(
            out,
            "{BOLD}{name:width$}{BOLD:#}  {DIM}{id}{DIM:#}  {style}{state:9}{style:#}  {time:long$}  {ticks:>8}  {}",
            clean(&labels.join(","))
        )?;
    }
    Ok(())
}

pub(crate) fn inspection(out: &mut impl Write, inspection: &Inspection) -> io::Result<()> {
    let Inspection { vigy, state, runs, dead_letters } = inspection;
    let field = |out: &mut _, name: &str, text: &str| -> io::Result<()> {
        let out: &mut dyn Write = out;
        writeln!(out, "{DIM}{name:12}{DIM:#} {}", clean(text))
    };
    let mut out: &mut dyn Write = out;
    field(&mut out, "name", &vigy.name)?;
    field(&mut out, "id", &vigy.id)?;
    field(&mut out, "enabled", if vigy.enabled { "yes" } else { "no" })?;
    if vigy.parked {
        let after = format!("after {} failures in a row: `vigy resume {}` lets it go on", vigy.failures, vigy.name);
        writeln!(out, "{RED}parked      {RED:#} {}", clean(&after))?;
    }
    field(&mut out, "ticks when", &vigy.schedule.shown(vigy.tick_interval_ms))?;
    field(&mut out, "ticks", &vigy.ticks.to_string())?;
    for (name, count) in [("failures", u64::from(vigy.failures)), ("missed", vigy.missed)] {
        if count > 0 {
            field(&mut out, name, &count.to_string())?;
        }
    }
    field(&mut out, "last tick", vigy.last_tick_at.as_deref().unwrap_or("-"))?;
    if let Some(host) = &vigy.elsewhere {
        field(&mut out, "ticks on", host)?;
    }
    field(&mut out, "next tick", vigy.next_tick_at.as_deref().unwrap_or("-"))?;
    field(&mut out, "revision", &format!("{}, of {}", vigy.revision, vigy.updated_at))?;
    field(&mut out, "registered", &vigy.created_at)?;
    field(&mut out, "actions to", &vigy.on_action)?;
    for capability in &vigy.allow {
        field(&mut out, "may ask", capability)?;
    }
    for (key, value) in &vigy.labels {
        field(&mut out, "label", &format!("{key}={value}"))?;
    }
    for (key, setting) in vigy.config.as_object().into_iter().flatten() {
        field(&mut out, "config", &format!("{key} = {}", value(setting)))?;
    }
    for condition in &state.conditions {
        let style = style_of(&condition.status);
        let [name, reason, message] = [&condition.name, &condition.reason, &condition.message].map(|text| clean(text));
        writeln!(out, "{DIM}condition   {DIM:#} {name} {style}{}{style:#} {reason} {message}", condition.status)?;
    }
    let sections = [("metric", &state.metrics), ("kv", &state.kv), ("desired", &state.desired), ("observed", &state.observed)];
    for (section, entries) in sections {
        for (key, entry) in entries {
            field(&mut out, section, &format!("{key} = {}", value(entry)))?;
        }
    }
    if !dead_letters.is_empty() {
        writeln!(out, "\ndead letters, oldest first:")?;
        self::dead_letters(&mut out, dead_letters)?;
    }
    if !runs.is_empty() {
        writeln!(out, "\nlast runs, newest first:")?;
    }
    runs.iter().try_for_each(|one| run(&mut out, one))
}

/// A run: a header, its log lines, its actions, its error.
pub(crate) fn run(out: &mut impl Write, run: &VigyRun) -> io::Result<()> {
    let style = style_of(&run.result);
    writeln!(
        out,
        "{BOLD}tick {}{BOLD:#}  {DIM}{}{DIM:#}  {style}{}{style:#}  {DIM}fuel {}{DIM:#}",
        run.tick, run.started_at, run.result, run.fuel
    )?;
    for line in &run.logs {
        let style = style_of(&line.level);
        let style = if matches!(line.level.as_str(), "warn" | "error") { style } else { DIM };
        writeln!(out, "  {style}{:8}{style:#} {}", line.level, clean(&line.message))?;
    }
    for event in &run.events {
        writeln!(out, "  {DIM}event   {DIM:#} {} {}", clean(&event.kind), clean(&event.message))?;
    }
    for write in &run.writes {
        write_line(out, write)?;
    }
    for action in &run.actions {
        action_line(out, action)?;
    }
    match &run.error {
        Some(error) => writeln!(out, "  {RED}error   {RED:#} {}", clean(error)),
        None => Ok(()),
    }
}

/// The line of the program where a run failed, with a mark under the place, and where to read on.
pub(crate) fn place(out: &mut impl Write, file: &str, program: &str, run: &VigyRun) -> io::Result<()> {
    let (Some(Place { line, column }), Some(error)) = (run.place, &run.error) else { return Ok(()) };
    let said = error.strip_prefix(&format!("{line}:{column}: ")).unwrap_or(error);
    let code = Code::of_tag(said.split(':').next().unwrap_or_default());
    let span = Span { line, column, ..Span::default() };
    let help = format!("`vigy explain {code}` tells more");
    let diagnostic = Diagnostic::new(code, Some(span), error).help(help);
    // The error itself has its own line already.
    let shown = diagnostic.render(file, program).coloured(true).to_string();
    shown.lines().skip(1).try_for_each(|line| writeln!(out, "           {line}"))
}

/// Something that went wrong, on as many lines as it has.
pub(crate) fn error(out: &mut impl Write, error: &impl ToString) -> io::Result<()> {
    let red = RED.bold();
    write!(out, "{red}error:{red:#} ")?;
    error.to_string().trim_end().lines().try_for_each(|line| writeln!(out, "{}", clean(line)))
}

/// What came of a check.
pub(crate) fn checked(out: &mut impl Write, files: usize, unreadable: usize, errors: usize, warnings: usize) -> io::Result<()> {
    let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let style = match (errors + unreadable, warnings) {
        (0, 0) => GREEN,
        (0, _) => YELLOW,
        _ => RED,
    };
    let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
    write!(out, "{} checked: {style}{errors}, {warnings}{style:#}", counted(files, "file"))?;
    if unreadable > 0 { writeln!(out, "; {} not readable", counted(unreadable, "file")) } else { writeln!(out) }
}

/// A code with its title.
pub(crate) fn code(out: &mut impl Write, code: Code) -> io::Result<()> {
    let style = if code.severity() == Severity::Error { RED } else { YELLOW };
    writeln!(out, "{style}{code}{style:#}  {}", code.title())
}

/// An explanation: its text, and its examples behind a bar.
pub(crate) fn explanation(out: &mut impl Write, text: &str) -> io::Result<()> {
    let mut example = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), example) {
            (Some(""), _) => example = None,
            (Some(kind), _) => {
                let (style, said) = if kind == "right" { (GREEN, "right") } else { (RED, "wrong") };
                writeln!(out, "{style}{said}{style:#}")?;
                example = Some(style);
            }
            (None, Some(style)) => writeln!(out, "  {style}|{style:#} {line}")?,
            (None, None) => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

fn write_line(out: &mut impl Write, write: &api::Write) -> io::Result<()> {
    let result = write.result.as_deref().unwrap_or("unknown");
    let style = style_of(result);
    let (operation, arguments) = (clean(&write.operation), value(&write.arguments));
    let message = write.message.as_deref().map_or_else(String::new, |message| format!("  {}", clean(message)));
    writeln!(out, "  write    {style}{result}{style:#}  {operation} {arguments}  {DIM}{}{DIM:#}{message}", write.key)
}

fn action_line(out: &mut impl Write, action: &ReconcileAction) -> io::Result<()> {
    let result = action.result.as_deref().unwrap_or("in flight");
    let style = style_of(result);
    write!(out, "  {:8} {style}{result}{style:#}", action.kind)?;
    if !action.payload.is_null() {
        write!(out, "  {}", value(&action.payload))?;
    }
    match &action.message {
        Some(message) => writeln!(out, "  {DIM}{}{DIM:#}", clean(message)),
        None => writeln!(out),
    }
}

/// A log line and where it comes from.
#[derive(Debug, Serialize)]
pub(crate) struct Logged<'r> {
    run: &'r str,
    tick: u64,
    started_at: &'r str,
    level: &'r str,
    message: &'r str,
}

impl<'r> Logged<'r> {
    pub(crate) fn of(run: &'r VigyRun) -> impl Iterator<Item = Self> {
        let logged = |line: &'r api::LogLine| Self {
            run: &run.id,
            tick: run.tick,
            started_at: &run.started_at,
            level: &line.level,
            message: &line.message,
        };
        run.logs.iter().map(logged)
    }
}

pub(crate) fn logged(out: &mut impl Write, line: &Logged<'_>) -> io::Result<()> {
    let style = if matches!(line.level, "warn" | "error") { style_of(line.level) } else { DIM };
    writeln!(out, "{DIM}{} tick {}{DIM:#} {style}{:5}{style:#} {}", line.started_at, line.tick, line.level, clean(line.message))
}

/// Declarations of a vigy, a line each.
pub(crate) fn revisions(out: &mut impl Write, revisions: &[Revision]) -> io::Result<()> {
    for revision in revisions {
        let when = revision.schedule.shown(revision.tick_interval_ms);
        let Revision { revision: number, declared_at, image, program, .. } = revision;
        let image = image.as_deref().map_or("-", |image| image.get(..12).unwrap_or(image));
        let lines = program.lines().count();
        writeln!(out, "{BOLD}{number:>4}{BOLD:#}  {DIM}{declared_at}{DIM:#}  {image:12}  {lines} lines, {}", clean(&when))?;
    }
    Ok(())
}

/// Actions that failed for good, a line each.
pub(crate) fn dead_letters(out: &mut impl Write, letters: &[DeadLetter]) -> io::Result<()> {
    for letter in letters {
        let DeadLetter { key, kind, payload, message, at, .. } = letter;
        let payload = if payload.is_null() { String::new() } else { format!(" {}", value(payload)) };
        writeln!(out, "{BOLD}{key}{BOLD:#}  {DIM}{at}{DIM:#}  {kind}{payload}  {RED}{}{RED:#}", clean(message))?;
    }
    Ok(())
}

/// What came of a dead letter that was carried out once more.
pub(crate) fn redriven(out: &mut impl Write, redriven: &Redriven) -> io::Result<()> {
    let Redriven { key, result, message } = redriven;
    let style = style_of(result);
    writeln!(out, "{BOLD}{key}{BOLD:#}  {style}{result}{style:#}  {}", clean(message.as_deref().unwrap_or_default()))
}

/// What came of a replay.
pub(crate) fn replayed(out: &mut impl Write, replay: &Replay) -> io::Result<()> {
    let Replay { run, entries, cut, divergence, .. } = replay;
    match divergence {
        Some(divergence) => writeln!(out, "{BOLD}{run}{BOLD:#}  {RED}differs{RED:#}  {}", clean(&divergence.message)),
        None if *cut => writeln!(out, "{BOLD}{run}{BOLD:#}  {GREEN}same{GREEN:#}  {entries} entries, up to where the host ended it"),
        None => writeln!(out, "{BOLD}{run}{BOLD:#}  {GREEN}same{GREEN:#}  {entries} entries"),
    }
}

/// What another program would have done in a run.
pub(crate) fn diff(out: &mut impl Write, diff: &Diff) -> io::Result<()> {
    let Diff { run, differences, .. } = diff;
    if differences.is_empty() {
        return writeln!(out, "{BOLD}{run}{BOLD:#}  {GREEN}same{GREEN:#}");
    }
    writeln!(out, "{BOLD}{run}{BOLD:#}")?;
    for difference in differences {
        if let Some(before) = &difference.before {
            writeln!(out, "  {RED}- {}{RED:#}", clean(before))?;
        }
        if let Some(after) = &difference.after {
            writeln!(out, "  {GREEN}+ {}{GREEN:#}", clean(after))?;
        }
    }
    Ok(())
}

/// An event on one line. `name` is the name of the vigy that ran.
pub(crate) fn event(out: &mut impl Write, event: &Event, name: &str) -> io::Result<()> {
    let (what, vigy) = match event {
        Event::Run(run) => return run_line(out, run, name),
        Event::Missed { events } => return writeln!(out, "{YELLOW}missed{YELLOW:#} {events} events, which are not kept any more"),
        Event::Reset {} => return writeln!(out, "{YELLOW}reset{YELLOW:#} the store was restored from a backup: this is another log"),
        Event::DeadLettered { key, at, .. } => {
            return writeln!(out, "{DIM}{at}{DIM:#} {BOLD}{}{BOLD:#} {RED}dead letter{RED:#} {key}", clean(name));
        }
        Event::Gone { what, at, .. } => {
            return writeln!(out, "{DIM}{at}{DIM:#} {BOLD}{}{BOLD:#} {} {DIM}(not kept any more){DIM:#}", clean(name), clean(what));
        }
        Event::Registered(vigy) => ("registered", vigy),
        Event::Updated(vigy) => ("updated", vigy),
        Event::Enabled(vigy) => ("enabled", vigy),
        Event::Disabled(vigy) => ("disabled", vigy),
        Event::Parked(vigy) => ("parked", vigy),
        Event::Resumed(vigy) => ("resumed", vigy),
        Event::Deleted { name, at, .. } => return writeln!(out, "{DIM}{at}{DIM:#} {BOLD}{}{BOLD:#} deleted", clean(name)),
    };
    let when = vigy.schedule.shown(vigy.tick_interval_ms);
    writeln!(out, "{DIM}{}{DIM:#} {BOLD}{}{BOLD:#} {what}, {}", vigy.updated_at, clean(&vigy.name), clean(&when))
}

fn run_line(out: &mut impl Write, run: &VigyRun, name: &str) -> io::Result<()> {
    let style = style_of(&run.result);
    write!(out, "{DIM}{}{DIM:#} {BOLD}{}{BOLD:#} tick {} {style}{}{style:#}", run.started_at, clean(name), run.tick, run.result)?;
    for action in &run.actions {
        let result = action.result.as_deref().unwrap_or("in flight");
        let style = style_of(result);
        write!(out, "  {} {style}{result}{style:#}", action.kind)?;
    }
    if let Some(line) = run.logs.last() {
        write!(out, "  {DIM}{}{DIM:#}", clean(&line.message))?;
    }
    match &run.error {
        Some(error) => writeln!(out, "  {RED}{}{RED:#}", clean(error)),
        None => writeln!(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_as_a_command() {
        assert_eq!(clean("plain ü"), "plain ü");
        assert_eq!(clean("a\u{1b}[2Jb\n\t"), "a\\u{1b}[2Jb\\n\t");
    }

    fn printed(print: impl Fn(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        print(&mut bytes).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(bytes).unwrap()).to_string()
    }

    #[test]
    fn a_run_shows_what_it_said_and_what_came_of_it() {
        let run: VigyRun = serde_json::from_value(serde_json::json!({
            "id": "00-7", "vigy_id": "aa", "started_at": "2026-01-01T00:00:00Z", "ended_at": null, "result": "failed",
            "error": "division-by-zero", "tick": 7, "fuel": 12, "program": null,
            "writes": [{"key": "00-7-32768", "operation": "disks/grow", "arguments": ["a", 2], "result": "failed", "message": "conflict: it changed"}],
            "actions": [
                {"kind": "push", "payload": {"n": 1}, "result": "failed", "message": "exit code 3"},
                {"kind": "noop", "payload": null, "result": null, "message": null},
            ],
            "logs": [{"level": "warn", "message": "careful\u{7}"}],
            "events": [{"kind": "Told", "message": "you"}],
        }))
        .unwrap();
        let expected = "tick 7  2026-01-01T00:00:00Z  failed  fuel 12\n  warn     careful\\u{7}\n  event    Told you\n  \
            write    failed  disks/grow [\"a\",2]  00-7-32768  conflict: it changed\n  push     failed  {\"n\":1}  exit code 3\n  noop     in flight\n  error    division-by-zero\n";
        assert_eq!(printed(|out| super::run(out, &run)), expected);
        let line = "2026-01-01T00:00:00Z name tick 7 failed  push failed  noop in flight  careful\\u{7}  division-by-zero\n";
        assert_eq!(printed(|out| event(out, &Event::Run(run.clone()), "name")), line);
        let logged_line = "2026-01-01T00:00:00Z tick 7 warn  careful\\u{7}\n";
        assert_eq!(printed(|out| Logged::of(&run).try_for_each(|line| logged(out, &line))), logged_line);
    }
}
