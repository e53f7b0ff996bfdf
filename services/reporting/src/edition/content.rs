//! What does the text of an edition look like?
//!
//! Lines that end with a line feed, in ASCII. The first lines say what the edition is of; then comes the
//! business process of each variant, a line for each count, sorted, and at the end how many lines the list of
//! Devices has and their hash: the list itself says of Devices that they were flagged.
//!
//! ```text
//! mp169-edition 1
//! month 2026-11 Europe/London
//! from 2026-11-01T00:00:00Z
//! until 2026-12-01T00:00:00Z
//! restatement 0
//! business-processes 2026.11.1
//! process 4.8.1 billing-reads
//! requests ALBION 4.8.1 CONSUMPTION SCHEDULED SUCCEEDED 1200 3
//! devices 2 4f5c…
//! ```
//!
//! A line of `requests` has supplier, variant, class, who started them, how they ended, how many there are and
//! how many of these are excepted. A line of the list of Devices has Device, supplier, variant, and how many of
//! its excepted requests were suppressed, failed and were delivered.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mesh_api::common::v1::MessageClass;
use mesh_api::reporting::v1 as wire;
use mesh_types::{PartyId, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::business_process::ProcessKey;
use crate::exception::{Excepted, ExceptedKey};
use crate::outcome::{Ending, Origin, Variant};
use crate::period::Period;

/// What is counted together in an edition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentRow {
    /// The supplier.
    pub party: PartyId,
    /// The variant.
    pub variant: Variant,
    /// The number of the class; one that is newer than this build is kept.
    pub class: i32,
    /// Who started them.
    pub origin: Origin,
    /// How they ended.
    pub ending: Ending,
}

/// All that an edition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The month.
    pub period: Period,
    /// 0 is the closed report.
    pub restatement: u32,
    /// The version of the rules.
    pub rules: String,
    /// The version of the table of business processes.
    pub business_processes: String,
    /// The business process of each variant that occurs.
    pub processes: BTreeMap<Variant, ProcessKey>,
    /// How many requests there are of each, and how many of these are excepted.
    pub requests: BTreeMap<ContentRow, (u64, u64)>,
    /// The list of Devices.
    pub devices: Digest,
}

/// The lines of the list of Devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digest {
    lines: u64,
    hash: Sha256Of,
}

#[derive(Clone, Default)]
struct Sha256Of(Sha256);

impl Content {
    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text)
            .expect("a String takes whatever is written");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Period { month, zone } = self.period;
        let interval = self.period.interval();
        writeln!(text, "mp169-edition {}", self.rules)?;
        writeln!(text, "month {month} {}", zone.name())?;
        writeln!(text, "from {}", instant(interval.start()))?;
        writeln!(text, "until {}", instant(interval.end()))?;
        writeln!(text, "restatement {}", self.restatement)?;
        writeln!(text, "business-processes {}", self.business_processes)?;
        for (variant, process) in &self.processes {
            writeln!(text, "process {variant} {process}")?;
        }
        for (row, (requests, excepted)) in &self.requests {
            let ContentRow {
                party,
                variant,
                class,
                origin,
                ending,
            } = row;
            let (class, origin, ending) =
                (class_name(*class), name_of(*origin), ending_of(*ending));
            writeln!(
                text,
                "requests {party} {variant} {class} {origin} {ending} {requests} {excepted}"
            )?;
        }
        let Digest { lines, hash } = &self.devices;
        writeln!(text, "devices {lines} {}", hash.hex())
    }

    /// The hash of the text, in hexadecimal.
    #[must_use]
    pub fn sha256(text: &str) -> String {
        hex::encode(Sha256::digest(text.as_bytes()))
    }
}

impl Digest {
    /// Adds the next line.
    pub fn add(&mut self, (device, party, variant): &ExceptedKey, excepted: Excepted) {
        let Excepted {
            suppressed,
            failed,
            delivered,
        } = excepted;
        let line = format!("{device} {party} {variant} {suppressed} {failed} {delivered}\n");
        self.hash.0.update(line.as_bytes());
        self.lines += 1;
    }
}

impl Sha256Of {
    fn hex(&self) -> String {
        hex::encode(self.0.clone().finalize())
    }
}

impl PartialEq for Sha256Of {
    fn eq(&self, other: &Self) -> bool {
        self.hex() == other.hex()
    }
}

impl Eq for Sha256Of {}

impl std::fmt::Debug for Sha256Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.hex())
    }
}

/// In UTC, without fractions: months begin at whole seconds.
fn instant(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.micros())
        .map_or_else(|_| "never".to_owned(), |at| at.to_string())
}

/// The name in the contract without what all of its enum begin with.
fn class_name(number: i32) -> String {
    match MessageClass::try_from(number) {
        Ok(class) => bare(class.as_str_name(), "MESSAGE_CLASS_"),
        Err(_) => number.to_string(),
    }
}

fn name_of(origin: Origin) -> String {
    let origin = wire::OutcomeOrigin::try_from(origin.number()).unwrap_or_default();
    bare(origin.as_str_name(), "OUTCOME_ORIGIN_")
}

fn ending_of(ending: Ending) -> String {
    let result = wire::OutcomeResult::try_from(ending.number()).unwrap_or_default();
    bare(result.as_str_name(), "OUTCOME_RESULT_")
}

fn bare(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::period::Zone;

    /// Whoever has an old text must be able to read it: the form changes with its version only.
    #[test]
    fn the_text_is_this_and_no_other() {
        let variant = |text: &str| text.parse::<Variant>().unwrap();
        let row = |class, ending| ContentRow {
            party: "ALBION".parse().unwrap(),
            variant: variant("4.8.1"),
            class,
            origin: Origin::Scheduled,
            ending,
        };
        let mut devices = Digest::default();
        let device = "00-DB-12-34-56-78-90-A0".parse().unwrap();
        let key = (device, "ALBION".parse().unwrap(), variant("4.8.1"));
        let excepted = Excepted {
            suppressed: 1,
            failed: 0,
            delivered: 2,
        };
        devices.add(&key, excepted);
        let content = Content {
            period: Period {
                month: "2026-06".parse().unwrap(),
                zone: Zone::London,
            },
            restatement: 1,
            rules: "1".to_owned(),
            business_processes: "2026.11.1".to_owned(),
            processes: [(variant("4.8.1"), "billing-reads".parse().unwrap())].into(),
            requests: [
                (row(1, Ending::Succeeded), (7, 2)),
                (row(99, Ending::Suppressed), (1, 0)),
            ]
            .into(),
            devices,
        };
        let line = "00-DB-12-34-56-78-90-A0 ALBION 4.8.1 1 0 2\n";
        let expected = format!(
            "mp169-edition 1\nmonth 2026-06 Europe/London\nfrom 2026-05-31T23:00:00Z\n\
             until 2026-06-30T23:00:00Z\nrestatement 1\nbusiness-processes 2026.11.1\n\
             process 4.8.1 billing-reads\n\
             requests ALBION 4.8.1 CONSUMPTION SCHEDULED SUCCEEDED 7 2\n\
             requests ALBION 4.8.1 99 SCHEDULED SUPPRESSED 1 0\n\
             devices 1 {}\n",
            Content::sha256(line)
        );
        assert_eq!(content.text(), expected);
    }
}
