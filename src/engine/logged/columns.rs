//! Conversion of a tally to Arrow and back: one struct with the lists `interfaces`, `rules`, `locals` and `signs`, and the
//! counts of interfaces and rules.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringViewArray, StructArray,
    TimestampMillisecondArray, UInt16Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, TimestampMillisecondType, UInt16Type};

use super::Sight;
use super::tally::{Counts, EXACT, Interface, LISTED, Rule, SIGNS, Sign, Tally};
use crate::engine::groups::state::{Addresses, Lists, address_bytes, estimate, list_type, lists, numbers};
use crate::flow::Protocol;
use crate::schema::timestamp;

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn count_fields() -> [Field; 4] {
    [
        field("tuples", DataType::Int64),
        field("denied_tuples", DataType::Int64),
        field("first_flow", timestamp()),
        field("last_flow", timestamp()),
    ]
}

fn interface_fields() -> Fields {
    let own = [field("mac", DataType::Utf8View), field("locals", list_type::<Addresses>())];
    own.into_iter().chain(count_fields()).collect()
}

fn rule_fields() -> Fields {
    let own = ["acl", "rule"].map(|name| field(name, DataType::Utf8View));
    own.into_iter().chain(count_fields()).collect()
}

fn sign_fields() -> Fields {
    Fields::from(vec![
        field("local", DataType::FixedSizeBinary(16)),
        field("port", DataType::UInt16),
        field("protocol", DataType::Utf8View),
        // One letter per tag of the test, as in `flow_groups`.
        field("peer_class", DataType::Utf8View),
        field("is_denied", DataType::Boolean),
        field("is_answered", DataType::Boolean),
    ])
}

fn element(fields: Fields) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields), false))
}

/// Returns the fields of the result.
pub fn fields() -> Fields {
    let list = |name: &str, fields| field(name, DataType::List(element(fields)));
    Fields::from(vec![
        list("interfaces", interface_fields()),
        list("rules", rule_fields()),
        field("locals", list_type::<Addresses>()),
        list("signs", sign_fields()),
        field("interface_count", DataType::Int64),
        field("rule_count", DataType::Int64),
    ])
}

/// Returns the result as one row.
pub fn pass(tally: &Tally, sight: &Sight) -> StructArray {
    let one = |rows: StructArray| -> ArrayRef {
        let offsets = OffsetBuffer::from_lengths([rows.len()]);
        Arc::new(ListArray::new(element(rows.fields().clone()), offsets, Arc::new(rows), None))
    };
    let (interfaces, rules) = (tally.interfaces.smallest(LISTED), tally.rules.smallest(LISTED));
    let count = |keys: &mut dyn Iterator<Item = u128>| -> ArrayRef {
        Arc::new(Int64Array::from(vec![estimate(&keys.collect::<Vec<_>>(), EXACT) as i64]))
    };
    let counts = [count(&mut interfaces.iter().map(|&(key, _)| key)), count(&mut rules.iter().map(|&(key, _)| key))];
    let kept = |rows: Vec<_>| rows.into_iter().map(|(_, row)| row).collect::<Vec<&Interface>>();
    let rules: Vec<&Rule> = rules.into_iter().map(|(_, rule)| rule).collect();
    let lists = [
        one(interface_rows(&kept(interfaces))),
        one(rule_rows(&rules)),
        lists(std::iter::once(&tally.locals)),
        one(sign_rows(tally, sight)),
    ];
    StructArray::new(fields(), lists.into_iter().chain(counts).collect(), None)
}

fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(texts))
}

fn count_columns(counts: &[Counts]) -> [ArrayRef; 4] {
    let ints =
        |value: fn(&Counts) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(counts.iter().map(value))) };
    let times = |value: fn(&Counts) -> i64| -> ArrayRef {
        let times = TimestampMillisecondArray::from_iter_values(counts.iter().map(value));
        Arc::new(times.with_timezone("UTC"))
    };
    [ints(|c| c.tuples), ints(|c| c.denied), times(|c| c.first), times(|c| c.last)]
}

fn interface_rows(rows: &[&Interface]) -> StructArray {
    let counts: Vec<Counts> = rows.iter().map(|row| row.counts).collect();
    let own = [texts(rows.iter().map(|row| &*row.mac)), lists(rows.iter().map(|row| &row.locals))];
    StructArray::new(interface_fields(), own.into_iter().chain(count_columns(&counts)).collect(), None)
}

fn rule_rows(rows: &[&Rule]) -> StructArray {
    let counts: Vec<Counts> = rows.iter().map(|row| row.counts).collect();
    let own = [texts(rows.iter().map(|row| &*row.acl)), texts(rows.iter().map(|row| &*row.rule))];
    StructArray::new(rule_fields(), own.into_iter().chain(count_columns(&counts)).collect(), None)
}

