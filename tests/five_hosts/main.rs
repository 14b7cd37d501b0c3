//! One program, told the same, leaves the same records on five hosts: the simulated one, adapter-tokio with its store on a disk, a module
//! in wasmi, a module in wasm3, and a microcontroller in QEMU with its store in flash.
//!
//! Says which hosts it left out: wasm3 is there in builds with `--features wasm3`, the microcontroller where QEMU and its target are.
//! The hashes: `cargo test --features wasm3 --test five_hosts -- --nocapture`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;

use vigy::{Engine, HostEffects as _, Platform};
use vigy_core::record::{Entry, Explain, Record, Verdict};

#[path = "../../adapter-embassy/firmware/programs.rs"]
mod programs;
#[path = "../../adapter-embassy/firmware/src/wake.rs"]
mod wake;

mod device;
mod hosts;
mod scenario;

use hosts::{Simulated, on_tokio};
use programs::PROGRAMS;
use scenario::Scenario;
use wake::LIMITS;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The canonical records of one life, in order.
type Records = Vec<Vec<u8>>;

const SEEDS: u64 = 24;

/// The lives that one host has lived, in the order of the scenarios.
struct Host {
    name: &'static str,
    lives: Vec<Records>,
}

/// Lives the scenarios on every host there is, the simulated one first.
fn everywhere(scenarios: &[Scenario]) -> Result<Vec<Host>> {
    let simulate = |engine| scenarios.iter().map(|scenario| Simulated::live(scenario, engine)).collect::<Result<Vec<_>>>();
    let records = |lives: &[Simulated]| lives.iter().map(Simulated::records).collect();
    let native = simulate(Engine::Native)?;
    let heap = native.iter().map(|life| life.heap).max().unwrap_or_default();
    println!("the hungriest run uses {heap} bytes of heap");
    let mut hosts = vec![Host { name: "simulated", lives: records(&native) }, Host { name: "adapter-tokio", lives: on_tokio(scenarios)? }];
    let mut module = |name, engine| -> Result<()> {
        let lives = simulate(engine)?;
        for (native, module) in native.iter().zip(&lives) {
            assert!(native.storage == module.storage, "{name}: values, keys, outcomes and checkpoint are the same too");
        }
        hosts.push(Host { name, lives: records(&lives) });
        Ok(())
    };
    module("wasmi", Engine::Wasmi)?;
    if cfg!(feature = "wasm3") {
        module("wasm3", Engine::Wasm3)?;
    } else {
        skipped("wasm3 (build with --features wasm3)");
    }
    match device::missing() {
        Some(missing) => skipped(&format!("the microcontroller (it needs {missing})")),
        None => {
            let told: Vec<_> = scenarios.iter().zip(&native).collect();
            hosts.push(Host { name: "cortex-m3", lives: device::live(&told)? });
        }
    }
    Ok(hosts)
}

/// Says so past the test harness, which swallows what a passing test prints.
fn skipped(what: &str) {
    _ = writeln!(std::io::stderr(), "skipped on five hosts: {what}");
}

/// The hash of all records of a life.
fn hash(records: &Records) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    records.iter().for_each(|record| {
        hasher.update(&(record.len() as u64).to_le_bytes()).update(record);
    });
    hasher.finalize()
}

/// How a run ended, and the fuel it used.
fn end(record: &[u8]) -> (String, u64) {
    let (verdict, fuel) = Record::parse(record).expect("a record parses").end();
    (Explain(verdict, &LIMITS).to_string(), fuel)
}

/// The records that all hosts left of a scenario, having seen that they are the same.
#[track_caller]
fn the_same<'h>(hosts: &'h [Host], index: usize, what: &str) -> &'h Records {
    let (first, others) = hosts.split_first().expect("the simulated host is always there");
    for host in others {
        let (expected, found) = (&first.lives[index], &host.lives[index]);
        let ends = |records: &Records| records.iter().map(|record| end(record)).collect::<Vec<_>>();
        assert_eq!(hash(found), hash(expected), "{what} on {}: {:?}, simulated {:?}", host.name, ends(found), ends(expected));
    }
    &first.lives[index]
}

