//! Translates filters of a query to decoder predicates. Filters without a translation stay above the scan.

use std::net::IpAddr;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column as Name, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, Operator};
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::expressions;

use super::exact::AsIs;
use crate::decode::{Term, TimeRange};
use crate::engine::functions::analysis::{IpIn, IpText};
use crate::flow::{Decision, Direction, FlowState, Protocol};
use crate::net::{IpSet, PortSet, Prefix, address, parse_ip};

/// Returns the exact translation of `filter`, or `None` if it has none.
pub fn term(filter: &Expr) -> Option<Term> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => either(term(left)?, term(right)?),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (plain(left), plain(right)) {
            (Expr::Column(column), Expr::Literal(value, _)) => compare(column, *op, value),
            (Expr::Literal(value, _), Expr::Column(column)) => compare(column, op.swap()?, value),
            _ => None,
        },
        Expr::InList(InList { expr, list, negated: false }) => {
            let Expr::Column(column) = plain(expr) else { return None };
            let values: Option<Vec<&ScalarValue>> = list.iter().map(literal).collect();
            one_of(column, &values?)
        }
        Expr::ScalarFunction(call) if call.name() == IpIn::NAME => match call.args.as_slice() {
            [ip, Expr::Literal(prefixes, _)] => match plain(ip) {
                Expr::Column(column) => ips_term(column, IpIn::prefixes(text(prefixes)?)?),
                _ => None,
            },
            _ => None,
        },
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let Expr::Column(column) = instants(expr) else { return None };
            let (low, high) = (literal(low)?, literal(high)?);
            if column.name == TIME {
                let times = times_of(Operator::GtEq, low)?.intersection(&times_of(Operator::LtEq, high)?);
                return Some(Term::Times(times));
            }
            ports_term(column, port_range(number(low)?, number(high)?))
        }
        _ => None,
    }
}

const TIME: &str = "time";

/// Returns the column that `expr` compares as: the column of [`instants`], or an address column whose text `expr` is.
/// Returns `expr` itself if there is none.
fn plain(expr: &Expr) -> &Expr {
    match expr {
        Expr::ScalarFunction(call) if call.name() == IpText::NAME => match call.args.as_slice() {
            [column @ Expr::Column(_)] => column,
            _ => expr,
        },
        _ => instants(expr),
    }
}

/// Returns the column `time` if `expr` casts it to a type that keeps its instants. Returns `expr` itself otherwise.
fn instants(expr: &Expr) -> &Expr {
    let inner = match expr {
        Expr::ScalarFunction(call) if call.name() == AsIs::NAME => call.args.first().unwrap_or(expr),
        _ => expr,
    };
    match inner {
        // A coarser unit would drop the milliseconds.
        Expr::Cast(Cast { expr: column, field }) if is_as_fine(field.data_type()) => match &**column {
            Expr::Column(name) if name.name == TIME => column,
            _ => expr,
        },
        _ => expr,
    }
}

fn is_as_fine(data_type: &DataType) -> bool {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond};
    matches!(data_type, DataType::Timestamp(Millisecond | Microsecond | Nanosecond, _))
}

/// Returns the times, in milliseconds, for which the comparison with a timestamp of any unit holds.
fn times_of(op: Operator, value: &ScalarValue) -> Option<TimeRange> {
    let (value, per_ms) = match value {
        ScalarValue::TimestampSecond(Some(value), _) => (i128::from(*value) * 1000, 1),
        ScalarValue::TimestampMillisecond(Some(value), _) => (i128::from(*value), 1),
        ScalarValue::TimestampMicrosecond(Some(value), _) => (i128::from(*value), 1_000),
        ScalarValue::TimestampNanosecond(Some(value), _) => (i128::from(*value), 1_000_000),
        _ => return None,
    };
    // `at` is the first millisecond at or after the value, `after` the first one after it. They are equal if the value
    // lies between two milliseconds, so that no time is equal to it. No flow is near the clamps.
    let clamped = |ms: i128| ms.clamp(-(1 << 52), 1 << 52) as i64;
    let at = clamped((value + per_ms - 1).div_euclid(per_ms));
    let after = clamped(value.div_euclid(per_ms) + 1);
    Some(match op {
        Operator::Eq => TimeRange { from: Some(at), to: Some(after) },
        Operator::Lt => TimeRange { from: None, to: Some(at) },
        Operator::LtEq => TimeRange { from: None, to: Some(after) },
        Operator::Gt => TimeRange { from: Some(after), to: None },
        Operator::GtEq => TimeRange { from: Some(at), to: None },
        _ => return None,
    })
}

