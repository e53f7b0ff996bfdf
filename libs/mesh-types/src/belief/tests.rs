//! The rule, by what it is for and for any clocks.

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

fn peer(ahead: i64, vouches: bool) -> PeerClock {
    PeerClock {
        ahead,
        uncertainty: Duration::from_millis(5),
        vouches,
    }
}

fn doubt(history: History, set_ahead: i64, peers: &[PeerClock]) -> Option<Doubt> {
    let evidence = Evidence {
        history,
        set_ahead,
        peers,
    };
    judge(evidence).doubt
}

fn is_believed(history: History, set_ahead: i64, peers: &[PeerClock]) -> bool {
    doubt(history, set_ahead, peers).is_none()
}

#[test]
fn one_service_ahead_is_refused_and_one_wrong_peer_stops_nobody() {
    let ahead = [peer(2 * DAY, true); 4];
    let told = doubt(History::Exact(0), 0, &ahead);
    assert_eq!(told, Some(Doubt::AheadOfPeers(length(2 * DAY))));
    for behind in 0..=4 {
        let peers: Vec<_> = (0..4)
            .map(|number| peer(if number < behind { DAY } else { 0 }, true))
            .collect();
        let believed = is_believed(History::Exact(0), 0, &peers);
        assert_eq!(believed, behind <= 2, "{behind} of 4 are behind");
    }
    // Alone against one, a clock goes by its own past.
    assert!(is_believed(History::Exact(0), 0, &[peer(DAY, true)]));
    assert!(!is_believed(History::None, 0, &[peer(DAY, true)]));
}

#[test]
fn a_whole_mesh_that_starts_two_days_ahead_is_refused() {
    for history in [History::Exact(2 * DAY), History::Loose(2 * DAY)] {
        let told = doubt(history, 0, &[]);
        assert_eq!(told, Some(Doubt::AheadOfLastLife(length(2 * DAY))));
        // The others show the same time, and do not believe it either or have no past.
        assert_eq!(doubt(history, 0, &[peer(0, false); 4]), told);
        let one_new = [
            peer(0, true),
            peer(0, false),
            peer(0, false),
            peer(0, false),
        ];
        assert_eq!(doubt(history, 0, &one_new), told);
        assert!(is_believed(history, 0, &[peer(0, true); 3]), "confirmed");
        assert!(is_believed(history, -2 * DAY, &[]), "corrected");
    }
}

#[test]
fn a_reboot_explains_a_day_and_no_reboot_half_a_minute() {
    assert!(is_believed(History::Loose(23 * HOUR), 0, &[]));
    assert!(!is_believed(History::Loose(25 * HOUR), 0, &[]));
    assert!(is_believed(History::Exact(29 * SECOND), 0, &[]));
    assert!(!is_believed(History::Exact(31 * SECOND), 0, &[]));
}

#[test]
fn a_clock_that_is_set_ahead_is_believed_where_its_past_or_its_peers_say_so() {
    for history in [History::None, History::Loose(HOUR)] {
        let told = doubt(history, HOUR, &[]);
        assert_eq!(told, Some(Doubt::SetAhead(length(HOUR))));
        assert!(is_believed(history, HOUR, &[peer(0, true)]), "confirmed");
        assert!(!is_believed(history, HOUR, &[peer(0, false)]));
    }
    // It began an hour behind, and was corrected.
    assert!(is_believed(History::Exact(-HOUR), HOUR, &[]));
    assert!(!is_believed(History::Exact(0), HOUR, &[]));
}

#[test]
fn only_who_has_a_reason_vouches() {
    let vouches = |history, peers: &[PeerClock]| {
        let evidence = Evidence {
            history,
            set_ahead: 0,
            peers,
        };
        judge(evidence).vouches
    };
    assert!(!vouches(History::None, &[]));
    assert!(vouches(History::Exact(0), &[]));
    assert!(vouches(History::Loose(HOUR), &[]));
    assert!(!vouches(History::Exact(DAY), &[]));
    assert!(vouches(History::None, &[peer(0, true)]));
    assert!(!vouches(History::None, &[peer(0, false)]));
}

fn any_peer() -> impl Strategy<Value = PeerClock> {
    (-5 * DAY..5 * DAY, 0_u64..10_000, any::<bool>()).prop_map(|(ahead, millis, vouches)| {
        PeerClock {
            ahead,
            uncertainty: Duration::from_millis(millis),
            vouches,
        }
    })
}

fn any_history() -> impl Strategy<Value = History> {
    prop_oneof![
        Just(History::None),
        (-5 * DAY..5 * DAY).prop_map(History::Loose),
        (-5 * DAY..5 * DAY).prop_map(History::Exact),
    ]
}

proptest! {
    #[test]
    fn a_clock_that_most_are_behind_is_never_believed(
        history in any_history(),
        set_ahead in -DAY..DAY,
        behind in prop::collection::vec(any_peer(), 2..5),
        others in prop::collection::vec(any_peer(), 0..5),
    ) {
        let behind: Vec<_> = behind
            .into_iter()
            .map(|peer| PeerClock { ahead: peer.ahead.abs() + 41 * SECOND, ..peer })
            .collect();
        let others = others.into_iter().take(behind.len() - 1);
        let peers: Vec<_> = behind.iter().copied().chain(others).collect();
        prop_assert!(!is_believed(history, set_ahead, &peers));
    }

    #[test]
    fn one_peer_among_three_and_more_decides_nothing(
        history in any_history(),
        set_ahead in -DAY..DAY,
        one in any_peer(),
        count in 3_usize..6,
        vouching in any::<bool>(),
    ) {
        let mut peers = vec![peer(0, vouching); count];
        let without = is_believed(history, set_ahead, &peers);
        peers[0] = one;
        prop_assert_eq!(is_believed(history, set_ahead, &peers), without);
    }

    #[test]
    fn a_clock_that_is_less_far_ahead_is_believed_no_less(
        history in any_history(),
        set_ahead in -DAY..DAY,
        peers in prop::collection::vec(any_peer(), 0..5),
        back in 0..DAY,
    ) {
        // Nobody vouches: whoever confirms a time confirms no other one.
        let unsure = |by: i64| -> Vec<_> {
            peers
                .iter()
                .map(|peer| PeerClock { ahead: peer.ahead - by, vouches: false, ..*peer })
                .collect()
        };
        if is_believed(history, set_ahead, &unsure(0)) {
            prop_assert!(is_believed(history, set_ahead - back, &unsure(back)));
        }
    }
}
