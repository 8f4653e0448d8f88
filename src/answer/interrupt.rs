//! Handles Ctrl-C and termination signals on a separate thread, because a query may keep all others busy.
//!
//! The [`Manner`] of a verb decides how it ends after the first signal, and how soon the process ends if it does not. A
//! second signal ends the process immediately.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::report::sink::say;

/// Exit status after an interruption.
const INTERRUPTED: i32 = 130;
/// Interval of checks whether the terminal still exists.
const LOOK: Duration = Duration::from_millis(200);
/// While the shell runs a query, a second Ctrl-C within this time does not end the process, because a query may be slow
/// to end.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// Way in which a verb ends after a signal, which determines how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Reports what was read so far.
    Reports,
    /// Ends at once, because a partial result is useless.
    Answers,
    /// Ctrl-C ends the running query, and the shell continues.
    Shell,
    /// Ends the sessions of clients.
    Serves,
}

impl Manner {
    /// Returns how long the process may continue after Ctrl-C, and after a termination signal. `None` for no limit.
    fn grace(self) -> (Option<Duration>, Duration) {
        match self {
            Self::Reports => (None, Duration::from_secs(8)),
            Self::Answers => (Some(Duration::from_millis(800)), Duration::from_millis(800)),
            Self::Shell => (None, Duration::from_millis(400)),
            Self::Serves => (Some(Duration::from_secs(8)), Duration::from_secs(8)),
        }
    }
}

/// The one handler of Ctrl-C, SIGTERM and SIGHUP of this process.
pub struct Interrupt {
    heard: watch::Receiver<u64>,
    state: Arc<State>,
    leftovers: Leftovers,
}

/// Temporary files and folders that a signal must remove, because ending the process runs no destructors.
#[derive(Debug, Clone, Default)]
pub struct Leftovers(Arc<Mutex<Vec<PathBuf>>>);

impl Leftovers {
    /// Adds a file or folder that a signal removes if it ends the process.
    pub fn add(&self, path: &Path) {
        lock(&self.0).push(path.to_owned());
    }

    /// Removes those that still exist.
    fn remove(&self) {
        for path in lock(&self.0).drain(..) {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            // Errors are ignored, because the verb may have removed it already.
            removed.unwrap_or_default();
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Set once the process must end.
    is_ended: AtomicBool,
    /// The same flag for the line editor, which resets it.
    breaks: Arc<AtomicBool>,
    /// Whether the shell runs a query, instead of waiting for a line.
    is_busy: AtomicBool,
    /// Time of the first signal that is not settled.
    since: Mutex<Option<Instant>>,
}

impl State {
    /// Records a signal. Returns true if the process must end now, because an earlier signal is not settled.
    fn is_repeated(&self, is_end: bool) -> bool {
        let mut since = lock(&self.since);
        match *since {
            Some(first) => is_end || !self.is_busy.load(Ordering::Relaxed) || first.elapsed() > IMPATIENCE,
            None => {
                *since = Some(Instant::now());
                false
            }
        }
    }
}

impl Interrupt {
    /// Installs the handlers. From now on signals do not end the process by themselves.
    pub fn listen(manner: Manner) -> io::Result<Self> {
        let (sender, heard) = watch::channel(0);
        let (state, leftovers) = (Arc::new(State::default()), Leftovers::default());
        let signals = Self { heard, state: Arc::clone(&state), leftovers: leftovers.clone() };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut requests = {
            let _inside = runtime.enter();
            Requests::new(manner)?
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                let (interrupt, end) = manner.grace();
                loop {
                    let is_end = requests.next().await;
                    if state.is_repeated(is_end) {
                        leave(&leftovers);
                    }
                    if is_end {
                        state.is_ended.store(true, Ordering::Relaxed);
                        state.breaks.store(true, Ordering::Relaxed);
                    }
                    sender.send_modify(|count| *count += 1);
                    if let Some(grace) = if is_end { Some(end) } else { interrupt } {
                        // Another signal ends the grace period.
                        select! {
                            () = sleep(grace) => {}
                            _ = requests.next() => {}
                        }
                        leave(&leftovers);
                    }
                }
            });
        })?;
        Ok(signals)
    }

    /// Completes at the next signal, and at once if the process must end.
    pub async fn next(&self) {
        if self.is_ended() {
            return;
        }
        let mut heard = self.heard.clone();
        heard.mark_unchanged();
        if heard.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Completes once there was a signal.
    pub async fn any(&self) {
        if self.heard.clone().wait_for(|count| *count > 0).await.is_err() {
            std::future::pending().await
        }
    }

    /// Returns whether there was a signal.
    pub fn is_asked(&self) -> bool {
        *self.heard.borrow() > 0
    }

    /// Returns whether a termination signal came, or the terminal is gone.
    pub fn is_ended(&self) -> bool {
        self.state.is_ended.load(Ordering::Relaxed)
    }

    /// Returns the temporary files and folders to remove.
    pub fn leftovers(&self) -> &Leftovers {
        &self.leftovers
    }

    /// Returns the flag that is set when the process must end; a line editor may reset it.
    pub fn breaks(&self) -> &Arc<AtomicBool> {
        &self.state.breaks
    }

    /// Marks earlier Ctrl-C as handled, so that the next one counts as the first.
    pub fn settle(&self, is_busy: bool) {
        self.state.is_busy.store(is_busy, Ordering::Relaxed);
        if !self.is_ended() {
            *lock(&self.state.since) = None;
        }
    }
}

