//! Is this page token one that we gave to this caller for this list?
//!
//! A token is `base64url(version ‖ payload ‖ tag)` without padding: version one octet, tag the
//! HMAC-SHA256 under the database's secret over the version, the scope and the payload. It is
//! authenticated and not encrypted: a payload holds nothing that the list itself does not show.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::sql::{Conn, query, query_scalar};
use crate::{Fingerprint, StoreError};

const VERSION: u8 = 1;
const TAG_OCTETS: usize = 32;

/// What a token is good for: with any other caller, RPC or filter it is refused.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The full name of the RPC, such as `/mp169.flag_registry.v1.FlagRegistryService/ListFlags`.
    pub rpc: &'a str,
    /// Who is asking, as the identity layer names them.
    pub caller: &'a str,
    /// The [`fingerprint`](crate::fingerprint) of every request field that must stay the same from
    /// page to page.
    pub filter: &'a Fingerprint,
}

/// The token was not made here for this scope, or was changed. Which of these is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the page token was not given to this caller for this request")]
pub struct TokenError;

/// Makes and checks the page tokens of one database.
#[derive(Clone)]
pub struct Tokens(Arc<[u8; 32]>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

impl Tokens {
    /// Takes the database's secret, making it if there is none yet.
    pub(crate) async fn load(conn: &mut Conn) -> Result<Self, StoreError> {
        let fresh: [u8; 32] = rand::random();
        query("INSERT INTO token_key (id, secret) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
            .bind(fresh.as_slice())
            .execute(&mut *conn)
            .await?;
        let secret: Vec<u8> = query_scalar("SELECT secret FROM token_key WHERE id = 1")
            .fetch_one(conn)
            .await?;
        let secret = secret
            .try_into()
            .map_err(|_| StoreError::inconsistent("token_key", "the secret has not 32 octets"))?;
        Ok(Self(Arc::new(secret)))
    }

    /// For a list that no database stands behind. Who knows the secret can make tokens.
    #[must_use]
    pub fn from_secret(secret: [u8; 32]) -> Self {
        Self(Arc::new(secret))
    }

    /// A token that carries `payload` within `scope`: printable, fit for a URL.
    #[must_use]
    pub fn seal(&self, scope: &Scope<'_>, payload: &[u8]) -> String {
        let mut token = Vec::with_capacity(1 + payload.len() + TAG_OCTETS);
        token.push(VERSION);
        token.extend_from_slice(payload);
        token.extend_from_slice(&self.mac(scope, payload).finalize().into_bytes());
        BASE64.encode(token)
    }

    /// The payload of a token that [`seal`](Self::seal) made with the same scope.
    pub fn open(&self, scope: &Scope<'_>, token: impl AsRef<[u8]>) -> Result<Vec<u8>, TokenError> {
        let mut token = BASE64.decode(token).map_err(|_| TokenError)?;
        let (body, tag) = token.split_last_chunk::<TAG_OCTETS>().ok_or(TokenError)?;
        let Some((&VERSION, payload)) = body.split_first() else {
            return Err(TokenError);
        };
        // Compares in constant time.
        self.mac(scope, payload)
            .verify_slice(tag)
            .map_err(|_| TokenError)?;
        let end = token.len() - TAG_OCTETS;
        Ok(token.drain(1..end).collect())
    }

    fn mac(&self, scope: &Scope<'_>, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice())
            .expect("HMAC takes a key of any length");
        mac.update(&[VERSION]);
        for part in [scope.rpc.as_bytes(), scope.caller.as_bytes(), scope.filter] {
            // The length goes first so that no two scopes make up the same octets.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.update(payload);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTER: Fingerprint = [7; 32];
    const SCOPE: Scope<'static> = Scope {
        rpc: "List",
        caller: "A",
        filter: &FILTER,
    };

    fn tokens() -> Tokens {
        Tokens(Arc::new([1; 32]))
    }

    #[test]
    fn a_token_gives_back_its_payload() {
        for payload in [&b""[..], b"x", b"last key 00-DB"] {
            let token = tokens().seal(&SCOPE, payload);
            assert_eq!(tokens().open(&SCOPE, &token).unwrap(), payload);
        }
    }

    #[test]
    fn another_scope_or_database_is_refused() {
        let token = tokens().seal(&SCOPE, b"payload");
        let filter = [8; 32];
        for other in [
            Scope {
                rpc: "Lis",
                ..SCOPE
            },
            Scope {
                caller: "B",
                ..SCOPE
            },
            Scope {
                filter: &filter,
                ..SCOPE
            },
            // The same octets in a row, split elsewhere.
            Scope {
                rpc: "ListA",
                caller: "",
                ..SCOPE
            },
        ] {
            assert_eq!(tokens().open(&other, &token), Err(TokenError), "{other:?}");
        }
        let elsewhere = Tokens(Arc::new([2; 32]));
        assert_eq!(elsewhere.open(&SCOPE, &token), Err(TokenError));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let token = BASE64.decode(tokens().seal(&SCOPE, b"payload")).unwrap();
        for bit in 0..token.len() * 8 {
            let mut changed = token.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = BASE64.encode(changed);
            assert_eq!(tokens().open(&SCOPE, changed), Err(TokenError), "bit {bit}");
        }
        for length in 0..token.len() {
            let cut = BASE64.encode(&token[..length]);
            assert_eq!(tokens().open(&SCOPE, cut), Err(TokenError), "{length}");
        }
        assert_eq!(tokens().open(&SCOPE, "not base64!"), Err(TokenError));
    }
}
