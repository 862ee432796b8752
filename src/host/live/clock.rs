//! Whether this host's clock can be right.

use std::time::UNIX_EPOCH;

use crate::calendar;
use crate::host::live::Live;
use crate::host::systemd::ClockSeen;
use crate::{origin, record, status};

/// Files were written at most so many seconds after now, by a clock that is right: it may be set by a little.
const TOLERANCE: i64 = 60;

impl Live {
    /// Why the clock may be wrong.
    pub(super) fn clock_doubt(&self) -> Option<String> {
        let written =
            [record::PATH, origin::PATH, status::PATH].iter().filter_map(|path| Some((*path, written(path)?)));
        let newest = written.max_by_key(|(_, at)| *at);
        // Where nobody keeps the clock, or nobody can be asked, that is how the host is.
        doubt((self.local.machine().now)(), self.systemd.clock().ok(), newest)
    }
}

/// When a file was written, in seconds since 1970.
fn written(path: &str) -> Option<i64> {
    let at = std::fs::metadata(path).and_then(|found| found.modified()).ok()?;
    i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// Why a clock may be wrong that says `now`.
fn doubt(now: i64, kept: Option<ClockSeen>, newest: Option<(&str, i64)>) -> Option<String> {
    let date = |at: i64| calendar::rfc3339(at).unwrap_or_else(|| at.to_string());
    if let Some((path, at)) = newest.filter(|(_, at)| now.saturating_add(TOLERANCE) < *at) {
        return Some(format!(
            "the clock says {}, and {path} was written at {}: the clock is behind; set it right",
            date(now),
            date(at)
        ));
    }
    kept.filter(|kept| kept.by_network && !kept.synchronized).map(|_| {
        "the clock is not synchronized yet (timedatectl: NTP is on, and no time server has answered); it waits for that, or for \
         `timedatectl set-ntp false` where there is no time server"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_305_600;

    #[test]
    fn a_clock_is_doubted_until_a_time_server_has_answered_where_one_is_asked() {
        let kept = |by_network, synchronized| doubt(NOW, Some(ClockSeen { by_network, synchronized }), None);
        assert!(kept(true, false).is_some_and(|why| why.contains("timedatectl")));
        assert_eq!((kept(true, true), kept(false, false), doubt(NOW, None, None)), (None, None, None));
    }

    #[test]
    fn a_clock_that_is_behind_what_was_written_is_wrong() {
        let newest = |at| doubt(NOW, None, Some(("/var/lib/planekeeper/status.json", at)));
        assert_eq!(newest(NOW + TOLERANCE), None, "it may be set by a little");
        let why = newest(NOW + 3600).unwrap();
        assert!(why.contains("status.json") && why.contains("2026-11-22T01:00:00Z"), "{why}");
    }
}
