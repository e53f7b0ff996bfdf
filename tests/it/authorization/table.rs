//! What does the table say?
//!
//! The table is written by hand and nothing writes it anew: a run can only agree with it or not.

use std::collections::BTreeSet;

use super::call::Rpc;
use super::cast::CALLERS;

const TABLE: &str = include_str!("../../golden/authorization.txt");

/// The cells that the table may have; its legend says what they stand for.
const CELLS: [&str; 9] = [
    "ok", "item", "cert", "unkn", "susp", "role", "resp", "own", "gate",
];

/// The table.
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Row>,
}

/// What one RPC answers each caller.
pub(crate) struct Row {
    service: &'static str,
    method: &'static str,
    cells: Vec<&'static str>,
}

impl Table {
    /// Reads the table and holds it to its form.
    pub(crate) fn read() -> Self {
        let table = parse(TABLE);
        assert_eq!(table.columns, CALLERS.map(|caller| caller.column));
        table
    }

    /// The row of an RPC.
    pub(crate) fn row(&self, rpc: &Rpc) -> Option<&Row> {
        let service = rpc.service();
        let mut rows = self.rows.iter();
        rows.find(|row| row.service == service && row.method == rpc.name())
    }

    /// The RPCs in the table, each as `service/method`.
    pub(crate) fn methods(&self) -> BTreeSet<String> {
        let names = self
            .rows
            .iter()
            .map(|row| format!("{}/{}", row.service, row.method));
        let set: BTreeSet<String> = names.collect();
        assert_eq!(set.len(), self.rows.len(), "an RPC is there twice");
        set
    }
}

impl Row {
    /// What is expected of the RPC when the caller in `column` calls it.
    pub(crate) fn cell(&self, column: &str) -> &'static str {
        let index = CALLERS.iter().position(|caller| caller.column == column);
        self.cells[index.unwrap_or_else(|| panic!("there is no column {column}"))]
    }
}

fn parse(text: &'static str) -> Table {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut lines = lines.filter(|words| !words.is_empty());
    let head = lines.next().expect("the line with the callers");
    let (_, columns) = head.split_first().unwrap();
    let mut service = "";
    let mut rows = Vec::new();
    for words in lines {
        let (first, cells) = words.split_first().unwrap();
        if cells.is_empty() {
            service = first;
            continue;
        }
        assert_eq!(cells.len(), columns.len(), "the cells of {service}/{first}");
        for cell in cells {
            assert!(CELLS.contains(cell), "{service}/{first}: {cell}");
        }
        rows.push(Row {
            service,
            method: first,
            cells: cells.to_vec(),
        });
    }
    Table {
        columns: columns.to_vec(),
        rows,
    }
}

#[test]
fn a_table_is_read_as_it_is_written() {
    let table = parse("# legend\n\nRPC none IS\n\na.v1.B\nC cert ok\nD cert role\n");
    assert_eq!(table.columns, ["none", "IS"]);
    let methods = table.methods();
    assert!(methods.iter().eq(["a.v1.B/C", "a.v1.B/D"]), "{methods:?}");
    assert_eq!(table.rows[1].cells, ["cert", "role"]);
}
