//! Who is the Responsible Supplier of a Device at an instant, and until when does that hold?
//!
//! It follows the registration, never the certificates on the Device: of an ESME the supplier of
//! its import MPAN or, where it has none, of its export MPAN; of a GSME the supplier of its MPRN; of
//! a GPF that of the GSME which it mirrors. Other Devices have none here.

use mesh_types::{Mpxn, PartyId, Timestamp};

use crate::device::{Device, DeviceType};
use crate::supply::{Registration, Supply};

/// The answer about one Device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The registration of the Responsible Supplier.
    pub registration: Option<&'a Registration>,
    /// Since when that supplier is responsible, by this registration and those that it goes on
    /// from.
    pub since: Option<Timestamp>,
    /// The supplier of the second element of a twin-element ESME.
    pub secondary: Option<&'a PartyId>,
    /// The next instant at which a registration that matters here begins or ends.
    pub ends: Option<Timestamp>,
}

/// The MPxNs whose registrations an answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Points {
    /// Decides who is responsible.
    pub decisive: Option<Mpxn>,
    /// The second element of a twin-element ESME.
    pub secondary: Option<Mpxn>,
}

impl Points {
    /// Those of a Device. `mirrored` is the GSME that a GPF mirrors.
    #[must_use]
    pub fn of(device: &Device, mirrored: Option<&Device>) -> Self {
        let meter = match device.device_type {
            DeviceType::Gpf => mirrored,
            _ => Some(device),
        };
        Self {
            decisive: meter.and_then(Device::decisive_mpxn),
            secondary: device.secondary_import_mpan.map(Mpxn::Mpan),
        }
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = Mpxn> {
        self.decisive.into_iter().chain(self.secondary)
    }
}

/// The answer at an instant. `supply` gives the registrations of an MPxN.
pub fn authority<'a>(
    points: Points,
    supply: impl Fn(Mpxn) -> Option<&'a Supply>,
    at: Timestamp,
) -> Authority<'a> {
    let registered = |mpxn: Option<Mpxn>| supply(mpxn?)?.at(at);
    let changes = points
        .all()
        .filter_map(|mpxn| supply(mpxn)?.next_change(at));
    Authority {
        registration: registered(points.decisive),
        since: points.decisive.and_then(|mpxn| supply(mpxn)?.since(at)),
        secondary: registered(points.secondary).map(|registration| &registration.party),
        ends: changes.min(),
    }
}

