//! What is a valid request of each RPC, for each caller?
//!
//! Every request is made for the call: one that changes something names what no other call names, or
//! changes what its caller may change as often as it likes.

use std::sync::atomic::{AtomicU64, Ordering};

use mesh_api::audit::v1 as audit;
use mesh_api::classification::v1 as classification;
use mesh_api::common::v1::{self as common, DeviceType, MessageClass};
use mesh_api::convert::timestamp_to_wire;
use mesh_api::csp_notification::v1 as csp;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::operations::v1 as operations;
use mesh_api::registration::v1 as registration;
use mesh_api::reporting::v1 as reporting;
use mesh_authz::Role;
use mesh_types::{Clock as _, DeviceId, Eui64, Mpan, SystemClock};
use prost::Message;
use prost_types::Timestamp;

use super::cast::{ANNOUNCED, CSP_ID, Caller, RIGHT, SPARE, announced_mpan, meter_of};

/// What a request is about.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// The party that it names, and that captured the consumer's choice.
    pub(crate) party: &'static str,
    /// The Device that it names.
    pub(crate) device: DeviceId,
    /// The position that a CSP acknowledges.
    pub(crate) sent: common::Position,
}

impl About {
    /// What `caller` asks about.
    pub(crate) fn of(caller: Caller, sent: &common::Position) -> Self {
        Self {
            party: caller.about,
            device: meter_of(caller.about),
            sent: sent.clone(),
        }
    }
}

/// A valid request of the RPC, encoded. An RPC that is new to the contracts needs a line here.
pub(crate) fn request(service: &str, method: &str, about: &About) -> Vec<u8> {
    let service = service.rsplit('.').next().unwrap_or_default();
    let found = match service {
        "PartyService" => party_service(method, about),
        "DeviceService" => device_service(method, about),
        "AuthorityService" => authority_service(method, about),
        "FlagService" => flag_service(method, about),
        "ClassificationService" => classification_service(method, about),
        "CspNotificationService" => csp_notification_service(method, about),
        "ReportingService" => reporting_service(method, about),
        "OperationsService" => operations_service(method),
        "AuditService" => audit_service(method),
        _ => None,
    };
    found.unwrap_or_else(|| panic!("no valid request is known of {service}/{method}"))
}

fn audit_service(method: &str) -> Option<Vec<u8>> {
    Some(match method {
        "ListAuditRecords" => encoded(audit::ListAuditRecordsRequest::default()),
        "FollowAudit" => encoded(audit::FollowAuditRequest {
            start: Some(common::FollowStart {
                start: Some(common::follow_start::Start::Snapshot(
                    common::SnapshotStart::default(),
                )),
                ..Default::default()
            }),
        }),
        _ => return None,
    })
}

fn party_service(method: &str, about: &About) -> Option<Vec<u8>> {
    Some(match method {
        "PutParty" => encoded(registration::PutPartyRequest {
            request_id: request_id(),
            party: Some(new_party()),
            etag: "0".into(),
        }),
        "SetPartyStatus" => encoded(registration::SetPartyStatusRequest {
            request_id: request_id(),
            party_id: SPARE.into(),
            status: registration::PartyStatus::Suspended.into(),
            reason: "By request of the Panel.".into(),
        }),
        "GetParty" => encoded(registration::GetPartyRequest {
            party_id: about.party.into(),
            ..Default::default()
        }),
        "ListParties" => encoded(registration::ListPartiesRequest::default()),
        "FollowParties" => encoded(registration::FollowPartiesRequest {
            start: Some(from_snapshot()),
        }),
        _ => return None,
    })
}

fn device_service(method: &str, about: &About) -> Option<Vec<u8>> {
    Some(match method {
        "PutDevice" => encoded(registration::PutDeviceRequest {
            request_id: request_id(),
            device: Some(new_hub()),
            etag: "0".into(),
        }),
        "GetDevice" => encoded(registration::GetDeviceRequest {
            device_id: about.device.to_string(),
            ..Default::default()
        }),
        "ListDevices" => encoded(registration::ListDevicesRequest::default()),
        "ChangeSupplier" => encoded(registration::ChangeSupplierRequest {
            request_id: request_id(),
            mpxn: new_mpan(),
            party_id: RIGHT.into(),
            start_time: None,
        }),
        "WithdrawRegistration" => encoded(registration::WithdrawRegistrationRequest {
            request_id: request_id(),
            mpxn: announced_mpan(fresh()),
            party_id: RIGHT.into(),
            start_time: Some(timestamp_to_wire(*ANNOUNCED)),
        }),
        "ListRegistrations" => encoded(registration::ListRegistrationsRequest {
            mpxn: new_mpan(),
            ..Default::default()
        }),
        "ImportInventory" => {
            let row = registration::inventory_row::Row::Device(new_hub());
            encoded(registration::ImportInventoryRequest {
                rows: vec![registration::InventoryRow { row: Some(row) }],
                validate_only: false,
            })
        }
        "FollowDevices" => encoded(registration::FollowDevicesRequest {
            start: Some(from_snapshot()),
        }),
        _ => return None,
    })
}

