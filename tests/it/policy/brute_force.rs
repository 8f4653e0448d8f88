use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use flowgap::flow::Direction;
use flowgap::net::{IpSet, PortSet, Prefix, number};
use flowgap::policy::{
    Access, Acl, Address, Effect, End, Layer, Origin, Question, Rule, RuleProtocol, RuleState, Shape, Space, Verdict,
};

/// Rule sets of a run; FLOWGAP_RULE_SETS sets another number.
const RULE_SETS: usize = 2_000;
/// Local addresses are 10.0.0.0 to 10.0.0.3, peers 192.0.2.0 to 192.0.2.15, ports 0 to 7.
const LOCALS: u32 = 4;
const PEERS: u32 = 16;
const PORTS: u16 = 8;

fn local(nr: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + nr).into()
}

fn peer(nr: u32) -> IpAddr {
    Ipv4Addr::from(0xc000_0200 + nr).into()
}

fn block(random: &mut Rng, address: fn(u32) -> IpAddr, count: u32) -> Address {
    match random.u8(..8) {
        0 | 1 => Address::Any,
        2 => Address::Block("0.0.0.0/0".parse().expect("a block")),
        3 if random.bool() => Address::Unknown("x".to_owned()),
        4 if random.bool() => Address::Tag("Storage".to_owned()),
        _ => Address::Block(Prefix::around(address(random.u32(..count)), random.u8(28..=32)).expect("a block")),
    }
}

fn ports(random: &mut Rng) -> PortSet {
    if random.u8(..3) == 0 {
        return PortSet::all();
    }
    let range = |random: &mut Rng| {
        let (one, other) = (random.u16(..PORTS), random.u16(..PORTS));
        (one.min(other), one.max(other))
    };
    let count = random.usize(1..3);
    PortSet::from_ranges((0..count).map(|_| range(random)).collect::<Vec<_>>())
}

fn rule(random: &mut Rng, layer: Layer, direction: Direction, priority: u32) -> Rule {
    let list = |random: &mut Rng, address, count| {
        let length = random.usize(1..3);
        (0..length).map(|_| block(random, address, count)).collect::<Vec<_>>()
    };
    let (own, other) = (list(random, local, LOCALS), list(random, peer, PEERS));
    let (source, destination) = if direction == Direction::Outbound { (own, other) } else { (other, own) };
    let access = match random.u8(..8) {
        0 if layer == Layer::Admin => Access::AlwaysAllow,
        0..4 => Access::Allow,
        _ => Access::Deny,
    };
    let state = if random.u8(..20) == 0 { RuleState::Unreadable("x".to_owned()) } else { RuleState::Ok };
    Rule {
        name: format!("r{priority}"),
        origin: Origin::User,
        priority: Some(priority),
        direction: Some(direction),
        access: Some(access),
        protocol: Some(
            *random
                .choice([RuleProtocol::Any, RuleProtocol::Tcp, RuleProtocol::Tcp, RuleProtocol::Udp].iter())
                .expect("one"),
        ),
        source,
        destination,
        source_ports: PortSet::all(),
        destination_ports: ports(random),
        expanded_source: None,
        expanded_destination: None,
        description: String::new(),
        state,
        pointer: String::new(),
    }
}

fn acl(random: &mut Rng, layer: Layer, direction: Direction) -> Acl {
    let count = random.u32(0..7);
    let mut rules: Vec<Rule> = (0..count).map(|nr| rule(random, layer, direction, 100 + nr)).collect();
    if layer != Layer::Admin {
        // Every group ends with a rule that decides.
        let last = rule(random, layer, direction, 65_500);
        let any = || vec![Address::Any];
        rules.push(Rule {
            source: any(),
            destination: any(),
            destination_ports: PortSet::all(),
            protocol: Some(RuleProtocol::Any),
            state: RuleState::Ok,
            ..last
        });
    }
    Acl {
        id: None,
        name: layer.to_string(),
        layer,
        rules,
        attached: None,
        flushes: false,
        gaps: Vec::new(),
        lacks_rules: false,
        shape: Shape::Az,
        file: String::new(),
        has_inline_blocks: false,
    }
}

/// Whether a list of addresses holds one: `None` if nobody knows.
fn holds(list: &[Address], ip: IpAddr) -> Option<bool> {
    let answers: Vec<Option<bool>> = list
        .iter()
        .map(|address| match address {
            Address::Any => Some(true),
            Address::Block(block) => Some(block.contains(ip)),
            // A tag without a file may hold any public address.
            Address::Tag(_) if ip.to_string().starts_with("10.") => Some(false),
            _ => None,
        })
        .collect();
    match (answers.contains(&Some(true)), answers.contains(&None)) {
        (true, _) => Some(true),
        (false, true) => None,
        (false, false) => Some(false),
    }
}

