//! A connection to a client: bytes in, whole messages out, with limits on what waits in either direction.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::message::{self, First, Invalid, MOST, MOST_BEFORE, Message};
use super::tls;

/// Time without progress after which a write fails.
const STALL: Duration = Duration::from_secs(30);
/// Time for the rest of a message that has begun.
const REST: Duration = Duration::from_secs(60);
/// Bytes that may wait before they are sent.
const WAITING: usize = 32 << 10;
/// Time between looks whether the client is still there.
const LOOK: Duration = Duration::from_millis(500);

/// A TCP stream that can be watched while it is read and written.
#[derive(Debug, Clone)]
pub struct Shared(Arc<TcpStream>);

impl Shared {
    /// Completes when the client has closed the connection.
    pub async fn gone(&self) {
        loop {
            sleep(LOOK).await;
            let readiness = self.0.ready(Interest::READABLE).now_or_never();
            if readiness.is_some_and(|ready| ready.is_err() || ready.is_ok_and(|ready| ready.is_read_closed())) {
                return;
            }
        }
    }
}

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: dropping the stream closes it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

enum Stream {
    Plain(Shared),
    Tls(Box<TlsStream<Shared>>),
}

/// Why there is no next message.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The client is gone, or too slow.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The client breaks the protocol.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A connection to a client.
pub struct Socket {
    shared: Shared,
    stream: Stream,
    received: BytesMut,
    waiting: BytesMut,
    /// Bytes sent so far.
    sent: u64,
}

impl Socket {
    /// Takes over a connection.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let shared = Shared(Arc::new(stream));
        let stream = Stream::Plain(shared.clone());
        Ok(Self { shared, stream, received: BytesMut::new(), waiting: BytesMut::new(), sent: 0 })
    }

    /// Returns the stream, to watch it.
    pub fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Returns whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Returns the bytes sent since the last call.
    pub fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    /// Reads the first message. Requests for encryption before it are answered.
    pub async fn first(&mut self, acceptor: Option<&TlsAcceptor>) -> Result<Option<First>, SocketError> {
        let mut byte = [0];
        if self.shared.0.peek(&mut byte).await? == 1 && byte[0] == 0x16 {
            let Some(acceptor) = acceptor else { return Ok(None) };
            self.encrypt(acceptor).await?;
            let Stream::Tls(stream) = &self.stream else { return Ok(None) };
            if stream.get_ref().1.alpn_protocol() != Some(tls::PROTOCOL) {
                return Ok(None);
            }
        }
        // One request for each kind of encryption, and one more.
        for _ in 0..3 {
            let first = loop {
                match message::first(&mut self.received)? {
                    Some(first) => break first,
                    None if self.read().await? == 0 => return Ok(None),
                    None => {}
                }
            };
            match first {
                First::Tls if self.received.is_empty() && !self.is_encrypted() => {
                    self.answer(if acceptor.is_some() { b"S" } else { b"N" }).await?;
                    if let Some(acceptor) = acceptor {
                        self.encrypt(acceptor).await?;
                    }
                }
                First::Gss if self.received.is_empty() => self.answer(b"N").await?,
                // Bytes after a request for encryption would come from somebody else.
                First::Tls | First::Gss => return Ok(None),
                first => return Ok(Some(first)),
            }
        }
        Ok(None)
    }

    async fn encrypt(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        let stream = acceptor.accept(self.shared.clone()).await?;
        self.stream = Stream::Tls(Box::new(stream));
        Ok(())
    }

    async fn answer(&mut self, byte: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(byte);
        self.flush().await
    }

    /// Reads the next message; `None` at the end of the connection. A client that is not known yet sends small ones.
    pub async fn next(&mut self, is_known: bool) -> Result<Option<Message>, SocketError> {
        let most = if is_known { MOST } else { MOST_BEFORE };
        loop {
            if let Some(message) = message::next(&mut self.received, most)? {
                return Ok(Some(message));
            }
            let count = match self.received.is_empty() {
                true => self.read().await?,
                false => timeout(REST, self.read()).await.map_err(io::Error::from)??,
            };
            if count == 0 {
                return Ok(None);
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.received.reserve(8 << 10);
        match &mut self.stream {
            Stream::Plain(stream) => stream.read_buf(&mut self.received).await,
            Stream::Tls(stream) => stream.read_buf(&mut self.received).await,
        }
    }

    /// Adds a message to those that wait, and sends them if there are many. A caller that stops waiting loses nothing.
    pub async fn feed(&mut self, message: PgWireBackendMessage) -> Result<(), PgWireError> {
        self.feed_now(&message)?;
        if self.waiting.len() >= WAITING {
            self.flush().await?;
        }
        Ok(())
    }

    /// Adds a message to those that wait.
    pub fn feed_now(&mut self, message: &PgWireBackendMessage) -> Result<(), PgWireError> {
        let before = self.waiting.len();
        let fed = message.encode(&mut self.waiting);
        if fed.is_err() {
            self.waiting.truncate(before);
        }
        fed
    }

    /// Sends what waits. Fails if the client takes nothing for a while.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            let write = async {
                match &mut self.stream {
                    Stream::Plain(stream) => stream.write(&self.waiting).await,
                    Stream::Tls(stream) => stream.write(&self.waiting).await,
                }
            };
            let count = timeout(STALL, write).await.map_err(io::Error::from)??;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.sent += count as u64;
            self.waiting.advance(count);
        }
        if let Stream::Tls(stream) = &mut self.stream {
            timeout(STALL, stream.flush()).await.map_err(io::Error::from)??;
        }
        Ok(())
    }
}
