//! How the small registration answers.

use std::net::SocketAddr;
use std::pin::Pin;

use futures::Stream;
use mesh_api::common::v1::{self as common, follow_start::Start, stream_frame::Frame};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::authority_for_party_result::Result as Told;
use mesh_api::registration::v1::authority_service_server::{
    AuthorityService, AuthorityServiceServer,
};
use mesh_api::registration::v1::device_service_server::{DeviceService, DeviceServiceServer};
use mesh_api::registration::v1::party_service_server::{PartyService, PartyServiceServer};
use mesh_api::status::{item_status, refusal};
use mesh_follow::FollowResponse;
use mesh_testkit::certificates;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};

use super::{Log, Registration, State};

impl Registration {
    /// Serves on a port of its own for as long as the test runs.
    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let issued = certificates().internal("registration");
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(
                issued.certificate_pem(),
                issued.key_pem(),
            ))
            .client_ca_root(Certificate::from_pem(certificates().trust_pem()));
        let server = Server::builder()
            .tls_config(tls)
            .unwrap()
            .add_service(AuthorityServiceServer::new(self.clone()))
            .add_service(PartyServiceServer::new(self.clone()))
            .add_service(DeviceServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }

    /// The stream of a log: hello, the snapshot if one is asked for, and then the tail for as long
    /// as the log keeps its epoch.
    fn follow<R: FollowResponse>(
        &self,
        start: Option<common::FollowStart>,
        log: fn(&State) -> &Log,
        snapshot: impl FnOnce(&State) -> R::Snapshot,
    ) -> Result<Response<FrameStream<R>>, Status> {
        let (mut opening, mut after, epoch) = {
            let state = self.state();
            let log = log(&state);
            let hello = R::from_frame(Frame::Hello(common::StreamHello {
                head: Some(log.head()),
                checkpoint_interval_ms: 60_000,
                first_epoch: 0,
            }));
            match start.and_then(|start| start.start) {
                Some(Start::After(position)) if position.epoch == log.epoch => {
                    (vec![hello], position.sequence, log.epoch)
                }
                Some(Start::After(_)) => return Err(other_epoch()),
                Some(Start::Snapshot(_)) | None => {
                    let part = snapshot(&state);
                    let complete =
                        R::from_frame(Frame::SnapshotComplete(common::SnapshotComplete {
                            position: Some(log.head()),
                            hash: log.hash.to_vec(),
                            items: R::items(&part) as u64,
                        }));
                    let opening = vec![hello, R::from_snapshot(part), complete];
                    (opening, log.head().sequence, log.epoch)
                }
            }
        };
        let registration = self.clone();
        let (frames, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut news = registration.news.subscribe();
            loop {
                news.borrow_and_update();
                let mut batch = std::mem::take(&mut opening);
                {
                    let state = registration.state();
                    let log = log(&state);
                    if log.epoch != epoch {
                        return;
                    }
                    let entries = log.entries[usize::try_from(after).unwrap()..].to_vec();
                    if !entries.is_empty() {
                        batch.push(R::from_frame(Frame::Entries(common::LogEntries {
                            entries,
                        })));
                    }
                    after = log.head().sequence;
                }
                for one in batch {
                    if frames.send(Ok(one)).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    () = frames.closed() => return,
                    changed = news.changed() => if changed.is_err() { return },
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

const LEASE: prost_types::Duration = prost_types::Duration {
    seconds: 1,
    nanos: 0,
};

type FrameStream<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

fn other_epoch() -> Status {
    refusal(
        Code::FailedPrecondition,
        common::ErrorReason::PositionOfAnotherEpoch,
        "another epoch",
    )
}

fn not_here() -> Status {
    Status::unimplemented("the flag registry has no business here")
}

#[tonic::async_trait]
impl AuthorityService for Registration {
    async fn get_authority(
        &self,
        request: Request<wire::GetAuthorityRequest>,
    ) -> Result<Response<wire::GetAuthorityResponse>, Status> {
        let request = request.into_inner();
        let at_least = request.at_least.as_ref();
        let (mut answers, position) = self.answer(&[request.device_id], at_least)?;
        Ok(Response::new(wire::GetAuthorityResponse {
            authority: answers.pop(),
            position: Some(position),
            valid_time: None,
            lease_duration: request.for_write.then_some(LEASE),
        }))
    }

    async fn batch_get_authority(
        &self,
        request: Request<wire::BatchGetAuthorityRequest>,
    ) -> Result<Response<wire::BatchGetAuthorityResponse>, Status> {
        let request = request.into_inner();
        let at_least = request.at_least.as_ref();
        let (answers, position) = self.answer(&request.device_ids, at_least)?;
        let results = answers.into_iter().map(|authority| wire::AuthorityResult {
            result: Some(wire::authority_result::Result::Authority(authority)),
            lease_duration: request.for_write.then_some(LEASE),
        });
        Ok(Response::new(wire::BatchGetAuthorityResponse {
            results: results.collect(),
            position: Some(position),
            valid_time: None,
        }))
    }

    async fn get_authority_for_parties(
        &self,
        request: Request<wire::GetAuthorityForPartiesRequest>,
    ) -> Result<Response<wire::GetAuthorityForPartiesResponse>, Status> {
        let mut results = Vec::new();
        for question in request.into_inner().questions {
            let alone = wire::GetAuthorityRequest {
                device_id: question.device_id,
                for_party_id: question.for_party_id,
                for_write: question.for_write,
                ..Default::default()
            };
            let told = self.get_authority(Request::new(alone)).await;
            let told = match told {
                Ok(answer) => Told::Answer(answer.into_inner()),
                Err(status) => Told::Status(item_status(&status)),
            };
            results.push(wire::AuthorityForPartyResult { result: Some(told) });
        }
        Ok(Response::new(wire::GetAuthorityForPartiesResponse {
            results,
        }))
    }
}

fn device_snapshot(state: &State) -> wire::DeviceSnapshot {
    let devices = state.authorities.values().map(|authority| {
        let hub = authority.communications_hub.as_ref();
        wire::DeviceState {
            device: authority.device.clone(),
            csp_id: hub.map(|hub| hub.csp_id.clone()).unwrap_or_default(),
            responsible_party_id: authority.responsible_party_id.clone(),
        }
    });
    wire::DeviceSnapshot {
        devices: devices.collect(),
    }
}

fn party_snapshot(state: &State) -> wire::PartySnapshot {
    wire::PartySnapshot {
        parties: state.parties.values().cloned().collect(),
    }
}

#[tonic::async_trait]
impl DeviceService for Registration {
    type FollowDevicesStream = FrameStream<wire::FollowDevicesResponse>;
    type ImportInventoryStream = FrameStream<wire::ImportInventoryResponse>;

    async fn follow_devices(
        &self,
        request: Request<wire::FollowDevicesRequest>,
    ) -> Result<Response<Self::FollowDevicesStream>, Status> {
        let start = request.into_inner().start;
        self.follow(start, |state| &state.device_log, device_snapshot)
    }

    async fn put_device(
        &self,
        _: Request<wire::PutDeviceRequest>,
    ) -> Result<Response<wire::PutDeviceResponse>, Status> {
        Err(not_here())
    }

    async fn get_device(
        &self,
        _: Request<wire::GetDeviceRequest>,
    ) -> Result<Response<wire::GetDeviceResponse>, Status> {
        Err(not_here())
    }

    async fn list_devices(
        &self,
        _: Request<wire::ListDevicesRequest>,
    ) -> Result<Response<wire::ListDevicesResponse>, Status> {
        Err(not_here())
    }

    async fn change_supplier(
        &self,
        _: Request<wire::ChangeSupplierRequest>,
    ) -> Result<Response<wire::ChangeSupplierResponse>, Status> {
        Err(not_here())
    }

    async fn withdraw_registration(
        &self,
        _: Request<wire::WithdrawRegistrationRequest>,
    ) -> Result<Response<wire::WithdrawRegistrationResponse>, Status> {
        Err(not_here())
    }

    async fn list_registrations(
        &self,
        _: Request<wire::ListRegistrationsRequest>,
    ) -> Result<Response<wire::ListRegistrationsResponse>, Status> {
        Err(not_here())
    }

    async fn import_inventory(
        &self,
        _: Request<tonic::Streaming<wire::ImportInventoryRequest>>,
    ) -> Result<Response<Self::ImportInventoryStream>, Status> {
        Err(not_here())
    }
}

#[tonic::async_trait]
impl PartyService for Registration {
    type FollowPartiesStream = FrameStream<wire::FollowPartiesResponse>;

    async fn follow_parties(
        &self,
        request: Request<wire::FollowPartiesRequest>,
    ) -> Result<Response<Self::FollowPartiesStream>, Status> {
        let start = request.into_inner().start;
        self.follow(start, |state| &state.party_log, party_snapshot)
    }

    async fn put_party(
        &self,
        _: Request<wire::PutPartyRequest>,
    ) -> Result<Response<wire::PutPartyResponse>, Status> {
        Err(not_here())
    }

    async fn set_party_status(
        &self,
        _: Request<wire::SetPartyStatusRequest>,
    ) -> Result<Response<wire::SetPartyStatusResponse>, Status> {
        Err(not_here())
    }

    async fn get_party(
        &self,
        _: Request<wire::GetPartyRequest>,
    ) -> Result<Response<wire::GetPartyResponse>, Status> {
        Err(not_here())
    }

    async fn list_parties(
        &self,
        _: Request<wire::ListPartiesRequest>,
    ) -> Result<Response<wire::ListPartiesResponse>, Status> {
        Err(not_here())
    }
}
