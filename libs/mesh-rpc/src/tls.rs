//! With which certificate do we show ourselves, and whom do we trust?
//!
//! A [`Tls`] holds both for one process or one service in it, for its server and its clients alike.
//! It is replaced while serving: new handshakes use new files within [`RELOAD_INTERVAL`] or so, and
//! a file that cannot be used keeps the last good one and raises an alarm.
//!
//! Whom we do not trust any more stands in the deny-list. It is read like the other files, and apart
//! from them: trouble with the one keeps nobody from using the other. It holds for new handshakes
//! and for connections that are open, on both sides; those end within [`RELOAD_INTERVAL`] or so.
//!
//! rustls is given its provider (ring) by value, so nothing depends on a process-wide default. Only
//! TLS 1.3 is spoken. Sessions are never resumed: a resumed one would skip the check of the peer's
//! certificate, and outlive its end or a change of the authority.

mod handshakes;
mod looks;
mod source;
mod verifiers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::deny_list::{Denied, DenyList};

pub use handshakes::{HandshakeCounters, HandshakeOutcome};
pub use source::{TlsError, TlsFiles, TlsPem};

use looks::{Kind, Looks};
use source::Parts;

/// How often files are looked at.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// Our certificate, key and trusted authorities, replaceable while in use. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    /// What to read again; `None` if the texts were handed in.
    files: Option<TlsFiles>,
    /// Held while texts are exchanged, so that two exchanges cannot overtake each other.
    looks: Mutex<Looks>,
    current: ArcSwap<Material>,
    /// Moves after more or fewer certificates are denied.
    denials: watch::Sender<()>,
    refused: AtomicU64,
    metrics: Metrics,
    handshakes: HandshakeCounters,
}

struct Metrics {
    refused: Counter<u64>,
    denied: Gauge<u64>,
    ended: Counter<u64>,
}

/// What was made of the last good texts.
struct Material {
    generation: u64,
    pem: TlsPem,
    denied_text: String,
    denied: Arc<DenyList>,
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
    /// If any of the files cannot be used; a deny-list that is named and not there is one of these.
    pub fn from_files(files: TlsFiles) -> Result<Self, TlsError> {
        let (pem, denied) = (files.read()?, files.read_denied()?);
        let tls = Self::new(Some(files), pem, denied)?;
        tokio::spawn(watch(Arc::downgrade(&tls.0)));
        Ok(tls)
    }

    /// Takes the texts as they are; [`Tls::replace`] exchanges them. Nobody is denied until
    /// [`Tls::deny`] says so.
    ///
    /// # Errors
    /// If any of the three texts cannot be used.
    pub fn from_pem(pem: TlsPem) -> Result<Self, TlsError> {
        Self::new(None, pem, String::new())
    }

    fn new(files: Option<TlsFiles>, pem: TlsPem, denied: String) -> Result<Self, TlsError> {
        let meter = opentelemetry::global::meter("mesh-rpc");
        let list = Arc::new(DenyList::parse(&denied)?);
        let metrics = Metrics::new(&meter);
        metrics.denies(&list);
        Ok(Self(Arc::new(Inner {
            files,
            looks: Mutex::default(),
            current: ArcSwap::from_pointee(Material::read(pem, denied, list, 0)?),
            denials: watch::Sender::new(()),
            refused: AtomicU64::new(0),
            metrics,
            handshakes: HandshakeCounters::new(&meter),
        })))
    }

    /// Reads the files again and says whether anything changed. New handshakes use the new texts;
    /// connections that exist go on with what they agreed on, unless what the peer showed is denied
    /// now. Nothing happens without files.
    ///
    /// # Errors
    /// If some of the files cannot be used; their last good texts stay in use, and new texts of the
    /// others come into use.
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

    /// Exchanges the deny-list and says whether anything changed. Where there is a file of it, the
    /// next look at that counts again.
    ///
    /// # Errors
    /// If the text is no deny-list; the last good one stays in use.
    pub fn deny(&self, list: String) -> Result<bool, TlsError> {
        let _one_at_a_time = self.0.lock();
        self.0.exchange_denied(list)
    }

