//! The service `PartyService`.

use mesh_api::convert::FieldErrors;
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::party_service_server::PartyService;
use mesh_authz::Authorization;
use mesh_follow::{AsOf, Asked, FrameStream};
use tonic::{Request, Response, Status};

use super::list::{Listing, cut, filter};
use super::{Registry, complete, on_wire, origin, request, store_failed};
use crate::error::Error;
use crate::party::Reason;
use crate::store::PartyPages;
use crate::store::command::Command;
use crate::store::read::Page;
use crate::wire::{Fields, Numbered, party_to_record, party_to_wire, read_party, read_status};

#[tonic::async_trait]
impl PartyService for Registry {
    async fn put_party(
        &self,
        request: Request<wire::PutPartyRequest>,
    ) -> Result<Response<wire::PutPartyResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let command = read_put(&authorization, request.get_ref())?;
        let answer: wire::PutPartyResponse = self.inventory.ask(command).await?;
        authorization.notes().answered(answer.position.as_ref());
        Ok(Response::new(answer))
    }

    async fn set_party_status(
        &self,
        request: Request<wire::SetPartyStatusRequest>,
    ) -> Result<Response<wire::SetPartyStatusResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let command = read_set_status(&authorization, request.get_ref())?;
        let answer: wire::SetPartyStatusResponse = self.inventory.ask(command).await?;
        authorization.notes().answered(answer.position.as_ref());
        Ok(Response::new(answer))
    }

    async fn get_party(
        &self,
        request: Request<wire::GetPartyRequest>,
    ) -> Result<Response<wire::GetPartyResponse>, Status> {
        let asked = request.get_ref();
        let mut errors = FieldErrors::default();
        let as_of = AsOf::read(&mut errors, asked.as_of.as_ref());
        let id = Fields::of_request(&mut errors).required("party_id", &asked.party_id);
        let id = complete(id, errors)?;
        let shown = self.parties.shown(as_of.as_ref()).await?;
        let found = self.inventory.party(&id, shown.sequence).await;
        let party = found.map_err(store_failed)?;
        let party = party.ok_or(Error::NotFound("party"))?;
        Ok(Response::new(wire::GetPartyResponse {
            party: Some(party_to_wire(&party.value, party.since)),
            position: on_wire(&shown),
        }))
    }

    async fn list_parties(
        &self,
        request: Request<wire::ListPartiesRequest>,
    ) -> Result<Response<wire::ListPartiesResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = request.get_ref();
        let mut errors = FieldErrors::default();
        let as_of = AsOf::read(&mut errors, asked.as_of.as_ref());
        let limit = complete(errors.page_size(asked.page_size), errors)?.into();
        let first = as_of.filter(|_| asked.page_token.is_empty());
        let shown = self.parties.shown(first.as_ref()).await?;
        let filter = filter(&[], asked.as_of.as_ref());
        let tokens = self.inventory.store().tokens();
        let listing = Listing::new(tokens, &authorization, &filter, &shown);
        let mark = listing.open(&asked.page_token)?;
        let page = Page {
            at: mark.at,
            after: mark.after.as_deref(),
            limit: limit + 1,
        };
        let found = self.inventory.party_page(page).await;
        let mut parties = found.map_err(store_failed)?;
        let next = cut(&mut parties, limit, |party| party.value.id.to_string());
        Ok(Response::new(wire::ListPartiesResponse {
            parties: parties
                .iter()
                .map(|party| party_to_wire(&party.value, party.since))
                .collect(),
            next_page_token: listing.seal(mark.at, next),
            position: on_wire(&listing.position(mark.at)),
        }))
    }

    type FollowPartiesStream = FrameStream<wire::FollowPartiesResponse>;

    async fn follow_parties(
        &self,
        request: Request<wire::FollowPartiesRequest>,
    ) -> Result<Response<Self::FollowPartiesStream>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = Asked::from_wire(request.into_inner().start)?;
        let snapshots = PartyPages(self.inventory.clone());
        let stream = self.parties.serve(asked, authorization, snapshots).await?;
        Ok(Response::new(stream))
    }
}

fn read_put(
    authorization: &Authorization,
    asked: &wire::PutPartyRequest,
) -> Result<Command, Error> {
    let mut errors = FieldErrors::default();
    let party = asked.party.as_ref();
    if party.is_none() {
        Fields::of_request(&mut errors).add("party", "is missing");
    }
    let party = party.and_then(|party| read_party(party, &mut Fields::of("party", &mut errors)));
    let mut fields = Fields::of_request(&mut errors);
    let request_id = fields.request_id(&asked.request_id);
    let etag = fields.etag(&asked.etag);
    let (party, request_id) = complete(party.zip(request_id), errors)?;
    let value = party_to_record(&party);
    let parts = [value.as_slice(), asked.etag.as_bytes()];
    Ok(Command::PutParty {
        request: request(authorization, request_id, parts),
        origin: origin(authorization),
        party,
        etag,
    })
}

fn read_set_status(
    authorization: &Authorization,
    asked: &wire::SetPartyStatusRequest,
) -> Result<Command, Error> {
    let mut errors = FieldErrors::default();
    let mut fields = Fields::of_request(&mut errors);
    let party = fields.required("party_id", &asked.party_id);
    let status = read_status(asked.status, &mut fields);
    let reason: Option<Reason> = fields.keep("reason", asked.reason.parse());
    let request_id = fields.request_id(&asked.request_id);
    let read = party.zip(status).zip(reason.zip(request_id));
    let ((party, status), (reason, request_id)) = complete(read, errors)?;
    let parts = [
        asked.party_id.as_bytes(),
        &status.number().to_be_bytes(),
        reason.as_str().as_bytes(),
    ];
    Ok(Command::SetPartyStatus {
        request: request(authorization, request_id, parts),
        origin: origin(authorization),
        party,
        status,
        reason,
    })
}
