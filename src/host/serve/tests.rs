use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::host::connections::Connections;

fn board() -> Board {
    Board::new(Status { node: "cp1".into(), ..Status::default() }, || 1_795_305_600)
}

fn ask(method: &Method, host: Option<&str>, path: &str, query: Option<&str>) -> Answer {
    answer(&Asked { method, host, path, query }, &board())
}

#[test]
fn only_names_of_this_host_are_answered_to() {
    for host in ["localhost", "LOCALHOST:10264", "127.0.0.1:10264", "127.0.0.1", "[::1]:10264", "[::1]"] {
        assert_eq!(ask(&Method::GET, Some(host), "/", None).code, StatusCode::OK, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "192.0.2.10:10264", "127.0.0.1.evil.example", "", "[::2]"] {
        let answer = ask(&Method::GET, Some(host), "/", None);
        assert_eq!(answer.code, StatusCode::MISDIRECTED_REQUEST, "{host}");
        assert!(!answer.body.contains("cp1"));
    }
    assert_eq!(ask(&Method::GET, None, "/", None).code, StatusCode::MISDIRECTED_REQUEST);
}

#[test]
fn nothing_can_be_changed_and_what_is_not_there_is_said() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        assert_eq!(ask(&method, Some("localhost"), "/", None).code, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(ask(&Method::GET, Some("localhost"), "/../etc/passwd", None).code, StatusCode::NOT_FOUND);
}

#[test]
fn health_fails_with_its_reasons_and_is_short_where_all_is_well() {
    let ready = ask(&Method::GET, Some("localhost"), "/readyz", None);
    assert_eq!(ready.code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.body.contains("[-]converged failed: the host was not looked at yet\n"), "{}", ready.body);
    let live = ask(&Method::GET, Some("localhost"), "/livez", None);
    assert_eq!((live.code, live.body.as_str()), (StatusCode::OK, "ok"));
    assert!(ask(&Method::GET, Some("localhost"), "/livez", Some("verbose")).body.contains("[+]ping ok\n"));
}

#[test]
fn no_other_address_than_one_of_this_host_is_listened_on() {
    let runtime = Connections::new().unwrap();
    let refused = serve("0.0.0.0:0".parse().unwrap(), Arc::new(board()), runtime.handle());
    assert!(refused.is_err());
}

#[test]
fn a_browser_gets_the_page_with_a_policy_that_allows_nothing_else() {
    let runtime = Connections::new().unwrap();
    let server = serve("127.0.0.1:0".parse().unwrap(), Arc::new(board()), runtime.handle()).unwrap();
    let say = |request: &str| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let page = say("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'; style-src 'sha256-"), "{page}");
    assert!(page.contains("<!DOCTYPE html>"));
    let head = say("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("<!DOCTYPE"), "{head}");
    assert!(say("nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
}
