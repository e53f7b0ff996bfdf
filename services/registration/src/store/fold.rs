//! Are the rows of parties, Devices and registrations what the logs say?
//!
//! An event that records something made one row, whose values are those in the event, and ended the row
//! before it. So each row is compared with its event, and then each event is asked for its row. That needs
//! the memory of one page, however many Devices there are.
//!
//! Two tables are not compared: identities, which repeat what stands in the rows of parties, and what is
//! due, which a settled instant leaves without a trace in the log.

use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_event::Change;
use mesh_store::fold::{Folded, Folding, PAGE, Unlike, Walk, found};
use mesh_store::log::{self, Head};
use mesh_store::sql::{Conn, QueryBuilder};
use mesh_store::{StoreError, sequence_from_db, sequence_to_db};
use mesh_types::{LogName, Sequence};
use prost::Message as _;

use super::rows::{DeviceRow, PartyRow, RegistrationRow, Row};
use super::{Logs, no_log};
use crate::wire::{device_to_wire, party_to_wire, registration_to_wire};

/// What an event does to a row: it makes one with a value, or only ends the one that is there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Made {
    key: String,
    value: Option<Value>,
}

/// A row's values, as events have them.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Party(wire::Party),
    Device(Box<wire::Device>),
    Registration(wire::Registration),
}

/// A table that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Parties,
    Devices,
    Registrations,
}

/// A comparison of one table with its log up to the log's head of that moment.
#[derive(Debug)]
pub(crate) struct RowFolding {
    table: Table,
    log: LogName,
    folded: Folded,
    /// The last row that was compared; `None` once the events are asked for theirs.
    rows: Option<(String, i64)>,
    /// The row before: its key, its event, and up to where it holds.
    before: Option<(String, Sequence, i64)>,
    /// The events, each of which is asked for its row.
    walk: Walk,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Parties => "party",
            Self::Devices => "device",
            Self::Registrations => "registration",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Parties => "party_id",
            Self::Devices => "device_id",
            Self::Registrations => "registration_id",
        }
    }

    /// What an event does to a row of this table; the outer `None` if the event is malformed.
    fn made(self, event: &[u8]) -> Option<Option<Made>> {
        if self == Self::Parties {
            let party = wire::PartyEvent::decode(event).ok()?.party?;
            let key = party.party_id.clone();
            let value = Some(Value::Party(party));
            return Some(Some(Made { key, value }));
        }
        let change = wire::DeviceEvent::decode(event).ok()?.change?;
        Some(match (self, change) {
            (Self::Devices, Change::DeviceRecorded(recorded)) => {
                let device = recorded.device?;
                Some(Made {
                    key: device.device_id.clone(),
                    value: Some(Value::Device(Box::new(device))),
                })
            }
            (Self::Registrations, Change::RegistrationRecorded(recorded)) => {
                let registration = recorded.registration?;
                Some(Made {
                    key: registration.registration_id.clone(),
                    value: Some(Value::Registration(registration)),
                })
            }
            (Self::Registrations, Change::RegistrationWithdrawn(withdrawn)) => Some(Made {
                key: withdrawn.registration?.registration_id,
                value: None,
            }),
            _ => None,
        })
    }

    fn read(self, row: &mesh_store::sql::Row) -> Result<Value, StoreError> {
        Ok(match self {
            Self::Parties => {
                let party = row.read::<PartyRow>()?.read()?;
                Value::Party(party_to_wire(&party.value, party.since))
            }
            Self::Devices => {
                let device = row.read::<DeviceRow>()?.read()?;
                Value::Device(Box::new(device_to_wire(&device.value, device.since)))
            }
            Self::Registrations => {
                let registration = row.read::<RegistrationRow>()?.read()?;
                Value::Registration(registration_to_wire(&registration.value))
            }
        })
    }
}

/// The comparisons of the rows of parties, Devices and registrations with what the logs say by now.
pub async fn foldings(conn: &mut Conn) -> Result<Vec<impl Folding + use<>>, StoreError> {
    let Logs { parties, devices } = Logs::new()?;
    let mut heads = async |log| log::head(conn, log).await?.ok_or_else(no_log);
    let (parties, devices) = (heads(&parties).await?, heads(&devices).await?);
    Ok(vec![
        RowFolding::new(Table::Parties, &parties),
        RowFolding::new(Table::Devices, &devices),
        RowFolding::new(Table::Registrations, &devices),
    ])
}

impl RowFolding {
    /// Of `table`, up to `head` of its log.
    #[must_use]
    pub(crate) fn new(table: Table, head: &Head) -> Self {
        Self {
            table,
            log: head.position.log.clone(),
            folded: Folded::of(head),
            rows: Some((String::new(), 0)),
            before: None,
            walk: Walk::new(head),
        }
    }

