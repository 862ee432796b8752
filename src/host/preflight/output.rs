//! Commands: where they are, and what they print.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a command may take. `kubelet --version` takes a tenth of a second; on a host that boots, some.
const LIMIT: Duration = Duration::from_secs(10);

/// The most that is read of what a command prints, in bytes.
const OUTPUT_MAX: u64 = 4 << 20;

/// When it is looked first whether a command that has said everything has ended, which takes it next to no time; then each time after
/// twice as long.
const POLL: Duration = Duration::from_micros(50);

/// Where commands are looked for without a `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

type Said = Arc<OnceLock<Result<String, String>>>;

/// What commands print. Each is run once.
#[derive(Default)]
pub(super) struct Outputs(Mutex<BTreeMap<String, Said>>);

impl Outputs {
    /// What a command prints.
    pub(super) fn of(&self, words: &[&str]) -> Result<String, String> {
        let said = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(words.join(" ")).or_default())
        };
        said.get_or_init(|| output(words)).clone()
    }
}

/// Whether a command is in `PATH`.
pub(super) fn in_path(name: &str) -> bool {
    let folders = std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
    let runs =
        |path: &Path| fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&folders).any(|folder| runs(&folder.join(name)))
}

fn output(words: &[&str]) -> Result<String, String> {
    let said = words.join(" ");
    let Some((program, arguments)) = words.split_first() else { return Ok(String::new()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A program written in Go, as the kubelet is, collects no garbage in the short time that it takes to say something.
    command.env("GOGC", "off");
    let mut child = command.spawn().map_err(|error| format!("cannot run {said}: {error}"))?;
    let Some(stdout) = child.stdout.take() else { return Err(format!("{said} has no output")) };
    let end = Instant::now() + LIMIT;
    let text = super::within(LIMIT, move || {
        let mut bytes = Vec::new();
        stdout.take(OUTPUT_MAX).read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
    });
    let ended = if text.is_ok() { ends(&mut child, end) } else { None };
    let Some(success) = ended else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{said} has not ended within {} s", LIMIT.as_secs()));
    };
    if !success {
        return Err(format!("{said} failed"));
    }
    text?.map_err(|error| format!("cannot read what {said} prints: {error}"))
}

/// Whether it ended well; `None` where it has not ended in time.
fn ends(child: &mut Child, end: Instant) -> Option<bool> {
    let mut wait = POLL;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if Instant::now() < end => std::thread::sleep(wait),
            _ => return None,
        }
        wait *= 2;
    }
}
