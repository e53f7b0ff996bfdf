//! What would become of rows if they were loaded?
//!
//! The rules are those by which the writer decides; only what is known comes from a read, and what
//! the rows would change is kept here and not written.

use super::Inventory;
use super::command::{Needs, Outcome, Row};
use super::known::Known;
use super::rows::Recorded;
use crate::error::Error;
use crate::supply::{Registration, RegistrationId};

/// The most rows of one rehearsal: what they would change is held in memory.
const MOST_ROWS: usize = 100_000;

/// Judges rows one after the other, each as if those before it had been recorded.
pub(crate) struct Rehearsal {
    inventory: Inventory,
    known: Known,
    rows: usize,
}

impl Rehearsal {
    /// Nothing was judged so far.
    #[must_use]
    pub(crate) fn new(inventory: Inventory) -> Self {
        Self {
            inventory,
            known: Known::default(),
            rows: 0,
        }
    }

    /// What would become of `rows`, each by itself.
    pub(crate) async fn judge(
        &mut self,
        rows: Vec<Row>,
    ) -> Result<Vec<Result<Outcome, Error>>, Error> {
        self.rows += rows.len();
        if self.rows > MOST_ROWS {
            return Err(Error::TooManyItems(MOST_ROWS));
        }
        let mut needs = Needs::default();
        rows.iter().for_each(|row| row.note(&mut needs));
        let mut snapshot = self.inventory.store().snapshot().await?;
        self.known.learn(&mut snapshot, needs).await?;
        snapshot.rollback().await?;
        Ok(rows.into_iter().map(|row| self.judge_one(row)).collect())
    }

    fn judge_one(&mut self, row: Row) -> Result<Outcome, Error> {
        let changed = match row {
            Row::Party(party) => {
                let party = self.known.judge_party(party)?;
                let recorded = self.known.party(&party.id);
                let changed = recorded.is_none_or(|recorded| recorded.value != party);
                self.known.put_party(unnumbered(party));
                changed
            }
            Row::Device(put) => {
                let device = put.device();
                self.known.judge_device(device)?;
                let recorded = self.known.device(device.id);
                let changed = recorded.is_none_or(|recorded| recorded.value != *device);
                self.known.put_device(unnumbered(device.clone()));
                changed
            }
            Row::Registration {
                mpxn,
                party,
                interval,
            } => {
                let room = self.known.judge_registration(mpxn, &party, interval)?;
                if let Some(room) = &room {
                    let registration = Registration {
                        id: RegistrationId::recorded("rehearsed"),
                        mpxn,
                        party,
                        interval: room.interval,
                    };
                    self.known.put_registration(registration, 0);
                }
                room.is_some()
            }
        };
        Ok(if changed {
            Outcome::Recorded
        } else {
            Outcome::Unchanged
        })
    }
}

/// A record that no event has made.
fn unnumbered<T>(value: T) -> Recorded<T> {
    Recorded { value, since: 0 }
}
