//! What can be asked of the mesh in a case, and in which form are two answers compared?
//!
//! Requests and replies are the contracts' own messages. A list is one question, whatever number of
//! pages its answer has; texts for people are left out of refusals, and trace contexts out of events.

use std::collections::{BTreeMap, BTreeSet};

use mesh_api::common::v1::{ErrorReason, ItemStatus, Position, stream_frame::Frame};
use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_api::flag_registry::v1::{
    self as flags, add_flag_result, flag_result, remove_flag_result,
};
use mesh_api::registration::v1 as registration;
use mesh_api::registration::v1::authority_service_client::AuthorityServiceClient;
use mesh_api::registration::v1::device_service_client::DeviceServiceClient;
use mesh_api::registration::v1::party_service_client::PartyServiceClient;
use mesh_api::status::item_status;
use mesh_follow::{Body, FollowResponse as _};
use mesh_rpc::MeshChannel;
use mp169::clients::Clients;
use mp169::service::Service;
use tonic::{Code, Status};

/// A request, and who makes it: the name of a certificate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) caller: &'static str,
    pub(super) request: Request,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    Status(registration::SetPartyStatusRequest),
    Put(registration::PutDeviceRequest),
    Change(registration::ChangeSupplierRequest),
    Withdraw(registration::WithdrawRegistrationRequest),
    Load(registration::ImportInventoryRequest),
    Add(flags::AddFlagRequest),
    Remove(flags::RemoveFlagRequest),
    Tenancy(flags::RecordTenancyChangeRequest),
    AddAll(flags::BatchAddFlagsRequest),
    RemoveAll(flags::BatchRemoveFlagsRequest),
    Note(flags::NoteTenancyRestrictionRequest),
    Device(registration::GetDeviceRequest),
    Devices(registration::ListDevicesRequest),
    Registrations(registration::ListRegistrationsRequest),
    Party(registration::GetPartyRequest),
    Parties(registration::ListPartiesRequest),
    Authority(registration::GetAuthorityRequest),
    Authorities(registration::BatchGetAuthorityRequest),
    Flag(flags::GetFlagRequest),
    Flags(flags::BatchGetFlagsRequest),
    List(flags::ListFlagsRequest),
    History(flags::ListFlagEventsRequest),
    PartySnapshot(registration::FollowPartiesRequest),
    DeviceSnapshot(registration::FollowDevicesRequest),
    FlagSnapshot(flags::FollowFlagsRequest),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    Status(registration::SetPartyStatusResponse),
    Put(registration::PutDeviceResponse),
    Change(registration::ChangeSupplierResponse),
    Withdraw(registration::WithdrawRegistrationResponse),
    Load(registration::ImportInventoryResponse),
    Add(flags::AddFlagResponse),
    Remove(flags::RemoveFlagResponse),
    Tenancy(flags::RecordTenancyChangeResponse),
    /// Of a batch: what each request alone would be answered, and the position of the whole.
    Each(Vec<Answer>, Option<Position>),
    Note(flags::NoteTenancyRestrictionResponse),
    Device(registration::GetDeviceResponse),
    Devices(registration::ListDevicesResponse),
    Registrations(registration::ListRegistrationsResponse),
    Party(registration::GetPartyResponse),
    Parties(registration::ListPartiesResponse),
    Authority(Box<registration::GetAuthorityResponse>),
    Authorities(registration::BatchGetAuthorityResponse),
    Flag(flags::GetFlagResponse),
    Flags(flags::BatchGetFlagsResponse),
    List(flags::ListFlagsResponse),
    History(flags::ListFlagEventsResponse),
    PartySnapshot(Snapshot<registration::Party>),
    DeviceSnapshot(Snapshot<registration::DeviceState>),
    FlagSnapshot(Snapshot<flags::FlagEntry>),
}

/// What a snapshot holds, and the position that it shows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot<T> {
    pub(super) items: Vec<T>,
    pub(super) position: Position,
}

/// A refusal without its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) reason: ErrorReason,
    /// The fields that are wrong, or the preconditions that are violated.
    pub(super) violated: BTreeSet<String>,
}