    /// Resolves when something of what the peer of an open connection showed is denied; never if it
    /// showed nothing.
    pub(crate) fn denied(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
    ) -> impl Future<Output = Denied> + Send + use<> {
        let chain = chain.unwrap_or_default().iter();
        let chain: Vec<_> = chain.map(|shown| shown.clone().into_owned()).collect();
        let (tls, mut changes) = (self.0.clone(), self.0.denials.subscribe());
        async move {
            loop {
                changes.borrow_and_update();
                let list = tls.current.load().denied.clone();
                // What cannot be read was refused in the handshake.
                if let Ok(Some(denied)) = verifiers::denied(&list, &chain) {
                    tls.metrics.ended.add(1, &[]);
                    return denied;
                }
                // The sender is in `tls`, so there is another change or none ever.
                let _ = changes.changed().await;
            }
        }
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
    fn lock(&self) -> std::sync::MutexGuard<'_, Looks> {
        // What the lock protects is whole at every step.
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each kind of file by itself, so that trouble with one does not keep another from being used.
    fn reload(&self) -> Result<bool, TlsError> {
        let Some(files) = &self.files else {
            return Ok(false);
        };
        let mut looks = self.lock();
        // Whom to keep out comes first.
        let denied = files
            .read_denied()
            .and_then(|text| self.exchange_denied(text));
        self.seen(&mut looks, Kind::DenyList, &denied);
        let exchanged = files.read().and_then(|pem| self.exchange(pem));
        self.seen(&mut looks, Kind::Certificate, &exchanged);
        Ok(denied? | exchanged?)
    }

    fn seen(&self, looks: &mut Looks, kind: Kind, looked: &Result<bool, TlsError>) {
        let Some(error) = looks.newly_reported(kind, looked.as_ref().err()) else {
            return;
        };
        self.refused.fetch_add(1, Ordering::Relaxed);
        let label = KeyValue::new("files", kind.as_str());
        self.metrics.refused.add(1, &[label]);
        let files = kind.as_str();
        tracing::error!(%error, files, "files cannot be used, the last good ones stay");
    }

    fn exchange(&self, pem: TlsPem) -> Result<bool, TlsError> {
        let current = self.current.load();
        if pem == current.pem {
            return Ok(false);
        }
        let generation = current.generation + 1;
        let (text, list) = (current.denied_text.clone(), current.denied.clone());
        self.current
            .store(Arc::new(Material::read(pem, text, list, generation)?));
        tracing::info!(generation, "certificate exchanged");
        Ok(true)
    }

    fn exchange_denied(&self, text: String) -> Result<bool, TlsError> {
        let current = self.current.load();
        if text == current.denied_text {
            return Ok(false);
        }
        let list = Arc::new(DenyList::parse(&text)?);
        self.metrics.denies(&list);
        let entries = list.entries().len();
        let (pem, generation) = (current.pem.clone(), current.generation);
        self.current
            .store(Arc::new(Material::read(pem, text, list, generation)?));
        self.denials.send_replace(());
        tracing::info!(entries, "deny-list exchanged");
        Ok(true)
    }
}

impl Metrics {
    fn new(meter: &Meter) -> Self {
        Self {
            refused: meter
                .u64_counter("mp169.tls.reload.failures")
                .with_description(
                    "Certificate, key, trust or deny-list files that could not be used",
                )
                .build(),
            denied: meter
                .u64_gauge("mp169.tls.denied")
                .with_description("Entries of the deny-list in use")
                .build(),
            ended: meter
                .u64_counter("mp169.tls.denied_connections")
                .with_description("Open connections that ended because their peer was denied")
                .build(),
        }
    }

    fn denies(&self, list: &DenyList) {
        let entries = u64::try_from(list.entries().len()).unwrap_or(u64::MAX);
        self.denied.record(entries, &[]);
    }
}

impl Material {
    fn read(
        pem: TlsPem,
        denied_text: String,
        denied: Arc<DenyList>,
        generation: u64,
    ) -> Result<Self, TlsError> {
        let parts = Parts::read(&pem)?;
        let server = parts.server_config(parts.caller_verifier(&denied)?)?;
        let client = parts.client_config(parts.service_verifier(&denied)?)?;
        Ok(Self {
            generation,
            pem,
            denied_text,
            denied,
            server: Arc::new(server),
            client: Arc::new(client),
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