/// Returns the translatable conjuncts of the current state of a dynamic filter. All of them must hold. A join, for
/// example, adds the ports found on its other side.
pub fn terms_by_now(filter: &Arc<dyn PhysicalExpr>) -> Vec<Term> {
    let Ok(filter) = snapshot_physical_expr(Arc::clone(filter)) else { return Vec::new() };
    split_conjunction(&filter).into_iter().filter_map(|part| term(&logical(part)?)).collect()
}

/// Returns the logical form of a physical expression. Returns `None` if it can be no part of a [`Term`].
fn logical(expr: &Arc<dyn PhysicalExpr>) -> Option<Expr> {
    if let Some(column) = expr.downcast_ref::<expressions::Column>() {
        Some(Expr::Column(Name::from_name(column.name())))
    } else if let Some(literal) = expr.downcast_ref::<expressions::Literal>() {
        Some(Expr::Literal(literal.value().clone(), None))
    } else if let Some(cast) = expr.downcast_ref::<expressions::CastExpr>() {
        // Casts of ports to wider integers keep the values.
        let is_wider = matches!(cast.cast_type(), DataType::Int32 | DataType::Int64);
        if is_wider { logical(cast.expr()) } else { None }
    } else if let Some(binary) = expr.downcast_ref::<expressions::BinaryExpr>() {
        let (left, right) = (logical(binary.left())?, logical(binary.right())?);
        Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), *binary.op(), Box::new(right))))
    } else if let Some(list) = expr.downcast_ref::<expressions::InListExpr>() {
        let values: Option<Vec<Expr>> = list.list().iter().map(logical).collect();
        Some(Expr::InList(InList::new(Box::new(logical(list.expr())?), values?, list.negated())))
    } else {
        None
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn compare(column: &Name, op: Operator, value: &ScalarValue) -> Option<Term> {
    if column.name == TIME {
        return times_of(op, value).map(Term::Times);
    }
    if op == Operator::Eq {
        return one_of(column, &[value]);
    }
    // Both columns have two values, so "not one" means the other.
    if op == Operator::NotEq {
        return match column.name.as_str() {
            "decision" => Decision::from_name(text(value)?).map(|d| match d {
                Decision::Allow => Term::Decision(Decision::Deny),
                Decision::Deny => Term::Decision(Decision::Allow),
            }),
            "direction" => Direction::from_name(text(value)?).map(|d| match d {
                Direction::Inbound => Term::Direction(Direction::Outbound),
                Direction::Outbound => Term::Direction(Direction::Inbound),
            }),
            _ => None,
        };
    }
    let number = number(value)?;
    let range = match op {
        Operator::Lt => port_range(0, number - 1),
        Operator::LtEq => port_range(0, number),
        Operator::Gt => port_range(number + 1, u16::MAX.into()),
        Operator::GtEq => port_range(number, u16::MAX.into()),
        _ => return None,
    };
    ports_term(column, range)
}

fn one_of(column: &Name, values: &[&ScalarValue]) -> Option<Term> {
    match (column.name.as_str(), values) {
        ("decision", [value]) => Decision::from_name(text(value)?).map(Term::Decision),
        ("direction", [value]) => Direction::from_name(text(value)?).map(Term::Direction),
        ("state", values) => {
            let names: Option<Vec<&str>> = values.iter().map(|value| text(value)).collect();
            Some(Term::States(names?.into_iter().filter_map(FlowState::from_name).collect()))
        }
        ("src_ip" | "dst_ip", values) => {
            let ips: Option<Vec<Option<IpAddr>>> = values.iter().map(|value| ip(value)).collect();
            ips_term(column, ips?.into_iter().flatten().map(Prefix::single).collect())
        }
        ("protocol", values) => {
            let names: Option<Vec<&str>> = values.iter().map(|value| text(value)).collect();
            Some(Term::Protocols(names?.into_iter().filter_map(Protocol::from_name).collect()))
        }
        (_, values) => {
            let numbers: Option<Vec<i64>> = values.iter().map(|value| number(value)).collect();
            ports_term(column, PortSet::from_ranges(numbers?.into_iter().flat_map(|n| Some((port(n)?, port(n)?)))))
        }
    }
}

/// Combines the two sides of an OR. Most have one column, because the optimizer writes short IN lists as ORs.
fn either(left: Term, right: Term) -> Option<Term> {
    let ports = |a: &PortSet, b: &PortSet| PortSet::from_ranges(a.ranges().iter().chain(b.ranges()).copied());
    match (left, right) {
        (Term::Protocols(left), Term::Protocols(right)) => Some(Term::Protocols([left, right].concat())),
        (Term::SrcPorts(left), Term::SrcPorts(right)) => Some(Term::SrcPorts(ports(&left, &right))),
        (Term::DstPorts(left), Term::DstPorts(right)) => Some(Term::DstPorts(ports(&left, &right))),
        (Term::States(left), Term::States(right)) => Some(Term::States([left, right].concat())),
        (Term::SrcIps(left), Term::SrcIps(right)) => Some(Term::SrcIps(left.union(&right))),
        (Term::DstIps(left), Term::DstIps(right)) => Some(Term::DstIps(left.union(&right))),
        (Term::Times(_), _) | (_, Term::Times(_)) => None,
        (Term::SrcIps(src), Term::DstIps(dst)) | (Term::DstIps(dst), Term::SrcIps(src)) => {
            (src == dst).then_some(Term::EitherIps(src))
        }
        (left, right) => (left == right).then_some(left),
    }
}

fn ports_term(column: &Name, ports: PortSet) -> Option<Term> {
    match column.name.as_str() {
        "src_port" => Some(Term::SrcPorts(ports)),
        "dst_port" => Some(Term::DstPorts(ports)),
        _ => None,
    }
}

fn ips_term(column: &Name, ips: IpSet) -> Option<Term> {
    match column.name.as_str() {
        "src_ip" => Some(Term::SrcIps(ips)),
        "dst_ip" => Some(Term::DstIps(ips)),
        _ => None,
    }
}

/// Returns the ports in `low..=high`. Either bound may lie outside the range of ports.
fn port_range(low: i64, high: i64) -> PortSet {
    let inside = low.max(0)..=high.min(u16::MAX.into());
    PortSet::from_ranges((!inside.is_empty()).then(|| (*inside.start() as u16, *inside.end() as u16)))
}

fn port(number: i64) -> Option<u16> {
    u16::try_from(number).ok()
}

fn text(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

/// Returns the address that a constant compares as. The inner `None` means a constant that equals no address.
fn ip(value: &ScalarValue) -> Option<Option<IpAddr>> {
    match value {
        ScalarValue::FixedSizeBinary(16, Some(bytes)) => {
            Some(Some(address(u128::from_be_bytes(bytes.as_slice().try_into().ok()?))))
        }
        _ => text(value).map(canonical_ip),
    }
}

/// Returns the address whose text in `flows` is `text`. Any other spelling gives `None`, because addresses are compared
/// as text.
pub fn canonical_ip(text: &str) -> Option<IpAddr> {
    parse_ip(text).filter(|ip| ip.to_string() == text)
}

fn number(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::UInt16(Some(n)) => Some((*n).into()),
        ScalarValue::Int32(Some(n)) => Some((*n).into()),
        ScalarValue::Int64(Some(n)) => Some((*n).clamp(-1, 1 << 20)),
        _ => None,
    }
}
