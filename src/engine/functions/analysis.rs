//! Scalar functions over addresses and ports, for the queries of the analysis. Protocols and joins belong to SQL.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, BooleanArray, FixedSizeBinaryArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, UInt16Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::locator::ScopeLocator;
use super::{immutable, text};
use crate::catalog::{Answer, Tag};
use crate::engine::groups::state::{nullable_address_texts, numbers};
use crate::engine::scope::Scope;
use crate::net::{IpSet, PortBits, PortSet, Prefix, address, number, parse_ip};
use crate::schema::address_number;

/// Returns the functions of one scope.
pub fn all(scope: &Arc<Scope>, places: &Arc<ScopeLocator>) -> Vec<ScalarUDF> {
    let subnet_of = {
        let places = Arc::clone(places);
        immutable("subnet_of", vec![DataType::Utf8View], DataType::Utf8View, move |args| {
            let ips = args[0].as_string_view().iter();
            let subnets = ips.map(|ip| ip.and_then(parse_ip).and_then(|ip| places.subnet(ip)));
            Arc::new(StringViewArray::from_iter(subnets))
        })
    };
    let class_of = {
        let places = Arc::clone(places);
        immutable("class_of", vec![DataType::Utf8View], DataType::Utf8View, move |args| {
            let ips = args[0].as_string_view().iter();
            Arc::new(StringViewArray::from_iter(ips.map(|ip| ip.and_then(parse_ip).map(|ip| places.class(ip)))))
        })
    };
    let is_load_balancer = {
        let places = Arc::clone(places);
        immutable("is_load_balancer", vec![DataType::Utf8View], DataType::Boolean, move |args| {
            let place = places.tag_test.tags().iter().position(|tag| *tag == Tag::AzureLoadBalancer);
            let yes = Answer::Yes.letter();
            let classes = args[0].as_string_view().iter();
            let answers = classes.map(|class| Some(class?.chars().nth(place?) == Some(yes)));
            Arc::new(BooleanArray::from_iter(answers))
        })
    };
    // The test covers the tags of every edition. It is built on first use, because few addresses need it.
    let all_tags = {
        let scope = Arc::clone(scope);
        LazyLock::new(move || scope.every_tag_test())
    };
    let tag_test = immutable("tag_test", vec![DataType::Utf8View; 2], DataType::Utf8View, move |args| {
        let (ips, tags) = (args[0].as_string_view(), args[1].as_string_view());
        let answers = ips
            .iter()
            .zip(tags.iter())
            .map(|(ip, tag)| all_tags.test(parse_ip(ip?)?, &Tag::from_name(tag?)).map(Answer::name));
        Arc::new(StringViewArray::from_iter(answers))
    });
    let among = |name: &str, ports: PortSet| {
        let known = PortBits::from(&ports);
        immutable(name, vec![DataType::UInt16], DataType::Boolean, move |args| {
            let ports = args[0].as_primitive::<UInt16Type>().iter();
            Arc::new(BooleanArray::from_iter(ports.map(|port| Some(known.contains(port?)))))
        })
    };
    let is_named_port = among("is_named_port", scope.named_ports(|row| &row.destination_ports));
    let is_guarded_port = among("is_guarded_port", scope.guarded_ports());
    let bytes = DataType::FixedSizeBinary(16);
    let is_tagged = {
        let scope = Arc::clone(scope);
        immutable("is_tagged", vec![bytes.clone()], DataType::Boolean, move |args| {
            let tags = scope.service_tags();
            let is_tagged = |number| tags.is_some_and(|tags| tags.tag(address(number)).is_some());
            Arc::new(BooleanArray::from_iter(numbers(&args[0]).map(|number| Some(is_tagged(number)))))
        })
    };
    let ip_bytes = immutable("ip_bytes", vec![DataType::Utf8View], bytes, |args| {
        let numbers =
            args[0].as_string_view().iter().map(|ip| ip.and_then(parse_ip).map(|ip| number(ip).to_be_bytes()));
        let bytes = FixedSizeBinaryArray::try_from_sparse_iter_with_size(numbers, 16);
        Arc::new(bytes.expect("16 bytes each"))
    });
    let of_bytes = [is_tagged, ScalarUDF::from(IpText::new(DataType::Utf8View)), ip_bytes];
    let of_ports = [is_named_port, is_guarded_port];
    let others = [ScalarUDF::from(IpIn::new()), subnet_of, class_of, is_load_balancer, tag_test];
    others.into_iter().chain(of_ports).chain(of_bytes).collect()
}

