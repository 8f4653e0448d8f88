//! Functions over addresses for user queries: the kind of an address and the service tags that contain it.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, ListBuilder, StringViewArray, StringViewBuilder, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionContext;

use super::analysis::IpIn;
use super::{frequent, immutable, text};
use crate::catalog::{ServiceTags, is_private, is_within};
use crate::engine::explorer::suggest::closest_name;
use crate::engine::scope::Scope;
use crate::net::{number, parse_ip};

/// Help text of a SQL function, as shown by `.help functions` and `docs/sql.md`.
#[derive(Debug, Clone, Copy)]
pub struct FunctionHelp {
    /// Call with the names of its arguments.
    pub call: &'static str,
    /// Result, as a phrase.
    pub gives: &'static str,
}

/// Functions of flowgap. User queries may also call those of DataFusion.
pub const FUNCTIONS: [FunctionHelp; 12] = [
    FunctionHelp {
        call: "ip_in(ip, prefixes)",
        gives: "whether the address is in a prefix such as '10.5.16.0/23', or in one of several separated by ;",
    },
    FunctionHelp {
        call: "service_tag(ip)",
        gives: "the most specific service tag that contains the address; null if none does or no service-tag file is loaded",
    },
    FunctionHelp {
        call: "service_tags(ip)",
        gives: "all service tags that contain the address, the most specific first",
    },
    FunctionHelp {
        call: "in_service_tag(ip, tag)",
        gives: "whether the tag (in any letter case) or one of its regions contains the address; null if the service-tag file cannot tell",
    },
    FunctionHelp {
        call: "is_private(ip)",
        gives: "whether the address is private: RFC 1918, 100.64.0.0/10, loopback, link local, fc00::/7",
    },
    FunctionHelp {
        call: "name(ip)",
        gives: "the name of the longest prefix that contains the address; null if none does or no names are loaded",
    },
    FunctionHelp { call: "ip <<= prefix", gives: "the same as ip_in(ip, prefix)" },
    FunctionHelp {
        call: "arg_max(value, by), arg_min",
        gives: "the value in the row where by is the largest or smallest",
    },
    FunctionHelp { call: "mode(value)", gives: "the most frequent value" },
    FunctionHelp { call: "histogram(value)", gives: "each value with its count, as a list" },
    FunctionHelp {
        call: "time_bucket(width, time)",
        gives: "the start of the step that contains the time, as date_bin",
    },
    FunctionHelp { call: "strftime(time, format)", gives: "the time as text, as to_char: strftime(time, '%H:%M')" },
];

/// Names from other engines for functions of DataFusion.
const ALIASES: [(&str, &str); 2] = [("date_bin", "time_bucket"), ("to_char", "strftime")];

/// Registers the functions for user queries.
pub fn register(context: &SessionContext, scope: &Arc<Scope>) -> Result<()> {
    all(scope).into_iter().for_each(|function| context.register_udf(function));
    frequent::all().into_iter().for_each(|function| context.register_udaf(function));
    let version = concat!("flowgap ", env!("CARGO_PKG_VERSION"));
    let version = immutable("version", Vec::new(), DataType::Utf8View, move |_| {
        Arc::new(StringViewArray::from_iter_values([version]))
    });
    context.register_udf(version);
    for (name, alias) in ALIASES {
        let function = context.udf(name)?;
        context.register_udf(function.as_ref().clone().with_aliases([alias]));
    }
    Ok(())
}

fn all(scope: &Arc<Scope>) -> Vec<ScalarUDF> {
    let is_private = immutable("is_private", vec![DataType::Utf8View], DataType::Boolean, |args| {
        let ips = args[0].as_string_view().iter();
        Arc::new(BooleanArray::from_iter(ips.map(|ip| ip.and_then(parse_ip).map(is_private))))
    });
    // Built on first use, because a file has tens of thousands of prefixes.
    let sets = {
        let scope = Arc::clone(scope);
        Arc::new(LazyLock::new(move || scope.service_tags().map(TagSets::new)))
    };
    let service_tag = {
        let (scope, sets) = (Arc::clone(scope), Arc::clone(&sets));
        immutable("service_tag", vec![DataType::Utf8View], DataType::Utf8View, move |args| {
            let sets = sets.as_ref().as_ref().map(|sets| &sets.most_specific as &dyn Array);
            of_each(&scope, &args[0], sets, &DataType::Utf8View)
        })
    };
    let service_tags = {
        let scope = Arc::clone(scope);
        immutable("service_tags", vec![DataType::Utf8View], list_type(), move |args| {
            let sets = sets.as_ref().as_ref().map(|sets| &sets.all as &dyn Array);
            of_each(&scope, &args[0], sets, &list_type())
        })
    };
    let name = {
        let scope = Arc::clone(scope);
        immutable("name", vec![DataType::Utf8View], DataType::Utf8View, move |args| {
            let ips = args[0].as_string_view().iter();
            let names = scope.names();
            Arc::new(StringViewArray::from_iter(ips.map(|ip| names.name_of_text(ip?))))
        })
    };
    vec![
        ScalarUDF::from(IpIn::new()),
        is_private,
        name,
        service_tag,
        service_tags,
        ScalarUDF::from(InServiceTag::new(Arc::clone(scope))),
    ]
}

