//! Parses, builds the runtime, dispatches, and exits with the verb's status.

use std::process::ExitCode;

use clap::Parser;
use flowgap::cli::{Cli, Status};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let status = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => {
            eprintln!("flowgap: the runtime did not start: {error}");
            Status::Internal
        }
    };
    ExitCode::from(status as u8)
}
