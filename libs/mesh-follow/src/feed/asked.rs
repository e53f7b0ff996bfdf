//! Where does a follower want to start, and what has it seen?

use mesh_api::common::v1 as wire;
use mesh_store::cursor::Cursor;
use mesh_types::Position;
use tonic::Status;

use super::{invalid, read_position};

/// What a follower asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Where it wants to start.
    pub start: Start,
    /// The last event that it has seen of the log, if any.
    pub seen: Option<Cursor>,
}

/// Where a stream starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After a position.
    After(Position),
    /// With a snapshot of the last position.
    Snapshot,
    /// With a snapshot of an earlier position.
    SnapshotAt(Position),
}

impl Asked {
    /// Reads what a follower asks for.
    pub fn from_wire(start: Option<wire::FollowStart>) -> Result<Self, Status> {
        let Some(wire::FollowStart { start, seen }) = start else {
            return Err(invalid("start", "is missing"));
        };
        Ok(Self {
            start: match start {
                Some(wire::follow_start::Start::After(position)) => {
                    Start::After(read_position("start.after", &position)?)
                }
                Some(wire::follow_start::Start::Snapshot(snapshot)) => {
                    Start::snapshot("start.snapshot.position", &snapshot)?
                }
                None => return Err(invalid("start", "is missing")),
            },
            seen: seen
                .map(|seen| Self::seen("start.seen", &seen))
                .transpose()?,
        })
    }

    /// Reads what a follower has seen; `field` is its path.
    pub fn seen(field: &str, seen: &wire::Seen) -> Result<Cursor, Status> {
        let at = format!("{field}.position");
        let position = seen.position.as_ref();
        let position = position.ok_or_else(|| invalid(&at, "is missing"))?;
        let hash = seen.hash.as_slice().try_into();
        Ok(Cursor {
            position: read_position(&at, position)?,
            hash: hash.map_err(|_| invalid(&format!("{field}.hash"), "has not 32 octets"))?,
        })
    }
}

/// Of somebody who does not say what it has seen.
impl From<Start> for Asked {
    fn from(start: Start) -> Self {
        Self { start, seen: None }
    }
}

impl Start {
    /// Whether it builds on what was applied before; otherwise the follower begins anew.
    pub(super) const fn goes_on(&self) -> bool {
        match self {
            Self::After(position) => position.sequence > 0,
            Self::Snapshot | Self::SnapshotAt(_) => false,
        }
    }

    /// Reads which snapshot a follower asks for; `field` is the path of its position.
    pub fn snapshot(field: &str, asked: &wire::SnapshotStart) -> Result<Self, Status> {
        match &asked.position {
            Some(position) => Ok(Self::SnapshotAt(read_position(field, position)?)),
            None => Ok(Self::Snapshot),
        }
    }
}
