//! The faults, and what each has to come to.

use std::time::Duration;

use teeline_core::Class;
use teeline_fault_proxy::{Answer, Fault, Reply};

use crate::calls::Call;

/// What a call comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comes {
    /// What is right.
    Right,
    /// A list without what the server left out: nobody can tell, so nothing but a search for leftovers goes by lists.
    Older,
    Refused(Class),
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
    calls: &'static [Call],
    once: Comes,
    always: Comes,
    /// Where one kind of call is another story.
    but: Vec<(Call, Comes, Comes)>,
    /// Whether nothing but a deadline ends a try.
    pub(crate) ends_by_deadline: bool,
}

const ALL: &[Call] = &crate::calls::CALLS;
const WITH_BODY: &[Call] = &[Call::Get, Call::List, Call::Begin, Call::Complete];
const READS: &[Call] = &[Call::Get];
const LISTS: &[Call] = &[Call::List];
const WRITES: &[Call] = &[Call::Put, Call::Begin, Call::Part, Call::Complete];

impl Row {
    /// A fault that repeats get over; for good, a failure of `class`.
    fn passing(name: &'static str, calls: &'static [Call], fault: Fault, class: Class) -> Self {
        Self::new(name, calls, fault, Comes::Right, Comes::Refused(class))
    }

    /// One that no repeat helps with.
    fn lasting(name: &'static str, calls: &'static [Call], fault: Fault, class: Class) -> Self {
        let refused = Comes::Refused(class);
        Self::new(name, calls, fault, refused, refused)
    }

    /// One that changes nothing.
    fn harmless(name: &'static str, calls: &'static [Call], fault: Fault) -> Self {
        Self::new(name, calls, fault, Comes::Right, Comes::Right)
    }

    fn new(
        name: &'static str,
        calls: &'static [Call],
        fault: Fault,
        once: Comes,
        always: Comes,
    ) -> Self {
        Row {
            name,
            fault,
            calls,
            once,
            always,
            but: Vec::new(),
            ends_by_deadline: false,
        }
    }

    fn but(mut self, call: Call, once: Comes, always: Comes) -> Self {
        self.but.push((call, once, always));
        self
    }

    /// One that repeats get over, where each try that meets it ends by its deadline.
    fn stalling(name: &'static str, fault: Fault) -> Self {
        Row {
            ends_by_deadline: true,
            ..Self::passing(name, ALL, fault, Class::Transient)
        }
    }

    pub(crate) fn applies(&self, call: Call) -> bool {
        self.calls.contains(&call)
    }

    pub(crate) fn once(&self, call: Call) -> Comes {
        let but = self.but.iter().find(|(other, ..)| *other == call);
        but.map_or(self.once, |(_, once, _)| *once)
    }

    pub(crate) fn always(&self, call: Call) -> Comes {
        let but = self.but.iter().find(|(other, ..)| *other == call);
        but.map_or(self.always, |(.., always)| *always)
    }
}

fn answer(status: u16, code: &str) -> Fault {
    Fault::Answer(Answer::error(status, code))
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = connections();
    rows.extend(bodies());
    rows.extend(refusals());
    rows.extend(pages());
    rows.extend(conditions());
    rows.extend(lists());
    rows
}

/// What becomes of the connection.
fn connections() -> Vec<Row> {
    use Class::Transient;
    let begun = Fault::ResetRequest(0);
    // The second try finds the upload gone, and the object whole, for which no more than the head of an answer is needed.
    let whole = Comes::Right;
    vec![
        Row::passing("reset before the request's body", ALL, begun, Transient),
        Row::passing(
            "reset in the request's body",
            WRITES,
            Fault::ResetRequest(100),
            Transient,
        ),
        Row::passing("reply lost", ALL, Fault::LoseReply, Transient),
        Row::stalling("silence", Fault::Silence),
        Row::stalling("silence after the effect", Fault::SilenceAfter),
        Row {
            calls: WITH_BODY,
            ..Row::stalling("an answer that stops in the middle", Fault::StallReply(20))
        },
        Row {
            calls: &[Call::Put, Call::Part],
            ..Row::stalling("a request that stops being taken", Fault::StallRequest(100))
        },
        Row::stalling("trickle", Fault::Trickle(Duration::from_millis(50))),
        Row::passing(
            "reset in the reply's body",
            WITH_BODY,
            Fault::ResetReply(50),
            Transient,
        )
        .but(Call::Complete, whole, whole),
        Row::passing("reply cut short", WITH_BODY, Fault::CutReply(50), Transient).but(
            Call::Complete,
            whole,
            whole,
        ),
    ]
}

