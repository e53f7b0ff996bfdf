//! What a watched clock remembers, and for how long.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{Clock as _, Doubt, LikelyClock, ManualClock, WatchedClock};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// A clock, and the time that passes whatever it shows.
struct World {
    clock: Arc<ManualClock>,
    elapsed: Arc<AtomicU64>,
    watched: WatchedClock,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000_000_000)));
        let elapsed = Arc::new(AtomicU64::new(5_000));
        let counted = elapsed.clone();
        let watched = WatchedClock::new(clock.clone(), move || {
            Duration::from_millis(counted.load(Ordering::SeqCst))
        });
        Self {
            clock,
            elapsed,
            watched,
        }
    }

    fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.elapsed.fetch_add(millis, Ordering::SeqCst);
        self.clock.advance(time);
    }

    fn hear(&self, peer: &'static str, time: Timestamp, uncertainty: Duration, vouches: bool) {
        let at = self.watched.watch().unwrap().elapsed();
        let word = Word {
            time,
            at,
            uncertainty,
            vouches,
        };
        self.watched.watch().unwrap().hear(peer, word);
    }
}

#[test]
fn time_that_passes_is_no_step_and_one_that_is_set_is() {
    let world = World::new();
    world.pass(10 * DAY);
    assert_eq!(world.watched.doubt(), None);
    world.clock.advance(31 * SECOND);
    assert_eq!(world.watched.doubt(), Some(Doubt::SetAhead(31 * SECOND)));
    world.pass(DAY);
    assert_eq!(world.watched.doubt(), Some(Doubt::SetAhead(31 * SECOND)));
    let back = world.clock.now().micros() - 31_000_000;
    world.clock.set(Timestamp::from_micros(back));
    assert_eq!(world.watched.doubt(), None, "corrected");
}

#[test]
fn what_peers_showed_is_measured_against_what_the_clock_shows_now_and_forgotten_after_a_minute() {
    let world = World::new();
    for peer in ["registration", "reporting"] {
        world.hear(peer, world.clock.now(), SECOND, false);
    }
    world.pass(20 * SECOND);
    assert_eq!(world.watched.doubt(), None);
    world.clock.advance(DAY);
    assert_eq!(world.watched.doubt(), Some(Doubt::AheadOfPeers(DAY)));
    world.pass(HEARD_FOR);
    assert_eq!(world.watched.doubt(), Some(Doubt::SetAhead(DAY)));
    assert_eq!(world.watched.watch().unwrap().peers(world.clock.now()), []);
}

#[test]
fn the_most_certain_word_counts_until_the_peer_is_set() {
    let world = World::new();
    world.hear("registration", world.clock.now(), SECOND / 100, false);
    let offset = || {
        let now = world.clock.now();
        let (_, peer) = world.watched.watch().unwrap().peers(now)[0];
        (peer.ahead, peer.uncertainty, peer.vouches)
    };
    world.pass(10 * SECOND);
    let late = Timestamp::from_micros(world.clock.now().micros() - 500_000);
    world.hear("registration", late, SECOND, true);
    assert_eq!(offset(), (0, SECOND / 100, true));
    world.pass(10 * SECOND);
    let set = world.clock.now().saturating_add(DAY);
    world.hear("registration", set, SECOND, true);
    assert_eq!(offset(), (-86_400_000_000, SECOND, true));
}

#[test]
fn what_was_confirmed_stays_believed_without_the_peer() {
    let world = World::new();
    world.clock.advance(DAY);
    assert!(world.watched.doubt().is_some());
    world.hear("registration", world.clock.now(), SECOND, true);
    assert_eq!(world.watched.doubt(), None);
    world.pass(2 * HEARD_FOR);
    assert_eq!(world.watched.doubt(), None);
    world.clock.advance(DAY);
    assert_eq!(world.watched.doubt(), Some(Doubt::AheadOfLastLife(DAY)));
}

#[test]
fn an_operators_word_holds_for_the_start_and_not_for_a_later_step() {
    let world = World::new();
    let watched = world.watched.clone().accepted();
    watched
        .watch()
        .unwrap()
        .remember(History::Exact(86_400_000_000));
    assert_eq!(watched.doubt(), None);
    world.clock.advance(DAY);
    assert_eq!(watched.doubt(), Some(Doubt::AheadOfLastLife(DAY)));
}

#[test]
fn the_likely_time_is_the_right_one_while_the_clock_is_set_ahead() {
    let world = World::new();
    let likely = LikelyClock(Arc::new(world.watched.clone()));
    let right = world.clock.now();
    world.clock.advance(2 * DAY);
    assert_eq!((likely.now(), likely.doubt()), (right, None));
    world.pass(SECOND);
    assert_eq!(likely.now(), right.saturating_add(SECOND));
}

#[test]
fn the_surer_of_two_pasts_counts() {
    let (loose, exact) = (History::Loose(7), History::Exact(9));
    assert_eq!(surer(History::None, loose), loose);
    assert_eq!(surer(loose, History::None), loose);
    assert_eq!(surer(loose, History::Loose(5)), History::Loose(5));
    assert_eq!(surer(loose, exact), exact);
    assert_eq!(surer(exact, History::Loose(5)), exact);
}
