//! Second replicas of some services beside a mesh of this process, on the same databases.

use std::collections::BTreeMap;
use std::sync::Arc;

use flag_registry::Quotas;
use mesh_testkit::{TempDir, temp_dir};
use mesh_types::SystemClock;
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::mesh::Site;
use mp169::service::Service;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::town::copy;
use crate::mesh::{TestMesh, serves};

/// Replicas that go away with the value.
pub(crate) struct Beside {
    /// A copy of the mesh's folder with the addresses of the replicas.
    folder: Folder,
    _stop: DropGuard,
    _home: TempDir,
}

impl Beside {
    /// Starts a second replica of each of `services`, and waits until they serve. They call each other, and the
    /// mesh's own services where there is no other.
    pub(crate) async fn start(mesh: &TestMesh, services: &[Service]) -> Self {
        let home = temp_dir();
        let path = home.path().join("replicas");
        copy(mesh.home(), &path);
        let folder = Folder::open(&path).unwrap();
        let own = |service| (service, mesh.address(service).to_owned());
        let mut addresses: BTreeMap<_, _> = Service::ALL.map(own).into();
        let mut listeners = Vec::new();
        for &service in services {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.insert(service, listener.local_addr().unwrap().to_string());
            listeners.push((service, listener));
        }
        folder.write_addresses(&addresses).unwrap();
        let site = Site {
            folder: mesh.folder().clone(),
            addresses,
            clock: Arc::new(SystemClock),
            quotas: Quotas::default(),
        };
        let stop = CancellationToken::new();
        for (service, listener) in listeners {
            let tls = folder.tls(service.name()).unwrap();
            tokio::spawn(site.run(service, tls, listener, stop.clone()));
            serves(&folder, service).await;
        }
        Self {
            folder,
            _stop: stop.drop_guard(),
            _home: home,
        }
    }

    /// The replicas as the identity sees them whose certificate has this name.
    pub(crate) fn clients(&self, identity: &str) -> Clients {
        Clients::of(&self.folder, identity).unwrap()
    }
}
