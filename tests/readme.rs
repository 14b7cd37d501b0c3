//! The quick start of the README, pasted as a whole into a shell of somebody who has never used vigy.

mod common;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use common::{Home, Ran};

/// What stands between the marks, without what is built already, and on a port that nobody else has.
fn quick_start() -> String {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("<!-- quick start -->\n```sh\n").expect("the README has a quick start");
    let (block, _) = rest.split_once("```\n<!-- end -->").expect("it ends");
    assert!(block.contains("cargo build --release\n") && block.contains("--bind 127.0.0.1:38821"), "{block}");
    block.replace("cargo build --release\n", "").replace("127.0.0.1:38821", "127.0.0.1:0")
}

#[test]
fn the_quick_start_can_be_pasted() {
    let home = Home::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(home.path("target/release")).unwrap();
    symlink(env!("CARGO_BIN_EXE_vigy"), home.path("target/release/vigy")).unwrap();
    symlink(root.join("programs"), home.path("programs")).unwrap();
    let script =
        home.file("quick-start.sh", &format!("set -eux\nif ! command -v sqlite3; then sqlite3() {{ :; }}; fi\n{}wait\n", quick_start()));
    let mut shell = Command::new("bash");
    shell.arg(script).env("HOME", home.dir.path()).env_remove("VIGY_DB").env_remove("RUST_LOG").current_dir(home.dir.path());
    let ran = Ran::of(&mut shell);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    for line in
        ["hello registered", "disabled hello", "+ log info: hello again", "revision 3 hello", "is whole", "deleted hello", "=> (1 2 3 4 5)"]
    {
        assert!(ran.out.contains(line), "`{line}` is missing in\n{}\n{}", ran.out, ran.err);
    }
}
