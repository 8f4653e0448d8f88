//! Read-only user queries over the documented tables: one session with a memory limit.

mod bounded;
mod distinct_addresses;
pub(super) mod error;
pub(super) mod guard;
mod late_text;
pub(super) mod params;
mod pool;
pub(super) mod read_only;
mod resident;
pub(super) mod running;
pub(super) mod suggest;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    TableProvider,
};
use datafusion::common::{DataFusionError, internal_datafusion_err, plan_err};
use datafusion::execution::memory_pool::{MemoryPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as Parsed;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::archive::Archive;
use super::error::SessionError;
use super::functions::user;
use super::scan::exact::ExactComparisons;
use super::scope::Scope;
use super::tables::catalog;
use super::tables::deferred;
use super::tables::deferred::DeferredRows;
use crate::display::Display;
use crate::queries;
use crate::schema::Text;
use bounded::BoundFunctions;
use error::{Explain, Names, QueryError, Stage};
use late_text::LateText;
use params::ParamValues;
use pool::Pool;
use read_only::Statement;
use resident::Watch;
use running::{Frugal, Needs, Planned, Running};

/// Session for user queries over an archive and a scope.
pub struct Explorer {
    context: SessionContext,
    /// Context with the same tables and plain strings as text, for queries that run short of memory.
    frugal: SessionContext,
    archive: Arc<Archive>,
    scope: Arc<Scope>,
    memory: QueryMemory,
    names: Arc<Names>,
}

/// Memory and disk that queries use together. Clones share both.
#[derive(Clone)]
pub struct QueryMemory {
    pool: Arc<dyn MemoryPool>,
    /// Memory limit of all queries together, in bytes.
    bytes: usize,
    /// Number of queries that may run at a time, at least 1. What a query reserves in advance is divided by it.
    queries: usize,
    watch: Watch,
    /// Folder for the spill files of sorts, joins and groups. It is deleted with all its content when dropped.
    spill: Arc<TempDir>,
}

impl QueryMemory {
    /// Returns memory of `bytes` bytes for up to `queries` queries at a time. Larger queries spill to disk or end with
    /// an error.
    pub fn new(bytes: usize, queries: usize) -> Result<Self, SessionError> {
        let spill = Arc::new(TempDir::with_prefix("flowgap-").map_err(DataFusionError::from)?);
        // Half of the memory is for operators' own counts. They do not count the copies that they make for sorting,
        // merging and spilling.
        let named = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN);
        let pool: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(Pool::new(bytes / 2), named));
        Ok(Self { pool, bytes, queries: queries.max(1), watch: Watch::none(), spill })
    }

    /// Also ends queries under which this process holds much more memory than the limit, counted by operators or not.
    pub fn watch_process(&mut self) {
        self.watch = Watch::beyond(self.bytes);
    }

    /// Returns the folder of the spill files.
    pub fn spill_folder(&self) -> &Path {
        self.spill.path()
    }

    /// Returns the bytes that running queries have reserved.
    pub fn reserved(&self) -> usize {
        self.pool.reserved()
    }
}

impl Explorer {
    /// Opens a session whose queries may use `memory` bytes. Larger queries spill to disk or end with an error.
    pub async fn open(archive: Arc<Archive>, scope: Arc<Scope>, memory: usize) -> Result<Self, SessionError> {
        Self::open_in(archive, scope, QueryMemory::new(memory, 1)?).await
    }

