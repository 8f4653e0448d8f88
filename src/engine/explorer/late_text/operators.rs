//! The traversal of a plan from its scans up. Each operator takes numbers if they mean the same as their text.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, Result};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::functions_aggregate::count::Count;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, Join, Limit, LogicalPlan, Projection, SubqueryAlias, TableScan, Union,
};

use super::expressions::{Find, has_subquery, with_equalities, with_texts};
use super::numbers::{Number, Origin, Pulled};
use crate::engine::explorer::distinct_addresses::distinct_addresses;
use crate::engine::scan::table::FlowTable;
use crate::schema::{ENDS, Text, address_number};

/// Maximum depth of the traversal. Deeper plans stay as they are, because each level takes stack.
const MOST_DEPTH: usize = 64;

/// One traversal of a plan.
pub struct Pull {
    /// Columns that may be numbers; `None` for all.
    allowed: Option<BTreeSet<Origin>>,
    /// Columns that are cheaper for an operator as numbers.
    gaining: BTreeSet<Origin>,
    /// Columns whose text is needed once per flow.
    losing: BTreeSet<Origin>,
    /// Number of scans so far.
    scans: usize,
    depth: usize,
}

impl Pull {
    pub fn new(allowed: Option<BTreeSet<Origin>>) -> Self {
        Self { allowed, gaining: BTreeSet::new(), losing: BTreeSet::new(), scans: 0, depth: 0 }
    }

    /// Returns the columns that may be numbers; `None` for all.
    pub fn allowed(&self) -> Option<&BTreeSet<Origin>> {
        self.allowed.as_ref()
    }

    /// Returns the columns that are better as numbers, always a subset of the allowed ones.
    pub fn gained(&self) -> BTreeSet<Origin> {
        self.gaining.difference(&self.losing).copied().collect()
    }

    /// Rewrites a plan into one with the same columns, all as text.
    pub fn in_text(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        Ok(self.pull(plan)?.with_text_at(|_| true)?.plan)
    }

    /// Rewrites a plan into one with numbers where possible.
    fn pull(&mut self, plan: LogicalPlan) -> Result<Pulled> {
        if self.depth >= MOST_DEPTH {
            return Ok(Pulled::all_text(plan));
        }
        self.depth += 1;
        let pulled = self.pull_operator(plan);
        self.depth -= 1;
        pulled
    }

    fn pull_operator(&mut self, plan: LogicalPlan) -> Result<Pulled> {
        // A subquery may refer to columns of the outer plan.
        if has_subquery(&plan)? {
            return self.inputs_in_text(plan);
        }
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => {
                let input = self.pull_shared(input)?;
                input.below(|input| SubqueryAlias::try_new(input, alias).map(LogicalPlan::SubqueryAlias))
            }
            LogicalPlan::Limit(Limit { skip, fetch, input }) => {
                let input = self.pull_shared(input)?;
                input.below(|input| Ok(LogicalPlan::Limit(Limit { skip, fetch, input })))
            }
            LogicalPlan::Aggregate(aggregate) if !has_sets(&aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => self.union(union),
            // A sort takes text even in columns that it does not sort by, because operators added above it may lose the
            // order of rows.
            plan => self.inputs_in_text(plan),
        }
    }

    fn pull_shared(&mut self, plan: Arc<LogicalPlan>) -> Result<Pulled> {
        self.pull(Arc::unwrap_or_clone(plan))
    }

    /// Gives text to an operator that the rule does not support.
    fn inputs_in_text(&mut self, plan: LogicalPlan) -> Result<Pulled> {
        let plan = plan.map_children(|input| Ok(Transformed::yes(self.in_text(input)?)))?.data;
        Ok(Pulled::all_text(plan))
    }

