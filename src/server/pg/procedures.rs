//! The functions of flowgap and the named queries, as rows of `pg_proc`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int16Array, Int32Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::prelude::SessionContext;
use datafusion_postgres::arrow_pg::datatypes::into_pg_type;

use crate::engine::FUNCTIONS;
use crate::queries::{NamedQuery, ParamKind};

/// Number of the first function. PostgreSQL's own are below, and tables get numbers far below.
const FIRST: i32 = 1_000_000;

/// A function that clients may call.
pub struct Procedure {
    /// Its number in the catalog.
    pub oid: i32,
    name: String,
    /// Its arguments, as PostgreSQL lists them.
    pub arguments: String,
    /// The type of its result.
    pub result: String,
    /// What it gives, in words.
    pub meaning: String,
    is_aggregate: bool,
    gives_rows: bool,
}

/// Lists the functions that users are told of, and the named queries.
pub fn procedures(context: &SessionContext, queries: &[Arc<NamedQuery>]) -> Vec<Procedure> {
    let ours = FUNCTIONS.iter().flat_map(|function| {
        let (names, arguments) = parts(function.call).unwrap_or_default();
        let procedure = move |name: &str| Procedure {
            oid: 0,
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            result: result(context, name, arguments.split(',').count()),
            meaning: function.gives.to_owned(),
            is_aggregate: context.udaf(name).is_ok(),
            gives_rows: false,
        };
        names.into_iter().map(procedure)
    });
    let named = queries.iter().map(|query| Procedure {
        oid: 0,
        name: query.id.clone(),
        arguments: parameters(query),
        result: format!("TABLE({})", query.columns),
        meaning: query.title.clone(),
        is_aggregate: false,
        gives_rows: true,
    });
    (FIRST..).zip(ours.chain(named)).map(|(oid, procedure)| Procedure { oid, ..procedure }).collect()
}

/// Splits a call such as `arg_max(value, by), arg_min` into names and arguments. Operators have none.
fn parts(call: &str) -> Option<(Vec<&str>, &str)> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, others) = rest.split_once(')')?;
    let others = others.split(',').map(str::trim).filter(|other| !other.is_empty());
    Some(([name].into_iter().chain(others).collect(), arguments))
}

fn parameters(query: &NamedQuery) -> String {
    let text = |param: &crate::queries::Param| {
        let kind = if param.kind == ParamKind::Integer { "bigint" } else { "text" };
        let default = param.default.as_ref().map(|default| format!(" DEFAULT {default}")).unwrap_or_default();
        format!("{} {kind}{default}", param.name)
    };
    query.params.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Returns the type of a function's result. Some depend on the arguments.
fn result(context: &SessionContext, name: &str, arguments: usize) -> String {
    let texts = vec![DataType::Utf8View; arguments];
    let kind = context.udf(name).ok().and_then(|function| function.return_type(&texts).ok());
    let kind = kind.and_then(|kind| into_pg_type(&kind).ok());
    match kind.as_ref().map(|kind| kind.name()) {
        Some("bool") => "boolean".to_owned(),
        Some(name) => name.strip_prefix('_').map_or_else(|| name.to_owned(), |item| format!("{item}[]")),
        None => "anyelement".to_owned(),
    }
}

/// Returns the functions as rows of `pg_proc`, whose schema is given, in a namespace.
pub fn rows(procedures: &[Procedure], schema: &SchemaRef, namespace: i32) -> Result<RecordBatch> {
    let count = procedures.len();
    let numbers = |number: i32| Arc::new(Int32Array::from(vec![number; count])) as ArrayRef;
    let texts =
        |text: fn(&Procedure) -> &str| Arc::new(StringArray::from_iter_values(procedures.iter().map(text))) as ArrayRef;
    let column = |(name, kind, is_nullable): (&str, &DataType, bool)| {
        let known = match name {
            "oid" => Arc::new(Int32Array::from_iter_values(procedures.iter().map(|procedure| procedure.oid))),
            "proname" | "prosrc" => texts(|procedure| &procedure.name),
            "pronamespace" => numbers(namespace),
            "proowner" => numbers(10),
            "prolang" => numbers(12),
            "prokind" => texts(|procedure| if procedure.is_aggregate { "a" } else { "f" }),
            "provolatile" | "proparallel" => texts(|_| "s"),
            "proretset" => Arc::new(procedures.iter().map(|p| Some(p.gives_rows)).collect::<BooleanArray>()),
            "pronargs" => Arc::new(Int16Array::from_iter_values(procedures.iter().map(|procedure| {
                let count = procedure.arguments.split(", ").filter(|argument| !argument.is_empty()).count();
                i16::try_from(count).unwrap_or(i16::MAX)
            }))),
            _ => new_null_array(kind, count),
        };
        if known.null_count() < count {
            return Ok(arrow::compute::cast(&known, kind)?);
        }
        if is_nullable { Ok(known) } else { ScalarValue::new_default(kind)?.to_array_of_size(count) }
    };
    let columns = schema.fields().iter().map(|field| column((field.name(), field.data_type(), field.is_nullable())));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_>>()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_split() {
        assert_eq!(parts("ip_in(ip, prefixes)"), Some((vec!["ip_in"], "ip, prefixes")));
        assert_eq!(parts("arg_max(value, by), arg_min"), Some((vec!["arg_max", "arg_min"], "value, by")));
        assert_eq!(parts("ip <<= prefix"), None);
    }
}
