//! The entry to the engine: tables and functions over an archive and a scope, and the queries of the analysis.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::collect;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use object_store::ObjectStore;
use tracing::debug;

use super::archive::{Archive, SessionOptions};
use super::error::SessionError;
use super::fragment::Functions;
use super::functions::analysis;
use super::functions::locator::ScopeLocator;
use super::groups;
use super::groups::{addresses_of, busiest, together};
use super::logged;
use super::rows::ResultRows;
use super::scan::look::Round;
use super::scope::Scope;
use super::tables::catalog;
use crate::catalog::ServiceTags;
use crate::net::Prefix;
use crate::queries::{FLOW_PASS, Query};
use crate::schema::Text;
use crate::source::Source;

/// An archive, a scope, and the queries of `queries/` over them.
pub struct Session {
    context: SessionContext,
    archive: Arc<Archive>,
    scope: Arc<Scope>,
}

/// Values for the `$name` parameters of a query.
pub type Params = Vec<(&'static str, ScalarValue)>;

impl Deref for Session {
    type Target = Archive;

    fn deref(&self) -> &Archive {
        &self.archive
    }
}

impl Session {
    /// Opens an archive, as [`Archive::open`] does, and a session over it.
    pub async fn open(sources: &[Source], scope: Scope, options: SessionOptions) -> Result<Self, SessionError> {
        Self::over(Arc::new(Archive::open(sources, options).await?), Arc::new(scope))
    }

    /// Creates a session over an open archive. Reads no flows.
    pub fn over(archive: Arc<Archive>, scope: Arc<Scope>) -> Result<Self, SessionError> {
        let config = SessionConfig::new()
            .with_target_partitions(archive.partitions)
            .with_information_schema(true)
            // Further passes find no improvement in our queries.
            .set_usize("datafusion.optimizer.max_passes", 1)
            .set_str("datafusion.execution.time_zone", "UTC")
            // This rule would call a function that returns a struct once per field that is read.
            .set_bool("datafusion.optimizer.enable_leaf_expression_pushdown", false);
        let runtime = RuntimeEnvBuilder::new()
            .with_object_list_cache_limit(0)
            .with_object_store_registry(Arc::clone(&archive.registry) as Arc<dyn ObjectStoreRegistry>)
            .build_arc()?;
        let context = SessionContext::new_with_config_rt(config, runtime);
        // Both tables have the same flows: one form for users, the other for functions that process every row.
        context.register_table("flows", Arc::new(archive.flows()))?;
        context.register_table("coded_flows", Arc::new(archive.flows_as(Text::Coded)))?;
        context.register_udaf(addresses_of::addresses());
        context.register_udaf(busiest::busiest());
        let session = Self { context, archive, scope };
        session.register_scope()?;
        Ok(session)
    }

    /// Registers the small tables and functions that depend on the scope, in place of earlier ones.
    fn register_scope(&self) -> Result<(), SessionError> {
        for (name, table) in catalog::all(&self.scope)? {
            self.put_table(name, table)?;
        }
        let places = Arc::new(ScopeLocator::new(&self.scope));
        analysis::all(&self.scope, &places).into_iter().for_each(|function| self.context.register_udf(function));
        self.context.register_udaf(groups::aggregate(&self.scope, &places));
        self.context.register_udaf(logged::aggregate(&self.scope, &places));
        Ok(())
    }

    fn put_table(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<(), SessionError> {
        self.context.deregister_table(name)?;
        self.context.register_table(name, table)?;
        Ok(())
    }

    /// Sets the scope to `members`, each shown under the subnet at its index in `subnets`.
    pub fn set_subnets(&mut self, subnets: Vec<Prefix>, members: Vec<(IpAddr, u32)>) -> Result<(), SessionError> {
        self.scope = Arc::new((*self.scope).clone().with_members(subnets, members));
        self.register_scope()
    }

    /// Replaces the loaded service tags.
    pub fn set_service_tags(&mut self, tags: Option<ServiceTags>) -> Result<(), SessionError> {
        self.scope = Arc::new((*self.scope).clone().with_service_tags(tags));
        self.register_scope()
    }

    /// Scans the archive once for several sessions over it, and registers in each the pass of its own scope, as the
    /// query [`queries::FLOW_PASS`] alone would. `subnets` are the prefixes of all scopes together, separated by `;`.
    ///
    /// [`queries::FLOW_PASS`]: crate::queries::FLOW_PASS
    pub async fn pass_together(sessions: &[&Self], subnets: String) -> Result<(), SessionError> {
        let Some(first) = sessions.first() else { return Ok(()) };
        // Instances that differ only in their receivers share a scope.
        let mut scopes: Vec<&Scope> = Vec::new();
        let mut places = Vec::new();
        for session in sessions {
            let known = scopes.iter().position(|scope| **scope == *session.scope);
            places.push(known.unwrap_or(scopes.len()));
            if known.is_none() {
                scopes.push(&session.scope);
            }
        }
        let context = first.context.clone();
        context.register_udaf(together::aggregate(&scopes));
        let text = format!(
            "SELECT {}({}) AS passes FROM coded_flows WHERE ip_in(src_ip, $subnets) OR ip_in(dst_ip, $subnets)",
            together::NAME,
            groups::arguments()
        );
        let frame = context.sql(&text).await?.with_param_values(vec![("subnets", ScalarValue::from(subnets))])?;
        let batches = collected(frame, &first.archive, &first.scope).await?;
        context.deregister_udaf(together::NAME);
        for (session, place) in sessions.iter().zip(places) {
            let own = batches.iter().map(|batch| {
                let pass = Arc::clone(batch.column(0).as_struct().column(place));
                RecordBatch::try_from_iter([("pass", pass)])
            });
            let own: Vec<RecordBatch> = own.collect::<Result<_, _>>().map_err(DataFusionError::from)?;
            let Some(schema) = own.first().map(RecordBatch::schema) else { continue };
            session.put_rows(FLOW_PASS.id, schema, &own)?;
        }
        Ok(())
    }

    /// Returns whether the rows of a query are registered as a table.
    pub fn has(&self, query: Query) -> Result<bool, SessionError> {
        Ok(self.context.table_exist(query.id)?)
    }

    /// Drops the loaded service tags if the logs come only from other clouds. Returns the cloud of the dropped file;
    /// `None` if nothing was dropped.
    pub fn drop_tags_of_other_clouds(&mut self) -> Result<Option<String>, SessionError> {
        let cloud = self.cloud_of_foreign_tags();
        if cloud.is_some() {
            self.set_service_tags(None)?;
        }
        Ok(cloud)
    }

    /// Returns the cloud of the loaded service tags if the logs come only from other clouds.
    pub fn cloud_of_foreign_tags(&self) -> Option<String> {
        let is_foreign = |cloud: &String| {
            let clouds = self.clouds();
            !clouds.is_empty() && !clouds.iter().any(|known| known.eq_ignore_ascii_case(cloud))
        };
        self.scope.service_tags().and_then(|tags| tags.cloud.clone()).filter(is_foreign)
    }

    /// Registers the flows of a look as the table `looked_flows`, in place of earlier ones.
    pub fn look_at(&self, round: Round) -> Result<(), SessionError> {
        self.put_table("looked_flows", Arc::new(self.archive.looked_flows(round)))
    }

    /// Runs a query of `queries/` and collects its rows. Values are bound as parameters, never pasted as text.
    pub async fn collect(&self, query: Query, params: Params) -> Result<Vec<RecordBatch>, SessionError> {
        Ok(self.run(query, params).await?.1)
    }

    /// Runs a query without parameters, as [`Self::collect`] does, and returns rows that are read by column name.
    pub async fn table(&self, query: Query) -> Result<ResultRows, SessionError> {
        Ok(ResultRows::new(query.id, self.collect(query, vec![]).await?)?)
    }

    /// Runs a query and registers its rows as a table with the query's id. Only for small results.
    pub async fn materialize(&self, query: Query, params: Params) -> Result<(), SessionError> {
        self.materialize_as(query.id, query, params).await
    }

    /// Runs a query as [`Self::materialize`] does, under another table name. Replaces a table of this name.
    pub async fn materialize_as(&self, name: &str, query: Query, params: Params) -> Result<(), SessionError> {
        let (schema, batches) = self.run(query, params).await?;
        self.put_rows(name, schema, &batches)
    }

    fn put_rows(&self, name: &str, schema: SchemaRef, batches: &[RecordBatch]) -> Result<(), SessionError> {
        let batches: Vec<RecordBatch> = batches
            .iter()
            .map(|batch| as_planned(batch, &schema))
            .collect::<Result<_, _>>()
            .map_err(DataFusionError::from)?;
        self.put_table(name, Arc::new(MemTable::try_new(schema, vec![batches])?))
    }

    /// Runs a query as [`Self::materialize`] does, and returns its rows.
    pub async fn materialize_table(&self, query: Query) -> Result<ResultRows, SessionError> {
        let (schema, batches) = self.run(query, vec![]).await?;
        self.put_rows(query.id, schema, &batches)?;
        Ok(ResultRows::new(query.id, batches)?)
    }

    /// Returns the rows of a materialized query.
    pub async fn materialized(&self, query: Query) -> Result<ResultRows, SessionError> {
        Ok(ResultRows::new(query.id, self.rows_of(query.id).await?)?)
    }

    /// Registers an empty table with the columns of a query.
    pub async fn declare(&self, query: Query) -> Result<(), SessionError> {
        let schema = self.schema_of(query).await?;
        self.put_rows(query.id, schema, &[])
    }

    /// Drops the table of a materialized query.
    pub fn forget(&self, query: Query) -> Result<(), SessionError> {
        self.context.deregister_table(query.id)?;
        Ok(())
    }

    /// Returns the columns of a query without running it.
    pub async fn schema_of(&self, query: Query) -> Result<SchemaRef, SessionError> {
        Ok(Arc::new(self.context.sql(query.sql).await?.schema().as_arrow().clone()))
    }

    /// Returns all rows of a registered table.
    pub async fn rows_of(&self, table: &str) -> Result<Vec<RecordBatch>, SessionError> {
        Ok(self.context.table(table).await?.collect().await?)
    }

    /// Runs any SQL text without checks, and collects its rows. Only for tests and for text that the caller has checked.
    pub async fn sql(&self, text: &str) -> Result<Vec<RecordBatch>, SessionError> {
        Ok(collected(self.context.sql(text).await?, &self.archive, &self.scope).await?)
    }

    /// Makes later scans of the source's container read through `store`, such as a wrapper that meters.
    pub fn put_store(&self, source: &Source, store: Arc<dyn ObjectStore>) {
        self.context.register_object_store(source.store.url(), store);
    }

    /// Returns the scope.
    pub fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Returns the archive.
    pub fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// Runs a query in a spawned task. Because planning is CPU-bound, queries that are awaited together then run in
    /// parallel.
    async fn run(&self, query: Query, params: Params) -> Result<(SchemaRef, Vec<RecordBatch>), SessionError> {
        let (context, archive, scope) = (self.context.clone(), Arc::clone(&self.archive), Arc::clone(&self.scope));
        let started = Instant::now();
        let run = async move {
            let mut state = context.state();
            let plan = state.create_logical_plan(query.sql).await?;
            if !reads_flows(&plan)? {
                // Spreading the rows of small tables over threads costs more than it saves.
                state.config_mut().options_mut().execution.target_partitions = 1;
            }
            let frame = DataFrame::new(state, plan);
            let frame = if params.is_empty() { frame } else { frame.with_param_values(params)? };
            let schema = Arc::new(frame.schema().as_arrow().clone());
            let batches = collected(frame, &archive, &scope).await?;
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            debug!(query = query.id, rows, ms = millis(started), "answered");
            Ok((schema, batches))
        };
        let ended = SpawnedTask::spawn(run).join().await;
        ended.unwrap_or_else(|error| Err(DataFusionError::ExecutionJoin(Box::new(error)))).map_err(SessionError::from)
    }
}

/// Runs a query and collects its rows. The archive counts what it reads.
async fn collected(
    frame: DataFrame,
    archive: &Archive,
    scope: &Arc<Scope>,
) -> Result<Vec<RecordBatch>, DataFusionError> {
    let task = Arc::new(frame.task_ctx());
    let plan = archive.spread(frame.create_physical_plan().await?, scope, Functions::Analysis)?;
    archive.follow(&plan)?;
    collect(plan, task).await
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Returns whether the plan scans blobs.
fn reads_flows(plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    plan.exists(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(false) };
        Ok(["flows", "coded_flows", "looked_flows"].contains(&scan.table_name.table()))
    })
}

/// Casts a batch to the planned schema. A plan may give another text encoding and nullability than it declares.
fn as_planned(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}
