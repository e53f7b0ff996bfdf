//! The check itself: caller, rule and request in, permit or refusal out.

use std::sync::Arc;

use mesh_types::{DeviceId, EntityId, PartyId, Position};
use tokio::sync::watch;

use crate::authority::{AuthorityError, AuthoritySource};
use crate::distinct::{each_once, first_of_each};
use crate::extract::{FieldPath, Shape};
use crate::permit::Basis;
use crate::rule::{Grants, MethodRule, Own, Responsible};
use crate::{Authority, Caller, DevicePermit, Directory, Ending, Identity, Notes, Refusal, Rules};

/// The most Devices that one call may name.
pub const MAX_BATCH: usize = 1_000;

/// What a chain checks with: rules, directory, and where to ask for authority.
#[derive(Clone)]
pub struct Authorizer {
    inner: Arc<Inner>,
}

struct Inner {
    rules: Rules,
    directory: Directory,
    authority: Arc<dyn AuthoritySource>,
}

/// What the layer hands inward with a call that it let through.
#[derive(Clone)]
pub struct Authorization {
    caller: Arc<Caller>,
    method: Arc<str>,
    devices: Devices,
    authorizer: Authorizer,
    ending: Ending,
    notes: Notes,
}

#[derive(Clone)]
enum Devices {
    /// The caller's role is enough; the rule names no Device.
    ByRole,
    /// The request is about the caller's own party or CSP; the rule names no Device.
    Own,
    One(Box<DevicePermit>),
    Batch(Arc<[Result<DevicePermit, Refusal>]>),
}

/// What a method's rule needs of the request before it can be judged.
pub(crate) enum Admission<'r> {
    /// Everybody may call it.
    Open,
    /// The caller's role is enough and no field matters.
    ByRole(Arc<Caller>),
    /// The request's fields decide.
    NeedsRequest(Arc<Caller>, &'r Grants),
}

impl Authorizer {
    /// Checks by these rules.
    #[must_use]
    pub fn new(rules: Rules, directory: Directory, authority: Arc<dyn AuthoritySource>) -> Self {
        Self {
            inner: Arc::new(Inner {
                rules,
                directory,
                authority,
            }),
        }
    }

