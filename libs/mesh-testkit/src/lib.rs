//! What tests share: certificates, PostgreSQL, waiting for a condition, golden files, folders that go away.
//!
//! A dev-dependency only. Everything here panics where a test should fail.

mod certificates;
mod disk;
mod golden;
pub mod postgres;
mod statements;
mod wait;

pub use certificates::{Certificates, certificates, other_certificates};
pub use disk::SmallDisk;
pub use golden::assert_golden;
pub use statements::{Statement, statements};
pub use tempfile::TempDir;
pub use wait::{LIMIT, wait_until};

/// A new empty folder that is removed with everything in it when the value is dropped.
#[must_use]
pub fn temp_dir() -> TempDir {
    TempDir::new().expect("a temporary folder")
}