/// Answers that aren't what they should be.
fn bodies() -> Vec<Row> {
    use Class::Transient;
    let longer = Fault::change(|reply| {
        let length = reply.body.len() + 100;
        reply.set("content-length", &length.to_string());
    });
    let shorter = Fault::change(|reply| {
        let length = reply.body.len() - 100;
        reply.set("content-length", &length.to_string());
    });
    let range = Fault::change(|reply| {
        reply.set("content-range", "bytes 1000-2000/40000");
        reply.replace_body(reply.body[1_000..=2_000].to_vec());
    });
    let ignored = Fault::change(|reply| {
        reply.remove("content-range");
    });
    let tag = Fault::change(|reply| reply.set("etag", "\"another\""));
    let no_tag = Fault::change(|reply| reply.remove("etag"));
    vec![
        Row::passing("content-length too long", READS, longer, Transient),
        Row::passing("content-length too short", READS, shorter, Transient),
        Row::passing("wrong range", READS, range, Transient),
        Row::passing("no range", READS, ignored, Transient),
        Row::harmless("another ETag", &[Call::Get, Call::Head], tag),
        Row::harmless(
            "no ETag",
            &[Call::Put, Call::Get, Call::Head],
            no_tag.clone(),
        ),
        // The end of an upload names its parts by their tags.
        Row::lasting("no ETag of a part", &[Call::Part], no_tag, Class::Permanent),
    ]
}

/// What servers say.
fn refusals() -> Vec<Row> {
    use Class::{NotFound, Permanent, Throttled, Transient};
    let after = Answer::error(429, "TooManyRequests").header("retry-after", "0");
    let skewed =
        Answer::error(403, "RequestTimeTooSkewed").header("date", "Mon, 23 Nov 2026 02:00:00 GMT");
    let elsewhere = |status, code| {
        let answer = Answer::error(status, code);
        Fault::Answer(answer.header("location", "http://127.0.0.1:1/elsewhere"))
    };
    let taken_back = || Answer::error(200, "InternalError");
    let once_more = &[Call::Complete];
    vec![
        Row::passing("500", ALL, answer(500, "InternalError"), Transient),
        Row::passing("502 of a gateway", ALL, answer(502, ""), Transient),
        Row::passing("503 SlowDown", ALL, answer(503, "SlowDown"), Throttled),
        Row::passing("429 with Retry-After", ALL, Fault::Answer(after), Throttled),
        Row::passing(
            "400 RequestTimeout",
            WRITES,
            answer(400, "RequestTimeout"),
            Transient,
        ),
        Row::lasting("401", ALL, answer(401, ""), Permanent),
        Row::lasting(
            "403 AccessDenied",
            ALL,
            answer(403, "AccessDenied"),
            Permanent,
        ),
        Row::lasting(
            "403 ExpiredToken of fixed keys",
            ALL,
            answer(403, "ExpiredToken"),
            Permanent,
        ),
        Row::lasting(
            "403 RequestTimeTooSkewed",
            ALL,
            Fault::Answer(skewed),
            Permanent,
        ),
        Row::lasting("301", ALL, elsewhere(301, "PermanentRedirect"), Permanent),
        Row::lasting("307", ALL, elsewhere(307, "TemporaryRedirect"), Permanent),
        Row::lasting("507", WRITES, answer(507, "XMinioStorageFull"), Permanent),
        Row::lasting("501", ALL, answer(501, "NotImplemented"), Permanent)
            // Once without the condition that it doesn't know.
            .but(Call::Put, Comes::Right, Comes::Refused(Permanent))
            .but(Call::Complete, Comes::Right, Comes::Refused(Permanent)),
        Row::lasting(
            "404 after a 200 to the PUT",
            &[Call::Get, Call::Head],
            answer(404, "NoSuchKey"),
            NotFound,
        ),
        // Somebody ended it, or it lasted longer than the server keeps it.
        Row::lasting(
            "404 to a part",
            &[Call::Part],
            answer(404, "NoSuchUpload"),
            Permanent,
        ),
        Row::passing(
            "200 with an error body, before the effect",
            once_more,
            Fault::Answer(taken_back()),
            Transient,
        ),
        Row::passing(
            "200 with an error body, after the effect",
            once_more,
            Fault::AnswerAfter(taken_back()),
            Transient,
        )
        // The second one finds the upload gone, and the object whole.
        .but(Call::Complete, Comes::Right, Comes::Refused(Transient)),
        Row::passing(
            "200 without a body",
            once_more,
            Fault::Answer(Answer::new(200, "")),
            Transient,
        ),
    ]
}

