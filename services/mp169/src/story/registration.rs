//! Act 8: a change of supplier.

use anyhow::Result;
use mesh_api::flag_registry::v1 as flags;
use mesh_api::registration::v1 as registration;

use super::flags::{choice, new_id, say_state};
use super::{Story, line, until};
use crate::sample::{ALBION, BRIGHT};

impl Story {
    /// Act 8.
    pub(super) async fn supplier_changes(&mut self) -> Result<()> {
        self.narrator.act(
            "Act 8: a change of supplier",
            "The electricity goes to Bright Power. The flag stays; who may change it does not.",
        );
        let mut devices = self.clients("registration-data")?.devices()?;
        let request = registration::ChangeSupplierRequest {
            request_id: new_id(),
            mpxn: self.home(0).import_mpan()?.to_string(),
            party_id: BRIGHT.id.into(),
            start_time: None,
        };
        let answer = devices.change_supplier(request).await;
        self.step(
            "registration-data",
            "registers Bright from now on",
            "ALBION ended, BRIGHT began",
            line(answer, |answer| {
                let party = |registration: Option<registration::Registration>| {
                    registration.map(|r| r.party_id).unwrap_or_default()
                };
                format!(
                    "{} ended, {} began",
                    party(answer.ended),
                    party(answer.registration)
                )
            }),
        );

        let mut albion = self.clients(ALBION.id)?.flags()?;
        let request = flags::RemoveFlagRequest {
            request_id: new_id(),
            device_id: self.home(0).esme().to_string(),
            choice: Some(choice(
                flags::Preference::Full,
                ALBION,
                self.stage.clock.now(),
            )),
            ..Default::default()
        };
        let answer = albion.remove_flag(request).await;
        self.step(
            ALBION.id,
            "tries to remove the flag at once",
            "PERMISSION_DENIED NOT_RESPONSIBLE_SUPPLIER",
            line(answer, |answer| {
                say_state(answer.entry.as_ref(), answer.changed)
            }),
        );

        let mut bright = self.clients(BRIGHT.id)?.flags()?;
        let expected = "FLAGGED, under BRIGHT: ADDED, then SUPPLIER_CHANGED";
        let seen = until(
            |line: &String| line == expected,
            async || {
                let device_id = self.home(0).esme().to_string();
                let get = flags::GetFlagRequest {
                    device_id: device_id.clone(),
                    ..Default::default()
                };
                let list = flags::ListFlagEventsRequest {
                    device_id,
                    ..Default::default()
                };
                let both = async {
                    let entry = bright.get_flag(get).await?.into_inner().entry;
                    let events = bright.list_flag_events(list).await?.into_inner().events;
                    Ok(tonic::Response::new((entry, events)))
                };
                line(both.await, |(entry, events)| say_history(entry, &events))
            },
        )
        .await;
        self.step(BRIGHT.id, "sees flag and history", expected, seen);
        Ok(())
    }
}

fn say_history(entry: Option<flags::FlagEntry>, newest_first: &[flags::FlagEvent]) -> String {
    let entry = entry.unwrap_or_default();
    let state = entry.state().as_str_name();
    let state = state.strip_prefix("FLAG_STATE_").unwrap_or(state);
    let causes = newest_first.iter().rev().map(|event| {
        let cause = event.cause().as_str_name();
        cause
            .strip_prefix("CAUSE_")
            .unwrap_or(cause)
            .trim_start_matches("FLAG_")
            .to_owned()
    });
    let causes = causes.collect::<Vec<_>>().join(", then ");
    format!("{state}, under {}: {causes}", entry.responsible_party_id)
}