    async fn rows(&mut self, conn: &mut Conn, after: (String, i64)) -> Result<(), StoreError> {
        let key = self.table.key();
        let event = "(SELECT event FROM log_event WHERE log = ";
        let mut query = QueryBuilder::new("SELECT t.*, t.");
        query.push(key).push(" AS row_key, ");
        query.push(event).push_bind(self.log.as_str());
        query.push(" AND sequence = t.from_sequence) AS maker, ");
        query.push(event).push_bind(self.log.as_str());
        query.push(" AND sequence = t.to_sequence) AS ender FROM ");
        query.push(self.table.name()).push(" AS t WHERE (t.");
        query.push(key).push(", t.from_sequence) > (");
        query.push_bind(&after.0).push(", ").push_bind(after.1);
        query.push(") AND t.from_sequence <= ");
        query.push_bind(sequence_to_db(self.folded.up_to));
        query.push(" ORDER BY t.").push(key);
        query
            .push(", t.from_sequence LIMIT ")
            .push_bind(i64::from(PAGE));
        let rows = query.build().fetch_all(conn).await?;
        self.rows = None;
        for row in &rows {
            self.rows = Some((row.try_get("row_key")?, row.try_get("from_sequence")?));
            self.row(row)?;
        }
        Ok(())
    }

    /// Compares one row with the event that made it, and its end with the one that ended it.
    fn row(&mut self, row: &mesh_store::sql::Row) -> Result<(), StoreError> {
        let table = self.table;
        let key: String = row.try_get("row_key")?;
        let from: i64 = row.try_get("from_sequence")?;
        let to: i64 = row.try_get("to_sequence")?;
        let at = sequence_from_db(table.name(), from)?;
        let event = |column| -> Result<Option<Made>, StoreError> {
            let event: Option<Vec<u8>> = row.try_get(column)?;
            let made = event.and_then(|event| table.made(&event)).flatten();
            Ok(made.filter(|made| made.key == key))
        };
        let Some(expected) = event("maker")?.and_then(|made| made.value) else {
            self.folded.differs(table.name(), key, at, Unlike::Surplus);
            return Ok(());
        };
        if let Some((before, since, until)) = self.before.take()
            && before == key
            && until != from
        {
            let unlike = Unlike::Column("to_sequence");
            self.folded.differs(table.name(), before, since, unlike);
        }
        let unlike = match table.read(row) {
            Err(_) => Some("what is no value of it"),
            Ok(found) => other_column(&expected, &found),
        };
        let is_over = to <= sequence_to_db(self.folded.up_to);
        let unlike = match unlike {
            None if is_over && event("ender")?.is_none() => Some("to_sequence"),
            unlike => unlike,
        };
        match unlike {
            None => self.folded.fit += 1,
            Some(column) => {
                let unlike = Unlike::Column(column);
                self.folded.differs(table.name(), key.clone(), at, unlike);
            }
        }
        self.before = Some((key, at, to));
        Ok(())
    }

    /// Asks a page of events for the rows that they made or ended. Says whether there are more.
    async fn events(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        let table = self.table;
        let events = self.walk.page(conn, |event| table.made(event)).await?;
        for (column, makes) in [("from_sequence", true), ("to_sequence", false)] {
            let those = events.iter().filter_map(|(sequence, made)| {
                let made = made.as_ref()?;
                let is_one = made.value.is_some() == makes;
                is_one.then(|| ([made.key.clone()], *sequence))
            });
            let those: Vec<_> = those.collect();
            let found = found(conn, table.name(), [table.key()], column, &those).await?;
            for ([key], sequence) in those {
                if !found.contains(&sequence) {
                    let unlike = if makes {
                        Unlike::Missing
                    } else {
                        Unlike::Column("to_sequence")
                    };
                    self.folded.differs(table.name(), key, sequence, unlike);
                }
            }
        }
        Ok(self.walk.has_more())
    }
}

impl Folding for RowFolding {
    async fn page(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        match self.rows.take() {
            Some(after) => {
                self.rows(conn, after).await?;
                Ok(true)
            }
            None => self.events(conn).await,
        }
    }

    fn folded(self) -> Folded {
        self.folded
    }
}

/// The first column in which two rows differ.
fn other_column(one: &Value, other: &Value) -> Option<&'static str> {
    let columns: Vec<(&str, bool)> = match (one, other) {
        (Value::Device(one), Value::Device(other)) => vec![
            ("device_type", one.r#type == other.r#type),
            ("smets_major", one.smets_version == other.smets_version),
            ("smi_status", one.smi_status == other.smi_status),
            (
                "smi_status_time",
                one.smi_status_time == other.smi_status_time,
            ),
            (
                "hub_id",
                one.communications_hub_id == other.communications_hub_id,
            ),
            ("csp_id", one.csp_id == other.csp_id),
            (
                "gpf_id",
                one.gas_proxy_function_id == other.gas_proxy_function_id,
            ),
            ("import_mpan", one.import_mpan == other.import_mpan),
            (
                "secondary_import_mpan",
                one.secondary_import_mpan == other.secondary_import_mpan,
            ),
            ("export_mpan", one.export_mpan == other.export_mpan),
            ("mprn", one.mprn == other.mprn),
            (
                "site_exceptions",
                one.site_exceptions == other.site_exceptions,
            ),
        ],
        (Value::Registration(one), Value::Registration(other)) => vec![
            ("mpxn", one.mpxn == other.mpxn),
            ("party_id", one.party_id == other.party_id),
            ("start_time", one.start_time == other.start_time),
            ("end_time", one.end_time == other.end_time),
        ],
        (one, other) => vec![("record", one == other)],
    };
    let other = columns.into_iter().find(|(_, same)| !same);
    other.map(|(column, _)| column)
}
