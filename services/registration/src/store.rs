//! What is recorded, what was recorded at a position, and how does it change?
//!
//! One database with two logs, `parties` and `devices`. All changes go through one writer, which
//! holds both heads while it decides; all reads take a position, so that several agree.

mod answer;
mod changes;
pub(crate) mod command;
#[cfg(test)]
mod conformance;
mod decide;
mod disclosure;
mod fold;
mod known;
mod pages;
pub(crate) mod read;
mod rehearsal;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use mesh_store::{
    Answers, Batch, Database, Migrator, Store, StoreError, WriteTx, Writer, WriterSettings,
    WriterTask, log,
};
use mesh_types::{Clock, DeviceId, LogName, Mpxn, PartyId, Position, Sequence, Timestamp};

use self::answer::Asked;
use self::command::{Answer, Command, Decided, Needs};
use self::decide::Deciding;
use self::disclosure::Disclosed;
use self::known::Known;
use self::read::{Context, Page, Recorded};
use crate::device::Device;
use crate::error::Error;
use crate::leases::{LEASE, Leases, Open};
use crate::party::Party;
use crate::supply::Supply;

pub(crate) use answer::Answered;
pub(crate) use disclosure::Question;
pub use fold::foldings;
pub(crate) use pages::{DevicePages, PartyPages};
pub(crate) use rehearsal::Rehearsal;

/// The service's tables.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// How many instants that have come one transaction deals with; the next takes the rest, but for
/// those of the MPxNs that its commands are about.
const SETTLED_AT_ONCE: u32 = 1_000;

/// The names of the logs.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    /// Who may act, and as what.
    pub(crate) parties: LogName,
    /// Devices and registrations.
    pub(crate) devices: LogName,
}

/// The database and its writer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Inventory {
    store: Store,
    writer: Writer<Recorder>,
    logs: Logs,
    leases: Leases,
}

/// What an answer about authority rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Basis {
    /// Up to where, in the log `devices`.
    pub(crate) devices: Sequence,
    /// Up to where, in the log `parties`; `None` if nothing is said of parties.
    pub(crate) parties: Option<Sequence>,
}

/// Decides and writes what commands change.
#[derive(Debug)]
pub(crate) struct Recorder {
    logs: Logs,
}

impl Inventory {
    /// Opens the database and starts its writer.
    pub(crate) async fn open(
        database: &Database,
        clock: Arc<dyn Clock>,
        settings: WriterSettings,
    ) -> Result<(Self, WriterTask), StoreError> {
        let store = Store::open(database, &MIGRATIONS).await?;
        let logs = Logs::new()?;
        store.wake(&*clock).await?;
        let made = [&logs.parties, &logs.devices];
        store.make_logs(&made, clock.as_ref()).await?;
        let devices = log::head(&mut *store.readers().acquire().await?, &logs.devices).await?;
        // Without a Device there was nothing to give a lease for.
        let leases = match devices.map(|head| head.position.sequence) {
            Some(1..) => Leases::unknown(),
            None | Some(0) => Leases::none(),
        };
        let recorder = Recorder { logs: logs.clone() };
        let (writer, task) = Writer::start(store.clone(), recorder, clock, settings);
        let inventory = Self {
            store,
            writer,
            logs,
            leases,
        };
        Ok((inventory, task))
    }