fn authority_service(method: &str, about: &About) -> Option<Vec<u8>> {
    Some(match method {
        "GetAuthority" => encoded(registration::GetAuthorityRequest {
            device_id: about.device.to_string(),
            ..Default::default()
        }),
        "BatchGetAuthority" => encoded(registration::BatchGetAuthorityRequest {
            device_ids: vec![about.device.to_string()],
            ..Default::default()
        }),
        "GetAuthorityForParties" => encoded(registration::GetAuthorityForPartiesRequest {
            questions: vec![registration::AuthorityQuestion {
                device_id: about.device.to_string(),
                for_party_id: RIGHT.into(),
                for_write: false,
            }],
        }),
        _ => return None,
    })
}

fn flag_service(method: &str, about: &About) -> Option<Vec<u8>> {
    let device_id = about.device.to_string();
    Some(match method {
        "AddFlag" => encoded(add_flag(about)),
        "RemoveFlag" => encoded(remove_flag(about)),
        "BatchAddFlags" => encoded(flags::BatchAddFlagsRequest {
            requests: vec![add_flag(about)],
        }),
        "BatchRemoveFlags" => encoded(flags::BatchRemoveFlagsRequest {
            requests: vec![remove_flag(about)],
        }),
        "RecordTenancyChange" => encoded(flags::RecordTenancyChangeRequest {
            request_id: request_id(),
            device_id,
            tenancy_start_time: Some(now()),
            choice: Some(choice(flags::Preference::Full, about)),
            ..Default::default()
        }),
        "NoteTenancyRestriction" => encoded(flags::NoteTenancyRestrictionRequest {
            request_id: request_id(),
            device_id,
        }),
        "GetFlag" => encoded(flags::GetFlagRequest {
            device_id,
            ..Default::default()
        }),
        "BatchGetFlags" => encoded(flags::BatchGetFlagsRequest {
            device_ids: vec![device_id],
            ..Default::default()
        }),
        "ListFlags" => encoded(flags::ListFlagsRequest {
            party_id: about.party.into(),
            ..Default::default()
        }),
        "ListFlagEvents" => encoded(flags::ListFlagEventsRequest {
            device_id,
            ..Default::default()
        }),
        "FollowFlags" => encoded(flags::FollowFlagsRequest {
            start: Some(from_snapshot()),
        }),
        _ => return None,
    })
}

fn add_flag(about: &About) -> flags::AddFlagRequest {
    flags::AddFlagRequest {
        request_id: request_id(),
        device_id: about.device.to_string(),
        choice: Some(choice(flags::Preference::Reduced, about)),
        reasonable_steps: Some(flags::ReasonableSteps {
            steps: vec![flags::ReasonableStep {
                kind: flags::StepKind::BenefitsExplained.into(),
                taken_time: Some(now()),
            }],
            contact_reference: "CONTACT-1".into(),
        }),
        site_declarations: Some(flags::SiteDeclarations {
            economy_7_or_similar: flags::Declaration::Absent.into(),
            radio_teleswitch: flags::Declaration::Absent.into(),
            network_managed_without_wan: flags::Declaration::Absent.into(),
        }),
        ..Default::default()
    }
}

fn remove_flag(about: &About) -> flags::RemoveFlagRequest {
    flags::RemoveFlagRequest {
        request_id: request_id(),
        device_id: about.device.to_string(),
        choice: Some(choice(flags::Preference::Full, about)),
        ..Default::default()
    }
}

fn classification_service(method: &str, about: &About) -> Option<Vec<u8>> {
    let message = classification::Message {
        content: Some(classification::message::Content::Structured(read(about))),
        origin: classification::Origin::OnDemand.into(),
    };
    Some(match method {
        "Classify" => encoded(classification::ClassifyRequest {
            message: Some(message),
            at_least: None,
        }),
        "BatchClassify" => encoded(classification::BatchClassifyRequest {
            messages: vec![message],
            at_least: None,
        }),
        "ClassifyStream" => encoded(classification::ClassifyStreamRequest {
            messages: vec![message],
            at_least: None,
        }),
        "ListRules" => encoded(classification::ListRulesRequest::default()),
        _ => return None,
    })
}