    fn scan(&mut self, scan: TableScan) -> Result<Pulled> {
        let place = self.scans;
        self.scans += 1;
        let provider = source_as_provider(&scan.source).ok();
        let table = provider.as_ref().and_then(|provider| provider.downcast_ref::<FlowTable>());
        let Some((table, text)) = table.and_then(|table| Some((table, text_type(table)?))) else {
            return Ok(Pulled::all_text(LogicalPlan::TableScan(scan)));
        };
        let flags = [0, 1].map(|end: usize| {
            let is_allowed = self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&(place, end)));
            is_allowed && scan.projected_schema.has_column_with_unqualified_name(ENDS[end].name())
        });
        let number = |name: &str| {
            let end = (0..ENDS.len()).find(|&end| flags[end] && ENDS[end].name() == name)?;
            Some(Number { origins: [(place, end)].into(), text: text.clone(), is_grouped: false })
        };
        let numbers = scan.projected_schema.fields().iter().map(|field| number(field.name())).collect();
        // The decoder evaluates these filters directly, so no text is made for them.
        let filters = scan.filters.into_iter().map(|filter| Ok(with_texts(filter, &|c| number(&c.name))?.0));
        let filters = filters.collect::<Result<Vec<_>>>()?;
        let scan = TableScanBuilder::new(scan.table_name, provider_as_source(Arc::new(table.with_numbers(flags))))
            .with_projection(scan.projection)
            .with_filters(filters)
            .with_fetch(scan.fetch)
            .with_statistics_requests(scan.statistics_requests)
            .build()?;
        Ok(Pulled { plan: LogicalPlan::TableScan(scan), numbers })
    }

    fn projection(&mut self, Projection { expr, input, .. }: Projection) -> Result<Pulled> {
        let input = self.pull_shared(input)?;
        let numbers = expr.iter().map(|expr| input.number_of(expr).cloned()).collect();
        let expr = self.all_named(expr, &input)?;
        let plan = LogicalPlan::Projection(Projection::try_new(expr, Arc::new(input.plan))?);
        Ok(Pulled { plan, numbers })
    }

    /// Rewrites expressions that name columns. Numbers stay as they are; all others are over text.
    fn all_named(&mut self, expressions: Vec<Expr>, input: &Pulled) -> Result<Vec<Expr>> {
        let named = |expr: Expr| match input.number_of(&expr) {
            Some(_) => Ok(expr),
            None => self.over_text(expr, input),
        };
        expressions.into_iter().map(named).collect()
    }

    /// Rewrites an expression to be over text. Keeps its name.
    fn over_text(&mut self, expr: Expr, input: &Pulled) -> Result<Expr> {
        let name = NamePreserver::new_for_projection().save(&expr);
        let (expr, used) = with_texts(expr, &|column| input.number(column).cloned())?;
        self.lose(&used);
        Ok(if used.is_empty() { expr } else { name.restore(expr) })
    }

    /// Records numbers whose text is needed.
    fn lose(&mut self, numbers: &[Number]) {
        let ungrouped = numbers.iter().filter(|number| !number.is_grouped);
        self.losing.extend(ungrouped.flat_map(|number| &number.origins));
    }

    fn filter(&mut self, Filter { predicate, input, .. }: Filter) -> Result<Pulled> {
        let input = self.pull_shared(input)?;
        let predicate = self.condition(predicate, &|column| input.number(column).cloned())?;
        input.below(|input| Filter::try_new(predicate, input).map(LogicalPlan::Filter))
    }

    fn condition(&mut self, condition: Expr, find: &Find) -> Result<Expr> {
        let (condition, used) = with_equalities(condition, find)?;
        self.lose(&used);
        Ok(condition)
    }

    fn aggregate(&mut self, Aggregate { input, group_expr, aggr_expr, .. }: Aggregate) -> Result<Pulled> {
        let input = self.pull_shared(input)?;
        let keys = group_expr.iter().map(|key| input.number_of(key).cloned());
        let keys = keys.map(|key| key.map(|number| Number { is_grouped: true, ..number }));
        let numbers: Vec<Option<Number>> = keys.chain(aggr_expr.iter().map(|_| None)).collect();
        self.gaining.extend(numbers.iter().flatten().flat_map(|number| &number.origins));
        let group_expr = self.all_named(group_expr, &input)?;
        let aggr_expr = aggr_expr.into_iter().map(|expr| self.aggregated(expr, &input)).collect::<Result<_>>()?;
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input.plan), group_expr, aggr_expr)?);
        Ok(Pulled { plan, numbers })
    }

    /// Rewrites an aggregate. Only counts take numbers as they are; all others are over text.
    fn aggregated(&mut self, expr: Expr, input: &Pulled) -> Result<Expr> {
        match expr {
            Expr::AggregateFunction(call) => match counted(&call, input).cloned() {
                Some(number) => self.count(call, &number, input),
                None => self.over_text(Expr::AggregateFunction(call), input),
            },
            other => self.over_text(other, input),
        }
    }

    fn count(&mut self, call: AggregateFunction, number: &Number, input: &Pulled) -> Result<Expr> {
        let name = NamePreserver::new_for_projection().save(&Expr::AggregateFunction(call.clone()));
        let AggregateFunction { mut func, params } = call;
        if params.distinct {
            func = distinct_addresses();
            self.gaining.extend(&number.origins);
        }
        let find = |column: &Column| input.number(column).cloned();
        let filter = params.filter.map(|filter| self.condition(*filter, &find)).transpose()?.map(Box::new);
        let params = AggregateFunctionParams { filter, ..params };
        Ok(name.restore(Expr::AggregateFunction(AggregateFunction { func, params })))
    }

    fn join(&mut self, join: Join) -> Result<Pulled> {
        let Join { left, right, on, filter, join_type, join_constraint, null_equality, null_aware, .. } = join;
        let (mut left, mut right) = (self.pull_shared(left)?, self.pull_shared(right)?);
        // `keys` are numbers on both sides; `others` are numbers that are compared with text.
        let (mut keys, mut others) = (Vec::new(), Vec::new());
        for (one, other) in &on {
            match (key(&left, one), key(&right, other)) {
                (Some(one), Some(other)) if one.text == other.text => keys.extend([one.clone(), other.clone()]),
                _ => {
                    others.extend(one.column_refs().into_iter().filter_map(|column| left.number(column)).cloned());
                    others.extend(other.column_refs().into_iter().filter_map(|column| right.number(column)).cloned());
                }
            }
        }
        self.lose(&others);
        self.gaining.extend(keys.iter().flat_map(|key| &key.origins));
        let is_unclear = filter.as_ref().is_some_and(|filter| has_twins(filter, &left, &right));
        if is_unclear || !others.is_empty() {
            (left, right) = (left.with_text_at(|_| true)?, right.with_text_at(|_| true)?);
        }
        let find = |column: &Column| left.number(column).or_else(|| right.number(column)).cloned();
        let filter = filter.map(|filter| self.condition(filter, &find)).transpose()?;
        let numbers = match join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                [left.numbers, right.numbers].concat()
            }
            JoinType::LeftSemi | JoinType::LeftAnti => left.numbers,
            JoinType::RightSemi | JoinType::RightAnti => right.numbers,
            JoinType::LeftMark => [left.numbers, vec![None]].concat(),
            JoinType::RightMark => [right.numbers, vec![None]].concat(),
        };
        let (left, right) = (Arc::new(left.plan), Arc::new(right.plan));
        let join = Join::try_new(left, right, on, filter, join_type, join_constraint, null_equality, null_aware)?;
        Ok(Pulled { plan: LogicalPlan::Join(join), numbers })
    }

    /// Rewrites a union. A column holds numbers if it does in all inputs.
    fn union(&mut self, Union { inputs, schema }: Union) -> Result<Pulled> {
        let inputs = inputs.into_iter().map(|input| self.pull_shared(input)).collect::<Result<Vec<_>>>()?;
        let columns = 0..schema.fields().len();
        let numbers: Vec<Option<Number>> = columns.map(|place| united(&inputs, place)).collect();
        let inputs = inputs.into_iter().map(|input| {
            let input = input.with_text_at(|place| numbers[place].is_none())?;
            Ok(Arc::new(input.plan))
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let schema = Arc::new(with_numbers(&schema, &numbers, &inputs)?);
        Ok(Pulled { plan: LogicalPlan::Union(Union { inputs, schema }), numbers })
    }
}

/// Returns the type of a table's text. Returns `None` if its addresses are numbers already.
fn text_type(table: &FlowTable) -> Option<DataType> {
    match table.text() {
        _ if table.numbers() != [false; 2] => None,
        Text::View => Some(DataType::Utf8View),
        Text::Plain => Some(DataType::Utf8),
        Text::Dictionary | Text::Coded => None,
    }
}

/// Returns whether rows are grouped in several ways at once.
fn has_sets(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_)))
}