fn names(hosts: &[Host]) -> String {
    hosts.iter().map(|host| host.name).collect::<Vec<_>>().join(", ")
}

#[test]
fn every_seed_has_one_hash_on_all_hosts() -> Result<()> {
    let both = |seed| ["hello-vigy", "pvc-autoresizer"].map(|program| (seed, Scenario::of(program, seed)));
    let (seeds, scenarios): (Vec<u64>, Vec<Scenario>) = (0..SEEDS).flat_map(both).unzip();
    let hosts = everywhere(&scenarios)?;
    let mut seen = BTreeMap::new();
    for (index, (seed, scenario)) in seeds.iter().zip(&scenarios).enumerate() {
        let program = scenario.program().name;
        let records = the_same(&hosts, index, &format!("seed {seed}, {program}"));
        assert_eq!(records.len(), scenario.moments.len());
        println!("seed {seed:2} {program:15} {}", hash(records));
        records.iter().for_each(|record| note(record, &mut seen));
    }
    let most = scenarios.iter().enumerate().flat_map(|(index, _)| &hosts[0].lives[index]).map(|record| (record.len(), end(record).1));
    let (bytes, fuel) = most.fold((0, 0), |most, run| (most.0.max(run.0), most.1.max(run.1)));
    println!("the longest record has {bytes} bytes, the longest run takes {fuel} units of fuel");
    println!("{} seeds, {} runs, the same bytes on {} hosts: {}", SEEDS, scenarios.len() * 3, hosts.len(), names(&hosts));
    println!("what happened in them: {seen:?}");
    for expected in HAPPENS {
        assert!(seen.contains_key(*expected), "no seed has {expected}");
    }
    Ok(())
}

/// What the seeds are to bring about, one here and another there.
const HAPPENS: &[&str] = &[
    "k8s/list-pvcs answered",
    "k8s/list-pvcs unavailable",
    "prom/query answered",
    "prom/query unavailable",
    "k8s/patch-pvc answered",
    "k8s/patch-pvc conflict",
    "k8s/patch-pvc forbidden",
    "pvc-expanded",
    "pvc-expansion-dry-run",
    "pvc-expansion-failed",
    "pvc-in-cooldown",
    "pvc-at-ceiling",
    "pvc-metrics-missing",
    "pvc-resize-in-progress",
    "ended ok",
    "ended user",
    "ended unavailable",
];

/// Counts what happened in a run.
fn note(record: &[u8], seen: &mut BTreeMap<String, usize>) {
    let mut count = |what: String| *seen.entry(what).or_default() += 1;
    let mut asked = "";
    let record = Record::parse(record).expect("a record parses");
    for entry in record.entries() {
        match entry {
            Entry::Ask { operation, .. } => asked = operation,
            Entry::Answer { answer: Ok(_) } => count(format!("{asked} answered")),
            Entry::Answer { answer: Err(refusal) } => count(format!("{asked} {}", refusal.tag)),
            Entry::Event { kind, .. } => count(kind.to_owned()),
            _ => {}
        }
    }
    count(match record.end().0 {
        Verdict::Ok => "ended ok".to_owned(),
        Verdict::Raised { tag, .. } => format!("ended {tag}"),
        verdict => Explain(verdict, &LIMITS).to_string(),
    });
}

#[test]
fn an_endless_loop_ends_by_fuel_on_all_hosts() -> Result<()> {
    let hosts = everywhere(&[Scenario::of("endless-loop", 1)])?;
    for record in the_same(&hosts, 0, "the endless loop") {
        assert_eq!(end(record), (format!("out-of-fuel: used all {0} steps (limit `fuel`)", LIMITS.fuel), LIMITS.fuel));
    }
    println!("an endless loop ends after {} units of fuel on {}", LIMITS.fuel, names(&hosts));
    Ok(())
}

#[test]
fn the_firmware_declares_operations_as_the_platform_does() {
    let platform = Platform::default();
    for operation in PROGRAMS.iter().flat_map(|program| program.operations) {
        let platform = platform.operations().iter().find(|known| known.name == operation.name);
        let declared = platform.map(|known| (known.arity, known.writes));
        assert_eq!(declared, Some((operation.arity, operation.writes)), "{}", operation.name);
    }
}
