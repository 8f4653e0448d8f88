//! `flowgap was "A -> B:PORT"`: whether flows were tried, let through or refused, when, and by which rule.

use super::explore;
use super::{Failure, Status, fault, query};
use crate::answer::Manner;
use crate::catalog::ServiceTags;
use crate::engine::{ResultRows, Row, Scope, SessionError, values};
use crate::flow::Decision;
use crate::net::{Prefix, parse_ip};
use crate::report::Clock;
use crate::report::rows::{Overflow, RowFormat};
use crate::report::sink::{say, visible};
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The question: \"10.20.1.4 -> 10.30.0.5:1433\". Each side is an address, a CIDR block, a service tag, a name of --names or
    /// *; the port may be followed by /tcp or /udp, and left out
    #[arg(value_name = "A -> B:PORT", value_parser = question)]
    question: Question,

    #[command(flatten)]
    explore: explore::Args,
}

/// A question as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    source: End,
    destination: End,
    port: Option<u16>,
    protocol: Option<String>,
}

/// One end of the flows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Any,
    Block(Prefix),
    /// A service tag, or a name of addresses.
    Named(String),
}

pub async fn run(args: &Args) -> Result<Status, Failure> {
    let explore = args.explore.open(Manner::Answers).await?;
    if let Some(planned) = explore.planned() {
        return planned;
    }
    let question = &args.question;
    let parameters = parameters(question, explore.explorer.scope())?;
    let known = query::known(None)?;
    let query = query::find(&known, "was")?;
    let values = values(query, &parameters).map_err(Failure::usage)?;
    let (display, schema, batches) = explore.rows(&query.sql, &values).await?;
    let rows = ResultRows::of("was", batches.clone()).map_err(fault::failure)?;
    let answer = answer(question, &rows, args.explore.clock()).map_err(fault::failure)?;
    if explore.format == RowFormat::Table {
        explore.print(&format!("{}\n\n", visible(&answer)))?;
    } else {
        say(visible(&answer));
    }
    if !rows.is_empty() || explore.format != RowFormat::Table {
        explore.write(display, &schema, &batches, Overflow::Hide)?;
    }
    match explore.status() {
        Status::Clean if rows.is_empty() => Ok(Status::CouldNotTell),
        status => Ok(status),
    }
}

/// Returns the parameters of the query for a question.
fn parameters(question: &Question, scope: &Scope) -> Result<Vec<(String, String)>, Failure> {
    let end = |end: &End, name: &str| match end {
        End::Any => Ok(None),
        End::Block(block) => Ok(Some((name.to_owned(), block.to_string()))),
        End::Named(word) if scope.service_tags().is_some_and(|tags| has_tag(tags, word)) => {
            Ok(Some((format!("{name}_tag"), word.clone())))
        }
        End::Named(word) if !scope.names().is_empty() => Ok(Some((format!("{name}_name"), word.clone()))),
        End::Named(word) => Err(Failure::usage(format!(
            "'{word}' is neither an address nor a loaded service tag: for a tag run flowgap tags fetch or add --service-tags, for a name add --names"
        ))),
    };
    let ends = [end(&question.source, "source")?, end(&question.destination, "destination")?];
    let port = question.port.map(|port| ("port".to_owned(), port.to_string()));
    let protocol = question.protocol.clone().map(|protocol| ("protocol".to_owned(), protocol));
    Ok(ends.into_iter().chain([port, protocol]).flatten().collect())
}

fn has_tag(tags: &ServiceTags, word: &str) -> bool {
    tags.names().any(|name| name.eq_ignore_ascii_case(word))
}

/// Flows of one decision.
#[derive(Default)]
struct Total {
    attempts: u64,
    tuples: u64,
    unanswered: u64,
    last: Option<Timestamp>,
    /// Rule of the last flow, with its NSG.
    rule: String,
}

impl Total {
    fn of<'a>(rows: impl Iterator<Item = Row<'a>>) -> Result<Self, SessionError> {
        let mut total = Self::default();
        for row in rows {
            total.attempts += row.int::<u64>("attempts")?;
            total.tuples += row.int::<u64>("tuples")?;
            total.unanswered += row.int::<u64>("unanswered")?;
            let last = row.time_or_null("last_flow")?;
            if last > total.last {
                total.last = last;
                total.rule = format!("{} in {}", row.text("rule")?, row.text("nsg")?);
            }
        }
        Ok(total)
    }

    fn last(&self, clock: Clock) -> String {
        self.last.map(|last| clock.minute(last)).unwrap_or_default()
    }
}

