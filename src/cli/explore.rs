//! Options, opened explorer and output of `sql` and `query`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use tokio::select;

use super::fault::failure;
use super::memory::{machine_memory, size};
use super::output::format_name;
use super::progress::{self, Progress};
use super::source::{self, Verbosity, say_read};
use super::{Failure, Status, cluster, listen, named, policy, scope, window};
use crate::answer::{self, Interrupt, Manner, NewFile, Pager, ShowError, Shown, Unwritten, stdout_after};
use crate::display::Display;
use crate::engine::{Explorer, ParamValues, Planned, QueryError, RowStream, Session};
use crate::findings;
use crate::queries::NamedQuery;
use crate::report::Clock;
use crate::report::rows::{Hints, Layout, Out, Overflow, RowFormat, writer};
use crate::report::sink::{Formulas, say, visible};
use crate::shell::{self, terminal_height, terminal_width};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    scope: scope::Args,

    #[command(flatten)]
    policy: policy::Args,

    #[command(flatten)]
    window: window::Args,

    /// Output format [default: by the file extension of --output, else table]
    #[arg(long, value_parser = named::<RowFormat>(RowFormat::NAMES))]
    format: Option<RowFormat>,

    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Maximum number of rows that a table shows; 0 for all
    #[arg(long, value_name = "N", default_value_t = MAX_ROWS)]
    pub maxrows: usize,

    /// Memory that a query may use before it spills to disk, such as 512MB or 4GB [default: a quarter of the machine's
    /// memory]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<usize>,

    /// Read a CSV or Parquet file of at most 64 MiB as a table; repeatable
    #[arg(long, value_name = "NAME=FILE", value_parser = lookup)]
    table: Vec<(String, PathBuf)>,

    /// Do not page answers that are longer than the screen, as PAGER would
    #[arg(long)]
    no_pager: bool,

    /// In CSV and TSV, do not escape text that a spreadsheet would run as a formula
    #[arg(long)]
    no_formula_guard: bool,

    /// Print only errors on stderr
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Report on stderr what was read
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    progress: progress::Args,

    #[command(flatten)]
    cluster: cluster::Args,

    #[command(flatten)]
    source: source::Args,
}

/// Default number of rows that a table shows.
pub const MAX_ROWS: usize = 40;

impl Args {
    pub fn writes_file(&self) -> bool {
        self.output.is_some()
    }

    pub fn has_sources(&self) -> bool {
        !self.source.sources.is_empty()
    }

    pub fn reads_stdin(&self) -> bool {
        self.source.reads_stdin()
    }

    /// Returns the settings that a shell or a script starts with.
    pub fn start(&self, queries: Vec<NamedQuery>, mode: RowFormat, is_interactive: bool) -> shell::Start {
        shell::Start {
            queries,
            mode,
            max_rows: self.maxrows,
            formulas: self.formulas(),
            pager: self.pager(),
            is_interactive,
            has_timer: !self.quiet,
            is_quiet: self.quiet,
        }
    }

    /// Returns the user's pager. There is none if stdout is not a terminal.
    fn pager(&self) -> Option<String> {
        let is_wanted = !self.no_pager && io::stdout().is_terminal();
        std::env::var("PAGER").ok().filter(|pager| is_wanted && !pager.trim().is_empty())
    }

    /// Returns the clock of sentences.
    pub fn clock(&self) -> Clock {
        self.window.clock()
    }

    fn formulas(&self) -> Formulas {
        if self.no_formula_guard { Formulas::AsLogged } else { Formulas::Guarded }
    }