    /// The database.
    #[must_use]
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The logs' names.
    #[must_use]
    pub(crate) fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Notes that `party` asks for a lease of a Device. To be called before the answer is read. `None` as long as
    /// the other processes would not wait for its end.
    pub(crate) fn lease(&self, device: DeviceId, party: PartyId) -> Option<Open<'_>> {
        let open = self.leases.open(device, party);
        self.store.promise(LEASE).then_some(open)
    }

    /// Has a command decided and committed. When this returns, no lease goes on of what the command has
    /// taken from somebody.
    pub(crate) async fn submit(&self, command: Command) -> Result<Answer, Error> {
        let Decided { answer, taken } = self.writer.submit(command).await??;
        if !taken.is_empty() {
            // Whoever enters from now on reads what was committed. Which leases another one gave, it alone knows.
            match self.store.has_others().await {
                Ok(false) => self.leases.have_ended(&taken).await,
                Ok(true) | Err(_) => tokio::time::sleep(LEASE).await,
            }
        }
        Ok(answer)
    }

    /// Has a command decided and committed, and reads the response that is kept for it.
    pub(crate) async fn ask<R: Asked>(&self, command: Command) -> Result<R, Error> {
        let Answer::Kept { response, replayed } = self.submit(command).await? else {
            return Err(other_answer().into());
        };
        let mut response = R::decode(response.as_slice()).map_err(|_| other_answer())?;
        response.set_replayed(replayed);
        Ok(response)
    }

    /// The end of the log `parties`.
    pub(crate) async fn parties_head(&self) -> Result<Position, StoreError> {
        self.head(&self.logs.parties).await
    }

    /// The end of the log `devices`.
    pub(crate) async fn devices_head(&self) -> Result<Position, StoreError> {
        self.head(&self.logs.devices).await
    }

    async fn head(&self, log: &LogName) -> Result<Position, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        let head = log::head(&mut conn, log).await?;
        Ok(head.ok_or_else(no_log)?.position)
    }

    /// When an event of the log `devices` was recorded; `None` before the first.
    pub(crate) async fn recorded_at(&self, at: Sequence) -> Result<Option<Timestamp>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        log::recorded_at(&mut conn, &self.logs.devices, at).await
    }

    /// A party as it is at a sequence of the log `parties`.
    pub(crate) async fn party(
        &self,
        id: &PartyId,
        at: Sequence,
    ) -> Result<Option<Recorded<Party>>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        Ok(read::parties(&mut conn, [id], at).await?.pop())
    }

    /// Parties as they are at a sequence of the log `parties`, in the order of their ids.
    pub(crate) async fn party_page(
        &self,
        page: Page<'_>,
    ) -> Result<Vec<Recorded<Party>>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        read::party_page(&mut conn, page).await
    }

    /// A Device as it is at a sequence of the log `devices`.
    pub(crate) async fn device(
        &self,
        id: DeviceId,
        at: Sequence,
    ) -> Result<Option<Recorded<Device>>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        Ok(read::devices(&mut conn, [&id], at).await?.pop())
    }

    /// Devices as they are at a sequence of the log `devices`, in the order of their ids.
    pub(crate) async fn device_page(
        &self,
        hub: Option<DeviceId>,
        page: Page<'_>,
    ) -> Result<Vec<Recorded<Device>>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        read::device_page(&mut conn, hub, page).await
    }

    /// The registrations of an MPxN as they are at a sequence of the log `devices`.
    pub(crate) async fn supply(&self, mpxn: Mpxn, at: Sequence) -> Result<Supply, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        let mut supplies = read::supplies(&mut conn, [&mpxn], at).await?;
        Ok(supplies.remove(&mpxn).unwrap_or_default())
    }

    /// The Devices at MPxNs as it stands: meters, and the GPFs that mirror them.
    pub(crate) async fn devices_at(
        &self,
        mpxns: impl IntoIterator<Item = &Mpxn>,
    ) -> Result<BTreeSet<DeviceId>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        let meters = read::meters_at(&mut conn, mpxns, read::STANDING).await?;
        let mut devices = BTreeSet::new();
        for Recorded { value: meter, .. } in meters {
            devices.insert(meter.id);
            devices.extend(meter.gpf.filter(|_| !meter.is_decommissioned()));
        }
        Ok(devices)
    }

    /// The next instant at which something takes effect.
    pub(crate) async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut conn = self.store.readers().acquire().await?;
        read::next_due(&mut conn).await
    }

    /// Who is responsible for Devices at an instant, with the parties as they are: all read from
    /// one committed state, whose position in the log `devices` is returned. With `basis`, what was
    /// recorded up to there. Whoever may not know is told what is told of an unknown Device.
    pub(crate) async fn authorities(
        &self,
        questions: &[Question],
        basis: Option<Basis>,
        valid: Timestamp,
    ) -> Result<(Vec<Answered>, Position), StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let head = log::head(&mut snapshot, &self.logs.devices).await?;
        let head = head.ok_or_else(no_log)?.position;
        let is_present = basis.is_none();
        let basis = basis.unwrap_or(Basis {
            devices: head.sequence,
            parties: Some(read::STANDING),
        });
        let position = head.at(basis.devices);
        let mut disclosed = Disclosed::of(&mut snapshot, questions, valid).await?;
        let told = questions.iter().filter(|asked| disclosed.may_tell(asked));
        let mut told: BTreeSet<&DeviceId> = told.map(|asked| &asked.device).collect();
        let mut devices = Vec::with_capacity(told.len());
        if is_present {
            // What stands was read by now of those that were asked about on behalf of somebody.
            told.retain(|id| match disclosed.take(id) {
                Some(device) => {
                    devices.push(device);
                    false
                }
                None => true,
            });
        }
        devices.extend(read::devices(&mut snapshot, told, position.sequence).await?);
        let context = Context::of(&mut snapshot, &devices, position.sequence).await?;
        let mut answers: HashMap<DeviceId, Answered> = devices
            .into_iter()
            .map(|device| (device.value.id, Answered::of(device, &context, valid)))
            .collect();
        if let Some(at) = basis.parties {
            let suppliers: BTreeSet<&PartyId> =
                answers.values().filter_map(Answered::party).collect();
            let suppliers = read::parties(&mut snapshot, suppliers, at).await?;
            for answer in answers.values_mut() {
                answer.set_status(&suppliers);
            }
        }
        snapshot.rollback().await?;
        let in_order = questions.iter().map(|asked| {
            let found = answers.get(&asked.device).cloned();
            let found = found.filter(|_| disclosed.may_tell(asked));
            found.unwrap_or_else(|| Answered::unknown(asked.device))
        });
        Ok((in_order.collect(), position))
    }
}

