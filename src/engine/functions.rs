//! Scalar functions over addresses. They answer where an address lies; ports, protocols and joins are SQL's.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, StringViewArray, StructArray, UInt32Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, Fields, UInt16Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use super::session::Scope;
use crate::catalog::{Answer, Tag, TagTest};
use crate::net::{PortSet, PrefixMap, SetId, parse_ip};

/// The functions of one scope.
pub fn all(scope: &Arc<Scope>) -> Vec<ScalarUDF> {
    let places = Arc::new(Places::new(scope));
    let ports = |name: &str, named: PortSet| {
        immutable(name, vec![DataType::UInt16], DataType::Boolean, move |args| {
            let ports = args[0].as_primitive::<UInt16Type>();
            Arc::new(BooleanArray::from_iter(ports.iter().map(|port| port.map(|port| named.contains(port)))))
        })
    };
    let endpoints = {
        let places = Arc::clone(&places);
        let ends = endpoint_fields();
        let call = move |args: &[ArrayRef]| -> ArrayRef {
            Arc::new(places.endpoints(args[0].as_string_view(), args[1].as_string_view(), args[2].as_string_view()))
        };
        // Called volatile, or the optimizer would evaluate it anew for every field that is asked of it.
        function("endpoints", vec![DataType::Utf8View; 3], DataType::Struct(ends), Volatility::Volatile, call)
    };
    let subnet_of = {
        let places = Arc::clone(&places);
        immutable("subnet_of", vec![DataType::Utf8View], DataType::Utf8View, move |args| {
            let ips = args[0].as_string_view().iter();
            let subnets = ips.map(|ip| ip.and_then(parse_ip).and_then(|ip| places.subnet(ip)));
            Arc::new(StringViewArray::from_iter(subnets))
        })
    };
    let class_of = {
        let places = Arc::clone(&places);
        immutable("class_of", vec![DataType::Utf8View], DataType::Utf8View, move |args| {
            let ips = args[0].as_string_view().iter();
            Arc::new(StringViewArray::from_iter(ips.map(|ip| ip.and_then(parse_ip).map(|ip| places.class(ip)))))
        })
    };
    let is_load_balancer = {
        let places = Arc::clone(&places);
        immutable("is_load_balancer", vec![DataType::Utf8View], DataType::Boolean, move |args| {
            let place = places.tag_test.tags().iter().position(|tag| *tag == Tag::AzureLoadBalancer);
            let yes = Answer::Yes.letter();
            let classes = args[0].as_string_view().iter();
            let answers = classes.map(|class| Some(class?.chars().nth(place?) == Some(yes)));
            Arc::new(BooleanArray::from_iter(answers))
        })
    };
    // Asked of few addresses, so it is made when it is first asked, and for the tags of every edition.
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
    vec![
        ports("is_named_port", scope.named_ports(|r| &r.destination_ports)),
        ports("is_named_src_port", scope.named_ports(|r| &r.source_ports)),
        endpoints,
        subnet_of,
        class_of,
        is_load_balancer,
        tag_test,
    ]
}

fn immutable(
    name: &str,
    arguments: Vec<DataType>,
    result: DataType,
    call: impl Fn(&[ArrayRef]) -> ArrayRef + Send + Sync + 'static,
) -> ScalarUDF {
    function(name, arguments, result, Volatility::Immutable, call)
}

fn function(
    name: &str,
    arguments: Vec<DataType>,
    result: DataType,
    volatility: Volatility,
    call: impl Fn(&[ArrayRef]) -> ArrayRef + Send + Sync + 'static,
) -> ScalarUDF {
    let call = move |args: &[ColumnarValue]| -> Result<ColumnarValue> {
        Ok(ColumnarValue::Array(call(&ColumnarValue::values_to_arrays(args)?)))
    };
    create_udf(name, arguments, result, volatility, Arc::new(call))
}

/// Where addresses lie relative to the scope.
struct Places {
    /// From an address to the subnets of the scope that hold it, as places in `subnet_names`.
    subnets: PrefixMap<u32>,
    subnet_names: Vec<String>,
    /// The scope is not known yet: the interface that logged a flow is its local end.
    is_open: bool,
    tag_test: TagTest,
    classes: ArrayRef,
}

/// What `endpoints` gives; null for a flow that neither starts nor ends in the scope.
fn endpoint_fields() -> Fields {
    Fields::from(vec![
        // outbound, inbound or internal, as the scope sees it
        Field::new("direction", DataType::Utf8View, true),
        // near when the scope's own interface logged the flow, far when the other end's did
        Field::new("vantage", DataType::Utf8View, true),
        // the local end; while the scope is not known, a blank and the peer follow if that may turn out local, too:
        // one text, so that a known scope pays nothing for it
        Field::new("local_ips", DataType::Utf8View, true),
        Field::new("peer_ip", DataType::Utf8View, true),
        // one letter per tag that rows ask for, and the Internet first
        Field::new("peer_class", DataType::Utf8View, true),
        Field::new("peer_is_internet", DataType::Boolean, true),
    ])
}

const DIRECTIONS: [&str; 3] = ["outbound", "inbound", "internal"];
const VANTAGES: [&str; 2] = ["near", "far"];