    /// The directory that callers are recognised by.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.inner.directory
    }

    /// The part of the check that needs no request body.
    pub(crate) fn admit(
        &self,
        path: &str,
        identity: Option<Identity>,
        on_behalf_of: Option<EntityId>,
        notes: &Notes,
    ) -> Result<Admission<'_>, Refusal> {
        let grants = match self.inner.rules.of(path).ok_or(Refusal::NoSuchMethod)? {
            MethodRule::Anyone => return Ok(Admission::Open),
            MethodRule::Grants(grants) => grants,
        };
        let identity = identity.ok_or(Refusal::CertificateMissing)?;
        let caller = self.inner.directory.resolve(identity, on_behalf_of)?;
        let caller = Arc::new(caller);
        notes.caller(&caller);
        if !grants.could_admit(&caller) {
            return Err(Refusal::RoleNotPermitted);
        }
        if grants.responsible.is_none() && grants.by_role.intersects(caller.roles()) {
            Ok(Admission::ByRole(caller))
        } else {
            Ok(Admission::NeedsRequest(caller, grants))
        }
    }

    /// The part that needs the request: one encoded message.
    pub(crate) async fn judge(
        &self,
        caller: Arc<Caller>,
        grants: &Grants,
        message: &[u8],
        notes: Notes,
    ) -> Result<Authorization, Refusal> {
        if let Some(responsible) = &grants.responsible {
            let devices = self
                .judge_devices(&caller, grants, responsible, message, &notes)
                .await?;
            return Ok(self.authorization(caller, grants, devices, notes));
        }
        for (roles, own, field) in &grants.own {
            if roles.intersects(caller.roles()) && owns(&caller, *own, field, message)? {
                return Ok(self.authorization(caller, grants, Devices::Own, notes));
            }
        }
        Err(Refusal::NotOwnData)
    }

    /// Hands inward that the caller's role is enough.
    pub(crate) fn by_role(&self, caller: Arc<Caller>, path: &str, notes: Notes) -> Authorization {
        Authorization {
            caller,
            method: path.into(),
            devices: Devices::ByRole,
            authorizer: self.clone(),
            ending: Ending::new(),
            notes,
        }
    }

    fn authorization(
        &self,
        caller: Arc<Caller>,
        grants: &Grants,
        devices: Devices,
        notes: Notes,
    ) -> Authorization {
        let method = Arc::clone(&grants.method);
        Authorization {
            caller,
            method,
            devices,
            authorizer: self.clone(),
            ending: Ending::new(),
            notes,
        }
    }

    async fn judge_devices(
        &self,
        caller: &Arc<Caller>,
        grants: &Grants,
        responsible: &Responsible,
        message: &[u8],
        notes: &Notes,
    ) -> Result<Devices, Refusal> {
        let field = &responsible.device;
        let values = field.values(message)?;
        if values.len() > MAX_BATCH {
            return Err(Refusal::TooManyItems { max: MAX_BATCH });
        }
        let devices: Vec<Result<DeviceId, Refusal>> =
            values.iter().map(|text| read_device(field, text)).collect();
        let devices = match field.shape {
            Shape::Items => first_of_each(field, devices),
            Shape::One | Shape::List => {
                let named = devices.iter().map(|device| device.as_ref().ok());
                each_once(&field.text, named)?;
                devices
            }
        };
        notes.devices(devices.iter().flatten().copied());
        if grants.by_role.intersects(caller.roles()) {
            let permit = |device| DevicePermit {
                caller: Arc::clone(caller),
                method: Arc::clone(&grants.method),
                device,
                basis: Basis::Role,
            };
            let permits = devices
                .into_iter()
                .map(|device| device.map(permit))
                .collect();
            return one_or_batch(field, permits);
        }
        let well_formed: Vec<DeviceId> = devices.iter().flatten().copied().collect();
        let bases = self.bases(caller, responsible, &well_formed).await?;
        if field.shape != Shape::One {
            let judged = well_formed.iter().zip(&bases);
            let refused = judged.filter(|(_, basis)| basis.is_err());
            notes.refused(refused.map(|(device, _)| *device));
        }
        let mut bases = well_formed.into_iter().zip(bases);
        let permits = devices.into_iter().map(|device| {
            device?;
            let (device, basis) = bases.next().ok_or(Refusal::Internal)?;
            let (caller, method) = (Arc::clone(caller), Arc::clone(&grants.method));
            Ok(DevicePermit {
                caller,
                method,
                device,
                basis: basis?,
            })
        });
        one_or_batch(field, permits.collect())
    }

    /// What a permit for each of `devices` could rest on: one question to registration.
    async fn bases(
        &self,
        caller: &Caller,
        responsible: &Responsible,
        devices: &[DeviceId],
    ) -> Result<Vec<Result<Basis, Refusal>>, Refusal> {
        if devices.is_empty() {
            return Ok(vec![]);
        }
        let party = caller.party().ok_or(Refusal::NotResponsibleSupplier)?;
        let source = &self.inner.authority;
        let answers = if responsible.leased {
            source.leased(party, devices, None).await
        } else {
            source.authorities(party, devices, None).await
        };
        match answers.map_err(Refusal::from) {
            Ok(answers) => judged(party, devices, answers),
            Err(Refusal::AuthorityUnreachable) if responsible.followed_suffices => {
                let mut bases = Vec::with_capacity(devices.len());
                for device in devices {
                    let followed = self.inner.authority.followed(party, *device).await;
                    // A refusal would tell a stranger that the Device has a flag.
                    let basis = followed.then_some(Basis::Followed);
                    bases.push(basis.ok_or(Refusal::AuthorityUnreachable));
                }
                Ok(bases)
            }
            Err(refusal) => Err(refusal),
        }
    }
}

impl From<AuthorityError> for Refusal {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::Unreachable => Self::AuthorityUnreachable,
            AuthorityError::Broken => Self::Internal,
        }
    }
}

impl Grants {
    fn could_admit(&self, caller: &Caller) -> bool {
        self.by_role.intersects(caller.roles())
            || self
                .responsible
                .as_ref()
                .is_some_and(|r| r.roles.intersects(caller.roles()))
            || self
                .own
                .iter()
                .any(|(roles, ..)| roles.intersects(caller.roles()))
    }
}

fn owns(caller: &Caller, own: Own, field: &FieldPath, message: &[u8]) -> Result<bool, Refusal> {
    let values = field.values(message)?;
    let named = values.first().copied().unwrap_or_default();
    Ok(match own {
        Own::Csp => caller.csp().is_some_and(|csp| csp.as_str() == named),
        Own::Party => caller.party().is_some_and(|party| party.as_str() == named),
    })
}

/// The Device that a batch or a call names.
fn read_device(field: &FieldPath, text: &str) -> Result<DeviceId, Refusal> {
    let missing = field.shape == Shape::Items && text.is_empty();
    text.parse().map_err(|_| Refusal::Field {
        field: field.of_one().to_owned(),
        problem: if missing {
            "is missing"
        } else {
            "is not an EUI-64"
        },
    })
}