/// Returns the number that an aggregate counts, if it is a count of a single column.
fn counted<'a>(call: &AggregateFunction, input: &'a Pulled) -> Option<&'a Number> {
    let [column @ Expr::Column(_)] = call.params.args.as_slice() else { return None };
    let is_count = call.func.inner().is::<Count>() && call.params.order_by.is_empty();
    input.number_of(column).filter(|_| is_count)
}

/// Returns the number that a join key is.
fn key<'a>(side: &'a Pulled, key: &Expr) -> Option<&'a Number> {
    match key {
        Expr::Column(column) => side.number(column),
        _ => None,
    }
}

/// Returns whether a column of `filter` is ambiguous between the sides.
fn has_twins(filter: &Expr, left: &Pulled, right: &Pulled) -> bool {
    filter.column_refs().into_iter().any(|column| left.place(column).is_some() && right.place(column).is_some())
}

fn united(inputs: &[Pulled], place: usize) -> Option<Number> {
    let mut columns = inputs.iter().map(|input| input.numbers.get(place)?.as_ref());
    let mut united = columns.next()??.clone();
    for number in columns {
        let number = number.filter(|number| number.text == united.text)?;
        united.origins.extend(&number.origins);
        united.is_grouped &= number.is_grouped;
    }
    Some(united)
}

/// Returns the schema of a union in which some columns are numbers.
fn with_numbers(schema: &DFSchema, numbers: &[Option<Number>], inputs: &[Arc<LogicalPlan>]) -> Result<DFSchema> {
    let is_nullable = |place: usize| inputs.iter().any(|input| input.schema().field(place).is_nullable());
    let fields = schema.iter().zip(numbers).enumerate().map(|(place, ((qualifier, field), number))| {
        let field = match number {
            Some(_) => Arc::new(Field::new(field.name(), address_number(), is_nullable(place))),
            None => Arc::clone(field),
        };
        (qualifier.cloned(), field)
    });
    DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())
}
