//! The status page: one HTML file without JavaScript, for a browser on the host or behind a tunnel. It asks for nothing else, and says how old
//! each figure is.

mod drawing;

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::moment::length;
use super::parts::Layer;
use super::text::{day, last_pass, problem, seconds, short};
use super::verdict::{View, Word, ago};
use super::{Certificate, Health, Moment, State, Status};

const STYLE: &str = include_str!("page/style.css");

/// What the browser may do with the page: show it, with its own style and nothing else. No script runs, nothing is loaded or sent, and
/// nobody frames it.
#[must_use]
pub fn security_policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// A text that HTML shows as it is.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// The page.
#[must_use]
pub fn page(view: &View<'_>) -> String {
    let (word, sentence) = view.verdict();
    let name = if view.status.node.is_empty() { "planekeeper" } else { &view.status.node };
    let stale = if view.stale().is_some() { " class=\"stale\"" } else { "" };
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"refresh\" content=\"10\"><title>{}: {}</title><style>{STYLE}</style></head><body{stale}>\n\
         <header class=\"{}\"><h1>{}</h1><p>{}</p><p class=\"about\">{}</p></header>\n",
        escape(name),
        word.name(),
        class(word),
        word.name(),
        escape(&sentence),
        escape(&about(view)),
    );
    diagnostics(&mut out, view);
    layers(&mut out, view);
    components(&mut out, view);
    certificates(&mut out, view);
    configuration(&mut out, view);
    actions(&mut out, view);
    map(&mut out, view);
    footer(&mut out, view.status);
    out + "</body></html>\n"
}

const fn class(word: Word) -> &'static str {
    match word {
        Word::Converged => "ok",
        Word::Pending => "wait",
        Word::Blocked | Word::Paused => "warn",
        Word::Degraded => "bad",
        Word::Unknown => "none",
    }
}

fn about(view: &View<'_>) -> String {
    let since = view.status.condition(super::conditions::READY).map(|ready| ready.last_transition_time);
    let since = since.map(|since| format!("So for {}. ", length(view.now.since(since)))).unwrap_or_default();
    format!("{since}Last pass: {}.", last_pass(view))
}

fn seen(view: &View<'_>) -> String {
    view.status.looked_at.map_or_else(|| "not seen yet".to_owned(), |at| format!("seen {}", ago(view.now, at)))
}

fn heading(out: &mut String, title: &str, age: &str) {
    let _ = write!(out, "<section><h2>{}<span class=\"age\">{}</span></h2>", escape(title), escape(age));
}

fn card(out: &mut String, class: &str, title: &str, text: &str) {
    let _ = write!(out, "<div class=\"card {class}\"><strong>{}</strong>{}</div>", escape(title), escape(text));
}

fn pill(class: &str, text: &str) -> String {
    format!("<span class=\"s {class}\">{}</span>", escape(text))
}

/// What needs a person, and only that.
fn diagnostics(out: &mut String, view: &View<'_>) {
    let (status, now) = (view.status, view.now);
    if let Some(why) = &status.blind {
        card(out, "bad", "The host could not be looked at", why);
    }
    if let Some(why) = &status.idle {
        card(out, "warn", "Nothing is done", why);
    }
    if let Some(rejected) = &status.rejected {
        let age = length(now.since(rejected.since));
        for one in &rejected.problems {
            card(out, "bad", &format!("The configuration was rejected {age} ago"), &problem(one));
        }
    }
    for change in &status.refused_changes {
        let title = format!("{} {}: {} -> {} is refused", change.place, change.field, change.before, change.after);
        card(out, "bad", title.trim(), &change.reason);
    }
    for fight in &status.fights {
        let until = fight.until.filter(|until| *until > now);
        let until =
            until.map(|until| format!(" It is left alone for {}.", length(until.since(now)))).unwrap_or_default();
        let since = length(now.since(fight.since));
        let text = format!("For {since} now.{until} Two writers of one thing never come to rest: end one of them.");
        card(out, "warn", &format!("{} is changed back by {}", fight.resource, fight.other()), &text);
    }
    let left = status.out_of_sync();
    if left.is_empty() {
        return;
    }
    heading(out, "Not as configured", &seen(view));
    out.push_str("<div class=\"scroll\"><table><tbody>");
    for resource in left.iter().take(40) {
        let _ = write!(
            out,
            "<tr><td class=\"short\">{}</td><td><code>{}</code><p>{}</p></td></tr>",
            pill(resource.state.class(), resource.state.word()),
            escape(&resource.id),
            escape(&resource.message)
        );
    }
    out.push_str("</tbody></table></div>");
    if left.len() > 40 {
        let _ = write!(out, "<p class=\"age\">{} more</p>", left.len() - 40);
    }
    out.push_str("</section>\n");
}

