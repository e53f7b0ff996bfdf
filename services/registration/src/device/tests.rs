//! Every field against every type, and every change that contradicts what is recorded.

use mesh_types::Eui64;
use proptest::prelude::*;

use super::*;

const TYPES: [DeviceType; 9] = [
    DeviceType::Esme,
    DeviceType::Gsme,
    DeviceType::Gpf,
    DeviceType::Chf,
    DeviceType::Ppmid,
    DeviceType::Hcalcs,
    DeviceType::Ihd,
    DeviceType::Cad,
    DeviceType::Sapc,
];

fn id(n: u64) -> DeviceId {
    DeviceId::new(Eui64::from_u64(n))
}

/// The least that can be recorded of a Device of this type.
fn least(device_type: DeviceType) -> Device {
    let status = (!device_type.is_type_2()).then_some(SmiStatus::Commissioned);
    Device {
        id: id(1),
        device_type,
        smets_version: device_type
            .is_meter()
            .then_some(SmetsVersion { major: 2, minor: 0 }),
        status,
        status_since: status.map(|_| Timestamp::from_micros(1)),
        hub: None,
        csp: (device_type == DeviceType::Chf).then(|| "north".parse().unwrap()),
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

fn fields(device: &Device) -> Vec<&'static str> {
    device.problems().into_iter().map(|p| p.field).collect()
}

#[test]
fn the_least_of_each_type_is_right() {
    for device_type in TYPES {
        assert_eq!(fields(&least(device_type)), Vec::<&str>::new());
    }
}

#[test]
fn a_field_is_refused_on_every_type_that_does_not_have_it() {
    use DeviceType::{Chf, Esme, Gsme};
    type Set = fn(&mut Device);
    // The field, the types that have it, and how it is set.
    let cases: [(&str, &[DeviceType], Set); 9] = [
        ("smets_version", &[Esme, Gsme], |d| {
            d.smets_version = Some(SmetsVersion { major: 2, minor: 1 });
        }),
        ("csp_id", &[Chf], |d| d.csp = Some("4g".parse().unwrap())),
        ("gas_proxy_function_id", &[Gsme], |d| d.gpf = Some(id(9))),
        ("import_mpan", &[Esme], |d| {
            d.import_mpan = Some(mpan(120_000_000_000));
        }),
        ("export_mpan", &[Esme], |d| {
            d.export_mpan = Some(mpan(120_000_000_001));
        }),
        ("mprn", &[Gsme], |d| {
            d.mprn = Some("3938424403".parse().unwrap());
        }),
        ("site_exceptions", &[Esme, Gsme], |d| {
            d.site_exceptions = [SiteException::RadioTeleswitch].into();
        }),
        (
            "communications_hub_id",
            &[
                Esme,
                Gsme,
                DeviceType::Gpf,
                DeviceType::Ppmid,
                DeviceType::Hcalcs,
                DeviceType::Ihd,
                DeviceType::Cad,
                DeviceType::Sapc,
            ],
            |d| d.hub = Some(id(8)),
        ),
        (
            "smi_status_time",
            &[
                Esme,
                Gsme,
                Chf,
                DeviceType::Gpf,
                DeviceType::Ppmid,
                DeviceType::Hcalcs,
                DeviceType::Sapc,
            ],
            |d| d.status_since = Some(Timestamp::from_micros(5)),
        ),
    ];
    for (field, owners, set) in cases {
        for device_type in TYPES {
            let mut device = least(device_type);
            set(&mut device);
            let refused = fields(&device).contains(&field);
            assert_eq!(
                refused,
                !owners.contains(&device_type),
                "{field} of {device_type:?}"
            );
        }
    }
}

#[test]
fn what_a_type_must_have_is_missed() {
    let without = |device_type, change: fn(&mut Device)| {
        let mut device = least(device_type);
        change(&mut device);
        fields(&device)
    };
    assert_eq!(
        without(DeviceType::Esme, |d| d.smets_version = None),
        ["smets_version"]
    );
    assert_eq!(
        without(DeviceType::Gsme, |d| d.smets_version =
            Some(SmetsVersion { major: 0, minor: 9 })),
        ["smets_version"]
    );
    assert_eq!(
        without(DeviceType::Gpf, |d| d.status = None),
        ["smi_status"]
    );
    assert_eq!(
        without(DeviceType::Gpf, |d| d.status_since = None),
        ["smi_status_time"]
    );
    assert_eq!(without(DeviceType::Chf, |d| d.csp = None), ["csp_id"]);
    assert_eq!(
        without(DeviceType::Ihd, |d| d.status = Some(SmiStatus::Pending)),
        ["smi_status", "smi_status_time"]
    );
}

#[test]
fn the_mpans_of_an_esme_are_different_ones() {
    let esme = least(DeviceType::Esme);
    let (one, two) = (mpan(120_000_000_000), mpan(120_000_000_001));
    let with = |import, secondary, export| {
        fields(&Device {
            import_mpan: import,
            secondary_import_mpan: secondary,
            export_mpan: export,
            ..esme.clone()
        })
    };
    assert_eq!(with(Some(one), Some(two), None), Vec::<&str>::new());
    assert_eq!(with(None, Some(two), None), ["secondary_import_mpan"]);
    assert_eq!(with(Some(one), Some(one), None), ["secondary_import_mpan"]);
    assert_eq!(with(Some(one), None, Some(one)), ["export_mpan"]);
    assert_eq!(with(Some(one), Some(two), Some(two)), ["export_mpan"]);
}

#[test]
fn the_decisive_mpxn_is_import_before_export() {
    let esme = Device {
        export_mpan: Some(mpan(120_000_000_001)),
        ..least(DeviceType::Esme)
    };
    assert_eq!(esme.decisive_mpxn(), esme.export_mpan.map(Mpxn::Mpan));
    let both = Device {
        import_mpan: Some(mpan(120_000_000_000)),
        ..esme
    };
    assert_eq!(both.decisive_mpxn(), both.import_mpan.map(Mpxn::Mpan));
    assert_eq!(least(DeviceType::Gpf).decisive_mpxn(), None);
}

#[test]
fn hub_and_gpf_are_what_they_are_said_to_be() {
    let (hub, gpf) = (least(DeviceType::Chf), least(DeviceType::Gpf));
    let gsme = Device {
        hub: Some(id(8)),
        gpf: Some(id(9)),
        ..least(DeviceType::Gsme)
    };
    let right = Related {
        hub: Some(&hub),
        gpf: Some(&gpf),
        mirrored: None,
    };
    assert_eq!(gsme.check_over(None, right), Ok(()));
    let check = |related| gsme.check_over(None, related).unwrap_err();
    assert_eq!(
        check(Related { hub: None, ..right }),
        Contradiction::HubUnknown(id(8))
    );
    assert_eq!(
        check(Related {
            hub: Some(&gpf),
            ..right
        }),
        Contradiction::NotAHub(id(8))
    );
    assert_eq!(
        check(Related { gpf: None, ..right }),
        Contradiction::GpfUnknown(id(9))
    );
    assert_eq!(
        check(Related {
            gpf: Some(&hub),
            ..right
        }),
        Contradiction::NotAGpf(id(9))
    );
    let taken = Related {
        mirrored: Some(id(7)),
        ..right
    };
    assert_eq!(check(taken), Contradiction::GpfTaken(id(7)));
    let old = Device {
        status: Some(SmiStatus::Decommissioned),
        ..gsme.clone()
    };
    assert_eq!(old.check_over(None, taken), Ok(()));
}

#[test]
fn a_type_and_a_csp_never_change_and_decommissioning_is_final() {
    let chf = least(DeviceType::Chf);
    let check =
        |new: &Device, recorded: &Device| new.check_over(Some(recorded), Related::default());
    for device_type in TYPES {
        let recorded = least(device_type);
        assert_eq!(check(&recorded, &recorded), Ok(()));
        let ppmid = least(DeviceType::Ppmid);
        if device_type != DeviceType::Ppmid {
            assert_eq!(check(&ppmid, &recorded), Err(Contradiction::TypeChanged));
        }
    }
    let moved = Device {
        csp: Some("south".parse().unwrap()),
        ..chf.clone()
    };
    assert_eq!(check(&moved, &chf), Err(Contradiction::CspChanged));
    let gone = Device {
        status: Some(SmiStatus::Decommissioned),
        ..chf.clone()
    };
    assert_eq!(check(&gone, &chf), Ok(()));
    assert_eq!(check(&gone, &gone), Ok(()));
    assert_eq!(check(&chf, &gone), Err(Contradiction::Decommissioned));
}

proptest! {
    /// A record without problems has a decisive MPxN only if it is a meter, and never more than
    /// its type allows.
    #[test]
    fn a_record_without_problems_keeps_to_its_type(
        kind in proptest::sample::select(TYPES.to_vec()),
        set in any::<[bool; 8]>(),
    ) {
        let mut device = least(kind);
        if set[0] { device.hub = Some(id(8)); }
        if set[1] { device.gpf = Some(id(9)); }
        if set[2] { device.import_mpan = Some(mpan(120_000_000_000)); }
        if set[3] { device.secondary_import_mpan = Some(mpan(120_000_000_001)); }
        if set[4] { device.export_mpan = Some(mpan(120_000_000_002)); }
        if set[5] { device.mprn = Some("3938424403".parse().unwrap()); }
        if set[6] { device.site_exceptions.insert(SiteException::Economy7OrSimilar); }
        if set[7] { device.csp = Some("north".parse().unwrap()); }
        if device.problems().is_empty() {
            prop_assert_eq!(device.csp.is_some(), kind == DeviceType::Chf);
            prop_assert!(device.gpf.is_none() || kind == DeviceType::Gsme);
            prop_assert!(device.decisive_mpxn().is_none() || kind.is_meter());
            prop_assert!(device.secondary_import_mpan.is_none() || device.import_mpan.is_some());
        }
    }
}
