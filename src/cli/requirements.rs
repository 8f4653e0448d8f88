//! `flowgap requirements`: prints the port table.

use std::path::PathBuf;

use super::{Failure, Status, named};
use crate::answer::print;
use crate::catalog::{Catalog, Requirement};
use crate::options::open_edition;
use crate::report::grid::{Format, Grid};
use crate::report::sink::Formulas;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Edition to print [default: the newest]
    #[arg(long, value_name = "ID")]
    edition: Option<String>,

    /// Your own port table instead of the built-in one
    #[arg(long, value_name = "FILE")]
    requirements: Option<PathBuf>,

    /// List the editions instead, with their dates and the kind of instance each is for
    #[arg(long, conflicts_with = "edition")]
    list_editions: bool,

    /// Output format
    #[arg(long, default_value = "text", value_parser = named::<Format>(Format::NAMES))]
    format: Format,
}

pub fn run(args: &Args) -> Result<Status, Failure> {
    let edition = open_edition(args.requirements.as_deref(), args.edition.as_deref())?;
    let catalog = edition.catalog();
    let grid =
        if args.list_editions { editions(catalog) } else { rows(catalog, edition.id(), args.format == Format::Text) };
    print(|out| grid.write(args.format, Formulas::Guarded, out))?;
    Ok(Status::Clean)
}

fn editions(catalog: &Catalog) -> Grid {
    let rows = catalog.editions().iter().map(|e| {
        let analyzed = catalog.rows().iter().filter(|r| r.edition == e.id && r.analyzed).count();
        let default = if catalog.default_edition() == Some(&e.id) { "default" } else { "" };
        vec![
            e.id.clone(),
            e.date.clone(),
            e.generation.clone(),
            analyzed.to_string(),
            e.summary.clone(),
            default.to_owned(),
        ]
    });
    Grid { columns: vec!["edition", "date", "for", "rows", "what_is_new", "default"], rows: rows.collect() }
}

/// Returns the analyzed rows with the main columns for text, or all rows and columns for other formats.
fn rows(catalog: &Catalog, edition: &str, is_short: bool) -> Grid {
    let of_edition = catalog.rows().iter().filter(|r| r.edition == edition);
    if is_short {
        let row = |r: &Requirement| {
            let mode = match r.vnet_mode.name() {
                "both" => String::new(),
                mode => format!(" ({mode} mode)"),
            };
            vec![
                r.id.clone(),
                r.direction.name().to_owned(),
                r.peer_tag().name().to_owned(),
                format!("{} {}", r.protocol_text(), r.ports),
                format!("{}{mode}", r.necessity.name()),
            ]
        };
        let columns = vec!["id", "direction", "other end", "ports", "necessity"];
        return Grid { columns, rows: of_edition.filter(|r| r.analyzed).map(row).collect() };
    }
    let row = |r: &Requirement| {
        vec![
            r.edition.clone(),
            r.id.clone(),
            if r.analyzed { "yes" } else { "no" }.to_owned(),
            r.direction.name().to_owned(),
            r.source.name().to_owned(),
            r.printed_source_ports.clone(),
            r.destination.name().to_owned(),
            r.ports.clone(),
            r.protocol_text(),
            r.vnet_mode.name().to_owned(),
            r.necessity.name().to_owned(),
            (f64::from(r.impact) / 1000.0).to_string(),
            r.purpose.clone(),
            r.condition.clone(),
        ]
    };
    let columns = vec![
        "edition",
        "id",
        "analyzed",
        "direction",
        "source",
        "source_ports",
        "destination",
        "destination_ports",
        "protocol",
        "vnet_mode",
        "necessity",
        "impact",
        "purpose",
        "condition",
    ];
    Grid { columns, rows: of_edition.map(row).collect() }
}
