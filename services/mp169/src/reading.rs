//! How is the mesh asked, as of now or as of before? Lists are shown to their end, a page at a time,
//! so that nothing grows with the list.

use anyhow::Result;
use mesh_api::common::v1::{AsOf, Position};
use mesh_api::csp_notification::v1::{
    DeliveryRow, GetDeliveryReportResponse, ListSubscriptionsResponse, Subscription,
};
use mesh_api::flag_registry::v1::{
    FlagEntry, FlagEvent, GetFlagResponse, ListFlagEventsResponse, ListFlagsResponse,
};
use mesh_api::registration::v1::{
    Device, GetAuthorityResponse, GetDeviceResponse, GetPartyResponse, ListDevicesResponse,
    ListPartiesResponse, ListRegistrationsResponse, Party,
};
use mesh_api::reporting::v1::{
    ExceptedRequests, FlagRow, GetFlagReportResponse, GetObligationReportResponse,
    GetServiceRequestReportResponse, ListEditionsResponse, ListExceptedRequestsResponse,
    ListedEdition, ObligationRow, ServiceRequestRow,
};
use mesh_rpc::Retry;
use prost::{Message, Name};
use tonic::{Response, Status};

use crate::cli::as_of::AsOfArgs;
use crate::cli::connection::{Connection, Limit, Output};
use crate::cli::question::Listing;
use crate::output::{complain, print_json, print_line, print_table};

/// The most items of a page, as every list of the contracts has it.
const LARGEST: u32 = 1_000;

/// An answer that says which position it shows.
pub(crate) trait Positioned {
    /// The position.
    fn position(self) -> Option<Position>;
}

/// A page of a list.
pub(crate) trait Page: Message + Name {
    /// What is listed.
    type Item;

    /// The items of the page.
    fn items(&self) -> &[Self::Item];

    /// What asks for the page after it; empty on the last.
    fn next(&self) -> &str;
}

macro_rules! positioned {
    ($($answer:ident,)*) => {
        $(impl Positioned for $answer {
            fn position(self) -> Option<Position> {
                self.position
            }
        })*
    };
}

macro_rules! pages {
    ($($page:ident: $items:ident of $item:ident,)*) => {
        $(impl Page for $page {
            type Item = $item;

            fn items(&self) -> &[$item] {
                &self.$items
            }

            fn next(&self) -> &str {
                &self.next_page_token
            }
        })*
    };
}

positioned! {
    GetAuthorityResponse,
    GetDeviceResponse,
    GetFlagResponse,
    GetPartyResponse,
    ListDevicesResponse,
    ListFlagEventsResponse,
    ListFlagsResponse,
    ListPartiesResponse,
    ListRegistrationsResponse,
}

pages! {
    ListFlagsResponse: entries of FlagEntry,
    ListFlagEventsResponse: events of FlagEvent,
    ListPartiesResponse: parties of Party,
    ListDevicesResponse: devices of Device,
    ListSubscriptionsResponse: subscriptions of Subscription,
    GetDeliveryReportResponse: rows of DeliveryRow,
    GetServiceRequestReportResponse: rows of ServiceRequestRow,
    ListEditionsResponse: editions of ListedEdition,
    ListExceptedRequestsResponse: rows of ExceptedRequests,
    GetObligationReportResponse: rows of ObligationRow,
    GetFlagReportResponse: rows of FlagRow,
}

/// Asks something as of what `known` says.
pub(crate) async fn read<R: Positioned>(
    known: &AsOfArgs,
    mut ask: impl AsyncFnMut(Option<AsOf>) -> Result<Response<R>, Status>,
) -> Result<R, Status> {
    let as_of = resolve(known, async || ask(None).await).await?;
    let retry = Retry::default();
    let answer = retry.idempotent(async || ask(as_of.clone()).await).await?;
    Ok(answer.into_inner())
}

