//! Everybody calls all the time, each on one channel.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mesh_api::classification::v1 as classification;
use mesh_api::classification::v1::classification_service_client::ClassificationServiceClient;
use mesh_api::classification::v1::message::Content;
use mesh_api::classification::v1::structured_message::Code;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::reporting::v1 as reporting;
use mesh_api::reporting::v1::reporting_service_client::ReportingServiceClient;
use mesh_rpc::{ClientOptions, MeshChannel, Tls, connect};
use mesh_testkit::wait_until;
use mp169::home::Folder;
use mp169::sample::{ALBION, Home};
use mp169::service::Service;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::requests::add;

/// Calls that each caller makes before it is said to go on.
const SOME: usize = 20;

/// The callers.
pub(super) struct Load {
    callers: Vec<Caller>,
    running: JoinSet<()>,
    done: CancellationToken,
    failed: Arc<Mutex<Vec<String>>>,
}

struct Caller {
    identity: &'static str,
    tls: Tls,
    calls: Arc<AtomicUsize>,
}

impl Load {
    pub(super) fn begin(folder: &Folder) -> Self {
        let mut load = Self {
            callers: Vec::new(),
            running: JoinSet::new(),
            done: CancellationToken::new(),
            failed: Arc::default(),
        };
        // flag-registry asks registration, and changes nothing.
        let flags = load.caller(folder, ALBION.id, Service::FlagRegistry);
        load.call(flags, async |channel| {
            let device = Home::new(8);
            let request = flags::AddFlagRequest {
                validate_only: true,
                ..add(device.esme(), device.electricity().id)
            };
            let mut flags = FlagServiceClient::new(channel);
            flags.add_flag(request).await.map(drop)
        });
        let dsp = load.caller(folder, "dsp", Service::Classification);
        load.call(dsp, async |channel| {
            let mut classification = ClassificationServiceClient::new(channel);
            let read = classification::StructuredMessage {
                device_ids: vec![Home::new(8).esme().to_string()],
                code: Some(Code::ServiceReferenceVariant("4.8.1".into())),
                ..Default::default()
            };
            let message = classification::Message {
                content: Some(Content::Structured(read)),
                origin: classification::Origin::OnDemand.into(),
            };
            let request = classification::BatchClassifyRequest {
                messages: vec![message],
                at_least: None,
            };
            classification.batch_classify(request).await.map(drop)
        });
        let analyst = load.caller(folder, "analyst", Service::Reporting);
        load.call(analyst, async |channel| {
            let mut reporting = ReportingServiceClient::new(channel);
            let request = reporting::GetObligationReportRequest::default();
            reporting.get_obligation_report(request).await.map(drop)
        });
        load
    }

    fn caller(
        &mut self,
        folder: &Folder,
        identity: &'static str,
        service: Service,
    ) -> (MeshChannel, Arc<AtomicUsize>) {
        let (tls, calls) = (folder.tls(identity).unwrap(), Arc::<AtomicUsize>::default());
        let address = folder.address(service).unwrap();
        let channel = connect(ClientOptions::new(service.name(), address, tls.clone()));
        self.callers.push(Caller {
            identity,
            tls,
            calls: calls.clone(),
        });
        (channel, calls)
    }

    fn call<F>(
        &mut self,
        (channel, calls): (MeshChannel, Arc<AtomicUsize>),
        call: impl Fn(MeshChannel) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), Status>> + Send,
    {
        let (done, failed) = (self.done.clone(), self.failed.clone());
        self.running.spawn(async move {
            while !done.is_cancelled() {
                if let Err(status) = call(channel.clone()).await {
                    failed.lock().unwrap().push(format!("{status:?}"));
                }
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    pub(super) fn identities(&self) -> [&'static str; 3] {
        std::array::from_fn(|at| self.callers[at].identity)
    }

    /// The serial numbers of what the callers show.
    pub(super) fn shown(&self) -> [String; 3] {
        std::array::from_fn(|at| {
            let status = self.callers[at].tls.status().unwrap();
            status.own.id.serial.to_string()
        })
    }

    /// Waits until each has made more calls, and fails if any call failed.
    pub(super) async fn goes_on(&self) {
        let count = |caller: &Caller| caller.calls.load(Ordering::Relaxed);
        let before: Vec<_> = self.callers.iter().map(count).collect();
        wait_until("more calls", async || {
            let now: Vec<_> = self.callers.iter().map(count).collect();
            let all = now
                .iter()
                .zip(&before)
                .all(|(now, before)| now - before >= SOME);
            if all { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
        let failed = self.failed.lock().unwrap();
        assert!(failed.is_empty(), "{}: {:#?}", failed.len(), failed.first());
    }

    /// Ends it; gives the number of calls.
    pub(super) async fn end(mut self) -> usize {
        self.done.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
        let failed = self.failed.lock().unwrap();
        assert!(failed.is_empty(), "{}: {:#?}", failed.len(), failed.first());
        let calls = self
            .callers
            .iter()
            .map(|caller| caller.calls.load(Ordering::Relaxed));
        calls.sum()
    }
}
