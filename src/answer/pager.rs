//! Standard output through a pager, if the output is longer than the screen.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use crate::report::sink::say;

/// A pager for output that is longer than the screen.
#[derive(Debug, Clone)]
pub struct Pager {
    /// Command with its options, such as `less -S`.
    pub command: String,
    /// Lines of the screen.
    pub screen: usize,
}

/// Maximum bytes that are kept before the pager starts, for output with few long lines.
const MOST_KEPT: usize = 1 << 20;

/// Writer that keeps output until it has more lines than the screen, and then starts a pager. Without a pager, or if it
/// does not start, the output goes to stdout.
pub struct Paged<W> {
    pager: Pager,
    kept: Vec<u8>,
    lines: usize,
    to: To<W>,
}

enum To<W> {
    Nothing(Option<W>),
    Stdout(W),
    Pager(Child),
}

impl<W: Write> Paged<W> {
    /// Creates a writer to `stdout` or to the pager.
    pub fn new(pager: Pager, stdout: W) -> Self {
        Self { pager, kept: Vec::new(), lines: 0, to: To::Nothing(Some(stdout)) }
    }

    /// Starts the pager, which runs in a shell, because the variable may hold options.
    fn start(&mut self) -> io::Result<()> {
        let To::Nothing(stdout) = &mut self.to else { return Ok(()) };
        let mut pager = if cfg!(windows) { Command::new("cmd") } else { Command::new("sh") };
        pager.arg(if cfg!(windows) { "/C" } else { "-c" }).arg(&self.pager.command).stdin(Stdio::piped());
        match (pager.spawn(), stdout.take()) {
            (Ok(child), _) => self.to = To::Pager(child),
            (Err(error), Some(stdout)) => {
                say(format_args!("the pager {} does not start: {error}", self.pager.command));
                self.to = To::Stdout(stdout);
            }
            (Err(error), None) => return Err(error),
        }
        let kept = std::mem::take(&mut self.kept);
        self.pass(&kept)
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.to {
            To::Pager(child) => child.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(bytes)),
            To::Stdout(stdout) | To::Nothing(Some(stdout)) => stdout.write_all(bytes),
            To::Nothing(None) => Ok(()),
        }
    }
}

impl<W: Write> Write for Paged<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !matches!(self.to, To::Nothing(_)) {
            return self.pass(bytes).map(|()| bytes.len());
        }
        self.kept.extend_from_slice(bytes);
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        if self.lines >= self.pager.screen || self.kept.len() > MOST_KEPT {
            self.start()?;
        }
        Ok(bytes.len())
    }

    /// Writes what was kept. To be called once, after the last byte.
    fn flush(&mut self) -> io::Result<()> {
        let kept = std::mem::take(&mut self.kept);
        self.pass(&kept)?;
        match &mut self.to {
            To::Stdout(stdout) | To::Nothing(Some(stdout)) => stdout.flush(),
            To::Pager(_) | To::Nothing(None) => Ok(()),
        }
    }
}

impl<W> Drop for Paged<W> {
    fn drop(&mut self) {
        if let To::Pager(child) = &mut self.to {
            drop(child.stdin.take());
            // The status of a pager says nothing about the output.
            child.wait().map(drop).unwrap_or_default();
        }
    }
}
