//! Reads of a flag's past while the process is killed again and again: what was answered is on record.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use mesh_api::flag_registry::v1::GetFlagRequest;
use mesh_audit::testing::OnDisk;
use mesh_testkit::wait_until;
use mp169::home::Folder;
use mp169::sample::Home;
use mp169::service::Service;
use tonic::{Code, Status};

use super::registry::Registry;
use crate::requests::now;

/// Reads of the flags of some homes.
pub(super) struct Reads<'a>(Vec<Reader<'a>>);

struct Reader<'a> {
    registry: &'a Registry,
    home: Home,
    /// How many were answered.
    answered: AtomicUsize,
}

impl<'a> Reads<'a> {
    pub(super) fn new(registry: &'a Registry, homes: impl Iterator<Item = Home>) -> Self {
        let readers = homes.map(|home| Reader {
            registry,
            home,
            answered: AtomicUsize::new(0),
        });
        Self(readers.collect())
    }

    /// Reads on and on.
    pub(super) async fn go_on(&self) {
        join_all(self.0.iter().map(Reader::go_on)).await;
    }

    /// How many were answered so far.
    pub(super) fn answered(&self) -> usize {
        let answered = self.0.iter();
        answered
            .map(|reader| reader.answered.load(Ordering::Relaxed))
            .sum()
    }

    /// Fails unless the audit of each service of `folder`, of which no process is left, is whole, and has
    /// every read that was answered.
    pub(super) async fn are_on_record(&self, folder: &Folder) {
        for service in Service::ALL {
            let audit = folder.audit_database(service);
            let disk = OnDisk::at(&audit.url.parse().unwrap()).await;
            if service != Service::FlagRegistry {
                continue;
            }
            for reader in &self.0 {
                let device = disk.pseudonym(reader.home.esme());
                let reads = disk.calls("GetFlag").into_iter().filter(|call| {
                    call.device_pseudonyms.contains(&device) && call.code == i32::from(Code::Ok)
                });
                let (on_record, answered) = (reads.count(), &reader.answered);
                let answered = answered.load(Ordering::Relaxed);
                assert!(on_record >= answered, "{on_record} of {answered}");
            }
        }
    }
}

impl Reader<'_> {
    async fn go_on(&self) {
        loop {
            wait_until("a read to be answered", async || self.read().await).await;
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Asks what the flag was, and not what it is.
    async fn read(&self) -> Result<(), Status> {
        let mut client = self.registry.client(self.home.electricity().id)?;
        let request = GetFlagRequest {
            device_id: self.home.esme().to_string(),
            valid_time: Some(now()),
            ..Default::default()
        };
        client.get_flag(request).await.map(|_| ())
    }
}