    /// Lists the sources and registers their tables. Reads no flows.
    pub async fn open(&self, ends: Manner) -> Result<Explore<'_>, Failure> {
        let format = self.format()?;
        let window = self.window.resolve()?;
        let verbosity = Verbosity::of(self.quiet, self.verbose);
        let scope = self.scope.open()?;
        let interrupt = listen(ends)?;
        let configuration = self.policy.open(self.source.options.access(), window, &interrupt).await?;
        let workers = self.cluster.workers(self.quiet)?;
        let mut session = self.source.open_on(workers, scope, window, verbosity, &interrupt).await?;
        self.scope.use_cached_tags(&mut session, verbosity)?;
        let memory = self.memory.unwrap_or_else(|| machine_memory() / 4);
        let (archive, scope) = (session.archive().clone(), session.scope().clone());
        let mut explorer = Explorer::open(archive, scope, memory).await.map_err(failure)?;
        explorer.watch_process();
        explorer.set_time_zone(&self.window.zone().name);
        interrupt.leftovers().add(explorer.spill_folder());
        findings::tables::provide(&mut explorer).await.map_err(failure)?;
        for (name, path) in &self.table {
            let refused = |error| Failure::usage(format!("--table {name}={}: {error}", path.display()));
            explorer.add_lookup(name, path).map_err(refused)?;
        }
        findings::configured::tables::provide(&mut explorer, &configuration).map_err(failure)?;
        Ok(Explore { args: self, format, session, interrupt, explorer })
    }

    fn format(&self) -> Result<RowFormat, Failure> {
        if let Some(name) = self.output.as_deref().and_then(format_name) {
            return Err(Failure::usage(format!(
                "--output names a file: for {name} on the screen write --format {name}; for a file of this name, --output ./{name}"
            )));
        }
        let inferred = self.output.as_deref().and_then(RowFormat::of_file);
        if let (None, None, Some(path)) =
            (self.format, inferred, self.output.as_deref().filter(|p| p.extension().is_some()))
        {
            let names = RowFormat::NAMES.join(", ");
            return Err(Failure::usage(format!(
                "the file extension of {} is not a known format: add --format, one of {names}",
                path.display()
            )));
        }
        let format = self.format.or(inferred).unwrap_or(RowFormat::Table);
        if format.is_binary() && self.output.is_none() {
            return Err(Failure::usage(format!("{} can only be written to a file: add --output FILE", format.name())));
        }
        Ok(format)
    }
}

/// An open explorer, and how its results are printed.
pub struct Explore<'a> {
    args: &'a Args,
    pub format: RowFormat,
    session: Session,
    pub interrupt: Interrupt,
    pub explorer: Explorer,
}

