//! A CSP has seen more of its log than there is.

use std::path::{Path, PathBuf};

use mesh_api::common::v1::{ErrorReason, Position, Seen};
use mesh_api::csp_notification::v1 as wire;
use mesh_api::csp_notification::v1::follow_flag_changes_request::Start;
use mesh_api::status::reason_of;
use mesh_store::{Decision, Resolve, accept_loss};
use mesh_testkit::TempDir;
use mesh_types::Timestamp;
use tonic::Status;

use crate::resync::table;
use crate::stream::{Attached, sequences};
use crate::world::{World, acknowledged, set, snapshot};

/// A database and its witness, as they were when nobody had them open.
struct Copy(TempDir);

impl Copy {
    fn of(database: &Path) -> Self {
        let copy = Self(mesh_testkit::temp_dir());
        for (file, kept) in files(database).iter().zip(copy.files()) {
            std::fs::copy(file, kept).unwrap();
        }
        copy
    }

    fn put_back(&self, database: &Path) {
        for (kept, file) in self.files().iter().zip(files(database)) {
            std::fs::copy(kept, file).unwrap();
        }
    }

    fn files(&self) -> [PathBuf; 2] {
        files(&self.0.path().join("csp.db"))
    }
}

fn files(database: &Path) -> [PathBuf; 2] {
    [database.to_owned(), database.with_extension("db.witness")]
}

/// What stands in the world after an older database was put back with its own witness: CSP `north` has
/// seen and acknowledged 5 events, of which the last two were recorded again. The older database says that 3
/// were sent and 2 acknowledged.
struct WentBack {
    world: World,
    newest: Copy,
    seen: Seen,
}

impl WentBack {
    async fn start() -> Self {
        let world = World::start().await;
        let database = world.database();
        world.set("north", 0, 3).await;
        world.flags.append(&set(0x21, "south")).await;
        world.logged("south", 1).await;
        let mut north = world.attach("north", snapshot()).await.unwrap();
        north.until(3).await;
        let second = Position {
            sequence: 2,
            ..north.position()
        };
        world.acknowledge("north", second).await.unwrap();
        drop(north);
        let mut older = None;
        let world = world
            .restart(async |_| older = Some(Copy::of(&database)))
            .await;
        world.set("north", 3, 2).await;
        let mut north = world.attach("north", acknowledged()).await.unwrap();
        north.until(5).await;
        let seen = north.seen();
        let all = world.acknowledge("north", north.position()).await.unwrap();
        assert_eq!(all.lag, 0);
        let mut newest = None;
        let world = world
            .restart(async |_| {
                newest = Some(Copy::of(&database));
                older.unwrap().put_back(&database);
            })
            .await;
        world.logged("north", 5).await;
        Self {
            world,
            newest: newest.unwrap(),
            seen,
        }
    }

    fn position(&self) -> Position {
        self.seen.position.clone().unwrap()
    }

    /// The CSP goes on where it was.
    async fn resume(&self) -> Result<Attached, Status> {
        let start = Start::After(self.position());
        let seen = Some(self.seen.clone());
        self.world.attach_having_seen("north", start, seen).await
    }

    async fn is_refused(&self) {
        for refused in [
            self.resume().await.err(),
            self.world.attach("north", snapshot()).await.err(),
            self.world.attach("north", acknowledged()).await.err(),
            self.world.acknowledge("north", self.position()).await.err(),
        ] {
            let reason = reason_of(&refused.expect("a refusal"));
            assert_eq!(reason, Some(ErrorReason::LogWentBack));
        }
        let subscription = self.world.subscription("north").await;
        assert_eq!(subscription.went_back_seen, Some(self.position()));
        assert!(subscription.went_back_since.is_some());
    }

