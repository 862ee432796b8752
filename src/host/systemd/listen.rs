//! Being told when a unit changes.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::select;
use zbus::{MatchRule, MessageStream, OwnedObjectPath};

use super::{Link, MANAGER, MANAGER_PATH, NAME, Systemd, SystemdCause};

/// How long to wait before another try where systemd or the bus is away.
const AGAIN: Duration = Duration::from_secs(5);

/// How many changes may queue up: each means the same.
const QUEUED: usize = 64;

impl Systemd {
    /// Calls `changed` whenever a unit may have changed: it has started, stopped or been enabled, or systemd could not be heard for a while.
    /// It goes on for as long as the runtime.
    pub fn listen(&self, name: &'static str, changed: impl Fn() + Send + 'static) {
        let bus = self.bus.clone();
        self.runtime.spawn(async move {
            loop {
                if let Ok(link) = Link::new(&bus).await
                    && let Ok(mut signals) = link.changes(name).await
                {
                    changed();
                    while let Some(Ok(_)) = signals.next().await {
                        changed();
                    }
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

impl Link {
    /// What systemd says of a unit from now on.
    async fn changes(
        &self,
        name: &str,
    ) -> Result<impl futures::Stream<Item = zbus::Result<zbus::Message>> + use<>, SystemdCause> {
        let unit: OwnedObjectPath = self.ask("LoadUnit", &name).await?;
        let signal = || MatchRule::builder().msg_type(zbus::message::Type::Signal).sender(NAME);
        let state =
            signal().path(&unit).interface("org.freedesktop.DBus.Properties").member("PropertiesChanged").build();
        let files = signal().path(MANAGER_PATH).interface(MANAGER).member("UnitFilesChanged").build();
        let streams = async {
            let queued = NonZeroUsize::new(QUEUED);
            let state = MessageStream::for_match_rule(state?, &self.connection, queued).await?;
            let files = MessageStream::for_match_rule(files?, &self.connection, queued).await?;
            Ok(select(state, files))
        };
        let streams = streams.await.map_err(|error: zbus::Error| self.cause(&error))?;
        self.ask::<_, ()>("Subscribe", &()).await?;
        Ok(streams)
    }
}
