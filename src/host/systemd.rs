//! systemd, over D-Bus: units, jobs and enablement, as `systemctl` does them.
//!
//! What is here asks and acts; it judges nothing. Every call has a deadline. Calls block, and must not be made from a task of the
//! runtime that they run on. Each makes a connection of its own: they are rare, and none outlives a restart of systemd.

mod clock;
mod error;
mod journal;
mod listen;

use std::collections::HashMap;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::runtime::Handle;
use zbus::connection::Builder;
use zbus::export::futures_core::Stream;
use zbus::export::serde::Serialize;
use zbus::wire::DynamicDeserialize;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant};

pub use clock::ClockSeen;
pub use error::{SystemdCause, SystemdError};
pub use journal::journal;

/// The system bus. systemd's own socket, which `systemctl` uses when it is root, would need no D-Bus daemon; but what systemd sends there
/// names a sender that D-Bus allows on no bus, and zbus refuses to read it.
const BUS: &str = "/run/dbus/system_bus_socket";

/// There is this folder where systemd is process 1, and nowhere else: `sd_booted(3)`.
const BOOTED: &str = "/run/systemd/system";

/// systemd on the bus.
const NAME: &str = "org.freedesktop.systemd1";
/// The manager's object.
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
/// The manager's interface.
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// What all units have.
const UNIT: &str = "org.freedesktop.systemd1.Unit";
/// What services have besides.
const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// How long a question may take; it is a matter of milliseconds.
const ASK: Duration = Duration::from_secs(10);

/// How long reading all unit files anew may take: `systemctl` gives it this long too.
const RELOAD: Duration = Duration::from_secs(90);

/// How long a job may take. systemd bounds it by itself, by 90 s to stop and 90 s to start where a unit says nothing else; what it
/// decides at its bound should be heard.
const JOB: Duration = Duration::from_secs(200);

/// How many ends of jobs may queue up before ours is looked for. A whole boot has some hundred.
const JOBS_QUEUED: usize = 1024;

/// systemd. Nothing is connected until it is asked.
#[derive(Debug)]
pub struct Systemd {
    bus: PathBuf,
    runtime: Handle,
}

/// A service, as systemd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitSeen {
    /// `loaded`; `not-found` where there is no such unit; `masked`, `error`, `bad-setting`.
    pub load_state: String,
    /// `active`, `activating` (also between two restarts), `inactive`, `failed`, `deactivating`, `reloading`.
    pub active_state: String,
    /// Finer: `running`, `auto-restart`, `dead`, `exited`.
    pub sub_state: String,
    /// `enabled`, `disabled`, `static`, `masked`; empty where there is no unit file.
    pub unit_file_state: String,
    /// How the service ended last: `success`, `exit-code`, `signal`, `start-limit-hit`, `timeout`.
    pub result: String,
    /// Its main process; none where it does not run.
    pub main_pid: Option<u32>,
    /// When its main process was started last, in microseconds since 1970; none where it never was.
    pub main_started_at: Option<u64>,
    /// How its main process ended last, as `waitid` has it (1 exited, 2 killed); 0 where it has not.
    pub main_code: i32,
    /// Its exit code or signal.
    pub main_status: i32,
    /// How often systemd restarted it by itself. A restart by hand between two of them does not begin the count anew.
    pub restarts: u32,
    /// Its files have changed since systemd read them: [`Systemd::reload`] is needed before they count.
    pub needs_reload: bool,
}

/// A connection.
struct Link {
    connection: Connection,
    socket: String,
}

/// The names that a unit file is reachable by, as systemd tells of enabling: kind, link, file.
type Links = Vec<(String, String, String)>;

