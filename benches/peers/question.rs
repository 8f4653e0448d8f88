//! The question of `run.py`, asked of `flows`: `question FOLDER` prints CSV without a header.
//!
//! It stands for `flowgap sql -c`, which does not exist yet.

use std::error::Error;
use std::io::{self, BufWriter, Write};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use flowgap::catalog::Catalog;
use flowgap::engine::{Scope, Session, SessionOptions};
use flowgap::source::Source;

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUESTION: &str = "
    SELECT
        rule, dst_port, protocol, direction,
        count(*), count(DISTINCT dst_ip), CAST(min(time) AS BIGINT), CAST(max(time) AS BIGINT)
    FROM flows
    WHERE decision = 'deny'
    GROUP BY rule, dst_port, protocol, direction
    ORDER BY rule, dst_port, protocol, direction";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sources: Vec<Source> = std::env::args().skip(1).map(|folder| folder.parse()).collect::<Result<_, _>>()?;
    let catalog = Catalog::built_in()?;
    let edition = catalog.default_edition().unwrap_or_default().to_owned();
    let scope = Scope { subnets: vec![], vnet: vec![], vnet_mode: None, catalog, edition, service_tags: None };
    let session = Session::open(&sources, scope, SessionOptions::default()).await?;
    let mut out = BufWriter::new(io::stdout().lock());
    for batch in session.sql(QUESTION).await?.collect().await? {
        let options = FormatOptions::default();
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            writeln!(out, "{}", values.join(","))?;
        }
    }
    Ok(())
}
