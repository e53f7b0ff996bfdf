//! Was this request answered before, and with what?
//!
//! Accepted results are kept, no-ops included; refusals are not. The answer is kept in the
//! transaction of its effects, so that both exist or neither. After its life the answer is
//! forgotten, and the same request is a new one.

use std::borrow::Cow;
use std::collections::HashMap;

use mesh_types::Timestamp;
use sha2::{Digest, Sha256};

use crate::rows::insertions;
use crate::sql::{QueryBuilder, Question, Row};
use crate::{MAX_BINDS, StoreError};

const TABLE: &str = "idempotency";

/// Thirty-two octets that differ when the values they were made from differ.
pub type Fingerprint = [u8; 32];

/// The SHA-256 of `parts`, each after its length as eight big-endian octets.
///
/// Make it from the parsed value of a request: what is written differently and means the same
/// (case of a Device ID, order of map fields) must give the same parts.
#[must_use]
pub fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Fingerprint {
    let hash = parts.into_iter().fold(Sha256::new(), |hash, part| {
        hash.chain_update((part.len() as u64).to_be_bytes())
            .chain_update(part)
    });
    hash.finalize().into()
}

/// What makes two requests the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// The party acted for, or the internal system.
    pub party: String,
    /// The RPC's name, without its item in a batch.
    pub rpc: Cow<'static, str>,
    /// The caller's id for the request.
    pub request_id: String,
}

/// What is known about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was not accepted before.
    New,
    /// It was accepted before, with this answer.
    Replay(Vec<u8>),
    /// Its id was accepted before for another request.
    Reused,
}

/// Party, RPC, request id, fingerprint, answer.
type StoredRow = (String, String, String, Vec<u8>, Vec<u8>);

#[derive(Debug)]
enum Known {
    Nothing,
    Stored(Fingerprint, Vec<u8>),
    /// Accepted in this transaction, not written yet.
    Fresh(Fingerprint, Vec<u8>),
}

/// The keys of one transaction: those found stored, and those that the transaction accepts, so
/// that two equal keys in one batch are told apart from two different ones.
#[derive(Debug, Default)]
pub(crate) struct Requests(HashMap<RequestKey, Known>);

impl Requests {
    /// What is stored under `keys`, to be [taken in](Self::learn); a key that is known already is not asked
    /// about again.
    pub(crate) fn question<'a>(
        &mut self,
        keys: impl IntoIterator<Item = &'a RequestKey>,
    ) -> Question<Vec<(RequestKey, Fingerprint, Vec<u8>)>> {
        let mut unknown = Vec::new();
        for key in keys {
            if !self.0.contains_key(key) {
                self.0.insert(key.clone(), Known::Nothing);
                unknown.push(key);
            }
        }
        let statements = unknown.chunks(MAX_BINDS / 3).map(|chunk| {
            let mut query = QueryBuilder::new(
                "SELECT party, rpc, request_id, fingerprint, answer FROM idempotency \
                 WHERE (party, rpc, request_id) IN (",
            );
            query.push_values(chunk, |mut row, key| {
                row.push_bind(key.party.as_str())
                    .push_bind(key.rpc.as_ref())
                    .push_bind(key.request_id.as_str());
            });
            query.push(")");
            query
        });
        Question::new(statements, |rows| rows.iter().map(stored).collect())
    }

    /// Takes in what is stored.
    pub(crate) fn learn(&mut self, stored: Vec<(RequestKey, Fingerprint, Vec<u8>)>) {
        for (key, fingerprint, answer) in stored {
            self.0.insert(key, Known::Stored(fingerprint, answer));
        }
    }

    pub(crate) fn outcome(
        &self,
        key: &RequestKey,
        fingerprint: &Fingerprint,
    ) -> Result<Outcome, StoreError> {
        match self.0.get(key) {
            None => Err(StoreError::inconsistent(
                TABLE,
                "a request was judged before it was looked up",
            )),
            Some(Known::Nothing) => Ok(Outcome::New),
            Some(Known::Stored(kept, answer) | Known::Fresh(kept, answer)) => {
                if kept == fingerprint {
                    Ok(Outcome::Replay(answer.clone()))
                } else {
                    Ok(Outcome::Reused)
                }
            }
        }
    }

    pub(crate) fn keep(
        &mut self,
        key: &RequestKey,
        fingerprint: Fingerprint,
        answer: Vec<u8>,
    ) -> Result<(), StoreError> {
        match self.0.get_mut(key) {
            Some(known @ Known::Nothing) => {
                *known = Known::Fresh(fingerprint, answer);
                Ok(())
            }
            _ => Err(StoreError::inconsistent(
                TABLE,
                "an answer was kept for a request that is not new",
            )),
        }
    }

    /// What writes the answers kept since the look-up, dated `date`, and how many they are.
    pub(crate) fn additions(self, date: Timestamp) -> (Vec<QueryBuilder>, usize) {
        let fresh: Vec<(RequestKey, Fingerprint, Vec<u8>)> = self
            .0
            .into_iter()
            .filter_map(|(key, known)| match known {
                Known::Fresh(fingerprint, answer) => Some((key, fingerprint, answer)),
                Known::Nothing | Known::Stored(..) => None,
            })
            .collect();
        let statements = insertions(
            "INSERT INTO idempotency \
             (party, rpc, request_id, fingerprint, answer, recorded_time)",
            &fresh,
            6,
            "",
            |mut row, (key, fingerprint, answer)| {
                row.push_bind(key.party.as_str())
                    .push_bind(key.rpc.as_ref())
                    .push_bind(key.request_id.as_str())
                    .push_bind(fingerprint.as_slice())
                    .push_bind(answer.as_slice())
                    .push_bind(date.micros());
            },
        );
        (statements.collect(), fresh.len())
    }
}

fn stored(row: &Row) -> Result<(RequestKey, Fingerprint, Vec<u8>), StoreError> {
    let (party, rpc, request_id, fingerprint, answer): StoredRow = row.read()?;
    let key = RequestKey {
        party,
        rpc: rpc.into(),
        request_id,
    };
    let fingerprint = fingerprint
        .try_into()
        .map_err(|_| StoreError::inconsistent(TABLE, "a fingerprint has not 32 octets"))?;
    Ok((key, fingerprint, answer))
}
