//! Every step of a handshake waits for its turn, also where the caller makes more of them.

use std::pin::pin;

use mesh_testkit::certificates;
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup, ring};
use rustls::{ClientConnection, NamedGroup, ProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpListener;

use super::*;
use crate::tls::TlsPem;

/// A group that no server knows, so that it asks for another ClientHello.
#[derive(Debug)]
struct Unknown;

struct Started(Box<dyn ActiveKeyExchange>);

impl SupportedKxGroup for Unknown {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        let started = ring::kx_group::X25519.start()?;
        Ok(Box::new(Started(started)))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::Unknown(0xfe00)
    }

    fn usable_for_version(&self, _: ProtocolVersion) -> bool {
        true
    }
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, key: &[u8]) -> Result<SharedSecret, rustls::Error> {
        self.0.complete(key)
    }

    fn pub_key(&self) -> &[u8] {
        self.0.pub_key()
    }

    fn group(&self) -> NamedGroup {
        Unknown.name()
    }
}

/// A client that sends when it is told to.
struct Client {
    tls: ClientConnection,
    tcp: TcpStream,
}

impl Client {
    fn new(tcp: TcpStream, groups: &[&'static dyn SupportedKxGroup]) -> Self {
        let mut trust = rustls::RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(certificates().trust_pem().as_bytes());
        trust.add(authority.unwrap()).unwrap();
        let provider = CryptoProvider {
            kx_groups: groups.to_vec(),
            ..ring::default_provider()
        };
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(trust)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("flag-registry").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        Self { tls, tcp }
    }

    fn say(&mut self) {
        let mut octets = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut octets).unwrap();
        }
        assert_eq!(self.tcp.try_write(&octets).unwrap(), octets.len());
    }

    async fn hear(&mut self) {
        let mut octets = [0; 16_384];
        let read = loop {
            self.tcp.readable().await.unwrap();
            match self.tcp.try_read(&mut octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => break read.unwrap(),
            }
        };
        let mut octets = &octets[..read];
        while !octets.is_empty() {
            self.tls.read_tls(&mut octets).unwrap();
        }
        self.tls.process_new_packets().unwrap();
    }

    fn was_answered(&self) -> bool {
        self.tcp.try_read(&mut [0]).is_ok()
    }
}

#[tokio::test]
async fn no_step_of_a_handshake_is_done_without_a_turn() {
    let issued = certificates().internal("flag-registry");
    let pem = TlsPem {
        certificate: issued.certificate_pem().to_owned(),
        key: issued.key_pem().to_owned(),
        trust: certificates().trust_pem().to_owned(),
    };
    let tls = Tls::from_pem(pem).unwrap();
    let door = Door::new(4, tls, Speaks::Grpc, Draining::new(), Faults::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let known: &[&'static dyn SupportedKxGroup] = &[ring::kx_group::X25519];
    let other: &[&'static dyn SupportedKxGroup] = &[&Unknown, ring::kx_group::X25519];
    for groups in [known, other] {
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await;
        let mut client = Client::new(tcp.unwrap(), groups);
        let (tcp, address) = listener.accept().await.unwrap();
        let mut admitted = pin!(door.admit(door.take_in(tcp, address)));
        client.say();
        tokio::select! {
            _ = &mut admitted => panic!("not answered"),
            () = client.hear() => {}
        }
        let turns = u32::try_from(door.answering.available_permits()).unwrap();
        let others = door.answering.acquire_many(turns).await.unwrap();
        client.say();
        tokio::time::pause();
        let waited = timeout(Duration::from_secs(1), &mut admitted).await;
        tokio::time::resume();
        assert!(waited.is_err(), "done without a turn");
        assert!(!client.was_answered(), "answered without a turn");
        drop(others);
        let stream = tokio::select! {
            stream = &mut admitted => stream,
            never = async {
                loop {
                    client.hear().await;
                    client.say();
                }
            } => never,
        };
        assert!(stream.is_some());
    }
}
