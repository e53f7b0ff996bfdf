//! Which call does a step come to, in the world as it is?

use mesh_api::common::v1::DeviceType;
use mesh_api::convert::{timestamp_from_wire, timestamp_to_wire};
use mesh_api::flag_registry::v1 as api;
use mesh_api::registration::v1::{self as registration, Device, SiteException, inventory_row};
use mesh_types::Timestamp;

use super::calls::{Call, Request};
use super::cast::{self, HOUR, PARTIES};
use super::reference::Reference;
use super::step::{Attested, DeviceChange, Etag, Moment, Said, Who, Wish};

/// Who loads registration data.
const LOADER: &str = "registration-data";
pub(super) const OPERATOR: &str = "operator";

/// Writes the calls of a case, each under a request id of its own.
#[derive(Default)]
pub(super) struct Script {
    written: u128,
}

impl Script {
    fn request_id(&mut self) -> String {
        self.written += 1;
        uuid::Uuid::from_u128(self.written).to_string()
    }

    pub(super) fn load(rows: Vec<registration::InventoryRow>) -> Call {
        let request = Request::Load(registration::ImportInventoryRequest {
            rows,
            validate_only: false,
        });
        let caller = LOADER;
        Call { caller, request }
    }

    pub(super) fn load_registration(
        world: &Reference,
        (point, party): (usize, usize),
        (from, to): (Moment, Option<Moment>),
    ) -> Call {
        let row = inventory_row::Row::Registration(registration::Registration {
            mpxn: cast::point(point),
            party_id: PARTIES[party].to_owned(),
            start_time: wire(world, from),
            end_time: to.and_then(|to| wire(world, to)),
            ..registration::Registration::default()
        });
        Self::load(vec![registration::InventoryRow { row: Some(row) }])
    }

    pub(super) fn change(
        &mut self,
        world: &Reference,
        (point, party): (usize, usize),
        from: Moment,
    ) -> Call {
        let start = moment(world, from);
        Call {
            caller: LOADER,
            request: Request::Change(registration::ChangeSupplierRequest {
                request_id: self.request_id(),
                mpxn: cast::point(point),
                party_id: PARTIES[party].to_owned(),
                start_time: (start != world.now).then(|| timestamp_to_wire(start)),
            }),
        }
    }

    /// Names one of the registrations, those that are to come before all others, and perhaps another
    /// supplier than it has.
    pub(super) fn withdraw(
        &mut self,
        world: &Reference,
        number: u8,
        other: Option<usize>,
    ) -> Option<Call> {
        let all = world.devices.state().registered();
        let (to_come, begun): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|r| timestamp_from_wire(&r.start_time.unwrap()).unwrap() > world.now);
        let all = if to_come.is_empty() { begun } else { to_come };
        let named = all.get(usize::from(number) % all.len().max(1))?;
        let party = other.map(|party| PARTIES[party].to_owned());
        Some(Call {
            caller: LOADER,
            request: Request::Withdraw(registration::WithdrawRegistrationRequest {
                request_id: self.request_id(),
                mpxn: named.mpxn.clone(),
                party_id: party.unwrap_or_else(|| named.party_id.clone()),
                start_time: named.start_time,
            }),
        })
    }

    pub(super) fn status(&mut self, party: usize, status: registration::PartyStatus) -> Call {
        Call {
            caller: OPERATOR,
            request: Request::Status(registration::SetPartyStatusRequest {
                request_id: self.request_id(),
                party_id: PARTIES[party].to_owned(),
                status: status.into(),
                reason: "a test".to_owned(),
            }),
        }
    }

    /// A record with something changed. What a Device of its type does not have is left out.
    pub(super) fn record(
        &mut self,
        world: &Reference,
        number: usize,
        change: DeviceChange,
        expected: Etag,
    ) -> Option<Call> {
        let inventory = world.devices.state();
        let recorded = inventory.devices.get(&cast::device(number))?;
        let mut device = recorded.clone();
        device.etag.clear();
        apply(world, &mut device, change);
        Some(Call {
            caller: LOADER,
            request: Request::Put(registration::PutDeviceRequest {
                request_id: self.request_id(),
                device: Some(device),
                etag: etag(expected, &recorded.etag),
            }),
        })
    }

    pub(super) fn flag(
        &mut self,
        world: &Reference,
        caller: Who,
        number: usize,
        wish: Wish,
        said: Said,
    ) -> Call {
        let caller = who(world, caller, number);
        let device_id = cast::device(number);
        let entry = world.entry(&device_id);
        let request_id = self.request_id();
        let etag = etag(said.etag, &entry.etag);
        let choice = Some(choice(world, caller, wish, said));
        let reasonable_steps = attestation(world, said.attested);
        let site_declarations = said.declared.map(declarations);
        let validate_only = said.validate_only;
        let request = match wish {
            Wish::Add => Request::Add(api::AddFlagRequest {
                request_id,
                device_id,
                choice,
                reasonable_steps,
                site_declarations,
                etag,
                validate_only,
            }),
            Wish::Remove => Request::Remove(api::RemoveFlagRequest {
                request_id,
                device_id,
                choice,
                etag,
                validate_only,
            }),
            Wish::Keep | Wish::Lift => Request::Tenancy(api::RecordTenancyChangeRequest {
                request_id,
                device_id,
                tenancy_start_time: wire(world, said.tenancy),
                choice,
                reasonable_steps,
                site_declarations,
                etag,
                validate_only,
            }),
        };
        Call { caller, request }
    }

    /// A batch of one caller's: whoever would be the caller of its first request alone.
    pub(super) fn batch(
        &mut self,
        world: &Reference,
        caller: Who,
        add: bool,
        items: &[(usize, Said)],
        one_id: bool,
    ) -> Call {
        let (first, _) = items[0];
        let caller = who(world, caller, first);
        let same = PARTIES.iter().position(|id| *id == caller).unwrap();
        let wish = if add { Wish::Add } else { Wish::Remove };
        let (mut adds, mut removes) = (Vec::new(), Vec::new());
        for (device, said) in items {
            match self
                .flag(world, Who::Party(same), *device, wish, *said)
                .request
            {
                Request::Add(asked) => adds.push(asked),
                Request::Remove(asked) => removes.push(asked),
                other => panic!("{other:?} is in no batch"),
            }
        }
        if one_id {
            let ids = adds.iter_mut().map(|asked| &mut asked.request_id);
            let ids = ids.chain(removes.iter_mut().map(|asked| &mut asked.request_id));
            let mut first = None;
            for id in ids {
                id.clone_from(first.get_or_insert_with(|| id.clone()));
            }
        }
        let request = if add {
            Request::AddAll(api::BatchAddFlagsRequest { requests: adds })
        } else {
            Request::RemoveAll(api::BatchRemoveFlagsRequest { requests: removes })
        };
        Call { caller, request }
    }

    pub(super) fn note(&mut self, number: usize) -> Call {
        Call {
            caller: "dsp",
            request: Request::Note(api::NoteTenancyRestrictionRequest {
                request_id: self.request_id(),
                device_id: cast::device(number),
            }),
        }
    }
}

