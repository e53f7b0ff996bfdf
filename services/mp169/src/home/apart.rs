//! Do the services of a folder run apart, each on a host of its own?

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;

use crate::exit::Usage;

/// The name of the file that says where the services listen.
pub(super) const ADDRESSES: &str = "addresses.json";

/// Fails if the services of the folder run apart: a mesh on this machine would take its commands away
/// from them.
pub(super) fn refuse(folder: &Path) -> Result<()> {
    let Some(address) = an_address_apart(folder) else {
        return Ok(());
    };
    let folder = folder.display();
    Err(Usage(format!(
        "{folder} is the folder of a mesh whose services run apart: its {ADDRESSES} says {address}. Start them \
         where they run (in containers `docker compose up --detach`). To run another mesh on this machine, name \
         a folder of its own with --home"
    ))
    .into())
}

fn an_address_apart(folder: &Path) -> Option<String> {
    let text = std::fs::read(folder.join(ADDRESSES)).ok()?;
    let named: BTreeMap<String, String> = serde_json::from_slice(&text).ok()?;
    named.into_values().find(|address| is_apart(address))
}

/// Whether `host:port` has a name. A mesh on one machine notes the number of its address, which may have been
/// another then.
pub(crate) fn is_apart(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare != "localhost" && bare.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_host_of_its_own() {
        for apart in ["flag-registry:16170", "mesh.example:1"] {
            assert!(is_apart(apart), "{apart}");
        }
        for here in [
            "127.0.0.1:1",
            "[::1]:1",
            "0.0.0.0:1",
            "192.0.2.7:1",
            "localhost:1",
        ] {
            assert!(!is_apart(here), "{here}");
        }
    }
}
