//! How many messages are decided, and how?
//!
//! An answer counts its decisions by itself, in a [`Tally`] on the stack, and hands the sums over at
//! its end: with a thousand messages per answer, counting costs next to nothing. Labels are those of
//! the contract's enums; their sets are made once.

use mesh_api::classification::v1::{DecisionReason, Verdict};
use mesh_api::common::v1::{ErrorReason, MessageClass};
use mesh_api::status::reason_name;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

use crate::decide::UnknownCode;
use crate::policy::Class;
use crate::problem::Error;
use crate::terms;

/// The reasons of decisions, each with the verdict that it goes with.
const REASONS: [(DecisionReason, Verdict); 7] = [
    (DecisionReason::ProtectedClass, Verdict::Deliver),
    (DecisionReason::NotFlagged, Verdict::Deliver),
    (DecisionReason::ReducedByChoice, Verdict::Suppress),
    (DecisionReason::CriticalCarriesConsumption, Verdict::Deliver),
    (DecisionReason::UnknownCode, Verdict::Deliver),
    (DecisionReason::UnknownReadVariant, Verdict::Suppress),
    (DecisionReason::UnknownKind, Verdict::Deliver),
];
const CLASSES: usize = Class::ALL.len();

const KINDS: [&str; 5] = [
    "service_request",
    "gbcs_message",
    "device_alert",
    "dcc_alert",
    "document",
];

/// Why a message was not decided.
const UNDECIDED: [ErrorReason; 3] = [
    ErrorReason::FieldInvalid,
    ErrorReason::MessageUnreadable,
    ErrorReason::FlagsNotLoaded,
];

/// The counts of one answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    decisions: [[u32; CLASSES]; REASONS.len()],
    unknown_codes: [u32; KINDS.len()],
    critical_consumption: u32,
    undecided: [u32; UNDECIDED.len()],
}

impl Tally {
    /// Counts a decision.
    pub(crate) fn decided(&mut self, decision: &crate::decide::Decision<'_>) {
        let reason = terms::reason(decision.reason);
        let row = REASONS.iter().position(|(known, _)| *known == reason);
        let class = Class::ALL.iter().position(|known| *known == decision.class);
        if let (Some(row), Some(class)) = (row, class) {
            self.decisions[row][class] += 1;
        }
        if let Some(code) = decision.unknown_code {
            let kind = match code {
                UnknownCode::ServiceRequest(_) => 0,
                UnknownCode::Message(_) => 1,
                UnknownCode::Alert(_) => 2,
                UnknownCode::DccAlert(_) => 3,
                UnknownCode::Kind => 4,
            };
            self.unknown_codes[kind] += 1;
        }
        self.critical_consumption += u32::from(decision.critical_consumption);
    }

    /// Counts a message that could not be decided.
    pub(crate) fn undecided(&mut self, error: &Error) {
        let (_, reason) = error.code();
        if let Some(at) = UNDECIDED.iter().position(|known| *known == reason) {
            self.undecided[at] += 1;
        }
    }
}

/// The service's own instruments. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics(std::sync::Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    decisions: Counter<u64>,
    /// The label sets of `decisions`, as [`Tally::decisions`] is laid out.
    labels: Vec<[KeyValue; 3]>,
    unknown_codes: Counter<u64>,
    unknown_labels: [[KeyValue; 1]; KINDS.len()],
    critical_consumption: Counter<u64>,
    undecided: Counter<u64>,
    undecided_labels: [[KeyValue; 1]; UNDECIDED.len()],
    flagged_devices: Gauge<u64>,
    flags_stale: Gauge<u64>,
}

impl Instruments {
    /// Tells that there was nothing so far: a rate would miss the first of each kind.
    fn begin(&self) {
        for labels in &self.labels {
            self.decisions.add(0, labels);
        }
        for labels in &self.unknown_labels {
            self.unknown_codes.add(0, labels);
        }
        for labels in &self.undecided_labels {
            self.undecided.add(0, labels);
        }
        self.critical_consumption.add(0, &[]);
    }
}

impl Metrics {
    /// Instruments of `meter`.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let labels = REASONS.iter().flat_map(|&(reason, verdict)| {
            Class::ALL.map(|class| {
                [
                    KeyValue::new("verdict", short(verdict.as_str_name(), "VERDICT_")),
                    KeyValue::new("reason", short(reason.as_str_name(), "DECISION_REASON_")),
                    KeyValue::new("message_class", short(class_name(class), "MESSAGE_CLASS_")),
                ]
            })
        });
        let instruments = Instruments {
            decisions: meter
                .u64_counter("mp169.classification.decisions")
                .with_unit("{message}")
                .with_description("Messages decided, by verdict, reason and class")
                .build(),
            labels: labels.collect(),
            unknown_codes: meter
                .u64_counter("mp169.classification.unknown_codes")
                .with_unit("{message}")
                .with_description("Messages with a code or of a kind that is not known")
                .build(),
            unknown_labels: KINDS.map(|kind| [KeyValue::new("kind", kind)]),
            critical_consumption: meter
                .u64_counter("mp169.classification.critical_consumption")
                .with_unit("{message}")
                .with_description("Critical messages that carry consumption")
                .build(),
            undecided: meter
                .u64_counter("mp169.classification.undecided")
                .with_unit("{message}")
                .with_description("Messages without a decision, by the reason")
                .build(),
            undecided_labels: UNDECIDED
                .map(|reason| [KeyValue::new("reason", reason_name(reason))]),
            flagged_devices: meter
                .u64_gauge("mp169.classification.flagged_devices")
                .with_unit("{device}")
                .with_description("Devices for which a flag holds, covered ones included")
                .build(),
            flags_stale: meter
                .u64_gauge("mp169.classification.flags_stale")
                .with_description("1 while the flag registry is lost: the alarm; otherwise 0")
                .build(),
        };
        instruments.begin();
        Self(std::sync::Arc::new(instruments))
    }

    /// Takes the counts of an answer over.
    pub(crate) fn add(&self, tally: &Tally) {
        let all = &self.0;
        let decisions = tally.decisions.as_flattened();
        add(
            &all.decisions,
            decisions,
            all.labels.iter().map(<[_; 3]>::as_slice),
        );
        let unknown = all.unknown_labels.iter().map(<[_; 1]>::as_slice);
        add(&all.unknown_codes, &tally.unknown_codes, unknown);
        add(
            &all.critical_consumption,
            &[tally.critical_consumption],
            [&[][..]],
        );
        let undecided = all.undecided_labels.iter().map(<[_; 1]>::as_slice);
        add(&all.undecided, &tally.undecided, undecided);
    }

    /// What the follower has made of the flags.
    pub(crate) fn flags(&self, devices: usize, stale: bool) {
        self.0.flagged_devices.record(devices as u64, &[]);
        self.0.flags_stale.record(stale.into(), &[]);
    }
}

