//! No key starves, each has its share, and nothing idles.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const BOUND: Bound = Bound {
    class: 8,
    caller: 4,
};
/// The dearest work in these tests.
const DEAREST: usize = 200;

type Queue = Fair<u8, usize>;

/// Puts so many pieces of work of one cost into a lane.
fn fill(queue: &mut Queue, key: u8, count: usize, cost: usize) {
    for _ in 0..count {
        queue.wait(key, cost, cost);
    }
}

fn end(queue: &mut Queue, granted: &Granted<u8, usize>) {
    queue.answered(granted.held);
    queue.leave(granted.key, granted.held);
}

#[test]
fn who_has_nothing_in_service_goes_in_before_all_that_a_hog_has_waiting() {
    let mut queue = Queue::new(BOUND);
    fill(&mut queue, 1, 700, 1_000);
    let first = queue.next().unwrap();
    assert_eq!((first.key, first.held), (1, BOUND.caller));
    assert_eq!(queue.next(), None, "one batch of a hog at a time");
    fill(&mut queue, 2, 1, 1);
    assert_eq!(queue.next().map(|granted| granted.key), Some(2));
    assert_eq!(queue.next(), None);
    end(&mut queue, &first);
    assert_eq!(queue.next().map(|granted| granted.key), Some(1));
}

/// However many hogs are in service.
#[test]
fn a_newcomer_finds_a_place_when_all_work_is_taken() {
    let mut queue = Queue::new(BOUND);
    for key in 1..=20 {
        fill(&mut queue, key, 10, 1_000);
    }
    while queue.next().is_some() {}
    fill(&mut queue, 99, 1, 1);
    assert_eq!(queue.next().map(|granted| granted.key), Some(99));
}

#[test]
fn an_answer_that_nobody_takes_counts_for_its_caller_alone() {
    let mut queue = Queue::new(BOUND);
    fill(&mut queue, 1, 5, 1);
    let untaken: Vec<_> = std::iter::from_fn(|| queue.next()).collect();
    assert_eq!(untaken.len(), BOUND.caller);
    for granted in &untaken {
        queue.answered(granted.held);
    }
    assert_eq!(queue.next(), None, "it has to take what it was given first");
    assert_eq!(queue.in_service, 0);
    queue.leave(1, untaken[0].held);
    assert!(queue.next().is_some());
}

#[test]
fn who_waits_no_longer_is_not_granted_and_leaves_nothing_behind() {
    let mut queue = Queue::new(BOUND);
    let ticket = queue.wait(1, 1, 7);
    let other = queue.wait(1, 1, 8);
    queue.withdraw(1, ticket);
    let granted = queue.next().unwrap();
    assert_eq!(granted.what, 8);
    queue.withdraw(1, other);
    end(&mut queue, &granted);
    let last = queue.wait(2, 1, 9);
    queue.withdraw(2, last);
    assert_eq!(queue.next(), None);
    assert!(queue.lanes.is_empty() && queue.ring.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u8, usize),
    Withdraw(usize),
    Grant,
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u8, 1..DEAREST).prop_map(|(key, cost)| Step::Wait(key, cost)),
        1 => any::<usize>().prop_map(Step::Withdraw),
        3 => Just(Step::Grant),
        3 => any::<usize>().prop_map(Step::End),
    ]
}

proptest! {
    /// Whatever happens: both bounds hold, nothing that could go in is kept waiting, each lane is in
    /// order, and what was put in comes out once.
    #[test]
    fn bounds_hold_and_nothing_idles(steps in vec(step(), 1..400)) {
        let mut queue = Queue::new(BOUND);
        let mut waiting: BTreeMap<u8, Vec<(u64, usize)>> = BTreeMap::new();
        let mut served = Vec::new();
        for step in steps {
            match step {
                Step::Wait(key, cost) => {
                    let ticket = queue.wait(key, cost, cost);
                    waiting.entry(key).or_default().push((ticket, cost));
                }
                Step::Withdraw(which) => {
                    let all: Vec<_> = waiting
                        .iter()
                        .flat_map(|(key, lane)| lane.iter().map(|(ticket, _)| (*key, *ticket)))
                        .collect();
                    if !all.is_empty() {
                        let (key, ticket) = all[which % all.len()];
                        queue.withdraw(key, ticket);
                        waiting.get_mut(&key).unwrap().retain(|(known, _)| *known != ticket);
                    }
                }
                Step::Grant => while let Some(granted) = queue.next() {
                    let lane = waiting.get_mut(&granted.key).unwrap();
                    prop_assert_eq!(lane.remove(0).1, granted.what);
                    served.push(granted);
                    let mut held: BTreeMap<u8, usize> = BTreeMap::new();
                    for granted in &served {
                        *held.entry(granted.key).or_default() += granted.held;
                    }
                    prop_assert!(held.values().all(|held| *held <= BOUND.caller));
                    prop_assert_eq!(held.values().sum::<usize>(), queue.in_service);
                },
                Step::End(which) => if !served.is_empty() {
                    let granted = served.swap_remove(which % served.len());
                    end(&mut queue, &granted);
                },
            }
        }
        while queue.next().is_some() {}
        if queue.in_service < BOUND.class {
            prop_assert!(!queue.ring.iter().any(|key| queue.may_go(key)));
        }
        let new = |key: &u8| queue.lanes[key].is_new();
        prop_assert!(!queue.ring.iter().any(new));
    }

    /// Among keys that always have work waiting, none gets ahead of another by more than a turn: its
    /// dearest piece of work and a quantum, whatever each of them asks for.
    #[test]
    fn each_has_as_much_as_the_others(costs in vec(1..DEAREST, 2..6)) {
        let mut queue = Queue::new(Bound { class: 1, caller: 1 });
        let mut had = vec![0_usize; costs.len()];
        let most = DEAREST + usize::try_from(QUANTUM).unwrap();
        let keys = || 0_u8..;
        for (key, cost) in keys().zip(&costs) {
            fill(&mut queue, key, 2, *cost);
        }
        // Each had its first turn as a newcomer; from then on it is how much that counts.
        let mut under_way: Vec<_> = std::iter::from_fn(|| queue.next()).collect();
        for _ in 0..3_000 {
            let granted = under_way.remove(0);
            had[usize::from(granted.key)] += granted.what;
            queue.wait(granted.key, granted.what, granted.what);
            end(&mut queue, &granted);
            under_way.extend(std::iter::from_fn(|| queue.next()));
            prop_assert!(!under_way.is_empty(), "nothing idles");
        }
        let (least, largest) = (had.iter().min().unwrap(), had.iter().max().unwrap());
        prop_assert!(largest - least <= 2 * most, "{costs:?} had {had:?}");
    }
}