/// Ends the process without waiting for any of its threads.
fn leave(leftovers: &Leftovers) -> ! {
    leftovers.remove();
    // Does not wait for the output, because the terminal may be gone or a pipe full.
    thread::spawn(|| {
        crossterm::terminal::disable_raw_mode().unwrap_or_default();
        say("flowgap: interrupted");
    });
    thread::sleep(Duration::from_millis(30));
    leftovers.remove();
    std::process::exit(INTERRUPTED)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
struct Requests {
    /// Whether there is a terminal that may disappear.
    has_terminal: bool,
    looks: tokio::time::Interval,
    interrupt: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
    terminate: tokio::signal::unix::Signal,
    /// With a handler, a file above the size limit is an error instead of the end of the process.
    _too_large: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Requests {
    fn new(manner: Manner) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        /// SIGXFSZ on Linux.
        const TOO_LARGE: Option<i32> = if cfg!(target_os = "linux") { Some(25) } else { None };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            has_terminal: manner == Manner::Shell && io::stdin().is_terminal(),
            looks,
            interrupt: signal(SignalKind::interrupt())?,
            // A process started by nohup continues.
            hangup: (!is_ignored(SignalKind::hangup())).then(|| signal(SignalKind::hangup())).transpose()?,
            terminate: signal(SignalKind::terminate())?,
            _too_large: TOO_LARGE.map(|number| signal(SignalKind::from_raw(number))).transpose()?,
        })
    }

    /// Waits for the next signal. Returns whether it ends the process, instead of the current query.
    async fn next(&mut self) -> bool {
        let Self { has_terminal, looks, interrupt, hangup, terminate, .. } = self;
        let gone = async {
            while *has_terminal {
                looks.tick().await;
                *has_terminal = io::stdin().is_terminal();
                if !*has_terminal {
                    return;
                }
            }
            std::future::pending().await
        };
        select! {
            _ = interrupt.recv() => false,
            () = heard(hangup) => true,
            _ = terminate.recv() => true,
            () = gone => true,
        }
    }
}

#[cfg(unix)]
async fn heard(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => signal.recv().await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

/// Returns whether the process was started with the signal ignored. Known only on Linux.
#[cfg(unix)]
fn is_ignored(kind: tokio::signal::unix::SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let bit = u32::try_from(kind.as_raw_value() - 1).ok().and_then(|at| 1u64.checked_shl(at));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

#[cfg(not(unix))]
struct Requests;

#[cfg(not(unix))]
impl Requests {
    fn new(_: Manner) -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> bool {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        false
    }
}
