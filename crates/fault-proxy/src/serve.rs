//! One connection: a request, its fate, and its answer.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Shared;
use crate::fault::Fault;
use crate::message::{Head, Reply};

pub(crate) async fn serve(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let Some(mut head) = Head::read(&mut client).await? else {
        return Ok(());
    };
    let request_line = head.first_line().to_owned();
    (shared.watcher)(request_line.clone()).await;
    let is_head = request_line.starts_with("HEAD ");
    let length = head.content_length();
    let fault = shared.fault(&head);
    if let Some(Fault::ResetRequest(bytes)) = fault {
        read_up_to(&mut client, &mut head, bytes.min(length)).await?;
        return client.set_zero_linger();
    }
    if let Some(Fault::StallRequest(bytes)) = fault {
        read_up_to(&mut client, &mut head, bytes.min(length)).await?;
        return silence().await;
    }
    read_up_to(&mut client, &mut head, length).await?;
    match fault {
        Some(Fault::Answer(answer)) => say(&mut client, &answer.bytes(is_head)).await,
        Some(Fault::Silence) => silence().await,
        fault => {
            let server = ask(&shared.server, &head).await?;
            answer(client, server, fault, is_head).await
        }
    }
}

/// Passes a request on, and gives the connection that its answer comes over.
async fn ask(server: &str, head: &Head) -> io::Result<TcpStream> {
    let mut server = TcpStream::connect(server).await?;
    let (first, headers) = head.text.split_once("\r\n").unwrap_or((&head.text, ""));
    // One request a connection, so that the end of the answer is the end of the connection.
    let text = format!("{first}\r\nconnection: close\r\n{headers}\r\n\r\n");
    server.write_all(text.as_bytes()).await?;
    server.write_all(&head.rest).await?;
    Ok(server)
}

/// Gives the client what is left of the answer. The request has taken effect, or will.
async fn answer(
    mut client: TcpStream,
    mut server: TcpStream,
    fault: Option<Fault>,
    is_head: bool,
) -> io::Result<()> {
    let Some(fault) = fault else {
        tokio::io::copy(&mut server, &mut client).await?;
        return client.shutdown().await;
    };
    // An answer that has begun is the sign that the request has taken effect.
    let Some(mut reply) = Reply::read(&mut server).await? else {
        return Ok(());
    };
    match fault {
        Fault::LoseReply => client.set_zero_linger(),
        Fault::SilenceAfter => silence().await,
        Fault::AnswerAfter(answer) => say(&mut client, &answer.bytes(is_head)).await,
        Fault::Hold(let_go) => {
            let_go.notified().await;
            say_all(&mut client, &reply).await
        }
        Fault::ResetReply(bytes) => {
            say_begin(&mut client, &reply, bytes).await?;
            client.set_zero_linger()
        }
        Fault::CutReply(bytes) => {
            say_begin(&mut client, &reply, bytes).await?;
            client.shutdown().await
        }
        Fault::StallReply(bytes) => {
            say_begin(&mut client, &reply, bytes).await?;
            silence().await
        }
        Fault::Trickle(pause) => trickle(&mut client, &reply, pause).await,
        Fault::Change(change) => {
            change(&mut reply);
            say_all(&mut client, &reply).await
        }
        Fault::Answer(_) | Fault::ResetRequest(_) | Fault::StallRequest(_) | Fault::Silence => {
            Ok(())
        }
    }
}

/// Until the proxy ends, which aborts it.
async fn silence() -> io::Result<()> {
    std::future::pending().await
}

async fn read_up_to(client: &mut TcpStream, head: &mut Head, bytes: usize) -> io::Result<()> {
    while head.rest.len() < bytes {
        if client.read_buf(&mut head.rest).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

async fn say_all(client: &mut TcpStream, reply: &Reply) -> io::Result<()> {
    say_begin(client, reply, reply.body.len()).await?;
    client.shutdown().await
}

async fn say_begin(client: &mut TcpStream, reply: &Reply, bytes: usize) -> io::Result<()> {
    client.write_all(&reply.head_bytes()).await?;
    let begin = &reply.body[..bytes.min(reply.body.len())];
    client.write_all(begin).await?;
    client.flush().await
}

async fn trickle(client: &mut TcpStream, reply: &Reply, pause: Duration) -> io::Result<()> {
    for byte in reply.head_bytes().iter().chain(&reply.body) {
        client.write_all(&[*byte]).await?;
        tokio::time::sleep(pause).await;
    }
    client.shutdown().await
}

async fn say(client: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes).await?;
    client.shutdown().await
}
