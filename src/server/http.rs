//! `/metrics` and `/healthz` for monitoring: one request per connection, and nothing of it but its path is read.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::metrics::Metrics;
use super::workspace::Workspace;

/// Maximum bytes of a request.
const MOST: usize = 8 << 10;
/// Time for a request and its answer.
const TIME: Duration = Duration::from_secs(5);
/// Maximum number of requests at a time.
const AT_A_TIME: usize = 16;

/// Answers requests until the future is dropped.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, workspace: Arc<Workspace>) {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    loop {
        let (Ok(place), accepted) = (Arc::clone(&places).acquire_owned().await, listener.accept().await) else {
            return;
        };
        let Ok((stream, _)) = accepted else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (metrics, workspace) = (Arc::clone(&metrics), Arc::clone(&workspace));
        tokio::spawn(async move {
            // A client that is slow or gone gets no answer.
            _ = timeout(TIME, answer(stream, &metrics, &workspace)).await;
            drop(place);
        });
    }
}

async fn answer(mut stream: TcpStream, metrics: &Metrics, workspace: &Workspace) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > MOST || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        (b"GET" | b"HEAD", b"/metrics") => {
            ("200 OK", "text/plain; version=0.0.4; charset=utf-8", metrics.text(workspace.reserved()))
        }
        (b"GET" | b"HEAD", b"/healthz") => ("200 OK", "text/plain", "ok\n".to_owned()),
        (b"GET" | b"HEAD", _) => ("404 Not Found", "text/plain", "try /metrics or /healthz\n".to_owned()),
        _ => ("405 Method Not Allowed", "text/plain", "only GET\n".to_owned()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let body = if method == b"HEAD" { "" } else { &body };
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}
