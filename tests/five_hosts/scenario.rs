//! Scenarios: a program, a life, times, and what the world answers at each of them. The same for the same seed.

use vigy_core::sim::RecordedEffects;
use vigy_core::{AskError, Incarnation, Timestamp};
use vigy_programs::json;

#[path = "../../programs/tests/cluster/mod.rs"]
mod cluster;

use crate::programs::{PROGRAMS, Program};
use cluster::{Claim, NOW, answers, claims};

/// Ticks of each scenario.
const TICKS: u64 = 3;

/// One vigy's life, told in advance.
pub(crate) struct Scenario {
    /// Which of [`PROGRAMS`].
    pub(crate) program: usize,
    pub(crate) incarnation: Incarnation,
    pub(crate) moments: Vec<Moment>,
}

/// A tick to be done.
#[derive(Clone)]
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    /// What the world answers at this tick.
    pub(crate) world: RecordedEffects,
}

/// Numbers from a seed: splitmix64 (https://prng.di.unimi.it/splitmix64.c).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

impl Scenario {
    pub(crate) fn program(&self) -> &'static Program {
        &PROGRAMS[self.program]
    }

    /// The life of a program in the world that a seed makes.
    pub(crate) fn of(program: &str, seed: u64) -> Self {
        let index = PROGRAMS.iter().position(|known| known.name == program).expect("the program is one of those");
        let mut numbers = Numbers(seed ^ (index as u64) << 32);
        let incarnation = Incarnation(numbers.below(u64::MAX));
        let mut at = Timestamp(NOW as u64 * 1000 + numbers.below(60_000));
        let mut moment = |_| {
            let world = if program == "pvc-autoresizer" { world(&mut numbers) } else { RecordedEffects::default() };
            at = at.plus(60_000 + numbers.below(400_000));
            Moment { at, world }
        };
        let moments = (0..TICKS).map(&mut moment).collect();
        Self { program: index, incarnation, moments }
    }
}

/// Configurations to be registered with; the last one is refused by the program.
const CONFIGS: [&str; 6] = [
    "null",
    "null",
    r#"{"triggerAt":0.9,"namespaces":["apps"]}"#,
    r#"{"cooldownSeconds":60,"maxSize":"64Gi","prometheusUrl":"http://prometheus:9090"}"#,
    r#"{"dryRun":true}"#,
    r#"{"expandFactor":0.5}"#,
];

/// A small cluster of any kind: claims that grow, must not, or cannot be told about; patches that are refused; a Prometheus or an API
/// server that does not answer.
fn world(numbers: &mut Numbers) -> RecordedEffects {
    let mut all = claims(2 * numbers.below(1 << 32), 6);
    all.rotate_left(numbers.below(6) as usize);
    all.truncate(2 + numbers.below(3) as usize);
    for claim in &mut all {
        claim.refused = match numbers.below(4) {
            0 => Some(("conflict", "the object has been modified")),
            1 if numbers.below(2) == 0 => Some(("forbidden", "only dynamically provisioned claims can be resized")),
            _ => None,
        };
    }
    let config = CONFIGS[numbers.below(CONFIGS.len() as u64) as usize];
    let config = json::to_data(&serde_json::from_str(config).expect("it is JSON")).expect("it is data");
    let mut world = answers(&all, &config, &all.iter().collect::<Vec<&Claim>>());
    let mut silent = |operation: &str, one_in: u64, message: &str| {
        for recorded in world.answers.iter_mut().filter(|recorded| recorded.operation == operation) {
            if numbers.below(one_in) == 0 {
                recorded.answer = Err(AskError::new("unavailable", format_args!("{message}")));
            }
        }
    };
    silent("prom/query", 8, "no route to host");
    silent("k8s/list-pvcs", 12, "the API server is busy");
    world
}
