//! What all sessions share: the listed sources, the last whole analysis, and the memory of queries.
//!
//! The sources are listed again from time to time. What changed is analysed in the background, and queries see the last
//! whole analysis meanwhile.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::SchemaRef;
use chrono::Utc;
use futures::future::BoxFuture;
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::metrics::Metrics;
use super::pg;
use crate::engine::{Archive, Explorer, QueryMemory, Scope, Session, SessionError};
use crate::findings::configured::{self, Configuration};
use crate::findings::tables::{MadeTables, Tables, provide_from};
use crate::time::Timestamp;

/// Lists the sources again. The error is a message for users.
pub type Open = Arc<dyn Fn() -> BoxFuture<'static, Result<Session, String>> + Send + Sync>;

/// A whole analysis.
struct Analyzed {
    /// Time of the list that it is about, in ms since 1970.
    time: i64,
    tables: Arc<Tables>,
}

/// Last analysis, or why there is none yet.
type LastAnalysis = Option<Result<Arc<Analyzed>, String>>;

/// State that sessions share.
pub struct Workspace {
    explorer: RwLock<Arc<Explorer>>,
    memory: QueryMemory,
    analyses: watch::Sender<LastAnalysis>,
    metrics: Arc<Metrics>,
}

/// A list that waits for its analysis.
#[derive(Clone)]
struct Listed {
    archive: Arc<Archive>,
    scope: Arc<Scope>,
    time: i64,
}

