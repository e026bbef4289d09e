//! What may go wrong, and for whom.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::message::{Head, Reply};

/// What becomes of a request. Whether the server sees it decides whether it takes effect.
#[derive(Clone)]
pub enum Fault {
    /// The server never sees it; this is the answer.
    Answer(Answer),
    /// The connection is reset after so many bytes of the request's body; the server never sees it.
    ResetRequest(usize),
    /// Nothing is ever said, as by a host that has gone; the server never sees it.
    Silence,
    /// It takes effect, and the connection breaks before the answer.
    LoseReply,
    /// It takes effect, and nothing is ever said.
    SilenceAfter,
    /// It takes effect, and this is the answer.
    AnswerAfter(Answer),
    /// It takes effect, and the answer waits until it is let go.
    Hold(Arc<Notify>),
    /// The connection is reset after so many bytes of the answer's body.
    ResetReply(usize),
    /// The connection ends, as if all were well, after so many bytes of the answer's body.
    CutReply(usize),
    /// After so many bytes of the answer's body nothing more comes, and the connection stays.
    StallReply(usize),
    /// After so many bytes of the request's body no more of it is taken; the server never sees it.
    StallRequest(usize),
    /// The answer comes byte by byte, with this pause after each.
    Trickle(Duration),
    /// The answer is another one.
    Change(Change),
}

/// Makes another answer of one.
pub type Change = Arc<dyn Fn(&mut Reply) + Send + Sync>;

impl Fault {
    /// The answer, changed.
    pub fn change(change: impl Fn(&mut Reply) + Send + Sync + 'static) -> Self {
        Fault::Change(Arc::new(change))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Answer(answer) => write!(f, "Answer({})", answer.status),
            Fault::ResetRequest(bytes) => write!(f, "ResetRequest({bytes})"),
            Fault::Silence => f.write_str("Silence"),
            Fault::LoseReply => f.write_str("LoseReply"),
            Fault::SilenceAfter => f.write_str("SilenceAfter"),
            Fault::AnswerAfter(answer) => write!(f, "AnswerAfter({})", answer.status),
            Fault::Hold(_) => f.write_str("Hold"),
            Fault::ResetReply(bytes) => write!(f, "ResetReply({bytes})"),
            Fault::CutReply(bytes) => write!(f, "CutReply({bytes})"),
            Fault::StallReply(bytes) => write!(f, "StallReply({bytes})"),
            Fault::StallRequest(bytes) => write!(f, "StallRequest({bytes})"),
            Fault::Trickle(pause) => write!(f, "Trickle({pause:?})"),
            Fault::Change(_) => f.write_str("Change"),
        }
    }
}

/// An answer of the proxy's own.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// With this status and body.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Answer {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// As S3 says what is wrong: a code, and why in words. An empty code has no body.
    pub fn error(status: u16, code: &str) -> Self {
        match code {
            "" => Self::new(status, ""),
            code => Self::new(
                status,
                format!("<Error><Code>{code}</Code><Message>why</Message></Error>"),
            ),
        }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// As it goes over the wire; the answer to a HEAD has no body.
    pub(crate) fn bytes(&self, is_head: bool) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} Said\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        if !is_head {
            head.push_str(&self.body);
        }
        head.into_bytes()
    }
}

/// Which requests meet a fault.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) fault: Fault,
    method: String,
    part: String,
    header: String,
    /// So many that fit pass first.
    passing: u64,
    /// So many then meet it; all, if it says none.
    times: Option<u64>,
}

impl Rule {
    /// Every request of `method` with `part` in its path or query; each of them may be empty, for any.
    pub fn new(method: &str, part: &str, fault: Fault) -> Self {
        Rule {
            fault,
            method: method.to_owned(),
            part: part.to_owned(),
            header: String::new(),
            passing: 0,
            times: None,
        }
    }

    /// Only those that have this in one of their headers.
    #[must_use]
    pub fn with_header(mut self, part: &str) -> Self {
        self.header = part.to_owned();
        self
    }

    /// So many at most.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// After so many that pass.
    #[must_use]
    pub fn after(mut self, passing: u64) -> Self {
        self.passing = passing;
        self
    }

    /// Whether the request with this head meets it. Counts it.
    pub(crate) fn meets(&mut self, head: &Head) -> bool {
        let line = head.first_line();
        let (method, target) = line.split_once(' ').unwrap_or((line, ""));
        let is_method = self.method.is_empty() || self.method == method;
        if !is_method || !target.contains(&self.part) || !head.text.contains(&self.header) {
            return false;
        }
        if self.passing > 0 {
            self.passing -= 1;
            return false;
        }
        if let Some(times) = &mut self.times {
            *times = times.saturating_sub(1);
        }
        true
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.times == Some(0)
    }
}
