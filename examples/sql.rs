//! Runs a user's query in a bounded amount of memory and reads its rows as they arrive.
//!
//! `cargo run --release --example sql`

use std::error::Error;

use flowgap::catalog::Edition;
use flowgap::engine::{Explorer, ParamValues, Scope, Session, SessionOptions};
use flowgap::source::{Environment, Source};
use futures::TryStreamExt;

/// Reads the example archive of this repository.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let sources = Source::matching("testdata/apim/insights-logs-flowlogflowevent", &Environment::default())?;
    let session = Session::open(&sources, Scope::new(Edition::newest()?), SessionOptions::default()).await?;
    let explorer = Explorer::open(session.archive().clone(), session.scope().clone(), 256 << 20).await?;
    let query = "SELECT rule, count(*) AS denied FROM denied_flows GROUP BY rule ORDER BY denied DESC LIMIT 3";
    for planned in explorer.plan_all(&[query], &ParamValues::new()).await? {
        let batches: Vec<_> = planned.run()?.rows.try_collect().await?;
        println!("{}", arrow::util::pretty::pretty_format_batches(&batches)?);
    }
    Ok(())
}