    /// Opens a session that shares its memory with others.
    pub async fn open_in(archive: Arc<Archive>, scope: Arc<Scope>, memory: QueryMemory) -> Result<Self, SessionError> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&memory.pool))
            .with_temp_file_path(memory.spill.path())
            .with_object_list_cache_limit(0)
            .with_object_store_registry(Arc::clone(&archive.registry) as Arc<dyn ObjectStoreRegistry>)
            .build_arc()?;
        // Memory that a sort reserves for its last step, on each core.
        let reserved = memory.bytes / (16 * archive.partitions.max(2) * memory.queries);
        // A row of all columns takes about 1 KB, and operators hold several batches per core.
        let batch_size = (memory.bytes / (archive.partitions.max(2) << 16)).clamp(256, 8192);
        let config = SessionConfig::new()
            .with_target_partitions(archive.partitions)
            .with_batch_size(batch_size)
            .with_information_schema(true)
            .with_sort_spill_reservation_bytes(reserved)
            .set_str("datafusion.execution.time_zone", "UTC")
            .set_str("datafusion.execution.spill_compression", "lz4_frame")
            .set_bool("datafusion.sql_parser.collect_spans", true);
        let context = SessionContext::new_with_config_rt(config, runtime);
        context.add_analyzer_rule(Arc::new(ExactComparisons));
        context.add_analyzer_rule(Arc::new(BoundFunctions));
        if archive.late_text {
            context.add_optimizer_rule(Arc::new(LateText));
        }
        user::all(&scope).into_iter().for_each(|function| context.register_udf(function));
        let frugal =
            SessionStateBuilder::new_from_existing(context.state()).with_catalog_list(no_tables(&context)?).build();
        let frugal = SessionContext::new_with_state(frugal);
        let mut explorer = Self { context, frugal, archive, scope, memory, names: Arc::default() };
        let (flows, plain) = (explorer.archive.flows(), explorer.archive.flows_as(Text::Plain));
        explorer.put_both("flows", Arc::new(flows), Arc::new(plain))?;
        let denied = explorer.context.sql(queries::DENIED_FLOWS.sql).await?.into_view();
        explorer.put("denied_flows", denied)?;
        explorer.frugal.deregister_table("denied_flows")?;
        let denied = explorer.frugal.sql(queries::DENIED_FLOWS.sql).await?.into_view();
        explorer.frugal.register_table("denied_flows", denied)?;
        for (name, table) in catalog::shown(&explorer.scope)? {
            explorer.put(name, table)?;
        }
        explorer.put("blobs", deferred::blobs(&explorer.archive)?)?;
        explorer.put("problems", deferred::problems(&explorer.archive, &explorer.scope)?)?;
        let state = explorer.context.state();
        let functions = [
            state.scalar_functions().keys().cloned().collect::<Vec<_>>(),
            state.aggregate_functions().keys().cloned().collect(),
            state.window_functions().keys().cloned().collect(),
        ];
        let names = Arc::make_mut(&mut explorer.names);
        names.functions = functions.concat();
        names.functions.sort_unstable();
        names.functions.dedup();
        Ok(explorer)
    }

    /// Returns a session with the same tables and settings. Later settings of one do not reach the other.
    pub fn fork(&self) -> Self {
        let own = |context: &SessionContext| SessionContext::new_with_state(context.state());
        Self {
            context: own(&self.context),
            frugal: own(&self.frugal),
            archive: Arc::clone(&self.archive),
            scope: Arc::clone(&self.scope),
            memory: self.memory.clone(),
            names: Arc::clone(&self.names),
        }
    }

    /// Adds tables and functions for programs, which no message suggests. `add` is called once per context.
    pub fn extend(&mut self, add: impl Fn(&SessionContext) -> Result<(), DataFusionError>) -> Result<(), SessionError> {
        add(&self.context)?;
        Ok(add(&self.frugal)?)
    }

    /// Registers a deferred table: `rows` is called when a query first reads it.
    pub fn provide(
        &mut self,
        name: &str,
        schema: SchemaRef,
        rows: impl Fn() -> DeferredRows + Send + Sync + 'static,
    ) -> Result<(), SessionError> {
        self.put(name, deferred::late(schema, rows)?)
    }

    fn put(&mut self, name: &str, table: Arc<dyn TableProvider>) -> Result<(), SessionError> {
        self.put_both(name, Arc::clone(&table), table)
    }

    /// Registers a table, and the variant for the frugal context.
    fn put_both(
        &mut self,
        name: &str,
        table: Arc<dyn TableProvider>,
        frugal: Arc<dyn TableProvider>,
    ) -> Result<(), SessionError> {
        let columns = table.schema().fields().iter().map(|field| field.name().clone()).collect();
        Arc::make_mut(&mut self.names).tables.push((name.to_owned(), columns));
        self.context.register_table(name, table)?;
        self.frugal.register_table(name, frugal)?;
        Ok(())
    }

    /// Makes the session also end queries under which this process holds much more memory than the limit, counted by
    /// operators or not.
    pub fn watch_process(&mut self) {
        self.memory.watch_process();
    }

    /// Parses the statements of `text`. Returns an error if one of them may not run.
    pub fn parse(&self, text: &str) -> Result<Vec<Statement>, QueryError> {
        let parsed = self.parse_any(text)?;
        let text: Arc<str> = text.into();
        parsed.into_iter().enumerate().map(|(place, parsed)| read_only::allowed(parsed, &text, place)).collect()
    }

    /// Parses the statements of `text`, whether they may run or not.
    pub fn parse_any(&self, text: &str) -> Result<VecDeque<Parsed>, QueryError> {
        read_only::bounded(text)?;
        read_only::parsed(text).map_err(|error| self.explain(text).error(error, Stage::Planning))
    }

    /// Parses a text and returns its statement at an index, if that may run.
    pub fn statement(&self, text: &Arc<str>, place: usize) -> Result<Statement, QueryError> {
        let parsed = self.parse_any(text)?.remove(place);
        let parsed =
            parsed.ok_or_else(|| QueryError::Engine(internal_datafusion_err!("a statement that is no more")))?;
        read_only::allowed(parsed, text, place)
    }

    /// Sets the time zone of this session.
    pub fn set_time_zone(&self, zone: &str) {
        for context in [&self.context, &self.frugal] {
            context.state_ref().write().config_mut().options_mut().execution.time_zone = Some(zone.to_owned());
        }
    }

    /// Plans a statement without reading anything. Returns `None` for a setting, which takes effect at once.
    ///
    /// The optimizer folds constants, and a function of constants may take minutes. So planning runs on its own thread,
    /// which continues without effect if the caller stops waiting.
    pub async fn plan(&self, statement: Statement, values: ParamValues) -> Result<Option<Planned>, QueryError> {
        let explain = self.explain(&statement.text);
        let planning = {
            let (context, frugal, archive) = (self.context.clone(), self.frugal.clone(), Arc::clone(&self.archive));
            // A decoded row takes many times the stored bytes of its tuple.
            let is_large = self.archive.size() > self.memory.bytes as u64 / 32;
            let display = display(&context);
            let (watch, reserves) = (self.memory.watch.clone(), 3 * self.memory.queries);
            let running = Running { archive, watch, reserves, explain: explain.clone(), display };
            let runtime = Handle::current();
            move || {
                let planned = planned(&context, (frugal, is_large), running, statement, values);
                bounded::planning(|| runtime.block_on(planned))
            }
        };
        let fault = |error| explain.error(DataFusionError::ExecutionJoin(Box::new(error)), Stage::Planning);
        spawn_blocking(planning).await.map_err(fault)?
    }

    /// Parses and plans all statements of all texts. An error in one is returned before any runs.
    pub async fn plan_all(&self, texts: &[impl AsRef<str>], values: &ParamValues) -> Result<Vec<Planned>, QueryError> {
        let mut statements = Vec::new();
        for text in texts {
            statements.extend(self.parse(text.as_ref())?);
        }
        let mut planned = Vec::new();
        for statement in statements {
            planned.extend(self.plan(statement, values.clone()).await?);
        }
        Ok(planned)
    }

    /// Returns the logical plan of a query, with its parameters open. Reads nothing.
    pub async fn logical_plan(&self, statement: &Statement) -> Result<LogicalPlan, QueryError> {
        let (context, text, place) = (self.context.clone(), Arc::clone(&statement.text), statement.place);
        let runtime = Handle::current();
        let plan = async move {
            // Parsed again, because a copy of a deep statement would take stack.
            let parsed = read_only::parsed(&text)?.remove(place);
            let parsed = parsed.ok_or_else(|| internal_datafusion_err!("a statement that is no more"))?;
            let plan = context.state().statement_to_plan(parsed).await?;
            read_only::options(false).verify_plan(&plan)?;
            Ok(plan)
        };
        let planned = spawn_blocking(move || bounded::planning(|| runtime.block_on(plan))).await;
        let planned = planned.unwrap_or_else(|error| Err(DataFusionError::ExecutionJoin(Box::new(error))));
        planned.map_err(|error| self.explain(&statement.text).error(error, Stage::Planning))
    }

    fn explain(&self, text: &str) -> Explain {
        Explain { text: text.into(), names: Arc::clone(&self.names), memory: in_words(self.memory.bytes) }
    }

    /// Returns the names that queries may use.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Returns the schema of a table, or `None` if there is no such table.
    pub async fn columns(&self, table: &str) -> Option<SchemaRef> {
        Some(self.context.table_provider(table).await.ok()?.schema())
    }

    /// Returns the archive.
    pub fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// Returns the scope.
    pub fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Returns the folder of the spill files.
    pub fn spill_folder(&self) -> &Path {
        self.memory.spill_folder()
    }

    /// Returns the bytes that running queries have reserved.
    pub fn reserved(&self) -> usize {
        self.memory.reserved()
    }
}

