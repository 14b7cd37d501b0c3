//! Whether a store is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use vigy_core::record::Record;
use vigy_core::{Unfinished, VigyId};

use super::engine::{Direction, Snapshot};
use super::schema::{
    self, ConditionRow, DeadLetter, EVERYTHING, Happening, Key, META_FORMAT, META_SECRET, Part, RevisionRow, RunRow, Standing, decode,
};
use crate::StoreError;

/// Something in a store that should not be so.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// Whose rows; nothing for the store's own.
    pub vigy: Option<VigyId>,
    /// What is wrong with them.
    pub problem: Problem,
}

/// What can be wrong with rows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Problem {
    /// A key that is none of ours.
    UnknownKey(Vec<u8>),
    /// A row that does not decode.
    Damaged {
        /// Which.
        row: String,
        /// Why.
        error: String,
    },
    /// A fact about the store that is missing.
    NoFact(&'static str),
    /// A name whose vigy is not there, or is called otherwise.
    WrongName(String),
    /// A vigy without a name.
    NoName,
    /// Rows of a vigy that is not there.
    Orphans,
    /// A declaration that is missing.
    NoRevision(u64),
    /// A declaration newer than the newest.
    LateRevision(u64),
    /// The run that was committed last is missing.
    NoLastRun(u64),
    /// A run before the oldest kept, or after the last committed.
    StrayRun(u64),
    /// The last run has no outcomes although nothing is left to do, or has them although something is.
    WrongOutcomes(u64),
    /// A value that a run or the draft refers to, and that is not there.
    NoValue {
        /// The run's tick.
        tick: u64,
    },
    /// A value whose bytes are not those it is named by.
    WrongValue,
    /// A value that runs refer to this many times, and that is counted otherwise.
    WrongCount {
        /// How many runs refer to it.
        runs: u64,
        /// How many are counted.
        counted: u64,
    },
    /// The history takes this many bytes, and is counted otherwise.
    WrongBytes {
        /// What it takes.
        taken: u64,
        /// What is counted.
        counted: u64,
    },
    /// A tick that was cut has no draft, or a draft belongs to no such tick.
    WrongDraft,
    /// There are this many dead letters, and they are counted otherwise.
    WrongDeadLetters {
        /// How many there are.
        kept: u32,
        /// How many are counted.
        counted: u32,
    },
    /// Events are missing after this one.
    EventGap(u64),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(vigy) = self.vigy {
            write!(f, "vigy {vigy}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(key) => write!(f, "an unknown key: {key:?}"),
            Self::Damaged { row, error } => write!(f, "{row}: {error}"),
            Self::NoFact(name) => write!(f, "the store's `{name}` is missing"),
            Self::WrongName(name) => write!(f, "no vigy is called `{name}`, though the name is taken"),
            Self::NoName => f.write_str("it has no name"),
            Self::Orphans => f.write_str("it has rows, and is not registered"),
            Self::NoRevision(number) => write!(f, "its declaration {number} is missing"),
            Self::LateRevision(number) => write!(f, "its declaration {number} is newer than the newest"),
            Self::NoLastRun(tick) => write!(f, "its last run, {tick}, is missing"),
            Self::StrayRun(tick) => write!(f, "its run {tick} is not among those that are kept"),
            Self::WrongOutcomes(tick) => write!(f, "what is left to do of run {tick} does not agree with its outcomes"),
            Self::NoValue { tick } => write!(f, "a value that run {tick} refers to is missing"),
            Self::WrongValue => f.write_str("a value is damaged: its bytes are not those it is named by"),
            Self::WrongCount { runs, counted } => write!(f, "a value that {runs} runs refer to is counted {counted} times"),
            Self::WrongBytes { taken, counted } => write!(f, "its history takes {taken} bytes, counted are {counted}"),
            Self::WrongDraft => f.write_str("its draft does not agree with what is left to do"),
            Self::WrongDeadLetters { kept, counted } => write!(f, "it has {kept} dead letters, counted are {counted}"),
            Self::EventGap(seq) => write!(f, "events are missing after number {seq}"),
        }
    }
}

/// Walks over every row and holds it against the others. Memory: a little per vigy, and the history's hashes of one vigy.
///
/// # Errors
/// The medium's own. Everything else is a finding.
pub(super) fn check(rows: &dyn Snapshot) -> Result<Vec<Finding>, StoreError> {
    let mut check = Check::default();
    rows.scan(EVERYTHING, Direction::Forward, &mut |key, value| {
        check.row(key, value);
        std::ops::ControlFlow::Continue(())
    })?;
    check.end();
    Ok(check.findings)
}

