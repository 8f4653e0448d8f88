//! The option for names of addresses, as typed.

use std::path::PathBuf;

use super::Failure;
use crate::catalog::AddressNames;
use crate::options::open_names;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names of addresses to show beside them; repeatable: a CSV file of prefixes and names, or JSON of az network vnet
    /// list or Resource Graph
    #[arg(long = "names", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl Args {
    /// Reads the files.
    pub fn open(&self) -> Result<AddressNames, Failure> {
        Ok(open_names(&self.files)?)
    }

    /// Returns the options as words of a command.
    pub fn words(&self) -> impl Iterator<Item = String> {
        self.files.iter().flat_map(|path| ["--names".to_owned(), path.to_string_lossy().into_owned()])
    }
}
