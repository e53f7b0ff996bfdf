//! A name of a server that may come to mean another one, as behind a load balancer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Passes connections on.
pub(super) struct Gate {
    address: SocketAddr,
    leads_to: Arc<Mutex<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Gate {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let leads_to = Arc::new(Mutex::new(server));
        let shared = Arc::clone(&leads_to);
        let task = tokio::spawn(async move {
            loop {
                let (mut from, _) = listener.accept().await.unwrap();
                let server = *shared.lock().unwrap();
                tokio::spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(server).await {
                        // Either end may break off.
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        Self {
            address,
            leads_to,
            task,
        }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to another server from now on.
    pub(super) fn turn_to(&self, server: SocketAddr) {
        *self.leads_to.lock().unwrap() = server;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}
