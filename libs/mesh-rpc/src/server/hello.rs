//! What does a connection say first?
//!
//! A ClientHello, which is read before anything is set up for its sender: whoever says nothing, or
//! something else, costs a socket and no more than [`HELLO_OCTETS`].

use std::io::{self, Read};

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
