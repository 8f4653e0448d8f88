//! Macros that the user defines for a session. A call becomes the definition, with the arguments in parentheses, before
//! the query is planned. So macros can do nothing that a query cannot.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, MacroArg, MacroDefinition, ObjectName,
    ObjectNamePart, Query, Select, SelectItem, Spanned, TableAlias, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// Maximum number of macros.
const MOST_MACROS: usize = 64;
/// Maximum number of parts that macros may add to a statement. Each call may contain others twice, so statements could
/// double in size.
const MOST_PARTS: usize = 2000;

/// Macros of a session by name.
#[derive(Debug, Default, Clone)]
pub struct Macros(BTreeMap<String, Arc<Macro>>);

#[derive(Debug)]
struct Macro {
    /// Names of the parameters, each with the value that is used if none is given.
    parameters: Vec<(Ident, Option<Expr>)>,
    /// The definition, without calls of other macros.
    body: MacroDefinition,
    /// Number of expressions in the definition.
    parts: usize,
}

/// Arguments of a call by the name of their parameter.
type Arguments = Vec<(Ident, Expr)>;

impl Macros {
    /// Returns whether there is a macro of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Adds a macro, or replaces it. `knows` is whether a function exists.
    pub fn define(
        &mut self,
        name: &str,
        parameters: &[MacroArg],
        body: &MacroDefinition,
        knows: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        if self.0.len() >= MOST_MACROS && !self.has(name) {
            return Err(format!("there are {MOST_MACROS} macros, and more are not allowed: drop one"));
        }
        let mut body = body.clone();
        // The macro that is replaced must not be part of the new one.
        let mut others = self.clone();
        others.0.remove(name);
        others.expand(&mut body)?;
        let mut calls = Calls::default();
        let _: ControlFlow<()> = Visit::visit(&body, &mut calls);
        for call in calls.names {
            if call == name {
                return Err(format!("the macro {name} calls itself, which is not allowed"));
            }
            if !knows(&call) {
                return Err(format!("the macro {name} calls {call}, and there is no such function"));
            }
        }
        let parameters = parameters.iter().map(|parameter| (parameter.name.clone(), parameter.default_expr.clone()));
        let made = Macro { parameters: parameters.collect(), body, parts: calls.parts };
        self.0.insert(name.to_owned(), Arc::new(made));
        Ok(())
    }

    /// Removes a macro. Returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Replaces the calls of macros in a statement. Returns whether there were any.
    pub fn expand_in(&self, statement: &mut Parsed) -> Result<bool, String> {
        match statement {
            _ if self.0.is_empty() => Ok(false),
            Parsed::Statement(statement) => self.expand(&mut **statement),
            Parsed::Explain(explain) => self.expand_in(&mut explain.statement),
            _ => Ok(false),
        }
    }

    fn expand(&self, part: &mut impl VisitMut) -> Result<bool, String> {
        let mut expansion = Expansion { macros: self, added: 0 };
        match VisitMut::visit(part, &mut expansion) {
            ControlFlow::Break(why) => Err(why),
            ControlFlow::Continue(()) => Ok(expansion.added > 0),
        }
    }

    fn called(&self, name: &ObjectName) -> Option<(String, &Macro)> {
        let name = function_name(name)?;
        let found = self.0.get(&name)?;
        Some((name, found))
    }
}

/// Returns the name of a function without a schema. A name without quotes is in lower case.
fn function_name(name: &ObjectName) -> Option<String> {
    let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return None };
    Some(if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() })
}

/// Names of the functions in a definition, and the number of its expressions.
#[derive(Default)]
struct Calls {
    names: Vec<String>,
    parts: usize,
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.parts += 1;
        if let Expr::Function(function) = expr {
            self.names.extend(function_name(&function.name));
        }
        ControlFlow::Continue(())
    }
}

/// Replaces calls from the inside out, so that no replacement is looked at again.
struct Expansion<'a> {
    macros: &'a Macros,
    /// Number of expressions that were added.
    added: usize,
}

