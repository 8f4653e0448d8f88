//! Conversion of the result of a pass to Arrow and back: one struct with the lists `groups`, `contacts`, `interfaces`
//! and `captures`.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringViewArray, StructArray, UInt16Array,
    UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, UInt16Type};

use super::batch::{ANSWERS, NONE, Rule};
use super::classify::{Class, FlowGrouper, Group};
use super::contacts::{CONTACTS, Contact};
use super::key::{Interner, Key, NO_ADDRESS, NO_PORT, Packed, Seen};
use super::state::{
    Callers, GroupState, Hours, Lists, Peers, Steps, address_bytes, address_texts, hour_lists, list_type, lists,
    numbers,
};
use crate::flow::{Decision, FlowState, Protocol};
use crate::net::{address, number, parse_ip};

/// Names of the directions as the scope sees them, by the code in a key.
const DIRECTIONS: [&str; 3] = ["outbound", "inbound", "internal"];
/// Names of the vantages: near if the scope's own interface logged the flow, far if the other end's did.
const VANTAGES: [&str; 2] = ["near", "far"];

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8View, nullable)
}

fn flag(name: &str) -> Field {
    Field::new(name, DataType::Boolean, false)
}

fn group_fields() -> Fields {
    Fields::from(vec![
        text("direction", false),
        text("vantage", false),
        // Index of the subnet, or the local address while the scope is unknown.
        Field::new("local", DataType::FixedSizeBinary(16), false),
        text("subnet", true),
        // The other end, if it may also turn out to be local; only while the scope is unknown.
        text("peer_local", true),
        // One letter per tag of the test, the Internet first.
        text("peer_class", false),
        Field::new("port", DataType::UInt16, true),
        Field::new("src_port", DataType::UInt16, true),
        text("protocol", false),
        text("decision", false),
        text("state", true),
        text("answer", true),
        text("rule", false),
        text("acl", false),
        text("log_kind", false),
        flag("peer_is_internet"),
        flag("is_call"),
        Field::new("hours", list_type::<Hours>(), false),
        Field::new("steps", list_type::<Steps>(), false),
        Field::new("locals", list_type::<Peers>(), false),
        Field::new("peers", list_type::<Peers>(), false),
        Field::new("callers", list_type::<Callers>(), false),
    ])
}

fn contact_fields() -> Fields {
    Fields::from(vec![
        text("direction", false),
        // Index of the subnet, or the local address while the scope is unknown.
        Field::new("local", DataType::FixedSizeBinary(16), false),
        text("subnet", true),
        Field::new("peer", DataType::FixedSizeBinary(16), false),
        Field::new("port", DataType::UInt16, false),
        text("protocol", false),
        flag("is_new"),
        Field::new("hours", list_type::<Hours>(), false),
    ])
}

fn interface_fields() -> Fields {
    Fields::from(vec![text("local_ip", false), text("mac", false)])
}

/// Fields of a range of hours since 1970, by its first and its last hour.
fn capture_fields() -> Fields {
    Fields::from(vec![
        text("local_ip", false),
        flag("is_vnet"),
        Field::new("first_hour", DataType::Int64, false),
        Field::new("last_hour", DataType::Int64, false),
    ])
}

fn element(fields: Fields) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields), false))
}

/// Returns the fields of a pass's result.
pub fn pass_fields() -> Fields {
    let list = |name: &str, fields| Field::new(name, DataType::List(element(fields)), false);
    Fields::from(vec![
        list("groups", group_fields()),
        list("contacts", contact_fields()),
        list("interfaces", interface_fields()),
        list("captures", capture_fields()),
        flag("has_all_contacts"),
    ])
}

/// Returns the result as one row.
pub fn pass(grouping: &FlowGrouper) -> StructArray {
    let (contacts, has_all) = contacts(grouping);
    let one = |rows: StructArray| -> ArrayRef {
        let offsets = OffsetBuffer::from_lengths([rows.len()]);
        Arc::new(ListArray::new(element(rows.fields().clone()), offsets, Arc::new(rows), None))
    };
    let lists: Vec<ArrayRef> = vec![
        one(groups(grouping)),
        one(contacts),
        one(interfaces(grouping)),
        one(captures(grouping)),
        Arc::new(BooleanArray::from(vec![has_all])),
    ];
    StructArray::new(pass_fields(), lists, None)
}

