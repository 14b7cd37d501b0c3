//! The fifth host: a Cortex-M3 in QEMU. It cannot ask, so it is told what the simulated host was answered.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vigy_core::record::Bytes;

#[path = "../../adapter-embassy/tests/board/mod.rs"]
mod board;

pub(crate) use board::missing;

use crate::hosts::Simulated;
use crate::scenario::Scenario;
use crate::wake::{FILE, MACHINE, WAKE_BYTES, Wake};
use crate::{Records, Result};

const FIRMWARE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/adapter-embassy/firmware");

/// How long the device may take for all of its life.
const PATIENCE: Duration = Duration::from_secs(300);

/// RAM that the firmware keeps to.
const MAX_RAM: u32 = 64 << 10;

/// The wakes of all lives, as the firmware reads them.
fn wakes(lives: &[(&Scenario, &Simulated)]) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    for (scenario, simulated) in lives {
        for (index, (moment, answered)) in scenario.moments.iter().zip(&simulated.answered).enumerate() {
            let begins = (index == 0).then_some(scenario.incarnation);
            let wake = Wake { program: u8::try_from(scenario.program)?, begins, at: moment.at, answers: Bytes(answered) };
            let wake = postcard::to_allocvec(&wake)?;
            assert!(wake.len() <= WAKE_BYTES, "a wake of {} bytes does not fit the device", wake.len());
            file.extend_from_slice(&u32::try_from(wake.len())?.to_le_bytes());
            file.extend_from_slice(&wake);
        }
    }
    Ok(file)
}

/// Lives all scenarios on the device. Prints what the firmware takes.
pub(crate) fn live(lives: &[(&Scenario, &Simulated)]) -> Result<Vec<Records>> {
    let elf = board::build(Path::new(FIRMWARE), "scenarios")?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join(FILE.trim_end_matches('\0')), wakes(lives)?)?;
    let text = board::run(MACHINE, &elf, folder.path(), PATIENCE)?;
    let ((flash, ram), stack) = (board::size(&elf)?, board::stack(&text)?);
    println!("firmware with the programs: {flash} bytes of flash; RAM {} bytes: {ram} static, {stack} of stack", ram + stack);
    assert!(ram + stack < MAX_RAM, "the stack has met what lies below it");
    for value in board::named(&text, "value") {
        let value = value?;
        let known = lives.iter().any(|(_, simulated)| simulated.storage.values.get(blake3::hash(&value).as_bytes()) == Some(&value));
        assert!(known, "the device keeps a value that the simulated host does not: {value:02x?}");
    }
    let mut records = board::named(&text, "record");
    let of = |(scenario, _): &(&Scenario, &Simulated)| records.by_ref().take(scenario.moments.len()).collect();
    lives.iter().map(of).collect()
}
