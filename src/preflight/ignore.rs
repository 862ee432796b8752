//! Errors that are to count as warnings: `--ignore-preflight-errors`, and `nodeRegistration.ignorePreflightErrors`.

/// Identifiers whose errors count as warnings, without regard to case; `all` is every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore(Vec<String>);

impl Ignore {
    /// What was given on the command line and in the configuration, which add up as in kubeadm.
    #[must_use]
    pub fn new<'a>(given: impl IntoIterator<Item = &'a String>) -> Self {
        let names = given.into_iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        Self(names.collect())
    }

    /// Whether the errors of a check are to be ignored.
    #[must_use]
    pub fn covers(&self, id: &str) -> bool {
        self.0.iter().any(|name| name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case(id))
    }

    /// What is no check's identifier, as it was written: a mistake, most likely.
    #[must_use]
    pub fn unknown<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let ids: Vec<&str> = ids.into_iter().collect();
        let known =
            |name: &&String| name.eq_ignore_ascii_case("all") || ids.iter().any(|id| name.eq_ignore_ascii_case(id));
        self.0.iter().filter(|name| !known(name)).cloned().collect()
    }
}