pub(super) type Answer = Result<Reply, Refusal>;

impl Refusal {
    pub(super) fn of(code: Code, reason: ErrorReason) -> Self {
        Self {
            code,
            reason,
            violated: BTreeSet::new(),
        }
    }

    /// A field is not what it must be.
    pub(super) fn of_field(field: &str) -> Self {
        Self {
            violated: [field.to_owned()].into(),
            ..Self::of(Code::InvalidArgument, ErrorReason::FieldInvalid)
        }
    }

    /// The refusal of one item of a batch.
    pub(super) fn of_item(&self) -> ItemStatus {
        ItemStatus {
            code: self.code.into(),
            reason: self.reason.into(),
            ..ItemStatus::default()
        }
    }

    fn read(status: &Status) -> Self {
        Self::read_item(&item_status(status))
    }

    fn read_item(item: &ItemStatus) -> Self {
        let violated = item.violations.iter();
        Self {
            code: Code::from(item.code),
            reason: item.reason(),
            violated: violated.map(|v| v.subject.clone()).collect(),
        }
    }
}

/// One caller's way to the two services that are asked.
struct Caller {
    parties: PartyServiceClient<MeshChannel>,
    devices: DeviceServiceClient<MeshChannel>,
    authority: AuthorityServiceClient<MeshChannel>,
    flags: FlagServiceClient<MeshChannel>,
}

