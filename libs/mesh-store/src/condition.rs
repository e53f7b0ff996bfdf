//! Can the database be written to, and if not, why?
//!
//! What troubles it is told in three places: to whoever watches ([`Store::condition`]), to every
//! write that is refused for it, and in the log of the service.
//!
//! [`Store::condition`]: crate::Store::condition

use std::sync::{Arc, Mutex, PoisonError};

use mesh_types::Position;
use tokio::sync::watch;

use crate::StoreError;
use crate::trouble::Trouble;

/// Whether a database can be written to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is known against it.
    #[default]
    Sound,
    /// Writes are refused, or fail. Of several troubles this is the gravest.
    Trouble(Trouble),
}

impl Condition {
    /// What is the matter, if anything is.
    #[must_use]
    pub const fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Sound => None,
            Self::Trouble(trouble) => Some(trouble),
        }
    }
}

/// Lets writes through, or not. Shared by the transactions of a store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// In their order: the gravest comes first. Few, as each kind is there once, or once per log.
    troubles: Mutex<Vec<Trouble>>,
    condition: watch::Sender<Condition>,
}

impl Gate {
    pub(crate) fn watch(&self) -> watch::Receiver<Condition> {
        self.0.condition.subscribe()
    }

    /// Refuses a write while there is trouble that it would make worse. A disk that takes no writes
    /// refuses by itself, and is asked each time so that no write is refused once it takes them.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.0.condition.borrow().trouble() {
            None | Some(Trouble::CannotWrite) => Ok(()),
            Some(Trouble::WentBack { log }) => Err(StoreError::WentBack { log: log.clone() }),
            Some(trouble) => Err(StoreError::InTrouble(trouble.clone())),
        }
    }

    /// Says that there is `trouble`, once.
    pub(crate) fn raise(&self, trouble: Trouble) {
        let mut troubles = self.troubles();
        if let Err(place) = troubles.binary_search(&trouble) {
            tracing::error!(
                reason = trouble.reason(),
                "the database is in trouble: {trouble}"
            );
            troubles.insert(place, trouble);
            self.publish(&troubles);
        }
    }

    /// Says that `trouble` is over.
    pub(crate) fn lift(&self, trouble: &Trouble) {
        let mut troubles = self.troubles();
        let before = troubles.len();
        troubles.retain(|other| other != trouble);
        if troubles.len() < before {
            tracing::info!(
                reason = trouble.reason(),
                "the database is no longer in this trouble"
            );
            self.publish(&troubles);
        }
    }

    fn troubles(&self) -> std::sync::MutexGuard<'_, Vec<Trouble>> {
        let troubles = self.0.troubles.lock();
        troubles.unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, troubles: &[Trouble]) {
        let gravest = troubles.first().cloned();
        let condition = gravest.map_or(Condition::Sound, Condition::Trouble);
        self.0.condition.send_if_modified(|shown| {
            let news = *shown != condition;
            *shown = condition;
            news
        });
    }
}

/// What somebody says who saw more of a log than there is.
pub(crate) fn tell_claim(seen: &Position, by: &str) {
    tracing::error!(
        log = %seen.log,
        epoch = seen.epoch.get(),
        sequence = seen.sequence,
        by,
        "the log went back: it had an event that it no longer has"
    );
}
