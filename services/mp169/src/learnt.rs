//! What can be learnt of a mesh by asking: each service how it is, and which certificate it shows.
//!
//! Every question has a deadline and runs beside the others. Whoever does not answer keeps nobody else
//! from being asked.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mesh_api::csp_notification::v1::{ListSubscriptionsRequest, Subscription};
use mesh_api::operations::v1::operations_service_client::OperationsServiceClient;
use mesh_api::operations::v1::{GetStatusRequest, GetStatusResponse};
use mesh_rpc::{CertificateFacts, LookError, MeshChannel, certificate_of};
use mesh_types::{Clock as _, SystemClock, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::clients::Clients;
use crate::log::followers::Followers;
use crate::service::Service;
use crate::session::Session;

/// How long each question may take.
const DEADLINE: Duration = Duration::from_secs(3);
/// How many CSPs are asked about. There are four in Great Britain.
const SUBSCRIPTIONS: i32 = 1_000;

/// What was learnt of a mesh at one time.
#[derive(Debug)]
pub(crate) struct Learnt {
    /// When, by this machine's clock.
    pub(crate) time: Timestamp,
    /// As whom.
    pub(crate) identity: String,
    /// The certificate that was shown for that; `None` if it cannot be read.
    pub(crate) own: Option<CertificateFacts>,
    /// Those of the authorities that are trusted.
    pub(crate) authorities: Vec<CertificateFacts>,
    /// SHA-256 of the deny-list in the folder, if it is one that services read.
    pub(crate) denied: Option<Vec<u8>>,
    /// Every process that was found, in the direction in which data flows.
    pub(crate) instances: Vec<Instance>,
    /// How far each CSP is.
    pub(crate) subscriptions: Result<Vec<Subscription>, Status>,
}

/// A process of a service: there is one at each address.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Which service.
    pub(crate) service: Service,
    /// Where.
    pub(crate) address: String,
    /// Whether its address has to be said, because there are others of the service.
    pub(crate) is_one_of_several: bool,
    /// The certificate that it shows.
    pub(crate) certificate: Result<CertificateFacts, LookError>,
    /// What it says of itself.
    pub(crate) told: Result<Told, Status>,
}

/// What a service says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Its answer.
    pub(crate) status: GetStatusResponse,
    /// By this machine's clock, the middle of the time between question and answer.
    pub(crate) time: Timestamp,
    /// How long that was.
    pub(crate) round_trip: Duration,
}

impl Learnt {
    /// Asks all services, each at every address that its name has.
    pub(crate) async fn ask(session: &Session) -> Self {
        let clients = &session.clients;
        let places =
            futures::future::join_all(Service::ALL.map(|service| places(session, service)));
        let places: Vec<_> = places.await.into_iter().flatten().collect();
        let asked = places.into_iter().map(|place| place.ask(clients));
        let asked = futures::future::join_all(asked);
        let (asked, subscriptions) = tokio::join!(asked, subscriptions(clients));
        // Only after everybody has said how far it is: so no follower seems to be ahead of a log.
        let again = asked.into_iter().map(Asked::again);
        let instances = futures::future::join_all(again).await;
        let (own, authorities) = match clients.tls().status() {
            Some(status) => (Some(status.own), status.authorities),
            None => (None, Vec::new()),
        };
        let denied = session.folder.is_of_a_mesh().then(|| {
            let (text, _) = clients.tls().denied();
            Sha256::digest(text.as_bytes()).to_vec()
        });
        Self {
            time: SystemClock.now(),
            identity: session.identity.clone(),
            own,
            authorities,
            denied,
            instances,
            subscriptions,
        }
    }

    /// Those that answered, with what they said.
    pub(crate) fn told(&self) -> impl DoubleEndedIterator<Item = (&Instance, &Told)> {
        self.instances
            .iter()
            .filter_map(|instance| Some((instance, instance.told.as_ref().ok()?)))
    }

    /// Who follows which log, and whether that fits what the owners have.
    pub(crate) fn followers(&self) -> Followers {
        Followers::of(self.told().rev().map(|(_, told)| told.status.clone()))
    }
}

impl Instance {
    /// The service's name, and where it is if there are several.
    pub(crate) fn name(&self) -> String {
        let name = self.service.name();
        if self.is_one_of_several {
            format!("{name} at {}", self.address)
        } else {
            name.to_owned()
        }
    }
}

/// Where a service is to be asked.
struct Place {
    service: Service,
    address: String,
    /// Why nobody can be asked there.
    unknown: Option<io::Error>,
    is_one_of_several: bool,
}

