//! Forms that flowgap adds to SQL, rewritten into standard ones: `FROM t` alone, `SUMMARIZE t`, `ip <<= prefix`,
//! `arg_max` and `arg_min`, `DROP MACRO`.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, internal_datafusion_err};
use datafusion::sql::parser::{DFParserBuilder, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, OrderByExpr, OrderByOptions, Query, SelectItem, SetExpr, Statement as Sql,
    VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer};

/// Functions that [`Rewrites`] turns into others.
pub const REWRITTEN: [&str; 2] = ["arg_max", "arg_min"];

/// Whether an address is in a prefix.
const WITHIN: &str = "<<=";

/// A parsed statement, permitted or not.
#[derive(Debug)]
pub struct Asked {
    /// The statement.
    pub parsed: Parsed,
    /// Whether the rows are summarized instead of returned.
    pub is_summary: bool,
    /// The expression of each column as written; `None` where it has a name.
    pub written: Vec<Option<String>>,
}

/// Parses the statements of a text.
pub fn parsed(text: &str) -> Result<VecDeque<Asked>, DataFusionError> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(ParserError::from)?;
    let (tokens, summaries) = standard(tokens);
    let statements = DFParserBuilder::new(tokens).with_dialect(&dialect).build()?.parse_statements()?;
    let asked = |(nr, mut parsed): (usize, Parsed)| {
        let written = written(&parsed);
        rewrite(&mut parsed);
        Asked { parsed, is_summary: summaries.contains(&nr), written }
    };
    Ok(statements.into_iter().enumerate().map(asked).collect())
}

/// Parses a statement again. A copy of a deep statement would take stack.
pub fn again(text: &str, place: usize) -> Result<Parsed, DataFusionError> {
    let asked = parsed(text)?.remove(place);
    let asked = asked.ok_or_else(|| internal_datafusion_err!("a statement that is no more"))?;
    Ok(match asked.parsed {
        Parsed::Statement(statement) => Parsed::Statement(match *statement {
            Sql::CreateView(view) => Box::new(Sql::Query(view.query)),
            other => Box::new(other),
        }),
        other => other,
    })
}

/// Makes one operator of `<<` and `=`, and queries of `FROM` alone and of `SUMMARIZE`. Returns the indices of the
/// summaries among the statements.
fn standard(tokens: Vec<TokenWithSpan>) -> (Vec<TokenWithSpan>, Vec<usize>) {
    let (mut standard, mut summaries) = (Vec::<TokenWithSpan>::with_capacity(tokens.len()), Vec::new());
    let mut statements = 0;
    // Last token that is not white space.
    let mut before = Token::SemiColon;
    for (nr, mut token) in tokens.iter().cloned().enumerate() {
        let span = token.span;
        let is_start = before == Token::SemiColon;
        if matches!(token.token, Token::Whitespace(_)) {
            standard.push(token);
            continue;
        }
        if is_start && token.token != Token::SemiColon {
            statements += 1;
        }
        let rest = &tokens[nr + 1..];
        match &token.token {
            Token::ShiftLeft if rest.first().is_some_and(|next| next.token == Token::Eq) => {
                token.token = Token::CustomBinaryOperator(WITHIN.to_owned());
            }
            // The second part of the operator.
            Token::Eq if nr > 0 && tokens[nr - 1].token == Token::ShiftLeft => continue,
            Token::Word(word) if is_start && word.value.eq_ignore_ascii_case("summarize") => {
                summaries.push(statements - 1);
                before = if is_query(rest) { Token::SemiColon } else { token.token };
                if before != Token::SemiColon {
                    standard.extend(words(&["SELECT", "*", "FROM"], span));
                } else {
                    // The query begins here, and is still part of this statement.
                    statements -= 1;
                }
                continue;
            }
            // The parser knows macros only where they are made.
            Token::Word(word) if word.keyword == Keyword::MACRO && is_word(&before, Keyword::DROP) => {
                token.token = Token::make_keyword("FUNCTION");
            }
            Token::Word(word) if word.keyword == Keyword::FROM && begins_a_query(&before) && !has_select(rest) => {
                standard.extend(words(&["SELECT", "*"], span));
            }
            _ => {}
        }
        before = token.token.clone();
        standard.push(token);
    }
    (standard, summaries)
}

