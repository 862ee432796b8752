//! Whether the clock is kept right, as `timedatectl` tells it.

use zbus::OwnedObjectPath;

use super::{ASK, Properties, Systemd, SystemdCause, SystemdError};

/// The service on the bus, which systemd starts when it is asked and which ends again by itself.
const NAME: &str = "org.freedesktop.timedate1";
/// Its object.
const PATH: &str = "/org/freedesktop/timedate1";

/// How the clock is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSeen {
    /// A service that asks time servers is enabled.
    pub by_network: bool,
    /// The kernel was told that the clock is right.
    pub synchronized: bool,
}

impl Systemd {
    /// How the clock is kept.
    ///
    /// # Errors
    /// There is nobody who knows.
    pub fn clock(&self) -> Result<ClockSeen, SystemdError> {
        self.within(("ask for", "the clock"), ASK, async |link| {
            let path = OwnedObjectPath::try_from(PATH).map_err(|error| SystemdCause::Unreachable {
                socket: link.socket.clone(),
                reason: error.to_string(),
            })?;
            let properties = Properties(link.properties(NAME, &path, NAME).await?);
            Ok(ClockSeen { by_network: properties.get("NTP"), synchronized: properties.get("NTPSynchronized") })
        })
    }
}
