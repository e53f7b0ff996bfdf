//! What held of flags at an instant?

use std::collections::HashMap;

use futures::TryStreamExt as _;
use mesh_api::flag_registry::v1::FlagEvent;
use mesh_store::sql::QueryBuilder;
use mesh_store::{MAX_BINDS, StoreError, sequence_to_db};
use mesh_types::{DeviceId, Sequence, Timestamp};
use prost::Message as _;

use super::FlagStore;
use crate::past::Past;
use crate::wire::told;

impl FlagStore {
    /// What held at `instant` of those of `devices` that have a history, by the events up to `at`.
    pub async fn pasts(
        &self,
        devices: &[DeviceId],
        at: Sequence,
        instant: Timestamp,
    ) -> Result<HashMap<DeviceId, Past>, StoreError> {
        let mut pasts: HashMap<DeviceId, Past> = HashMap::new();
        let mut conn = self.database().readers().acquire().await?;
        for chunk in devices.chunks(MAX_BINDS - 2) {
            // Every event about a Device made a version of its entry. A cross join keeps SQLite from
            // reading the whole log in search of them.
            let mut query = QueryBuilder::new(
                "SELECT log_event.event FROM flag_entry CROSS JOIN log_event \
                 WHERE log_event.sequence = flag_entry.from_sequence AND log_event.log = ",
            );
            query.push_bind(self.log().as_str());
            query.push(" AND flag_entry.from_sequence <= ");
            query.push_bind(sequence_to_db(at));
            query.push(" AND flag_entry.device ");
            query.push_in(chunk.iter().map(ToString::to_string));
            query.push(" ORDER BY flag_entry.device, flag_entry.from_sequence");
            let query = query.build_query_scalar();
            let mut events = query.fetch(&mut conn);
            while let Some(event) = events.try_next().await? {
                let event: Vec<u8> = event;
                let (device, told) = read(&event).ok_or_else(|| {
                    StoreError::inconsistent("log_event", "an event is malformed")
                })?;
                let past = pasts.entry(device).or_insert_with(|| Past::new(instant));
                past.take(told);
            }
        }
        Ok(pasts)
    }
}

fn read(event: &[u8]) -> Option<(DeviceId, crate::past::Told)> {
    let event = FlagEvent::decode(event).ok()?;
    Some((event.device_id.parse().ok()?, told(&event)?))
}
