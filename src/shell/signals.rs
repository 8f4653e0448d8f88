//! Ctrl-C, and requests to end, heard on a thread of its own: a query may keep all others busy.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime::Builder;
use tokio::select;
use tokio::sync::watch;

pub struct Signals {
    heard: watch::Receiver<u64>,
    /// Set once the system asks the process to end.
    is_ended: Arc<AtomicBool>,
}

impl Signals {
    /// From now on signals end no process by themselves.
    pub fn listen() -> io::Result<Self> {
        let (sender, heard) = watch::channel(0);
        let is_ended = Arc::new(AtomicBool::new(false));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let ended = Arc::clone(&is_ended);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                while !sender.is_closed() {
                    select! {
                        Ok(()) = tokio::signal::ctrl_c() => {}
                        () = terminated() => ended.store(true, Ordering::Relaxed),
                    }
                    sender.send_modify(|count| *count += 1);
                }
            });
        })?;
        Ok(Self { heard, is_ended })
    }

    /// Ready at the next signal, and at once where the process is to end.
    pub async fn next(&self) {
        if self.is_ended.load(Ordering::Relaxed) {
            return;
        }
        let mut heard = self.heard.clone();
        heard.mark_unchanged();
        if heard.changed().await.is_err() {
            std::future::pending().await
        }
    }

    pub(super) fn is_ended(&self) -> &Arc<AtomicBool> {
        &self.is_ended
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    // A terminal that is closed hangs up.
    match (signal(SignalKind::terminate()), signal(SignalKind::hangup())) {
        (Ok(mut terminate), Ok(mut hangup)) => select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        },
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
