//! The service `DeviceService`.

use mesh_api::convert::FieldErrors;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::device_service_server::DeviceService;
use mesh_authz::{Authorization, Authorized};
use mesh_follow::{AsOf, Asked, FrameStream};
use mesh_types::{Bounds, DeviceId, Timestamp};
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};

use super::audit;
use super::import::{self, Results};
use super::list::{Listing, cut, filter};
use super::{Registry, complete, on_wire, origin, request, store_failed};
use crate::error::Error;
use crate::store::DevicePages;
use crate::store::command::{Command, PutDevice};
use crate::store::read::Page;
use crate::wire::{Fields, device_to_wire, read_device, registration_to_wire};

/// At most so many registrations of one MPxN are listed: the latest.
const MOST_REGISTRATIONS: usize = 1_000;

#[tonic::async_trait]
impl DeviceService for Registry {
    async fn put_device(
        &self,
        request: Request<wire::PutDeviceRequest>,
    ) -> Result<Response<wire::PutDeviceResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = request.get_ref();
        let device = asked.device.as_ref();
        audit::note_device(
            &authorization,
            device.map(|device| device.device_id.as_str()),
        );
        let command = read_put(&authorization, asked, self.clock.now())?;
        let answer: wire::PutDeviceResponse = self.inventory.ask(command).await?;
        authorization.notes().answered(answer.position.as_ref());
        Ok(Response::new(answer))
    }

    async fn get_device(
        &self,
        request: Request<wire::GetDeviceRequest>,
    ) -> Result<Response<wire::GetDeviceResponse>, Status> {
        let permit = Authorization::of(&request)?.device()?;
        let mut errors = FieldErrors::default();
        let as_of = AsOf::read(&mut errors, request.get_ref().as_of.as_ref());
        complete(Some(()), errors)?;
        let shown = self.devices.shown(as_of.as_ref()).await?;
        let found = self.inventory.device(permit.device(), shown.sequence).await;
        let device = found.map_err(store_failed)?;
        let device = device.ok_or(Error::NotFound("Device"))?;
        Ok(Response::new(wire::GetDeviceResponse {
            device: Some(device_to_wire(&device.value, device.since)),
            position: on_wire(&shown),
        }))
    }

    async fn list_devices(
        &self,
        request: Request<wire::ListDevicesRequest>,
    ) -> Result<Response<wire::ListDevicesResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = request.get_ref();
        let mut errors = FieldErrors::default();
        let hub = Fields::of_request(&mut errors)
            .optional("communications_hub_id", &asked.communications_hub_id);
        let as_of = AsOf::read(&mut errors, asked.as_of.as_ref());
        let limit = complete(errors.page_size(asked.page_size), errors)?.into();
        let first = as_of.filter(|_| asked.page_token.is_empty());
        let shown = self.devices.shown(first.as_ref()).await?;
        let on_hub = hub.map(|hub: DeviceId| hub.eui64().octets());
        let on_hub = on_hub.as_ref().map_or(&[][..], |hub| hub);
        let filter = filter(on_hub, asked.as_of.as_ref());
        let tokens = self.inventory.store().tokens();
        let listing = Listing::new(tokens, &authorization, &filter, &shown);
        let mark = listing.open(&asked.page_token)?;
        let page = Page {
            at: mark.at,
            after: mark.after.as_deref(),
            limit: limit + 1,
        };
        let found = self.inventory.device_page(hub, page).await;
        let mut devices = found.map_err(store_failed)?;
        let next = cut(&mut devices, limit, |device| device.value.id.to_string());
        Ok(Response::new(wire::ListDevicesResponse {
            devices: devices
                .iter()
                .map(|device| device_to_wire(&device.value, device.since))
                .collect(),
            next_page_token: listing.seal(mark.at, next),
            position: on_wire(&listing.position(mark.at)),
        }))
    }

    async fn change_supplier(
        &self,
        request: Request<wire::ChangeSupplierRequest>,
    ) -> Result<Response<wire::ChangeSupplierResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = request.get_ref();
        audit::note_point(&self.inventory, &authorization, &asked.mpxn).await?;
        let command = read_change(&authorization, asked, self.clock.now())?;
        let answer: wire::ChangeSupplierResponse = self.inventory.ask(command).await?;
        authorization.notes().answered(answer.position.as_ref());
        Ok(Response::new(answer))
    }

    async fn withdraw_registration(
        &self,
        request: Request<wire::WithdrawRegistrationRequest>,
    ) -> Result<Response<wire::WithdrawRegistrationResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = request.get_ref();
        audit::note_point(&self.inventory, &authorization, &asked.mpxn).await?;
        let command = read_withdrawal(&authorization, asked)?;
        let answer: wire::WithdrawRegistrationResponse = self.inventory.ask(command).await?;
        authorization.notes().answered(answer.position.as_ref());
        Ok(Response::new(answer))
    }

    async fn list_registrations(
        &self,
        request: Request<wire::ListRegistrationsRequest>,
    ) -> Result<Response<wire::ListRegistrationsResponse>, Status> {
        let asked = request.get_ref();
        let mut errors = FieldErrors::default();
        let mut fields = Fields::of_request(&mut errors);
        let mpxn = fields.required("mpxn", &asked.mpxn);
        let valid: Option<Timestamp> = fields.instant("valid_time", asked.valid_time.as_ref());
        let as_of = AsOf::read(&mut errors, asked.as_of.as_ref());
        let mpxn = complete(mpxn, errors)?;
        let shown = self.devices.shown(as_of.as_ref()).await?;
        let supply = self.inventory.supply(mpxn, shown.sequence).await;
        let supply = supply.map_err(store_failed)?;
        let registrations = match valid {
            Some(valid) => supply
                .at(valid)
                .map(registration_to_wire)
                .into_iter()
                .collect(),
            None => {
                let all = supply.registrations();
                let latest = all.len().saturating_sub(MOST_REGISTRATIONS);
                all[latest..].iter().map(registration_to_wire).collect()
            }
        };
        Ok(Response::new(wire::ListRegistrationsResponse {
            registrations,
            position: on_wire(&shown),
        }))
    }

    type ImportInventoryStream = Results;

    async fn import_inventory(
        &self,
        request: Request<Streaming<wire::ImportInventoryRequest>>,
    ) -> Result<Response<Self::ImportInventoryStream>, Status> {
        let authorization = Authorization::of(&request)?;
        let rows = request.into_inner();
        let results = import::results(self, authorization, rows);
        Ok(Response::new(results))
    }

    type FollowDevicesStream = FrameStream<wire::FollowDevicesResponse>;

    async fn follow_devices(
        &self,
        request: Request<wire::FollowDevicesRequest>,
    ) -> Result<Response<Self::FollowDevicesStream>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = Asked::from_wire(request.into_inner().start)?;
        let snapshots = DevicePages(self.inventory.clone());
        let stream = self.devices.serve(asked, authorization, snapshots).await?;
        Ok(Response::new(stream))
    }
}

