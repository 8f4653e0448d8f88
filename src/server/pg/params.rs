//! Values of parameters, as text or in the binary forms of PostgreSQL. Every length is checked.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field};
use bytes::{Buf, Bytes};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion_postgres::arrow_pg::datatypes::into_pg_type;
use datafusion_postgres::pgwire::api::Type;

use crate::engine::ParamValues;
use crate::server::error::{Fault, code};

/// Days and µs from 1970 to 2000, from which PostgreSQL counts.
const DAYS: i32 = 10_957;
const MICROS: i64 = DAYS as i64 * 86_400_000_000;
/// Maximum number of parameters of a statement.
const MOST: usize = 65_535;

/// Type of a parameter: what the client sends, and what the query compares it with, if that is known.
#[derive(Debug, Clone)]
pub struct Param {
    /// Type on the wire.
    pub sent: Type,
    /// Type in the query.
    pub used: Option<DataType>,
}

/// Returns the parameters of a plan in order. `types` are those that the client declares; 0 is open.
pub fn parameters(plan: &LogicalPlan, types: &[u32]) -> Result<Vec<Param>, Fault> {
    let internal = |error: DataFusionError| Fault::new(code::INTERNAL, error.to_string());
    let mut found = plan.get_parameter_types().map_err(internal)?;
    casts(plan, &mut found).map_err(internal)?;
    let number = |name: &str| name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
    let mut params = Vec::new();
    let wrong = found.keys().find(|name| !number(name).is_some_and(|number| (1..=MOST).contains(&number)));
    if let Some(wrong) = wrong {
        return Err(Fault::new(code::UNKNOWN_PARAMETER, format!("there is no parameter {wrong}")));
    }
    let count = found.keys().filter_map(|name| number(name)).max().unwrap_or(0).max(types.len());
    for at in 0..count {
        let used = found.remove(&format!("${}", at + 1)).flatten();
        let declared = types.get(at).copied().unwrap_or(0);
        let sent = match Type::from_oid(declared).filter(|sent| *sent != Type::UNKNOWN) {
            Some(sent) => sent,
            None => used
                .as_ref()
                .and_then(|used| into_pg_type(used).ok())
                .filter(|t| *t != Type::UNKNOWN)
                .unwrap_or(Type::TEXT),
        };
        params.push(Param { sent, used });
    }
    Ok(params)
}