impl Systemd {
    /// The systemd of this host.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self::at(Path::new(BUS), runtime)
    }

    /// The systemd on the bus with this socket.
    #[must_use]
    pub fn at(bus: &Path, runtime: Handle) -> Self {
        Self { bus: bus.to_owned(), runtime }
    }

    /// A service unit, by its whole name (`kubelet.service`). One that does not exist is `not-found`.
    ///
    /// # Errors
    /// systemd is absent, cannot be reached, or refused.
    pub fn unit(&self, name: &str) -> Result<UnitSeen, SystemdError> {
        self.within(("look at", name), ASK, async |link| {
            let path: OwnedObjectPath = link.ask("LoadUnit", &name).await?;
            let unit = link.properties(NAME, &path, UNIT).await?;
            let service = link.properties(NAME, &path, SERVICE).await?;
            Ok(UnitSeen::new(&Properties(unit), &Properties(service)))
        })
    }

    /// Starts a unit, and waits until its job has ended. One that runs is left alone.
    ///
    /// # Errors
    /// systemd is absent, cannot be reached, or refused; the job failed, or had not ended after 200 s.
    pub fn start(&self, name: &str) -> Result<(), SystemdError> {
        self.job("start", "StartUnit", name)
    }

    /// Stops a unit, and waits until its job has ended. One that does not run is left alone.
    ///
    /// # Errors
    /// systemd is absent, cannot be reached, or refused; the job failed, or had not ended after 200 s.
    pub fn stop(&self, name: &str) -> Result<(), SystemdError> {
        self.job("stop", "StopUnit", name)
    }

    /// Stops a unit and starts it, and waits until its job has ended. One that does not run is started.
    ///
    /// # Errors
    /// systemd is absent, cannot be reached, or refused; the job failed, or had not ended after 200 s.
    pub fn restart(&self, name: &str) -> Result<(), SystemdError> {
        self.job("restart", "RestartUnit", name)
    }

    /// Has systemd read all unit files anew. kubeadm does so before each start of the kubelet.
    ///
    /// # Errors
    /// systemd is absent, cannot be reached, or refused.
    pub fn reload(&self) -> Result<(), SystemdError> {
        self.within(("reload", "systemd's units"), RELOAD, async |link| link.ask("Reload", &()).await)
    }

    /// Has a unit start at boot, and systemd read that, as `systemctl enable` does. It is not started. A unit that says nothing of how
    /// to enable it stays as it is: its [`UnitSeen::unit_file_state`] is `static`.
    ///
    /// # Errors
    /// systemd is absent, cannot be reached, or refused (there is no such unit, or it is masked).
    pub fn enable(&self, name: &str) -> Result<(), SystemdError> {
        self.within(("enable", name), RELOAD, async |link| {
            let (runtime, force) = (false, false);
            let _: (bool, Links) = link.ask("EnableUnitFiles", &([name].as_slice(), runtime, force)).await?;
            link.ask("Reload", &()).await
        })
    }

    /// Has a unit no longer start at boot, and systemd read that, as `systemctl disable` does. It is not stopped.
    ///
    /// # Errors
    /// systemd is absent, cannot be reached, or refused.
    pub fn disable(&self, name: &str) -> Result<(), SystemdError> {
        self.within(("disable", name), RELOAD, async |link| {
            let runtime = false;
            let _: Links = link.ask("DisableUnitFiles", &([name].as_slice(), runtime)).await?;
            link.ask("Reload", &()).await
        })
    }

    /// A job, to its end.
    fn job(&self, operation: &'static str, method: &'static str, name: &str) -> Result<(), SystemdError> {
        self.within((operation, name), JOB, async |link| {
            // Listens first: a short job has ended before its path is known.
            let mut ends = link.job_ends().await?;
            // `replace`: as systemctl, in the place of a contrary job that waits.
            let job: OwnedObjectPath = link.ask(method, &(name, "replace")).await?;
            loop {
                let next = poll_fn(|context| Pin::new(&mut ends).poll_next(context)).await;
                let Some(message) = next else {
                    let reason = "it broke off before the job ended".to_owned();
                    return Err(SystemdCause::Unreachable { socket: link.socket.clone(), reason });
                };
                let message = message.map_err(|error| link.cause(&error))?;
                let (_, ended, _, result): (u32, OwnedObjectPath, String, String) =
                    message.body().deserialize().map_err(|error| link.cause(&error))?;
                if ended != job {
                    continue;
                }
                let unit = name.to_owned();
                return if result == "done" { Ok(()) } else { Err(SystemdCause::Job { unit, result }) };
            }
        })
    }

    /// Connects and asks, in time.
    fn within<T>(
        &self,
        (operation, what): (&'static str, &str),
        deadline: Duration,
        ask: impl AsyncFnOnce(&Link) -> Result<T, SystemdCause>,
    ) -> Result<T, SystemdError> {
        let answer = self.runtime.block_on(async {
            tokio::time::timeout(deadline, async { ask(&Link::new(&self.bus).await?).await }).await
        });
        let answer = answer.unwrap_or(Err(SystemdCause::Late { deadline }));
        answer.map_err(|cause| SystemdError { operation, what: what.to_owned(), cause })
    }
}

impl Link {
    /// Connects to a bus.
    async fn new(bus: &Path) -> Result<Self, SystemdCause> {
        let socket = bus.display().to_string();
        let stream = UnixStream::connect(bus).await.and_then(UnixStream::into_std);
        let stream = stream.map_err(|error| match error.kind() {
            ErrorKind::NotFound if Path::new(BOOTED).exists() => SystemdCause::NoBus { socket: socket.clone() },
            ErrorKind::NotFound => SystemdCause::Absent,
            _ => SystemdCause::Unreachable { socket: socket.clone(), reason: error.to_string() },
        })?;
        let connection = Builder::unix_stream(stream).build().await;
        match connection {
            Ok(connection) => Ok(Self { connection, socket }),
            Err(error) => Err(SystemdCause::new(&socket, &error)),
        }
    }

    /// A cause that came from this connection.
    fn cause(&self, error: &zbus::Error) -> SystemdCause {
        SystemdCause::new(&self.socket, error)
    }

