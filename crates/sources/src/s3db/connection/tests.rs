use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Connection {
    text.parse().unwrap()
}

fn keys(access_key: &str, secret_key: &str) -> Option<Keys> {
    Some(Keys {
        access_key: access_key.to_owned(),
        secret_key: secret_key.to_owned(),
    })
}

#[test]
fn aws_with_keys() {
    let connection =
        parse("s3://AKIA:se/c+r=t@my-bucket/some/prefix/?region=eu-west-1&profile=p%20q");
    assert_eq!(connection.bucket, "my-bucket");
    assert_eq!(connection.prefix, "some/prefix");
    assert_eq!(connection.credentials, keys("AKIA", "se/c+r=t"));
    assert_eq!(connection.region.as_deref(), Some("eu-west-1"));
    assert_eq!(connection.profile.as_deref(), Some("p q"));
    assert_eq!(connection.endpoint, None);
    assert!(!connection.force_path_style);
    assert_eq!(
        connection,
        parse("s3://AKIA:se%2Fc%2Br%3Dt@my-bucket/some/prefix?region=eu-west-1&profile=p%20q")
    );
    assert_eq!(connection.to_string(), "s3://***:***@my-bucket/some/prefix");
}

#[test]
fn aws_without_keys() {
    let connection = parse("s3://bucket");
    assert_eq!(
        (connection.bucket.as_str(), connection.prefix.as_str()),
        ("bucket", "")
    );
    assert_eq!(connection.credentials, None);
    assert_eq!(connection.to_string(), "s3://bucket");
    assert_eq!(parse("s3://bucket/a@b").prefix, "a@b");
}

/// As the real s3db.js writes its keys: it takes the path of a URL and doesn't decode it.
#[test]
fn a_prefix_is_the_path_of_a_url() {
    for (typed, prefix) in [
        ("São Paulo", "S%C3%A3o%20Paulo"),
        ("S%C3%A3o%20Paulo", "S%C3%A3o%20Paulo"),
        ("a%2fb%zz", "a%2fb%zz"),
        (r#"a"<b>{c}`"#, "a%22%3Cb%3E%7Bc%7D%60"),
        ("a+b=&c;'()*!$,~[|]", "a+b=&c;'()*!$,~[|]"),
        ("a//b/./c/../d/", "a/b/d"),
        ("a#b", "a"),
    ] {
        for place in ["s3://bucket", "s3://k:s@bucket", "http://k:s@h:9000/bucket"] {
            let connection = parse(&format!("{place}/{typed}"));
            assert_eq!(connection.prefix, prefix, "{place}/{typed}");
            let printed = connection.to_string();
            assert!(printed.ends_with(&format!("bucket/{prefix}")), "{printed}");
        }
    }
}

#[test]
fn other_servers() {
    let connection = parse("http://KEY:SEC%40RET@127.0.0.1:9000/bucket/a/b?forcePathStyle=true");
    assert_eq!(
        connection.endpoint.as_deref(),
        Some("http://127.0.0.1:9000")
    );
    assert_eq!(
        (connection.bucket.as_str(), connection.prefix.as_str()),
        ("bucket", "a/b")
    );
    assert_eq!(connection.credentials, keys("KEY", "SEC@RET"));
    assert!(connection.force_path_style);
    assert_eq!(
        connection.to_string(),
        "http://***:***@127.0.0.1:9000/bucket/a/b"
    );
    assert!(!parse("https://k:s@h/b?forcePathStyle=false").force_path_style);
    assert!(parse("https://k:s@[::1]:9000/b").force_path_style);
    assert_eq!(parse("http://h:9000/b/").credentials, None);
    assert_eq!(
        parse("http://k:1/2/s@h:9000/b").credentials,
        keys("k", "1/2/s")
    );
    let named = parse("s3://k:s@bucket/p?endpoint=http%3A%2F%2Flocalhost%3A9000%2F");
    assert_eq!(named.endpoint.as_deref(), Some("http://localhost:9000"));
    assert_eq!(named.to_string(), "http://***:***@localhost:9000/bucket/p");
}

#[test]
fn faults_are_named_and_keys_are_not() {
    for (text, part) in [
        ("", "scheme"),
        ("bucket", "scheme"),
        ("ftp://AKIA:hidden@bucket", "scheme"),
        ("s3://", "bucket"),
        ("s3://AKIA:hidden@", "bucket"),
        ("s3://AKIA:hidden@/prefix", "bucket"),
        ("s3://hidden@bucket", "secret key"),
        ("s3://:hidden@bucket", "access key"),
        ("s3://AKIA:@bucket", "secret key"),
        ("s3://AKIA:hidden%@bucket", "secret key"),
        ("s3://AKIA:hidden%ff@bucket", "secret key"),
        ("s3://AKIA:hid?den@bucket", "%3F"),
        ("s3://AKIA:hid@den/more@bucket", "%40"),
        ("http://AKIA:hidden@host", "bucket"),
        ("http://AKIA:hidden@ho st/b", "host"),
        ("http://AKIA:hidden@h:99999/b", "port"),
        ("http://AKIA:hidden@h:+1/b", "port"),
        (
            "s3://AKIA:hidden@b?regoin=x",
            "none of region, forcePathStyle, endpoint and profile",
        ),
        ("s3://AKIA:hidden@b?hidden", "no value"),
        ("s3://AKIA:hidden@b?region=", "no value"),
        ("s3://AKIA:hidden@b?forcePathStyle=hidden", "forcePathStyle"),
        ("s3://AKIA:hidden@b?endpoint=hidden", "endpoint"),
        ("http://AKIA:hidden@h/b?endpoint=http://x", "endpoint"),
    ] {
        let error = text.parse::<Connection>().unwrap_err().to_string();
        assert!(
            error.split("; expected").next().unwrap().contains(part),
            "{text}: {error}"
        );
        for secret in ["AKIA", "hidden", "hid", "den"] {
            assert!(
                !error.replace("hidden keys", "").contains(secret),
                "{text}: {error}"
            );
        }
        assert!(error.contains("s3://KEY:SECRET@BUCKET/PREFIX"), "{error}");
    }
}

#[test]
fn nothing_prints_the_keys() {
    let connection = parse("http://AKIA:hunter2@h:1/b");
    for text in [
        format!("{connection:?}"),
        format!("{connection:#?}"),
        connection.to_string(),
    ] {
        assert!(
            !text.contains("hunter2") && !text.contains("AKIA"),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn encoded_keys_survive(access in ".+", secret in ".+", prefix in "[A-Za-z0-9_~-]{0,20}") {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let text = format!("s3://{}:{}@bucket/{prefix}", encode(&access), encode(&secret));
        let connection: Connection = text.parse().unwrap();
        prop_assert_eq!(connection.credentials, keys(&access, &secret));
        prop_assert_eq!(connection.prefix, prefix);
    }

    #[test]
    fn raw_secrets_of_aws_survive(secret in "[A-Za-z0-9/+=]{1,40}", http: bool) {
        let text = if http { format!("http://AKIA:{secret}@h:9000/b/p") } else { format!("s3://AKIA:{secret}@b/p") };
        let connection: Connection = text.parse().unwrap();
        prop_assert_eq!(connection.credentials, keys("AKIA", &secret));
        prop_assert_eq!((connection.bucket.as_str(), connection.prefix.as_str()), ("b", "p"));
    }

    #[test]
    fn garbage_never_panics(text in ".*", scheme in "(s3://|http://|https://)?") {
        let _ = format!("{scheme}{text}").parse::<Connection>();
    }
}
