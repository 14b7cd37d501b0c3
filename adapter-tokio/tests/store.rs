//! The store, from outside: what it reads of older formats, and what it keeps.

use std::path::Path;

use adapter_tokio::{Registered, RuntimeHandle};
use redb::TableDefinition;
use vigy_core::record::ConditionStatus;
use vigy_core::{ResultStatus, Selector};
use vigy_lisp::Data;

/// The rows of a store of format 2, one a line: `TABLE KEY… VALUE`. Version 0.1.0 wrote them: six vigies, one of them cut off while it
/// acted, another one while it wrote.
const FORMAT_2: &str = include_str!("fixtures/format-2.txt");

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks_exact(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn hash(hex: &str) -> [u8; 32] {
    bytes(hex).try_into().unwrap()
}

/// Makes a store of format 2 of the rows.
fn store_of_format_2(path: &Path) {
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<&str, u32>::new("vigy.meta")).unwrap().insert("format", 2).unwrap();
    for line in FORMAT_2.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let table = format!("vigy.{}", fields[0]);
        let number = |field: usize| fields[field].parse::<u64>().unwrap();
        let value = bytes(fields.last().unwrap());
        match fields[0] {
            "names" => _ = transaction.open_table(TableDefinition::<&str, u64>::new(&table)).unwrap().insert(fields[1], number(2)).unwrap(),
            "kv" => {
                let mut rows = transaction.open_table(TableDefinition::<(u64, &str), &[u8]>::new(&table)).unwrap();
                rows.insert((number(1), fields[2]), &value[..]).unwrap();
            }
            "state" => {
                let mut rows = transaction.open_table(TableDefinition::<(u64, u8, &str), &[u8]>::new(&table)).unwrap();
                rows.insert((number(1), number(2) as u8, fields[3]), &value[..]).unwrap();
            }
            "runs" | "outcomes" => {
                let mut rows = transaction.open_table(TableDefinition::<(u64, u64), &[u8]>::new(&table)).unwrap();
                rows.insert((number(1), number(2)), &value[..]).unwrap();
            }
            "values" | "draft_values" => {
                let mut rows = transaction.open_table(TableDefinition::<(u64, &[u8; 32]), &[u8]>::new(&table)).unwrap();
                rows.insert((number(1), &hash(fields[2])), &value[..]).unwrap();
            }
            "references" => {
                let mut rows = transaction.open_table(TableDefinition::<(u64, &[u8; 32]), u64>::new(&table)).unwrap();
                rows.insert((number(1), &hash(fields[2])), number(3)).unwrap();
            }
            _ => {
                let mut rows = transaction.open_table(TableDefinition::<u64, &[u8]>::new(&table)).unwrap();
                rows.insert(number(1), &value[..]).unwrap();
            }
        }
    }
    transaction.commit().unwrap();
}

async fn named(runtime: &RuntimeHandle, name: &str) -> Registered {
    let id = runtime.resolve(name).await.unwrap();
    runtime.get(id).await.unwrap()
}

#[tokio::test]
async fn a_store_of_format_2_is_taken_over_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.redb");
    store_of_format_2(&path);
    for _ in 0..2 {
        let runtime = RuntimeHandle::builder().scheduling(false).open(&path).await.unwrap();
        let names = runtime.list(&Selector::default()).await.unwrap().into_iter().map(|v| v.vigy.name.to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["acting", "counter", "failing", "fresh", "pushing", "writing"]);
        let counter = named(&runtime, "counter").await;
        assert_eq!((counter.revision, counter.checkpoint.ticks, counter.vigy.labels.get("team")), (2, 3, Some("infra")));
        assert_eq!(counter.vigy.allow, ["fs:/etc:r"]);
        let state = runtime.state(counter.id).await.unwrap();
        assert_eq!(state.kv[1], ("n".to_owned(), Data::Int(3)));
        assert_eq!((state.conditions[0].status, state.conditions[0].reason.as_str()), (ConditionStatus::True, "Ok"));
        assert_eq!(state.metrics, [("load".to_owned(), 0.5)]);
        let runs = runtime.recent_runs(counter.id, 10).await.unwrap();
        assert_eq!(runs.iter().map(|run| run.key.tick).collect::<Vec<_>>(), [3, 2, 1]);
        assert!(runs.iter().all(|run| run.result == ResultStatus::Ok && run.logs[0].message == "hello" && run.ended_at.is_some()));
        let failing = named(&runtime, "failing").await;
        assert_eq!((failing.vigy.enabled, failing.checkpoint.failures), (false, 1));
        assert_eq!(named(&runtime, "fresh").await.checkpoint.ticks, 0);
        let acting = named(&runtime, "acting").await;
        assert_eq!(runtime.state(acting.id).await.unwrap().pending.len(), 1, "its action goes out under its key");
        runtime.shutdown(std::time::Duration::from_secs(5)).await;
    }
    let runtime = RuntimeHandle::builder().scheduling(false).open(&path).await.unwrap();
    let acting = named(&runtime, "acting").await;
    runtime.tick_now(acting.id).await.unwrap();
    let runs = runtime.recent_runs(acting.id, 2).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.actions[0].result).collect::<Vec<_>>(), [Some(ResultStatus::Ok); 2]);
}
