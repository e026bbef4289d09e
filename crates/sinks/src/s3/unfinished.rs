//! Uploads in parts that nobody has ended, as the server lists them. object_store can end them but doesn't list them.

use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use teeline_core::{BackupError, Class, ObjectKey, Timestamp, UnfinishedUpload};

use super::failure::find;
use super::rejected::Rejected;
use super::signed::generic;
use super::store::Store;

/// Where the next page begins: after this upload of this key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Marker {
    key: String,
    upload: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    uploads: Vec<Listed>,
    next: Option<Marker>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Listed {
    key: String,
    upload: String,
    initiated: Option<Timestamp>,
}

impl Store {
    pub(crate) fn unfinished(
        &self,
        folder: Option<&ObjectKey>,
    ) -> BoxStream<'_, Result<UnfinishedUpload, BackupError>> {
        let prefix = match self.list_path(folder) {
            Ok(path) => path.map_or(String::new(), |path| format!("{path}/")),
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        stream::unfold(Some(Marker::default()), move |marker| {
            let prefix = prefix.clone();
            async move {
                match self.page(&prefix, &marker?).await {
                    Ok(page) => Some((self.ours(page.uploads), page.next)),
                    Err(error) => Some((vec![Err(error)], None)),
                }
            }
        })
        .map(stream::iter)
        .flatten()
        .boxed()
    }

    pub(crate) async fn discard(&self, upload: &UnfinishedUpload) -> Result<(), BackupError> {
        let path = self.path("discard", &upload.key)?;
        let aborted = self.client.abort_multipart(&path, &upload.name).await;
        match aborted.map_err(|error| self.failure("discard", &upload.key, &error)) {
            Err(error) if error.class() != Class::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn ours(&self, listed: Vec<Listed>) -> Vec<Result<UnfinishedUpload, BackupError>> {
        let ours = |listed: Listed| {
            Some(Ok(UnfinishedUpload {
                key: self.key_of(&listed.key)?,
                name: listed.upload,
                touched_at: listed.initiated,
            }))
        };
        listed.into_iter().filter_map(ours).collect()
    }

    async fn page(&self, prefix: &str, after: &Marker) -> Result<Page, BackupError> {
        let failed = |error: object_store::Error| self.explain("list", &self.to_string(), &error);
        let Some(s3) = &self.s3 else {
            return Ok(Page::default());
        };
        let response = match s3
            .signed
            .to_bucket("GET", &uploads_query(prefix, after))
            .await
        {
            // A server that knows of none has none to end.
            Err(error) if find::<Rejected>(&error).is_some_and(Rejected::is_not_implemented) => {
                return Ok(Page::default());
            }
            response => response.map_err(failed)?,
        };
        let body = response.into_body().bytes().await;
        let body = body.map_err(|error| failed(generic(error)))?;
        let page =
            parse(&String::from_utf8_lossy(&body)).filter(|page| page.next.as_ref() != Some(after));
        page.ok_or_else(|| {
            let message = "its list of unfinished uploads can't be read";
            BackupError::new(Class::Permanent, "list", self, message)
        })
    }
}

fn uploads_query(prefix: &str, after: &Marker) -> String {
    let mut query = "uploads=".to_owned();
    let parameters = [
        ("prefix", prefix),
        ("key-marker", &after.key),
        ("upload-id-marker", &after.upload),
    ];
    for (name, value) in parameters {
        if !value.is_empty() {
            let encoded = utf8_percent_encode(value, NON_ALPHANUMERIC);
            query.push_str(&format!("&{name}={encoded}"));
        }
    }
    query
}

/// Reads a page; none, where it is no list of uploads.
fn parse(body: &str) -> Option<Page> {
    let mut document = Document::new(body);
    let mut root = document.root_element().ok()?;
    if !root.start_el().matches("ListMultipartUploadsResult") {
        return None;
    }
    let (mut page, mut next, mut is_truncated) = (Page::default(), Marker::default(), false);
    while let Some(mut tag) = root.next_tag() {
        match tag.start_el().local() {
            "Upload" => page.uploads.push(listed(&mut tag)?),
            "IsTruncated" => is_truncated = try_data(&mut tag).ok()? == "true",
            "NextKeyMarker" => next.key = try_data(&mut tag).ok()?.into_owned(),
            "NextUploadIdMarker" => next.upload = try_data(&mut tag).ok()?.into_owned(),
            _ => {}
        }
    }
    page.next = is_truncated.then_some(next);
    Some(page)
}

fn listed(upload: &mut ScopedDecoder<'_, '_>) -> Option<Listed> {
    let mut listed = Listed::default();
    while let Some(mut tag) = upload.next_tag() {
        match tag.start_el().local() {
            "Key" => listed.key = try_data(&mut tag).ok()?.into_owned(),
            "UploadId" => listed.upload = try_data(&mut tag).ok()?.into_owned(),
            "Initiated" => listed.initiated = try_data(&mut tag).ok()?.parse().ok(),
            _ => {}
        }
    }
    Some(listed).filter(|listed| !listed.upload.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_nothing_else_is_taken_for_one() {
        let body = "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"x\"><Bucket>b</Bucket>\
            <IsTruncated>true</IsTruncated><NextKeyMarker>a&amp;b</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker>\
            <Upload><Key>a&amp;b</Key><UploadId>2</UploadId><Owner><ID>o</ID></Owner>\
            <Initiated>2026-11-23T02:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>";
        let page = parse(body).unwrap();
        let found = Listed {
            key: "a&b".to_owned(),
            upload: "2".to_owned(),
            initiated: Some(Timestamp::from_unix_ms(1_795_399_200_000)),
        };
        assert_eq!(page.uploads, [found]);
        let next = Marker {
            key: "a&b".to_owned(),
            upload: "2".to_owned(),
        };
        assert_eq!(page.next, Some(next));
        for body in [
            "",
            "<html>gateway</html>",
            "<ListBucketResult></ListBucketResult>",
            "<",
        ] {
            assert_eq!(parse(body), None, "{body}");
        }
        assert_eq!(parse(&body.replace("true", "false")).unwrap().next, None);
    }
}
