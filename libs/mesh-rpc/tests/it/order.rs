//! The order of the layers, by what a call meets first.

use std::num::NonZeroU32;

use mesh_api::common::v1::ErrorReason;
use mesh_api::status::reason_of;
use mesh_pki::Profile;
use mesh_rpc::{Bound, CallerLimits};
use mesh_testkit::certificates;

use crate::harness::{Ask, TestServer, UNARY};

fn stingy(options: &mut CallerLimits) {
    options.calls_per_second = NonZeroU32::new(1).unwrap();
    options.burst = NonZeroU32::new(1).unwrap();
}

#[tokio::test]
async fn the_global_limit_comes_before_the_identity() {
    let server = TestServer::start_with(|options| {
        options.limits.shares.guests.calls = Bound {
            class: 0,
            caller: 1,
        };
    })
    .await;
    let nobody = certificates().issue(&Profile::default());
    let refused = Ask::new(UNARY, "echo")
        .unary(server.foreign(Some(&nobody)))
        .await;
    assert_eq!(
        reason_of(&refused.unwrap_err()),
        Some(ErrorReason::Overloaded)
    );
}

#[tokio::test]
async fn the_identity_comes_before_the_callers_limits_and_those_before_authorization() {
    let server = TestServer::start_with(|options| stingy(&mut options.caller_limits)).await;
    let nobody = server.foreign(Some(&certificates().issue(&Profile::default())));
    let ask = Ask::new(UNARY, "echo");
    for _ in 0..3 {
        let refused = ask.unary(nobody.clone()).await.unwrap_err();
        let reason = Some(ErrorReason::IdentityNotRecognised);
        assert_eq!(reason_of(&refused), reason, "nothing was spent");
    }
    assert_eq!(server.authorize.judged(), 0);
    let channel = server.channel("dsp");
    let answers = [
        ask.unary(channel.clone()).await,
        ask.unary(channel.clone()).await,
        ask.unary(channel).await,
    ];
    let served = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(served < 3, "a second passed between three calls");
    assert_eq!(server.authorize.judged(), served);
    assert_eq!(server.handlers.called(), served);
}

#[tokio::test]
async fn authorization_comes_before_the_handler() {
    let server = TestServer::start().await;
    let refused = Ask::new(UNARY, "panic").unary(server.foreign(None)).await;
    let reason = Some(ErrorReason::CertificateMissing);
    assert_eq!(reason_of(&refused.unwrap_err()), reason);
    assert_eq!(
        (server.authorize.judged(), server.handlers.called()),
        (1, 0)
    );
}
