//! A proxy before a server: it tells of each request before it passes it on.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Is told the first line of each request, which waits until it has ended.
pub(crate) type Hook = Arc<dyn Fn(String) -> BoxFuture<'static, ()> + Send + Sync>;

/// Takes requests without a body, until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl Proxy {
    pub(crate) async fn start(server: &str, hook: Hook) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = server.to_owned();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (server, hook) = (server.clone(), Arc::clone(&hook));
                connections.spawn(async move {
                    // A client that goes away is none of its business.
                    let _ = pass(client, &server, &hook).await;
                });
            }
        });
        Proxy {
            address,
            accepting: accepting.abort_handle(),
        }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Passes on one request, and its answer.
async fn pass(mut client: TcpStream, server: &str, hook: &Hook) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8(request).unwrap();
    let (first, rest) = request.split_once("\r\n").unwrap();
    hook(first.to_owned()).await;
    let mut server = TcpStream::connect(server).await?;
    let request = format!("{first}\r\nconnection: close\r\n{rest}");
    server.write_all(request.as_bytes()).await?;
    tokio::io::copy(&mut server, &mut client).await?;
    client.shutdown().await
}
