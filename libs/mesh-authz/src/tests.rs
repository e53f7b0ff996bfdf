//! The layer around a handler that says what reached it.

use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use mesh_api::common::v1::{ErrorReason, Position as WirePosition};
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;
use mesh_api::status::reason_of;
use mesh_types::{DeviceId, Epoch, PartyId, Position};
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    Authority, AuthorityError, AuthoritySource, Authorization, AuthorizeLayer, Authorizer, Basis,
    Directory, Identity, InternalRole, ON_BEHALF_OF, Refusal, Role, Rules,
};

const FLAGS: &str = "/mp169.flag_registry.v1.FlagService/";
const DEVICE: &str = "00-DB-12-34-56-78-90-A0";
const OTHER_DEVICE: &str = "00-DB-12-34-56-78-90-A1";
const ACME: &str = "90-B3-D5-1F-30-01-00-00";
const RIVAL: &str = "90-B3-D5-1F-30-01-00-01";
const GATEWAY: &str = "90-B3-D5-1F-30-01-00-02";

/// ACME is responsible for every Device; `reachable` says whether registration answers.
struct Registration {
    reachable: bool,
}

#[async_trait]
impl AuthoritySource for Registration {
    async fn authorities(
        &self,
        _party: &PartyId,
        devices: &[DeviceId],
        _at_least: Option<&Position>,
    ) -> Result<Vec<Authority>, AuthorityError> {
        if !self.reachable {
            return Err(AuthorityError::Unreachable);
        }
        let position = WirePosition {
            log: "devices".into(),
            epoch: 1,
            sequence: 1,
        };
        let facts = |device: &DeviceId| registration::Authority {
            device_id: device.to_string(),
            responsible_party_id: "ACME".into(),
            responsible_party_status: registration::PartyStatus::Active.into(),
            ..Default::default()
        };
        Ok(devices
            .iter()
            .map(|d| Authority::from_wire(facts(d), &position).unwrap())
            .collect())
    }

    async fn leased(
        &self,
        party: &PartyId,
        devices: &[DeviceId],
        at_least: Option<&Position>,
    ) -> Result<Vec<Authority>, AuthorityError> {
        let answers = self.authorities(party, devices, at_least).await?;
        let lease = std::time::Duration::from_secs(1);
        let leased = |answer: Authority| answer.leased(std::time::Instant::now(), lease);
        Ok(answers.into_iter().map(leased).collect())
    }

    async fn followed(&self, party: &PartyId, device: DeviceId) -> bool {
        party.as_str() == "ACME" && device.to_string() == DEVICE
    }
}

fn party(id: &str, entity: &str, role: Role) -> registration::Party {
    registration::Party {
        party_id: id.into(),
        status: registration::PartyStatus::Active.into(),
        identities: vec![registration::PartyIdentity {
            entity_id: entity.into(),
            roles: vec![role.into()],
        }],
        ..Default::default()
    }
}

fn directory() -> Directory {
    let directory = Directory::not_loaded();
    let mut gateway = party("GATE", GATEWAY, Role::Gateway);
    gateway.acts_for = vec!["ACME".into()];
    let suppliers = [
        party("ACME", ACME, Role::ImportSupplier),
        party("RIVAL", RIVAL, Role::ImportSupplier),
    ];
    directory.load(suppliers.iter().chain([&gateway])).unwrap();
    directory
}

struct Chain {
    authorizer: Authorizer,
}

impl Chain {
    fn new(directory: Directory, reachable: bool) -> Self {
        let rules = Rules::of_services(&["mp169.flag_registry.v1.FlagService"]).unwrap();
        Self {
            authorizer: Authorizer::new(rules, directory, Arc::new(Registration { reachable })),
        }
    }

    /// What reached the handler, or the refusal.
    async fn call(
        &self,
        method: &str,
        identity: Option<Identity>,
        on_behalf_of: Option<&str>,
        message: &impl Message,
    ) -> Result<Authorization, Status> {
        let mut frame = vec![0];
        let encoded = message.encode_to_vec();
        frame.extend(u32::try_from(encoded.len()).unwrap().to_be_bytes());
        frame.extend(encoded);
        let mut request = Request::new(Body::new(Full::from(frame.clone())));
        *request.uri_mut() = format!("{FLAGS}{method}").parse().unwrap();
        if let Some(identity) = identity {
            request.extensions_mut().insert(identity);
        }
        if let Some(entity) = on_behalf_of {
            request
                .headers_mut()
                .insert(ON_BEHALF_OF, entity.parse().unwrap());
        }
        let handler = service_fn(move |request: Request<Body>| {
            let frame = frame.clone();
            async move {
                let (parts, body) = request.into_parts();
                assert_eq!(
                    body.collect().await.unwrap().to_bytes(),
                    frame,
                    "the body is unchanged"
                );
                let mut response = Response::new(Body::empty());
                let authorization = parts.extensions.get::<Authorization>().unwrap().clone();
                response.extensions_mut().insert(authorization);
                Ok::<_, Infallible>(response)
            }
        });
        let layer = AuthorizeLayer::new(self.authorizer.clone());
        let response = layer.layer(handler).oneshot(request).await.unwrap();
        match response.extensions().get::<Authorization>() {
            Some(authorization) => Ok(authorization.clone()),
            None => Err(Status::from_header_map(response.headers()).unwrap()),
        }
    }
}

