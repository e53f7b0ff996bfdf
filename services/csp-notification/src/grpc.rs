//! The five RPCs: each is read, done and answered here; what decides stands elsewhere.

use std::sync::Arc;

use futures::stream::BoxStream;
use mesh_api::convert::{FieldErrors, position_from_wire, timestamp_from_wire, timestamp_to_wire};
use mesh_api::csp_notification::v1 as wire;
use mesh_api::csp_notification::v1::csp_notification_service_server::CspNotificationService;
use mesh_authz::{Authorization, Refusal};
use mesh_follow::{Asked, Feed, FeedSettings, Start};
use mesh_rpc::Work;
use mesh_store::cursor::Cursor;
use mesh_store::{Fingerprint, Scope, Store, Writer, fingerprint};
use mesh_types::{Bounds, Clock, CspId, NameError, Position, Timestamp};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::attachments::Attachments;
use crate::delivery::{Delivery, deliver};
use crate::disputes::Disputes;
use crate::error::Error;
use crate::promptness::{Hours, HoursError, Promptness};
use crate::source::Source;
use crate::store::{self, Command, CspLogs, Done, ReducedDevices, Resyncs};
use crate::subscription::{OwnCsp, Subscription, log_of};

/// The handlers, and what they need.
pub(crate) struct CspNotification {
    pub(crate) store: Store,
    pub(crate) writer: Writer<CspLogs>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) draining: CancellationToken,
    pub(crate) feed_settings: FeedSettings,
    pub(crate) attachments: Attachments,
    pub(crate) source: Source,
    pub(crate) disputes: Disputes,
}

#[tonic::async_trait]
impl CspNotificationService for CspNotification {
    type FollowFlagChangesStream =
        BoxStream<'static, Result<wire::FollowFlagChangesResponse, Status>>;

    async fn follow_flag_changes(
        &self,
        request: Request<wire::FollowFlagChangesRequest>,
    ) -> Result<Response<Self::FollowFlagChangesStream>, Status> {
        let authorization = Authorization::of(&request).map_err(Error::from)?;
        let csp = own_csp(&authorization)?;
        let work = Work::of(&request);
        let subscription = self.subscribed(&csp).await?;
        let asked = asked(request.into_inner(), &subscription)?;
        self.hear(&csp, asked.seen.as_ref()).await?;
        let snapshot = ReducedDevices {
            store: self.store.clone(),
            csp: csp.csp().clone(),
        };
        let feed = self.feed(csp.csp());
        let frames = feed.serve(asked, authorization, snapshot).await?;
        // Only a stream that was begun takes over.
        let delivery = Delivery {
            attached: self.attachments.attach(csp).await?,
            work,
            sent: subscription.sent,
        };
        // Whoever disputed the log meanwhile has not found this stream among the attached.
        self.hear(delivery.attached.csp(), None).await?;
        Ok(Response::new(deliver(frames, delivery)))
    }

    async fn acknowledge_flag_changes(
        &self,
        request: Request<wire::AcknowledgeFlagChangesRequest>,
    ) -> Result<Response<wire::AcknowledgeFlagChangesResponse>, Status> {
        let authorization = Authorization::of(&request).map_err(Error::from)?;
        let csp = own_csp(&authorization)?;
        let command = acknowledgement(csp.clone(), &request.into_inner(), self.clock.now())?;
        self.write(command).await?;
        let subscription = self.subscription(csp.csp()).await?;
        Ok(Response::new(wire::AcknowledgeFlagChangesResponse {
            subscription: Some(self.to_wire(&subscription)),
        }))
    }

    async fn get_subscription(
        &self,
        request: Request<wire::GetSubscriptionRequest>,
    ) -> Result<Response<wire::GetSubscriptionResponse>, Status> {
        let authorization = Authorization::of(&request).map_err(Error::from)?;
        let subscription = match OwnCsp::of(&authorization) {
            // A CSP always has one, from the first time that it asks.
            Some(csp) => self.subscribed(&csp).await?,
            None => {
                let csp = request.get_ref().csp_id.parse::<CspId>();
                let csp = csp.map_err(|error| Error::field("csp_id", error.to_string()))?;
                self.subscription(&csp).await?
            }
        };
        Ok(Response::new(wire::GetSubscriptionResponse {
            subscription: Some(self.to_wire(&subscription)),
        }))
    }

