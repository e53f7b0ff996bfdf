//! With which certificate do we show ourselves, and whom do we trust?
//!
//! A [`Tls`] holds both for one process or one service in it, for its server and its clients alike.
//! It is replaced while serving: new handshakes use new files within [`RELOAD_INTERVAL`] or so, and
//! a file that cannot be used keeps the last good one and raises an alarm.
//!
//! rustls is given its provider (ring) by value, so nothing depends on a process-wide default. Only
//! TLS 1.3 is spoken. Sessions are never resumed: a resumed one would skip the check of the peer's
//! certificate, and outlive its end or a change of the authority.

mod handshakes;
mod source;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use opentelemetry::metrics::Counter;
use rustls::{ClientConfig, ServerConfig};

pub use handshakes::{HandshakeCounters, HandshakeOutcome};
pub use source::{TlsError, TlsFiles, TlsPem};

use source::{Parts, Trouble};

/// How often files are looked at.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// Our certificate, key and trusted authorities, replaceable while in use. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    /// What to read again; `None` if the texts were handed in.
    files: Option<TlsFiles>,
    /// Held while texts are exchanged, so that two exchanges cannot overtake each other.
    trouble: Mutex<Trouble>,
    current: ArcSwap<Material>,
    refused: AtomicU64,
    refused_metric: Counter<u64>,
    handshakes: HandshakeCounters,
}

/// What was made of the last good texts.
struct Material {
    generation: u64,
    pem: TlsPem,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

// === impl Tls ===

impl Tls {
    /// Reads the files now and again every [`RELOAD_INTERVAL`], until the last clone is dropped.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If any of the three files cannot be used.
    pub fn from_files(files: TlsFiles) -> Result<Self, TlsError> {
        let pem = files.read()?;
        let tls = Self::new(Some(files), pem)?;
        tokio::spawn(watch(Arc::downgrade(&tls.0)));
        Ok(tls)
    }

    /// Takes the texts as they are; [`Tls::replace`] exchanges them.
    ///
    /// # Errors
    /// If any of the three texts cannot be used.
    pub fn from_pem(pem: TlsPem) -> Result<Self, TlsError> {
        Self::new(None, pem)
    }

    fn new(files: Option<TlsFiles>, pem: TlsPem) -> Result<Self, TlsError> {
        let meter = opentelemetry::global::meter("mesh-rpc");
        Ok(Self(Arc::new(Inner {
            files,
            trouble: Mutex::default(),
            current: ArcSwap::from_pointee(Material::read(pem, 0)?),
            refused: AtomicU64::new(0),
            refused_metric: meter
                .u64_counter("mp169.tls.reload.failures")
                .with_description("Certificate, key or trust files that could not be used")
                .build(),
            handshakes: HandshakeCounters::new(&meter),
        })))
    }

    /// Reads the files again and says whether anything changed. New handshakes use the new texts;
    /// connections that exist go on with what they agreed on. Nothing happens without files.
    ///
    /// # Errors
    /// If the files cannot be used; the last good texts stay in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.0.reload()
    }

    /// Exchanges the texts and says whether anything changed. Where there are files, the next look
    /// at them counts again.
    ///
    /// # Errors
    /// If they cannot be used; the last good ones stay in use.
    pub fn replace(&self, pem: TlsPem) -> Result<bool, TlsError> {
        let _one_at_a_time = self.0.lock();
        self.0.exchange(pem)
    }

    /// How many times files could not be used since the start. More than none is an alarm: when the
    /// certificate in use ends, so does the service.
    #[must_use]
    pub fn refused_reloads(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// The handshakes of servers that use this, by outcome.
    #[must_use]
    pub fn handshakes(&self) -> &HandshakeCounters {
        &self.0.handshakes
    }

    /// Counts the good exchanges of texts; a client rebuilds its connection when it moves.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.current.load().generation
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        self.0.current.load().server.clone()
    }

    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        self.0.current.load().client.clone()
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Trouble> {
        // What the lock protects is whole at every step.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self) -> Result<bool, TlsError> {
        let Some(files) = &self.files else {
            return Ok(false);
        };
        let mut trouble = self.lock();
        let exchanged = files.read().and_then(|pem| self.exchange(pem));
        match &exchanged {
            Ok(_) => trouble.settle(),
            Err(error) if trouble.is_to_report(error) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                self.refused_metric.add(1, &[]);
                tracing::error!(%error, "certificate files cannot be used, the last good ones stay");
            }
            Err(_) => {}
        }
        exchanged
    }

    fn exchange(&self, pem: TlsPem) -> Result<bool, TlsError> {
        let current = self.current.load();
        if pem == current.pem {
            return Ok(false);
        }
        let generation = current.generation + 1;
        self.current
            .store(Arc::new(Material::read(pem, generation)?));
        tracing::info!(generation, "certificate exchanged");
        Ok(true)
    }
}

impl Material {
    fn read(pem: TlsPem, generation: u64) -> Result<Self, TlsError> {
        let parts = Parts::read(&pem)?;
        Ok(Self {
            generation,
            server: Arc::new(parts.server_config()?),
            client: Arc::new(parts.client_config()?),
            pem,
        })
    }
}

async fn watch(tls: Weak<Inner>) {
    let mut ticks = tokio::time::interval(RELOAD_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(tls) = tls.upgrade() else {
            return;
        };
        // Trouble is reported where it is found; a join error means that the runtime is ending.
        let _ = tokio::task::spawn_blocking(move || tls.reload()).await;
    }
}
