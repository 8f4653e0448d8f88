//! `flowgap lake`: looks after a lake.

use super::ingest::lake_failure;
use super::{Failure, Status, named};
use crate::answer::print;
use crate::lake::{Compaction, Lake, Snapshot, compact, verify};
use crate::options::SourceOptions;
use crate::report::sink::{byte_count, visible};
use crate::source::{Auth, Environment};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Join small files of each day
    Compact {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Check that rows and cursors agree
    Verify {
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// A lake, as typed.
#[derive(Debug, clap::Args)]
struct PlaceArgs {
    /// Folder of the lake
    #[arg(value_name = "LAKE")]
    lake: String,

    /// Credential for the storage account of the lake
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = named::<Auth>(Auth::NAMES))]
    lake_auth: Auth,
}

impl PlaceArgs {
    fn open(&self) -> Result<Lake, Failure> {
        let options = SourceOptions { auth: self.lake_auth, ..SourceOptions::default() };
        Lake::open(&self.lake, options.access(Environment::of_process())).map_err(lake_failure)
    }
}

pub async fn run(args: Args) -> Result<Status, Failure> {
    match args.verb {
        Verb::Compact { place } => {
            let snapshot = Snapshot::load(&place.open()?).await.map_err(lake_failure)?;
            let (_, compacted) = compact(snapshot, Compaction::All).await.map_err(lake_failure)?;
            let (before, after, bytes) = (compacted.before, compacted.after, byte_count(compacted.bytes));
            print(|out| writeln!(out, "{before} files became {after}, of {bytes}"))?;
            Ok(Status::Clean)
        }
        Verb::Verify { place } => {
            let snapshot = Snapshot::load(&place.open()?).await.map_err(lake_failure)?;
            let cursors = snapshot.cursors().await.map_err(lake_failure)?;
            let mismatches = verify(&snapshot, &cursors).await.map_err(lake_failure)?;
            print(|out| {
                for mismatch in &mismatches {
                    writeln!(
                        out,
                        "{}: {} rows, and its cursor says {}",
                        visible(&mismatch.blob),
                        mismatch.found.rows,
                        mismatch.expected.rows
                    )?;
                }
                writeln!(out, "{} rows of {} blobs, {} differences", snapshot.rows(), cursors.blobs, mismatches.len())
            })?;
            Ok(if mismatches.is_empty() { Status::Clean } else { Status::CouldNotTell })
        }
    }
}
