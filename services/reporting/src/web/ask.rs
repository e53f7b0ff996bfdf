//! What do the RPCs answer, and which report is that?

use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::reporting_service_client::ReportingServiceClient;
use mesh_rpc::ChainOf;
use mesh_sheet::Report;

use super::address::{Asked, Form, Page};
use super::refusal::Refusal;
use crate::present::{self, Grouped};

/// Rows that are asked for at a time: as many as there may be.
const ROWS_AT_A_TIME: i32 = 1_000;
/// Rows of a page that has others after it.
const ROWS_OF_A_PAGE: i32 = 500;
/// Calls for one page.
const MOST_CALLS: usize = 20;

/// A report, and where it goes on.
pub(super) struct Found {
    pub(super) report: Report,
    /// The token of the next page; empty if there is none.
    pub(super) next: String,
}

type Client = ReportingServiceClient<ChainOf>;

/// The report that is asked for.
pub(super) async fn report(chain: ChainOf, asked: &Asked) -> Result<Found, Refusal> {
    let client = Client::new(chain).max_decoding_message_size(usize::MAX);
    match asked.page {
        Page::Performance => performance(client, asked).await,
        Page::Exceptions => exceptions(client, asked).await,
        Page::Obligation => obligation(client, asked).await,
        Page::Editions => editions(client).await,
        Page::Flags => flags(client, asked).await,
        Page::Index => Err(Refusal::no_page()),
    }
}

async fn performance(mut client: Client, asked: &Asked) -> Result<Found, Refusal> {
    let request = asked.performance();
    let chosen = asked.by();
    // As `mp169 report performance`: a table has all figures in one, and the others are the whole report.
    let whole = chosen.is_none() && asked.form != Form::Csv;
    let by = chosen.unwrap_or_else(|| present::FINEST.to_vec());
    let group_by: Vec<i32> = by.iter().copied().map(i32::from).collect();
    let mut all = Rows::default();
    let last = loop {
        let request = wire::GetServiceRequestReportRequest {
            group_by: group_by.clone(),
            page_size: ROWS_AT_A_TIME,
            page_token: all.token.clone(),
            ..request.clone()
        };
        let answer = client.get_service_request_report(request).await?;
        let mut answer = answer.into_inner();
        if all.take(&mut answer.rows, &answer.next_page_token)? {
            break answer;
        }
    };
    let group = Grouped {
        by,
        rows: all.rows,
        basis: last.basis.unwrap_or_default(),
        business_processes_version: last.business_processes_version,
    };
    let report = if whole {
        present::performance(&request, &group)?
    } else {
        present::service_requests(&request, &group)?
    };
    Ok(Found {
        report,
        next: String::new(),
    })
}

/// A page of them, for people, or all of them.
async fn exceptions(mut client: Client, asked: &Asked) -> Result<Found, Refusal> {
    let mut request = asked.exceptions();
    if asked.form == Form::Html {
        request.page_size = ROWS_OF_A_PAGE;
        let answer = client.list_excepted_requests(request.clone()).await?;
        let answer = answer.into_inner();
        let basis = answer.basis.unwrap_or_default();
        return Ok(Found {
            report: present::exceptions(&request, &answer.rows, &basis)?,
            next: answer.next_page_token,
        });
    }
    let mut all = Rows {
        token: std::mem::take(&mut request.page_token),
        ..Rows::default()
    };
    let basis = loop {
        let request = wire::ListExceptedRequestsRequest {
            page_size: ROWS_AT_A_TIME,
            page_token: all.token.clone(),
            ..request.clone()
        };
        let mut answer = client.list_excepted_requests(request).await?.into_inner();
        if all.take(&mut answer.rows, &answer.next_page_token)? {
            break answer.basis;
        }
    };
    Ok(Found {
        report: present::exceptions(&request, &all.rows, &basis.unwrap_or_default())?,
        next: String::new(),
    })
}

async fn obligation(mut client: Client, asked: &Asked) -> Result<Found, Refusal> {
    let request = asked.obligation();
    let mut all = Rows::default();
    let basis = loop {
        let request = wire::GetObligationReportRequest {
            page_size: ROWS_AT_A_TIME,
            page_token: all.token.clone(),
            ..request.clone()
        };
        let mut answer = client.get_obligation_report(request).await?.into_inner();
        if all.take(&mut answer.rows, &answer.next_page_token)? {
            break answer.basis;
        }
    };
    Ok(Found {
        report: present::obligation(&request, &all.rows, &basis.unwrap_or_default())?,
        next: String::new(),
    })
}

async fn flags(mut client: Client, asked: &Asked) -> Result<Found, Refusal> {
    let request = asked.flags();
    let mut all = Rows::default();
    let basis = loop {
        let request = wire::GetFlagReportRequest {
            page_size: ROWS_AT_A_TIME,
            page_token: all.token.clone(),
            ..request.clone()
        };
        let mut answer = client.get_flag_report(request).await?.into_inner();
        if all.take(&mut answer.rows, &answer.next_page_token)? {
            break answer.basis;
        }
    };
    Ok(Found {
        report: present::flags(&request, &all.rows, &basis.unwrap_or_default())?,
        next: String::new(),
    })
}

async fn editions(mut client: Client) -> Result<Found, Refusal> {
    let mut request = wire::ListEditionsRequest {
        page_size: ROWS_AT_A_TIME,
        ..Default::default()
    };
    let mut all = Rows::default();
    loop {
        let mut answer = client.list_editions(request.clone()).await?.into_inner();
        if all.take(&mut answer.editions, &answer.next_page_token)? {
            break;
        }
        request.page_token.clone_from(&all.token);
    }
    Ok(Found {
        report: present::editions(&request, &all.rows)?,
        next: String::new(),
    })
}

/// The rows of all pages so far: these reports have sums, which are those of all rows.
struct Rows<T> {
    rows: Vec<T>,
    /// Of the page to be asked for.
    token: String,
    calls: usize,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            token: String::new(),
            calls: 0,
        }
    }
}

impl<T> Rows<T> {
    /// Takes the rows of a page; says whether it was the last.
    fn take(&mut self, rows: &mut Vec<T>, next: &str) -> Result<bool, Refusal> {
        self.rows.append(rows);
        self.calls += 1;
        if next.is_empty() {
            return Ok(true);
        }
        if self.calls == MOST_CALLS {
            return Err(Refusal::too_many_rows());
        }
        next.clone_into(&mut self.token);
        Ok(false)
    }
}
