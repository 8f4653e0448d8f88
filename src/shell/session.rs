//! Runs the queries and commands of a shell or a script, with the settings that commands change.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::select;

use super::command::Command;
use super::script::{Part, parts};
use super::{Start, messages, query_help, terminal_height, terminal_width};
use crate::answer::{
    Interrupt, NewFile, Pager, ShowError, Shown, Unwritten, incomplete_warning, row_count_line, show, stdout_after,
};
use crate::engine::{Explorer, ParamValues, Planned, QueryError, values};
use crate::remedy::Remedy;
use crate::report::rows::{Hints, Layout, Out, Overflow, RowFormat};
use crate::report::sink::{one_line, say, visible_lines};

/// Maximum number of files that run each other.
const MOST_NESTED: usize = 8;

/// Options or commands that hints name.
const HINTS: Hints = Hints { max_rows: ".maxrows N", lines: ".mode lines" };

pub struct Shell<'a, B> {
    pub explorer: &'a Explorer,
    pub interrupt: &'a Interrupt,
    /// Creates the progress bar of a running query.
    pub bar: &'a dyn Fn() -> B,
    pub start: Start,
    /// File of `.output`.
    output: Option<Target>,
    /// File of `.once`.
    once: Option<PathBuf>,
    width: Option<usize>,
    null: Option<String>,
    is_paged: bool,
    /// Number of input problems already reported.
    problems_reported: u64,
}

/// A file that takes the results of several queries.
struct Target {
    path: PathBuf,
    file: NewFile,
}

/// Effect of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Line,
    Leave,
    Failed(Fault),
}

/// Reason why a script ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A query, a command or a file is wrong.
    Wrong,
    /// The engine failed.
    Internal,
    /// A signal ended it.
    Interrupted,
}

