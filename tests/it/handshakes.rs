//! Who gets no connection at all? Callers with a certificate of another authority, or one that has
//! ended: the handshake fails, is counted by its cause, and the server serves on.

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_pki::{Ca, Issued, Validity, spiffe_uri};
use mesh_rpc::{
    ClientOptions, HandshakeCounters, HandshakeOutcome, MeshChannel, Tls, TlsPem, connect,
};
use mesh_testkit::wait_until;
use mesh_types::SystemClock;
use mp169::service::Service;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::mesh::{TestMesh, hour, listed_services};

/// Another authority, with the name of the mesh's own.
fn other_authority() -> Ca {
    Ca::new("MP169 mesh on one machine", hour()).unwrap()
}

/// Calls the one method that needs no more than a handshake.
async fn check(channel: Channel) -> Result<(), Status> {
    let mut health = HealthClient::new(channel);
    let answer = health.check(HealthCheckRequest::default()).await;
    answer.map(|_| ())
}

async fn counted(what: &str, counters: &HandshakeCounters, outcome: HandshakeOutcome, times: u64) {
    wait_until(what, async || {
        let count = counters.get(outcome);
        if count == times { Ok(()) } else { Err(count) }
    })
    .await;
}

/// A channel of the mesh's own clients, with `certificate`, which takes servers of `trusted`.
fn client(mesh: &TestMesh, service: Service, certificate: &Issued, trusted: &Ca) -> MeshChannel {
    let tls = Tls::from_pem(TlsPem {
        certificate: certificate.certificate_pem().to_owned(),
        key: certificate.key_pem().to_owned(),
        trust: trusted.certificate_pem().to_owned(),
    });
    let address = mesh.address(service).to_owned();
    connect(ClientOptions::new(service.name(), address, tls.unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_refuses_and_counts_strange_and_ended_certificates() {
    let mesh = TestMesh::start().await;
    let (own, other) = (mesh.authority(), other_authority());
    let stranger = other.issue_internal("operator", &[], hour()).unwrap();
    let ended = Validity::over(&SystemClock);
    let ended = own.issue_internal("operator", &[], ended).unwrap();
    for service in Service::ALL {
        let counters = mesh.handshakes(service);
        let failed_before = counters.failed();
        for (certificate, outcome) in [
            (&stranger, HandshakeOutcome::UnknownAuthority),
            (&ended, HandshakeOutcome::Expired),
        ] {
            let what = format!("{} to count {outcome:?}", service.name());
            let before = counters.get(outcome);
            let refused = check(mesh.foreign(service, Some(certificate))).await;
            let status = refused.expect_err(&what);
            // No answer of ours: there was no connection that could have carried one.
            assert_eq!(reason_of(&status), None, "{what}: {status}");
            counted(&what, counters, outcome, before + 1).await;

            let ours = client(&mesh, service, certificate, &own);
            let status = listed_services(ours).await.expect_err(&what);
            assert_eq!(reason_of(&status), None, "{what}: {status}");
            counted(&what, counters, outcome, before + 2).await;

            let accepted = counters.get(HandshakeOutcome::Accepted);
            check(mesh.foreign(service, None)).await.unwrap();
            listed_services(mesh.channel(service, "operator"))
                .await
                .unwrap();
            let after = counters.get(HandshakeOutcome::Accepted);
            assert_eq!(after, accepted + 2, "{} serves on", service.name());
        }
        assert_eq!(counters.failed(), failed_before + 4, "{}", service.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_refuse_servers_of_another_authority_and_other_services() {
    let mesh = TestMesh::start().await;
    let (own, other) = (mesh.authority(), other_authority());
    let operator = own.issue_internal("operator", &[], hour()).unwrap();
    for service in Service::ALL {
        let refused = listed_services(client(&mesh, service, &operator, &other)).await;
        let status = refused.expect_err(service.name());
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(reason_of(&status), None, "{status}");
        listed_services(client(&mesh, service, &operator, &own))
            .await
            .unwrap();
    }
    // At the address of registration somebody is asked to be the flag registry.
    let tls = mesh.folder().tls("operator").unwrap();
    let address = mesh.address(Service::Registration).to_owned();
    let misled = connect(ClientOptions::new("flag-registry", address, tls));
    let status = listed_services(misled).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ours_with_two_identities_is_answered_and_refused() {
    let mesh = TestMesh::start().await;
    let two = mesh_pki::Profile {
        uris: vec![spiffe_uri("operator"), spiffe_uri("dsp")],
        ..mesh_pki::Profile::default()
    };
    let two = mesh.authority().issue(&two, hour()).unwrap();
    for service in Service::ALL {
        let ours = client(&mesh, service, &two, &mesh.authority());
        let status = listed_services(ours).await.expect_err(service.name());
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        let reason = Some(ErrorReason::IdentityNotRecognised);
        assert_eq!(reason_of(&status), reason, "{status}");
    }
}
