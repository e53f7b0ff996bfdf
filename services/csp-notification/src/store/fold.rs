//! Are the rows of this service what the CSPs' logs say?
//!
//! An event that says "reduced" made the row of its Device that holds from then on; any event about a
//! Device ended the row that held. So each row is compared with the events that made and ended it, and
//! then each event is asked for its row, and whether a row holds on across it. That needs the memory of one
//! page, however many Devices there are, and of a CSP's resyncs, each of which an operator has caused.
//!
//! What was sent and acknowledged is in no event; it lies within the log. A comparison that found no
//! difference left no event either. Of `delivery_count`, which is made of acknowledgements, it is only looked
//! whether it has no more changes than were acknowledged: what an older version took, it lacks.

use mesh_api::convert::{position_from_wire, timestamp_from_wire};
use mesh_api::csp_notification::v1::{CauseClass, CspFlagChange, CspFlagState};
use mesh_store::fold::{Folded, Folding, PAGE, Unlike, Walk, found};
use mesh_store::log::{self, Head};
use mesh_store::sql::{Conn, query_as};
use mesh_store::{CURRENT, StoreError, sequence_from_db};
use mesh_types::{CspId, Position, Sequence};
use prost::Message as _;

use super::promptness::DELIVERIES;
use super::rows::{self, REDUCED, RESYNC, ReducedColumns, ResyncRow, SUBSCRIPTION};
use crate::project::{Reduced, Told};
use crate::promptness;
use crate::subscription::log_of;

/// The rows of a CSP in the order of their Devices, each with the events that made and ended it.
const ROWS: &str = "SELECT csp, device, from_sequence, to_sequence, device_type, covered, hub, \
     since_time, \
     (SELECT event FROM log_event WHERE log = $1 AND sequence = from_sequence) AS maker, \
     (SELECT event FROM log_event WHERE log = $1 AND sequence = to_sequence) AS ender \
     FROM reduced_device WHERE csp = $2 AND (device, from_sequence) > ($3, $4) \
     ORDER BY device, from_sequence LIMIT $5";

/// Up to where a CSP's changes were sent, are there and are acknowledged, and how many were counted as
/// acknowledged: in one statement, because all of them move.
const BESIDE: &str = "SELECT (SELECT sent FROM subscription WHERE csp = $1), \
     (SELECT sequence FROM log_head WHERE log = $2), \
     COALESCE((SELECT acknowledged FROM subscription WHERE csp = $1), 0), \
     CAST(COALESCE((SELECT SUM(changes) FROM delivery_count WHERE csp = $1 AND stage = $3), 0) AS BIGINT)";

type Beside = (Option<i64>, Option<i64>, i64, i64);

#[derive(Debug, sqlx::FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    columns: ReducedColumns,
    maker: Option<Vec<u8>>,
    ender: Option<Vec<u8>>,
}

/// A comparison of one CSP's rows with its log up to the log's head of that moment.
#[derive(Debug)]
pub(crate) struct CspFolding {
    csp: CspId,
    folded: Folded,
    stage: Stage,
    walk: Option<Walk>,
    resyncs: Vec<ResyncRow>,
    /// The row before: its Device, up to where it holds, and what it holds by the log.
    before: Option<(String, i64, Reduced)>,
}

/// What is compared next.
#[derive(Debug)]
enum Stage {
    /// The subscription, and the resyncs.
    Beside,
    /// The rows after this one.
    Rows(String, i64),
    /// The events.
    Events,
}

/// An event of a CSP's log.
#[derive(Debug)]
struct Event {
    told: Told,
    /// What it rests on.
    flags: Position,
}

/// Of every CSP that has a log, or a row. What `conn` reads is one committed state.
pub async fn foldings(conn: &mut Conn) -> Result<Vec<impl Folding + use<>>, StoreError> {
    let heads = log::heads(conn, "csp/").await?;
    let mut csps = rows::everybody(conn).await?;
    for head in &heads {
        let name = head.position.log.as_str().strip_prefix("csp/");
        let name = name.and_then(|name| name.parse().ok());
        let nobodys = || StoreError::inconsistent("log_head", "no CSP has the log");
        csps.insert(name.ok_or_else(nobodys)?);
    }
    let foldings = csps.into_iter().map(|csp| {
        let log = log_of(&csp);
        let head = heads.iter().find(|head| head.position.log == log);
        CspFolding::new(csp, head)
    });
    Ok(foldings.collect())
}

