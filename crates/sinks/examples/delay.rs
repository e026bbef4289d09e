//! A way to a server that takes longer: what comes is passed on after a while, in both directions, in any amount at once
//! or in so many bytes a second.
//!
//! usage: delay MILLISECONDS PORT [BYTES_A_SECOND]
//!
//! Listens on a free port of 127.0.0.1, prints it, and passes every connection on to PORT there; an answer comes so many
//! milliseconds later than it would, half of them on the way there. All connections share the bytes of a second, which
//! are those on the way to the server.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep_until};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What is read at once.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces on their way in one direction of a connection.
const PIECES_UNDER_WAY: usize = 256;
/// What the system may hold of a connection before it is read, where bytes are counted.
const RECEIVED_BYTES: u32 = 64 << 10;

/// When the next byte may be on its way.
struct Pace {
    bytes_a_second: u32,
    next: Mutex<Instant>,
}

impl Pace {
    async fn wait_for(&self, bytes: usize) {
        let mut next = self.next.lock().await;
        *next = (*next).max(Instant::now())
            + Duration::from_secs_f64(bytes as f64 / f64::from(self.bytes_a_second));
        sleep_until(*next).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ([milliseconds, port], rate) = match &arguments[..] {
        [milliseconds, port] => ([milliseconds, port], None),
        [milliseconds, port, rate] => ([milliseconds, port], Some(rate)),
        _ => return Err("usage: delay MILLISECONDS PORT [BYTES_A_SECOND]".into()),
    };
    let one_way = Duration::from_millis(milliseconds.parse()?) / 2;
    let port: u16 = port.parse()?;
    let socket = TcpSocket::new_v4()?;
    let mut pace = None;
    if let Some(rate) = rate {
        socket.set_recv_buffer_size(RECEIVED_BYTES)?;
        let next = Mutex::new(Instant::now());
        pace = Some(Arc::new(Pace {
            bytes_a_second: rate.parse()?,
            next,
        }));
    }
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(1024)?;
    #[expect(clippy::print_stdout, reason = "whoever started it reads the port")]
    {
        println!("{}", listener.local_addr()?.port());
    }
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(pass_on(client, port, one_way, pace.clone()));
    }
}

/// Passes one connection on, until either end closes it.
async fn pass_on(
    client: TcpStream,
    port: u16,
    one_way: Duration,
    pace: Option<Arc<Pace>>,
) -> Result<(), std::io::Error> {
    let server = TcpStream::connect(("127.0.0.1", port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::spawn(one_direction(from_client, to_server, one_way, pace));
    one_direction(from_server, to_client, one_way, None).await
}

async fn one_direction(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    one_way: Duration,
    pace: Option<Arc<Pace>>,
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
            if let Some(pace) = &pace {
                pace.wait_for(read.len()).await;
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