/// Pages of somebody in between.
fn pages() -> Vec<Row> {
    use Class::{NotFound, Transient};
    // With what a server of files says of one.
    let page = |status, text: &str| {
        let page = Answer::new(status, text).header("content-type", "text/html");
        let page = page.header("last-modified", "Mon, 23 Nov 2026 02:00:00 GMT");
        Fault::Answer(page.header("etag", "\"page\""))
    };
    let log_on = page(200, "<html>a login page</html>");
    let bare = Fault::Answer(Answer::new(200, "logged on?"));
    vec![
        Row::passing("200 page", ALL, log_on, Transient),
        Row::passing("200 page of text", ALL, bare, Transient),
        Row::passing("404 page", ALL, page(404, "404 page not found"), Transient)
            // Nobody can tell: the answer to a HEAD has no body.
            .but(
                Call::Head,
                Comes::Refused(NotFound),
                Comes::Refused(NotFound),
            ),
        Row::passing("404 without a word", ALL, answer(404, ""), Transient).but(
            Call::Head,
            Comes::Refused(NotFound),
            Comes::Refused(NotFound),
        ),
    ]
}

/// What is said of writing where nothing is.
fn conditions() -> Vec<Row> {
    use Class::{Conflict, Permanent, Transient};
    let lost_race = |status, code| {
        Row::lasting(
            "412 where nothing is",
            WRITES,
            answer(status, code),
            Conflict,
        )
    };
    vec![
        Row::passing(
            "409 ConditionalRequestConflict",
            WRITES,
            answer(409, "ConditionalRequestConflict"),
            Transient,
        ),
        lost_race(412, "PreconditionFailed"),
        // To whom no condition was put.
        Row::lasting(
            "412 to a read",
            &[Call::Get, Call::Head],
            answer(412, "PreconditionFailed"),
            Permanent,
        ),
        // It is there, with what was to be written: by ourselves.
        Row::harmless(
            "412 after the effect",
            &[Call::Put],
            Fault::AnswerAfter(Answer::error(412, "PreconditionFailed")),
        ),
    ]
}

/// Lists that aren't what is stored.
fn lists() -> Vec<Row> {
    let stale = Fault::change(|reply: &mut Reply| {
        let text = reply.text();
        let (before, rest) = text.split_once("<Contents>").unwrap();
        let (_, after) = rest.split_once("</Contents>").unwrap();
        reply.replace_body(format!("{before}{after}"));
    });
    let twice = Fault::change(|reply: &mut Reply| {
        let text = reply.text();
        let begin = text.find("<Contents>").unwrap();
        let end = text.rfind("</Contents>").unwrap() + "</Contents>".len();
        let items = &text[begin..end];
        reply.replace_body(format!("{}{items}{}", &text[..end], &text[end..]));
    });
    // As a server does that ignores how the list was asked for.
    let cut = Fault::change(|reply: &mut Reply| {
        let text = reply.text();
        assert!(text.contains("<IsTruncated>false</IsTruncated>"), "{text}");
        reply.replace_body(text.replace("<IsTruncated>false<", "<IsTruncated>true<"));
    });
    vec![
        Row::new("stale page", LISTS, stale, Comes::Older, Comes::Older),
        Row::harmless("keys twice", LISTS, twice),
        Row::lasting("a list that breaks off", LISTS, cut, Class::Permanent),
    ]
}