fn organisation(entity: &str) -> Option<Identity> {
    Some(Identity::Organisation(entity.parse().unwrap()))
}

fn add(device: &str) -> flags::AddFlagRequest {
    flags::AddFlagRequest {
        device_id: device.into(),
        ..Default::default()
    }
}

fn reason(result: Result<Authorization, Status>) -> ErrorReason {
    reason_of(&result.map(|_| ()).unwrap_err()).unwrap()
}

#[tokio::test]
async fn only_the_responsible_supplier_gets_a_permit() {
    let chain = Chain::new(directory(), true);
    let authorization = chain
        .call("AddFlag", organisation(ACME), None, &add(DEVICE))
        .await
        .unwrap();
    let permit = authorization.device().unwrap();
    assert_eq!(permit.device().to_string(), DEVICE);
    assert_eq!(permit.caller().party().unwrap().as_str(), "ACME");
    assert!(matches!(permit.basis(), Basis::Responsible(_)));

    for (identity, expected) in [
        (None, ErrorReason::CertificateMissing),
        (organisation(RIVAL), ErrorReason::NotResponsibleSupplier),
        (
            organisation("90-B3-D5-1F-30-01-00-99"),
            ErrorReason::PartyUnknown,
        ),
        (
            Some(Identity::Internal(InternalRole::Operator)),
            ErrorReason::RoleNotPermitted,
        ),
        (organisation(GATEWAY), ErrorReason::RoleNotPermitted),
    ] {
        assert_eq!(
            reason(chain.call("AddFlag", identity, None, &add(DEVICE)).await),
            expected
        );
    }
}

#[tokio::test]
async fn a_gateway_acts_for_whom_the_directory_says() {
    let chain = Chain::new(directory(), true);
    let request = add(DEVICE);
    let call =
        |gateway, entity| chain.call("AddFlag", organisation(gateway), Some(entity), &request);
    let actor = call(GATEWAY, ACME).await.unwrap().caller().actor();
    assert_eq!(
        (actor.party_id.as_str(), actor.gateway_entity_id.as_str()),
        ("ACME", GATEWAY)
    );
    assert_eq!(
        reason(call(GATEWAY, RIVAL).await),
        ErrorReason::NotItsGateway
    );
    assert_eq!(reason(call(RIVAL, ACME).await), ErrorReason::NotItsGateway);
    assert_eq!(
        reason(call(GATEWAY, "rubbish").await),
        ErrorReason::FieldInvalid
    );
}

#[tokio::test]
async fn a_suspended_party_is_refused_at_once() {
    let directory = directory();
    let chain = Chain::new(directory.clone(), true);
    let open = chain
        .call("AddFlag", organisation(ACME), None, &add(DEVICE))
        .await
        .unwrap();
    let mut acme = party("ACME", ACME, Role::ImportSupplier);
    acme.status = registration::PartyStatus::Suspended.into();
    let mut changes = open.directory_changes();
    directory.apply([&acme]).unwrap();
    changes.changed().await.unwrap();
    assert!(open.still_allowed().is_err());
    let again = chain
        .call("AddFlag", organisation(ACME), None, &add(DEVICE))
        .await;
    assert_eq!(reason(again), ErrorReason::PartyNotActive);
}

#[tokio::test]
async fn a_batch_has_a_permit_or_a_refusal_per_item() {
    let chain = Chain::new(directory(), true);
    let ids = vec![
        DEVICE.to_owned(),
        "rubbish".to_owned(),
        OTHER_DEVICE.to_owned(),
    ];
    let request = flags::BatchGetFlagsRequest {
        device_ids: ids,
        ..Default::default()
    };
    let call = chain
        .call("BatchGetFlags", organisation(ACME), None, &request)
        .await
        .unwrap();
    let devices: Vec<_> = call
        .batch()
        .unwrap()
        .iter()
        .map(|p| p.as_ref().ok().map(|p| p.device().to_string()))
        .collect();
    assert_eq!(
        devices,
        [Some(DEVICE.to_owned()), None, Some(OTHER_DEVICE.to_owned())]
    );

    let device_ids = vec![DEVICE.to_owned(); 1_001];
    let request = flags::BatchGetFlagsRequest {
        device_ids,
        ..Default::default()
    };
    let call = chain
        .call("BatchGetFlags", organisation(ACME), None, &request)
        .await;
    assert_eq!(reason(call), ErrorReason::TooManyItems);
}

