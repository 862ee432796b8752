//! A status as metrics, in the text format of Prometheus (version 0.0.4): each name with its help and type, once, and its samples after it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::text::short;
use super::verdict::{Presence, View};
use super::{Health, State, Status, Truth};

/// The media type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics.
#[must_use]
pub fn metrics(view: &View<'_>) -> String {
    let mut out = Exposition::default();
    process(&mut out, view);
    configuration(&mut out, view.status);
    passes(&mut out, view.status);
    control_plane(&mut out, view.status);
    out.text
}

fn process(out: &mut Exposition, view: &View<'_>) {
    let (status, program) = (view.status, &view.status.program);
    out.family("planekeeper_build_info", Type::Gauge, "The version that runs.");
    out.sample(&[("version", &program.version)], 1.0);
    out.family("planekeeper_start_time_seconds", Type::Gauge, "When the process started, in seconds since 1970.");
    out.sample(&[], seconds(program.started_at.0));
    out.family("planekeeper_stale", Type::Gauge, "1 where what is told here may no longer be so.");
    out.sample(&[], flag(view.stale().is_some()));
    out.family("planekeeper_paused", Type::Gauge, "1 while nothing is changed because somebody paused.");
    out.sample(&[], flag(status.pause.is_some()));
    out.family("planekeeper_working", Type::Gauge, "1 while a pass runs.");
    out.sample(&[], flag(matches!(view.presence, Presence::Watching(Some(_)))));
}

fn configuration(out: &mut Exposition, status: &Status) {
    out.family("planekeeper_configuration_info", Type::Gauge, "The configuration in force.");
    if let Some(configuration) = &status.configuration {
        let revision = configuration.revision.as_deref().unwrap_or_default();
        out.sample(&[("hash", short(&configuration.hash)), ("revision", revision)], 1.0);
    }
    let name = "planekeeper_configuration_accepted_timestamp_seconds";
    out.family(name, Type::Gauge, "Since when that configuration is in force.");
    if let Some(configuration) = &status.configuration {
        out.sample(&[], seconds(configuration.since.0));
    }
    let name = "planekeeper_configuration_last_load_successful";
    out.family(name, Type::Gauge, "1 where the configuration that was last read is in force.");
    out.sample(&[], flag(status.configuration.is_some() && status.rejected.is_none()));
    out.family("planekeeper_configuration_rejections_total", Type::Counter, "Configurations that were wrong.");
    out.sample(&[], count(status.counters.rejections));
}

fn passes(out: &mut Exposition, status: &Status) {
    let counters = &status.counters;
    let name = "planekeeper_passes_total";
    out.family(name, Type::Counter, "Passes, by what came of them: unchanged, changed or failed.");
    for outcome in ["unchanged", "changed", "failed"] {
        out.sample(&[("outcome", outcome)], count(counters.passes.get(outcome).copied().unwrap_or(0)));
    }
    out.family("planekeeper_pass_duration_seconds", Type::Summary, "How long passes took.");
    out.sample_of("planekeeper_pass_duration_seconds_sum", &[], count(counters.pass_milliseconds) / 1000.0);
    out.sample_of("planekeeper_pass_duration_seconds_count", &[], count(counters.passes.values().sum()));
    out.family("planekeeper_last_pass_timestamp_seconds", Type::Gauge, "When the last pass ended.");
    if let Some(pass) = &status.last_pass {
        out.sample(&[], seconds(pass.at.0));
    }
    out.family("planekeeper_last_look_timestamp_seconds", Type::Gauge, "When the host was last seen.");
    if let Some(at) = status.looked_at {
        out.sample(&[], seconds(at.0));
    }
    let by_kind: [(&str, &str, &BTreeMap<String, u64>); 3] = [
        ("planekeeper_drift_repairs_total", "Drift that was put right, by kind of resource.", &counters.repairs),
        ("planekeeper_writes_total", "Resources that were written, by kind.", &counters.writes),
        ("planekeeper_failures_total", "Steps that failed, by kind of resource.", &counters.failures),
    ];
    for (name, help, counts) in by_kind {
        out.family(name, Type::Counter, help);
        for (kind, number) in counts {
            out.sample(&[("kind", kind)], count(*number));
        }
    }
    let name = "planekeeper_certificate_renewals_total";
    out.family(name, Type::Counter, "Certificates that were made anew for their age.");
    out.sample(&[], count(counters.renewals));
}