fn sign_rows(tally: &Tally, sight: &Sight) -> StructArray {
    let signs: Vec<Sign> = tally.signs.smallest(SIGNS).into_iter().map(|(sign, ())| sign).collect();
    let classes = sight.places.tag_test.classes();
    let flags = |flag: fn(&Sign) -> bool| -> ArrayRef {
        Arc::new(BooleanArray::from_iter(signs.iter().map(|sign| Some(flag(sign)))))
    };
    let columns: Vec<ArrayRef> = vec![
        address_bytes(signs.iter().map(|sign| sign.local).collect()),
        Arc::new(UInt16Array::from_iter_values(signs.iter().map(|sign| sign.port))),
        Arc::new(StringViewArray::from_iter_values(signs.iter().map(|sign| Protocol(sign.protocol).name()))),
        texts(signs.iter().map(|sign| classes.get(sign.class as usize).map_or("", String::as_str))),
        flags(|sign| sign.is_denied),
        flags(|sign| sign.is_answered),
    ];
    StructArray::new(sign_fields(), columns, None)
}

/// Merges partial results into the tally. Returns `None` if they have another form.
pub fn merge(tally: &mut Tally, passes: &StructArray, sight: &Sight) -> Option<()> {
    let list = |name: &str| passes.column_by_name(name)?.as_list_opt::<i32>();
    for row in 0..passes.len() {
        merge_interfaces(tally, list("interfaces")?.value(row).as_struct_opt()?)?;
        merge_rules(tally, list("rules")?.value(row).as_struct_opt()?)?;
        Lists::<Addresses>::of(passes.column_by_name("locals")?)?.merge(row, &mut tally.locals);
        merge_signs(tally, list("signs")?.value(row).as_struct_opt()?, sight)?;
    }
    Some(())
}

/// Returns the counts of each row.
fn counts(rows: &StructArray) -> Option<Vec<Counts>> {
    let ints = |name: &str| Some(rows.column_by_name(name)?.as_primitive_opt::<Int64Type>()?.values());
    let times = |name: &str| Some(rows.column_by_name(name)?.as_primitive_opt::<TimestampMillisecondType>()?.values());
    let (tuples, denied) = (ints("tuples")?, ints("denied_tuples")?);
    let (first, last) = (times("first_flow")?, times("last_flow")?);
    let of = |row: usize| Counts { tuples: tuples[row], denied: denied[row], first: first[row], last: last[row] };
    Some((0..rows.len()).map(of).collect())
}

fn merge_interfaces(tally: &mut Tally, rows: &StructArray) -> Option<()> {
    let macs = rows.column_by_name("mac")?.as_string_view_opt()?;
    let locals = Lists::<Addresses>::of(rows.column_by_name("locals")?)?;
    for (row, counts) in counts(rows)?.into_iter().enumerate() {
        if let Some(interface) = tally.interface(macs.value(row)) {
            interface.counts.add(counts);
            locals.merge(row, &mut interface.locals);
        }
    }
    Some(())
}

fn merge_rules(tally: &mut Tally, rows: &StructArray) -> Option<()> {
    let text = |name: &str| rows.column_by_name(name)?.as_string_view_opt();
    let (acls, rules) = (text("acl")?, text("rule")?);
    for (row, counts) in counts(rows)?.into_iter().enumerate() {
        tally.add_rule(acls.value(row), rules.value(row), counts);
    }
    Some(())
}

fn merge_signs(tally: &mut Tally, rows: &StructArray, sight: &Sight) -> Option<()> {
    let ports = rows.column_by_name("port")?.as_primitive_opt::<UInt16Type>()?;
    let protocols = rows.column_by_name("protocol")?.as_string_view_opt()?;
    let letters = rows.column_by_name("peer_class")?.as_string_view_opt()?;
    let flag = |name: &str| rows.column_by_name(name)?.as_boolean_opt();
    let (denied, answered) = (flag("is_denied")?, flag("is_answered")?);
    let classes = sight.places.tag_test.classes();
    for (row, local) in numbers(rows.column_by_name("local")?).enumerate() {
        let class = classes.iter().position(|class| class == letters.value(row))? as u32;
        let (port, protocol) = (ports.value(row), Protocol::from_name(protocols.value(row))?.0);
        let (is_denied, is_answered) = (denied.value(row), answered.value(row));
        tally.signs.entry(Sign { local, port, protocol, class, is_denied, is_answered }, SIGNS);
    }
    Some(())
}
