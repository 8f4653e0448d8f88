//! Requests to end, from the keyboard or the system, heard on a thread of its own: a query may keep all others busy.
//!
//! The first request is for the verb, which ends by itself and says what it has. A second one ends the process on the
//! spot, and so does a first one that the verb does not follow in time.

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

/// Exit status of a process that was asked to end.
const INTERRUPTED: i32 = 130;
/// How often it is looked whether the terminal is still there.
const LOOK: Duration = Duration::from_millis(200);
/// In the shell Ctrl-C is pressed again where a query takes its time to end.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// What a verb does when it is asked to end, which says how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Reports what was read so far.
    Reports,
    /// Ends at once: half an answer is none.
    Answers,
    /// At Ctrl-C it ends the query that runs, and goes on.
    Shell,
}

impl Manner {
    /// How long the process may live on after Ctrl-C, and after a request of the system. `None` for as long as it takes.
    fn grace(self) -> (Option<Duration>, Duration) {
        match self {
            Self::Reports => (None, Duration::from_secs(8)),
            Self::Answers => (Some(Duration::from_millis(800)), Duration::from_millis(800)),
            Self::Shell => (None, Duration::from_millis(400)),
        }
    }
}

pub struct Signals {
    heard: watch::Receiver<u64>,
    state: Arc<State>,
    leftovers: Leftovers,
}

/// Files and folders that must not outlive the process, however it ends.
#[derive(Debug, Clone, Default)]
pub struct Leftovers(Arc<Mutex<Vec<PathBuf>>>);

impl Leftovers {
    pub fn add(&self, path: &Path) {
        lock(&self.0).push(path.to_owned());
    }

    /// Removes all that is still there.
    fn remove(&self) {
        for path in lock(&self.0).drain(..) {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            // It is gone already where the verb has cleaned up.
            removed.unwrap_or_default();
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Set once the process is to end.
    is_ended: AtomicBool,
    /// The same, for the line editor, which takes it back when it has seen it.
    breaks: Arc<AtomicBool>,
    /// Whether the shell runs something, as opposed to waiting for a line.
    is_busy: AtomicBool,
    /// When the first request came that is not settled.
    since: Mutex<Option<Instant>>,
}

impl State {
    /// Notes a request. True where one came before it that is not settled.
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

impl Signals {
    /// From now on signals end no process by themselves.
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
                        // Another request cuts it short.
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

    /// Ready at the next request, and at once where the process is to end.
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

    /// Ready once there was a request.
    pub async fn any(&self) {
        if self.heard.clone().wait_for(|count| *count > 0).await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether the system asked the process to end, or its terminal is gone.
    pub fn is_ended(&self) -> bool {
        self.state.is_ended.load(Ordering::Relaxed)
    }

    pub fn leftovers(&self) -> &Leftovers {
        &self.leftovers
    }

    pub(super) fn breaks(&self) -> &Arc<AtomicBool> {
        &self.state.breaks
    }

    /// Ctrl-C so far was followed: the next one is a first one again.
    pub(super) fn settle(&self, is_busy: bool) {
        self.state.is_busy.store(is_busy, Ordering::Relaxed);
        if !self.is_ended() {
            *lock(&self.state.since) = None;
        }
    }
}

/// Ends the process without waiting for any of its threads.
fn leave(leftovers: &Leftovers) -> ! {
    leftovers.remove();
    // The terminal may be gone, and a pipe may be full: nothing is waited for.
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
    /// Whether a terminal is there, that may go.
    has_terminal: bool,
    looks: tokio::time::Interval,
    interrupt: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
    terminate: tokio::signal::unix::Signal,
    /// A file that grows too large is an error then, and not the end of the process.
    _too_large: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Requests {
    fn new(manner: Manner) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        /// SIGXFSZ, where it is known.
        const TOO_LARGE: Option<i32> = if cfg!(target_os = "linux") { Some(25) } else { None };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            has_terminal: manner == Manner::Shell && io::stdin().is_terminal(),
            looks,
            interrupt: signal(SignalKind::interrupt())?,
            // What nohup started is to live on.
            hangup: (!is_ignored(SignalKind::hangup())).then(|| signal(SignalKind::hangup())).transpose()?,
            terminate: signal(SignalKind::terminate())?,
            _too_large: TOO_LARGE.map(|number| signal(SignalKind::from_raw(number))).transpose()?,
        })
    }

    /// Whether the next request is for the process to end, as opposed to what it does.
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

/// Whether whoever started the process had it ignore a signal. Known on Linux only.
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
