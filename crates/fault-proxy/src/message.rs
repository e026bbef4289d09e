//! As much of HTTP/1.1 as requests and answers need to be told apart, cut and changed.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

const HEAD_END: &[u8] = b"\r\n\r\n";

/// The first line and the headers, up to the empty line.
pub(crate) struct Head {
    pub(crate) text: String,
    /// What came of the body with it.
    pub(crate) rest: Vec<u8>,
}

impl Head {
    /// Reads one; `None` where the other side has nothing more to say.
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut read = Vec::new();
        loop {
            if let Some(at) = position(&read, HEAD_END) {
                let rest = read.split_off(at + HEAD_END.len());
                read.truncate(at);
                let text = String::from_utf8_lossy(&read).into_owned();
                return Ok(Some(Head { text, rest }));
            }
            if from.read_buf(&mut read).await? == 0 {
                return Ok(None);
            }
        }
    }

    pub(crate) fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// How long the body is said to be.
    pub(crate) fn content_length(&self) -> usize {
        let length = self.header("content-length");
        length.and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// A whole answer, to be changed.
#[derive(Debug, Clone)]
pub struct Reply {
    lines: Vec<String>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads one that ends with its connection.
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let Some(head) = Head::read(from).await? else {
            return Ok(None);
        };
        let mut body = head.rest.clone();
        from.read_to_end(&mut body).await?;
        let is_chunked = head
            .header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let mut reply = Reply {
            lines: head.text.lines().map(str::to_owned).collect(),
            body,
        };
        if is_chunked {
            reply.body = joined(&reply.body);
            reply.remove("transfer-encoding");
            reply.fit_length();
        }
        Ok(Some(reply))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let at = self.position(name)?;
        Some(self.lines[at].split_once(':')?.1.trim())
    }

    /// Gives a header another value, or adds it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.lines.push(format!("{name}: {value}"));
    }

    /// Takes a header away.
    pub fn remove(&mut self, name: &str) {
        if let Some(at) = self.position(name) {
            self.lines.remove(at);
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Gives it another body, and the length that this has.
    pub fn replace_body(&mut self, body: impl Into<Vec<u8>>) {
        self.body = body.into();
        self.fit_length();
    }

    fn fit_length(&mut self) {
        let length = self.body.len().to_string();
        self.set("content-length", &length);
    }

    fn position(&self, name: &str) -> Option<usize> {
        let is_it = |line: &String| {
            let found = line.split_once(':').map(|(found, _)| found);
            found.is_some_and(|found| found.eq_ignore_ascii_case(name))
        };
        self.lines.iter().skip(1).position(is_it).map(|at| at + 1)
    }

    /// The first line and the headers, as they go over the wire.
    pub(crate) fn head_bytes(&self) -> Vec<u8> {
        let mut head = self.lines.join("\r\n").into_bytes();
        head.extend_from_slice(HEAD_END);
        head
    }
}

/// The body that was sent in chunks.
fn joined(mut chunked: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = position(chunked, b"\r\n") {
        let size = String::from_utf8_lossy(&chunked[..end]);
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let begin = end + 2;
        if size == 0 || begin + size > chunked.len() {
            break;
        }
        body.extend_from_slice(&chunked[begin..begin + size]);
        chunked = chunked.get(begin + size + 2..).unwrap_or_default();
    }
    body
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_in_chunks_becomes_one_of_a_known_length() {
        let mut wire: &[u8] =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx: y\r\n\r\n4\r\nabcd\r\n2;q\r\nef\r\n0\r\n\r\n";
        let reply = Reply::read(&mut wire).await.unwrap().unwrap();
        assert_eq!(reply.body, b"abcdef");
        assert_eq!(reply.header("content-length"), Some("6"));
        assert_eq!(reply.header("transfer-encoding"), None);
        assert_eq!(
            reply.head_bytes(),
            b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 6\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn a_request_is_read_up_to_its_body() {
        let mut wire: &[u8] = b"PUT /b/k HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let head = Head::read(&mut wire).await.unwrap().unwrap();
        assert_eq!(head.first_line(), "PUT /b/k HTTP/1.1");
        assert_eq!((head.content_length(), head.rest), (3, b"abc".to_vec()));
        assert!(Head::read(&mut wire).await.unwrap().is_none());
    }
}
