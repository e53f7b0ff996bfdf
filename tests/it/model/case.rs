//! How is a case played, and how does each step wait until the mesh has taken it in?

use std::num::NonZeroU32;
use std::sync::Arc;

use flag_registry::Quotas;
use mesh_api::common::v1::{ErrorReason, Position};
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1::{self as registration, PartyStatus};
use mesh_testkit::wait_until;
use mesh_types::{ManualClock, Timestamp};
use mp169::service::Service;

use super::calls::{Answer, Call, Callers, Reply, Request};
use super::cast::{self, BEGINNING, METERS, PARTIES, SUPPLIERS};
use super::equal::{Outcome, equal};
use super::questions::ask;
use super::reference::Reference;
use super::script::{Script, altered, moment};
use super::step::{DeviceChange, Etag, Said, Step, Who, Wish};
use crate::engine::Databases;
use crate::journey::town::Town;

/// Each step comes so long after the one before, so that no two are recorded at the same time.
const BETWEEN_STEPS: i64 = 1_000_000;

/// So small that cases use them up.
fn quotas() -> Quotas {
    let of = |size| NonZeroU32::new(size).unwrap();
    Quotas {
        device_lifts: of(cast::DEVICE_QUOTA),
        device_repeats: of(cast::DEVICE_QUOTA),
        supplier_lifts: of(cast::SUPPLIER_QUOTA),
        supplier_repeats: of(cast::SUPPLIER_QUOTA),
    }
}

/// A mesh and the reference, side by side.
pub(super) struct Case {
    pub(super) town: Town,
    clock: Arc<ManualClock>,
    pub(super) world: Reference,
    callers: Callers,
    script: Script,
    /// The requests that can come again.
    sent: Vec<Call>,
}

impl Case {
    /// A mesh with nothing recorded.
    pub(super) async fn begin(databases: Databases) -> Self {
        let clock = Arc::new(ManualClock::new(BEGINNING));
        let town = Town::with(clock.clone(), quotas(), databases).await;
        let mut case = Self {
            world: Reference::new(BEGINNING, Default::default()),
            town,
            clock,
            callers: Callers::default(),
            script: Script::default(),
            sent: Vec::new(),
        };
        let beginnings = [
            case.head(Request::Parties(Default::default())).await,
            case.head(Request::Devices(Default::default())).await,
            case.head(Request::List(Default::default())).await,
        ];
        case.world = Reference::new(BEGINNING, beginnings);
        case
    }

    /// Plays the steps, and at the end looks at everything and at everybody downstream.
    pub(super) async fn run(mut self, steps: Vec<Step>) -> Outcome {
        self.put(Script::load(cast::rows())).await?;
        self.parties_are_known().await;
        // So that what follows finds flags to change; the SMETS1 meter stays without.
        let flagged = METERS.map(|device| Step::Flag {
            caller: Who::Responsible,
            device,
            wish: Wish::Add,
            said: Said::ALL,
        });
        for step in flagged.chain(steps) {
            self.step(step).await?;
        }
        self.end().await
    }

    async fn step(&mut self, step: Step) -> Outcome {
        let now = Timestamp::from_micros(self.world.now.micros() + BETWEEN_STEPS);
        self.pass(now, false).await?;
        let world = &self.world;
        let call = match step {
            Step::Pass { to, write } => return self.pass(moment(world, to), write).await,
            Step::Restart(service) => return self.restart(service).await,
            Step::Change { point, party, from } => self.script.change(world, (point, party), from),
            Step::Withdraw { number, other } => match self.script.withdraw(world, number, other) {
                Some(call) => call,
                None => return Ok(()),
            },
            Step::Load {
                point,
                party,
                from,
                to,
            } => Script::load_registration(world, (point, party), (from, to)),
            Step::Record {
                device,
                change,
                etag,
            } => match self.script.record(world, device, change, etag) {
                Some(call) => call,
                None => return Ok(()),
            },
            Step::Status { party, status } => self.script.status(party, status),
            Step::Flag {
                caller,
                device,
                wish,
                said,
            } => self.script.flag(world, caller, device, wish, said),
            Step::Flags {
                caller,
                add,
                items,
                one_id,
            } => self.script.batch(world, caller, add, &items, one_id),
            Step::Note { device } => self.script.note(device),
            Step::Again {
                which,
                altered: another,
            } => {
                let Some(call) = self.sent.get(usize::from(which) % self.sent.len().max(1)) else {
                    return Ok(());
                };
                if another { altered(call) } else { call.clone() }
            }
            Step::Ask {
                who,
                question,
                as_of,
            } => ask(world, who, question, as_of),
        };
        self.put(call).await
    }