fn groups(grouping: &FlowGrouper) -> StructArray {
    let keys: Vec<Key> = grouping.keys.all.iter().map(Packed::unpack).collect();
    // Looks up one text per key. Rows with the same text share its bytes.
    let one_of = |texts: &mut dyn Iterator<Item = Option<String>>, index: &dyn Fn(&Key) -> Option<u32>| -> ArrayRef {
        let texts = StringViewArray::from_iter(texts);
        let indices = UInt32Array::from_iter(keys.iter().map(index));
        take(&texts, &indices, None).expect("every index has its text")
    };
    let names = |names: &[&str], code: fn(&Key) -> u8| -> ArrayRef {
        let texts = (0..=NONE).map(|code| names.get(usize::from(code)).map(|name| (*name).to_owned()));
        one_of(&mut texts.into_iter(), &|key| Some(code(key).into()))
    };
    let ports = |port: fn(&Key) -> u32| -> ArrayRef {
        Arc::new(UInt16Array::from_iter(keys.iter().map(|key| u16::try_from(port(key)).ok())))
    };
    let ips = || grouping.ips.all.iter().map(|&ip| Some(address(ip).to_string()));
    let of_rules = |text: fn(&Rule) -> &str| {
        one_of(&mut grouping.rules.all.iter().map(|r| Some(text(r).to_owned())), &|key| Some(key.rule))
    };
    let class = |key: &Key| grouping.classes.get(key.class);
    let protocols = &mut (0..=u8::MAX).map(|number| Some(Protocol(number).name().into_owned()));
    let classes = &mut grouping.classes.all.iter().map(|class| Some(class.letters.to_string()));
    let flags = |flag: &dyn Fn(&Key) -> bool| -> ArrayRef {
        Arc::new(BooleanArray::from_iter(keys.iter().map(|key| Some(flag(key)))))
    };
    let kept = || grouping.groups.iter();
    let steps = steps(grouping);
    let places = grouping.places();
    let local = |key: &Key| if places.is_open { *grouping.ips.get(key.local) } else { key.local.into() };
    let mut subnets = places.subnet_names().iter().map(|name| Some(name.clone()));
    let columns: Vec<ArrayRef> = vec![
        names(&DIRECTIONS, |key| key.direction),
        names(&VANTAGES, |key| key.is_far.into()),
        address_bytes(keys.iter().map(local).collect()),
        one_of(&mut subnets, &|key| (!places.is_open).then_some(key.local)),
        one_of(&mut ips(), &|key| (key.peer_local != NO_ADDRESS).then_some(key.peer_local)),
        one_of(classes, &|key| Some(key.class)),
        ports(|key| key.port),
        ports(|key| key.src_port),
        one_of(protocols, &|key| Some(key.protocol.into())),
        names(&Decision::NAMES, |key| key.is_denied.into()),
        names(&FlowState::NAMES, |key| key.state),
        names(&ANSWERS, |key| key.answer),
        of_rules(|rule| &rule.rule),
        of_rules(|rule| &rule.acl),
        of_rules(|rule| &rule.kind),
        flags(&|key| class(key).is_internet),
        flags(&|key| key.is_call),
        lists(kept().map(|group| &group.hours)),
        lists(steps.into_iter()),
        lists(kept().map(|group| &group.locals)),
        lists(kept().map(|group| &group.peers)),
        lists(kept().map(|group| &group.callers)),
    ];
    StructArray::new(group_fields(), columns, None)
}

/// Returns the steps of each group. The first of the groups that share steps has them; the others get none.
fn steps(grouping: &FlowGrouper) -> Vec<&Steps> {
    static NONE: LazyLock<Steps> = LazyLock::new(Steps::default);
    let mut is_given = vec![false; grouping.steps.len()];
    let of = |group: &Group| match grouping.steps.get(group.steps as usize) {
        Some(steps) if !std::mem::replace(&mut is_given[group.steps as usize], true) => steps,
        _ => &*NONE,
    };
    grouping.groups.iter().map(of).collect()
}

/// Returns the contacts, and whether none was dropped.
fn contacts(grouping: &FlowGrouper) -> (StructArray, bool) {
    let kept = grouping.contacts.smallest(CONTACTS);
    // A contact with both new and other flows gives two rows.
    let rows: Vec<(Contact, bool, &Hours)> = (kept.into_iter())
        .flat_map(|(contact, visits)| {
            let other = visits.other.as_deref().map(|other| (contact, false, other));
            [Some((contact, true, &visits.new)), other].into_iter().flatten()
        })
        .collect();
    let contacts = || rows.iter().map(|(contact, ..)| contact);
    let mut hours = <Hours as GroupState>::Columns::default();
    rows.iter().for_each(|(.., spans)| spans.append(&mut hours));
    let lengths = rows.iter().map(|(.., spans)| spans.len()).collect();
    let places = grouping.places();
    let subnet = |contact: &Contact| if places.is_open { None } else { places.subnet_name(contact.local) };
    let protocols: Vec<String> = (0..=u8::MAX).map(|number| Protocol(number).name().into_owned()).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter_values(contacts().map(|c| DIRECTIONS[usize::from(c.direction)]))),
        address_bytes(contacts().map(|contact| contact.local).collect()),
        Arc::new(StringViewArray::from_iter(contacts().map(subnet))),
        address_bytes(contacts().map(|contact| contact.peer).collect()),
        Arc::new(UInt16Array::from_iter_values(contacts().map(|contact| contact.port))),
        Arc::new(StringViewArray::from_iter_values(contacts().map(|c| &protocols[usize::from(c.protocol)]))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|&(_, is_new, _)| Some(is_new)))),
        Arc::new(hour_lists(lengths, hours)),
    ];
    (StructArray::new(contact_fields(), columns, None), !grouping.contacts.is_cut(CONTACTS))
}

