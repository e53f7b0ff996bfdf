//! How does each RPC go from request to answer?
//!
//! The layers in front have judged the caller; what they found is the request's
//! [`Authorization`].

mod editions;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use mesh_api::convert::FieldErrors;
use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::reporting_service_server::ReportingService;
use mesh_authz::{Authorization, Directory};
use mesh_follow::FollowedLog;
use mesh_types::{Clock, DeviceId, PartyId};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::business_process::BusinessProcesses;
use crate::edition::{Choice, Edition};
use crate::error::Error;
use crate::intake::{Desk, Intake};
use crate::movement::FlagFigures;
use crate::paging::{Pages, excepted_filter, figures_filter, flags_filter, obligations_filter};
use crate::period::Period;
use crate::request::ObligationsRequest;
use crate::store::{AtEnd, Basis, Chosen, NotChosen, ObligationsPage, ReportStore};
use crate::{request, wire as encode};

/// The service behind the chain.
#[derive(Clone)]
pub struct Reporting {
    store: ReportStore,
    directory: Directory,
    clock: Arc<dyn Clock>,
    followed: Followed,
    draining: CancellationToken,
}

/// The logs that reports rest on.
#[derive(Debug, Clone)]
pub struct Followed {
    /// The log `flags`.
    pub flags: FollowedLog,
    /// The log `devices`.
    pub devices: FollowedLog,
}

impl Reporting {
    /// Answers from `store`, and takes outcomes of the parties in `directory` that are not ahead of
    /// `clock`; says how reports stand to what is `followed`. Once `draining` is cancelled, no further outcomes are taken.
    #[must_use]
    pub const fn new(
        store: ReportStore,
        directory: Directory,
        clock: Arc<dyn Clock>,
        followed: Followed,
        draining: CancellationToken,
    ) -> Self {
        Self {
            store,
            directory,
            clock,
            followed,
            draining,
        }
    }

    async fn record(
        &self,
        authorization: &Authorization,
        requests: &mut Streaming<wire::RecordOutcomesRequest>,
    ) -> Result<wire::RecordOutcomesResponse, Error> {
        let desk = Desk {
            store: &self.store,
            directory: &self.directory,
            clock: &*self.clock,
        };
        let mut intake = Intake::new(desk, authorization);
        loop {
            let next = tokio::select! {
                biased;
                () = self.draining.cancelled() => return Err(Error::Draining),
                () = authorization.ending().begun() => return Err(Error::Draining),
                next = requests.message() => next,
            };
            match next.map_err(|status| Error::BrokenOff(Box::new(status)))? {
                Some(request) => intake.take(request).await?,
                None => return Ok(intake.finish()),
            }
        }
    }

    async fn choose(&self, period: Period, choice: Choice) -> Result<Chosen, Error> {
        let chosen = self.store.choose(period, choice).await?;
        chosen.map_err(|NotChosen| Error::NoEdition)
    }

    /// What a report rests on, and how old that is.
    fn basis(&self, basis: &Basis, edition: Option<&Edition>) -> Result<wire::ReportBasis, Error> {
        if let Some(edition) = edition {
            return Ok(encode::basis_of(edition));
        }
        if basis.flags.is_none() {
            return Err(Error::NotFollowedYet);
        }
        let since = |log: &FollowedLog| log.status().borrow().stale_since();
        let (flags, devices) = (since(&self.followed.flags), since(&self.followed.devices));
        Ok(encode::basis(basis, flags, devices))
    }