fn add<'l>(
    counter: &Counter<u64>,
    counts: &[u32],
    labels: impl IntoIterator<Item = &'l [KeyValue]>,
) {
    for (&count, labels) in counts.iter().zip(labels) {
        if count > 0 {
            counter.add(count.into(), labels);
        }
    }
}

fn class_name(class: Class) -> &'static str {
    let class: MessageClass = terms::message_class(class);
    class.as_str_name()
}

fn short(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

    use super::*;
    use crate::codes::Srv;
    use crate::decide::{Flag, Reason};
    use crate::error::ReadError;
    use crate::message::{DeviceType, Devices, Message, Origin, Subject};
    use crate::policy::Policy;

    /// The sums of every counter, by its name and label values.
    fn sums(exporter: &InMemoryMetricExporter) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        let finished = exporter.get_finished_metrics().unwrap();
        let scopes = finished.iter().flat_map(|all| all.scope_metrics());
        for metric in scopes.flat_map(|scope| scope.metrics()) {
            if let AggregatedMetrics::U64(MetricData::Sum(sum)) = metric.data() {
                for point in sum.data_points().filter(|point| point.value() > 0) {
                    let mut labels: Vec<_> = point.attributes().collect();
                    labels.sort_by(|one, other| one.key.cmp(&other.key));
                    let values: Vec<_> = labels.iter().map(|l| l.value.to_string()).collect();
                    sums.insert(
                        format!("{} {}", metric.name(), values.join(" ")),
                        point.value(),
                    );
                }
            }
        }
        sums
    }

    #[test]
    fn what_is_tallied_arrives_under_its_labels() {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let metrics = Metrics::new(&provider.meter("tests"));
        let policy = Policy::builtin();
        let message = |srv| Message {
            origin: Origin::OnDemand,
            devices: Devices::One("00-DB-12-34-56-78-90-A0".parse().unwrap()),
            subject: Subject::Service(srv),
        };
        let flag = |_| {
            Some(Flag {
                device_type: DeviceType::Esme,
            })
        };
        let mut tally = Tally::default();
        for srv in [Srv::new(4, 8, 1), Srv::new(4, 8, 1), Srv::new(4, 99, 1)] {
            tally.decided(&policy.decide(&message(srv), flag));
        }
        tally.decided(&policy.decide(&message(Srv::new(4, 8, 1)), |_| None));
        tally.undecided(&Error::Unreadable(ReadError::Truncated));
        metrics.add(&tally);
        provider.force_flush().unwrap();
        let expected = [
            ("decisions CONSUMPTION NOT_FLAGGED DELIVER", 1),
            ("decisions CONSUMPTION REDUCED_BY_CHOICE SUPPRESS", 2),
            ("decisions CONSUMPTION UNKNOWN_READ_VARIANT SUPPRESS", 1),
            ("undecided MESSAGE_UNREADABLE", 1),
            ("unknown_codes service_request", 1),
        ];
        let expected = expected.map(|(name, sum)| (format!("mp169.classification.{name}"), sum));
        assert_eq!(sums(&exporter), expected.into());
    }

    #[test]
    fn every_reason_is_counted_under_its_verdict() {
        for reason in [
            Reason::ConsumptionOfFlaggedDevice,
            Reason::UnknownReadOfFlaggedDevice,
            Reason::NotFlagged,
            Reason::NotConsumptionOnDeviceType,
            Reason::ProtectedClass,
            Reason::CriticalConsumption,
            Reason::PolicyDelivers,
            Reason::ScheduleManagement,
            Reason::Receipt,
            Reason::DccAlert,
            Reason::HanOnly,
            Reason::UnknownCode,
            Reason::UnknownKind,
            Reason::RuleOutOfBounds,
        ] {
            let suppressed = matches!(
                reason,
                Reason::ConsumptionOfFlaggedDevice | Reason::UnknownReadOfFlaggedDevice
            );
            let known = REASONS
                .iter()
                .find(|(known, _)| *known == terms::reason(reason));
            let (_, verdict) = known.unwrap();
            assert_eq!(*verdict == Verdict::Suppress, suppressed, "{reason:?}");
        }
    }
}
