//! The service `AuthorityService`, and the same question asked by this service's own chain.

use std::time::Duration;

use async_trait::async_trait;
use mesh_api::convert::{FieldErrors, duration_to_wire, position_to_wire, timestamp_to_wire};
use mesh_api::registration::v1 as wire;
use mesh_api::registration::v1::authority_service_server::AuthorityService;
use mesh_api::status::item_status;
use mesh_authz::{Authority, AuthorityError, AuthoritySource, MAX_BATCH, each_once};
use mesh_follow::AsOf;
use mesh_store::StoreError;
use mesh_types::{DeviceId, PartyId, Position, Timestamp};
use tonic::{Request, Response, Status};

use super::{Registry, complete, on_wire, store_failed};
use crate::error::Error;
use crate::leases::Open;
use crate::store::{Answered, Basis, Question};
use crate::wire::Fields;

#[tonic::async_trait]
impl AuthorityService for Registry {
    async fn get_authority(
        &self,
        request: Request<wire::GetAuthorityRequest>,
    ) -> Result<Response<wire::GetAuthorityResponse>, Status> {
        let asked = request.get_ref();
        let mut errors = FieldErrors::default();
        let mut fields = Fields::of_request(&mut errors);
        let device: Option<DeviceId> = fields.required("device_id", &asked.device_id);
        let valid = fields.instant("valid_time", asked.valid_time.as_ref());
        let party = fields.optional("for_party_id", &asked.for_party_id);
        let as_of = AsOf::read(&mut errors, asked.as_of.as_ref());
        let present = as_of.is_none() && valid.is_none();
        only_of_the_present(&mut errors, party.as_ref(), present);
        writes_for_a_party(&mut errors, party.as_ref(), asked.for_write);
        let device = complete(device, errors)?;
        self.devices.wait_for(asked.at_least.as_ref()).await?;
        let question = Question {
            device,
            party: party.clone(),
        };
        // Before the answer is read, so that a change which commits after that finds it.
        let open = party.filter(|_| asked.for_write);
        let open = open.and_then(|party| self.inventory.lease(device, party));
        let (answer, position, valid) = if present {
            self.present.ask(question).await.map_err(store_failed)?
        } else {
            let (basis, valid) = self.asked_about(as_of, valid).await?;
            let answers = self.inventory.authorities(&[question], basis, valid).await;
            let (mut answers, position) = answers.map_err(store_failed)?;
            let answer = answers.pop().unwrap_or_else(|| Answered::unknown(device));
            (answer, position, valid)
        };
        Ok(Response::new(for_one(&answer, &position, valid, open)))
    }

    async fn batch_get_authority(
        &self,
        request: Request<wire::BatchGetAuthorityRequest>,
    ) -> Result<Response<wire::BatchGetAuthorityResponse>, Status> {
        let asked = request.get_ref();
        if asked.device_ids.len() > MAX_BATCH {
            return Err(Error::TooManyItems(MAX_BATCH).into());
        }
        let mut errors = FieldErrors::default();
        let mut fields = Fields::of_request(&mut errors);
        let valid = fields.instant("valid_time", asked.valid_time.as_ref());
        let party: Option<PartyId> = fields.optional("for_party_id", &asked.for_party_id);
        let as_of = AsOf::read(&mut errors, asked.as_of.as_ref());
        let present = as_of.is_none() && valid.is_none();
        only_of_the_present(&mut errors, party.as_ref(), present);
        writes_for_a_party(&mut errors, party.as_ref(), asked.for_write);
        complete(Some(()), errors)?;
        let devices: Vec<Result<DeviceId, Error>> = asked
            .device_ids
            .iter()
            .map(|id| read_device_id(id))
            .collect();
        each_once("device_ids", devices.iter().map(|id| id.as_ref().ok()))?;
        let sound = devices.iter().flatten().map(|&device| Question {
            device,
            party: party.clone(),
        });
        let sound: Vec<Question> = sound.collect();
        self.devices.wait_for(asked.at_least.as_ref()).await?;
        // As with one Device: before the answers are read.
        let party = party.filter(|_| asked.for_write);
        let open = sound.iter().map(|question| {
            let party = party.clone()?;
            self.inventory.lease(question.device, party)
        });
        let open: Vec<Option<Open<'_>>> = open.collect();
        let (basis, valid) = self.asked_about(as_of, valid).await?;
        let answers = self.inventory.authorities(&sound, basis, valid).await;
        let (answers, position) = answers.map_err(store_failed)?;
        let leased = answers.iter().zip(open).map(|(answer, open)| {
            let lease = open.filter(|_| answer.may_act()).map(Open::give);
            (answer, lease)
        });
        Ok(Response::new(wire::BatchGetAuthorityResponse {
            results: results(devices, leased),
            position: on_wire(&position),
            valid_time: Some(timestamp_to_wire(valid)),
        }))
    }

