//! How is the record read?
//!
//! By auditors alone, and each read is on record before its answer. Pages go through the log from its
//! end: records lie in it in batches, so that a filter is held against what is decoded, and one page
//! reads so much of the log and no more.

mod filter;

use std::sync::Arc;

use mesh_api::audit::v1 as wire;
use mesh_api::audit::v1::audit_service_server::{AuditService, AuditServiceServer};
use mesh_api::convert::position_to_wire;
use mesh_api::status;
use mesh_authz::Authorization;
use mesh_follow::{Asked, Feed, FrameStream, NoSnapshot};
use mesh_store::log::{self, PageLimit, StoredEvent};
use mesh_store::{Scope, StoreError};
use mesh_types::{Clock, Position, Sequence};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use crate::pseudonym::Pseudonyms;
use crate::store::AuditStore;

use filter::{Filter, Span};

/// The full name of the service in the contracts.
pub const SERVICE: &str = "mp169.audit.v1.AuditService";

/// Events that one page reads at most.
const EVENTS_OF_A_PAGE: Sequence = 4_096;
/// Events that are read at a time.
const EVENTS_AT_A_TIME: u32 = 128;

/// Serves the record of one service.
#[derive(Clone)]
pub(crate) struct Reader {
    store: AuditStore,
    feed: Feed,
    pseudonyms: Pseudonyms,
}

/// The last record that was looked at: an event, and how many of its records are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    sequence: Sequence,
    left: u64,
}

impl Reader {
    pub(crate) fn new(
        store: AuditStore,
        pseudonyms: Pseudonyms,
        clock: Arc<dyn Clock>,
        draining: CancellationToken,
    ) -> Self {
        let (database, log) = (store.database().clone(), store.log().clone());
        Self {
            feed: Feed::new(database, log, clock, draining),
            store,
            pseudonyms,
        }
    }

    pub(crate) fn server(self) -> AuditServiceServer<Self> {
        AuditServiceServer::new(self)
    }

    async fn page(
        &self,
        filter: &Filter,
        limit: usize,
        from: Option<Mark>,
    ) -> Result<(Vec<wire::ListedRecord>, Option<Mark>), StoreError> {
        let head = self.feed.position().await?;
        let mut mark = from.unwrap_or(Mark {
            sequence: head.sequence,
            left: u64::MAX,
        });
        let stop = mark.sequence.saturating_sub(EVENTS_OF_A_PAGE);
        let mut found = Vec::new();
        while mark.sequence > stop {
            for stored in self.events_up_to(mark.sequence).await?.iter().rev() {
                mark.sequence = stored.sequence;
                match filter.span(stored.recorded_time) {
                    Span::Later => {}
                    Span::Within => take(stored, &head, filter, &mut mark, limit, &mut found)?,
                    Span::Earlier => return Ok((found, None)),
                }
                if found.len() == limit {
                    return Ok((found, Some(mark)));
                }
                mark = Mark {
                    sequence: stored.sequence - 1,
                    left: u64::MAX,
                };
            }
        }
        let next = Some(mark).filter(|mark| mark.sequence > 0);
        Ok((found, next))
    }

    /// Some events up to and with `sequence`, in order.
    async fn events_up_to(&self, sequence: Sequence) -> Result<Vec<StoredEvent>, StoreError> {
        let after = sequence.saturating_sub(EVENTS_AT_A_TIME.into());
        let limit = PageLimit {
            events: u32::try_from(sequence - after).unwrap_or(EVENTS_AT_A_TIME),
            octets: usize::MAX,
        };
        let mut conn = self.store.database().readers().acquire().await?;
        log::read(&mut conn, self.store.log(), after, limit).await
    }
}

/// Takes the records of an event that match, from its end, until there are `limit`.
fn take(
    stored: &StoredEvent,
    head: &Position,
    filter: &Filter,
    mark: &mut Mark,
    limit: usize,
    found: &mut Vec<wire::ListedRecord>,
) -> Result<(), StoreError> {
    let event = wire::AuditEvent::decode(stored.event.as_slice())
        .map_err(|_| StoreError::inconsistent("log_event", "an event is none of the audit"))?;
    let position = position_to_wire(&head.at(stored.sequence));
    let left = usize::try_from(mark.left).unwrap_or(usize::MAX);
    let left = left.min(event.records.len());
    let records = event.records.into_iter().take(left).enumerate();
    for (index, record) in records.rev() {
        if found.len() == limit {
            break;
        }
        mark.left = u64::try_from(index).unwrap_or(u64::MAX);
        if filter.admits(&record) {
            found.push(wire::ListedRecord {
                position: Some(position.clone()),
                record: Some(record),
            });
        }
    }
    Ok(())
}

impl Mark {
    fn octets(self) -> Vec<u8> {
        [self.sequence.to_be_bytes(), self.left.to_be_bytes()].concat()
    }

    fn read(octets: &[u8]) -> Option<Self> {
        let (sequence, left) = octets.split_first_chunk()?;
        Some(Self {
            sequence: Sequence::from_be_bytes(*sequence),
            left: u64::from_be_bytes(left.try_into().ok()?),
        })
    }
}

#[tonic::async_trait]
impl AuditService for Reader {
    async fn list_audit_records(
        &self,
        request: Request<wire::ListAuditRecordsRequest>,
    ) -> Result<Response<wire::ListAuditRecordsResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let request = request.into_inner();
        let (filter, limit) = Filter::read(&request, &self.pseudonyms)?;
        if let Some(device) = filter.device() {
            authorization.notes().device(device);
        }
        let bound = filter.fingerprint();
        let scope = Scope {
            rpc: authorization.method(),
            caller: authorization.caller().key(),
            filter: &bound,
        };
        let tokens = self.store.database().tokens();
        let from = match request.page_token.as_str() {
            "" => None,
            token => {
                let payload = tokens.open(&scope, token).ok();
                let mark = payload.and_then(|payload| Mark::read(&payload));
                Some(mark.ok_or_else(not_ours)?)
            }
        };
        let page = self.page(&filter, limit, from).await;
        let (records, next) = page.map_err(|error| failed(&error))?;
        let next_page_token = next.map(|mark| tokens.seal(&scope, &mark.octets()));
        Ok(Response::new(wire::ListAuditRecordsResponse {
            records,
            next_page_token: next_page_token.unwrap_or_default(),
        }))
    }

    type FollowAuditStream = FrameStream<wire::FollowAuditResponse>;

    async fn follow_audit(
        &self,
        request: Request<wire::FollowAuditRequest>,
    ) -> Result<Response<Self::FollowAuditStream>, Status> {
        let authorization = Authorization::of(&request)?;
        let asked = Asked::from_wire(request.into_inner().start)?;
        let nothing = NoSnapshot::<()>::default();
        let stream = self.feed.serve(asked, authorization, nothing).await?;
        Ok(Response::new(stream))
    }
}

fn not_ours() -> Status {
    status::refusal(
        Code::InvalidArgument,
        mesh_api::common::v1::ErrorReason::PageTokenInvalid,
        "the page token was not given to this caller for this request",
    )
}

fn failed(error: &StoreError) -> Status {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, source, "the audit cannot be read");
    status::refusal(
        Code::Unavailable,
        mesh_api::common::v1::ErrorReason::StorageUnavailable,
        "the storage does not answer",
    )
}
