//! What can happen in a case, and how often?
//!
//! Steps name Devices, points and moments by numbers that mean something in any state of the world,
//! so that a case from which steps are taken away is still a case.

use mesh_api::flag_registry::v1::{Declaration, FlagState};
use mesh_api::registration::v1::{PartyStatus, SmiStatus};
use mp169::service::Service;
use proptest::prelude::*;
use proptest::sample::select;

use super::cast::{
    CSPS, DEVICES, GAS, GPFS, GSMES, HUBS, METERS, PARTIES, POINTS, SUPPLIERS, UNKNOWN,
};

/// The most steps of a case.
const MOST_STEPS: usize = 200;

/// One thing that happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Time passes, up to a moment if that lies ahead. What has come is logged by the next write if
    /// there is one, otherwise by the ticker.
    Pass { to: Moment, write: bool },
    /// A supplier is registered from a moment on.
    Change {
        point: usize,
        party: usize,
        from: Moment,
    },
    /// One of the registrations is withdrawn, under the name of its supplier or of another party.
    Withdraw { number: u8, other: Option<usize> },
    /// A registration is loaded with its whole interval.
    Load {
        point: usize,
        party: usize,
        from: Moment,
        to: Option<Moment>,
    },
    /// A Device is recorded with something changed.
    Record {
        device: usize,
        change: DeviceChange,
        etag: Etag,
    },
    /// A party is suspended, reinstated or closed.
    Status { party: usize, status: PartyStatus },
    /// A supplier changes a flag.
    Flag {
        caller: Who,
        device: usize,
        wish: Wish,
        said: Said,
    },
    /// A supplier changes flags in a batch.
    Flags {
        caller: Who,
        /// Set them, or lift them.
        add: bool,
        items: Vec<(usize, Said)>,
        /// All requests have the id of the first.
        one_id: bool,
    },
    /// The DSP tells that SRV 3.2 was sent to a Device.
    Note { device: usize },
    /// An earlier request comes again under the same id, perhaps with another content.
    Again { which: u8, altered: bool },
    /// A service is stopped and started again.
    Restart(Service),
    /// Somebody asks.
    Ask {
        who: Who,
        question: Question,
        as_of: AsOf,
    },
}

/// A moment, told from what lies near it, so that boundaries are met often.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// So many hours from now.
    Hours(i64),
    /// So many microseconds from an instant at which a registration begins or ends.
    Edge { number: u8, micros: i64 },
    /// So many microseconds from when an event was recorded.
    Event { number: u8, micros: i64 },
}

/// Which records a question is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum AsOf {
    Now,
    /// Those up to a position, from 0 for the first of its log to 255 for the last.
    Position(u8),
    Known(Moment),
}

/// What a record is to say.
#[derive(Debug, Clone, Copy)]
pub(super) enum DeviceChange {
    Nothing,
    Hub(usize),
    NoHub,
    Status(SmiStatus),
    /// Bits: Economy 7, Radio Teleswitch, no WAN.
    Exceptions(u8),
    Gpf(usize),
    /// An ESME's import MPAN is that of a point, or none is left.
    ImportMpan(Option<usize>),
    Smets(u32),
    /// Contradicts what is recorded.
    Type,
}

/// What a caller expects to change.
#[derive(Debug, Clone, Copy)]
pub(super) enum Etag {
    Any,
    Present,
    Other,
    NothingYet,
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who {
    /// Whoever is responsible for the Device; the first supplier if nobody is.
    Responsible,
    Party(usize),
    Operator,
}

/// What a supplier asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Add,
    Remove,
    /// A change of tenancy that keeps the flag.
    Keep,
    /// A change of tenancy that lifts it.
    Lift,
}

/// What a supplier says, and how it asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    /// Whether the preference is the one that goes with the wish.
    pub(super) fits: bool,
    /// Who captured the choice; nobody else than the caller if `None`.
    pub(super) by: Option<usize>,
    /// When.
    pub(super) captured: Moment,
    pub(super) attested: Attested,
    /// Economy 7, Radio Teleswitch, no WAN.
    pub(super) declared: Option<[Declaration; 3]>,
    /// When the tenancy began.
    pub(super) tenancy: Moment,
    pub(super) etag: Etag,
    pub(super) validate_only: bool,
}

impl Said {
    /// Everything that is needed.
    pub(super) const ALL: Self = Self {
        fits: true,
        by: None,
        captured: Moment::Hours(0),
        attested: Attested::All,
        declared: Some([Declaration::Absent; 3]),
        tenancy: Moment::Hours(0),
        etag: Etag::Any,
        validate_only: false,
    };
}

