//! Clusters of claims, and what a host would answer about them.
//!
//! Made of `vigy-lisp`'s data and `vigy-core`'s recorded answers alone, so that the test of any host can include this file and gets the same
//! bytes.
#![allow(dead_code, reason = "every test uses a part of it")]

use vigy_core::AskError;
use vigy_core::sim::{RecordedAnswer, RecordedEffects};
use vigy_lisp::Data;

/// The tick's time, in seconds since the epoch.
pub(crate) const NOW: i64 = 1_700_000_000;

/// Claims that one pair of queries is about, as in the program.
const BATCH: usize = 25;

/// A claim, and what its volume and the API server say about it.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) namespace: &'static str,
    pub(crate) name: String,
    pub(crate) phase: &'static str,
    pub(crate) request: String,
    pub(crate) capacity: String,
    /// The annotation of the last expansion.
    pub(crate) grown_at: Option<String>,
    /// Bytes used and bytes there are; no sample when nothing.
    pub(crate) used: Option<f64>,
    pub(crate) of: Option<f64>,
    /// Why its patch is refused.
    pub(crate) refused: Option<(&'static str, &'static str)>,
}

/// A claim of 30Gi that is idle.
pub(crate) fn claim(name: &str) -> Claim {
    Claim {
        namespace: "apps",
        name: name.to_owned(),
        phase: "Bound",
        request: "30Gi".to_owned(),
        capacity: "30Gi".to_owned(),
        grown_at: None,
        used: Some(10.0),
        of: Some(100.0),
        refused: None,
    }
}

impl Claim {
    /// So full, in percent.
    pub(crate) fn full(self, percent: f64) -> Self {
        Self { used: Some(percent), of: Some(100.0), ..self }
    }

    /// Of this size, all of it there.
    pub(crate) fn of_size(self, size: &str) -> Self {
        Self { request: size.to_owned(), capacity: size.to_owned(), ..self }
    }

    /// Grown so many seconds before the tick; after it when negative.
    pub(crate) fn grown_before(self, seconds: i64) -> Self {
        Self { grown_at: Some((NOW - seconds).to_string()), ..self }
    }

    fn row(&self) -> Data {
        let annotation = self.grown_at.iter().map(|text| ("pleme.pleme.io/last-expansion-epoch", Data::from(text.as_str())));
        Data::map([
            ("namespace", Data::from(self.namespace)),
            ("name", Data::from(self.name.as_str())),
            ("resource-version", Data::from("7")),
            ("phase", Data::from(self.phase)),
            ("request", Data::from(self.request.as_str())),
            ("capacity", Data::from(self.capacity.as_str())),
            ("annotations", Data::map(annotation)),
        ])
    }

    fn sample(&self, value: Option<f64>) -> Option<Data> {
        let labels = Data::map([("namespace", Data::from(self.namespace)), ("persistentvolumeclaim", Data::from(self.name.as_str()))]);
        Some(Data::map([("labels", labels), ("value", Data::Float(value?))]))
    }
}

/// `count` claims of every kind there is, the same for the same seed: idle, full, in cooldown, at the ceiling, without metrics, being resized.
pub(crate) fn claims(seed: u64, count: usize) -> Vec<Claim> {
    let mut state = seed | 1;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut make = |index: usize| {
        let any = claim(&format!("data-{index}")).of_size(&format!("{}Gi", 1 + random(60))).full(80.0 + random(20) as f64);
        match index % 6 {
            0 => any,
            1 => any.full(random(80) as f64),
            2 => any.grown_before(random(600) as i64),
            3 => any.of_size(&format!("{}Gi", 90 + random(40))),
            4 => Claim { used: None, ..any },
            _ => Claim { capacity: "512Mi".to_owned(), ..any },
        }
    };
    (0..count).map(&mut make).collect()
}

/// What a host with these claims answers to one run of the program, which grows those in `grown`, in this order.
pub(crate) fn answers(claims: &[Claim], config: &Data, grown: &[&Claim]) -> RecordedEffects {
    let mut effects = RecordedEffects::default();
    let mut record = |operation: &str, answer: Result<Data, AskError>| {
        // Data serialises whatever it holds.
        let answer = answer.map(|data| postcard::to_allocvec(&data).expect("data is serialisable"));
        effects.answers.push(RecordedAnswer { operation: operation.to_owned(), arguments: None, answer, once: true });
    };
    record("computeunit/config", Ok(config.clone()));
    record("k8s/list-pvcs", Ok(Data::from(claims.iter().map(Claim::row).collect::<Vec<_>>())));
    for batch in claims.chunks(BATCH) {
        record("prom/query", Ok(Data::from(batch.iter().filter_map(|claim| claim.sample(claim.used)).collect::<Vec<_>>())));
        record("prom/query", Ok(Data::from(batch.iter().filter_map(|claim| claim.sample(claim.of)).collect::<Vec<_>>())));
    }
    for claim in grown {
        record(
            "k8s/patch-pvc",
            match claim.refused {
                None => Ok(Data::map([("resource-version", Data::from("8"))])),
                Some((tag, message)) => Err(AskError::new(tag, format_args!("{message}"))),
            },
        );
    }
    effects
}