/// Returns the answer in a sentence that begins with a word in capitals.
fn answer(question: &Question, rows: &ResultRows, clock: Clock) -> Result<String, SessionError> {
    let of = |decision: Decision| {
        let mut own = Vec::new();
        for row in rows.rows() {
            if row.named::<Decision>("decision")? == decision {
                own.push(row);
            }
        }
        Total::of(own.into_iter())
    };
    let (allowed, denied) = (of(Decision::Allow)?, of(Decision::Deny)?);
    let refused = || format!("{} refused, the last at {} by {}", attempts(&denied), denied.last(clock), denied.rule);
    let passed =
        || format!("{} let through, the last at {} by {}", attempts(&allowed), allowed.last(clock), allowed.rule);
    let is_unanswered =
        allowed.unanswered > 0 && 2 * allowed.unanswered >= allowed.tuples.saturating_sub(allowed.attempts);
    let silence = if is_unanswered { "; most of them without an answer" } else { "" };
    let (word, words) = match (allowed.last, denied.last) {
        (None, None) => {
            let why = "no such flow is in these logs, which does not mean that it would be refused";
            ("NEVER TRIED", why.to_owned())
        }
        (None, Some(_)) => ("REFUSED", format!("{}; none was let through", refused())),
        (Some(_), None) if is_unanswered => ("NO ANSWER", format!("{}{silence}", passed())),
        (Some(_), None) => ("LET THROUGH", format!("{}; none was refused", passed())),
        (Some(allow), Some(deny)) if deny > allow => ("REFUSED", format!("{}; before that {}", refused(), passed())),
        (Some(_), Some(_)) => ("LET THROUGH", format!("{}{silence}; {}", passed(), refused())),
    };
    Ok(format!("{word}  {question}: {words}"))
}

fn attempts(total: &Total) -> String {
    match total.attempts {
        0 => "flows that began earlier were".to_owned(),
        1 => "1 attempt was".to_owned(),
        count => format!("{count} attempts were"),
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {}", self.source, self.destination)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))?;
        self.protocol.as_ref().map_or(Ok(()), |protocol| write!(f, "/{protocol}"))
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Block(block) => match (block.to_string().split_once('/'), block.bits()) {
                (Some((ip, _)), _) if parse_ip(ip).is_some_and(|ip| Prefix::single(ip) == *block) => f.write_str(ip),
                _ => write!(f, "{block}"),
            },
            Self::Named(word) => f.write_str(word),
        }
    }
}

/// Parses a question.
fn question(text: &str) -> Result<Question, String> {
    let form =
        || "write a question like \"10.20.1.4 -> 10.30.0.5:1433\" or \"10.20.1.0/24 -> Sql:1433/tcp\"".to_owned();
    let (source, rest) = text.split_once("->").or_else(|| text.split_once('\u{2192}')).ok_or_else(form)?;
    let rest = rest.trim();
    // `10.0.0.0/8` has a length after its slash, and `x:443/udp` a protocol.
    let (rest, protocol) = match rest.rsplit_once('/') {
        Some((before, after)) if after.chars().all(|c| c.is_ascii_alphabetic()) && !after.is_empty() => {
            let protocol = after.to_uppercase();
            if !["TCP", "UDP", "ICMP"].contains(&protocol.as_str()) {
                return Err(format!("'{after}' is no protocol: write tcp, udp or icmp"));
            }
            (before, Some(if protocol == "ICMP" { "1".to_owned() } else { protocol }))
        }
        _ => (rest, None),
    };
    let (destination, port) = match rest.rsplit_once(':') {
        // An address of IPv6 without brackets has no port.
        Some((before, _)) if before.contains(':') && !before.ends_with(']') => (rest, None),
        Some((before, port)) => (before, Some(port)),
        None => (rest, None),
    };
    let port = match port {
        None | Some("*") => None,
        Some(port) => Some(port.parse().map_err(|_| format!("'{port}' is no port: write a number up to 65535"))?),
    };
    Ok(Question {
        source: end(source).ok_or_else(form)?,
        destination: end(destination).ok_or_else(form)?,
        port,
        protocol,
    })
}

fn end(text: &str) -> Option<End> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    match text {
        "" => None,
        "*" | "any" | "Any" => Some(End::Any),
        text => Some(text.parse().map_or_else(|_| End::Named(text.to_owned()), End::Block)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_as_people_write_them() {
        for (text, is) in [
            ("10.20.1.4 -> 10.30.0.5:1433", "10.20.1.4 -> 10.30.0.5:1433"),
            ("10.20.1.0/24->Sql:1433/tcp", "10.20.1.0/24 -> Sql:1433/TCP"),
            ("* -> 10.0.0.0/8", "* -> 10.0.0.0/8"),
            ("snet-apim -> [2001:db8::1]:443", "snet-apim -> 2001:db8::1:443"),
            ("2001:db8::2 -> 2001:db8::1", "2001:db8::2 -> 2001:db8::1"),
            ("any -> 10.1.1.1/udp", "* -> 10.1.1.1/UDP"),
        ] {
            assert_eq!(question(text).map(|question| question.to_string()).as_deref(), Ok(is), "{text}");
        }
        for text in ["10.20.1.4", "-> 10.1.1.1", "10.1.1.1 ->", "10.1.1.1 -> 10.1.1.2:https", "a -> b/sctp"] {
            assert!(question(text).is_err(), "{text}");
        }
    }
}