fn interfaces(grouping: &FlowGrouper) -> StructArray {
    let mut all: Vec<(u128, &str)> =
        grouping.interfaces.iter().map(|(local, mac)| (*grouping.ips.get(*local), &**mac)).collect();
    all.sort_unstable();
    let columns: Vec<ArrayRef> = vec![
        address_texts(all.iter().map(|(local, _)| *local)),
        Arc::new(StringViewArray::from_iter_values(all.iter().map(|(_, mac)| mac))),
    ];
    StructArray::new(interface_fields(), columns, None)
}

fn captures(grouping: &FlowGrouper) -> StructArray {
    let of_kind = |local: usize, is_vnet: bool| {
        let ranges = grouping.captures[local][usize::from(is_vnet)].all();
        ranges.iter().map(move |&(first, last)| (grouping.ips.all[local], is_vnet, first, last))
    };
    let all: Vec<(u128, bool, i64, i64)> =
        (0..grouping.captures.len()).flat_map(|local| of_kind(local, false).chain(of_kind(local, true))).collect();
    let columns: Vec<ArrayRef> = vec![
        address_texts(all.iter().map(|(local, ..)| *local)),
        Arc::new(BooleanArray::from_iter(all.iter().map(|&(_, is_vnet, ..)| Some(is_vnet)))),
        Arc::new(Int64Array::from_iter_values(all.iter().map(|&(.., first, _)| first))),
        Arc::new(Int64Array::from_iter_values(all.iter().map(|&(.., last)| last))),
    ];
    StructArray::new(capture_fields(), columns, None)
}

fn merge_captures(grouping: &mut FlowGrouper, captures: &StructArray) -> Option<()> {
    let locals = captures.column_by_name("local_ip")?.as_string_view_opt()?;
    let kinds = captures.column_by_name("is_vnet")?.as_boolean_opt()?;
    let hours = |name: &str| captures.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    let (first, last) = (hours("first_hour")?, hours("last_hour")?);
    for row in 0..captures.len() {
        let local = grouping.ips.number(&number(parse_ip(locals.value(row))?));
        grouping.hours_of(local, kinds.value(row)).add(first.value(row), last.value(row));
    }
    Some(())
}

/// Merges partial results into the grouping. Returns `None` if they have another form.
pub fn merge(grouping: &mut FlowGrouper, passes: &StructArray) -> Option<()> {
    let list = |name: &str| passes.column_by_name(name)?.as_list_opt::<i32>();
    for row in 0..passes.len() {
        merge_groups(grouping, list("groups")?.value(row).as_struct_opt()?)?;
        merge_contacts(grouping, list("contacts")?.value(row).as_struct_opt()?)?;
        merge_captures(grouping, list("captures")?.value(row).as_struct_opt()?)?;
        let interfaces = list("interfaces")?.value(row);
        let interfaces = interfaces.as_struct_opt()?;
        let column = |name: &str| interfaces.column_by_name(name)?.as_string_view_opt();
        for (local, mac) in column("local_ip")?.iter().zip(column("mac")?) {
            let local = grouping.ips.number(&number(parse_ip(local?)?));
            grouping.interfaces.insert((local, mac?.into()));
        }
    }
    Some(())
}

/// Returns the index of a name, or [`NONE`].
fn place(names: &[&str], name: Option<&str>) -> u8 {
    names.iter().position(|n| Some(*n) == name).map_or(NONE, |place| place as u8)
}