    async fn get_authority_for_parties(
        &self,
        request: Request<wire::GetAuthorityForPartiesRequest>,
    ) -> Result<Response<wire::GetAuthorityForPartiesResponse>, Status> {
        let asked = &request.get_ref().questions;
        if asked.len() > MAX_BATCH {
            return Err(Error::TooManyItems(MAX_BATCH).into());
        }
        let asked: Vec<Result<Asked, Error>> = asked.iter().map(Asked::read).collect();
        // As for one: before the answers are read.
        let open = |asked: &Asked| {
            let party = asked.question.party.clone().filter(|_| asked.for_write)?;
            self.inventory.lease(asked.question.device, party)
        };
        let sound = || asked.iter().flatten();
        let leases: Vec<Option<Open<'_>>> = sound().map(open).collect();
        let questions = sound().map(|asked| asked.question.clone()).collect();
        let told = self
            .present
            .ask_all(questions)
            .await
            .map_err(store_failed)?;
        let mut answers = told.into_iter().zip(leases).map(|(told, lease)| {
            let (answer, position, valid) = told?;
            Ok::<_, StoreError>(for_one(&answer, &position, valid, lease))
        });
        let results = asked.into_iter().map(|asked| {
            asked?;
            Ok(answers.next().ok_or(StoreError::Stopped)??)
        });
        let results = results.map(for_party).collect();
        Ok(Response::new(wire::GetAuthorityForPartiesResponse {
            results,
        }))
    }
}

/// One party's question, read.
struct Asked {
    question: Question,
    for_write: bool,
}

impl Asked {
    fn read(asked: &wire::AuthorityQuestion) -> Result<Self, Error> {
        let mut errors = FieldErrors::default();
        let mut fields = Fields::of_request(&mut errors);
        let device = fields.required("device_id", &asked.device_id);
        let party = fields.required("for_party_id", &asked.for_party_id);
        let question = device.zip(party).map(|(device, party)| Question {
            device,
            party: Some(party),
        });
        Ok(Self {
            question: complete(question, errors)?,
            for_write: asked.for_write,
        })
    }
}

/// An answer about one Device, with its lease if it may be given.
fn for_one(
    answer: &Answered,
    position: &Position,
    valid: Timestamp,
    open: Option<Open<'_>>,
) -> wire::GetAuthorityResponse {
    let lease = open.filter(|_| answer.may_act()).map(Open::give);
    wire::GetAuthorityResponse {
        lease_duration: lease.map(duration_to_wire),
        authority: Some(answer.to_wire()),
        position: on_wire(position),
        valid_time: Some(timestamp_to_wire(valid)),
    }
}

fn for_party(answer: Result<wire::GetAuthorityResponse, Error>) -> wire::AuthorityForPartyResult {
    use wire::authority_for_party_result::Result as Told;
    let result = match answer {
        Ok(answer) => Told::Answer(answer),
        Err(error) => Told::Status(item_status(&error.into())),
    };
    wire::AuthorityForPartyResult {
        result: Some(result),
    }
}