impl<'a, B: Send + 'static> Shell<'a, B> {
    pub fn new(explorer: &'a Explorer, interrupt: &'a Interrupt, bar: &'a dyn Fn() -> B, start: Start) -> Self {
        let is_paged = start.pager.is_some();
        let (output, once, width, null, problems_reported) = (None, None, None, None, 0);
        Self { explorer, interrupt, bar, start, output, once, width, null, is_paged, problems_reported }
    }

    /// Runs the parts of a text in order. In a script, the first failure ends it.
    pub async fn run(&mut self, text: &str, nested: usize) -> io::Result<Next> {
        for part in parts(text) {
            let next = match part {
                Part::Command(line) => self.command(line, nested).await?,
                Part::Queries(text) => self.ask(text, &ParamValues::new(), Overflow::Lines).await?,
            };
            if next == Next::Leave || next != Next::Line && !self.start.is_interactive {
                return Ok(next);
            }
        }
        Ok(Next::Line)
    }

    /// Runs a command.
    pub async fn command(&mut self, line: &str, nested: usize) -> io::Result<Next> {
        let command = match Command::parse(line) {
            None => return Ok(Next::Line),
            Some(Ok(command)) => command,
            Some(Err(words)) => return Ok(self.refuse(&words)),
        };
        let mut said = String::new();
        match command {
            Command::Quit => return Ok(Next::Leave),
            Command::Help => said = messages::help(),
            Command::HelpFunctions => said = messages::functions(&self.explorer.names()),
            Command::Tables => said = messages::tables(&self.explorer.names()),
            Command::Schema(table) => said = self.schema(table.as_deref()).await,
            Command::Queries => said = self.start.queries.iter().map(query_help).collect(),
            Command::Mode(Some(mode)) => self.start.mode = mode,
            Command::Mode(None) => said = format!("{}\n", self.start.mode.name()),
            Command::Timer(is_on) => self.start.has_timer = is_on,
            Command::MaxRows(rows) => self.start.max_rows = rows,
            Command::Width(width) => self.width = width,
            Command::NullValue(text) => self.null = text,
            Command::Pager(true) if self.start.pager.is_none() => {
                return Ok(self.refuse("there is no pager: set PAGER, such as PAGER='less -S'"));
            }
            Command::Pager(is_on) => self.is_paged = is_on,
            Command::Once(path) => self.once = Some(path),
            Command::Output(path) => return self.redirect(path),
            Command::Read(path) => return self.read(&path, nested).await,
            Command::Explain(query) => {
                return self.ask(&format!("EXPLAIN {query}"), &ParamValues::new(), Overflow::Lines).await;
            }
            Command::Run { name, params } => match self.named(&name, &params) {
                Ok((sql, values)) => return self.ask(&sql, &values, Overflow::Hide).await,
                Err(words) => return Ok(self.refuse(&words)),
            },
        }
        io::stdout().write_all(visible_lines(&said).as_bytes())?;
        Ok(Next::Line)
    }

    /// Prints why a line does nothing.
    fn refuse(&self, words: &str) -> Next {
        self.say(words);
        Next::Failed(Fault::Wrong)
    }

    fn say(&self, words: &str) {
        let before = if self.start.is_interactive { "" } else { "flowgap: " };
        say(format_args!("{before}{}", one_line(words)));
    }

    fn named(&self, name: &str, params: &[(String, String)]) -> Result<(String, ParamValues), String> {
        let id = name.replace('-', "_");
        let query = self.start.queries.iter().find(|query| query.id == id);
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

    async fn read(&mut self, path: &Path, nested: usize) -> io::Result<Next> {
        if nested >= MOST_NESTED {
            return Ok(self.refuse(&format!("{MOST_NESTED} files run each other: .read is too deep")));
        }
        match fs::read_to_string(path) {
            Ok(text) => Box::pin(self.run(&text, nested + 1)).await,
            Err(error) => Ok(self.refuse(&format!("cannot read {}: {error}", path.display()))),
        }
    }

    /// Completes the file of `.output`, and opens the next one.
    fn redirect(&mut self, path: Option<PathBuf>) -> io::Result<Next> {
        if let Err(error) = self.complete() {
            return Ok(self.refuse(&error.to_string()));
        }
        let Some(path) = path else { return Ok(Next::Line) };
        if self.format_of(&path).is_binary() {
            return Ok(self.refuse("this format takes the result of one query: write .once FILE"));
        }
        match NewFile::create(&path, self.interrupt.leftovers()) {
            Ok(file) => self.output = Some(Target { path, file }),
            Err(error) => return Ok(self.refuse(&Unwritten::new(Some(&path), error).to_string())),
        }
        Ok(Next::Line)
    }

    /// Makes the file of `.output` appear.
    pub fn complete(&mut self) -> Result<(), Unwritten> {
        match self.output.take() {
            Some(Target { path, file }) => file.keep().map_err(|error| Unwritten::new(Some(&path), error)),
            None => Ok(()),
        }
    }

    fn format_of(&self, path: &Path) -> RowFormat {
        RowFormat::of_file(path).unwrap_or(self.start.mode)
    }

    /// Runs queries. Errors are printed.
    async fn ask(&mut self, text: &str, values: &ParamValues, overflow: Overflow) -> io::Result<Next> {
        let texts = [text];
        let planned = select! {
            biased;
            () = self.interrupt.next() => return self.cancelled(),
            planned = self.explorer.plan_all(&texts, values) => planned,
        };
        let mut next = Next::Line;
        match planned {
            Ok(planned) => {
                for query in planned {
                    next = self.show(query, overflow).await?;
                    if next != Next::Line {
                        break;
                    }
                }
            }
            Err(error) => next = self.failed(&error),
        }
        let input = self.explorer.archive().input();
        let problems = input.unreadable_blobs + input.counts.bad_records;
        if let Some(warning) = incomplete_warning(&input).filter(|_| self.start.is_interactive)
            && problems > self.problems_reported
        {
            self.problems_reported = problems;
            say(warning);
        }
        Ok(next)
    }

    fn cancelled(&self) -> io::Result<Next> {
        if self.start.is_interactive {
            writeln!(io::stdout(), "\ncancelled")?;
        }
        Ok(Next::Failed(Fault::Interrupted))
    }

    fn failed(&self, error: &QueryError) -> Next {
        self.say(&error.to_string());
        Next::Failed(if matches!(error, QueryError::Engine(_) | QueryError::Unfinished(_)) {
            Fault::Internal
        } else {
            Fault::Wrong
        })
    }

    /// Returns the destination of the next result, and its file if it has one of its own.
    fn destination(&mut self) -> Result<(RowFormat, Option<Out>, Option<Target>), Unwritten> {
        if let Some(path) = self.once.take() {
            let format = self.format_of(&path);
            let file = NewFile::create(&path, self.interrupt.leftovers());
            let file = file.and_then(|file| file.writer().map(|out| (file, out)));
            let (file, out) = file.map_err(|error| Unwritten::new(Some(&path), error))?;
            return Ok((format, Some(Box::new(out)), Some(Target { path, file })));
        }
        match &self.output {
            Some(Target { path, file }) => {
                let out = file.writer().map_err(|error| Unwritten::new(Some(path), error))?;
                Ok((self.format_of(path), Some(Box::new(out)), None))
            }
            None => Ok((self.start.mode, None, None)),
        }
    }

    /// Runs one query. Returns whether the next one may run.
    async fn show(&mut self, query: Planned, overflow: Overflow) -> io::Result<Next> {
        let started = Instant::now();
        let (format, out, file) = match self.destination() {
            Ok(destination) => destination,
            Err(error) => return Ok(self.refuse(&error.to_string())),
        };
        if !self.start.is_quiet {
            query.notes().iter().for_each(|note| self.say(&format!("note: {note}")));
        }
        let is_shown = out.is_none();
        let mut display = query.display().clone();
        display.null = self.null.clone().or(display.null);
        let layout = Layout {
            format,
            max_rows: if is_shown { self.start.max_rows } else { 0 },
            width: self.width.or_else(|| terminal_width().filter(|_| is_shown)),
            overflow,
            display,
            formulas: self.start.formulas,
            is_explain: false,
            hints: HINTS,
        };
        let pager = || {
            self.start
                .pager
                .clone()
                .filter(|_| self.is_paged)
                .map(|command| Pager { command, screen: terminal_height() })
        };
        let out = out.unwrap_or_else(|| stdout_after((self.bar)(), pager()));
        match show(query, layout, out, self.interrupt).await {
            Ok(shown) if shown.is_interrupted => self.cancelled(),
            Ok(Shown { is_closed: true, .. }) if !self.start.is_interactive => Ok(Next::Leave),
            Ok(shown) => {
                if let Some(Target { path, file }) = file
                    && let Err(error) = file.keep()
                {
                    return Ok(self.refuse(&Unwritten::new(Some(&path), error).to_string()));
                }
                let line = row_count_line(shown.rows, started.elapsed());
                match (self.start.has_timer, self.start.is_interactive) {
                    (true, true) => writeln!(io::stdout(), "{line}")?,
                    (true, false) => say(line),
                    _ => {}
                }
                Ok(Next::Line)
            }
            Err(ShowError::Query(error)) => Ok(self.failed(&error)),
            Err(error) => Ok(self.refuse(&error.to_string())),
        }
    }
}
