//! How is any RPC of the contracts called, and what does the answer come to?
//!
//! On the wire all four kinds of gRPC call are the same: messages one way, messages the other way,
//! and a status. So every RPC is called alike: with one message.

use std::collections::BTreeMap;
use std::fmt;

use bytes::{Buf as _, BufMut as _};
use mesh_api::common::v1::{ErrorReason, ItemStatus};
use mesh_api::status::{reason_name, reason_of};
use mesh_authz::ON_BEHALF_OF;
use mesh_rpc::MeshChannel;
use mesh_service::OPERATIONS;
use mp169::service::Service;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};
use tonic::client::{Grpc, GrpcService};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Body, Bytes, StdError};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::cast::{Caller, entity};
use crate::mesh::TestMesh;

/// One RPC of the contracts.
#[derive(Clone)]
pub(crate) struct Rpc(MethodDescriptor);

/// Every RPC of the services of mp169, in the order of the contracts.
pub(crate) fn rpcs() -> Vec<Rpc> {
    let pool = DescriptorPool::decode(mesh_api::FILE_DESCRIPTOR_SET).unwrap();
    let ours = pool
        .services()
        .filter(|service| service.full_name().starts_with("mp169."));
    let methods = ours.flat_map(|service| service.methods().map(Rpc).collect::<Vec<_>>());
    methods.collect()
}

impl Rpc {
    /// The contract's service, such as `mp169.flag_registry.v1.FlagService`.
    pub(crate) fn service(&self) -> String {
        self.0.parent_service().full_name().to_owned()
    }

    /// The method, such as `AddFlag`.
    pub(crate) fn name(&self) -> &str {
        self.0.name()
    }

    /// Which of the five serves it: the contract's package says so. What all of them serve is asked of
    /// the first.
    pub(crate) fn served_by(&self) -> Service {
        if [OPERATIONS, mesh_audit::SERVICE].contains(&self.service().as_str()) {
            return Service::Registration;
        }
        let package = self.0.parent_service().package_name().replace('_', "-");
        Service::ALL
            .into_iter()
            .find(|service| package == format!("mp169.{}.v1", service.name()))
            .unwrap_or_else(|| panic!("nobody serves {package}"))
    }

    fn path(&self) -> tonic::codegen::http::uri::PathAndQuery {
        let path = format!("/{}/{}", self.service(), self.name());
        path.parse().unwrap()
    }

    /// Whether the server alone streams, and says hello first: such a call goes on until one of the two ends it. The
    /// content of an edition has one part here, and ends.
    fn is_followed(&self) -> bool {
        let streams = self.0.is_server_streaming() && !self.0.is_client_streaming();
        streams && self.name() != "ExportEdition"
    }