/// What is attested of reasonable steps.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attested {
    All,
    Nothing,
    NoStep,
    StepToCome,
    NoContact,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    Device(usize),
    Devices {
        hub: Option<usize>,
    },
    Registrations {
        point: usize,
        valid: Option<Moment>,
    },
    Party(usize),
    Parties,
    Authority {
        device: usize,
        valid: Option<Moment>,
    },
    /// Of every Device.
    Authorities {
        valid: Option<Moment>,
    },
    Flag {
        device: usize,
        valid: Option<Moment>,
    },
    /// Of every Device.
    Flags {
        valid: Option<Moment>,
    },
    List {
        /// Whose, if it is not the asker.
        named: Option<usize>,
        state: FlagState,
        csp: Option<usize>,
    },
    History {
        device: usize,
    },
    Snapshot(Log),
}

/// A log that can be followed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Log {
    Parties,
    Devices,
    Flags,
}

/// The steps of a case. Where a case that failed is made smaller, what comes after the failure is cut
/// off first.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let steps = prop::collection::vec(step(), MOST_STEPS);
    (1..=MOST_STEPS, steps).prop_map(|(number, mut steps)| {
        steps.truncate(number);
        steps
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (moment(), prop::bool::weighted(0.8)).prop_map(|(to, write)| Step::Pass { to, write }),
        12 => (supply(), moment())
            .prop_map(|((point, party), from)| Step::Change { point, party, from }),
        6 => (any::<u8>(), prop::option::weighted(0.1, 0..PARTIES.len()))
            .prop_map(|(number, other)| Step::Withdraw { number, other }),
        5 => (supply(), moment(), prop::option::of(moment()))
            .prop_map(|((point, party), from, to)| Step::Load { point, party, from, to }),
        28 => record(),
        3 => (0..SUPPLIERS, status()).prop_map(|(party, status)| Step::Status { party, status }),
        40 => (caller(), device(), wish(), said())
            .prop_map(|(caller, device, wish, said)| Step::Flag { caller, device, wish, said }),
        12 => batch(),
        3 => device().prop_map(|device| Step::Note { device }),
        6 => (any::<u8>(), prop::bool::weighted(0.3))
            .prop_map(|(which, altered)| Step::Again { which, altered }),
        1 => select(&Service::ALL).prop_map(Step::Restart),
        35 => (asker(), question(), as_of())
            .prop_map(|(who, question, as_of)| Step::Ask { who, question, as_of }),
    ]
}

fn batch() -> impl Strategy<Value = Step> {
    let items = prop::collection::vec((device(), said()), 1..6);
    let rarely = prop::bool::weighted(0.05);
    (caller(), prop::bool::weighted(0.7), items, rarely).prop_map(|(caller, add, items, one_id)| {
        Step::Flags {
            caller,
            add,
            items,
            one_id,
        }
    })
}

/// A metering point, and mostly one of the two suppliers of its fuel.
fn supply() -> impl Strategy<Value = (usize, usize)> {
    let both = prop_oneof![9 => 0..2_usize, 1 => 2..PARTIES.len()];
    (0..POINTS, both).prop_map(|(point, party)| match party {
        // Bright supplies electricity, Caledonia gas.
        1 | 2 if GAS.contains(&point) => (point, 3 - party),
        _ => (point, party),
    })
}

fn moment() -> impl Strategy<Value = Moment> {
    let hours = vec![-500, -72, -48, -24, -1, 0, 1, 24, 48, 72];
    prop_oneof![
        4 => select(hours).prop_map(Moment::Hours),
        4 => (any::<u8>(), -1_i64..=1).prop_map(|(number, micros)| Moment::Edge { number, micros }),
        1 => recorded(),
    ]
}

fn recorded() -> impl Strategy<Value = Moment> {
    (any::<u8>(), -1_i64..=1).prop_map(|(number, micros)| Moment::Event { number, micros })
}

fn as_of() -> impl Strategy<Value = AsOf> {
    prop_oneof![
        5 => Just(AsOf::Now),
        4 => any::<u8>().prop_map(AsOf::Position),
        4 => recorded().prop_map(AsOf::Known),
        2 => moment().prop_map(AsOf::Known),
    ]
}

/// Mostly now.
fn recent() -> impl Strategy<Value = Moment> {
    prop_oneof![16 => Just(Moment::Hours(0)), 1 => moment()]
}

/// Mostly a meter.
fn device() -> impl Strategy<Value = usize> {
    prop_oneof![16 => METERS, 2 => GPFS, 1 => 0..DEVICES]
}