#[derive(Default)]
struct Check {
    findings: Vec<Finding>,
    facts: BTreeSet<String>,
    names: BTreeMap<VigyId, String>,
    /// What lies under the smaller keys comes first.
    standings: BTreeMap<VigyId, Standing>,
    dead: BTreeMap<VigyId, u32>,
    last_event: Option<u64>,
    vigy: Option<(VigyId, Rows)>,
    seen: BTreeSet<VigyId>,
}

/// What was seen of one vigy's rows.
#[derive(Default)]
struct Rows {
    named: bool,
    revisions: BTreeSet<u64>,
    /// Run, and whether it has its outcomes.
    last_run: Option<(u64, bool)>,
    bytes: u64,
    /// Hash → runs that refer to it, and the last of them.
    referred: BTreeMap<[u8; 32], (u64, u64)>,
    values: BTreeSet<[u8; 32]>,
    counted: BTreeMap<[u8; 32], u64>,
    draft: Option<(u64, BTreeSet<[u8; 32]>)>,
    draft_values: BTreeSet<[u8; 32]>,
}

impl Check {
    fn find(&mut self, vigy: Option<VigyId>, problem: Problem) {
        self.findings.push(Finding { vigy, problem });
    }

    fn row(&mut self, key: &[u8], value: &[u8]) {
        let vigy = match Key::parse(key) {
            None => return self.find(None, Problem::UnknownKey(key.to_vec())),
            Some(Key::Vigy { id, .. } | Key::Standing(id) | Key::DeadLetter { id, .. }) => Some(id),
            Some(_) => None,
        };
        // A key that was parsed once is parsed again: only its row can be wrong now.
        let Some(parsed) = Key::parse(key) else { return };
        if let Err(error) = self.decoded(parsed, value) {
            self.find(vigy, Problem::Damaged { row: format!("{parsed:?}"), error: error.0 });
        }
    }

    fn decoded(&mut self, key: Key<'_>, value: &[u8]) -> Result<(), StoreError> {
        match key {
            Key::Meta(name) => _ = self.facts.insert(name.to_owned()),
            Key::Name(name) => {
                let id = value.try_into().map_err(|_| StoreError("it is no id".to_owned()))?;
                self.names.insert(VigyId(u64::from_be_bytes(id)), name.to_owned());
            }
            Key::Standing(id) => _ = self.standings.insert(id, decode(value)?),
            Key::Event(seq) => {
                decode::<Happening>(value)?;
                if let Some(last) = self.last_event.replace(seq).filter(|last| last + 1 != seq) {
                    self.find(None, Problem::EventGap(last));
                }
            }
            Key::DeadLetter { id, .. } => {
                decode::<DeadLetter>(value)?;
                *self.dead.entry(id).or_default() += 1;
            }
            Key::Vigy { id, part, rest } => {
                if self.vigy.as_ref().is_none_or(|(known, _)| *known != id) {
                    self.end_of_vigy();
                    self.vigy = Some((id, Rows::default()));
                }
                let name = self.names.get(&id);
                let Some((_, rows)) = &mut self.vigy else { return Ok(()) };
                if let Some(problem) = rows.row(part, rest, value, name)? {
                    self.find(Some(id), problem);
                }
            }
        }
        Ok(())
    }

    fn end_of_vigy(&mut self) {
        let Some((id, rows)) = self.vigy.take() else { return };
        self.seen.insert(id);
        let problems = match self.standings.get(&id) {
            Some(standing) => rows.problems(standing),
            None => vec![Problem::Orphans],
        };
        self.findings.extend(problems.into_iter().map(|problem| Finding { vigy: Some(id), problem }));
    }

    fn end(&mut self) {
        self.end_of_vigy();
        for fact in [META_FORMAT, META_SECRET] {
            if !self.facts.contains(fact) {
                self.find(None, Problem::NoFact(fact));
            }
        }
        for (id, name) in std::mem::take(&mut self.names) {
            if !self.standings.contains_key(&id) || schema::id_of(&name) != id {
                self.find(None, Problem::WrongName(name));
            }
        }
        for (id, standing) in std::mem::take(&mut self.standings) {
            if !self.seen.contains(&id) {
                self.find(Some(id), Problem::NoRevision(standing.revision));
            }
            let kept = self.dead.remove(&id).unwrap_or(0);
            if kept != standing.dead {
                self.find(Some(id), Problem::WrongDeadLetters { kept, counted: standing.dead });
            }
        }
        for id in std::mem::take(&mut self.dead).into_keys() {
            self.find(Some(id), Problem::Orphans);
        }
    }
}

