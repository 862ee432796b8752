//! Reading the configuration, and the commands that need nothing else.

use std::path::Path;

use serde_json::json;

use crate::cli::arguments::Format;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::config::{self, Loaded};
use crate::host::machine;
use crate::problem::Problem;
use crate::record::Record;
use crate::sources::Sources;

/// A configuration and the files that it was read from.
pub struct Configuration {
    /// What it says.
    pub loaded: Loaded,
    /// Its text, to remember once it is in force.
    pub record: Record,
}

/// Reads the configuration; says every problem and every warning.
///
/// # Errors
/// It cannot be read, or is invalid: 78.
pub fn load(path: &Path) -> Result<Configuration, Failure> {
    try_load(path)?.map_err(|problems| invalid(listed(&problems)))
}

/// As [`load`], with the problems of an invalid one for the caller to judge.
///
/// # Errors
/// It cannot be read: 78.
pub(super) fn try_load(path: &Path) -> Result<Result<Configuration, Vec<Problem>>, Failure> {
    let checked = check(path)?;
    if let Ok(configuration) = &checked {
        warn(&configuration.loaded.warnings);
    }
    Ok(checked)
}

fn warn(warnings: &[Problem]) {
    for warning in warnings {
        output::warning(&warning.to_string());
    }
}

/// Problems for people, one a line.
pub(super) fn listed(problems: &[Problem]) -> String {
    let count = match problems.len() {
        1 => "the configuration has a problem".to_owned(),
        many => format!("the configuration has {many} problems"),
    };
    problems.iter().fold(count, |text, problem| format!("{text}\n  {problem}"))
}

fn check(path: &Path) -> Result<Result<Configuration, Vec<Problem>>, Failure> {
    let sources = Sources::read(path).map_err(invalid)?;
    let record = sources.record();
    let loaded = sources.complete(&machine::machine());
    Ok(loaded.map(|loaded| {
        let record = record.of(&loaded.cluster);
        Configuration { loaded, record }
    }))
}

pub(super) fn invalid(message: String) -> Failure {
    Failure::new(Exit::InvalidConfiguration, message)
}

/// `config validate`.
///
/// # Errors
/// The configuration cannot be read.
pub fn validate(path: &Path, format: Format) -> Result<Exit, Failure> {
    let (problems, warnings) = match check(path)? {
        Ok(configuration) => (Vec::new(), configuration.loaded.warnings),
        Err(problems) => (problems, Vec::new()),
    };
    let exit = if problems.is_empty() { Exit::Done } else { Exit::InvalidConfiguration };
    if format == Format::Json {
        let list = |problems: &[Problem]| problems.iter().map(problem_json).collect::<Vec<_>>();
        let value = json!({
            "apiVersion": "planekeeper.dev/v1alpha1", "kind": "Validation",
            "valid": problems.is_empty(), "problems": list(&problems), "warnings": list(&warnings),
        });
        output::print_json(&value)?;
        return Ok(exit);
    }
    warn(&warnings);
    if problems.is_empty() {
        output::print(&format!("{} is valid.\n", path.display()))?;
    } else {
        output::error(&listed(&problems));
    }
    Ok(exit)
}

fn problem_json(problem: &Problem) -> serde_json::Value {
    json!({
        "file": problem.place.as_ref().map(|place| &place.file),
        "line": problem.place.as_ref().map(|place| place.line),
        "field": problem.field,
        "message": problem.message,
    })
}

/// `config print`.
///
/// # Errors
/// The configuration cannot be read, or is invalid.
pub fn print(path: &Path, format: Format) -> Result<Exit, Failure> {
    documents(&config::print(&load(path)?.loaded), format)
}

/// `config migrate`.
///
/// # Errors
/// The configuration cannot be read, or is invalid.
pub fn migrate(path: &Path, format: Format) -> Result<Exit, Failure> {
    load(path)?;
    let migrated = config::migrate(Sources::read(path).map_err(invalid)?.documents);
    documents(&migrated.map_err(|problems| invalid(listed(&problems)))?, format)
}

fn documents(documents: &[serde_json::Value], format: Format) -> Result<Exit, Failure> {
    match format {
        Format::Json => output::print_json(&json!({"apiVersion": "v1", "kind": "List", "items": documents}))?,
        Format::Text => {
            let texts: Vec<String> = documents.iter().map(crate::yaml::to_string).collect();
            output::print(&texts.join("---\n"))?;
        }
    }
    Ok(Exit::Done)
}
