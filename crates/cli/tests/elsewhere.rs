//! Servers that send whoever asks them to somebody else, who is asked nothing.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use shared::Scratch;

/// Answers whoever asks, and counts them.
fn answering(answer: impl Fn() -> String + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            // Who asks may go away before it is answered.
            let Ok(mut client) = client else { continue };
            let _ = client.read(&mut [0; 16 << 10]);
            let _ = client.write_all(answer().as_bytes());
        }
    });
    (address, asked)
}

#[test]
fn no_redirection_is_followed() {
    let (elsewhere, met) =
        answering(|| "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".into());
    for status in [301, 302, 307, 308] {
        let (pointing, asked) = answering(move || {
            format!(
                "HTTP/1.1 {status} Elsewhere\r\nlocation: http://{elsewhere}/bucket/key\r\n\
                 content-length: 0\r\nconnection: close\r\n\r\n"
            )
        });
        let scratch = Scratch::new();
        scratch.write("in.jsonl", "{}\n");
        let hooked = format!(
            "[source]\npath = \"in.jsonl\"\n[destinations.a]\npath = \"a\"\n\
             [hooks.chat]\nurl = \"http://{pointing}/\"\n[hooks.monitor]\nping = \"http://{pointing}/\"\n"
        );
        scratch.write("c.toml", hooked);
        let database = format!("http://key:secret@{pointing}/bucket?forcePathStyle=true");
        let bucket = format!("far=http://key:secret@{pointing}/bucket/copies");
        for (code, arguments) in [
            (0, &["backup", "--config", "c.toml"][..]),
            (1, &["backup", "--connection", &database, "--to", "b"]),
            (1, &["backup", "--from", "in.jsonl", "--to", &bucket]),
            (1, &["list", "--at", &bucket]),
        ] {
            let before = asked.load(Ordering::SeqCst);
            scratch.teeline(code, arguments);
            let after = asked.load(Ordering::SeqCst);
            assert!(after > before, "{arguments:?}: it was asked");
        }
    }
    assert_eq!(met.load(Ordering::SeqCst), 0, "nobody else was asked");
}
