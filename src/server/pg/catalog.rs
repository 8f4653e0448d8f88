//! The tables and functions of `pg_catalog` that clients ask for names and types, and the named queries.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::setup_pg_catalog;

use super::answers::Answers;
use super::procedures::{Procedure, procedures};
use super::system::{self, Relation};
use crate::engine::{Explorer, SessionError, values};
use crate::queries::{NamedQuery, shipped};
use crate::server::settings::Settings;

/// Name of the schema of the named queries.
const QUERIES: &str = "query";

/// Text that clients read the version from.
const VERSION: &str = concat!("PostgreSQL 16.6 (flowgap ", env!("CARGO_PKG_VERSION"), ")");

/// Functions with one answer here, most about things that do not exist: name, type and value of the answer.
const ABSENT: [(&str, DataType, &str); 39] = [
    ("col_description", DataType::Utf8, ""),
    ("getdatabaseencoding", DataType::Utf8, "UTF8"),
    ("has_column_privilege", DataType::Boolean, "true"),
    ("has_function_privilege", DataType::Boolean, "true"),
    ("has_sequence_privilege", DataType::Boolean, "false"),
    ("json_build_object", DataType::Utf8, ""),
    ("pg_advisory_unlock_all", DataType::Utf8, ""),
    ("pg_function_is_visible", DataType::Boolean, "true"),
    ("pg_database_size", DataType::Int64, "0"),
    ("pg_get_function_sqlbody", DataType::Utf8, ""),
    ("pg_get_indexdef", DataType::Utf8, ""),
    ("pg_get_ruledef", DataType::Utf8, ""),
    ("pg_get_serial_sequence", DataType::Utf8, ""),
    ("pg_get_triggerdef", DataType::Utf8, ""),
    ("pg_get_viewdef", DataType::Utf8, ""),
    ("pg_collation_is_visible", DataType::Boolean, "true"),
    ("pg_conversion_is_visible", DataType::Boolean, "true"),
    ("pg_opclass_is_visible", DataType::Boolean, "true"),
    ("pg_operator_is_visible", DataType::Boolean, "true"),
    ("pg_opfamily_is_visible", DataType::Boolean, "true"),
    ("pg_statistics_obj_is_visible", DataType::Boolean, "true"),
    ("pg_ts_config_is_visible", DataType::Boolean, "true"),
    ("pg_ts_dict_is_visible", DataType::Boolean, "true"),
    ("pg_ts_parser_is_visible", DataType::Boolean, "true"),
    ("pg_ts_template_is_visible", DataType::Boolean, "true"),
    ("pg_char_to_encoding", DataType::Int32, "6"),
    ("pg_get_partkeydef", DataType::Utf8, ""),
    ("pg_is_in_recovery", DataType::Boolean, "false"),
    ("pg_my_temp_schema", DataType::Int32, "0"),
    ("pg_size_pretty", DataType::Utf8, ""),
    ("pg_table_size", DataType::Int64, "0"),
    ("pg_tablespace_location", DataType::Utf8, ""),
    ("pg_type_is_visible", DataType::Boolean, "true"),
    ("set_config", DataType::Utf8, ""),
    ("shobj_description", DataType::Utf8, ""),
    ("to_regclass", DataType::Int32, ""),
    ("to_regnamespace", DataType::Int32, ""),
    ("to_regtype", DataType::Int32, ""),
    ("version", DataType::Utf8, VERSION),
];

/// Adds the catalog and the named queries to a session.
pub fn add(explorer: &mut Explorer) -> Result<(), SessionError> {
    let queries = shipped().map_err(|error| DataFusionError::Internal(error.to_string()))?;
    let queries: Vec<Arc<NamedQuery>> = queries.into_iter().map(Arc::new).collect();
    explorer.extend(|context| {
        let catalog = context.state().config().options().catalog.default_catalog.clone();
        setup_pg_catalog(context, &catalog, EmptyContextProvider).map_err(|error| *error)?;
        for (name, kind, value) in &ABSENT {
            let value = match *value {
                "" => ScalarValue::try_from(kind)?,
                value => ScalarValue::try_from_string(value.to_owned(), kind)?,
            };
            context.register_udf(Answers::one(name, value).into());
        }
        add_queries(context, &catalog, &queries)?;
        let procedures = procedures(context, &queries);
        let relations = system::register(context, &catalog, &procedures)?;
        describe(context, &procedures, &relations, &queries);
        Ok(())
    })
}

