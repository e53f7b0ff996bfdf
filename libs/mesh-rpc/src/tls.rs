//! With which certificate do we show ourselves, and whom do we trust?
//!
//! A [`Tls`] holds both for one process or one service in it, for its server and its clients alike.
//! It is replaced while serving: new handshakes use new files within [`RELOAD_INTERVAL`] or so, and
//! a file that cannot be used keeps the last good one and raises an alarm.
//!
//! Whom we do not trust any more stands in the deny-list, and in the revocation lists of authorities
//! that make such. They are read like the other files, and each apart: trouble with one keeps nobody
//! from using another. They hold for new handshakes and for connections that are open, on both sides,
//! and so do the trusted authorities; those connections end within a few seconds.
//!
//! rustls is given its provider (ring) by value, so nothing depends on a process-wide default. Only
//! TLS 1.3 is spoken. Sessions are never resumed: a resumed one would skip the check of the peer's
//! certificate, and outlive its end or a change of the authority.

mod crl;
mod exchange;
mod handshakes;
mod looks;
mod material;
mod metrics;
mod open;
mod source;
mod status;
mod verifiers;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use mesh_types::{Clock, SystemClock, Timestamp};
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;

use crate::deny_list::DenyList;

pub use exchange::Exchanged;
pub use handshakes::{HandshakeCounters, HandshakeOutcome};
pub(crate) use open::{Agreed, Rejected, Shown};
pub(crate) use source::{ALPN_H2, Speaks};
pub use source::{CrlError, TlsError, TlsFiles, TlsPem};
pub use status::{CertificateFacts, RefusedFiles, TlsStatus};

use exchange::Listener;
use looks::{Kind, Looks};
use material::{Material, Texts};
use metrics::Metrics;

/// How often files are looked at.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(1);
/// How often the clock is looked at for an open connection whose certificate will end. Timers know
/// nothing of a machine that slept, or of a clock that was set.
const CLOCK_INTERVAL: Duration = Duration::from_secs(2);

/// Our certificate, key and trusted authorities, replaceable while in use. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    /// What to read again; `None` if the texts were handed in.
    files: Option<TlsFiles>,
    /// Held while texts are exchanged, so that two exchanges cannot overtake each other.
    looks: Mutex<Looks>,
    current: ArcSwap<Material>,
    /// Moves after more or fewer certificates are denied or revoked, or other authorities trusted.
    judgements: watch::Sender<()>,
    /// By which certificates are in force.
    clock: Arc<dyn Clock>,
    /// Who is told when a list comes into use.
    listeners: Mutex<Vec<Listener>>,
    refused: AtomicU64,
    last_refused: Mutex<Option<RefusedFiles>>,
    metrics: Metrics,
    handshakes: HandshakeCounters,
}

// === impl Tls ===

impl Tls {
    /// Reads the files now and again every [`RELOAD_INTERVAL`], until the last clone is dropped.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If any of the files cannot be used; one that is named and not there is one of these.
    pub fn from_files(files: TlsFiles) -> Result<Self, TlsError> {
        let mut texts = Texts::of(files.read()?);
        texts.take_denied(files.read_denied()?)?;
        for path in &files.crls {
            texts.add_crl(path)?;
        }
        let tls = Self::new(Some(files), texts, Arc::new(SystemClock))?;
        tokio::spawn(watch(Arc::downgrade(&tls.0)));
        Ok(tls)
    }

    /// Takes the texts as they are; [`Tls::replace`] exchanges them. Nobody is denied until
    /// [`Tls::deny`] says so.
    ///
    /// # Errors
    /// If any of the three texts cannot be used.
    pub fn from_pem(pem: TlsPem) -> Result<Self, TlsError> {
        Self::by_clock(pem, Arc::new(SystemClock))
    }

    /// The same, with certificates in force by `clock` instead of the machine's.
    ///
    /// # Errors
    /// If any of the three texts cannot be used.
    pub fn by_clock(pem: TlsPem, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        Self::new(None, Texts::of(pem), clock)
    }

    fn new(files: Option<TlsFiles>, texts: Texts, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let meter = opentelemetry::global::meter("mesh-rpc");
        let metrics = Metrics::new(&meter);
        metrics.revokes(texts.revoked());
        Ok(Self(Arc::new(Inner {
            files,
            looks: Mutex::default(),
            current: ArcSwap::from_pointee(Material::read(texts, 0, &clock)?),
            judgements: watch::Sender::new(()),
            clock,
            listeners: Mutex::default(),
            refused: AtomicU64::new(0),
            last_refused: Mutex::default(),
            metrics,
            handshakes: HandshakeCounters::new(&meter),
        })))
    }