fn record() -> impl Strategy<Value = Step> {
    let hub = prop_oneof![
        8 => HUBS.prop_map(DeviceChange::Hub),
        1 => select(vec![METERS.start, UNKNOWN]).prop_map(DeviceChange::Hub),
        1 => Just(DeviceChange::NoHub),
    ];
    let gpf = prop_oneof![
        8 => GPFS.prop_map(DeviceChange::Gpf),
        1 => select(vec![HUBS.start, UNKNOWN]).prop_map(DeviceChange::Gpf),
    ];
    let exceptions = prop_oneof![Just(0), 0_u8..8].prop_map(DeviceChange::Exceptions);
    let mpan = prop::option::of(0..GAS.start).prop_map(DeviceChange::ImportMpan);
    let status = || smi_status().prop_map(DeviceChange::Status);
    let other = prop_oneof![
        Just(DeviceChange::Nothing),
        (1_u32..=2).prop_map(DeviceChange::Smets),
        Just(DeviceChange::Type),
    ];
    let change = prop_oneof![
        6 => (METERS, hub),
        6 => (METERS, exceptions),
        5 => (GSMES, gpf),
        3 => (METERS, mpan),
        3 => (METERS, status()),
        1 => (HUBS, status()),
        1 => (0..DEVICES, status()),
        2 => (0..DEVICES, other),
    ];
    (change, etag()).prop_map(|((device, change), etag)| Step::Record {
        device,
        change,
        etag,
    })
}

fn smi_status() -> impl Strategy<Value = SmiStatus> {
    prop_oneof![
        10 => Just(SmiStatus::Commissioned),
        2 => Just(SmiStatus::Suspended),
        1 => Just(SmiStatus::Decommissioned),
    ]
}

fn status() -> impl Strategy<Value = PartyStatus> {
    prop_oneof![
        24 => Just(PartyStatus::Active),
        6 => Just(PartyStatus::Suspended),
        1 => Just(PartyStatus::Closed),
    ]
}

fn caller() -> impl Strategy<Value = Who> {
    prop_oneof![
        12 => Just(Who::Responsible),
        1 => (0..PARTIES.len()).prop_map(Who::Party),
    ]
}

fn asker() -> impl Strategy<Value = Who> {
    prop_oneof![3 => Just(Who::Operator), 3 => Just(Who::Responsible), 2 => caller()]
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        9 => Just(Wish::Add),
        2 => Just(Wish::Remove),
        2 => Just(Wish::Keep),
        2 => Just(Wish::Lift),
    ]
}

fn etag() -> impl Strategy<Value = Etag> {
    prop_oneof![
        20 => Just(Etag::Any),
        4 => Just(Etag::Present),
        1 => Just(Etag::Other),
        1 => Just(Etag::NothingYet),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    let rarely = |chance| prop::bool::weighted(chance);
    (
        rarely(0.98),
        prop::option::weighted(0.02, 0..SUPPLIERS),
        recent(),
        attested(),
        declared(),
        recent(),
        etag(),
        rarely(0.05),
    )
        .prop_map(
            |(fits, by, captured, attested, declared, tenancy, etag, validate_only)| Said {
                fits,
                by,
                captured,
                attested,
                declared,
                tenancy,
                etag,
                validate_only,
            },
        )
}

fn attested() -> impl Strategy<Value = Attested> {
    prop_oneof![
        80 => Just(Attested::All),
        1 => Just(Attested::Nothing),
        1 => Just(Attested::NoStep),
        1 => Just(Attested::StepToCome),
        1 => Just(Attested::NoContact),
    ]
}

fn declared() -> impl Strategy<Value = Option<[Declaration; 3]>> {
    use Declaration::{Absent, Present, Unspecified};
    prop_oneof![
        60 => Just(Some([Absent; 3])),
        2 => prop::array::uniform3(select(vec![Absent, Present, Unspecified])).prop_map(Some),
        1 => Just(None),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    let state = select(vec![
        FlagState::Unspecified,
        FlagState::Unspecified,
        FlagState::Flagged,
        FlagState::NotFlagged,
    ]);
    let valid = || prop::option::of(moment());
    let past = || prop::option::of(prop_oneof![moment(), recorded()]);
    prop_oneof![
        2 => device().prop_map(Question::Device),
        1 => prop::option::of(HUBS).prop_map(|hub| Question::Devices { hub }),
        2 => (0..POINTS, valid())
            .prop_map(|(point, valid)| Question::Registrations { point, valid }),
        1 => (0..PARTIES.len()).prop_map(Question::Party),
        1 => Just(Question::Parties),
        3 => (device(), valid()).prop_map(|(device, valid)| Question::Authority { device, valid }),
        2 => valid().prop_map(|valid| Question::Authorities { valid }),
        5 => (device(), past()).prop_map(|(device, valid)| Question::Flag { device, valid }),
        3 => past().prop_map(|valid| Question::Flags { valid }),
        4 => (prop::option::weighted(0.3, 0..SUPPLIERS), state, prop::option::weighted(0.3, 0..CSPS.len()))
            .prop_map(|(named, state, csp)| Question::List { named, state, csp }),
        4 => device().prop_map(|device| Question::History { device }),
        2 => select(&[Log::Parties, Log::Devices, Log::Flags]).prop_map(Question::Snapshot),
    ]
}
