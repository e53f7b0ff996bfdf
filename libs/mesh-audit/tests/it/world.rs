//! A record in a folder that goes away, and what stands in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_api::audit::v1 as wire;
use mesh_api::audit::v1::audit_record::Record;
use mesh_audit::testing::OnDisk;
use mesh_audit::{Audit, AuditTask, Recordings, Settings};
use mesh_authz::{Identity, InternalRole, Noted};
use mesh_rpc::audit::{Answer, Counted, Entry, Journal, Part};
use mesh_testkit::{TempDir, temp_dir};
use mesh_types::{Clock as _, SystemClock};

const SERVICE: &str = "mp169.flag_registry.v1.FlagService";
pub(crate) const ADD: &str = "mp169.flag_registry.v1.FlagService/AddFlag";
pub(crate) const REMOVE: &str = "mp169.flag_registry.v1.FlagService/RemoveFlag";
pub(crate) const DSP: Identity = Identity::Internal(InternalRole::Dsp);

/// Settings by which nothing is written unless somebody waits for it.
pub(crate) fn patient() -> Settings {
    Settings {
        linger: Duration::from_hours(1),
        counted_every: Duration::from_hours(1),
        retry_every: Duration::from_millis(5),
        ..Settings::default()
    }
}

pub(crate) struct World {
    pub(crate) audit: Audit,
    pub(crate) journal: Arc<dyn Journal>,
    task: AuditTask,
    pub(crate) folder: Arc<TempDir>,
}

impl World {
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::in_folder(Arc::new(temp_dir()), settings).await
    }

    async fn in_folder(folder: Arc<TempDir>, settings: Settings) -> Self {
        let url = format!("sqlite://{}", path_in(&folder).display());
        let database = mesh_store::Database::existing_or_new(url);
        let clock = Arc::new(SystemClock);
        let recordings = Recordings::read(mesh_api::FILE_DESCRIPTOR_SET, &[SERVICE]).unwrap();
        let opened =
            Audit::open_with("flag-registry", &database, recordings, clock, settings).await;
        let (audit, task) = opened.unwrap();
        Self {
            journal: audit.journal(),
            audit,
            task,
            folder,
        }
    }

    /// Stops in good order and starts again.
    pub(crate) async fn restart(self, settings: Settings) -> Self {
        self.task.shutdown().await;
        // The file is free when nobody holds the record any more.
        drop((self.audit, self.journal));
        Self::in_folder(self.folder, settings).await
    }

    pub(crate) fn path(&self) -> PathBuf {
        path_in(&self.folder)
    }

    /// Stops in good order; gives what is on record then.
    pub(crate) async fn stop(self) -> Vec<Record> {
        self.task.shutdown().await;
        records(&path_in(&self.folder)).await
    }
}

fn path_in(folder: &TempDir) -> PathBuf {
    folder.path().join("audit.db")
}

/// All records in a file whose log is whole.
pub(crate) async fn records(path: &std::path::Path) -> Vec<Record> {
    let folder = temp_dir();
    OnDisk::copy(path, folder.path()).await.records
}

pub(crate) fn entry(rpc: &'static str) -> Entry {
    Entry {
        time: SystemClock.now(),
        rpc,
        identity: DSP,
        noted: Noted::default(),
        part: Part::Whole,
        answer: Answer::OK,
        trace: None,
    }
}

pub(crate) fn counted(rpc: &'static str, answer: Answer) -> Counted {
    Counted {
        identity: Some(DSP),
        rpc,
        answer,
    }
}

/// The calls among the records.
pub(crate) fn calls(records: &[Record]) -> Vec<&wire::CallRecord> {
    let calls = records.iter().filter_map(|record| match record {
        Record::Call(call) => Some(call),
        _ => None,
    });
    calls.collect()
}

/// What happened to the service, of the records.
pub(crate) fn changes(records: &[Record]) -> Vec<wire::ServiceChange> {
    let changes = records.iter().filter_map(|record| match record {
        Record::Service(service) => Some(service.change()),
        _ => None,
    });
    changes.collect()
}