/// Values of the functions per distinct set of tags, by the index of the set.
struct TagSets {
    most_specific: StringViewArray,
    all: ListArray,
}

impl TagSets {
    fn new(tags: &ServiceTags) -> Self {
        let mut all = ListBuilder::new(StringViewBuilder::new().with_deduplicate_strings());
        let mut most_specific = StringViewBuilder::new().with_deduplicate_strings();
        for set in tags.sets() {
            most_specific.append_option(set.first());
            set.iter().for_each(|tag| all.values().append_value(tag));
            all.append(true);
        }
        Self { most_specific: most_specific.finish(), all: all.finish() }
    }
}

fn list_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true)))
}

/// Returns the value from `sets` per address, by the address's set of tags. The value is null if the text is not an
/// address or no file is loaded.
fn of_each(scope: &Scope, ips: &ArrayRef, sets: Option<&dyn Array>, data_type: &DataType) -> ArrayRef {
    let (Some(tags), Some(sets)) = (scope.service_tags(), sets) else {
        return arrow::array::new_null_array(data_type, ips.len());
    };
    let set_of = |ip: &str| parse_ip(ip).map(|ip| tags.find(number(ip)).index() as u32);
    let ids: UInt32Array = ips.as_string_view().iter().map(|ip| ip.and_then(set_of)).collect();
    take(sets, &ids, None).expect("every set has its value")
}

/// The function `in_service_tag(ip, tag)`.
#[derive(Debug)]
struct InServiceTag {
    signature: Signature,
    scope: Arc<Scope>,
}

impl InServiceTag {
    fn new(scope: Arc<Scope>) -> Self {
        Self { signature: Signature::exact(vec![DataType::Utf8View; 2], Volatility::Immutable), scope }
    }

    /// Returns whether each set of the file has the tag or one of its regions; `None` if no file is loaded. An element
    /// is `None` if the file has only regions of the tag, and the set has none of them.
    fn sets_with(&self, tag: &str) -> Result<Option<Vec<Option<bool>>>> {
        let Some(tags) = self.scope.service_tags() else { return Ok(None) };
        if !tags.names().any(|name| is_within(name, tag)) {
            let near =
                closest_name(tag, tags.names()).map(|name| format!(": did you mean '{name}'?")).unwrap_or_default();
            return plan_err!("the service-tag file has no tag '{tag}'{near}");
        }
        let lacks = tags.lacks(tag);
        let answer = |set: Vec<&str>| match set.iter().any(|name| is_within(name, tag)) {
            false if lacks => None,
            is_in => Some(is_in),
        };
        Ok(Some(tags.sets().map(answer).collect()))
    }
}

/// Two functions are equal if they share the scope, because a session registers only one.
impl PartialEq for InServiceTag {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.scope, &other.scope)
    }
}

impl Eq for InServiceTag {}

impl std::hash::Hash for InServiceTag {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.scope).hash(state);
    }
}

impl ScalarUDFImpl for InServiceTag {
    fn name(&self) -> &str {
        "in_service_tag"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    /// Rejects an unknown constant tag during planning, before anything is read.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Some(tag) = args.scalar_arguments.get(1).copied().flatten().and_then(text) {
            self.sets_with(tag)?;
        }
        Ok(Arc::new(Field::new(self.name(), DataType::Boolean, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (ips, names) = (arrays[0].as_string_view(), arrays[1].as_string_view());
        let mut known: Option<(&str, Option<Vec<Option<bool>>>)> = None;
        let mut answers = Vec::with_capacity(args.number_rows);
        for (ip, name) in ips.iter().zip(names) {
            let (Some(ip), Some(name)) = (ip, name) else {
                answers.push(None);
                continue;
            };
            if known.as_ref().is_none_or(|(last, _)| *last != name) {
                known = Some((name, self.sets_with(name)?));
            }
            let sets = known.as_ref().and_then(|(_, sets)| sets.as_ref());
            let set = parse_ip(ip).zip(self.scope.service_tags()).map(|(ip, tags)| tags.find(number(ip)));
            answers.push(sets.zip(set).and_then(|(sets, set)| sets[set.index()]));
        }
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(answers))))
    }
}
