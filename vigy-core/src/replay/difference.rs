//! What two evaluations of the same inputs do differently.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::Line;
use crate::Verdict;
use crate::record::Entry;

/// One thing that comes out otherwise: it is gone, or new, or (with both) another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// What came out before.
    pub before: Option<Line>,
    /// What comes out now.
    pub after: Option<Line>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "- {before}\n+ {after}"),
            (Some(before), None) => write!(f, "- {before}"),
            (None, Some(after)) => write!(f, "+ {after}"),
            (None, None) => Ok(()),
        }
    }
}

/// How an output is compared with those of the other evaluation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Output {
    /// Only the last one of its name counts.
    Named(u8, String),
    /// One after the other.
    Listed(u8),
}

/// What comes out of an entry; nothing for what goes in. A failed evaluation leaves no actions and no kv writes.
fn output(entry: &Entry<'_>, failed: bool) -> Option<Output> {
    let named = |kind, name: &str| Some(Output::Named(kind, name.into()));
    match *entry {
        Entry::KvWrite { .. } | Entry::Action { .. } if failed => None,
        Entry::Ask { access, .. } if access.writes() => Some(Output::Listed(4)),
        Entry::KvRead { .. } | Entry::Ask { .. } | Entry::Answer { .. } => None,
        Entry::End { .. } => named(0, ""),
        Entry::KvWrite { key, .. } => named(1, key),
        Entry::NextIn { .. } => named(3, ""),
        Entry::Condition { name, .. } => named(2, name),
        Entry::Action { .. } => Some(Output::Listed(5)),
        Entry::Log { .. } | Entry::Output { .. } => Some(Output::Listed(6)),
        Entry::Event { .. } => Some(Output::Listed(7)),
        Entry::Desired { key, .. } => named(8, key),
        Entry::Observed { key, .. } => named(9, key),
        Entry::Metric { name, .. } => named(10, name),
        Entry::Trace { key, .. } => named(11, key),
    }
}

type Outputs<'a> = BTreeMap<Output, Vec<&'a Line>>;

fn outputs(lines: &[Line]) -> Outputs<'_> {
    let failed = lines.last().is_some_and(|line| !matches!(line.entry(), Entry::End { verdict: Verdict::Ok, .. }));
    let mut outputs = Outputs::new();
    for line in lines {
        let Some(output) = output(&line.entry(), failed) else { continue };
        let named = matches!(output, Output::Named(..));
        let lines = outputs.entry(output).or_default();
        if named {
            lines.clear();
        }
        lines.push(line);
    }
    outputs
}

/// What comes out otherwise: how it ends first, then kind by kind.
pub(super) fn between(before: &[Line], after: &[Line]) -> Vec<Difference> {
    let (before, mut after) = (outputs(before), outputs(after));
    let mut differences = Vec::new();
    let mut compared: BTreeMap<Output, (Vec<&Line>, Vec<&Line>)> = BTreeMap::new();
    for (output, lines) in before {
        let others = after.remove(&output).unwrap_or_default();
        compared.insert(output, (lines, others));
    }
    for (output, lines) in after {
        compared.insert(output, (Vec::new(), lines));
    }
    for (output, (before, after)) in compared {
        match output {
            Output::Listed(_) => list(&before, &after, &mut differences),
            Output::Named(..) => {
                let (before, after) = (before.first().copied(), after.first().copied());
                let same = match (before, after) {
                    (Some(before), Some(after)) => same(before, after),
                    _ => false,
                };
                if !same {
                    differences.push(Difference { before: before.cloned(), after: after.cloned() });
                }
            }
        }
    }
    differences
}

/// Whether the same comes out. Fuel does not: a program that does the same with less of it does the same.
fn same(before: &Line, after: &Line) -> bool {
    match (before.entry(), after.entry()) {
        (Entry::End { verdict: before, .. }, Entry::End { verdict: after, .. }) => before == after,
        _ => before.says(after),
    }
}

/// Pairs of entries that are compared, at most, to find what two lists have in common: 1,000,000. Longer ones differ as a whole.
const PAIRS: usize = 1_000_000;

/// The longest common subsequence stays; what is around it is gone or new.
fn list(before: &[&Line], after: &[&Line], differences: &mut Vec<Difference>) {
    let gone = |line: &&Line| Difference { before: Some((*line).clone()), after: None };
    let new = |line: &&Line| Difference { before: None, after: Some((*line).clone()) };
    let start = before.iter().zip(after).take_while(|(before, after)| before.says(after)).count();
    let (before, after) = (&before[start..], &after[start..]);
    let end = before.iter().rev().zip(after.iter().rev()).take_while(|(before, after)| before.says(after)).count();
    let (before, after) = (&before[..before.len() - end], &after[..after.len() - end]);
    if before.len().saturating_mul(after.len()) > PAIRS {
        differences.extend(before.iter().map(gone));
        differences.extend(after.iter().map(new));
        return;
    }
    // `common[i][j]`: how long the longest common subsequence of `before[i..]` and `after[j..]` is.
    let width = after.len() + 1;
    let mut common = alloc::vec![0u32; (before.len() + 1) * width];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            common[i * width + j] = if before[i].says(after[j]) {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < before.len() || j < after.len() {
        match (before.get(i), after.get(j)) {
            (Some(old), Some(fresh)) if old.says(fresh) => (i, j) = (i + 1, j + 1),
            (Some(old), fresh) if fresh.is_none() || common[(i + 1) * width + j] >= common[i * width + j + 1] => {
                differences.push(gone(old));
                i += 1;
            }
            (_, Some(fresh)) => {
                differences.push(new(fresh));
                j += 1;
            }
            _ => break,
        }
    }
}