/// The instant that a moment means.
pub(super) fn moment(world: &Reference, moment: Moment) -> Timestamp {
    match moment {
        Moment::Hours(hours) => Timestamp::from_micros(world.now.micros() + hours * HOUR),
        Moment::Edge { number, micros } => {
            let edges = world.devices.state().edges();
            let (at, _) = edges[usize::from(number) % edges.len()];
            Timestamp::from_micros(at.micros() + micros)
        }
        Moment::Event { number, micros } => {
            let times = [world.devices.times(), world.flags.times()].concat();
            let at = times[usize::from(number) % times.len()];
            Timestamp::from_micros(at.micros() + micros)
        }
    }
}

/// The same on the wire.
pub(super) fn wire(world: &Reference, at: Moment) -> Option<prost_types::Timestamp> {
    Some(timestamp_to_wire(moment(world, at)))
}

/// Who calls when it is about a Device.
pub(super) fn who(world: &Reference, who: Who, device: usize) -> &'static str {
    let device = cast::device(device);
    let responsible = || {
        let authority = world.devices.state().authority(&device, world.now);
        let party = authority.responsible_party_id;
        PARTIES
            .into_iter()
            .find(|id| *id == party)
            .unwrap_or(PARTIES[0])
    };
    match who {
        Who::Operator => OPERATOR,
        Who::Party(number) => PARTIES[number],
        Who::Responsible => responsible(),
    }
}

fn etag(expected: Etag, present: &str) -> String {
    match expected {
        Etag::Any => String::new(),
        Etag::Present => present.to_owned(),
        Etag::Other => "999999".to_owned(),
        Etag::NothingYet => "0".to_owned(),
    }
}