/// One end of a flow. Neighbouring rows often share one, so the last is remembered.
#[derive(Clone, Copy)]
struct End<'a> {
    text: &'a str,
    ip: IpAddr,
    is_local: bool,
}

impl Places {
    fn new(scope: &Scope) -> Self {
        let tag_test = scope.tag_test();
        Self {
            subnets: PrefixMap::new(scope.subnets.iter().copied().zip(0..)),
            subnet_names: scope.subnets.iter().map(ToString::to_string).collect(),
            is_open: scope.subnets.is_empty(),
            classes: Arc::new(StringViewArray::from_iter_values(tag_test.classes())),
            tag_test,
        }
    }

    /// The most specific subnet of the scope that holds `ip`.
    fn subnet(&self, ip: IpAddr) -> Option<&str> {
        self.subnets.get(ip).first().map(|&i| self.subnet_names[i as usize].as_str())
    }

    fn class(&self, ip: IpAddr) -> &str {
        &self.tag_test.classes()[self.tag_test.find(ip).index()]
    }

    fn end<'a>(&self, text: &'a str, last: Option<End<'a>>) -> Option<End<'a>> {
        match last {
            Some(last) if last.text == text => Some(last),
            _ => {
                let ip = parse_ip(text)?;
                Some(End { text, ip, is_local: !self.subnets.get(ip).is_empty() })
            }
        }
    }

    fn may_turn_local(&self, class: SetId) -> bool {
        self.is_open && self.tag_test.may_be_interface(class)
    }

    fn endpoints(
        &self,
        sources: &StringViewArray,
        destinations: &StringViewArray,
        logged: &StringViewArray,
    ) -> StructArray {
        /// Row of the arrays that ends are chosen from; the third one holds a null only.
        const NEITHER: (usize, usize) = (2, 0);
        let rows = sources.len();
        let (mut directions, mut vantages, mut classes) = (vec![0; rows], vec![0; rows], vec![0; rows]);
        let (mut local, mut peer) = (vec![NEITHER; rows], vec![NEITHER; rows]);
        let mut pairs: Vec<Option<String>> = Vec::new();
        let mut internet = BooleanBufferBuilder::new(rows);
        internet.append_n(rows, false);
        let mut in_scope = BooleanBufferBuilder::new(rows);
        let (mut last_source, mut last_destination) = (None, None);
        for row in 0..rows {
            last_source = self.end(sources.value(row), last_source);
            last_destination = self.end(destinations.value(row), last_destination);
            let (Some(source), Some(destination)) = (last_source, last_destination) else {
                in_scope.append(false);
                continue;
            };
            let is_outbound = logged.value(row) == DIRECTIONS[0];
            let is_local =
                if self.is_open { (is_outbound, !is_outbound) } else { (source.is_local, destination.is_local) };
            let (direction, local_end, peer_ip) = match is_local {
                (true, true) => (2, 1, destination.ip),
                (true, false) => (0, 0, destination.ip),
                (false, true) => (1, 1, source.ip),
                (false, false) => {
                    in_scope.append(false);
                    continue;
                }
            };
            in_scope.append(true);
            let class = self.tag_test.find(peer_ip);
            directions[row] = direction;
            vantages[row] = u32::from(direction < 2 && is_outbound != (direction == 0));
            local[row] = (local_end, row);
            peer[row] = (if direction == 1 { 0 } else { 1 }, row);
            if self.may_turn_local(class) {
                pairs.resize(rows, None);
                let [local, peer] =
                    if is_outbound { [source.text, destination.text] } else { [destination.text, source.text] };
                pairs[row] = Some(format!("{local} {peer}"));
            }
            classes[row] = class.index() as u32;
            internet.set_bit(row, self.tag_test.is_internet(class));
        }
        let nulls = NullBuffer::new(in_scope.finish());
        let null = StringViewArray::new_null(1);
        let ends: [&dyn Array; 3] = [sources, destinations, &null];
        let choose = |places: &[(usize, usize)]| interleave(&ends, places).expect("places lie in their columns");
        let names = |names: &dyn Array, codes: Vec<u32>| {
            take(names, &UInt32Array::new(codes.into(), Some(nulls.clone())), None).expect("codes lie in their names")
        };
        let columns: Vec<ArrayRef> = vec![
            names(&StringViewArray::from_iter_values(DIRECTIONS), directions),
            names(&StringViewArray::from_iter_values(VANTAGES), vantages),
            with_pairs(choose(&local), &pairs),
            choose(&peer),
            names(&self.classes, classes),
            Arc::new(BooleanArray::new(internet.finish(), Some(nulls.clone()))),
        ];
        StructArray::new(endpoint_fields(), columns, Some(nulls))
    }
}

/// `locals`, but where there is a pair the pair.
fn with_pairs(locals: ArrayRef, pairs: &[Option<String>]) -> ArrayRef {
    if pairs.is_empty() {
        return locals;
    }
    let texts = locals.as_string_view().iter().zip(pairs).map(|(local, pair)| pair.as_deref().or(local));
    Arc::new(StringViewArray::from_iter(texts))
}
