//! A log that lacks what its CSP has seen grows, and is neither sent nor acknowledged.

use mesh_store::cursor::Cursor;

use super::{Fixture, Fresh, SET, name, subscription, told};
use crate::error::Error;
use crate::store::{Command, disputes};
use crate::subscription::OwnCsp;

/// Whichever replica a stream is attached to.
pub(super) async fn a_disputed_log_is_neither_sent_nor_acknowledged_and_grows(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let [north, south] = ["north", "south"].map(OwnCsp::unchecked);
    for csp in ["north", "south"] {
        let set = vec![told(csp, 1, 0xC1, SET, 10)];
        fixture.project(vec![set]).await;
    }
    let at = async || {
        let found = subscription(&fixture.store, &name("north")).await;
        found.unwrap().unwrap()
    };
    let acknowledge = |up_to| Command::Acknowledge {
        csp: north.clone(),
        up_to,
        applied_time: None,
    };
    let sent = |csp: &OwnCsp| Command::Sent(csp.clone(), 0, 1);
    let seen = Cursor {
        position: at().await.at(7),
        hash: [7; 32],
    };
    let says = Command::Seen(north.clone(), seen.clone());
    fixture.write(says).await.unwrap();
    let disputed: Vec<_> = disputes(&fixture.store).await.unwrap();
    assert_eq!(disputed.len(), 1);
    assert_eq!((&*disputed[0].by, &disputed[0].seen), ("north", &seen));
    let head = at().await.head;
    for command in [sent(&north), acknowledge(head.clone())] {
        let refused = fixture.write(command).await;
        assert!(matches!(refused, Err(Error::LogWentBack(7))), "{refused:?}");
    }
    fixture.write(sent(&south)).await.unwrap();
    fixture
        .project(vec![vec![told("north", 2, 0xC1, SET, 20)]])
        .await;
    let north_at = at().await;
    assert_eq!((north_at.head.sequence, north_at.sent), (2, 0));

    // Taken back.
    let log = crate::subscription::log_of(&name("north"));
    let mut conn = fixture.store.readers().acquire().await.unwrap();
    let hash = mesh_store::log::hash_at(&mut conn, &log, 1).await.unwrap();
    drop(conn);
    let fits = Cursor {
        position: head.clone(),
        hash: hash.unwrap(),
    };
    let says = Command::Seen(north.clone(), fits);
    fixture.write(says).await.unwrap();
    fixture.write(sent(&north)).await.unwrap();
    fixture.write(acknowledge(head)).await.unwrap();
    assert_eq!(at().await.acknowledged, 1);
}
