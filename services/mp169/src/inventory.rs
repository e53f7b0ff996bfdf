//! How are rows of CSV read as rows of inventory?

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use csv::{ReaderBuilder, StringRecord, Trim};
use mesh_api::authorization::v1::Role;
use mesh_api::common::v1::DeviceType;
use mesh_api::registration::v1::inventory_row::Row;
use mesh_api::registration::v1::{self as wire, SiteException, SmiStatus};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::value::{device, enum_value, time};

/// Where a row stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file.
    pub(crate) file: PathBuf,
    /// The line in it, from 1.
    pub(crate) line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

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

/// A row of a file, as its columns have it.
trait Columns: DeserializeOwned {
    fn read(self) -> Result<Row, String>;
}

impl Inventory {
    /// Reads the files.
    ///
    /// # Errors
    /// If a file cannot be opened, or its header names neither Devices nor registrations nor
    /// parties.
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
        let text = std::fs::read(file)?;
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
        let mut lines = Lines::of(text);
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text);
        let header = reader.headers()?.clone();
        let names = |column: &str| header.iter().any(|name| name == column);
        let read = if names("device_id") {
            row::<DeviceColumns>
        } else if names("mpxn") {
            row::<RegistrationColumns>
        } else if names("entity_id") {
            row::<PartyColumns>
        } else {
            bail!(
                "its header has neither device_id nor mpxn nor entity_id; `mp169 device load --help` lists the columns"
            )
        };
        for record in reader.records() {
            let (at, read) = match record {
                Ok(record) => (record.position().cloned(), read(&record, &header)),
                Err(error) => (error.position().cloned(), Err(unreadable(&error))),
            };
            let place = Place {
                file: file.to_owned(),
                line: lines.at(at.map_or(0, |at| at.byte())),
            };
            let added = read.and_then(|row| self.add(&place, row));
            if let Err(problem) = added {
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
                return Err(format!("party_id {id:?}: {first} says otherwise of it"));
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

fn row<C: Columns>(record: &StringRecord, header: &StringRecord) -> Result<Row, String> {
    let columns: C = record
        .deserialize(Some(header))
        .map_err(|error| unreadable(&error))?;
    columns.read()
}

/// Without the place, which is told beside it.
fn unreadable(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("it has {len} columns, and the header has {expected_len}")
        }
        _ => error.to_string(),
    }
}

/// Counts lines up to records. The reader's own count is behind where lines end with CR LF or are
/// empty.
struct Lines<'a> {
    text: &'a [u8],
    line: u64,
    at: usize,
}

impl<'a> Lines<'a> {
    const fn of(text: &'a [u8]) -> Self {
        Self {
            text,
            line: 1,
            at: 0,
        }
    }