/// What permits for `devices` rest on, if the answers are theirs.
fn judged(
    party: &PartyId,
    devices: &[DeviceId],
    answers: Vec<Authority>,
) -> Result<Vec<Result<Basis, Refusal>>, Refusal> {
    let answered = answers.iter().map(Authority::device);
    if !answered.eq(devices.iter().copied()) {
        return Err(Refusal::Internal);
    }
    let basis = |authority: Authority| {
        if authority.admits(party) {
            Ok(Basis::Responsible(Box::new(authority)))
        } else {
            Err(Refusal::NotResponsibleSupplier)
        }
    };
    Ok(answers.into_iter().map(basis).collect())
}

fn one_or_batch(
    field: &FieldPath,
    mut permits: Vec<Result<DevicePermit, Refusal>>,
) -> Result<Devices, Refusal> {
    if field.shape != Shape::One {
        return Ok(Devices::Batch(permits.into()));
    }
    let missing = Refusal::Field {
        field: field.text.clone(),
        problem: "is missing",
    };
    permits
        .pop()
        .ok_or(missing)?
        .map(|permit| Devices::One(Box::new(permit)))
}

impl Authorization {
    /// What the layer handed inward with this request.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, Refusal> {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or(Refusal::Internal)
    }

    /// The same for a call that came by a connection with this end.
    pub(crate) fn by_connection(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    /// When the caller's connection is about to be closed. A stream that watches it can say where to
    /// go on before it is cut off.
    #[must_use]
    pub const fn ending(&self) -> &Ending {
        &self.ending
    }

    /// The caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What is noted on the call for the audit.
    #[must_use]
    pub const fn notes(&self) -> &Notes {
        &self.notes
    }

    /// The permit for the one Device of a unary call.
    pub fn device(&self) -> Result<DevicePermit, Refusal> {
        match &self.devices {
            Devices::One(permit) => Ok(DevicePermit::clone(permit)),
            Devices::ByRole | Devices::Own | Devices::Batch(_) => Err(Refusal::Internal),
        }
    }

    /// A permit or refusal for each Device of a batch, in the order asked.
    pub fn batch(&self) -> Result<&[Result<DevicePermit, Refusal>], Refusal> {
        match &self.devices {
            Devices::Batch(permits) => Ok(permits),
            Devices::ByRole | Devices::Own | Devices::One(_) => Err(Refusal::Internal),
        }
    }

    /// Asks again, at a position that is not before `at_least`: the store found that facts had
    /// changed between check and commit, or that too little of the lease was left.
    pub async fn renew(
        &self,
        permit: &DevicePermit,
        at_least: &Position,
    ) -> Result<DevicePermit, Refusal> {
        let renewed = self.renew_all(&[permit], at_least).await?.pop();
        renewed.ok_or(Refusal::Internal)?
    }

    /// The same for several permits: a permit or a refusal for each, in their order.
    pub async fn renew_all(
        &self,
        permits: &[&DevicePermit],
        at_least: &Position,
    ) -> Result<Vec<Result<DevicePermit, Refusal>>, Refusal> {
        self.still_allowed()?;
        let party = self.caller.party();
        let party = party.ok_or(Refusal::NotResponsibleSupplier)?;
        let devices: Vec<DeviceId> = permits.iter().map(|permit| permit.device).collect();
        let source = &self.authorizer.inner.authority;
        let answers = source.leased(party, &devices, Some(at_least)).await?;
        let bases = judged(party, &devices, answers)?;
        let renewed = |(permit, basis): (&&DevicePermit, Result<Basis, Refusal>)| {
            Ok(DevicePermit {
                basis: basis?,
                ..DevicePermit::clone(permit)
            })
        };
        Ok(permits.iter().zip(bases).map(renewed).collect())
    }

    /// Whether the directory still recognises the caller just so. Streams ask whenever
    /// [`Authorization::directory_changes`] wakes; writers just before they commit.
    pub fn still_allowed(&self) -> Result<(), Refusal> {
        self.authorizer
            .inner
            .directory
            .still_recognises(&self.caller)
    }

    /// Wakes whenever the directory changes.
    #[must_use]
    pub fn directory_changes(&self) -> watch::Receiver<u64> {
        self.authorizer.inner.directory.changes()
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// A permit for a Device that the handler finds in the request or in an item of its stream, for
    /// a caller whose role is enough. The directory is asked again, so that a stream that outlives
    /// the caller's right ends.
    pub fn permit_by_role(&self, device: DeviceId) -> Result<DevicePermit, Refusal> {
        if !matches!(self.devices, Devices::ByRole) {
            return Err(Refusal::Internal);
        }
        self.still_allowed()?;
        let (caller, method) = (Arc::clone(&self.caller), Arc::clone(&self.method));
        Ok(DevicePermit {
            caller,
            method,
            device,
            basis: Basis::Role,
        })
    }
}
