//! Functions of a fragment. Those of DataFusion and of a session travel by name; some have a state that travels too.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};

use crate::engine::explorer::bounded;
use crate::engine::functions::analysis::{self, IpIn, IpText};
use crate::engine::functions::locator::ScopeLocator;
use crate::engine::functions::user;
use crate::engine::groups::{self, addresses_of, busiest};
use crate::engine::logged;
use crate::engine::scan::exact;
use crate::engine::scope::Scope;

/// A set of functions beside those of DataFusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Functions {
    /// Those of the queries of an analysis.
    Analysis,
    /// Those of user queries.
    User,
}

impl Functions {
    /// Registers the functions of a scope.
    pub fn register(self, context: &SessionContext, scope: &Arc<Scope>) -> Result<()> {
        match self {
            Self::User => user::register(context, scope),
            Self::Analysis => {
                let places = Arc::new(ScopeLocator::new(scope));
                analysis::all(scope, &places).into_iter().for_each(|function| context.register_udf(function));
                context.register_udaf(groups::aggregate(scope, &places));
                context.register_udaf(logged::aggregate(scope, &places));
                context.register_udaf(addresses_of::addresses());
                context.register_udaf(busiest::busiest());
                Ok(())
            }
        }
    }
}

/// Returns whether a function may depend on the scope, by its name.
pub fn needs_scope(name: &str) -> bool {
    const NEEDS: [&str; 15] = [
        "subnet_of",
        "class_of",
        "is_load_balancer",
        "tag_test",
        "is_named_port",
        "is_guarded_port",
        "is_tagged",
        "name",
        "service_tag",
        "service_tags",
        "in_service_tag",
        groups::NAME,
        logged::NAME,
        groups::together::NAME,
        "version",
    ];
    NEEDS.contains(&name)
}

const BOUNDED: u8 = b'b';
const AS_IS: u8 = b'=';
const IP_TEXT: u8 = b't';
const IP_TEXT_PLAIN: u8 = b'p';

/// Writes what a function needs beside its name.
pub fn encode(function: &ScalarUDF, bytes: &mut Vec<u8>) {
    if bounded::is_bounded(function) {
        bytes.push(BOUNDED);
    } else if function.name() == exact::AsIs::NAME {
        bytes.push(AS_IS);
    } else if let Some(text) = function.inner().downcast_ref::<IpText>() {
        bytes.push(if *text.result() == DataType::Utf8View { IP_TEXT } else { IP_TEXT_PLAIN });
    }
}

/// Returns the function with this name and these bytes.
pub fn decode(name: &str, bytes: &[u8], known: &TaskContext) -> Result<Arc<ScalarUDF>> {
    match bytes {
        [BOUNDED] if name == bounded::JOINED => Ok(Arc::new(bounded::joined())),
        [BOUNDED] => Ok(Arc::new(bounded::bound(known.udf(name)?))),
        [AS_IS] => Ok(Arc::new(exact::as_is().clone())),
        [IP_TEXT] => Ok(Arc::new(ScalarUDF::from(IpText::new(DataType::Utf8View)))),
        [IP_TEXT_PLAIN] => Ok(Arc::new(ScalarUDF::from(IpText::new(DataType::Utf8)))),
        [] if name == IpIn::NAME => Ok(Arc::new(ScalarUDF::from(IpIn::new()))),
        [] => known.udf(name),
        _ => exec_err!("a function {name} of another form"),
    }
}