impl Workspace {
    /// Opens the sources and begins the analysis in the background. Lists them again every `refresh`.
    pub async fn open(
        session: Session,
        open: Open,
        refresh: Duration,
        memory: QueryMemory,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, SessionError> {
        let (analyses, analysed) = watch::channel(None);
        let explorer = explorer(&session, &memory, &analysed).await?;
        let listed = Listed::now(&session);
        metrics.listed_at.store(listed.time, Ordering::Relaxed);
        let workspace = Self { explorer: RwLock::new(Arc::new(explorer)), memory, analyses, metrics };
        let workspace = Arc::new(workspace);
        let (lists, waiting) = watch::channel(listed);
        tokio::spawn(analyse(Arc::clone(&workspace), waiting));
        tokio::spawn(Arc::clone(&workspace).refresh(open, refresh, lists));
        Ok(workspace)
    }

    /// Returns the session that others fork.
    pub fn explorer(&self) -> Arc<Explorer> {
        Arc::clone(&self.explorer.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the bytes that running queries have reserved.
    pub fn reserved(&self) -> usize {
        self.memory.reserved()
    }

    /// Lists the sources again and again. A failure leaves the last list in place.
    async fn refresh(self: Arc<Self>, open: Open, every: Duration, lists: watch::Sender<Listed>) {
        let mut last = lists.borrow().archive.digest();
        loop {
            sleep(every).await;
            let listed = async {
                let session = open().await?;
                let digest = session.archive().digest();
                if digest != last {
                    let explorer = explorer(&session, &self.memory, &self.analyses.subscribe()).await;
                    let explorer = explorer.map_err(|error| error.to_string())?;
                    *self.explorer.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(explorer);
                    lists.send_replace(Listed::now(&session));
                }
                Ok::<_, String>(digest)
            };
            match listed.await {
                Ok(digest) => {
                    last = digest;
                    self.metrics.listed.fetch_add(1, Ordering::Relaxed);
                    self.metrics.listed_at.store(Utc::now().timestamp_millis(), Ordering::Relaxed);
                }
                Err(why) => {
                    self.metrics.failed_refreshes.fetch_add(1, Ordering::Relaxed);
                    warn!("the sources are not listed again: {why}");
                }
            }
        }
    }
}

impl Listed {
    fn now(session: &Session) -> Self {
        Self {
            archive: Arc::clone(session.archive()),
            scope: Arc::clone(session.scope()),
            time: Utc::now().timestamp_millis(),
        }
    }
}

/// Analyses the newest list that waits, one at a time.
async fn analyse(workspace: Arc<Workspace>, mut waiting: watch::Receiver<Listed>) {
    loop {
        let Listed { archive, scope, time } = waiting.borrow_and_update().clone();
        // A panic of one analysis must not end the next ones.
        let made = tokio::spawn(Tables::make(archive, scope)).await;
        let made = match made {
            Ok(Ok(tables)) => Ok(Arc::new(Analyzed { time, tables: Arc::new(tables) })),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let Workspace { analyses, metrics, .. } = &*workspace;
        match made {
            Ok(analyzed) => {
                let last_flow = analyzed.tables.input.last_flow.map_or(0, |Timestamp(ms)| ms);
                metrics.analyzed_at.store(analyzed.time, Ordering::Relaxed);
                metrics.last_flow.store(last_flow, Ordering::Relaxed);
                info!(tuples = analyzed.tables.input.tuples, "analysed");
                analyses.send_replace(Some(Ok(analyzed)));
            }
            Err(why) => {
                metrics.failed_refreshes.fetch_add(1, Ordering::Relaxed);
                warn!("the analysis failed: {why}");
                analyses.send_if_modified(|last| {
                    let is_first = !matches!(last, Some(Ok(_)));
                    if is_first {
                        *last = Some(Err(why));
                    }
                    is_first
                });
            }
        }
        if waiting.changed().await.is_err() {
            return;
        }
    }
}

async fn explorer(
    session: &Session,
    memory: &QueryMemory,
    analysed: &watch::Receiver<LastAnalysis>,
) -> Result<Explorer, SessionError> {
    let (archive, scope) = (Arc::clone(session.archive()), Arc::clone(session.scope()));
    let mut explorer = Explorer::open_in(archive, scope, memory.clone()).await?;
    let last = analysed.clone();
    // Named queries read the tables of configured rules, which are empty without files.
    configured::tables::provide(&mut explorer, &Configuration::default())?;
    provide_from(&mut explorer, move || {
        let last = last.clone();
        let made: MadeTables = Box::pin(async move { Ok(Arc::clone(&whole(last).await?.tables)) });
        made
    })
    .await?;
    let last = analysed.clone();
    explorer.provide("analysis", analysis_schema()?, move || {
        let last = last.clone();
        Box::pin(async move { Ok(vec![analysis(&*whole(last).await?)?]) })
    })?;
    pg::add_catalog(&mut explorer)?;
    Ok(explorer)
}

/// Returns the last whole analysis, and waits for the first one.
async fn whole(mut last: watch::Receiver<LastAnalysis>) -> Result<Arc<Analyzed>, SessionError> {
    let failed = |why: String| SessionError::Unavailable(format!("there is no analysis: {why}"));
    let last = last.wait_for(Option::is_some).await.map_err(|_| failed("the server stops".to_owned()))?;
    match &*last {
        Some(Ok(analyzed)) => Ok(Arc::clone(analyzed)),
        Some(Err(why)) => Err(failed(why.clone())),
        None => Err(failed("there is none yet".to_owned())),
    }
}

/// Columns of the table `analysis`: one row about the last whole analysis.
fn analysis_schema() -> Result<SchemaRef, SessionError> {
    Ok(row(None)?.schema())
}

fn analysis(analyzed: &Analyzed) -> Result<RecordBatch, SessionError> {
    row(Some(analyzed))
}

fn row(analyzed: Option<&Analyzed>) -> Result<RecordBatch, SessionError> {
    let input = || analyzed.map(|analyzed| &analyzed.tables.input);
    let time = |ms: Option<i64>| {
        let times = TimestampMillisecondArray::from_iter(analyzed.map(|_| ms)).with_timezone("UTC");
        Arc::new(times) as ArrayRef
    };
    let count = |count: Option<u64>| {
        let counts = count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(counts)) as ArrayRef
    };
    let words = analyzed.map(|analyzed| analyzed.tables.word.clone());
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("analysis_time", time(analyzed.map(|analyzed| analyzed.time)), false),
        ("status", Arc::new(StringArray::from_iter_values(words)), false),
        ("first_flow", time(input().and_then(|input| input.first_flow).map(|Timestamp(ms)| ms)), true),
        ("last_flow", time(input().and_then(|input| input.last_flow).map(|Timestamp(ms)| ms)), true),
        ("blobs", count(input().map(|input| input.blobs)), false),
        ("bytes", count(input().map(|input| input.bytes)), false),
        ("tuples", count(input().map(|input| input.tuples)), false),
        ("denied_tuples", count(input().map(|input| input.denied_tuples)), false),
        ("problems", count(input().map(|input| input.problem_count)), false),
    ])?)
}