    async fn service_requests(
        &self,
        authorization: &Authorization,
        request: &wire::GetServiceRequestReportRequest,
    ) -> Result<wire::GetServiceRequestReportResponse, Error> {
        let asked =
            request::figures(request, BusinessProcesses::builtin()).map_err(Error::Fields)?;
        let chosen = self.choose(asked.query.period, asked.edition).await?;
        let (asked, processes) = (asked.of(&chosen), chosen.business_processes());
        let filter = figures_filter(&asked, processes.version());
        let pages = Pages::new(self.store.tokens(), authorization, &filter);
        let after = pages.open(&request.page_token)?;
        let month = self.store.figures(&asked.query).await?;
        let basis = self.basis(&month.basis, chosen.edition.as_ref())?;
        let only = asked.process.as_ref();
        let report = asked.grouping.report(&month.figures, &processes, only);
        let (rows, more) = report.page(after.as_ref(), asked.size);
        let last = rows.last().map(|(key, _)| *key);
        Ok(wire::GetServiceRequestReportResponse {
            next_page_token: pages.next(more, last),
            rows: rows
                .into_iter()
                .map(|(key, figures)| encode::figures_row(key, figures))
                .collect(),
            totals: Some(encode::figures(&report.totals)),
            basis: Some(basis),
            business_processes_version: processes.version().to_owned(),
        })
    }

    async fn excepted(
        &self,
        authorization: &Authorization,
        request: &wire::ListExceptedRequestsRequest,
    ) -> Result<wire::ListExceptedRequestsResponse, Error> {
        let asked = request::excepted(request).map_err(Error::Fields)?;
        let chosen = self.choose(asked.query.period, asked.edition).await?;
        let asked = asked.of(&chosen);
        let filter = excepted_filter(&asked);
        let pages = Pages::new(self.store.tokens(), authorization, &filter);
        let after = pages.open(&request.page_token)?;
        let page = self
            .store
            .excepted(&asked.query, after.as_ref(), asked.size);
        let page = page.await?;
        let basis = self.basis(&page.basis, chosen.edition.as_ref())?;
        // Each row says of a Device that it was flagged: the record names it.
        let mut devices: Vec<DeviceId> =
            page.rows.iter().map(|((device, ..), _)| *device).collect();
        devices.dedup();
        authorization.notes().devices(devices);
        let last = page.rows.last().map(|(key, _)| key);
        Ok(wire::ListExceptedRequestsResponse {
            next_page_token: pages.next(page.more, last),
            rows: page.rows.iter().map(encode::excepted_row).collect(),
            basis: Some(basis),
        })
    }

    async fn obligations(
        &self,
        authorization: &Authorization,
        request: &wire::GetObligationReportRequest,
    ) -> Result<wire::GetObligationReportResponse, Error> {
        let asked = request::obligations(request).map_err(Error::Fields)?;
        let filter = obligations_filter(&asked);
        let pages = Pages::new(self.store.tokens(), authorization, &filter);
        let after = pages.open(&request.page_token)?;
        let page = match asked.period {
            None => {
                let (party, after) = (asked.party.as_ref(), after.as_ref());
                self.store.obligations(party, after, asked.size).await?
            }
            Some(period) => self.obligations_at_end(period, &asked, after).await?,
        };
        if page.basis.devices.is_none() {
            return Err(Error::NotFollowedYet);
        }
        let last = page.rows.last().map(|(party, _)| party);
        Ok(wire::GetObligationReportResponse {
            next_page_token: pages.next(page.more, last),
            rows: page.rows.iter().map(encode::obligation_row).collect(),
            basis: Some(self.basis(&page.basis, None)?),
        })
    }

    async fn obligations_at_end(
        &self,
        period: Period,
        asked: &ObligationsRequest,
        after: Option<PartyId>,
    ) -> Result<ObligationsPage, Error> {
        let refused = |why: &str| {
            let mut errors = FieldErrors::default();
            errors.add("month", why);
            Error::Fields(errors)
        };
        let known = self
            .store
            .obligations_at_end(period, asked.party.as_ref())
            .await?;
        match known {
            (AtEnd::Known(mut rows), basis) => {
                rows.retain(|(party, _)| after.as_ref() < Some(party));
                let more = rows.len() > asked.size;
                rows.truncate(asked.size);
                Ok(ObligationsPage { rows, more, basis })
            }
            _ if self.clock.now() < period.interval().end() => Err(refused("is not over")),
            (AtEnd::NotYet, _) => Err(Error::MonthNotKnownYet),
            (AtEnd::NotSeen, _) => Err(refused(
                "has no figures: it had ended before the service followed the meters",
            )),
        }
    }