fn control_plane(out: &mut Exposition, status: &Status) {
    out.family("planekeeper_condition", Type::Gauge, "1 for the status that a condition has.");
    for condition in &status.conditions {
        for (truth, name) in [(Truth::True, "True"), (Truth::False, "False"), (Truth::Unknown, "Unknown")] {
            out.sample(&[("type", &condition.kind), ("status", name)], flag(condition.status == truth));
        }
    }
    out.family("planekeeper_resources", Type::Gauge, "Resources, by the state in which they were last seen.");
    for state in State::ALL {
        let found = status.resources.iter().filter(|resource| resource.state == state).count();
        out.sample(&[("state", state.name())], count(found as u64));
    }
    out.family(
        "planekeeper_drifted_resources",
        Type::Gauge,
        "Resources that differ without the configuration having changed.",
    );
    out.sample(&[], count(status.drift.now));
    out.family(
        "planekeeper_contested_resources",
        Type::Gauge,
        "Resources that somebody else changes back again and again.",
    );
    out.sample(&[], count(status.fights.len() as u64));
    out.family("planekeeper_component_healthy", Type::Gauge, "1 where a component runs as it should and works.");
    for component in status.components.iter().filter(|component| component.health != Health::Unknown) {
        out.sample(&[("component", &component.name)], flag(component.health == Health::Healthy));
    }
    out.family("planekeeper_api_reachable", Type::Gauge, "1 where the API server of this host answers.");
    if let Some(reachable) = status.api_reachable {
        out.sample(&[], flag(reachable));
    }
    let name = "planekeeper_certificate_expiration_timestamp_seconds";
    out.family(name, Type::Gauge, "When a certificate ends, in seconds since 1970.");
    for certificate in &status.certificates {
        if let Some(expires) = certificate.expires {
            let authority = certificate.authority.as_deref().unwrap_or_default();
            out.sample(&[("name", &certificate.name), ("ca", authority)], seconds(expires.0));
        }
    }
    let name = "planekeeper_certificate_renewal_needed";
    out.family(name, Type::Gauge, "1 where a certificate nears its end and a person has to have the next one signed.");
    for certificate in status.certificates.iter().filter(|certificate| certificate.externally_managed) {
        if let Some(authority) = &certificate.authority {
            out.sample(&[("name", &certificate.name), ("ca", authority)], flag(certificate.by_hand()));
        }
    }
}

#[derive(Clone, Copy)]
enum Type {
    Counter,
    Gauge,
    Summary,
}

#[derive(Default)]
struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    fn family(&mut self, name: &'static str, kind: Type, help: &str) {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Summary => "summary",
        };
        self.family = name;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample_of(self.family, labels, value);
    }

    fn sample_of(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let said: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = if said.is_empty() { String::new() } else { format!("{{{}}}", said.join(",")) };
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}

/// The value of a label: the three characters that would end it otherwise.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

const fn flag(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// Every value of the format is a float of 64 bits, which is exact for these.
#[allow(clippy::cast_precision_loss)]
const fn count(number: u64) -> f64 {
    number as f64
}

#[allow(clippy::cast_precision_loss)]
const fn seconds(moment: i64) -> f64 {
    moment as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_label_ends_it() {
        let mut out = Exposition::default();
        out.family("x", Type::Gauge, "Help.");
        out.sample(&[("a", "b\"c\\d\ne")], 1_795_305_600.0);
        assert_eq!(out.text, "# HELP x Help.\n# TYPE x gauge\nx{a=\"b\\\"c\\\\d\\ne\"} 1795305600\n");
    }
}
