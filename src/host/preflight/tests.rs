use super::*;
use crate::cluster::fixture;
use crate::preflight::Status;
use crate::preflight::fake::Fake;

fn run_fake(fake: Fake, ignore: &[&str], limit: Duration) -> Report {
    let ignore: Vec<String> = ignore.iter().map(|name| (*name).to_owned()).collect();
    run_on(Box::new(fake), fixture(), &Ignore::new(&ignore), limit)
}

#[test]
fn all_checks_are_made_side_by_side_and_told_in_their_order() {
    let report = run_fake(Fake::healthy(), &["Swap", "Swapp"], ALL);
    assert!(report.passed(), "{report:#?}");
    let ids: Vec<&str> = report.outcomes.iter().map(|outcome| outcome.id.as_str()).collect();
    assert_eq!(ids[..3], [preflight::ROOT, "NumCPU", "Mem"]);
    assert_eq!(report.unknown, ["Swapp"]);
}

#[test]
fn without_root_nothing_else_is_checked_unless_that_is_to_be_ignored() {
    let user = || Fake { root: false, processors: 1, ..Fake::healthy() };
    let report = run_fake(user(), &[], ALL);
    assert_eq!(report.outcomes.len(), 1);
    assert!(report.not_permitted() && !report.passed());
    let report = run_fake(user(), &[preflight::ROOT], ALL);
    assert!(!report.not_permitted() && !report.passed());
    assert_eq!(report.with(Status::Error).map(|outcome| outcome.id.as_str()).collect::<Vec<_>>(), ["NumCPU"]);
}

#[test]
fn a_check_that_hangs_is_told_and_holds_up_no_other() {
    let fake = Fake { hangs: Some("/proc/swaps".to_owned()), ..Fake::healthy() };
    let report = run_fake(fake, &[], Duration::from_secs(1));
    let bad: Vec<_> = report.with(Status::Error).collect();
    assert_eq!(bad.len(), 1, "{bad:#?}");
    assert_eq!((bad[0].id.as_str(), bad[0].finding.found.as_str()), ("Swap", "no answer within 1 s"));
}

#[test]
fn who_listens_is_read_from_the_kernels_table() {
    let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
         0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n\
         1: 0100007F:1F91 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1\n";
    let found = listeners::sockets(table);
    let address: IpAddr = if cfg!(target_endian = "little") { [127, 0, 0, 1] } else { [1, 0, 0, 127] }.into();
    assert_eq!(found, [listeners::Socket { address, port: 8080, inode: 4711 }]);
    let table = "0: 00000000000000000000000000000000:192B 0:0 0A 0:0 0:0 0 0 0 9 1\n";
    assert_eq!(listeners::sockets(table)[0].address.to_string(), "::");
}

#[test]
fn this_process_is_found_behind_a_port_that_it_listens_on() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let local = socket.local_addr().unwrap();
    let found = listeners::Listeners::default().on(local.port()).unwrap();
    let ours = found.iter().find(|listener| listener.address == local.ip()).unwrap();
    let process = ours.process.as_ref().unwrap();
    assert_eq!(process.pid, std::process::id());
    assert!(process.program.starts_with("planekeeper"), "{process:?}");
}

#[test]
fn what_a_command_prints_is_told_and_so_is_why_it_cannot_be_run() {
    let outputs = output::Outputs::default();
    assert_eq!(outputs.of(&["echo", "Kubernetes", "v1.37.2"]).unwrap(), "Kubernetes v1.37.2\n");
    assert!(outputs.of(&["false"]).unwrap_err().contains("false failed"));
    assert!(outputs.of(&["no-such-command"]).unwrap_err().contains("cannot run no-such-command"));
    assert!(output::in_path("sh") && !output::in_path("no-such-command"));
}

#[test]
fn this_machine_answers() {
    let this = ThisMachine::new(&fixture(), Arc::default()).unwrap();
    assert!(this.processors().unwrap() >= 1);
    assert!(this.memory().unwrap() > 1 << 20);
    assert!(this.has_address("127.0.0.1".parse().unwrap()).unwrap());
    assert!(!this.has_address("192.0.2.1".parse().unwrap()).unwrap());
    assert!(this.resolve("localhost").unwrap().iter().any(IpAddr::is_loopback));
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    this.reach(socket.local_addr().unwrap()).unwrap();
    let refuses = socket.local_addr().unwrap();
    drop(socket);
    this.reach(refuses).unwrap();
    assert_eq!(this.read("/no/such/file"), Ok(None));
    assert_eq!(this.names("/no/such/folder"), Ok(None));
    assert!(this.exists("/proc").unwrap());
    assert!(this.names("/proc/version").unwrap_err().contains("/proc/version"), "a file is no folder");
}

#[test]
fn a_process_that_has_ended_is_taken_for_nobody_rather_than_for_a_stranger() {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    // It is left as it ends, without a command line, until it is waited for.
    while !fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap().contains(") Z ") {
        std::thread::yield_now();
    }
    assert!(listeners::process(child.id()).is_none());
    child.wait().unwrap();
    assert!(listeners::process(std::process::id()).is_some());
}
