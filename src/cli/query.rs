//! `flowgap query`: runs a ready-made query by name.

use std::path::{Path, PathBuf};

use super::{Failure, Status, explore};
use crate::answer::{Manner, print};
use crate::engine::{closest_name, values};
use crate::queries::{self, NamedQuery};
use crate::report::rows::Overflow;
use crate::report::sink::visible_lines;
use crate::shell;

#[derive(Debug, clap::Args)]
#[command(mut_arg("sources", |sources| sources.required(false).required_unless_present("list")))]
pub struct Args {
    /// Name of the query
    #[arg(value_name = "NAME", required_unless_present = "list")]
    name: Option<String>,

    /// List all queries with their titles and parameters, or only the query NAME
    #[arg(long)]
    list: bool,

    /// Value of a parameter; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = param)]
    param: Vec<(String, String)>,

    /// Folder with your own queries (*.sql); they replace built-in queries of the same name
    #[arg(long, value_name = "DIR")]
    queries: Option<PathBuf>,

    #[command(flatten)]
    explore: explore::Args,
}

pub async fn run(args: Args) -> Result<Status, Failure> {
    let known = known(args.queries.as_deref())?;
    if args.list {
        let listed: Vec<&NamedQuery> = match &args.name {
            Some(name) => vec![find(&known, name)?],
            None => known.iter().collect(),
        };
        let query_help: String = listed.iter().map(|query| shell::query_help(query)).collect();
        print(|out| out.write_all(visible_lines(&query_help).as_bytes()))?;
        return Ok(Status::Clean);
    }
    let query = find(&known, args.name.as_deref().unwrap_or_default())?;
    let values = values(query, &args.param).map_err(Failure::usage)?;
    let explore = args.explore.open(Manner::Answers).await?;
    let texts = [query.sql.to_string()];
    explore.warn_no_tags(&texts);
    if let Some(planned) = explore.planned() {
        return planned;
    }
    explore.answer(&texts, &values, Overflow::Hide).await
}

/// Returns the built-in queries and those of `folder`, which replace built-in ones of the same name.
pub fn known(folder: Option<&Path>) -> Result<Vec<NamedQuery>, Failure> {
    let own = match folder {
        Some(folder) => queries::of_folder(folder).map_err(|error| Failure::usage(format!("--queries {error}")))?,
        None => Vec::new(),
    };
    let shipped =
        queries::shipped().map_err(|error| Failure { status: Status::Internal, message: error.to_string() })?;
    let mut known: Vec<NamedQuery> = shipped.into_iter().filter(|q| !own.iter().any(|o| o.id == q.id)).collect();
    known.extend(own);
    known.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(known)
}

/// Returns the query with a name.
pub fn find<'a>(known: &'a [NamedQuery], name: &str) -> Result<&'a NamedQuery, Failure> {
    let id = name.replace('-', "_");
    known.iter().find(|query| query.id == id).ok_or_else(|| {
        let ids = || known.iter().map(|query| query.id.as_str());
        let without = |text: &str| text.replace('_', "");
        let same = || ids().find(|id| without(id).contains(&without(&name.to_lowercase().replace('-', "_"))));
        let near = closest_name(&id, ids()).or_else(same);
        let way = near.map_or("flowgap query --list shows them".to_owned(), |near| format!("did you mean {near}?"));
        Failure::usage(format!("there is no query {name}: {way}"))
    })
}

fn param(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim_start_matches('$').to_owned(), value.to_owned()))
}
