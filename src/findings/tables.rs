//! Provides the tables `findings`, `coverage` and `flow_groups`. One analysis makes all when one of them is first read.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMillisecondArray, UInt64Array};
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::{Coverage, Finding, Gate, Input, analyze};
use crate::engine::{Archive, Explorer, Scope, Session, SessionError};
use crate::queries;
use crate::time::Timestamp;

/// Rows of the tables that one analysis makes.
pub struct Tables {
    findings: RecordBatch,
    coverage: RecordBatch,
    flow_groups: Vec<RecordBatch>,
    /// The verdict word.
    pub word: String,
    /// What was read for it.
    pub input: Input,
}

/// Future of the tables.
pub type MadeTables = BoxFuture<'static, Result<Arc<Tables>, SessionError>>;

impl Tables {
    /// Analyses an archive.
    pub async fn make(archive: Arc<Archive>, scope: Arc<Scope>) -> Result<Self, SessionError> {
        let mut session = Session::over(archive, scope)?;
        let analysis = analyze(&mut session, &Gate::default()).await?;
        Ok(Self {
            findings: findings(&analysis.findings)?,
            coverage: coverage(&analysis.coverage)?,
            flow_groups: session.collect(queries::SHOWN_GROUPS, vec![]).await?,
            word: analysis.status.word.to_string(),
            input: analysis.input,
        })
    }
}

/// Adds the tables to an explorer, without reading flows. Adds none if it has no sources.
pub async fn provide(explorer: &mut Explorer) -> Result<(), SessionError> {
    if !explorer.has_flows() {
        return Ok(());
    }
    let made: Arc<OnceCell<Arc<Tables>>> = Arc::default();
    let (archive, scope) = (Arc::clone(explorer.archive()), Arc::clone(explorer.scope()));
    provide_from(explorer, move || {
        let (made, archive, scope) = (Arc::clone(&made), Arc::clone(&archive), Arc::clone(&scope));
        Box::pin(async move {
            let make = async || Ok::<_, SessionError>(Arc::new(Tables::make(archive, scope).await?));
            Ok(Arc::clone(made.get_or_try_init(make).await?))
        })
    })
    .await
}

/// Adds the tables to an explorer. `made` is called when a query first reads one of them.
pub async fn provide_from(
    explorer: &mut Explorer,
    made: impl Fn() -> MadeTables + Clone + Send + Sync + 'static,
) -> Result<(), SessionError> {
    let flow_groups = {
        let session = Session::over(Arc::clone(explorer.archive()), Arc::clone(explorer.scope()))?;
        session.declare(queries::FLOW_PASS).await?;
        session.declare(queries::FLOW_GROUPS).await?;
        session.schema_of(queries::SHOWN_GROUPS).await?
    };
    let no_findings = findings(&[])?;
    let schemas = [no_findings.schema(), coverage(&[])?.schema(), flow_groups];
    let take: [fn(&Tables) -> Vec<RecordBatch>; 3] = [
        |tables| vec![tables.findings.clone()],
        |tables| vec![tables.coverage.clone()],
        |tables| tables.flow_groups.clone(),
    ];
    for ((name, schema), take) in ["findings", "coverage", "flow_groups"].into_iter().zip(schemas).zip(take) {
        let made = made.clone();
        explorer.provide(name, schema, move || {
            let made = made();
            Box::pin(async move { Ok(take(&*made.await?)) })
        })?;
    }
    Ok(())
}

pub(super) fn text<R>(rows: &[R], value: impl Fn(&R) -> Option<String>) -> ArrayRef {
    Arc::new(StringArray::from_iter(rows.iter().map(value)))
}

pub(super) fn count_or_null<R>(rows: &[R], value: impl Fn(&R) -> Option<i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(rows.iter().map(value)))
}

fn count<R>(rows: &[R], value: impl Fn(&R) -> i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(rows.iter().map(value)))
}

