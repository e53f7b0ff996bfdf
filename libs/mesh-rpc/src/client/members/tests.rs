//! Which address takes a call, and when is one tried again?

use super::*;

/// A connection of this number, with this burden.
#[derive(Debug, PartialEq)]
struct Fake(u16, usize);

const NAME: &str = "flag-registry:16170";

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn refused() -> io::Result<Fake> {
    Err(io::ErrorKind::ConnectionRefused.into())
}

/// Members of a name that stands for these ports.
fn members(ports: &[u16], now: Instant) -> Members<Fake> {
    let mut members = Members::of(NAME);
    assert!(members.begins_to_resolve(now, now));
    resolve(&mut members, ports, now);
    members
}

fn resolve(members: &mut Members<Fake>, ports: &[u16], now: Instant) -> bool {
    let found = ports.iter().copied().map(address).collect();
    members.resolved(Ok(found), now).unwrap()
}

fn open(members: &mut Members<Fake>, port: u16, burden: usize, now: Instant) {
    members.opened(address(port), Ok(Fake(port, burden)), now, 0.5);
}

/// The port that a call of `begun` goes to, where the lots fall like this.
fn taken(members: &Members<Fake>, begun: Instant, lots: [usize; 2]) -> Result<u16, String> {
    let mut lots = lots.into_iter();
    let lot = |among: usize| lots.next().unwrap() % among;
    match members.choose(begun, |fake| fake.1, lot) {
        Choice::Take(fake) => Ok(fake.0),
        Choice::Wait => Err("wait".to_owned()),
        Choice::Failed(why) => Err(why),
    }
}

#[test]
fn an_address_is_not_resolved_and_opened_once() {
    let now = Instant::now();
    let mut members = Members::of("127.0.0.1:7");
    assert!(!members.begins_to_resolve(now, now));
    assert_eq!(members.begin_to_open(now, now), [address(7)]);
    assert_eq!(members.begin_to_open(now, now), [], "it is under way");
    assert_eq!(taken(&members, now, [0, 0]), Err("wait".to_owned()));
    open(&mut members, 7, 0, now);
    assert_eq!(taken(&members, now, [0, 0]), Ok(7));
    members.part_with(|_| true);
    assert_eq!(members.begin_to_open(now, now), [address(7)]);
}

#[test]
fn of_two_that_are_drawn_the_one_with_less_to_do_takes_the_call() {
    let now = Instant::now();
    let mut members = members(&[1, 2, 3], now);
    for (port, burden) in [(1, 9), (2, 1), (3, 5)] {
        open(&mut members, port, burden, now);
    }
    let mut drawn = Vec::new();
    for first in 0..3 {
        for second in 0..2 {
            drawn.push(taken(&members, now, [first, second]).unwrap());
        }
    }
    // Each pair twice, one way round and the other; the heaviest never.
    assert_eq!(drawn, [2, 3, 2, 2, 3, 2]);
}

#[test]
fn a_new_process_is_found_and_one_that_is_gone_is_left() {
    let mut now = Instant::now();
    let mut members = members(&[1, 2], now);
    open(&mut members, 1, 0, now);
    open(&mut members, 2, 9, now);
    assert!(!members.begins_to_resolve(now, now));
    now += RESOLVE_AGAIN;
    assert!(members.begins_to_resolve(now, now));
    assert!(!members.begins_to_resolve(now, now), "it is under way");
    assert!(resolve(&mut members, &[2, 3], now));
    assert_eq!(members.begin_to_open(now, now), [address(3)]);
    assert_eq!(
        taken(&members, now, [0, 0]),
        Ok(2),
        "1 is gone, 3 not there"
    );
    assert!(!resolve(&mut members, &[3, 2], now));
    // What an attempt found for an address that is gone is dropped.
    open(&mut members, 1, 0, now);
    assert_eq!(taken(&members, now, [0, 0]), Ok(2));
}