fn read_put(
    authorization: &Authorization,
    asked: &wire::PutDeviceRequest,
    now: Timestamp,
) -> Result<Command, Error> {
    let mut errors = FieldErrors::default();
    let device = asked.device.as_ref();
    if device.is_none() {
        Fields::of_request(&mut errors).add("device", "is missing");
    }
    let device =
        device.and_then(|device| read_device(device, &mut Fields::of("device", &mut errors), now));
    let mut fields = Fields::of_request(&mut errors);
    let request_id = fields.request_id(&asked.request_id);
    let etag = fields.etag(&asked.etag);
    let (device, request_id) = complete(device.zip(request_id), errors)?;
    let permit = authorization.permit_by_role(device.id)?;
    let value = device_to_wire(&device, 0).encode_to_vec();
    let parts = [value.as_slice(), asked.etag.as_bytes()];
    Ok(Command::PutDevice {
        request: request(authorization, request_id, parts),
        origin: origin(authorization),
        put: PutDevice::new(Authorized::Caller(permit), device),
        etag,
    })
}

fn read_change(
    authorization: &Authorization,
    asked: &wire::ChangeSupplierRequest,
    now: Timestamp,
) -> Result<Command, Error> {
    let mut errors = FieldErrors::default();
    let mut fields = Fields::of_request(&mut errors);
    let mpxn = fields.required("mpxn", &asked.mpxn);
    let party = fields.required("party_id", &asked.party_id);
    let start = asked.start_time.as_ref();
    let start = fields.instant_within("start_time", start, Bounds::SUPPLY, now);
    let request_id = fields.request_id(&asked.request_id);
    let ((mpxn, party), request_id) = complete(mpxn.zip(party).zip(request_id), errors)?;
    let start_octets = start.map(|start| start.micros().to_be_bytes());
    let parts = [
        asked.mpxn.as_bytes(),
        asked.party_id.as_bytes(),
        start_octets.as_ref().map_or(&[], |octets| octets),
    ];
    Ok(Command::ChangeSupplier {
        request: request(authorization, request_id, parts),
        origin: origin(authorization),
        mpxn,
        party,
        start,
    })
}

/// The start has no bounds: it names what is recorded.
fn read_withdrawal(
    authorization: &Authorization,
    asked: &wire::WithdrawRegistrationRequest,
) -> Result<Command, Error> {
    let mut errors = FieldErrors::default();
    let mut fields = Fields::of_request(&mut errors);
    let mpxn = fields.required("mpxn", &asked.mpxn);
    let party = fields.required("party_id", &asked.party_id);
    if asked.start_time.is_none() {
        fields.add("start_time", "is missing");
    }
    let start = fields.instant("start_time", asked.start_time.as_ref());
    let request_id = fields.request_id(&asked.request_id);
    let named = mpxn.zip(party).zip(start);
    let (((mpxn, party), start), request_id) = complete(named.zip(request_id), errors)?;
    let start_octets = start.micros().to_be_bytes();
    let parts = [
        asked.mpxn.as_bytes(),
        asked.party_id.as_bytes(),
        &start_octets,
    ];
    Ok(Command::WithdrawRegistration {
        request: request(authorization, request_id, parts),
        origin: origin(authorization),
        mpxn,
        party,
        start,
    })
}
