use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::types::EncodingType;
use futures::StreamExt as _;

use crate::{BUCKET, Fixture, code, hostile_keys};

fn list(fixture: &Fixture) -> ListObjectsV2FluentBuilder {
    fixture.client.list_objects_v2().bucket(BUCKET)
}

/// Every page of a listing.
async fn pages(request: ListObjectsV2FluentBuilder) -> Vec<ListObjectsV2Output> {
    let mut pages = Vec::new();
    let mut token = None;
    loop {
        let page = request
            .clone()
            .set_continuation_token(token)
            .send()
            .await
            .expect("page");
        token = page.next_continuation_token().map(str::to_owned);
        assert_eq!(page.is_truncated(), Some(token.is_some()));
        let entries = page.contents().len() + page.common_prefixes().len();
        assert_eq!(page.key_count(), i32::try_from(entries).ok());
        pages.push(page);
        if token.is_none() {
            return pages;
        }
    }
}

/// The keys and the common prefixes of a listing, each in the order shown.
async fn shown(request: ListObjectsV2FluentBuilder) -> (Vec<String>, Vec<String>) {
    let mut keys = Vec::new();
    let mut prefixes = Vec::new();
    for page in pages(request).await {
        keys.extend(
            page.contents()
                .iter()
                .filter_map(|object| object.key().map(str::to_owned)),
        );
        let common = page.common_prefixes().iter();
        prefixes.extend(common.filter_map(|common| common.prefix().map(str::to_owned)));
    }
    (keys, prefixes)
}

#[tokio::test]
async fn hostile_keys_are_listed_in_byte_order() {
    let fixture = Fixture::new().await;
    let mut keys = hostile_keys();
    for key in &keys {
        fixture.put(key, key.as_bytes()).await;
    }
    keys.sort();
    let (listed, _) = shown(list(&fixture)).await;
    assert_eq!(listed, keys);
    for page_keys in [1, 7] {
        let (listed, _) = shown(list(&fixture).max_keys(page_keys)).await;
        assert_eq!(listed, keys, "pages of {page_keys}");
    }
    for start in &keys {
        let (listed, _) = shown(list(&fixture).start_after(start)).await;
        let rest: Vec<_> = keys.iter().filter(|key| *key > start).cloned().collect();
        assert_eq!(listed, rest, "after {start:?}");
        let (listed, _) = shown(list(&fixture).prefix(start)).await;
        let below: Vec<_> = keys
            .iter()
            .filter(|key| key.starts_with(start))
            .cloned()
            .collect();
        assert_eq!(listed, below, "below {start:?}");
    }
    for delimiter in ["/", "k", "//"] {
        for page_keys in [1000, 1] {
            let request = list(&fixture).delimiter(delimiter).max_keys(page_keys);
            let (listed, prefixes) = shown(request).await;
            let mut direct = Vec::new();
            let mut common = Vec::new();
            for key in &keys {
                match key.find(delimiter) {
                    Some(at) => common.push(key[..at + delimiter.len()].to_owned()),
                    None => direct.push(key.clone()),
                }
            }
            common.dedup();
            assert_eq!(
                listed, direct,
                "delimiter {delimiter}, pages of {page_keys}"
            );
            assert_eq!(
                prefixes, common,
                "delimiter {delimiter}, pages of {page_keys}"
            );
        }
    }
}

#[tokio::test]
async fn keys_can_be_asked_for_encoded() {
    let fixture = Fixture::new().await;
    fixture.put("a b/\u{1}\r+é", b"x").await;
    let request = list(&fixture)
        .encoding_type(EncodingType::Url)
        .prefix("a b/")
        .delimiter("+");
    let page = request.clone().send().await.expect("list");
    assert_eq!(page.encoding_type(), Some(&EncodingType::Url));
    assert_eq!(page.prefix(), Some("a%20b/"));
    assert_eq!(page.common_prefixes()[0].prefix(), Some("a%20b/%01%0D%2B"));
    let page = list(&fixture)
        .encoding_type(EncodingType::Url)
        .send()
        .await
        .expect("list");
    assert_eq!(page.contents()[0].key(), Some("a%20b/%01%0D%2B%C3%A9"));
    assert_eq!(
        code(list(&fixture).encoding_type("base64".into()).send().await),
        "InvalidArgument"
    );
}

#[tokio::test]
async fn pages_hold_a_thousand_of_thousands() {
    let fixture = Fixture::new().await;
    let keys: Vec<String> = (0..2500)
        .map(|n| format!("dir{}/key-{n:04}", n / 100))
        .collect();
    let puts = keys.iter().map(|key| fixture.put(key, b"body"));
    futures::stream::iter(puts)
        .buffer_unordered(16)
        .collect::<Vec<()>>()
        .await;
    let mut sorted = keys.clone();
    sorted.sort();

    let listing = pages(list(&fixture)).await;
    let sizes: Vec<_> = listing.iter().map(|page| page.contents().len()).collect();
    assert_eq!(sizes, [1000, 1000, 500]);
    let object = &listing[0].contents()[0];
    assert_eq!(object.size(), Some(4));
    assert_eq!(object.e_tag(), Some("\"841a2d689ad86bd1611447453c22c6fc\""));
    assert!(object.last_modified().is_some());
    let (listed, _) = shown(list(&fixture)).await;
    assert_eq!(listed, sorted);
    assert_eq!(shown(list(&fixture).max_keys(5000)).await.0.len(), 2500);

    let (direct, prefixes) = shown(list(&fixture).delimiter("/").max_keys(10)).await;
    assert!(direct.is_empty());
    let mut directories: Vec<String> = (0..25).map(|n| format!("dir{n}/")).collect();
    directories.sort();
    assert_eq!(prefixes, directories);
    let (below, prefixes) = shown(list(&fixture).prefix("dir7/").delimiter("/").max_keys(30)).await;
    assert_eq!(below.len(), 100);
    assert!(prefixes.is_empty());
    let (_, dashed) = shown(list(&fixture).prefix("dir7/").delimiter("-")).await;
    assert_eq!(dashed, ["dir7/key-"]);
}

#[tokio::test]
async fn page_sizes_and_tokens_are_checked() {
    let fixture = Fixture::new().await;
    fixture.put("k", b"x").await;
    let none = list(&fixture).max_keys(0).send().await.expect("list");
    assert_eq!(none.key_count(), Some(0));
    assert_eq!(none.is_truncated(), Some(false));
    assert_eq!(
        code(list(&fixture).max_keys(-1).send().await),
        "InvalidArgument"
    );
    assert_eq!(
        code(list(&fixture).continuation_token("no").send().await),
        "InvalidArgument"
    );
}
