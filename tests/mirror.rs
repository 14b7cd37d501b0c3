//! `programs/mirror-dir` on a thousand real files, with its real handler.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use vigy::{Platform, ResultStatus, Run, RuntimeHandle, TickInterval, Vigy, VigyId};

/// Files in the source, more than its batches of 100 can hold.
const FILES: u64 = 1000;

/// Files under the idle ticks. `VIGY_IDLE_FILES` says otherwise: every tick hashes all of them, twice.
const IDLE_FILES: u64 = 1000;

/// Idle ticks, as many as retention keeps runs.
const IDLE_TICKS: usize = 1000;

/// What a store of one idle vigy may grow to: its retention of 64 MiB, and as much for the store's own pages.
const MAX_STORE_BYTES: u64 = 128 << 20;

struct Mirror {
    dir: tempfile::TempDir,
    runtime: RuntimeHandle,
    id: VigyId,
    random: u64,
}

impl Mirror {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (source, target) = (root.join("source").display().to_string(), root.join("target").display().to_string());
        std::fs::create_dir(&source).unwrap();
        let program = include_str!("../programs/mirror-dir/main.tlisp")
            .replace("\"mirror/source\"", &format!("{source:?}"))
            .replace("\"mirror/target\"", &format!("{target:?}"));
        let mut vigy = Vigy::new("mirror", program, TickInterval::default()).unwrap();
        vigy.allow = vec![format!("fs:{source}:r"), format!("fs:{target}:r")];
        vigy.on_action = format!("exec:'{}' '{target}'", handler().display());
        let builder = RuntimeHandle::builder().effects(Arc::new(Platform::default())).scheduling(false);
        let runtime = builder.open(&root.join("vigy.redb")).await.unwrap();
        let id = runtime.register_or_update(vigy).await.unwrap().id;
        Self { dir, runtime, id, random: 1 }
    }

    fn source(&self, path: &str) -> PathBuf {
        self.dir.path().join("source").join(path)
    }

    fn target(&self, path: &str) -> PathBuf {
        self.dir.path().join("target").join(path)
    }

    /// A number below `below`, the same in every run of the test (xorshift64).
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// Up to 4 KiB, half of the time text.
    fn content(&mut self) -> Vec<u8> {
        let (len, text) = (self.random(4096), self.random(2) == 0);
        (0..len).map(|_| if text { b"line of text\n"[self.random(13) as usize] } else { self.random(256) as u8 }).collect()
    }

    fn path(number: u64) -> String {
        format!("d{}/e{}/f{number}", number % 20, number % 3)
    }

    fn write(&mut self, path: &Path) {
        let content = self.content();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    async fn tick(&self) -> Run {
        let run = self.runtime.tick_now(self.id).await.unwrap();
        assert_eq!(run.error, None);
        run
    }

    /// Ticks until there is nothing left to do, and says how many ticks had something to do.
    async fn converge(&self) -> usize {
        for ticks in 0..100 {
            let run = self.tick().await;
            if run.actions.is_empty() {
                return ticks;
            }
            assert!(run.actions.len() <= 100, "a batch");
            for action in &run.actions {
                assert_eq!(action.result, Some(ResultStatus::Ok), "{}", action.message);
            }
        }
        panic!("it does not converge");
    }

    /// What `diff -r` has to say.
    fn difference(&self) -> String {
        let output = Command::new("diff").arg("-r").args([self.source(""), self.target("")]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    async fn condition(&self) -> (String, String) {
        let state = self.runtime.state(self.id).await.unwrap();
        let condition = state.conditions.into_iter().find(|condition| condition.name == "Converged").unwrap();
        (condition.status.name().to_owned(), condition.reason)
    }
}

/// The example, built if need be: cargo only does so by itself when it runs all tests.
fn handler() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_vigy")).with_file_name("examples").join("mirror-apply");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", "mirror-apply"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(path.exists() || build.status().unwrap().success());
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_of_a_thousand_files_is_kept_equal() {
    let mut mirror = Mirror::new().await;
    for number in 0..FILES {
        let path = mirror.source(&Mirror::path(number));
        mirror.write(&path);
    }
    std::fs::create_dir(mirror.source("empty")).unwrap();
    assert!(mirror.converge().await >= 10, "in batches");
    assert_eq!(mirror.difference(), "");
    assert_eq!(mirror.condition().await, ("true".to_owned(), "Equal".to_owned()));
    assert_eq!(mirror.tick().await.actions, [], "nothing is left to do");

    // Damage on both sides: edits, deletions, new files, files where directories were and the other way round.
    for _ in 0..20 {
        let path = Mirror::path(mirror.random(FILES));
        let (in_source, in_target) = (mirror.source(&path), mirror.target(&path));
        match mirror.random(5) {
            0 => mirror.write(&in_source),
            1 => mirror.write(&in_target),
            2 => _ = std::fs::remove_file(in_source),
            3 => _ = std::fs::remove_file(in_target),
            _ => mirror.write(&in_source.with_file_name("new")),
        }
    }
    std::fs::remove_dir_all(mirror.source("d7")).unwrap();
    std::fs::write(mirror.source("d7"), "a file now").unwrap();
    std::fs::remove_dir(mirror.target("empty")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", mirror.target("empty")).unwrap();
    std::fs::create_dir_all(mirror.target("stray/deep/down")).unwrap();
    std::fs::write(mirror.target("stray/deep/down/file"), "x").unwrap();
    assert_ne!(mirror.difference(), "");
    assert!(mirror.converge().await > 0);
    assert_eq!(mirror.difference(), "");
    mirror.runtime.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_told_and_the_rest_goes_on() {
    let mut mirror = Mirror::new().await;
    let small = mirror.source("small");
    mirror.write(&small);
    std::fs::write(mirror.source("large"), vec![0; (1 << 20) + 1]).unwrap();
    std::os::unix::fs::symlink("small", mirror.source("link")).unwrap();
    mirror.converge().await;
    assert!(mirror.target("small").exists() && !mirror.target("large").exists() && !mirror.target("link").exists());
    assert_eq!(mirror.condition().await, ("false".to_owned(), "TooLarge".to_owned()));

    // Without its source it fails, and leaves the target alone.
    std::fs::remove_dir_all(mirror.source("")).unwrap();
    let error = mirror.runtime.tick_now(mirror.id).await.unwrap().error.unwrap();
    assert!(error.contains("does not exist"), "{error}");
    assert!(mirror.target("small").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_ticks_stay_within_retention() {
    let mut mirror = Mirror::new().await;
    let files = std::env::var("VIGY_IDLE_FILES").map_or(IDLE_FILES, |files| files.parse().expect("VIGY_IDLE_FILES is a number"));
    for number in 0..files {
        let path = mirror.source(&Mirror::path(number));
        mirror.write(&path);
    }
    mirror.converge().await;
    for _ in 0..IDLE_TICKS {
        assert_eq!(mirror.tick().await.actions, []);
    }
    assert_eq!(mirror.runtime.recent_runs(mirror.id, 2 * IDLE_TICKS).await.unwrap().len(), 1000);
    mirror.runtime.shutdown(Duration::from_secs(10)).await;
    let bytes = std::fs::metadata(mirror.dir.path().join("vigy.redb")).unwrap().len();
    assert!(bytes <= MAX_STORE_BYTES, "{bytes} bytes");
}
