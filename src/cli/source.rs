//! SOURCE arguments as typed, to sources.

use tokio::select;

use super::{Failure, Status};
use crate::source::{Source, SourceError};

/// Every source that the arguments name. Reads a pipe to its end for `-`.
pub async fn sources(texts: &[String]) -> Result<Vec<Source>, Failure> {
    if texts.iter().filter(|text| *text == "-").count() > 1 {
        return Err(Failure::usage("standard input (-) can be read once only"));
    }
    let mut sources = Vec::new();
    for text in texts {
        match text.as_str() {
            "-" => sources.push(piped().await?),
            text => sources.extend(Source::matching(text).map_err(unopened)?),
        }
    }
    Ok(sources)
}

async fn piped() -> Result<Source, Failure> {
    let reading = tokio::task::spawn_blocking(|| Source::of_pipe(std::io::stdin().lock()));
    select! {
        Ok(()) = tokio::signal::ctrl_c() => {
            Err(Failure { status: Status::Interrupted, message: "interrupted before anything was read".to_owned() })
        }
        read = reading => match read {
            Ok(source) => source.map_err(unopened),
            Err(error) => Err(Failure { status: Status::Internal, message: error.to_string() }),
        }
    }
}

pub fn unopened(error: SourceError) -> Failure {
    Failure { status: Status::Source, message: error.to_string() }
}
