//! The interactive shell: queries, named queries and commands that begin with a dot.
//!
//! Knows no command-line options and no DataFusion.

mod command;
mod edit;
mod messages;

pub use messages::query_help;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Instant;

use reedline::Signal;
use tokio::select;
use tokio::task::block_in_place;

use crate::answer::{Interrupt, incomplete_warning, row_count_line, show, stdout_after};
use crate::engine::{Explorer, ParamValues, Planned, values};
use crate::queries::NamedQuery;
use crate::remedy::Remedy;
use crate::report::rows::{Hints, Layout, RowFormat};
use crate::report::sink::{Formulas, one_line, say, visible, visible_lines};
use command::Command;

/// Returns the width of the terminal, or `None` if stdout is not a terminal.
pub fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns)).filter(|&columns| columns > 0)
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
}

struct Shell<'a, B> {
    explorer: &'a Explorer,
    interrupt: &'a Interrupt,
    /// Creates the progress bar of a running query.
    bar: &'a dyn Fn() -> B,
    queries: Vec<NamedQuery>,
    mode: RowFormat,
    max_rows: usize,
    formulas: Formulas,
    has_timer: bool,
    /// Number of input problems already reported.
    problems_reported: u64,
}

/// Reads and answers lines until the user leaves.
pub async fn run<B: Send + 'static>(
    explorer: &Explorer,
    start: Start,
    interrupt: &Interrupt,
    bar: &dyn Fn() -> B,
) -> io::Result<()> {
    let Start { queries, mode, max_rows, formulas } = start;
    let mut shell =
        Shell { explorer, interrupt, bar, queries, mode, max_rows, formulas, has_timer: true, problems_reported: 0 };
    let (editor, no_history) = edit::editor(&explorer.names(), &shell.queries);
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
                // Pasted text may contain more lines after a command.
                let mut rest = text.trim();
                while !rest.is_empty() {
                    let end = if rest.starts_with('.') { rest.find('\n').unwrap_or(rest.len()) } else { rest.len() };
                    if shell.answer(rest[..end].trim()).await? == Next::Leave {
                        return Ok(());
                    }
                    rest = rest[end..].trim_start();
                }
                // If the history cannot be saved, it is kept for this session only.
                editor.sync_history().unwrap_or_default();
            }
            Signal::CtrlC => {}
            _ => return Ok(()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Line,
    Leave,
}

impl<B: Send + 'static> Shell<'_, B> {
    async fn answer(&mut self, line: &str) -> io::Result<Next> {
        if line.is_empty() {
            return Ok(Next::Line);
        }
        let command = match Command::parse(line) {
            None => {
                self.ask(line, &ParamValues::new()).await?;
                return Ok(Next::Line);
            }
            Some(Ok(command)) => command,
            Some(Err(words)) => {
                say(visible(&words));
                return Ok(Next::Line);
            }
        };
        let said = match command {
            Command::Quit => return Ok(Next::Leave),
            Command::Help => messages::help(),
            Command::HelpFunctions => messages::functions(&self.explorer.names()),
            Command::Tables => messages::tables(&self.explorer.names()),
            Command::Schema(table) => self.schema(table.as_deref()).await,
            Command::Queries => self.queries.iter().map(query_help).collect(),
            Command::Mode(Some(mode)) => {
                self.mode = mode;
                String::new()
            }
            Command::Mode(None) => format!("{}\n", self.mode.name()),
            Command::Timer(is_on) => {
                self.has_timer = is_on;
                String::new()
            }
            Command::MaxRows(rows) => {
                self.max_rows = rows;
                String::new()
            }
            Command::Explain(query) => {
                self.ask(&format!("EXPLAIN {query}"), &ParamValues::new()).await?;
                String::new()
            }
            Command::Run { name, params } => match self.named(&name, &params) {
                Ok((sql, values)) => {
                    self.ask(&sql, &values).await?;
                    String::new()
                }
                Err(words) => {
                    say(visible(&words));
                    String::new()
                }
            },
        };
        io::stdout().write_all(visible_lines(&said).as_bytes())?;
        Ok(Next::Line)
    }

    fn named(&self, name: &str, params: &[(String, String)]) -> Result<(String, ParamValues), String> {
        let id = name.replace('-', "_");
        let query = self.queries.iter().find(|query| query.id == id);
        let query = query.ok_or_else(|| format!("there is no query {name}: .queries lists them"))?;
        let values = values(query, params).map_err(|words| words.replace(&format!("{} ", Remedy::Param), ""))?;
        Ok((query.sql.to_string(), values))
    }

    async fn schema(&self, table: Option<&str>) -> String {
        let mut said = String::new();
        for (name, _) in &self.explorer.names().tables {
            if table.is_none_or(|table| table.eq_ignore_ascii_case(name))
                && let Some(schema) = self.explorer.columns(name).await
            {
                said += &messages::schema(name, &schema);
            }
        }
        if said.is_empty() { "there is no such table: .tables lists them\n".to_owned() } else { said }
    }

    /// Runs queries. Errors are printed, and the shell continues.
    async fn ask(&mut self, text: &str, values: &ParamValues) -> io::Result<()> {
        let texts = [text];
        let planned = select! {
            biased;
            () = self.interrupt.next() => return writeln!(io::stdout(), "\ncancelled"),
            planned = self.explorer.plan_all(&texts, values) => planned,
        };
        match planned {
            Ok(planned) => {
                for query in planned {
                    if !self.show(query).await? {
                        break;
                    }
                }
            }
            Err(error) => say(one_line(&error.to_string())),
        }
        let input = self.explorer.archive().input();
        let problems = input.unreadable_blobs + input.counts.bad_records;
        if let Some(warning) = incomplete_warning(&input).filter(|_| problems > self.problems_reported) {
            self.problems_reported = problems;
            say(warning);
        }
        Ok(())
    }

    /// Runs one query. Returns whether the next one may run.
    async fn show(&self, query: Planned) -> io::Result<bool> {
        let started = Instant::now();
        let layout = Layout {
            format: self.mode,
            max_rows: self.max_rows,
            width: terminal_width(),
            display: query.display().clone(),
            formulas: self.formulas,
            is_explain: false,
            hints: Hints { max_rows: ".maxrows N", lines: ".mode lines" },
        };
        match show(query, layout, stdout_after((self.bar)()), self.interrupt).await {
            Ok(shown) if shown.is_interrupted => writeln!(io::stdout(), "\ncancelled").map(|()| false),
            Ok(shown) if self.has_timer => {
                writeln!(io::stdout(), "{}", row_count_line(shown.rows, started.elapsed())).map(|()| true)
            }
            Ok(_) => Ok(true),
            Err(error) => {
                say(one_line(&error.to_string()));
                Ok(false)
            }
        }
    }
}
