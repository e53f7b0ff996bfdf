//! Are the entries what the log `flags` says?
//!
//! Every event makes one version of the entry of its Device. So the versions of a Device are folded
//! beside the events that made them, in their order, and then each event is asked for its version. That
//! needs the memory of one page, however many Devices there are.
//!
//! What is spent of quotas goes by the clock and is in no event, and tenures are of the log `devices`:
//! neither is compared.

use mesh_api::flag_registry::v1::FlagEvent;
use mesh_store::fold::{Folded, Folding, PAGE, Unlike, Walk, found};
use mesh_store::log::{self, Head};
use mesh_store::sql::{Conn, query_as};
use mesh_store::{StoreError, sequence_from_db, sequence_to_db};
use mesh_types::LogName;
use prost::Message as _;

use super::FLAGS;
use super::rows::{EntryRow, TABLE};
use crate::flag::{Entry, Happened};
use crate::wire;

/// The versions that there were at a position, in the order of their Devices, each with the event that
/// made it.
const VERSIONS: &str = "SELECT device, from_sequence, meter, flagged, covered, hub, csp, supplier, \
     responsible_since, since, cause, state_sequence, chosen, lifts, repeats, reviews, \
     registration_epoch, registration_sequence, to_sequence, \
     (SELECT event FROM log_event WHERE log = $1 AND sequence = from_sequence) AS event \
     FROM flag_entry WHERE (device, from_sequence) > ($2, $3) AND from_sequence <= $4 \
     ORDER BY device, from_sequence LIMIT $5";

#[derive(Debug, sqlx::FromRow)]
struct VersionRow {
    #[sqlx(flatten)]
    row: EntryRow,
    to_sequence: i64,
    event: Option<Vec<u8>>,
}

/// A comparison of the entries with the log up to its head of that moment.
#[derive(Debug)]
pub struct EntryFolding {
    log: LogName,
    folded: Folded,
    /// The last version that was compared; `None` once the events are asked for theirs.
    versions: Option<(String, i64)>,
    /// What the log makes of the Device in hand so far, and up to where its version holds.
    fold: Option<(Entry, i64)>,
    /// The events, each of which is asked for its version.
    walk: Walk,
}

/// The comparison of the entries with what the log says by now.
pub async fn foldings(conn: &mut Conn) -> Result<Vec<EntryFolding>, StoreError> {
    let no_log = || StoreError::inconsistent("log_head", "the log does not exist");
    let log: LogName = FLAGS.parse().map_err(|_| no_log())?;
    let head = log::head(conn, &log).await?.ok_or_else(no_log)?;
    Ok(vec![EntryFolding::new(&head)])
}

impl EntryFolding {
    /// Up to `head`.
    #[must_use]
    pub fn new(head: &Head) -> Self {
        Self {
            log: head.position.log.clone(),
            folded: Folded::of(head),
            versions: Some((String::new(), 0)),
            fold: None,
            walk: Walk::new(head),
        }
    }

    async fn versions(&mut self, conn: &mut Conn, after: (String, i64)) -> Result<(), StoreError> {
        let rows: Vec<VersionRow> = query_as(VERSIONS)
            .bind(self.log.as_str())
            .bind(&after.0)
            .bind(after.1)
            .bind(sequence_to_db(self.folded.up_to))
            .bind(i64::from(PAGE))
            .fetch_all(conn)
            .await?;
        let last = rows.last();
        self.versions = last.map(|last| (last.row.device.clone(), last.row.from_sequence));
        for row in rows {
            self.version(row)?;
        }
        if self.versions.is_none() {
            self.end();
        }
        Ok(())
    }

    /// Compares one version with what its event makes of the one before.
    fn version(&mut self, row: VersionRow) -> Result<(), StoreError> {
        let device = row.row.device.clone();
        let from = sequence_from_db(TABLE, row.row.from_sequence)?;
        let event = row.event.and_then(|event| read(&event));
        let event = event.filter(|event| event.device.to_string() == device);
        let Some(event) = event else {
            self.folded.differs(TABLE, device, from, Unlike::Surplus);
            return Ok(());
        };
        let goes_on = |(entry, _): &(Entry, i64)| entry.device == event.device;
        if self.fold.as_ref().is_some_and(|fold| !goes_on(fold)) {
            self.end();
        }
        let before = self.fold.take();
        if let Some((before, to)) = &before
            && *to != row.row.from_sequence
        {
            let sequence = before.last_sequence;
            let unlike = Unlike::Column("to_sequence");
            self.folded.differs(TABLE, &device, sequence, unlike);
        }
        let mut expected = Entry::after(before.as_ref().map(|(entry, _)| entry), event);
        match row.row.read() {
            Err(_) => {
                let unlike = Unlike::Column("what is no value of it");
                self.folded.differs(TABLE, device, from, unlike);
            }
            Ok(found) => {
                // Versions from before this column have their `since` there.
                if found.chosen == found.since {
                    expected.chosen = found.chosen;
                }
                match other_column(&expected, &found) {
                    None => self.folded.fit += 1,
                    Some(column) => {
                        let unlike = Unlike::Column(column);
                        self.folded.differs(TABLE, device, from, unlike);
                    }
                }
            }
        }
        self.fold = Some((expected, row.to_sequence));
        Ok(())
    }

    /// The last version of a Device holds at the position that everything is compared at.
    fn end(&mut self) {
        let Some((entry, to)) = self.fold.take() else {
            return;
        };
        if to <= sequence_to_db(self.folded.up_to) {
            let key = entry.device.to_string();
            let unlike = Unlike::Column("to_sequence");
            self.folded.differs(TABLE, key, entry.last_sequence, unlike);
        }
    }

    /// Asks a page of events for the versions that they made. Says whether there are more.
    async fn events(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        let events = self.walk.page(conn, read).await?;
        let asked = events.iter().map(|(sequence, event)| {
            let device = event.device.to_string();
            ([device], *sequence)
        });
        let asked: Vec<_> = asked.collect();
        let found = found(conn, TABLE, ["device"], "from_sequence", &asked).await?;
        for ([device], sequence) in asked {
            if !found.contains(&sequence) {
                self.folded
                    .differs(TABLE, device, sequence, Unlike::Missing);
            }
        }
        Ok(self.walk.has_more())
    }
}

impl Folding for EntryFolding {
    async fn page(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        match self.versions.take() {
            Some(after) => {
                self.versions(conn, after).await?;
                Ok(true)
            }
            None => self.events(conn).await,
        }
    }

    fn folded(self) -> Folded {
        self.folded
    }
}

fn read(event: &[u8]) -> Option<Happened> {
    wire::happened(&FlagEvent::decode(event).ok()?)
}

/// The first column in which two versions of an entry differ.
fn other_column(one: &Entry, other: &Entry) -> Option<&'static str> {
    let (here, there) = (&one.standing, &other.standing);
    let columns = [
        ("meter", one.meter == other.meter),
        ("flagged", here.flagged == there.flagged),
        ("covered", here.covered == there.covered),
        ("hub", here.hub == there.hub),
        ("csp", here.csp == there.csp),
        ("supplier", here.supplier == there.supplier),
        (
            "responsible_since",
            one.responsible_since == other.responsible_since,
        ),
        ("since", one.since == other.since),
        ("cause", one.cause == other.cause),
        ("state_sequence", one.state_sequence == other.state_sequence),
        ("chosen", one.chosen == other.chosen),
        ("reviews", one.reviews == other.reviews),
        ("registration_sequence", one.rests_on == other.rests_on),
    ];
    columns
        .into_iter()
        .find(|(_, same)| !same)
        .map(|(column, _)| column)
}
