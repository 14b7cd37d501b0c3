//! What replays and what-ifs say, as JSON carries it.

use serde::{Deserialize, Serialize};
use vigy_core::record::Place;
use vigy_core::{RunKey, VigyId};

/// How a run is replayed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayOf {
    /// The secret answers, as lines of recorded answers; asked for again when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<String>,
}

/// What came of a replay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Replay {
    /// Which run: `INCARNATION-TICK`.
    pub run: String,
    /// Whose.
    pub vigy_id: String,
    /// How many entries of its record came again.
    pub entries: usize,
    /// Whether the host ended the run before its program did: what would have come after that is not known.
    pub cut: bool,
    /// Where it went another way; null when it did not.
    pub divergence: Option<Divergence>,
}

/// Where a run went another way than its record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Divergence {
    /// Number of the entry of the record, from 0.
    pub entry: usize,
    /// What the record says there.
    pub expected: String,
    /// All of it, for people.
    pub message: String,
    /// Where in the program, when that is known.
    pub place: Option<Place>,
}

/// Another program, for a run that was recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatIf {
    /// The program's text.
    pub program: String,
    /// What error messages call the program, as a file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// As in [`ReplayOf`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<String>,
}

/// What another program would have done in a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Diff {
    /// Which run: `INCARNATION-TICK`.
    pub run: String,
    /// Whose.
    pub vigy_id: String,
    /// What would come out otherwise; empty when both do the same.
    pub differences: Vec<Difference>,
}

/// One thing that comes out otherwise: it is gone, or new, or (with both) another one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// What came out.
    pub before: Option<String>,
    /// What would come out now.
    pub after: Option<String>,
}

impl Replay {
    /// What came of the replay of `run`.
    #[must_use]
    pub fn new(id: VigyId, run: RunKey, replayed: Result<vigy_core::replay::Replayed, Box<vigy_core::replay::Divergence>>) -> Self {
        let (run, vigy_id) = (run.to_string(), id.to_string());
        match replayed {
            Ok(vigy_core::replay::Replayed { entries, cut }) => Self { run, vigy_id, entries, cut, divergence: None },
            Err(divergence) => {
                let (entry, expected, message, place) =
                    (divergence.entry, divergence.expected.to_string(), divergence.to_string(), divergence.place);
                Self { run, vigy_id, entries: entry, cut: false, divergence: Some(Divergence { entry, expected, message, place }) }
            }
        }
    }
}

impl Diff {
    /// What would come out of `run` otherwise.
    #[must_use]
    pub fn new(id: VigyId, run: RunKey, what_if: &vigy_core::replay::WhatIf) -> Self {
        let shown = |difference: &vigy_core::replay::Difference| Difference {
            before: difference.before.as_ref().map(ToString::to_string),
            after: difference.after.as_ref().map(ToString::to_string),
        };
        let differences = what_if.differences.iter().map(shown).collect();
        Self { run: run.to_string(), vigy_id: id.to_string(), differences }
    }
}