/// `ip_in(ip, cidr)`: whether an address is in a prefix, or in one of several separated by `;`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct IpIn {
    signature: Signature,
}

impl IpIn {
    pub const NAME: &'static str = "ip_in";

    pub(in crate::engine) fn new() -> Self {
        let of = |ip: DataType| TypeSignature::Exact(vec![ip, DataType::Utf8View]);
        let forms = vec![of(DataType::FixedSizeBinary(16)), of(DataType::Utf8View)];
        Self { signature: Signature::one_of(forms, Volatility::Immutable) }
    }

    /// Returns the prefixes listed in `text`, or `None` if one of them is invalid.
    pub fn prefixes(text: &str) -> Option<IpSet> {
        text.split(';').map(|prefix| prefix.trim().parse::<Prefix>().ok()).collect()
    }

    fn checked(text: &str) -> Result<IpSet> {
        let parsed = text.split(';').map(|prefix| prefix.trim().parse::<Prefix>());
        parsed.collect::<std::result::Result<_, _>>().or_else(|error| plan_err!("ip_in: {error}"))
    }
}

impl ScalarUDFImpl for IpIn {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    /// Rejects an invalid constant prefix during planning, before anything is read.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Some(text) = args.scalar_arguments.get(1).copied().flatten().and_then(text) {
            Self::checked(text)?;
        }
        Ok(Arc::new(Field::new(Self::NAME, DataType::Boolean, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let number_at: Box<dyn Fn(usize) -> Option<u128>> = match arrays[0].data_type() {
            DataType::FixedSizeBinary(_) => {
                let ips = arrays[0].as_fixed_size_binary();
                Box::new(|row| Some(u128::from_be_bytes(ips.value(row).try_into().ok()?)))
            }
            _ => {
                let ips = arrays[0].as_string_view();
                Box::new(|row| parse_ip(ips.value(row)).map(number))
            }
        };
        let lists = arrays[1].as_string_view();
        let mut known: Option<(&str, IpSet)> = None;
        let mut answers = Vec::with_capacity(args.number_rows);
        for row in 0..arrays[0].len() {
            if arrays[0].is_null(row) || lists.is_null(row) {
                answers.push(None);
                continue;
            }
            let text = lists.value(row);
            if known.as_ref().is_none_or(|(last, _)| *last != text) {
                known = Some((text, Self::checked(text)?));
            }
            answers.push(known.as_ref().and_then(|(_, prefixes)| Some(prefixes.contains(number_at(row)?))));
        }
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(answers))))
    }
}

/// `ip_text(ip)`: the text of an address that is held as a number, as `flows` shows it. Numbers and texts correspond
/// one to one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct IpText {
    signature: Signature,
    /// Type of the text: views or plain strings.
    result: DataType,
}

impl IpText {
    pub const NAME: &'static str = "ip_text";

    pub(in crate::engine) fn new(result: DataType) -> Self {
        Self { signature: Signature::exact(vec![address_number()], Volatility::Immutable), result }
    }

    /// Returns the type of the text.
    pub(in crate::engine) fn result(&self) -> &DataType {
        &self.result
    }
}

impl ScalarUDFImpl for IpText {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    /// Returns a field that is nullable only if the address is.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(Self::NAME, self.result.clone(), is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let is_valid = |row: usize| arrays[0].is_valid(row);
        let numbers = numbers(&arrays[0]).enumerate().map(|(row, number)| is_valid(row).then_some(number));
        let texts = nullable_address_texts(numbers);
        Ok(ColumnarValue::Array(match self.result {
            DataType::Utf8View => texts,
            _ => cast(&texts, &self.result)?,
        }))
    }
}
