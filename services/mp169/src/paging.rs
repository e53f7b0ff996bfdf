//! How are lists shown to their end? A page at a time, so that nothing grows with the list.

use anyhow::Result;
use mesh_api::csp_notification::v1::{ListSubscriptionsResponse, Subscription};
use mesh_api::flag_registry::v1::{
    FlagEntry, FlagEvent, ListFlagEventsResponse, ListFlagsResponse,
};
use mesh_api::registration::v1::{Device, ListDevicesResponse, ListPartiesResponse, Party};
use mesh_api::reporting::v1::{
    GetObligationReportResponse, GetServiceRequestReportResponse, ObligationRow, ServiceRequestRow,
};
use mesh_rpc::Retry;
use prost::{Message, Name};
use tonic::{Response, Status};

use crate::cli::connection::{Connection, Limit, Output};
use crate::output::{print_json, print_line, print_table};

/// The most items of a page, as every list of the contracts has it.
const LARGEST: u32 = 1_000;

/// A page of a list.
pub(crate) trait Page: Message + Name {
    /// What is listed.
    type Item;

    /// The items of the page.
    fn items(&self) -> &[Self::Item];

    /// What asks for the page after it; empty on the last.
    fn next(&self) -> &str;
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

pages! {
    ListFlagsResponse: entries of FlagEntry,
    ListFlagEventsResponse: events of FlagEvent,
    ListPartiesResponse: parties of Party,
    ListDevicesResponse: devices of Device,
    ListSubscriptionsResponse: subscriptions of Subscription,
    GetServiceRequestReportResponse: rows of ServiceRequestRow,
    GetObligationReportResponse: rows of ObligationRow,
}

/// How the items of a list are shown.
pub(crate) struct Columns<'a, T> {
    /// The table's header.
    pub(crate) header: &'a [&'a str],
    /// The cells of an item.
    pub(crate) row: fn(&T) -> Vec<String>,
    /// What to say if there is none.
    pub(crate) none: &'a str,
}

/// Asks for one page after the other, for each with its size and token, and shows them: a table or
/// a line of JSON for each. Gives the last page.
pub(crate) async fn show<P: Page>(
    connection: &Connection,
    limit: Limit,
    columns: Columns<'_, P::Item>,
    mut ask: impl AsyncFnMut(i32, String) -> Result<Response<P>, Status>,
) -> Result<P> {
    let retry = Retry::default();
    let mut left = limit.most.unwrap_or(u32::MAX);
    let mut token = String::new();
    loop {
        let size = i32::try_from(left.min(LARGEST))?;
        let page = retry.idempotent(async || ask(size, token.clone()).await);
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
        page.next().clone_into(&mut token);
        if token.is_empty() {
            return Ok(page);
        }
        if left == 0 {
            eprintln!("More follow; a higher --limit shows them.");
            return Ok(page);
        }
    }
}