    async fn list_subscriptions(
        &self,
        request: Request<wire::ListSubscriptionsRequest>,
    ) -> Result<Response<wire::ListSubscriptionsResponse>, Status> {
        let authorization = Authorization::of(&request).map_err(Error::from)?;
        let filter = fingerprint([]);
        let scope = scope(&authorization, &filter);
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let after = self.after(&scope, &request.page_token)?;
        // One more than asked for says whether there is a further page.
        let found = store::subscriptions(&self.store, &after, size + 1).await;
        let found = found.map_err(Error::from)?;
        let (found, next) = self.page(&scope, found, size, |found| &found.csp);
        Ok(Response::new(wire::ListSubscriptionsResponse {
            subscriptions: found.iter().map(|found| self.to_wire(found)).collect(),
            next_page_token: next,
        }))
    }

    async fn get_delivery_report(
        &self,
        request: Request<wire::GetDeliveryReportRequest>,
    ) -> Result<Response<wire::GetDeliveryReportResponse>, Status> {
        let authorization = Authorization::of(&request).map_err(Error::from)?;
        let request = request.into_inner();
        let hours = hours(&request)?;
        let [from, until] = [hours.first(), hours.after()].map(|hour| hour.number().to_be_bytes());
        let filter = fingerprint([&from[..], &until[..], request.csp_id.as_bytes()]);
        let scope = scope(&authorization, &filter);
        let size = page_size(request.page_size)?;
        let after = self.after(&scope, &request.page_token)?;
        let made = self.clock.now();
        if let Some(csp) = OwnCsp::of(&authorization) {
            self.subscribed(&csp).await?;
        }
        let found = match named_csp(&request.csp_id)? {
            Some(csp) => vec![self.promptness(&csp, &hours).await?],
            None => store::promptness_after(&self.store, &after, size + 1, &hours)
                .await
                .map_err(Error::from)?,
        };
        let (found, next) = self.page(&scope, found, size, |found| &found.csp);
        Ok(Response::new(wire::GetDeliveryReportResponse {
            rows: found.iter().map(Promptness::to_wire).collect(),
            next_page_token: next,
            basis: Some(self.basis(made)),
        }))
    }
}

impl CspNotification {
    fn feed(&self, csp: &CspId) -> Feed {
        let (store, clock) = (self.store.clone(), Arc::clone(&self.clock));
        Feed::new(store, log_of(csp), clock, self.draining.clone())
            .with_settings(self.feed_settings)
            .with_source(self.source.stale_since())
            .with_notices(Arc::new(Resyncs {
                store: self.store.clone(),
                csp: csp.clone(),
            }))
    }

    async fn write(&self, command: Command) -> Result<Done, Error> {
        self.writer.submit(command).await?
    }

    /// The CSP's subscription, made if there is none.
    async fn subscribed(&self, csp: &OwnCsp) -> Result<Subscription, Error> {
        if let Some(subscription) = store::subscription(&self.store, csp.csp()).await? {
            return Ok(subscription);
        }
        self.write(Command::Subscribe(csp.clone())).await?;
        self.subscription(csp.csp()).await
    }

    /// Hears what a CSP has seen of its log, and refuses it while the log lacks that.
    async fn hear(&self, csp: &OwnCsp, seen: Option<&Cursor>) -> Result<(), Error> {
        if let Some(seen) = seen
            && store::is_news(&self.store, csp.csp(), seen).await?
        {
            let seen = Command::Seen(csp.clone(), seen.clone());
            self.write(seen).await?;
            self.disputes.changed();
        }
        let undisputed = self.subscription(csp.csp()).await?.undisputed();
        undisputed.inspect_err(|refused| self.attachments.end(csp.csp(), refused.clone()))
    }

    async fn subscription(&self, csp: &CspId) -> Result<Subscription, Error> {
        let found = store::subscription(&self.store, csp).await?;
        found.ok_or(Error::NotFound)
    }

    fn to_wire(&self, subscription: &Subscription) -> wire::Subscription {
        let mut wire = subscription.to_wire();
        if let Some((since, trouble)) = self.source.stale() {
            wire.source_stale_since = Some(timestamp_to_wire(since));
            wire.set_source_trouble(trouble);
        }
        wire
    }

    async fn promptness(&self, csp: &CspId, hours: &Hours) -> Result<Promptness, Error> {
        let found = store::promptness(&self.store, csp, hours).await?;
        found.ok_or(Error::NotFound)
    }

    fn basis(&self, made: Timestamp) -> wire::DeliveryBasis {
        let mut basis = wire::DeliveryBasis {
            made_time: Some(timestamp_to_wire(made)),
            ..wire::DeliveryBasis::default()
        };
        if let Some((since, trouble)) = self.source.stale() {
            basis.source_stale_since = Some(timestamp_to_wire(since));
            basis.set_source_trouble(trouble);
        }
        basis
    }

