//! What does an event of the log `flags` do to the flags of a supplier and a CSP?
//!
//! A flag counts once, for the meter that is flagged, and for its [`Holder`]. It counts in the month in which an
//! event was recorded, as exceptions do. What a flag was before an event is known from the events before it; of the
//! event itself only its cause matters and what it leaves.
//!
//! What comes and what goes makes up what is there: a flag that stays while its supplier or CSP changes goes from
//! one holder and comes to another.

use std::ops::AddAssign;

use mesh_api::flag_registry::v1 as wire;
use mesh_types::{CspId, PartyId};

/// For whom a flag counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Holder {
    /// The meter's Responsible Supplier, if there is one.
    pub supplier: Option<PartyId>,
    /// The CSP of its hub, if it is on one.
    pub csp: Option<CspId>,
}

/// A flag that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// For whom it counts.
    pub holder: Holder,
    /// Whether the supplier gained it at a change of supplier, and did not set it itself.
    pub gained: bool,
}

/// Why an event was recorded, as far as it decides how a flag counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The supplier lifted the flag.
    Lifted,
    /// The incoming tenant keeps the flag.
    TenancyKept,
    /// The incoming tenant lifts the flag.
    TenancyLifted,
    /// The supplier recorded a preference that changed nothing.
    Confirmed,
    /// The Device was decommissioned.
    DeviceEnded,
    /// Another one, which may be newer than this build: what the event leaves says all.
    Other,
}

/// Something that happened to a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Movement {
    /// It was set.
    Set,
    /// It came to the supplier with a change of supplier.
    Gained,
    /// It came to the CSP with the meter's hub.
    MovedIn,
    /// The supplier lifted it.
    Lifted,
    /// It was lifted at a change of tenancy.
    TenancyLifted,
    /// It ended with its Device.
    DeviceEnded,
    /// It ended for a reason that this build does not know.
    EndedOtherwise,
    /// It went to another supplier, or to none.
    Lost,
    /// It went to another CSP, or to none.
    MovedOut,
    /// It was kept at a change of tenancy.
    TenancyKept,
    /// The supplier recorded again that it is wanted.
    Confirmed,
}

/// A movement, and whose flag it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moved {
    /// For whom the flag counts.
    pub holder: Holder,
    /// What happened.
    pub movement: Movement,
    /// Whether the flag was gained at a change of supplier.
    pub gained: bool,
}

/// What became of the flags of a holder in a month, in flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlagCounts {
    before: i64,
    movements: [i64; Movement::ALL.len()],
}

/// The figures of a row: all flags, and of these the ones that were gained at a change of supplier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlagFigures {
    /// All of them.
    pub total: FlagCounts,
    /// Of these, those that another supplier had set.
    pub gained: FlagCounts,
}

impl From<wire::Cause> for Cause {
    fn from(cause: wire::Cause) -> Self {
        match cause {
            wire::Cause::FlagRemoved => Self::Lifted,
            wire::Cause::TenancyKept => Self::TenancyKept,
            wire::Cause::TenancyRemoved => Self::TenancyLifted,
            wire::Cause::PreferenceRecorded => Self::Confirmed,
            wire::Cause::DeviceEnded => Self::DeviceEnded,
            wire::Cause::Unspecified
            | wire::Cause::FlagAdded
            | wire::Cause::SupplierChanged
            | wire::Cause::HubReplaced
            | wire::Cause::CoverageChanged
            | wire::Cause::ReviewNeeded => Self::Other,
        }
    }
}

impl Movement {
    /// All of them. A movement's number in the database is one more than its place here.
    pub const ALL: [Self; 11] = [
        Self::Set,
        Self::Gained,
        Self::MovedIn,
        Self::Lifted,
        Self::TenancyLifted,
        Self::DeviceEnded,
        Self::EndedOtherwise,
        Self::Lost,
        Self::MovedOut,
        Self::TenancyKept,
        Self::Confirmed,
    ];

    /// How many flags more its holder has by it.
    #[must_use]
    pub const fn adds(self) -> i64 {
        match self {
            Self::Set | Self::Gained | Self::MovedIn => 1,
            Self::Lifted
            | Self::TenancyLifted
            | Self::DeviceEnded
            | Self::EndedOtherwise
            | Self::Lost
            | Self::MovedOut => -1,
            Self::TenancyKept | Self::Confirmed => 0,
        }
    }

    /// Whether a flag began or ended by it.
    #[must_use]
    pub const fn changes_the_flag(self) -> bool {
        match self {
            Self::Set
            | Self::Lifted
            | Self::TenancyLifted
            | Self::DeviceEnded
            | Self::EndedOtherwise => true,
            Self::Gained
            | Self::MovedIn
            | Self::Lost
            | Self::MovedOut
            | Self::TenancyKept
            | Self::Confirmed => false,
        }
    }

    /// Its number in the database.
    #[must_use]
    pub const fn number(self) -> i64 {
        self as i64 + 1
    }

