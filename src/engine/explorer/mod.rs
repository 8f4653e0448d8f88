//! Read-only user queries over the documented tables: one session with a memory limit.

pub(super) mod bounded;
pub(super) mod dialect;
mod distinct_addresses;
pub(super) mod error;
pub(super) mod guard;
mod late_text;
mod literals;
mod macros;
mod notes;
pub(super) mod params;
mod planning;
mod pool;
pub(super) mod read_only;
mod resident;
pub(super) mod running;
pub(super) mod suggest;
mod summary;
mod views;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    TableProvider,
};
use datafusion::common::{DataFusionError, internal_datafusion_err};
use datafusion::execution::memory_pool::{MemoryPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
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
use super::tables::lookup;
use super::tables::lookup::LookupError;
use crate::queries;
use crate::schema::Text;
use bounded::BoundFunctions;
use dialect::{Asked, REWRITTEN};
use error::{CATALOG, Explain, Names, QueryError, Stage};
use late_text::LateText;
use literals::TypedLiterals;
use params::ParamValues;
use planning::{Plan, display};
use pool::Pool;
use read_only::Statement;
use resident::Watch;
use running::{Planned, Running};
use views::Views;

/// Session for user queries over an archive and a scope.
pub struct Explorer {
    context: SessionContext,
    /// Context with the same tables and plain strings as text, for queries that run short of memory.
    frugal: SessionContext,
    archive: Arc<Archive>,
    scope: Arc<Scope>,
    memory: QueryMemory,
    views: Views,
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
            .with_default_catalog_and_schema(CATALOG, "public")
            .with_target_partitions(archive.partitions)
            .with_batch_size(batch_size)
            .with_information_schema(true)
            .with_sort_spill_reservation_bytes(reserved)
            .set_str("datafusion.execution.time_zone", "UTC")
            .set_str("datafusion.execution.spill_compression", "lz4_frame")
            .set_bool("datafusion.sql_parser.collect_spans", true);
        let context = SessionContext::new_with_config_rt(config, runtime);
        context.add_analyzer_rule(Arc::new(TypedLiterals));
        context.add_analyzer_rule(Arc::new(ExactComparisons));
        context.add_analyzer_rule(Arc::new(BoundFunctions));
        if archive.late_text {
            context.add_optimizer_rule(Arc::new(LateText));
        }
        user::register(&context, &scope)?;
        let frugal =
            SessionStateBuilder::new_from_existing(context.state()).with_catalog_list(no_tables(&context)?).build();
        let frugal = SessionContext::new_with_state(frugal);
        let explorer = Self { context, frugal, archive, scope, memory, views: Views::default() };
        if explorer.has_flows() {
            let (flows, plain) = (explorer.archive.flows(), explorer.archive.flows_as(Text::Plain));
            explorer.put_both("flows", Arc::new(flows), Arc::new(plain))?;
            let denied = explorer.context.sql(queries::DENIED_FLOWS.sql).await?.into_view();
            let frugal = explorer.frugal.sql(queries::DENIED_FLOWS.sql).await?.into_view();
            explorer.put_both("denied_flows", denied, frugal)?;
        }
        for (name, table) in catalog::shown(&explorer.scope)? {
            explorer.put(name, table)?;
        }
        if explorer.has_flows() {
            explorer.put("blobs", deferred::blobs(&explorer.archive)?)?;
            explorer.put("problems", deferred::problems(&explorer.archive, &explorer.scope)?)?;
        }
        let state = explorer.context.state();
        let functions = [
            state.scalar_functions().keys().cloned().collect::<Vec<_>>(),
            state.aggregate_functions().keys().cloned().collect(),
            state.window_functions().keys().cloned().collect(),
            REWRITTEN.map(str::to_owned).to_vec(),
        ];
        let mut functions = functions.concat();
        functions.sort_unstable();
        functions.dedup();
        explorer.views.rename(|names| names.functions = functions);
        Ok(explorer)
    }

    /// Returns a session with the same tables and settings. Later settings of one do not reach the other. It cannot
    /// define views, because both share their tables.
    pub fn fork(&self) -> Self {
        let own = |context: &SessionContext| SessionContext::new_with_state(context.state());
        Self {
            context: own(&self.context),
            frugal: own(&self.frugal),
            archive: Arc::clone(&self.archive),
            scope: Arc::clone(&self.scope),
            memory: self.memory.clone(),
            views: self.views.fixed(),
        }
    }

    /// Adds tables and functions for programs, which no message suggests. `add` is called once per context.
    pub fn extend(&mut self, add: impl Fn(&SessionContext) -> Result<(), DataFusionError>) -> Result<(), SessionError> {
        add(&self.context)?;
        Ok(add(&self.frugal)?)
    }

    /// Returns whether there are sources. Without any, only the tables of the scope exist.
    pub fn has_flows(&self) -> bool {
        !self.archive.listed().is_empty()
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

    /// Registers the rows of a CSV or Parquet file as a table.
    pub fn add_lookup(&mut self, name: &str, path: &Path) -> Result<(), LookupError> {
        if self.names().tables.iter().any(|(known, _)| known == name) {
            return Err(LookupError::Taken(name.to_owned()));
        }
        let table = lookup::open(path)?;
        self.put(name, table).map_err(LookupError::Session)
    }

    /// Sets the time zone in which answers show times. The zone must exist.
    pub fn set_time_zone(&self, zone: &str) {
        for context in [&self.context, &self.frugal] {
            let state = context.state_ref();
            state.write().config_mut().options_mut().execution.time_zone = Some(zone.to_owned());
        }
    }

    fn put(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<(), SessionError> {
        self.put_both(name, Arc::clone(&table), table)
    }

    /// Registers a table, and the variant for the frugal context.
    fn put_both(
        &self,
        name: &str,
        table: Arc<dyn TableProvider>,
        frugal: Arc<dyn TableProvider>,
    ) -> Result<(), SessionError> {
        let columns = table.schema().fields().iter().map(|field| field.name().clone()).collect();
        self.views.rename(|names| names.tables.push((name.to_owned(), columns)));
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
    pub fn parse_any(&self, text: &str) -> Result<VecDeque<Asked>, QueryError> {
        read_only::bounded(text, self.views.total_links())?;
        dialect::parsed(text).map_err(|error| self.explain(text).error(error, Stage::Planning))
    }

    /// Parses a text and returns its statement at an index, if that may run.
    pub fn statement(&self, text: &Arc<str>, place: usize) -> Result<Statement, QueryError> {
        let parsed = self.parse_any(text)?.remove(place);
        let parsed =
            parsed.ok_or_else(|| QueryError::Engine(internal_datafusion_err!("a statement that is no more")))?;
        read_only::allowed(parsed, text, place)
    }

    /// Plans a statement without reading anything. Returns `None` for a setting or a definition, which takes effect at
    /// once.
    ///
    /// The optimizer folds constants, and a function of constants may take minutes. So planning runs on its own thread,
    /// which continues without effect if the caller stops waiting.
    pub async fn plan(&self, statement: Statement, values: ParamValues) -> Result<Option<Planned>, QueryError> {
        let explain = self.explain(&statement.text);
        let contexts = [&self.context, &self.frugal];
        if let Some(applied) = self.views.apply(&statement, contexts) {
            return applied.map(|()| None);
        }
        let planning = {
            let (context, frugal, archive) = (self.context.clone(), self.frugal.clone(), Arc::clone(&self.archive));
            // A decoded row takes many times the stored bytes of its tuple.
            let is_large = self.archive.size() > self.memory.bytes as u64 / 32;
            let display = display(&context);
            let (watch, reserves) = (self.memory.watch.clone(), 3 * self.memory.queries);
            let scope = Arc::clone(&self.scope);
            let running = Running { archive, scope, watch, reserves, explain: explain.clone(), display };
            let own = (self.views.macros(), self.views.total_links());
            let runtime = Handle::current();
            move || {
                let planned = planning::planned(&context, (frugal, is_large), running, statement, values, own);
                bounded::planning(|| runtime.block_on(planned))
            }
        };
        let fault = |error| explain.error(DataFusionError::ExecutionJoin(Box::new(error)), Stage::Planning);
        match spawn_blocking(planning).await.map_err(fault)?? {
            Plan::Setting => Ok(None),
            Plan::Query(planned) => Ok(Some(*planned)),
            Plan::View(view) => self.views.define(*view, contexts).map(|()| None),
        }
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
            let plan = context.state().statement_to_plan(dialect::again(&text, place)?).await?;
            read_only::options(false).verify_plan(&plan)?;
            Ok(plan)
        };
        let planned = spawn_blocking(move || bounded::planning(|| runtime.block_on(plan))).await;
        let planned = planned.unwrap_or_else(|error| Err(DataFusionError::ExecutionJoin(Box::new(error))));
        planned.map_err(|error| self.explain(&statement.text).error(error, Stage::Planning))
    }

    fn explain(&self, text: &str) -> Explain {
        let (names, memory) = (self.names(), in_words(self.memory.bytes));
        Explain { text: text.into(), names, has_flows: self.has_flows(), memory }
    }

    /// Returns the names that queries may use now.
    pub fn names(&self) -> Arc<Names> {
        self.views.names()
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

/// Formats bytes for users.
fn in_words(bytes: usize) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}