/// Each of a list of requests stands for itself.
#[tokio::test]
async fn a_batch_of_requests_has_a_leased_permit_or_a_refusal_per_request() {
    let chain = Chain::new(directory(), true);
    let ids = [DEVICE, "rubbish", "", &DEVICE.to_lowercase(), OTHER_DEVICE];
    let request = flags::BatchAddFlagsRequest {
        requests: ids.into_iter().map(add).collect(),
    };
    let call = |chain: Chain, entity| {
        let request = request.clone();
        async move {
            let caller = organisation(entity);
            chain.call("BatchAddFlags", caller, None, &request).await
        }
    };
    let authorization = call(chain, ACME).await.unwrap();
    let field = |problem| Refusal::Field {
        field: "device_id".into(),
        problem,
    };
    let twice = Refusal::NamedBefore {
        field: "device_id".into(),
        problem: "is the Device of requests[0]".into(),
    };
    let expected = [
        Ok(DEVICE.to_owned()),
        Err(field("is not an EUI-64")),
        Err(field("is missing")),
        Err(twice),
        Ok(OTHER_DEVICE.to_owned()),
    ];
    let judged = authorization.batch().unwrap().iter().map(|permit| {
        let permit = permit.as_ref().map_err(Clone::clone)?;
        assert!(permit.lease_ends().is_some());
        Ok(permit.device().to_string())
    });
    assert_eq!(judged.collect::<Vec<_>>(), expected);
    let position = Position {
        log: "devices".parse().unwrap(),
        epoch: Epoch::new(1).unwrap(),
        sequence: 1,
    };
    let permits: Vec<_> = authorization.batch().unwrap().iter().flatten().collect();
    let renewed = authorization.renew_all(&permits, &position).await.unwrap();
    let renewed = renewed
        .into_iter()
        .map(|permit| permit.unwrap().device().to_string());
    assert_eq!(renewed.collect::<Vec<_>>(), [DEVICE, OTHER_DEVICE]);

    let stranger = call(Chain::new(directory(), true), RIVAL).await.unwrap();
    let refused = stranger.batch().unwrap().iter().all(Result::is_err);
    assert!(refused);
    let unreachable = call(Chain::new(directory(), false), ACME).await;
    assert_eq!(reason(unreachable), ErrorReason::AuthorityUnreachable);
    let many = flags::BatchAddFlagsRequest {
        requests: vec![add(DEVICE); 1_001],
    };
    let chain = Chain::new(directory(), true);
    let many = chain
        .call("BatchAddFlags", organisation(ACME), None, &many)
        .await;
    assert_eq!(reason(many), ErrorReason::TooManyItems);
}

#[tokio::test]
async fn with_registration_out_of_reach_writes_stop_and_reads_rest_on_what_was_followed() {
    let chain = Chain::new(directory(), false);
    let write = chain
        .call("AddFlag", organisation(ACME), None, &add(DEVICE))
        .await;
    assert_eq!(reason(write), ErrorReason::AuthorityUnreachable);
    let get = |device: &str| flags::GetFlagRequest {
        device_id: device.into(),
        ..Default::default()
    };
    let read = chain
        .call("GetFlag", organisation(ACME), None, &get(DEVICE))
        .await
        .unwrap();
    assert!(matches!(read.device().unwrap().basis(), Basis::Followed));
    // Whether a Device has a flag at all is nobody else's business: a stranger is told the same of
    // each.
    for device in [DEVICE, OTHER_DEVICE] {
        let stranger = chain
            .call("GetFlag", organisation(RIVAL), None, &get(device))
            .await;
        assert_eq!(reason(stranger), ErrorReason::AuthorityUnreachable);
    }
    let unknown = chain
        .call("GetFlag", organisation(ACME), None, &get(OTHER_DEVICE))
        .await;
    assert_eq!(reason(unknown), ErrorReason::AuthorityUnreachable);
}

#[tokio::test]
async fn own_data_only() {
    let chain = Chain::new(directory(), true);
    let list = |party: &str| flags::ListFlagsRequest {
        party_id: party.into(),
        ..Default::default()
    };
    chain
        .call("ListFlags", organisation(ACME), None, &list("ACME"))
        .await
        .unwrap();
    for other in ["RIVAL", "", "acme"] {
        let call = chain
            .call("ListFlags", organisation(ACME), None, &list(other))
            .await;
        assert_eq!(reason(call), ErrorReason::NotOwnData, "{other}");
    }
}

#[tokio::test]
async fn an_empty_directory_answers_unavailable_to_organisations_only() {
    let chain = Chain::new(Directory::not_loaded(), true);
    let call = chain
        .call("AddFlag", organisation(ACME), None, &add(DEVICE))
        .await;
    assert_eq!(reason(call), ErrorReason::DirectoryNotLoaded);
    let operator = Some(Identity::Internal(InternalRole::Operator));
    chain
        .call(
            "ListFlags",
            operator,
            None,
            &flags::ListFlagsRequest::default(),
        )
        .await
        .unwrap();
}