fn words(words: &[&str], span: Span) -> impl Iterator<Item = TokenWithSpan> {
    let token = |word: &&str| if *word == "*" { Token::Mul } else { Token::make_keyword(word) };
    words.iter().map(token).map(move |token| TokenWithSpan { token, span }).collect::<Vec<_>>().into_iter()
}

/// Returns whether tokens begin with a query, and not with the name of a table.
fn is_query(tokens: &[TokenWithSpan]) -> bool {
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    match first.map(|token| &token.token) {
        Some(Token::Word(word)) => {
            matches!(word.keyword, Keyword::SELECT | Keyword::FROM | Keyword::WITH | Keyword::VALUES)
        }
        Some(Token::LParen) => true,
        _ => false,
    }
}

fn is_word(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.keyword == keyword)
}

/// Returns whether a query may begin after the token.
fn begins_a_query(before: &Token) -> bool {
    use Keyword::{ALL, ANALYZE, AS, EXCEPT, EXPLAIN, INTERSECT, TABLE, UNION, VERBOSE};
    match before {
        Token::SemiColon | Token::LParen => true,
        Token::Word(word) => {
            matches!(word.keyword, ALL | ANALYZE | AS | EXCEPT | EXPLAIN | INTERSECT | TABLE | UNION | VERBOSE)
        }
        _ => false,
    }
}

/// Returns whether a query that begins with FROM has a SELECT of its own.
fn has_select(tokens: &[TokenWithSpan]) -> bool {
    let mut depth = 0;
    for token in tokens {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return false,
            Token::RParen => depth -= 1,
            Token::SemiColon => return false,
            Token::Word(word) if depth == 0 => match word.keyword {
                Keyword::SELECT => return true,
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => return false,
                _ => {}
            },
            _ => {}
        }
    }
    false
}

fn rewrite(parsed: &mut Parsed) {
    match parsed {
        Parsed::Statement(statement) => {
            let ControlFlow::Continue(()) = statement.visit(&mut Rewrites) else { return };
        }
        Parsed::Explain(explain) => rewrite(&mut explain.statement),
        _ => {}
    }
}

struct Rewrites;

impl VisitorMut for Rewrites {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::Custom(operator), right } if operator == WITHIN => {
                let args = [left, right].map(|side| argument(take(side)));
                *expr = Expr::Function(call("ip_in", args.into(), Vec::new()));
            }
            Expr::Function(function) => rewrite_call(function),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Turns `arg_max(a, b)` into `first_value(a ORDER BY b DESC)` of the rows where neither is null.
fn rewrite_call(function: &mut Function) {
    let is_descending = match function.name.to_string().to_lowercase().as_str() {
        "arg_max" => true,
        "arg_min" => false,
        _ => return,
    };
    let FunctionArguments::List(list) = &mut function.args else { return };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(value)), FunctionArg::Unnamed(FunctionArgExpr::Expr(by))] =
        list.args.as_mut_slice()
    else {
        return;
    };
    let (value, by) = (take(value), take(by));
    let is_known = Expr::BinaryOp {
        left: Box::new(Expr::IsNotNull(Box::new(value.clone()))),
        op: BinaryOperator::And,
        right: Box::new(Expr::IsNotNull(Box::new(by.clone()))),
    };
    let filter = match function.filter.take() {
        Some(filter) => Expr::BinaryOp {
            left: Box::new(Expr::Nested(filter)),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(Box::new(is_known))),
        },
        None => is_known,
    };
    let options = OrderByOptions { asc: Some(!is_descending), nulls_first: Some(false) };
    let order = FunctionArgumentClause::OrderBy(vec![OrderByExpr { expr: by, options, with_fill: None }]);
    let over = function.over.take();
    *function = call("first_value", vec![argument(value)], vec![order]);
    (function.filter, function.over) = (Some(Box::new(filter)), over);
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Identifier(Ident::new("")))
}

