//! Can the policy in force be read, page by page, by those who may?

use classification::policy::Policy;
use mesh_api::classification::v1 as wire;
use mesh_api::common::v1::ErrorReason;
use tonic::Code;

use crate::world::{Client, World, refused};

async fn page(client: &mut Client, page_size: i32, token: &str) -> wire::ListRulesResponse {
    let request = wire::ListRulesRequest {
        page_size,
        page_token: token.to_owned(),
    };
    client.list_rules(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_show_every_row_once() {
    let world = World::start().await;
    let policy = Policy::builtin();
    let mut auditor = world.internal("auditor");
    let mut ids = Vec::new();
    let mut token = String::new();
    loop {
        let page = page(&mut auditor, 150, &token).await;
        assert!(page.rules.len() <= 150);
        assert_eq!(&*page.policy_version, &**policy.version());
        assert_eq!(page.policy_hash, policy.hash());
        ids.extend(page.rules.into_iter().map(|rule| rule.rule_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let rows: Vec<String> = policy.rows().map(|row| row.entry.id.to_string()).collect();
    assert_eq!(ids, rows);
    assert_eq!(page(&mut auditor, 0, "").await.rules.len(), 100);
    assert_eq!(
        page(&mut auditor, i32::MAX, "").await.rules.len(),
        rows.len().min(1_000)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_the_caller_it_was_given_to() {
    let world = World::start().await;
    let mut auditor = world.internal("auditor");
    let token = page(&mut auditor, 10, "").await.next_page_token;
    // Another page size is no other list.
    assert_eq!(page(&mut auditor, 5, &token).await.rules.len(), 5);
    let mut changed = token.clone();
    let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
    changed.insert(0, last);
    let invalid = (Code::InvalidArgument, ErrorReason::PageTokenInvalid);
    for (role, token) in [
        ("analyst", token.as_str()),
        ("auditor", &changed),
        ("auditor", "rubbish!"),
    ] {
        let request = wire::ListRulesRequest {
            page_size: 10,
            page_token: token.to_owned(),
        };
        let answer = world.internal(role).list_rules(request).await;
        assert_eq!(refused(answer), invalid, "{role} {token}");
    }
    let negative = wire::ListRulesRequest {
        page_size: -1,
        page_token: String::new(),
    };
    assert_eq!(
        refused(auditor.list_rules(negative).await),
        (Code::InvalidArgument, ErrorReason::FieldInvalid)
    );
}
