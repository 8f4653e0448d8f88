//! One way into the engine: opens the sources, registers tables and functions, runs queries.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use object_store::ObjectStore;
use url::Url;

use super::flow_table::{FlowTable, StoreUnits};
use super::input::{InputLog, InputSummary, PartRead, digest};
use super::places::Places;
use super::table::Table;
use super::unit::Planner;
use super::{aggregates, catalog_tables, flow_groups, functions};
use crate::catalog::{Catalog, Requirement, ServiceTags, Tag, TagTest, VnetMode};
use crate::decode::{Options, TimeRange};
use crate::net::{PortSet, Prefix};
use crate::queries::Query;
use crate::schema::Text;
use crate::source::{
    Access, Blob, Missed, Passed, Selection, Source, SourceError, StoreKey, Stores, cloud_of_path, list,
};

/// What the logs are held against.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The subnets of the API Management instance; none while they are not known.
    pub subnets: Vec<Prefix>,
    /// What the tag `VirtualNetwork` stands for here.
    pub vnet: Vec<Prefix>,
    /// `None` while unknown: all rows apply.
    pub vnet_mode: Option<VnetMode>,
    pub catalog: Catalog,
    /// An edition of the catalog.
    pub edition: String,
    pub service_tags: Option<ServiceTags>,
}

impl Scope {
    /// The rows of the edition that flows are matched with.
    pub fn requirements(&self) -> Vec<&Requirement> {
        self.catalog.analyzed(&self.edition).unwrap_or_default()
    }

    /// The tags that peers are tested against, each once: the Internet, then in the order of the rows.
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![Tag::Internet];
        for tag in self.requirements().into_iter().map(Requirement::peer_tag) {
            if *tag != Tag::Any && !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }

    pub fn tag_test(&self) -> TagTest {
        let mut tags = self.tags();
        tags.push(Tag::Any);
        TagTest::new(tags, &self.subnets, &self.vnet, self.service_tags.as_ref())
    }

    /// As [`Self::tag_test`], for the tags of all editions.
    pub fn every_tag_test(&self) -> TagTest {
        let mut tags = vec![Tag::Internet, Tag::VirtualNetwork, Tag::AzureLoadBalancer, Tag::Any];
        for tag in self.catalog.rows().iter().map(Requirement::peer_tag) {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        TagTest::new(tags, &self.subnets, &self.vnet, self.service_tags.as_ref())
    }

    /// All ports that rows name; `*` names none.
    pub fn named_ports(&self, ports: fn(&Requirement) -> &PortSet) -> PortSet {
        let named = self.requirements().into_iter().map(ports).filter(|set| !set.is_all());
        PortSet::from_ranges(named.flat_map(|set| set.ranges().to_vec()))
    }
}

#[derive(Debug, Clone)]
pub struct SessionOptions {
    pub window: TimeRange,
    /// What names of blobs start with, below their source.
    pub prefix: String,
    /// Interfaces whose blobs are read, as paths name them; none for all.
    pub macs: Vec<String>,
    pub access: Access,
    pub text: Text,
    /// How many units are decoded at a time.
    pub partitions: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        let partitions = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            window: TimeRange::default(),
            prefix: String::new(),
            macs: Vec::new(),
            access: Access::default(),
            text: Text::View,
            partitions,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The user can do something about it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Ours.
    #[error("internal error: {0}")]
    Engine(#[from] DataFusionError),
}

/// What was asked of remote stores, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Storage {
    pub list_calls: u64,
    pub blobs_listed: u64,
    /// Listed, and not to be read: of another name, interface or time.
    pub blobs_skipped: u64,
    pub blobs_read: u64,
    /// All, lists and tokens included, and those made again.
    pub requests: u64,
    pub retries: u64,
    /// Of the answers, lists included.
    pub bytes: u64,
}

/// What was listed of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub shown: String,
    pub is_local: bool,
    /// Whether it stands for an account that was named without a container.
    pub is_found: bool,
    /// Whatever is there, and what of it is to be read.
    pub listed: u64,
    pub taken: u64,
}

pub struct Session {
    context: SessionContext,
    registry: Arc<Registry>,
    /// They hold what came through a pipe.
    _sources: Vec<Source>,
    listed: Vec<Listed>,
    /// Containers of an account that give nothing.
    passed: Vec<Passed>,
    scope: Arc<Scope>,
    window: TimeRange,
    log: Arc<InputLog>,
    clouds: BTreeSet<&'static str>,
    is_local: bool,
    /// Bytes of all blobs, as they are stored.
    size: u64,
    stores: Arc<StoreUnits>,
}