/// Everybody's way, as far as somebody has called.
#[derive(Default)]
pub(super) struct Callers(BTreeMap<&'static str, Caller>);

impl Callers {
    /// Puts a call to the mesh.
    pub(super) async fn put(
        &mut self,
        call: &Call,
        clients: impl FnOnce(&str) -> Clients,
    ) -> Answer {
        let caller = self.0.entry(call.caller).or_insert_with(|| {
            let clients = clients(call.caller);
            let registration = clients.channel(Service::Registration).unwrap();
            Caller {
                parties: PartyServiceClient::new(registration.clone()),
                devices: DeviceServiceClient::new(registration.clone()),
                authority: AuthorityServiceClient::new(registration),
                flags: clients.flags().unwrap(),
            }
        });
        let reply = caller.ask(call.request.clone()).await;
        reply.map_err(|status| Refusal::read(&status))
    }
}

/// The pages of a list put together.
macro_rules! whole {
    ($client:ident.$method:ident($request:ident) -> $items:ident) => {{
        let mut request = $request;
        let mut whole = $client.$method(request.clone()).await?.into_inner();
        while !whole.next_page_token.is_empty() {
            request.page_token = std::mem::take(&mut whole.next_page_token);
            let page = $client.$method(request.clone()).await?.into_inner();
            assert_eq!(page.position, whole.position, "all pages show one position");
            whole.$items.extend(page.$items);
            whole.next_page_token = page.next_page_token;
        }
        whole
    }};
}

/// The parts of a snapshot put together.
macro_rules! snapshot {
    ($client:ident.$method:ident($request:ident) -> $items:ident) => {{
        let mut frames = $client.$method($request).await?.into_inner();
        let mut items = Vec::new();
        loop {
            let frame = frames.message().await?.unwrap();
            match frame.into_body().unwrap() {
                Body::Snapshot(part) => items.extend(part.$items),
                Body::Frame(Frame::SnapshotComplete(complete)) => {
                    let position = complete.position.unwrap();
                    break Snapshot { items, position };
                }
                Body::Frame(_) => {}
            }
        }
    }};
}

impl Caller {
    async fn ask(&mut self, request: Request) -> Result<Reply, Status> {
        let Self {
            parties,
            devices,
            authority,
            flags,
        } = self;
        Ok(match request {
            Request::Status(asked) => {
                Reply::Status(parties.set_party_status(asked).await?.into_inner())
            }
            Request::Put(asked) => Reply::Put(devices.put_device(asked).await?.into_inner()),
            Request::Change(asked) => {
                Reply::Change(devices.change_supplier(asked).await?.into_inner())
            }
            Request::Withdraw(asked) => {
                Reply::Withdraw(devices.withdraw_registration(asked).await?.into_inner())
            }
            Request::Load(asked) => {
                let answers = devices.import_inventory(tokio_stream::once(asked)).await?;
                let answer = answers.into_inner().message().await?;
                Reply::Load(without_texts(answer.unwrap()))
            }
            Request::Add(asked) => Reply::Add(flags.add_flag(asked).await?.into_inner()),
            Request::Remove(asked) => Reply::Remove(flags.remove_flag(asked).await?.into_inner()),
            Request::Tenancy(asked) => {
                Reply::Tenancy(flags.record_tenancy_change(asked).await?.into_inner())
            }
            Request::AddAll(asked) => {
                let answer = flags.batch_add_flags(asked).await?.into_inner();
                let answers = answer.results.into_iter();
                let answers = answers.map(|result| match result.result.unwrap() {
                    add_flag_result::Result::Response(reply) => Ok(Reply::Add(reply)),
                    add_flag_result::Result::Status(status) => Err(Refusal::read_item(&status)),
                });
                Reply::Each(answers.collect(), answer.position)
            }
            Request::RemoveAll(asked) => {
                let answer = flags.batch_remove_flags(asked).await?.into_inner();
                let answers = answer.results.into_iter();
                let answers = answers.map(|result| match result.result.unwrap() {
                    remove_flag_result::Result::Response(reply) => Ok(Reply::Remove(reply)),
                    remove_flag_result::Result::Status(status) => Err(Refusal::read_item(&status)),
                });
                Reply::Each(answers.collect(), answer.position)
            }
            Request::Note(asked) => {
                Reply::Note(flags.note_tenancy_restriction(asked).await?.into_inner())
            }
            Request::Device(asked) => Reply::Device(devices.get_device(asked).await?.into_inner()),
            Request::Devices(asked) => {
                Reply::Devices(whole!(devices.list_devices(asked) -> devices))
            }
            Request::Registrations(asked) => {
                Reply::Registrations(devices.list_registrations(asked).await?.into_inner())
            }
            Request::Party(asked) => Reply::Party(parties.get_party(asked).await?.into_inner()),
            Request::Parties(asked) => {
                Reply::Parties(whole!(parties.list_parties(asked) -> parties))
            }
            Request::Authority(asked) => {
                Reply::Authority(Box::new(authority.get_authority(asked).await?.into_inner()))
            }
            Request::Authorities(asked) => {
                Reply::Authorities(authority.batch_get_authority(asked).await?.into_inner())
            }
            Request::Flag(asked) => Reply::Flag(flags.get_flag(asked).await?.into_inner()),
            Request::Flags(asked) => {
                let mut answer = flags.batch_get_flags(asked).await?.into_inner();
                for result in &mut answer.results {
                    if let Some(flag_result::Result::Status(status)) = &mut result.result {
                        clear_texts(status);
                    }
                }
                Reply::Flags(answer)
            }
            Request::List(asked) => Reply::List(whole!(flags.list_flags(asked) -> entries)),
            Request::History(asked) => {
                let mut answer = whole!(flags.list_flag_events(asked) -> events);
                for event in &mut answer.events {
                    event.trace_parent.clear();
                }
                Reply::History(answer)
            }
            Request::PartySnapshot(asked) => {
                Reply::PartySnapshot(snapshot!(parties.follow_parties(asked) -> parties))
            }
            Request::DeviceSnapshot(asked) => {
                Reply::DeviceSnapshot(snapshot!(devices.follow_devices(asked) -> devices))
            }
            Request::FlagSnapshot(asked) => {
                Reply::FlagSnapshot(snapshot!(flags.follow_flags(asked) -> entries))
            }
        })
    }
}

fn without_texts(
    mut answer: registration::ImportInventoryResponse,
) -> registration::ImportInventoryResponse {
    for result in &mut answer.results {
        result.status.iter_mut().for_each(clear_texts);
    }
    answer
}

fn clear_texts(status: &mut ItemStatus) {
    status.message.clear();
    status.violations.clear();
}