    /// The movement of a number.
    #[must_use]
    pub fn numbered(number: i64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|movement| movement.number() == number)
    }

    /// How a flag ends for which this is the cause.
    const fn ending(cause: Cause) -> Self {
        match cause {
            Cause::Lifted => Self::Lifted,
            Cause::TenancyLifted => Self::TenancyLifted,
            Cause::DeviceEnded => Self::DeviceEnded,
            Cause::TenancyKept | Cause::Confirmed | Cause::Other => Self::EndedOtherwise,
        }
    }
}

/// What an event makes of the flag of its meter, which was `before` or not set, if it leaves the flag to `holder` or not
/// set: what it is afterwards, and what happened to it.
#[must_use]
pub fn step(
    before: Option<Standing>,
    holder: Option<&Holder>,
    cause: Cause,
) -> (Option<Standing>, Vec<Moved>) {
    match (before, holder) {
        (None, None) => (None, Vec::new()),
        (None, Some(holder)) => {
            let set = Standing {
                holder: holder.clone(),
                gained: false,
            };
            let moved = vec![set.moved(Movement::Set)];
            (Some(set), moved)
        }
        (Some(before), None) => (None, vec![before.moved(Movement::ending(cause))]),
        (Some(before), Some(holder)) => stays(before, holder, cause),
    }
}

fn stays(mut standing: Standing, holder: &Holder, cause: Cause) -> (Option<Standing>, Vec<Moved>) {
    let mut moved = Vec::new();
    let Holder { supplier, csp } = holder;
    if standing.holder.supplier != *supplier {
        moved.push(standing.moved(Movement::Lost));
        standing.holder.supplier.clone_from(supplier);
        standing.gained = true;
        moved.push(standing.moved(Movement::Gained));
    }
    if standing.holder.csp != *csp {
        moved.push(standing.moved(Movement::MovedOut));
        standing.holder.csp.clone_from(csp);
        moved.push(standing.moved(Movement::MovedIn));
    }
    match cause {
        Cause::TenancyKept => moved.push(standing.moved(Movement::TenancyKept)),
        Cause::Confirmed => moved.push(standing.moved(Movement::Confirmed)),
        Cause::Lifted | Cause::TenancyLifted | Cause::DeviceEnded | Cause::Other => {}
    }
    (Some(standing), moved)
}

impl Standing {
    fn moved(&self, movement: Movement) -> Moved {
        Moved {
            holder: self.holder.clone(),
            movement,
            gained: self.gained,
        }
    }
}

impl FlagCounts {
    /// Adds so many movements before the month and within it.
    pub const fn add(&mut self, movement: Movement, before: i64, within: i64) {
        self.before += before * movement.adds();
        self.movements[movement as usize] += within;
    }

    /// Flags that were set when the month began; `None` if that is no number of flags.
    #[must_use]
    pub fn active_before(&self) -> Option<u64> {
        u64::try_from(self.before).ok()
    }

    /// How many there were of a movement within the month.
    #[must_use]
    pub fn of(&self, movement: Movement) -> Option<u64> {
        u64::try_from(self.movements[movement as usize]).ok()
    }

    /// Flags that were set when the month ended, or are now.
    #[must_use]
    pub fn active(&self) -> Option<u64> {
        let all = Movement::ALL.into_iter();
        let within: i64 = all
            .map(|one| one.adds() * self.movements[one as usize])
            .sum();
        u64::try_from(self.before + within).ok()
    }
}

impl FlagFigures {
    /// Adds so many movements, of flags that were `gained` or not.
    pub const fn add(&mut self, movement: Movement, gained: bool, before: i64, within: i64) {
        self.total.add(movement, before, within);
        if gained {
            self.gained.add(movement, before, within);
        }
    }

    /// Whether there was no flag, and nothing happened to one.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether each of its counts can be one.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        [self.total, self.gained]
            .iter()
            .all(|counts| counts.active_before().is_some() && counts.active().is_some())
    }
}

impl AddAssign for FlagCounts {
    fn add_assign(&mut self, other: Self) {
        self.before += other.before;
        for (sum, count) in self.movements.iter_mut().zip(other.movements) {
            *sum += count;
        }
    }
}

impl AddAssign for FlagFigures {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.gained += other.gained;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn holder(supplier: &str, csp: &str) -> Holder {
        Holder {
            supplier: supplier.parse().ok(),
            csp: csp.parse().ok(),
        }
    }

    /// What an event leaves, and its cause.
    type Event = (Option<Holder>, Cause);

    fn change(flagged: bool, supplier: &str, csp: &str, cause: Cause) -> Event {
        (flagged.then(|| holder(supplier, csp)), cause)
    }

    /// What happened to one flag, in order.
    fn told(changes: &[Event]) -> Vec<(String, Movement, bool)> {
        let mut standing = None;
        let mut told = Vec::new();
        for (holder, cause) in changes {
            let (after, moved) = step(standing.take(), holder.as_ref(), *cause);
            standing = after;
            told.extend(moved.into_iter().map(|moved| {
                let Holder { supplier, csp } = &moved.holder;
                let name = [
                    supplier.as_ref().map_or("-", |party| party.as_str()),
                    csp.as_ref().map_or("-", |csp| csp.as_str()),
                ];
                (name.join(" "), moved.movement, moved.gained)
            }));
        }
        told
    }