fn argument(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

fn call(name: &str, args: Vec<FunctionArg>, clauses: Vec<FunctionArgumentClause>) -> Function {
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

/// Returns the expression of each column of a query as written. Empty if the number of columns is not known.
fn written(parsed: &Parsed) -> Vec<Option<String>> {
    let Parsed::Statement(statement) = parsed else { return Vec::new() };
    let Sql::Query(query) = &**statement else { return Vec::new() };
    let items = projection(query).unwrap_or_default().iter().map(|item| match item {
        SelectItem::UnnamedExpr(expr) => Some(Some(expr.to_string())),
        SelectItem::ExprWithAlias { .. } => Some(None),
        _ => None,
    });
    items.collect::<Option<_>>().unwrap_or_default()
}

/// Returns the columns of a query; of its first part if it is a union.
fn projection(query: &Query) -> Option<&[SelectItem]> {
    let mut body = &*query.body;
    loop {
        body = match body {
            SetExpr::Select(select) => return Some(&select.projection),
            SetExpr::Query(query) => &query.body,
            SetExpr::SetOperation { left, .. } => left,
            _ => return None,
        };
    }
}

/// Returns the name to show for each column of an answer: as written where the engine's name shows internal types.
pub fn headers(names: &[&str], written: &[Option<String>]) -> Vec<String> {
    let own = || names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    if names.len() != written.len() {
        return own();
    }
    let shown = |(name, written): (&&str, &Option<String>)| match written {
        Some(written) if is_internal(name) => written.clone(),
        _ => (*name).to_owned(),
    };
    let shown: Vec<String> = names.iter().zip(written).map(shown).collect();
    let is_distinct = shown.iter().enumerate().all(|(nr, name)| !shown[..nr].contains(name));
    if is_distinct { shown } else { own() }
}

/// Returns whether a name shows types of constants, qualified columns or rewritten calls.
fn is_internal(name: &str) -> bool {
    let types =
        ["Int8(", "Int16(", "Int32(", "Int64(", "Float32(", "Float64(", "Utf8(", "Utf8View(", "Boolean(", "NULL"];
    let more = ["Interval", "Decimal", "Timestamp", "first_value(", "ip_in("];
    types.iter().chain(&more).any(|part| name.contains(part)) || name.contains('(') && name.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Vec<String> {
        let asked = parsed(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        asked.iter().map(|asked| format!("{}{}", if asked.is_summary { "all of " } else { "" }, asked.parsed)).collect()
    }

    #[test]
    fn short_forms_become_standard_ones() {
        for (text, standard) in [
            ("FROM t", "SELECT * FROM t"),
            ("SELECT a FROM (FROM t LIMIT 2)", "SELECT a FROM (SELECT * FROM t LIMIT 2)"),
            ("FROM t WHERE a = 1 UNION ALL FROM u", "SELECT * FROM t WHERE a = 1 UNION ALL SELECT * FROM u"),
            ("FROM t SELECT extract(hour FROM a)", "FROM t SELECT EXTRACT(HOUR FROM a)"),
            ("CREATE VIEW v AS FROM t", "CREATE VIEW v AS SELECT * FROM t"),
            ("CREATE MACRO m(x) AS TABLE FROM t", "CREATE MACRO m(x) AS TABLE SELECT * FROM t"),
            ("DROP MACRO IF EXISTS m", "DROP FUNCTION IF EXISTS m"),
            ("SUMMARIZE t", "all of SELECT * FROM t"),
            ("summarize from t where a = 1", "all of SELECT * FROM t WHERE a = 1"),
            ("SELECT a <<= '10.0.0.0/8' AND b", "SELECT ip_in(a, '10.0.0.0/8') AND b"),
            (
                "SELECT arg_max(a, b)",
                "SELECT first_value(a ORDER BY b DESC NULLS LAST) FILTER (WHERE a IS NOT NULL AND b IS NOT NULL)",
            ),
        ] {
            assert_eq!(rewritten(text), [standard], "{text}");
        }
        let several = rewritten("; SELECT 1 ;; -- SUMMARIZE x\n SUMMARIZE (SELECT 2); SELECT summarize");
        assert_eq!(several, ["SELECT 1", "all of (SELECT 2)", "SELECT summarize"]);
    }

    #[test]
    fn columns_are_named_as_written() {
        let names = |text: &str, names: &[&str]| headers(names, &parsed(text).expect("SQL")[0].written);
        assert_eq!(names("SELECT 1, a, f(b, 0.9)", &["Int64(1)", "a", "f(t.b,Float64(0.9))"]), ["1", "a", "f(b, 0.9)"]);
        assert_eq!(names("SELECT *", &["a", "Int64(1)"]), ["a", "Int64(1)"]);
        assert_eq!(names("SELECT 1, 1 AS x", &["Int64(1)", "x"]), ["1", "x"]);
    }
}
