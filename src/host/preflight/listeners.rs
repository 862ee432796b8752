//! Who listens on TCP ports: the kernel's table of sockets, and the processes that hold them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::preflight::machine::{Listener, Process};

/// `TCP_LISTEN` in the kernel's table.
const LISTEN: &str = "0A";

/// All sockets that listen.
///
/// # Errors
/// The kernel's table cannot be read. A process that cannot be looked at, or is gone, is left out.
pub(super) fn read_all() -> Result<Vec<Listener>, String> {
    let mut found = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        match fs::read_to_string(table) {
            Ok(text) => found.extend(sockets(&text)),
            // A kernel without IPv6 has no table for it.
            Err(_) if table.ends_with('6') => {}
            Err(error) => return Err(format!("cannot read {table}: {error}")),
        }
    }
    let mut holders: BTreeMap<u64, Option<Process>> = found.iter().map(|socket| (socket.inode, None)).collect();
    hold(&mut holders);
    let listener = |socket: Socket| Listener {
        address: socket.address,
        port: socket.port,
        process: holders.get(&socket.inode).cloned().flatten(),
    };
    Ok(found.into_iter().map(listener).collect())
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) inode: u64,
}

/// The sockets of a table that listen.
pub(super) fn sockets(table: &str) -> Vec<Socket> {
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, LISTEN, ..] = fields[..] else { return None };
        let (address, port) = local.split_once(':')?;
        Some(Socket {
            address: address_of(address)?,
            port: u16::from_str_radix(port, 16).ok()?,
            inode: fields.get(9)?.parse().ok()?,
        })
    };
    table.lines().filter_map(socket).collect()
}

/// An address as the kernel writes it: words of four bytes in the machine's order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    if hex.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words = [word(0)?, word(8)?, word(16)?, word(24)?];
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(words.as_flattened()).for_each(|(byte, from)| *byte = *from);
    Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
}

/// Finds the processes that hold sockets. systemd holds those that it starts services by: the service counts.
fn hold(holders: &mut BTreeMap<u64, Option<Process>>) {
    let Ok(entries) = fs::read_dir("/proc") else { return };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for file in files.filter_map(Result::ok) {
            let target = fs::read_link(file.path()).unwrap_or_default();
            let inode =
                target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            let Some(holder) = inode.and_then(|inode: u64| holders.get_mut(&inode)) else { continue };
            if holder.as_ref().is_none_or(|holder| holder.pid == 1) {
                *holder = Some(process(pid));
            }
        }
    }
}

fn process(pid: u32) -> Process {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let command = read("cmdline");
    let first = text(command.split(|byte| *byte == 0).next().unwrap_or_default());
    let program = first.split(' ').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    // Kernel threads have no command line.
    let program = if program.is_empty() { text(&read("comm")) } else { program.trim_end_matches(':').to_owned() };
    Process { pid, program, cgroup: text(&read("cgroup")) }
}
