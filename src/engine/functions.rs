//! Scalar functions over addresses. They answer where an address lies; ports, protocols and joins are SQL's.

use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, StringViewArray, StringViewBuilder, StructArray,
    UInt32Builder,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, Fields, UInt16Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use super::session::Scope;
use crate::catalog::{Answer, Tag, TagTest};
use crate::net::{PortSet, PrefixMap, parse_ip};

/// The functions of one scope.
pub fn all(scope: &Arc<Scope>) -> Vec<ScalarUDF> {
    let places = Arc::new(Places::new(scope));
    let ports = |name: &str, named: PortSet| {
        text_free(name, vec![DataType::UInt16], DataType::Boolean, move |args| {
            let ports = args[0].as_primitive::<UInt16Type>();
            Arc::new(BooleanArray::from_iter(ports.iter().map(|port| port.map(|port| named.contains(port)))))
        })
    };
    let endpoints = {
        let places = Arc::clone(&places);
        let ends = endpoint_fields();
        text_free("endpoints", vec![DataType::Utf8View; 3], DataType::Struct(ends), move |args| {
            Arc::new(places.endpoints(args[0].as_string_view(), args[1].as_string_view(), args[2].as_string_view()))
        })
    };
    let subnet_of = {
        let places = Arc::clone(&places);
        text_free("subnet_of", vec![DataType::Utf8View], DataType::Utf8View, move |args| {
            let ips = args[0].as_string_view().iter();
            let subnets = ips.map(|ip| ip.and_then(parse_ip).and_then(|ip| places.subnet(ip)));
            Arc::new(StringViewArray::from_iter(subnets))
        })
    };
    let tag_test = text_free("tag_test", vec![DataType::Utf8View; 2], DataType::Utf8View, move |args| {
        let (ips, tags) = (args[0].as_string_view(), args[1].as_string_view());
        let answers = ips
            .iter()
            .zip(tags.iter())
            .map(|(ip, tag)| places.tag_test.test(parse_ip(ip?)?, &Tag::from_name(tag?)).map(Answer::name));
        Arc::new(StringViewArray::from_iter(answers))
    });
    vec![
        ports("is_named_port", scope.named_ports(|r| &r.destination_ports)),
        ports("is_named_src_port", scope.named_ports(|r| &r.source_ports)),
        endpoints,
        subnet_of,
        tag_test,
    ]
}

fn text_free(
    name: &str,
    arguments: Vec<DataType>,
    result: DataType,
    call: impl Fn(&[ArrayRef]) -> ArrayRef + Send + Sync + 'static,
) -> ScalarUDF {
    let call = move |args: &[ColumnarValue]| -> Result<ColumnarValue> {
        Ok(ColumnarValue::Array(call(&ColumnarValue::values_to_arrays(args)?)))
    };
    create_udf(name, arguments, result, Volatility::Immutable, Arc::new(call))
}

/// Where addresses lie relative to the scope.
struct Places {
    subnets: PrefixMap<u32>,
    subnet_names: Vec<String>,
    tag_test: TagTest,
}

/// What `endpoints` gives; null for a flow that neither starts nor ends in the scope.
fn endpoint_fields() -> Fields {
    Fields::from(vec![
        // outbound, inbound or internal, as the scope sees it
        Field::new("direction", DataType::Utf8View, true),
        // near when the scope's own interface logged the flow, far when the other end's did
        Field::new("vantage", DataType::Utf8View, true),
        Field::new("local_ip", DataType::Utf8View, true),
        Field::new("peer_ip", DataType::Utf8View, true),
        // one letter per tag of the table `tags`
        Field::new("peer_class", DataType::Utf8View, true),
        Field::new("peer_is_internet", DataType::Boolean, true),
    ])
}

const DIRECTIONS: [&str; 3] = ["outbound", "inbound", "internal"];
const VANTAGES: [&str; 2] = ["near", "far"];

impl Places {
    fn new(scope: &Scope) -> Self {
        Self {
            subnets: PrefixMap::new(scope.subnets.iter().enumerate().map(|(i, &prefix)| (prefix, i as u32))),
            subnet_names: scope.subnets.iter().map(ToString::to_string).collect(),
            tag_test: scope.tag_test(),
        }
    }

    /// The most specific subnet of the scope that holds `ip`.
    fn subnet(&self, ip: IpAddr) -> Option<&str> {
        self.subnets.get(ip).first().map(|&i| self.subnet_names[i as usize].as_str())
    }

    fn is_local(&self, ip: IpAddr) -> bool {
        !self.subnets.get(ip).is_empty()
    }

    fn endpoints(
        &self,
        sources: &StringViewArray,
        destinations: &StringViewArray,
        logged: &StringViewArray,
    ) -> StructArray {
        let rows = sources.len();
        let mut directions = UInt32Builder::with_capacity(rows);
        let mut vantages = UInt32Builder::with_capacity(rows);
        let mut local = Vec::with_capacity(rows);
        let mut peer = Vec::with_capacity(rows);
        let mut classes = StringViewBuilder::with_capacity(rows);
        let mut internet = BooleanBuilder::with_capacity(rows);
        let mut in_scope = Vec::with_capacity(rows);
        for row in 0..rows {
            let (source, destination) = (parse_ip(sources.value(row)), parse_ip(destinations.value(row)));
            let is_local = |ip: Option<IpAddr>| ip.is_some_and(|ip| self.is_local(ip));
            let ends = match (is_local(source), is_local(destination)) {
                (true, true) => Some((2, 1, 1, destination)),
                (true, false) => Some((0, 0, 1, destination)),
                (false, true) => Some((1, 1, 0, source)),
                (false, false) => None,
            };
            in_scope.push(ends.is_some());
            let Some((direction, local_end, peer_end, peer_ip)) = ends else {
                directions.append_null();
                vantages.append_null();
                local.push((0, row));
                peer.push((0, row));
                classes.append_null();
                internet.append_null();
                continue;
            };
            let own = match direction {
                0 => logged.value(row) == "outbound",
                1 => logged.value(row) == "inbound",
                _ => true,
            };
            directions.append_value(direction);
            vantages.append_value(u32::from(!own));
            local.push((local_end, row));
            peer.push((peer_end, row));
            let peer_ip = peer_ip.unwrap_or(IpAddr::from([0; 4]));
            classes.append_value(self.tag_test.class(peer_ip));
            internet.append_value(self.tag_test.is_internet(peer_ip));
        }
        let nulls = NullBuffer::from(in_scope);
        let ends: [&dyn Array; 2] = [sources, destinations];
        let choose = |places: &[(usize, usize)]| {
            let chosen = interleave(&ends, places).expect("two text columns of equal length");
            let data =
                chosen.into_data().into_builder().nulls(Some(nulls.clone())).build().expect("as many nulls as rows");
            arrow::array::make_array(data)
        };
        let name = |names: &[&str], codes: UInt32Builder| {
            let mut codes = codes;
            take(&StringViewArray::from_iter_values(names), &codes.finish(), None).expect("codes lie in their names")
        };
        let columns: Vec<ArrayRef> = vec![
            name(&DIRECTIONS, directions),
            name(&VANTAGES, vantages),
            choose(&local),
            choose(&peer),
            Arc::new(classes.finish()),
            Arc::new(internet.finish()),
        ];
        StructArray::new(endpoint_fields(), columns, Some(nulls))
    }
}