    /// Calls it with one message; gives the first message of the answer.
    pub(crate) async fn call(
        &self,
        lines: &Lines,
        message: Vec<u8>,
        claims: &[(&'static str, String)],
    ) -> Result<Vec<u8>, Status> {
        let mut request = Request::new(tokio_stream::once(message));
        for (name, value) in lines.claims.iter().chain(claims) {
            request.metadata_mut().append(*name, value.parse().unwrap());
        }
        match &lines.by_service[&self.served_by()] {
            Line::Ours(channel) => self.send(channel.clone(), request).await,
            Line::Foreign(channel) => self.send(channel.clone(), request).await,
        }
    }

    async fn send<C>(
        &self,
        channel: C,
        request: Request<tokio_stream::Once<Vec<u8>>>,
    ) -> Result<Vec<u8>, Status>
    where
        C: GrpcService<tonic::body::Body>,
        C::ResponseBody: Body<Data = Bytes> + Send + 'static,
        <C::ResponseBody as Body>::Error: Into<StdError> + Send,
    {
        let mut client = Grpc::new(channel);
        let ready = client.ready().await;
        ready.map_err(|error| Status::from_error(error.into()))?;
        let answer = client.streaming(request, self.path(), Raw).await?;
        let mut answers = answer.into_inner();
        let first = answers.message().await?;
        let first = first.ok_or_else(|| Status::unknown("the call ended without an answer"))?;
        if !self.is_followed() && answers.message().await?.is_some() {
            return Err(Status::unknown("one request had two answers"));
        }
        Ok(first)
    }

    /// What an answer comes to.
    pub(crate) fn outcome(&self, answer: Result<Vec<u8>, Status>) -> Outcome {
        let message = match answer {
            Ok(message) => message,
            Err(status) => return Outcome::of_status(&status),
        };
        let answer = DynamicMessage::decode(self.0.output(), message.as_slice()).unwrap();
        if self.is_followed() {
            assert!(says_hello(&answer), "{}: {answer}", self.name());
        }
        match refused_item(&answer) {
            None => Outcome::Done,
            Some(item) => Outcome::Item(item),
        }
    }
}

/// One caller's connections to the services.
pub(crate) struct Lines {
    by_service: BTreeMap<Service, Line>,
    /// What the caller says in the metadata of every call.
    claims: Vec<(&'static str, String)>,
}

enum Line {
    Ours(MeshChannel),
    Foreign(Channel),
}

impl Lines {
    /// Nothing is connected before the first call.
    pub(crate) fn of(mesh: &TestMesh, caller: Caller) -> Self {
        let line = |service| match caller.shows {
            Some(identity) => Line::Ours(mesh.channel(service, identity)),
            None => Line::Foreign(mesh.foreign(service, None)),
        };
        let by_service = Service::ALL.map(|service| (service, line(service)));
        let for_party = caller.for_party.map(entity);
        Self {
            by_service: by_service.into(),
            claims: for_party
                .map(|entity| (ON_BEHALF_OF, entity.to_string()))
                .into_iter()
                .collect(),
        }
    }
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// `OK`, and nothing in the answer is refused.
    Done,
    /// `OK`, and an item of the answer is refused.
    Item(ItemStatus),
    /// Not `OK`.
    Refused(Code, Option<ErrorReason>, String),
}

impl Outcome {
    fn of_status(status: &Status) -> Self {
        let reason = reason_of(status);
        Self::Refused(status.code(), reason, status.message().to_owned())
    }

    /// The cell of the table.
    pub(crate) fn cell(&self) -> String {
        use ErrorReason as R;
        let cell = match self {
            Self::Done => "ok",
            Self::Item(item)
                if item.reason() == R::NotResponsibleSupplier
                    && item.code == i32::from(Code::PermissionDenied) =>
            {
                "item"
            }
            Self::Item(_) => return self.to_string(),
            Self::Refused(code, reason, _) => match (code, reason) {
                (Code::Unauthenticated, Some(R::CertificateMissing)) => "cert",
                (Code::Unauthenticated, Some(R::PartyUnknown)) => "unkn",
                (Code::PermissionDenied, Some(R::PartyNotActive)) => "susp",
                (Code::PermissionDenied, Some(R::RoleNotPermitted)) => "role",
                (Code::PermissionDenied, Some(R::NotResponsibleSupplier)) => "resp",
                (Code::PermissionDenied, Some(R::NotOwnData)) => "own",
                (Code::PermissionDenied, Some(R::NotItsGateway)) => "gate",
                _ => return self.to_string(),
            },
        };
        cell.to_owned()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ok"),
            Self::Item(item) => {
                let reason = reason_name(item.reason());
                write!(f, "an item refused with {reason}: {}", item.message)?;
                item.violations.iter().try_for_each(|violation| {
                    write!(f, "; {}: {}", violation.subject, violation.description)
                })
            }
            Self::Refused(code, reason, message) => {
                let reason = reason.map_or("no reason", reason_name);
                write!(f, "{code:?} {reason}: {message}")
            }
        }
    }
}

/// Whether the first frame of a stream is the one that every stream begins with: those of logs with a
/// hello, the check of the state with what there is to check.
fn says_hello(answer: &DynamicMessage) -> bool {
    let frame = answer.get_field_by_name("frame");
    let hello = frame.is_some_and(|frame| {
        let frame = frame.as_message();
        frame.is_some_and(|frame| frame.has_field_by_name("hello"))
    });
    hello || answer.has_field_by_name("started")
}

/// The first refusal of an item, wherever in the answer it stands.
fn refused_item(message: &DynamicMessage) -> Option<ItemStatus> {
    if message.descriptor().full_name() == "mp169.common.v1.ItemStatus" {
        return Some(ItemStatus::decode(message.encode_to_vec().as_slice()).unwrap());
    }
    message.fields().find_map(|(_, value)| refused_in(value))
}

fn refused_in(value: &Value) -> Option<ItemStatus> {
    match value {
        Value::Message(message) => refused_item(message),
        Value::List(values) => values.iter().find_map(refused_in),
        _ => None,
    }
}

/// A codec that neither encodes nor decodes.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
