//! Accepts connections. Those whose client is not known yet are limited: the oldest gives way to a new one.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::select;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::warn;

use super::connection::Door;
use super::metrics::Held;

/// Maximum number of connections whose client is not known yet.
const MOST_UNKNOWN: usize = 256;
/// Connections that wait in the system to be accepted.
const BACKLOG: u32 = 1024;
/// Pause after the system refuses to accept.
const PAUSE: Duration = Duration::from_millis(50);

/// Listens at an address. Connections whose other end vanished are found by probes of the system.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(cfg!(unix))?;
    // Accepted connections inherit it.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Connections whose client is not known yet, in the order of their arrival.
#[derive(Default)]
struct Unknown {
    next: u64,
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// Serves connections until the future is dropped.
pub async fn accept(listener: TcpListener, door: Arc<Door>) {
    let unknown: Arc<Mutex<Unknown>> = Arc::default();
    let metrics = Arc::clone(&door.shared.metrics);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("a connection is not accepted: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        metrics.accepted.fetch_add(1, Ordering::Relaxed);
        let (number, leaves) = {
            let mut unknown = unknown.lock().unwrap_or_else(PoisonError::into_inner);
            // Dropping its sender ends the oldest.
            if unknown.waiting.len() >= MOST_UNKNOWN {
                unknown.waiting.pop_front();
            }
            let (stays, leaves) = oneshot::channel();
            unknown.next += 1;
            let number = unknown.next;
            unknown.waiting.push_back((number, stays));
            (number, leaves)
        };
        let (door, unknown, metrics) = (Arc::clone(&door), Arc::clone(&unknown), Arc::clone(&metrics));
        tokio::spawn(async move {
            let _open = Held::one(&metrics.open);
            let (known, is_known) = oneshot::channel();
            let forget = || {
                let mut unknown = unknown.lock().unwrap_or_else(PoisonError::into_inner);
                let at = unknown.waiting.binary_search_by_key(&number, |(number, _)| *number);
                at.ok().and_then(|at| unknown.waiting.remove(at))
            };
            let evicted = async {
                select! {
                    biased;
                    Ok(()) = is_known => std::future::pending().await,
                    _ = leaves => {}
                }
            };
            select! {
                () = door.serve(stream, || _ = known.send(())) => {}
                () = evicted => {
                    metrics.rejected.fetch_add(1, Ordering::Relaxed);
                }
            }
            drop(forget());
        });
    }
}
