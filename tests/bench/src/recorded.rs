//! What does it cost that a read is on record?
//!
//! The chain of a service with a handler that has nothing to do: whatever else a read needs would only
//! make the record's share smaller. Once with the audit that every service has, once with none.

use std::convert::Infallible;
use std::future::ready;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};
use http::{Request, Response};
use mesh_api::FILE_DESCRIPTOR_SET;
use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_audit::{Audit, AuditTask, Recordings};
use mesh_authz::{Authorization, AuthorizeLayer, Authorizer, Directory, RemoteAuthority, Rules};
use mesh_rpc::audit::{Admission, Counted, Entry, Journal, Recording, Ticket};
use mesh_rpc::{
    ClientOptions, Drained, Draining, Exchanged, Health, ServeError, ServeOptions, connect,
};
use mesh_types::{Clock as _, SystemClock, Timestamp};
use mp169::service::Service as MeshService;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::service::Routes;
use tonic::transport::Channel;
use tower::{Service, service_fn};

use crate::codec::Shared;
use crate::town::Town;
use crate::turn::{Side, Turn, keep_in_flight};

const SERVICE: &str = "mp169.flag_registry.v1.FlagService";
/// Of the chain's identities one that needs no answer of registration.
const READER: &str = "operator";

/// What a read asks for, which says when its record must be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// What holds: soon.
    ThePresent,
    /// What was: before the answer.
    ThePast,
}

/// Reads of flags, with some in flight.
pub(crate) struct Reads {
    clients: Arc<[FlagServiceClient<Channel>]>,
    device: String,
    in_flight: usize,
    stop: CancellationToken,
    serving: JoinHandle<Result<Drained, ServeError>>,
    /// Where there is one, it ends after the server.
    audit: Option<(Audit, AuditTask)>,
}

impl Reads {
    /// With a record of each.
    pub(crate) async fn recorded(town: &Town, about: About, in_flight: usize) -> Result<Self> {
        let name = format!("bench-{about:?}-audit").to_lowercase();
        let database = town.database_beside(&name).await?;
        let recordings = Recordings::read(FILE_DESCRIPTOR_SET, &[SERVICE])?;
        let clock = mesh_service::machine_clock(false);
        let (audit, task) = Audit::open("flag-registry", &database, recordings, clock).await?;
        let journal = audit.journal();
        Self::start(town, about, in_flight, journal, Some((audit, task))).await
    }

    /// With none.
    pub(crate) async fn unrecorded(town: &Town, about: About, in_flight: usize) -> Result<Self> {
        Self::start(town, about, in_flight, Arc::new(Nowhere), None).await
    }

    async fn start(
        town: &Town,
        about: About,
        in_flight: usize,
        journal: Arc<dyn Journal>,
        audit: Option<(Audit, AuditTask)>,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let tls = town.tls(MeshService::FlagRegistry)?;
        let directory = Directory::not_loaded();
        directory.load([])?;
        let registration = town.address(MeshService::Registration);
        let registration = connect(ClientOptions::new(
            "registration",
            registration,
            tls.clone(),
        ));
        let authority = RemoteAuthority::new(registration, (), mesh_rpc::remaining);
        let rules = Rules::read(FILE_DESCRIPTOR_SET, &[SERVICE])?;
        let authorizer = Authorizer::new(rules, directory, Arc::new(authority));
        let options = ServeOptions::new(
            "flag-registry",
            listener,
            tls,
            AuthorizeLayer::new(authorizer),
            journal,
            Health::new(&[SERVICE]),
            Draining::new(),
        );
        let device = town
            .flagged()
            .first()
            .context("there is a home")?
            .to_string();
        let entry = wire::FlagEntry {
            device_id: device.clone(),
            ..wire::FlagEntry::default()
        };
        let answer = wire::GetFlagResponse {
            entry: Some(entry),
            ..wire::GetFlagResponse::default()
        };
        let routes = Routes::new(Entries {
            answer: Arc::new(answer),
            about,
        });
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(mesh_rpc::serve(options, routes, stopped));
        let channels = town.channels_to(MeshService::FlagRegistry, &address, READER)?;
        Ok(Self {
            clients: channels.into_iter().map(FlagServiceClient::new).collect(),
            device,
            in_flight,
            stop,
            serving,
            audit,
        })
    }

    /// Ends the server and its audit in good order.
    pub(crate) async fn stop(self) -> Result<()> {
        self.stop.cancel();
        self.serving.await??;
        if let Some((audit, task)) = self.audit {
            drop(audit);
            task.shutdown().await;
        }
        Ok(())
    }
}

impl Side for Reads {
    async fn turn(&mut self, time: Duration) -> Result<Turn> {
        let (clients, device) = (Arc::clone(&self.clients), self.device.clone());
        keep_in_flight(self.in_flight, time, move |caller| {
            let mut client = clients[caller % clients.len()].clone();
            let device = device.clone();
            async move {
                let request = wire::GetFlagRequest {
                    device_id: device.clone(),
                    ..wire::GetFlagRequest::default()
                };
                let answer = client.get_flag(request).await?.into_inner();
                let entry = answer.entry.context("the entry is missing")?;
                ensure!(entry.device_id == device, "asked of {device}: {entry:?}");
                Ok(ControlFlow::Continue(()))
            }
        })
        .await
    }
}

/// The handler: it answers every read with one entry.
#[derive(Debug, Clone)]
struct Entries {
    answer: Arc<wire::GetFlagResponse>,
    about: About,
}

impl NamedService for Entries {
    const NAME: &'static str = SERVICE;
}

impl Service<Request<Body>> for Entries {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { answer, about } = self.clone();
        let method = service_fn(move |request: tonic::Request<wire::GetFlagRequest>| {
            let answered = Authorization::of(&request).map(|authorization| {
                let notes = authorization.notes();
                if let Ok(device) = request.get_ref().device_id.parse() {
                    notes.device(device);
                }
                if about == About::ThePast {
                    notes.asks_for_past();
                }
                tonic::Response::new(Arc::clone(&answer))
            });
            ready(answered).err_into()
        });
        let mut grpc = Grpc::new(Shared::default());
        async move { Ok(grpc.unary(method, request).await) }.boxed()
    }
}

/// No record at all.
#[derive(Debug)]
struct Nowhere;

impl Journal for Nowhere {
    fn recording(&self, _: &str) -> Recording {
        Recording::Counted
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn admit(&self) -> Option<Admission> {
        None
    }

    fn enter(&self, _: Entry) -> Ticket {
        Ticket(0)
    }

    fn on_disk(&self, _: Ticket) -> Admission {
        ready(Ok(())).boxed()
    }

    fn exchanged(&self, _: &Exchanged) {}

    fn count(&self, _: Counted, _: u64, _: u64) {}
}
