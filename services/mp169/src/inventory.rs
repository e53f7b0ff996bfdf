//! How are files of CSV read as rows of inventory, in an order in which they can be loaded?

mod columns;
#[cfg(test)]
mod tests;
mod words;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mesh_api::common::v1::DeviceType;
use mesh_api::registration::v1::inventory_row::Row;

use self::columns::KINDS;
use crate::lines::Place;
use crate::table::{Table, quoted};

pub(crate) use words::{named, version as smets_version};

/// What was read of files.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// The rows in the order in which they can be loaded, and where each stands.
    pub(crate) rows: Vec<(Place, Row)>,
    /// What could not be read, and where.
    pub(crate) problems: Vec<(Place, String)>,
    /// Which row is that of a party, while files are read.
    parties: HashMap<String, usize>,
}

impl Inventory {
    /// Reads the files.
    ///
    /// # Errors
    /// If a file cannot be opened. What is wrong in it is among the problems.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self> {
        let mut inventory = Self::default();
        for file in files {
            inventory
                .read_file(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
        }
        inventory.rows.sort_by_key(|(_, row)| rank(row));
        Ok(inventory)
    }

    fn read_file(&mut self, file: &Path) -> Result<()> {
        let octets = std::fs::read(file)?;
        let place = |line| Place {
            file: file.to_owned(),
            line,
        };
        let columns = KINDS.map(|kind| kind.columns);
        let (kind, table) = match Table::read(&octets, &columns, "mp169 device load --help") {
            Ok(read) => read,
            Err((line, problem)) => {
                self.problems.push((place(line), problem));
                return Ok(());
            }
        };
        for (line, row) in &table.rows {
            let place = place(*line);
            let read = row.as_ref().map_err(Clone::clone);
            let read = read.and_then(|row| (KINDS[kind].read)(&table.cells(row)));
            if let Err(problem) = read.and_then(|row| self.add(&place, row)) {
                self.problems.push((place, problem));
            }
        }
        Ok(())
    }

    /// Rows of one party, wherever they stand, give it several identities: a second record of it would
    /// take away those of the first.
    fn add(&mut self, place: &Place, row: Row) -> Result<(), String> {
        let Row::Party(party) = row else {
            self.rows.push((place.clone(), row));
            return Ok(());
        };
        let known = self.parties.get(&party.party_id);
        if let Some((first, Row::Party(known))) = known.and_then(|&row| self.rows.get_mut(row)) {
            if (&known.name, &known.csp_id, &known.acts_for)
                != (&party.name, &party.csp_id, &party.acts_for)
            {
                let id = &party.party_id;
                return Err(format!(
                    "party_id {}: {first} says otherwise of it",
                    quoted(id)
                ));
            }
            known.identities.extend(party.identities);
            return Ok(());
        }
        self.parties.insert(party.party_id.clone(), self.rows.len());
        self.rows.push((place.clone(), Row::Party(party)));
        Ok(())
    }
}

/// What others name comes before them: parties, hubs, GPFs.
fn rank(row: &Row) -> u8 {
    match row {
        Row::Party(_) => 0,
        Row::Device(device) => match device.r#type() {
            DeviceType::Chf => 1,
            DeviceType::Gpf => 2,
            _ => 3,
        },
        Row::Registration(_) => 4,
    }
}
