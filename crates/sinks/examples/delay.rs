//! A way to a server that takes longer: what comes is passed on after a while, in both directions, in any amount at once.
//!
//! usage: delay MILLISECONDS PORT
//!
//! Listens on a free port of 127.0.0.1, prints it, and passes every connection on to PORT there; an answer comes so many
//! milliseconds later than it would, half of them on the way there.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What is read at once.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces on their way in one direction of a connection.
const PIECES_UNDER_WAY: usize = 256;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [milliseconds, port] = &arguments[..] else {
        return Err("usage: delay MILLISECONDS PORT".into());
    };
    let one_way = Duration::from_millis(milliseconds.parse()?) / 2;
    let port: u16 = port.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    #[expect(clippy::print_stdout, reason = "whoever started it reads the port")]
    {
        println!("{}", listener.local_addr()?.port());
    }
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(pass_on(client, port, one_way));
    }
}

/// Passes one connection on, until either end closes it.
async fn pass_on(client: TcpStream, port: u16, one_way: Duration) -> Result<(), std::io::Error> {
    let server = TcpStream::connect(("127.0.0.1", port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::spawn(one_direction(from_client, to_server, one_way));
    one_direction(from_server, to_client, one_way).await
}

async fn one_direction(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    one_way: Duration,
) -> Result<(), std::io::Error> {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Bytes)>(PIECES_UNDER_WAY);
    tokio::spawn(async move {
        let mut read = BytesMut::new();
        loop {
            read.reserve(PIECE_BYTES);
            match from.read_buf(&mut read).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let due = Instant::now() + one_way;
            if sender.send((due, read.split().freeze())).await.is_err() {
                return;
            }
        }
    });
    while let Some((due, piece)) = pieces.recv().await {
        sleep_until(due).await;
        to.write_all(&piece).await?;
    }
    to.shutdown().await
}