impl CspFolding {
    /// Without a log no row has an event.
    fn new(csp: CspId, head: Option<&Head>) -> Self {
        let no_log = || Folded {
            log: log_of(&csp).to_string(),
            ..Folded::default()
        };
        Self {
            folded: head.map_or_else(no_log, Folded::of),
            stage: Stage::Beside,
            walk: head.map(Walk::new),
            resyncs: Vec::new(),
            before: None,
            csp,
        }
    }

    /// Whether the subscription and the resyncs lie within the log.
    async fn beside(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let log = log_of(&self.csp);
        let (sent, reached, acknowledged, counted): Beside = query_as(BESIDE)
            .bind(self.csp.as_str())
            .bind(log.as_str())
            .bind(promptness::Stage::Acknowledged.number())
            .fetch_one(&mut *conn)
            .await?;
        if counted > acknowledged {
            let unlike = Unlike::Column("changes");
            self.folded
                .differs(DELIVERIES, self.csp.as_str(), 0, unlike);
        }
        let unlike = match (sent, reached) {
            // A command that was refused may have made the log.
            (None, Some(0)) => None,
            (None, _) => Some(Unlike::Missing),
            (Some(_), None) => Some(Unlike::Surplus),
            (Some(sent), Some(reached)) => (sent > reached).then_some(Unlike::Column("sent")),
        };
        match unlike {
            None => self.folded.fit += 1,
            Some(unlike) => self
                .folded
                .differs(SUBSCRIPTION, self.csp.as_str(), 0, unlike),
        }
        self.resyncs = rows::resyncs(conn, &self.csp).await?;
        // Read after the resyncs, so that it is behind none of them.
        let reached = log::head(conn, &log).await?;
        let reached = reached.map_or(0, |head| head.position.sequence);
        for resync in &self.resyncs {
            if resync.after + resync.differences > reached {
                let unlike = Unlike::Column("differences");
                let csp = self.csp.as_str();
                self.folded.differs(RESYNC, csp, resync.after, unlike);
            }
        }
        Ok(())
    }

    async fn rows(
        &mut self,
        conn: &mut Conn,
        (device, from): (String, i64),
    ) -> Result<(), StoreError> {
        let found: Vec<FoundRow> = query_as(ROWS)
            .bind(log_of(&self.csp).as_str())
            .bind(self.csp.as_str())
            .bind(device)
            .bind(from)
            .bind(i64::from(PAGE))
            .fetch_all(conn)
            .await?;
        if let Some(FoundRow { columns, .. }) = found.last() {
            self.stage = Stage::Rows(columns.1.clone(), columns.2);
        }
        for row in found {
            self.row(row)?;
        }
        Ok(())
    }

    /// Compares one row with what its event makes of the one before, and its end with the event that ended
    /// it.
    fn row(&mut self, row: FoundRow) -> Result<(), StoreError> {
        let (_, device, from, to, ..) = &row.columns;
        let (key, at) = (self.key(device), sequence_from_db(REDUCED, *from)?);
        let event = |event: Option<Vec<u8>>| {
            let event = Event::read(&self.csp, &event?)?;
            (event.told.device.to_string() == *device).then_some(event.told)
        };
        let (maker, ender) = (event(row.maker), event(row.ender));
        let is_over = *to != CURRENT;
        let before = self.before.take();
        let before = before.filter(|(before, until, _)| before == device && until == from);
        let expected = maker
            .and_then(|told| Reduced::after(before.as_ref().map(|(_, _, known)| known), &told, at));
        let Some(expected) = expected else {
            self.folded.differs(REDUCED, key, at, Unlike::Surplus);
            return Ok(());
        };
        if at > self.folded.up_to {
            // Made meanwhile: the row that it goes on from may have been read before.
            return Ok(());
        }
        self.before = Some((device.clone(), *to, expected.clone()));
        let unlike = match rows::reduced_from_db(row.columns) {
            Err(_) => Some("what is no value of it"),
            Ok(_) if is_over && ender.is_none() => Some("to_sequence"),
            Ok(found) => other_column(&expected, &found.known),
        };
        match unlike {
            None => self.folded.fit += 1,
            Some(column) => {
                let unlike = Unlike::Column(column);
                self.folded.differs(REDUCED, key, at, unlike);
            }
        }
        Ok(())
    }