fn apply(world: &Reference, device: &mut Device, change: DeviceChange) {
    let kind = device.r#type();
    let is_meter = matches!(kind, DeviceType::Esme | DeviceType::Gsme);
    match change {
        DeviceChange::Hub(hub) if kind != DeviceType::Chf => {
            device.communications_hub_id = cast::device(hub);
        }
        DeviceChange::NoHub => device.communications_hub_id.clear(),
        DeviceChange::Status(status) if status != device.smi_status() => {
            device.set_smi_status(status);
            device.smi_status_time = Some(timestamp_to_wire(world.now));
        }
        DeviceChange::Exceptions(bits) if is_meter => {
            let all = [
                SiteException::Economy7OrSimilar,
                SiteException::RadioTeleswitch,
                SiteException::NetworkManagedWithoutWan,
            ];
            let recorded = (0..).zip(all).filter(|(bit, _)| bits >> bit & 1 == 1);
            device.site_exceptions = recorded.map(|(_, exception)| exception.into()).collect();
        }
        DeviceChange::Gpf(gpf) if kind == DeviceType::Gsme => {
            device.gas_proxy_function_id = cast::device(gpf);
        }
        DeviceChange::ImportMpan(point) if kind == DeviceType::Esme => {
            let mpan = point.map(cast::point).unwrap_or_default();
            let twin = !device.secondary_import_mpan.is_empty();
            let other = [&device.export_mpan, &device.secondary_import_mpan].contains(&&mpan);
            // An ESME of which this could not be right keeps what it has.
            if !(mpan.is_empty() && twin || other && !mpan.is_empty()) {
                device.import_mpan = mpan;
            }
        }
        DeviceChange::Smets(major) if is_meter => {
            device.smets_version = Some(registration::SmetsVersion { major, minor: 0 });
        }
        DeviceChange::Type if kind == DeviceType::Gpf => device.set_type(DeviceType::Ppmid),
        _ => {}
    }
}

fn choice(world: &Reference, caller: &str, wish: Wish, said: Said) -> api::ConsumerChoice {
    let reduced = matches!(wish, Wish::Add | Wish::Keep) == said.fits;
    let preferences = [api::Preference::Full, api::Preference::Reduced];
    // What a change of tenancy asks for is told by the preference alone.
    let reduced = match wish {
        Wish::Keep => true,
        Wish::Lift => false,
        Wish::Add | Wish::Remove => reduced,
    };
    api::ConsumerChoice {
        preference: preferences[usize::from(reduced)].into(),
        captured_time: wire(world, said.captured),
        channel: api::Channel::Telephone.into(),
        captured_by_party_id: said.by.map_or(caller, |party| PARTIES[party]).to_owned(),
        evidence_reference: "CALL-7".to_owned(),
    }
}

fn attestation(world: &Reference, attested: Attested) -> Option<api::ReasonableSteps> {
    let taken = match attested {
        Attested::StepToCome => Moment::Hours(1),
        _ => Moment::Hours(-1),
    };
    let step = api::ReasonableStep {
        kind: api::StepKind::ConsequencesExplained.into(),
        taken_time: wire(world, taken),
    };
    let all = api::ReasonableSteps {
        steps: vec![step],
        contact_reference: "CRM-7".to_owned(),
    };
    match attested {
        Attested::Nothing => None,
        Attested::All | Attested::StepToCome => Some(all),
        Attested::NoStep => Some(api::ReasonableSteps {
            steps: Vec::new(),
            ..all
        }),
        Attested::NoContact => Some(api::ReasonableSteps {
            contact_reference: String::new(),
            ..all
        }),
    }
}

fn declarations(declared: [api::Declaration; 3]) -> api::SiteDeclarations {
    let [economy_7, teleswitch, no_wan] = declared.map(i32::from);
    api::SiteDeclarations {
        economy_7_or_similar: economy_7,
        radio_teleswitch: teleswitch,
        network_managed_without_wan: no_wan,
    }
}

/// The same request with another content.
pub(super) fn altered(call: &Call) -> Call {
    let mut call = call.clone();
    let evidence = |choice: &mut Option<api::ConsumerChoice>| {
        choice.as_mut().unwrap().evidence_reference = "CALL-8".to_owned();
    };
    match &mut call.request {
        Request::Status(asked) => asked.reason = "another".to_owned(),
        Request::Put(asked) => {
            let device = asked.device.as_mut().unwrap();
            device.smi_status_time = Some(timestamp_to_wire(cast::BEGINNING));
        }
        Request::Change(asked) => asked.party_id = PARTIES[3].to_owned(),
        Request::Withdraw(asked) => asked.party_id = PARTIES[3].to_owned(),
        Request::Add(asked) => evidence(&mut asked.choice),
        Request::Remove(asked) => evidence(&mut asked.choice),
        Request::Tenancy(asked) => evidence(&mut asked.choice),
        Request::AddAll(asked) => {
            let choices = asked.requests.iter_mut().map(|one| &mut one.choice);
            choices.step_by(2).for_each(evidence);
        }
        Request::RemoveAll(asked) => {
            let choices = asked.requests.iter_mut().map(|one| &mut one.choice);
            choices.step_by(2).for_each(evidence);
        }
        Request::Note(asked) => asked.device_id = cast::device(0),
        other => panic!("{other:?} has no request id"),
    }
    call
}
