//! Analyzes an archive and prints each finding with the rule that blocks it.
//!
//! `cargo run --release --example analyze`

use std::error::Error;

use flowgap::catalog::Edition;
use flowgap::engine::{Scope, Session, SessionOptions};
use flowgap::findings::{Gate, analyze};
use flowgap::source::{Environment, Source};

/// Reads the example archive of this repository.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let sources = Source::matching("testdata/apim/insights-logs-flowlogflowevent", &Environment::default())?;
    let scope = Scope::new(Edition::newest()?).with_subnets(vec!["10.20.1.0/24".parse()?]);
    let mut session = Session::open(&sources, scope, SessionOptions::default()).await?;
    let analysis = analyze(&mut session, &Gate::default()).await?;
    for finding in &analysis.findings {
        let rule = finding.blame.rule.as_deref().unwrap_or("no rule");
        println!("{} {} by {rule}: {}", finding.grade.severity, finding.grade.verdict, finding.explanation);
    }
    Ok(())
}