/// Each address of a service: its name may have several.
async fn places(session: &Session, service: Service) -> Vec<Place> {
    let nowhere = |address, unknown| {
        vec![Place {
            service,
            address,
            unknown: Some(unknown),
            is_one_of_several: false,
        }]
    };
    let named = match session.folder.address(service) {
        Ok(named) => named,
        Err(error) => return nowhere(String::new(), io::Error::other(format!("{error:#}"))),
    };
    let addresses = match resolve(&named).await {
        Ok(addresses) => addresses,
        Err(error) => return nowhere(named, error),
    };
    let is_one_of_several = addresses.len() > 1;
    let places = addresses.into_iter().map(|address| Place {
        service,
        address,
        unknown: None,
        is_one_of_several,
    });
    places.collect()
}

/// The addresses of a service, each of which is asked.
async fn resolve(named: &str) -> io::Result<Vec<String>> {
    let found = timeout(DEADLINE, tokio::net::lookup_host(named)).await;
    let found = found.unwrap_or_else(|_| Err(io::Error::other("nobody says where it is")))?;
    Ok(distinct(named, found.collect()))
}

/// One that has addresses of both families is the same process in each.
fn distinct(named: &str, mut found: Vec<SocketAddr>) -> Vec<String> {
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.sort_unstable();
    found.dedup();
    match &found[..] {
        [] | [_] => vec![named.to_owned()],
        _ => found.iter().map(ToString::to_string).collect(),
    }
}

/// An instance, and the way to ask it again.
struct Asked {
    instance: Instance,
    way: Option<OperationsServiceClient<MeshChannel>>,
}

impl Place {
    async fn ask(self, clients: &Clients) -> Asked {
        let (service, is_one_of_several) = (self.service, self.is_one_of_several);
        let address = self.address;
        let (certificate, told, way) = match self.unknown {
            None => {
                let mut way = clients.operations_at(service, &address, DEADLINE);
                let certificate = look(clients, service, &address);
                let (certificate, told) = tokio::join!(certificate, status(&mut way));
                (certificate, told, Some(way))
            }
            Some(unknown) => {
                let told = Err(Status::unavailable(unknown.to_string()));
                (Err(LookError::Unreachable(unknown)), told, None)
            }
        };
        let instance = Instance {
            service,
            address,
            is_one_of_several,
            certificate,
            told,
        };
        Asked { instance, way }
    }
}

impl Asked {
    /// Asks once more who has answered, on the connection that is there, so that its time is exact. What the
    /// first answer says of logs that are followed stays.
    async fn again(mut self) -> Instance {
        if let (Ok(first), Some(way)) = (&mut self.instance.told, &mut self.way)
            && let Ok(mut told) = status(way).await
        {
            told.status.followed_logs = std::mem::take(&mut first.status.followed_logs);
            *first = told;
        }
        self.instance
    }
}

async fn look(
    clients: &Clients,
    service: Service,
    address: &str,
) -> Result<CertificateFacts, LookError> {
    let looked = certificate_of(service.name(), address, clients.tls());
    let looked = timeout(DEADLINE, looked).await;
    looked.unwrap_or_else(|_| Err(LookError::Unreachable(io::ErrorKind::TimedOut.into())))
}

async fn status(way: &mut OperationsServiceClient<MeshChannel>) -> Result<Told, Status> {
    let (time, asked) = (SystemClock.now(), Instant::now());
    let answer = timeout(DEADLINE, way.get_status(GetStatusRequest {})).await;
    let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))?;
    let round_trip = asked.elapsed();
    Ok(Told {
        status: answer.into_inner(),
        time: time.saturating_add(round_trip / 2),
        round_trip,
    })
}

async fn subscriptions(clients: &Clients) -> Result<Vec<Subscription>, Status> {
    let unknown = |error: anyhow::Error| Status::unavailable(format!("{error:#}"));
    let mut csp = clients.csp().map_err(unknown)?;
    let request = ListSubscriptionsRequest {
        page_size: SUBSCRIPTIONS,
        ..ListSubscriptionsRequest::default()
    };
    let answer = timeout(DEADLINE, csp.list_subscriptions(request)).await;
    let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
    Ok(answer?.into_inner().subscriptions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_behind_a_name_is_asked_once() {
        let named = "classification:7003";
        let asked = |found: &[&str]| {
            let found = found.iter().map(|at| at.parse().unwrap()).collect();
            distinct(named, found)
        };
        let two = ["10.0.0.2:7003", "10.0.0.3:7003"];
        assert_eq!(asked(&[two[1], two[0], two[1]]), two);
        assert_eq!(asked(&[two[1], "[fd00::3]:7003", two[0]]), two);
        let six = ["[fd00::2]:7003", "[fd00::3]:7003"];
        assert_eq!(asked(&six), six);
        for alone in [&[][..], &two[..1], &["[::1]:7003", "127.0.0.1:7003"]] {
            assert_eq!(asked(alone), [named], "{alone:?}");
        }
    }
}
