//! How does each RPC go from request to answer?
//!
//! The layers in front have judged the caller; what they found is the request's
//! [`Authorization`]. Writes stand in `grpc/change.rs`, batches of them in `grpc/bulk.rs`, reads in
//! `grpc/read.rs`.

mod bulk;
mod change;
mod read;

use std::sync::Arc;

use mesh_api::flag_registry::v1 as wire;
use mesh_api::flag_registry::v1::flag_service_server::FlagService;
use mesh_authz::Authorization;
use mesh_follow::{Asked, Feed, FrameStream};
use mesh_types::Clock;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::metrics::Metrics;
use crate::request;
use crate::store::FlagStore;

/// The service behind the chain.
#[derive(Clone)]
pub struct Flags {
    store: FlagStore,
    feed: Feed,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Flags {
    /// Answers from `store`, whose log `feed` serves.
    #[must_use]
    pub fn new(store: FlagStore, feed: Feed, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self {
            store,
            feed,
            clock,
            metrics,
        }
    }
}

#[tonic::async_trait]
impl FlagService for Flags {
    async fn add_flag(
        &self,
        request: Request<wire::AddFlagRequest>,
    ) -> Result<Response<wire::AddFlagResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = request::add(request.into_inner()).map_err(Error::Fields)?;
        let answer = self.change(&authorization, &asked).await?;
        Ok(Response::new(change::added(answer)))
    }

    async fn remove_flag(
        &self,
        request: Request<wire::RemoveFlagRequest>,
    ) -> Result<Response<wire::RemoveFlagResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = request::remove(request.into_inner()).map_err(Error::Fields)?;
        let answer = self.change(&authorization, &asked).await?;
        Ok(Response::new(answer))
    }

    async fn batch_add_flags(
        &self,
        request: Request<wire::BatchAddFlagsRequest>,
    ) -> Result<Response<wire::BatchAddFlagsResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let requests = request.into_inner().requests;
        let asked = request::each(requests, |one| &one.request_id, request::add);
        let answers = self.change_all(&authorization, asked.map_err(Error::Fields)?);
        let (answers, position) = answers.await?;
        let answers = answers.into_iter();
        Ok(Response::new(wire::BatchAddFlagsResponse {
            results: answers.map(bulk::added).collect(),
            position,
        }))
    }

    async fn batch_remove_flags(
        &self,
        request: Request<wire::BatchRemoveFlagsRequest>,
    ) -> Result<Response<wire::BatchRemoveFlagsResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let requests = request.into_inner().requests;
        let asked = request::each(requests, |one| &one.request_id, request::remove);
        let answers = self.change_all(&authorization, asked.map_err(Error::Fields)?);
        let (answers, position) = answers.await?;
        let answers = answers.into_iter();
        Ok(Response::new(wire::BatchRemoveFlagsResponse {
            results: answers.map(bulk::removed).collect(),
            position,
        }))
    }

    async fn record_tenancy_change(
        &self,
        request: Request<wire::RecordTenancyChangeRequest>,
    ) -> Result<Response<wire::RecordTenancyChangeResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let now = self.clock.now();
        let asked = request::tenancy(request.into_inner(), now).map_err(Error::Fields)?;
        let answer = self.change(&authorization, &asked).await?;
        Ok(Response::new(wire::RecordTenancyChangeResponse {
            entry: answer.entry,
            changed: answer.changed,
            replayed: answer.replayed,
            position: answer.position,
        }))
    }

    async fn note_tenancy_restriction(
        &self,
        request: Request<wire::NoteTenancyRestrictionRequest>,
    ) -> Result<Response<wire::NoteTenancyRestrictionResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let restriction = request::restriction(request.get_ref()).map_err(Error::Fields)?;
        let answer = self.note(&authorization, restriction).await?;
        Ok(Response::new(answer))
    }

    async fn get_flag(
        &self,
        request: Request<wire::GetFlagRequest>,
    ) -> Result<Response<wire::GetFlagResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let wire::GetFlagRequest {
            at_least,
            as_of,
            valid_time,
            ..
        } = request.into_inner();
        let notes = authorization.notes();
        let about = self.about(notes, at_least, as_of, valid_time).await?;
        let permit = authorization.device()?;
        Ok(Response::new(self.get(&permit, &about).await?))
    }

    async fn batch_get_flags(
        &self,
        request: Request<wire::BatchGetFlagsRequest>,
    ) -> Result<Response<wire::BatchGetFlagsResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let wire::BatchGetFlagsRequest {
            at_least,
            as_of,
            valid_time,
            ..
        } = request.into_inner();
        let notes = authorization.notes();
        let about = self.about(notes, at_least, as_of, valid_time).await?;
        let answer = self.batch_get(authorization.batch()?, &about).await?;
        Ok(Response::new(answer))
    }

    async fn list_flags(
        &self,
        request: Request<wire::ListFlagsRequest>,
    ) -> Result<Response<wire::ListFlagsResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let answer = self.list(&authorization, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn list_flag_events(
        &self,
        request: Request<wire::ListFlagEventsRequest>,
    ) -> Result<Response<wire::ListFlagEventsResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let answer = self.history(&authorization, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    type FollowFlagsStream = FrameStream<wire::FollowFlagsResponse>;

    async fn follow_flags(
        &self,
        request: Request<wire::FollowFlagsRequest>,
    ) -> Result<Response<Self::FollowFlagsStream>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = Asked::from_wire(request.into_inner().start)?;
        let snapshots = self.store.clone();
        let stream = self.feed.serve(asked, authorization, snapshots).await?;
        Ok(Response::new(stream))
    }
}