fn merge_groups(grouping: &mut FlowGrouper, groups: &StructArray) -> Option<()> {
    let text = |name: &str| groups.column_by_name(name)?.as_string_view_opt();
    let flags = |name: &str| groups.column_by_name(name)?.as_boolean_opt();
    let ports = |name: &str| groups.column_by_name(name)?.as_primitive_opt::<UInt16Type>();
    let (peer_locals, classes) = (text("peer_local")?, text("peer_class")?);
    let [directions, vantages, protocols] = [text("direction")?, text("vantage")?, text("protocol")?];
    let [decisions, states, answers] = [text("decision")?, text("state")?, text("answer")?];
    let rule_texts = [text("rule")?, text("acl")?, text("log_kind")?];
    let (internet, calls) = (flags("peer_is_internet")?, flags("is_call")?);
    let (port, src_port) = (ports("port")?, ports("src_port")?);
    let kept = |name: &str| groups.column_by_name(name);
    let (hours, steps) = (Lists::<Hours>::of(kept("hours")?)?, Lists::<Steps>::of(kept("steps")?)?);
    let (locals, peers) = (Lists::<Peers>::of(kept("locals")?)?, Lists::<Peers>::of(kept("peers")?)?);
    let callers = Lists::<Callers>::of(kept("callers")?)?;
    // Equal views within one array are equal texts, so each view is looked up once.
    let mut seen_classes = Seen::<u128>::default();
    let mut seen_rules = Seen::<[u128; 3]>::default();
    let mut seen_ips = Seen::<u128>::default();
    let is_open = grouping.places().is_open;
    for (row, local) in numbers(kept("local")?).enumerate() {
        let local = if is_open { grouping.ips.number(&local) } else { u32::try_from(local).ok()? };
        let peer_local = match peer_locals.is_valid(row) {
            true => ip(&mut grouping.ips, &mut seen_ips, peer_locals, row)?,
            false => NO_ADDRESS,
        };
        let class = *seen_classes.entry(classes.views()[row]).or_insert_with(|| {
            let is_internet = internet.value(row);
            grouping.classes.number(&Class { letters: classes.value(row).into(), is_internet })
        });
        let rule = *seen_rules.entry(rule_texts.map(|texts| texts.views()[row])).or_insert_with(|| {
            let [rule, acl, kind] = rule_texts.map(|texts| texts.value(row).into());
            grouping.rules.number(&Rule { rule, acl, kind })
        });
        let named =
            |names: &[&str], texts: &StringViewArray| place(names, texts.is_valid(row).then(|| texts.value(row)));
        let number_of = |ports: &UInt16Array| if ports.is_valid(row) { ports.value(row).into() } else { NO_PORT };
        let key = Key {
            local,
            peer_local,
            class,
            rule,
            port: number_of(port),
            src_port: number_of(src_port),
            protocol: Protocol::from_name(protocols.value(row))?.0,
            direction: named(&DIRECTIONS, directions),
            is_far: named(&VANTAGES, vantages) == 1,
            is_denied: named(&Decision::NAMES, decisions) == Decision::Deny as u8,
            is_call: calls.value(row),
            state: named(&FlowState::NAMES, states),
            answer: named(&ANSWERS, answers),
        };
        let key = key.pack();
        let group = grouping.group(&key);
        hours.merge(row, &mut group.hours);
        locals.merge(row, &mut group.locals);
        peers.merge(row, &mut group.peers);
        callers.merge(row, &mut group.callers);
        if !steps.is_empty(row) {
            steps.merge(row, grouping.steps_of(&key));
        }
    }
    Some(())
}

/// Returns the index of an address in `ips`. `seen` caches the views of one column.
fn ip(ips: &mut Interner<u128>, seen: &mut Seen<u128>, texts: &StringViewArray, row: usize) -> Option<u32> {
    let view = texts.views()[row];
    if let Some(&known) = seen.get(&view) {
        return Some(known);
    }
    let place = ips.number(&number(parse_ip(texts.value(row))?));
    seen.insert(view, place);
    Some(place)
}

fn merge_contacts(grouping: &mut FlowGrouper, contacts: &StructArray) -> Option<()> {
    let text = |name: &str| contacts.column_by_name(name)?.as_string_view_opt();
    let (directions, protocols) = (text("direction")?, text("protocol")?);
    let ends = |name: &str| contacts.column_by_name(name).map(numbers);
    let ports = contacts.column_by_name("port")?.as_primitive_opt::<UInt16Type>()?;
    let news = contacts.column_by_name("is_new")?.as_boolean_opt()?;
    let hours = Lists::<Hours>::of(contacts.column_by_name("hours")?)?;
    for (row, (peer, local)) in ends("peer")?.zip(ends("local")?).enumerate() {
        let contact = Contact {
            peer,
            local,
            port: ports.value(row),
            protocol: Protocol::from_name(protocols.value(row))?.0,
            direction: place(&DIRECTIONS, Some(directions.value(row))),
        };
        if let Some(visits) = grouping.contacts.entry(contact, CONTACTS) {
            let known = if news.value(row) { &mut visits.new } else { visits.other.get_or_insert_default() };
            hours.merge(row, known);
        }
    }
    Some(())
}
