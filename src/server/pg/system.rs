//! The schema `pg_catalog`: the tables of the crate, with the columns and rows that it lacks and clients read.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int32Type, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProviderList, MemTable, SchemaProvider, TableProvider};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::datasource::{TableType, ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, ident, lit};
use datafusion::prelude::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{
    PgCatalogSchemaProvider, PgCatalogStaticTables, PgCatalogTable,
};
use futures::TryStreamExt;
use futures::executor::block_on;

use super::procedures::{Procedure, rows};

/// Columns of lists that are null here. The crate lacks them, or has them as text.
const LISTS: [(&str, &str); 11] = [
    ("pg_class", "relacl"),
    ("pg_class", "reloptions"),
    ("pg_database", "datacl"),
    ("pg_db_role_setting", "setconfig"),
    ("pg_default_acl", "defaclacl"),
    ("pg_foreign_data_wrapper", "fdwacl"),
    ("pg_language", "lanacl"),
    ("pg_namespace", "nspacl"),
    ("pg_proc", "proacl"),
    ("pg_tablespace", "spcacl"),
    ("pg_type", "typacl"),
];

/// Other columns that the crate lacks.
const ADDED: [(&str, &str, DataType); 3] = [
    ("pg_class", "xmin", DataType::Int64),
    ("pg_language", "tableoid", DataType::Int32),
    ("pg_settings", "boot_val", DataType::Utf8),
];

/// A table or view.
pub struct Relation {
    /// Its number in the catalog.
    pub oid: i32,
    /// Its name.
    pub name: String,
    /// Name of its schema.
    pub schema: String,
}

/// The schema.
#[derive(Debug)]
struct System {
    /// Tables of the crate.
    inner: PgCatalogSchemaProvider<Sorted, EmptyContextProvider>,
    /// The table `pg_proc`, once the number of the schema of our functions is known.
    procedures: OnceLock<Arc<dyn TableProvider>>,
}

/// Puts the schema in place of that of the crate. Returns the tables of all schemas.
///
/// Numbers are given out in the order of the first question, which is asked here about sorted names. So they are the same
/// after each list of the sources, and clients may keep them.
pub fn register(context: &SessionContext, catalog: &str, procedures: &[Procedure]) -> Result<Vec<Relation>> {
    let catalogs = Sorted(Arc::clone(context.state().catalog_list()));
    let tables = Arc::new(PgCatalogStaticTables::try_new()?);
    let inner = PgCatalogSchemaProvider::try_new(catalogs, Arc::clone(&tables), EmptyContextProvider)?;
    let system = Arc::new(System { inner, procedures: OnceLock::new() });
    let catalog = context.catalog(catalog).ok_or_else(|| internal_datafusion_err!("there is no catalog"))?;
    catalog.register_schema("pg_catalog", Arc::clone(&system) as Arc<dyn SchemaProvider>)?;
    let classes = system.numbers(context, "pg_class", "oid")?;
    let (names, parents) =
        (system.texts(context, "pg_class", "relname")?, system.numbers(context, "pg_class", "relnamespace")?);
    let schemas = system.numbers(context, "pg_namespace", "oid")?;
    let schemas: HashMap<i32, String> =
        schemas.into_iter().zip(system.texts(context, "pg_namespace", "nspname")?).collect();
    let public = schemas.iter().find(|(_, name)| *name == "public").map_or(0, |(oid, _)| *oid);
    let mut batches = tables.pg_proc.data().to_vec();
    let schema = tables.pg_proc.schema();
    batches.push(rows(procedures, &schema, public)?);
    let table = completed("pg_proc", Arc::new(MemTable::try_new(schema, vec![batches])?))?;
    _ = system.procedures.set(table);
    let relations = classes.into_iter().zip(names).zip(parents).map(|((oid, name), parent)| Relation {
        oid,
        name,
        schema: schemas.get(&parent).cloned().unwrap_or_default(),
    });
    Ok(relations.collect())
}

impl System {
    /// Reads a table of the crate that is made when it is read.
    fn column(&self, context: &SessionContext, table: &str, column: &str) -> Result<ArrayRef> {
        let missing = || internal_datafusion_err!("{table} has no column {column}");
        let Some(PgCatalogTable::Dynamic(table)) = self.inner.build_table_by_name(table)? else {
            return Err(missing());
        };
        // The tables are in memory, so this waits for nothing.
        let batches: Vec<RecordBatch> = block_on(table.execute(context.task_ctx()).try_collect())?;
        let batch = concat_batches(table.schema(), &batches)?;
        batch.column_by_name(column).cloned().ok_or_else(missing)
    }

    fn numbers(&self, context: &SessionContext, table: &str, column: &str) -> Result<Vec<i32>> {
        Ok(self.column(context, table, column)?.as_primitive::<Int32Type>().values().to_vec())
    }

    fn texts(&self, context: &SessionContext, table: &str, column: &str) -> Result<Vec<String>> {
        let texts = self.column(context, table, column)?;
        Ok(texts.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
    }
}

#[async_trait]
impl SchemaProvider for System {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.procedures.get() {
            Some(table) if name == "pg_proc" => Ok(Some(Arc::clone(table))),
            _ => self.inner.table(name).await?.map(|table| completed(name, table)).transpose(),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name)
    }
}

/// Returns a table of the crate with the columns that it lacks.
fn completed(name: &str, table: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let list = ScalarValue::new_null_list(DataType::Utf8, true, 1);
    let mut lists: Vec<&str> = LISTS.iter().filter(|(table, _)| *table == name).map(|(_, column)| *column).collect();
    let mut columns = Vec::new();
    for field in table.schema().fields() {
        let at = lists.iter().position(|list| list == field.name());
        columns.push(match at.map(|at| lists.swap_remove(at)) {
            Some(column) => lit(list.clone()).alias(column),
            None => ident(field.name()),
        });
    }
    let of_crate = columns.len();
    columns.extend(lists.into_iter().map(|column| lit(list.clone()).alias(column)));
    for (_, column, kind) in ADDED.iter().filter(|(table, ..)| *table == name) {
        columns.push(lit(ScalarValue::new_default(kind)?).alias(*column));
    }
    if columns.len() == of_crate && columns.iter().all(|column| matches!(column, Expr::Column(_))) {
        return Ok(table);
    }
    let plan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?.project(columns)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// Catalogs whose names are listed in order.
#[derive(Debug, Clone)]
struct Sorted(Arc<dyn CatalogProviderList>);

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

#[async_trait]
impl CatalogInfo for Sorted {
    async fn catalog_names(&self) -> Result<Vec<String>> {
        Ok(sorted(CatalogProviderList::catalog_names(&*self.0)))
    }

    async fn schema_names(&self, catalog: &str) -> Result<Option<Vec<String>>> {
        Ok(CatalogInfo::schema_names(&self.0, catalog).await?.map(sorted))
    }

    async fn table_names(&self, catalog: &str, schema: &str) -> Result<Option<Vec<String>>> {
        Ok(CatalogInfo::table_names(&self.0, catalog, schema).await?.map(sorted))
    }

    async fn table_schema(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<SchemaRef>> {
        self.0.table_schema(catalog, schema, table).await
    }

    async fn table_type(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<TableType>> {
        self.0.table_type(catalog, schema, table).await
    }
}