pub(super) fn time<R>(rows: &[R], value: impl Fn(&R) -> Option<Timestamp>) -> ArrayRef {
    let times = rows.iter().map(|row| value(row).map(|Timestamp(ms)| ms));
    Arc::new(TimestampMillisecondArray::from_iter(times).with_timezone("UTC"))
}

/// Returns one row per finding, in the same order.
pub fn findings(rows: &[Finding]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let ports = |f: &Finding| f.subject.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(";");
    let score = rows.iter().map(|f| f.grade.score.value());
    RecordBatch::try_from_iter_with_nullable([
        ("rank", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|f| f.rank))) as ArrayRef, false),
        ("id", text(rows, |f| Some(f.identity.id.clone())), false),
        ("fingerprint", text(rows, |f| Some(f.identity.fingerprint.clone())), false),
        ("kind", text(rows, |f| Some(f.identity.kind.to_string())), false),
        ("severity", text(rows, |f| Some(f.grade.severity.to_string())), false),
        ("score", Arc::new(Float64Array::from_iter_values(score)), false),
        ("confidence", text(rows, |f| Some(f.grade.confidence.to_string())), false),
        ("verdict", text(rows, |f| Some(f.grade.verdict.to_string())), false),
        ("state", text(rows, |f| Some(f.grade.state.to_string())), false),
        ("requirement", text(rows, |f| f.subject.requirement.clone()), true),
        ("candidates", text(rows, |f| Some(f.subject.candidates.join(","))), false),
        ("direction", text(rows, |f| Some(f.subject.direction.to_string())), false),
        ("vantage", text(rows, |f| Some(f.subject.vantage.to_string())), false),
        ("subnet", text(rows, |f| Some(f.subject.subnet.clone())), false),
        ("protocol", text(rows, |f| Some(f.subject.protocol.clone())), false),
        ("ports", text(rows, |f| Some(ports(f))), false),
        ("acl", text(rows, |f| f.blame.acl.clone()), true),
        ("rule", text(rows, |f| f.blame.rule.clone()), true),
        ("rule_origin", text(rows, |f| Some(f.blame.rule_origin.to_string())), false),
        ("denied_tuples", count(rows, |f| f.denials.denied_tuples), false),
        ("denied_tuples_24h", count(rows, |f| f.denials.denied_tuples_24h), false),
        ("allowed_24h", count(rows, |f| f.denials.allowed_24h), false),
        ("first_denied", time(rows, |f| f.times.first_denied), true),
        ("last_denied", time(rows, |f| f.times.last_denied), true),
        ("last_allowed_before", time(rows, |f| f.times.last_allowed_before), true),
        ("hint", text(rows, |f| f.meaning.hint.clone()), true),
        ("explanation", text(rows, |f| Some(f.explanation.clone())), false),
    ])
}

/// Returns one row per requirement and subnet, in the same order.
fn coverage(rows: &[Coverage]) -> Result<RecordBatch, arrow::error::ArrowError> {
    RecordBatch::try_from_iter_with_nullable([
        ("requirement", text(rows, |c| Some(c.requirement.clone())), false),
        ("subnet", text(rows, |c| Some(c.subnet.clone())), false),
        ("direction", text(rows, |c| Some(c.direction.to_string())), false),
        ("protocol", text(rows, |c| Some(c.protocol.clone())), false),
        ("ports", text(rows, |c| Some(c.ports.join(";"))), false),
        ("source", text(rows, |c| Some(c.source.name().to_owned())), false),
        ("destination", text(rows, |c| Some(c.destination.name().to_owned())), false),
        ("necessity", text(rows, |c| Some(c.necessity.to_string())), false),
        ("verdict", text(rows, |c| Some(c.verdict.to_string())), false),
        ("denied_tuples", count(rows, |c| c.denied_tuples), false),
        ("allowed_tuples", count(rows, |c| c.allowed_tuples), false),
        ("first_flow", time(rows, |c| c.first_flow), true),
        ("last_flow", time(rows, |c| c.last_flow), true),
        ("silent_since", time(rows, |c| c.silent_since), true),
    ])
}
