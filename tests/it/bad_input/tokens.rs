//! Page tokens of another caller, of another request, of another list, and changed on the way.

use futures::future::BoxFuture;
use mesh_api::classification::v1 as classification;
use mesh_api::common::v1::ErrorReason as R;
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1 as csp;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;
use mesh_api::reporting::v1 as reporting;
use mesh_types::Timestamp;
use mp169::clients::Clients;
use mp169::sample::ALBION;
use tonic::{Code, Status};

use super::{HOME, Table};

/// Asks for a page of one item, of a list or (`filtered`) of the same list under another filter, and
/// gives the token of the next page.
type Page = fn(Clients, bool, String) -> BoxFuture<'static, Result<String, Status>>;

/// A list, and whether there is anything to filter it by.
type List = (&'static str, Page, bool);

const LISTS: [List; 8] = [
    ("ListParties", parties, false),
    ("ListDevices", devices, true),
    ("ListFlags", flags, true),
    ("ListFlagEvents", events, true),
    ("ListRules", rules, false),
    ("ListSubscriptions", subscriptions, false),
    ("GetDeliveryReport", deliveries, true),
    ("GetObligationReport", obligations, true),
];

pub(super) async fn that_were_given_to_somebody_else(table: &mut Table) {
    let (invalid, reason) = (Code::InvalidArgument, R::PageTokenInvalid);
    let mut tokens = Vec::new();
    for list in LISTS {
        tokens.push(check(table, list).await);
    }
    for (token, (from, ..)) in tokens.iter().zip(LISTS) {
        for (rpc, page, _) in LISTS.iter().filter(|(rpc, ..)| *rpc != from) {
            let answer = page(table.mesh.clients("operator"), false, token.clone()).await;
            table.refused(
                format!("{rpc} with a token of {from}"),
                answer,
                invalid,
                reason,
            );
        }
    }
}

/// Gives a good token.
async fn check(table: &mut Table, (rpc, page, filters): List) -> String {
    let operator = table.mesh.clients("operator");
    let (invalid, reason) = (Code::InvalidArgument, R::PageTokenInvalid);
    let token = page(operator.clone(), false, String::new()).await.unwrap();
    assert_ne!(token, "", "{rpc} has only one page");
    page(operator.clone(), false, token.clone()).await.unwrap();
    let answer = page(table.mesh.clients("auditor"), false, token.clone()).await;
    table.refused(
        format!("{rpc} with another's token"),
        answer,
        invalid,
        reason,
    );
    if filters {
        let answer = page(operator.clone(), true, token.clone()).await;
        table.refused(format!("{rpc} filtered otherwise"), answer, invalid, reason);
    }
    for changed in changed(&token) {
        let answer = page(operator.clone(), false, changed.clone()).await;
        let shown: String = changed.chars().take(100).collect();
        table.refused(format!("{rpc} with {shown:?}"), answer, invalid, reason);
    }
    token
}

/// What may have become of a token on its way.
fn changed(token: &str) -> Vec<String> {
    let flipped = |at: usize| {
        let mut octets = token.as_bytes().to_vec();
        octets[at] = if octets[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(octets).unwrap()
    };
    let cut = &token[..token.len() - 4];
    let mut changed: Vec<String> = ["x", "\0", "\u{e9}", cut].map(str::to_owned).into();
    changed.extend(["A".repeat(100_000), format!("{token}A")]);
    changed.extend((0..token.len()).step_by(9).map(flipped));
    changed
}

fn parties(
    clients: Clients,
    _filtered: bool,
    page_token: String,
) -> BoxFuture<'static, Result<String, Status>> {
    Box::pin(async move {
        let request = registration::ListPartiesRequest {
            page_size: 1,
            page_token,
            ..Default::default()
        };
        let page = clients.parties().unwrap().list_parties(request).await?;
        Ok(page.into_inner().next_page_token)
    })
}

fn devices(
    clients: Clients,
    filtered: bool,
    page_token: String,
) -> BoxFuture<'static, Result<String, Status>> {
    Box::pin(async move {
        let mut request = registration::ListDevicesRequest {
            page_size: 1,
            page_token,
            ..Default::default()
        };
        if filtered {
            request.communications_hub_id = HOME.hub().to_string();
        }
        let page = clients.devices().unwrap().list_devices(request).await?;
        Ok(page.into_inner().next_page_token)
    })
}

fn flags(
    clients: Clients,
    filtered: bool,
    page_token: String,
) -> BoxFuture<'static, Result<String, Status>> {
    Box::pin(async move {
        let mut request = flags::ListFlagsRequest {
            page_size: 1,
            page_token,
            ..Default::default()
        };
        if filtered {
            request.state = flags::FlagState::Flagged.into();
        }
        let page = clients.flags().unwrap().list_flags(request).await?;
        Ok(page.into_inner().next_page_token)
    })
}

fn events(
    clients: Clients,
    filtered: bool,
    page_token: String,
) -> BoxFuture<'static, Result<String, Status>> {
    Box::pin(async move {
        let mut request = flags::ListFlagEventsRequest {
            page_size: 1,
            page_token,
            device_id: HOME.esme().to_string(),
            ..Default::default()
        };
        if filtered {
            request.device_id = HOME.gsme().to_string();
        }
        let page = clients.flags().unwrap().list_flag_events(request).await?;
        Ok(page.into_inner().next_page_token)
    })
}

fn rules(
    clients: Clients,
    _filtered: bool,
    page_token: String,
) -> BoxFuture<'static, Result<String, Status>> {
    Box::pin(async move {
        let request = classification::ListRulesRequest {
            page_size: 1,
            page_token,
        };
        let page = clients
            .classification()
            .unwrap()
            .list_rules(request)
            .await?;
        Ok(page.into_inner().next_page_token)
    })
}

fn subscriptions(
    clients: Clients,
    _filtered: bool,
    page_token: String,
) -> BoxFuture<'static, Result<String, Status>> {
    Box::pin(async move {
        let request = csp::ListSubscriptionsRequest {
            page_size: 1,
            page_token,
        };
        let page = clients.csp().unwrap().list_subscriptions(request).await?;
        Ok(page.into_inner().next_page_token)
    })
}

fn deliveries(
    clients: Clients,
    filtered: bool,
    page_token: String,
) -> BoxFuture<'static, Result<String, Status>> {
    let hour = |number: i64| {
        let micros = (490_000 + number) * 3_600_000_000;
        Some(timestamp_to_wire(Timestamp::from_micros(micros)))
    };
    Box::pin(async move {
        let request = csp::GetDeliveryReportRequest {
            from_time: hour(0),
            until_time: hour(if filtered { 1 } else { 2 }),
            page_size: 1,
            page_token,
            ..Default::default()
        };
        let page = clients.csp().unwrap().get_delivery_report(request).await?;
        Ok(page.into_inner().next_page_token)
    })
}

fn obligations(
    clients: Clients,
    filtered: bool,
    page_token: String,
) -> BoxFuture<'static, Result<String, Status>> {
    Box::pin(async move {
        let mut request = reporting::GetObligationReportRequest {
            page_size: 1,
            page_token,
            ..Default::default()
        };
        if filtered {
            request.party_id = ALBION.id.to_owned();
        }
        let page = clients
            .reporting()
            .unwrap()
            .get_obligation_report(request)
            .await?;
        Ok(page.into_inner().next_page_token)
    })
}
