//! The status over HTTP, on this host only: the page, `/statusz`, `/livez`, `/readyz`, `/metrics`, `/api/v1/status`.
//!
//! It only reads: GET and HEAD, no body, no credential. It listens on the loopback interface alone and answers to no other name of it, so that
//! no web page leads a browser on this host to it under a name of its own (DNS rebinding).

mod listener;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode, header};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::status::verdict::{Presence, View};
use crate::status::{Moment, Status, health, json, metrics, page, text};
use listener::Bounded;

/// What is told of, as it is now.
pub struct Board {
    shown: Mutex<Shown>,
    /// Seconds since 1970.
    now: fn() -> i64,
}

#[derive(Clone, Default)]
struct Shown {
    status: Arc<Status>,
    /// Since when a pass runs.
    working: Option<Moment>,
}

impl Board {
    /// A board with a status on it.
    #[must_use]
    pub fn new(status: Status, now: fn() -> i64) -> Self {
        Self { shown: Mutex::new(Shown { status: Arc::new(status), working: None }), now }
    }

    /// A pass begins.
    pub fn begin(&self) {
        self.lock().working = Some(Moment((self.now)()));
    }

    /// A status in the place of the one before; no pass runs any more.
    pub fn set(&self, status: Status) {
        *self.lock() = Shown { status: Arc::new(status), working: None };
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.lock().status)
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server, until it is dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves a board.
///
/// # Errors
/// The address is not of this host alone, or nobody can listen there.
pub fn serve(address: SocketAddr, board: Arc<Board>, runtime: &Handle) -> io::Result<Server> {
    if !address.ip().is_loopback() {
        return Err(io::Error::other(format!("{address} is not on the loopback interface")));
    }
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let entered = runtime.enter();
    let listener = Bounded::new(tokio::net::TcpListener::from_std(listener)?);
    drop(entered);
    let router = Router::new().fallback(handle).with_state(board);
    let task = runtime.spawn(async move {
        // It ends with the process: there is nothing that a connection could lose.
        let _ = axum::serve(listener, router).await;
    });
    Ok(Server { address, task })
}

async fn handle(State(board): State<Arc<Board>>, request: Request) -> Response<Body> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let asked = Asked { method: request.method(), host, path: request.uri().path(), query: request.uri().query() };
    let answer = answer(&asked, &board);
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.code;
    let headers = response.headers_mut();
    let policy = page::security_policy();
    for (name, value) in [
        (header::CONTENT_TYPE, answer.kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
    ] {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    if answer.code == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// A request, as far as it matters.
struct Asked<'a> {
    method: &'a Method,
    host: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

struct Answer {
    code: StatusCode,
    kind: &'static str,
    body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";

fn answer(asked: &Asked<'_>, board: &Board) -> Answer {
    let refuse = |code, why: &str| Answer { code, kind: TEXT, body: format!("{why}\n") };
    if !asked.host.is_some_and(is_this_host) {
        return refuse(StatusCode::MISDIRECTED_REQUEST, "ask for localhost");
    }
    if !matches!(*asked.method, Method::GET | Method::HEAD) {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "there is nothing to change here");
    }
    let shown = board.lock().clone();
    let view = View { status: &shown.status, now: Moment((board.now)()), presence: Presence::Watching(shown.working) };
    let well = |kind, body| Answer { code: StatusCode::OK, kind, body };
    let verbose =
        asked.query.is_some_and(|query| query.split('&').any(|word| word.split('=').next() == Some("verbose")));
    let checked = |endpoint, checks: &[health::Check]| {
        let code = if health::passed(checks) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Answer { code, kind: TEXT, body: health::text(endpoint, checks, verbose) }
    };
    match asked.path {
        "/" => well("text/html; charset=utf-8", page::page(&view)),
        "/statusz" => well(TEXT, text::text(&view)),
        "/api/v1/status" => well("application/json", format!("{:#}\n", json::told(&view))),
        "/metrics" => well(metrics::CONTENT_TYPE, metrics::metrics(&view)),
        "/livez" => checked("livez", &health::live(&view)),
        "/readyz" => checked("readyz", &health::ready(&view)),
        _ => refuse(StatusCode::NOT_FOUND, "there are /, /statusz, /livez, /readyz, /metrics and /api/v1/status"),
    }
}

/// A name that leads to this host from itself and from nowhere else.
fn is_this_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
