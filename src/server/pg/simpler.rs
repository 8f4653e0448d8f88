//! Queries of the catalog that the engine cannot plan, in a simpler form with the same columns.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, Ident, JoinOperator, Query, Select, SelectItem, SetExpr, Statement, TableFactor,
    TableWithJoins, Value, VisitMut, VisitorMut, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Answers asyncpg's query for types, whose own text needs recursion over lists of oids.
pub const TYPES: &str = "SELECT t.oid, 'pg_catalog' AS ns, t.typname AS name, t.typtype AS kind, NULL AS basetype, \
     t.typelem AS elemtype, ',' AS elemdelim, NULL AS range_subtype, NULL AS attrtypoids, NULL AS attrnames, \
     0 AS depth, NULL AS basetype_name, e.typname AS elemtype_name, NULL AS range_subtype_name \
     FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem WHERE array_has($1, t.oid)";

/// Tables of the catalog that say nothing about the tables here.
const EMPTY: [&str; 22] = [
    "pg_attrdef",
    "pg_collation",
    "pg_constraint",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_partitioned_table",
    "pg_policy",
    "pg_publication",
    "pg_publication_rel",
    "pg_seclabel",
    "pg_sequence",
    "pg_statistic_ext",
    "pg_subscription",
    "pg_trigger",
    "pg_user_mapping",
    "pg_user_mappings",
];

/// Returns a simpler query. One that reads an empty table has no rows. In others null stands for subqueries of empty
/// tables and for lists from subqueries. Returns `None` if nothing can be made simpler.
pub fn simpler(text: &str) -> Option<String> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, text).ok()?;
    let mut statement = statements.pop().filter(|_| statements.is_empty())?;
    let Statement::Query(query) = &statement else { return None };
    let select = first_select(query)?;
    if is_empty(select) {
        let columns: Vec<String> = select.projection.iter().enumerate().map(null_column).collect();
        return Some(format!("SELECT {} WHERE false", columns.join(", ")));
    }
    let mut simplify = Simplify(false);
    _ = statement.visit(&mut simplify);
    let Statement::Query(query) = &mut statement else { return None };
    if let SetExpr::Select(select) = &mut *query.body {
        for item in &mut select.projection {
            // Several words for the user become the same call.
            if let SelectItem::UnnamedExpr(expr) = item {
                let name = expr.to_string().to_lowercase();
                if ["current_user", "session_user"].contains(&name.as_str()) {
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new(name) };
                    simplify.0 = true;
                }
            }
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
            let list = visit_expressions(expr, |expr| match expr {
                Expr::Function(Function { args: FunctionArguments::Subquery(_), .. }) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            });
            if list.is_break() {
                *expr = Expr::Value(Value::Null.into());
                simplify.0 = true;
            }
        }
    }
    simplify.0.then(|| statement.to_string())
}

/// Makes expressions simpler, and records whether it did.
struct Simplify(bool);

impl VisitorMut for Simplify {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Subquery(query) if first_select(query).is_some_and(is_empty) => {
                *expr = Expr::Value(Value::Null.into());
                self.0 = true;
            }
            Expr::Subquery(query) => self.0 |= aggregated(query),
            // The engine knows one escape character.
            Expr::Like { pattern, escape_char: escape @ Some(_), .. } => {
                let text = escape.take().map(|escape| escape.to_string()).unwrap_or_default();
                let escaped = text.trim_matches('\'').to_owned();
                if let Ok(replaced) = replaced(pattern, &escaped) {
                    **pattern = replaced;
                }
                self.0 = true;
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    /// Replaces a CASE by null if all its results are null.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_null = |expr: &Expr| matches!(expr, Expr::Value(value) if value.value == Value::Null);
        if let Expr::Case { conditions, else_result, .. } = expr
            && conditions.iter().all(|when| is_null(&when.result))
            && else_result.as_deref().is_none_or(is_null)
        {
            *expr = Expr::Value(Value::Null.into());
        }
        ControlFlow::Continue(())
    }
}

/// Returns `replace(pattern, escape, '\\')`.
fn replaced(pattern: &Expr, escape: &str) -> Result<Expr, ()> {
    parsed(&format!("replace({pattern}, '{}', '\\')", escape.replace('\'', "''")))
}

fn parsed(text: &str) -> Result<Expr, ()> {
    let dialect = PostgreSqlDialect {};
    Parser::new(&dialect).try_with_sql(text).and_then(|mut parser| parser.parse_expr()).map_err(|_| ())
}

/// Puts the value of a subquery into an aggregate, because the engine takes no other subquery with outer columns. Returns
/// whether it did. PostgreSQL demands that there is at most one row.
fn aggregated(query: &mut Query) -> bool {
    let SetExpr::Select(select) = &mut *query.body else { return false };
    let [SelectItem::UnnamedExpr(value)] = &mut select.projection[..] else { return false };
    let has_function = visit_expressions(value, |expr| match expr {
        Expr::Function(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    match parsed(&format!("min({value})")) {
        Ok(aggregate) if has_function.is_continue() => {
            *value = aggregate;
            true
        }
        _ => false,
    }
}

fn first_select(query: &Query) -> Option<&Select> {
    let mut body = &*query.body;
    loop {
        match body {
            SetExpr::SetOperation { left, .. } => body = left,
            SetExpr::Query(query) => body = &query.body,
            SetExpr::Select(select) => return Some(select),
            _ => return None,
        }
    }
}

/// Returns whether a query has no rows, because it reads an empty table.
fn is_empty(select: &Select) -> bool {
    select.from.iter().any(|TableWithJoins { relation, joins }| {
        let inner = |operator: &JoinOperator| {
            matches!(operator, JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_))
        };
        has_no_rows(relation) || joins.iter().any(|join| inner(&join.join_operator) && has_no_rows(&join.relation))
    })
}

fn has_no_rows(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, .. } => {
            let name = name.0.last().and_then(|part| part.as_ident()).map(|name| name.value.to_lowercase());
            name.is_some_and(|name| EMPTY.contains(&name.as_str()))
        }
        TableFactor::Derived { subquery, .. } => first_select(subquery).is_some_and(is_empty),
        _ => false,
    }
}

/// Returns a column of nulls with the name of the given one.
fn null_column((at, item): (usize, &SelectItem)) -> String {
    let name = match item {
        SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.value.clone(),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => {
            names.last().map_or_else(String::new, |name| name.value.clone())
        }
        _ => format!("column{}", at + 1),
    };
    format!("CAST(NULL AS TEXT) AS \"{}\"", name.replace('"', "\"\""))
}