async fn planned(
    context: &SessionContext,
    (frugal, is_large): (SessionContext, bool),
    running: Running,
    statement: Statement,
    values: ParamValues,
) -> Result<Option<Planned>, QueryError> {
    let planned = async {
        let plan = context.state().statement_to_plan(statement.parsed).await?;
        read_only::options(statement.is_setting).verify_plan(&plan)?;
        let zone = running.display.time_zone.clone();
        let frame = context.execute_logical_plan(plan).await?;
        if statement.is_setting {
            return check_zone(context, zone).map(|()| None);
        }
        let frame = if values.is_empty() { frame } else { frame.with_param_values(values.clone())? };
        let task = Arc::new(frame.task_ctx());
        let (state, plan) = frame.into_parts();
        let plan = state.create_physical_plan(&plan).await?;
        let (config, needs) = (state.config().clone(), Needs::of(&plan)?);
        let rows = (config.batch_size() / 8).clamp(32, 256);
        let (text, place) = (statement.text, statement.place);
        let frugal = Frugal { context: frugal, config, text, place, values, rows, needs, is_large };
        Ok(Some((plan, task, frugal)))
    };
    let planned = Box::pin(planned).await;
    let explain = running.explain.clone();
    let planned = planned
        .and_then(|planned| planned.map(|(plan, task, frugal)| Planned::new(plan, task, frugal, running)).transpose());
    planned.map_err(|error| explain.error(error, Stage::Planning))
}

