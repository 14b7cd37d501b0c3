//! The table.

use crate::workload::Workload;
use serde_json::{Value, json};
use std::fmt;

const OURS: &str = "vigy";
const REFERENCE: &str = "lua-5.4";
const FASTEST: &str = "starlark";

/// What one engine takes for one operation.
pub struct Cell {
    /// Which engine.
    pub engine: &'static str,
    /// Nanoseconds, or instructions.
    pub value: f64,
    /// How far the middle half of the samples spreads, as a part of their median.
    pub spread: Option<f64>,
}

/// Rows of workloads, columns of engines.
pub struct Report {
    unit: &'static str,
    rows: Vec<(Workload, Vec<Cell>)>,
}

fn value(row: &[Cell], engine: &str) -> Option<f64> {
    row.iter().find(|c| c.engine == engine).map(|c| c.value)
}

fn ratio(row: &[Cell], cell: &Cell) -> Option<f64> {
    value(row, REFERENCE).map(|reference| cell.value / reference)
}

impl Report {
    /// An empty one, of figures in `unit`.
    pub fn new(unit: &'static str) -> Self {
        Self { unit, rows: Vec::new() }
    }

    /// Adds what one workload took.
    pub fn add(&mut self, workload: Workload, row: Vec<Cell>) {
        self.rows.push((workload, row));
    }

    /// The bars are for times: they say nothing of instructions.
    fn bar(&self, workload: Workload, row: &[Cell]) -> Option<(f64, bool)> {
        let ours = row.iter().find(|c| c.engine == OURS)?;
        let ratio = ratio(row, ours)?;
        (self.unit == "ns").then(|| (workload.bar(), ratio <= workload.bar()))
    }

    /// Ours to the fastest of the others at what vigies are for: it is to be no slower.
    fn reconcile(&self) -> Option<(f64, bool)> {
        let (_, row) = self.rows.iter().find(|(workload, _)| self.unit == "ns" && *workload == Workload::TickReconcile)?;
        let ratio = value(row, OURS)? / value(row, FASTEST)?;
        Some((ratio, ratio <= 1.0))
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(workload, row)| {
            let engines = row.iter().map(|c| json!({"engine": c.engine, self.unit: c.value, "spread": c.spread, "ratio": ratio(row, c)}));
            let bar = self.bar(*workload, row);
            json!({
                "workload": workload.name(),
                "engines": engines.collect::<Vec<_>>(),
                "bar": bar.map(|b| b.0),
                "met": bar.map(|b| b.1),
            })
        });
        Value::Array(rows.collect())
    }

    fn write_table(&self, f: &mut fmt::Formatter<'_>, title: &str, cell: fn(&[Cell], &Cell) -> String, bars: bool) -> fmt::Result {
        let Some((_, first)) = self.rows.first() else { return Ok(()) };
        write!(f, "{title:15}")?;
        first.iter().try_for_each(|c| write!(f, "{:>11}", c.engine))?;
        writeln!(f, "{}", if bars { "        bar" } else { "" })?;
        for (workload, row) in &self.rows {
            write!(f, "{:15}", workload.name())?;
            row.iter().try_for_each(|c| write!(f, "{:>11}", cell(row, c)))?;
            if let (true, Some((bar, met))) = (bars, self.bar(*workload, row)) {
                write!(f, "{bar:>11} {}", if met { "met" } else { "MISSED" })?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("{} per op", self.unit);
        self.write_table(f, &title, |_, c| format!("{:.0}", c.value), false)?;
        writeln!(f)?;
        self.write_table(f, "to lua-5.4", |row, c| ratio(row, c).map_or("-".into(), |r| format!("{r:.2}")), true)?;
        if let Some((ratio, met)) = self.reconcile() {
            writeln!(f, "\ntick-reconcile to {FASTEST}: {ratio:.2}, bar 1 {}", if met { "met" } else { "MISSED" })?;
        }
        let spread = self.rows.iter().flat_map(|(_, row)| row).filter_map(|c| c.spread).fold(0.0, f64::max);
        if spread > 0.0 { writeln!(f, "\nThe middle half of the samples spreads by at most {:.0} %.", spread * 100.0) } else { Ok(()) }
    }
}