/// Of a sequence it has to be found out which log it is in: any answer of now says so.
async fn resolve<R: Positioned>(
    known: &AsOfArgs,
    ask_now: impl AsyncFnMut() -> Result<Response<R>, Status>,
) -> Result<Option<AsOf>, Status> {
    if !known.needs_head() {
        return Ok(known.on(None));
    }
    let now = Retry::default().idempotent(ask_now).await?;
    Ok(known.on(now.into_inner().position()))
}

/// How the items of a list are shown.
pub(crate) struct Columns<'a, T> {
    /// The table's header.
    pub(crate) header: &'a [&'a str],
    /// The cells of an item.
    pub(crate) row: &'a dyn Fn(&T) -> Vec<String>,
    /// What to say if there is none.
    pub(crate) none: &'a str,
}

/// Which page of a list is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// The most items.
    pub(crate) page_size: i32,
    /// What the page before said.
    pub(crate) page_token: String,
    /// What the list rests on.
    pub(crate) as_of: Option<AsOf>,
}

/// Shows a list as of what `listing` says.
pub(crate) async fn show_known<P: Page + Positioned>(
    listing: &Listing,
    columns: Columns<'_, P::Item>,
    mut ask: impl AsyncFnMut(Wanted) -> Result<Response<P>, Status>,
) -> Result<()> {
    let first = Wanted {
        page_size: 1,
        ..Wanted::default()
    };
    let as_of = resolve(&listing.known, async || ask(first.clone()).await).await?;
    show(
        &listing.connection,
        listing.limit,
        columns,
        async |wanted| {
            let as_of = as_of.clone();
            ask(Wanted { as_of, ..wanted }).await
        },
    )
    .await?;
    Ok(())
}

/// Asks for one page after the other and shows them: a table or a line of JSON for each. Gives the
/// last.
pub(crate) async fn show<P: Page>(
    connection: &Connection,
    limit: Limit,
    columns: Columns<'_, P::Item>,
    mut ask: impl AsyncFnMut(Wanted) -> Result<Response<P>, Status>,
) -> Result<P> {
    let retry = Retry::default();
    let mut left = limit.most.unwrap_or(u32::MAX);
    let mut wanted = Wanted::default();
    loop {
        wanted.page_size = i32::try_from(left.min(LARGEST))?;
        let page = retry.idempotent(async || ask(wanted.clone()).await);
        let page = page.await?.into_inner();
        match connection.output {
            Output::Json => print_json(&page)?,
            Output::Table if page.items().is_empty() => print_line(&columns.none)?,
            Output::Table => {
                let rows = page.items().iter().map(columns.row);
                print_table(columns.header, rows.collect())?;
            }
        }
        left = left.saturating_sub(u32::try_from(page.items().len())?);
        page.next().clone_into(&mut wanted.page_token);
        if wanted.page_token.is_empty() {
            return Ok(page);
        }
        if left == 0 {
            complain(&"More follow; a higher --limit shows them.");
            return Ok(page);
        }
    }
}

/// Asks for one page after the other. Gives the items of all, and the last page.
pub(crate) async fn gather<P: Page<Item: Clone>>(
    limit: Limit,
    mut ask: impl AsyncFnMut(Wanted) -> Result<Response<P>, Status>,
) -> Result<(Vec<P::Item>, P)> {
    let retry = Retry::default();
    let most = limit.most.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    });
    let mut items = Vec::new();
    let mut wanted = Wanted::default();
    loop {
        let left = u32::try_from(most - items.len()).unwrap_or(u32::MAX);
        wanted.page_size = i32::try_from(left.min(LARGEST))?;
        let page = retry.idempotent(async || ask(wanted.clone()).await);
        let page = page.await?.into_inner();
        items.extend_from_slice(page.items());
        page.next().clone_into(&mut wanted.page_token);
        if !wanted.page_token.is_empty() && items.len() < most {
            continue;
        }
        if !wanted.page_token.is_empty() {
            complain(&"More follow; a higher --limit shows them.");
        }
        return Ok((items, page));
    }
}
