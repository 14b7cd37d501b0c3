//! A store of format 2, made of the rows that version 0.1.0 wrote.

use redb::TableDefinition;

/// The rows of a store of format 2, one a line: `TABLE KEY… VALUE`. Version 0.1.0 wrote them: six vigies, one of them cut off while it
/// acted, another one while it wrote.
const FORMAT_2: &str = include_str!("../fixtures/format-2.txt");

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks_exact(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn hash(hex: &str) -> [u8; 32] {
    bytes(hex).try_into().unwrap()
}

/// Makes a store of format 2 of an empty database.
pub(crate) fn fill(database: &redb::Database) {
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
