//! Plans in which some columns hold numbers instead of text.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, ScalarUDF};

use crate::engine::functions::analysis::IpText;

/// An address column of a scan: the index of the scan in the plan, and of the column in [`crate::schema::ENDS`].
pub type Origin = (usize, usize);

/// A column that holds numbers instead of text.
#[derive(Debug, Clone)]
pub struct Number {
    pub origins: BTreeSet<Origin>,
    /// Type of the text.
    pub text: DataType,
    /// Whether there is one value per group, and no longer one per flow.
    pub is_grouped: bool,
}

/// A plan with, per column, the number that it holds; `None` for text.
pub struct Pulled {
    pub plan: LogicalPlan,
    pub numbers: Vec<Option<Number>>,
}

impl Pulled {
    /// Returns a plan without numbers.
    pub fn all_text(plan: LogicalPlan) -> Self {
        let numbers = vec![None; plan.schema().fields().len()];
        Self { plan, numbers }
    }

    /// Returns `node` over this plan. It must keep the columns.
    pub fn below(self, node: impl FnOnce(Arc<LogicalPlan>) -> Result<LogicalPlan>) -> Result<Self> {
        Ok(Self { plan: node(Arc::new(self.plan))?, numbers: self.numbers })
    }

    /// Returns the index of a column.
    pub fn place(&self, column: &Column) -> Option<usize> {
        self.plan.schema().maybe_index_of_column(column)
    }

    /// Returns the number that a column holds.
    pub fn number(&self, column: &Column) -> Option<&Number> {
        self.numbers[self.place(column)?].as_ref()
    }

    /// Returns the number that an expression passes on, under any alias.
    pub fn number_of(&self, expr: &Expr) -> Option<&Number> {
        match expr {
            Expr::Column(column) => self.number(column),
            Expr::Alias(alias) => self.number_of(&alias.expr),
            _ => None,
        }
    }

    /// Converts the numbers at the wanted indices to text.
    pub fn with_text_at(self, is_wanted: impl Fn(usize) -> bool) -> Result<Self> {
        let Self { plan, mut numbers } = self;
        let mut is_changed = false;
        let mut columns = Vec::with_capacity(numbers.len());
        for (place, (qualifier, field)) in plan.schema().iter().enumerate() {
            let column = Expr::Column(Column::from((qualifier, field)));
            columns.push(match numbers[place].take_if(|_| is_wanted(place)) {
                Some(number) => {
                    is_changed = true;
                    as_text(column, &number).alias_qualified(qualifier.cloned(), field.name())
                }
                None => column,
            });
        }
        if !is_changed {
            return Ok(Self { plan, numbers });
        }
        let plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?);
        Ok(Self { plan, numbers })
    }
}

/// Returns the text of a column that holds numbers.
pub fn as_text(column: Expr, number: &Number) -> Expr {
    static VIEW: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(IpText::new(DataType::Utf8View).into()));
    static PLAIN: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(IpText::new(DataType::Utf8).into()));
    let function = if number.text == DataType::Utf8View { &VIEW } else { &PLAIN };
    function.call(vec![column])
}
