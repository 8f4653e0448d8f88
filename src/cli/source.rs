//! SOURCE arguments as typed, to sources.

use tempfile::NamedTempFile;
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
    let kept = |error| unopened(SourceError::Pipe(error));
    let file = NamedTempFile::new().map_err(kept)?;
    let mut writer = file.reopen().map_err(kept)?;
    // It may wait for ever. The file goes away when nobody waits any more.
    let reading = tokio::task::spawn_blocking(move || std::io::copy(&mut std::io::stdin().lock(), &mut writer));
    select! {
        Ok(()) = tokio::signal::ctrl_c() => {
            Err(Failure { status: Status::Interrupted, message: "interrupted before anything was read".to_owned() })
        }
        read = reading => match read {
            Ok(copied) => copied.map_err(kept).and_then(|_| Source::of_pipe(file).map_err(unopened)),
            Err(error) => Err(Failure { status: Status::Internal, message: error.to_string() }),
        }
    }
}

pub fn unopened(error: SourceError) -> Failure {
    Failure { status: Status::Source, message: error.to_string() }
}
