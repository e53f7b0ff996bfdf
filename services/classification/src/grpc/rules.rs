//! How is the policy in force listed?

use mesh_api::classification::v1 as wire;
use mesh_api::convert::FieldErrors;
use mesh_authz::Authorization;
use mesh_store::{Scope, Tokens};
use sha2::{Digest as _, Sha256};

use super::Classification;
use crate::policy::Policy;
use crate::problem::Error;
use crate::wire::rule;

/// The page tokens of a policy.
///
/// The list is the program's own and the same for every caller, so there is nothing to hide: the
/// key is made from the policy, so that every replica with this policy takes the token, and none
/// with another one. Whoever forges a token gets a page that it could have asked for.
pub(super) fn tokens(policy: &Policy) -> Tokens {
    let key = Sha256::new()
        .chain_update(b"mp169 rule pages\0")
        .chain_update(policy.hash());
    Tokens::from_secret(key.finalize().into())
}

impl Classification {
    pub(super) fn rules(
        &self,
        authorization: &Authorization,
        request: &wire::ListRulesRequest,
    ) -> Result<wire::ListRulesResponse, Error> {
        let policy = self.classifier.policy();
        let mut errors = FieldErrors::default();
        let Some(rows) = errors.page_size(request.page_size).map(usize::from) else {
            return Err(Error::Fields(errors));
        };
        let scope = Scope {
            rpc: authorization.method(),
            caller: authorization.caller().key(),
            filter: policy.hash(),
        };
        let first = self.first_row(&scope, &request.page_token)?;
        let next = first.saturating_add(rows);
        let more = policy.rows().nth(next).is_some();
        let page = policy.rows().skip(first).take(rows);
        Ok(wire::ListRulesResponse {
            rules: page.map(|row| rule(policy, &row)).collect(),
            next_page_token: if more {
                self.tokens.seal(&scope, &(next as u64).to_be_bytes())
            } else {
                String::new()
            },
            policy_version: str::to_owned(policy.version()),
            policy_hash: policy.hash().to_vec(),
        })
    }

    /// Where the page begins: a row's place, because the rows of a policy never change.
    fn first_row(&self, scope: &Scope<'_>, token: &str) -> Result<usize, Error> {
        if token.is_empty() {
            return Ok(0);
        }
        let payload = self.tokens.open(scope, token).ok();
        payload
            .and_then(|payload| payload.try_into().ok())
            .and_then(|octets| usize::try_from(u64::from_be_bytes(octets)).ok())
            .ok_or(Error::PageToken)
    }
}