    /// The first `size` of what was found, and what asks for the page after them; empty if nothing follows.
    fn page<T>(
        &self,
        scope: &Scope<'_>,
        mut found: Vec<T>,
        size: u32,
        csp: impl Fn(&T) -> &CspId,
    ) -> (Vec<T>, String) {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = found.len() > size;
        found.truncate(size);
        let last = found.last().filter(|_| more);
        let next = last.map(|last| {
            let name = csp(last).as_str().as_bytes();
            self.store.tokens().seal(scope, name)
        });
        (found, next.unwrap_or_default())
    }

    fn after(&self, scope: &Scope<'_>, token: &str) -> Result<String, Error> {
        if token.is_empty() {
            return Ok(String::new());
        }
        let payload = self.store.tokens().open(scope, token);
        let payload = payload.map_err(|_| Error::PageToken)?;
        String::from_utf8(payload).map_err(|_| Error::PageToken)
    }
}

/// The caller's CSP. The rules of the RPCs that ask for it let only CSPs in.
fn own_csp(authorization: &Authorization) -> Result<OwnCsp, Error> {
    OwnCsp::of(authorization).ok_or(Error::Refused(Refusal::NotOwnData))
}

/// The CSP that is asked about, if it is one.
fn named_csp(csp_id: &str) -> Result<Option<CspId>, Error> {
    let named = Some(csp_id).filter(|named| !named.is_empty());
    let named = named.map(str::parse).transpose();
    named.map_err(|error: NameError| Error::field("csp_id", error.to_string()))
}

fn hours(request: &wire::GetDeliveryReportRequest) -> Result<Hours, Error> {
    let from = instant("from_time", request.from_time.as_ref())?;
    let until = instant("until_time", request.until_time.as_ref())?;
    Hours::between(from, until).map_err(|error| {
        let field = match error {
            HoursError::From => "from_time",
            HoursError::Until | HoursError::Length => "until_time",
        };
        Error::field(field, error.to_string())
    })
}

fn instant(field: &'static str, at: Option<&prost_types::Timestamp>) -> Result<Timestamp, Error> {
    let at = at.ok_or_else(|| Error::field(field, "is missing"))?;
    timestamp_from_wire(at).map_err(|error| Error::field(field, error.to_string()))
}

fn asked(
    request: wire::FollowFlagChangesRequest,
    subscription: &Subscription,
) -> Result<Asked, Status> {
    use wire::follow_flag_changes_request::Start as From;
    let start = match request.start {
        None => return Err(Error::field("start", "is missing").into()),
        Some(From::Snapshot(snapshot)) => Start::snapshot("snapshot.position", &snapshot)?,
        Some(From::Acknowledged(_)) => Start::After(subscription.at(subscription.acknowledged)),
        Some(From::After(after)) => Start::After(position("after", &after)?),
    };
    let seen = request.seen.map(|seen| Asked::seen("seen", &seen));
    let seen = seen.transpose()?;
    let of_another = |seen: &Cursor| seen.position.log != subscription.head.log;
    if seen.as_ref().is_some_and(of_another) {
        return Err(Error::field("seen.position.log", "is another log").into());
    }
    Ok(Asked { start, seen })
}

fn acknowledgement(
    csp: OwnCsp,
    request: &wire::AcknowledgeFlagChangesRequest,
    now: Timestamp,
) -> Result<Command, Error> {
    let up_to = request.up_to.as_ref();
    let up_to = up_to.ok_or_else(|| Error::field("up_to", "is missing"))?;
    let applied = request.applied_time.as_ref().map(timestamp_from_wire);
    let applied = applied.transpose();
    let applied = applied.map_err(|error| Error::field("applied_time", error.to_string()))?;
    let within = applied.map(|at| Bounds::APPLIED.check(at, now)).transpose();
    Ok(Command::Acknowledge {
        csp,
        up_to: position("up_to", up_to)?,
        applied_time: within.map_err(|error| Error::field("applied_time", error.to_string()))?,
    })
}

fn position(
    field: &'static str,
    position: &mesh_api::common::v1::Position,
) -> Result<Position, Error> {
    position_from_wire(position).map_err(|error| Error::field(field, error.to_string()))
}

fn page_size(asked: i32) -> Result<u32, Error> {
    let size = FieldErrors::default().page_size(asked);
    size.map(u32::from)
        .ok_or_else(|| Error::field("page_size", "is negative"))
}

fn scope<'a>(authorization: &'a Authorization, filter: &'a Fingerprint) -> Scope<'a> {
    Scope {
        rpc: authorization.method(),
        caller: authorization.caller().key(),
        filter,
    }
}