/// Gives parameters of unknown type the type that they are cast to, or that of the lists that they must be.
fn casts(plan: &LogicalPlan, found: &mut HashMap<String, Option<DataType>>) -> Result<(), DataFusionError> {
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let (name, used) = match expr {
                    Expr::Cast(cast) => (placeholder(&cast.expr), Some(cast.field.data_type().clone())),
                    Expr::ScalarFunction(call) if call.name() == "array_has" => match &call.args[..] {
                        [list, item] => {
                            let item = item.get_type(&schema).ok();
                            let list_of = |item| DataType::List(Field::new_list_field(item, true).into());
                            (placeholder(list), item.map(list_of))
                        }
                        _ => (None, None),
                    },
                    _ => (None, None),
                };
                if let Some(found @ None) = name.and_then(|name| found.get_mut(name)) {
                    *found = used;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

fn placeholder(expr: &Expr) -> Option<&str> {
    if let Expr::Placeholder(placeholder) = expr { Some(&placeholder.id) } else { None }
}

/// Returns the values by the names that the engine knows them by.
pub fn values(params: &[Param], formats: &[i16], values: &[Option<Bytes>]) -> Result<ParamValues, Fault> {
    if values.len() != params.len() {
        let message = format!("there are {} values for {} parameters", values.len(), params.len());
        return Err(Fault::new(code::PROTOCOL_VIOLATION, message));
    }
    if formats.len() > 1 && formats.len() != values.len() {
        return Err(Fault::new(code::PROTOCOL_VIOLATION, "there are not as many formats as values"));
    }
    let value = |(at, (param, value)): (usize, (&Param, &Option<Bytes>))| {
        let format = formats.get(if formats.len() == 1 { 0 } else { at }).copied().unwrap_or(0);
        let value = match value {
            None => null(param),
            Some(text) if format == 0 => from_text(param, text),
            Some(bytes) => from_binary(&param.sent, bytes),
        };
        let fault = |code| {
            let message = format!("parameter ${} is no valid {}", at + 1, param.sent.name());
            Fault::new(code, message)
        };
        let value = value.ok_or_else(|| fault(if format == 0 { code::INVALID_TEXT } else { code::INVALID_BINARY }))?;
        Ok(((at + 1).to_string(), fitting(value, param.used.as_ref())))
    };
    params.iter().zip(values).enumerate().map(value).collect()
}

fn null(param: &Param) -> Option<ScalarValue> {
    match &param.used {
        Some(used) => ScalarValue::try_from(used).ok(),
        None => Some(ScalarValue::Utf8(None)),
    }
}

/// Casts a value to the type in the query, unless that would change it.
fn fitting(value: ScalarValue, used: Option<&DataType>) -> ScalarValue {
    let Some(used) = used.filter(|used| **used != value.data_type()) else { return value };
    match value.cast_to(used) {
        Ok(cast) if cast.cast_to(&value.data_type()).is_ok_and(|back| back == value) => cast,
        _ => value,
    }
}

/// Reads a value from its text. The engine parses it as it parses a literal.
fn from_text(param: &Param, text: &Bytes) -> Option<ScalarValue> {
    let text = std::str::from_utf8(text).ok()?;
    let as_text = || ScalarValue::Utf8(Some(text.to_owned()));
    let target = match (&param.used, &param.sent) {
        (Some(used), _) => used.clone(),
        (None, sent) => type_of(sent)?,
    };
    match &target {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(as_text()),
        DataType::Boolean => match text.to_lowercase().as_str() {
            "t" | "true" | "on" | "yes" | "1" | "y" => Some(ScalarValue::Boolean(Some(true))),
            "f" | "false" | "off" | "no" | "0" | "n" => Some(ScalarValue::Boolean(Some(false))),
            _ => None,
        },
        DataType::Binary => hex(text.strip_prefix("\\x")?).map(|bytes| ScalarValue::Binary(Some(bytes))),
        DataType::List(field) => {
            let element = |item: Option<String>| match item {
                None => ScalarValue::try_from(field.data_type()).ok(),
                Some(item) => ScalarValue::Utf8(Some(item)).cast_to(field.data_type()).ok(),
            };
            let items: Vec<ScalarValue> = items(text)?.into_iter().map(element).collect::<Option<_>>()?;
            Some(ScalarValue::List(ScalarValue::new_list_nullable(&items, field.data_type())))
        }
        target => {
            let value = as_text().cast_to(target).ok().filter(|value| !value.is_null());
            // A number beyond the column's type is no error: the comparison decides.
            value.or_else(|| as_text().cast_to(&type_of(&param.sent)?).ok().filter(|value| !value.is_null()))
        }
    }
}

/// Returns the items of an array such as `{a,"b c",NULL}`.
fn items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let (mut items, mut letters) = (Vec::new(), inner.chars().peekable());
    while letters.peek().is_some() {
        let (mut item, mut is_quoted) = (String::new(), false);
        while let Some(letter) = letters.next() {
            match letter {
                ',' if !is_quoted => break,
                '{' | '}' => return None,
                '"' => {
                    is_quoted = true;
                    loop {
                        match letters.next()? {
                            '"' => break,
                            '\\' => item.push(letters.next()?),
                            letter => item.push(letter),
                        }
                    }
                    match letters.next() {
                        None | Some(',') => break,
                        Some(_) => return None,
                    }
                }
                '\\' => item.push(letters.next()?),
                letter => item.push(letter),
            }
        }
        let is_null = !is_quoted && item.eq_ignore_ascii_case("null");
        items.push((!is_null).then_some(item));
    }
    Some(items)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Returns the engine's type of a type on the wire.
fn type_of(sent: &Type) -> Option<DataType> {
    use arrow::datatypes::TimeUnit;
    let list = |item: Type| Some(DataType::List(Field::new_list_field(type_of(&item)?, true).into()));
    Some(match *sent {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 | Type::NUMERIC => DataType::Float64,
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::BOOL_ARRAY => return list(Type::BOOL),
        Type::INT2_ARRAY => return list(Type::INT2),
        Type::INT4_ARRAY => return list(Type::INT4),
        Type::INT8_ARRAY => return list(Type::INT8),
        Type::OID_ARRAY => return list(Type::OID),
        Type::FLOAT4_ARRAY => return list(Type::FLOAT4),
        Type::FLOAT8_ARRAY | Type::NUMERIC_ARRAY => return list(Type::FLOAT8),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::NAME_ARRAY => return list(Type::TEXT),
        Type::TIMESTAMPTZ_ARRAY => return list(Type::TIMESTAMPTZ),
        _ => DataType::Utf8,
    })
}

fn from_binary(sent: &Type, bytes: &Bytes) -> Option<ScalarValue> {
    let mut bytes = bytes.clone();
    let value = match *sent {
        Type::BOOL => ScalarValue::Boolean(Some(bytes.try_get_u8().ok()? != 0)),
        Type::INT2 => ScalarValue::Int16(Some(bytes.try_get_i16().ok()?)),
        Type::INT4 => ScalarValue::Int32(Some(bytes.try_get_i32().ok()?)),
        Type::INT8 => ScalarValue::Int64(Some(bytes.try_get_i64().ok()?)),
        Type::OID => ScalarValue::Int64(Some(bytes.try_get_u32().ok()?.into())),
        Type::FLOAT4 => ScalarValue::Float32(Some(bytes.try_get_f32().ok()?)),
        Type::FLOAT8 => ScalarValue::Float64(Some(bytes.try_get_f64().ok()?)),
        Type::DATE => ScalarValue::Date32(Some(bytes.try_get_i32().ok()?.checked_add(DAYS)?)),
        Type::TIME => ScalarValue::Time64Microsecond(Some(bytes.try_get_i64().ok()?)),
        Type::TIMESTAMP => {
            ScalarValue::TimestampMicrosecond(Some(bytes.try_get_i64().ok()?.checked_add(MICROS)?), None)
        }
        Type::TIMESTAMPTZ => {
            let micros = bytes.try_get_i64().ok()?.checked_add(MICROS)?;
            ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
        }
        Type::NUMERIC => numeric(&mut bytes)?,
        Type::BYTEA => ScalarValue::Binary(Some(std::mem::take(&mut bytes).to_vec())),
        Type::UUID => {
            let number = bytes.try_get_u128().ok()?;
            let digits = format!("{number:032x}");
            let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
            ScalarValue::Utf8(Some(parts.join("-")))
        }
        Type::JSONB => {
            (bytes.try_get_u8().ok()? == 1).then_some(())?;
            ScalarValue::Utf8(Some(String::from_utf8(std::mem::take(&mut bytes).to_vec()).ok()?))
        }
        _ => match type_of(sent)? {
            DataType::List(field) => list(&mut bytes, field.data_type())?,
            _ => ScalarValue::Utf8(Some(String::from_utf8(std::mem::take(&mut bytes).to_vec()).ok()?)),
        },
    };
    bytes.is_empty().then_some(value)
}

/// Reads a list of one dimension.
fn list(bytes: &mut Bytes, kind: &DataType) -> Option<ScalarValue> {
    let dimensions = bytes.try_get_i32().ok()?;
    let (_, item) = (bytes.try_get_i32().ok()?, Type::from_oid(bytes.try_get_u32().ok()?)?);
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = usize::try_from(bytes.try_get_i32().ok()?).ok()?;
            bytes.try_get_i32().ok()?;
            count
        }
        _ => return None,
    };
    // Each item has four bytes of length at least.
    if count > bytes.len() / 4 || type_of(&item)? != *kind || matches!(type_of(&item)?, DataType::List(_)) {
        return None;
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        let length = bytes.try_get_i32().ok()?;
        items.push(match usize::try_from(length) {
            Err(_) => ScalarValue::try_from(kind).ok()?,
            Ok(length) if length <= bytes.len() => from_binary(&item, &bytes.split_to(length))?.cast_to(kind).ok()?,
            Ok(_) => return None,
        });
    }
    Some(ScalarValue::List(ScalarValue::new_list_nullable(&items, kind)))
}

