//! The interactive shell: queries, named queries and commands that begin with a dot. Scripts run the same commands.
//!
//! Knows no command-line options and no DataFusion.

mod command;
mod edit;
mod messages;
mod script;
mod session;

pub use messages::query_help;
pub use script::has_commands;
pub use session::Fault;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use reedline::{EditCommand, Signal};
use tokio::task::block_in_place;

use crate::answer::Interrupt;
use crate::engine::Explorer;
use crate::queries::NamedQuery;
use crate::report::rows::RowFormat;
use crate::report::sink::{Formulas, visible, visible_lines};
use session::{Next, Shell};

/// Returns the width of the terminal, or `None` if stdout is not a terminal.
pub fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns)).filter(|&columns| columns > 0)
}

/// Returns the number of lines that an answer may have on the screen.
pub fn terminal_height() -> usize {
    crossterm::terminal::size().map_or(24, |(_, rows)| usize::from(rows)).max(2) - 1
}

/// Initial settings of a shell.
pub struct Start {
    /// Queries for `.run`, in the order in which `.queries` lists them.
    pub queries: Vec<NamedQuery>,
    /// Output format.
    pub mode: RowFormat,
    /// Maximum rows that a table shows; 0 for all.
    pub max_rows: usize,
    /// Rule for cells of CSV and TSV that a spreadsheet would run as formulas.
    pub formulas: Formulas,
    /// Command of the pager for answers that are longer than the screen; `None` for no pager.
    pub pager: Option<String>,
    /// Whether a user types. A script prefixes messages, and its first failure ends it.
    pub is_interactive: bool,
    /// Whether row count and time are shown after each result.
    pub has_timer: bool,
    /// Whether notes are left out.
    pub is_quiet: bool,
}

/// Reads and answers lines until the user leaves.
pub async fn run<B: Send + 'static>(
    explorer: &Explorer,
    start: Start,
    interrupt: &Interrupt,
    bar: &dyn Fn() -> B,
) -> io::Result<()> {
    let (editor, no_history) = edit::editor(&explorer.names(), &start.queries);
    let mut shell = Shell::new(explorer, interrupt, bar, start);
    let mut editor = editor.with_break_signal(Arc::clone(interrupt.breaks()));
    let mut out = io::stdout();
    out.write_all(visible_lines(&messages::greeting(explorer)).as_bytes())?;
    if let Some(why) = no_history {
        writeln!(out, "The history is not saved: {}", visible(&why))?;
    }
    loop {
        interrupt.settle(false);
        match block_in_place(|| editor.read_line(&edit::Prompt))? {
            Signal::Success(text) => {
                interrupt.settle(true);
                let next = match script::interjected(&text) {
                    Some((open, line)) => {
                        // The query is typed again for the user, so that it can be continued.
                        editor.run_edit_commands(&[EditCommand::InsertString(format!("{open}\n"))]);
                        if line.starts_with('.') {
                            shell.command(line, 0).await?
                        } else {
                            writeln!(out, "; ends the query, Ctrl-C drops it")?;
                            Next::Line
                        }
                    }
                    None => shell.run(&text, 0).await?,
                };
                if next == Next::Leave {
                    break;
                }
                // If the history cannot be saved, it is kept for this session only.
                editor.sync_history().unwrap_or_default();
            }
            Signal::CtrlC => {}
            _ => break,
        }
    }
    completed(&mut shell)
}

/// Runs the queries and commands of texts in order, without a terminal. Returns why it ended early.
pub async fn script<B: Send + 'static>(
    explorer: &Explorer,
    start: Start,
    texts: &[String],
    interrupt: &Interrupt,
    bar: &dyn Fn() -> B,
) -> io::Result<Option<Fault>> {
    let mut shell = Shell::new(explorer, interrupt, bar, start);
    for text in texts {
        match shell.run(text, 0).await? {
            Next::Line => {}
            Next::Leave => break,
            Next::Failed(fault) => return Ok(Some(fault)),
        }
    }
    completed(&mut shell).map(|()| None)
}

fn completed<B: Send + 'static>(shell: &mut Shell<'_, B>) -> io::Result<()> {
    shell.complete().map_err(io::Error::other)
}