    /// Asks the manager.
    async fn ask<Q, A>(&self, method: &'static str, request: &Q) -> Result<A, SystemdCause>
    where
        Q: Serialize + zbus::DynamicType,
        A: for<'a> DynamicDeserialize<'a>,
    {
        answer(self.connection.call_method(Some(NAME), MANAGER_PATH, Some(MANAGER), method, request).await)
            .map_err(|error| self.cause(&error))
    }

    /// All properties of an interface of an object, seen at one moment.
    async fn properties(
        &self,
        name: &'static str,
        path: &OwnedObjectPath,
        interface: &str,
    ) -> Result<HashMap<String, OwnedVariant>, SystemdCause> {
        let properties = Some("org.freedesktop.DBus.Properties");
        answer(self.connection.call_method(Some(name), path, properties, "GetAll", &interface).await)
            .map_err(|error| self.cause(&error))
    }

    /// The ends of jobs from now on.
    async fn job_ends(&self) -> Result<MessageStream, SystemdCause> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(NAME)
            .path(MANAGER_PATH)
            .interface(MANAGER)
            .member("JobRemoved")
            .build();
        let ends =
            async { MessageStream::for_match_rule(rule?, &self.connection, NonZeroUsize::new(JOBS_QUEUED)).await };
        let ends = ends.await.map_err(|error| self.cause(&error))?;
        // systemd tells them only while somebody wants them.
        self.ask::<_, ()>("Subscribe", &()).await?;
        Ok(ends)
    }
}

/// What a message holds.
fn answer<A: for<'a> DynamicDeserialize<'a>>(message: zbus::Result<Message>) -> zbus::Result<A> {
    message?.body().deserialize()
}

/// Properties of an object by name. One that this systemd does not have is empty.
struct Properties(HashMap<String, OwnedVariant>);

impl Properties {
    fn get<'a, T: TryFrom<&'a OwnedVariant> + Default>(&'a self, name: &str) -> T {
        self.0.get(name).and_then(|value| T::try_from(value).ok()).unwrap_or_default()
    }

    fn text(&self, name: &str) -> String {
        self.get::<&str>(name).to_owned()
    }
}

impl UnitSeen {
    fn new(unit: &Properties, service: &Properties) -> Self {
        Self {
            load_state: unit.text("LoadState"),
            active_state: unit.text("ActiveState"),
            sub_state: unit.text("SubState"),
            unit_file_state: unit.text("UnitFileState"),
            result: service.text("Result"),
            main_pid: Some(service.get("MainPID")).filter(|pid| *pid != 0),
            main_started_at: Some(service.get("ExecMainStartTimestamp")).filter(|at| *at != 0),
            main_code: service.get("ExecMainCode"),
            main_status: service.get("ExecMainStatus"),
            restarts: service.get("NRestarts"),
            needs_reload: unit.get("NeedDaemonReload"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::connections::Connections;
    use std::os::unix::net::UnixListener;

    fn runtime() -> Connections {
        Connections::new().unwrap()
    }

    #[test]
    fn a_host_without_systemd_is_told_so_and_what_to_do() {
        if Path::new(BOOTED).exists() {
            return; // systemd runs this machine
        }
        let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
        let systemd = Systemd::at(&folder.path().join("none"), runtime.handle().clone());
        let error = systemd.restart("kubelet.service").unwrap_err();
        assert!(error.is_absent());
        assert_eq!(error.to_string(), "cannot restart kubelet.service");
        assert!(error.cause.to_string().contains("start it by your init system"), "{}", error.cause);
    }

    #[test]
    fn a_socket_that_refuses_is_not_taken_for_a_host_without_systemd() {
        let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
        let path = folder.path().join("bus");
        drop(UnixListener::bind(&path).unwrap()); // the socket's file stays
        let error = Systemd::at(&path, runtime.handle().clone()).unit("kubelet.service").unwrap_err();
        assert!(!error.is_absent());
        assert!(matches!(error.cause, SystemdCause::Unreachable { .. }), "{error:?}");
    }

    #[test]
    fn properties_that_a_systemd_lacks_are_empty_and_zero_is_no_process_and_no_time() {
        let none = || Properties(HashMap::new());
        let seen = UnitSeen::new(&none(), &none());
        assert_eq!((seen.active_state.as_str(), seen.main_pid, seen.main_started_at), ("", None, None));
        let property = |name: &str, value: zbus::Variant<'static>| (name.to_owned(), value.try_into().unwrap());
        let unit =
            HashMap::from([property("ActiveState", "activating".into()), property("NeedDaemonReload", true.into())]);
        let service = HashMap::from([
            property("MainPID", 17_u32.into()),
            property("ExecMainStartTimestamp", 1_795_377_131_942_756_u64.into()),
            property("ExecMainStatus", 255_i32.into()),
            property("NRestarts", 4_u32.into()),
        ]);
        let seen = UnitSeen::new(&Properties(unit), &Properties(service));
        assert_eq!((seen.active_state.as_str(), seen.needs_reload), ("activating", true));
        assert_eq!((seen.main_pid, seen.main_started_at), (Some(17), Some(1_795_377_131_942_756)));
        assert_eq!((seen.main_status, seen.restarts), (255, 4));
    }
}
