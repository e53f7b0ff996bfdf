//! How does a name become addresses?

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;

type Found = BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// A way to look up `host:port`. Cheap to clone.
#[derive(Clone)]
pub struct Names(Arc<dyn Fn(String) -> Found + Send + Sync>);

impl Names {
    /// As this machine looks up all names: its hosts file, DNS.
    #[must_use]
    pub fn of_the_system() -> Self {
        Self::by(async |name: String| Ok(tokio::net::lookup_host(name).await?.collect()))
    }

    /// By a site's own directory of services.
    #[must_use]
    pub fn by<F>(look_up: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |name| Box::pin(look_up(name))))
    }

    pub(super) async fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        (self.0)(name.to_owned()).await
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::of_the_system()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}