/// Reads a number of base 10,000.
fn numeric(bytes: &mut Bytes) -> Option<ScalarValue> {
    let (count, weight) = (bytes.try_get_u16().ok()?, bytes.try_get_i16().ok()?);
    let (sign, scale) = (bytes.try_get_u16().ok()?, bytes.try_get_u16().ok()?);
    if usize::from(count) * 2 != bytes.len() || count > 100 || weight.unsigned_abs() > 100 || scale > 1000 {
        return None;
    }
    let mut text = String::from(match sign {
        0x0000 => "",
        0x4000 => "-",
        0xC000 => return Some(ScalarValue::Float64(Some(f64::NAN))),
        _ => return None,
    });
    let digits: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    if digits.iter().any(|digit| *digit > 9999) {
        return None;
    }
    let at = |place: i32| {
        usize::try_from(i32::from(weight) - place).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0)
    };
    (0..=i32::from(weight).max(0)).rev().for_each(|place| text.push_str(&format!("{:04}", at(place))));
    let whole = text.trim_start_matches('-').trim_start_matches('0').len();
    let last = i32::from(weight) - i32::from(count);
    let mut fraction = String::new();
    (last.min(-1)..0).rev().for_each(|place| fraction.push_str(&format!("{:04}", at(place))));
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty()
        && let Ok(number) = text.parse::<i64>()
    {
        return Some(ScalarValue::Int64(Some(number)));
    }
    let precision = whole + fraction.len();
    if precision <= 38
        && let Ok(number) = format!("{text}{fraction}").parse::<i128>()
    {
        let (precision, scale) = (u8::try_from(precision.max(1)).ok()?, i8::try_from(fraction.len()).ok()?);
        return Some(ScalarValue::Decimal128(Some(number), precision.max(scale.unsigned_abs()), scale));
    }
    format!("{text}.{fraction}0").parse().ok().map(|number| ScalarValue::Float64(Some(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_base_ten_thousand() {
        let read = |words: &[u16]| {
            let mut bytes = Bytes::from(words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>());
            numeric(&mut bytes)
        };
        assert_eq!(read(&[1, 0, 0, 0, 42]), Some(ScalarValue::Int64(Some(42))));
        assert_eq!(read(&[2, 1, 0x4000, 0, 1, 2]), Some(ScalarValue::Int64(Some(-10_002))));
        assert_eq!(read(&[1, 1, 0, 0, 7]), Some(ScalarValue::Int64(Some(70_000))));
        assert_eq!(read(&[2, 0, 0, 2, 3, 2500]), Some(ScalarValue::Decimal128(Some(325), 3, 2)));
        assert_eq!(read(&[1, 0xffff, 0, 4, 5]), Some(ScalarValue::Decimal128(Some(5), 4, 4)));
        assert_eq!(read(&[0, 0, 0, 0]), Some(ScalarValue::Int64(Some(0))));
        assert_eq!(read(&[1, 0, 0, 0]), None);
        assert_eq!(read(&[1, 0, 0, 0, 10_000]), None);
    }

    #[test]
    fn arrays_as_text() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(items("{a,\"b, \\\"c\",NULL}"), Some(vec![some("a"), some("b, \"c"), None]));
        assert_eq!(items("{}"), Some(vec![]));
        assert_eq!(items("{a"), None);
        assert_eq!(items("{{1},{2}}"), None);
    }

    #[test]
    fn no_bytes_do_harm() {
        let mut random = fastrand::Rng::with_seed(3);
        for oid in 16..4000 {
            let Some(sent) = Type::from_oid(oid) else { continue };
            for _ in 0..100 {
                let bytes: Vec<u8> =
                    (0..random.usize(..30)).map(|_| random.u8(..) & [0xff, 1][random.usize(..2)]).collect();
                _ = from_binary(&sent, &Bytes::from(bytes.clone()));
                _ = from_text(&Param { sent: sent.clone(), used: None }, &Bytes::from(bytes));
            }
        }
    }
}
