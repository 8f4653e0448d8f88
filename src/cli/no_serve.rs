//! `flowgap serve` in a build without the server: says how to get it.

use super::{Failure, Status};

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// Any argument
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _any: Vec<String>,
}

pub async fn run(_: Args) -> Result<Status, Failure> {
    Err(Failure::usage(
        "this flowgap is built without the server: build it with cargo build --release --features serve",
    ))
}
