//! The log as the mesh's own services follow it: in answers of another service, without a snapshot.

use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::party_service_server::PartyService;
use mesh_authz::Authorization;
use mesh_follow::{Asked, Feed, FrameStream, NoSnapshot};
use tonic::{Request, Response, Status};

pub(crate) struct Parties(pub(crate) Feed);

#[tonic::async_trait]
impl PartyService for Parties {
    type FollowPartiesStream = FrameStream<wire::FollowPartiesResponse>;

    async fn follow_parties(
        &self,
        request: Request<wire::FollowPartiesRequest>,
    ) -> Result<Response<Self::FollowPartiesStream>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = Asked::from_wire(request.into_inner().start)?;
        let stream = self.0.serve(asked, authorization, NoSnapshot::default());
        Ok(Response::new(stream.await?))
    }

    async fn put_party(
        &self,
        _request: Request<wire::PutPartyRequest>,
    ) -> Result<Response<wire::PutPartyResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn set_party_status(
        &self,
        _request: Request<wire::SetPartyStatusRequest>,
    ) -> Result<Response<wire::SetPartyStatusResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_party(
        &self,
        _request: Request<wire::GetPartyRequest>,
    ) -> Result<Response<wire::GetPartyResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_parties(
        &self,
        _request: Request<wire::ListPartiesRequest>,
    ) -> Result<Response<wire::ListPartiesResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
