//! How does a connection to a service end once the service is accepted no more?
//!
//! Its calls and streams belong to the transport, which only knows that connections break. So the
//! connection breaks, from inside, whether it is read or written; the transport ends what ran on it,
//! and what comes next needs a new handshake, which fails.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::refused::Verdict;
use crate::tls::Rejected;

/// A connection that breaks when `rejected` resolves.
pub(super) struct Guarded<S> {
    stream: S,
    rejection: Rejection,
    verdict: Verdict,
    /// Why writing failed, until it is known what the service said before.
    failed: Option<io::Error>,
}

enum Rejection {
    /// One, in a set that asks it only when it has moved: a connection is read and written far more often
    /// than its timers fire.
    Awaited(FuturesUnordered<Pin<Box<dyn Future<Output = Rejected> + Send>>>),
    Here(Rejected),
}

impl<S> Guarded<S> {
    /// What the service says of our certificate goes to `verdict`.
    pub(super) fn new(
        stream: S,
        verdict: Verdict,
        rejected: impl Future<Output = Rejected> + Send + 'static,
    ) -> Self {
        let awaited = FuturesUnordered::new();
        awaited.push(Box::pin(rejected) as Pin<Box<dyn Future<Output = Rejected> + Send>>);
        Self {
            stream,
            verdict,
            failed: None,
            rejection: Rejection::Awaited(awaited),
        }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Rejection::Awaited(awaited) = &mut self.rejection
            && let Poll::Ready(Some(rejected)) = awaited.poll_next_unpin(cx)
        {
            tracing::warn!(%rejected, "connection ended: the service is accepted no more");
            self.rejection = Rejection::Here(rejected);
        }
        match &self.rejection {
            Rejection::Awaited(_) => Ok(()),
            Rejection::Here(rejected) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("the service is accepted no more: {rejected}"),
            )),
        }
    }
}

/// The other end takes nothing any more, so there is an end to what it sent.
fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset
    )
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    /// Writes. A service that refuses our certificate says so and closes: what we write meanwhile
    /// fails, and what it said is still to be read.
    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.check(cx)?;
        if self.failed.is_none() {
            match write(Pin::new(&mut self.stream), cx) {
                Poll::Ready(Err(error)) if is_closed(&error) => self.failed = Some(error),
                done => return done,
            }
        }
        ready!(self.hear_out(cx));
        match self.failed.take() {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    }

    /// Reads to the end, which has come or is about to.
    fn hear_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut rest = [0; 256];
        loop {
            let mut rest = ReadBuf::new(&mut rest);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut rest)) {
                Err(said) => {
                    self.verdict.hear(&said);
                    return Poll::Ready(());
                }
                Ok(()) if rest.filled().is_empty() => return Poll::Ready(()),
                Ok(()) => {}
            }
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
        match &read {
            Poll::Ready(Err(error)) => self.verdict.hear(error),
            // Servers speak after they have seen our certificate, not before.
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.verdict.clear(),
            _ => {}
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, octets))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, octets))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, AsyncWrite::poll_flush)
    }

    /// Unguarded: a connection that has to end may still say goodbye.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_connection_breaks_for_a_reader_that_waits_and_for_a_writer_that_is_held_up() {
        for held_up in [false, true] {
            let (near, mut far) = duplex(4);
            let (reject, told) = oneshot::channel();
            let told = async move { told.await.unwrap() };
            let mut near = Guarded::new(near, Verdict::default(), told);
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
            reject.send(Rejected::Listed(None)).unwrap();
            let (ended, mut near) = waits.await.unwrap();
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            assert!(near.write_all(b"more").await.is_err(), "it stays broken");
            assert!(near.read_u8().await.is_err(), "it stays broken");
        }
    }
}
