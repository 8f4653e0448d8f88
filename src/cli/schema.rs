//! `flowgap schema`: prints the JSON Schema of what flowgap writes or reads.

use super::{Failure, Status, named};
use crate::answer::print;
use crate::job::config::SCHEMA as CONFIG;
use crate::names::names;

/// Schema of `flowgap.analysis/1`.
const ANALYSIS: &str = include_str!("../../docs/analysis.schema.json");

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Document
    #[arg(default_value = "analysis", value_parser = named::<Schema>(Schema::NAMES))]
    document: Schema,
}

/// A document with a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schema {
    /// What `analyze --format json` writes.
    Analysis,
    /// What `run --config` reads.
    Config,
}

names!(Schema { Analysis = "analysis", Config = "config" });

pub fn run(args: &Args) -> Result<Status, Failure> {
    let schema = match args.document {
        Schema::Analysis => ANALYSIS,
        Schema::Config => CONFIG,
    };
    print(|out| out.write_all(schema.as_bytes()))?;
    Ok(Status::Clean)
}
