//! Reading the configuration, and the commands that need nothing else.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::arguments::Format;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::config::{self, Loaded, PatchFile, Source};
use crate::host::machine;
use crate::problem::Problem;
use crate::record::Record;

/// The most that is read of a configuration file, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// The most files that are read of a folder.
const FILES_MAX: usize = 256;

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
    let sources = sources(path)?;
    let documents = config::parse(&sources);
    let patches = match documents.patches_directory() {
        Some(directory) => patches(path, directory)?,
        None => Vec::new(),
    };
    let record = Record::new(&sources, &patches);
    let loaded = documents.complete(&machine::machine(), &patches);
    Ok(loaded.map(|loaded| Configuration { loaded, record }))
}

pub(super) fn invalid(message: String) -> Failure {
    Failure::new(Exit::InvalidConfiguration, message)
}

/// The files of a configuration: the one that is named, or those of the folder.
fn sources(path: &Path) -> Result<Vec<Source>, Failure> {
    let missing = |error: std::io::Error| invalid(format!("cannot read the configuration {}: {error}", path.display()));
    let files = if fs::metadata(path).map_err(missing)?.is_dir() {
        files(path, &["yaml", "yml", "json"])?
    } else {
        vec![path.to_owned()]
    };
    if files.is_empty() {
        return Err(invalid(format!("there is no *.yaml, *.yml or *.json in the folder {}", path.display())));
    }
    files.iter().map(|file| Ok(Source { name: file.display().to_string(), text: text(file)? })).collect()
}

/// The patches of a configuration. A folder that is named and not there is a mistake, as it is to kubeadm.
fn patches(config: &Path, directory: &str) -> Result<Vec<PatchFile>, Failure> {
    let base = if config.is_dir() { config } else { config.parent().unwrap_or(Path::new(".")) };
    let directory = base.join(directory);
    if !directory.is_dir() {
        let message = "InitConfiguration.patches.directory: there is no folder";
        return Err(invalid(format!("{message} {}", directory.display())));
    }
    let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files(&directory, &[])?.iter().map(|file| Ok(PatchFile { name: name(file), text: text(file)? })).collect()
}

/// The files of a folder with one of the endings (none: any), by name. Hidden ones are left out: editors leave such.
fn files(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| invalid(format!("cannot read the folder {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        if !hidden && !path.is_dir() && (endings.is_empty() || endings.contains(&ending.as_str())) {
            files.push(path);
        }
    }
    if files.len() > FILES_MAX {
        return Err(invalid(format!("the folder {} has more than {FILES_MAX} files", folder.display())));
    }
    files.sort();
    Ok(files)
}

/// The text of a file, of which no more than the bound is ever read.
fn text(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| invalid(format!("cannot read {}: {error}", path.display()));
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(invalid(format!("{} is not a file", path.display())));
    }
    let mut text = String::new();
    fs::File::open(path).map_err(failed)?.take(FILE_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_MAX {
        return Err(invalid(format!("{} is larger than {} MiB", path.display(), FILE_MAX >> 20)));
    }
    Ok(text)
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
    let migrated = config::migrate(config::parse(&sources(path)?));
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