impl Rows {
    /// Takes a row in; or says what is wrong with it.
    fn row(&mut self, part: Part, rest: &[u8], value: &[u8], name: Option<&String>) -> Result<Option<Problem>, StoreError> {
        let number = || Key::number(rest).ok_or_else(|| StoreError("its key is damaged".to_owned()));
        let hash = || <[u8; 32]>::try_from(rest).map_err(|_| StoreError("its key is damaged".to_owned()));
        match part {
            Part::Revision => {
                self.revisions.insert(number()?);
                let row: RevisionRow = decode(value)?;
                self.named |= name.is_some_and(|name| name == row.vigy.name.as_str());
            }
            Part::Kv | Part::Desired | Part::Observed => {
                Key::text(rest)?;
                postcard::from_bytes::<vigy_lisp::Data>(value).map_err(|error| StoreError(error.to_string()))?;
            }
            Part::Condition => _ = decode::<ConditionRow>(value)?,
            Part::Metric => _ = decode::<f64>(value)?,
            Part::Run => return self.run(number()?, value),
            Part::Value => {
                self.bytes += value.len() as u64;
                self.values.insert(hash()?);
                return Ok((blake3::hash(value) != blake3::Hash::from(hash()?)).then_some(Problem::WrongValue));
            }
            Part::Reference => _ = self.counted.insert(hash()?, decode(value)?),
            Part::Draft => {
                let draft = Record::parse_draft(value).map_err(|error| StoreError(error.to_string()))?;
                self.draft = Some((draft.header().tick, draft.stored().collect()));
            }
            Part::DraftValue => {
                self.draft_values.insert(hash()?);
                return Ok((blake3::hash(value) != blake3::Hash::from(hash()?)).then_some(Problem::WrongValue));
            }
        }
        Ok(None)
    }

    fn run(&mut self, tick: u64, value: &[u8]) -> Result<Option<Problem>, StoreError> {
        let run: RunRow<'_> = decode(value)?;
        let record = Record::parse(run.record.0).map_err(|error| StoreError(error.to_string()))?;
        self.bytes += value.len() as u64;
        self.last_run = Some((tick, run.ended_at.is_some()));
        let hashes: BTreeSet<_> = record.stored().collect();
        let strays = record.header().tick != tick || run.refers == hashes.is_empty();
        for hash in hashes {
            let (runs, last) = self.referred.entry(hash).or_default();
            (*runs, *last) = (*runs + 1, tick);
        }
        Ok(strays.then_some(Problem::StrayRun(tick)))
    }

    /// What is wrong with the rows together.
    fn problems(&self, standing: &Standing) -> Vec<Problem> {
        let mut problems = Vec::new();
        let checkpoint = &standing.checkpoint;
        if !self.named {
            problems.push(Problem::NoName);
        }
        if !self.revisions.contains(&standing.revision) {
            problems.push(Problem::NoRevision(standing.revision));
        }
        problems.extend(self.revisions.range(standing.revision + 1..).map(|late| Problem::LateRevision(*late)));
        match self.last_run {
            Some((tick, _)) if tick != checkpoint.ticks => problems.push(Problem::NoLastRun(checkpoint.ticks)),
            Some((tick, ended)) if ended == (checkpoint.unfinished == Unfinished::Actions) => {
                problems.push(Problem::WrongOutcomes(tick));
            }
            None if checkpoint.ticks > 0 => problems.push(Problem::NoLastRun(checkpoint.ticks)),
            _ => {}
        }
        for (hash, (runs, tick)) in &self.referred {
            let counted = self.counted.get(hash).copied().unwrap_or(0);
            if counted != *runs {
                problems.push(Problem::WrongCount { runs: *runs, counted });
            }
            if !self.values.contains(hash) {
                problems.push(Problem::NoValue { tick: *tick });
            }
        }
        let unused = self.counted.iter().filter(|(hash, _)| !self.referred.contains_key(*hash));
        problems.extend(unused.map(|(_, counted)| Problem::WrongCount { runs: 0, counted: *counted }));
        let unused = self.values.iter().filter(|hash| !self.counted.contains_key(*hash));
        problems.extend(unused.map(|_| Problem::WrongCount { runs: 0, counted: 0 }));
        if self.bytes != standing.bytes {
            problems.push(Problem::WrongBytes { taken: self.bytes, counted: standing.bytes });
        }
        let cut = checkpoint.unfinished == Unfinished::Evaluation;
        let draft = self.draft.as_ref().filter(|(tick, _)| *tick == checkpoint.ticks + 1);
        if draft.is_some() != cut
            || self.draft.is_some() != cut
            || self.draft.as_ref().map_or(0, |(_, hashes)| hashes.len()) != self.draft_values.len()
        {
            problems.push(Problem::WrongDraft);
        }
        if let Some((tick, hashes)) = draft
            && !hashes.is_subset(&self.draft_values)
        {
            problems.push(Problem::NoValue { tick: *tick });
        }
        problems
    }
}