/// What is wanted against disk, process and API, part by part.
fn layers(out: &mut String, view: &View<'_>) {
    let resources = &view.status.resources;
    if resources.is_empty() {
        return;
    }
    let mut parts: Vec<&str> = Vec::new();
    for resource in resources {
        if !parts.contains(&resource.part.as_str()) {
            parts.push(&resource.part);
        }
    }
    let layers: Vec<Layer> = Layer::ALL
        .into_iter()
        .filter(|layer| resources.iter().any(|resource| Layer::of(&resource.id) == *layer))
        .collect();
    heading(out, "Wanted against seen", &seen(view));
    out.push_str("<div class=\"scroll\"><table><thead><tr><th>Part</th><th class=\"wide\">Wanted</th>");
    for layer in &layers {
        let _ = write!(out, "<th>{}</th>", on(*layer));
    }
    out.push_str("</tr></thead><tbody>");
    for part in parts {
        let of_part: Vec<_> = resources.iter().filter(|resource| resource.part == part).collect();
        let _ = write!(out, "<tr><th>{}</th><td class=\"wide\">{}</td>", escape(part), of_part.len());
        for layer in &layers {
            let here = of_part.iter().filter(|resource| Layer::of(&resource.id) == *layer);
            let states: Vec<State> = here.map(|resource| resource.state).collect();
            let _ = write!(out, "<td>{}</td>", matrix_cell(&states));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div></section>\n");
}

const fn on(layer: Layer) -> &'static str {
    match layer {
        Layer::Disk => "On disk",
        Layer::Process => "Running",
        Layer::Api => "In the API",
    }
}

fn matrix_cell(states: &[State]) -> String {
    let Some(worst) = states.iter().max() else { return String::new() };
    let well = states.iter().filter(|state| **state == State::InSync).count();
    let mut cell = if well > 0 { pill("ok", &format!("{well} ok")) } else { String::new() };
    if *worst != State::InSync {
        let count = states.iter().filter(|state| *state == worst).count();
        let _ = write!(cell, " {}", pill(worst.class(), &format!("{count} {}", worst.word())));
        let rest = states.len() - well - count;
        if rest > 0 {
            let _ = write!(cell, " {}", pill("none", &format!("{rest} more")));
        }
    }
    cell
}

fn components(out: &mut String, view: &View<'_>) {
    if view.status.components.is_empty() {
        return;
    }
    heading(out, "Components", &seen(view));
    out.push_str("<div class=\"scroll\"><table><thead><tr><th>Component</th><th>State</th><th>For</th><th class=\"wide\">Image</th><th>What is seen</th></tr></thead><tbody>");
    for component in &view.status.components {
        let (class, word) = match component.health {
            Health::Healthy => ("ok", "healthy"),
            Health::Unhealthy => ("bad", "unhealthy"),
            Health::Unknown => ("none", "unknown"),
        };
        let _ = write!(
            out,
            "<tr><th>{}</th><td class=\"short\">{}</td><td class=\"short\">{}</td><td class=\"wide\"><code>{}</code></td><td>{}</td></tr>",
            escape(&component.name),
            pill(class, word),
            length(view.now.since(component.since)),
            escape(component.image.as_deref().unwrap_or_default()),
            escape(&component.message),
        );
    }
    out.push_str("</tbody></table></div>");
    if let Some(reachable) = view.status.api_reachable {
        let _ = write!(
            out,
            "<p class=\"age\">The API server {}.</p>",
            if reachable { "answers" } else { "does not answer" }
        );
    }
    out.push_str("</section>\n");
}

fn certificates(out: &mut String, view: &View<'_>) {
    if view.status.certificates.is_empty() {
        return;
    }
    heading(out, "Certificates", &seen(view));
    out.push_str("<div class=\"scroll\"><table><thead><tr><th>Certificate</th><th>Life</th><th>Ends</th><th>Renewed</th><th class=\"wide\">Signed by</th><th>State</th></tr></thead><tbody>");
    for certificate in &view.status.certificates {
        let ends = certificate.expires.map(|end| when(view.now, end)).unwrap_or_default();
        let renewed = match (certificate.renews, certificate.externally_managed, &certificate.authority) {
            (Some(renews), ..) => when(view.now, renews),
            (None, true, Some(_)) => "by hand".to_owned(),
            _ => String::new(),
        };
        let (class, word) = standing(certificate, view.now);
        let _ = write!(
            out,
            "<tr><th>{}</th><td>{}</td><td class=\"short\">{ends}</td><td class=\"short\">{renewed}</td><td class=\"wide\">{}</td><td>{}</td></tr>",
            escape(&certificate.name),
            life(certificate, view.now, class),
            escape(certificate.authority.as_deref().unwrap_or("itself")),
            pill(class, &word),
        );
    }
    out.push_str("</tbody></table></div></section>\n");
}

/// A day, and how far away it is.
fn when(now: Moment, then: Moment) -> String {
    let far = if then > now { format!("in {}", length(then.since(now))) } else { ago(now, then) };
    format!("{} <span class=\"age\">{far}</span>", day(then))
}

fn standing(certificate: &Certificate, now: Moment) -> (&'static str, String) {
    if certificate.expires.is_some_and(|end| now >= end) {
        return ("bad", "expired".to_owned());
    }
    let class = match certificate.state.as_str() {
        "valid" => "ok",
        "due" => "warn",
        _ => "bad",
    };
    (class, certificate.state.clone())
}

/// How much of a certificate's life is over, and when it is renewed.
fn life(certificate: &Certificate, now: Moment, class: &str) -> String {
    let (Some(begins), Some(expires)) = (certificate.begins, certificate.expires) else { return String::new() };
    let whole = expires.since(begins).max(1);
    let part = |at: Moment| at.since(begins).min(whole).saturating_mul(100) / whole;
    let mark = certificate.renews.map(|renews| {
        format!(
            "<rect class=\"mark\" x=\"{}\" width=\"1\" height=\"8\"><title>renewed here</title></rect>",
            part(renews)
        )
    });
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{0} % over\"><rect class=\"all\" width=\"100\" height=\"8\"/>\
         <rect class=\"{class}\" width=\"{0}\" height=\"8\"/>{1}</svg>",
        part(now),
        mark.unwrap_or_default(),
    )
}