#[test]
fn a_name_that_cannot_be_resolved_leaves_what_was_known() {
    let now = Instant::now();
    let mut members = members(&[1], now);
    open(&mut members, 1, 0, now);
    assert!(
        members
            .resolved(Err(io::ErrorKind::TimedOut.into()), now)
            .is_err()
    );
    assert_eq!(taken(&members, now, [0, 0]), Ok(1));
    assert!(members.resolved(Ok(vec![]), now).is_err());
    assert_eq!(taken(&members, now, [0, 0]), Ok(1));

    let mut unknown = Members::<Fake>::of(NAME);
    assert!(unknown.begins_to_resolve(now, now));
    assert_eq!(taken(&unknown, now, [0, 0]), Err("wait".to_owned()));
    let failed = unknown.resolved(Err(io::Error::other("no such name")), now);
    assert!(failed.is_err());
    assert_eq!(taken(&unknown, now, [0, 0]), Err("no such name".to_owned()));
    let after = now + Duration::from_millis(1);
    assert!(
        !unknown.begins_to_resolve(now, after),
        "the call that had it tried hears of it"
    );
    let later = now + Duration::from_millis(1);
    assert_eq!(taken(&unknown, later, [0, 0]), Err("wait".to_owned()));
    assert!(
        unknown.begins_to_resolve(later, later),
        "for a call that came later"
    );
}

#[test]
fn one_that_failed_is_left_alone_as_long_as_there_is_another() {
    let mut now = Instant::now();
    let mut members = members(&[1, 2], now);
    members.begin_to_open(now, now);
    open(&mut members, 1, 0, now);
    members.opened(address(2), refused(), now, 0.0);
    let (least, most) = PAUSES;
    assert_eq!(members.begin_to_open(now, now), []);
    now += least / 2;
    assert_eq!(members.begin_to_open(now, now), [address(2)]);
    for _ in 0..20 {
        members.opened(address(2), refused(), now, 1.0);
    }
    assert_eq!(members.begin_to_open(now, now + most - least), []);
    assert_eq!(members.begin_to_open(now, now + most), [address(2)]);
    open(&mut members, 2, 0, now);
    members.part_with(|fake| fake.0 == 2);
    assert_eq!(members.begin_to_open(now, now), [address(2)], "no grudge");
}

#[test]
fn a_call_that_has_nowhere_to_go_tries_again_at_once_and_then_says_why() {
    let now = Instant::now();
    let mut members = members(&[1, 2], now);
    assert_eq!(members.begin_to_open(now, now), [address(1), address(2)]);
    members.opened(address(1), refused(), now, 1.0);
    assert_eq!(
        taken(&members, now, [0, 0]),
        Err("wait".to_owned()),
        "for 2"
    );
    members.opened(address(2), refused(), now, 1.0);
    assert_eq!(
        taken(&members, now, [0, 0]),
        Err("connection refused".to_owned())
    );
    // The next call does not wait for the pause.
    let later = now + Duration::from_millis(1);
    assert_eq!(taken(&members, later, [0, 0]), Err("wait".to_owned()));
    assert_eq!(
        members.begin_to_open(later, later),
        [address(1), address(2)]
    );
}

#[test]
fn a_loss_has_the_name_resolved_soon_and_the_call_waits_for_that() {
    let mut now = Instant::now();
    let mut members = members(&[1], now);
    open(&mut members, 1, 0, now);
    members.part_with(|_| true);
    assert!(!members.begins_to_resolve(now, now), "not in a loop");
    now += RESOLVE_SOON;
    assert!(members.begins_to_resolve(now, now));
    members.begin_to_open(now, now);
    members.opened(address(1), refused(), now, 0.0);
    assert_eq!(taken(&members, now, [0, 0]), Err("wait".to_owned()));
    resolve(&mut members, &[2], now);
    assert_eq!(members.begin_to_open(now, now), [address(2)]);
    open(&mut members, 2, 0, now);
    assert_eq!(taken(&members, now, [0, 0]), Ok(2));
}

#[test]
fn pauses_double_up_to_the_longest_and_fall_by_lot() {
    let (least, most) = PAUSES;
    assert_eq!(pause(0, 1.0), least);
    assert_eq!(pause(0, 0.0), least / 2);
    assert_eq!(pause(1, 1.0), least * 2);
    assert_eq!(pause(1000, 1.0), most);
}
