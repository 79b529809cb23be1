//! Requests as a browser or an access point sends them, without a library that would tidy them up.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::process::HANG;

/// Head and body of the answer to a request such as `GET /feed/`, at an address with its port.
pub fn ask(address: &str, request: &str) -> (String, Vec<u8>) {
    send(address, &format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// The answer to a POST with JSON, as the page sends it.
pub fn post(address: &str, path: &str, body: &str) -> (String, Vec<u8>) {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    send(address, &format!("{head}{body}"))
}

/// Head and body of the answer to a request as it is sent; the connection is read until it is closed.
pub fn send(address: &str, request: &str) -> (String, Vec<u8>) {
    let failed = |error: std::io::Error| -> ! { panic!("{request} from {address}: {error}") };
    let mut stream = TcpStream::connect(address).unwrap_or_else(|error| failed(error));
    stream.set_read_timeout(Some(HANG)).unwrap_or_else(|error| failed(error));
    stream.write_all(request.as_bytes()).unwrap_or_else(|error| failed(error));
    let mut answer = Vec::new();
    // A refusal may close before everything is read; what came until then counts.
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end..].to_vec())
}

/// The status code in the head of an answer.
pub fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// The address in a line of a log such as `feed http://127.0.0.1:8738/feed/`.
pub fn address_in(line: &str) -> String {
    let rest = line.split_once("http://").map(|(_, rest)| rest);
    let address = rest.and_then(|rest| rest.split('/').next());
    address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned()
}
