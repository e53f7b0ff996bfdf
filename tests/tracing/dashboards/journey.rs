//! What has to happen so that every metric is emitted that somebody asks for?

use std::num::NonZeroU32;

use flag_registry::Quotas;
use mesh_api::classification::v1 as classification;
use mesh_api::classification::v1::message::Content;
use mesh_api::classification::v1::structured_message::Code;
use mesh_testkit::wait_until;

use crate::{HOME, Traced};

/// A mesh in which it has happened.
pub(super) struct Journey {
    traced: Traced,
    /// A CSP that acknowledges nothing.
    _told: tonic::Streaming<mesh_api::csp_notification::v1::FollowFlagChangesResponse>,
}

/// Starts a mesh of its own and has it happen.
pub(super) async fn begin() -> Journey {
    let quotas = Quotas {
        device_repeats: NonZeroU32::MIN,
        ..Quotas::default()
    };
    let traced = Traced::start_with(mesh_service::machine_clock(false), quotas).await;
    traced.load().await;
    let told = traced.csp_stream().await;
    // Given up before its end.
    drop(traced.csp_stream().await);
    let device = HOME.esme().to_string();
    let mut add = vec!["flag", "add", &device, "--channel", "telephone"];
    add.extend([
        "--evidence",
        "CALL-1",
        "--step",
        "benefits-explained",
        "--contact",
        "CRM-1",
    ]);
    // Nothing is said of what stands in the way.
    assert_ne!(traced.tried(&add).await, success());
    add.extend([
        "--no-economy-7",
        "--no-radio-teleswitch",
        "--no-network-managed-without-wan",
    ]);
    traced.mp169(&add).await;
    traced.mp169(&add).await;
    assert_ne!(traced.tried(&add).await, success(), "the quota is used up");
    wait_until("a read to be suppressed", async || {
        let verdict = decide(&traced, "4.8.1").await;
        if verdict == Some(classification::Verdict::Suppress) {
            Ok(())
        } else {
            Err(format!("{verdict:?}"))
        }
    })
    .await;
    assert!(decide(&traced, "4.99.1").await.is_some(), "an unknown code");
    assert_eq!(decide(&traced, "rubbish").await, None);
    Journey {
        traced,
        _told: told,
    }
}

impl Journey {
    pub(super) async fn end(self) {
        let Self {
            traced,
            _told: told,
        } = self;
        drop(told);
        assert!(traced.mesh.stop().await);
    }
}

/// What becomes of a request of this variant to the flagged meter; `None` if it cannot be decided.
async fn decide(traced: &Traced, variant: &str) -> Option<classification::Verdict> {
    let message = classification::Message {
        content: Some(Content::Structured(classification::StructuredMessage {
            device_ids: vec![HOME.esme().to_string()],
            code: Some(Code::ServiceReferenceVariant(variant.to_owned())),
            ..Default::default()
        })),
        origin: classification::Origin::OnDemand.into(),
    };
    let request = classification::ClassifyRequest {
        message: Some(message),
        at_least: None,
    };
    let mut dsp = traced.clients("dsp").classification().unwrap();
    let answer = dsp.classify(request).await.ok()?;
    Some(answer.into_inner().decision.unwrap().verdict())
}

/// How a command that does what it is told ends.
fn success() -> String {
    format!("{:?}", std::process::ExitCode::SUCCESS)
}
