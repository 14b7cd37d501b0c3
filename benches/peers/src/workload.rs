//! What is measured, and what each must come out as.

use std::collections::HashMap;

/// What one operation of a bench is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// A loaded program logs a line and says that there is nothing to do.
    TickHello,
    /// The host gives two lists of 64 records; the program says by what they differ; the host reads every payload.
    TickReconcile,
    /// The same, with both lists in the program already.
    TickResident,
    /// fib(27), recursive.
    Fib,
    /// tak(18, 12, 6).
    Tak,
    /// The sum of 1 to 1,000,000, by the loop of the language.
    Loop,
    /// 0 to 9,999, mapped, filtered, folded.
    List,
    /// 1,000 short strings made of texts and numbers.
    Str,
    /// 100,000 closures made and called once.
    Clos,
    /// The text of 25 small definitions to functions that can be called.
    Load,
}

impl Workload {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 10] = [
        Self::TickHello,
        Self::TickReconcile,
        Self::TickResident,
        Self::Fib,
        Self::Tak,
        Self::Loop,
        Self::List,
        Self::Str,
        Self::Clos,
        Self::Load,
    ];

    /// What it is called in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::TickHello => "tick-hello",
            Self::TickReconcile => "tick-reconcile",
            Self::TickResident => "tick-resident",
            Self::Fib => "fib",
            Self::Tak => "tak",
            Self::Loop => "loop",
            Self::List => "list",
            Self::Str => "str",
            Self::Clos => "clos",
            Self::Load => "load",
        }
    }

    /// The most time that ours may take, in Lua's.
    pub fn bar(self) -> f64 {
        match self {
            Self::TickHello => 0.25,
            Self::TickReconcile => 0.35,
            Self::TickResident => 0.4,
            Self::Fib => 0.75,
            Self::Tak => 0.7,
            Self::Loop => 2.6,
            Self::List => 0.8,
            Self::Str | Self::Clos => 0.6,
            Self::Load => 2.0,
        }
    }

    /// What one operation must come out as, found without any engine.
    pub fn expected(self) -> i64 {
        match self {
            // The characters that the host has seen.
            Self::TickHello => "info".len() as i64 + "hello from a vigy".len() as i64,
            Self::TickReconcile | Self::TickResident => difference(),
            Self::Fib => fib(27),
            Self::Tak => tak(18, 12, 6),
            Self::Loop => (1..=1_000_000).sum(),
            Self::List => (0..10_000).map(|x| 2 * x).filter(|x| x % 3 == 0).sum(),
            Self::Str => (0..1000i64).map(|i| format!("item-{i}={}", i * i).len() as i64).sum(),
            Self::Clos => (0..100_000).map(|i| i + 1).sum(),
            Self::Load => 25,
        }
    }
}

/// Something that is wanted or there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is known by.
    pub name: String,
    /// How many of it.
    pub replicas: i64,
    /// What runs in it.
    pub image: String,
}

/// 64 records that are wanted: svc-000 to svc-063.
pub fn desired() -> Vec<Record> {
    (0..64).map(|i| record(i, 0, 0)).collect()
}

/// 64 records that are there: svc-016 to svc-079, of which 16 differ in replicas and 8 in their image.
pub fn observed() -> Vec<Record> {
    (16..80).map(|i| record(i, i64::from((16..32).contains(&i)), u32::from((32..40).contains(&i)))).collect()
}

fn record(i: i64, more: i64, patch: u32) -> Record {
    Record { name: format!("svc-{i:03}"), replicas: 1 + i % 5 + more, image: format!("registry.example/app:1.{patch}") }
}

/// What the host makes of an action, so that the sum over all of them says whether they were right.
pub fn weigh(kind: &str, name: &str, replicas: i64, image: &str) -> i64 {
    let text = |t: &str| t.bytes().map(i64::from).sum::<i64>();
    text(kind) * text(name) + 31 * replicas + text(image)
}

/// 16 are made, 24 changed, 16 taken away.
fn difference() -> i64 {
    let (want, have) = (desired(), observed());
    let wanted: HashMap<&str, &Record> = want.iter().map(|r| (r.name.as_str(), r)).collect();
    let there: HashMap<&str, &Record> = have.iter().map(|r| (r.name.as_str(), r)).collect();
    let mut sum = 0;
    for w in &want {
        match there.get(w.name.as_str()) {
            None => sum += weigh("create", &w.name, w.replicas, &w.image),
            Some(h) if *h != w => sum += weigh("update", &w.name, w.replicas, &w.image),
            Some(_) => {}
        }
    }
    sum + have.iter().filter(|h| !wanted.contains_key(h.name.as_str())).map(|h| weigh("delete", &h.name, 0, "")).sum::<i64>()
}

fn fib(n: i64) -> i64 {
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}

fn tak(x: i64, y: i64, z: i64) -> i64 {
    if y < x { tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y)) } else { z }
}
