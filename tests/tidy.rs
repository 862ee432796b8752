//! What ARCHITECTURE.md promises of the source, and no compiler checks.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules that decide, and touch nothing.
const PURE: [&str; 26] = [
    "certs",
    "cluster",
    "config",
    "desired",
    "diff",
    "facts",
    "followed",
    "guard",
    "images",
    "kubeconfig",
    "observed",
    "patch",
    "pki",
    "plan",
    "preflight",
    "problem",
    "quantity",
    "record",
    "reset",
    "resource",
    "rollout",
    "status",
    "table",
    "verdict",
    "versions",
    "yaml",
];

/// What reaches out of the process, or differs from one moment to the next.
const EFFECTS: [&str; 14] = [
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "std::os",
    "SystemTime",
    "Instant",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "rustix",
    "tokio",
    "OffsetDateTime::now",
];

/// The most lines of one source file.
const LINES_MAX: usize = 450;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Rust files below `src/`, by the path that `ARCHITECTURE.md` would name.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.push((path.strip_prefix(root()).unwrap().display().to_string(), read(&path)));
            }
        }
    }
    sources.sort();
    assert!(sources.len() > 50, "{}", sources.len());
    sources
}

/// Files that are in the repository, or would be after `git add`.
fn repository() -> Vec<PathBuf> {
    if !root().join(".git").exists() {
        return Vec::new(); // a release's archive: it was looked at when it was made
    }
    let listing = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let output = Command::new("git").args(listing).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    let files = names.split('\0').filter(|name| !name.is_empty()).map(|name| root().join(name));
    files.filter(|path| path.is_file()).collect()
}

/// The module that a file of `src/` belongs to: `src/config/node.rs` to `config`.
fn module(path: &str) -> &str {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').next().unwrap_or(path)
}

/// A source without its tests and comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |code, line| code + line + "\n")
}

#[test]
fn what_decides_touches_nothing() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        if !PURE.contains(&module(&path)) || path.ends_with("/tests.rs") {
            continue;
        }
        let code = code(&text);
        broken
            .extend(EFFECTS.iter().filter(|effect| code.contains(**effect)).map(|effect| format!("{path}: {effect}")));
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_pure_module_is_one() {
    let sources = sources();
    for name in PURE {
        assert!(sources.iter().any(|(path, _)| module(path) == name), "there is no module {name}");
    }
}

#[test]
fn the_code_map_names_every_file_of_the_source_or_its_folder() {
    let architecture = read(&root().join("ARCHITECTURE.md"));
    let map = architecture.split("## Code map").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let unnamed: Vec<_> = sources()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| {
            // A module's file and its folder stand for each other.
            let module = module(path);
            !map.contains(&format!("`src/{module}.rs`")) && !map.contains(&format!("`src/{module}/`"))
        })
        .collect();
    assert!(unnamed.is_empty(), "not in the code map of ARCHITECTURE.md: {unnamed:#?}");
}

#[test]
fn the_code_map_names_nothing_that_is_gone() {
    let architecture = read(&root().join("ARCHITECTURE.md"));
    let named = architecture.split('`').skip(1).step_by(2);
    let paths =
        named.filter(|name| ["src/", "tests/", "hack/", "crds/", "examples/"].iter().any(|top| name.starts_with(top)));
    let gone: Vec<_> = paths.filter(|path| !root().join(path).exists()).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn no_source_file_is_longer_than_a_person_reads() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "more than {LINES_MAX} lines: {long:?}");
    // Functions are clippy's.
    assert!(read(&root().join("clippy.toml")).contains("too-many-lines-threshold = 70"));
}

#[test]
fn nothing_names_a_place_of_the_machine_that_it_was_written_on() {
    // Put together here, so that this file does not name them.
    let places = ["work/shared", "tmp/wt", "work/main", "work/."].map(|place| format!("/{place}"));
    let homes = ["root/", "home/"].map(|home| format!("/{home}"));
    let mut found = Vec::new();
    for path in repository() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        found.extend(
            places.iter().filter(|place| text.contains(place.as_str())).map(|place| (path.clone(), place.clone())),
        );
        for home in &homes {
            let names = text.match_indices(home.as_str()).any(|(at, _)| {
                // Not a path's beginning: `./root/`, `host/root/`.
                let before = text[..at].chars().next_back();
                before.is_none_or(|char| !char.is_alphanumeric() && !matches!(char, '.' | '_' | '-' | '}' | ')' | '$'))
            });
            if names {
                found.push((path.clone(), home.clone()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_example_says_what_it_is_for() {
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = read(&path);
            assert!(text.starts_with("# ") && text.lines().next().unwrap().len() > 20, "{}", path.display());
        }
    }
}

#[test]
fn every_file_ends_with_one_line_break_and_no_line_with_a_space() {
    let ours = ["rs", "toml", "md", "py"];
    let mut broken = Vec::new();
    for path in repository() {
        if !path.extension().is_some_and(|ending| ours.iter().any(|our| ending == *our)) {
            continue;
        }
        let text = read(&path);
        if !text.ends_with('\n') || text.ends_with("\n\n") || text.lines().any(|line| line.ends_with([' ', '\t'])) {
            broken.push(path);
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
