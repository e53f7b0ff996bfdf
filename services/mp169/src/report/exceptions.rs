//! `mp169 report exceptions`: which Devices were sent requests that the consumer's choice excepts?

use anyhow::Result;
use mesh_api::reporting::v1 as wire;

use super::{USUAL, party, rests_on};
use crate::cli::connection::Output;
use crate::cli::report::ExceptionsArgs;
use crate::reading::{self, Columns};
use crate::session::Session;

/// The table's header, in the words of the other reports: *broken* is what was delivered all the same.
const HEADER: [&str; 7] = [
    "Device", "supplier", "SRV", "excepted", "stopped", "failed", "broken",
];

/// Carries out the command.
pub(super) async fn run(args: ExceptionsArgs) -> Result<()> {
    let session = Session::open(&args.connection, USUAL)?;
    let request = wire::ListExceptedRequestsRequest {
        month: args.month,
        party_id: party(args.party, &session),
        delivered_only: args.delivered,
        ..Default::default()
    };
    let mut reporting = session.clients.reporting()?;
    let columns = Columns {
        header: &HEADER,
        row: &row,
        none: if args.delivered {
            "No excepted Service Request was delivered."
        } else {
            "No Service Request was excepted."
        },
    };
    let last = reading::show(&args.connection, args.limit, columns, async |wanted| {
        let request = wire::ListExceptedRequestsRequest {
            page_size: wanted.page_size,
            page_token: wanted.page_token,
            ..request.clone()
        };
        reporting.list_excepted_requests(request).await
    })
    .await?;
    match args.connection.output {
        Output::Json => Ok(()),
        Output::Table => rests_on(last.basis.as_ref()),
    }
}

fn row(row: &wire::ExceptedRequests) -> Vec<String> {
    let counts = [row.excepted, row.suppressed, row.failed, row.delivered];
    let names = [
        &row.device_id,
        &row.party_id,
        &row.service_reference_variant,
    ];
    let counts = counts.iter().map(ToString::to_string);
    names.into_iter().cloned().chain(counts).collect()
}