    #[test]
    fn a_flag_goes_from_one_supplier_and_comes_to_another() {
        let changes = [
            change(true, "ONE", "north", Cause::Other),
            change(true, "ONE", "north", Cause::TenancyKept),
            change(true, "", "north", Cause::Other),
            change(true, "TWO", "north", Cause::Other),
            change(true, "TWO", "4g", Cause::Other),
            change(true, "TWO", "4g", Cause::Confirmed),
            change(false, "TWO", "4g", Cause::Lifted),
            change(false, "ONE", "4g", Cause::Other),
            change(true, "ONE", "4g", Cause::TenancyKept),
        ];
        let expected = [
            ("ONE north", Movement::Set, false),
            ("ONE north", Movement::TenancyKept, false),
            ("ONE north", Movement::Lost, false),
            ("- north", Movement::Gained, true),
            ("- north", Movement::Lost, true),
            ("TWO north", Movement::Gained, true),
            ("TWO north", Movement::MovedOut, true),
            ("TWO 4g", Movement::MovedIn, true),
            ("TWO 4g", Movement::Confirmed, true),
            ("TWO 4g", Movement::Lifted, true),
            // Of a tenant who is the first to want it.
            ("ONE 4g", Movement::Set, false),
        ];
        let expected = expected.map(|(holder, movement, gained)| (holder.into(), movement, gained));
        assert_eq!(told(&changes), expected);
    }

    #[test]
    fn each_cause_ends_a_flag_in_its_way_and_an_unknown_one_in_another() {
        for number in -1..20 {
            let event = wire::FlagEvent {
                cause: number,
                ..wire::FlagEvent::default()
            };
            let cause = Cause::from(event.cause());
            let changes = [
                change(true, "ONE", "north", Cause::Other),
                change(false, "ONE", "north", cause),
            ];
            let ending = match number {
                2 => Movement::Lifted,
                4 => Movement::TenancyLifted,
                9 => Movement::DeviceEnded,
                _ => Movement::EndedOtherwise,
            };
            assert_eq!(told(&changes)[1].1, ending, "cause {number}");
        }
    }

    #[test]
    fn movements_are_read_as_they_are_written() {
        for (place, movement) in Movement::ALL.into_iter().enumerate() {
            assert_eq!(movement as usize, place);
            assert_eq!(Movement::numbered(movement.number()), Some(movement));
        }
        assert_eq!(Movement::numbered(0), None);
        assert_eq!(Movement::numbered(12), None);
    }

    fn changes() -> impl Strategy<Value = Vec<(bool, usize, usize, usize)>> {
        prop::collection::vec((any::<bool>(), 0..3_usize, 0..3_usize, 0..6_usize), 0..60)
    }

    proptest! {
        /// Whatever happens to a flag: what came and what went is what is there, for each holder and for the flags
        /// that were gained alone; and a flag is gained if it has come from another supplier since it was set.
        #[test]
        fn what_comes_and_goes_is_what_is_there(drafts in changes()) {
            const CAUSES: [Cause; 6] = [
                Cause::Lifted,
                Cause::TenancyKept,
                Cause::TenancyLifted,
                Cause::Confirmed,
                Cause::DeviceEnded,
                Cause::Other,
            ];
            let mut standing: Option<Standing> = None;
            let mut figures: BTreeMap<Holder, FlagFigures> = BTreeMap::new();
            let mut set_by: Option<Option<PartyId>> = None;
            let mut crossed = false;
            for (flagged, supplier, csp, cause) in drafts {
                let (after_it, cause) = change(
                    flagged,
                    ["", "ONE", "TWO"][supplier],
                    ["", "north", "4g"][csp],
                    CAUSES[cause],
                );
                let (after, moved) = step(standing.take(), after_it.as_ref(), cause);
                for Moved { holder, movement, gained } in moved {
                    figures.entry(holder).or_default().add(movement, gained, 0, 1);
                }
                match (&set_by, &after_it) {
                    (None, Some(here)) => (set_by, crossed) = (Some(here.supplier.clone()), false),
                    (Some(by), Some(here)) => crossed |= *by != here.supplier,
                    (_, None) => set_by = None,
                }
                prop_assert_eq!(after.is_some(), flagged);
                if let Some(after) = &after {
                    prop_assert_eq!(Some(&after.holder), after_it.as_ref());
                    prop_assert_eq!(after.gained, crossed);
                }
                standing = after;
            }
            for (holder, figures) in &figures {
                let here = standing.as_ref().filter(|standing| standing.holder == *holder);
                prop_assert_eq!(figures.total.active(), Some(u64::from(here.is_some())));
                let gained = here.is_some_and(|standing| standing.gained);
                prop_assert_eq!(figures.gained.active(), Some(u64::from(gained)));
                prop_assert_eq!(figures.gained.of(Movement::Set), Some(0));
            }
        }
    }
}