impl Registry {
    /// What an answer rests on, and the instant that it is about: if the caller does not say, the one
    /// as of which it is given.
    async fn asked_about(
        &self,
        as_of: Option<AsOf>,
        valid: Option<Timestamp>,
    ) -> Result<(Option<Basis>, Timestamp), Status> {
        let now = || self.clock.now();
        let Some(as_of) = as_of else {
            return Ok((None, valid.unwrap_or_else(now)));
        };
        let devices = self.devices.shown(Some(&as_of)).await?.sequence;
        let (parties, then) = match &as_of {
            AsOf::Known(time) => {
                let parties = self.parties.shown(Some(&as_of)).await?;
                (Some(parties.sequence), Some(*time))
            }
            AsOf::Position(_) => {
                let recorded = self.inventory.recorded_at(devices).await;
                (None, recorded.map_err(store_failed)?)
            }
        };
        let basis = Basis { devices, parties };
        // Before the first event nothing is known of any time.
        Ok((Some(basis), valid.or(then).unwrap_or_else(now)))
    }
}

/// On behalf of a party it is asked what it may do now, and not what it could have done.
fn only_of_the_present(errors: &mut FieldErrors, party: Option<&PartyId>, present: bool) {
    if party.is_some() && !present {
        errors.add("for_party_id", "is only for what holds now");
    }
}

/// A lease is a party's.
fn writes_for_a_party(errors: &mut FieldErrors, party: Option<&PartyId>, for_write: bool) {
    if for_write && party.is_none() {
        errors.add("for_write", "is only together with for_party_id");
    }
}

fn read_device_id(text: &str) -> Result<DeviceId, Error> {
    let mut errors = FieldErrors::default();
    let id = Fields::of_request(&mut errors).required("device_ids", text);
    complete(id, errors)
}

/// One result for each Device that was asked for: `answers` are those of the well-formed with their
/// leases, in order.
fn results<'a>(
    devices: Vec<Result<DeviceId, Error>>,
    mut answers: impl Iterator<Item = (&'a Answered, Option<Duration>)>,
) -> Vec<wire::AuthorityResult> {
    use wire::authority_result::Result as Told;
    let result = |device: Result<DeviceId, Error>| match device {
        Ok(_) => {
            let (answer, lease) = answers.next().unzip();
            wire::AuthorityResult {
                result: answer.map(|answer| Told::Authority(answer.to_wire())),
                lease_duration: lease.flatten().map(duration_to_wire),
            }
        }
        Err(error) => wire::AuthorityResult {
            result: Some(Told::Status(item_status(&error.into()))),
            lease_duration: None,
        },
    };
    devices.into_iter().map(result).collect()
}

/// Authority asked within this service, at its own store.
pub(crate) struct OwnAuthority(Registry);

impl OwnAuthority {
    /// Answers as `registry` does.
    #[must_use]
    pub(crate) const fn new(registry: Registry) -> Self {
        Self(registry)
    }
}

#[async_trait]
impl AuthoritySource for OwnAuthority {
    async fn authorities(
        &self,
        party: &PartyId,
        devices: &[DeviceId],
        at_least: Option<&Position>,
    ) -> Result<Vec<Authority>, AuthorityError> {
        let Registry {
            inventory,
            devices: feed,
            clock,
            ..
        } = &self.0;
        let at_least = at_least.map(position_to_wire);
        let reached = feed.wait_for(at_least.as_ref()).await;
        reached.map_err(|_| AuthorityError::Unreachable)?;
        let questions = devices.iter().map(|&device| Question {
            device,
            party: Some(party.clone()),
        });
        let questions: Vec<Question> = questions.collect();
        let answers = inventory.authorities(&questions, None, clock.now()).await;
        let (answers, position) = answers.map_err(|error| {
            tracing::error!(%error, "authority cannot be read");
            AuthorityError::Unreachable
        })?;
        let position = position_to_wire(&position);
        answers
            .iter()
            .map(|answer| Authority::from_wire(answer.to_wire(), &position))
            .collect::<Result<_, _>>()
            .map_err(|_| AuthorityError::Broken)
    }
}
