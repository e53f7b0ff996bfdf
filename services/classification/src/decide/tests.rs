//! The decisions, one by one and over everything that can be said.

use std::sync::Arc;

use mesh_types::Eui64;
use proptest::prelude::*;

use super::*;
use crate::message::Origin;
use crate::policy::PolicyText;

fn device(number: u64) -> DeviceId {
    DeviceId::new(Eui64::from_u64(number))
}

fn message(subject: Subject) -> Message {
    Message {
        origin: Origin::OnDemand,
        devices: Devices::One(device(1)),
        subject,
    }
}

fn service(srv: &str) -> Subject {
    Subject::Service(srv.parse().unwrap())
}

fn schedule(nested: &str) -> Subject {
    Subject::Schedule {
        nested: nested.parse().unwrap(),
    }
}

fn codes(code: u16, alert: Option<u16>) -> GbcsCodes {
    GbcsCodes {
        message: MessageCode(code),
        alert: alert.map(AlertCode),
    }
}

fn gbcs(code: u16, alert: Option<u16>, srv: Option<&str>) -> Subject {
    Subject::Gbcs {
        codes: codes(code, alert),
        srv: srv.map(|srv| srv.parse().unwrap()),
    }
}

fn returned(code: u16) -> Subject {
    Subject::Returned(codes(code, None))
}

/// The decision for a flagged Device of the type.
fn flagged(policy: &Policy, subject: Subject, device_type: DeviceType) -> Decision<'_> {
    policy.decide(&message(subject), |_| Some(Flag { device_type }))
}

use Reason as R;

#[test]
fn each_decision_is_as_it_was_agreed() {
    let policy = Policy::builtin();
    let suppressed = R::ConsumptionOfFlaggedDevice;
    for (subject, reason, row) in [
        (service("4.1.1"), suppressed, "srv/4.1.1"),
        (service("4.8.2"), suppressed, "srv/4.8.2"),
        (service("4.2"), R::ProtectedClass, "srv/4.2"),
        (service("4.18"), R::ProtectedClass, "srv/4.18"),
        (service("11.1"), R::ProtectedClass, "srv/11.1"),
        (service("6.23"), R::ProtectedClass, "srv/6.23"),
        (
            service("4.99"),
            R::UnknownReadOfFlaggedDevice,
            "fallback/unknown-read",
        ),
        (
            service("4.1"),
            R::UnknownReadOfFlaggedDevice,
            "fallback/unknown-read",
        ),
        (service("15.1"), R::UnknownCode, "fallback/unknown-code"),
        (schedule("4.8.1"), suppressed, "srv/4.8.1"),
        (schedule("4.2"), R::ScheduleManagement, "srv/5.1"),
        (schedule("5.1"), R::ScheduleManagement, "srv/5.1"),
        (
            schedule("4.99"),
            R::UnknownReadOfFlaggedDevice,
            "fallback/unknown-read",
        ),
        (service("5.2"), R::ScheduleManagement, "srv/5.2"),
        (service("5.3"), R::ScheduleManagement, "srv/5.3"),
        (returned(0x0027), suppressed, "gbcs/0x0027"),
        (returned(0x0012), R::ProtectedClass, "srv/8.13"),
        (returned(0x0999), R::ProtectedClass, "srv/8.13"),
        (gbcs(0x0027, None, None), suppressed, "gbcs/0x0027"),
        (gbcs(0x0079, None, None), suppressed, "gbcs/0x0079"),
        (gbcs(0x0039, None, None), R::ProtectedClass, "gbcs/0x0039"),
        (
            gbcs(0x0012, None, Some("4.8.1")),
            R::ProtectedClass,
            "gbcs/0x0012",
        ),
        (gbcs(0x0037, None, Some("7.1")), suppressed, "gbcs/0x0037"),
        (
            gbcs(0x0999, None, None),
            R::UnknownCode,
            "fallback/unknown-code",
        ),
        (gbcs(0x0999, None, Some("4.8.1")), suppressed, "srv/4.8.1"),
        (gbcs(0x0090, None, None), R::HanOnly, "gbcs/0x0090"),
        (
            gbcs(0x0061, Some(0x8F0A), None),
            R::CriticalConsumption,
            "alert/0x8F0A",
        ),
        (
            gbcs(0x0061, None, None),
            R::CriticalConsumption,
            "gbcs/0x0061",
        ),
        (
            gbcs(0x1000, Some(0x8F0A), None),
            R::CriticalConsumption,
            "alert/0x8F0A",
        ),
        (
            gbcs(0x1000, Some(0x8F3F), None),
            R::ProtectedClass,
            "alert/0x8F3F",
        ),
        (
            gbcs(0x1001, Some(0x9999), None),
            R::UnknownCode,
            "fallback/unknown-code",
        ),
        (gbcs(0x1001, None, None), R::ProtectedClass, "gbcs/0x1001"),
        (
            Subject::Alert(AlertCode(0x8F0A)),
            R::CriticalConsumption,
            "alert/0x8F0A",
        ),
        (
            Subject::Alert(AlertCode(0x8F36)),
            R::ProtectedClass,
            "alert/0x8F36",
        ),
        (
            Subject::Receipt { srv: None },
            R::Receipt,
            "fallback/receipt",
        ),
        (
            Subject::DccAlert("N24".parse().unwrap()),
            R::DccAlert,
            "dcc/N24",
        ),
        (
            Subject::DccAlert("N60".parse().unwrap()),
            R::DccAlert,
            "fallback/unknown-code",
        ),
    ] {
        let decision = flagged(&policy, subject, DeviceType::Esme);
        assert_eq!(
            (decision.reason, &**decision.row),
            (reason, row),
            "{subject:?}"
        );
        let unflagged = policy.decide(&message(subject), |_| None);
        assert_eq!(unflagged.verdict, Verdict::Deliver, "{subject:?}");
    }
}

