//! The end of a unit's journal, to say why it does not run.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::host::cri::log::plain;

/// How long `journalctl` may take: a journal of gigabytes on a slow disk takes seconds.
const DEADLINE: Duration = Duration::from_secs(5);

/// How much of its output is read.
const BYTES_MAX: u64 = 64 * 1024;

/// The last lines that a unit logged, oldest first, without time and host. Characters that would steer a terminal are replaced. At most
/// 64 KiB are read.
///
/// The journal has no interface on D-Bus, so this runs `journalctl`. It is for people to read: nothing may be decided by it.
///
/// # Errors
/// There is no `journalctl`, it failed, or it was not done within five seconds.
pub fn journal(unit: &str, lines: usize) -> io::Result<Vec<String>> {
    let unit = format!("--unit={unit}");
    let lines = format!("--lines={lines}");
    let mut command = Command::new("journalctl");
    command.args([&unit, &lines, "--output=cat", "--no-pager", "--quiet"]);
    let text = output(command, DEADLINE)?;
    Ok(String::from_utf8_lossy(&text).lines().map(plain).collect())
}

/// What a program prints, if it ends well and in time.
fn output(mut command: Command, deadline: Duration) -> io::Result<Vec<u8>> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (send, receive) = mpsc::sync_channel(1);
    if let Some(out) = child.stdout.take() {
        // Ends when the program does, at the latest with the kill below.
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = out.take(BYTES_MAX).read_to_end(&mut bytes).map(|_| bytes);
            // Nobody listens once the deadline is over.
            let _ = send.send(read);
        });
    }
    let Ok(read) = receive.recv_timeout(deadline) else {
        child.kill()?;
        child.wait()?;
        let name = command.get_program().to_string_lossy().into_owned();
        return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{name} was not done in time")));
    };
    // Its output is closed, or fills what is read of it: it has nothing more to say.
    let bytes = read?;
    if bytes.len() as u64 == BYTES_MAX {
        child.kill()?;
        child.wait()?;
        return Ok(bytes);
    }
    let status = child.wait()?;
    if status.success() { Ok(bytes) } else { Err(io::Error::other(format!("journalctl: {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_program_prints_is_read_and_its_failure_is_told() {
        assert_eq!(output(shell("echo out; echo err >&2"), DEADLINE).unwrap(), b"out\n");
        assert!(output(shell("echo out; exit 3"), DEADLINE).is_err());
        assert_eq!(output(Command::new("no-such-program"), DEADLINE).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_program_that_does_not_end_or_prints_for_ever_is_ended() {
        let late = output(shell("exec sleep 1000"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let endless = output(shell("exec cat /dev/zero"), Duration::from_secs(60)).unwrap();
        assert_eq!(endless.len() as u64, BYTES_MAX);
    }
}
