//! How does a supplier reach a registry that listens somewhere else after each start?

use std::collections::BTreeMap;
use std::sync::Mutex;

use mesh_api::flag_registry::v1::flag_service_client::FlagServiceClient;
use mesh_rpc::MeshChannel;
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::service::Service;
use tonic::Status;

type Client = FlagServiceClient<MeshChannel>;

/// One connection for each supplier, as long as the registry is where it was: to make one takes longer than
/// a call, and a supplier may not have as many as there are writers.
pub(super) struct Registry {
    folder: Folder,
    /// Where it was last, and the suppliers' connections to there.
    known: Mutex<(String, BTreeMap<&'static str, Client>)>,
}

impl Registry {
    pub(super) fn of(folder: &Folder) -> Self {
        let folder = folder.clone();
        let known = Mutex::default();
        Self { folder, known }
    }

    pub(super) fn client(&self, party: &'static str) -> Result<Client, Status> {
        let client = self.try_client(party);
        client.map_err(|error| Status::unavailable(error.to_string()))
    }

    fn try_client(&self, party: &'static str) -> anyhow::Result<Client> {
        let address = self.folder.address(Service::FlagRegistry)?;
        let mut known = self.known.lock().unwrap();
        if known.0 != address {
            *known = (address, BTreeMap::new());
        }
        if let Some(client) = known.1.get(party) {
            return Ok(client.clone());
        }
        let client = Clients::of(&self.folder, party)?.flags()?;
        known.1.insert(party, client.clone());
        Ok(client)
    }
}