    async fn flags(
        &self,
        authorization: &Authorization,
        request: &wire::GetFlagReportRequest,
    ) -> Result<wire::GetFlagReportResponse, Error> {
        let asked = request::flags(request).map_err(Error::Fields)?;
        let filter = flags_filter(&asked);
        let pages = Pages::new(self.store.tokens(), authorization, &filter);
        let after = pages.open(&request.page_token)?;
        let month = self.store.flags(&asked.query).await?;
        if month.basis.flags.is_none() || !month.is_complete {
            return Err(Error::NotFollowedYet);
        }
        let (rows, more) = page_of(&month.figures, after.as_ref(), asked.size);
        let mut totals = FlagFigures::default();
        for figures in month.figures.values() {
            totals += *figures;
        }
        let last = rows.last().map(|(holder, _)| *holder);
        Ok(wire::GetFlagReportResponse {
            next_page_token: pages.next(more, last),
            rows: rows
                .into_iter()
                .map(|(holder, figures)| encode::flag_row(holder, figures))
                .collect(),
            totals: Some(encode::flag_figures(&totals)),
            basis: Some(self.basis(&month.basis, None)?),
        })
    }
}

/// At most `size` rows after `after`, and whether more follow.
fn page_of<'a, K: Ord, V>(
    rows: &'a BTreeMap<K, V>,
    after: Option<&K>,
    size: usize,
) -> (Vec<(&'a K, &'a V)>, bool) {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = rows.range((from, Bound::Unbounded));
    let page = rest.by_ref().take(size).collect();
    (page, rest.next().is_some())
}

#[tonic::async_trait]
impl ReportingService for Reporting {
    async fn record_outcomes(
        &self,
        request: Request<Streaming<wire::RecordOutcomesRequest>>,
    ) -> Result<Response<wire::RecordOutcomesResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let mut requests = request.into_inner();
        Ok(Response::new(
            self.record(&authorization, &mut requests).await?,
        ))
    }

    async fn get_service_request_report(
        &self,
        request: Request<wire::GetServiceRequestReportRequest>,
    ) -> Result<Response<wire::GetServiceRequestReportResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let answer = self
            .service_requests(&authorization, request.get_ref())
            .await?;
        Ok(Response::new(answer))
    }

    async fn list_excepted_requests(
        &self,
        request: Request<wire::ListExceptedRequestsRequest>,
    ) -> Result<Response<wire::ListExceptedRequestsResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let answer = self.excepted(&authorization, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn get_obligation_report(
        &self,
        request: Request<wire::GetObligationReportRequest>,
    ) -> Result<Response<wire::GetObligationReportResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let answer = self.obligations(&authorization, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn close_month(
        &self,
        request: Request<wire::CloseMonthRequest>,
    ) -> Result<Response<wire::CloseMonthResponse>, Status> {
        Ok(Response::new(self.close(request.get_ref()).await?))
    }

    async fn list_editions(
        &self,
        request: Request<wire::ListEditionsRequest>,
    ) -> Result<Response<wire::ListEditionsResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let answer = self.editions(&authorization, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    type ExportEditionStream = editions::Parts;

    async fn export_edition(
        &self,
        request: Request<wire::ExportEditionRequest>,
    ) -> Result<Response<editions::Parts>, Status> {
        Ok(Response::new(self.export(request.get_ref()).await?))
    }
    async fn get_flag_report(
        &self,
        request: Request<wire::GetFlagReportRequest>,
    ) -> Result<Response<wire::GetFlagReportResponse>, Status> {
        let authorization = Authorization::of(&request)?;
        let answer = self.flags(&authorization, request.get_ref()).await?;
        Ok(Response::new(answer))
    }
}
