//! Does a list that one replica began go on at another, and show the same?

use mesh_api::common::v1::{AsOf, Position, as_of::Known};
use mesh_api::flag_registry::v1::ListFlagsRequest;
use mesh_api::registration::v1::ListDevicesRequest;
use mp169::clients::Clients;
use mp169::sample::{CSP_SOUTH, Home};
use mp169::service::Service;

use super::beside::Beside;
use crate::engine::Databases;
use crate::mesh::TestMesh;
use crate::requests::{add, rows};

/// How many homes are loaded at first.
const HOMES: u16 = 20;
/// The first homes are special ones, whose meters cannot be flagged.
const FIRST_HOME: u16 = 7;
/// How many flags are set at first.
const FLAGS: u16 = 6;

#[derive(Debug, Clone, Copy)]
enum List {
    Devices,
    Flags,
}

struct Page {
    devices: Vec<String>,
    next: String,
    /// What it shows.
    position: Position,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_one_replica_began_goes_on_at_another() {
    let Some(databases) = Databases::on_server() else {
        return;
    };
    let mesh = TestMesh::without_quotas(databases).await;
    mesh.load(rows(HOMES)).await;
    mesh.knows(CSP_SOUTH.id).await;
    for number in 0..FLAGS {
        List::Flags.grow(&mesh, number).await;
    }
    let both = [Service::Registration, Service::FlagRegistry];
    let replicas = Beside::start(&mesh, &both).await;
    let replicas = [mesh.clients("operator"), replicas.clients("operator")];

    for list in [List::Devices, List::Flags] {
        let whole = list.page(&replicas[0], 1_000, "", None).await;
        let size = whole.devices.len().div_ceil(3);
        let known = Some(Known::Position(whole.position.clone()));
        let mut grown = FLAGS..;
        for as_of in [None, Some(AsOf { known })] {
            let (mut devices, mut token) = (Vec::new(), String::new());
            for replica in replicas.iter().cycle() {
                let page = list.page(replica, size, &token, as_of.clone()).await;
                assert_eq!(page.position, whole.position, "{list:?}");
                devices.extend(page.devices);
                token = page.next;
                if token.is_empty() {
                    break;
                }
                list.grow(&mesh, grown.next().unwrap()).await;
            }
            assert_eq!(devices, whole.devices, "{list:?} {as_of:?}");
        }
    }
}

impl List {
    async fn page(self, replica: &Clients, size: usize, token: &str, as_of: Option<AsOf>) -> Page {
        let (page_size, page_token) = (size.try_into().unwrap(), token.to_owned());
        match self {
            Self::Devices => {
                let request = ListDevicesRequest {
                    page_size,
                    page_token,
                    as_of,
                    ..Default::default()
                };
                let mut client = replica.devices().unwrap();
                let page = client.list_devices(request).await.unwrap().into_inner();
                let devices = page.devices.into_iter().map(|device| device.device_id);
                Page {
                    devices: devices.collect(),
                    next: page.next_page_token,
                    position: page.position.unwrap(),
                }
            }
            Self::Flags => {
                let request = ListFlagsRequest {
                    page_size,
                    page_token,
                    as_of,
                    ..Default::default()
                };
                let mut client = replica.flags().unwrap();
                let page = client.list_flags(request).await.unwrap().into_inner();
                let devices = page.entries.into_iter().map(|entry| entry.device_id);
                Page {
                    devices: devices.collect(),
                    next: page.next_page_token,
                    position: page.position.unwrap(),
                }
            }
        }
    }

    /// Adds to the list what no page that was begun before may show.
    async fn grow(self, mesh: &TestMesh, number: u16) {
        match self {
            Self::Devices => {
                let before = rows(HOMES + number).len();
                mesh.load(rows(HOMES + number + 1).split_off(before)).await;
            }
            Self::Flags => {
                let home = Home::new(FIRST_HOME + number);
                let party = home.electricity().id;
                let mut client = mesh.clients(party).flags().unwrap();
                client.add_flag(add(home.esme(), party)).await.unwrap();
            }
        }
    }
}