/// Values for the `$names` of a query.
pub type Params = Vec<(&'static str, ScalarValue)>;

impl Session {
    /// Lists the sources; a source that cannot be opened, or holds no blob, is an error. Reads no flows yet.
    pub async fn open(sources: &[Source], scope: Scope, options: SessionOptions) -> Result<Self, SessionError> {
        let concurrency = options.access.concurrency;
        let registry = Arc::new(Registry(Stores::new(options.access)));
        let log = Arc::new(InputLog::default());
        let selection =
            Selection { from: options.window.from, to: options.window.to, prefix: options.prefix, macs: options.macs };
        let mut stores = StoreUnits::new();
        let mut sharing: HashMap<&StoreKey, HashSet<[u8; 16]>> = HashMap::new();
        let mut clouds = BTreeSet::new();
        let (mut listed, mut missed) = (Vec::<Listed>::new(), Missed::default());
        let mut size = 0;
        for source in sources {
            let opened = registry.0.open(source)?;
            let is_shared = sources.iter().filter(|other| other.store == source.store).count() > 1;
            let known = is_shared.then(|| sharing.entry(&source.store).or_default());
            let mut planner = Planner::new(source.is_local());
            let take = |blob: Blob| {
                size += blob.size;
                clouds.extend(cloud_of_path(&blob.location));
                planner.take(&blob);
            };
            let listing = match list(&opened, source, &selection, new_ones(known, take)).await {
                Ok(listing) => listing,
                Err(error) => {
                    missed.keep(source, error)?;
                    continue;
                }
            };
            clouds.extend(source.cloud());
            for (location, why) in &listing.unlisted {
                log.add(PartRead::not_listed(&listing.shown.name(location), why));
            }
            listed.push(Listed {
                shown: source.shown.clone(),
                is_local: source.is_local(),
                is_found: source.account.is_some(),
                listed: listing.listed,
                taken: listing.taken,
            });
            let units = planner.units(&*opened.objects, &listing.shown).await;
            match stores.iter_mut().find(|(key, _)| *key == source.store) {
                Some((_, known)) => known.extend(units),
                None => stores.push((source.store.clone(), units)),
            }
        }
        let found = listed.iter().filter(|listed| listed.is_found).map(|listed| listed.shown.as_str());
        let passed = missed.settle(found)?;
        for lost in passed.iter().filter(|passed| passed.is_lost) {
            log.add(PartRead::not_listed(&lost.shown, &lost.why));
        }
        let config = SessionConfig::new()
            .with_target_partitions(options.partitions.max(1))
            .with_information_schema(true)
            // Further passes find nothing in queries like ours.
            .set_usize("datafusion.optimizer.max_passes", 1)
            .set_str("datafusion.execution.time_zone", "UTC")
            // It would call a function that gives a struct anew for every field asked of it.
            .set_bool("datafusion.optimizer.enable_leaf_expression_pushdown", false);
        let runtime = RuntimeEnvBuilder::new()
            .with_object_list_cache_limit(0)
            .with_object_store_registry(Arc::clone(&registry) as Arc<dyn ObjectStoreRegistry>)
            .build_arc()?;
        let context = SessionContext::new_with_config_rt(config, runtime);
        let decode = Options { window: options.window, ..Options::default() };
        let stores = Arc::new(stores);
        // The same flows in two forms: for people, and for functions that look at every row.
        for (name, text) in [("flows", options.text), ("coded_flows", Text::Coded)] {
            let decode = Options { text, ..decode.clone() };
            let table = FlowTable::new(Arc::clone(&stores), decode, concurrency, Arc::clone(&log));
            context.register_table(name, Arc::new(table))?;
        }
        let is_local = sources.iter().all(Source::is_local);
        context.register_udaf(aggregates::addresses());
        let session = Self {
            context,
            registry,
            _sources: sources.to_vec(),
            listed,
            passed,
            scope: Arc::new(scope),
            window: options.window,
            log,
            clouds,
            is_local,
            size,
            stores,
        };
        session.register_scope()?;
        Ok(session)
    }

    /// Small tables and functions that answer for the scope.
    fn register_scope(&self) -> Result<(), SessionError> {
        for (name, table) in catalog_tables::all(&self.scope)? {
            self.put_table(name, table)?;
        }
        let places = Arc::new(Places::new(&self.scope));
        functions::all(&self.scope, &places).into_iter().for_each(|function| self.context.register_udf(function));
        self.context.register_udaf(flow_groups::aggregate(&self.scope, &places));
        Ok(())
    }

    fn put_table(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<(), SessionError> {
        self.context.deregister_table(name)?;
        self.context.register_table(name, table)?;
        Ok(())
    }

    /// From now on the scope is made of these subnets.
    pub fn set_subnets(&mut self, subnets: Vec<Prefix>) -> Result<(), SessionError> {
        self.scope = Arc::new(Scope { subnets, ..(*self.scope).clone() });
        self.register_scope()
    }

    /// Runs a query of `queries/` to its end. Values go in as parameters, never as text.
    pub async fn collect(&self, query: Query, params: Params) -> Result<Vec<RecordBatch>, SessionError> {
        Ok(self.run(query, params).await?.1)
    }

    /// As [`Self::collect`] without parameters, to be read by column name.
    pub async fn table(&self, query: Query) -> Result<Table, SessionError> {
        Ok(Table::new(self.collect(query, vec![]).await?)?)
    }

    /// Runs a query and keeps its rows as a table of its name. For small results only.
    pub async fn materialize(&self, query: Query, params: Params) -> Result<(), SessionError> {
        self.materialize_as(query.id, query, params).await
    }

    /// As [`Self::materialize`], under another name; a table that has it already is replaced.
    pub async fn materialize_as(&self, name: &str, query: Query, params: Params) -> Result<(), SessionError> {
        let (schema, batches) = self.run(query, params).await?;
        let batches: Vec<RecordBatch> = batches
            .iter()
            .map(|batch| as_planned(batch, &schema))
            .collect::<Result<_, _>>()
            .map_err(DataFusionError::from)?;
        self.put_table(name, Arc::new(MemTable::try_new(schema, vec![batches])?))
    }

    /// Any query, unchecked: for tests and for what is checked elsewhere.
    pub async fn sql(&self, text: &str) -> Result<DataFrame, SessionError> {
        Ok(self.context.sql(text).await?)
    }

    /// Scans read through `store` from now on: for what wraps one, such as a meter.
    pub fn put_store(&self, source: &Source, store: Arc<dyn ObjectStore>) {
        self.context.register_object_store(source.store.url(), store);
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    pub fn window(&self) -> TimeRange {
        self.window
    }

    /// Whether every source is on this machine, so that reading twice costs no request.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// The clouds that addresses and paths tell of, as service-tag files name them.
    pub fn clouds(&self) -> &BTreeSet<&'static str> {
        &self.clouds
    }

    /// Bytes that one scan of everything reads.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where its blobs lie.
    pub fn locations(&self) -> impl Iterator<Item = String> {
        self.stores.iter().flat_map(|(_, units)| units.iter().flat_map(|unit| unit.locations()))
    }

    /// What was listed, source by source.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// Containers that flow logs are written to and that a named account does not have, or does not give.
    pub fn passed(&self) -> &[Passed] {
        &self.passed
    }

    /// What was asked of remote stores so far. `None` where none is.
    pub fn storage(&self) -> Option<Storage> {
        let remote = || self.listed.iter().filter(|listed| !listed.is_local);
        let traffic = self.registry.0.traffic();
        let listed = remote().map(|listed| listed.listed).sum();
        let taken = remote().map(|listed| listed.taken).sum();
        remote().next()?;
        Some(Storage {
            list_calls: traffic.lists,
            blobs_listed: listed,
            blobs_skipped: listed - taken,
            blobs_read: taken,
            requests: traffic.requests,
            retries: traffic.retries,
            bytes: traffic.bytes,
        })
    }

    /// Which credential serves each account, for people.
    pub fn credentials(&self) -> Vec<(String, String)> {
        self.registry.0.credentials()
    }

    /// To end its scans from elsewhere: [`InputLog::stop`].
    pub fn log(&self) -> Arc<InputLog> {
        Arc::clone(&self.log)
    }

    /// What has been read so far.
    pub fn input(&self) -> InputSummary {
        self.log.summary()
    }

    /// In a task of its own, for planning takes the whole of a processor: what is asked at a time is done at a time.
    async fn run(&self, query: Query, params: Params) -> Result<(SchemaRef, Vec<RecordBatch>), SessionError> {
        let context = self.context.clone();
        let run = async move {
            let frame = context.sql(query.sql).await?;
            let frame = if params.is_empty() { frame } else { frame.with_param_values(params)? };
            let schema = Arc::new(frame.schema().as_arrow().clone());
            Ok((schema, frame.collect().await?))
        };
        let ended = SpawnedTask::spawn(run).join_unwind().await;
        ended.unwrap_or_else(|error| Err(DataFusionError::ExecutionJoin(Box::new(error)))).map_err(SessionError::Engine)
    }
}

/// Passes a blob on unless it came before.
fn new_ones(mut known: Option<&mut HashSet<[u8; 16]>>, mut take: impl FnMut(Blob)) -> impl FnMut(Blob) {
    move |blob| {
        let is_new = known.as_mut().is_none_or(|known| known.insert(digest(&blob.location)));
        if is_new {
            take(blob);
        }
    }
}

/// What a plan promises and what it gives may differ in how text is held and what may be null.
fn as_planned(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

/// Stores by account and container: the default registry forgets the container.
struct Registry(Stores);

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

impl ObjectStoreRegistry for Registry {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.0.put(&StoreKey::of(url), store)
    }

    fn get_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        self.0.get(&StoreKey::of(url)).map_err(|error| DataFusionError::External(Box::new(error)))
    }
}
