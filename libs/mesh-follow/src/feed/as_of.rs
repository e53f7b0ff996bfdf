//! Which position does a read show?

use mesh_api::common::v1 as wire;
use mesh_api::convert::{FieldErrors, position_from_wire, timestamp_from_wire};
use mesh_types::{Position, Timestamp};
use tonic::Status;

use super::{Feed, invalid, unavailable};

/// Which records a read rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AsOf {
    /// Those up to a position.
    Position(Position),
    /// Those that had been recorded at a time or before.
    Known(Timestamp),
}

impl AsOf {
    /// Reads what a request has in `as_of`: nothing, if it is absent or wrong.
    pub fn read(errors: &mut FieldErrors, as_of: Option<&wire::AsOf>) -> Option<Self> {
        match &as_of?.known {
            None => {
                errors.add("as_of", "names neither a position nor a time");
                None
            }
            Some(wire::as_of::Known::Position(position)) => errors
                .keep("as_of.position", position_from_wire(position))
                .map(Self::Position),
            Some(wire::as_of::Known::KnownTime(time)) => errors
                .keep("as_of.known_time", timestamp_from_wire(time))
                .map(Self::Known),
        }
    }
}

impl Feed {
    /// The position that a read shows: the last one, or what `as_of` says. A position that has not
    /// been reached is waited for, for a short while.
    pub async fn shown(&self, as_of: Option<&AsOf>) -> Result<Position, Status> {
        let failed = |error| unavailable(&error);
        match as_of {
            None => self.position().await.map_err(failed),
            Some(AsOf::Position(position)) if position.log != self.log => {
                Err(invalid("as_of.position.log", "is another log"))
            }
            Some(AsOf::Position(position)) => {
                self.reach(position).await?;
                Ok(position.clone())
            }
            Some(AsOf::Known(time)) => {
                let clock = self.clock.as_ref();
                let known = self.store.known_at(&self.log, *time, clock).await;
                known
                    .map_err(failed)?
                    .ok_or_else(|| invalid("as_of.known_time", "is not over"))
            }
        }
    }
}
