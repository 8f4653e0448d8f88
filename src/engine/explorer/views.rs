//! Views and macros that the user defines for a session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::Statement as Sql;

use super::error::{Names, QueryError};
use super::macros::Macros;
use super::read_only::{self, Kind, Statement};

/// Maximum number of views.
const MOST_VIEWS: usize = 32;
/// Maximum number of steps in the plan of a view. Each view may contain others twice, so plans could double in size.
const MOST_STEPS: usize = 500;

/// Views of a session by name, its macros, and the names that its queries may use.
#[derive(Debug, Default)]
pub struct Views {
    /// Whether nothing may be defined.
    is_fixed: bool,
    /// Number of operators in the text of each view.
    links: Mutex<BTreeMap<String, usize>>,
    names: Mutex<Arc<Names>>,
    macros: Mutex<Arc<Macros>>,
}

/// A view that was planned.
pub struct NewView {
    pub name: String,
    pub or_replace: bool,
    /// Text that contains its definition.
    pub text: Arc<str>,
    /// Plan in the usual and in the frugal context.
    pub plans: [LogicalPlan; 2],
}

impl Views {
    /// Returns the same names for a session that cannot define views.
    pub fn fixed(&self) -> Self {
        Self { is_fixed: true, links: Mutex::default(), names: Mutex::new(self.names()), macros: Mutex::default() }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of operators of all views.
    pub fn total_links(&self) -> usize {
        self.links().values().sum()
    }

    /// Returns the names that queries may use.
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the macros that queries may call.
    pub fn macros(&self) -> Arc<Macros> {
        Arc::clone(&self.macros.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the names that queries may use.
    pub fn rename(&self, change: impl FnOnce(&mut Names)) {
        change(Arc::make_mut(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    /// Registers a view in both contexts.
    pub fn define(&self, view: NewView, contexts: [&SessionContext; 2]) -> Result<(), QueryError> {
        let NewView { name, or_replace, text, plans } = view;
        if self.is_fixed {
            return Err(QueryError::Refused("views cannot be defined here: write WITH before the query".to_owned()));
        }
        let is_own = self.links().contains_key(&name);
        if !is_own && self.names().tables.iter().any(|(known, _)| *known == name) {
            return Err(QueryError::wrong(format!("{name} is a table of flowgap: choose another name")));
        }
        if is_own && !or_replace {
            return Err(QueryError::wrong(format!(
                "there is a view {name}: write CREATE OR REPLACE TEMP VIEW, or drop it"
            )));
        }
        if self.links().len() >= MOST_VIEWS && !is_own {
            return Err(QueryError::Refused(format!(
                "there are {MOST_VIEWS} views, and more are not allowed: drop one"
            )));
        }
        let steps = steps(&plans[0]).map_err(QueryError::Engine)?;
        if steps > MOST_STEPS {
            let message =
                format!("the view has {steps} steps with those of other views, and at most {MOST_STEPS} are allowed");
            return Err(QueryError::Refused(message));
        }
        let columns = plans[0].schema().fields().iter().map(|field| field.name().clone()).collect();
        for (context, plan) in contexts.into_iter().zip(plans) {
            replace(context, &name, Some(plan)).map_err(QueryError::Engine)?;
        }
        self.links().insert(name.clone(), read_only::links(&text));
        self.rename(|names| {
            names.tables.retain(|(known, _)| *known != name);
            names.tables.push((name, columns));
        });
        Ok(())
    }

    /// Applies a statement that needs no plan: a macro, or the end of a view or a macro. Returns `None` for any other one.
    pub fn apply(&self, statement: &Statement, contexts: [&SessionContext; 2]) -> Option<Result<(), QueryError>> {
        match &statement.kind {
            Kind::Drop { name, if_exists } => Some(self.drop(name, *if_exists, contexts)),
            Kind::Macro { name, or_replace } => Some(self.define_macro(name, *or_replace, &statement.parsed)),
            Kind::DropMacro { name, if_exists } => Some(self.drop_macro(name, *if_exists)),
            Kind::Query | Kind::Summary | Kind::Setting | Kind::View { .. } => None,
        }
    }

    fn define_macro(&self, name: &str, or_replace: bool, parsed: &Parsed) -> Result<(), QueryError> {
        if self.is_fixed {
            return Err(QueryError::Refused("macros cannot be defined here: write the expression itself".to_owned()));
        }
        let Parsed::Statement(statement) = parsed else { return Ok(()) };
        let Sql::CreateMacro { args, definition, .. } = &**statement else { return Ok(()) };
        let (mut macros, names) = (self.macros(), self.names());
        let is_function = |name: &str| names.functions.binary_search_by(|known| known.as_str().cmp(name)).is_ok();
        match macros.has(name) {
            true if !or_replace => {
                let message = format!("there is a macro {name}: write CREATE OR REPLACE MACRO, or drop it");
                return Err(QueryError::wrong(message));
            }
            false if is_function(name) => {
                return Err(QueryError::wrong(format!("{name} is a function of flowgap: choose another name")));
            }
            _ => {}
        }
        let parameters = args.as_deref().unwrap_or_default();
        Arc::make_mut(&mut macros).define(name, parameters, definition, is_function).map_err(QueryError::wrong)?;
        *self.macros.lock().unwrap_or_else(PoisonError::into_inner) = macros;
        self.rename(|names| {
            if let Err(place) = names.functions.binary_search_by(|known| known.as_str().cmp(name)) {
                names.functions.insert(place, name.to_owned());
            }
        });
        Ok(())
    }

    fn drop_macro(&self, name: &str, if_exists: bool) -> Result<(), QueryError> {
        let mut macros = self.macros();
        if !Arc::make_mut(&mut macros).remove(name) {
            let wrong = || QueryError::wrong(format!("there is no macro {name}"));
            return if if_exists { Ok(()) } else { Err(wrong()) };
        }
        *self.macros.lock().unwrap_or_else(PoisonError::into_inner) = macros;
        self.rename(|names| names.functions.retain(|known| known != name));
        Ok(())
    }

    /// Removes a view from both contexts.
    fn drop(&self, name: &str, if_exists: bool, contexts: [&SessionContext; 2]) -> Result<(), QueryError> {
        if self.links().remove(name).is_none() {
            let wrong = || QueryError::wrong(format!("there is no view {name}"));
            return if if_exists { Ok(()) } else { Err(wrong()) };
        }
        self.rename(|names| names.tables.retain(|(known, _)| known != name));
        contexts.iter().try_for_each(|context| replace(context, name, None)).map_err(QueryError::Engine)
    }
}

fn replace(context: &SessionContext, name: &str, plan: Option<LogicalPlan>) -> Result<(), DataFusionError> {
    context.deregister_table(name)?;
    if let Some(plan) = plan {
        context.register_table(name, Arc::new(ViewTable::new(plan, None)))?;
    }
    Ok(())
}

fn steps(plan: &LogicalPlan) -> Result<usize> {
    let mut steps = 0;
    plan.apply_with_subqueries(|_| {
        steps += 1;
        Ok(if steps > MOST_STEPS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(steps)
}