/// Returns an empty catalog with the names that `context` uses.
fn no_tables(context: &SessionContext) -> Result<Arc<dyn CatalogProviderList>, DataFusionError> {
    let state = context.state();
    let names = &state.config().options().catalog;
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(&names.default_schema, Arc::new(MemorySchemaProvider::new()))?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(names.default_catalog.clone(), Arc::new(catalog));
    Ok(Arc::new(catalogs))
}

/// Restores the time zone `before` and returns an error if the new zone does not exist.
fn check_zone(context: &SessionContext, before: String) -> Result<(), DataFusionError> {
    let zone = display(context).time_zone;
    if zone.parse::<Tz>().is_ok() {
        return Ok(());
    }
    context.state_ref().write().config_mut().options_mut().execution.time_zone = Some(before);
    plan_err!("there is no time zone '{zone}': write one like UTC, Europe/Berlin or +02:00")
}

fn display(context: &SessionContext) -> Display {
    let state = context.state();
    let options = state.config().options();
    let format = &options.format;
    let own = |format: &Option<String>, default: Option<&str>| format.clone().filter(|f| Some(f.as_str()) != default);
    Display {
        null: Some(format.null.clone()).filter(|null| !null.is_empty()),
        date_format: format.date_format.clone(),
        time_format: format.time_format.clone(),
        timestamp_format: format
            .timestamp_tz_format
            .clone()
            .or_else(|| own(&format.timestamp_format, Some("%Y-%m-%dT%H:%M:%S%.f"))),
        time_zone: options.execution.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
    }
}

/// Formats bytes for users.
fn in_words(bytes: usize) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}
