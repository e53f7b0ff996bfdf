//! How much of its quotas has a supplier spent?
//!
//! One row for each supplier that ever spent something, read and written under the head's lock, so that
//! of two replicas one sees what the other spent. What was spent on a Device stands in its entry.

use std::collections::{BTreeSet, HashMap};

use mesh_store::sql::{Conn, query_as};
use mesh_store::{StoreError, WriteTx};
use mesh_types::{PartyId, Timestamp};

use crate::quota::{Effect, Spent, Used};

const TABLE: &str = "supplier_spent";

/// What suppliers have spent by now, as far as this transaction asked.
#[derive(Debug, Default)]
pub(super) struct Suppliers {
    known: HashMap<PartyId, Spent>,
    changed: BTreeSet<PartyId>,
}

impl Suppliers {
    /// What `party` has spent, wishes of this transaction included.
    pub(super) async fn spent(
        &mut self,
        conn: &mut Conn,
        party: &PartyId,
    ) -> Result<&Spent, StoreError> {
        if !self.known.contains_key(party) {
            let stored: Option<(String, String)> =
                query_as("SELECT lifts, repeats FROM supplier_spent WHERE party = $1")
                    .bind(party.as_str())
                    .fetch_optional(conn)
                    .await?;
            let spent = match stored {
                None => Spent::default(),
                Some((lifts, repeats)) => read(&lifts, &repeats, TABLE)?,
            };
            self.known.insert(party.clone(), spent);
        }
        Ok(self.known.entry(party.clone()).or_default())
    }

    /// Counts a wish of `party`, of which was asked before, that was granted.
    pub(super) fn note(&mut self, party: &PartyId, effect: Effect, at: Timestamp) {
        if let Some(spent) = self
            .known
            .get_mut(party)
            .filter(|_| effect != Effect::Needed)
        {
            spent.note(effect, at);
            self.changed.insert(party.clone());
        }
    }

    /// Writes what has changed.
    pub(super) fn write(self, tx: &mut WriteTx) {
        let changed = self.changed.iter();
        let rows: Vec<(&PartyId, &Spent)> = changed
            .filter_map(|party| Some((party, self.known.get(party)?)))
            .collect();
        tx.insert_rows(
            "INSERT INTO supplier_spent (party, lifts, repeats)",
            &rows,
            3,
            "ON CONFLICT (party) DO UPDATE SET \
             lifts = excluded.lifts, repeats = excluded.repeats",
            |mut row, (party, spent)| {
                row.push_bind(party.as_str())
                    .push_bind(spent.lifts.to_string())
                    .push_bind(spent.repeats.to_string());
            },
        );
    }
}

/// What `table` says was spent.
pub(super) fn read(lifts: &str, repeats: &str, table: &'static str) -> Result<Spent, StoreError> {
    let read = |text: &str| -> Result<Used, StoreError> {
        text.parse()
            .map_err(|_| StoreError::inconsistent(table, "a row is malformed"))
    };
    Ok(Spent {
        lifts: read(lifts)?,
        repeats: read(repeats)?,
    })
}
