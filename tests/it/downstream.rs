//! What have the services downstream made of the log `flags`?

use std::collections::{BTreeMap, BTreeSet};

use mesh_api::classification::v1::classification_service_client::ClassificationServiceClient;
use mesh_api::classification::v1::{
    self as classification, Freshness, Verdict, decision_result, message::Content,
    structured_message::Code as MessageCode,
};
use mesh_api::common::v1::{DeviceType, Position};
use mesh_api::csp_notification::v1::{CspFlagChange, CspFlagState};
use mesh_api::flag_registry::v1::{FlagEvent, FlagFacts, FlagState, ListFlagsRequest};
use mesh_api::registration::v1::ListDevicesRequest;
use mesh_api::reporting::v1::{GetObligationReportRequest, ObligationRow};
use mesh_rpc::MeshChannel;
use mesh_testkit::wait_until;
use mp169::clients::Clients;
use mp169::home::Folder;
use tonic::Status;

use crate::tape::Tape;

/// What becomes of a read of consumption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    Deliver,
    Suppress,
}

/// The heads of the logs `flags` and `devices`.
pub(crate) async fn heads(folder: &Folder) -> (Position, Position) {
    let operator = Clients::of(folder, "operator").unwrap();
    wait_until("the services to answer", async || {
        let list = ListFlagsRequest::default();
        let flags = operator.flags().unwrap().list_flags(list).await?;
        let list = ListDevicesRequest::default();
        let devices = operator.devices().unwrap().list_devices(list).await?;
        let flags = flags.into_inner().position.unwrap();
        Ok::<_, Status>((flags, devices.into_inner().position.unwrap()))
    })
    .await
}

/// Asks classification what becomes of a read of each Device.
pub(crate) async fn classify(
    folder: &Folder,
    devices: impl IntoIterator<Item = String>,
    at_least: Option<Position>,
) -> Result<Vec<(Read, Freshness)>, Status> {
    let clients = Clients::of(folder, "dsp").unwrap();
    classify_with(&clients.classification().unwrap(), devices, at_least).await
}

/// The same over connections that are there.
pub(crate) async fn classify_with(
    client: &ClassificationServiceClient<MeshChannel>,
    devices: impl IntoIterator<Item = String>,
    at_least: Option<Position>,
) -> Result<Vec<(Read, Freshness)>, Status> {
    let messages = devices.into_iter().map(|device| classification::Message {
        content: Some(Content::Structured(classification::StructuredMessage {
            device_ids: vec![device],
            code: Some(MessageCode::ServiceReferenceVariant("4.8.1".into())),
            ..Default::default()
        })),
        origin: classification::Origin::OnDemand.into(),
    });
    let request = classification::BatchClassifyRequest {
        messages: messages.collect(),
        at_least,
    };
    let results = client
        .clone()
        .batch_classify(request)
        .await?
        .into_inner()
        .results;
    let decisions = results.into_iter().map(|result| match result.result {
        Some(decision_result::Result::Decision(decision)) => {
            let read = match decision.verdict() {
                Verdict::Deliver => Read::Deliver,
                Verdict::Suppress => Read::Suppress,
                Verdict::Unspecified => panic!("{decision:?}"),
            };
            Ok((read, decision.freshness()))
        }
        Some(decision_result::Result::Status(refused)) => {
            Err(Status::new(refused.code.into(), refused.message))
        }
        None => panic!("no answer"),
    });
    decisions.collect()
}

/// Waits until reporting has applied both logs up to here, and gives its obligation report.
pub(crate) async fn obligations(
    folder: &Folder,
    flags: &Position,
    devices: &Position,
) -> Vec<ObligationRow> {
    let clients = Clients::of(folder, "analyst").unwrap();
    let mut reports = clients.reporting().unwrap();
    wait_until("reporting to catch up", async || {
        let request = GetObligationReportRequest::default();
        let answer = reports.get_obligation_report(request).await;
        let answer = answer.map_err(|status| format!("{status:?}"))?.into_inner();
        let basis = answer.basis.unwrap();
        let reached = |at: &Option<Position>, wanted: &Position| {
            // Before the first event nobody has to know in which history it will be.
            let same_history = |at: &&Position| wanted.sequence == 0 || at.epoch == wanted.epoch;
            let at = at.as_ref().filter(same_history);
            at.is_some_and(|at| at.sequence >= wanted.sequence)
        };
        if reached(&basis.flags, flags) && reached(&basis.devices, devices) {
            Ok(answer.rows)
        } else {
            Err(format!("{basis:?}"))
        }
    })
    .await
}

/// Fails unless classification, reporting and the CSPs have made of the whole log `flags` what its
/// events say, no more and no less.
pub(crate) async fn agree(
    folder: &Folder,
    events: &[FlagEvent],
    csps: [(&str, &Tape<CspFlagChange>); 2],
    flags: &Position,
    devices: &Position,
) {
    for (csp, tape) in csps {
        let expected = projected(events, csp);
        let told = tape.after(0, expected.len()).await;
        let told: Vec<Told> = told.iter().map(told_of).collect();
        assert_eq!(told, expected, "what {csp} was told");
    }
    services_agree(folder, events, flags, devices).await;
}

