//! Which stream is a CSP's own, whichever process serves it.

use mesh_store::{Store, Writer, WriterSettings};

use super::{Fixture, Fresh, SET, told};
use crate::error::Error;
use crate::store::{Command, CspLogs, Done, MIGRATIONS, subscription};
use crate::subscription::OwnCsp;

pub(super) async fn an_older_stream_records_nothing_more(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    let north = OwnCsp::unchecked("north");
    fixture
        .project(vec![vec![told("north", 1, 0xC1, SET, 10)]])
        .await;
    let attach = async || {
        let attach = Command::Attach(north.clone(), fixture.store.replica());
        match fixture.writer.submit(attach).await.unwrap() {
            Ok(Done::Attached(number)) => number,
            other => panic!("{other:?}"),
        }
    };
    let now = async || {
        let now = subscription(&fixture.store, north.csp()).await.unwrap();
        now.unwrap()
    };
    assert!(!now().await.is_attached);
    let (older, newer) = (attach().await, attach().await);
    assert!(older < newer);
    let sent = fixture.write(Command::Sent(north.clone(), older, 1)).await;
    assert!(matches!(sent, Err(Error::Superseded)), "{sent:?}");
    // Nor does its end concern the newer one.
    let detach = |number| Command::Detach(north.clone(), number);
    fixture.write(detach(older)).await.unwrap();
    let attached = now().await;
    assert_eq!((attached.is_attached, attached.sent), (true, 0));
    let sent = Command::Sent(north.clone(), newer, 1);
    fixture.write(sent).await.unwrap();
    fixture.write(detach(newer)).await.unwrap();
    let detached = now().await;
    assert_eq!((detached.is_attached, detached.sent), (false, 1));
}

/// What another process serves is attached, too, as long as that process is there.
pub(super) async fn a_stream_is_attached_while_its_process_is_there(fresh: Fresh) {
    let fixture = Fixture::open(fresh).await;
    if !fixture.store.is_shared() {
        return;
    }
    let north = OwnCsp::unchecked("north");
    fixture
        .write(Command::Subscribe(north.clone()))
        .await
        .unwrap();
    let database = fixture.database.with_leave();
    let other = Store::open(&database, &MIGRATIONS).await.unwrap();
    let clock = fixture.clock.clone();
    let (writer, task) = Writer::start(other.clone(), CspLogs, clock, WriterSettings::default());
    let attach = Command::Attach(north.clone(), other.replica());
    writer.submit(attach).await.unwrap().unwrap();
    let is_attached = async || {
        let now = subscription(&fixture.store, north.csp()).await.unwrap();
        now.unwrap().is_attached
    };
    assert!(is_attached().await);
    task.shutdown().await;
    other.close().await;
    assert!(!is_attached().await);
}
