//! Followed logs: serving snapshot and tail as a stream, and following one with a cursor.
//!
//! The owner of a log serves it with a [`Feed`]: a snapshot at one position by keyset pages, then
//! the events after it, then checkpoints that say "you have been sent everything up to here".
//! Events are read from the store by position, page by page and only as fast as the reader takes
//! them; nothing is queued per reader, and no transaction is held across the stream.
//!
//! A follower runs [`follow`] with its [`Follower`]: it is handed events that are contiguous and
//! fit the hash chain, commits its effects together with its cursor, and is connected again after
//! every end of the stream.

mod directory;
mod feed;
mod follower;
mod frames;
mod run;
mod status;

pub use directory::follow_directory;
pub use feed::{
    AsOf, Asked, Feed, FeedSettings, FrameStream, NoSnapshot, Notice, Notices, SNAPSHOT_ITEMS,
    SnapshotPage, SnapshotPages, Start,
};
pub use follower::{Begin, FollowError, Follower, LogEvent};
pub use frames::{Body, FollowResponse};
pub use run::follow;
pub use status::{FollowedLog, FollowerStatus};