fn matches(rule: &Rule, direction: Direction, own: IpAddr, other: IpAddr, port: u16) -> Option<bool> {
    if matches!(rule.protocol, Some(protocol) if protocol != RuleProtocol::Any && protocol != RuleProtocol::Tcp) {
        return Some(false);
    }
    let (source, destination) = if direction == Direction::Outbound { (own, other) } else { (other, own) };
    let answers = [
        holds(&rule.source, source),
        holds(&rule.destination, destination),
        Some(rule.destination_ports.contains(port)),
    ];
    if answers.contains(&Some(false)) {
        Some(false)
    } else if answers.contains(&None) || rule.state != RuleState::Ok {
        None
    } else {
        Some(true)
    }
}

/// Everything that may happen to one flow: true if it may pass, false if it may be refused.
fn fates(acls: &[&Acl], direction: Direction, own: IpAddr, other: IpAddr, port: u16) -> BTreeSet<bool> {
    let Some((acl, later)) = acls.split_first() else { return BTreeSet::from([true]) };
    let mut fates = BTreeSet::new();
    for rule in &acl.rules {
        let is_match = matches(rule, direction, own, other, port);
        if is_match == Some(false) {
            continue;
        }
        match rule.access {
            Some(Access::Deny) => drop(fates.insert(false)),
            Some(Access::AlwaysAllow) => drop(fates.insert(true)),
            _ => fates.extend(self::fates(later, direction, own, other, port)),
        }
        if is_match == Some(true) {
            return fates;
        }
    }
    fates.extend(self::fates(later, direction, own, other, port));
    fates
}

#[test]
fn the_evaluator_agrees_with_brute_force() {
    let sets = std::env::var("FLOWGAP_RULE_SETS").map_or(RULE_SETS, |text| text.parse().expect("a number"));
    let seed = std::env::var("FLOWGAP_SEED").map_or(26, |text| text.parse().expect("a number"));
    let mut random = Rng::with_seed(seed);
    let mut seen = BTreeSet::new();
    let vnet: IpSet = "10.0.0.0/8".parse::<Prefix>().into_iter().collect();
    for nr in 0..sets {
        let direction = *random.choice(Direction::ALL.iter()).expect("one");
        let layers = [Layer::Admin, Layer::Subnet, Layer::Nic];
        let acls: Vec<Acl> = layers
            .into_iter()
            .filter(|_| random.u8(..3) > 0)
            .collect::<Vec<_>>()
            .into_iter()
            .map(|layer| acl(&mut random, layer, direction))
            .collect();
        let given: Vec<&Acl> = acls.iter().collect();
        let mut order = given.clone();
        if direction == Direction::Outbound {
            order.sort_by_key(|acl| {
                [Layer::Admin, Layer::Nic, Layer::Subnet].iter().position(|layer| *layer == acl.layer)
            });
        }
        let set = |address: fn(u32) -> IpAddr, count: u32| {
            (0..count).map(|nr| Prefix::single(address(nr))).collect::<IpSet>()
        };
        let asked = ports(&mut random);
        let asked = if asked.is_all() { PortSet::from_ranges([(0, PORTS - 1)]) } else { asked };
        let question = Question {
            direction,
            protocol: RuleProtocol::Tcp,
            local: End::of_addresses(set(local, LOCALS)),
            peer: End::of_addresses(set(peer, PEERS)),
            ports: asked.clone(),
            source_ports: PortSet::all(),
        };
        let answer = Space::new(&vnet, &[], Vec::new()).evaluate(&given, &question);
        let mut all = BTreeSet::new();
        let mut refused = BTreeSet::new();
        for own in 0..LOCALS {
            for other in 0..PEERS {
                for port in (0..PORTS).filter(|port| asked.contains(*port)) {
                    let fates = fates(&order, direction, local(own), peer(other), port);
                    if fates == BTreeSet::from([false]) {
                        refused.insert((other, port));
                    }
                    all.insert(fates);
                }
            }
        }
        let [passes, fails] = [true, false].map(|fate| BTreeSet::from([fate]));
        let expected = if all == BTreeSet::from([passes]) {
            Verdict::Allow
        } else if all == BTreeSet::from([fails.clone()]) {
            Verdict::Deny
        } else if all.contains(&fails) {
            Verdict::Partly
        } else {
            Verdict::Unknown
        };
        assert_eq!(answer.verdict, expected, "set {nr} of seed {seed}: {acls:#?} {question:?} {answer:#?}");
        // Every refusal has a rule that is blamed for it.
        for (other, port) in refused {
            let is_blamed = |decision: &flowgap::policy::Decision| {
                decision.ports.contains(port) && decision.peers.contains(number(peer(other)))
            };
            assert!(answer.with(Effect::Denies).any(is_blamed), "set {nr} of seed {seed}: {other}:{port}");
        }
        seen.insert(expected.name());
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}
