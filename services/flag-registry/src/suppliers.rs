//! How many flags has each supplier, as metrics show it?

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use mesh_store::StoreError;
use mesh_types::PartyId;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::FlagStore;

/// Suppliers that are shown, those with most flags; there are some sixty, and a label has to have a bound.
const MOST: usize = 200;
/// What the others are shown as, together.
const OTHERS: &str = "_other";
/// What Devices are shown as that have no supplier.
const NOBODY: &str = "_none";
/// The shortest pause between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// A look reads every entry: of the time, no more than a part in so many goes into it.
const SHARE: u32 = 20;
/// After so long there is a look though nothing is known to have changed.
const ANYWAY: Duration = Duration::from_mins(10);

/// Flags by what their supplier is shown as. Copies share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct FlagsBySupplier(Arc<Mutex<BTreeMap<String, u64>>>);

impl FlagsBySupplier {
    /// Counts those of `store` and has `meter` tell it, until `stop` is cancelled.
    pub(crate) async fn watch(self, store: FlagStore, meter: Meter, stop: CancellationToken) {
        self.observe(&meter);
        let mut news = store.database().committed().subscribe(store.log());
        let watching = async {
            loop {
                let began = Instant::now();
                news.borrow_and_update();
                if let Err(error) = self.look(&store).await {
                    tracing::warn!(%error, "flags cannot be counted");
                }
                let pause = began.elapsed().saturating_mul(SHARE);
                tokio::time::sleep(pause.max(PAUSE)).await;
                // The store keeps the sender.
                let _ = tokio::time::timeout(ANYWAY, news.changed()).await;
            }
        };
        stop.run_until_cancelled(watching).await;
    }

    async fn look(&self, store: &FlagStore) -> Result<(), StoreError> {
        self.take(store.flagged_by_supplier().await?);
        Ok(())
    }

    fn take(&self, mut counted: Vec<(Option<PartyId>, u64)>) {
        counted.sort_by_key(|(_, flags)| Reverse(*flags));
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A supplier whose last flag is lifted has none, which is another thing than not to be shown.
        let mut now: BTreeMap<String, u64> = shown.keys().map(|name| (name.clone(), 0)).collect();
        for (supplier, flags) in counted {
            let name = supplier.map_or_else(|| NOBODY.to_owned(), |party| party.to_string());
            let has_room = now.contains_key(&name) || now.len() < MOST;
            let name = if has_room { name } else { OTHERS.to_owned() };
            *now.entry(name).or_default() += flags;
        }
        *shown = now;
    }

    fn observe(&self, meter: &Meter) {
        let asked: Weak<Mutex<BTreeMap<String, u64>>> = Arc::downgrade(&self.0);
        meter
            .u64_observable_gauge("mp169.flags.active")
            .with_unit("{device}")
            .with_description("Devices that are flagged, by their supplier")
            .with_callback(move |gauge| {
                let Some(shown) = asked.upgrade() else { return };
                for (name, flags) in &*shown.lock().unwrap_or_else(PoisonError::into_inner) {
                    gauge.observe(*flags, &[KeyValue::new("supplier", name.clone())]);
                }
            })
            .build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(of: &FlagsBySupplier) -> BTreeMap<String, u64> {
        of.0.lock().unwrap().clone()
    }

    #[test]
    fn a_supplier_that_lost_its_last_flag_has_none() {
        let flags = FlagsBySupplier::default();
        let albion: PartyId = "ALBION".parse().unwrap();
        flags.take(vec![(Some(albion), 2), (None, 1)]);
        let expected = [("ALBION".to_owned(), 2), (NOBODY.to_owned(), 1)];
        assert_eq!(shown(&flags), expected.into());
        flags.take(vec![]);
        assert_eq!(shown(&flags).values().sum::<u64>(), 0);
        assert_eq!(shown(&flags).len(), 2);
    }

    #[test]
    fn there_are_never_more_labels_than_the_bound() {
        let flags = FlagsBySupplier::default();
        let suppliers = MOST as u64 + 30;
        for round in 0..2 {
            let counted = (1..=suppliers).map(|number| {
                let name = format!("S{}", number + round * 10_000);
                (Some(name.parse().unwrap()), number)
            });
            flags.take(counted.collect());
            let shown = shown(&flags);
            assert!(shown.len() <= MOST + 1, "{}", shown.len());
            let all = suppliers * (suppliers + 1) / 2;
            assert_eq!(shown.values().sum::<u64>(), all, "every flag is counted");
            assert!(shown[OTHERS] > 0);
        }
    }
}