    /// Stops the service, does something to its database, with the newest one at hand, and starts it again.
    async fn restart(self, between: impl AsyncFnOnce(&Path, &Copy)) -> Self {
        let Self {
            world,
            newest,
            seen,
        } = self;
        let database = world.database();
        let world = world
            .restart(async |_| between(&database, &newest).await)
            .await;
        Self {
            world,
            newest,
            seen,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_is_found_out_by_the_csp_and_nobody_else_is_concerned() {
    let csp = WentBack::start().await;
    csp.is_refused().await;
    // South has what it had, and gets what comes.
    let mut south = csp.world.attach("south", snapshot()).await.unwrap();
    south.until(1).await;
    csp.world.flags.append(&set(0x22, "south")).await;
    south.until(2).await;
    csp.world
        .acknowledge("south", south.position())
        .await
        .unwrap();
    // What comes for North is kept.
    csp.world.flags.append(&set(5, "north")).await;
    csp.world.logged("north", 6).await;
    let since = csp.world.subscription("north").await.went_back_since;
    let csp = csp.restart(async |_, _| {}).await;
    csp.is_refused().await;
    let after = csp.world.subscription("north").await.went_back_since;
    assert_eq!(after, since);

    // The newest file ends it: the next event fits what North has.
    let csp = csp
        .restart(async |database, newest| newest.put_back(database))
        .await;
    let mut north = csp.resume().await.unwrap();
    assert_eq!(sequences(&north.until(6).await), [6]);
    let subscription = csp.world.subscription("north").await;
    assert_eq!(subscription.went_back_seen, None);
    assert_eq!(subscription.went_back_since, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_loss_has_the_csp_start_over_with_the_registrys_table() {
    let csp = WentBack::start().await;
    csp.is_refused().await;
    let csp = csp
        .restart(async |database, _| {
            let decision = Decision {
                by: "an operator".into(),
                reason: "a test".into(),
                at: Timestamp::from_micros(1),
                seen: Vec::new(),
            };
            let accepted = accept_loss(database, &decision, Resolve::CarryOut)
                .await
                .unwrap();
            let lost = accepted.logs.iter().flat_map(|log| &log.lost);
            let lost: Vec<_> = lost
                .map(|lost| (lost.by.as_str(), lost.seen_up_to))
                .collect();
            assert_eq!(lost, [("north", 5)]);
        })
        .await;
    // What is counted of it lies within the log all the time.
    let counts = |subscription: &wire::Subscription| {
        let sequence = |position: &Option<Position>| position.as_ref().unwrap().sequence;
        let (head, sent) = (sequence(&subscription.head), sequence(&subscription.sent));
        let acknowledged = sequence(&subscription.acknowledged);
        assert!(acknowledged <= sent && sent <= head, "{subscription:?}");
        assert_eq!(subscription.lag, head - acknowledged);
        (head, sent, acknowledged)
    };
    let before = csp.world.subscription("north").await;
    assert_eq!(counts(&before), (5, 3, 2));
    assert_eq!(before.went_back_seen, None);
    let other = Some(ErrorReason::PositionOfAnotherEpoch);
    for refused in [
        csp.resume().await.err(),
        csp.world.acknowledge("north", csp.position()).await.err(),
    ] {
        assert_eq!(reason_of(&refused.expect("a refusal")), other);
    }
    let seen = Some(csp.seen.clone());
    let mut north = csp
        .world
        .attach_having_seen("north", snapshot(), seen)
        .await
        .unwrap();
    assert_eq!(
        table(&mut north).await,
        csp.world.flags.flagged("north").await
    );
    assert_ne!(north.position().epoch, csp.position().epoch);
    assert_eq!(counts(&csp.world.subscription("north").await), (5, 5, 2));
    let all = csp.world.acknowledge("north", north.position()).await;
    assert_eq!(counts(&all.unwrap()), (5, 5, 5));
    csp.world.set("north", 5, 1).await;
    assert_eq!(sequences(&north.until(6).await), [6]);
    assert_eq!(counts(&csp.world.subscription("north").await), (6, 6, 5));
}

/// A CSP that lies harms itself, until it takes back what it said.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_csp_says_by_mistake_it_takes_back() {
    let world = World::start().await;
    world.set("north", 0, 2).await;
    let mut south = world.attach("south", snapshot()).await.unwrap();
    let mut north = world.attach("north", snapshot()).await.unwrap();
    north.until(2).await;
    let right = north.seen();
    let mut wrong = right.clone();
    wrong.hash[0] ^= 1;
    let attach = |seen: &Seen| {
        let start = Start::After(right.position.clone().unwrap());
        world.attach_having_seen("north", start, Some(seen.clone()))
    };
    let went_back = Some(ErrorReason::LogWentBack);
    let refused = attach(&wrong).await.err().unwrap();
    assert_eq!(reason_of(&refused), went_back);
    // The stream that is open ends, too.
    let ended = north.news().await.err().unwrap();
    assert_eq!(reason_of(&ended), went_back);
    let mut operator = world.internal("operator");
    let all = operator.list_subscriptions(wire::ListSubscriptionsRequest::default());
    let all = all.await.unwrap().into_inner().subscriptions;
    let went_back: Vec<_> = all.iter().map(|one| one.went_back_seen.clone()).collect();
    assert_eq!(went_back, [wrong.position.clone(), None]);
    world.flags.append(&set(0x21, "south")).await;
    south.until(1).await;

    let mut north = attach(&right).await.unwrap();
    world.set("north", 2, 1).await;
    assert_eq!(sequences(&north.until(3).await), [3]);
    assert_eq!(world.subscription("north").await.went_back_seen, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_is_of_the_csps_own_log() {
    let world = World::start().await;
    world.set("north", 0, 1).await;
    let mut north = world.attach("north", snapshot()).await.unwrap();
    north.until(1).await;
    let right = north.seen();
    let mut other = right.clone();
    other.position.as_mut().unwrap().log = "csp/south".into();
    let mut short = right.clone();
    short.hash.pop();
    let nowhere = Seen {
        position: None,
        ..right
    };
    for seen in [other, short, nowhere] {
        let refused = world.attach_having_seen("north", snapshot(), Some(seen));
        let reason = reason_of(&refused.await.err().unwrap());
        assert_eq!(reason, Some(ErrorReason::FieldInvalid));
    }
}