    /// The line of the record that the reader found from `byte` on; later ones are asked for later.
    fn at(&mut self, byte: u64) -> u64 {
        let rest = usize::try_from(byte)
            .ok()
            .and_then(|byte| self.text.get(byte..));
        let rest = rest.unwrap_or_default();
        let ends = rest.iter().take_while(|octet| b"\r\n".contains(octet));
        let start = self.text.len() - rest.len() + ends.count();
        let passed = self.text.get(self.at..start).unwrap_or_default();
        self.line += passed
            .iter()
            .map(|octet| u64::from(*octet == b'\n'))
            .sum::<u64>();
        self.at = start;
        self.line
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DeviceColumns {
    device_id: String,
    r#type: String,
    smets_version: String,
    smi_status: String,
    smi_status_time: String,
    communications_hub_id: String,
    csp_id: String,
    gas_proxy_function_id: String,
    import_mpan: String,
    secondary_import_mpan: String,
    export_mpan: String,
    mprn: String,
    site_exceptions: String,
}

impl Columns for DeviceColumns {
    fn read(self) -> Result<Row, String> {
        let exceptions = words(&self.site_exceptions).map(|word| {
            one_of(
                "site_exceptions",
                word,
                "SITE_EXCEPTION_",
                SiteException::from_str_name,
            )
        });
        let status = optional(&self.smi_status, |text| {
            one_of("smi_status", text, "SMI_STATUS_", SmiStatus::from_str_name)
        })?;
        Ok(Row::Device(wire::Device {
            device_id: id("device_id", &self.device_id)?,
            r#type: one_of(
                "type",
                &self.r#type,
                "DEVICE_TYPE_",
                DeviceType::from_str_name,
            )?
            .into(),
            smets_version: optional(&self.smets_version, smets_version)?,
            smi_status: status.unwrap_or_default().into(),
            smi_status_time: instant("smi_status_time", &self.smi_status_time)?,
            communications_hub_id: optional(&self.communications_hub_id, |text| {
                id("communications_hub_id", text)
            })?
            .unwrap_or_default(),
            csp_id: self.csp_id,
            gas_proxy_function_id: optional(&self.gas_proxy_function_id, |text| {
                id("gas_proxy_function_id", text)
            })?
            .unwrap_or_default(),
            import_mpan: self.import_mpan,
            secondary_import_mpan: self.secondary_import_mpan,
            export_mpan: self.export_mpan,
            mprn: self.mprn,
            site_exceptions: exceptions
                .map(|exception| exception.map(i32::from))
                .collect::<Result<_, _>>()?,
            etag: String::new(),
        }))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistrationColumns {
    mpxn: String,
    party_id: String,
    start_time: String,
    #[serde(default)]
    end_time: String,
}

impl Columns for RegistrationColumns {
    fn read(self) -> Result<Row, String> {
        Ok(Row::Registration(wire::Registration {
            registration_id: String::new(),
            mpxn: self.mpxn,
            party_id: self.party_id,
            start_time: instant("start_time", &self.start_time)?,
            end_time: instant("end_time", &self.end_time)?,
        }))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartyColumns {
    party_id: String,
    name: String,
    entity_id: String,
    roles: String,
    #[serde(default)]
    csp_id: String,
    #[serde(default)]
    acts_for: String,
}

impl Columns for PartyColumns {
    fn read(self) -> Result<Row, String> {
        let roles = words(&self.roles)
            .map(|word| one_of("roles", word, "ROLE_", Role::from_str_name).map(i32::from));
        let identity = wire::PartyIdentity {
            entity_id: id("entity_id", &self.entity_id)?,
            roles: roles.collect::<Result<_, _>>()?,
        };
        Ok(Row::Party(wire::Party {
            party_id: self.party_id,
            name: self.name,
            identities: vec![identity],
            csp_id: self.csp_id,
            acts_for: words(&self.acts_for).map(str::to_owned).collect(),
            ..Default::default()
        }))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

fn optional<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    (!text.is_empty()).then(|| read(text)).transpose()
}

fn id(column: &str, text: &str) -> Result<String, String> {
    match device(text) {
        Ok(id) => Ok(id.to_string()),
        Err(problem) => Err(format!("{column} {text:?}: {problem}")),
    }
}

fn instant(column: &str, text: &str) -> Result<Option<prost_types::Timestamp>, String> {
    optional(text, time).map_err(|problem| format!("{column} {text:?}: {problem}"))
}

fn one_of<E>(
    column: &str,
    text: &str,
    prefix: &str,
    read: fn(&str) -> Option<E>,
) -> Result<E, String> {
    enum_value(text, prefix, read)
        .ok_or_else(|| format!("{column} {text:?}: there is none of that name"))
}

/// Reads a version such as 2.0.
pub(crate) fn smets_version(text: &str) -> Result<wire::SmetsVersion, String> {
    let numbers = text.split_once('.').and_then(|(major, minor)| {
        Some(wire::SmetsVersion {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    });
    numbers.ok_or_else(|| format!("{text:?}: a version is written as 2.0"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mesh_testkit::temp_dir;

    use super::*;

    fn read(text: &str) -> Result<Inventory> {
        let folder = temp_dir();
        let file = folder.path().join("rows.csv");
        fs::write(&file, text).unwrap();
        Inventory::read(&[file])
    }

    fn problems(text: &str) -> Vec<(u64, String)> {
        let inventory = read(text).unwrap();
        let problems = inventory.problems.into_iter();
        problems.map(|(place, text)| (place.line, text)).collect()
    }

    #[test]
    fn the_examples_are_ten_devices_in_an_order_that_can_be_loaded() {
        let files = ["registrations.csv", "parties.csv", "devices.csv"];
        let files = files.map(|file| format!("../../examples/inventory/{file}").into());
        let inventory = Inventory::read(&files).unwrap();
        assert_eq!(inventory.problems, []);
        let ranks: Vec<u8> = inventory.rows.iter().map(|(_, row)| rank(row)).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        let devices = ranks.iter().filter(|rank| (1..=3).contains(*rank));
        assert_eq!(devices.count(), 10);
    }

    #[test]
    fn a_row_is_read_whatever_program_wrote_it() {
        let text = "\u{FEFF}site_exceptions,type, device_id ,smets_version\r\n\
            \"radio-teleswitch ECONOMY_7_OR_SIMILAR\",esme,02dcc100000001e0,2.0\r\n";
        let inventory = read(text).unwrap();
        assert_eq!(inventory.problems, []);
        let [(place, Row::Device(device))] = inventory.rows.as_slice() else {
            panic!("{inventory:?}");
        };
        assert_eq!(place.line, 2);
        assert_eq!(device.device_id, "02-DC-C1-00-00-00-01-E0");
        assert_eq!(device.r#type(), DeviceType::Esme);
        assert_eq!(device.site_exceptions, [2, 1]);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line_and_its_column() {
        let wrong = problems(
            "device_id,type,smi_status_time\n\
             02-DC-C1-00-00-00-01-E0,TOASTER,\n\
             02-DC-C1-00-00-00-01-E0,ESME,yesterday\n\
             \n\
             E0,ESME,\n\
             02-DC-C1-00-00-00-01-E0\n",
        );
        let lines: Vec<u64> = wrong.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 5, 6], "{wrong:?}");
        for ((_, text), column) in wrong.iter().zip(["type", "smi_status_time", "device_id"]) {
            assert!(text.starts_with(column), "{text}");
        }
        let unknown = problems("device_id,colour\n02-DC-C1-00-00-00-01-E0,red\n");
        assert!(unknown[0].1.contains("colour"), "{unknown:?}");
    }

    #[test]
    fn a_file_that_is_none_of_the_three_kinds_is_refused_with_its_name() {
        let error = format!("{:#}", read("name,colour\nmeter,red\n").unwrap_err());
        assert!(
            error.contains("rows.csv") && error.contains("mpxn"),
            "{error}"
        );
    }

    #[test]
    fn rows_of_one_party_are_its_identities_wherever_they_stand() {
        let inventory = read(
            "party_id,name,entity_id,roles\n\
             ACME,Acme,02-00-00-00-00-00-00-01,IMPORT_SUPPLIER\n\
             ACME,Acme,02-00-00-00-00-00-00-02,GAS_SUPPLIER\n\
             OTHER,Other,02-00-00-00-00-00-00-03,OTHER_USER\n\
             ACME,Acme,02-00-00-00-00-00-00-04,EXPORT_SUPPLIER\n",
        );
        let rows = inventory.unwrap().rows;
        let identities = rows.iter().map(|(_, row)| match row {
            Row::Party(party) => party.identities.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(identities.collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn rows_of_one_party_that_contradict_each_other_are_told() {
        let wrong = problems(
            "party_id,name,entity_id,roles\n\
             ACME,Acme,02-00-00-00-00-00-00-01,IMPORT_SUPPLIER\n\
             ACME,Acme Gas,02-00-00-00-00-00-00-02,GAS_SUPPLIER\n",
        );
        let [(3, problem)] = wrong.as_slice() else {
            panic!("{wrong:?}");
        };
        assert!(problem.starts_with("party_id"), "{problem}");
    }
}