/// The same of classification and reporting alone.
pub(crate) async fn services_agree(
    folder: &Folder,
    events: &[FlagEvent],
    flags: &Position,
    devices: &Position,
) {
    classification_agrees(folder, events, flags).await;
    let rows = obligations(folder, flags, devices).await;
    let reported = rows.into_iter().flat_map(|row| {
        let party = row.party_id;
        [
            (
                (party.clone(), DeviceType::Esme),
                row.electricity_reduced_by_choice,
            ),
            ((party, DeviceType::Gsme), row.gas_reduced_by_choice),
        ]
    });
    let reported: BTreeMap<_, _> = reported.filter(|(_, reduced)| *reduced > 0).collect();
    let mut expected = BTreeMap::new();
    for event in last_of_each(events)
        .into_values()
        .filter(|event| is_flagged(after(event)))
    {
        let supplier = after(event).responsible_party_id.clone();
        *expected.entry((supplier, event.device_type())).or_insert(0) += 1;
    }
    assert_eq!(reported, expected, "what reporting counts as reduced");
}

async fn classification_agrees(folder: &Folder, events: &[FlagEvent], flags: &Position) {
    let covered_ever = events
        .iter()
        .flat_map(|event| &after(event).covered_device_ids);
    let devices: BTreeSet<&String> = events
        .iter()
        .map(|event| &event.device_id)
        .chain(covered_ever)
        .collect();
    let last = last_of_each(events).into_values();
    let flagged = last.filter(|event| is_flagged(after(event)));
    let reduced: BTreeSet<&String> = flagged
        .flat_map(|event| {
            after(event)
                .covered_device_ids
                .iter()
                .chain([&event.device_id])
        })
        .collect();
    let decisions = wait_until("classification to catch up", async || {
        let devices = devices.iter().map(ToString::to_string);
        classify(folder, devices, Some(flags.clone())).await
    })
    .await;
    let suppressed = devices.into_iter().zip(decisions);
    let suppressed = suppressed.filter(|(_, (read, _))| *read == Read::Suppress);
    let suppressed: BTreeSet<&String> = suppressed.map(|(device, _)| device).collect();
    assert_eq!(suppressed, reduced, "what classification suppresses");
}

/// What a CSP knows of a reduced Device: its hub, and what the flag covers.
pub(crate) type Known = (String, Vec<String>);

/// What a CSP is told: by which event, of which Device, and whether it is reduced, where.
type Told = (u64, String, bool, Known);

fn told_of(change: &CspFlagChange) -> Told {
    (
        change.flag_position.as_ref().unwrap().sequence,
        change.device_id.clone(),
        change.state() == CspFlagState::Reduced,
        (
            change.communications_hub_id.clone(),
            change.covered_device_ids.clone(),
        ),
    )
}

/// What a CSP must have been told, in order: whatever changes what it knows of a Device.
fn projected(events: &[FlagEvent], csp: &str) -> Vec<Told> {
    let known = |facts: &FlagFacts| known(facts, csp);
    let told = events.iter().filter_map(|event| {
        let before = known(event.previous.as_ref().unwrap());
        let now = known(after(event));
        let (is_reduced, what) = match (before, now) {
            (before, now) if before == now => return None,
            (_, Some(now)) => (true, now),
            (before, None) => (false, before?),
        };
        Some((event.sequence, event.device_id.clone(), is_reduced, what))
    });
    told.collect()
}

/// The Devices that are reduced on a CSP's hubs after all events.
pub(crate) fn reduced(events: &[FlagEvent], csp: &str) -> BTreeMap<String, Known> {
    let last = last_of_each(events).into_iter();
    last.filter_map(|(device, event)| Some((device.to_owned(), known(after(event), csp)?)))
        .collect()
}

/// What a CSP is to know, if the Device is reduced and on its hubs.
fn known(facts: &FlagFacts, csp: &str) -> Option<Known> {
    (is_flagged(facts) && facts.csp_id == csp).then(|| {
        (
            facts.communications_hub_id.clone(),
            facts.covered_device_ids.clone(),
        )
    })
}

/// The Devices whose flag is set after all events.
pub(crate) fn flagged(events: &[FlagEvent]) -> BTreeSet<String> {
    let last = last_of_each(events).into_iter();
    last.filter(|(_, event)| is_flagged(after(event)))
        .map(|(device, _)| device.to_owned())
        .collect()
}

/// The last event about each Device.
fn last_of_each(events: &[FlagEvent]) -> BTreeMap<&str, &FlagEvent> {
    let events = events.iter();
    events
        .map(|event| (event.device_id.as_str(), event))
        .collect()
}

fn after(event: &FlagEvent) -> &FlagFacts {
    event.current.as_ref().unwrap()
}

fn is_flagged(facts: &FlagFacts) -> bool {
    facts.state() == FlagState::Flagged
}