#[test]
fn network_data_are_judged_by_the_type_of_the_device() {
    let policy = Policy::builtin();
    for (device_type, verdict, class, rule) in [
        (
            DeviceType::Esme,
            Verdict::Deliver,
            Class::Network,
            "network.voltage-log",
        ),
        (
            DeviceType::Gsme,
            Verdict::Suppress,
            Class::Consumption,
            "consumption.gas-network-log",
        ),
        (
            DeviceType::Gpf,
            Verdict::Suppress,
            Class::Consumption,
            "consumption.gas-network-log",
        ),
        (
            DeviceType::Other,
            Verdict::Suppress,
            Class::Consumption,
            "consumption.gas-network-log",
        ),
    ] {
        for subject in [service("4.10"), schedule("4.10")] {
            let decision = flagged(&policy, subject, device_type);
            assert_eq!(
                (decision.verdict, decision.class),
                (verdict, class),
                "{device_type:?}"
            );
            assert_eq!(&*decision.rule.id, rule);
            assert!(decision.depends_on_flag);
        }
    }
    let esme = flagged(&policy, service("4.10"), DeviceType::Esme);
    assert_eq!(esme.reason, Reason::NotConsumptionOnDeviceType);
}

#[test]
fn what_is_critical_and_carries_consumption_is_counted_apart() {
    let policy = Policy::builtin();
    let push = flagged(&policy, gbcs(0x008B, Some(0x8F0A), None), DeviceType::Gsme);
    assert!(push.critical_consumption && !push.depends_on_flag);
    assert_eq!(push.class, Class::Consumption);
    let read = flagged(&policy, service("4.1.1"), DeviceType::Gsme);
    assert!(!read.critical_consumption);
}

#[test]
fn one_line_of_the_policy_suppresses_the_billing_push() {
    let mut text = PolicyText::builtin();
    let named = "suppress_critical = [\"0x8F0A\"]";
    text.manifest = text
        .manifest
        .replace("suppress_critical = []", named)
        .into();
    let policy = Policy::load(&text).unwrap();
    for subject in [
        gbcs(0x0061, Some(0x8F0A), None),
        gbcs(0x008B, None, None),
        gbcs(0x1000, Some(0x8F0A), None),
        Subject::Alert(AlertCode(0x8F0A)),
    ] {
        let decision = flagged(&policy, subject, DeviceType::Esme);
        assert_eq!(decision.verdict, Verdict::Suppress, "{subject:?}");
        assert!(decision.critical_consumption);
    }
}

#[test]
fn of_several_devices_one_flag_is_enough() {
    let policy = Policy::builtin();
    let several = Message {
        devices: Devices::of(vec![device(1), device(2), device(3)]),
        ..message(service("4.8.1"))
    };
    let second = |id| {
        (id == device(2)).then_some(Flag {
            device_type: DeviceType::Esme,
        })
    };
    let decision = policy.decide(&several, second);
    assert_eq!(decision.verdict, Verdict::Suppress);
    assert_eq!(decision.flagged_device, Some(device(2)));
    let firmware = Message {
        subject: service("11.1"),
        ..several
    };
    assert_eq!(policy.decide(&firmware, second).verdict, Verdict::Deliver);
}

