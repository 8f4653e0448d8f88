//! One way into the engine: tables and functions over an archive and a scope, and the queries that are asked of them.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

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
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use object_store::ObjectStore;
use tracing::debug;

use super::archive::{Archive, SessionOptions};
use super::error::SessionError;
use super::functions::analysis;
use super::functions::locator::Places;
use super::groups;
use super::groups::{addresses_of, busiest};
use super::scan::look::Round;
use super::scope::Scope;
use super::table::Table;
use super::tables::catalog;
use crate::net::Prefix;
use crate::queries::Query;
use crate::schema::Text;
use crate::source::Source;

/// An archive, and the queries of `queries/` over it.
pub struct Session {
    context: SessionContext,
    archive: Arc<Archive>,
    scope: Arc<Scope>,
}

/// Values for the `$names` of a query.
pub type Params = Vec<(&'static str, ScalarValue)>;

impl Deref for Session {
    type Target = Archive;

    fn deref(&self) -> &Archive {
        &self.archive
    }
}

impl Session {
    /// Lists the sources; a source that cannot be opened, or holds no blob, is an error. Reads no flows yet.
    pub async fn open(sources: &[Source], scope: Scope, options: SessionOptions) -> Result<Self, SessionError> {
        Self::over(Arc::new(Archive::open(sources, options).await?), Arc::new(scope))
    }

    pub fn over(archive: Arc<Archive>, scope: Arc<Scope>) -> Result<Self, SessionError> {
        let config = SessionConfig::new()
            .with_target_partitions(archive.partitions)
            .with_information_schema(true)
            // Further passes find nothing in queries like ours.
            .set_usize("datafusion.optimizer.max_passes", 1)
            .set_str("datafusion.execution.time_zone", "UTC")
            // It would call a function that gives a struct anew for every field asked of it.
            .set_bool("datafusion.optimizer.enable_leaf_expression_pushdown", false);
        let runtime = RuntimeEnvBuilder::new()
            .with_object_list_cache_limit(0)
            .with_object_store_registry(Arc::clone(&archive.registry) as Arc<dyn ObjectStoreRegistry>)
            .build_arc()?;
        let context = SessionContext::new_with_config_rt(config, runtime);
        // The same flows in two forms: for people, and for functions that look at every row.
        context.register_table("flows", Arc::new(archive.flows()))?;
        context.register_table("coded_flows", Arc::new(archive.flows_as(Text::Coded)))?;
        context.register_udaf(addresses_of::addresses());
        context.register_udaf(busiest::busiest());
        let session = Self { context, archive, scope };
        session.register_scope()?;
        Ok(session)
    }

    /// Small tables and functions that answer for the scope.
    fn register_scope(&self) -> Result<(), SessionError> {
        for (name, table) in catalog::all(&self.scope)? {
            self.put_table(name, table)?;
        }
        let places = Arc::new(Places::new(&self.scope));
        analysis::all(&self.scope, &places).into_iter().for_each(|function| self.context.register_udf(function));
        self.context.register_udaf(groups::aggregate(&self.scope, &places));
        Ok(())
    }

    fn put_table(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<(), SessionError> {
        self.context.deregister_table(name)?;
        self.context.register_table(name, table)?;
        Ok(())
    }

    /// Sets the scope to `members`, each shown under the subnet at its place in `subnets`.
    pub fn set_subnets(&mut self, subnets: Vec<Prefix>, members: Vec<(IpAddr, u32)>) -> Result<(), SessionError> {
        self.scope = Arc::new((*self.scope).clone().with_members(subnets, members));
        self.register_scope()
    }

    /// Forgets the loaded service tags where the logs come from other clouds only, and gives the cloud of the file.
    pub fn drop_tags_of_other_clouds(&mut self) -> Result<Option<String>, SessionError> {
        let is_foreign = |cloud: &String| {
            let clouds = self.clouds();
            !clouds.is_empty() && !clouds.iter().any(|known| known.eq_ignore_ascii_case(cloud))
        };
        let cloud = self.scope.service_tags().and_then(|tags| tags.cloud.clone()).filter(is_foreign);
        if cloud.is_some() {
            self.scope = Arc::new((*self.scope).clone().with_service_tags(None));
            self.register_scope()?;
        }
        Ok(cloud)
    }

    /// Makes the flows of a look the table `looked_flows`, in place of those before.
    pub fn look_at(&self, round: Round) -> Result<(), SessionError> {
        self.put_table("looked_flows", Arc::new(self.archive.looked_flows(round)))
    }

    /// Runs a query of `queries/` to its end. Values go in as parameters, never as text.
    pub async fn collect(&self, query: Query, params: Params) -> Result<Vec<RecordBatch>, SessionError> {
        Ok(self.run(query, params).await?.1)
    }

    /// As [`Self::collect`] without parameters, to be read by column name.
    pub async fn table(&self, query: Query) -> Result<Table, SessionError> {
        Ok(Table::new(query.id, self.collect(query, vec![]).await?)?)
    }

    /// Runs a query and keeps its rows as a table of its name. For small results only.
    pub async fn materialize(&self, query: Query, params: Params) -> Result<(), SessionError> {
        self.materialize_as(query.id, query, params).await
    }

    /// As [`Self::materialize`], under another name; a table that has it already is replaced.
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

    /// As [`Self::materialize`], and gives the rows.
    pub async fn materialize_table(&self, query: Query) -> Result<Table, SessionError> {
        let (schema, batches) = self.run(query, vec![]).await?;
        self.put_rows(query.id, schema, &batches)?;
        Ok(Table::new(query.id, batches)?)
    }

    /// The rows that a query was kept with.
    pub async fn materialized(&self, query: Query) -> Result<Table, SessionError> {
        Ok(Table::new(query.id, self.rows_of(query.id).await?)?)
    }

    /// Makes an empty table of what a query would give.
    pub async fn declare(&self, query: Query) -> Result<(), SessionError> {
        let schema = self.schema_of(query).await?;
        self.put_rows(query.id, schema, &[])
    }

    /// Forgets a table that was kept.
    pub fn forget(&self, query: Query) -> Result<(), SessionError> {
        self.context.deregister_table(query.id)?;
        Ok(())
    }

    /// The columns of what a query gives, without running it.
    pub async fn schema_of(&self, query: Query) -> Result<SchemaRef, SessionError> {
        Ok(Arc::new(self.context.sql(query.sql).await?.schema().as_arrow().clone()))
    }

    /// Whatever a table of it holds now.
    pub async fn rows_of(&self, table: &str) -> Result<Vec<RecordBatch>, SessionError> {
        Ok(self.context.table(table).await?.collect().await?)
    }

    /// Any query, unchecked: for tests and for what is checked elsewhere.
    pub async fn sql(&self, text: &str) -> Result<DataFrame, SessionError> {
        Ok(self.context.sql(text).await?)
    }

    /// Scans read through `store` from now on: for what wraps one, such as a meter.
    pub fn put_store(&self, source: &Source, store: Arc<dyn ObjectStore>) {
        self.context.register_object_store(source.store.url(), store);
    }

    pub fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    pub fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// In a task of its own, for planning takes the whole of a processor: what is asked at a time is done at a time.
    async fn run(&self, query: Query, params: Params) -> Result<(SchemaRef, Vec<RecordBatch>), SessionError> {
        let context = self.context.clone();
        let started = Instant::now();
        let run = async move {
            let mut state = context.state();
            let plan = state.create_logical_plan(query.sql).await?;
            if !reads_flows(&plan)? {
                // Small tables: to spread their rows over threads costs more than it gives.
                state.config_mut().options_mut().execution.target_partitions = 1;
            }
            let frame = DataFrame::new(state, plan);
            let frame = if params.is_empty() { frame } else { frame.with_param_values(params)? };
            let schema = Arc::new(frame.schema().as_arrow().clone());
            let batches = frame.collect().await?;
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            debug!(query = query.id, rows, ms = millis(started), "answered");
            Ok((schema, batches))
        };
        let ended = SpawnedTask::spawn(run).join().await;
        ended.unwrap_or_else(|error| Err(DataFusionError::ExecutionJoin(Box::new(error)))).map_err(SessionError::Engine)
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Whether it scans blobs.
fn reads_flows(plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    plan.exists(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(false) };
        Ok(["flows", "coded_flows", "looked_flows"].contains(&scan.table_name.table()))
    })
}

/// What a plan promises and what it gives may differ in how text is held and what may be null.
fn as_planned(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}