fn configuration(out: &mut String, view: &View<'_>) {
    let (status, now) = (view.status, view.now);
    heading(out, "Configuration", "");
    let Some(configuration) = &status.configuration else {
        out.push_str("<p>There is none yet.</p></section>\n");
        return;
    };
    let mut rows = vec![
        (
            "In force",
            format!(
                "{} <span class=\"age\">for {}</span>",
                configuration.since,
                length(now.since(configuration.since))
            ),
        ),
        ("From", format!("<code>{}</code>", escape(&configuration.source))),
        ("SHA-256", format!("<code>{}</code>", escape(&configuration.hash))),
    ];
    if let Some(revision) = &configuration.revision {
        rows.push(("Revision", format!("<code>{}</code>", escape(revision))));
    }
    rows.push(("Kubernetes", escape(&status.kubernetes_version)));
    let drift = &status.drift;
    let last = drift.last_repaired.as_ref().zip(drift.last_repaired_at);
    let last = last.map(|(what, at)| format!("; the last <code>{}</code> {}", escape(what), ago(now, at)));
    rows.push(("Drift", format!("{} now, {} repaired{}", drift.now, drift.repaired, last.unwrap_or_default())));
    out.push_str("<dl class=\"card\">");
    for (term, text) in rows {
        let _ = write!(out, "<dt>{term}</dt><dd>{text}</dd>");
    }
    out.push_str("</dl></section>\n");
}

fn actions(out: &mut String, view: &View<'_>) {
    heading(out, "Last actions", "");
    if view.status.actions.is_empty() {
        out.push_str("<p>Nothing was changed yet.</p></section>\n");
        return;
    }
    out.push_str("<div class=\"scroll\"><table><thead><tr><th>When</th><th>What</th><th>Resource</th><th>Why</th><th class=\"wide\">Detail</th></tr></thead><tbody>");
    for action in &view.status.actions {
        let more = if action.more > 0 { format!(" and {} more", action.more) } else { String::new() };
        let class = if action.what == "failed" { "bad" } else { "none" };
        let _ = write!(
            out,
            "<tr><td class=\"short\"><span title=\"{}\">{}</span></td><td>{}</td><td><code>{}</code>{more}</td><td>{}</td><td class=\"wide\">{}</td></tr>",
            action.at,
            ago(view.now, action.at),
            pill(class, &action.what),
            escape(&action.resource),
            escape(&action.cause),
            escape(&action.detail),
        );
    }
    out.push_str("</tbody></table></div></section>\n");
}

fn map(out: &mut String, view: &View<'_>) {
    if view.status.resources.is_empty() {
        return;
    }
    heading(out, "What needs what", &seen(view));
    out.push_str(
        "<p class=\"age\">A box stands below those that it needs; each square is a resource.</p><div class=\"scroll\">",
    );
    out.push_str(&drawing::drawing(&view.status.resources));
    out.push_str("</div><div class=\"key\">");
    for state in State::ALL {
        let count = view.status.resources.iter().filter(|resource| resource.state == state).count();
        if count > 0 {
            out.push_str(&pill(state.class(), &format!("{count} {}", state.word())));
        }
    }
    out.push_str("</div></section>\n");
}

fn footer(out: &mut String, status: &Status) {
    let program = &status.program;
    let took = status.last_pass.as_ref().map(|pass| format!(", last pass {}", seconds(pass.milliseconds)));
    let _ = writeln!(
        out,
        "<footer>planekeeper {}, process {}, since {}{}{}. \
         <a href=\"/statusz\">text</a> · <a href=\"/api/v1/status\">JSON</a> · <a href=\"/metrics\">metrics</a> · \
         <a href=\"/readyz?verbose\">readyz</a> · <a href=\"/livez?verbose\">livez</a></footer>",
        escape(&program.version),
        program.process,
        program.started_at,
        took.unwrap_or_default(),
        status
            .configuration
            .as_ref()
            .map(|one| format!(", configuration {}", escape(short(&one.hash))))
            .unwrap_or_default(),
    );
}
