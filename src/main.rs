//! Parses, builds the runtime, dispatches, and exits with the verb's status.

mod allocator;

use std::process::ExitCode;

use clap::Parser;
use flowgap::cli::{Cli, Status};

fn main() -> ExitCode {
    allocator::keep_freed_pages();
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