impl Logs {
    fn new() -> Result<Self, StoreError> {
        let named = |name: &str| {
            name.parse()
                .map_err(|_| StoreError::inconsistent("log_head", "a log's name is malformed"))
        };
        Ok(Self {
            parties: named("parties")?,
            devices: named("devices")?,
        })
    }
}

impl Batch for Recorder {
    type Command = Command;
    type Answer = Decided;
    type Error = Error;

    async fn apply(
        &self,
        tx: &mut WriteTx,
        commands: &[Command],
    ) -> Result<Answers<Decided, Error>, StoreError> {
        let Logs { parties, devices } = &self.logs;
        tx.lock_all([parties, devices]).await?;
        let requests = commands.iter().filter_map(Command::request);
        tx.look_up(requests.map(|request| &request.key)).await?;
        let now = tx.now().max(tx.head(devices)?.recorded_time);
        let mut needs = Needs::default();
        for command in commands {
            command.note(&mut needs);
        }
        let due = read::due(tx.conn(), now, SETTLED_AT_ONCE, &needs.supplies).await?;
        for &(_, mpxn) in &due {
            needs.point(mpxn);
        }
        let known = Known::read(tx.conn(), needs).await?;
        let mut deciding = Deciding::new(tx, &self.logs, now, known);
        for &(at, mpxn) in &due {
            deciding.settle(at, mpxn)?;
        }
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            answers.push(match deciding.decide(command) {
                Err(Error::Store(error)) => return Err(error),
                Ok(Decided {
                    answer: Answer::Settled(_),
                    taken,
                }) => Ok(Decided {
                    answer: Answer::Settled(due.len()),
                    taken,
                }),
                decided => decided,
            });
        }
        deciding.write().await?;
        Ok(answers)
    }

    fn weight(&self, command: &Command) -> usize {
        command.weight()
    }
}

fn no_log() -> StoreError {
    StoreError::inconsistent("log_head", "a log is missing")
}

fn other_answer() -> StoreError {
    StoreError::inconsistent("idempotency", "the answer is another kind of response")
}