/// Adds functions about the numbers of tables and functions.
fn describe(context: &SessionContext, procedures: &[Procedure], relations: &[Relation], queries: &[Arc<NamedQuery>]) {
    let texts = |text: fn(&Procedure) -> &str| {
        procedures.iter().map(move |procedure| (procedure.oid.to_string(), ScalarValue::from(text(procedure))))
    };
    let title = |relation: &Relation| {
        let query = queries.iter().find(|query| relation.schema == QUERIES && query.id == relation.name)?;
        Some((relation.oid.to_string(), ScalarValue::from(query.title.as_str())))
    };
    let hidden = relations.iter().filter(|relation| !["public", "pg_catalog"].contains(&relation.schema.as_str()));
    let hidden = hidden.map(|relation| (relation.oid.to_string(), ScalarValue::from(false)));
    let none = || ScalarValue::Utf8(None);
    for function in [
        Answers::of("pg_get_function_arguments", texts(|procedure| &procedure.arguments), none()),
        Answers::of("pg_get_function_identity_arguments", texts(|procedure| &procedure.arguments), none()),
        Answers::of("pg_get_function_result", texts(|procedure| &procedure.result), none()),
        Answers::of(
            "obj_description",
            texts(|procedure| &procedure.meaning).chain(relations.iter().filter_map(title)),
            none(),
        ),
        Answers::of("pg_table_is_visible", hidden, ScalarValue::from(true)),
    ] {
        context.register_udf(function.into());
    }
}

/// Adds functions about a connection, whose settings are given.
pub fn add_settings(explorer: &mut Explorer, settings: &Settings) -> Result<(), SessionError> {
    let value = |name: &str| ScalarValue::Utf8(settings.show(name).ok());
    explorer.extend(|context| {
        let settings = settings.all().map(|(name, _)| (name.to_owned(), value(name)));
        context.register_udf(Answers::of("current_setting", settings, ScalarValue::Utf8(None)).into());
        context.register_udf(Answers::one("session_user", value("session_authorization")).into());
        Ok(())
    })
}

/// Registers each query as a table function, and as a view if all its parameters have defaults.
fn add_queries(context: &SessionContext, catalog: &str, queries: &[Arc<NamedQuery>]) -> Result<()> {
    let views = Arc::new(MemorySchemaProvider::new());
    for query in queries {
        // Planning over tables in memory waits for nothing.
        let plan = futures::executor::block_on(context.state().create_logical_plan(&query.sql))?;
        let function = NamedFunction { plan, query: Arc::clone(query) };
        if let Ok(view) = function.with(&[]) {
            views.register_table(query.id.clone(), view)?;
        }
        context.register_udtf(&query.id, Arc::new(function));
    }
    let catalog = context.catalog(catalog);
    let catalog = catalog.ok_or_else(|| DataFusionError::Internal("there is no catalog".to_owned()))?;
    catalog.register_schema(QUERIES, views)?;
    Ok(())
}

/// A named query whose arguments are its parameters in order. Later ones may be left out if they have defaults.
#[derive(Debug)]
struct NamedFunction {
    plan: LogicalPlan,
    query: Arc<NamedQuery>,
}

impl NamedFunction {
    fn with(&self, given: &[(String, String)]) -> Result<Arc<dyn TableProvider>> {
        let values = values(&self.query, given).map_err(DataFusionError::Plan)?;
        let plan = self.plan.clone();
        let plan = if values.is_empty() { plan } else { plan.with_param_values(values)? };
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}

impl TableFunctionImpl for NamedFunction {
    fn call(&self, args: &[Expr]) -> Result<Arc<dyn TableProvider>> {
        let NamedQuery { id, params, .. } = &*self.query;
        if args.len() > params.len() {
            return plan_err!("{id} has {} parameters, and {} are given", params.len(), args.len());
        }
        let mut given = Vec::new();
        for (param, arg) in params.iter().zip(args) {
            let Expr::Literal(value, _) = arg else {
                return plan_err!("the arguments of {id} must be constants");
            };
            let text = if value.is_null() { "null".to_owned() } else { value.to_string() };
            given.push((param.name.clone(), text));
        }
        self.with(&given)
    }
}
