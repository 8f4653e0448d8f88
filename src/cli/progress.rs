//! Progress bar on stderr: bytes, rate, time left. No result depends on it.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use tokio::task::JoinHandle;

use super::named;
use crate::engine::{self, Session};
use crate::options::When;
use crate::report::sink::say;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show a progress bar on stderr [auto: if stderr is a terminal]
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = named::<When>(When::NAMES))]
    progress: When,
}

/// Before the rate is known.
const START: &str = "{bar:32} {bytes} of {total_bytes}";
const LINE: &str = "{bar:32} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
/// A query may read everything several times, and then the rest is not known.
const AGAIN: &str = "{bytes} read, {bytes_per_sec}";
/// Time after which rate and rest are known.
const KNOWN: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// A progress bar that is cleared when dropped.
pub struct Progress {
    bar: ProgressBar,
    ticking: JoinHandle<()>,
}

impl Progress {
    /// Starts the bar of a session. Returns `None` if no bar is wanted.
    pub fn start(args: &Args, is_quiet: bool, session: &Session) -> Option<Self> {
        Self::of(args, is_quiet, session.progress(), session.size())
    }

    /// Starts the bar of a counter that ends at `size`. Returns `None` if no bar is wanted.
    pub fn of(args: &Args, is_quiet: bool, progress: engine::Progress, size: u64) -> Option<Self> {
        let is_terminal = io::stderr().is_terminal();
        let target = match args.progress {
            When::Never => return None,
            _ if is_quiet || args.progress == When::Auto && !is_terminal => return None,
            _ if is_terminal => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::term_like_with_hz(Box::new(Plain), 1),
        };
        let bar = ProgressBar::with_draw_target(Some(size), target);
        let style = |line: &str| ProgressStyle::with_template(line).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style(START));
        let ticked = bar.clone();
        // Scans of earlier queries do not count.
        let (before, started) = (progress.bytes(), Instant::now());
        let ticking = tokio::spawn(async move {
            let mut shown = START;
            loop {
                let read = progress.bytes() - before;
                let line = match read {
                    read if read > size => AGAIN,
                    0 => START,
                    _ if started.elapsed() < KNOWN => START,
                    _ => LINE,
                };
                if line != shown {
                    ticked.set_style(style(line));
                    shown = line;
                }
                ticked.set_position(read);
                tokio::time::sleep(TICK).await;
            }
        });
        Some(Self { bar, ticking })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.ticking.abort();
        self.bar.finish_and_clear();
    }
}

/// A stderr that is not a terminal, for `--progress always`: prints each state as a line.
#[derive(Debug)]
struct Plain;

impl TermLike for Plain {
    fn width(&self) -> u16 {
        80
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write_str(line)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        match text.trim() {
            "" => Ok(()),
            text => {
                say(text);
                Ok(())
            }
        }
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