fn csp_notification_service(method: &str, about: &About) -> Option<Vec<u8>> {
    use csp::follow_flag_changes_request::Start;
    let csp_id = CSP_ID.to_owned();
    Some(match method {
        "FollowFlagChanges" => encoded(csp::FollowFlagChangesRequest {
            csp_id,
            start: Some(Start::Snapshot(common::SnapshotStart::default())),
            seen: None,
        }),
        "AcknowledgeFlagChanges" => encoded(csp::AcknowledgeFlagChangesRequest {
            csp_id,
            up_to: Some(about.sent.clone()),
            applied_time: Some(now()),
        }),
        "GetSubscription" => encoded(csp::GetSubscriptionRequest { csp_id }),
        "ListSubscriptions" => encoded(csp::ListSubscriptionsRequest::default()),
        "GetDeliveryReport" => encoded(csp::GetDeliveryReportRequest {
            from_time: Some(hour(0)),
            until_time: Some(hour(1)),
            csp_id,
            ..Default::default()
        }),
        _ => return None,
    })
}

fn reporting_service(method: &str, about: &About) -> Option<Vec<u8>> {
    Some(match method {
        "RecordOutcomes" => encoded(reporting::RecordOutcomesRequest {
            batch_number: 0,
            producer: "dsp-1".into(),
            outcomes: vec![reporting::Outcome {
                outcome_id: request_id(),
                party_id: RIGHT.into(),
                device_id: about.device.to_string(),
                service_reference_variant: "4.8.1".into(),
                message_class: MessageClass::Consumption.into(),
                request_time: Some(now()),
                result: reporting::OutcomeResult::Succeeded.into(),
                origin: reporting::OutcomeOrigin::OnDemand.into(),
            }],
        }),
        "GetServiceRequestReport" => encoded(reporting::GetServiceRequestReportRequest {
            month: "2026-10".into(),
            party_id: about.party.into(),
            ..Default::default()
        }),
        "ListExceptedRequests" => encoded(reporting::ListExceptedRequestsRequest {
            month: "2026-10".into(),
            party_id: about.party.into(),
            ..Default::default()
        }),
        "CloseMonth" => encoded(closed_month()),
        "ListEditions" => encoded(reporting::ListEditionsRequest::default()),
        "ExportEdition" => encoded(reporting::ExportEditionRequest {
            month: closed_month().month,
            ..Default::default()
        }),
        "GetFlagReport" => encoded(reporting::GetFlagReportRequest {
            month: "2026-10".into(),
            party_id: about.party.into(),
            ..Default::default()
        }),
        "GetObligationReport" => encoded(reporting::GetObligationReportRequest {
            party_id: about.party.into(),
            ..Default::default()
        }),
        _ => return None,
    })
}

/// A month of long ago, which is closed.
pub(crate) fn closed_month() -> reporting::CloseMonthRequest {
    reporting::CloseMonthRequest {
        month: "2025-01".into(),
        ..Default::default()
    }
}

fn operations_service(method: &str) -> Option<Vec<u8>> {
    Some(match method {
        "GetStatus" => encoded(operations::GetStatusRequest {}),
        "CheckState" => encoded(operations::CheckStateRequest {}),
        _ => return None,
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "each request is made to be encoded"
)]
fn encoded(message: impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

/// A number that was not given out before.
fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn now() -> Timestamp {
    timestamp_to_wire(SystemClock.now())
}

/// A whole hour of some day.
fn hour(number: i64) -> Timestamp {
    Timestamp {
        seconds: (490_000 + number) * 3_600,
        nanos: 0,
    }
}

fn from_snapshot() -> common::FollowStart {
    use common::follow_start::Start;
    common::FollowStart {
        start: Some(Start::Snapshot(common::SnapshotStart::default())),
        seen: None,
    }
}

fn new_party() -> registration::Party {
    let number = fresh();
    registration::Party {
        party_id: format!("NEW-{number}"),
        name: format!("New party {number}"),
        identities: vec![registration::PartyIdentity {
            entity_id: Eui64::from_u64(0x9C54_CA12_0000_0000 | number).to_string(),
            roles: vec![Role::OtherUser.into()],
        }],
        ..Default::default()
    }
}

fn new_hub() -> registration::Device {
    registration::Device {
        device_id: Eui64::from_u64(0x02DC_CA12_0000_0000 | fresh()).to_string(),
        r#type: DeviceType::Chf.into(),
        smi_status: registration::SmiStatus::Commissioned.into(),
        smi_status_time: Some(now()),
        csp_id: CSP_ID.into(),
        ..Default::default()
    }
}

fn new_mpan() -> String {
    let mpan = Mpan::with_check_digit(300_000_000_000 + fresh());
    mpan.unwrap().to_string()
}

fn choice(preference: flags::Preference, about: &About) -> flags::ConsumerChoice {
    flags::ConsumerChoice {
        preference: preference.into(),
        captured_time: Some(now()),
        channel: flags::Channel::Telephone.into(),
        captured_by_party_id: about.party.into(),
        evidence_reference: "CALL-1".into(),
    }
}

/// A read of half-hourly consumption.
fn read(about: &About) -> classification::StructuredMessage {
    use classification::structured_message::Code;
    classification::StructuredMessage {
        device_ids: vec![about.device.to_string()],
        code: Some(Code::ServiceReferenceVariant("4.8.1".into())),
        ..Default::default()
    }
}