impl Explore<'_> {
    /// Returns what a run would read. `None` if this is a run that reads.
    pub fn planned(&self) -> Option<Result<Status, Failure>> {
        self.args.source.planned(&self.session)
    }

    /// Runs the statements of `texts` in order. All are planned before the first one reads.
    pub async fn answer(&self, texts: &[String], values: &ParamValues, overflow: Overflow) -> Result<Status, Failure> {
        let planned = select! {
            biased;
            () = self.interrupt.next() => return Err(interrupted()),
            planned = self.explorer.plan_all(texts, values) => planned.map_err(query_failure)?,
        };
        if self.args.output.is_some() && planned.len() > 1 {
            return Err(Failure::usage("--output takes the result of one query, and there are several"));
        }
        for query in planned {
            let Some(status) = self.show(query, overflow).await? else { continue };
            return Ok(status);
        }
        Ok(self.status())
    }

    /// Returns `None` if the next query may run.
    async fn show(&self, query: Planned, overflow: Overflow) -> Result<Option<Status>, Failure> {
        let started = Instant::now();
        if !self.args.quiet {
            query.notes().iter().for_each(|note| say(format_args!("flowgap: note: {note}")));
        }
        let (out, file, bar) = self.destination()?;
        let layout = self.layout(query.display().clone(), overflow);
        let shown = answer::show(query, layout, out, &self.interrupt).await;
        drop(bar);
        let Shown { rows, is_interrupted, is_closed } = match shown {
            Ok(shown) => shown,
            Err(ShowError::Query(error)) => return Err(query_failure(error)),
            Err(ShowError::Write(error)) => return Err(Unwritten::new(self.args.output.as_deref(), error).into()),
        };
        if is_interrupted {
            return Err(interrupted());
        }
        if is_closed {
            return Ok(Some(Status::Clean));
        }
        if let (Some(file), Some(path)) = (file, self.args.output.as_deref()) {
            file.keep().map_err(|error| Unwritten::new(Some(path), error))?;
        }
        if !self.args.quiet {
            say(answer::row_count_line(rows, started.elapsed()));
        }
        Ok(None)
    }

    /// Returns the destination of a result: stdout, or a file that is complete once it is kept; and the progress bar.
    fn destination(&self) -> Result<(Out, Option<NewFile>, Option<Progress>), Failure> {
        let bar = self.progress();
        let Some(path) = self.args.output.as_deref() else {
            let pager = self.args.pager().map(|command| Pager { command, screen: terminal_height() });
            return Ok((stdout_after(bar, pager), None, None));
        };
        let file = NewFile::create(path, self.interrupt.leftovers());
        let (file, out) = file
            .and_then(|file| file.writer().map(|out| (file, out)))
            .map_err(|error| Unwritten::new(Some(path), error))?;
        Ok((Box::new(out), Some(file), bar))
    }

    fn layout(&self, display: Display, overflow: Overflow) -> Layout {
        Layout {
            format: self.format,
            max_rows: self.args.maxrows,
            width: if self.args.output.is_none() { terminal_width() } else { None },
            overflow,
            display,
            formulas: self.args.formulas(),
            is_explain: false,
            hints: Hints { max_rows: "--maxrows N", lines: "--format lines" },
        }
    }

    /// Runs one query, and returns all of its rows with the settings for showing them. Only for small results.
    pub async fn rows(
        &self,
        text: &str,
        values: &ParamValues,
    ) -> Result<(Display, SchemaRef, Vec<RecordBatch>), Failure> {
        let bar = self.progress();
        let run = async {
            let planned = self.explorer.plan_all(&[text], values).await?.pop();
            let Some(planned) = planned else { return Ok(None) };
            let display = planned.display().clone();
            let RowStream { schema, rows } = planned.run()?;
            let batches = rows.try_collect::<Vec<_>>().await?;
            Ok(Some((display, schema, batches)))
        };
        let answer = select! {
            biased;
            () = self.interrupt.next() => return Err(interrupted()),
            answer = run => answer.map_err(query_failure)?,
        };
        drop(bar);
        answer.ok_or_else(|| Failure::usage("there is no query"))
    }

    /// Writes rows to stdout or to the file of the options.
    pub fn write(
        &self,
        display: Display,
        schema: &SchemaRef,
        batches: &[RecordBatch],
        overflow: Overflow,
    ) -> Result<(), Failure> {
        let (out, file, bar) = self.destination()?;
        drop(bar);
        let path = self.args.output.as_deref();
        let written = || {
            let mut writer = writer(self.layout(display, overflow), schema, out)?;
            for batch in batches {
                writer.write(batch)?;
            }
            writer.finish()?;
            file.map_or(Ok(()), NewFile::keep)
        };
        match written() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| Unwritten::new(path, error).into()),
        }
    }

    /// Prints text before the rows. With an output file, it goes to stderr.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        match self.args.output {
            Some(_) => say(text.trim_end()),
            None => answer::print(|out| out.write_all(text.as_bytes()))?,
        }
        Ok(())
    }

    /// Returns the progress bar of a running query. It is cleared when dropped.
    pub fn progress(&self) -> Option<Progress> {
        Progress::start(&self.args.progress, self.args.quiet, &self.session)
    }

    /// Returns the exit status. A result that may lack flows is not clean.
    pub fn status(&self) -> Status {
        let input = self.session.input();
        if self.args.verbose {
            say_read(&self.session);
        }
        match answer::incomplete_warning(&input) {
            None => Status::Clean,
            Some(warning) => {
                say(format_args!("flowgap: {warning}"));
                if self.args.cluster.is_used() {
                    let sources: Vec<String> = self.args.source.words().collect();
                    say(format_args!("flowgap: flowgap inspect {} shows them all", visible(&sources.join(" "))));
                }
                Status::CouldNotTell
            }
        }
    }

    /// Warns on stderr if a query uses service tags and none are loaded.
    pub fn warn_no_tags(&self, texts: &[String]) {
        let asks = texts.iter().any(|text| text.to_lowercase().contains("service_tag"));
        if asks && self.session.scope().service_tags().is_none() && !self.args.quiet {
            say(
                "flowgap: no service tags are loaded, so every service tag is null: run flowgap tags fetch, or add --service-tags FILE",
            );
        }
    }
}

/// Parses a table that a file brings along.
fn lookup(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("write NAME=FILE.csv or NAME=FILE.parquet")?;
    let is_name = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_')
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    match is_name {
        true => Ok((name.to_owned(), PathBuf::from(path))),
        false => Err("a name has lower-case letters, digits and _, and does not begin with a digit".to_owned()),
    }
}

pub fn interrupted() -> Failure {
    Failure { status: Status::Interrupted, message: "interrupted".to_owned() }
}

pub fn query_failure(error: QueryError) -> Failure {
    match error {
        QueryError::Engine(_) | QueryError::Unfinished(_) => {
            Failure { status: Status::Internal, message: error.to_string() }
        }
        error => Failure::usage(error),
    }
}

/// Returns whether stdin and stdout are both terminals.
pub fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}