impl VisitorMut for Expansion<'_> {
    type Break = String;

    /// Gives columns that are calls their names as written.
    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<String> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(Expr::Function(function)) = item
                && self.macros.called(&function.name).is_some()
            {
                let (expr, alias) = (Expr::Function(function.clone()), Ident::with_quote('"', function.to_string()));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        let (macros, Expr::Function(function)) = (self.macros, &*expr) else { return ControlFlow::Continue(()) };
        let Some((name, called)) = macros.called(&function.name) else { return ControlFlow::Continue(()) };
        match arguments_of(&name, function).and_then(|given| self.scalar(&name, called, given, function.name.span())) {
            Ok(replaced) => *expr = replaced,
            Err(why) => return ControlFlow::Break(why),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<String> {
        let TableFactor::Table { name, alias, args: Some(args), .. } = factor else {
            return ControlFlow::Continue(());
        };
        let macros = self.macros;
        let Some((called_as, called)) = macros.called(name) else { return ControlFlow::Continue(()) };
        match self.table(&called_as, called, &args.args, name.span()) {
            Ok(subquery) => {
                let own = TableAlias {
                    explicit: true,
                    name: Ident::with_quote('"', called_as),
                    columns: Vec::new(),
                    at: None,
                };
                let alias = Some(alias.take().unwrap_or(own));
                *factor = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
                ControlFlow::Continue(())
            }
            Err(why) => ControlFlow::Break(why),
        }
    }
}

impl Expansion<'_> {
    fn scalar(&mut self, name: &str, called: &Macro, given: &[FunctionArg], span: Span) -> Result<Expr, String> {
        match &called.body {
            MacroDefinition::Expr(body) => {
                self.substituted(name, called, body, given, span).map(|body| Expr::Nested(Box::new(body)))
            }
            MacroDefinition::Table(_) => Err(format!("{name} is a macro that returns a table: write FROM {name}(...)")),
        }
    }

    fn table(&mut self, name: &str, called: &Macro, given: &[FunctionArg], span: Span) -> Result<Box<Query>, String> {
        match &called.body {
            MacroDefinition::Table(body) => self.substituted(name, called, body, given, span),
            MacroDefinition::Expr(_) => {
                Err(format!("{name} is a macro that returns a value: write SELECT {name}(...)"))
            }
        }
    }

    /// Returns a definition with the arguments in place of the parameters.
    fn substituted<T: VisitMut + Clone>(
        &mut self,
        name: &str,
        called: &Macro,
        body: &T,
        given: &[FunctionArg],
        span: Span,
    ) -> Result<T, String> {
        let arguments = called.bound(name, given)?;
        self.added += called.parts;
        let mut substitution = Substitution { arguments: &arguments, span, added: &mut self.added };
        let mut body = body.clone();
        match VisitMut::visit(&mut body, &mut substitution) {
            ControlFlow::Continue(()) if self.added <= MOST_PARTS => Ok(body),
            _ => Err(format!("macros add more than {MOST_PARTS} parts to the statement, which is not allowed")),
        }
    }
}

impl Macro {
    /// Returns the argument of each parameter.
    fn bound(&self, name: &str, given: &[FunctionArg]) -> Result<Arguments, String> {
        let mut named: Vec<(&Ident, &Expr)> = Vec::new();
        let mut unnamed = Vec::new();
        for argument in given {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if named.is_empty() => unnamed.push(expr),
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => named.push((name, expr)),
                other => return Err(format!("{other} is not an argument of the macro {name}")),
            }
        }
        if let Some((unknown, _)) = named.iter().find(|(name, _)| !self.parameters.iter().any(|(own, _)| is(own, name)))
        {
            return Err(format!("the macro {name} has no parameter {unknown}"));
        }
        let (most, count) = (self.parameters.len(), given.len());
        let mut unnamed = unnamed.into_iter();
        let argument = |(parameter, default): &(Ident, Option<Expr>)| {
            let by_name = || named.iter().find(|(name, _)| is(parameter, name)).map(|(_, expr)| *expr);
            let expr = unnamed.next().or_else(by_name).or(default.as_ref())?;
            Some((parameter.clone(), expr.clone()))
        };
        let bound: Option<Arguments> = self.parameters.iter().map(argument).collect();
        bound.filter(|_| count <= most).ok_or_else(|| {
            let words = if most == 1 { "1 argument" } else { &format!("{most} arguments") };
            format!("the macro {name} takes {words}, and {count} are given")
        })
    }
}

/// Returns whether two names without regard to case are equal.
fn is(one: &Ident, other: &Ident) -> bool {
    one.value.eq_ignore_ascii_case(&other.value)
}

/// Returns the arguments of a call without any clause.
fn arguments_of<'a>(name: &str, function: &'a Function) -> Result<&'a [FunctionArg], String> {
    let is_plain = function.filter.is_none() && function.over.is_none() && function.within_group.is_empty();
    match &function.args {
        FunctionArguments::List(list) if is_plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() => {
            Ok(&list.args)
        }
        _ => Err(format!("{name} is a macro, and takes no DISTINCT, ORDER BY, FILTER or OVER")),
    }
}

/// Puts arguments in place of parameters. Every name gets the place of the call, because that of the definition is in
/// another text.
struct Substitution<'a> {
    arguments: &'a Arguments,
    span: Span,
    added: &'a mut usize,
}

impl VisitorMut for Substitution<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        self.place(relation);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => match self.arguments.iter().find(|(parameter, _)| is(parameter, ident)) {
                Some((_, argument)) => {
                    let mut parts = Calls::default();
                    let _: ControlFlow<()> = Visit::visit(argument, &mut parts);
                    *self.added += parts.parts;
                    if *self.added > MOST_PARTS {
                        return ControlFlow::Break(());
                    }
                    *expr = Expr::Nested(Box::new(argument.clone()));
                }
                None => ident.span = self.span,
            },
            Expr::CompoundIdentifier(idents) => idents.iter_mut().for_each(|ident| ident.span = self.span),
            Expr::Function(function) => self.place(&mut function.name),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Substitution<'_> {
    fn place(&self, name: &mut ObjectName) {
        for part in &mut name.0 {
            if let ObjectNamePart::Identifier(ident) = part {
                ident.span = self.span;
            }
        }
    }
}
