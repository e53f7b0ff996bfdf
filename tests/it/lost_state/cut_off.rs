//! What flag-registry acknowledges no longer reaches the CSPs' service: the network between the two
//! swallows it.

use std::net::SocketAddr;

use mp169::sample::{CSP_NORTH, CSP_SOUTH};
use mp169::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::check::all_agree;
use super::csp::Csp;
use super::silence::never_silent;
use super::town::Town;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csp_knows_within_ten_seconds_that_changes_do_not_reach_it() {
    let mut town = Town::start().await;
    let csps = [CSP_NORTH, CSP_SOUTH].map(|party| Csp::attach(town.folder(), party));
    town.stop(Service::CspNotification).await;
    let way = Way::to(town.address(Service::FlagRegistry)).await;
    town.start_by_way_of(Service::CspNotification, Service::FlagRegistry, way.address)
        .await;
    town.set(7..17).await;
    all_agree(town.folder(), &csps).await;

    way.swallow.cancel();
    town.set(17..27).await;
    town.lift(7..12).await;
    never_silent(&csps, &town.changes()).await;
    // So does one that has never heard of flag-registry.
    town.stop(Service::CspNotification).await;
    town.start_by_way_of(Service::CspNotification, Service::FlagRegistry, way.address)
        .await;
    for csp in &csps {
        csp.is_stale().await;
    }
    never_silent(&csps, &town.changes()).await;
    let mended = way.mend().await;
    town.set(27..30).await;
    all_agree(town.folder(), &csps).await;
    never_silent(&csps, &town.changes()).await;
    drop(mended);
}

/// A way to a service that can swallow what is sent on it, without a word to either end.
struct Way {
    address: SocketAddr,
    swallow: CancellationToken,
    carries: JoinSet<()>,
    to: SocketAddr,
}

impl Way {
    async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, to)
    }

    fn on(listener: TcpListener, to: SocketAddr) -> Self {
        let (address, swallow) = (listener.local_addr().unwrap(), CancellationToken::new());
        let mut carries = JoinSet::new();
        let swallows = swallow.clone();
        carries.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                connections.spawn(carry(from, to, swallows.clone()));
            }
        });
        Self {
            address,
            swallow,
            carries,
            to,
        }
    }

    /// Ends all connections and carries new ones.
    async fn mend(mut self) -> Self {
        self.carries.shutdown().await;
        let listener = TcpListener::bind(self.address).await.unwrap();
        Self::on(listener, self.to)
    }
}

async fn carry(mut from: TcpStream, to: SocketAddr, swallow: CancellationToken) {
    let Ok(mut to) = TcpStream::connect(to).await else {
        return;
    };
    let both = tokio::io::copy_bidirectional(&mut from, &mut to);
    if swallow.run_until_cancelled(both).await.is_none() {
        // Both stay open, and hear nothing.
        std::future::pending::<()>().await;
    }
}