/// Which of the GSMEs that name a GPF it mirrors: the one that is not decommissioned. There is at
/// most one.
#[must_use]
pub fn mirrored<'a>(meters: impl IntoIterator<Item = &'a Device>) -> Option<&'a Device> {
    let mut meters = meters.into_iter();
    meters.find(|meter| !meter.is_decommissioned())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use mesh_types::{DeviceId, Eui64, Interval, Mpan};
    use proptest::prelude::*;

    use super::*;
    use crate::device::SmiStatus;
    use crate::supply::RegistrationId;

    fn at(t: i64) -> Timestamp {
        Timestamp::from_micros(t)
    }

    fn device(n: u64, device_type: DeviceType) -> Device {
        Device {
            id: DeviceId::new(Eui64::from_u64(n)),
            device_type,
            smets_version: None,
            status: Some(SmiStatus::Commissioned),
            status_since: Some(at(0)),
            hub: None,
            csp: None,
            gpf: None,
            import_mpan: None,
            secondary_import_mpan: None,
            export_mpan: None,
            mprn: None,
            site_exceptions: BTreeSet::new(),
        }
    }

    fn mpan(leading: u64) -> Mpan {
        Mpan::with_check_digit(120_000_000_000 + leading).unwrap()
    }

    struct World(HashMap<Mpxn, Supply>);

    impl World {
        fn of(rows: &[(Mpxn, &str, i64, Option<i64>)]) -> Self {
            let mut supplies: HashMap<Mpxn, Supply> = HashMap::new();
            for &(mpxn, party, start, end) in rows {
                let registration = Registration {
                    id: RegistrationId::recorded(party),
                    mpxn,
                    party: party.parse().unwrap(),
                    interval: Interval::new(at(start), end.map(at)).unwrap(),
                };
                supplies.entry(mpxn).or_default().insert(registration);
            }
            Self(supplies)
        }

        fn ask(&self, device: &Device, mirrored: Option<&Device>, t: i64) -> Told {
            let points = Points::of(device, mirrored);
            let answer = authority(points, |mpxn| self.0.get(&mpxn), at(t));
            let name = |party: &PartyId| party.to_string();
            (
                answer.registration.map(|r| name(&r.party)),
                answer.secondary.map(name),
                answer.ends.map(Timestamp::micros),
            )
        }
    }

    /// Responsible, secondary, until when.
    type Told = (Option<String>, Option<String>, Option<i64>);

    fn told(responsible: &str, secondary: &str, ends: Option<i64>) -> Told {
        let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (name(responsible), name(secondary), ends)
    }

    #[test]
    fn an_esme_follows_its_import_mpan_and_without_one_its_export_mpan() {
        let (import, export) = (mpan(1), mpan(2));
        let world = World::of(&[
            (Mpxn::Mpan(import), "IN", 0, Some(10)),
            (Mpxn::Mpan(import), "NEXT", 10, None),
            (Mpxn::Mpan(export), "OUT", 0, Some(5)),
        ]);
        let both = Device {
            import_mpan: Some(import),
            export_mpan: Some(export),
            ..device(1, DeviceType::Esme)
        };
        assert_eq!(world.ask(&both, None, -1), told("", "", Some(0)));
        assert_eq!(world.ask(&both, None, 0), told("IN", "", Some(10)));
        assert_eq!(world.ask(&both, None, 10), told("NEXT", "", None));
        let export_only = Device {
            import_mpan: None,
            ..both
        };
        assert_eq!(world.ask(&export_only, None, 4), told("OUT", "", Some(5)));
        assert_eq!(world.ask(&export_only, None, 5), told("", "", None));
        let neither = Device {
            export_mpan: None,
            ..export_only
        };
        assert_eq!(world.ask(&neither, None, 4), told("", "", None));
    }

    #[test]
    fn an_import_mpan_that_nobody_supplies_is_not_replaced_by_the_export_mpan() {
        let (import, export) = (mpan(1), mpan(2));
        let world = World::of(&[(Mpxn::Mpan(export), "OUT", 0, None)]);
        let both = Device {
            import_mpan: Some(import),
            export_mpan: Some(export),
            ..device(1, DeviceType::Esme)
        };
        assert_eq!(world.ask(&both, None, 4), told("", "", None));
    }

    #[test]
    fn the_second_element_counts_for_the_end_too() {
        let (first, second) = (mpan(1), mpan(2));
        let world = World::of(&[
            (Mpxn::Mpan(first), "A", 0, Some(20)),
            (Mpxn::Mpan(second), "B", 0, Some(10)),
        ]);
        let twin = Device {
            import_mpan: Some(first),
            secondary_import_mpan: Some(second),
            ..device(1, DeviceType::Esme)
        };
        assert_eq!(world.ask(&twin, None, 5), told("A", "B", Some(10)));
        assert_eq!(world.ask(&twin, None, 15), told("A", "", Some(20)));
    }

    #[test]
    fn a_gpf_follows_the_gsme_that_it_mirrors() {
        let mprn = "3938424403".parse().unwrap();
        let world = World::of(&[(Mpxn::Mprn(mprn), "GAS", 0, None)]);
        let gpf = device(3, DeviceType::Gpf);
        let gsme = Device {
            gpf: Some(gpf.id),
            mprn: Some(mprn),
            ..device(1, DeviceType::Gsme)
        };
        assert_eq!(world.ask(&gsme, None, 1), told("GAS", "", None));
        assert_eq!(world.ask(&gpf, Some(&gsme), 1), told("GAS", "", None));
        assert_eq!(world.ask(&gpf, None, 1), told("", "", None));
        for other in [DeviceType::Chf, DeviceType::Ppmid, DeviceType::Ihd] {
            assert_eq!(world.ask(&device(4, other), None, 1), told("", "", None));
        }
    }

    #[test]
    fn a_gpf_mirrors_the_meter_in_use() {
        let old = |n| Device {
            status: Some(SmiStatus::Decommissioned),
            ..device(n, DeviceType::Gsme)
        };
        let (first, second, live) = (old(1), old(2), device(3, DeviceType::Gsme));
        assert_eq!(mirrored([&first, &live, &second]), Some(&live));
        assert_eq!(mirrored([&second, &first]), None);
        assert_eq!(mirrored([]), None);
    }

    proptest! {
        /// Nothing about an answer changes before the instant until which it says that it holds.
        #[test]
        fn an_answer_holds_until_it_says(
            bounds in prop::collection::btree_set(0..40_i64, 2..8),
            second in prop::collection::btree_set(0..40_i64, 2..8),
            t in 0..40_i64,
        ) {
            let (one, two) = (mpan(1), mpan(2));
            let mut rows = Vec::new();
            for (mpxn, bounds, party) in [(one, &bounds, "A"), (two, &second, "B")] {
                let bounds: Vec<i64> = bounds.iter().copied().collect();
                rows.extend(bounds.chunks_exact(2).map(|b| (Mpxn::Mpan(mpxn), party, b[0], Some(b[1]))));
            }
            let world = World::of(&rows);
            let twin = Device {
                import_mpan: Some(one),
                secondary_import_mpan: Some(two),
                ..device(1, DeviceType::Esme)
            };
            let now = world.ask(&twin, None, t);
            let until = now.2.unwrap_or(60);
            prop_assert!(until > t);
            for later in t..until {
                prop_assert_eq!(&world.ask(&twin, None, later), &now);
            }
            if now.2.is_some() {
                let then = world.ask(&twin, None, until);
                prop_assert!((&then.0, &then.1) != (&now.0, &now.1));
            }
        }
    }
}
