//! Writes the sources of the conformance corpus as seeds: `seeds CORPUS.json DIR…`, one file per case in each folder.

use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [corpus, dirs @ ..] = &args[..] else {
        return Err("usage: seeds CORPUS.json DIR…".into());
    };
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&fs::read(corpus)?)?;
    for dir in dirs {
        fs::create_dir_all(dir)?;
        for case in &cases {
            if let (Some(id), Some(source)) = (case["id"].as_str(), case["src"].as_str()) {
                fs::write(Path::new(dir).join(id), source)?;
            }
        }
    }
    println!("{} seeds in each of {} folders", cases.len(), dirs.len());
    Ok(())
}
