//! Who listens on TCP ports: the kernel's table of sockets, and the processes that hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::net::TcpSocket;

use crate::preflight::machine::{Listener, Process};

/// `TCP_LISTEN` in the kernel's table.
const LISTEN: &str = "0A";

/// How often it is looked whether a process that has no files any more has ended, and how long that takes each time: a second in all.
const ENDING: u32 = 20;
/// See [`ENDING`].
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The sockets that listen, read when they are first asked for.
#[derive(Default)]
pub(super) struct Listeners {
    sockets: OnceLock<Result<Vec<Socket>, String>>,
    holders: OnceLock<BTreeMap<u64, Process>>,
}

impl Listeners {
    /// Who listens on a port. Processes are looked at only where somebody does: a host has many, and each many files open.
    ///
    /// # Errors
    /// The kernel's table cannot be read. A process that cannot be looked at, or is gone, is left out.
    pub(super) fn on(&self, port: u16) -> Result<Vec<Listener>, String> {
        if is_free(port) {
            return Ok(Vec::new());
        }
        let sockets = self.sockets.get_or_init(read_all).as_ref().map_err(Clone::clone)?;
        let mut found = listeners(port, sockets, &|sockets| self.holders.get_or_init(|| holders(sockets)).clone());
        for _ in 0..ENDING {
            if found.iter().all(|listener| listener.process.is_some()) {
                break;
            }
            // A process that ends has no open files to be found by any more, and its sockets live as long as the last of its threads. A
            // component that the kubelet is just ending is no stranger, and another may share the port with it.
            std::thread::sleep(LOOK_AGAIN);
            if is_free(port) {
                return Ok(Vec::new());
            }
            found = listeners(port, &read_all()?, &holders);
        }
        Ok(found)
    }
}

fn listeners(port: u16, sockets: &[Socket], holders: &dyn Fn(&[Socket]) -> BTreeMap<u64, Process>) -> Vec<Listener> {
    let mine: Vec<&Socket> = sockets.iter().filter(|socket| socket.port == port).collect();
    let holders = if mine.is_empty() { BTreeMap::new() } else { holders(sockets) };
    let listener =
        |socket: &&Socket| Listener { address: socket.address, port, process: holders.get(&socket.inode).cloned() };
    mine.iter().map(listener).collect()
}

/// Nothing listens on a port at any address. The kernel can say so by itself; its tables cost a walk through its room for connections, which
/// is some 25 ms where there is much memory. The address is bound and not listened on: whoever comes meanwhile is not kept from it.
pub(in crate::host) fn is_free(port: u16) -> bool {
    let bind = |socket: io::Result<TcpSocket>, address: IpAddr| {
        let socket = socket?;
        socket.set_reuseaddr(true)?;
        socket.bind((address, port).into())
    };
    let without_ipv6 = |error: &io::Error| matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported);
    bind(TcpSocket::new_v4(), Ipv4Addr::UNSPECIFIED.into()).is_ok()
        && match bind(TcpSocket::new_v6(), Ipv6Addr::UNSPECIFIED.into()) {
            Ok(()) => true,
            Err(error) => without_ipv6(&error),
        }
}

fn read_all() -> Result<Vec<Socket>, String> {
    let mut found = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        match fs::read_to_string(table) {
            Ok(text) => found.extend(sockets(&text)),
            // A kernel without IPv6 has no table for it.
            Err(_) if table.ends_with('6') => {}
            Err(error) => return Err(format!("cannot read {table}: {error}")),
        }
    }
    Ok(found)
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

/// The processes that hold sockets, by the sockets' inodes. systemd holds those that it starts services by: the service counts.
fn holders(sockets: &[Socket]) -> BTreeMap<u64, Process> {
    let wanted: BTreeSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
    let mut holders: BTreeMap<u64, Process> = BTreeMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return holders };
    for pid in entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()) {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for file in files.filter_map(Result::ok) {
            let target = fs::read_link(file.path()).unwrap_or_default();
            let inode =
                target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            let Some(inode) = inode.filter(|inode| wanted.contains(inode)) else { continue };
            if holders.get(&inode).is_none_or(|holder| holder.pid == 1)
                && let Some(process) = process(pid)
            {
                holders.insert(inode, process);
            }
        }
    }
    holders
}

/// A process; `None` where it ends, which takes its command line first, before its files: who it was is not known any more.
pub(super) fn process(pid: u32) -> Option<Process> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let command = read("cmdline");
    let first = text(command.split(|byte| *byte == 0).next().unwrap_or_default());
    let program = first.split(' ').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let program = program.trim_end_matches(':').to_owned();
    (!program.is_empty()).then(|| Process { pid, program, cgroup: text(&read("cgroup")) })
}
