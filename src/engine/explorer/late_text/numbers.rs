//! Plans of which some columns hold numbers in the place of text.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, ScalarUDF};

use crate::engine::functions::analysis::IpText;

/// An address column of a scan: the place of the scan in the plan, and that of the column in [`crate::schema::ENDS`].
pub type Origin = (usize, usize);

/// A column that holds numbers in the place of text.
#[derive(Debug, Clone)]
pub struct Number {
    pub origins: BTreeSet<Origin>,
    /// The type of the text.
    pub text: DataType,
    /// Whether there is one for each group, and no longer one for each flow.
    pub is_grouped: bool,
}

/// A plan, and for each of its columns whether it holds numbers.
pub struct Pulled {
    pub plan: LogicalPlan,
    pub numbers: Vec<Option<Number>>,
}

impl Pulled {
    /// A plan without numbers.
    pub fn all_text(plan: LogicalPlan) -> Self {
        let numbers = vec![None; plan.schema().fields().len()];
        Self { plan, numbers }
    }

    /// A plan over this one that has the same columns.
    pub fn below(self, node: impl FnOnce(Arc<LogicalPlan>) -> Result<LogicalPlan>) -> Result<Self> {
        Ok(Self { plan: node(Arc::new(self.plan))?, numbers: self.numbers })
    }

    /// The place of a column.
    pub fn place(&self, column: &Column) -> Option<usize> {
        self.plan.schema().maybe_index_of_column(column)
    }

    /// The number that a column holds.
    pub fn number(&self, column: &Column) -> Option<&Number> {
        self.numbers[self.place(column)?].as_ref()
    }

    /// The number that an expression is, under whatever name.
    pub fn number_of(&self, expr: &Expr) -> Option<&Number> {
        match expr {
            Expr::Column(column) => self.number(column),
            Expr::Alias(alias) => self.number_of(&alias.expr),
            _ => None,
        }
    }

    /// Makes text of the numbers at some places.
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

/// The text of a column that holds numbers.
pub fn as_text(column: Expr, number: &Number) -> Expr {
    static VIEW: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(IpText::new(DataType::Utf8View).into()));
    static PLAIN: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(IpText::new(DataType::Utf8).into()));
    let function = if number.text == DataType::Utf8View { &VIEW } else { &PLAIN };
    function.call(vec![column])
}