    /// Asks a page of events for the rows that they made and ended, and for the resyncs that they are of.
    /// Says whether there are more.
    async fn events(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        let Some(walk) = &mut self.walk else {
            return Ok(false);
        };
        let events = walk
            .page(conn, |event| Event::read(&self.csp, event))
            .await?;
        let more = walk.has_more();
        let made = events.iter().filter(|(_, event)| event.told.is_reduced);
        let made = made.map(|(sequence, event)| {
            let device = event.told.device.to_string();
            ([self.csp.to_string(), device], *sequence)
        });
        let made: Vec<_> = made.collect();
        let found = found(conn, REDUCED, ["csp", "device"], "from_sequence", &made).await?;
        for ([_, device], sequence) in made {
            if !found.contains(&sequence) {
                let key = self.key(&device);
                self.folded.differs(REDUCED, key, sequence, Unlike::Missing);
            }
        }
        let about = events.iter();
        let about = about.map(|(sequence, event)| (event.told.device, *sequence));
        let about: Vec<_> = about.collect();
        for (device, from) in rows::that_go_on_across(conn, &self.csp, &about).await? {
            let (key, unlike) = (self.key(&device), Unlike::Column("to_sequence"));
            self.folded.differs(REDUCED, key, from, unlike);
        }
        for (sequence, event) in &events {
            self.resync(*sequence, event);
        }
        Ok(more)
    }

    /// A correction is one of a resync, and a resync has nothing but corrections.
    fn resync(&mut self, sequence: Sequence, event: &Event) {
        let within = |resync: &&ResyncRow| {
            resync.after < sequence && sequence <= resync.after + resync.differences
        };
        let of = self.resyncs.iter().find(within);
        let unlike = match (of, event.told.cause == CauseClass::Resync) {
            (None, true) => Unlike::Missing,
            (Some(_), false) => Unlike::Column("differences"),
            (Some(of), true) if of.flags != event.flags => Unlike::Column("flags_sequence"),
            _ => return,
        };
        let csp = self.csp.as_str();
        self.folded.differs(RESYNC, csp, sequence, unlike);
    }

    fn key(&self, device: &str) -> String {
        format!("{device} of {}", self.csp)
    }
}

impl Folding for CspFolding {
    async fn page(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        match std::mem::replace(&mut self.stage, Stage::Events) {
            Stage::Beside => {
                self.beside(conn).await?;
                self.stage = Stage::Rows(String::new(), 0);
            }
            Stage::Rows(device, from) => self.rows(conn, (device, from)).await?,
            Stage::Events => return self.events(conn).await,
        }
        Ok(true)
    }

    fn folded(self) -> Folded {
        self.folded
    }
}

impl Event {
    /// `None` if it is malformed.
    fn read(csp: &CspId, event: &[u8]) -> Option<Self> {
        let event = CspFlagChange::decode(event).ok()?;
        let covered = event.covered_device_ids.iter().map(|id| id.parse());
        let told = Told {
            csp: csp.clone(),
            device: event.device_id.parse().ok()?,
            device_type: event.device_type,
            covered: covered.collect::<Result<_, _>>().ok()?,
            hub: event.communications_hub_id.parse().ok()?,
            was_reduced: event.previous_state() == CspFlagState::Reduced,
            is_reduced: event.state() == CspFlagState::Reduced,
            effective_time: timestamp_from_wire(event.effective_time.as_ref()?).ok()?,
            cause: event.cause_class(),
        };
        let flags = position_from_wire(event.flag_position.as_ref()?).ok()?;
        Some(Self { told, flags })
    }
}

/// The first column in which two rows differ.
fn other_column(one: &Reduced, other: &Reduced) -> Option<&'static str> {
    let columns = [
        ("device_type", one.device_type == other.device_type),
        ("covered", one.covered == other.covered),
        ("hub", one.hub == other.hub),
        ("since_time", one.since == other.since),
    ];
    let other = columns.into_iter().find(|(_, same)| !same);
    other.map(|(column, _)| column)
}
