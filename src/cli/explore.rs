//! Options, opened explorer and output of `sql` and `query`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Instant;

use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use tokio::select;

use super::fault::failure;
use super::progress::{self, Progress};
use super::source::{self, Verbosity, say_read};
use super::{Failure, Status, listen, named, policy, scope, window};
use crate::answer::{self, Interrupt, Manner, NewFile, ShowError, Shown, Unwritten, stdout_after};
use crate::engine::{Explorer, ParamValues, Planned, QueryError, Session};
use crate::findings;
use crate::report::rows::{Hints, Layout, Out, RowFormat};
use crate::report::sink::{Formulas, say};
use crate::shell::terminal_width;

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
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<usize>,

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
    source: source::Args,
}

/// Default number of rows that a table shows.
pub const MAX_ROWS: usize = 40;

impl Args {
    pub fn writes_file(&self) -> bool {
        self.output.is_some()
    }

    pub fn reads_stdin(&self) -> bool {
        self.source.reads_stdin()
    }

    pub fn formulas(&self) -> Formulas {
        if self.no_formula_guard { Formulas::AsLogged } else { Formulas::Guarded }
    }

    /// Lists the sources and registers their tables. Reads no flows.
    pub async fn open(&self, ends: Manner) -> Result<Explore<'_>, Failure> {
        let format = self.format()?;
        let window = self.window.resolve()?;
        let verbosity = Verbosity::of(self.quiet, self.verbose);
        let scope = self.scope.open()?;
        let configuration = self.policy.open()?;
        let interrupt = listen(ends)?;
        let mut session = self.source.open(scope, window, verbosity, &interrupt).await?;
        self.scope.use_cached_tags(&mut session, verbosity)?;
        let memory = self.memory.unwrap_or_else(|| machine_memory() / 4);
        let (archive, scope) = (session.archive().clone(), session.scope().clone());
        let mut explorer = Explorer::open(archive, scope, memory).await.map_err(failure)?;
        explorer.watch_process();
        interrupt.leftovers().add(explorer.spill_folder());
        findings::tables::provide(&mut explorer).await.map_err(failure)?;
        findings::configured::tables::provide(&mut explorer, &configuration).map_err(failure)?;
        Ok(Explore { args: self, format, session, interrupt, explorer })
    }

    fn format(&self) -> Result<RowFormat, Failure> {
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
    /// Runs the statements of `texts` in order. All are planned before the first one reads.
    pub async fn answer(&self, texts: &[String], values: &ParamValues) -> Result<Status, Failure> {
        let planned = select! {
            biased;
            () = self.interrupt.next() => return Err(interrupted()),
            planned = self.explorer.plan_all(texts, values) => planned.map_err(query_failure)?,
        };
        if self.args.output.is_some() && planned.len() > 1 {
            return Err(Failure::usage("--output takes the result of one query, and there are several"));
        }
        for query in planned {
            let Some(status) = self.show(query).await? else { continue };
            return Ok(status);
        }
        Ok(self.status())
    }

    /// Returns `None` if the next query may run.
    async fn show(&self, query: Planned) -> Result<Option<Status>, Failure> {
        let started = Instant::now();
        let bar = self.progress();
        let (out, file, bar) = match self.args.output.as_deref() {
            Some(path) => {
                let file = NewFile::create(path, self.interrupt.leftovers());
                let (file, out) = file
                    .and_then(|file| file.writer().map(|out| (file, out)))
                    .map_err(|error| Unwritten::new(Some(path), error))?;
                (Box::new(out) as Out, Some(file), bar)
            }
            None => (stdout_after(bar), None, None),
        };
        let layout = Layout {
            format: self.format,
            max_rows: self.args.maxrows,
            width: if self.args.output.is_none() { terminal_width() } else { None },
            display: query.display().clone(),
            formulas: self.args.formulas(),
            is_explain: false,
            hints: Hints { max_rows: "--maxrows N", lines: "--format lines" },
        };
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

fn interrupted() -> Failure {
    Failure { status: Status::Interrupted, message: "interrupted".to_owned() }
}

pub fn query_failure(error: QueryError) -> Failure {
    match error {
        QueryError::Engine(_) => Failure { status: Status::Internal, message: error.to_string() },
        error => Failure::usage(error),
    }
}

/// Returns the memory of this machine, or the limit of the process's cgroup if that is less.
fn machine_memory() -> usize {
    let system =
        System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()));
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    usize::try_from(system.total_memory().min(limit)).unwrap_or(usize::MAX).max(1 << 30)
}

/// Parses a size into bytes; 512MB, 512MiB and 512M are the same.
fn memory(text: &str) -> Result<usize, String> {
    let error = || "write a size such as 512MB or 4GB".to_owned();
    let upper = text.trim().to_ascii_uppercase();
    let digits = upper.find(|c: char| !c.is_ascii_digit()).unwrap_or(upper.len());
    let (number, unit) = upper.split_at(digits);
    let shift = match unit.trim() {
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return Err(error()),
    };
    let bytes = number.parse::<usize>().map_err(|_| error())?.checked_mul(1 << shift).ok_or_else(error)?;
    if bytes < 1 << 20 { Err("it must be at least 1MB".to_owned()) } else { Ok(bytes) }
}

/// Returns whether stdin and stdout are both terminals.
pub fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}
