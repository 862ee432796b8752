//! What has been found so far, each thing with its place.

use crate::cluster::{Lines, Location};
use crate::problem::Problem;

/// Problems and warnings, and the lines to place them by.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Where each field stands.
    pub lines: Lines,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// How many of the problems are about the shape of documents.
    shape: usize,
}

impl Report {
    /// A document or field has the wrong shape. What is said about it later, in [`Report::error`], would only repeat it.
    pub fn shape(&mut self, file: &str, line: u64, field: &str, message: String) {
        let place = Some(Location { file: file.to_owned(), line });
        self.problems.insert(self.shape, Problem { place, field: field.to_owned(), message });
        self.shape += 1;
    }

    /// A field is wrong. It stands where [`Report::lines`] says, or nowhere if it comes from a default.
    pub fn error(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let problem = self.problem(field.into(), message.into());
        let repeated = self.problems[..self.shape].iter().any(|shape| shape.field == problem.field);
        if !repeated {
            self.problems.push(problem);
        }
    }

    /// A field deserves a word.
    pub fn warn(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let warning = self.problem(field.into(), message.into());
        self.warnings.push(warning);
    }

    /// A place deserves a word.
    pub fn warn_at(&mut self, file: &str, line: u64, field: &str, message: String) {
        let place = Some(Location { file: file.to_owned(), line });
        self.warnings.push(Problem { place, field: field.to_owned(), message });
    }

    fn problem(&self, field: String, message: String) -> Problem {
        Problem { place: self.lines.of(&field).cloned(), field, message }
    }

    /// Whether something is wrong with a field.
    #[must_use]
    pub fn has_field(&self, field: &str) -> bool {
        self.problems.iter().any(|problem| problem.field == field)
    }

    /// Whether anything is wrong.
    #[must_use]
    pub const fn failed(&self) -> bool {
        !self.problems.is_empty()
    }

    /// The problems and the warnings, each by file and line and said once.
    #[must_use]
    pub fn finish(self) -> (Vec<Problem>, Vec<Problem>) {
        let sorted = |mut problems: Vec<Problem>| {
            problems.sort_by(|a, b| (&a.place, &a.field, &a.message).cmp(&(&b.place, &b.field, &b.message)));
            problems.dedup();
            problems
        };
        (sorted(self.problems), sorted(self.warnings))
    }
}