#[test]
fn a_rule_that_goes_too_far_is_not_obeyed() {
    let policy = Policy::builtin();
    for class in Class::ALL
        .into_iter()
        .filter(|class| !class.may_be_suppressed())
    {
        let tampered = policy.tampered(class);
        let mut judged = 0;
        for row in tampered
            .service_requests()
            .iter()
            .filter(|row| row.entry.class == class)
        {
            let decision = flagged(&tampered, Subject::Service(row.srv), DeviceType::Gsme);
            assert_eq!(decision.reason, Reason::RuleOutOfBounds, "{}", row.srv);
            assert_eq!(decision.verdict, Verdict::Deliver);
            judged += 1;
        }
        assert!(judged > 0 || class == Class::Unknown, "{class}");
    }
    let tampered = policy.tampered(Class::Consumption);
    let push = flagged(
        &tampered,
        gbcs(0x0061, Some(0x8F0A), None),
        DeviceType::Esme,
    );
    assert_eq!(
        (push.verdict, push.reason),
        (Verdict::Deliver, Reason::RuleOutOfBounds)
    );
}

/// A subject made of listed and unlisted codes.
fn any_subject() -> impl Strategy<Value = Subject> {
    let policy = Policy::builtin();
    let listed: Vec<Srv> = policy
        .service_requests()
        .iter()
        .map(|row| row.srv)
        .collect();
    let messages: Vec<MessageCode> = policy.messages().iter().map(|row| row.code).collect();
    let alerts: Vec<AlertCode> = policy.alerts().iter().map(|row| row.code).collect();
    let dcc: Vec<DccAlertCode> = policy.dcc_alerts().iter().map(|row| row.code).collect();
    let srv = prop_oneof![
        4 => proptest::sample::select(listed),
        1 => (1_u8..20, 1_u8..40, 0_u8..12).prop_map(|(a, b, c)| Srv::new(a, b, c)),
    ];
    let code = prop_oneof![4 => proptest::sample::select(messages), 1 => any::<u16>().prop_map(MessageCode)];
    let alert =
        prop_oneof![4 => proptest::sample::select(alerts), 1 => any::<u16>().prop_map(AlertCode)];
    let codes = (code, proptest::option::of(alert.clone()))
        .prop_map(|(message, alert)| GbcsCodes { message, alert });
    prop_oneof![
        srv.clone().prop_map(Subject::Service),
        srv.clone().prop_map(|nested| Subject::Schedule { nested }),
        (codes.clone(), proptest::option::of(srv))
            .prop_map(|(codes, srv)| Subject::Gbcs { codes, srv }),
        codes.prop_map(Subject::Returned),
        alert.prop_map(Subject::Alert),
        Just(Subject::Receipt { srv: None }),
        proptest::sample::select(dcc).prop_map(Subject::DccAlert),
    ]
}

fn any_message() -> impl Strategy<Value = Message> {
    let devices = proptest::collection::vec((0_u64..6).prop_map(device), 0..4);
    (any_subject(), devices).prop_map(|(subject, devices)| Message {
        devices: Devices::of(devices),
        ..message(subject)
    })
}

fn any_flags() -> impl Strategy<Value = Vec<(DeviceId, Flag)>> {
    let types = [
        DeviceType::Esme,
        DeviceType::Gsme,
        DeviceType::Gpf,
        DeviceType::Other,
    ];
    let flag =
        proptest::sample::select(types.to_vec()).prop_map(|device_type| Flag { device_type });
    proptest::collection::vec(((0_u64..6).prop_map(device), flag), 0..6)
}

fn policy() -> Arc<Policy> {
    Policy::builtin()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_message_is_decided_and_always_the_same_way(
        message in any_message(),
        flags in any_flags(),
    ) {
        let policy = policy();
        let flag = |id| flags.iter().find(|(device, _)| *device == id).map(|(_, flag)| *flag);
        let decision = policy.decide(&message, flag);
        prop_assert_eq!(decision, policy.decide(&message, flag));
        if decision.verdict == Verdict::Suppress {
            prop_assert_eq!(decision.class, Class::Consumption);
            prop_assert!(!decision.critical_consumption && decision.depends_on_flag);
            let device = decision.flagged_device.unwrap();
            prop_assert!(message.devices.as_slice().contains(&device));
            prop_assert!(flag(device).is_some());
        }
        if decision.class.is_protected() {
            prop_assert_eq!(decision.verdict, Verdict::Deliver);
        }
    }

    #[test]
    fn without_a_flag_everything_is_delivered(message in any_message()) {
        let policy = policy();
        let decision = policy.decide(&message, |_| None);
        prop_assert_eq!(decision.verdict, Verdict::Deliver);
        prop_assert_eq!(decision.flagged_device, None);
    }

    #[test]
    fn a_final_judgement_needs_no_flag(message in any_message()) {
        let policy = policy();
        let mut asked = false;
        let decision = policy.decide(&message, |_| {
            asked = true;
            None
        });
        prop_assert!(!asked || decision.depends_on_flag);
        if let Judgement::Final(earlier) = policy.judge(&message) {
            prop_assert_eq!(earlier, decision);
            prop_assert!(!asked && !decision.depends_on_flag);
        }
    }
}
