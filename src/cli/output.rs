//! Options of the reports of an analysis: formats, files and layout. Shared by `analyze` and `report`.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::{Failure, Status, named};
use crate::answer::{Leftovers, write_to};
use crate::options::When;
use crate::report::layout::WIDTH;
use crate::report::redact::redacted;
use crate::report::rows::RowFormat;
use crate::report::sink::{Formulas, visible};
use crate::report::{self, Clock, Document, Format, Style};
use crate::shell::terminal_width;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Output format [default: by the file extension of --output, else text]
    #[arg(long, value_parser = named::<Format>(Format::NAMES))]
    format: Option<Format>,

    /// Write to a file instead of stdout; repeatable, each in the format of its extension
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,

    /// Number of findings that text and markdown show
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// The long form of the text report: every finding in sentences, with addresses, hours and score, and all notices
    #[arg(long)]
    details: bool,

    /// List the findings that are suppressed, in text, Markdown and SARIF
    #[arg(long)]
    show_suppressed: bool,

    /// In CSV, do not escape text that a spreadsheet would run as a formula
    #[arg(long)]
    no_formula_guard: bool,

    /// Replace addresses, resource ids, accounts and blob names by placeholders, for sharing
    #[arg(long)]
    redact: bool,

    /// Colours in the text report [auto: on a terminal, unless NO_COLOR is set]
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = named::<When>(When::NAMES))]
    color: When,
}

/// Reports to write.
pub struct Outputs {
    /// Format and file of each; stdout if the file is `None`.
    targets: Vec<(Format, Option<PathBuf>)>,
    style: Style,
    is_redacted: bool,
}

impl Args {
    /// Returns the reports to write, with times by `clock`.
    pub fn resolve(&self, clock: Clock) -> Result<Outputs, Failure> {
        let style = Style {
            top: self.top,
            is_detailed: self.details,
            width: if self.output.is_empty() { terminal_width().unwrap_or(WIDTH) } else { WIDTH },
            has_color: self.has_color(),
            shows_suppressed: self.show_suppressed,
            formulas: if self.no_formula_guard { Formulas::AsLogged } else { Formulas::Guarded },
            clock,
        };
        Ok(Outputs { targets: self.targets()?, style, is_redacted: self.redact })
    }

    fn targets(&self) -> Result<Vec<(Format, Option<PathBuf>)>, Failure> {
        let formats = Formats { text: Format::Text, of_file: Format::of_file, names: &Format::NAMES };
        let targets = formats.targets(self.format, &self.output)?;
        refuse_binary_on_terminal(&targets)?;
        Ok(targets)
    }

    fn has_color(&self) -> bool {
        match self.color {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
                self.output.is_empty() && io::stdout().is_terminal() && is_wanted
            }
        }
    }
}

/// Fails if a binary format would go to a terminal.
pub fn refuse_binary_on_terminal(targets: &[(Format, Option<PathBuf>)]) -> Result<(), Failure> {
    let is_shown = targets.iter().any(|(format, path)| path.is_none() && format.is_binary());
    match is_shown && io::stdout().is_terminal() {
        true => Err(Failure::usage("this format is binary and cannot go to a terminal: add --output FILE")),
        false => Ok(()),
    }
}

/// The formats that a verb can write.
pub struct Formats<F> {
    /// Format without a file, or of a file without an extension.
    pub text: F,
    /// Returns the format of a file by its extension.
    pub of_file: fn(&Path) -> Option<F>,
    /// Names of all formats.
    pub names: &'static [&'static str],
}

impl<F: Copy + PartialEq + Display> Formats<F> {
    /// Returns the format of each file of `files`, or of stdout without any file.
    pub fn targets(&self, given: Option<F>, files: &[PathBuf]) -> Result<Vec<(F, Option<PathBuf>)>, Failure> {
        if files.is_empty() {
            return Ok(vec![(given.unwrap_or(self.text), None)]);
        }
        let mut targets: Vec<(F, Option<PathBuf>)> = Vec::new();
        for path in files {
            if let Some(name) = format_name(path) {
                return Err(Failure::usage(format!(
                    "--output names a file: for {name} on the screen write --format {name}; for a file of this name, --output ./{name}"
                )));
            }
            if targets.iter().any(|(_, other)| other.as_ref() == Some(path)) {
                return Err(Failure::usage(format!("--output {} is given twice", shown(path))));
            }
            targets.push((self.of(path, given, files.len() > 1)?, Some(path.clone())));
        }
        Ok(targets)
    }

    /// Returns the format of a file. If it is one of several, a given format must be that of each.
    fn of(&self, path: &Path, given: Option<F>, is_one_of_several: bool) -> Result<F, Failure> {
        match (given, (self.of_file)(path)) {
            (Some(format), Some(inferred)) if format != inferred && is_one_of_several => Err(Failure::usage(format!(
                "--format {format} does not fit {}, which is {inferred}: leave out --format when there are several --output",
                shown(path)
            ))),
            (Some(format), _) | (None, Some(format)) => Ok(format),
            (None, None) if path.extension().is_some() => Err(Failure::usage(format!(
                "the file extension of {} is not a known format: add --format, one of {}",
                shown(path),
                self.names.join(", ")
            ))),
            (None, None) => Ok(self.text),
        }
    }
}

impl Outputs {
    /// Writes all reports in their order. Each file is written as a whole or not at all.
    pub fn write(&self, document: Document, leftovers: &Leftovers) -> Result<(), Failure> {
        let redacted = match self.is_redacted {
            true => Some(redacted(&document).map_err(|error| Failure {
                status: Status::Internal,
                message: format!("cannot redact the analysis: {error}"),
            })?),
            false => None,
        };
        let document = match &redacted {
            Some(redacted) => redacted.document(),
            None => document,
        };
        for (format, path) in &self.targets {
            let report = report::report(*format, self.style);
            write_to(path.as_deref(), leftovers, |out| report.write(&document, out))?;
        }
        Ok(())
    }

    /// Returns the names of the formats, for the log.
    pub fn formats(&self) -> String {
        let names: Vec<&str> = self.targets.iter().map(|(format, _)| format.name()).collect();
        names.join(", ")
    }
}

/// Returns the format that a path names by mistake, as in `-o json`.
pub fn format_name(path: &Path) -> Option<&str> {
    let name = path.to_str()?;
    (Format::NAMES.contains(&name) || RowFormat::NAMES.contains(&name)).then_some(name)
}

fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy()).into_owned()
}