    /// Puts a call to the mesh and to the reference. Both must answer the same.
    async fn put(&mut self, call: Call) -> Outcome {
        let answered = self.ask(&call).await;
        let expected = self.world.answer(&call);
        equal(&format!("{call:?}"), &answered, &expected)?;
        if let Ok(Reply::Status(_)) = answered {
            self.parties_are_known().await;
        }
        // A request of a batch can come again alone.
        for again in call.parts().into_iter().chain([call]) {
            if again.can_come_again() && !self.sent.contains(&again) {
                self.sent.push(again);
            }
        }
        self.flags_are_followed().await;
        Ok(())
    }

    /// Time passes. What it brings is logged by a write that changes nothing, or by the ticker.
    async fn pass(&mut self, to: Timestamp, write: bool) -> Outcome {
        if to <= self.world.now {
            return Ok(());
        }
        self.clock.set(to);
        self.world.pass(to);
        if write {
            let (nothing, any) = (DeviceChange::Nothing, Etag::Any);
            let call = self.script.record(&self.world, 0, nothing, any);
            Box::pin(self.put(call.unwrap())).await?;
        }
        let expected = self.world.devices.head().sequence;
        wait_until("what has come to be logged", async || {
            let head = self.head(Request::Devices(Default::default())).await;
            reached(&head, expected)
        })
        .await;
        self.flags_are_followed().await;
        Ok(())
    }

    async fn restart(&mut self, service: Service) -> Outcome {
        self.callers = Callers::default();
        self.town.stop(service).await;
        self.town.start_again(service).await;
        Ok(())
    }

    /// Waits until flag-registry has recorded what is expected of it.
    async fn flags_are_followed(&mut self) {
        let expected = self.world.flags.head().sequence;
        wait_until("the log devices to be followed", async || {
            let head = self.head(Request::List(Default::default())).await;
            reached(&head, expected)
        })
        .await;
    }

    /// Waits until both services that are asked know which parties may act.
    async fn parties_are_known(&mut self) {
        for id in &PARTIES[..SUPPLIERS] {
            let status = self.world.parties.state()[*id].status();
            let barred = ErrorReason::PartyNotActive;
            let wanted = (status != PartyStatus::Active).then_some(barred);
            let own = [
                Request::Party(registration::GetPartyRequest {
                    party_id: (*id).to_owned(),
                    ..Default::default()
                }),
                Request::List(flags::ListFlagsRequest {
                    party_id: (*id).to_owned(),
                    ..Default::default()
                }),
            ];
            for request in own {
                let call = Call {
                    caller: id,
                    request,
                };
                wait_until("the parties to be known", async || {
                    let answer = self.ask(&call).await;
                    let found = answer.err().map(|refusal| refusal.reason);
                    let equal = found == wanted;
                    equal
                        .then_some(())
                        .ok_or_else(|| format!("{id}: {found:?}"))
                })
                .await;
            }
        }
    }

    /// Where a log ends, by an answer that shows it.
    async fn head(&mut self, request: Request) -> Position {
        let caller = "operator";
        let answer = self.ask(&Call { caller, request }).await.unwrap();
        let position = match answer {
            Reply::Parties(answer) => answer.position,
            Reply::Devices(answer) => answer.position,
            Reply::List(answer) => answer.position,
            other => panic!("{other:?}"),
        };
        position.unwrap()
    }

    async fn ask(&mut self, call: &Call) -> Answer {
        let town = &self.town;
        self.callers.put(call, |name| town.clients(name)).await
    }
}

fn reached(head: &Position, expected: u64) -> Result<(), String> {
    let found = head.sequence;
    (found >= expected)
        .then_some(())
        .ok_or_else(|| format!("{found} of {expected}"))
}