    /// Reads the files again and says whether anything changed. New handshakes use the new texts;
    /// connections that exist go on with what they agreed on, unless what the peer showed is
    /// accepted no more. Nothing happens without files.
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

    /// Tells `listener` of the lists in use, and of each that comes into use from now on, until it says
    /// that it wants to hear no more.
    pub(crate) fn tell(&self, listener: impl Fn(&Exchanged) -> bool + Send + Sync + 'static) {
        let _no_exchange_meanwhile = self.0.lock();
        if self.0.lists().iter().all(&listener) {
            self.0.listeners().push(Box::new(listener));
        }
    }

    /// Resolves when what the peer of an open connection showed is accepted no more, or a certificate
    /// on it has ended by the clock.
    pub(crate) fn rejected(
        &self,
        shown: Shown,
    ) -> impl Future<Output = Rejected> + Send + 'static + use<> {
        let tls = self.0.clone();
        let ended = self.nears(&shown, Duration::ZERO);
        async move {
            let rejected = tokio::select! {
                biased;
                rejected = tls.judged(&shown) => rejected,
                () = ended => Rejected::Ended,
            };
            tls.metrics.ended(&rejected);
            rejected
        }
    }

    /// Resolves once the first certificate of a connection ends within `lead` by the clock, however
    /// the clock got there; never if none is known to end.
    pub(crate) fn nears(
        &self,
        shown: &Shown,
        lead: Duration,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (tls, end) = (self.clone(), shown.until());
        async move {
            let Some(end) = end else {
                return std::future::pending().await;
            };
            loop {
                let left = tls.remaining(end).saturating_sub(lead);
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(CLOCK_INTERVAL)).await;
            }
        }
    }

    /// How long it is until `end` by the clock.
    pub(crate) fn remaining(&self, end: Timestamp) -> Duration {
        end.since(self.0.clock.now())
    }

    /// This is what the server of `service` uses: metrics tell its handshakes, and how long its certificate
    /// still holds.
    pub(crate) fn serves(&self, service: &'static str) {
        self.0.handshakes.serve(service);
        self.0.metrics.serve(service);
        let asked = Arc::downgrade(&self.0);
        let left = move || {
            let tls = Self(asked.upgrade()?);
            let end = tls.0.current.load().own_end()?;
            Some(tls.remaining(end))
        };
        metrics::observe_end(service, left, &opentelemetry::global::meter("mesh-rpc"));
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

    /// The text of the deny-list in use, and how many entries it has.
    #[must_use]
    pub fn denied(&self) -> (Arc<str>, usize) {
        let current = self.0.current.load();
        let texts = &current.texts;
        (Arc::clone(&texts.denied), texts.deny_list.entries().len())
    }

    /// What the handshake with a caller goes by.
    pub(crate) fn as_server(&self, speaks: Speaks) -> (Arc<ServerConfig>, Agreed) {
        let current = self.0.current.load();
        let agreed = current.agreed(self.0.clock.now());
        let config = match speaks {
            Speaks::Grpc => &current.server,
            Speaks::Web => &current.web,
        };
        (Arc::clone(config), agreed)
    }

    /// What the handshake with a service goes by.
    pub(crate) fn as_client(&self) -> (Arc<ClientConfig>, Agreed) {
        let current = self.0.current.load();
        let agreed = current.agreed(self.0.clock.now());
        (current.client.clone(), agreed)
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

    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<Listener>> {
        // A listener that panics leaves a list of listeners.
        let listeners = self.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner)
    }

    /// The lists in use, as if they had just come into it.
    fn lists(&self) -> Vec<Exchanged> {
        let current = self.current.load();
        let denied = Exchanged::deny_list(&DenyList::default(), &current.texts.deny_list);
        let files = self.files.iter().flat_map(|files| files.crls.iter());
        let revoked = current.texts.revoked_by_file();
        let revoked = files
            .zip(revoked)
            .map(|(path, certificates)| Exchanged::Revocations {
                path: path.clone(),
                certificates,
            });
        std::iter::once(denied).chain(revoked).collect()
    }

    fn told(&self, exchanged: &Exchanged) {
        self.listeners().retain(|listener| listener(exchanged));
    }

    /// Resolves when what a peer showed is denied, revoked, or of an authority that is trusted no more.
    async fn judged(&self, shown: &Shown) -> Rejected {
        let mut changes = self.judgements.subscribe();
        let mut judged = shown.agreed.generation;
        loop {
            changes.borrow_and_update();
            let current = self.current.load_full();
            if let Some(rejected) = current.rejected(shown, judged) {
                return rejected;
            }
            judged = current.generation;
            // The sender is ours, so there is another change or none ever.
            let _ = changes.changed().await;
        }
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
        self.seen(&mut looks, Kind::DenyList, denied.as_ref().err());
        let exchanged = files.read().and_then(|pem| self.exchange(pem));
        self.seen(&mut looks, Kind::Certificate, exchanged.as_ref().err());
        // After the authorities that sign them.
        let crls = files.crls.iter().enumerate().map(|(index, path)| {
            let listed = self.exchange_crl(index, path);
            let ended = self.ended_crl(index, path);
            let trouble = listed.as_ref().err().or(ended.as_ref());
            self.seen(&mut looks, Kind::Crl(index), trouble);
            listed
        });
        let all: Vec<_> = [denied, exchanged].into_iter().chain(crls).collect();
        all.into_iter()
            .try_fold(false, |changed, looked| Ok(changed | looked?))
    }

    fn seen(&self, looks: &mut Looks, kind: Kind, trouble: Option<&TlsError>) {
        let files = kind.as_str();
        let Some(error) = looks.newly_reported(kind, trouble) else {
            if trouble.is_none() {
                self.usable_again(files);
            }
            return;
        };
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.note_refused(files, error);
        self.metrics.refused(files);
        tracing::error!(%error, files, "files cannot be used, the last good ones stay");
    }

    /// A defect of ours must not end the looks at the files, nor hide.
    fn broke(&self, error: &tokio::task::JoinError) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.metrics.refused("unknown");
        tracing::error!(%error, "the look at the files broke, the last good ones stay");
    }

    fn exchange(&self, pem: TlsPem) -> Result<bool, TlsError> {
        let current = self.current.load();
        if pem == current.texts.pem {
            return Ok(false);
        }
        let mut texts = current.texts.clone();
        let crls = self.files.as_ref().map_or(&[][..], |files| &files.crls);
        texts.take_pem(pem, crls)?;
        let generation = current.generation + 1;
        self.take(texts, generation)?;
        tracing::info!(generation, "certificate exchanged");
        Ok(true)
    }

    fn exchange_denied(&self, text: String) -> Result<bool, TlsError> {
        let current = self.current.load();
        if *text == *current.texts.denied {
            return Ok(false);
        }
        let mut texts = current.texts.clone();
        texts.take_denied(text)?;
        let entries = texts.deny_list.entries().len();
        let exchanged = Exchanged::deny_list(&current.texts.deny_list, &texts.deny_list);
        self.revoke(texts)?;
        tracing::info!(entries, "deny-list exchanged");
        self.told(&exchanged);
        Ok(true)
    }

    fn exchange_crl(&self, index: usize, path: &Path) -> Result<bool, TlsError> {
        let octets = TlsFiles::octets(path)?;
        let current = self.current.load();
        if current.texts.holds_crl(index, &octets) {
            return Ok(false);
        }
        let mut texts = current.texts.clone();
        let revoked = texts.take_crl(index, path, octets)?;
        self.revoke(texts)?;
        tracing::info!(path = %path.display(), revoked, "revocation lists exchanged");
        self.told(&Exchanged::Revocations {
            path: path.to_owned(),
            certificates: revoked,
        });
        Ok(true)
    }

    fn ended_crl(&self, index: usize, path: &Path) -> Option<TlsError> {
        let current = self.current.load();
        current.texts.ended_crl(index, path, self.clock.now())
    }

    fn revoke(&self, texts: Texts) -> Result<(), TlsError> {
        self.take(texts, self.current.load().generation)
    }

    /// Uses other texts; connections that are open are judged by them.
    fn take(&self, texts: Texts, generation: u64) -> Result<(), TlsError> {
        let revoked = texts.revoked();
        let material = Material::read(texts, generation, &self.clock)?;
        self.current.store(Arc::new(material));
        self.metrics.revokes(revoked);
        self.judgements.send_replace(());
        Ok(())
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
        let looked = Arc::clone(&tls);
        // Trouble with files is reported where it is found.
        if let Err(error) = tokio::task::spawn_blocking(move || looked.reload()).await
            && error.is_panic()
        {
            tls.broke(&error);
        }
    }
}
