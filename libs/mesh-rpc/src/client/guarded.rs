//! How does a connection to a service end once the service is denied?
//!
//! Its calls and streams belong to the transport, which only knows that connections break. So the
//! connection breaks, from inside, whether it is read or written; the transport ends what ran on it,
//! and what comes next needs a new handshake, which fails.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::refused;
use crate::deny_list::Denied;

/// A connection that breaks when `denied` resolves.
pub(super) struct Guarded<S> {
    stream: S,
    denied: Denial,
}

enum Denial {
    Awaited(Pin<Box<dyn Future<Output = Denied> + Send>>),
    Here(Denied),
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, denied: impl Future<Output = Denied> + Send + 'static) -> Self {
        Self {
            stream,
            denied: Denial::Awaited(Box::pin(denied)),
        }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Denial::Awaited(denied) = &mut self.denied
            && let Poll::Ready(denied) = denied.as_mut().poll(cx)
        {
            tracing::warn!(%denied, "connection ended: the service is denied");
            self.denied = Denial::Here(denied);
        }
        match &self.denied {
            Denial::Awaited(_) => Ok(()),
            Denial::Here(denied) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("the service's certificate is denied: {denied}"),
            )),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        read.map_err(refused::worded)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Unguarded: a connection that is denied may still say goodbye.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use mesh_authz::{Identity, InternalRole};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_connection_breaks_for_a_reader_that_waits_and_for_a_writer_that_is_held_up() {
        let denied = || Denied::Identity(Identity::Internal(InternalRole::Reporting));
        for held_up in [false, true] {
            let (near, mut far) = duplex(4);
            let (deny, told) = oneshot::channel();
            let told = async move { told.await.unwrap() };
            let mut near = Guarded::new(near, told);
            near.write_all(b"ping").await.unwrap();
            far.write_all(b"pong").await.unwrap();
            let mut answer = [0; 4];
            near.read_exact(&mut answer).await.unwrap();
            let waits = tokio::spawn(async move {
                let ended = if held_up {
                    // Nobody takes what was written first.
                    near.write_all(b"more").await
                } else {
                    near.read_u8().await.map(|_| ())
                };
                (ended, near)
            });
            deny.send(denied()).unwrap();
            let (ended, mut near) = waits.await.unwrap();
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            assert!(near.write_all(b"more").await.is_err(), "it stays broken");
            assert!(near.read_u8().await.is_err(), "it stays broken");
        }
    }
}
