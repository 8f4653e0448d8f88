//! Integration tests of the library and the real binary, as one program.

/// Shared parts.
mod support;

/// `--names`: names of addresses in every report and in SQL.
mod address_names;
/// Hostile values, failing sinks and signals: no panic, and nothing printed that acts.
mod attack;
/// `diff`, `--baseline` and `--suppressions`: what is new, and what counts.
mod baseline;
/// Cases that support engineers know, each a small archive with its right answer.
mod cases;
/// Damaged blobs through every verb, and a service that answers anything.
mod chance;
/// `check`: every format and status, its schema, and what it prints for sharing.
mod check;
/// `analyze`: planted findings, every key, every exit status, every message.
mod cli;
/// `--cluster`: answers of several processes against those of one, and faults at random moments.
#[cfg(feature = "cluster")]
mod cluster;
/// Random conditions with pushdown on and off, and in DuckDB.
mod conditions;
/// `analyze` and `run` with configured rules, network status and activity log.
mod configured;
/// The decoder against a slow reference: any cut, batch size, projection and predicate.
mod decode;
/// Delivery of results: every kind of receiver, every answer, the outbox.
mod delivery;
/// Licences, sources and versions of dependencies.
mod dependencies;
/// The documents show what the binary prints, and their commands run.
mod docs;
/// The examples of the library run.
mod examples;
/// The explorer: read only, pruned by time, bounded in memory, interruptible.
mod explore;
/// Exports of rules, network status and changes: in blobs and folders, cut, hostile, and tried against all refused flows.
mod exports;
/// Network and service faults between the binary and Azurite.
mod faults;
/// No source file imports itself through others.
mod file_graph;
/// Files and folders: many, under several names, changing while they are read.
mod files;
/// `fix`: every rendering parsed back, hostile text, goldens, messages.
mod fixes;
/// SARIF, JUnit, several files of one run, and saved analyses in any format.
mod formats;
/// Fragments of plans: bytes and back, and messages that get lost.
mod fragment;
/// `generate`: equal bytes for any thread count, with a true list of faults.
mod generate;
/// Comparisons of runs: random histories against a plain model, and each rule.
mod history;
/// A hostile storage service: redirects, odd names, endless lists, long bodies, TLS, proxies.
mod hostile;
/// The web page: structure, policy, size, and a real browser. Redacted documents.
mod html;
/// `analyze` against a second implementation in Python.
mod independent;
/// `inspect`: addresses, subnets and the next command, in every format and in bounded memory.
mod inspect;
/// The scheduled job: runs over days, configuration, state, and runs that are killed at any point.
mod job;
/// `explain`, and the analysis that is kept for it and for `fix`.
mod kept;
/// The lake: exactly once through kills and races, every change of a blob, housekeeping, messages, other readers.
mod lake;
/// A lake as the source of every verb, against the blobs that it was made from.
mod lake_read;
/// Addresses as numbers within a query: plans and rows.
mod late_text;
/// What people type by habit works, or one line says what does.
mod manners;
/// Zip and tar archives as sources.
mod members;
/// Notices of the report.
mod notices;
/// Packaging recipes: configurations, command lines, scripts, units, images and packages.
mod packaging;
/// Configured rules and routes: every form of file, the evaluator, requirements, priorities, routes.
mod policy;
/// What must not change a result: order, threads, splits.
mod properties;
/// Reported cases with their right answers.
mod reported;
/// Every printed analysis is valid by the JSON Schema.
mod schema;
/// The inferred scope: its members and its cost.
mod scope;
/// The text report of one screen: goldens, size, and that it is made of the JSON.
mod screens;
/// `serve`: real clients, attacks, limits, the dashboard.
#[cfg(feature = "serve")]
mod serve;
/// Records of every shape against the slow reference.
mod shapes;
/// The shell on a real terminal.
mod shell;
/// Archives packed, piped, matched, locked, damaged and huge.
mod sources;
/// Golden SQL, queries against slow references, pushdown, scan units.
mod sql;
/// `sql` and `query`: formats, files, statuses, messages.
mod sql_cli;
/// Queries that ask for too much memory or time.
mod sql_limits;
/// Random statements: answered, or refused as the user's error.
mod statements;
/// Every address and credential of Blob Storage, against Azurite.
mod storage;
/// Service-tag files: forms, dates, files given by mistake.
mod tags;
/// `tags fetch` and `tags show`, and the cache of service tags.
mod tags_fetch;
/// Rules of the source tree.
mod tidy;
