//! What does a connection say first?
//!
//! A ClientHello, which is read before anything is set up for its sender: whoever says nothing, or
//! something else, costs a socket and no more than [`HELLO_OCTETS`].

use std::io::{self, Read};

use futures::FutureExt as _;
use rustls::server::{Accepted, AcceptedAlert, Acceptor};
use tokio::net::TcpStream;

/// As much as a record of TLS holds. One with a key share of a kind that withstands quantum
/// computers has about 2,000.
pub(super) const HELLO_OCTETS: usize = 16 * 1024;

/// Reads a whole ClientHello. Whoever sends something else gets an alert.
pub(super) async fn read(tcp: &TcpStream) -> io::Result<Accepted> {
    tcp.readable().await?;
    let mut acceptor = Acceptor::default();
    let mut bounded = Bounded {
        tcp,
        left: HELLO_OCTETS,
    };
    loop {
        match acceptor.read_tls(&mut bounded) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tcp.readable().await?;
                continue;
            }
            Err(error) => return Err(error),
        }
        match acceptor.accept() {
            Ok(Some(hello)) => return Ok(hello),
            Ok(None) => {}
            Err((error, alert)) => {
                send(tcp, alert).await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}

/// Whether whoever said its ClientHello is known to have ended the connection meanwhile: then an
/// answer would be for nobody.
pub(super) fn sender_has_left(tcp: &TcpStream) -> bool {
    let mut octet = [0];
    let next = tcp.peek(&mut octet).now_or_never();
    matches!(next, Some(Ok(0) | Err(_)))
}

async fn send(tcp: &TcpStream, mut alert: AcceptedAlert) {
    let mut octets = Vec::new();
    // A vector takes all, and whoever does not take its alert has gone.
    let _ = alert.write_all(&mut octets);
    if tcp.writable().await.is_ok() {
        let _ = tcp.try_write(&octets);
    }
}

/// What has arrived, up to so many octets.
struct Bounded<'t> {
    tcp: &'t TcpStream,
    left: usize,
}

impl Read for Bounded<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.left);
        if most == 0 {
            let long = io::Error::new(io::ErrorKind::InvalidData, "the ClientHello is too long");
            return Err(long);
        }
        let count = self.tcp.try_read(&mut into[..most])?;
        self.left -= count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        (client.unwrap(), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn who_ends_the_connection_has_left_and_who_waits_or_speaks_has_not() {
        let (mut client, server) = pair().await;
        assert!(!sender_has_left(&server), "it waits");
        client.write_all(b"more").await.unwrap();
        server.readable().await.unwrap();
        assert!(!sender_has_left(&server), "it speaks");
        for by_reset in [false, true] {
            let (client, server) = pair().await;
            if by_reset {
                client.set_zero_linger().unwrap();
            }
            drop(client);
            server.readable().await.unwrap();
            assert!(sender_has_left(&server), "by reset: {by_reset}");
        }
    }
}
